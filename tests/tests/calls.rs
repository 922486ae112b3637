//! Calls that lead nowhere, or that there is no room or no carrier for: what they may not keep from happening.

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::create::CreateOptions;
use millstream_core::engine::{
    AddTorrent, Command, Config, Encryption, Input, PeerSource, SocketKind, Source, UtpUse,
};
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::holepunch::HolepunchMessage;
use millstream_core::wire::ip_filter::IpFilter;
use millstream_core::wire::message::Message;
use millstream_core::wire::metainfo::Version;
use millstream_core::wire::pex::{PexFlags, PexMessage, PexPeer};
use millstream_tests::world::host::UDP;
use millstream_tests::world::stranger::all_features;
use millstream_tests::world::web::Manners;
use millstream_tests::world::{Content, HostId, Stranger, Weather, World, options};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn add(world: &mut World, host: HostId, content: &Content, peers: Vec<SocketAddr>) -> TorrentId {
    world.add(host, AddTorrent { peers, ..AddTorrent::new(content.source(), "disk") })
}

fn filter(list: &str) -> Command {
    let filter = IpFilter::read(list.as_bytes(), &Default::default()).unwrap().filter;
    Command::IpFilter(Some(Arc::new(filter)))
}

/// A stranger that calls and speaks PEX and holepunch.
fn relay(world: &mut World, host: HostId, content: &Content) -> Stranger {
    let from = world.stranger_addr();
    let mut stranger = world.call(from, host, content.info().info_hash().unwrap(), all_features());
    let m = vec![(Extension::UtPex, 9), (Extension::UtHolepunch, 8)];
    stranger.say_extensions(world, &ExtensionHandshake { m, p: Some(7001), ..ExtensionHandshake::default() });
    stranger
}

fn say_connect(relay: &mut Stranger, world: &mut World, addr: SocketAddr) {
    let payload = HolepunchMessage::Connect(addr).encode();
    relay.say(world, Message::Extended { id: Extension::UtHolepunch.our_id(), payload: &payload });
}

#[test]
fn whoever_never_answers_our_calls_keeps_no_stranger_out() {
    let mut world = World::new(701, Weather::calm());
    let content = Content::v1(1, 100_000);
    let host = world.host_with(Config {
        handshakes_max: 3,
        half_open_max: 1,
        utp: UtpUse::Off,
        ..Config::default()
    });
    let tarpits: Vec<SocketAddr> = (0..9).map(|_| world.stranger_addr()).collect();
    add(&mut world, host, &content, tarpits.clone());
    world.run(SECOND);
    let taken = tarpits.iter().filter(|&&addr| world.answer(addr).is_some()).count();
    assert_eq!(taken, 3, "our own handshakes are bounded too");
    let from = world.stranger_addr();
    let _ = world.call_silently(from, host);
    world.run(30 * SECOND);
    let taken = tarpits.iter().filter(|&&addr| world.answer(addr).is_some()).count();
    assert!(taken >= 3, "and the others have their turn");
}

#[test]
fn web_servers_that_hang_keep_no_peer_from_being_called() {
    let mut world = World::new(702, Weather::calm());
    let content = Content::v1(2, 300_000);
    let (seed, leech) = (world.host(), world.host_with(Config { half_open_max: 2, ..Config::default() }));
    world.seed(seed, &content);
    let id = world.leech(leech, &content, &[]);
    let urls = (0..4).map(|_| {
        let web = world.web(&content.files);
        world.webs[web].manners = Manners { hangs: true, ..Manners::default() };
        world.webs[web].url()
    });
    let urls = urls.collect();
    world.command(leech, Command::WebSeeds(id, urls)).unwrap();
    world.run(SECOND);
    assert!(world.webs.iter().filter(|web| !web.requests.is_empty()).count() >= 2);
    let addr = world.addr(seed);
    world.command(leech, Command::Peers(id, vec![addr])).unwrap();
    world.run(5 * SECOND);
    assert!(world.at(leech).dialed.contains(&addr), "it was called at once");
    world.run(5 * MINUTE);
    assert!(world.is_whole(leech, &content));
    assert_eq!(world.at(leech).engine.pool(world.now).open, 0, "the pool counts no link that is gone");
}

