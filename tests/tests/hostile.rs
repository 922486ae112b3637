//! Stories of hosts that fail, commands that come at the wrong moment, and peers and trackers that bend the rules.

use core::time::Duration;
use millstream_core::base::{Instant, Rng, TorrentId};
use millstream_core::engine::{AddTorrent, Command, Config, Event, Selection, Source, State};
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::message::{Message, RawBlock};
use millstream_core::wire::metainfo::{Metainfo, Version};
use millstream_tests::world::stranger::{all_features, parse};
use millstream_tests::world::{Content, HostId, Stranger, Weather, World};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);

/// A leech of the content, and a stranger that has all of it and lets it ask.
fn giver(seed: u64, content: &Content, config: Config) -> (World, HostId, TorrentId, Stranger) {
    let mut world = World::new(seed, Weather::calm());
    let host = world.host_with(config);
    let id = world.leech(host, content, &[]);
    world.run(SECOND);
    let stranger = caller(&mut world, host, content);
    (world, host, id, stranger)
}

/// One more stranger that has all.
fn caller(world: &mut World, host: HostId, content: &Content) -> Stranger {
    let addr = world.stranger_addr();
    let hash = content.info().hashes().next().expect("a torrent has a hash");
    let mut stranger = world.call(addr, host, hash, all_features());
    stranger.say(world, Message::HaveAll);
    stranger.say(world, Message::Unchoke);
    stranger
}

fn requests(frames: &[Vec<u8>]) -> Vec<RawBlock> {
    let asked = |frame: &Vec<u8>| if let Message::Request(raw) = parse(frame) { Some(raw) } else { None };
    frames.iter().filter_map(asked).collect()
}

fn give(world: &mut World, stranger: &mut Stranger, content: &Content, asked: &[RawBlock]) {
    for &RawBlock { index, begin, length } in asked {
        let piece = content.info().geometry().piece(index).expect("only what exists is asked for");
        let data = content.block(piece, begin, length);
        stranger.say(world, Message::Piece { index, begin, data: &data });
    }
}

#[test]
fn a_paused_torrent_whose_tracker_never_answers_is_not_due_for_ever() {
    let mut world = World::new(1, Weather::calm());
    let tracker = world.tracker(1800);
    let url = world.trackers[tracker].udp_url();
    let mut options = millstream_tests::world::options(Version::V1, &[("data", 100_000)], 32 << 10);
    options.trackers = vec![vec![url]];
    let content = Content::of(1, options);
    let host = world.host();
    let id = world.seed(host, &content);
    world.run(10 * SECOND);
    world.trackers[tracker].up = false;
    world.command(host, Command::Pause(id)).expect("it is there");
    world.run(3600 * SECOND);
    assert_eq!(world.status(host, id).state, State::Paused);
    let due = world.at(host).engine.poll_timeout();
    assert!(due.is_none_or(|at| at > world.now), "{due:?} at {:?}", world.now);
    world.command(host, Command::Remove(id)).expect("it is there");
    assert!(world.until(120 * SECOND, |world| world.at(host).engine.torrents().is_empty()));
}

#[test]
fn a_link_that_overflows_by_what_we_tell_it_is_closed_though_it_says_nothing_more() {
    let content = Content::new(2, Version::V1, &[("data", 20_000 * 16)], 16);
    let mut world = World::new(2, Weather { window_bytes: 1024, ..Weather::calm() });
    let (seed, host) = (world.host(), world.host());
    world.seed(seed, &content);
    let id = world.leech(host, &content, &[]);
    world.run(SECOND);
    let addr = world.stranger_addr();
    let hash = content.info().hashes().next().expect("a torrent has a hash");
    let deaf = world.call(addr, host, hash, all_features());
    let peers = vec![world.addr(seed)];
    world.command(host, Command::Peers(id, peers)).expect("it is there");
    world.complete(600 * SECOND, &[(host, id)]);
    world.run(2 * SECOND);
    assert!(deaf.is_closed(&world), "20,000 HAVEs wait for one that reads nothing");
}

