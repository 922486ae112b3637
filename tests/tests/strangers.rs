//! Stories of what our engine says to a scripted peer, and how it takes what that peer says: BEP 3, 6, 9, 10, 16, 20, 21,
//! 24, 40 and 54 on the wire.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::book::priority;
use millstream_core::engine::{AddTorrent, Config, Encryption, TorrentEvent};
use millstream_core::wire::InfoHash;
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::handshake::{Feature, Reserved};
use millstream_core::wire::message::{Message, RawBlock, id};
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::stranger::{all_features, parse};
use millstream_tests::world::{Content, HostId, Stranger, Weather, World, options};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn block(index: u32, begin: u32) -> RawBlock {
    RawBlock { index, begin, length: 16 << 10 }
}

fn ids(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.iter().map(|frame| frame[0]).collect()
}

/// The pieces that blocks came of.
fn blocks(frames: &[Vec<u8>]) -> Vec<(u32, u32)> {
    let of = |frame: &Vec<u8>| {
        if let Message::Piece { index, begin, .. } = parse(frame) { Some((index, begin)) } else { None }
    };
    frames.iter().filter_map(of).collect()
}

fn requests(frames: &[Vec<u8>]) -> Vec<RawBlock> {
    let of = |frame: &Vec<u8>| if let Message::Request(block) = parse(frame) { Some(block) } else { None };
    frames.iter().filter_map(of).collect()
}

fn hello(frames: &[Vec<u8>]) -> ExtensionHandshake {
    let of = |frame: &Vec<u8>| {
        let Message::Extended { id: 0, payload } = parse(frame) else { return None };
        Some(ExtensionHandshake::parse(payload).unwrap())
    };
    frames.iter().find_map(of).expect("an extension handshake was said")
}

/// A seed, and a scripted peer that called it.
fn visitor(seed: u64, content: &Content, features: Reserved) -> (World, HostId, TorrentId, Stranger) {
    let mut world = World::new(seed, Weather::calm());
    let host = world.host();
    let torrent = world.seed(host, content);
    let from = world.stranger_addr();
    let hash = content.info().hashes().next().unwrap();
    let stranger = world.call(from, host, hash, features);
    (world, host, torrent, stranger)
}

/// A leech with a scripted peer that called it and has everything.
fn giver(seed: u64, content: &Content, config: Config) -> (World, HostId, TorrentId, Stranger) {
    let mut world = World::new(seed, Weather::calm());
    let host = world.host_with(config);
    let torrent = world.leech(host, content, &[]);
    world.run(SECOND);
    let from = world.stranger_addr();
    let mut stranger = world.call(from, host, content.info().hashes().next().unwrap(), all_features());
    stranger.say(&mut world, Message::HaveAll);
    (world, host, torrent, stranger)
}

/// Answers these requests from the content.
fn give(world: &mut World, stranger: &mut Stranger, content: &Content, asked: &[RawBlock]) {
    for raw in asked {
        let piece = content.info().geometry().piece(raw.index).unwrap();
        let data = content.block(piece, raw.begin, raw.length);
        stranger.say(world, Message::Piece { index: raw.index, begin: raw.begin, data: &data });
    }
}

#[test]
fn bep_0003_a_seed_without_the_fast_extension_says_a_bitfield_and_serves_after_unchoke() {
    let content = Content::v1(20, 100_000);
    let (mut world, _, _, mut stranger) = visitor(20, &content, Reserved::NONE);
    let frames = stranger.hear(&mut world);
    assert_eq!(ids(&frames), [id::BITFIELD]);
    assert_eq!(parse(&frames[0]), Message::Bitfield(&[0b1111_0000]), "spare bits are zero");
    // Choked: what is asked now is not served.
    stranger.say(&mut world, Message::Request(block(0, 0)));
    stranger.say(&mut world, Message::Interested);
    let frames = stranger.listen(&mut world, SECOND);
    assert_eq!(ids(&frames), [id::UNCHOKE]);
    stranger.say(&mut world, Message::Request(block(1, 0)));
    let frames = stranger.listen(&mut world, SECOND);
    assert_eq!(blocks(&frames), [(1, 0)]);
    let Message::Piece { data, .. } = parse(&frames[0]) else { panic!("a block") };
    assert_eq!(data, content.block(content.info().geometry().piece(1).unwrap(), 0, 16 << 10));
}

