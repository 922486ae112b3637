//! The engine's thread: one task owns the engine, all sockets and the timer. Each pass takes in what happened, lets
//! each ready link have a turn, drains the effects, and sleeps until something wakes it.
//!
//! Links are no tasks. Each has a waker that puts its name into one list; a pass serves the names in that list, each
//! for one turn of bounded work. An idle link so costs its socket and an entry in a map, and holds no buffer.

mod carry;
mod datagrams;
mod effects;
mod link;
pub(crate) mod listen;
pub(crate) mod multicast;
mod news;
mod proxied;
pub(crate) mod table;
mod wake;
mod web;
mod websocket;

use crate::disk::Disk;
use crate::error::{FetchError, StartError};
use crate::events::Hub;
use crate::filter;
use crate::follow::Follows;
use crate::pool::{Answers, Pool};
use crate::resume::Shelf;
use crate::router::Router;
use crate::session::{Board, Port};
use crate::torrent::Shared;
use crate::way::{PROXY, Ways};
use crate::{SessionConfig, lock};
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use link::Links;
use listen::Sockets;
use millstream_core::base::{Instant, JobId, TorrentId};
use millstream_core::engine::{
    AddTorrent, Command, CommandError, Engine, Input, Outcome, PeerStatus, Priority, Reply, Statistics,
    TrackerStatus, WebSeedStatus,
};
use millstream_core::net::Followed;
use millstream_core::wire::magnet::KeyLink;
use proxied::Proxied;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use websocket::WebSockets;

/// Turns of links in one pass, before sockets, answers and commands get theirs again.
const TURNS_MAX: usize = 64;

/// Commands taken in one pass.
const REQUESTS_MAX: usize = 64;

/// Pieces of one torrent that are checked at once, for each thread of the pool: while the engine hears of one, the
/// thread has the next.
const CHECKS_PER_THREAD: usize = 2;

/// The largest packets of uTP that are tried: the loopback takes them, and networks with jumbo frames some of them.
const UTP_PACKET_BYTES: usize = 32_000;

/// How much longer than the engine the driver waits at the end.
const GRACE: Duration = Duration::from_millis(500);

/// What an application asks of the engine's thread.
pub(crate) enum Request {
    Command {
        command: Command,
        reply: oneshot::Sender<Result<Reply, CommandError>>,
    },
    Add {
        order: Box<AddTorrent>,
        /// Where its resume data is kept.
        keep: Option<PathBuf>,
        reply: oneshot::Sender<Result<Arc<Shared>, CommandError>>,
    },
    Peers {
        torrent: TorrentId,
        reply: oneshot::Sender<Vec<PeerStatus>>,
    },
    Priorities {
        torrent: TorrentId,
        reply: oneshot::Sender<Vec<Option<Priority>>>,
    },
    Trackers {
        torrent: TorrentId,
        reply: oneshot::Sender<Vec<TrackerStatus>>,
    },
    WebSeeds {
        torrent: TorrentId,
        reply: oneshot::Sender<Vec<WebSeedStatus>>,
    },
    /// A deadline that counts from when the engine's thread hears of it.
    Deadline {
        torrent: TorrentId,
        start: u64,
        length: u64,
        within: Duration,
        reply: oneshot::Sender<Result<Reply, CommandError>>,
    },
    Refresh(TorrentId),
    Statistics(oneshot::Sender<Statistics>),
    Follow {
        link: KeyLink,
        tell: mpsc::UnboundedSender<Followed>,
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    Unfollow(KeyLink),
    Fetch {
        url: String,
        reply: oneshot::Sender<Result<Vec<u8>, FetchError>>,
    },
    LookUp {
        host: String,
        port: u16,
        reply: oneshot::Sender<std::io::Result<Vec<SocketAddr>>>,
    },
    Shutdown {
        deadline: Duration,
        reply: oneshot::Sender<()>,
    },
    End,
}

/// Starts the threads. `started` hears whether the sockets could be bound.
pub(crate) fn start(
    mut config: SessionConfig,
    started: oneshot::Sender<Result<(), StartError>>,
) -> Result<Port, StartError> {
    raise_files_limit();
    let ways = Arc::new(Ways::new(&config)?);
    let seed = draw_seed(&config)?;
    let disk = Arc::new(Disk::new(config.open_files_max));
    let answers = Arc::new(Answers::default());
    let (pool, threads) = Pool::start(config.pool_threads, Arc::clone(&disk), Arc::clone(&answers))
        .map_err(StartError::Thread)?;
    fit_engine(&mut config, threads.len());
    close_direct_ways(&mut config, &ways);
    let shelf = if config.keep_resume { Shelf::new(config.state_folder.clone()) } else { None };
    let hub = Hub::new(config.events_max);
    let board = Arc::new(Board {
        config,
        hub,
        torrents: Default::default(),
        listening: Default::default(),
        warnings: Default::default(),
        shelf,
        pool,
        sent_by_sendfile: Default::default(),
    });
    let (requests, incoming) = mpsc::unbounded_channel();
    let parts = Parts { seed, disk, answers, board: Arc::clone(&board), requests: incoming, ways };
    let spawned = thread::Builder::new().name("millstream".to_owned()).spawn(move || live(parts, started));
    if let Err(error) = spawned {
        board.pool.close();
        return Err(StartError::Thread(error));
    }
    Ok(Port { requests, board })
}

/// The engine's chance: as set, or from the operating system.
pub(crate) fn draw_seed(config: &SessionConfig) -> Result<[u8; 32], StartError> {
    if let Some(seed) = config.seed {
        return Ok(seed);
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StartError::Seed(error.to_string()))?;
    Ok(seed)
}

/// Fits the engine's settings to the pool's threads and to the host.
pub(crate) fn fit_engine(config: &mut SessionConfig, threads: usize) {
    config.engine.check_jobs_max = config.engine.check_jobs_max.max(threads * CHECKS_PER_THREAD);
    if cfg!(target_os = "linux") {
        // Here fragments can be forbidden datagram by datagram, so that large ones may be tried.
        let utp = &mut config.engine.utp_config;
        utp.packet_bytes_max = utp.packet_bytes_max.max(UTP_PACKET_BYTES);
    }
}

/// Lets this process have as many files and links open as the host allows it: many systems start processes with far
/// fewer, which they may raise themselves.
pub(crate) fn raise_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        tracing::debug!(from = ?limit.current, to = ?limit.maximum, ?raised, "limit of open files");
    }
}

