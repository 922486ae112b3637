//! Stories of datagrams: who is answered what, and never with more than it may.

use super::*;
use crate::base::Rng;
use crate::tracker::{Rules, TrackerConfig};
use crate::wire::PeerId;
use crate::wire::tracker::{AnswerLimits, TrackerEvent};
use crate::wire::tracker_udp::{
    ConnectionId, Reply, read_reply, scrape_counts, write_announce, write_connect, write_scrape,
};
use alloc::sync::Arc;
use core::time::Duration;
use std::vec;

struct World {
    tracker: Tracker,
    ids: ConnectionIds,
    now: Instant,
}

const T: TransactionId = TransactionId(7);

fn query(port: u16, left: u64) -> AnnounceQuery {
    AnnounceQuery {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([port as u8; 20]),
        port,
        uploaded: 0,
        downloaded: 0,
        left: Some(left),
        event: TrackerEvent::Started,
        numwant: None,
        key: 0,
    }
}

impl World {
    fn new() -> Self {
        let tracker = Tracker::new(TrackerConfig::default(), [5; 32]);
        Self { tracker, ids: ConnectionIds::new([5; 32]), now: Instant::from_micros(1_000_000_000) }
    }

    fn send(&mut self, packet: &[u8], from: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let source = std::format!("{from}:50000").parse().unwrap();
        let answered = answer(self.now, &mut self.tracker, &self.ids, (packet, source), &mut out);
        assert_eq!(answered, !out.is_empty());
        out
    }

    fn connect(&mut self, from: &str) -> ConnectionId {
        let reply = self.send(&write_connect(T), from);
        let Ok((T, Reply::Connected(id))) = read_reply(&reply) else { panic!() };
        id
    }

    fn announce(&mut self, query: &AnnounceQuery, from: &str) -> Vec<u8> {
        let id = self.connect(from);
        self.send(&write_announce(id, T, query, b"/announce"), from)
    }
}

#[test]
fn bep_0015_connect_announce_and_scrape_over_both_families() {
    for (first, second) in [("192.0.2.1", "192.0.2.2"), ("[2001:db8::1]", "[2001:db8:1::2]")] {
        let mut w = World::new();
        w.announce(&query(1, 0), first);
        let reply = w.announce(&query(2, 9), second);
        let Ok((T, Reply::Announced(announced))) = read_reply(&reply) else { panic!() };
        let family = Family::of(&std::format!("{first}:1").parse().unwrap());
        let told = announced.answer(family, &AnswerLimits::default());
        assert_eq!(told.peers, [std::format!("{first}:1").parse().unwrap()]);
        assert_eq!((told.complete, told.incomplete, told.interval_s), (Some(1), Some(1), 1800));
        let id = w.connect(first);
        let reply = w.send(&write_scrape(id, T, &[InfoHash([9; 20]), InfoHash([1; 20])]), first);
        let Ok((T, Reply::Scraped(packed))) = read_reply(&reply) else { panic!() };
        let known = SwarmCounts { complete: 1, downloaded: 0, incomplete: 1 };
        assert_eq!(scrape_counts(packed).collect::<Vec<_>>(), [SwarmCounts::default(), known]);
        let statistics = w.tracker.statistics().protocol(Protocol::Udp);
        assert_eq!((statistics.connects, statistics.announces, statistics.scrapes), (3, [0, 2, 0, 0], 1));
    }
}

#[test]
fn bep_0015_an_id_that_is_old_or_anothers_is_refused_with_few_bytes() {
    let mut w = World::new();
    let id = w.connect("192.0.2.1");
    let packet = write_announce(id, T, &query(1, 9), b"");
    assert_eq!(read_reply(&w.send(&packet, "192.0.2.9")), Ok((T, Reply::Failed(b"connect again"))));
    w.now += Duration::from_secs(121);
    assert_eq!(read_reply(&w.send(&packet, "192.0.2.1")), Ok((T, Reply::Failed(b"connect again"))));
    assert_eq!(w.tracker.statistics().announces, 0);
    assert_eq!(w.tracker.statistics().protocol(Protocol::Udp).faults[Fault::Connection as usize], 2);
}

#[test]
fn pitfall_21_who_has_not_proved_its_address_gets_no_more_bytes_than_it_sent() {
    let mut w = World::new();
    (0..500).for_each(|n| {
        w.announce(&query(n + 1, 9), &std::format!("10.0.{}.{}", n / 250, n % 250));
    });
    let mut rng = Rng::new([21; 32]);
    let valid = w.connect("10.9.9.9");
    let seeds = [
        write_connect(T),
        write_announce(valid, T, &query(1, 9), b"/announce?x"),
        write_scrape(valid, T, &[InfoHash([1; 20]); 74]),
        write_scrape(ConnectionId(0), T, &[InfoHash([1; 20])]),
    ];
    for round in 0..50_000 {
        let mut packet = seeds[round % seeds.len()].clone();
        for _ in 0..rng.below(3) {
            let at = rng.index(packet.len()).unwrap();
            packet[at] = rng.next_u32() as u8;
        }
        packet.truncate(rng.below(packet.len() as u64 * 2) as usize);
        // Another address than the id was given to.
        let reply = w.send(&packet, "10.8.8.8");
        assert!(reply.len() <= packet.len(), "{} bytes for {}", reply.len(), packet.len());
    }
}

#[test]
fn no_answer_is_so_long_that_it_must_be_cut() {
    let mut w = World::new();
    for n in 0..300u16 {
        w.announce(&query(n + 1, 9), &std::format!("10.0.{}.{}", n / 200, n % 200));
        w.announce(&query(n + 1, 9), &std::format!("[2001:db8:{n:x}::1]"));
    }
    let many = AnnounceQuery { numwant: Some(1000), ..query(1, 9) };
    for (from, peers) in [("10.7.7.7", 200), ("[2001:db8:ffff::1]", 76)] {
        let reply = w.announce(&many, from);
        let stride = if from.starts_with('[') { 18 } else { 6 };
        assert_eq!((reply.len() - 20, reply.len() <= ANSWER_BYTES_MAX), (peers * stride, true));
    }
}

#[test]
fn a_refused_torrent_is_said_and_bad_options_are_not_answered() {
    let mut w = World::new();
    w.tracker.set_rules(Arc::new(Rules::new(Some(vec![]), vec![])));
    let reply = w.announce(&query(1, 9), "192.0.2.1");
    assert_eq!(read_reply(&reply), Ok((T, Reply::Failed(b"this tracker does not serve this torrent"))));
    let id = w.connect("192.0.2.1");
    let mut packet = write_announce(id, T, &query(1, 9), b"");
    packet.extend_from_slice(b"\x02\xff/");
    assert_eq!(w.send(&packet, "192.0.2.1"), b"");
    assert_eq!(w.tracker.statistics().protocol(Protocol::Udp).faults[Fault::Malformed as usize], 1);
}
