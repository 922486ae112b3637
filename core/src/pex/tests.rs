//! Stories of the exchange: what is told to whom, and what is believed of whom.

use super::*;
use crate::wire::pex::{PexMessage, PexPeer};
use core::net::IpAddr;
use std::format;
use std::vec;

const MINUTE: Duration = Duration::from_secs(60);

fn addr(n: u32) -> SocketAddr {
    format!("198.51.{}.{}:6881", n / 200, n % 200 + 1).parse().unwrap()
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// A swarm of those numbers, where peer 1 speaks.
fn swarm(others: core::ops::RangeInclusive<u32>) -> Pex {
    let mut pex = Pex::new(PexConfig::default());
    pex.on_joined(at(0), 1, addr(1), PexFlags::default());
    pex.on_speaks(at(0), 1, true);
    for n in others {
        pex.on_joined(at(0), n, addr(n), PexFlags::default());
    }
    pex
}

fn added(message: &PexMessage) -> Vec<SocketAddr> {
    message.added.iter().map(|peer| peer.addr).collect()
}

/// Takes the next message at its moment.
fn next(pex: &mut Pex) -> Option<(Instant, PexMessage)> {
    loop {
        let due = pex.deadline()?;
        if let Some((_, message)) = pex.next_message(due) {
            return Some((due, message));
        }
    }
}

#[test]
fn bep_0011_a_peer_is_told_of_the_others_and_not_of_itself() {
    let mut pex = swarm(2..=4);
    let (_, message) = next(&mut pex).unwrap();
    assert_eq!(added(&message), [addr(2), addr(3), addr(4)]);
    assert_eq!(next(&mut pex), None, "nothing changed: no empty message");
}

#[test]
fn bep_0011_nobody_is_told_of_a_link_local_address() {
    let mut pex = swarm(2..=2);
    pex.on_joined(at(0), 3, "[fe80::1%2]:6881".parse().unwrap(), PexFlags::default());
    pex.on_flags(3, PexFlags::default());
    assert_eq!(added(&next(&mut pex).unwrap().1), [addr(2)]);
    pex.on_left(at(100), 3, true);
    assert_eq!(next(&mut pex), None);
    let told = |teller: &str| may_be_known_to(teller.parse().unwrap(), "[fe80::1]:6881".parse().unwrap());
    assert!(!told("fe80::2") && !told("fd00::1") && !told("::1"), "and nobody can tell us of one");
}

#[test]
fn pitfall_15_bep_0011_one_message_a_minute_and_no_more_than_50_after_the_first() {
    let mut pex = swarm(2..=180);
    let (first, message) = next(&mut pex).unwrap();
    assert_eq!(message.added.len(), 100, "the first may be larger");
    let mut told: Vec<SocketAddr> = added(&message);
    let mut before = first;
    while let Some((due, message)) = next(&mut pex) {
        assert!(due >= before + MINUTE && message.added.len() <= 50);
        told.extend(added(&message));
        before = due;
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 179, "in the end all are told, each once");
}

#[test]
fn bep_0011_who_was_added_is_dropped_when_it_is_gone_and_who_was_not_isnt() {
    let mut pex = swarm(2..=3);
    next(&mut pex).unwrap();
    pex.on_left(at(10), 2, false);
    pex.on_joined(at(11), 4, addr(4), PexFlags::default());
    pex.on_left(at(12), 4, false);
    let (due, message) = next(&mut pex).unwrap();
    assert_eq!((message.dropped, message.added), (vec![addr(2)], vec![]));
    assert!(due >= at(62));
    assert_eq!(pex.members.len(), 2, "nothing is kept of who left and was told to have left");
}

#[test]
fn bep_0011_who_leaves_and_comes_back_in_between_is_not_spoken_of() {
    let mut pex = swarm(2..=3);
    next(&mut pex).unwrap();
    pex.on_left(at(10), 2, false);
    pex.on_joined(at(20), 9, addr(2), PexFlags::default());
    assert_eq!(next(&mut pex), None);
    pex.on_left(at(100), 9, false);
    let (_, message) = next(&mut pex).unwrap();
    assert_eq!(message.dropped, [addr(2)], "and is dropped when it leaves for good");
}

#[test]
fn bep_0011_who_left_without_fault_is_shown_once_while_few_are_here_and_then_dropped() {
    let mut pex = swarm(2..=2);
    pex.on_joined(at(0), 3, addr(3), PexFlags::SEED);
    pex.on_left(at(1), 3, true);
    let (_, message) = next(&mut pex).unwrap();
    assert_eq!(added(&message), [addr(2), addr(3)]);
    let (_, message) = next(&mut pex).unwrap();
    assert_eq!((message.added, message.dropped), (vec![], vec![addr(3)]));
    assert_eq!(next(&mut pex), None, "it is drained");

    let mut crowded = swarm(2..=40);
    crowded.on_joined(at(0), 41, addr(41), PexFlags::SEED);
    crowded.on_left(at(1), 41, true);
    assert!(!added(&next(&mut crowded).unwrap().1).contains(&addr(41)), "enough are here");
}

#[test]
fn bep_0011_no_address_is_added_and_dropped_in_one_message() {
    let mut pex = swarm(2..=2);
    next(&mut pex).unwrap();
    pex.on_left(at(5), 2, true);
    let (_, message) = next(&mut pex).unwrap();
    assert_eq!((added(&message), message.dropped), (vec![], vec![addr(2)]));
}

#[test]
fn a_swarm_that_churns_is_kept_in_bounds() {
    let mut pex = swarm(2..=2);
    for n in 3..5_000 {
        let now = at(u64::from(n));
        pex.on_joined(now, n, addr(n), PexFlags::default());
        while pex.next_message(now).is_some() {}
        pex.on_left(now, n, n % 2 == 0);
        assert!(pex.members.len() <= 600 && pex.speakers[&1].told.len() <= 250);
    }
}

#[test]
fn a_peer_that_is_gone_is_not_written_to_and_nothing_of_it_stays() {
    let mut pex = swarm(2..=5);
    next(&mut pex).unwrap();
    pex.on_left(at(3), 1, false);
    for n in 2..=5 {
        pex.on_left(at(4), n, false);
    }
    assert_eq!((pex.deadline(), pex.members.len()), (None, 0));
}

fn tell(pex: &mut Pex, now: Instant, peers: &[&str]) -> Result<Vec<PexPeer>, PexIgnored> {
    let added = peers
        .iter()
        .map(|addr| PexPeer { addr: addr.parse().unwrap(), flags: PexFlags::HOLEPUNCH })
        .collect();
    let payload = PexMessage { added, ..PexMessage::default() }.encode();
    let teller: IpAddr = addr(1).ip();
    pex.on_message(now, (1, teller), &payload, 1000)
}

#[test]
fn pitfall_15_what_comes_too_often_is_counted_and_ignored() {
    let mut pex = swarm(2..=2);
    assert_eq!(tell(&mut pex, at(1), &["192.0.2.1:1"]).unwrap().len(), 1);
    assert_eq!(tell(&mut pex, at(20), &["192.0.2.2:1"]), Err(PexIgnored::TooOften));
    assert_eq!(tell(&mut pex, at(58), &["192.0.2.3:1"]).unwrap().len(), 1, "a little early is no fault");
    assert_eq!(pex.counts().too_often, 1);
    assert_eq!(pex.on_message(at(1), (7, addr(7).ip()), b"de", 9), Err(PexIgnored::Unasked));
    assert!(matches!(pex.on_message(at(200), (1, addr(1).ip()), b"x", 9), Err(PexIgnored::Malformed(_))));
}

#[test]
fn pitfall_15_a_larger_first_message_is_taken_up_to_a_cap_and_a_later_one_up_to_a_lower_one() {
    let mut pex = Pex::new(PexConfig { share_max: 100_000, ..PexConfig::default() });
    pex.on_speaks(at(0), 1, true);
    let many: Vec<std::string::String> = (0..400).map(|n| format!("{}", addr(n))).collect();
    let many: Vec<&str> = many.iter().map(|a| a.as_str()).collect();
    assert_eq!(tell(&mut pex, at(1), &many).unwrap().len(), 250);
    assert_eq!(tell(&mut pex, at(70), &many).unwrap().len(), 100);
    assert_eq!(pex.counts().excess, 150 + 300);
}

#[test]
fn pitfall_15_junk_addresses_are_counted_and_ignored() {
    let mut pex = swarm(2..=2);
    let junk = [
        "1.2.3.4:0",
        "0.0.0.0:5",
        "224.0.0.1:5",
        "255.255.255.255:5",
        "127.0.0.1:80",
        "192.168.1.1:80",
        "[::1]:80",
    ];
    assert_eq!(tell(&mut pex, at(1), &junk), Ok(vec![]));
    assert_eq!(pex.counts().junk, 7);
    assert_eq!(tell(&mut pex, at(100), &["1.2.3.4:5", "1.2.3.4:6"]).unwrap().len(), 1, "one host once");
    assert_eq!(pex.counts().repeated, 1);
}

#[test]
fn one_peer_fills_no_more_than_its_share() {
    let mut pex = swarm(2..=2);
    let mut believed = 0;
    for minute in 0..20u32 {
        let lies: Vec<std::string::String> =
            (0..100).map(|n| format!("{}", addr(minute * 100 + n))).collect();
        let lies: Vec<&str> = lies.iter().map(|a| a.as_str()).collect();
        believed += tell(&mut pex, at(u64::from(minute) * 60), &lies).unwrap().len();
    }
    assert_eq!(believed, 250 + 19 * 6);
    assert_eq!(pex.counts().beyond_share, 2000 - 364);
}

#[test]
fn bep_0055_a_relay_is_whoever_says_it_is_connected_to_the_target() {
    let mut pex = swarm(2..=2);
    let target = "192.0.2.1:1".parse().unwrap();
    assert_eq!(pex.relay_to(target), None);
    tell(&mut pex, at(1), &["192.0.2.1:1"]).unwrap();
    assert_eq!(pex.relay_to(target), Some(1));
    let gone = PexMessage { dropped: vec![target], ..PexMessage::default() }.encode();
    pex.on_message(at(100), (1, addr(1).ip()), &gone, 10).unwrap();
    assert_eq!(pex.relay_to(target), None);
}
