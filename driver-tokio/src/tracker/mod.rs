//! A tracker as a server: over UDP by threads that share nothing, over HTTP and WebSockets by one more. It owns sockets,
//! threads and the state's file; torrents and peers are the room `tracker` of core.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use millstream::tracker::{TrackerServer, TrackerServerConfig};
//!
//! let any = "0.0.0.0:6969".parse()?;
//! let config = TrackerServerConfig { udp: vec![any], http: vec![any], ..TrackerServerConfig::default() };
//! let tracker = TrackerServer::start(config)?;
//! println!("{} peers", tracker.statistics().await.peers);
//! tracker.shutdown().await?;
//! # Ok(())
//! # }
//! ```

mod batch;
mod guests;
mod http;
mod queue;
mod sockets;
mod state;
mod stats;
mod worker;
mod ws;

pub use millstream_core::tracker::{
    Fault, Protocol, ProtocolStatistics, Rules, RulesError, TrackerConfig, TrackerStatistics, read_list,
};

use core::net::SocketAddr;
use core::time::Duration;
use guests::Guests;
use millstream_core::tracker::state::SavedState;
use millstream_core::tracker::{ConnectionIds, Tracker};
use mio::net::UdpSocket;
use mio::{Poll, Waker};
use queue::{Ask, Door, QUEUE_MAX, Shared, owner};
use state::Loaded;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use worker::Worker;

/// How a tracker is served.
#[derive(Clone, Debug)]
pub struct TrackerServerConfig {
    /// What it holds and tells. The limits are for all workers together.
    pub tracker: TrackerConfig,
    /// Threads, each with a part of the torrents and a UDP socket at each address. One a core is best.
    pub workers: usize,
    /// Where it is reached over UDP; port 0 takes a free one.
    pub udp: Vec<SocketAddr>,
    /// Over HTTP.
    pub http: Vec<SocketAddr>,
    /// Over WebSockets, for browsers.
    pub websocket: Vec<SocketAddr>,
    /// Where its statistics are served, over HTTP, to anybody who asks.
    pub stats: Vec<SocketAddr>,
    /// Which torrents it serves.
    pub rules: Rules,
    /// Where it keeps what it knows over a restart, if anywhere.
    pub state: Option<PathBuf>,
    /// Seconds between two savings; what came after the last is lost if the process is killed.
    pub state_interval_s: u32,
    /// Connections over HTTP at once; more are closed at once. About 20 KiB each.
    pub http_connections_max: usize,
    /// Milliseconds that a request's head may take, and a connection over HTTP may be idle: who is slower is closed.
    pub http_head_timeout_ms: u32,
    /// Connections over WebSockets at once. About 30 KiB each.
    pub websocket_connections_max: usize,
    /// Connections of one IPv4 address or IPv6 /64, of each kind; the loopback has no such limit.
    pub connections_per_source_max: usize,
}

impl Default for TrackerServerConfig {
    fn default() -> Self {
        Self {
            tracker: TrackerConfig::default(),
            workers: 1,
            udp: Vec::new(),
            http: Vec::new(),
            websocket: Vec::new(),
            stats: Vec::new(),
            rules: Rules::default(),
            state: None,
            state_interval_s: 300,
            http_connections_max: 4096,
            http_head_timeout_ms: 10_000,
            websocket_connections_max: 10_000,
            connections_per_source_max: 256,
        }
    }
}

