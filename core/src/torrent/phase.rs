//! The states of a torrent and every transition between them.

use super::content::Content;
use super::{Context, Leave, Output, State, Torrent, TorrentEvent};
use crate::store::Recheck;
use crate::wire::InfoHash;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

/// Where a torrent stands.
///
/// ```text
///            metadata known          files open            all looked at
/// Metadata ------------------> Opening -----> Checking -----------------> Active
///     |                           |               |                          |
///     +------- pause, or the host fails: Paused, Failed; resume goes back ---+
///     +------- leave: Leaving, until all is announced, saved and closed -----+
/// ```
#[derive(Debug)]
pub(super) enum Phase {
    /// The info dictionary isn't known.
    Metadata,
    /// The driver looks for the files.
    Opening,
    /// Stored pieces are looked at.
    Checking(Box<Recheck>),
    /// Pieces are exchanged.
    Active,
    /// The application wants a pause.
    Paused,
    /// The host failed.
    Failed(String),
    /// It is to go.
    Leaving(Steps),
}

/// What is done already of leaving.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    /// What was under way is written: now it is worth saving.
    pub(super) settled: bool,
    pub(super) saved: bool,
    pub(super) closed: bool,
    pub(super) gone: bool,
}

impl Phase {
    pub(super) fn state(&self, complete: bool) -> State {
        match self {
            Self::Metadata => State::Metadata,
            Self::Opening | Self::Checking(_) => State::Checking,
            Self::Active if complete => State::Seeding,
            Self::Active => State::Leeching,
            Self::Paused => State::Paused,
            Self::Failed(_) => State::Failed,
            Self::Leaving(_) => State::Stopping,
        }
    }

    pub(super) fn failure(&self) -> Option<String> {
        if let Self::Failed(reason) = self { Some(reason.clone()) } else { None }
    }

    /// Bytes looked at and to look at, in whole pieces.
    pub(super) fn checked(&self, piece_length: u64) -> (u64, u64) {
        let Self::Checking(recheck) = self else { return (0, 0) };
        let progress = recheck.progress();
        (u64::from(progress.done) * piece_length, u64::from(progress.total) * piece_length)
    }
}

impl Torrent {
    /// Whether metadata or pieces are exchanged.
    pub(super) fn takes_part(&self) -> bool {
        matches!(self.phase, Phase::Metadata | Phase::Active)
    }

    /// Whether peers are welcome. Those that come while what is stored is looked at wait: they learn what is here when
    /// all was looked at. Not while a recheck waits for its beginning, when what is known is to be forgotten.
    pub(super) fn takes_peers(&self) -> bool {
        match self.phase {
            Phase::Metadata | Phase::Active => true,
            Phase::Opening | Phase::Checking(_) => !self.recheck,
            Phase::Paused | Phase::Failed(_) | Phase::Leaving(_) => false,
        }
    }