/// With a proxy, the engine is to know of no way but through it. From a chosen interface or address no router is asked:
/// it may not be the one that stands before that.
pub(crate) fn close_direct_ways(config: &mut SessionConfig, ways: &Ways) {
    config.engine.proxy = ways.proxy().map(|_| PROXY);
    config.engine.proxy_relays = ways.relays();
    if config.proxy.is_some() {
        config.engine.lsd = false;
    }
    config.engine.port_mapping &= ways.proxy().is_none() && ways.bind().is_none();
}

/// What the thread is made of.
struct Parts {
    seed: [u8; 32],
    disk: Arc<Disk>,
    answers: Arc<Answers>,
    board: Arc<Board>,
    requests: mpsc::UnboundedReceiver<Request>,
    ways: Arc<Ways>,
}

/// The thread's whole life.
fn live(parts: Parts, started: oneshot::Sender<Result<(), StartError>>) {
    let board = Arc::clone(&parts.board);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // One task does nearly everything: the reactor gets its turn after each pass.
        .event_interval(1)
        .max_blocking_threads(4)
        .thread_name("millstream-names")
        .build();
    match runtime {
        Ok(runtime) => {
            runtime.block_on(tokio::task::unconstrained(serve(parts, started)));
            runtime.shutdown_background();
        }
        Err(error) => drop(started.send(Err(StartError::Thread(error)))),
    }
    board.pool.close();
    for (_, shared) in core::mem::take(&mut *lock(&board.torrents)) {
        shared.leave();
    }
    board.hub.publish(&crate::SessionEvent::Stopped);
    board.hub.end();
}

async fn serve(parts: Parts, started: oneshot::Sender<Result<(), StartError>>) {
    let mut body = Body::new(parts);
    body.restore_dht_table(Instant::ZERO);
    let bound = body.load_filter().and_then(|()| body.bind());
    let failed = bound.is_err();
    body.started = true;
    // If nobody waits for the session any more, its end follows by `Request::End`.
    let _ = started.send(bound);
    if !failed {
        poll_fn(|cx| body.poll(cx)).await;
    }
    if let Some(reply) = body.leaving.take().and_then(|leaving| leaving.reply) {
        // Whoever asked may have gone.
        let _ = reply.send(());
    }
}