/// Why a tracker can't start or its state can't be saved: the host is to blame.
#[derive(Debug, Error)]
pub enum TrackerServerError {
    /// An address couldn't be bound.
    #[error("{addr} can't be bound: {error}")]
    Bind {
        /// Which.
        addr: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A thread or a reactor couldn't be made.
    #[error("a thread of the tracker couldn't be started: {0}")]
    Thread(#[source] io::Error),
    /// The operating system gave no random numbers.
    #[error("the system has no random numbers: {0}")]
    Seed(String),
    /// The state couldn't be read or written.
    #[error("{path}: {error}", path = path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Where a tracker is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackerAddresses {
    /// Over UDP.
    pub udp: Vec<SocketAddr>,
    /// Over HTTP.
    pub http: Vec<SocketAddr>,
    /// Over WebSockets.
    pub websocket: Vec<SocketAddr>,
    /// Its statistics.
    pub stats: Vec<SocketAddr>,
}

/// A tracker that runs. Dropped, it stops without saving its state.
pub struct TrackerServer {
    shared: Arc<Shared>,
    addresses: TrackerAddresses,
    state: Option<PathBuf>,
    warning: Option<String>,
    threads: Threads,
}

/// What runs, until it is dropped.
struct Threads {
    shared: Arc<Shared>,
    stop_front: Option<oneshot::Sender<()>>,
    handles: Vec<JoinHandle<()>>,
}

fn sum(all: &[TrackerStatistics]) -> TrackerStatistics {
    let mut sum = TrackerStatistics::default();
    all.iter().for_each(|one| sum += one);
    sum
}

impl TrackerServer {
    /// Binds the addresses, reads the state and starts the threads.
    pub fn start(config: TrackerServerConfig) -> Result<Self, TrackerServerError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| TrackerServerError::Seed(error.to_string()))?;
        let loaded = match &config.state {
            Some(path) => {
                state::load(path).map_err(|error| TrackerServerError::State { path: path.clone(), error })?
            }
            None => Loaded::Absent,
        };
        let (front, mut addresses) = Front::bind(&config)?;
        let workers = config.workers.max(1);
        let mut sockets: Vec<Vec<UdpSocket>> = (0..workers).map(|_| Vec::new()).collect();
        for &addr in &config.udp {
            let (group, addr, _) =
                sockets::bind(addr, workers).map_err(|error| TrackerServerError::Bind { addr, error })?;
            addresses.udp.push(addr);
            sockets.iter_mut().zip(group).for_each(|(of, socket)| of.push(socket));
        }
        let (shared, bells) = doors(workers).map_err(TrackerServerError::Thread)?;
        let mut threads = Threads { shared: Arc::clone(&shared), stop_front: None, handles: Vec::new() };
        for ((number, sockets), (poll, asks)) in sockets.into_iter().enumerate().zip(bells) {
            let tracker = part(&config, seed, number, &loaded, &shared);
            let ids = ConnectionIds::new(seed);
            let worker = Worker { number, shared: Arc::clone(&shared), tracker, ids, sockets, asks };
            let name = format!("tracker-{number}");
            let thread = std::thread::Builder::new().name(name).spawn(move || worker.run(poll));
            threads.handles.push(thread.map_err(TrackerServerError::Thread)?);
        }
        threads.start_front(front, &config)?;
        let warning = match loaded {
            Loaded::Damaged(warning) => Some(warning),
            Loaded::Absent | Loaded::State(..) => None,
        };
        Ok(Self { shared, addresses, state: config.state, warning, threads })
    }

    /// Where it is reached.
    pub fn addresses(&self) -> &TrackerAddresses {
        &self.addresses
    }

    /// What the user should know of its start: a state that was damaged and is set aside.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// What it holds and has done.
    pub async fn statistics(&self) -> TrackerStatistics {
        sum(&self.shared.statistics().await)
    }

    /// The same as one JSON object, as it is served.
    pub async fn statistics_json(&self) -> String {
        stats::json(&self.shared).await
    }

    /// Serves what these rules say from the moment that this is done.
    pub async fn set_rules(&self, rules: Rules) {
        let rules = Arc::new(rules);
        let mut waiting = Vec::new();
        for door in &self.shared.doors {
            let (answer, waits) = oneshot::channel();
            door.insist(Ask::Rules { rules: Arc::clone(&rules), answer });
            waiting.push(waits);
        }
        for waits in waiting {
            // A worker that is gone serves nothing.
            let _ = waits.await;
        }
    }

    /// Stops in good order: connections end, the state is saved, the threads end.
    pub async fn shutdown(self) -> Result<(), TrackerServerError> {
        let (done, waits) = oneshot::channel();
        let thread = std::thread::Builder::new().name("tracker-stop".into());
        thread
            .spawn(move || {
                let _ = done.send(self.stop());
            })
            .map_err(TrackerServerError::Thread)?;
        waits.await.unwrap_or_else(|_| Err(TrackerServerError::Thread(io::ErrorKind::BrokenPipe.into())))
    }

    /// The same, on this thread, which it blocks.
    fn stop(mut self) -> Result<(), TrackerServerError> {
        self.threads.stop_front();
        let saved = match &self.state {
            Some(path) => state::save(&self.shared, path)
                .map_err(|error| TrackerServerError::State { path: path.clone(), error }),
            None => Ok(()),
        };
        drop(self.threads);
        saved
    }
}

type Bell = (Poll, Receiver<Ask>);

fn doors(workers: usize) -> io::Result<(Arc<Shared>, Vec<Bell>)> {
    let mut doors = Vec::new();
    let mut bells = Vec::new();
    for _ in 0..workers {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), worker::BELL)?;
        let (asks, asked) = sync_channel(QUEUE_MAX);
        doors.push(Door::new(asks, waker));
        bells.push((poll, asked));
    }
    Ok((Arc::new(Shared { doors, epoch: Instant::now(), front: Mutex::default() }), bells))
}

