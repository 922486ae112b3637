//! A session as an application holds it: starting, adding, watching, ending. The work is done by `run`'s thread.

use crate::add::Origin;
use crate::error::{AddError, CommandFailed, FetchError, LoadFilterError, StartError};
use crate::events::{Events, Hub, SessionEvent};
use crate::pool::Pool;
use crate::resume::Shelf;
use crate::run::{self, Request};
use crate::torrent::{Shared, Torrent};
use crate::{AddTorrent, SessionConfig, SessionStatistics, lock};
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::engine::{self, Command, CommandError, Encryption, Rates, Reply, Source};
use millstream_core::wire::magnet::KeyLink;
use millstream_core::wire::{Magnet, Metainfo, MetainfoLimits};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

/// A running engine with its sockets, its disk and its clock.
///
/// Dropping it ends its threads at once, without a word to the trackers; [`Session::shutdown`] takes leave properly.
pub struct Session {
    port: Port,
}

/// The way to the engine's thread, for sessions and torrents alike.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    pub(crate) board: Arc<Board>,
}

/// What the engine's thread shows to applications.
pub(crate) struct Board {
    pub(crate) config: SessionConfig,
    pub(crate) hub: Hub<SessionEvent>,
    pub(crate) torrents: Mutex<BTreeMap<TorrentId, Arc<Shared>>>,
    pub(crate) listening: Mutex<Vec<SocketAddr>>,
    /// What was amiss before anybody could listen.
    pub(crate) warnings: Mutex<Vec<String>>,
    pub(crate) shelf: Option<Shelf>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) sent_by_sendfile: AtomicU64,
}

impl Session {
    /// A session's settings, to be changed before it starts.
    pub fn builder() -> SessionBuilder {
        SessionBuilder { config: SessionConfig::default() }
    }

    /// Binds the sockets and starts the threads. Raises the process's limit of open files as far as the host allows.
    pub async fn start(config: SessionConfig) -> Result<Self, StartError> {
        let (started, outcome) = oneshot::channel();
        let port = run::start(config, started)?;
        match outcome.await {
            Ok(Ok(())) => Ok(Self { port }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Thread(io::Error::other("it ended at once"))),
        }
    }

    /// Takes on a torrent: a text by what it looks like (magnet link, URL, path), a path, or an [`AddTorrent`]. What
    /// resume data was kept for it in the same folder is used. A link that has a key in a torrent's place (BEP 46) means
    /// the torrent that the key names now, and it waits for as long as the DHT knows none; later ones are told by
    /// [`Session::follow`].
    pub async fn add(&self, add: impl Into<AddTorrent>) -> Result<Torrent, AddError> {
        let mut add = add.into();
        let origin = core::mem::replace(&mut add.origin, Origin::Bytes(Vec::new()));
        let source = self.source(origin).await?;
        self.add_source(source, add).await
    }

    /// Takes on a torrent that is parsed already; the rest is as `add` says.
    pub async fn add_source(&self, source: Source, add: AddTorrent) -> Result<Torrent, AddError> {
        let config = &self.port.board.config;
        let folder = add.folder.unwrap_or_else(|| config.folder.clone());
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let Some(name) = folder.to_str() else { return Err(AddError::Folder(folder)) };
        let mut order = engine::AddTorrent::new(source, name);
        order.selection = add.selection;
        order.priorities = add.priorities;
        order.sequential = add.sequential;
        order.paused = add.paused;
        order.peers = add.peers;
        order.trackers = add.trackers;
        order.only_peers = add.only_peers;
        order.allocation = add.allocation.unwrap_or(config.allocation);
        order.rates = add.rates;
        order.super_seed = add.super_seed;
        let keep = self.port.board.shelf.as_ref().and_then(|shelf| shelf.place(&order.source, &folder));
        order.resume = add.resume.filter(|_| !add.recheck);
        if let (Some(path), false, None) = (keep.clone(), add.recheck, &order.resume) {
            order.resume = self.on_pool(move || crate::resume::load(&path)).await.ok_or(AddError::Ended)?;
        }
        let (reply, answer) = oneshot::channel();
        self.port.send(Request::Add { order: Box::new(order), keep, reply }).map_err(|()| AddError::Ended)?;
        let shared = answer.await.map_err(|_| AddError::Ended)??;
        Ok(Torrent::new(self.port.clone(), shared))
    }

