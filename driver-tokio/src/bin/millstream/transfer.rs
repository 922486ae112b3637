//! Watching torrents until they are complete, fail, or a signal comes: news become lines and bars.

use crate::outcome::Trouble;
use crate::signals::Signals;
use crate::ui::{self, Line, News, Output, Track, text};
use crate::updates;
use core::time::Duration;
use millstream::core::base::TorrentId;
use millstream::{Events, Follow, Followed, Selection, SessionEvent, State, Status, Torrent, TorrentEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

/// How often a torrent is looked at while something goes on with it.
const LIVELY: Duration = Duration::from_millis(100);
/// The same of those that seed to somebody. One that rests is looked at when there is news of it.
const QUIET: Duration = Duration::from_secs(1);

/// With `--json`, a check of what is stored isn't mentioned before it has taken this long.
const CHECKING: Duration = Duration::from_secs(3);

/// A torrent that is watched.
pub(crate) struct Watched {
    torrent: Torrent,
    track: Track,
    since: Instant,
    /// Something changed that wasn't shown.
    changed: bool,
    complete: bool,
    /// It can't go on; the exit code.
    failed: Option<i32>,
    /// The last of the files that were asked for by number.
    last_selected: Option<u32>,
    /// Nothing of it is to be fetched.
    only_seed: bool,
    /// It isn't known yet what there is of it.
    unknown: bool,
    /// Where newer ones are saved.
    updates: Option<PathBuf>,
}

/// When watching ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// When all is complete, or fails.
    Complete,
    /// When a signal comes, or all fails.
    Interrupted,
}

/// What is watched, and how it is shown.
pub(crate) struct Watch<'a> {
    output: &'a Output,
    events: Events<SessionEvent>,
    watched: Vec<Watched>,
    /// Where each stands.
    places: BTreeMap<TorrentId, usize>,
    /// Those of which there is news.
    told: BTreeSet<usize>,
    /// Those with which something goes on, told or not, and when they were looked at.
    lively: BTreeSet<usize>,
    looked: Instant,
    follow: Option<Follow>,
    /// What is to be said last of what isn't complete.
    unfinished: Vec<String>,
}

impl Watched {
    /// Begins to watch a torrent that was just added; `only_seed` if nothing of it is to be fetched.
    pub(crate) fn new(torrent: Torrent, output: &Output, only_seed: bool) -> Self {
        let status = torrent.status();
        // A magnet link may not know a name.
        let hash = || {
            let v1 = status.info_hash_v1.map(|hash| hash.to_string());
            v1.or_else(|| status.info_hash_v2.map(|hash| hash.to_string())).unwrap_or_default()
        };
        let name = if status.name.is_empty() { hash() } else { status.name.to_string() };
        let track = Track::new(output, &name, None);
        track.say(
            output,
            News::Added {
                info_hash_v1: status.info_hash_v1.map(|hash| hash.to_string()),
                info_hash_v2: status.info_hash_v2.map(|hash| hash.to_string()),
            },
        );
        Self {
            torrent,
            track,
            since: Instant::now(),
            changed: true,
            complete: false,
            failed: None,
            last_selected: None,
            only_seed,
            unknown: true,
            updates: None,
        }
    }

    /// Newer ones are saved there, if their originator signed them.
    pub(crate) fn saving_updates(mut self, folder: Option<PathBuf>) -> Self {
        self.updates = folder;
        self
    }

    /// Only these of its files are to be fetched: if one doesn't exist, it is said as soon as that is known.
    pub(crate) fn selecting(mut self, files: Option<&[u32]>) -> Self {
        self.last_selected = files.and_then(|files| files.iter().max().copied());
        self
    }

    /// Something is amiss with it.
    fn warn(&self, output: &Output, message: &str) {
        self.track.say(output, News::Warning { message });
    }

    fn on_event(&mut self, output: &Output, event: &TorrentEvent) {
        self.changed = true;
        match event {
            TorrentEvent::Metadata(info) => {
                self.track.rename(info.name());
                let geometry = info.geometry();
                let files = info.real_files().count() as u64;
                self.track.say(
                    output,
                    News::Metadata {
                        length: info.length(),
                        pieces: geometry.pieces(),
                        piece_length: geometry.piece_length(),
                        files,
                    },
                );
                if let Some(n) = self.last_selected.filter(|&n| u64::from(n) >= files) {
                    self.fail(output, &no_file("--select", n, files), 2);
                }
            }
            TorrentEvent::TrackerFailed { url, error } => self.warn(output, &format!("{url}: {error}")),
            // Who it was is for the log: addresses are shown to nobody who didn't ask.
            TorrentEvent::Banned { reason, .. } => {
                self.warn(output, &format!("a peer was banned: {reason}"));
            }
            TorrentEvent::Warning(message) => self.warn(output, message),
            TorrentEvent::UpdateAvailable { torrent, signed } => {
                let (news, warning) = updates::take(torrent, *signed, self.updates.as_deref());
                self.track.say(output, news);
                if let Some(warning) = warning {
                    self.warn(output, &warning);
                }
            }
            TorrentEvent::Failed(reason) => self.fail(output, reason, 1),
            TorrentEvent::Checked
            | TorrentEvent::Progress
            | TorrentEvent::Verified(_)
            | TorrentEvent::Completed
            | TorrentEvent::Peer { .. }
            | TorrentEvent::TrackerAnswered { .. }
            | TorrentEvent::Scraped { .. }
            | TorrentEvent::Saved
            | TorrentEvent::Removed => {}
        }
    }

