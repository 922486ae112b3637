//! Peers that are learned of from peers (BEP 11) and from neighbours (BEP 14), and torrents that may not be (BEP 27).

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::create::CreateOptions;
use millstream_core::engine::{AddTorrent, Command, Config, LsdConfig, PeerSource, PexConfig, Source};
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::message::Message;
use millstream_core::wire::metainfo::Version;
use millstream_core::wire::pex::{PexFlags, PexMessage, PexPeer};
use millstream_tests::world::stranger::{all_features, parse};
use millstream_tests::world::{Content, HostId, Stranger, Weather, World, options};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn content(seed: u8, private: bool) -> Content {
    let made = options(Version::V1, &[("data", 200_000)], 32 << 10);
    Content::of(seed, CreateOptions { private, ..made })
}

/// A seed, a leech that knows it, and another that knows the first leech alone. Each leech is slow enough to be there
/// when others are told of it.
fn chain(
    world: &mut World,
    content: &Content,
    config: &Config,
) -> [(HostId, millstream_core::base::TorrentId); 2] {
    let hosts: Vec<HostId> = (0..3).map(|_| world.host_with(config.clone())).collect();
    world.seed(hosts[0], content);
    let slow = millstream_core::engine::Rates { download: Some(5_000), upload: None };
    let mut leech = |host: HostId, peer: HostId| {
        let peers = vec![world.addr(peer)];
        world.add(host, AddTorrent { peers, rates: slow, ..AddTorrent::new(content.source(), "disk") })
    };
    let first = leech(hosts[1], hosts[0]);
    let second = leech(hosts[2], hosts[1]);
    [(hosts[1], first), (hosts[2], second)]
}

#[test]
fn bep_0011_a_peer_tells_of_its_other_peers_and_they_are_called() {
    let mut world = World::new(501, Weather::calm());
    let content = content(101, false);
    let [_, (host, id)] = chain(&mut world, &content, &Config { dht: false, ..Config::default() });
    let seed = world.addr(HostId(0));
    let told = |world: &World| {
        let peers = world.at(host).engine.peers(world.now, id);
        peers.iter().any(|peer| {
            peer.addr.ip() == seed.ip()
                && peer.sources.has(PeerSource::Pex)
                && !peer.sources.has(PeerSource::User)
        })
    };
    assert!(world.until(10 * SECOND, told), "it was told of the seed, and is connected to it");
    world.complete(5 * MINUTE, &[(host, id)]);
}

#[test]
fn bep_0011_switched_off_nothing_is_told_and_nothing_believed() {
    let mut world = World::new(502, Weather::calm());
    let content = content(102, false);
    // Nor by the DHT, whose nodes peers tell each other too.
    let config = Config { pex: false, dht: false, ..Config::default() };
    let [_, (host, id)] = chain(&mut world, &content, &config);
    world.complete(10 * MINUTE, &[(host, id)]);
    assert!(!world.at(host).dialed.contains(&world.addr(HostId(0))));
}

#[test]
fn bep_0027_a_private_torrent_exchanges_no_peers() {
    let mut world = World::new(503, Weather::calm());
    let content = content(103, true);
    let [_, (host, id)] = chain(&mut world, &content, &Config::default());
    world.complete(10 * MINUTE, &[(host, id)]);
    assert!(!world.at(host).dialed.contains(&world.addr(HostId(0))));
}

/// A stranger that speaks `ut_pex` under the number 9, and our handshake to it.
fn speaker(world: &mut World, host: HostId, content: &Content, port: u16) -> Stranger {
    let from = world.stranger_addr();
    let hash = content.info().info_hash().unwrap();
    let mut stranger = world.call(from, host, hash, all_features());
    let m = vec![(Extension::UtPex, 9)];
    stranger.say_extensions(world, &ExtensionHandshake { m, p: Some(port), ..ExtensionHandshake::default() });
    stranger
}

fn pex_messages(frames: &[Vec<u8>]) -> Vec<PexMessage> {
    let read = |frame: &Vec<u8>| {
        let Message::Extended { id: 9, payload } = parse(frame) else { return None };
        Some(PexMessage::parse(payload, 1000).expect("our engine speaks well"))
    };
    frames.iter().filter_map(read).collect()
}