    async fn source(&self, origin: Origin) -> Result<Source, AddError> {
        let bytes_max = self.port.board.config.torrent_file_bytes_max;
        let parsed = match origin {
            Origin::Parsed(source) => return Ok(source),
            Origin::Magnet(link) => {
                return match (parse_magnet(&link), KeyLink::parse(&link)) {
                    (Err(_), Some(key)) => parse_magnet(&self.named_now(key, &link).await?),
                    (parsed, _) => parsed,
                };
            }
            Origin::Bytes(bytes) => self.on_pool(move || parse_metainfo(bytes)).await,
            Origin::Path(path) => self.on_pool(move || parse_metainfo(read_bounded(&path, bytes_max)?)).await,
            Origin::Url(url) => {
                let bytes = self.fetch(&url).await?;
                self.on_pool(move || parse_metainfo(bytes)).await
            }
        };
        parsed.unwrap_or(Err(AddError::Ended))
    }

    /// Fetches a torrent file from an http or https server: its bytes, unread.
    pub async fn fetch(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let (reply, answer) = oneshot::channel();
        let url = url.to_owned();
        self.port.send(Request::Fetch { url, reply }).map_err(|()| FetchError::Ended)?;
        answer.await.map_err(|_| FetchError::Ended)?
    }

    /// Runs a piece of blocking work on the pool; `None` if the pool has ended.
    async fn on_pool<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.port.board.pool.run(Box::new(move || drop(reply.send(work()))));
        answer.await.ok()
    }

    /// The addresses of a host. Behind a proxy a name isn't looked up here: it gets a stand-in, good for this session
    /// alone, and the proxy hears the name when a link goes there.
    pub async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let (reply, answer) = oneshot::channel();
        let ended = || io::Error::other("the session has ended");
        self.port.send(Request::LookUp { host: host.to_owned(), port, reply }).map_err(|()| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// A torrent of this session.
    pub fn torrent(&self, id: TorrentId) -> Option<Torrent> {
        let shared = lock(&self.port.board.torrents).get(&id).cloned()?;
        Some(Torrent::new(self.port.clone(), shared))
    }

    /// All torrents, in the order they were added.
    pub fn torrents(&self) -> Vec<Torrent> {
        let torrents = lock(&self.port.board.torrents);
        torrents.values().map(|shared| Torrent::new(self.port.clone(), Arc::clone(shared))).collect()
    }

    /// The way to the engine's thread.
    pub(crate) fn port(&self) -> Port {
        self.port.clone()
    }

    /// News of the session and all its torrents, from now on.
    pub fn events(&self) -> Events<SessionEvent> {
        self.port.board.hub.subscribe()
    }

    /// The addresses at which peers can reach us.
    pub fn listening(&self) -> Vec<SocketAddr> {
        lock(&self.port.board.listening).clone()
    }

    /// Where resume data and the DHT's table are kept; `None` if nothing is.
    pub fn state_folder(&self) -> Option<&Path> {
        self.port.board.shelf.as_ref().map(Shelf::folder)
    }

    /// What was amiss when the session started and didn't stop it; later warnings are events.
    pub fn warnings(&self) -> Vec<String> {
        lock(&self.port.board.warnings).clone()
    }

    /// Bytes that went from files into links by `sendfile`, without a copy in this process. 0 where there is none, and
    /// of what went to peers on this host (see `SessionConfig::sendfile_locally`).
    pub fn sent_by_sendfile(&self) -> u64 {
        self.port.board.sent_by_sendfile.load(Ordering::Relaxed)
    }

    /// What is counted beside the torrents: faults of links, what was ignored and why, the DHT, ports, the pool of links.
    pub async fn statistics(&self) -> Result<SessionStatistics, CommandFailed> {
        let (reply, answer) = oneshot::channel();
        self.port.send(Request::Statistics(reply)).map_err(|()| CommandFailed::Ended)?;
        answer.await.map_err(|_| CommandFailed::Ended)
    }

    /// Have nothing more to do with the addresses of a filter list, which takes the place of the one before; links to
    /// who is forbidden are closed. What is to be warned of, if lines of it are no rules.
    pub async fn load_ip_filter(&self, path: impl Into<PathBuf>) -> Result<Option<String>, LoadFilterError> {
        let path = path.into();
        let read = self.on_pool(move || crate::filter::read(&path).map(|read| (path, read))).await;
        let (path, read) = read.ok_or(CommandFailed::Ended)??;
        let warning = crate::filter::warning(&path, &read);
        self.port.command(Command::IpFilter(Some(Arc::new(read.filter)))).await?;
        Ok(warning)
    }

    /// Limits the rates of all torrents together.
    pub async fn set_rates(&self, rates: Rates) -> Result<(), CommandFailed> {
        self.port.command(Command::Rates(rates)).await.map(drop)
    }

    /// Ends all in good order: trackers are told, resume data is kept, links are closed. It begins at once, also if
    /// nobody waits for the end: the future is done when all is, or soon after `deadline` has passed.
    pub fn shutdown(&self, deadline: Duration) -> impl Future<Output = ()> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        // A thread that has ended drops the asker with the question.
        let _ = self.port.send(Request::Shutdown { deadline, reply });
        async move {
            // An error means that the thread has ended, which is what was asked for.
            let _ = answer.await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody listens any more if `shutdown` came first.
        let _ = self.port.send(Request::End);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.listening())
    }
}

