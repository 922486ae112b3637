//! Stories of whole swarms in rough weather: late packets, broken links, reads of any size, slow disks, power cuts. Each
//! is drawn from one seed, which a failure names.

use core::time::Duration;
use millstream_core::base::{Bits, Rng, TorrentId};
use millstream_core::create::CreateOptions;
use millstream_core::engine::{AddTorrent, Command, Priority, Rates, Selection, Source, TorrentEvent};
use millstream_core::resume;
use millstream_core::wire::magnet::Magnet;
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::{Content, HostId, Weather, World, options};
use std::sync::Arc;

const HOUR: Duration = Duration::from_secs(3600);

/// A torrent of several files, some empty, some tiny.
fn folder(version: Version) -> Content {
    let files = [("a/one", 90_000), ("a/two", 5), ("b", 0), ("c", 140_000)];
    Content::new(3, version, &files, 32 << 10)
}

/// One seed, three leeches that know each other, until all have all.
fn rough_swarm(seed: u64, version: Version) -> World {
    let content = folder(version);
    let mut world = World::new(seed, Weather::rough());
    let hosts: Vec<HostId> = (0..4).map(|_| world.host()).collect();
    world.seed(hosts[0], &content);
    let leeches: Vec<(HostId, TorrentId)> =
        hosts[1..].iter().map(|&host| (host, world.leech(host, &content, &hosts))).collect();
    world.complete(HOUR, &leeches);
    for (host, id) in leeches {
        assert!(world.is_whole(host, &content));
        assert_eq!(world.status(host, id).verified, content.length());
    }
    world
}

/// Leeches that know only the hash, and find each other through a UDP tracker.
fn rough_magnets(seed: u64, version: Version) {
    let mut world = World::new(seed, Weather::rough());
    let tracker = world.tracker(120);
    let url = world.trackers[tracker].udp_url();
    let made = options(version, &[("a", 100_000), ("b", 3), ("c", 120_000)], 16 << 10);
    let content = Content::of(6, CreateOptions { trackers: vec![vec![url.clone()]], ..made });
    let hosts: Vec<HostId> = (0..4).map(|_| world.host()).collect();
    world.seed(hosts[0], &content);
    let magnet = |n: usize| Magnet {
        trackers: vec![url.clone()],
        ..content.magnet(version != Version::V2 && n != 2, version.has_v2() && n != 1)
    };
    let mut leeches = Vec::new();
    for (n, &host) in hosts.iter().enumerate().skip(1) {
        let source = Source::Magnet(Arc::new(magnet(if version == Version::Hybrid { n } else { 3 })));
        leeches.push((host, world.add(host, AddTorrent::new(source, "disk"))));
    }
    world.complete(HOUR, &leeches);
    assert!(hosts.iter().all(|&host| world.is_whole(host, &content)));
}