    fn fail(&mut self, output: &Output, reason: &str, code: i32) {
        if self.failed.is_none() {
            self.failed = Some(code);
            let status = self.torrent.status();
            self.track.progress_last(output, &status);
            self.track.say(output, News::Error { message: reason });
            output.complain(&format!("{}: {reason}", self.track.name()));
        }
    }

    /// Looks at how it is now. Whether it must be looked at again, even if there is no news of it.
    fn look(&mut self, output: &Output) -> bool {
        let status = self.torrent.status();
        if self.unknown && !matches!(status.state, State::Metadata | State::Checking) {
            self.unknown = false;
            // At once: a download may be over before the engine would look.
            let torrent = self.torrent.clone();
            tokio::spawn(async move { torrent.check_update().await });
            if self.only_seed {
                self.learn(output, &status);
            }
        }
        match status.state {
            // What is only seeded has nothing wanted until it is known to be whole.
            State::Seeding if !self.complete && (status.wanted > 0 || !self.only_seed) => {
                self.completed(output, &status);
            }
            State::Failed => self.fail(output, status.failure.as_deref().unwrap_or("it failed"), 1),
            State::Seeding | State::Metadata | State::Checking | State::Leeching => {}
            State::Paused | State::Stopping => {}
        }
        let moving = status.download_rate > 0 || status.upload_rate > 0;
        // Until it is known what is there, a program would take what it reads for a step back.
        let soon = matches!(output, Output::Json) && self.since.elapsed() < CHECKING;
        let silent = status.state == State::Checking && (status.checked.1 == 0 || soon);
        if (self.changed || moving) && !silent {
            self.changed = !self.track.progress(output, &status);
        }
        let busy = match status.state {
            State::Seeding => status.peers > 0 || !(self.complete || self.only_seed),
            State::Metadata | State::Checking | State::Leeching | State::Stopping => true,
            State::Paused | State::Failed => false,
        };
        busy || self.changed || moving
    }

    /// It is known now what there is of a torrent that is only seeded.
    fn learn(&mut self, output: &Output, status: &Status) {
        let missing = status.pieces.saturating_sub(status.pieces_verified);
        if status.state == State::Failed {
            // Why is said elsewhere.
        } else if status.pieces_verified == 0 {
            self.fail(output, "nothing of it is there to be seeded: is --data the folder that holds it?", 1);
        } else if missing > 0 {
            let (missing, pieces) = (text::count(u64::from(missing), "piece"), status.pieces);
            let rest = "the rest is seeded, `millstream verify` shows which";
            self.warn(output, &format!("{missing} of {pieces} missing or damaged; {rest}"));
        } else {
            // Nothing is left to fetch: all counts as wanted, and as there. But not what has no length: it would be made.
            let torrent = self.torrent.clone();
            let Some(info) = torrent.info() else { return };
            let files = (0..).zip(info.real_files()).filter(|(_, (_, file))| file.length > 0);
            let files = Selection::Files(files.map(|(number, _)| number).collect());
            tokio::spawn(async move { torrent.select(files).await });
        }
    }

    /// What to say of it last, if it is a download that isn't over.
    fn unfinished(&self, status: &Status) -> Option<String> {
        let percent = (u128::from(status.verified) * 100).checked_div(u128::from(status.wanted))?;
        let (name, all) = (self.track.name(), text::size(status.wanted));
        let open = !self.only_seed && !self.complete && self.failed.is_none();
        open.then(|| format!("{name}: {percent}% of {all} is there; the same command goes on from there"))
    }

    fn completed(&mut self, output: &Output, status: &Status) {
        self.complete = true;
        self.changed = false;
        self.track.progress_last(output, status);
        let Status { verified, downloaded, uploaded, .. } = *status;
        let seconds = self.since.elapsed().as_secs_f64();
        self.track.say(output, News::Complete { verified, downloaded, uploaded, seconds });
    }
}

impl<'a> Watch<'a> {
    /// Watches nothing yet.
    pub(crate) fn new(output: &'a Output, events: Events<SessionEvent>) -> Self {
        Self {
            output,
            events,
            watched: Vec::new(),
            places: BTreeMap::new(),
            told: BTreeSet::new(),
            lively: BTreeSet::new(),
            looked: Instant::now(),
            follow: None,
            unfinished: Vec::new(),
        }
    }

