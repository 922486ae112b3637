//! Stories of web seeds (BEP 19): alone and beside peers, with servers of every kind.

use core::time::Duration;
use millstream_core::base::{Rng, TorrentId};
use millstream_core::engine::{
    AddTorrent, Command, Config, Rates, Selection, Source, State, TorrentEvent, WebSeedConfig, WebSeedState,
};
use millstream_core::wire::magnet::Magnet;
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::web::Manners;
use millstream_tests::world::{Content, HostId, Weather, World, options};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A leech that knows a web server with the content, and nobody else.
struct Story {
    world: World,
    leech: HostId,
    torrent: TorrentId,
    content: Content,
}

impl Story {
    fn new(seed: u64, content: Content, manners: Manners) -> Self {
        Self::with(World::new(seed, Weather::calm()), content, manners, Config::default())
    }

    fn with(mut world: World, content: Content, manners: Manners, config: Config) -> Self {
        let web = world.web(&content.files);
        world.webs[web].manners = manners;
        let leech = world.host_with(config);
        let torrent = world.leech(leech, &content, &[]);
        let url = world.webs[web].url();
        let command = Command::WebSeeds(torrent, vec![url]);
        world.command(leech, command).unwrap();
        Self { world, leech, torrent, content }
    }

    fn complete(&mut self, within: Duration) {
        self.world.complete(within, &[(self.leech, self.torrent)]);
        self.world.run(SECOND);
        assert!(self.world.is_whole(self.leech, &self.content));
        assert_eq!(self.world.at(self.leech).engine.link_counts(), (0, 0), "no link is kept");
    }

    fn state(&self) -> (WebSeedState, Option<String>) {
        let engine = &self.world.at(self.leech).engine;
        let seed = &engine.web_seeds(self.world.now, self.torrent)[0];
        (seed.state, seed.error.clone())
    }

    fn warnings(&self) -> Vec<String> {
        self.world.news(self.leech, |news| {
            if let TorrentEvent::Warning(text) = news { Some(text.clone()) } else { None }
        })
    }
}

#[test]
fn bep_0019_a_torrent_comes_from_a_web_seed_alone() {
    let mut story = Story::new(1, Content::v1(1, 3_000_000), Manners::default());
    story.complete(MINUTE);
    let status = story.world.status(story.leech, story.torrent);
    assert_eq!((status.downloaded, status.wasted), (3_000_000, 0));
    assert_eq!(story.world.webs[0].requests.len(), 1, "a long run is one request");
    let seeds = story.world.at(story.leech).engine.web_seeds(story.world.now, story.torrent);
    assert_eq!(
        (seeds[0].state, seeds[0].downloaded, &seeds[0].error),
        (WebSeedState::Idle, 3_000_000, &None)
    );
}

#[test]
fn pitfall_13_files_of_every_version_are_asked_one_by_one_without_pad_and_empty_ones() {
    for (n, version) in [Version::V1, Version::V2, Version::Hybrid].into_iter().enumerate() {
        let files = [("a b#.bin", 70_001), ("d/empty", 0), ("d/\u{e9}?", 5), ("d/z%20", 300_000), ("e", 1)];
        let content = Content::new(9, version, &files, 32 << 10);
        let mut story = Story::new(n as u64, content, Manners::default());
        story.complete(MINUTE);
        let requests = &story.world.webs[0].requests;
        let names: Vec<&str> = requests.iter().map(|r| r.url.split_once("/story/").unwrap().1).collect();
        for name in ["a%20b%23.bin", "d/%C3%A9%3F", "d/z%2520", "e"] {
            assert!(names.contains(&name), "{version:?}: {names:?}");
        }
        assert_eq!(names.len(), 4, "{version:?}: each file once, none for pad or emptiness: {names:?}");
        assert!(requests.iter().all(|request| request.range.is_none()), "whole files");
        assert_eq!(story.world.status(story.leech, story.torrent).wasted, 0);
    }
}

