//! A torrent as an application holds it: a handle that can be cloned and outlives nothing.

use crate::error::{CommandFailed, WaitError};
use crate::events::{Events, Hub};
use crate::lock;
use crate::run::Request;
use crate::session::Port;
use core::fmt;
use core::net::SocketAddr;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use millstream_core::base::{Bits, PieceIndex, TorrentId};
use millstream_core::engine::{
    Command, PeerStatus, Priorities, Priority, Rates, Selection, State, Status, TorrentEvent, TrackerStatus,
    WebSeedStatus,
};
use millstream_core::wire::metainfo::Info;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{Notify, oneshot};

/// How old a shown status may be before a reader asks for a new one.
const STALE: Duration = Duration::from_millis(100);

/// A torrent of a session.
#[derive(Clone)]
pub struct Torrent {
    port: Port,
    shared: Arc<Shared>,
}

/// What the engine's thread shows of a torrent.
pub(crate) struct Shared {
    pub(crate) id: TorrentId,
    shown: Mutex<Shown>,
    content: Mutex<Content>,
    /// Wakes who waits for the next status.
    news: Notify,
    pub(crate) hub: Hub<TorrentEvent>,
    /// A reader has asked for a new status and waits for it.
    asked: AtomicBool,
}

/// A snapshot, and what has become of the torrent.
#[derive(Clone)]
struct Shown {
    status: Status,
    at: Instant,
    gone: bool,
}

/// What is known of a torrent's content.
struct Content {
    info: Option<Arc<Info>>,
    verified: Bits,
}

impl Torrent {
    pub(crate) fn new(port: Port, shared: Arc<Shared>) -> Self {
        Self { port, shared }
    }

    /// Its name in this session.
    pub fn id(&self) -> TorrentId {
        self.shared.id
    }

    /// A snapshot, at most a moment old. Never waits.
    pub fn status(&self) -> Status {
        let shown = lock(&self.shared.shown);
        let stale = !shown.gone && shown.at.elapsed() > STALE;
        if stale && !self.shared.asked.swap(true, Ordering::Relaxed) {
            // If the session has ended, the last status stands.
            let _ = self.port.send(Request::Refresh(self.shared.id));
        }
        shown.status.clone()
    }

    /// Its info dictionary, once it is known. Never waits.
    pub fn info(&self) -> Option<Arc<Info>> {
        lock(&self.shared.content).info.clone()
    }

    /// Which pieces are verified and written; empty until the metadata is known. Never waits. Who was told of a piece
    /// finds it here.
    pub fn verified(&self) -> Bits {
        lock(&self.shared.content).verified.clone()
    }

    /// A snapshot as of now: waits for the engine's thread. If the session has ended, it is the last there was.
    pub async fn status_now(&self) -> Status {
        let _ = self.port.send(Request::Refresh(self.id()));
        // Requests are taken in order: what answers this one has shown the new status.
        self.peers().await;
        self.status()
    }

    /// Waits until all that is wanted is verified and written.
    pub async fn wait_complete(&self) -> Result<(), WaitError> {
        self.wait(|status| match status.state {
            State::Seeding => Some(Ok(())),
            State::Failed => {
                Some(Err(WaitError::Failed(status.failure.clone().unwrap_or_else(|| "failed".to_owned()))))
            }
            State::Metadata | State::Checking | State::Leeching | State::Paused | State::Stopping => None,
        })
        .await
    }

    /// Waits until the status is as `done` wants it.
    pub async fn wait_until(&self, mut done: impl FnMut(&Status) -> bool) -> Result<(), WaitError> {
        self.wait(|status| done(status).then_some(Ok(()))).await
    }

    async fn wait(
        &self,
        mut judge: impl FnMut(&Status) -> Option<Result<(), WaitError>>,
    ) -> Result<(), WaitError> {
        let seen = self.shared.seen(|shown| match judge(&shown.status) {
            None if shown.gone => Some(Err(WaitError::Removed)),
            verdict => verdict,
        });
        seen.await
    }

    /// News of this torrent, from now on.
    pub fn events(&self) -> Events<TorrentEvent> {
        self.shared.hub.subscribe()
    }

    /// Stops the transfer, keeps the torrent.
    pub async fn pause(&self) -> Result<(), CommandFailed> {
        self.command(Command::Pause(self.id())).await
    }

    /// Goes on after a pause or a failure.
    pub async fn resume(&self) -> Result<(), CommandFailed> {
        self.command(Command::Resume(self.id())).await
    }

