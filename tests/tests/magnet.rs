//! Stories of torrents of which only the hash is known: magnets (BEP 9, 53), v2 ones too (BEP 52).

use core::time::Duration;
use millstream_core::engine::{AddTorrent, Command, Config, Selection, Source, State, TorrentEvent};
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::magnet::Magnet;
use millstream_core::wire::message::Message;
use millstream_core::wire::metadata_message::MetadataMessage;
use millstream_core::wire::metainfo::Version;
use millstream_tests::pair::Pair;
use millstream_tests::world::stranger::{all_features, parse};
use millstream_tests::world::{Content, Stranger, Weather, World};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn add(magnet: Magnet) -> AddTorrent {
    AddTorrent::new(Source::Magnet(Arc::new(magnet)), "disk")
}

fn pair(seed: u64, content: Content, magnet: Magnet) -> Pair {
    Pair::built(seed, content, add(magnet), Default::default())
}

fn metadata(pair: &Pair) -> usize {
    pair.world.news(pair.leech, |news| matches!(news, TorrentEvent::Metadata(_)).then_some(())).len()
}

#[test]
fn bep_0009_a_magnet_gets_its_metadata_and_then_every_byte() {
    let content = Content::v1(40, 200_000);
    let magnet = content.magnet(true, false);
    let mut pair = pair(40, content, magnet);
    assert_eq!(pair.world.status(pair.leech, pair.leech_torrent).state, State::Metadata);
    pair.connect();
    pair.complete();
    assert_eq!(metadata(&pair), 1);
}

#[test]
fn bep_0009_metadata_of_several_pieces_is_put_together() {
    // 20 bytes a piece: 40 KB of them.
    let content = Content::new(41, Version::V1, &[("data", 2_000 * 300)], 300);
    assert!(content.info().raw().len() > 2 * (16 << 10));
    let magnet = content.magnet(true, false);
    let mut pair = pair(41, content, magnet);
    pair.connect();
    assert!(pair.world.until(MINUTE, |world| {
        !world
            .news(millstream_tests::world::HostId(1), |news| {
                matches!(news, TorrentEvent::Metadata(_)).then_some(())
            })
            .is_empty()
    }));
}

#[test]
fn bep_0009_who_got_the_metadata_serves_it() {
    let content = Content::v1(42, 200_000);
    let mut world = World::new(42, Weather::calm());
    let (seed, middle, last) = (world.host(), world.host(), world.host());
    world.seed(seed, &content);
    let magnet = content.magnet(true, false);
    let middle_id = world.add(middle, AddTorrent { peers: vec![world.addr(seed)], ..add(magnet.clone()) });
    world.complete(MINUTE, &[(middle, middle_id)]);
    let last_id = world.add(last, AddTorrent { peers: vec![world.addr(middle)], ..add(magnet) });
    world.complete(MINUTE, &[(last, last_id)]);
    assert!(world.is_whole(last, &content));
}

/// Answers whatever is asked of a stranger's metadata with these bytes. Gives all that was heard meanwhile.
fn serve_metadata(world: &mut World, stranger: &mut Stranger, bytes: &[u8]) -> Vec<Vec<u8>> {
    let m = vec![(Extension::UtMetadata, 9)];
    let metadata_size = Some(bytes.len() as u64);
    stranger.say_extensions(world, &ExtensionHandshake { m, metadata_size, ..ExtensionHandshake::default() });
    let mut heard = Vec::new();
    for _ in 0..30 {
        for frame in stranger.listen(world, SECOND / 10) {
            heard.push(frame.clone());
            let Message::Extended { id: 9, payload } = parse(&frame) else { continue };
            if let Ok(MetadataMessage::Request { piece }) = MetadataMessage::parse(payload) {
                let [from, to] = [piece, piece + 1].map(|n| (n as usize * (16 << 10)).min(bytes.len()));
                let data = &bytes[from..to];
                let total_size = bytes.len() as u64;
                let answer = MetadataMessage::Data { piece, total_size, data }.encode();
                stranger
                    .say(world, Message::Extended { id: Extension::UtMetadata.our_id(), payload: &answer });
            }
        }
    }
    heard
}

