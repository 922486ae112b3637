//! Torrents that nobody asks for: what each costs in memory, and that nothing wakes an engine that has only such.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::time::Duration;
use millstream_core::base::{Chunk, Digests, Instant, TorrentId};
use millstream_core::engine::{
    AddTorrent, Command, Config, Effect, Engine, FileNow, Input, Outcome, Reply, Source, State, Work,
};
use millstream_core::wire::Metainfo;
use sha1::{Digest as _, Sha1};
use std::alloc::System;
use std::sync::Arc;

/// One file, one piece: all that is beyond the metainfo is the engine's own.
const LENGTH: u64 = 1000;

const HOUR: Duration = Duration::from_secs(3600);

/// What an idle torrent may take in the engine, bytes, its metainfo included. A driver adds its own; the whole program's
/// bound is 6.7 KiB.
const BYTES_MAX: i64 = 3 << 10;

/// The one tracker that answers. No torrent but the one that must be noticed names it.
const TRACKER: &str = "http://tracker.example/";

/// Counts what this thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    // A thread that ends counts no more.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`, and all came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn bytes_of(n: u32) -> Vec<u8> {
    n.to_be_bytes().repeat(LENGTH as usize / 4)
}

fn torrent(n: u32) -> Source {
    announced(n, "")
}

/// A torrent whose metainfo names a tracker by this pair of key and URL.
fn announced(n: u32, announce: &str) -> Source {
    let name = format!("file-{n:06}");
    let mut torrent = format!(
        "d{announce}4:infod6:lengthi{LENGTH}e4:name{}:{name}12:piece lengthi16384e6:pieces20:",
        name.len()
    )
    .into_bytes();
    torrent.extend_from_slice(&Sha1::digest(bytes_of(n)));
    torrent.extend_from_slice(b"ee");
    Source::Metainfo(Arc::new(Metainfo::parse(&torrent).unwrap()))
}

/// Answers all jobs as a host would that has all the files, until the engine wants nothing more.
fn settle(engine: &mut Engine, now: Instant) -> usize {
    let mut jobs = 0;
    while let Some(effect) = engine.poll_effect() {
        let Effect::Job { job, work } = effect else { continue };
        jobs += 1;
        let outcome = answer(&work);
        engine.handle_input(now, Input::Done { job, outcome });
        while engine.poll_event().is_some() {}
    }
    while engine.poll_event().is_some() {}
    jobs
}

/// What a host answers that has all the files.
fn answer(work: &Work) -> Outcome {
    match work {
        Work::Files { .. } => Outcome::Files(vec![FileNow { length: Some(LENGTH), modified_ns: 1 }]),
        Work::HashStored { torrent, .. } => {
            let sha1 = Sha1::digest(bytes_of(torrent.0 as u32)).into();
            Outcome::Digests(Digests { sha1: Some(sha1), leaves: Vec::new() })
        }
        Work::Save { .. } => Outcome::Saved,
        Work::Http { url, .. } if url.starts_with(TRACKER) => {
            Outcome::Http { status: 200, body: Chunk::copy_from(b"d8:intervali1800e5:peers0:e") }
        }
        Work::Read { .. }
        | Work::Write { .. }
        | Work::Hash { .. }
        | Work::Http { .. }
        | Work::Exchange(_)
        | Work::MapPort { .. }
        | Work::Resolve { .. } => panic!("{work:?} of a torrent that nobody asks for"),
    }
}

/// An engine with so many seeding torrents, their resume data saved.
fn resting(torrents: u32) -> (Engine, Instant) {
    let mut now = Instant::ZERO;
    let mut engine = Engine::new(Config::default(), [7; 32], now);
    for n in 1..=torrents {
        let add = AddTorrent::new(torrent(n), "folder");
        let reply = engine.command(now, Command::Add(Box::new(add))).unwrap();
        assert_eq!(reply, Reply::Added(TorrentId(n.into())));
        settle(&mut engine, now);
    }
    while let Some(due) = engine.poll_timeout() {
        now = now.max(due);
        engine.handle_timeout(now);
        settle(&mut engine, now);
    }
    (engine, now)
}

