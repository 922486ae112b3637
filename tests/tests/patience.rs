//! Stories of peers that wait: for memory, for something to want, for the end of a check, for hashes.

use core::time::Duration;
use millstream_core::engine::{AddTorrent, Config, Source, State};
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::handshake::Feature;
use millstream_core::wire::message::{HashRange, Message, RawBlock};
use millstream_core::wire::metadata_message::MetadataMessage;
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::stranger::{all_features, parse};
use millstream_tests::world::{Content, Stranger, Weather, World};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn requests(frames: &[Vec<u8>]) -> Vec<RawBlock> {
    let of = |frame: &Vec<u8>| if let Message::Request(block) = parse(frame) { Some(block) } else { None };
    frames.iter().filter_map(of).collect()
}

fn give(world: &mut World, stranger: &mut Stranger, content: &Content, asked: &[RawBlock]) {
    for raw in asked {
        let piece = content.info().geometry().piece(raw.index).unwrap();
        let data = content.block(piece, raw.begin, raw.length);
        stranger.say(world, Message::Piece { index: raw.index, begin: raw.begin, data: &data });
    }
}

#[test]
fn while_memory_is_short_peers_are_asked_in_turn() {
    let content = Content::v1(110, 120 * (32 << 10));
    let mut world = World::new(110, Weather::calm());
    let host = world.host_with(Config { store_bytes_max: 128 << 10, ..Config::default() });
    world.leech(host, &content, &[]);
    world.run(SECOND);
    let hash = content.info().info_hash().unwrap();
    let mut givers: Vec<Stranger> = (0..3)
        .map(|_| {
            let from = world.stranger_addr();
            let mut giver = world.call(from, host, hash, all_features());
            giver.say(&mut world, Message::HaveAll);
            giver
        })
        .collect();
    for giver in &mut givers {
        giver.say(&mut world, Message::Unchoke);
    }
    let mut given = [0; 3];
    for _ in 0..40 {
        for (giver, given) in givers.iter_mut().zip(&mut given) {
            let frames = giver.hear(&mut world);
            let asked = requests(&frames);
            *given += asked.len();
            give(&mut world, giver, &content, &asked);
        }
        world.run(SECOND / 20);
    }
    let (least, most) = (given.iter().min().unwrap(), given.iter().max().unwrap());
    assert!(*least > 20 && most / least <= 2, "{given:?}");
}

#[test]
fn bep_0003_interest_without_object_is_taken_back_though_nothing_happens() {
    let content = Content::v1(111, 4 * (32 << 10));
    let mut world = World::new(111, Weather::calm());
    let host = world.host();
    world.leech(host, &content, &[]);
    world.run(SECOND);
    let from = world.stranger_addr();
    let mut giver = world.call(from, host, content.info().info_hash().unwrap(), all_features());
    giver.say(&mut world, Message::Bitfield(&[0b1000_0000]));
    giver.say(&mut world, Message::Unchoke);
    let asked = requests(&giver.listen(&mut world, SECOND / 10));
    assert_eq!(asked.len(), 2);
    give(&mut world, &mut giver, &content, &asked);
    let says = |frames: &[Vec<u8>]| frames.iter().any(|frame| parse(frame) == Message::NotInterested);
    let soon = giver.listen(&mut world, 4 * SECOND);
    assert!(!says(&soon), "it may have something in a moment");
    assert!(says(&giver.listen(&mut world, 2 * SECOND)));
}