fn tell(stranger: &mut Stranger, world: &mut World, peers: impl IntoIterator<Item = SocketAddr>) {
    let added = peers.into_iter().map(|addr| PexPeer { addr, flags: PexFlags::default() }).collect();
    let payload = PexMessage { added, ..PexMessage::default() }.encode();
    stranger.say(world, Message::Extended { id: Extension::UtPex.our_id(), payload: &payload });
}

#[test]
fn bep_0011_a_peer_is_told_where_others_listen_and_when_they_are_gone_once_a_minute() {
    let mut world = World::new(504, Weather::calm());
    let content = content(104, false);
    let host = world.host();
    world.leech(host, &content, &[]);
    let mut first = speaker(&mut world, host, &content, 7001);
    let second = speaker(&mut world, host, &content, 7002);
    let mut third = speaker(&mut world, host, &content, 7003);
    let told = pex_messages(&first.listen(&mut world, 10 * SECOND));
    let ports: Vec<u16> = told[0].added.iter().map(|peer| peer.addr.port()).collect();
    assert_eq!((told.len(), ports), (1, vec![7002, 7003]), "where they listen, not where they call from");
    assert!(told[0].added.iter().all(|peer| !peer.flags.has(PexFlags::REACHABLE)), "we didn't call them");
    second.hang_up(&mut world);
    assert_eq!(pex_messages(&first.listen(&mut world, 45 * SECOND)), [], "no second message within a minute");
    let told = pex_messages(&first.listen(&mut world, 20 * SECOND));
    let dropped: Vec<u16> = told[0].dropped.iter().map(SocketAddr::port).collect();
    assert_eq!((told.len(), dropped), (1, vec![7002]));
    assert!(!pex_messages(&third.listen(&mut world, SECOND)).is_empty());
}

#[test]
fn pitfall_15_a_peer_that_floods_with_addresses_fills_no_more_than_its_share() {
    let mut world = World::new(505, Weather::calm());
    let content = content(105, false);
    let host = world.host();
    let id = world.leech(host, &content, &[]);
    let mut liar = speaker(&mut world, host, &content, 7001);
    let nobody = |n: u32| SocketAddr::from(([11, (n >> 8) as u8, n as u8, 1], 1));
    for round in 0..50u32 {
        tell(&mut liar, &mut world, (0..400).map(|n| nobody(round * 400 + n)));
    }
    let known = world.status(host, id).known;
    assert!((100..=260).contains(&known), "{known} addresses were believed");
    tell(
        &mut liar,
        &mut world,
        [SocketAddr::from(([127, 0, 0, 1], 22)), SocketAddr::from(([192, 168, 0, 1], 80))],
    );
    world.run(MINUTE);
    let dialed = &world.at(host).dialed;
    assert!(dialed.iter().all(|addr| !addr.ip().is_loopback()), "nobody is sent to our own services");
}

#[test]
fn bep_0011_how_much_is_told_and_believed_and_how_often_is_the_hosts_to_say() {
    let mut world = World::new(511, Weather::calm());
    let content = content(110, false);
    let pex_config =
        PexConfig { share_max: 20, interval_ms: 20_000, first_peers_max: 1, ..PexConfig::default() };
    let host = world.host_with(Config { pex_config, ..Config::default() });
    let id = world.leech(host, &content, &[]);
    let mut liar = speaker(&mut world, host, &content, 7001);
    let others: Vec<Stranger> = (7002..7005).map(|port| speaker(&mut world, host, &content, port)).collect();
    let nobody = (0..100u8).map(|n| SocketAddr::from(([11, 1, n, 1], 1)));
    tell(&mut liar, &mut world, nobody);
    let told = pex_messages(&liar.listen(&mut world, 50 * SECOND));
    assert!(told.len() >= 2, "{told:?}");
    assert_eq!(told[0].added.len(), 1);
    let known = world.status(host, id).known;
    let callers = 1 + others.len() as u32;
    assert!((callers + 20..=callers + 30).contains(&known), "{known} addresses are known");
}

