//! Stories of a tracker that is started again.

use super::*;
use crate::base::Rng;
use crate::tracker::TrackerConfig;
use crate::wire::tracker::{AnnounceQuery, SwarmCounts, TrackerEvent};
use core::net::SocketAddr;
use std::vec;

const START: Instant = Instant::from_micros(50_000_000_000);

fn announce(tracker: &mut Tracker, torrent: u8, from: &str, left: u64, event: TrackerEvent) {
    let source: SocketAddr = from.parse().unwrap();
    let query = AnnounceQuery {
        info_hash: InfoHash([torrent; 20]),
        peer_id: PeerId([source.port() as u8; 20]),
        port: source.port(),
        uploaded: 0,
        downloaded: 0,
        left: Some(left),
        event,
        numwant: None,
        key: 0,
    };
    tracker.on_announce(START, &query, source).unwrap();
}

fn tracker() -> Tracker {
    Tracker::new(TrackerConfig::default(), [3; 32])
}

fn full() -> Tracker {
    let mut tracker = tracker();
    announce(&mut tracker, 1, "192.0.2.1:1", 9, TrackerEvent::Started);
    announce(&mut tracker, 1, "192.0.2.1:1", 0, TrackerEvent::Completed);
    announce(&mut tracker, 1, "[2001:db8::1]:1", 0, TrackerEvent::None);
    announce(&mut tracker, 1, "192.0.2.2:2", 9, TrackerEvent::Started);
    announce(&mut tracker, 2, "192.0.2.3:3", 9, TrackerEvent::Started);
    tracker
}

fn saved(tracker: &Tracker, now: Instant, bytes_max: usize) -> Vec<u8> {
    let (mut writer, head) = StateWriter::new(1_000);
    let mut out = head.to_vec();
    let mut from = Some(0);
    while let Some(place) = from {
        let (bytes, next) = tracker.save(now, place, bytes_max);
        writer.add(&bytes);
        out.extend_from_slice(&bytes);
        from = next;
    }
    out.extend_from_slice(&writer.finish());
    out
}

#[test]
fn a_tracker_that_is_started_again_knows_what_it_knew() {
    for bytes_max in [1, 1 << 20] {
        let bytes = saved(&full(), START, bytes_max);
        let state = SavedState::read(&bytes).unwrap();
        assert_eq!(state.at_s, 1_000);
        let mut again = tracker();
        assert_eq!(again.restore(Instant::ZERO, &state, Duration::from_secs(60), |_| true), 4);
        let counts = again.on_scrape(&InfoHash([1; 20]));
        assert_eq!(counts, Some(SwarmCounts { complete: 1, downloaded: 1, incomplete: 1 }));
        assert_eq!(again.statistics().torrents, 2);
    }
}

#[test]
fn an_absence_counts_as_silence() {
    let bytes = saved(&full(), START + Duration::from_secs(1000), 1);
    let state = SavedState::read(&bytes).unwrap();
    let mut again = tracker();
    assert_eq!(again.restore(START, &state, Duration::from_secs(2000), |_| true), 4);
    again.on_timeout(START + Duration::from_secs(590));
    assert_eq!(again.statistics().peers, 4);
    let mut again = tracker();
    assert_eq!(again.restore(START, &state, Duration::from_secs(2700), |_| true), 0);
    assert_eq!((again.statistics().torrents, again.deadline()), (0, None), "no empty torrents either");
}

#[test]
fn each_shard_takes_its_own_and_limits_hold() {
    let bytes = saved(&full(), START, 1);
    let state = SavedState::read(&bytes).unwrap();
    let mut again = tracker();
    again.restore(START, &state, Duration::ZERO, |hash| hash.0[0] == 2);
    assert_eq!((again.statistics().torrents, again.statistics().peers), (1, 1));
    let mut small = Tracker::new(TrackerConfig { torrents_max: 1, ..TrackerConfig::default() }, [3; 32]);
    small.restore(START, &state, Duration::ZERO, |_| true);
    assert_eq!(small.statistics().torrents, 1);
}

#[test]
fn what_is_damaged_is_not_believed() {
    let bytes = saved(&full(), START, 1 << 20);
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 4;
        assert!(SavedState::read(&bad).is_err(), "{at}");
        assert!(SavedState::read(&bytes[..at]).is_err(), "{at}");
    }
    let mut newer = bytes.clone();
    newer[19] = 2;
    assert_eq!(SavedState::read(&newer).err(), Some(StateError::Version { version: 2 }));
    assert_eq!(SavedState::read(b"").err(), Some(StateError::Foreign));
    assert_eq!(saved(&tracker(), START, 1).len(), 48, "nothing is a state as well");
}

#[test]
fn a_lie_under_a_right_checksum_never_panics() {
    let mut rng = Rng::new([9; 32]);
    let bytes = saved(&full(), START, 1 << 20);
    let mut read = vec![0; 2];
    for _ in 0..5_000 {
        let mut bad = bytes[..bytes.len() - DIGEST_BYTES].to_vec();
        for _ in 0..2 {
            let at = HEAD_BYTES + rng.index(bad.len() - HEAD_BYTES).unwrap();
            bad[at] = rng.next_u32() as u8;
        }
        bad.extend_from_slice(&<[u8; 20]>::from(Sha1::digest(&bad)));
        let state = SavedState::read(&bad);
        read[usize::from(state.is_ok())] += 1;
        if let Ok(state) = state {
            tracker().restore(START, &state, Duration::ZERO, |_| true);
        }
    }
    assert!(read.iter().all(|&count| count > 100), "{read:?}");
}