#[test]
fn a_peer_that_is_asked_because_another_refused_is_snubbed_in_time() {
    let content = Content::v1(3, 64 * (32 << 10));
    let config = Config { store_bytes_max: 64 << 10, ..Config::default() };
    let (mut world, host, _, mut first) = giver(3, &content, config);
    let asked = requests(&first.listen(&mut world, SECOND));
    let mut second = caller(&mut world, host, &content);
    assert_eq!(requests(&second.listen(&mut world, SECOND)), [], "memory has no room for more");
    first.say(&mut world, Message::Choke);
    for &raw in &asked {
        first.say(&mut world, Message::Reject(raw));
    }
    assert_eq!(requests(&second.hear(&mut world)).len(), asked.len());
    let cancels = second.listen(&mut world, 35 * SECOND);
    assert!(cancels.iter().any(|frame| matches!(parse(frame), Message::Cancel(_))), "30 s are enough");
}

#[test]
fn bep_0047_a_v1_peer_may_ask_for_the_pad_of_a_hybrid_and_gets_zeros() {
    let ask = |version| {
        let content = Content::new(6, version, &[("a", 40_000), ("b", 40_000)], 64 << 10);
        let mut world = World::new(6, Weather::calm());
        let seed = world.host();
        world.seed(seed, &content);
        let addr = world.stranger_addr();
        let hash = content.info().hashes().next().expect("a torrent has a hash");
        let mut leech = world.call(addr, seed, hash, all_features());
        leech.say(&mut world, Message::HaveNone);
        leech.say(&mut world, Message::Interested);
        leech.listen(&mut world, SECOND);
        let mut blocks = Vec::new();
        for n in 2..4 {
            let raw = RawBlock { index: 0, begin: n * (16 << 10), length: 16 << 10 };
            leech.say(&mut world, Message::Request(raw));
            let heard = leech.listen(&mut world, SECOND);
            blocks.extend(heard.iter().find_map(|frame| {
                if let Message::Piece { data, .. } = parse(frame) { Some(data.to_vec()) } else { None }
            }));
        }
        (content, blocks, leech.is_closed(&world))
    };
    let (content, blocks, closed) = ask(Version::Hybrid);
    let piece = content.info().geometry().piece(0).expect("there is one");
    let mut half = content.block(piece, 2 << 14, 40_000 - (2 << 14));
    half.resize(1 << 14, 0);
    assert_eq!((blocks, closed), (vec![half, vec![0; 1 << 14]], false));
    let (_, blocks, closed) = ask(Version::V2);
    assert!(blocks.is_empty() && closed, "v2 has no pad to ask for");
}

#[test]
fn a_recheck_with_a_digest_outstanding_does_not_take_what_is_not_stored() {
    let content = Content::new(4, Version::V2, &[("data", 4 * (32 << 10))], 32 << 10);
    let magnet = content.magnet(false, true);
    for steps in 0..40 {
        let weather = Weather { job_us: (200_000, 200_000), ..Weather::calm() };
        let mut world = World::new(4, weather);
        let (seed, host) = (world.host(), world.host());
        world.seed(seed, &content);
        let source = Source::Magnet(Arc::new(magnet.clone()));
        let peers = vec![world.addr(seed)];
        let id = world.add(host, AddTorrent { peers, ..AddTorrent::new(source, "disk") });
        world.run(Duration::from_millis(50 * steps));
        let _ = world.command(host, Command::Recheck(id));
        world.complete(600 * SECOND, &[(host, id)]);
        world.run(5 * SECOND);
        assert!(world.is_whole(host, &content), "recheck after {steps} steps");
    }
}

#[test]
fn what_is_under_way_when_a_torrent_leaves_is_saved_too() {
    let content = Content::v1(5, 40 * (32 << 10));
    for steps in 0..20 {
        let weather = Weather { job_us: (100_000, 100_000), ..Weather::fair(1_000_000) };
        let mut world = World::new(5, weather);
        let (seed, host) = (world.host(), world.host());
        world.seed(seed, &content);
        let id = world.leech(host, &content, &[seed]);
        world.run(SECOND + Duration::from_millis(37 * steps));
        world.command(host, Command::Remove(id)).expect("it is there");
        assert!(world.until(120 * SECOND, |world| world.at(host).engine.torrents().is_empty()));
        let written = world.at(host).bytes_written / (32 << 10);
        let resume = world.at(host).saved(&content.source());
        let add = AddTorrent { resume, ..AddTorrent::new(content.source(), "disk") };
        let id = world.add(host, add);
        world.run(Duration::from_millis(150));
        let verified = world.status(host, id).pieces_verified;
        assert_eq!(u64::from(verified), written, "all that was written is claimed, and needs no new look");
    }
}