#[test]
fn bep_0006_have_all_and_allowed_fast_are_said_and_kept_to_while_choking() {
    let content = Content::v1(21, 64 * (32 << 10));
    let (mut world, _, _, mut stranger) = visitor(21, &content, all_features());
    let frames = stranger.listen(&mut world, SECOND);
    assert!(ids(&frames).contains(&id::HAVE_ALL));
    let fast: Vec<u32> = frames
        .iter()
        .filter_map(|frame| if let Message::AllowedFast(piece) = parse(frame) { Some(piece) } else { None })
        .collect();
    assert!(!fast.is_empty() && fast.len() <= 10, "{fast:?}");
    let other = (0..64).find(|piece| !fast.contains(piece)).unwrap();
    // Not interested, so choked: one is served, the other rejected.
    stranger.say(&mut world, Message::Request(block(fast[0], 0)));
    stranger.say(&mut world, Message::Request(block(other, 0)));
    let frames = stranger.listen(&mut world, SECOND);
    assert_eq!(blocks(&frames), [(fast[0], 0)]);
    assert!(frames.iter().any(|frame| parse(frame) == Message::Reject(block(other, 0))));
}

#[test]
fn bep_0006_every_request_gets_a_block_or_a_reject_also_after_cancel() {
    let content = Content::v1(22, 64 * (32 << 10));
    let (mut world, _, _, mut stranger) = visitor(22, &content, all_features());
    stranger.say(&mut world, Message::Interested);
    stranger.listen(&mut world, SECOND);
    for index in 0..20 {
        stranger.say(&mut world, Message::Request(block(index, 0)));
        stranger.say(&mut world, Message::Cancel(block(index, 0)));
    }
    let frames = stranger.listen(&mut world, SECOND);
    let rejected = frames.iter().filter(|frame| matches!(parse(frame), Message::Reject(_))).count();
    assert_eq!(blocks(&frames).len() + rejected, 20);
}

#[test]
fn bep_0006_what_a_peer_rejects_is_asked_again_and_a_leech_says_have_none() {
    let content = Content::v1(23, 100_000);
    let (mut world, host, torrent, mut stranger) = giver(23, &content, Config::default());
    let frames = stranger.listen(&mut world, SECOND);
    assert!(ids(&frames).contains(&id::HAVE_NONE) && ids(&frames).contains(&id::INTERESTED));
    assert_eq!(requests(&frames), [], "choked and nothing is allowed fast");
    stranger.say(&mut world, Message::Unchoke);
    let mut rejected = false;
    let mut asked = Vec::new();
    for _ in 0..200 {
        let frames = stranger.listen(&mut world, SECOND / 10);
        for raw in requests(&frames) {
            if rejected {
                asked.push(raw);
                give(&mut world, &mut stranger, &content, &[raw]);
            } else {
                rejected = true;
                asked.push(raw);
                stranger.say(&mut world, Message::Reject(raw));
            }
        }
        if world.is_complete(host, torrent) {
            break;
        }
    }
    assert!(world.is_whole(host, &content), "{:?}", world.status(host, torrent));
    assert_eq!(asked.iter().filter(|raw| **raw == asked[0]).count(), 2, "once rejected, once served");
}

#[test]
fn pitfall_6_a_choke_with_the_fast_extension_drops_no_request() {
    let content = Content::v1(24, 2_000_000);
    let (mut world, host, torrent, mut stranger) = giver(24, &content, Config::default());
    stranger.say(&mut world, Message::Unchoke);
    let asked = requests(&stranger.listen(&mut world, SECOND));
    assert!(!asked.is_empty());
    stranger.say(&mut world, Message::Choke);
    give(&mut world, &mut stranger, &content, &asked);
    world.run(SECOND);
    assert!(world.status(host, torrent).downloaded >= asked.len() as u64 * 1_000);
    assert_eq!(world.status(host, torrent).wasted, 0);
    assert!(!stranger.is_closed(&world));
}