/// One worker's part of the tracker, with its part of the limits and of what was saved.
fn part(
    config: &TrackerServerConfig,
    seed: [u8; 32],
    number: usize,
    loaded: &Loaded,
    shared: &Shared,
) -> Tracker {
    let workers = shared.doors.len();
    let limits = TrackerConfig {
        torrents_max: config.tracker.torrents_max.div_ceil(workers),
        peers_max: config.tracker.peers_max.div_ceil(workers),
        ..config.tracker
    };
    let mut seed = seed;
    // Another for each, so that none draws what another does. The ids have the seed itself.
    seed[0] ^= number as u8 + 1;
    seed[1] ^= (number >> 8) as u8;
    let mut tracker = Tracker::new(limits, seed);
    tracker.set_rules(Arc::new(config.rules.clone()));
    if let Loaded::State(bytes, away) = loaded
        && let Ok(state) = SavedState::read(bytes)
    {
        let peers = tracker.restore(shared.now(), &state, *away, |hash| owner(hash, workers) == number);
        tracing::info!(worker = number, peers, "remembered");
    }
    tracker
}

/// Listeners that the front's thread will serve.
#[derive(Default)]
struct Front {
    http: Vec<std::net::TcpListener>,
    websocket: Vec<std::net::TcpListener>,
    stats: Vec<std::net::TcpListener>,
}

impl Front {
    fn bind(config: &TrackerServerConfig) -> Result<(Self, TrackerAddresses), TrackerServerError> {
        let (mut front, mut addresses) = (Self::default(), TrackerAddresses::default());
        for (wanted, listeners, bound) in [
            (&config.http, &mut front.http, &mut addresses.http),
            (&config.websocket, &mut front.websocket, &mut addresses.websocket),
            (&config.stats, &mut front.stats, &mut addresses.stats),
        ] {
            for &addr in wanted {
                let opened = listen(addr).map_err(|error| TrackerServerError::Bind { addr, error })?;
                bound.push(opened.0);
                listeners.push(opened.1);
            }
        }
        Ok((front, addresses))
    }
}

fn listen(addr: SocketAddr) -> io::Result<(SocketAddr, std::net::TcpListener)> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    let listener = std::net::TcpListener::from(socket);
    Ok((listener.local_addr()?, listener))
}

impl Threads {
    /// Starts the thread of HTTP, WebSockets, statistics and the state's savings.
    fn start_front(&mut self, front: Front, config: &TrackerServerConfig) -> Result<(), TrackerServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(TrackerServerError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let (shared, config) = (Arc::clone(&self.shared), config.clone());
        let thread = std::thread::Builder::new().name("tracker-front".into());
        let handle = thread.spawn(move || {
            runtime.block_on(async {
                if let Err(error) = serve(front, &shared, &config) {
                    tracing::error!(%error, "the tracker's listeners can't be served");
                }
                // Told, or whoever would tell is gone.
                let _ = stopped.await;
            });
            // A saving under way ends first; connections are dropped.
            drop(runtime);
        });
        self.handles.push(handle.map_err(TrackerServerError::Thread)?);
        self.stop_front = Some(stop);
        Ok(())
    }

    /// The front is started last, so it is the last of the handles.
    fn stop_front(&mut self) {
        if self.stop_front.take().is_some()
            && let Some(front) = self.handles.pop()
        {
            let _ = front.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop_front();
        self.shared.doors.iter().for_each(|door| door.insist(Ask::Stop));
        for handle in self.handles.drain(..) {
            let _ = handle.join();
        }
    }
}

/// Starts the tasks of the front.
fn serve(front: Front, shared: &Arc<Shared>, config: &TrackerServerConfig) -> io::Result<()> {
    let guests = |max| Guests::new(max, config.connections_per_source_max);
    let (http_guests, socket_guests) =
        (guests(config.http_connections_max), guests(config.websocket_connections_max));
    let sockets = Arc::new(ws::Sockets::default());
    for listener in front.http {
        let listener = TcpListener::from_std(listener)?;
        let head_timeout = Duration::from_millis(u64::from(config.http_head_timeout_ms));
        tokio::spawn(http::serve(listener, Arc::clone(shared), Arc::clone(&http_guests), head_timeout));
    }
    for listener in front.websocket {
        let listener = TcpListener::from_std(listener)?;
        let (sockets, guests) = (Arc::clone(&sockets), Arc::clone(&socket_guests));
        tokio::spawn(ws::serve(listener, Arc::clone(shared), sockets, guests));
    }
    for listener in front.stats {
        tokio::spawn(stats::serve(TcpListener::from_std(listener)?, Arc::clone(shared)));
    }
    if let Some(path) = config.state.clone() {
        let every = Duration::from_secs(u64::from(config.state_interval_s.max(1)));
        tokio::spawn(save_now_and_then(Arc::clone(shared), path, every));
    }
    Ok(())
}

async fn save_now_and_then(shared: Arc<Shared>, path: PathBuf, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let (shared, path) = (Arc::clone(&shared), path.clone());
        let saved = tokio::task::spawn_blocking(move || {
            state::save(&shared, &path).map_err(|error| format!("{}: {error}", path.display()))
        });
        if let Ok(Err(error)) = saved.await {
            tracing::warn!(%error, "the state couldn't be saved");
        }
    }
}
