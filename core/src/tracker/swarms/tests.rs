//! Stories of a tracker's swarms.

use super::*;
use crate::wire::PeerId;

struct Told {
    counts: SwarmCounts,
    peers: Vec<(SocketAddr, PeerId)>,
}

struct World {
    tracker: Tracker,
    now: Instant,
}

fn query(torrent: u8, port: u16, left: u64, event: TrackerEvent) -> AnnounceQuery {
    AnnounceQuery {
        info_hash: InfoHash([torrent; 20]),
        peer_id: PeerId([port as u8; 20]),
        port,
        uploaded: 0,
        downloaded: 0,
        left: Some(left),
        event,
        numwant: None,
        key: 0,
    }
}

impl World {
    fn new(config: TrackerConfig) -> Self {
        Self { tracker: Tracker::new(config, [5; 32]), now: Instant::ZERO }
    }

    fn announce(&mut self, query: &AnnounceQuery, from: &str) -> Told {
        let source = std::format!("{from}:50000").parse().unwrap();
        let reply = self.tracker.on_announce(self.now, query, source).unwrap();
        Told { counts: reply.counts, peers: reply.peers.to_vec() }
    }

    fn counts(&mut self) -> (u32, u32, u32) {
        let counts = self.tracker.on_scrape(&InfoHash([1; 20])).unwrap_or_default();
        (counts.complete, counts.incomplete, counts.downloaded)
    }
}

const V4: &str = "192.0.2.1";

#[test]
fn bep_0003_peers_are_told_of_each_other_and_not_of_themselves() {
    let mut w = World::new(TrackerConfig::default());
    assert!(w.announce(&query(1, 1, 5, TrackerEvent::Started), V4).peers.is_empty());
    let reply = w.announce(&query(1, 2, 5, TrackerEvent::Started), "192.0.2.2");
    assert_eq!(reply.peers, [("192.0.2.1:1".parse().unwrap(), PeerId([1; 20]))]);
    assert_eq!((reply.counts.complete, reply.counts.incomplete), (0, 2));
    assert!(w.announce(&query(2, 3, 5, TrackerEvent::Started), V4).peers.is_empty());
}

#[test]
fn stopped_removes_and_an_empty_torrent_goes() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
    let reply = w.announce(&query(1, 1, 5, TrackerEvent::Stopped), V4);
    assert_eq!((reply.counts, reply.peers.len()), (SwarmCounts::default(), 0));
    assert_eq!(w.tracker.statistics().torrents, 0);
    assert_eq!(w.tracker.deadline(), None);
    w.announce(&query(1, 1, 5, TrackerEvent::Stopped), V4);
    assert_eq!(w.tracker.statistics().torrents, 0);
}

#[test]
fn completed_is_counted_once() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
    for _ in 0..3 {
        w.announce(&query(1, 1, 0, TrackerEvent::Completed), V4);
    }
    w.announce(&query(1, 2, 0, TrackerEvent::Completed), V4);
    let counts = w.tracker.on_scrape(&InfoHash([1; 20])).unwrap();
    assert_eq!(counts, SwarmCounts { complete: 2, downloaded: 1, incomplete: 0 });
    let sums = w.tracker.statistics();
    assert_eq!((sums.seeds, sums.leeches, sums.completed, sums.announces), (2, 0, 1, 5));
}

#[test]
fn who_is_silent_for_twice_the_interval_is_forgotten() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
    w.now += Duration::from_secs(1800);
    w.announce(&query(1, 2, 5, TrackerEvent::Started), V4);
    let due = w.tracker.deadline().unwrap();
    assert!((3600..3603).contains(&(due.as_micros() / 1_000_000)), "{due:?}");
    w.now = due;
    w.tracker.on_timeout(w.now);
    assert_eq!((w.counts(), w.tracker.statistics().expired), ((0, 1, 0), 1));
    let due = w.tracker.deadline().unwrap();
    assert!((5400..5403).contains(&(due.as_micros() / 1_000_000)), "{due:?}");
    w.now = due;
    w.tracker.on_timeout(w.now);
    let sums = w.tracker.statistics();
    assert_eq!((sums.torrents, sums.leeches, sums.peers, w.tracker.deadline()), (0, 0, 0, None));
}

#[test]
fn nobody_is_forgotten_before_twice_the_interval() {
    for interval_s in [1, 5, 1800, 7 * 86_400] {
        let mut w = World::new(TrackerConfig { interval_s, ..TrackerConfig::default() });
        w.now = Instant::from_micros(123_456_789);
        w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
        let life = Duration::from_secs(u64::from(interval_s) * 2);
        let heard = w.now;
        w.announce(&query(1, 2, 5, TrackerEvent::Started), V4);
        w.now = heard + life - Duration::from_micros(1);
        w.tracker.on_timeout(w.now);
        assert_eq!(w.tracker.statistics().peers, 2);
        while w.tracker.statistics().peers > 0 {
            w.now = w.tracker.deadline().unwrap();
            assert!(w.now <= heard + life * 2, "nor remembered for long");
            w.tracker.on_timeout(w.now);
        }
    }
}

