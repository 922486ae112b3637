//! Two peers behind routers, brought together by a third (BEP 55): who asks, who is in the middle, who is sought.

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::create::CreateOptions;
use millstream_core::engine::{AddTorrent, Command, Config, Rates};
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::holepunch::{HolepunchMessage, HolepunchRefusal};
use millstream_core::wire::message::Message;
use millstream_core::wire::metainfo::Version;
use millstream_core::wire::pex::{PexFlags, PexMessage, PexPeer};
use millstream_tests::world::stranger::{all_features, parse};
use millstream_tests::world::{Content, HostId, Stranger, Weather, World, options};

const SECOND: Duration = Duration::from_secs(1);

/// The numbers that our strangers give the two extensions.
const PEX: u8 = 9;
const PUNCH: u8 = 8;

fn content(seed: u8, private: bool) -> Content {
    let made = options(Version::V1, &[("data", 200_000)], 32 << 10);
    Content::of(seed, CreateOptions { private, ..made })
}

/// A stranger that calls, and says where it listens and whether it speaks holepunch. With it its listening address.
fn caller(world: &mut World, host: HostId, content: &Content, speaks: bool) -> (Stranger, SocketAddr) {
    let from = world.stranger_addr();
    let mut stranger = world.call(from, host, content.info().info_hash().unwrap(), all_features());
    let mut m = vec![(Extension::UtPex, PEX)];
    m.extend(speaks.then_some((Extension::UtHolepunch, PUNCH)));
    stranger.say_extensions(world, &ExtensionHandshake { m, p: Some(7001), ..ExtensionHandshake::default() });
    (stranger, SocketAddr::new(from.ip(), 7001))
}

fn say(stranger: &mut Stranger, world: &mut World, message: HolepunchMessage) {
    let id = Extension::UtHolepunch.our_id();
    stranger.say(world, Message::Extended { id, payload: &message.encode() });
}

fn heard(stranger: &mut Stranger, world: &mut World) -> Vec<HolepunchMessage> {
    let read = |frame: &Vec<u8>| {
        let Message::Extended { id: PUNCH, payload } = parse(frame) else { return None };
        Some(HolepunchMessage::parse(payload).expect("our engine speaks well"))
    };
    stranger.listen(world, SECOND).iter().filter_map(read).collect()
}

#[test]
fn bep_0055_who_is_in_the_middle_tells_both_of_each_other_or_says_why_not() {
    let mut world = World::new(551, Weather::calm());
    let content = content(1, false);
    let host = world.host();
    world.leech(host, &content, &[]);
    let (mut asker, asker_home) = caller(&mut world, host, &content, true);
    let (mut target, target_home) = caller(&mut world, host, &content, true);
    let (_mute, mute_home) = caller(&mut world, host, &content, false);
    say(&mut asker, &mut world, HolepunchMessage::Rendezvous(target_home));
    assert_eq!(heard(&mut asker, &mut world), [HolepunchMessage::Connect(target_home)]);
    assert_eq!(heard(&mut target, &mut world), [HolepunchMessage::Connect(asker_home)]);
    let stranger = SocketAddr::from(([9, 9, 9, 9], 9));
    for (sought, why) in [
        (mute_home, HolepunchRefusal::NoSupport),
        (stranger, HolepunchRefusal::NotConnected),
        (world.addr(host), HolepunchRefusal::NoSelf),
        (asker_home, HolepunchRefusal::NoSuchPeer),
    ] {
        say(&mut asker, &mut world, HolepunchMessage::Rendezvous(sought));
        assert_eq!(heard(&mut asker, &mut world), [HolepunchMessage::Failed(sought, why)]);
    }
    assert_eq!(heard(&mut target, &mut world), []);
}

#[test]
fn bep_0055_who_does_not_speak_it_or_asks_too_often_is_ignored_silently() {
    let mut world = World::new(552, Weather::calm());
    let content = content(2, false);
    let host = world.host();
    world.leech(host, &content, &[]);
    let (mut target, target_home) = caller(&mut world, host, &content, true);
    let (mut mute, _) = caller(&mut world, host, &content, false);
    say(&mut mute, &mut world, HolepunchMessage::Rendezvous(target_home));
    assert_eq!((heard(&mut mute, &mut world), heard(&mut target, &mut world)), (vec![], vec![]));
    let (mut flood, _) = caller(&mut world, host, &content, true);
    for _ in 0..100 {
        say(&mut flood, &mut world, HolepunchMessage::Rendezvous(target_home));
    }
    assert_eq!(heard(&mut target, &mut world).len(), 10, "so many in a minute, and no more");
}

#[test]
fn bep_0055_who_can_not_be_called_is_asked_for_at_a_peer_that_knows_it_once() {
    let mut world = World::new(553, Weather::calm());
    let content = content(3, false);
    let host = world.host();
    world.leech(host, &content, &[]);
    let (mut relay, _) = caller(&mut world, host, &content, true);
    let hidden = SocketAddr::from(([9, 9, 9, 9], 9));
    let added = vec![PexPeer { addr: hidden, flags: PexFlags::HOLEPUNCH }];
    let payload = PexMessage { added, ..PexMessage::default() }.encode();
    relay.say(&mut world, Message::Extended { id: Extension::UtPex.our_id(), payload: &payload });
    world.run(30 * SECOND); // until it is called in vain, over either carrier
    assert_eq!(heard(&mut relay, &mut world), [HolepunchMessage::Rendezvous(hidden)]);
    world.run(120 * SECOND);
    assert_eq!(heard(&mut relay, &mut world), [], "it isn't asked again and again");
}

#[test]
fn bep_0055_two_behind_routers_meet_through_a_third() {
    let mut world = World::new(555, Weather::fair(400_000));
    let content = content(6, false);
    let (seed, leech) = (world.behind_router(Config::default()), world.behind_router(Config::default()));
    let middle = world.host();
    world.seed(seed, &content);
    let crawl = Rates { download: Some(1), upload: Some(1) };
    world.add(middle, AddTorrent { rates: crawl, ..AddTorrent::new(content.source(), "disk") });
    let addr = world.addr(middle);
    let id = TorrentId(1);
    world.command(seed, Command::Peers(id, vec![addr])).unwrap();
    let leeching = world.leech(leech, &content, &[middle]);
    world.complete(300 * SECOND, &[(leech, leeching)]);
    assert!(world.is_whole(leech, &content));
    let router = world.at(leech).router.as_ref().unwrap();
    assert!(world.at(seed).router.as_ref().unwrap().refused > 0, "alone it got nowhere: {router:?}");
}

#[test]
fn bep_0027_a_private_torrent_and_one_without_utp_speak_no_holepunch() {
    let without = Config { utp: millstream_core::engine::UtpUse::Off, ..Config::default() };
    for (seed, private, config) in [(4, true, Config::default()), (5, false, without)] {
        let mut world = World::new(554, Weather::calm());
        let content = content(seed, private);
        let host = world.host_with(config);
        world.leech(host, &content, &[]);
        let (mut asker, _) = caller(&mut world, host, &content, true);
        let (mut target, target_home) = caller(&mut world, host, &content, true);
        let frames = target.listen(&mut world, SECOND);
        assert!(frames.iter().all(|frame| !String::from_utf8_lossy(frame).contains("ut_holepunch")));
        say(&mut asker, &mut world, HolepunchMessage::Rendezvous(target_home));
        assert_eq!((heard(&mut asker, &mut world), heard(&mut target, &mut world)), (vec![], vec![]));
    }
}