#[test]
fn bep_0010_our_handshake_names_us_our_port_and_the_metadatas_size() {
    let content = Content::v1(25, 100_000);
    let (mut world, host, _, mut stranger) = visitor(25, &content, all_features());
    let hello = hello(&stranger.hear(&mut world));
    assert!(hello.v.is_some_and(|v| v.starts_with("millstream")));
    assert_eq!(hello.metadata_size, Some(content.info().raw().len() as u64));
    assert!(hello.m.iter().any(|(extension, n)| *extension == Extension::UtMetadata && *n != 0));
    assert!(hello.reqq.is_some());
    let said = stranger.handshake.unwrap();
    assert_eq!(said.peer_id, world.at(host).engine.peer_id());
    assert!(said.peer_id.0.starts_with(b"-MS"), "BEP 20");
}

#[test]
fn bep_0010_who_doesnt_speak_it_hears_nothing_of_it() {
    let content = Content::v1(26, 100_000);
    let (mut world, _, _, mut stranger) = visitor(26, &content, Reserved::NONE.with(Feature::Fast));
    assert!(!ids(&stranger.listen(&mut world, SECOND)).contains(&id::EXTENDED));
}

#[test]
fn bep_0009_metadata_is_served_under_the_number_the_peer_gave() {
    let content = Content::v1(27, 100_000);
    let (mut world, _, _, mut stranger) = visitor(27, &content, all_features());
    stranger.hear(&mut world);
    let m = vec![(Extension::UtMetadata, 77)];
    stranger.say_extensions(&mut world, &ExtensionHandshake { m, ..ExtensionHandshake::default() });
    let our_id = Extension::UtMetadata.our_id();
    stranger.say(&mut world, Message::Extended { id: our_id, payload: b"d8:msg_typei0e5:piecei0ee" });
    stranger.say(&mut world, Message::Extended { id: our_id, payload: b"d8:msg_typei0e5:piecei9ee" });
    let frames = stranger.listen(&mut world, SECOND);
    let answers: Vec<&[u8]> = frames
        .iter()
        .filter_map(|frame| {
            if let Message::Extended { id: 77, payload } = parse(frame) { Some(payload) } else { None }
        })
        .collect();
    assert_eq!(answers.len(), 2);
    assert!(answers[0].ends_with(content.info().raw()), "all of the info dictionary follows");
    assert!(answers[1].starts_with(b"d8:msg_typei2e"), "a piece that isn't there is rejected");
}

#[test]
fn bep_0021_a_partial_seed_that_wants_nothing_more_is_sent_no_interest() {
    let content = Content::v1(28, 100_000);
    let (mut world, host, torrent, mut stranger) = visitor(28, &content, all_features());
    stranger.say_extensions(
        &mut world,
        &ExtensionHandshake { upload_only: Some(true), ..ExtensionHandshake::default() },
    );
    stranger.say(&mut world, Message::HaveAll);
    world.run(SECOND);
    assert!(stranger.is_closed(&world), "two who want nothing keep no link");
    assert_eq!(world.status(host, torrent).peers, 0);
}

#[test]
fn bep_0054_what_a_peer_has_no_more_is_not_asked_of_it() {
    let content = Content::v1(29, 32 << 10);
    let mut world = World::new(29, Weather::calm());
    let host = world.host();
    world.leech(host, &content, &[]);
    world.run(SECOND);
    let from = world.stranger_addr();
    let mut stranger = world.call(from, host, content.info().info_hash().unwrap(), all_features());
    stranger.say(&mut world, Message::HaveAll);
    let hello = hello(&stranger.listen(&mut world, SECOND));
    let number = hello.m.iter().find(|(extension, _)| *extension == Extension::LtDontHave).unwrap().1;
    stranger.say(&mut world, Message::Extended { id: number, payload: &[0, 0, 0, 0] });
    stranger.say(&mut world, Message::Unchoke);
    assert_eq!(requests(&stranger.listen(&mut world, SECOND)), []);
    stranger.say(&mut world, Message::Have(0));
    assert!(!requests(&stranger.listen(&mut world, SECOND)).is_empty());
}

