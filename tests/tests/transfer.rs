//! Stories of one torrent going from a seed to a leech: what is fetched, in which order, how fast, and how it ends.

use core::time::Duration;
use millstream_core::engine::{AddTorrent, Command, Config, Event, Rates, Selection, State, TorrentEvent};
use millstream_core::wire::metainfo::Version;
use millstream_core::wire::tracker::TrackerEvent;
use millstream_tests::pair::Pair;
use millstream_tests::world::{Content, Weather, World, options};

/// Pieces at the most that may be had while choked (BEP 6).
const ALLOWED_FAST: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

fn failures(pair: &Pair) -> Vec<String> {
    pair.world
        .news(pair.leech, |news| if let TorrentEvent::Failed(why) = news { Some(why.clone()) } else { None })
}

/// The pieces of the leech in the order in which they were verified.
fn order(pair: &Pair) -> Vec<u32> {
    pair.world.news(pair.leech, |news| {
        if let TorrentEvent::Verified(piece) = news { Some(piece.get()) } else { None }
    })
}

#[test]
fn bep_0003_a_leech_gets_every_byte_from_a_seed() {
    let mut pair = Pair::new(1);
    pair.connect();
    pair.complete();
    let status = pair.world.status(pair.leech, pair.leech_torrent);
    assert_eq!((status.state, status.verified, status.downloaded), (State::Seeding, 300_000, 300_000));
    assert_eq!(status.wasted, 0);
    let completed = |event: &TorrentEvent| matches!(event, TorrentEvent::Completed).then_some(());
    assert_eq!(pair.world.news(pair.leech, completed).len(), 1);
    assert_eq!(pair.world.at(pair.leech).bytes_written, 300_000, "each byte is written once");
    assert_eq!(pair.world.status(pair.seed, pair.seed_torrent).uploaded, 300_000);
}

#[test]
fn bep_0003_two_who_have_all_keep_no_link() {
    let mut pair = Pair::new(2);
    pair.connect();
    pair.complete();
    pair.drive();
    assert_eq!(pair.world.status(pair.leech, pair.leech_torrent).peers, 0);
    assert_eq!(pair.world.at(pair.seed).engine.link_counts(), (0, 0));
}

#[test]
fn bep_0003_rarest_first_is_no_order_of_numbers_and_sequential_is() {
    let content = Content::v1(4, 40 * (16 << 10));
    let add = AddTorrent { sequential: true, ..AddTorrent::new(content.source(), "disk") };
    let mut pair = Pair::built(3, content.clone(), add, Default::default());
    pair.connect();
    pair.complete();
    // What is allowed fast comes while all else is choked.
    let in_order = order(&pair).split_off(ALLOWED_FAST);
    assert!(in_order.is_sorted(), "{in_order:?}");
    let mut pair = Pair::with(3, content);
    pair.connect();
    pair.complete();
    assert!(!order(&pair).split_off(ALLOWED_FAST).is_sorted());
}

#[test]
fn what_has_a_deadline_comes_before_all_else() {
    let content = Content::v1(5, 64 * (32 << 10));
    let rates = Rates { upload: Some(100_000), ..Rates::default() };
    let configs = [Config { rates, ..Config::default() }, Config::default()];
    let add = AddTorrent::new(content.source(), "disk");
    let mut pair = Pair::built(4, content, add, configs);
    pair.connect();
    pair.world.run(Duration::from_secs(3));
    let before = order(&pair);
    let last: Vec<u32> = (0..64).filter(|piece| !before.contains(piece)).rev().take(3).collect();
    for &piece in &last {
        let (start, length) = (u64::from(piece) * (32 << 10), 32 << 10);
        let by = pair.world.now + Duration::from_secs(5);
        let command = Command::Deadline { torrent: pair.leech_torrent, start, length, by };
        pair.world.command(pair.leech, command).unwrap();
    }
    pair.world.run(Duration::from_secs(5));
    let after = order(&pair);
    assert!(after.len() < 40, "much is still missing");
    assert!(last.iter().all(|piece| after.contains(piece)), "{last:?} of {after:?}");
    pair.complete();
}

#[test]
fn what_is_not_selected_is_fetched_by_its_deadline_and_no_more_of_it() {
    let content = Content::v1(15, 64 * (32 << 10));
    let selection = Some(Selection::Files(vec![]));
    let add = AddTorrent { selection, ..AddTorrent::new(content.source(), "disk") };
    let mut pair = Pair::built(4, content, add, Default::default());
    pair.connect();
    pair.world.run(Duration::from_secs(60));
    assert!(order(&pair).is_empty(), "nothing is selected");
    let want = |pair: &mut Pair, start: u64, length: u64| {
        let by = pair.world.now + Duration::from_secs(1);
        let command = Command::Deadline { torrent: pair.leech_torrent, start, length, by };
        pair.world.command(pair.leech, command).unwrap();
    };
    for piece in [63, 7, 30] {
        want(&mut pair, piece * (32 << 10) + 5, 10);
        pair.world.run(Duration::from_secs(if piece == 63 { 20 } else { 1 }));
    }
    assert_eq!(order(&pair), [63, 7, 30], "a seed is at hand between one read and the next");
    let (leech, torrent) = (pair.leech, pair.leech_torrent);
    let status = pair.world.status(leech, torrent);
    assert_eq!((status.wanted, status.verified), (3 * (32 << 10), 3 * (32 << 10)));
    want(&mut pair, 0, 64 * (32 << 10));
    pair.complete();
}