#[test]
fn pitfall_3_a_peer_with_wrong_metadata_is_found_out_and_another_is_asked() {
    let content = Content::v1(43, 200_000);
    let mut world = World::new(43, Weather::calm());
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let id = world.add(leech, add(content.magnet(true, false)));
    let from = world.stranger_addr();
    let mut liar = world.call(from, leech, content.info().info_hash().unwrap(), all_features());
    let mut wrong = content.info().raw().to_vec();
    let at = wrong.len() - 10;
    wrong[at] ^= 1;
    serve_metadata(&mut world, &mut liar, &wrong);
    assert_eq!(world.status(leech, id).state, State::Metadata, "what fails its hash is not believed");
    let peers = vec![world.addr(seed)];
    world.command(leech, millstream_core::engine::Command::Peers(id, peers)).unwrap();
    world.complete(5 * MINUTE, &[(leech, id)]);
    assert!(world.is_whole(leech, &content));
}

#[test]
fn pitfall_3_metadata_that_claims_to_be_huge_is_not_asked_for() {
    let content = Content::v1(44, 200_000);
    let mut world = World::new(44, Weather::calm());
    let leech = world.host();
    world.add(leech, add(content.magnet(true, false)));
    let from = world.stranger_addr();
    let mut liar = world.call(from, leech, content.info().info_hash().unwrap(), all_features());
    let m = vec![(Extension::UtMetadata, 9)];
    let metadata_size = Some(Config::default().metadata_bytes_max as u64 + 1);
    liar.say_extensions(
        &mut world,
        &ExtensionHandshake { m, metadata_size, ..ExtensionHandshake::default() },
    );
    let asked =
        liar.listen(&mut world, SECOND).iter().any(|f| matches!(parse(f), Message::Extended { id: 9, .. }));
    assert!(!asked);
}

#[test]
fn bep_0053_a_magnet_says_which_files_are_wanted() {
    let content = Content::new(45, Version::V1, &[("a", 50_000), ("b", 70_000), ("c", 40_000)], 16 << 10);
    let magnet = Magnet { select: vec![2..=2], ..content.magnet(true, false) };
    let mut pair = pair(45, content, magnet);
    pair.connect();
    pair.world.complete(MINUTE, &[(pair.leech, pair.leech_torrent)]);
    let wanted = &pair.content.files[2];
    let stored = |path: &str| pair.world.at(pair.leech).disk.file(path).cloned();
    assert_eq!(stored("disk/story/c").unwrap().bytes, wanted.1);
    assert!(stored("disk/story/a").is_none());
}

#[test]
fn bep_0052_a_v2_magnet_gets_metadata_then_hashes_with_proofs_then_every_byte() {
    let files = [("a", 300_000), ("b", 10_000), ("c", 100_000)];
    let content = Content::new(46, Version::V2, &files, 16 << 10);
    let magnet = content.magnet(false, true);
    let mut pair = pair(46, content, magnet);
    pair.connect();
    pair.complete();
    let status = pair.world.status(pair.leech, pair.leech_torrent);
    assert_eq!((status.downloaded, status.wasted), (410_000, 0));
    assert_eq!(status.info_hash_v2, pair.content.info().info_hash_v2());
}

#[test]
fn bep_0052_a_magnet_of_a_hybrid_may_name_either_hash_or_both() {
    let content = Content::new(47, Version::Hybrid, &[("a", 200_000), ("b", 30_000)], 32 << 10);
    for (v1, v2) in [(true, false), (false, true), (true, true)] {
        let magnet = content.magnet(v1, v2);
        let mut pair = pair(47, content.clone(), magnet);
        pair.connect();
        pair.complete();
        let status = pair.world.status(pair.leech, pair.leech_torrent);
        assert!(status.info_hash_v1.is_some() && status.info_hash_v2.is_some(), "{v1} {v2}");
    }
}

#[test]
fn a_magnet_that_was_resolved_and_saved_needs_no_metadata_again() {
    let content = Content::new(48, Version::V2, &[("a", 300_000), ("b", 100_000)], 32 << 10);
    let magnet = content.magnet(false, true);
    let source = Source::Magnet(Arc::new(magnet.clone()));
    let mut pair = pair(48, content, magnet.clone());
    pair.connect();
    pair.complete();
    pair.drive();
    let resume = pair.world.at(pair.leech).saved(&source);
    assert!(resume.is_some());
    pair.world.crash(pair.leech, false);
    let id = pair.world.add(pair.leech, AddTorrent { resume, ..add(magnet) });
    pair.world.complete(MINUTE, &[(pair.leech, id)]);
}