#[test]
fn who_speaks_utp_alone_and_has_no_socket_calls_at_once_when_one_is_bound() {
    let mut world = World::new(703, Weather::calm());
    let content = Content::v1(3, 100_000);
    let only = Config { utp: UtpUse::Only, ..Config::default() };
    let (seed, leech) = (world.host_with(only.clone()), world.host_with(only));
    world.seed(seed, &content);
    let now = world.now;
    world.at_mut(leech).engine.handle_input(now, Input::Unbound { local: UDP });
    let id = world.leech(leech, &content, &[seed]);
    world.run(30 * MINUTE);
    let (now, addr) = (world.now, world.addr(leech));
    let bound = Input::Bound { local: UDP, addr, kind: SocketKind::Udp };
    world.at_mut(leech).engine.handle_input(now, bound);
    world.complete(10 * SECOND, &[(leech, id)]);
}

#[test]
fn a_call_that_a_filter_ends_is_not_made_again_over_the_other_carrier() {
    for flags in [PexFlags::default(), PexFlags::UTP] {
        let mut world = World::new(704, Weather::calm());
        let content = Content::v1(4, 100_000);
        let host = world.host_with(Config { dht: false, ..Config::default() });
        world.leech(host, &content, &[]);
        let mut gossip = relay(&mut world, host, &content);
        let added = vec![PexPeer { addr: world.dead_addr(), flags }];
        let payload = PexMessage { added, ..PexMessage::default() }.encode();
        gossip.say(&mut world, Message::Extended { id: Extension::UtPex.our_id(), payload: &payload });
        world.run(SECOND);
        assert_eq!(world.at(host).engine.link_counts().1, 1, "it is being called");
        world.command(host, filter("65.0.0.0/8")).unwrap();
        assert_eq!(world.at(host).engine.link_counts().1, 0, "{flags:?}");
    }
}

#[test]
fn bep_0055_who_calls_us_while_there_is_no_room_is_called_when_a_call_ends() {
    let mut world = World::new(705, Weather::calm());
    let content = Content::v1(5, 100_000);
    let bounds = Config { half_open_max: 1, connect_timeout: 2 * SECOND, dht: false, ..Config::default() };
    let (seed, leech) = (world.host(), world.host_with(bounds));
    world.seed(seed, &content);
    let dead = world.dead_addr();
    let id = add(&mut world, leech, &content, vec![dead]);
    let mut relay = relay(&mut world, leech, &content);
    assert_eq!(world.at(leech).engine.link_counts().1, 1, "there is no room now");
    let hidden = world.addr(seed);
    say_connect(&mut relay, &mut world, hidden);
    world.complete(10 * SECOND, &[(leech, id)]);
}

#[test]
fn bep_0055_whom_the_filter_forbids_is_not_called_because_somebody_in_the_middle_says_so() {
    let mut world = World::new(706, Weather::calm());
    let content = Content::v1(6, 100_000);
    let (seed, leech) = (world.host(), world.host_with(Config { dht: false, ..Config::default() }));
    world.seed(seed, &content);
    let id = world.leech(leech, &content, &[]);
    let mut relay = relay(&mut world, leech, &content);
    let hidden = world.addr(seed);
    world.command(leech, filter(&format!("{}/32", hidden.ip()))).unwrap();
    say_connect(&mut relay, &mut world, hidden);
    assert_eq!(world.at(leech).engine.link_counts().1, 0, "it isn't called");
    world.run(30 * SECOND);
    assert_eq!(world.status(leech, id).downloaded, 0);
}

