//! Stories of trackers over HTTP and UDP: tiers, events, scrapes, private torrents (BEP 3, 7, 12, 15, 23, 24, 27, 41, 48).

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::engine::{AddTorrent, Command, CommandError, Config, Event, Source, TorrentEvent};
use millstream_core::wire::magnet::Magnet;
use millstream_core::wire::metainfo::Version;
use millstream_core::wire::tracker::TrackerEvent;
use millstream_tests::world::{Content, HostId, Weather, World, options};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A torrent that names these trackers.
fn content(seed: u8, trackers: Vec<Vec<String>>) -> Content {
    let made = options(Version::V1, &[("data", 200_000)], 32 << 10);
    Content::of(seed, millstream_core::create::CreateOptions { trackers, ..made })
}

/// A seed and a leech that only a tracker can bring together.
fn swarm(world: &mut World, content: &Content) -> (HostId, HostId, TorrentId) {
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, content);
    world.run(10 * SECOND);
    let id = world.leech(leech, content, &[]);
    (seed, leech, id)
}

fn events_of(world: &World, tracker: usize, host: HostId) -> Vec<TrackerEvent> {
    let of = world.trackers[tracker].announces.iter().filter(|(from, ..)| *from == world.addr(host));
    of.map(|(_, query, _)| query.event).collect()
}

#[test]
fn bep_0003_and_0023_an_http_tracker_brings_a_swarm_together() {
    let mut world = World::new(60, Weather::calm());
    let tracker = world.tracker(1800);
    let content = content(60, vec![vec![world.trackers[tracker].http_url()]]);
    let (_, leech, id) = swarm(&mut world, &content);
    world.complete(MINUTE, &[(leech, id)]);
    world.run(SECOND);
    assert_eq!(events_of(&world, tracker, leech), [TrackerEvent::Started, TrackerEvent::Completed]);
    let (_, first, _) = &world.trackers[tracker].announces[1];
    assert_eq!((first.left, first.port, first.downloaded), (Some(200_000), 6881, 0));
    let (_, last, _) = world.trackers[tracker].announces.last().unwrap();
    assert_eq!((last.left, last.downloaded), (Some(0), 200_000));
    assert!(world.trackers[tracker].targets.iter().all(|target| target.contains("compact=1")));
}

#[test]
fn bep_0015_a_udp_tracker_brings_a_swarm_together_even_if_datagrams_are_lost() {
    for seed in 0..6 {
        let weather = Weather { datagram_losses_per_mille: 300, ..Weather::calm() };
        let mut world = World::new(seed, weather);
        let tracker = world.tracker(1800);
        let content = content(61, vec![vec![world.trackers[tracker].udp_url()]]);
        let (_, leech, id) = swarm(&mut world, &content);
        world.complete(40 * MINUTE, &[(leech, id)]);
        assert!(world.is_whole(leech, &content));
    }
}

#[test]
fn bep_0041_a_udp_announce_carries_the_urls_path_and_query() {
    let mut world = World::new(62, Weather::calm());
    let tracker = world.tracker(1800);
    let url = world.trackers[tracker].udp_url() + "?passkey=abc";
    let content = content(62, vec![vec![url]]);
    let (_, leech, id) = swarm(&mut world, &content);
    world.complete(MINUTE, &[(leech, id)]);
    assert!(world.trackers[tracker].announces.iter().all(|(_, _, data)| data == b"/announce?passkey=abc"));
}

#[test]
fn bep_0012_the_second_tier_is_asked_only_if_the_first_fails_and_the_first_again_later() {
    let mut world = World::new(63, Weather::calm());
    let (first, second) = (world.tracker(120), world.tracker(120));
    let urls = [first, second].map(|n| world.trackers[n].http_url());
    let content = content(63, urls.map(|url| vec![url]).to_vec());
    let (_, leech, id) = swarm(&mut world, &content);
    world.complete(MINUTE, &[(leech, id)]);
    assert!(world.trackers[second].announces.is_empty(), "the first tier works");
    world.trackers[first].up = false;
    world.run(10 * MINUTE);
    assert!(!world.trackers[second].announces.is_empty(), "the first tier is down");
    let failed = world.news(leech, |news| matches!(news, TorrentEvent::TrackerFailed { .. }).then_some(()));
    assert!(!failed.is_empty());
    world.trackers[first].up = true;
    let before = world.trackers[first].announces.len();
    world.run(20 * MINUTE);
    assert!(world.trackers[first].announces.len() > before, "it is tried again");
}

