//! Stories of liars: peers whose blocks fail their digests are found and banned, and nobody else is.

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::engine::{Config, TorrentEvent};
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::{Content, HostId, Weather, World};

const MINUTE: Duration = Duration::from_secs(60);

fn banned(world: &World, host: HostId) -> Vec<SocketAddr> {
    world.news(host, |news| if let TorrentEvent::Banned { addr, .. } = news { Some(*addr) } else { None })
}

/// A leech with honest seeds and liars; all it has in the end is right.
fn swarm(seed: u64, version: Version, liars: usize, lies_per_mille: u64) -> (World, HostId, Vec<HostId>) {
    let content = Content::new(80, version, &[("data", 1_000_000)], 64 << 10);
    let weather = Weather { stored_per_mille: 0, ..Weather::fair(200_000) };
    let mut world = World::new(seed, weather);
    let hosts: Vec<HostId> = (0..3).map(|_| world.host()).collect();
    for &host in &hosts {
        world.seed(host, &content);
    }
    for &host in &hosts[..liars] {
        world.at_mut(host).disk.lies_per_mille = lies_per_mille;
    }
    let leech = world.host();
    let id = world.leech(leech, &content, &hosts);
    world.complete(30 * MINUTE, &[(leech, id)]);
    assert!(world.is_whole(leech, &content));
    (world, leech, hosts)
}

#[test]
fn one_liar_among_three_is_banned_and_the_file_completes() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        for seed in 0..3 {
            let (world, leech, hosts) = swarm(seed, version, 1, 1000);
            assert_eq!(banned(&world, leech), [world.addr(hosts[0])], "{version:?}, seed {seed}");
        }
    }
}

#[test]
fn who_lies_now_and_then_is_found_and_the_honest_are_spared() {
    for version in [Version::V1, Version::V2] {
        for seed in 10..13 {
            let (world, leech, hosts) = swarm(seed, version, 1, 150);
            let honest: Vec<SocketAddr> = hosts[1..].iter().map(|&host| world.addr(host)).collect();
            assert!(
                banned(&world, leech).iter().all(|addr| !honest.contains(addr)),
                "{version:?}, seed {seed}"
            );
        }
    }
}

#[test]
fn two_liars_of_three_are_banned() {
    let (world, leech, hosts) = swarm(20, Version::V1, 2, 1000);
    let mut found = banned(&world, leech);
    found.sort_unstable();
    assert_eq!(found, [world.addr(hosts[0]), world.addr(hosts[1])]);
}

#[test]
fn a_banned_peer_is_neither_called_nor_let_in_again() {
    let (mut world, leech, hosts) = swarm(21, Version::V1, 1, 1000);
    let liar = world.addr(hosts[0]);
    let before = world.at(leech).dialed.iter().filter(|addr| **addr == liar).count();
    world.run(30 * MINUTE);
    assert_eq!(world.at(leech).dialed.iter().filter(|addr| **addr == liar).count(), before);
    let id = world.at(hosts[0]).engine.torrents()[0];
    let peers = vec![world.addr(leech)];
    world.command(hosts[0], millstream_core::engine::Command::Peers(id, peers)).unwrap();
    world.run(MINUTE);
    assert_eq!(world.at(leech).engine.peers(world.now, world.at(leech).engine.torrents()[0]), []);
}

#[test]
fn a_liar_is_found_also_where_memory_holds_no_piece() {
    for version in [Version::V1, Version::V2] {
        let content = Content::new(81, version, &[("data", 1_000_000)], 256 << 10);
        let mut world = World::new(22, Weather { stored_per_mille: 0, ..Weather::fair(300_000) });
        let hosts: Vec<HostId> = (0..3).map(|_| world.host()).collect();
        for &host in &hosts {
            world.seed(host, &content);
        }
        world.at_mut(hosts[0]).disk.lies_per_mille = 1000;
        let leech = world.host_with(Config { store_bytes_max: 96 << 10, ..Config::default() });
        let id = world.leech(leech, &content, &hosts);
        world.complete(30 * MINUTE, &[(leech, id)]);
        assert!(world.is_whole(leech, &content));
        let honest: Vec<SocketAddr> = hosts[1..].iter().map(|&host| world.addr(host)).collect();
        assert!(banned(&world, leech).iter().all(|addr| !honest.contains(addr)), "{version:?}");
    }
}