#[test]
fn bep_0054_stored_data_that_went_missing_is_taken_back_and_fetched_again() {
    let content = Content::v1(7, 8 * (32 << 10));
    let mut world = World::new(7, Weather::calm());
    let host = world.host();
    let id = world.seed(host, &content);
    let addr = world.stranger_addr();
    let hash = content.info().hashes().next().expect("a torrent has a hash");
    let mut stranger = world.call(addr, host, hash, all_features());
    let m = vec![(Extension::LtDontHave, 9), (Extension::UploadOnly, 8)];
    stranger.say_extensions(&mut world, &ExtensionHandshake { m, ..ExtensionHandshake::default() });
    stranger.say(&mut world, Message::HaveNone);
    stranger.say(&mut world, Message::Interested);
    stranger.listen(&mut world, SECOND);
    world.at_mut(host).disk.remove("disk/data");
    stranger.say(&mut world, Message::Request(RawBlock { index: 3, begin: 0, length: 16 << 10 }));
    let heard = stranger.listen(&mut world, SECOND);
    let says =
        |id: u8, payload: &[u8]| heard.iter().any(|frame| parse(frame) == Message::Extended { id, payload });
    assert!(says(9, &3u32.to_be_bytes()), "{heard:?}");
    assert!(says(8, &[0]), "it wants something again (BEP 21)");
    assert!(heard.iter().any(|frame| matches!(parse(frame), Message::Reject(_))));
    assert_eq!(world.status(host, id).pieces_verified, 7);
    // A peer that has it brings it back.
    let mut giver = caller(&mut world, host, &content);
    let asked = requests(&giver.listen(&mut world, SECOND));
    give(&mut world, &mut giver, &content, &asked);
    assert!(world.until(10 * SECOND, |world| world.is_complete(host, id)));
}

#[test]
fn a_torrent_that_is_told_its_own_address_calls_itself_once() {
    let content = Content::v1(8, 100_000);
    let mut world = World::new(8, Weather::calm());
    let host = world.host();
    let own = world.addr(host);
    let id = world.add(host, AddTorrent { peers: vec![own], ..AddTorrent::new(content.source(), "disk") });
    world.run(3600 * SECOND);
    assert_eq!((world.status(host, id).peers, world.at(host).engine.link_counts()), (0, (0, 0)));
    assert_eq!(world.at(host).dialed, [own]);
}

#[test]
fn two_that_call_each_other_at_one_moment_keep_one_link() {
    let content = Content::v1(9, 3_000_000);
    for seed in 0..6 {
        let weather = Weather::fair(200_000).with_latency(Duration::from_millis(40));
        let mut world = World::new(seed, weather);
        let (a, b) = (world.host(), world.host());
        world.store(a, &content);
        let ids = [world.leech(a, &content, &[b]), world.leech(b, &content, &[a])];
        world.run(3 * SECOND);
        let peers = [(a, ids[0]), (b, ids[1])].map(|(host, id)| world.status(host, id).peers);
        assert_eq!(peers, [1, 1], "seed {seed}");
    }
}

#[test]
fn a_peer_that_refuses_everything_is_not_asked_for_ever() {
    let content = Content::v1(10, 8 * (32 << 10));
    let (mut world, _, _, mut stranger) = giver(10, &content, Config::default());
    let mut refused = 0;
    for _ in 0..2_000 {
        let asked = requests(&stranger.hear(&mut world));
        if asked.is_empty() {
            break;
        }
        for raw in asked {
            refused += 1;
            stranger.say(&mut world, Message::Reject(raw));
        }
    }
    assert!((100..1_000).contains(&refused), "{refused}");
    stranger.say(&mut world, Message::Choke);
    stranger.say(&mut world, Message::Unchoke);
    assert!(!requests(&stranger.listen(&mut world, SECOND)).is_empty(), "a new chance");
}

