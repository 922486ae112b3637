//! Stories of the DHT: magnets without trackers, PORT messages, private torrents, followed keys, saved tables (BEP 5, 27, 43,
//! 44, 46, 52).

use core::time::Duration;
use millstream_core::create::CreateOptions;
use millstream_core::dht::{Item, SecretKey};
use millstream_core::engine::{
    AddTorrent, Command, CommandError, Config, DhtCommand, DhtConfig, DhtError, DhtNews, Event, Reply, Source,
};
use millstream_core::wire::InfoHash;
use millstream_core::wire::krpc::following_value;
use millstream_core::wire::metainfo::Version;
use millstream_tests::guards::replay;
use millstream_tests::world::{Content, HostId, Weather, World, options};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A world whose hosts are nodes that know each other.
fn nodes(seed: u64, count: usize) -> (World, Vec<HostId>) {
    let mut world = World::new(seed, Weather::calm());
    let hosts = world.dht_hosts(count);
    world.run(MINUTE);
    (world, hosts)
}

fn dht(world: &mut World, host: HostId, command: DhtCommand) -> Result<Reply, CommandError> {
    world.command(host, Command::Dht(Box::new(command)))
}

fn news(world: &World, host: HostId) -> Vec<DhtNews> {
    let of = |event: &Event| if let Event::Dht(news) = event { Some(news.clone()) } else { None };
    world.at(host).events.iter().filter_map(of).collect()
}

fn stored_peers(world: &World, hosts: &[HostId]) -> usize {
    let stored = |&host: &HostId| world.at(host).engine.dht_status(world.now).unwrap().stored_peers;
    hosts.iter().map(stored).sum()
}

fn magnet(content: &Content, v1: bool, v2: bool) -> AddTorrent {
    AddTorrent::new(Source::Magnet(Arc::new(content.magnet(v1, v2))), "disk")
}

#[test]
fn bep_0005_a_magnet_finds_its_swarm_by_the_dht_alone() {
    let (mut world, hosts) = nodes(200, 12);
    let content = Content::v1(200, 300_000);
    world.seed(hosts[3], &content);
    world.run(10 * SECOND);
    assert!(stored_peers(&world, &hosts) >= 8, "the seed is announced");
    let id = world.add(hosts[9], magnet(&content, true, false));
    world.complete(MINUTE, &[(hosts[9], id)]);
    assert!(world.is_whole(hosts[9], &content));
}

#[test]
fn bep_0005_a_magnet_that_comes_before_its_seed_finds_it_later() {
    let (mut world, hosts) = nodes(201, 12);
    let content = Content::v1(201, 100_000);
    let id = world.add(hosts[9], magnet(&content, true, false));
    world.run(2 * MINUTE);
    world.seed(hosts[3], &content);
    world.complete(10 * MINUTE, &[(hosts[9], id)]);
}

#[test]
fn bep_0005_a_torrent_is_announced_again_before_it_is_forgotten() {
    let (mut world, hosts) = nodes(202, 10);
    let content = Content::v1(202, 100_000);
    let id = world.seed(hosts[3], &content);
    world.run(2 * 60 * MINUTE);
    assert!(stored_peers(&world, &hosts) >= 8);
    world.command(hosts[3], Command::Pause(id)).unwrap();
    world.run(40 * MINUTE);
    assert_eq!(stored_peers(&world, &hosts), 0, "and no more once it is paused");
}

#[test]
fn bep_0005_peers_tell_each_other_their_nodes_by_port_messages() {
    let mut world = World::new(203, Weather::calm());
    let dht_node = DhtConfig { bootstrap_nodes: Vec::new(), ..DhtConfig::default() };
    let config = Config { dht: true, dht_node, ..Config::default() };
    let (seed, leech) = (world.host_with(config.clone()), world.host_with(config));
    let content = Content::v1(203, 100_000);
    world.seed(seed, &content);
    let id = world.leech(leech, &content, &[seed]);
    world.complete(MINUTE, &[(leech, id)]);
    world.run(10 * SECOND);
    for host in [seed, leech] {
        let status = world.at(host).engine.dht_status(world.now).unwrap();
        assert_eq!(status.families[0].nodes, 1, "{host:?}");
    }
}

#[test]
fn pitfall_15_bep_0027_a_private_torrent_is_unknown_to_the_dht_and_so_is_one_of_given_peers_alone() {
    let (mut world, hosts) = nodes(204, 10);
    let made = options(Version::V1, &[("data", 100_000)], 32 << 10);
    let private = Content::of(204, CreateOptions { private: true, ..made });
    world.seed(hosts[3], &private);
    let id = world.leech(hosts[5], &private, &[]);
    let open = Content::v1(205, 100_000);
    world.store(hosts[4], &open);
    world.add(hosts[4], AddTorrent { only_peers: true, ..AddTorrent::new(open.source(), "disk") });
    world.run(20 * MINUTE);
    assert_eq!(stored_peers(&world, &hosts), 0);
    assert!(!world.is_complete(hosts[5], id));
    // Nor is a node told of over its links.
    let id = world.leech(hosts[6], &private, &[hosts[3]]);
    world.complete(MINUTE, &[(hosts[6], id)]);
}