#[test]
fn pitfall_13_a_list_of_one_file_is_still_a_list_and_a_url_without_slash_is_the_file() {
    let listed = options(Version::V1, &[("one", 100_000)], 32 << 10);
    let listed = millstream_core::create::CreateOptions { multi_file: true, name: "folder".into(), ..listed };
    let mut story = Story::new(3, Content::of(3, listed), Manners::default());
    story.complete(MINUTE);
    assert_eq!(story.world.webs[0].requests[0].url, "http://web0.example/folder/one");
    let content = Content::v1(4, 100_000);
    let mut world = World::new(4, Weather::calm());
    let web = world.web(&[("other/name.bin".to_owned(), content.files[0].1.clone())]);
    let leech = world.host();
    let torrent = world.leech(leech, &content, &[]);
    let url = world.webs[web].url() + "other/name.bin";
    world.command(leech, Command::WebSeeds(torrent, vec![url])).unwrap();
    world.complete(MINUTE, &[(leech, torrent)]);
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_beginning() {
    let manners = || Manners { ranges: false, ..Manners::default() };
    let config = Config {
        web_seed: WebSeedConfig { run_bytes_max: 256 << 10, ..WebSeedConfig::default() },
        ..Config::default()
    };
    let content = Content::v1(5, 2_000_000);
    let mut story = Story::with(World::new(5, Weather::calm()), content, manners(), config);
    story.complete(MINUTE);
    assert_eq!(story.world.webs[0].requests.len(), 1, "the body goes on behind what was asked for");
    let files = [("a", 400_000), ("b", 400_000), ("c", 400_000)];
    let mut story = Story::new(6, Content::new(6, Version::V1, &files, 64 << 10), manners());
    story.complete(MINUTE);
}

#[test]
fn what_lies_too_deep_in_a_file_is_left_to_others_if_ranges_are_ignored() {
    let content = Content::v1(7, 4_000_000);
    let config = Config {
        web_seed: WebSeedConfig { skip_bytes_max: 500_000, ..WebSeedConfig::default() },
        ..Config::default()
    };
    let mut world = World::new(7, Weather::calm());
    let web = world.web(&content.files);
    world.webs[web].manners.ranges = false;
    let (seed, leech) = (world.host(), world.host_with(config));
    world.seed(seed, &content);
    // The first quarter is here already.
    let part = content.files[0].1[..1_000_000].to_vec();
    world.at_mut(leech).disk.put("disk/data", &part);
    let torrent = world.leech(leech, &content, &[]);
    let url = world.webs[web].url();
    world.command(leech, Command::WebSeeds(torrent, vec![url])).unwrap();
    world.run(MINUTE);
    let seeds = world.at(leech).engine.web_seeds(world.now, torrent);
    assert!(seeds[0].error.as_deref().unwrap().contains("ranges"), "{seeds:?}");
    let asked = world.webs[web].requests.len();
    assert!(asked <= 2, "{asked} requests");
    let addr = world.addr(seed);
    world.command(leech, Command::Peers(torrent, vec![addr])).unwrap();
    world.complete(MINUTE, &[(leech, torrent)]);
    assert!(world.is_whole(leech, &content));
}

#[test]
fn bep_0019_web_seeds_and_peers_give_to_one_torrent_side_by_side() {
    let content = Content::v1(8, 6_000_000);
    let mut world = World::new(8, Weather::fair(400_000));
    let web = world.web(&content.files);
    world.webs[web].manners.rate = Some(400_000);
    let (seed, leech) = (world.host(), world.host());
    let given = world.seed(seed, &content);
    let torrent = world.leech(leech, &content, &[seed]);
    let url = world.webs[web].url();
    world.command(leech, Command::WebSeeds(torrent, vec![url])).unwrap();
    world.complete(MINUTE, &[(leech, torrent)]);
    assert!(world.is_whole(leech, &content));
    let seeds = world.at(leech).engine.web_seeds(world.now, torrent);
    let (by_web, by_peer) = (seeds[0].downloaded, world.status(seed, given).uploaded);
    assert!(by_web > 1_500_000 && by_peer > 1_500_000, "{by_web} {by_peer}");
    let wasted = world.status(leech, torrent).wasted;
    assert!(wasted < 300_000, "{wasted} bytes came twice");
}

#[test]
fn two_web_seeds_share_the_work() {
    let content = Content::v1(9, 4_000_000);
    let mut world = World::new(9, Weather::calm());
    let webs = [world.web(&content.files), world.web(&content.files)];
    for web in webs {
        world.webs[web].manners.rate = Some(100_000);
    }
    let leech = world.host();
    let torrent = world.leech(leech, &content, &[]);
    let urls = webs.map(|web| world.webs[web].url()).to_vec();
    world.command(leech, Command::WebSeeds(torrent, urls)).unwrap();
    world.complete(26 * SECOND, &[(leech, torrent)]);
    assert_eq!(world.status(leech, torrent).wasted, 0);
    assert!(webs.into_iter().all(|web| world.webs[web].requests.len() <= 12));
}

#[test]
fn short_bodies_are_asked_on_after_a_pause() {
    let content = Content::v1(10, 1_000_000);
    let mut story = Story::new(10, content, Manners { short: Some(300_000), ..Manners::default() });
    story.world.run(SECOND);
    assert_eq!(story.state().0, WebSeedState::Resting);
    story.complete(10 * MINUTE);
    let requests = story.world.webs[0].requests.len();
    assert!((4..=6).contains(&requests), "{requests} requests");
    assert!(story.warnings()[0].contains("ended early"), "{:?}", story.warnings());
}

#[test]
fn a_file_that_is_not_there_is_left_to_peers_and_the_others_are_fetched() {
    let files = [("a", 200_000), ("gone", 200_000), ("c", 200_000)];
    let content = Content::new(11, Version::V2, &files, 32 << 10);
    let mut world = World::new(11, Weather::calm());
    let served: Vec<_> = content.files.iter().filter(|(path, _)| path != "story/gone").cloned().collect();
    let web = world.web(&served);
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let torrent = world.leech(leech, &content, &[]);
    let url = world.webs[web].url();
    world.command(leech, Command::WebSeeds(torrent, vec![url])).unwrap();
    world.run(MINUTE);
    let status = world.status(leech, torrent);
    assert_eq!(status.verified, 400_000, "all that the server has");
    let asked = world.webs[web].requests.iter().filter(|request| request.url.ends_with("gone")).count();
    assert_eq!(asked, 1, "what is not there is asked once");
    let addr = world.addr(seed);
    world.command(leech, Command::Peers(torrent, vec![addr])).unwrap();
    world.complete(MINUTE, &[(leech, torrent)]);
}

#[test]
fn a_server_without_the_torrent_is_never_asked_again() {
    let content = Content::v1(12, 100_000);
    let mut story = Story::new(12, content, Manners { refuses: (1, 410, None), ..Manners::default() });
    story.world.run(60 * MINUTE);
    assert_eq!((story.state().0, story.world.webs[0].requests.len()), (WebSeedState::Gone, 1));
    assert_eq!(story.warnings().len(), 1, "told once");
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    let content = Content::v1(13, 100_000);
    let refuses = (1, 503, Some(40 * SECOND));
    let mut story = Story::new(13, content, Manners { refuses, ..Manners::default() });
    story.world.run(39 * SECOND);
    assert_eq!((story.state().0, story.world.webs[0].requests.len()), (WebSeedState::Resting, 1));
    story.complete(20 * SECOND);
}

#[test]
fn a_server_that_fails_again_and_again_is_asked_less_and_less() {
    let content = Content::v1(14, 100_000);
    let refuses = (u32::MAX, 500, None);
    let mut story = Story::new(14, content, Manners { refuses, ..Manners::default() });
    story.world.run(60 * MINUTE);
    let requests = story.world.webs[0].requests.len();
    assert!((8..=13).contains(&requests), "{requests} requests in an hour");
}

#[test]
fn a_web_seed_that_lies_is_banned_after_few_pieces_and_peers_do_the_rest() {
    let content = Content::v1(15, 3_000_000);
    let manners = Manners { lies: Some(10_000), ..Manners::default() };
    let mut story = Story::new(15, content.clone(), manners);
    story.world.run(MINUTE);
    assert_eq!(story.state().0, WebSeedState::Gone);
    assert!(story.state().1.unwrap().contains("digest"));
    assert_eq!(story.world.status(story.leech, story.torrent).verified, 0);
    let seed = story.world.host();
    story.world.seed(seed, &content);
    let addr = story.world.addr(seed);
    story.world.command(story.leech, Command::Peers(story.torrent, vec![addr])).unwrap();
    story.complete(MINUTE);
}

#[test]
fn a_slow_web_seed_does_not_hold_up_what_peers_have() {
    let content = Content::v1(16, 2_000_000);
    let mut world = World::new(16, Weather::fair(200_000));
    let web = world.web(&content.files);
    world.webs[web].manners.rate = Some(1_000);
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let torrent = world.leech(leech, &content, &[seed]);
    let url = world.webs[web].url();
    world.command(leech, Command::WebSeeds(torrent, vec![url])).unwrap();
    world.complete(40 * SECOND, &[(leech, torrent)]);
}

#[test]
fn a_server_that_never_answers_or_stops_sending_is_given_up_and_tried_later() {
    let content = Content::v1(17, 600_000);
    let mut story = Story::new(17, content.clone(), Manners { hangs: true, ..Manners::default() });
    story.world.run(31 * SECOND);
    assert_eq!(story.state().0, WebSeedState::Resting);
    story.world.webs[0].manners.hangs = false;
    story.complete(MINUTE);
    let mut story = Story::new(18, content, Manners { stalls: Some(100_000), ..Manners::default() });
    story.world.run(31 * SECOND);
    assert_eq!(story.state().0, WebSeedState::Resting);
    story.world.webs[0].manners.stalls = None;
    story.complete(MINUTE);
}

#[test]
fn no_byte_is_read_beyond_what_was_asked_for() {
    let content = Content::v1(19, 700_000);
    let mut story = Story::new(19, content, Manners { extra: 500_000, ..Manners::default() });
    story.complete(MINUTE);
    let seeds = story.world.at(story.leech).engine.web_seeds(story.world.now, story.torrent);
    assert_eq!(seeds[0].downloaded, 700_000);
}

#[test]
fn a_range_that_was_not_asked_for_is_not_used() {
    let content = Content::v1(20, 2_000_000);
    let config = Config {
        web_seed: WebSeedConfig { run_bytes_max: 256 << 10, ..WebSeedConfig::default() },
        ..Config::default()
    };
    let manners = Manners { shift: 16 << 10, ..Manners::default() };
    let mut story = Story::with(World::new(20, Weather::calm()), content, manners, config);
    story.world.run(SECOND);
    assert!(story.state().1.unwrap().contains("another range"), "{:?}", story.state());
    assert_eq!(story.world.status(story.leech, story.torrent).downloaded, 0);
    story.world.webs[0].manners.shift = 0;
    story.complete(MINUTE);
}

#[test]
fn what_a_read_brings_too_early_is_used_when_it_is_asked_for() {
    let weather = Weather {
        read_bytes: (512 << 10, 512 << 10),
        window_bytes: 1 << 20,
        overrun_bytes: 256 << 10,
        ..Weather::calm()
    };
    let files = [("a", 300_000), ("b", 300_001), ("c", 300_002), ("d", 77)];
    for version in [Version::V1, Version::Hybrid] {
        let content = Content::new(31, version, &files, 16 << 10);
        let world = World::new(31, weather);
        let mut story = Story::with(world, content, Manners::default(), Config::default());
        story.complete(10 * SECOND);
        assert_eq!((story.world.webs[0].requests.len(), story.warnings().len()), (4, 0));
    }
}

#[test]
fn a_rate_limit_holds_for_web_seeds() {
    let content = Content::v1(21, 1_000_000);
    let mut world = World::new(21, Weather::calm());
    let web = world.web(&content.files);
    let leech = world.host();
    let rates = Rates { download: Some(50_000), upload: None };
    let torrent = world.add(leech, AddTorrent { rates, ..AddTorrent::new(content.source(), "disk") });
    let url = world.webs[web].url();
    world.command(leech, Command::WebSeeds(torrent, vec![url])).unwrap();
    world.run(10 * SECOND);
    let downloaded = world.status(leech, torrent).downloaded;
    assert!((400_000..=650_000).contains(&downloaded), "{downloaded}");
    world.complete(MINUTE, &[(leech, torrent)]);
    assert_eq!(world.webs[web].requests.len(), 1, "a slow reader keeps its link");
}

#[test]
fn memory_is_bounded_while_the_disk_is_slow() {
    let content = Content::v1(22, 8_000_000);
    let weather = Weather { job_us: (400_000, 500_000), ..Weather::calm() };
    let config = Config { store_bytes_max: 300 << 10, ..Config::default() };
    let mut story = Story::with(World::new(22, weather), content, Manners::default(), config);
    let mut most = 0;
    while !story.world.is_complete(story.leech, story.torrent) {
        story.world.run(50 * Duration::from_millis(1));
        let status = story.world.status(story.leech, story.torrent);
        most = most.max(status.downloaded - status.verified);
        assert!(story.world.now.as_micros() < 300_000_000, "{status:?}");
    }
    assert!(most <= (300 << 10) + (64 << 10), "{most} bytes came before others were written");
}

#[test]
fn only_peers_and_the_setting_mean_no_web_seed() {
    let content = Content::of(
        23,
        millstream_core::create::CreateOptions {
            web_seeds: vec!["http://web0.example/".into()],
            ..options(Version::V1, &[("data", 100_000)], 32 << 10)
        },
    );
    for (only_peers, web_seeds) in [(true, true), (false, false), (false, true)] {
        let mut world = World::new(23, Weather::calm());
        let web = world.web(&content.files);
        let leech = world.host_with(Config { web_seeds, ..Config::default() });
        let add = AddTorrent { only_peers, ..AddTorrent::new(content.source(), "disk") };
        let torrent = world.add(leech, add);
        let url = world.webs[web].url();
        world.command(leech, Command::WebSeeds(torrent, vec![url])).unwrap();
        world.run(MINUTE);
        let may = !only_peers && web_seeds;
        assert_eq!(world.webs[web].requests.len(), usize::from(may));
        assert_eq!(world.is_complete(leech, torrent), may);
    }
}

#[test]
fn bep_0027_a_private_torrent_may_use_its_web_seeds() {
    let options = millstream_core::create::CreateOptions {
        private: true,
        ..options(Version::V1, &[("data", 100_000)], 32 << 10)
    };
    let mut story = Story::new(24, Content::of(24, options), Manners::default());
    story.complete(MINUTE);
}

#[test]
fn pitfall_13_a_magnets_ws_is_asked_when_the_metadata_has_come() {
    let content = Content::v1(25, 500_000);
    let mut world = World::new(25, Weather::calm());
    let web = world.web(&content.files);
    let seed =
        world.host_with(Config { rates: Rates { upload: Some(1), ..Rates::default() }, ..Config::default() });
    world.seed(seed, &content);
    let leech = world.host();
    let magnet = Magnet { web_seeds: vec![world.webs[web].url()], ..content.magnet(true, false) };
    let peers = vec![world.addr(seed)];
    let source = Source::Magnet(Arc::new(magnet));
    let torrent = world.add(leech, AddTorrent { peers, ..AddTorrent::new(source, "disk") });
    world.complete(5 * MINUTE, &[(leech, torrent)]);
    assert!(world.at(leech).engine.web_seeds(world.now, torrent)[0].downloaded >= 450_000);
}

#[test]
fn a_pause_ends_the_link_and_a_resume_goes_on() {
    let content = Content::v1(26, 1_000_000);
    let mut story = Story::new(26, content, Manners { rate: Some(100_000), ..Manners::default() });
    story.world.run(3 * SECOND);
    story.world.command(story.leech, Command::Pause(story.torrent)).unwrap();
    story.world.run(SECOND);
    assert_eq!(story.world.at(story.leech).engine.link_counts(), (0, 0));
    assert_eq!(story.state().0, WebSeedState::Idle);
    let before = story.world.status(story.leech, story.torrent).downloaded;
    story.world.run(5 * SECOND);
    assert_eq!(story.world.status(story.leech, story.torrent).downloaded, before);
    story.world.command(story.leech, Command::Resume(story.torrent)).unwrap();
    story.world.run(2 * SECOND);
    story.world.command(story.leech, Command::Recheck(story.torrent)).unwrap();
    story.complete(20 * SECOND);
    let wasted = story.world.status(story.leech, story.torrent).downloaded - 1_000_000;
    assert!(wasted < 400_000, "{wasted}");
}

#[test]
fn only_selected_files_are_asked_for_and_others_when_they_are_selected() {
    let files = [("a", 300_000), ("b", 300_000), ("c", 300_000)];
    let content = Content::new(27, Version::Hybrid, &files, 32 << 10);
    let mut world = World::new(27, Weather::calm());
    let web = world.web(&content.files);
    let leech = world.host();
    let selection = Some(Selection::Files(vec![1]));
    let torrent = world.add(leech, AddTorrent { selection, ..AddTorrent::new(content.source(), "disk") });
    let url = world.webs[web].url();
    world.command(leech, Command::WebSeeds(torrent, vec![url])).unwrap();
    world.complete(MINUTE, &[(leech, torrent)]);
    assert_eq!(world.webs[web].requests.len(), 1);
    world.command(leech, Command::Select(torrent, Selection::All)).unwrap();
    world.complete(MINUTE, &[(leech, torrent)]);
    assert!(world.is_whole(leech, &content) && world.webs[web].requests.len() == 3);
}

#[test]
fn web_seeds_named_at_run_time_are_remembered_with_the_rest() {
    let content = Content::v1(28, 400_000);
    let mut story = Story::new(28, content.clone(), Manners { rate: Some(50_000), ..Manners::default() });
    story.world.run(3 * SECOND);
    story.world.command(story.leech, Command::Save(story.torrent)).unwrap();
    story.world.run(SECOND);
    let resume = story.world.at(story.leech).saved(&content.source());
    story.world.crash(story.leech, false);
    let add = AddTorrent { resume, ..AddTorrent::new(content.source(), "disk") };
    story.torrent = story.world.add(story.leech, add);
    story.complete(MINUTE);
}

#[test]
fn urls_that_can_not_be_asked_are_told_and_no_harm() {
    let content = Content::v1(29, 100_000);
    let mut world = World::new(29, Weather::calm());
    let leech = world.host();
    let torrent = world.leech(leech, &content, &[]);
    let urls = ["ftp://h/x", "http:///x", "https://", "", "http://nowhere.example/"];
    let command = Command::WebSeeds(torrent, urls.map(String::from).to_vec());
    world.command(leech, command).unwrap();
    world.run(MINUTE);
    let seeds = world.at(leech).engine.web_seeds(world.now, torrent);
    let gone = seeds.iter().filter(|seed| seed.state == WebSeedState::Gone).count();
    assert_eq!((seeds.len(), gone), (5, 4));
    assert_eq!(world.status(leech, torrent).state, State::Leeching);
    let many = (0..100).map(|n| format!("http://h{n}/")).collect();
    world.command(leech, Command::WebSeeds(torrent, many)).unwrap();
    assert_eq!(world.at(leech).engine.web_seeds(world.now, torrent).len(), 32);
}

#[test]
fn links_to_web_servers_count_among_all_links() {
    let content = Content::v1(30, 300_000);
    let config = Config { links_max: 1, ..Config::default() };
    let mut world = World::new(30, Weather::calm());
    let webs = [world.web(&content.files), world.web(&content.files)];
    let leech = world.host_with(config);
    let torrent = world.leech(leech, &content, &[]);
    let urls = webs.map(|web| world.webs[web].url()).to_vec();
    world.command(leech, Command::WebSeeds(torrent, urls)).unwrap();
    world.complete(5 * MINUTE, &[(leech, torrent)]);
    assert!(webs.into_iter().all(|web| world.webs[web].links_most <= 1));
}

#[test]
fn swarms_with_web_seeds_end_well_in_any_weather() {
    for seed in 40..52 {
        let version = [Version::V1, Version::V2, Version::Hybrid][seed as usize % 3];
        let files = [("a", 150_000), ("b", 0), ("c/d", 333_333), ("e", 77)];
        let content = Content::new(seed as u8, version, &files, 32 << 10);
        let mut world = World::new(seed, Weather::rough());
        let webs: Vec<usize> = (0..1 + seed as usize % 3).map(|_| world.web(&content.files)).collect();
        let urls: Vec<String> = webs.iter().map(|&web| world.webs[web].url()).collect();
        world.webs[webs[0]].manners.ranges = seed % 2 == 0;
        let hosts: Vec<HostId> = (0..3).map(|_| world.host()).collect();
        let all: Vec<(HostId, TorrentId)> =
            hosts.iter().map(|&host| (host, world.leech(host, &content, &hosts))).collect();
        for &(host, torrent) in &all {
            world.command(host, Command::WebSeeds(torrent, urls.clone())).unwrap();
        }
        world.complete(30 * MINUTE, &all);
        assert!(hosts.iter().all(|&host| world.is_whole(host, &content)));
    }
}

#[test]
fn servers_drawn_at_random_do_no_harm() {
    for seed in 0..4_000_u64 {
        let mut rng = Rng::new([7; 32]).fork_at("web server", seed);
        let mut input = vec![0; 2 + rng.below(300) as usize];
        rng.fill(&mut input);
        millstream_tests::fuzz::webseed(&input);
    }
}