#[test]
fn bep_0053_only_what_is_selected_is_fetched_and_the_rest_later_if_wanted() {
    let content = Content::new(6, Version::V2, &[("a", 50_000), ("b", 70_000), ("c", 40_000)], 16 << 10);
    let add = AddTorrent {
        selection: Some(Selection::Files(vec![1])),
        ..AddTorrent::new(content.source(), "disk")
    };
    let mut pair = Pair::built(5, content, add, Default::default());
    pair.connect();
    let (leech, id) = (pair.leech, pair.leech_torrent);
    pair.world.complete(MINUTE, &[(leech, id)]);
    let stored = |pair: &Pair, path: &str| pair.world.at(pair.leech).disk.file(path).is_some();
    assert!(
        stored(&pair, "disk/story/b") && !stored(&pair, "disk/story/a") && !stored(&pair, "disk/story/c")
    );
    assert_eq!(pair.world.status(leech, id).downloaded, 70_000);
    pair.world.run(Duration::from_secs(1));
    assert_eq!(pair.world.status(leech, id).peers, 0, "who has nothing more for us is let go");
    pair.world.command(leech, Command::Select(id, Selection::All)).unwrap();
    pair.world.run(Duration::from_secs(2));
    assert_eq!(pair.world.status(leech, id).state, State::Seeding, "and called again at once");
    pair.complete();
}

#[test]
fn bep_0047_pads_are_neither_stored_nor_asked_for() {
    let content = Content::new(7, Version::Hybrid, &[("a", 50_000), ("b", 10), ("c", 40_000)], 32 << 10);
    assert!(content.info().files().iter().any(|file| file.attributes.pad));
    let mut pair = Pair::with(6, content);
    pair.connect();
    pair.complete();
    assert_eq!(pair.world.status(pair.leech, pair.leech_torrent).downloaded, 90_010);
    assert_eq!(pair.world.at(pair.leech).disk.paths(), ["disk/story/a", "disk/story/b", "disk/story/c"]);
}

/// Bytes a second that a leech gets under these limits, once what the buckets held at the start is used.
fn rate(seed_rates: Rates, leech_rates: Rates, torrent_rates: Rates) -> u64 {
    let content = Content::v1(8, 2_000_000);
    let config = |rates| Config { rates, ..Config::default() };
    let add = AddTorrent { rates: torrent_rates, ..AddTorrent::new(content.source(), "disk") };
    let mut pair = Pair::built(7, content, add, [config(seed_rates), config(leech_rates)]);
    pair.connect();
    let got = |pair: &Pair| pair.world.status(pair.leech, pair.leech_torrent).downloaded;
    pair.world.run(Duration::from_secs(4));
    let before = got(&pair);
    pair.world.run(Duration::from_secs(12));
    (got(&pair) - before) / 12
}

#[test]
fn rate_limits_hold_within_five_per_cent() {
    let none = Rates::default();
    let up = Rates { upload: Some(100_000), ..none };
    let down = Rates { download: Some(100_000), ..none };
    for (seed, leech, torrent) in [(up, none, none), (none, down, none), (none, none, down)] {
        let rate = rate(seed, leech, torrent);
        assert!((95_000..=105_000).contains(&rate), "{rate} bytes a second: {seed:?} {leech:?} {torrent:?}");
    }
}

#[test]
fn without_a_limit_nothing_holds_a_leech_back() {
    let mut pair = Pair::with(7, Content::v1(8, 2_000_000));
    pair.connect();
    pair.world.complete(Duration::from_secs(2), &[(pair.leech, pair.leech_torrent)]);
}

#[test]
fn a_full_disk_stops_the_torrent_with_its_reason_and_resume_goes_on() {
    let mut pair = Pair::new(8);
    pair.world.at_mut(pair.leech).disk.capacity = Some(150_000);
    pair.connect();
    pair.drive();
    let status = pair.world.status(pair.leech, pair.leech_torrent);
    assert_eq!(status.state, State::Failed);
    assert!(status.failure.is_some_and(|why| why.contains("Full")), "the reason is told");
    assert_eq!(failures(&pair).len(), 1, "it is told once");
    let kept = status.pieces_verified;
    assert!(kept > 0);
    pair.world.at_mut(pair.leech).disk.capacity = None;
    pair.world.command(pair.leech, Command::Resume(pair.leech_torrent)).unwrap();
    assert!(pair.world.status(pair.leech, pair.leech_torrent).pieces_verified >= kept);
    pair.connect();
    pair.complete();
}