#[test]
fn bep_0052_both_hashes_of_a_hybrid_are_announced_to_the_dht() {
    let (mut world, hosts) = nodes(206, 12);
    let content = Content::new(206, Version::Hybrid, &[("data", 100_000)], 32 << 10);
    world.seed(hosts[3], &content);
    world.run(20 * SECOND);
    for (host, v1) in [(hosts[8], true), (hosts[9], false)] {
        let id = world.add(host, magnet(&content, v1, !v1));
        world.complete(MINUTE, &[(host, id)]);
    }
}

#[test]
fn bep_0046_a_followed_key_tells_which_torrent_it_names_and_each_that_follows() {
    let (mut world, hosts) = nodes(207, 12);
    let owner = SecretKey::from_seed(&[7; 32]);
    let publish = |world: &mut World, seq, torrent| {
        let item = owner.sign(b"n", seq, &following_value(InfoHash([torrent; 20]))).unwrap();
        let put = dht(world, hosts[2], DhtCommand::Put { item: Item::Mutable(item), cas: None });
        assert!(matches!(put, Ok(Reply::Lookup(_))), "{put:?}");
    };
    publish(&mut world, 1, 1);
    let follow = DhtCommand::Follow { key: owner.public(), salt: b"n".to_vec() };
    assert_eq!(dht(&mut world, hosts[9], follow), Ok(Reply::Done));
    world.run(MINUTE);
    let told = |world: &World| -> Vec<(i64, u8)> {
        let of =
            |news| if let DhtNews::Followed(it) = news { Some((it.seq, it.info_hash.0[0])) } else { None };
        news(world, hosts[9]).into_iter().filter_map(of).collect()
    };
    assert_eq!(told(&world), [(1, 1)]);
    publish(&mut world, 2, 5);
    world.run(31 * MINUTE);
    assert_eq!(told(&world), [(1, 1), (2, 5)]);
    // Its follower keeps it alive, though its owner says nothing more.
    world.run(5 * 60 * MINUTE);
    let stored = |&host: &HostId| world.at(host).engine.dht_status(world.now).unwrap().stored_items;
    assert!(hosts.iter().map(stored).sum::<usize>() >= 4);
    assert_eq!(told(&world).len(), 2);
}

#[test]
fn a_saved_table_leads_a_new_engine_back_and_a_damaged_one_is_refused() {
    let (mut world, hosts) = nodes(208, 10);
    world.run(5 * MINUTE);
    let by = world.now + MINUTE;
    world.command(hosts[4], Command::Stop { by }).unwrap();
    world.run(SECOND);
    let table = news(&world, hosts[4]).into_iter().rev().find_map(|news| match news {
        DhtNews::Table(table) => Some(table.to_vec()),
        DhtNews::Lookup(_) | DhtNews::Followed(_) => None,
    });
    let table = table.unwrap();
    let dht_node = DhtConfig { bootstrap_nodes: Vec::new(), ..DhtConfig::default() };
    let fresh = world.host_with(Config { dht: true, dht_node, ..Config::default() });
    let mut damaged = table.clone();
    damaged[50] ^= 4;
    let refused = dht(&mut world, fresh, DhtCommand::Restore(damaged));
    assert!(matches!(refused, Err(CommandError::Dht(DhtError::Saved(_)))), "{refused:?}");
    assert_eq!(dht(&mut world, fresh, DhtCommand::Restore(table)), Ok(Reply::Done));
    world.run(30 * SECOND);
    let status = world.at(fresh).engine.dht_status(world.now).unwrap();
    assert!(status.families[0].good >= 8, "{status:?}");
}

#[test]
fn what_an_application_looks_up_comes_as_news_and_the_journal_plays_it_again() {
    let (mut world, hosts) = nodes(209, 10);
    let content = Content::v1(209, 100_000);
    world.seed(hosts[3], &content);
    world.seed(hosts[0], &content);
    world.run(10 * SECOND);
    let hash = content.info().info_hash().unwrap();
    let lookups = [DhtCommand::GetPeers(hash), DhtCommand::Scrape(hash), DhtCommand::Sample(hash.into())];
    for command in lookups {
        assert!(matches!(dht(&mut world, hosts[0], command), Ok(Reply::Lookup(_))));
    }
    world.run(20 * SECOND);
    let told = format!("{:?}", news(&world, hosts[0]));
    assert!(told.contains("Peers { found: 2 }") && told.contains("Scraped { seeds: 2, peers: 0"), "{told}");
    assert!(told.contains("Sampled"), "{told}");
    replay(world.at_mut(hosts[0]).tape.as_ref().unwrap()).unwrap();
}

#[test]
fn with_the_dht_off_its_commands_say_so() {
    let mut world = World::new(210, Weather::calm());
    let host = world.host();
    assert_eq!(
        dht(&mut world, host, DhtCommand::GetPeers(InfoHash([1; 20]))),
        Err(CommandError::Dht(DhtError::Off))
    );
    assert!(world.at(host).engine.dht_status(world.now).is_none());
}