    /// Checks all files again.
    pub async fn recheck(&self) -> Result<(), CommandFailed> {
        self.command(Command::Recheck(self.id())).await
    }

    /// Chooses the files that are wanted.
    pub async fn select(&self, selection: Selection) -> Result<(), CommandFailed> {
        self.command(Command::Select(self.id(), selection)).await
    }

    /// Gives files priorities, by their numbers; those that aren't named keep theirs. What has a higher one is asked for
    /// before all that has a lower one.
    pub async fn set_priorities(&self, priorities: impl Into<Priorities>) -> Result<(), CommandFailed> {
        self.command(Command::Priorities(self.id(), priorities.into())).await
    }

    /// How much each of its files is wanted, `None` if it isn't; nothing until the metadata is known.
    pub async fn priorities(&self) -> Vec<Option<Priority>> {
        let (reply, answer) = oneshot::channel();
        // A session that has ended wants nothing.
        let _ = self.port.send(Request::Priorities { torrent: self.id(), reply });
        answer.await.unwrap_or_default()
    }

    /// Pieces in order rather than rarest first.
    pub async fn set_sequential(&self, sequential: bool) -> Result<(), CommandFailed> {
        self.command(Command::Sequential(self.id(), sequential)).await
    }

    /// Fetches the pieces that hold these bytes before all others, the earliest deadline first: a player asks so for
    /// what it shows next. `start` and `length` are bytes of the torrent's span, its files one after the other as
    /// the metainfo lays them out; `within` counts from when the engine's thread hears of it. Near the deadline, and
    /// past it, a block is asked of several peers at once. What isn't selected is fetched too: select no file, and
    /// only what has a deadline is. Refused while the metadata isn't known, and for bytes beyond the span.
    pub async fn set_deadline(&self, start: u64, length: u64, within: Duration) -> Result<(), CommandFailed> {
        let torrent = self.id();
        let asked = self.port.ask(|reply| Request::Deadline { torrent, start, length, within, reply });
        asked.await.map(drop)
    }

    /// Limits this torrent's rates.
    pub async fn set_rates(&self, rates: Rates) -> Result<(), CommandFailed> {
        self.command(Command::TorrentRates(self.id(), rates)).await
    }

    /// Gives it the addresses of peers.
    pub async fn add_peers(&self, peers: impl IntoIterator<Item = SocketAddr>) -> Result<(), CommandFailed> {
        self.command(Command::Peers(self.id(), peers.into_iter().collect())).await
    }

    /// Announces now, as far as the trackers' minimum intervals allow.
    pub async fn announce(&self) -> Result<(), CommandFailed> {
        self.command(Command::Announce(self.id())).await
    }

    /// Asks its current tracker how many are in the swarm (BEP 48); `TorrentEvent::Scraped` or `TrackerFailed` tells.
    pub async fn scrape(&self) -> Result<(), CommandFailed> {
        self.command(Command::Scrape(self.id())).await
    }

    /// Looks now for a newer torrent (BEP 39) where it names a place for that; `TorrentEvent::UpdateAvailable` tells of
    /// one.
    pub async fn check_update(&self) -> Result<(), CommandFailed> {
        self.command(Command::CheckUpdate(self.id())).await
    }

    /// Keeps its resume data now; `TorrentEvent::Saved` says when it is kept.
    pub async fn save(&self) -> Result<(), CommandFailed> {
        self.command(Command::Save(self.id())).await
    }

    /// Begins to leave the torrent; its files stay. `TorrentEvent::Removed` tells the end.
    pub async fn begin_remove(&self) -> Result<(), CommandFailed> {
        self.command(Command::Remove(self.id())).await
    }

    /// Leaves the torrent; its files stay. Returns when its trackers were told and its links are closed.
    pub async fn remove(&self) -> Result<(), CommandFailed> {
        self.begin_remove().await?;
        self.shared.seen(|shown| shown.gone.then_some(())).await;
        Ok(())
    }

    /// Its connected peers.
    pub async fn peers(&self) -> Vec<PeerStatus> {
        let (reply, answer) = oneshot::channel();
        // A session that has ended has no peers.
        let _ = self.port.send(Request::Peers { torrent: self.id(), reply });
        answer.await.unwrap_or_default()
    }