#[test]
fn a_seed_whose_disk_fails_blames_nobody_and_the_leech_finishes_elsewhere() {
    let content = Content::v1(9, 300_000);
    let mut world = World::new(9, Weather::calm());
    let (bad, good, leech) = (world.host(), world.host(), world.host());
    world.seed(bad, &content);
    world.seed(good, &content);
    world.run(Duration::from_secs(1));
    world.at_mut(bad).disk.broken = true;
    let id = world.leech(leech, &content, &[bad, good]);
    world.complete(MINUTE, &[(leech, id)]);
    let banned = world.news(leech, |news| matches!(news, TorrentEvent::Banned { .. }).then_some(()));
    assert!(banned.is_empty() && world.is_whole(leech, &content));
}

#[test]
fn a_pause_stops_the_transfer_and_resume_goes_on_with_nothing_fetched_twice() {
    let rates = Rates { upload: Some(100_000), ..Rates::default() };
    let configs = [Config { rates, ..Config::default() }, Config::default()];
    let content = Content::v1(10, 600_000);
    let add = AddTorrent::new(content.source(), "disk");
    let mut pair = Pair::built(10, content, add, configs);
    pair.connect();
    pair.world.run(Duration::from_secs(3));
    let (leech, id) = (pair.leech, pair.leech_torrent);
    pair.world.command(leech, Command::Pause(id)).unwrap();
    pair.world.run(Duration::from_secs(1));
    let paused = pair.world.status(leech, id);
    assert_eq!((paused.state, paused.peers), (State::Paused, 0));
    assert!(paused.verified > 0 && paused.verified < 600_000);
    pair.world.run(MINUTE);
    assert_eq!(pair.world.status(leech, id).verified, paused.verified);
    pair.world.command(leech, Command::Resume(id)).unwrap();
    pair.connect();
    pair.complete();
    assert_eq!(pair.world.at(leech).bytes_written, 600_000);
}

#[test]
fn after_a_pause_of_our_own_who_was_there_is_called_at_once() {
    let rates = Rates { upload: Some(100_000), ..Rates::default() };
    let configs = [Config { rates, ..Config::default() }, Config::default()];
    let content = Content::v1(11, 600_000);
    let add = AddTorrent::new(content.source(), "disk");
    let mut pair = Pair::built(11, content, add, configs);
    pair.connect();
    pair.world.run(Duration::from_secs(3));
    let (leech, id) = (pair.leech, pair.leech_torrent);
    pair.world.command(leech, Command::Pause(id)).unwrap();
    pair.world.run(Duration::from_secs(1));
    assert_eq!(pair.world.status(leech, id).peers, 0);
    pair.world.command(leech, Command::Resume(id)).unwrap();
    pair.world.run(Duration::from_secs(2));
    assert_eq!(pair.world.status(leech, id).peers, 1);
}

#[test]
fn stop_announces_stopped_and_saves_and_the_next_start_needs_no_check() {
    let mut world = World::new(11, Weather::calm());
    let tracker = world.tracker(1800);
    let mut made = options(Version::V1, &[("data", 200_000)], 32 << 10);
    made.trackers = vec![vec![world.trackers[tracker].http_url()]];
    let content = Content::of(11, made);
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    world.run(Duration::from_secs(1));
    let id = world.leech(leech, &content, &[]);
    world.complete(MINUTE, &[(leech, id)]);
    let by = world.now + MINUTE;
    world.command(leech, Command::Stop { by }).unwrap();
    world.quiet(Duration::from_secs(30));
    assert!(world.at(leech).events.iter().any(|event| matches!(event, Event::Stopped)));
    assert!(world.now < by, "it doesn't wait for the last moment");
    let heard = &world.trackers[tracker].announces;
    let ours: Vec<_> =
        heard.iter().filter(|(from, ..)| *from == world.addr(leech)).map(|(_, q, _)| q.event).collect();
    assert_eq!(ours, [TrackerEvent::Started, TrackerEvent::Completed, TrackerEvent::Stopped]);
    let resume = world.at(leech).saved(&content.source());
    assert!(resume.is_some());
    world.crash(leech, true);
    // Whatever is read now is wrong: what resume data claims is not read.
    world.at_mut(leech).disk.broken = true;
    let id = world.add(leech, AddTorrent { resume, ..AddTorrent::new(content.source(), "disk") });
    world.complete(MINUTE, &[(leech, id)]);
}