#[test]
fn an_engine_with_idle_torrents_is_never_woken() {
    let (mut engine, now) = resting(1000);
    assert!(now < Instant::from_micros(120_000_000), "what there is to save is saved once, soon: {now:?}");
    assert_eq!(of_an_hour(&mut engine, now), (None, 0), "nothing is due, and an hour later nothing was");
    assert_eq!(engine.status(now, TorrentId(500)).unwrap().state, State::Seeding);
}

/// What wakes an engine, and the jobs that it has an hour later: the guard of the story above.
fn of_an_hour(engine: &mut Engine, now: Instant) -> (Option<Instant>, usize) {
    let due = engine.poll_timeout();
    let later = now + HOUR;
    engine.handle_timeout(later);
    (due, settle(engine, later))
}

#[test]
fn one_torrent_with_a_tracker_among_idle_ones_is_noticed() {
    let (mut engine, begun) = resting(10);
    let source = announced(11, &format!("8:announce{}:{TRACKER}", TRACKER.len()));
    engine.command(begun, Command::Add(Box::new(AddTorrent::new(source, "folder")))).unwrap();
    assert!(settle(&mut engine, begun) > 0);
    let mut now = begun;
    while let Some(due) = engine.poll_timeout().filter(|due| *due < begun + HOUR / 4) {
        now = now.max(due);
        engine.handle_timeout(now);
        settle(&mut engine, now);
    }
    let (due, jobs) = of_an_hour(&mut engine, now);
    assert!(due.is_some_and(|due| due <= begun + HOUR), "the next announce: {due:?}");
    assert_eq!(jobs, 1, "that announce");
}

#[test]
fn torrents_that_were_added_together_are_not_saved_together() {
    let now = Instant::ZERO;
    let mut engine = Engine::new(Config::default(), [7; 32], now);
    for n in 1..=600 {
        engine.command(now, Command::Add(Box::new(AddTorrent::new(torrent(n), "folder")))).unwrap();
        settle(&mut engine, now);
    }
    let mut seconds = Vec::new();
    while let Some(due) = engine.poll_timeout() {
        engine.handle_timeout(due);
        let saves = settle(&mut engine, due) / 2;
        seconds.extend(core::iter::repeat_n(due.as_micros() / 1_000_000, saves));
    }
    assert_eq!(seconds.len(), 600, "each once: a sync, then a save");
    let most = seconds.chunk_by(|a, b| a == b).map(<[u64]>::len).max();
    assert!(most < Some(40), "{most:?} in one second");
    assert!(seconds.last() <= Some(&60), "within the interval");
}

#[test]
fn a_torrent_that_is_found_as_it_was_left_saves_nothing() {
    let now = Instant::ZERO;
    let mut engine = Engine::new(Config::default(), [7; 32], now);
    engine.command(now, Command::Add(Box::new(AddTorrent::new(torrent(1), "folder")))).unwrap();
    settle(&mut engine, now);
    engine.command(now, Command::Save(TorrentId(1))).unwrap();
    let mut resume = None;
    while let Some(effect) = engine.poll_effect() {
        let Effect::Job { job, work } = effect else { continue };
        resume = if let Work::Save { data, .. } = &work { Some(data.clone()) } else { resume };
        let outcome = answer(&work);
        engine.handle_input(now, Input::Done { job, outcome });
    }
    let mut engine = Engine::new(Config::default(), [8; 32], now);
    let add = AddTorrent { resume, ..AddTorrent::new(torrent(1), "folder") };
    engine.command(now, Command::Add(Box::new(add))).unwrap();
    assert_eq!(settle(&mut engine, now), 1, "the files are looked at, nothing is digested");
    assert_eq!(engine.status(now, TorrentId(1)).unwrap().state, State::Seeding);
    assert_eq!(engine.poll_timeout(), None);
}

#[test]
fn an_idle_torrent_takes_less_than_3_kib_in_the_engine() {
    let count = 4000;
    let before = HELD.get();
    let (engine, _) = resting(count);
    let each = (HELD.get() - before) / i64::from(count);
    assert!(each <= BYTES_MAX, "{each} bytes each");
    drop(engine);
    let left = HELD.get() - before;
    assert!(left < 1 << 16, "{left} bytes stay behind");
}