#[test]
fn magnets_find_each_other_through_a_tracker_in_rough_weather() {
    for (seed, version) in [(1, Version::V1), (2, Version::V2), (3, Version::Hybrid)] {
        rough_magnets(seed, version);
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let digest = |seed| rough_swarm(seed, Version::Hybrid).trace_digest();
    assert_eq!(digest(11), digest(11));
    assert_ne!(digest(11), digest(12));
}

#[test]
fn a_swarm_completes_in_rough_weather() {
    for (seed, version) in [(1, Version::V1), (2, Version::V2), (3, Version::Hybrid), (4, Version::V1)] {
        rough_swarm(seed, version);
    }
}

/// A leech is stopped a hundred times in mid-download; at each start it takes what it saved.
fn crashes(power: bool) {
    let content = Content::v1(5, 600_000);
    for seed in 0..4 {
        let weather = Weather { uplink: Some(100_000), ..Weather::rough() };
        let mut world = World::new(seed, weather);
        let (seeder, leech) = (world.host(), world.host());
        world.seed(seeder, &content);
        let mut verified = Bits::new(0);
        for n in 0..25 {
            let add = AddTorrent {
                peers: vec![world.addr(seeder)],
                resume: world.at(leech).saved(&content.source()),
                ..AddTorrent::new(content.source(), "disk")
            };
            let id = world.add(leech, add);
            let checked =
                |world: &World| world.status(leech, id).state != millstream_core::engine::State::Checking;
            assert!(world.until(HOUR, checked));
            let has = world.at(leech).engine.verified(id).unwrap();
            let kept = |piece: u32| has.get(piece);
            assert!(claimed(&world, leech, &content).into_iter().all(kept), "what is claimed is there");
            assert!(power || verified.iter().all(kept), "what was verified and written stays");
            world.run(Duration::from_millis(150 + 100 * (n % 7)));
            if n % 3 == 0 {
                world.command(leech, Command::Save(id)).unwrap();
                world.run(Duration::from_millis(200));
            }
            verified = world.at(leech).engine.verified(id).unwrap();
            world.crash(leech, power);
        }
        let id = world.leech(leech, &content, &[seeder]);
        world.complete(HOUR, &[(leech, id)]);
        assert!(world.is_whole(leech, &content));
        if !power {
            let fetched = |news: &TorrentEvent| {
                if let TorrentEvent::Verified(piece) = news { Some(*piece) } else { None }
            };
            let mut pieces = world.news(leech, fetched);
            let count = pieces.len();
            pieces.sort_unstable();
            pieces.dedup();
            assert_eq!(pieces.len(), count, "no verified piece is fetched twice");
        }
    }
}

/// The pieces that saved resume data claims.
fn claimed(world: &World, host: HostId, content: &Content) -> Vec<u32> {
    let saved = world.at(host).saved(&content.source());
    saved.map_or_else(Vec::new, |data| resume::decode(&data).unwrap().verified.iter().collect())
}

#[test]
fn a_program_killed_a_hundred_times_fetches_no_verified_piece_again() {
    crashes(false);
}

#[test]
fn power_cut_a_hundred_times_the_file_is_whole_in_the_end() {
    crashes(true);
}

/// Something happens to a host's torrent.
fn disturb(world: &mut World, hosts: &[HostId], content: &Content, rng: &mut Rng) {
    let host = hosts[1 + rng.below(hosts.len() as u64 - 1) as usize];
    let Some(&id) = world.at(host).engine.torrents().first() else { return };
    let peers: Vec<_> = hosts.iter().map(|&host| world.addr(host)).collect();
    let command = match rng.below(13) {
        0 => Command::Pause(id),
        1 | 2 => Command::Resume(id),
        3 => Command::Recheck(id),
        4 => Command::Peers(id, peers),
        5 => Command::Select(id, Selection::Files(vec![rng.below(4) as u32])),
        6 => Command::Select(id, Selection::All),
        7 => Command::Rates(Rates { download: Some(50_000), upload: Some(20_000) }),
        8 => Command::Save(id),
        9 => {
            let start = rng.below(content.length());
            Command::Deadline { torrent: id, start, length: 1, by: world.now + Duration::from_secs(3) }
        }
        10 => {
            let levels = [Priority::Low, Priority::Normal, Priority::High];
            let level = |rng: &mut Rng| levels[rng.below(3) as usize];
            Command::Priorities(id, [(0, level(rng)), (3, level(rng))].into())
        }
        11 => {
            world.cut(hosts[0], host);
            return;
        }
        _ => {
            world.crash(host, rng.chance(1, 2));
            let resume = world.at(host).saved(&content.source());
            world.add(host, AddTorrent { resume, peers, ..AddTorrent::new(content.source(), "disk") });
            return;
        }
    };
    world.command(host, command).unwrap();
}

fn disturbed(seed: u64, version: Version) {
    let files = [("a/one", 300_000), ("a/two", 5), ("b", 0), ("c", 400_000)];
    let content = Content::new(4, version, &files, 32 << 10);
    let mut world =
        World::new(seed, Weather { faults_per_mille: 10, uplink: Some(40_000), ..Weather::rough() });
    let mut rng = Rng::new([seed as u8; 32]);
    let hosts: Vec<HostId> = (0..3).map(|_| world.host()).collect();
    world.seed(hosts[0], &content);
    for &host in &hosts[1..] {
        world.leech(host, &content, &hosts);
    }
    for _ in 0..30 {
        let pause = rng.below(1_500);
        world.run(Duration::from_millis(pause));
        disturb(&mut world, &hosts, &content, &mut rng);
    }
    world.weather = Weather::fair(1_000_000);
    let peers: Vec<_> = hosts.iter().map(|&host| world.addr(host)).collect();
    let mut all = Vec::new();
    for &host in &hosts {
        let id = world.at(host).engine.torrents()[0];
        all.push((host, id));
        let after = [
            Command::Select(id, Selection::All),
            Command::Rates(Rates::default()),
            Command::Resume(id),
            Command::Peers(id, peers.clone()),
        ];
        // While the metadata or the files are looked at, a selection is kept for later.
        for command in after {
            world.command(host, command).unwrap();
        }
    }
    world.complete(HOUR, &all);
    assert!(hosts.iter().all(|&host| world.is_whole(host, &content)));
}

#[test]
fn whatever_happened_to_a_swarm_it_completes_when_left_alone() {
    for (seed, version) in [(1, Version::V1), (2, Version::V2), (3, Version::Hybrid), (4, Version::V2)] {
        disturbed(seed, version);
    }
}