    /// Says which torrent a key names.
    pub(crate) fn say_followed(&self, followed: &Followed) {
        let news = News::Followed { info_hash: followed.info_hash.to_string(), seq: followed.seq };
        self.output.say(&Line { news, name: None, node: None });
    }

    /// Tells of each torrent that a key names from now on.
    pub(crate) fn follow(&mut self, follow: Follow) {
        self.follow = Some(follow);
    }

    /// Watches one more.
    pub(crate) fn add(&mut self, watched: Watched) {
        let place = self.watched.len();
        self.places.insert(watched.torrent.id(), place);
        self.told.insert(place);
        self.watched.push(watched);
    }

    /// Takes the bars away; payload received and sent in all.
    pub(crate) async fn end(&mut self) -> (u64, u64) {
        let mut sum = (0, 0);
        for one in &self.watched {
            one.track.end();
            let status = one.torrent.status_now().await;
            self.unfinished.extend(one.unfinished(&status));
            sum = (sum.0 + status.downloaded, sum.1 + status.uploaded);
        }
        sum
    }

    /// After an interruption and all else: how far it is, and that nothing is lost.
    pub(crate) fn say_unfinished(&self) {
        if !matches!(self.output, Output::Json) {
            self.unfinished.iter().for_each(|words| ui::line(words));
        }
    }

    /// Watches.
    pub(crate) async fn run(&mut self, until: Until, signals: &mut Signals) -> Result<(), Trouble> {
        loop {
            self.look();
            if let Some(end) = self.verdict(until) {
                return end;
            }
            let pause = self.pause();
            tokio::select! {
                biased;
                () = signals.next() => return Err(Trouble::Interrupted),
                event = self.events.next() => match event {
                    Some(event) => self.on_event(event),
                    None => return Err(Trouble::failed("the session ended by itself")),
                },
                Some(followed) = next_of(&mut self.follow) => self.say_followed(&followed),
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
            self.take_news();
        }
    }

    /// Takes in what was told, and shows it.
    pub(crate) fn catch_up(&mut self) {
        self.take_news();
        self.look();
    }

    /// What came together is shown together.
    fn take_news(&mut self) {
        while let Some(event) = self.events.try_next() {
            self.on_event(event);
        }
        if self.events.dropped() > 0 {
            self.look_at_all();
        }
    }

    fn look_at_all(&mut self) {
        self.told.extend(0..self.watched.len());
    }

    /// Looks at what there is news of, and now and then at what is lively.
    fn look(&mut self) {
        let Self { watched, told, lively, output, .. } = self;
        let mut look =
            |place| watched.get_mut(place).is_some_and(|watched: &mut Watched| watched.look(output));
        if self.looked.elapsed() >= LIVELY {
            self.looked = Instant::now();
            lively.append(told);
            lively.retain(|&place| look(place));
        }
        for place in core::mem::take(told) {
            if look(place) {
                lively.insert(place);
            } else {
                lively.remove(&place);
            }
        }
    }

    /// When to look again if nothing is told; `None` if all rest.
    fn pause(&self) -> Option<Duration> {
        let mut lively = self.lively.iter().filter_map(|&place| self.watched.get(place)).peekable();
        lively.peek()?;
        let pause = if lively.all(|w| w.complete && !w.changed) { QUIET } else { LIVELY };
        Some(pause.saturating_sub(self.looked.elapsed()))
    }

    fn on_event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Torrent(id, event) => {
                let Some(&place) = self.places.get(&id) else { return };
                if let Some(watched) = self.watched.get_mut(place) {
                    watched.on_event(self.output, &event);
                    self.told.insert(place);
                }
            }
            SessionEvent::Warning(message) => {
                self.output.say(&Line { news: News::Warning { message: &message }, name: None, node: None });
            }
            SessionEvent::Lagged(_) => self.look_at_all(),
            SessionEvent::Listening(_) | SessionEvent::Pool(_) | SessionEvent::Stopped => {}
        }
    }

    fn verdict(&self, until: Until) -> Option<Result<(), Trouble>> {
        let settled = |w: &Watched| w.failed.is_some() || (w.complete && until == Until::Complete);
        if !self.watched.iter().all(settled) {
            return None;
        }
        let failed = self.watched.iter().filter_map(|watched| watched.failed).max();
        Some(failed.map_or(Ok(()), |code| Err(Trouble::Told(code))))
    }
}

async fn next_of(follow: &mut Option<Follow>) -> Option<Followed> {
    match follow {
        Some(follow) => follow.next().await,
        None => core::future::pending().await,
    }
}

/// What to say of a file that was asked for by a number that a torrent of so many files doesn't have.
pub(crate) fn no_file(flag: &str, n: u32, files: u64) -> String {
    let last = files.saturating_sub(1);
    format!("{flag}: there is no file {n}, the last is {last}; `millstream inspect` lists them")
}