#[test]
fn bep_0027_a_call_under_way_when_a_magnet_turns_out_to_be_private_leads_to_no_peer() {
    let mut world = World::new(707, Weather::calm());
    let made = options(Version::V1, &[("data", 200_000)], 32 << 10);
    let content = Content::of(7, CreateOptions { private: true, ..made });
    let plain = Config { encryption: Encryption::Off, ..Config::default() };
    let (seed, host) = (world.host(), world.host_with(plain));
    world.seed(seed, &content);
    let magnet = Source::Magnet(Arc::new(content.magnet(true, false)));
    let id = world.add(host, AddTorrent::new(magnet, "disk"));
    let mut gossip = relay(&mut world, host, &content);
    let told = world.stranger_addr();
    let added = vec![PexPeer { addr: told, flags: PexFlags::default() }];
    let payload = PexMessage { added, ..PexMessage::default() }.encode();
    gossip.say(&mut world, Message::Extended { id: Extension::UtPex.our_id(), payload: &payload });
    world.run(SECOND);
    let mut callee = world.answer(told).expect("nothing forbids it yet");
    let addr = world.addr(seed);
    world.command(host, Command::Peers(id, vec![addr])).unwrap();
    world.run(3 * SECOND);
    assert!(world.at(host).engine.info(id).is_some_and(|info| info.is_private()));
    callee.say_handshake(&mut world, content.info().info_hash().unwrap(), all_features());
    world.run(SECOND);
    assert!(callee.is_closed(&world), "nobody who may tell of peers told of it");
    let peers = world.at(host).engine.peers(world.now, id);
    assert!(peers.iter().all(|peer| peer.addr != told && !peer.sources.has(PeerSource::Pex)), "{peers:?}");
}

/// A host without uTP and encryption, and the address that it calls.
fn caller(seed: u64, content: &Content) -> (World, HostId, SocketAddr) {
    let mut world = World::new(seed, Weather::calm());
    let config = Config { utp: UtpUse::Off, encryption: Encryption::Off, ..Config::default() };
    let host = world.host_with(config);
    let addr = world.stranger_addr();
    add(&mut world, host, content, vec![addr]);
    world.run(SECOND);
    (world, host, addr)
}

/// The host called a peer and it calls the host, each link with a peer id of its own, as libtorrent has it.
fn cross(world: &mut World, host: HostId, (addr, content): (SocketAddr, &Content)) -> [Stranger; 2] {
    let hash = content.info().info_hash().unwrap();
    let mut called = world.answer(addr).expect("the host calls it");
    called.hear(world);
    called.say_handshake(world, hash, all_features());
    let calls = world.call(addr, host, hash, all_features());
    assert!(!called.is_closed(world) && !calls.is_closed(world), "two names: no twins");
    [calls, called]
}

#[test]
fn a_peer_that_closes_both_links_that_crossed_is_called_again_soon_but_not_for_ever() {
    let content = Content::v1(11, 300_000);
    let (mut world, host, addr) = caller(716, &content);
    for link in cross(&mut world, host, (addr, &content)) {
        link.hang_up(&mut world);
    }
    world.run(2 * SECOND);
    assert!(world.is_called(addr));
    for link in cross(&mut world, host, (addr, &content)) {
        link.hang_up(&mut world);
    }
    world.run(5 * SECOND);
    assert!(!world.is_called(addr), "the second time the pause is as long as after any link");
    world.run(20 * SECOND);
    assert!(world.is_called(addr));
}

#[test]
fn a_peer_that_closes_one_of_two_links_that_crossed_is_not_called_while_the_other_is_there() {
    let content = Content::v1(12, 300_000);
    for kept in [0, 1] {
        let (mut world, host, addr) = caller(717, &content);
        let mut links = Vec::from(cross(&mut world, host, (addr, &content)));
        let there = links.remove(kept);
        links.remove(0).hang_up(&mut world);
        world.run(MINUTE);
        assert!(!world.is_called(addr) && !there.is_closed(&world));
        there.hang_up(&mut world);
        world.run(5 * SECOND);
        assert!(!world.is_called(addr), "it lasted: nothing crossed it");
        world.run(20 * SECOND);
        assert!(world.is_called(addr));
    }
}
