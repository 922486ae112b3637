//! The tracker over HTTP (BEP 3, 7, 23, 24, 48): a request's target in, status and body out. It owns no connection, so
//! that any HTTP server can host it.

use super::Tracker;
use crate::base::Instant;
use crate::wire::tracker_http_server::{
    AnnounceResponse, read_announce, read_scrape, write_announce, write_failure, write_scrape,
};
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// 200 also for refusals: those are said in the body, where clients look for them.
    pub status: u16,
    /// For the header of this name.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Answers a GET of `target` (the request line's second word) from `source`.
pub fn answer(now: Instant, tracker: &mut Tracker, target: &[u8], source: SocketAddr) -> HttpAnswer {
    let mut sides = target.splitn(2, |&b| b == b'?');
    let path = sides.next().unwrap_or_default();
    let query = sides.next().unwrap_or_default();
    let body = match path.rsplit(|&b| b == b'/').next().unwrap_or_default() {
        b"announce" => announce(now, tracker, query, source),
        b"scrape" => scrape(tracker, query),
        _ => {
            let body = b"This is a BitTorrent tracker: /announce, /scrape.\n".to_vec();
            return HttpAnswer { status: 404, content_type: "text/plain; charset=utf-8", body };
        }
    };
    HttpAnswer { status: 200, content_type: "text/plain", body }
}

fn announce(now: Instant, tracker: &mut Tracker, query: &[u8], source: SocketAddr) -> Vec<u8> {
    let asked = match read_announce(query) {
        Ok(asked) => asked,
        Err(error) => return write_failure(&error.to_string(), None),
    };
    let reply = match tracker.on_announce(now, &asked.query, source) {
        Ok(reply) => reply,
        Err(refusal) => return write_failure(&refusal.to_string(), None),
    };
    let response = AnnounceResponse {
        interval_s: reply.interval_s,
        min_interval_s: Some(reply.min_interval_s),
        counts: reply.counts,
        peers: reply.peers.into_iter().map(|(addr, id)| (addr, Some(id))).collect(),
        external_ip: Some(source.ip()),
        tracker_id: None,
        warning: None,
    };
    write_announce(&response, asked.compact, asked.no_peer_id)
}

fn scrape(tracker: &mut Tracker, query: &[u8]) -> Vec<u8> {
    let hashes = match read_scrape(query) {
        Ok(hashes) if hashes.is_empty() => return write_failure("a scrape must name its torrents", None),
        Ok(hashes) => hashes,
        Err(error) => return write_failure(&error.to_string(), None),
    };
    let known = |hash| tracker.on_scrape(&hash).map(|counts| (hash, counts));
    let files: Vec<_> = hashes.into_iter().filter_map(known).collect();
    write_scrape(&files)
}

#[cfg(test)]
mod tests {
    use super::super::TrackerConfig;
    use super::*;
    use crate::base::Rng;
    use crate::wire::tracker::{AnnounceAnswer, AnnounceQuery, AnswerLimits, SwarmCounts, TrackerEvent};
    use crate::wire::tracker_http::{self, HttpAnswerError};
    use crate::wire::tracker_url::{TrackerUrl, announce_url, scrape_url};
    use crate::wire::{InfoHash, PeerId};
    use std::string::String;

    const HASH: InfoHash = InfoHash([0xe5; 20]);

    fn tracker() -> Tracker {
        Tracker::new(TrackerConfig::default(), [1; 32])
    }

    fn source(n: u8) -> SocketAddr {
        ([127, 0, 0, n], 40_000).into()
    }

    fn get(tracker: &mut Tracker, target: &str, n: u8) -> Vec<u8> {
        let answer = answer(Instant::ZERO, tracker, target.as_bytes(), source(n));
        assert_eq!(answer.status, 200);
        answer.body
    }

