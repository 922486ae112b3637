//! Stories of v2 and hybrid torrents (BEP 52): both kinds of digests, hash requests, the upgrade in the handshake.

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::BLOCK;
use millstream_core::engine::{AddTorrent, Config, Encryption, Source, TorrentEvent};
use millstream_core::verify::{Server, Trees};
use millstream_core::wire::handshake::Feature;
use millstream_core::wire::merkle;
use millstream_core::wire::message::{HashRange, Message};
use millstream_core::wire::metainfo::Version;
use millstream_tests::pair::Pair;
use millstream_tests::world::stranger::{all_features, parse};
use millstream_tests::world::{Content, HostId, Stranger, Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const FILES: [(&str, u64); 4] = [("a", 200_000), ("b", 1), ("c/d", 0), ("c/e", 70_000)];

#[test]
fn bep_0052_v2_and_hybrid_torrents_are_fetched_whole() {
    for version in [Version::V2, Version::Hybrid] {
        for piece_length in [16 << 10, 64 << 10] {
            let mut pair = Pair::with(50, Content::new(50, version, &FILES, piece_length));
            pair.connect();
            pair.complete();
            let status = pair.world.status(pair.leech, pair.leech_torrent);
            assert_eq!((status.downloaded, status.wasted), (270_001, 0), "{version:?} {piece_length}");
        }
    }
}

#[test]
fn bep_0052_hashes_are_served_with_their_proof_and_nonsense_is_rejected() {
    let content = Content::new(51, Version::V2, &[("a", 300_000)], 32 << 10);
    let mut world = World::new(51, Weather::calm());
    let host = world.host();
    world.seed(host, &content);
    let from = world.stranger_addr();
    let hash = content.info().hashes().next().unwrap();
    let mut stranger = world.call(from, host, hash, all_features().with(Feature::V2));
    let root = content.info().files()[0].pieces_root.unwrap();
    // The piece layer is layer 1; 10 pieces, so 16 wide with its padding.
    let range = HashRange { pieces_root: root, base_layer: 1, index: 4, length: 4, proof_layers: 3 };
    let odd = HashRange { length: 3, ..range };
    stranger.say(&mut world, Message::HashRequest(range));
    stranger.say(&mut world, Message::HashRequest(odd));
    let leaves = HashRange { base_layer: 0, index: 0, length: 8, proof_layers: 2, ..range };
    stranger.say(&mut world, Message::HashRequest(leaves));
    let frames = stranger.listen(&mut world, SECOND);
    let answer = |wanted: HashRange| {
        frames.iter().find_map(|frame| {
            let Message::Hashes { range, hashes } = parse(frame) else { return None };
            (range == wanted).then(|| hashes.to_vec())
        })
    };
    let hashes = answer(range).expect("hashes of pieces");
    let layer = content.info().layer(&content.info().files()[0]).unwrap();
    assert_eq!(hashes[..4 * 32], layer[4..8].concat());
    assert_eq!(
        answer(leaves).expect("hashes of blocks")[..32],
        merkle::leaf(&content.files[0].1[..BLOCK as usize])
    );
    assert!(frames.iter().any(|frame| parse(frame) == Message::HashReject(odd)));
}

#[test]
fn pitfall_12_a_v1_handshake_with_the_v2_bit_is_answered_with_the_v2_hash() {
    let content = Content::new(52, Version::Hybrid, &[("a", 100_000)], 32 << 10);
    let mut world = World::new(52, Weather::calm());
    let host = world.host();
    world.seed(host, &content);
    let v1 = content.info().info_hash().unwrap();
    let v2 = content.info().info_hash_v2().unwrap().truncated();
    for (features, expected) in [(all_features(), v1), (all_features().with(Feature::V2), v2)] {
        let from = world.stranger_addr();
        let mut stranger = world.call(from, host, v1, features);
        stranger.hear(&mut world);
        let answer = stranger.handshake.expect("it is answered");
        assert_eq!(answer.info_hash, expected);
        assert!(answer.reserved.has(Feature::V2));
        assert!(!stranger.is_closed(&world));
    }
}

#[test]
fn pitfall_12_our_v1_call_that_is_answered_with_the_v2_hash_is_an_upgrade_and_no_mismatch() {
    let content = Content::new(53, Version::Hybrid, &[("a", 100_000)], 32 << 10);
    let mut world = World::new(53, Weather::calm());
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let id = world.leech(leech, &content, &[seed]);
    world.complete(60 * SECOND, &[(leech, id)]);
    // And a wrong answer is one.
    let addr = world.stranger_addr();
    let other = world.host_with(Config { encryption: Encryption::Off, ..Config::default() });
    let other_id =
        world.add(other, AddTorrent { peers: vec![addr], ..AddTorrent::new(content.source(), "disk") });
    world.run(SECOND);
    let mut stranger = world.answer(addr).expect("it is called");
    stranger.hear(&mut world);
    let called = stranger.handshake.unwrap();
    assert!(called.reserved.has(Feature::V2), "a hybrid's call offers the upgrade");
    stranger.say_handshake(&mut world, millstream_core::wire::InfoHash([3; 20]), all_features());
    world.run(SECOND);
    assert!(stranger.is_closed(&world));
    assert_eq!(world.status(other, other_id).peers, 0);
}

#[test]
fn bep_0052_a_v1_leech_and_a_v2_leech_of_one_hybrid_share_a_swarm() {
    let content = Content::new(54, Version::Hybrid, &[("a", 200_000), ("b", 50_000)], 32 << 10);
    let mut world = World::new(54, Weather::calm());
    let (seed, one, two) = (world.host(), world.host(), world.host());
    world.seed(seed, &content);
    let mut ids = Vec::new();
    for (host, magnet) in [(one, content.magnet(true, false)), (two, content.magnet(false, true))] {
        let peers = vec![world.addr(seed)];
        let source = Source::Magnet(std::sync::Arc::new(magnet));
        ids.push((host, world.add(host, AddTorrent { peers, ..AddTorrent::new(source, "disk") })));
    }
    world.complete(60 * SECOND, &ids);
    assert!(world.is_whole(one, &content) && world.is_whole(two, &content));
}

/// A scripted peer with the first piece only, which serves.
fn giver(world: &mut World, leech: HostId, content: &Content) -> (SocketAddr, Stranger) {
    let from = world.stranger_addr();
    let hash = content.info().hashes().next().unwrap();
    let mut giver = world.call(from, leech, hash, all_features().with(Feature::V2));
    giver.say(world, Message::Bitfield(&[0b1000_0000]));
    giver.say(world, Message::Unchoke);
    (from, giver)
}

/// Gives what it is asked for; one block with a wrong byte, if it is told to lie. Tells how many blocks it gave.
fn give(world: &mut World, giver: &mut Stranger, content: &Content, mut lie: bool) -> usize {
    let mut given = 0;
    for frame in giver.listen(world, SECOND / 10) {
        let Message::Request(raw) = parse(&frame) else { continue };
        let piece = content.info().geometry().piece(raw.index).unwrap();
        let mut data = content.block(piece, raw.begin, raw.length);
        data[0] ^= u8::from(core::mem::take(&mut lie));
        giver.say(world, Message::Piece { index: raw.index, begin: raw.begin, data: &data });
        given += 1;
    }
    given
}

#[test]
fn bep_0052_leaves_of_a_piece_that_failed_name_the_liar_and_then_only_bad_blocks_come_again() {
    let content = Content::new(55, Version::V2, &[("a", (256 << 10) + 1)], 256 << 10);
    let mut world = World::new(55, Weather::calm());
    let leech = world.host();
    let id = world.leech(leech, &content, &[]);
    world.run(SECOND);
    let (liar_addr, mut liar) = giver(&mut world, leech, &content);
    world.run(SECOND);
    let (other_addr, mut other) = giver(&mut world, leech, &content);
    assert_eq!(give(&mut world, &mut liar, &content, true), 8);
    // The rest comes from the other; then the piece fails, and its leaves are asked for of either.
    let frames = other.listen(&mut world, SECOND / 10);
    for frame in &frames {
        let Message::Request(raw) = parse(frame) else { continue };
        let piece = content.info().geometry().piece(raw.index).unwrap();
        let data = content.block(piece, raw.begin, raw.length);
        other.say(&mut world, Message::Piece { index: raw.index, begin: raw.begin, data: &data });
    }
    let asked = |frames: &[Vec<u8>]| {
        frames
            .iter()
            .find_map(|frame| if let Message::HashRequest(range) = parse(frame) { Some(range) } else { None })
    };
    let of_liar = asked(&liar.listen(&mut world, SECOND / 10));
    let pending = other.listen(&mut world, SECOND / 10);
    let range = of_liar.or(asked(&pending)).expect("leaves are asked for");
    assert_eq!(range.base_layer, 0);
    let leaves: Vec<_> = content.files[0].1[..256 << 10].chunks(BLOCK as usize).map(merkle::leaf).collect();
    let trees = Trees::of(content.info()).unwrap();
    let hashes = Server::new(1 << 20).with_leaves(&trees, &range, &leaves).unwrap();
    let asked_one = if of_liar.is_some() { &mut liar } else { &mut other };
    asked_one.say(&mut world, Message::Hashes { range, hashes: hashes.as_flattened() });
    let banned = |world: &World| {
        world
            .news(leech, |news| if let TorrentEvent::Banned { addr, .. } = news { Some(*addr) } else { None })
    };
    assert_eq!(banned(&world), [liar_addr], "no second try was needed");
    // The other gives all of it now, and lies: its blocks are told apart at once.
    let mut lie = true;
    for frame in &pending {
        let Message::Request(raw) = parse(frame) else { continue };
        let mut data = content.block(content.info().geometry().piece(0).unwrap(), raw.begin, raw.length);
        data[0] ^= u8::from(core::mem::take(&mut lie));
        other.say(&mut world, Message::Piece { index: raw.index, begin: raw.begin, data: &data });
    }
    while !other.is_closed(&world) {
        let given = give(&mut world, &mut other, &content, core::mem::take(&mut lie));
        assert!(given > 0 || other.is_closed(&world), "it is asked until it is banned");
    }
    assert_eq!(banned(&world), [liar_addr, other_addr]);
    let (_, mut honest) = giver(&mut world, leech, &content);
    assert_eq!(give(&mut world, &mut honest, &content, false), 1);
    world.run(SECOND);
    assert_eq!(world.status(leech, id).pieces_verified, 1);
}