impl Port {
    pub(crate) fn send(&self, request: Request) -> Result<(), ()> {
        self.requests.send(request).map_err(drop)
    }

    pub(crate) async fn command(&self, command: Command) -> Result<Reply, CommandFailed> {
        self.ask(|reply| Request::Command { command, reply }).await
    }

    /// Asks what the engine may refuse.
    pub(crate) async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<Reply, CommandError>>) -> Request,
    ) -> Result<Reply, CommandFailed> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply)).map_err(|()| CommandFailed::Ended)?;
        Ok(answer.await.map_err(|_| CommandFailed::Ended)??)
    }
}

/// A session's settings, to be changed before it starts.
#[derive(Clone, Debug)]
pub struct SessionBuilder {
    config: SessionConfig,
}

impl SessionBuilder {
    /// Where to listen; see `SessionConfig::listen`.
    #[must_use]
    pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.config.listen = addresses.into_iter().collect();
        self
    }

    /// The folder for torrents that name none.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.folder = folder.into();
        self
    }

    /// Where resume data is kept.
    #[must_use]
    pub fn state_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.state_folder = Some(folder.into());
        self
    }

    /// Keep no resume data, and use none.
    #[must_use]
    pub fn without_resume(mut self) -> Self {
        self.config.keep_resume = false;
        self
    }

    /// Seek nobody beyond trackers and the given peers: no DHT, no neighbours, no peers that
    /// peers tell of, no word to the router.
    #[must_use]
    pub fn without_discovery(mut self) -> Self {
        let engine = &mut self.config.engine;
        (engine.dht, engine.lsd, engine.pex, engine.port_mapping) = (false, false, false, false);
        self
    }

    /// Whether links are encrypted: encrypted where the other side can (the default), never, or always.
    #[must_use]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.config.engine.encryption = encryption;
        self
    }

    /// Limits of the rates of all torrents together.
    #[must_use]
    pub fn rates(mut self, rates: Rates) -> Self {
        self.config.engine.rates = rates;
        self
    }

    /// Any other setting.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut SessionConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Binds the sockets and starts the threads.
    pub async fn start(self) -> Result<Session, StartError> {
        Session::start(self.config).await
    }
}

fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>, AddError> {
    let wrong = |error| AddError::Read { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(wrong)?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() > bytes_max {
        return Err(wrong(io::Error::other(format!("longer than {bytes_max} bytes"))));
    }
    Ok(bytes)
}

fn parse_metainfo(bytes: Vec<u8>) -> Result<Source, AddError> {
    // The bytes were bounded when they were read; how many files and pieces they may name is the codec's to bound.
    let limits = MetainfoLimits { torrent_bytes_max: bytes.len(), ..MetainfoLimits::default() };
    let metainfo = Metainfo::parse_within(&bytes, &limits).map_err(|e| AddError::Malformed(e.to_string()))?;
    Ok(Source::Metainfo(Arc::new(metainfo)))
}

fn parse_magnet(link: &str) -> Result<Source, AddError> {
    let magnet = Magnet::parse(link).map_err(|error| AddError::Malformed(error.to_string()))?;
    Ok(Source::Magnet(Arc::new(magnet)))
}