#[test]
fn bep_0007_a_peer_of_both_families_is_counted_once_and_leaves_when_both_did() {
    let mut w = World::new(TrackerConfig::default());
    for many in [1u16, 150] {
        for n in 0..many {
            let mut over = query(1, n + 10, 5, TrackerEvent::Started);
            over.peer_id.0[..2].copy_from_slice(&n.to_be_bytes());
            let (v4, v6) = (std::format!("10.0.{}.1", n), std::format!("[2001:db8:{n:x}::1]"));
            w.announce(&over, &v4);
            w.announce(&over, &v6);
        }
        assert_eq!(w.counts(), (0, u32::from(many), 0));
    }
    let mut over = query(1, 10, 0, TrackerEvent::Completed);
    over.peer_id.0[..2].copy_from_slice(&[0, 0]);
    w.announce(&over, "10.0.0.1");
    w.announce(&over, "[2001:db8:0::1]");
    assert_eq!(w.counts(), (1, 149, 1), "a download that became whole counts once");
    let stop = AnnounceQuery { event: TrackerEvent::Stopped, ..over };
    w.announce(&stop, "10.0.0.1");
    assert_eq!(w.counts(), (1, 149, 1), "it is there still, over the other family");
    w.announce(&stop, "[2001:db8:0::1]");
    assert_eq!(w.counts(), (0, 149, 1));
    assert_eq!((w.tracker.statistics().peers, w.tracker.statistics().leeches), (298, 149));
    w.now += Duration::from_secs(4000);
    w.tracker.on_timeout(w.now);
    assert_eq!((w.tracker.statistics().peers, w.tracker.statistics().leeches), (0, 0));
}

#[test]
fn one_source_can_not_fill_a_swarm_but_goes_on_being_told() {
    let mut w = World::new(TrackerConfig { peers_per_source_max: 3, ..TrackerConfig::default() });
    for port in 1..=9 {
        w.announce(&query(1, port, 5, TrackerEvent::Started), V4);
        w.announce(&query(1, port, 5, TrackerEvent::Started), &std::format!("[2001:db8::{port}]"));
    }
    // Each port is a peer of its own, known over IPv4 and IPv6.
    assert_eq!((w.tracker.statistics().peers, w.counts()), (6, (0, 3, 0)));
    assert_eq!(w.announce(&query(1, 9, 5, TrackerEvent::None), V4).peers.len(), 3);
    let source = "192.0.2.1:1".parse().unwrap();
    let reply = w.tracker.on_announce(w.now, &query(1, 9, 5, TrackerEvent::None), source).unwrap();
    assert_eq!(reply.left_out, Some(Fault::SourceFull));
    assert_eq!(w.announce(&query(1, 2, 5, TrackerEvent::None), V4).peers.len(), 2);
}

#[test]
fn another_client_at_the_same_address_takes_its_place() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
    let restarted = AnnounceQuery { peer_id: PeerId([99; 20]), ..query(1, 1, 5, TrackerEvent::Started) };
    w.announce(&restarted, V4);
    let told = w.announce(&query(1, 2, 5, TrackerEvent::Started), "192.0.2.2");
    assert_eq!(told.peers, [("192.0.2.1:1".parse().unwrap(), PeerId([99; 20]))]);
}

#[test]
fn what_the_rules_leave_out_is_refused_and_forgotten() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
    w.announce(&query(2, 1, 5, TrackerEvent::Started), V4);
    w.tracker.set_rules(Arc::new(Rules::new(None, std::vec![InfoHash([1; 20])])));
    assert_eq!((w.tracker.statistics().torrents, w.tracker.statistics().peers), (1, 1));
    for event in [TrackerEvent::Started, TrackerEvent::Stopped] {
        let source = "192.0.2.1:1".parse().unwrap();
        let refused = w.tracker.on_announce(w.now, &query(1, 1, 5, event), source);
        assert!(matches!(refused, Err(Refusal::NotServed)));
    }
    assert_eq!(w.tracker.on_scrape(&InfoHash([1; 20])), None);
    w.tracker.set_rules(Arc::new(Rules::new(Some(std::vec![]), std::vec![])));
    assert_eq!((w.tracker.statistics().torrents, w.tracker.deadline()), (0, None));
}

