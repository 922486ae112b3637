//! Stories of swarms: how much a seed has to send, and what free riders get.

use core::time::Duration;
use millstream_core::base::{Instant, TorrentId};
use millstream_core::engine::{Config, Rates};
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::{Content, HostId, Weather, World};

const HOUR: Duration = Duration::from_secs(3600);

/// One seed and eight leeches that know each other. Returns what the seed sent, in thousandths of the size.
fn seed_sends(seed: u64, rates: Rates) -> u64 {
    let content = Content::new(90, Version::V1, &[("data", 4_000_000)], 16 << 10);
    let mut world = World::new(seed, Weather::fair(1_000_000));
    let seeder = world.host_with(Config { rates, ..Config::default() });
    let seed_id = world.seed(seeder, &content);
    let hosts: Vec<HostId> = (0..8).map(|_| world.host()).collect();
    let all: Vec<HostId> = hosts.iter().copied().chain([seeder]).collect();
    let leeches: Vec<(HostId, TorrentId)> =
        hosts.iter().map(|&host| (host, world.leech(host, &content, &all))).collect();
    world.complete(HOUR, &leeches);

    world.status(seeder, seed_id).uploaded * 1000 / content.length()
}

#[test]
fn a_seed_of_eight_leeches_sends_at_most_twice_the_size() {
    let sent = seed_sends(3, Rates::default());
    assert!(sent <= 2_000, "{sent} thousandths");
}

#[test]
fn a_capped_seed_of_eight_leeches_sends_at_most_one_and_a_third_of_the_size() {
    let sent = seed_sends(3, Rates { upload: Some(200_000), ..Rates::default() });
    assert!(sent <= 1_300, "{sent} thousandths");
}

#[test]
fn free_riders_finish_last() {
    let content = Content::v1(91, 3_000_000);
    let mut world = World::new(3, Weather::fair(200_000));
    // The torrent is small, so the credit is too.
    let config = Config { newcomer_credit_bytes: 128 << 10, ..Config::default() };
    let seeder = world.host_with(config.clone());
    world.seed(seeder, &content);
    let fair: Vec<HostId> = (0..5).map(|_| world.host_with(config.clone())).collect();
    let stingy = Config { upload_slots: Some(0), ..config };
    let riders: Vec<HostId> = (0..2).map(|_| world.host_with(stingy.clone())).collect();
    let all: Vec<HostId> =
        [seeder].into_iter().chain(fair.iter().copied()).chain(riders.iter().copied()).collect();
    let leeches: Vec<(HostId, TorrentId)> =
        all[1..].iter().map(|&host| (host, world.leech(host, &content, &all))).collect();
    let mut done: Vec<Option<Instant>> = vec![None; leeches.len()];
    while done.iter().any(Option::is_none) {
        world.run(Duration::from_millis(200));
        for (at, &(host, id)) in done.iter_mut().zip(&leeches) {
            if at.is_none() && world.is_complete(host, id) {
                *at = Some(world.now);
            }
        }
        assert!(world.now < Instant::ZERO + HOUR, "all finish in the end: {done:?}");
    }
    let (fair, riders) = done.split_at(5);
    assert!(fair.iter().max() <= riders.iter().min(), "{fair:?} and {riders:?}");
}