    /// Whether pieces are exchanged.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active)
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving(_))
    }

    /// Begins, or begins again after a pause or a failure.
    pub fn start(&mut self, cx: &mut Context<'_>) {
        if self.pass.is_none() {
            self.pass = Some(cx.gate.add_torrent(self.rates));
        }
        if let Some(content) = &self.content {
            let info = content.info.clone();
            self.event(TorrentEvent::Metadata(info));
        }
        if self.paused {
            self.phase = Phase::Paused;
        } else {
            self.proceed(cx);
        }
    }

    /// Goes to the first phase whose work isn't done.
    pub(super) fn proceed(&mut self, cx: &mut Context<'_>) {
        match &self.content {
            None if self.fetch.is_none() => {
                self.phase = Phase::Metadata;
                return self.fail(cx, "the metadata can't be used".into());
            }
            None => {
                self.phase = Phase::Metadata;
                self.announce_started(cx);
            }
            Some(_) if self.recheck => self.phase = Phase::Opening,
            Some(content) if content.info.hashes().all(|name| self.is_taken(cx, name)) => {
                return self.fail(cx, "this torrent is here already, by the other of its two hashes".into());
            }
            Some(_) if let Some(n) = self.no_file => {
                return self.fail(cx, format!("there is no file {n} to select: select others"));
            }
            Some(content) if !content.is_checked() => {
                self.phase = Phase::Opening;
                self.open_files();
            }
            Some(_) => self.activate(cx),
        }
        self.event(TorrentEvent::Progress);
    }

    /// Whether another torrent answers to this name. One that knows its metadata takes all names of it, from those that
    /// don't know theirs: if none is left for us, another writes our files.
    fn is_taken(&self, cx: &Context<'_>, name: InfoHash) -> bool {
        cx.routes.get(&name).is_some_and(|&id| id != self.id)
    }

    /// The files are open: look at these pieces of them.
    pub(super) fn check(&mut self, cx: &mut Context<'_>, recheck: Recheck) {
        debug_assert!(matches!(self.phase, Phase::Opening), "files are opened before they are checked");
        self.phase = Phase::Checking(Box::new(recheck));
        self.next_checks(cx);
    }

    /// All that is stored was looked at.
    pub(super) fn activate(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Active;
        self.begin_updates(cx.now, cx.config);
        self.seek_shared();
        self.welcome_content(cx);
        // Not earlier: before all is looked at, a seed would be announced as a leech that wants no peers.
        self.announce_started(cx);
        self.begin_web(cx);
        self.check_complete(cx);
    }

    /// The application wants a pause.
    pub fn pause(&mut self, cx: &mut Context<'_>) {
        self.paused = true;
        if self.is_leaving() || matches!(self.phase, Phase::Paused) {
            return;
        }
        self.rest(cx, Phase::Paused);
    }

    /// The application wants it to go on.
    pub fn resume(&mut self, cx: &mut Context<'_>) {
        self.paused = false;
        if matches!(self.phase, Phase::Paused | Phase::Failed(_)) {
            // One that had a name of ours may be gone.
            for &name in &self.names {
                self.outputs.push_back(Output::Named(name));
            }
            self.book.on_resume();
            self.proceed(cx);
        }
    }

    /// The host failed: nothing that is verified is lost, and nothing more is tried until the application says so.
    pub(super) fn fail(&mut self, cx: &mut Context<'_>, reason: String) {
        if self.is_leaving() {
            return;
        }
        if !matches!(self.phase, Phase::Failed(_)) {
            tracing::debug!(torrent = ?self.id, reason, "failed");
            self.event(TorrentEvent::Failed(reason.clone()));
            self.rest(cx, Phase::Failed(reason));
        }
    }

    fn rest(&mut self, cx: &mut Context<'_>, phase: Phase) {
        self.phase = phase;
        self.dismiss_all(cx, &Leave::Stopping);
        self.end_web(cx);
        self.announce_stopped(cx);
        self.save(cx);
        self.event(TorrentEvent::Progress);
    }

    /// Looks at all files again, when all that is under way with them is done.
    pub fn recheck(&mut self, cx: &mut Context<'_>) {
        if self.is_leaving() || self.content.is_none() {
            return;
        }
        self.recheck = true;
        self.phase = if self.paused { Phase::Paused } else { Phase::Opening };
        self.dismiss_all(cx, &Leave::Stopping);
        self.end_web(cx);
        self.event(TorrentEvent::Progress);
        self.begin_recheck(cx);
    }

    /// Forgets which pieces are here, once no answer is outstanding that could be taken for one about what comes now.
    pub(super) fn begin_recheck(&mut self, cx: &mut Context<'_>) {
        if !self.recheck || self.content_jobs > 0 || self.is_leaving() {
            return;
        }
        self.recheck = false;
        let Some(before) = self.content.take() else { return };
        self.forget_web();
        self.resume = None;
        self.set_content(before.info.clone(), cx.config);
        if let Some(content) = &mut self.content {
            content.keep_layers(*before);
        }
        self.completed = false;
        self.on_demand = false;
        if matches!(self.phase, Phase::Opening) {
            self.proceed(cx);
        }
    }

    /// Leaves the engine: announces `stopped`, saves, closes. `Output::Gone` comes when all is done.
    pub fn leave(&mut self, cx: &mut Context<'_>) {
        if self.is_leaving() {
            return;
        }
        let worth_saving = self.content.as_deref().is_some_and(Content::is_checked) && !self.recheck;
        let steps = Steps { settled: !worth_saving, saved: !worth_saving, ..Steps::default() };
        self.phase = Phase::Leaving(steps);
        self.dismiss_all(cx, &Leave::Stopping);
        self.end_web(cx);
        self.announce_stopped(cx);
        self.check_left(cx);
    }

    /// The resume data of the end is kept, or can't be.
    pub(super) fn on_last_saved(&mut self) {
        if let Phase::Leaving(steps) = &mut self.phase {
            steps.saved = steps.settled;
        }
    }

    /// Takes the next step of leaving, when the one before is done.
    pub(super) fn check_left(&mut self, cx: &mut Context<'_>) {
        let stopped = self.has_announced_stopped();
        // What trackers have to say is waited for by `has_announced_stopped`, and no longer.
        let idle = self.jobs == self.asks;
        let Phase::Leaving(steps) = &mut self.phase else { return };
        if !steps.settled && self.content_jobs == 0 {
            steps.settled = true;
            return self.save(cx);
        }
        if !(steps.saved && idle) || steps.gone {
            return;
        }
        if !steps.closed {
            steps.closed = true;
            self.close_files();
        } else if stopped {
            steps.gone = true;
            self.output(Output::Gone);
        }
    }
}