#[test]
fn a_leech_that_finds_a_seed_checking_goes_on_at_once_when_the_check_ends() {
    let content = Content::v1(112, 100 * (32 << 10));
    let mut world = World::new(112, Weather { job_us: (1_000_000, 1_000_000), ..Weather::calm() });
    let (seed, leech) = (world.host(), world.host());
    world.store(seed, &content);
    let of_seed = world.add(seed, AddTorrent::new(content.source(), "disk"));
    let of_leech = world.leech(leech, &content, &[seed]);
    let active = |world: &World| world.status(leech, of_leech).state == State::Leeching;
    assert!(world.until(MINUTE, active));
    world.run(SECOND);
    assert_eq!(world.status(seed, of_seed).state, State::Checking);
    assert_eq!(world.at(leech).dialed.len(), 1);
    assert!(world.until(MINUTE, |world| world.is_complete(seed, of_seed)));
    let ended = world.now;
    assert!(world.until(MINUTE, |world| world.status(leech, of_leech).downloaded > 0));
    let wait = world.now.saturating_since(ended);
    // Two disk jobs of a second each are part of it.
    assert!(wait < 3 * SECOND, "{wait:?}");
    assert_eq!(world.at(leech).dialed.len(), 1, "by the link that it had");
}

#[test]
fn bep_0052_pieces_are_not_asked_for_before_their_hashes_are_known() {
    let content = Content::new(113, Version::V2, &[("a", 300_000), ("b", 10_000)], 32 << 10);
    let mut world = World::new(113, Weather::calm());
    let leech = world.host();
    let magnet = content.magnet(false, true);
    world.add(leech, AddTorrent::new(Source::Magnet(Arc::new(magnet)), "disk"));
    let from = world.stranger_addr();
    let hash = content.info().hashes().next().unwrap();
    let mut peer = world.call(from, leech, hash, all_features().with(Feature::V2));
    let raw = content.info().raw();
    let m = vec![(Extension::UtMetadata, 9)];
    let metadata_size = Some(raw.len() as u64);
    peer.say_extensions(
        &mut world,
        &ExtensionHandshake { m, metadata_size, ..ExtensionHandshake::default() },
    );
    let answer = MetadataMessage::Data { piece: 0, total_size: raw.len() as u64, data: raw }.encode();
    peer.say(&mut world, Message::Extended { id: Extension::UtMetadata.our_id(), payload: &answer });
    peer.say(&mut world, Message::HaveAll);
    peer.say(&mut world, Message::Unchoke);
    let frames = peer.listen(&mut world, 2 * SECOND);
    let asked: Vec<u32> = requests(&frames).iter().map(|block| block.index).collect();
    assert_eq!(asked, [10], "the root of a file of one piece is its hash");
    let range = frames
        .iter()
        .find_map(|frame| if let Message::HashRequest(range) = parse(frame) { Some(range) } else { None });
    let range: HashRange = range.expect("hashes are asked for");
    let layer = content.info().layer(&content.info().files()[0]).unwrap();
    let width = range.length as usize;
    let mut hashes: Vec<[u8; 32]> = layer[range.index as usize..].iter().copied().take(width).collect();
    hashes.resize(width, millstream_core::wire::merkle::pad(range.base_layer));
    peer.say(&mut world, Message::Hashes { range, hashes: hashes.as_flattened() });
    assert!(!peer.is_closed(&world));
    let more = requests(&peer.listen(&mut world, SECOND));
    assert_eq!(more.len(), 7, "as many as a pipeline begins with: {more:?}");
}

#[test]
fn what_resume_data_is_trusted_for_is_counted_before_the_check_ends() {
    let content = Content::v1(114, 20 * (32 << 10));
    let mut world = World::new(114, Weather::calm());
    let host = world.host();
    let id = world.seed(host, &content);
    world.run(MINUTE);
    assert_eq!(world.status(host, id).verified, 20 * (32 << 10));
    let resume = world.at(host).saved(&content.source());
    assert!(resume.is_some());
    world.crash(host, false);
    // One file changed its time: its pieces are checked, which takes a while.
    world.weather.job_us = (1_000_000, 1_000_000);
    let id = world.add(host, AddTorrent { resume, ..AddTorrent::new(content.source(), "disk") });
    assert!(world.until(MINUTE, |world| world.status(host, id).state != State::Checking
        || world.status(host, id).verified > 0));
    assert_eq!(world.status(host, id).verified, 20 * (32 << 10));
}
