//! The bodies about the tracker as a server, beyond HTTP: its datagrams, its WebSocket messages, its saved
//! state, its lists of torrents.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use millstream_core::base::Instant;
use millstream_core::tracker::state::{SavedState, StateWriter};
use millstream_core::tracker::{
    ConnectionIds, Rules, RulesError, Tracker, TrackerConfig, read_list, signal, udp,
};
use millstream_core::wire::InfoHash;
use millstream_core::wire::tracker::AnswerLimits;
use millstream_core::wire::tracker_ws::{SignalReply, SignalRequest, read_reply, read_request, write_reply};

fn small() -> Tracker {
    let config =
        TrackerConfig { torrents_max: 4, peers_per_torrent_max: 4, peers_max: 9, ..TrackerConfig::default() };
    Tracker::new(config, [7; 32])
}

/// Datagrams, each after a byte that says who sends it and two of its length: with an id that is not ours an answer is no
/// longer than the request, and what is held stays within its limits. An id of eight times 0xff stands for a valid one.
pub fn tracker_server_udp(mut data: &[u8]) {
    let (mut tracker, ids) = (small(), ConnectionIds::new([7; 32]));
    let hosts: [SocketAddr; 2] =
        [([192, 0, 2, 1], 50_000).into(), ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 50_000).into()];
    let mut now = Instant::from_micros(1_000_000_000);
    while let Some((&[who, high, low], rest)) = data.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (packet, rest) = rest.split_at(len);
        data = rest;
        let source = hosts[usize::from(who) % 2];
        let mut packet = packet.to_vec();
        let proved = packet.starts_with(&[0xff; 8]);
        if proved {
            packet[..8].copy_from_slice(&ids.give(now, source.ip()).0.to_be_bytes());
        }
        let mut out = Vec::new();
        let answered = udp::answer(now, &mut tracker, &ids, (&packet, source), &mut out);
        assert_eq!(answered, !out.is_empty(), "an answer has bytes");
        assert!(proved || out.len() <= packet.len(), "nothing is amplified before the address is proved");
        assert!(out.len() <= udp::ANSWER_BYTES_MAX, "no answer is cut on its way");
        let held = tracker.statistics();
        assert!(held.torrents <= 4 && held.peers <= 9, "the limits hold");
        assert!(held.seeds + held.leeches <= held.peers, "nobody is counted twice");
        now += Duration::from_secs(u64::from(who));
        tracker.on_timeout(now);
    }
    while let Some(due) = tracker.deadline() {
        now = now.max(due);
        tracker.on_timeout(now);
    }
    assert_eq!(tracker.statistics().torrents, 0, "who is not heard is forgotten");
}

/// WebSocket messages, one a line, each from the next of three sockets: what is read by either side never breaks it, what
/// a client reads can be written and read again alike, and the tracker tells each offer to another socket than its own.
pub fn tracker_ws(data: &[u8]) {
    let mut tracker = small();
    for (n, line) in data.split(|&b| b == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        if let Ok(reply) = read_reply(&text, &AnswerLimits::default()) {
            let again = read_reply(&write_reply(&reply), &AnswerLimits::default());
            assert_eq!(again, Ok(reply), "a reply survives writing and reading");
        }
        let socket = n as u64 % 3;
        let out = match read_request(&text) {
            Ok(SignalRequest::Announce(announce)) => signal::announce(
                Instant::ZERO,
                &mut tracker,
                (socket, IpAddr::from([192, 0, 2, 1])),
                *announce,
            ),
            Ok(SignalRequest::Answer(answer)) => {
                signal::answer(&mut tracker, socket, *answer).into_iter().collect()
            }
            Ok(SignalRequest::Scrape(_)) | Err(_) => continue,
        };
        for (to, reply) in out {
            let offered = matches!(reply, SignalReply::Offer(_));
            assert!(to < 3 && !(offered && to == socket), "an offer goes to another that is there");
        }
        assert!(tracker.statistics().torrents <= 4, "the limits hold");
    }
}

/// A saved state, as it came and under a right checksum: what is believed is saved again alike in its counts.
pub fn tracker_state(data: &[u8]) {
    let (mut writer, head) = StateWriter::new(9);
    writer.add(data);
    let signed = [&head[..], data, &writer.finish()].concat();
    for bytes in [data, &signed] {
        let Ok(saved) = SavedState::read(bytes) else { continue };
        let mut tracker = small();
        let peers = tracker.restore(Instant::ZERO, &saved, Duration::ZERO, |_| true);
        assert!(peers <= 9 && tracker.statistics().torrents <= 4, "the limits hold");
        let (mut writer, head) = StateWriter::new(9);
        let (body, rest) = tracker.save(Instant::ZERO, 0, usize::MAX);
        assert_eq!(rest, None, "all fits");
        writer.add(&body);
        let again = [&head[..], &body, &writer.finish()].concat();
        let again = SavedState::read(&again).expect("what is saved is whole");
        assert_eq!(small().restore(Instant::ZERO, &again, Duration::ZERO, |_| true), peers, "nobody is lost");
    }
}

/// A list of torrents allowed or denied: what is read is written and read again alike, and rules keep to it.
pub fn tracker_list(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count();
    let list = match read_list(&text) {
        Ok(list) => list,
        Err(RulesError { line }) => return assert!((1..=lines).contains(&line), "line {line} of {lines}"),
    };
    assert!(list.len() <= lines && list.len() * 40 <= text.len(), "no hash comes from nowhere");
    let written: String = list.iter().map(|hash| format!("{hash} again\n")).collect();
    assert_eq!(read_list(&written).as_ref(), Ok(&list), "a list survives writing and reading");
    let (allow, deny) = (Rules::new(Some(list.clone()), Vec::new()), Rules::new(None, list.clone()));
    for hash in &list {
        assert!(allow.serve(hash) && !deny.serve(hash), "{hash}");
        let other = InfoHash(hash.0.map(|byte| !byte));
        assert_eq!(allow.serve(&other), !deny.serve(&other), "one list is the other's opposite");
    }
}