    /// What the project's own client would ask.
    fn target(port: u16, left: u64) -> String {
        let query = AnnounceQuery {
            info_hash: HASH,
            peer_id: PeerId([b'&'; 20]),
            port,
            uploaded: 0,
            downloaded: 0,
            left: Some(left),
            event: TrackerEvent::Started,
            numwant: Some(50),
            key: 1,
        };
        announce_url(&TrackerUrl::parse("http://h/announce").unwrap(), &query, None)
            .split_off("http://h".len())
    }

    fn read(body: &[u8]) -> Result<AnnounceAnswer, HttpAnswerError> {
        tracker_http::read_announce(body, &AnswerLimits { loopback: true, ..AnswerLimits::default() })
    }

    #[test]
    fn our_client_and_our_tracker_understand_each_other() {
        let mut tracker = tracker();
        get(&mut tracker, &target(1, 0), 1);
        let answer = read(&get(&mut tracker, &target(2, 9), 2)).unwrap();
        assert_eq!(answer.peers, [SocketAddr::from(([127, 0, 0, 1], 1))]);
        assert_eq!((answer.complete, answer.incomplete, answer.interval_s), (Some(1), Some(1), 1800));
        assert_eq!(answer.external_ip, Some(source(2).ip()), "BEP 24");
    }

    #[test]
    fn bep_0003_the_long_form_has_peer_ids() {
        let mut tracker = tracker();
        get(&mut tracker, &target(1, 0), 1);
        let long = target(2, 9).replace("compact=1", "compact=0").replace("no_peer_id=1", "no_peer_id=0");
        let body = get(&mut tracker, &long, 2);
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(
            text.contains("5:peersld2:ip9:127.0.0.17:peer id20:&&&&&&&&&&&&&&&&&&&&4:porti1eee"),
            "{text}"
        );
    }

    #[test]
    fn bep_0048_a_scrape_tells_the_counts_of_what_is_known() {
        let mut tracker = tracker();
        get(&mut tracker, &target(1, 0), 1);
        let other = InfoHash([1; 20]);
        let url = scrape_url(&TrackerUrl::parse("http://h/announce").unwrap(), &[HASH, other]).unwrap();
        let body = get(&mut tracker, &url["http://h".len()..], 1);
        let counts = tracker_http::read_scrape(&body, &[HASH, other], &AnswerLimits::default()).unwrap();
        assert_eq!(counts, [Some(SwarmCounts { complete: 1, ..SwarmCounts::default() }), None]);
    }

    #[test]
    fn what_is_wrong_is_said_in_the_body() {
        let mut tracker = tracker();
        let body = get(&mut tracker, "/announce?port=1", 1);
        assert_eq!(body, b"d14:failure reason17:missing info_hashe");
        assert_eq!(get(&mut tracker, "/scrape", 1), b"d14:failure reason31:a scrape must name its torrentse");
        assert_eq!(answer(Instant::ZERO, &mut tracker, b"/", source(1)).status, 404);
    }

    #[test]
    fn mutated_targets_never_panic_and_what_is_held_stays_bounded() {
        let config = TrackerConfig { torrents_max: 50, peers_per_torrent_max: 5, ..TrackerConfig::default() };
        let mut tracker = Tracker::new(config, [1; 32]);
        let mut rng = Rng::new([8; 32]);
        for round in 0..20_000u64 {
            let mut target = target(rng.next_u32() as u16, rng.below(2)).into_bytes();
            for _ in 0..rng.below(4) {
                let at = rng.index(target.len()).unwrap();
                target[at] = rng.next_u32() as u8;
            }
            let now = Instant::from_micros(round * 1_000_000);
            tracker.on_timeout(now);
            let _ = answer(now, &mut tracker, &target, source(rng.next_u32() as u8));
            let sums = tracker.statistics();
            assert!(sums.torrents <= 50 && sums.seeds + sums.leeches <= 50 * 5);
        }
        assert!(tracker.statistics().expired > 0);
    }
}
