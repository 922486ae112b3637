//! The tracker over HTTP (BEP 3, 7, 23, 24, 48): a request's target in, status and body out. It owns no connection, so
//! that any HTTP server can host it.

use super::{Fault, Protocol, ProtocolStatistics, Tracker};
use crate::base::Instant;
use crate::wire::InfoHash;
use crate::wire::tracker::SwarmCounts;
use crate::wire::tracker_http_server::{
    AnnounceResponse, HttpAnnounce, QueryError, RetryIn, read_announce, read_scrape, write_announce,
    write_failure, write_scrape,
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

impl HttpAnswer {
    /// A bencoded body.
    pub fn ok(body: Vec<u8>) -> Self {
        Self { status: 200, content_type: "text/plain", body }
    }
}

/// What a target asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAsk {
    /// See [`announce`].
    Announce(HttpAnnounce),
    /// These torrents, at least one. See [`Tracker::on_scrape`] and [`scraped`].
    Scrape(Vec<InfoHash>),
    /// The tracker refuses it for what is wrong with it. See [`refused`].
    Bad(QueryError),
    /// It scrapes without a torrent: everything, which nobody gets.
    ScrapeAll,
    /// It is for no part of a tracker.
    Elsewhere,
}

/// Reads the target of a GET (the request line's second word).
pub fn read(target: &[u8]) -> HttpAsk {
    let mut sides = target.splitn(2, |&b| b == b'?');
    let path = sides.next().unwrap_or_default();
    let query = sides.next().unwrap_or_default();
    match path.rsplit(|&b| b == b'/').next().unwrap_or_default() {
        b"announce" => read_announce(query).map_or_else(HttpAsk::Bad, HttpAsk::Announce),
        b"scrape" => match read_scrape(query) {
            Ok(hashes) if hashes.is_empty() => HttpAsk::ScrapeAll,
            Ok(hashes) => HttpAsk::Scrape(hashes),
            Err(error) => HttpAsk::Bad(error),
        },
        _ => HttpAsk::Elsewhere,
    }
}

/// Answers an announce from `source`: the body.
pub fn announce(now: Instant, tracker: &mut Tracker, asked: &HttpAnnounce, source: SocketAddr) -> Vec<u8> {
    let (body, answered, fault) = match tracker.on_announce(now, &asked.query, source) {
        Ok(reply) => {
            let response = AnnounceResponse {
                interval_s: reply.interval_s,
                min_interval_s: Some(reply.min_interval_s),
                counts: reply.counts,
                peers: reply.peers.to_vec().into_iter().map(|(addr, id)| (addr, Some(id))).collect(),
                external_ip: Some(source.ip()),
                tracker_id: None,
                warning: None,
            };
            (write_announce(&response, asked.compact, asked.no_peer_id), true, reply.left_out)
        }
        Err(refusal) => {
            (write_failure(&refusal.to_string(), Some(refusal.retry())), false, Some(refusal.fault()))
        }
    };
    let statistics = tracker.statistics_mut().protocol_mut(Protocol::Http);
    statistics.bytes_out += body.len() as u64;
    if answered {
        statistics.announced(asked.query.event);
    }
    if let Some(fault) = fault {
        statistics.fault(fault);
    }
    body
}

/// Answers a scrape with the counts of what is known: the body.
pub fn scraped(known: &[(InfoHash, SwarmCounts)]) -> Vec<u8> {
    write_scrape(known)
}

/// Refuses what can't be read: the body.
pub fn refused(error: &QueryError) -> Vec<u8> {
    write_failure(&error.to_string(), None)
}

/// Refuses to tell of all torrents: the body.
pub fn refused_scrape() -> Vec<u8> {
    write_failure("a scrape must name its torrents", Some(RetryIn::Never))
}

/// What is said where no tracker is.
pub fn elsewhere() -> HttpAnswer {
    let body = b"This is a BitTorrent tracker: /announce, /scrape.\n".to_vec();
    HttpAnswer { status: 404, content_type: "text/plain; charset=utf-8", body }
}

/// Answers a GET of `target` from `source`, of a tracker that holds all its torrents itself.
pub fn answer(now: Instant, tracker: &mut Tracker, target: &[u8], source: SocketAddr) -> HttpAnswer {
    tracker.statistics_mut().protocol_mut(Protocol::Http).bytes_in += target.len() as u64;
    let ask = read(target);
    let body = match &ask {
        HttpAsk::Announce(asked) => return HttpAnswer::ok(announce(now, tracker, asked, source)),
        HttpAsk::Elsewhere => return elsewhere(),
        HttpAsk::Scrape(hashes) => {
            let known = |&hash: &InfoHash| tracker.on_scrape(&hash).map(|counts| (hash, counts));
            scraped(&hashes.iter().filter_map(known).collect::<Vec<_>>())
        }
        HttpAsk::Bad(error) => refused(error),
        HttpAsk::ScrapeAll => refused_scrape(),
    };
    count(tracker.statistics_mut().protocol_mut(Protocol::Http), &ask, body.len());
    HttpAnswer::ok(body)
}

/// Counts what was answered without [`announce`].
pub fn count(statistics: &mut ProtocolStatistics, ask: &HttpAsk, body_bytes: usize) {
    statistics.bytes_out += body_bytes as u64;
    match ask {
        HttpAsk::Scrape(hashes) => {
            statistics.scrapes += 1;
            statistics.scraped += hashes.len() as u64;
        }
        HttpAsk::Bad(_) | HttpAsk::ScrapeAll => statistics.fault(Fault::Malformed),
        HttpAsk::Announce(_) | HttpAsk::Elsewhere => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::TrackerConfig;
    use super::*;
    use crate::base::Rng;
    use crate::wire::PeerId;
    use crate::wire::tracker::{AnnounceAnswer, AnnounceQuery, AnswerLimits, TrackerEvent};
    use crate::wire::tracker_http::{self, HttpAnswerError};
    use crate::wire::tracker_url::{TrackerUrl, announce_url, scrape_url};
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
        assert_eq!(
            get(&mut tracker, "/scrape", 1),
            b"d14:failure reason31:a scrape must name its torrents8:retry in5:nevere"
        );
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