#[test]
fn bep_0016_a_super_seed_shows_one_piece_and_the_next_when_it_has_spread() {
    let content = Content::v1(30, 10 * (32 << 10));
    let mut world = World::new(30, Weather::calm());
    let host = world.host();
    world.store(host, &content);
    let id = world.add(host, AddTorrent { super_seed: true, ..AddTorrent::new(content.source(), "disk") });
    world.complete(MINUTE, &[(host, id)]);
    let hash = content.info().info_hash().unwrap();
    let (one, two) = (world.stranger_addr(), world.stranger_addr());
    let mut one = world.call(one, host, hash, all_features());
    let mut two = world.call(two, host, hash, all_features());
    one.say(&mut world, Message::HaveNone);
    two.say(&mut world, Message::HaveNone);
    let haves = |frames: &[Vec<u8>]| -> Vec<u32> {
        frames
            .iter()
            .filter_map(|f| if let Message::Have(piece) = parse(f) { Some(piece) } else { None })
            .collect()
    };
    let frames = one.listen(&mut world, SECOND);
    assert!(!ids(&frames).contains(&id::HAVE_ALL) && !ids(&frames).contains(&id::BITFIELD));
    let shown = haves(&frames);
    assert_eq!(shown.len(), 1, "{shown:?}");
    let other = haves(&two.listen(&mut world, SECOND));
    assert_ne!(shown, other, "each is shown another");
    one.say(&mut world, Message::Interested);
    assert!(ids(&one.listen(&mut world, SECOND)).contains(&id::UNCHOKE));
    for begin in [0, 16 << 10] {
        one.say(&mut world, Message::Request(block(shown[0], begin)));
    }
    let frames = one.listen(&mut world, SECOND);
    assert_eq!(blocks(&frames).len(), 2);
    one.say(&mut world, Message::Have(shown[0]));
    assert!(haves(&one.listen(&mut world, SECOND)).is_empty(), "nothing new before it has spread");
    two.say(&mut world, Message::Have(shown[0]));
    assert_eq!(haves(&one.listen(&mut world, SECOND)).len(), 1, "it has spread: the next");
}

#[test]
fn a_peer_that_stops_sending_is_snubbed_and_its_blocks_are_asked_of_others() {
    let content = Content::v1(31, 64 << 10);
    let (mut world, host, torrent, mut mute) = giver(31, &content, Config::default());
    mute.say(&mut world, Message::Unchoke);
    assert!(!requests(&mute.listen(&mut world, SECOND)).is_empty());
    let seed = world.host();
    world.seed(seed, &content);
    let peers = vec![world.addr(seed)];
    world.command(host, millstream_core::engine::Command::Peers(torrent, peers)).unwrap();
    world.complete(2 * MINUTE, &[(host, torrent)]);
    assert!(world.is_whole(host, &content));
}

#[test]
fn end_game_asks_twice_and_takes_back_what_came_elsewhere() {
    let content = Content::v1(32, 64 << 10);
    let (mut world, host, torrent, mut slow) = giver(32, &content, Config::default());
    slow.say(&mut world, Message::Unchoke);
    let first = requests(&slow.listen(&mut world, SECOND));
    assert!(!first.is_empty());
    let from = world.stranger_addr();
    let mut quick = world.call(from, host, content.info().info_hash().unwrap(), all_features());
    quick.say(&mut world, Message::HaveAll);
    quick.say(&mut world, Message::Unchoke);
    let mut heard = Vec::new();
    for _ in 0..100 {
        let asked = requests(&quick.listen(&mut world, SECOND / 10));
        give(&mut world, &mut quick, &content, &asked);
        heard.extend(slow.hear(&mut world));
        if world.is_complete(host, torrent) {
            break;
        }
    }
    assert!(world.is_whole(host, &content));
    let cancelled = heard.iter().filter(|frame| matches!(parse(frame), Message::Cancel(_))).count();
    assert!(cancelled > 0, "what came elsewhere is cancelled");
}