#[test]
fn what_is_unselected_in_mid_piece_gives_its_requests_and_memory_back() {
    let content = Content::new(11, Version::V1, &[("a", 64 << 10), ("b", 64 << 10)], 64 << 10);
    let config = Config { store_bytes_max: 64 << 10, ..Config::default() };
    let mut world = World::new(11, Weather::calm());
    let host = world.host_with(config);
    let add = AddTorrent {
        selection: Some(Selection::Files(vec![0])),
        ..AddTorrent::new(content.source(), "disk")
    };
    let id = world.add(host, add);
    world.run(SECOND);
    let mut stranger = caller(&mut world, host, &content);
    let asked = requests(&stranger.listen(&mut world, SECOND));
    assert_eq!(asked.len(), 4, "as much as memory holds");
    give(&mut world, &mut stranger, &content, &asked[..2]);
    world.command(host, Command::Select(id, Selection::Files(vec![1]))).expect("there is such a file");
    let heard = stranger.listen(&mut world, SECOND);
    assert_eq!(heard.iter().filter(|frame| matches!(parse(frame), Message::Cancel(_))).count(), 2);
    let asked = requests(&heard);
    assert_eq!(asked.iter().filter(|raw| raw.index == 1).count(), 4, "all room is for what is wanted");
    give(&mut world, &mut stranger, &content, &asked);
    assert!(world.until(10 * SECOND, |world| world.is_complete(host, id)));
}

#[test]
fn a_v2_magnet_asks_a_peer_for_hashes_as_soon_as_it_has_pieces() {
    let content = Content::new(12, Version::V2, &[("data", 16 * (32 << 10))], 32 << 10);
    let mut world = World::new(12, Weather::calm());
    let (seed, host) = (world.host(), world.host());
    world.seed(seed, &content);
    let source = Source::Magnet(Arc::new(content.magnet(false, true)));
    let peers = vec![world.addr(seed)];
    let id = world.add(host, AddTorrent { peers, ..AddTorrent::new(source, "disk") });
    world.complete(60 * SECOND, &[(host, id)]);
    assert_eq!(world.status(host, id).wasted, 0);
    assert!(world.is_whole(host, &content));
}

#[test]
fn a_stop_without_a_last_moment_ends_too() {
    let mut world = World::new(14, Weather::calm());
    let host = world.host();
    world.seed(host, &Content::v1(14, 100_000));
    world.command(host, Command::Stop { by: Instant::MAX }).expect("a stop is always taken");
    world.run(60 * SECOND);
    let stopped = world.at(host).events.iter().filter(|event| matches!(event, Event::Stopped)).count();
    assert_eq!(stopped, 1);
}

#[test]
fn a_disk_that_fills_while_blocks_are_written_unverified_leaves_no_piece_stuck() {
    let content = Content::new(15, Version::V1, &[("data", 512 << 10)], 256 << 10);
    for capacity in (16 << 10..512 << 10).step_by(16 << 10) {
        let config = Config { store_bytes_max: 64 << 10, ..Config::default() };
        let weather = Weather { job_us: (1_000, 20_000), ..Weather::fair(1_000_000) };
        let mut world = World::new(15, weather);
        let (seed, host) = (world.host(), world.host_with(config));
        world.seed(seed, &content);
        world.at_mut(host).disk.capacity = Some(capacity);
        let id = world.leech(host, &content, &[seed]);
        let failed = |world: &World| world.status(host, id).state == State::Failed;
        assert!(world.until(120 * SECOND, failed), "{capacity}");
        world.at_mut(host).disk.capacity = None;
        world.command(host, Command::Resume(id)).expect("it is there");
        world.complete(600 * SECOND, &[(host, id)]);
        assert!(world.is_whole(host, &content));
    }
}