#[test]
fn bep_0007_families_are_kept_apart_and_mapped_addresses_are_ipv4() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
    let reply = w.announce(&query(1, 2, 5, TrackerEvent::Started), "[2001:db8::1]");
    assert_eq!((reply.peers.len(), reply.counts.incomplete), (0, 2));
    let reply = w.announce(&query(1, 3, 5, TrackerEvent::Started), "[::ffff:192.0.2.9]");
    assert_eq!(reply.peers, [("192.0.2.1:1".parse().unwrap(), PeerId([1; 20]))]);
}

#[test]
fn numwant_is_capped_and_may_be_zero() {
    let mut w = World::new(TrackerConfig { numwant_default: 3, numwant_max: 5, ..TrackerConfig::default() });
    for port in 1..=20 {
        w.announce(&query(1, port, 5, TrackerEvent::Started), V4);
    }
    for (numwant, got) in [(None, 3), (Some(1000), 5), (Some(0), 0)] {
        let asked = AnnounceQuery { numwant, ..query(1, 1, 5, TrackerEvent::None) };
        assert_eq!(w.announce(&asked, V4).peers.len(), got);
    }
}

#[test]
fn torrents_and_peers_are_bounded() {
    let mut w = World::new(TrackerConfig { peers_max: 2, ..TrackerConfig::default() });
    for port in 1..=3 {
        w.announce(&query(1, port, 5, TrackerEvent::Started), V4);
        w.announce(&query(2, port, 5, TrackerEvent::Started), V4);
    }
    assert_eq!((w.tracker.statistics().peers, w.tracker.statistics().torrents), (2, 2));
    let config = TrackerConfig { torrents_max: 1, peers_per_torrent_max: 2, ..TrackerConfig::default() };
    let mut w = World::new(config);
    for port in 1..=3 {
        w.announce(&query(1, port, 5, TrackerEvent::Started), V4);
    }
    assert_eq!(w.tracker.statistics().leeches, 2);
    let source = "192.0.2.1:1".parse().unwrap();
    let refused = w.tracker.on_announce(w.now, &query(2, 1, 5, TrackerEvent::Started), source);
    assert!(matches!(refused, Err(Refusal::TorrentsFull)));
    assert_eq!(w.tracker.statistics().refused, 1);
}

#[test]
fn one_source_can_not_take_all_places_for_torrents() {
    let mut w = World::new(TrackerConfig { torrents_max: 100, ..TrackerConfig::default() });
    let mut made = |from: &str, torrents: core::ops::Range<u8>| {
        let source = std::format!("{from}:50000").parse().unwrap();
        let announce = |torrent| {
            let event = TrackerEvent::Started;
            match w.tracker.on_announce(w.now, &query(torrent, 5, 9, event), source) {
                Ok(_) => true,
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::SourceFull);
                    false
                }
            }
        };
        torrents.map(announce).filter(|&taken| taken).count()
    };
    assert_eq!(made(V4, 0..100), 50, "half of all");
    assert_eq!(made("[2001:db8::1]", 100..150) + made("[2001:db8::2]", 150..200), 25, "a /64 is one source");
    assert_eq!(made("192.0.2.2", 200..220), 13, "and others find room");
    assert_eq!(made("192.0.2.3", 0..10), 10, "in what is there everyone is taken");
    assert_eq!(made("127.0.0.1", 220..232), 12, "who are all behind one proxy are not held to it");
}

#[test]
fn a_torrent_that_is_gone_is_off_its_makers_share() {
    let mut w = World::new(TrackerConfig { torrents_max: 4, ..TrackerConfig::default() });
    for torrent in 0..100 {
        w.announce(&query(torrent, 5, 9, TrackerEvent::Started), V4);
        w.announce(&query(torrent, 5, 9, TrackerEvent::Stopped), V4);
    }
    assert_eq!(w.tracker.statistics().torrents, 0);
}

#[test]
fn who_does_not_listen_is_told_but_not_told_of() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
    assert_eq!(w.announce(&query(1, 0, 5, TrackerEvent::Started), V4).peers.len(), 1);
    assert_eq!(w.tracker.statistics().leeches, 1);
}

#[test]
fn a_peer_that_does_not_know_its_size_is_no_seed() {
    let mut w = World::new(TrackerConfig::default());
    let unknown = AnnounceQuery { left: None, ..query(1, 1, 0, TrackerEvent::Started) };
    assert_eq!(w.announce(&unknown, V4).counts.complete, 0);
}

#[test]
fn who_begins_is_told_of_seeds_even_if_it_says_that_nothing_is_left() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(&query(1, 1, 0, TrackerEvent::Started), V4);
    let told = w.announce(&query(1, 2, 0, TrackerEvent::Started), "192.0.2.2");
    assert_eq!(told.peers.len(), 1, "a magnet link's size isn't known yet");
    assert!(w.announce(&query(1, 2, 0, TrackerEvent::None), "192.0.2.2").peers.is_empty());
}