/// All that lives on the thread.
struct Body {
    engine: Engine,
    began: std::time::Instant,
    board: Arc<Board>,
    disk: Arc<Disk>,
    answers: Arc<Answers>,
    requests: mpsc::UnboundedReceiver<Request>,
    links: Links,
    web: web::WebLinks,
    sockets: Sockets,
    ways: Arc<Ways>,
    router: Arc<Router>,
    proxied: Proxied,
    web_sockets: WebSockets,
    seats: BTreeMap<TorrentId, Seat>,
    /// Torrents whose shown status is behind, and when that is mended.
    behind: BTreeSet<TorrentId>,
    show_at: Option<Instant>,
    /// Jobs that run as tasks.
    asks: BTreeMap<JobId, AbortHandle>,
    timer: Pin<Box<tokio::time::Sleep>>,
    follows: Follows,
    leaving: Option<Leaving>,
    started: bool,
    ended: bool,
}

/// A torrent's place with the driver.
struct Seat {
    shared: Arc<Shared>,
    keep: Option<PathBuf>,
}

/// A session that takes its leave.
struct Leaving {
    by: Instant,
    reply: Option<oneshot::Sender<()>>,
}

impl Body {
    fn new(parts: Parts) -> Self {
        let config = &parts.board.config;
        Self {
            engine: Engine::new(table::engine_config(config), parts.seed, Instant::ZERO),
            began: std::time::Instant::now(),
            links: Links::new(config.receive_bytes_max, config.sendfile_locally),
            web: web::WebLinks::default(),
            sockets: Sockets::default(),
            ways: parts.ways,
            router: Arc::new(Router::new(config.router)),
            proxied: Proxied::default(),
            web_sockets: WebSockets::default(),
            board: parts.board,
            disk: parts.disk,
            answers: parts.answers,
            requests: parts.requests,
            seats: BTreeMap::new(),
            behind: BTreeSet::new(),
            show_at: None,
            asks: BTreeMap::new(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            follows: Follows::default(),
            leaving: None,
            started: false,
            ended: false,
        }
    }

    /// Reads the filter list, if one is named: before anybody is heard or called.
    fn load_filter(&mut self) -> Result<(), StartError> {
        let Some(path) = self.board.config.ip_filter.clone() else { return Ok(()) };
        let read = filter::read(&path).map_err(|error| StartError::Filter { path: path.clone(), error })?;
        tracing::info!(list = %path.display(), "addresses are filtered: {}", filter::summary(&read));
        if let Some(warning) = filter::warning(&path, &read) {
            self.warn(warning);
        }
        let now = self.now();
        // An engine that was just made takes it.
        let _ = self.engine.command(now, Command::IpFilter(Some(Arc::new(read.filter))));
        Ok(())
    }

    /// Something is amiss that stops nothing.
    fn warn(&self, warning: String) {
        tracing::warn!("{warning}");
        if !self.started {
            lock(&self.board.warnings).push(warning.clone());
        }
        self.board.hub.publish(&crate::SessionEvent::Warning(warning));
    }

    /// The engine's clock: monotonic, as the system's is.
    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// One pass.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.answers.set_bell(cx.waker());
        self.links.set_bell(cx.waker());
        self.set_web_bell(cx.waker());
        self.take_requests(cx);
        self.take_answers();
        self.take_web();
        self.take_from_proxy(cx);
        self.take_web_sockets(cx);
        self.accept(cx);
        self.receive_datagrams(cx);
        self.receive_relayed(cx);
        self.receive_multicast(cx);
        self.on_time();
        self.drain();
        self.links.gather();
        for _ in 0..TURNS_MAX {
            let Some(conn) = self.links.next() else { break };
            self.serve_link(conn);
            self.drain();
        }
        self.tell_news();
        if self.ended {
            return Poll::Ready(());
        }
        if self.links.has_next() {
            cx.waker().wake_by_ref();
        } else {
            self.sleep(cx);
        }
        Poll::Pending
    }