#[test]
fn bep_0027_a_magnet_that_turns_out_to_be_private_forgets_whom_it_has_from_peers() {
    let mut world = World::new(506, Weather::calm());
    let content = content(106, true);
    let (seed, host) = (world.host(), world.host());
    world.seed(seed, &content);
    let magnet = Source::Magnet(Arc::new(content.magnet(true, false)));
    let id = world.add(host, AddTorrent::new(magnet, "disk"));
    let mut gossip = speaker(&mut world, host, &content, 7001);
    let silent = world.stranger_addr();
    tell(&mut gossip, &mut world, [silent]);
    world.run(2 * SECOND);
    assert_eq!(world.status(host, id).known, 2, "before the metadata is known nothing forbids it");
    let addr = world.addr(seed);
    world.command(host, Command::Peers(id, vec![addr])).unwrap();
    world.complete(MINUTE, &[(host, id)]);
    let peers = world.at(host).engine.peers(world.now, id);
    assert!(peers.iter().all(|peer| !peer.sources.has(PeerSource::Pex)), "{peers:?}");
    assert_eq!(world.status(host, id).known, 2, "who came by itself and who was given");
    tell(&mut gossip, &mut world, [addr, silent]);
    assert_eq!(world.status(host, id).known, 2, "and nothing more is believed");
}

#[test]
fn bep_0014_neighbours_find_each_other_under_either_hash() {
    let mut world = World::new(507, Weather::calm());
    let content = Content::new(107, Version::Hybrid, &[("data", 200_000)], 32 << 10);
    let seed = world.neighbour(Config::default());
    world.seed(seed, &content);
    let leech = world.neighbour(Config::default());
    let magnet = Source::Magnet(Arc::new(content.magnet(false, true)));
    let id = world.add(leech, AddTorrent::new(magnet, "disk"));
    world.complete(5 * MINUTE, &[(leech, id)]);
    assert!(world.is_whole(leech, &content));
}

#[test]
fn bep_0014_switched_off_private_or_with_its_own_peers_only_nothing_is_announced() {
    let mut world = World::new(508, Weather::calm());
    let (public, private) = (content(108, false), content(109, true));
    let config = || Config { pex: false, ..Config::default() };
    let seed = world.neighbour(config());
    world.seed(seed, &public);
    world.seed(seed, &private);
    let off = world.neighbour(Config { lsd: false, ..config() });
    let on = world.neighbour(config());
    let apart = AddTorrent { only_peers: true, ..AddTorrent::new(public.source(), "disk") };
    world.add(off, AddTorrent::new(public.source(), "disk"));
    world.add(on, apart);
    world.add(on, AddTorrent::new(private.source(), "disk"));
    world.run(10 * MINUTE);
    for host in [seed, off, on] {
        assert!(world.at(host).dialed.is_empty(), "{:?}", world.at(host).dialed);
    }
}

#[test]
fn bep_0014_a_restless_neighbour_is_announced_once_a_minute_at_most() {
    let mut world = World::new(510, Weather::calm());
    let host = world.neighbour(Config::default());
    for seed in 0..30 {
        world.add(host, AddTorrent::new(content(seed, false).source(), "disk"));
        world.run(10 * SECOND);
    }
    world.run(5 * MINUTE);
    let heard = &world.at(host).multicasts;
    assert!(heard.len() >= 6, "{heard:?}");
    assert!(heard.windows(2).all(|pair| pair[1].saturating_since(pair[0]) >= MINUTE), "{heard:?}");
}

#[test]
fn bep_0014_the_pace_of_announces_is_the_hosts_to_say() {
    let mut world = World::new(512, Weather::calm());
    let lsd_config = LsdConfig { interval_ms: 20_000, pace_ms: 5_000, ..LsdConfig::default() };
    let host = world.neighbour(Config { lsd_config, ..Config::default() });
    world.add(host, AddTorrent::new(content(111, false).source(), "disk"));
    world.run(2 * MINUTE);
    let heard = world.at(host).multicasts.len();
    assert!((6..=7).contains(&heard), "{heard} announces in two minutes");
}
