//! Stories of files that matter more than others: what is high comes before all that is normal, what is low comes last.

use core::time::Duration;
use millstream_core::base::Bits;
use millstream_core::engine::{
    AddTorrent, Command, CommandError, Config, Priorities, Priority, Rates, Selection, Source, TorrentEvent,
};
use millstream_core::resume;
use millstream_core::wire::metainfo::Version;
use millstream_tests::pair::Pair;
use millstream_tests::world::web::Manners;
use millstream_tests::world::{Content, Weather, World};
use std::sync::Arc;

const PIECE: u64 = 16 << 10;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// Pieces at the most that may be had while choked (BEP 6): they are given, not chosen.
const ALLOWED_FAST: usize = 10;

/// Three files of so many pieces each.
fn content(pieces: u64) -> Content {
    let length = pieces * PIECE;
    Content::new(60, Version::V1, &[("a", length), ("b", length), ("c", length)], PIECE as u32)
}

fn add(content: &Content, priorities: impl Into<Priorities>) -> AddTorrent {
    AddTorrent { priorities: Some(priorities.into()), ..AddTorrent::new(content.source(), "disk") }
}

/// A leech of a seed that sends little.
fn slow(seed: u64, content: Content, add: AddTorrent) -> Pair {
    let rates = Rates { upload: Some(100_000), ..Rates::default() };
    Pair::built(seed, content, add, [Config { rates, ..Config::default() }, Config::default()])
}

fn prioritize(pair: &mut Pair, priorities: impl Into<Priorities>) -> Result<(), CommandError> {
    let command = Command::Priorities(pair.leech_torrent, priorities.into());
    pair.world.command(pair.leech, command).map(drop)
}

/// The pieces of the leech in the order in which they were verified.
fn order(pair: &Pair) -> Vec<u32> {
    pair.world.news(pair.leech, |news| {
        if let TorrentEvent::Verified(piece) = news { Some(piece.get()) } else { None }
    })
}

fn warnings(pair: &Pair) -> Vec<String> {
    pair.world
        .news(pair.leech, |news| if let TorrentEvent::Warning(why) = news { Some(why.clone()) } else { None })
}

#[test]
fn the_high_file_is_complete_before_the_normal_one_begins_and_the_low_one_comes_last() {
    let content = content(40);
    let add = add(&content, [(0, Priority::Low), (2, Priority::High)]);
    let mut pair = slow(1, content, add);
    pair.connect();
    pair.complete();
    let files: Vec<u32> = order(&pair).split_off(ALLOWED_FAST).iter().map(|piece| piece / 40).collect();
    let place = |file: u32| [2, 1, 0][file as usize];
    assert!(files.is_sorted_by_key(|&file| place(file)), "{files:?}");
    assert!([0, 1, 2].iter().all(|file| files.contains(file)));
}

#[test]
fn what_becomes_high_in_mid_download_comes_next() {
    let content = content(40);
    let mut pair = slow(2, content.clone(), AddTorrent::new(content.source(), "disk"));
    pair.connect();
    pair.world.run(5 * SECOND);
    let before = order(&pair).len();
    assert!((ALLOWED_FAST..100).contains(&before), "{before}");
    prioritize(&mut pair, [(1, Priority::High)]).unwrap();
    pair.complete();
    let after = order(&pair).split_off(before);
    let last = after.iter().rposition(|piece| piece / 40 == 1).expect("some of it was missing");
    let others = after[..last].iter().filter(|&piece| piece / 40 != 1).count();
    // At 100 KB/s the pipeline is a second or two deep.
    assert!(others <= 16, "{others} of {last}: what was under way and no more");
    assert!(after.len() - last > 20, "much came later");
}