#[test]
fn a_torrent_that_is_removed_keeps_its_files_and_leaves_nothing_behind() {
    let mut pair = Pair::new(12);
    pair.connect();
    pair.complete();
    pair.world.command(pair.leech, Command::Remove(pair.leech_torrent)).unwrap();
    pair.drive();
    let removed = pair.world.news(pair.leech, |news| matches!(news, TorrentEvent::Removed).then_some(()));
    assert_eq!(removed.len(), 1);
    let engine = &pair.world.at(pair.leech).engine;
    assert_eq!((engine.torrents().len(), engine.link_counts()), (0, (0, 0)));
    assert!(pair.world.is_whole(pair.leech, &pair.content));
}

#[test]
fn files_that_are_there_are_checked_and_only_what_is_wrong_is_fetched() {
    let content = Content::v1(13, 300_000);
    let mut world = World::new(13, Weather::calm());
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let mut bytes = content.files[0].1.clone();
    bytes[100_000] ^= 1;
    world.at_mut(leech).disk.put("disk/data", &bytes);
    let id = world.leech(leech, &content, &[seed]);
    world.complete(MINUTE, &[(leech, id)]);
    assert_eq!(world.status(leech, id).downloaded, 32 << 10);
    assert!(world.is_whole(leech, &content));
}

#[test]
fn memory_stays_below_its_bound_when_the_disk_is_slow() {
    let content = Content::v1(14, 1_000_000);
    let mut world = World::new(14, Weather { job_us: (200_000, 400_000), ..Weather::calm() });
    let leech = world.host_with(Config { store_bytes_max: 256 << 10, ..Config::default() });
    let seed = world.host();
    world.seed(seed, &content);
    let id = world.leech(leech, &content, &[seed]);
    world.complete(10 * MINUTE, &[(leech, id)]);
    assert!(world.is_whole(leech, &content));
}

#[test]
fn a_recheck_asked_for_while_files_are_opened_for_another_ends_well() {
    let content = Content::v1(15, 300_000);
    let mut world = World::new(15, Weather { job_us: (1_000, 10_000), ..Weather::calm() });
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let id = world.leech(leech, &content, &[]);
    world.run(MINUTE);
    for _ in 0..2 {
        world.command(leech, Command::Recheck(id)).unwrap();
    }
    world.run(MINUTE);
    let peers = vec![world.addr(seed)];
    world.command(leech, Command::Peers(id, peers)).unwrap();
    world.complete(MINUTE, &[(leech, id)]);
}

#[test]
fn pieces_larger_than_the_memory_allowed_are_digested_from_the_disk() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let content = Content::new(16, version, &[("a", 700_000), ("b", 300_000)], 256 << 10);
        let add = AddTorrent::new(content.source(), "disk");
        let small = Config { store_bytes_max: 64 << 10, ..Config::default() };
        let mut pair = Pair::built(16, content, add, [Config::default(), small]);
        pair.connect();
        pair.complete();
        assert_eq!(pair.world.status(pair.leech, pair.leech_torrent).downloaded, 1_000_000);
    }
}

#[test]
fn stop_with_a_tracker_that_never_answers_ends_in_time() {
    let mut world = World::new(17, Weather::calm());
    let tracker = world.tracker(1800);
    let mut made = options(Version::V1, &[("data", 200_000)], 32 << 10);
    made.trackers = vec![vec![world.trackers[tracker].udp_url()]];
    let content = Content::of(17, made);
    let host = world.host();
    world.seed(host, &content);
    world.run(Duration::from_secs(2));
    assert_eq!(world.trackers[tracker].events(), [TrackerEvent::Started]);
    world.trackers[tracker].up = false;
    let by = world.now + Duration::from_secs(30);
    world.command(host, Command::Stop { by }).unwrap();
    let stopped = |world: &World| world.at(host).events.iter().any(|event| matches!(event, Event::Stopped));
    assert!(world.until(MINUTE, stopped) && world.now <= by);
    assert!(world.at(host).saved(&content.source()).is_some());
}

#[test]
fn a_seed_under_way_takes_on_more_wishes_and_the_leech_gets_them() {
    let content = Content::new(18, Version::V1, &[("a", 100_000), ("b", 100_000), ("c", 100_000)], 16 << 10);
    let mut world = World::new(18, Weather::fair(100_000));
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let id = world.leech(leech, &content, &[seed]);
    for wish in [vec![0], vec![1], vec![2], vec![0, 1, 2]] {
        world.command(leech, Command::Select(id, Selection::Files(wish))).unwrap();
        world.run(Duration::from_millis(400));
    }
    world.complete(MINUTE, &[(leech, id)]);
    assert!(world.is_whole(leech, &content));
    let refused = world.command(leech, Command::Select(id, Selection::Files(vec![3])));
    assert!(refused.is_err(), "there is no such file");
}