    /// Its trackers.
    pub async fn trackers(&self) -> Vec<TrackerStatus> {
        let (reply, answer) = oneshot::channel();
        // A session that has ended has no trackers.
        let _ = self.port.send(Request::Trackers { torrent: self.id(), reply });
        answer.await.unwrap_or_default()
    }

    /// Gives it other trackers, in tiers (BEP 12), in place of those that it has. Those that stay keep all that is known
    /// of them, those that go are told `stopped`, those that come are asked at once. The resume data keeps the list.
    pub async fn set_trackers(
        &self,
        tiers: impl IntoIterator<Item = impl IntoIterator<Item = impl Into<String>>>,
    ) -> Result<(), CommandFailed> {
        let tiers = tiers.into_iter().map(|tier| tier.into_iter().map(Into::into).collect()).collect();
        self.command(Command::Trackers(self.id(), tiers)).await
    }

    /// Closes the links with a peer, by the address that it has or listens at. It isn't called for a quarter of an hour,
    /// unless it is given again by [`add_peers`](Self::add_peers); it may call us.
    pub async fn disconnect(&self, peer: SocketAddr) -> Result<(), CommandFailed> {
        self.command(Command::Disconnect { torrent: self.id(), peer, ban: false }).await
    }

    /// Has nothing to do with a peer any more, nor with anybody at its IP, connected or not, for as long as this torrent is
    /// in the session. On the loopback address, where everybody is, it is the port that counts.
    pub async fn ban(&self, peer: SocketAddr) -> Result<(), CommandFailed> {
        self.command(Command::Disconnect { torrent: self.id(), peer, ban: true }).await
    }

    /// Gives it web seeds (BEP 19), by their URLs.
    pub async fn add_web_seeds(
        &self,
        urls: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<(), CommandFailed> {
        let urls = urls.into_iter().map(Into::into).collect();
        self.command(Command::WebSeeds(self.id(), urls)).await
    }

    /// Its web seeds.
    pub async fn web_seeds(&self) -> Vec<WebSeedStatus> {
        let (reply, answer) = oneshot::channel();
        // A session that has ended asks nobody.
        let _ = self.port.send(Request::WebSeeds { torrent: self.id(), reply });
        answer.await.unwrap_or_default()
    }

    async fn command(&self, command: Command) -> Result<(), CommandFailed> {
        self.port.command(command).await.map(drop)
    }
}

impl Shared {
    pub(crate) fn new(id: TorrentId, status: Status, events_max: usize) -> Self {
        let shown = Shown { status, at: Instant::now(), gone: false };
        Self {
            id,
            shown: Mutex::new(shown),
            content: Mutex::new(Content { info: None, verified: Bits::new(0) }),
            news: Notify::new(),
            hub: Hub::new(events_max),
            asked: AtomicBool::new(false),
        }
    }

    /// Shows a new status.
    pub(crate) fn show(&self, status: Status) {
        self.asked.store(false, Ordering::Relaxed);
        let at = Instant::now();
        {
            let mut shown = lock(&self.shown);
            *shown = Shown { status, at, gone: shown.gone };
        }
        self.news.notify_waiters();
    }

    /// The metadata is known.
    pub(crate) fn learn(&self, info: Arc<Info>) {
        lock(&self.content).info = Some(info);
    }

    /// One more piece is verified.
    pub(crate) fn mark(&self, piece: PieceIndex) {
        lock(&self.content).verified.set(piece.get());
    }

    /// How many pieces are shown as verified.
    pub(crate) fn marked(&self) -> u32 {
        lock(&self.content).verified.count()
    }

    /// These pieces are verified, and no other.
    pub(crate) fn mark_all(&self, verified: Bits) {
        lock(&self.content).verified = verified;
    }

    /// Nothing will be shown any more.
    pub(crate) fn leave(&self) {
        lock(&self.shown).gone = true;
        self.news.notify_waiters();
        self.hub.end();
    }

    /// Waits until what is shown is as `look` wants it.
    async fn seen<T>(&self, mut look: impl FnMut(&Shown) -> Option<T>) -> T {
        loop {
            let mut news = pin!(self.news.notified());
            // Before looking, so that nothing is missed in between.
            news.as_mut().enable();
            // A copy: who looks may do what it likes.
            let shown = lock(&self.shown).clone();
            if let Some(answer) = look(&shown) {
                return answer;
            }
            news.await;
        }
    }
}

impl fmt::Debug for Torrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Torrent({})", self.shared.id.0)
    }
}