#[test]
fn a_piece_of_two_files_has_the_higher_priority() {
    // The second piece is of both files, all others of one.
    let content = Content::new(61, Version::V1, &[("a", 24 << 10), ("b", 40 * PIECE)], PIECE as u32);
    for seed in 0..4 {
        let add = add(&content, [(0, Priority::High)]);
        let mut pair = slow(seed, content.clone(), add);
        pair.connect();
        pair.complete();
        let order = order(&pair);
        let place = |piece: u32| order.iter().position(|&other| other == piece).unwrap();
        assert!(place(0).max(place(1)) < ALLOWED_FAST + 2, "{order:?}");
    }
}

#[test]
fn a_priority_of_no_file_is_refused_and_changes_nothing() {
    let content = content(3);
    let add = add(&content, [(2, Priority::High)]);
    let mut pair = slow(3, content, add);
    let refused = prioritize(&mut pair, [(0, Priority::Low), (3, Priority::High), (9, Priority::Low)]);
    assert_eq!(refused, Err(CommandError::NoFile(3)));
    let engine = &pair.world.at(pair.leech).engine;
    let normal = Some(Priority::Normal);
    assert_eq!(engine.priorities(pair.leech_torrent), [normal, normal, Some(Priority::High)]);
}

#[test]
fn those_that_are_not_named_keep_theirs_and_those_that_are_not_selected_have_none() {
    let content = content(3);
    let selection = Some(Selection::Files(vec![0, 2]));
    let add = AddTorrent { selection, ..add(&content, [(1, Priority::High), (2, Priority::Low)]) };
    let mut pair = slow(4, content, add);
    let told = |pair: &Pair| pair.world.at(pair.leech).engine.priorities(pair.leech_torrent);
    assert_eq!(told(&pair), [Some(Priority::Normal), None, Some(Priority::Low)]);
    prioritize(&mut pair, [(0, Priority::High)]).unwrap();
    assert_eq!(told(&pair), [Some(Priority::High), None, Some(Priority::Low)]);
    let all = Command::Select(pair.leech_torrent, Selection::All);
    pair.world.command(pair.leech, all).unwrap();
    assert_eq!(told(&pair), [Some(Priority::High), Some(Priority::High), Some(Priority::Low)]);
    let wanted = pair.world.status(pair.leech, pair.leech_torrent).wanted;
    assert_eq!(wanted, pair.content.length());
}

#[test]
fn a_magnet_holds_priorities_until_the_files_are_known() {
    let content = content(40);
    let source = Source::Magnet(Arc::new(content.magnet(true, false)));
    let add = AddTorrent::new(source, "disk");
    let mut pair = slow(5, content, add);
    prioritize(&mut pair, [(0, Priority::Low), (2, Priority::High), (7, Priority::High)]).unwrap();
    assert!(pair.world.at(pair.leech).engine.priorities(pair.leech_torrent).is_empty());
    pair.connect();
    pair.complete();
    assert_eq!(warnings(&pair), ["there is no file 7 to give a priority to"]);
    let files: Vec<u32> = order(&pair).split_off(ALLOWED_FAST).iter().map(|piece| piece / 40).collect();
    assert!(files.is_sorted_by_key(|&file| [2, 1, 0][file as usize]), "{files:?}");
}

/// The leech dies after it has saved its resume data, and comes back with what `change` makes of it.
fn reborn(pair: &mut Pair, again: AddTorrent, change: impl FnOnce(&mut resume::Resume)) {
    pair.world.run(SECOND);
    pair.world.command(pair.leech, Command::Save(pair.leech_torrent)).unwrap();
    pair.world.run(SECOND);
    let saved = pair.world.at(pair.leech).saved(&pair.content.source()).expect("it was saved");
    pair.world.crash(pair.leech, false);
    let mut saved = resume::decode(&saved).unwrap();
    change(&mut saved);
    let again = AddTorrent { resume: Some(resume::encode(&saved)), ..again };
    pair.leech_torrent = pair.world.add(pair.leech, again);
    pair.world.run(SECOND);
}

