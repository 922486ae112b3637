//! Newer torrents (BEP 39): looked for where a torrent says, believed if its originator signed them (BEP 35).

use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::create::CreateOptions;
use millstream_core::engine::{AddTorrent, Command, Config, TorrentEvent};
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::{Content, HostId, Weather, World, options};

const HOUR: Duration = Duration::from_secs(3600);
const FEED: &str = "http://feed.example/updates";

/// Signed by OpenSSL with the key of the first certificate.
const NEWER: &[u8] = include_bytes!("../../driver-tokio/tests/data/signed-by-openssl.torrent");
const SIGNER: &[u8] = include_bytes!("../../driver-tokio/tests/data/signer.der");
const OTHER: &[u8] = include_bytes!("../../driver-tokio/tests/data/other.der");

fn content(originator: Option<&[u8]>) -> Content {
    let made = options(Version::V1, &[("data", 40_000)], 32 << 10);
    let originator = originator.map(<[u8]>::to_vec);
    Content::of(9, CreateOptions { update_url: Some(FEED.into()), originator, ..made })
}

/// A world in which a host seeds it, and the feed answers so.
fn world(content: &Content, page: &[u8]) -> (World, HostId, TorrentId) {
    let mut world = World::new(390, Weather::calm());
    world.pages.insert(FEED.into(), page.to_vec());
    let host = world.host();
    let id = world.seed(host, content);
    (world, host, id)
}

/// What is told of updates, and what is warned of.
fn told(world: &World, host: HostId) -> (Vec<(Vec<u8>, bool)>, Vec<String>) {
    let updates = world.news(host, |news| {
        let TorrentEvent::UpdateAvailable { torrent, signed } = news else { return None };
        Some((torrent.to_vec(), *signed))
    });
    let warnings =
        world.news(host, |news| if let TorrentEvent::Warning(why) = news { Some(why.clone()) } else { None });
    (updates, warnings)
}

#[test]
fn bep_0039_an_update_that_the_originator_signed_is_told_once_and_not_looked_for_again() {
    let content = content(Some(SIGNER));
    let (mut world, host, _) = world(&content, NEWER);
    world.run(HOUR);
    assert_eq!(told(&world, host), (vec![(NEWER.to_vec(), true)], vec![]));
    let hash = content.info().info_hash().unwrap();
    assert_eq!(world.asked, [format!("{FEED}?info_hash={hash}")]);
    world.run(72 * HOUR);
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn bep_0035_an_update_that_somebody_else_signed_or_nobody_is_refused() {
    for (originator, page) in [(OTHER, NEWER.to_vec()), (SIGNER, unsigned()), (SIGNER, b"<html>".to_vec())] {
        let content = content(Some(originator));
        let (mut world, host, id) = world(&content, &page);
        world.command(host, Command::CheckUpdate(id)).unwrap();
        world.run(HOUR);
        let (updates, warnings) = told(&world, host);
        assert_eq!((updates, warnings.len()), (vec![], 1), "{warnings:?}");
        assert!(world.asked.len() == 1, "it is looked for again a day later");
        world.run(25 * HOUR);
        assert_eq!(world.asked.len(), 2);
    }
}

/// The same without its signatures.
fn unsigned() -> Vec<u8> {
    let at = NEWER.windows(12).position(|at| at == b"10:signature").expect("it is signed");
    [&NEWER[..at], b"e"].concat()
}

#[test]
fn bep_0039_without_an_originator_the_application_hears_that_nobody_vouches_for_it() {
    let content = content(None);
    let (mut world, host, _) = world(&content, NEWER);
    world.run(HOUR);
    assert_eq!(told(&world, host), (vec![(NEWER.to_vec(), false)], vec![]));
}

#[test]
fn bep_0039_the_torrent_itself_is_no_update_and_none_is_looked_for_with_own_peers_only_or_switched_off() {
    let content = content(None);
    let (mut world, host, _) = world(&content, &content.torrent);
    world.run(HOUR);
    assert_eq!((told(&world, host), world.asked.len()), ((vec![], vec![]), 1));
    let alone = world.host();
    world.add(alone, AddTorrent { only_peers: true, ..AddTorrent::new(content.source(), "disk") });
    let incurious = world.host_with(Config { updates: false, ..Config::default() });
    let id = world.add(incurious, AddTorrent::new(content.source(), "disk"));
    world.command(incurious, Command::CheckUpdate(id)).unwrap();
    world.run(HOUR);
    assert_eq!(world.asked.len(), 1);
}