#[test]
fn a_peer_that_talks_nonsense_loses_its_link_and_nothing_else_happens() {
    let content = Content::v1(33, 100_000);
    let faults: [&[u8]; 5] = [
        &[0xff, 0xff, 0xff, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0], // a message of 4 GiB
        &[0, 0, 0, 5, 4, 0, 0, 0, 99],                        // HAVE of no piece
        &[0, 0, 0, 2, 5, 0xff],                               // spare bits set
        &[0, 0, 0, 13, 6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], // a request of 16 MiB
        &[0, 0, 0, 4, 4, 0, 0, 0],                            // half a HAVE
    ];
    for (n, fault) in faults.iter().enumerate() {
        let (mut world, host, torrent, mut stranger) = visitor(n as u64, &content, all_features());
        stranger.say_bytes(&mut world, fault);
        world.run(SECOND);
        assert!(stranger.is_closed(&world), "fault {n}");
        assert_eq!(world.at(host).engine.link_counts(), (0, 0), "nothing is left of it");
        assert!(world.is_complete(host, torrent));
    }
}

#[test]
fn a_stranger_that_names_no_torrent_of_ours_or_nothing_at_all_is_let_go() {
    let content = Content::v1(34, 100_000);
    let mut world = World::new(34, Weather::calm());
    let host = world.host_with(Config { encryption: Encryption::Off, ..Config::default() });
    world.seed(host, &content);
    let from = world.stranger_addr();
    let wrong = world.call(from, host, millstream_core::wire::InfoHash([9; 20]), all_features());
    let silent = world.call_silently(from, host);
    let mut noise = world.call_silently(from, host);
    noise.say_bytes(&mut world, b"GET / HTTP/1.1\r\n\r\n");
    world.run(SECOND);
    assert!(wrong.is_closed(&world) && noise.is_closed(&world) && !silent.is_closed(&world));
    world.run(Config::default().handshake_timeout);
    assert!(silent.is_closed(&world));
    assert_eq!(world.at(host).engine.link_counts(), (0, 0));
}

#[test]
fn bep_0040_whom_a_tracker_names_is_called_by_priority_of_address() {
    let mut world = World::new(35, Weather::calm());
    let tracker = world.tracker(1800);
    let host = world.host();
    // The first call shows under which address we are seen.
    let first = world.stranger_addr();
    let one = Content::v1(1, 50_000);
    world.add(host, AddTorrent { peers: vec![first], ..AddTorrent::new(one.source(), "disk") });
    world.run(SECOND);
    let mut made = options(Version::V1, &[("data", 100_000)], 32 << 10);
    made.trackers = vec![vec![world.trackers[tracker].http_url()]];
    let content = Content::of(35, made);
    let peers: Vec<_> = (0..8).map(|_| world.stranger_addr()).collect();
    for &peer in &peers {
        let now = world.now;
        world.trackers[tracker].know(now, content.info().info_hash().unwrap(), peer);
    }
    world.leech(host, &content, &[]);
    world.run(SECOND);
    let called = &world.at(host).dialed[1..];
    assert_eq!(called.len(), 8);
    let ranks: Vec<u32> = called.iter().map(|&peer| priority(world.addr(host), peer)).collect();
    assert!(ranks.is_sorted_by(|a, b| a >= b), "highest first: {ranks:?}");
}

/// A peer of a new address calls, and says how it sees the host.
fn tells(world: &mut World, host: HostId, hash: InfoHash, seen: IpAddr) -> Stranger {
    let from = world.stranger_addr();
    let mut peer = world.call(from, host, hash, all_features());
    peer.say_extensions(world, &ExtensionHandshake { yourip: Some(seen), ..ExtensionHandshake::default() });
    peer
}