#[test]
fn torrents_without_bytes_and_torrents_of_pad_only_are_complete_at_once() {
    let pieces = |n: usize| [format!("6:pieces{}:", n * 20).into_bytes(), vec![7; n * 20]].concat();
    let info = |files: &str, n: usize| {
        let head = format!("d8:announce1:x4:infod5:filesl{files}e4:name1:n12:piece lengthi16384e");
        [head.into_bytes(), pieces(n), b"ee".to_vec()].concat()
    };
    let empty = info("d6:lengthi0e4:pathl1:aee", 0);
    let none = info("", 0);
    let pad = info("d4:attr1:p6:lengthi16384e4:pathl4:.pad5:16384eed6:lengthi0e4:pathl1:aee", 1);
    for (n, bytes) in [empty, none, pad].iter().enumerate() {
        let Ok(metainfo) = Metainfo::parse(bytes) else { panic!("{n} is sound") };
        let mut world = World::new(16, Weather::calm());
        let host = world.host();
        let hash = metainfo.info.hashes().next().expect("a torrent has a hash");
        let source = Source::Metainfo(Arc::new(metainfo));
        let id = world.add(host, AddTorrent { only_peers: true, ..AddTorrent::new(source, "disk") });
        world.run(5 * SECOND);
        let addr = world.stranger_addr();
        let mut stranger = world.call(addr, host, hash, all_features());
        stranger.say(&mut world, Message::HaveAll);
        stranger.say(&mut world, Message::Unchoke);
        stranger.say(&mut world, Message::Interested);
        stranger.say(&mut world, Message::Request(RawBlock { index: 0, begin: 0, length: 1 }));
        stranger.listen(&mut world, 5 * SECOND);
        let state = world.status(host, id).state;
        assert!(state == State::Seeding || n == 2, "{n}: {state:?}");
        world.command(host, Command::Recheck(id)).expect("it is there");
        world.run(SECOND);
        world.command(host, Command::Remove(id)).expect("it is there");
        assert!(world.until(60 * SECOND, |world| world.at(host).engine.torrents().is_empty()));
    }
}

#[test]
fn no_order_of_commands_leaves_a_torrent_stuck() {
    let content = Content::new(17, Version::Hybrid, &[("a", 90_000), ("b", 200_000)], 32 << 10);
    for seed in 0..30 {
        let weather = Weather { job_us: (1_000, 400_000), ..Weather::fair(200_000) };
        let mut world = World::new(seed, weather);
        let mut rng = Rng::new([seed as u8; 32]);
        let (giver, host) = (world.host(), world.host());
        world.seed(giver, &content);
        let add = if seed % 2 == 0 {
            content.source()
        } else {
            Source::Magnet(Arc::new(content.magnet(true, true)))
        };
        let peers = vec![world.addr(giver)];
        let id = world.add(host, AddTorrent { peers, ..AddTorrent::new(add, "disk") });
        for _ in 0..25 {
            world.run(Duration::from_millis(rng.below(900)));
            let command = match rng.below(6) {
                0 => Command::Pause(id),
                1 | 2 => Command::Resume(id),
                3 => Command::Recheck(id),
                4 => Command::Select(id, Selection::Files(vec![rng.below(2) as u32])),
                _ => Command::Save(id),
            };
            let _ = world.command(host, command);
        }
        for command in [Command::Select(id, Selection::All), Command::Resume(id)] {
            world.command(host, command).expect("it is there");
        }
        world.complete(1_800 * SECOND, &[(host, id)]);
        world.run(5 * SECOND);
        assert!(world.is_whole(host, &content), "seed {seed}");
        assert_eq!(world.status(host, id).verified, content.length());
    }
}

#[test]
fn pieces_that_a_late_bitfield_tells_are_counted_once() {
    let content = Content::v1(18, 8 * (32 << 10));
    for first in [Message::HaveNone, Message::Have(2)] {
        let mut world = World::new(18, Weather::calm());
        let host = world.host();
        let id = world.leech(host, &content, &[]);
        world.run(SECOND);
        let addr = world.stranger_addr();
        let hash = content.info().hashes().next().expect("a torrent has a hash");
        let mut stranger = world.call(addr, host, hash, all_features());
        stranger.say(&mut world, first);
        stranger.say(&mut world, Message::Bitfield(&[0b1111_0000]));
        stranger.say(&mut world, Message::Bitfield(&[0b1111_1111]));
        stranger.say_extensions(&mut world, &ExtensionHandshake::default());
        let lost = 5u32.to_be_bytes();
        let id_of_ours = Extension::LtDontHave.our_id();
        stranger.say(&mut world, Message::Extended { id: id_of_ours, payload: &lost });
        stranger.say(&mut world, Message::Bitfield(&[0xff]));
        assert_eq!(world.at(host).engine.peers(world.now, id)[0].pieces, 8);
        stranger.say_bytes(&mut world, &[0xff; 64]);
        assert!(stranger.is_closed(&world));
        let mut giver = caller(&mut world, host, &content);
        while !world.is_complete(host, id) {
            let asked = requests(&giver.listen(&mut world, SECOND));
            assert!(!asked.is_empty());
            give(&mut world, &mut giver, &content, &asked);
        }
    }
}