#[test]
fn bep_0003_announces_keep_to_the_interval() {
    let mut world = World::new(64, Weather::calm());
    let tracker = world.tracker(300);
    let content = content(64, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host();
    world.seed(host, &content);
    world.run(60 * MINUTE);
    let count = world.trackers[tracker].announces.len();
    assert!((10..=14).contains(&count), "{count} announces in an hour, of which one is the first");
}

#[test]
fn bep_0003_a_magnet_says_started_once() {
    let mut world = World::new(72, Weather::calm());
    let tracker = world.tracker(1800);
    let url = world.trackers[tracker].http_url();
    let content = content(72, vec![vec![url.clone()]]);
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    world.run(SECOND);
    let magnet = Magnet { trackers: vec![url], ..content.magnet(true, false) };
    let id = world.add(leech, AddTorrent::new(Source::Magnet(Arc::new(magnet)), "disk"));
    world.complete(MINUTE, &[(leech, id)]);
    world.run(SECOND);
    assert_eq!(events_of(&world, tracker, leech), [TrackerEvent::Started, TrackerEvent::Completed]);
}

#[test]
fn bep_0003_stopped_is_announced_at_a_pause_and_started_after_it() {
    let mut world = World::new(65, Weather::calm());
    let tracker = world.tracker(1800);
    let content = content(65, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host();
    let id = world.seed(host, &content);
    world.run(SECOND);
    world.command(host, Command::Pause(id)).unwrap();
    world.run(10 * SECOND);
    assert_eq!(events_of(&world, tracker, host), [TrackerEvent::Started, TrackerEvent::Stopped]);
    world.command(host, Command::Resume(id)).unwrap();
    world.run(MINUTE);
    assert_eq!(events_of(&world, tracker, host).last(), Some(&TrackerEvent::Started));
}

#[test]
fn bep_0027_a_private_torrent_takes_peers_from_its_tracker_and_says_no_pex() {
    let mut world = World::new(66, Weather::calm());
    let tracker = world.tracker(1800);
    let made = options(Version::V1, &[("data", 200_000)], 32 << 10);
    let trackers = vec![vec![world.trackers[tracker].http_url()]];
    let made = millstream_core::create::CreateOptions { trackers, private: true, ..made };
    let content = Content::of(66, made);
    assert!(content.info().is_private());
    let (_, leech, id) = swarm(&mut world, &content);
    world.complete(MINUTE, &[(leech, id)]);
    let from = world.stranger_addr();
    let hash = content.info().info_hash().unwrap();
    let mut stranger = world.call(from, leech, hash, millstream_tests::world::stranger::all_features());
    for frame in stranger.listen(&mut world, SECOND) {
        let text = String::from_utf8_lossy(&frame).into_owned();
        assert!(!text.contains("ut_pex"), "{text}");
    }
}

#[test]
fn a_torrent_with_only_its_own_peers_asks_no_tracker() {
    let mut world = World::new(67, Weather::calm());
    let tracker = world.tracker(1800);
    let content = content(67, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host();
    world.add(host, AddTorrent { only_peers: true, ..AddTorrent::new(content.source(), "disk") });
    world.run(MINUTE);
    assert!(world.trackers[tracker].targets.is_empty());
}

/// A magnet link that names a seed, or whoever else is there.
fn magnet_naming(content: &Content, addr: SocketAddr) -> Source {
    let peers = vec![(addr.ip().to_string(), addr.port())];
    Source::Magnet(Arc::new(Magnet { peers, ..content.magnet(true, false) }))
}

#[test]
fn a_torrent_with_only_its_own_peers_calls_none_that_its_magnet_names() {
    let mut world = World::new(77, Weather::calm());
    let content = content(77, Vec::new());
    let (named, host, other) = (world.stranger_addr(), world.host(), world.host());
    let add = AddTorrent::new(magnet_naming(&content, named), "disk");
    world.add(host, AddTorrent { only_peers: true, ..add.clone() });
    world.add(other, add);
    world.run(MINUTE);
    assert_eq!(world.at(host).dialed, []);
    assert!(world.at(other).dialed.contains(&named), "others call them");
}

#[test]
fn peers_that_a_magnet_names_are_called_though_resume_data_has_the_metadata() {
    let mut world = World::new(78, Weather::calm());
    let content = content(78, Vec::new());
    let (seed, leech) = (world.host(), world.host());
    let id = world.seed(seed, &content);
    world.command(seed, Command::Save(id)).unwrap();
    world.run(MINUTE);
    let resume = world.at(seed).saved(&content.source());
    assert!(resume.is_some());
    let magnet = magnet_naming(&content, world.addr(seed));
    let id = world.add(leech, AddTorrent { resume, ..AddTorrent::new(magnet, "disk") });
    assert!(world.at(leech).engine.info(id).is_some(), "it is known at once");
    world.complete(MINUTE, &[(leech, id)]);
    assert!(world.is_whole(leech, &content));
}

#[test]
fn a_tracker_that_is_down_for_a_day_is_asked_more_and_more_seldom() {
    let mut world = World::new(68, Weather::calm());
    let tracker = world.tracker(1800);
    world.trackers[tracker].up = false;
    let content = content(68, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host();
    world.seed(host, &content);
    world.run(24 * 60 * MINUTE);
    let failed = world.news(host, |news| matches!(news, TorrentEvent::TrackerFailed { .. }).then_some(()));
    assert!((5..=200).contains(&failed.len()), "{}", failed.len());
}

#[test]
fn pitfall_5_the_key_stays_the_same_over_announces_and_differs_between_hosts() {
    let mut world = World::new(69, Weather::calm());
    let tracker = world.tracker(120);
    let content = content(69, vec![vec![world.trackers[tracker].http_url()]]);
    let (seed, leech, _) = swarm(&mut world, &content);
    world.run(10 * MINUTE);
    let keys = |host: HostId| {
        let of = world.trackers[tracker].announces.iter().filter(|(from, ..)| *from == world.addr(host));
        let mut keys: Vec<u32> = of.map(|(_, query, _)| query.key).collect();
        keys.dedup();
        keys
    };
    assert_eq!((keys(seed).len(), keys(leech).len()), (1, 1));
    assert_ne!(keys(seed), keys(leech));
}

#[test]
fn a_forwarded_port_is_announced_instead_of_the_bound_one() {
    let mut world = World::new(70, Weather::calm());
    let tracker = world.tracker(1800);
    let content = content(70, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host_with(Config { announce_port: Some(40_000), ..Config::default() });
    world.seed(host, &content);
    world.run(SECOND);
    assert_eq!(world.trackers[tracker].announces[0].1.port, 40_000);
}

#[test]
fn behind_a_proxy_the_port_that_the_user_named_is_announced_else_one_that_leads_nowhere() {
    for (announce_port, port) in [(Some(40_000), 40_000), (None, 1)] {
        let mut world = World::new(79, Weather::calm());
        let tracker = world.tracker(1800);
        let content = content(79, vec![vec![world.trackers[tracker].http_url()]]);
        let proxy = Some(millstream_core::base::ProxyId(1));
        let host = world.host_with(Config { announce_port, proxy, ..Config::default() });
        world.seed(host, &content);
        world.run(SECOND);
        let ports: Vec<u16> =
            world.trackers[tracker].announces.iter().map(|(_, query, _)| query.port).collect();
        assert_eq!(ports, [port]);
    }
}

#[test]
fn bep_0052_a_hybrid_is_announced_under_both_hashes_and_a_peer_seen_twice_is_one() {
    let mut world = World::new(71, Weather::calm());
    let tracker = world.tracker(1800);
    let made = options(Version::Hybrid, &[("data", 200_000)], 32 << 10);
    let trackers = vec![vec![world.trackers[tracker].http_url()]];
    let content = Content::of(71, millstream_core::create::CreateOptions { trackers, ..made });
    let (_, leech, id) = swarm(&mut world, &content);
    world.complete(MINUTE, &[(leech, id)]);
    let mut hashes: Vec<_> =
        world.trackers[tracker].announces.iter().map(|(_, query, _)| query.info_hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 2);
    assert_eq!(world.at(leech).dialed.len(), 1, "one call to one peer");
}

/// A seed and a leech of both families, which know nobody but a tracker: each asks it once over each family, with the
/// same key, and calls whom it is told of in both.
fn each_family_asks(seed: u8, url: fn(&World, usize) -> String) {
    let mut world = World::new(u64::from(seed), Weather::calm());
    let tracker = world.tracker(1800);
    let url = url(&world, tracker);
    let content = content(seed, vec![vec![url]]);
    let (seed, leech) = (world.host_6(), world.host_6());
    world.seed(seed, &content);
    world.run(10 * SECOND);
    let heard: Vec<_> = world.trackers[tracker]
        .announces
        .iter()
        .map(|(from, query, _)| (from.is_ipv4(), query.event, query.key))
        .collect();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard.iter().all(|(_, event, key)| (*event, *key) == (TrackerEvent::Started, heard[0].2)));
    assert_ne!(heard[0].0, heard[1].0);
    let id = world.leech(leech, &content, &[]);
    world.complete(MINUTE, &[(leech, id)]);
    let called = &world.at(leech).dialed;
    assert!(
        called.iter().any(|addr| addr.is_ipv6()) && called.iter().any(|addr| addr.is_ipv4()),
        "{called:?}"
    );
    assert_eq!(world.status(leech, id).wasted, 0);
}

#[test]
fn bep_0007_each_family_announces_to_a_udp_tracker_with_the_same_key_and_gets_its_own_peers() {
    each_family_asks(73, |world, tracker| world.trackers[tracker].udp_url());
}

#[test]
fn bep_0007_each_family_announces_to_an_http_tracker_from_where_it_listens() {
    each_family_asks(77, |world, tracker| world.trackers[tracker].http_url());
}

#[test]
fn a_tracker_that_no_family_reaches_is_told_of_once_after_the_last_one() {
    let mut world = World::new(78, Weather::calm());
    let tracker = world.tracker(1800);
    world.trackers[tracker].hangs = true;
    let content = content(78, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host_6();
    world.seed(host, &content);
    let failures = |world: &World| {
        let failed = |event: &&Event| matches!(event, Event::Torrent(_, TorrentEvent::TrackerFailed { .. }));
        world.at(host).events.iter().filter(failed).count()
    };
    world.run(29 * SECOND);
    assert_eq!((world.trackers[tracker].targets.len(), failures(&world)), (2, 0));
    world.run(10 * SECOND);
    assert_eq!(failures(&world), 1);
}

#[test]
fn a_tracker_that_never_answered_does_not_hold_up_the_end() {
    let mut world = World::new(73, Weather::calm());
    let tracker = world.tracker(1800);
    world.trackers[tracker].hangs = true;
    let content = content(73, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host();
    world.seed(host, &content);
    world.run(2 * SECOND);
    assert_eq!(world.trackers[tracker].targets.len(), 1, "its answer is awaited");
    let by = world.now + MINUTE;
    world.command(host, Command::Stop { by }).unwrap();
    let ended = |world: &World| world.at(host).events.iter().any(|event| matches!(event, Event::Stopped));
    assert!(world.until(2 * SECOND, ended));
    assert!(
        world.trackers[tracker].targets.last().unwrap().contains("event=stopped"),
        "it may have heard us"
    );
}

#[test]
fn who_heard_us_hears_that_we_stopped_though_another_tracker_hangs() {
    let mut world = World::new(74, Weather::calm());
    let tracker = world.tracker(1800);
    let content = content(74, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host();
    world.seed(host, &content);
    world.run(2 * SECOND);
    world.trackers[tracker].hangs = true;
    let begun = world.now;
    world.command(host, Command::Stop { by: begun + MINUTE }).unwrap();
    let ended = |world: &World| world.at(host).events.iter().any(|event| matches!(event, Event::Stopped));
    assert!(world.until(MINUTE, ended));
    assert_eq!(world.now.saturating_since(begun).as_secs(), 5, "it is waited for as long as is bounded");
}

#[test]
fn a_tracker_that_refuses_is_asked_once_and_told_of_once() {
    for version in [Version::V1, Version::Hybrid] {
        let mut world = World::new(75, Weather::calm());
        let tracker = world.tracker(1800);
        world.trackers[tracker].refuses = true;
        let made = options(version, &[("data", 200_000)], 32 << 10);
        let trackers = vec![vec![world.trackers[tracker].http_url()]];
        let content = Content::of(75, millstream_core::create::CreateOptions { trackers, ..made });
        let (host, leech) = (world.host(), world.host());
        world.seed(host, &content);
        let id = world.leech(leech, &content, &[host]);
        world.complete(MINUTE, &[(leech, id)]);
        world.run(30 * SECOND);
        for host in [host, leech] {
            let failed =
                world.news(host, |news| matches!(news, TorrentEvent::TrackerFailed { .. }).then_some(()));
            assert_eq!(failed.len(), 1, "{version:?}");
        }
        let hashes = if version == Version::V1 { 1 } else { 2 };
        assert_eq!(world.trackers[tracker].targets.len(), 2 * hashes, "{version:?}");
    }
}

/// What a host was told of scrapes: URL, seeds, leeches, downloads.
fn scraped(world: &World, host: HostId) -> Vec<(String, u32, u32, u32)> {
    world.news(host, |news| {
        if let TorrentEvent::Scraped { url, seeds, leeches, downloaded } = news {
            Some((url.to_string(), *seeds, *leeches, *downloaded))
        } else {
            None
        }
    })
}

#[test]
fn bep_0048_a_scrape_over_http_or_udp_tells_how_many_are_in_the_swarm() {
    for udp in [false, true] {
        let mut world = World::new(77, Weather::calm());
        let tracker = world.tracker(1800);
        let url = match udp {
            true => world.trackers[tracker].udp_url(),
            false => world.trackers[tracker].http_url(),
        };
        let content = content(77, vec![vec![url.clone()]]);
        let (_, leech, id) = swarm(&mut world, &content);
        world.complete(MINUTE, &[(leech, id)]);
        world.run(10 * SECOND);
        let (now, hash) = (world.now, content.info().info_hash().unwrap());
        let newcomer = world.stranger_addr();
        world.trackers[tracker].know(now, hash, newcomer);
        let announces = world.trackers[tracker].announces.len();
        world.command(leech, Command::Scrape(id)).unwrap();
        // Not asked again: the first answer tells.
        world.command(leech, Command::Scrape(id)).unwrap();
        world.run(10 * SECOND);
        assert_eq!(scraped(&world, leech), [(url, 2, 1, 1)], "udp: {udp}");
        let status = &world.at(leech).engine.trackers(world.now, id)[0];
        assert_eq!((status.seeds, status.leeches), (Some(2), Some(1)));
        assert!(status.next_in.is_some_and(|next| !next.is_zero()), "the next announce is awaited");
        assert_eq!(world.trackers[tracker].scrapes, 1);
        assert_eq!(world.trackers[tracker].announces.len(), announces, "a scrape is no announce");
        world.command(leech, Command::Scrape(id)).unwrap();
        world.run(10 * SECOND);
        assert_eq!(scraped(&world, leech).len(), 2, "it can be asked again");
    }
}

#[test]
fn bep_0048_a_scrape_over_udp_outlives_lost_datagrams() {
    for seed in 0..6 {
        let weather = Weather { datagram_losses_per_mille: 300, ..Weather::calm() };
        let mut world = World::new(seed, weather);
        let tracker = world.tracker(1800);
        let content = content(78, vec![vec![world.trackers[tracker].udp_url()]]);
        let host = world.host();
        let id = world.seed(host, &content);
        world.run(5 * MINUTE);
        world.command(host, Command::Scrape(id)).unwrap();
        world.run(5 * MINUTE);
        let failed =
            world.news(host, |news| matches!(news, TorrentEvent::TrackerFailed { .. }).then_some(()));
        assert!(scraped(&world, host).len() == 1 || !failed.is_empty(), "one answer, whatever happens");
    }
}

#[test]
fn bep_0048_a_scrape_that_brings_nothing_says_why_and_the_announces_go_on() {
    let mut world = World::new(79, Weather::calm());
    let tracker = world.tracker(300);
    let url = world.trackers[tracker].http_url();
    let content = content(79, vec![vec![url.clone()]]);
    let host = world.host();
    let id = world.seed(host, &content);
    world.run(10 * SECOND);
    world.trackers[tracker].refuses = true;
    world.command(host, Command::Scrape(id)).unwrap();
    world.run(10 * SECOND);
    let failed = world.news(host, |news| {
        if let TorrentEvent::TrackerFailed { url, error } = news {
            Some((url.to_string(), error.clone()))
        } else {
            None
        }
    });
    assert_eq!(failed, [(url, "the tracker refuses: not here".to_owned())]);
    world.trackers[tracker].refuses = false;
    let before = world.trackers[tracker].announces.len();
    world.run(6 * MINUTE);
    assert_eq!(world.trackers[tracker].announces.len(), before + 1, "in its interval, not after a pause");
}

#[test]
fn bep_0048_a_tracker_whose_url_has_no_announce_has_no_scrape() {
    let mut world = World::new(80, Weather::calm());
    let content = content(80, vec![vec!["http://tracker0.example/a".into()]]);
    let host = world.host();
    let id = world.seed(host, &content);
    world.command(host, Command::Scrape(id)).unwrap();
    let failed = world.news(host, |news| {
        if let TorrentEvent::TrackerFailed { error, .. } = news { Some(error.clone()) } else { None }
    });
    assert!(failed.contains(&"the tracker has no scrape".to_owned()), "{failed:?}");
}

#[test]
fn bep_0048_a_scrape_under_way_does_not_hold_up_the_end() {
    let mut world = World::new(81, Weather::calm());
    let tracker = world.tracker(1800);
    let content = content(81, vec![vec![world.trackers[tracker].http_url()]]);
    let host = world.host();
    let id = world.add(host, AddTorrent { paused: true, ..AddTorrent::new(content.source(), "disk") });
    world.trackers[tracker].hangs = true;
    world.command(host, Command::Scrape(id)).unwrap();
    world.command(host, Command::Stop { by: world.now + MINUTE }).unwrap();
    let ended = |world: &World| world.at(host).events.iter().any(|event| matches!(event, Event::Stopped));
    assert!(world.until(2 * SECOND, ended));
}

#[test]
fn a_udp_tracker_that_no_socket_reaches_fails_at_once_and_says_why() {
    let mut world = World::new(76, Weather::calm());
    let content = content(76, vec![vec!["udp://[2001:db8::1]:6969/announce".into()]]);
    let host = world.host();
    world.seed(host, &content);
    world.run(SECOND);
    let failed = world.news(host, |news| {
        if let TorrentEvent::TrackerFailed { error, .. } = news { Some(error.clone()) } else { None }
    });
    assert_eq!(failed, ["no UDP socket is bound for the family of the tracker's address"]);
}

/// Each tracker's host and the events that it heard.
fn heard(world: &World) -> Vec<Vec<TrackerEvent>> {
    world.trackers.iter().map(|tracker| tracker.events()).collect()
}

/// A seed that knows the first of some trackers, a while after it began.
fn seed_of_first(seed: u8, trackers: usize) -> (World, HostId, TorrentId, Content, Vec<String>) {
    let mut world = World::new(u64::from(seed), Weather::calm());
    let urls: Vec<String> = (0..trackers)
        .map(|_| world.tracker(1800))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|n| if n % 2 == 0 { world.trackers[n].http_url() } else { world.trackers[n].udp_url() })
        .collect();
    let content = content(seed, vec![vec![urls[0].clone()]]);
    let host = world.host();
    let id = world.seed(host, &content);
    world.run(10 * MINUTE);
    (world, host, id, content, urls)
}

fn give(world: &mut World, host: HostId, id: TorrentId, tiers: &[&[&String]]) {
    let tiers = tiers.iter().map(|tier| tier.iter().map(|&url| url.clone()).collect()).collect();
    world.command(host, Command::Trackers(id, tiers)).unwrap();
    world.run(10 * SECOND);
}

#[test]
fn trackers_that_come_are_told_started_at_once_and_the_one_that_stays_is_asked_when_it_would_have_been() {
    use TrackerEvent::{None, Started};
    let (mut world, host, id, _, urls) = seed_of_first(82, 3);
    give(&mut world, host, id, &[&[&urls[0], &urls[1]], &[&urls[2]]]);
    assert_eq!(heard(&world), [[Started], [Started], [Started]]);
    let shown = world.at(host).engine.trackers(world.now, id);
    let shown: Vec<(&str, u32)> = shown.iter().map(|it| (&*it.url, it.tier)).collect();
    assert_eq!(shown, [(&*urls[0], 0), (&*urls[1], 0), (&*urls[2], 1)]);
    world.run(21 * MINUTE);
    assert_eq!(heard(&world), [vec![Started, None], vec![Started], vec![Started]]);
}

#[test]
fn bep_0003_a_tracker_that_goes_is_told_stopped_and_one_that_never_heard_us_nothing() {
    use TrackerEvent::{Started, Stopped};
    let (mut world, host, id, _, urls) = seed_of_first(83, 4);
    give(&mut world, host, id, &[&[&urls[1]]]);
    assert_eq!(heard(&world), [vec![Started, Stopped], vec![Started], vec![], vec![]]);
    world.trackers[2].hangs = true;
    give(&mut world, host, id, &[&[&urls[1]], &[&urls[2]]]);
    assert_eq!(world.trackers[2].targets.len(), 1, "its answer is awaited");
    give(&mut world, host, id, &[&[&urls[3]]]);
    assert_eq!(heard(&world)[1], [Started, Stopped], "over UDP too");
    assert!(world.trackers[2].targets[1].contains("event=stopped"), "it may have heard us");
    give(&mut world, host, id, &[]);
    assert_eq!(heard(&world)[3], [Started, Stopped]);
    assert!(world.at(host).engine.trackers(world.now, id).is_empty());
    let by = world.now + MINUTE;
    world.command(host, Command::Stop { by }).unwrap();
    assert!(world.until(SECOND, |world| world.at(host).events.iter().any(|it| matches!(it, Event::Stopped))));
    assert_eq!(heard(&world)[0], [Started, Stopped], "told once");
}

#[test]
fn trackers_that_change_during_a_pause_are_told_after_it() {
    use TrackerEvent::{Started, Stopped};
    let (mut world, host, id, _, urls) = seed_of_first(84, 2);
    world.command(host, Command::Pause(id)).unwrap();
    world.run(10 * SECOND);
    give(&mut world, host, id, &[&[&urls[1]]]);
    assert_eq!(heard(&world), [vec![Started, Stopped], vec![]]);
    world.command(host, Command::Resume(id)).unwrap();
    world.run(10 * SECOND);
    assert_eq!(heard(&world), [vec![Started, Stopped], vec![Started]]);
}

#[test]
fn trackers_that_the_application_named_outlive_a_restart() {
    let (mut world, host, id, content, urls) = seed_of_first(85, 2);
    for tiers in [vec![vec![&urls[1]]], vec![]] {
        let tiers: Vec<&[&String]> = tiers.iter().map(|tier| &**tier).collect();
        let id = world.at(host).engine.torrents().first().copied().unwrap_or(id);
        give(&mut world, host, id, &tiers);
        world.run(2 * MINUTE);
        let first = world.trackers[0].announces.len();
        world.crash(host, false);
        let resume = world.at(host).saved(&content.source());
        let id = world.add(host, AddTorrent { resume, ..AddTorrent::new(content.source(), "disk") });
        world.run(MINUTE);
        let shown = world.at(host).engine.trackers(world.now, id);
        let shown: Vec<&str> = shown.iter().map(|it| &*it.url).collect();
        assert_eq!(shown, tiers.iter().flat_map(|tier| tier.iter().map(|url| &***url)).collect::<Vec<_>>());
        assert_eq!(world.trackers[0].announces.len(), first, "it is none of ours any more");
        if !tiers.is_empty() {
            assert_eq!(heard(&world)[1], [TrackerEvent::Started; 2]);
        }
    }
}

#[test]
fn trackers_given_with_a_magnet_take_the_place_of_its_own() {
    let mut world = World::new(86, Weather::calm());
    let urls = [world.tracker(1800), world.tracker(1800)].map(|n| world.trackers[n].http_url());
    let content = content(86, vec![vec![urls[1].clone()]]);
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    world.run(SECOND);
    let magnet = Magnet { trackers: vec![urls[0].clone()], ..content.magnet(true, false) };
    let magnet = AddTorrent::new(Source::Magnet(Arc::new(magnet)), "disk");
    let id = world.add(leech, AddTorrent { trackers: Some(vec![vec![urls[1].clone()]]), ..magnet });
    world.complete(MINUTE, &[(leech, id)]);
    assert!(world.trackers[0].targets.is_empty());
}

#[test]
fn bep_0027_another_tracker_of_a_private_torrent_brings_peers_too() {
    let mut world = World::new(87, Weather::calm());
    let urls = [world.tracker(1800), world.tracker(1800)].map(|n| world.trackers[n].http_url());
    let made = options(Version::V1, &[("data", 200_000)], 32 << 10);
    let trackers = vec![vec![urls[0].clone()]];
    let content = Content::of(87, millstream_core::create::CreateOptions { trackers, private: true, ..made });
    world.trackers[0].up = false;
    let (seed, leech) = (world.host(), world.host());
    let seeds = world.seed(seed, &content);
    let id = world.leech(leech, &content, &[]);
    world.run(MINUTE);
    give(&mut world, seed, seeds, &[&[&urls[1]]]);
    give(&mut world, leech, id, &[&[&urls[1]]]);
    world.complete(MINUTE, &[(leech, id)]);
}

#[test]
fn a_url_at_which_no_tracker_can_be_and_more_trackers_than_may_be_are_refused_and_nothing_changes() {
    let (mut world, host, id, content, urls) = seed_of_first(88, 1);
    let many: Vec<String> = (0..65).map(|n| format!("http://t{n}.example/announce")).collect();
    let wrong: [&[String]; 4] = [
        &["ftp://a.example/".into()],
        &[urls[0].clone(), String::new()],
        &[format!("http://a.example/{}", "x".repeat(2048))],
        &many,
    ];
    for tier in wrong {
        let tiers = vec![tier.to_vec()];
        let refused = world.command(host, Command::Trackers(id, tiers.clone())).unwrap_err();
        if tier.len() == 65 {
            assert_eq!(refused, CommandError::TooManyTrackers(64));
        } else {
            assert!(matches!(refused, CommandError::Tracker { .. }), "{refused}");
        }
        assert_eq!(world.at(host).engine.trackers(world.now, id).len(), 1);
        let add = AddTorrent { trackers: Some(tiers), ..AddTorrent::new(content.source(), "disk") };
        let elsewhere = world.host();
        assert_eq!(world.command(elsewhere, Command::Add(Box::new(add))).unwrap_err(), refused);
    }
    let twice = vec![many[..64].to_vec(), many[..64].to_vec(), Vec::new()];
    world.command(host, Command::Trackers(id, twice)).unwrap();
    assert_eq!(world.at(host).engine.trackers(world.now, id).len(), 64, "each counts once");
}