#[test]
fn bep_0006_and_0010_who_waits_with_a_magnet_is_told_of_all_pieces_at_once_and_of_the_metadata() {
    // More pieces than HAVEs that may wait for one peer.
    let pieces: u64 = 16_000;
    let content = Content::new(49, Version::V1, &[("data", pieces * 300)], 300);
    let mut world = World::new(49, Weather::calm());
    let leech = world.host();
    world.store(leech, &content);
    let id = world.add(leech, add(content.magnet(true, false)));
    let from = world.stranger_addr();
    let mut stranger = world.call(from, leech, content.info().info_hash().unwrap(), all_features());
    let before = stranger.hear(&mut world);
    assert!(
        before.iter().all(|frame| matches!(parse(frame), Message::Extended { .. })),
        "nothing is known yet"
    );
    let mut frames = serve_metadata(&mut world, &mut stranger, content.info().raw());
    world.complete(MINUTE, &[(leech, id)]);
    frames.extend(stranger.listen(&mut world, SECOND));
    assert!(!stranger.is_closed(&world));
    let count = |fits: &dyn Fn(&Message<'_>) -> bool| frames.iter().filter(|f| fits(&parse(f))).count();
    assert_eq!(count(&|message| matches!(message, Message::HaveAll)), 1);
    assert_eq!(count(&|message| matches!(message, Message::Have(_) | Message::HaveNone)), 0);
    let sizes = frames.iter().filter_map(|frame| {
        let Message::Extended { id: 0, payload } = parse(frame) else { return None };
        ExtensionHandshake::parse(payload).unwrap().metadata_size
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [content.info().raw().len() as u64]);
}

fn failures(world: &World, host: millstream_tests::world::HostId) -> Vec<String> {
    world.news(host, |news| if let TorrentEvent::Failed(reason) = news { Some(reason.clone()) } else { None })
}

#[test]
fn a_magnet_that_turns_out_to_be_a_torrent_that_is_here_fails_and_leaves_its_files_alone() {
    let content = Content::new(56, Version::Hybrid, &[("a", 200_000)], 32 << 10);
    let mut world = World::new(56, Weather::calm());
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let peers = vec![world.addr(seed)];
    let both = [content.magnet(true, false), content.magnet(false, true)]
        .map(|magnet| world.add(leech, AddTorrent { peers: peers.clone(), ..add(magnet) }));
    let ended = |world: &World, id| matches!(world.status(leech, id).state, State::Seeding | State::Failed);
    assert!(world.until(MINUTE, |world| both.iter().all(|&id| ended(world, id))));
    let [failed]: [String; 1] = failures(&world, leech).try_into().unwrap();
    assert!(failed.contains("here already"), "{failed}");
    let first = world.status(leech, both[0]).state == State::Seeding;
    let (good, bad) = if first { (both[0], both[1]) } else { (both[1], both[0]) };
    assert_eq!(world.status(leech, bad).downloaded, 0);
    // As long as the other is there, nothing changes; then it may have the name.
    world.command(leech, Command::Resume(bad)).unwrap();
    assert_eq!(world.status(leech, bad).state, State::Failed);
    world.command(leech, Command::Remove(good)).unwrap();
    world.run(10 * SECOND);
    world.command(leech, Command::Resume(bad)).unwrap();
    world.complete(MINUTE, &[(leech, bad)]);
    for name in content.info().hashes() {
        assert_eq!(world.at(leech).engine.find(name), Some(bad));
    }
    world.command(leech, Command::Remove(bad)).unwrap();
    world.run(10 * SECOND);
    assert!(content.info().hashes().all(|name| world.at(leech).engine.find(name).is_none()));
}

#[test]
fn bep_0053_a_file_that_is_selected_and_does_not_exist_stops_the_torrent_until_others_are() {
    let content = Content::new(57, Version::V1, &[("a", 49_152), ("b", 70_000)], 16 << 10);
    let magnet = Magnet { select: vec![7..=7], ..content.magnet(true, false) };
    let mut pair = pair(57, content, magnet);
    pair.connect();
    pair.drive();
    let (leech, id) = (pair.leech, pair.leech_torrent);
    assert_eq!(pair.world.status(leech, id).state, State::Failed);
    assert_eq!(failures(&pair.world, leech), ["there is no file 7 to select: select others"]);
    assert_eq!(pair.world.status(leech, id).downloaded, 0);
    pair.world.command(leech, Command::Select(id, Selection::Files(vec![1]))).unwrap();
    pair.world.complete(MINUTE, &[(leech, id)]);
    assert!(pair.world.at(leech).disk.file("disk/story/a").is_none());
}