#[test]
fn priorities_and_the_selection_survive_a_restart() {
    let content = content(3);
    let mut pair = slow(6, content.clone(), AddTorrent::new(content.source(), "disk"));
    prioritize(&mut pair, [(0, Priority::Low), (1, Priority::High)]).unwrap();
    let some = Command::Select(pair.leech_torrent, Selection::Files(vec![0, 2]));
    pair.world.command(pair.leech, some).unwrap();
    reborn(&mut pair, AddTorrent::new(content.source(), "disk"), |_| {});
    let told = |pair: &Pair| pair.world.at(pair.leech).engine.priorities(pair.leech_torrent);
    assert_eq!(told(&pair), [Some(Priority::Low), None, Some(Priority::Normal)]);
    assert_eq!(pair.world.status(pair.leech, pair.leech_torrent).wanted, 6 * PIECE);
    let all = Command::Select(pair.leech_torrent, Selection::All);
    pair.world.command(pair.leech, all).unwrap();
    let [low, normal, high] = [Priority::Low, Priority::Normal, Priority::High].map(Some);
    assert_eq!(told(&pair), [low, high, normal], "who isn't selected keeps its priority too");
    reborn(&mut pair, add(&content, [(2, Priority::High)]), |_| {});
    assert_eq!(told(&pair), [normal, normal, high], "what it is added with counts more");
}

#[test]
fn resume_data_of_before_priorities_wants_all() {
    let content = content(3);
    let mut pair = slow(7, content.clone(), AddTorrent::new(content.source(), "disk"));
    reborn(&mut pair, AddTorrent::new(content.source(), "disk"), |saved| {
        saved.files.iter_mut().for_each(|file| file.priority = 4);
    });
    assert!(warnings(&pair).is_empty());
    let told = pair.world.at(pair.leech).engine.priorities(pair.leech_torrent);
    assert_eq!(told, [Some(Priority::Normal); 3]);
    pair.connect();
    pair.complete();
}

#[test]
fn resume_data_in_which_nothing_is_selected_says_nothing() {
    let content = content(3);
    let only_seed =
        AddTorrent { selection: Some(Selection::Files(vec![])), ..AddTorrent::new(content.source(), "disk") };
    let mut pair = slow(8, content.clone(), only_seed);
    reborn(&mut pair, AddTorrent::new(content.source(), "disk"), |_| {});
    pair.connect();
    pair.complete();
}

#[test]
fn bep_0019_web_seeds_fetch_what_matters_more_first() {
    let content = content(40);
    let mut world = World::new(9, Weather::calm());
    let leech = world.host();
    let torrent = world.add(leech, add(&content, [(0, Priority::Low), (2, Priority::High)]));
    let webs = [0, 1].map(|_| {
        let web = world.web(&content.files);
        world.webs[web].manners = Manners { rate: Some(100_000), ..Manners::default() };
        world.webs[web].url()
    });
    world.command(leech, Command::WebSeeds(torrent, webs.to_vec())).unwrap();
    let here = |world: &World, file: u32| {
        let verified = world.at(leech).engine.verified(torrent).unwrap_or_else(|| Bits::new(0));
        verified.iter().filter(|piece| piece / 40 == file).count()
    };
    assert!(world.until(MINUTE, |world| here(world, 2) > 10));
    assert!(here(&world, 1) + here(&world, 0) < 10);
    world
        .command(leech, Command::Priorities(torrent, [(1, Priority::Low), (0, Priority::High)].into()))
        .unwrap();
    assert!(world.until(MINUTE, |world| here(world, 0) + here(world, 2) == 80));
    world.complete(MINUTE, &[(leech, torrent)]);
    assert!(world.is_whole(leech, &content));
    for web in &world.webs {
        let files: Vec<usize> =
            web.requests.iter().filter_map(|request| "cab".find(request.url.chars().last()?)).collect();
        assert!(files.is_sorted() && files.contains(&2), "high, then what became high, then low: {files:?}");
    }
}
