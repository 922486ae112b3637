//! Files that another torrent of the same host has already (BEP 38).

use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::create::CreateOptions;
use millstream_core::engine::AddTorrent;
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::{Content, HostId, Weather, World, options};

const MINUTE: Duration = Duration::from_secs(60);
const OLD: [(&str, u64); 2] = [("a", 98_304), ("b", 70_000)];
const NEW: [(&str, u64); 2] = [("a", 98_304), ("c", 50_000)];

fn newer(seed: u8, version: Version, piece_length: u32, similar: Vec<[u8; 20]>) -> Content {
    let made = options(version, &NEW, piece_length);
    Content::of(seed, CreateOptions { name: "newer".into(), similar, ..made })
}

/// A host that has the old torrent, and adds the new one without a peer. How many bytes of it are verified then.
fn verified(old: &Content, new: &Content) -> (World, HostId, TorrentId, u64) {
    let mut world = World::new(38, Weather::calm());
    let host = world.host();
    world.seed(host, old);
    let id = world.add(host, AddTorrent::new(new.source(), "disk"));
    world.run(MINUTE);
    let verified = world.status(host, id).verified;
    (world, host, id, verified)
}

#[test]
fn bep_0038_a_file_with_the_same_root_is_taken_from_the_torrent_that_has_it() {
    let old = Content::new(1, Version::V2, &OLD, 32 << 10);
    let new = newer(1, Version::V2, 16 << 10, Vec::new());
    let (world, host, id, verified) = verified(&old, &new);
    assert_eq!(verified, 98_304, "all of the file, though its pieces are of another length");
    assert_eq!(world.status(host, id).downloaded, 0, "nobody sent it");
    let stored = world.at(host).disk.file("disk/newer/a").expect("it is written").bytes.clone();
    assert_eq!(stored, new.files[0].1);
}

#[test]
fn bep_0038_without_roots_a_hint_is_needed_from_either_side() {
    let old = Content::new(2, Version::V1, &OLD, 32 << 10);
    let hash = old.info().info_hash().unwrap().0;
    assert_eq!(verified(&old, &newer(2, Version::V1, 32 << 10, vec![hash])).3, 98_304);
    assert_eq!(verified(&old, &newer(2, Version::V1, 32 << 10, Vec::new())).3, 0);
    let plain = newer(2, Version::V1, 32 << 10, Vec::new());
    let made = options(Version::V1, &OLD, 32 << 10);
    let similar = vec![plain.info().info_hash().unwrap().0];
    assert_eq!(verified(&Content::of(2, CreateOptions { similar, ..made }), &plain).3, 98_304);
}

#[test]
fn bep_0038_torrents_of_one_collection_are_looked_through() {
    let collections = vec!["org.example.series".to_owned()];
    let old = CreateOptions { collections: collections.clone(), ..options(Version::V1, &OLD, 32 << 10) };
    let made = options(Version::V1, &NEW, 32 << 10);
    let new = CreateOptions { name: "newer".into(), collections, ..made };
    assert_eq!(verified(&Content::of(3, old), &Content::of(3, new)).3, 98_304);
}

#[test]
fn bep_0038_a_hint_that_is_wrong_costs_a_look_and_nothing_else() {
    let old = Content::new(4, Version::V1, &OLD, 32 << 10);
    let new = newer(5, Version::V1, 32 << 10, vec![old.info().info_hash().unwrap().0]);
    let (mut world, host, id, verified) = verified(&old, &new);
    assert_eq!(verified, 0, "other bytes under the same name");
    let seed = world.host();
    world.seed(seed, &new);
    let addr = world.addr(seed);
    world.command(host, millstream_core::engine::Command::Peers(id, vec![addr])).unwrap();
    world.complete(10 * MINUTE, &[(host, id)]);
    assert!(world.is_whole(host, &new));
}