#[test]
fn bep_0024_priorities_follow_the_address_that_others_agree_on() {
    let mut world = World::new(83, Weather::calm());
    let host = world.host();
    let one = Content::v1(1, 50_000);
    let two = Content::of(83, options(Version::V1, &[("data", 100_000)], 32 << 10));
    let peers: Vec<_> = (0..8).map(|_| world.stranger_addr()).collect();
    world.seed(host, &one);
    let add = AddTorrent { peers, paused: true, ..AddTorrent::new(two.source(), "disk") };
    let id = world.add(host, add);
    world.run(SECOND);
    // What links show is an address inside: others see another.
    let outside = IpAddr::from([83, 1, 2, 3]);
    for _ in 0..3 {
        tells(&mut world, host, one.info().info_hash().unwrap(), outside);
    }
    assert_eq!(world.at(host).engine.external_addresses(), (Some(outside), None));
    world.command(host, millstream_core::engine::Command::Resume(id)).unwrap();
    world.run(SECOND);
    let called = &world.at(host).dialed;
    assert_eq!(called.len(), 8);
    let seen = SocketAddr::new(outside, world.addr(host).port());
    let ranks: Vec<u32> = called.iter().map(|&peer| priority(seen, peer)).collect();
    assert!(ranks.is_sorted_by(|a, b| a >= b), "highest first, though they were known before: {ranks:?}");
}

#[test]
fn bep_0024_our_address_is_what_a_tracker_and_a_peer_agree_on_and_a_liar_changes_nothing() {
    let mut world = World::new(84, Weather::calm());
    let tracker = world.tracker(1800);
    let mut made = options(Version::V1, &[("data", 100_000)], 32 << 10);
    made.trackers = vec![vec![world.trackers[tracker].http_url()]];
    let content = Content::of(84, made);
    let host = world.host();
    world.seed(host, &content);
    world.run(SECOND);
    assert_eq!(world.at(host).engine.external_addresses(), (None, None), "a tracker alone isn't believed");
    let (hash, ours) = (content.info().info_hash().unwrap(), world.addr(host).ip());
    tells(&mut world, host, hash, ours);
    assert_eq!(world.at(host).engine.external_addresses(), (Some(ours), None));
    let lie = IpAddr::from([83, 6, 6, 6]);
    let mut liar = tells(&mut world, host, hash, lie);
    for _ in 0..5 {
        let again = ExtensionHandshake { yourip: Some(lie), ..ExtensionHandshake::default() };
        liar.say_extensions(&mut world, &again);
    }
    assert_eq!(world.at(host).engine.external_addresses(), (Some(ours), None));
}

#[test]
fn a_link_that_says_nothing_for_long_is_closed_and_keep_alives_are_said() {
    let content = Content::v1(36, 100_000);
    let (mut world, _, _, mut stranger) = visitor(36, &content, all_features());
    stranger.hear(&mut world);
    world.run(5 * MINUTE);
    assert!(stranger.is_closed(&world));
    let banned = world.news(HostId(0), |news| matches!(news, TorrentEvent::Banned { .. }).then_some(()));
    assert!(banned.is_empty(), "silence is no crime");
}

#[test]
fn bep_0006_a_choked_peer_has_its_allowed_pieces_twice_and_then_rejects() {
    let content = Content::v1(39, 64 * (32 << 10));
    let (mut world, _, _, mut stranger) = visitor(39, &content, all_features());
    let frames = stranger.listen(&mut world, SECOND);
    let fast: Vec<u32> = frames
        .iter()
        .filter_map(|frame| if let Message::AllowedFast(piece) = parse(frame) { Some(piece) } else { None })
        .collect();
    // A piece has two blocks, and each may be had twice.
    let budget = fast.len() * 4;
    let mut served = 0;
    let mut rejected = 0;
    for _ in 0..budget + 10 {
        stranger.say(&mut world, Message::Request(block(fast[0], 0)));
        let frames = stranger.listen(&mut world, SECOND / 20);
        served += blocks(&frames).len();
        rejected += frames.iter().filter(|frame| matches!(parse(frame), Message::Reject(_))).count();
    }
    assert_eq!((served, rejected), (budget, 10));
    // Whoever is unchoked may ask as before.
    stranger.say(&mut world, Message::Interested);
    stranger.listen(&mut world, SECOND);
    stranger.say(&mut world, Message::Request(block(fast[0], 0)));
    assert_eq!(blocks(&stranger.listen(&mut world, SECOND)), [(fast[0], 0)]);
}