    fn take_requests(&mut self, cx: &mut Context<'_>) {
        for _ in 0..REQUESTS_MAX {
            match self.requests.poll_recv(cx) {
                Poll::Ready(Some(request)) => self.on_request(request),
                Poll::Ready(None) => {
                    self.ended = true;
                    return;
                }
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    fn on_request(&mut self, request: Request) {
        let now = self.now();
        match request {
            Request::Command { command, reply } => {
                let changed = news::changes(&command);
                let outcome = self.engine.command(now, command);
                if let Some(torrent) = changed {
                    // Who reads the status after this sees what it did.
                    self.show(torrent);
                }
                // The asker may have gone; the command stands.
                let _ = reply.send(outcome);
            }
            Request::Add { order, keep, reply } => {
                let outcome = self.add(now, order, keep);
                // As above: the torrent is added.
                let _ = reply.send(outcome);
            }
            Request::Peers { torrent, reply } => drop(reply.send(self.engine.peers(now, torrent))),
            Request::Priorities { torrent, reply } => drop(reply.send(self.engine.priorities(torrent))),
            Request::Trackers { torrent, reply } => drop(reply.send(self.engine.trackers(now, torrent))),
            Request::WebSeeds { torrent, reply } => drop(reply.send(self.engine.web_seeds(now, torrent))),
            Request::Deadline { torrent, start, length, within, reply } => {
                let command = Command::Deadline { torrent, start, length, by: now + within };
                let outcome = self.engine.command(now, command);
                // The asker may have gone; the deadline stands.
                let _ = reply.send(outcome);
            }
            Request::Refresh(torrent) => self.show(torrent),
            Request::Statistics(reply) => drop(reply.send(self.engine.statistics(now))),
            Request::Follow { link, tell, reply } => {
                // Who asked may have gone: it says so itself.
                let _ = reply.send(self.follow(now, link, tell));
            }
            Request::Unfollow(link) => self.unfollow(now, link),
            Request::Fetch { url, reply } => self.fetch(url, reply),
            Request::LookUp { host, port, reply } => {
                let ways = Arc::clone(&self.ways);
                tokio::spawn(async move { drop(reply.send(ways.resolve(&host, port).await)) });
            }
            Request::Shutdown { deadline, reply } => {
                let by = now + deadline;
                self.leaving = Some(Leaving { by: by + GRACE, reply: Some(reply) });
                if self.engine.command(now, Command::Stop { by }).is_err() {
                    self.ended = true;
                }
            }
            // A session that was told to shut down is dropped right after.
            Request::End => self.ended |= self.leaving.is_none(),
        }
    }

    fn add(
        &mut self,
        now: Instant,
        order: Box<AddTorrent>,
        keep: Option<PathBuf>,
    ) -> Result<Arc<Shared>, CommandError> {
        match self.engine.command(now, Command::Add(order))? {
            Reply::Added(id) => Ok(self.seat(now, id, keep)),
            // Never: `Add` is answered by `Added`.
            Reply::Done | Reply::Lookup(_) => Err(CommandError::Stopping),
        }
    }

    fn take_answers(&mut self) {
        let mut answers = Vec::new();
        self.answers.take(&mut answers);
        let now = self.now();
        for (job, outcome) in answers {
            self.asks.remove(&job);
            self.engine.handle_input(now, Input::Done { job, outcome });
        }
    }

    /// Answers a job at once.
    fn answer(&mut self, job: JobId, outcome: Outcome) {
        let now = self.now();
        self.engine.handle_input(now, Input::Done { job, outcome });
    }

    fn on_time(&mut self) {
        let now = self.now();
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
        }
        self.end_flushes(now);
        if self.leaving.as_ref().is_some_and(|leaving| leaving.by <= now) {
            self.ended = true;
        }
    }

    fn sleep(&mut self, cx: &mut Context<'_>) {
        let leaving = self.leaving.as_ref().map(|leaving| leaving.by);
        let due = [
            self.engine.poll_timeout(),
            self.show_at,
            self.links.deadline(),
            self.sockets.deadline(),
            leaving,
        ];
        let Some(due) = due.into_iter().flatten().min() else { return };
        // Far enough to be never, near enough for the timer.
        let wait = due.saturating_since(self.now()).min(Duration::from_secs(1 << 20));
        self.timer.as_mut().reset(tokio::time::Instant::now() + wait);
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_keeps_every_thread_of_the_pool_busy() {
        let checks = |pool_threads, check_jobs_max| {
            let mut config = SessionConfig { pool_threads, keep_resume: false, ..SessionConfig::default() };
            (config.engine.dht, config.engine.lsd, config.engine.port_mapping) = (false, false, false);
            config.listen = Vec::new();
            config.engine.check_jobs_max = check_jobs_max;
            let (started, _) = oneshot::channel();
            start(config, started).unwrap().board.config.engine.check_jobs_max
        };
        assert_eq!([checks(9, 8), checks(1, 8), checks(2, 1)], [18, 8, 4]);
    }
}
