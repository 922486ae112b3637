//! Stories of hosts that fail, commands that come at the wrong moment, and peers and trackers that bend the rules.

use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::engine::{AddTorrent, Command, Config, State};
use millstream_core::wire::message::{Message, RawBlock};
use millstream_core::wire::metainfo::Version;
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
            blocks.extend(heard.iter().find_map(|frame| match parse(frame) {
                Message::Piece { index: 0, data, .. } => Some(data.to_vec()),
                _ => None,
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
        let source = millstream_core::engine::Source::Magnet(Arc::new(magnet.clone()));
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
