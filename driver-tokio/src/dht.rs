//! A node of the DHT alone, on UDP sockets of tokio: for who wants peers, items or samples and no torrents. The machine is
//! core's; this file owns its sockets, its timer and its names.

use crate::error::StartError;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use millstream_core::base::{Instant, Rng, is_public};
use millstream_core::dht::{Busy, DhtConfig, DhtStatus, Event, Family, Item, LookupId, Node, PutError};
use millstream_core::wire::InfoHash;
use millstream_core::wire::krpc::{DATAGRAM_READ_BYTES_MAX, NodeId};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

/// How long a name of a bootstrap node may take to be looked up.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Commands that wait for the node.
const COMMANDS_MAX: usize = 64;

/// Datagrams taken from a socket before anything else gets a turn.
const BURST: usize = 64;

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct DhtNodeConfig {
    /// The machine's settings.
    pub dht: DhtConfig,
    /// Where to listen, one address of each family at most; port 0 lets the system choose. Default: any port on all
    /// addresses, IPv4 and IPv6.
    pub listen: Vec<SocketAddr>,
    /// A table that [`DhtNode::save`] gave earlier. One that is damaged is passed over with a warning.
    pub table: Option<Vec<u8>>,
}

impl Default for DhtNodeConfig {
    fn default() -> Self {
        let listen =
            [SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))];
        Self { dht: DhtConfig::default(), listen: listen.to_vec(), table: None }
    }
}

/// What a node is asked to look up or to store.
#[derive(Clone, Debug, PartialEq)]
pub enum DhtRequest {
    /// Peers of a torrent.
    GetPeers(InfoHash),
    /// Tell the nodes nearest to a torrent that we are a peer of it.
    Announce {
        /// The torrent.
        info_hash: InfoHash,
        /// Where peers reach us; `None` is the port of our datagrams.
        port: Option<u16>,
        /// Whether we have all of it.
        seed: bool,
    },
    /// How many are in a swarm (BEP 33).
    Scrape(InfoHash),
    /// An item (BEP 44).
    Get {
        /// Its key.
        target: NodeId,
        /// The salt of a mutable one, empty if it has none.
        salt: Vec<u8>,
    },
    /// Store an item (BEP 44).
    Put {
        /// What.
        item: Item,
        /// Only over this sequence number.
        cas: Option<i64>,
    },
    /// Torrents that nodes on the way to a point know of (BEP 51).
    Sample(NodeId),
    /// The nodes nearest to a point.
    FindNode(NodeId),
}

/// Why a look-up isn't begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DhtRefusal {
    /// No node would store the item, or too many look-ups are under way.
    #[error(transparent)]
    Put(#[from] PutError),
    /// Too many look-ups are under way.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The node has ended.
    #[error("the DHT node has ended")]
    Ended,
}

/// A look-up under way; dropping it ends it.
#[derive(Debug)]
pub struct DhtLookup {
    events: mpsc::UnboundedReceiver<Event>,
    commands: mpsc::Sender<Ask>,
    id: LookupId,
}

impl DhtLookup {
    /// What it found next; `Event::Done` is the last. `None`: it is over, or the node has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for DhtLookup {
    fn drop(&mut self) {
        // A node that is too busy to hear it ends the look-up by itself, later.
        let _ = self.commands.try_send(Ask::Cancel(self.id));
    }
}

/// A running node. Dropping it ends it.
#[derive(Debug)]
pub struct DhtNode {
    commands: mpsc::Sender<Ask>,
    listening: Vec<SocketAddr>,
}

impl DhtNode {
    /// Binds its sockets and begins to join, as a task of the runtime that this is called in.
    pub async fn start(config: DhtNodeConfig) -> Result<Self, StartError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| StartError::Seed(error.to_string()))?;
        let mut dht = config.dht;
        dht.private_addresses |= is_of_ones_own(&dht.bootstrap_nodes);
        let mut sockets = Vec::new();
        let mut failed = None;
        for addr in &config.listen {
            match bind(*addr) {
                Ok(socket) => sockets.push(socket),
                Err(error) => failed = Some(error),
            }
        }
        if sockets.is_empty() {
            let nothing = || io::Error::new(io::ErrorKind::InvalidInput, "no address to listen at was given");
            return Err(StartError::Listen(failed.unwrap_or_else(nothing)));
        }
        let listening = sockets.iter().filter_map(|socket| socket.outward.local_addr().ok()).collect();
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (resolved, names) = mpsc::unbounded_channel();
        let node = Node::new(dht, Rng::new(seed), Instant::ZERO);
        let began = tokio::time::Instant::now();
        let body = Body {
            node,
            sockets,
            began,
            resolved,
            resolving: 0,
            waiting: BTreeMap::new(),
            joining: Vec::new(),
        };
        tokio::spawn(body.run(config.table, inbox, names));
        Ok(Self { commands, listening })
    }

    /// Where it listens.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Waits until the table has nodes, or the first attempt to join found none: look-ups are better after it. Whether
    /// there are nodes.
    pub async fn joined(&self) -> bool {
        self.ask(Ask::Joined).await.unwrap_or(false)
    }

    /// Begins a look-up.
    pub async fn begin(&self, request: DhtRequest) -> Result<DhtLookup, DhtRefusal> {
        let begun = self.ask(|answer| Ask::Begin(request, answer)).await;
        let (id, events) = begun.unwrap_or(Err(DhtRefusal::Ended))?;
        Ok(DhtLookup { events, commands: self.commands.clone(), id })
    }

    /// How it is; `None` if it has ended.
    pub async fn status(&self) -> Option<DhtStatus> {
        self.ask(Ask::Status).await
    }

    /// Its table, for the next start; `None` if it has ended.
    pub async fn save(&self) -> Option<Vec<u8>> {
        self.ask(Ask::Save).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (answer, told) = oneshot::channel();
        self.commands.send(ask(answer)).await.ok()?;
        told.await.ok()
    }
}

/// Whether the DHT that is entered by these is one of a host's or a network's own: all of them have private addresses.
pub(crate) fn is_of_ones_own(bootstrap: &[String]) -> bool {
    let private = |node: &String| node.parse::<SocketAddr>().is_ok_and(|addr| !is_public(addr.ip()));
    !bootstrap.is_empty() && bootstrap.iter().all(private)
}

type Begun = Result<(LookupId, mpsc::UnboundedReceiver<Event>), DhtRefusal>;

#[derive(Debug)]
enum Ask {
    Begin(DhtRequest, oneshot::Sender<Begun>),
    Cancel(LookupId),
    Joined(oneshot::Sender<bool>),
    Status(oneshot::Sender<DhtStatus>),
    Save(oneshot::Sender<Vec<u8>>),
}

/// The machine with its sockets.
struct Body {
    node: Node,
    sockets: Vec<Bound>,
    began: tokio::time::Instant,
    resolved: mpsc::UnboundedSender<Vec<SocketAddr>>,
    /// Names being looked up.
    resolving: usize,
    waiting: BTreeMap<LookupId, mpsc::UnboundedSender<Event>>,
    joining: Vec<oneshot::Sender<bool>>,
}

impl Body {
    async fn run(
        mut self,
        table: Option<Vec<u8>>,
        mut inbox: mpsc::Receiver<Ask>,
        mut names: mpsc::UnboundedReceiver<Vec<SocketAddr>>,
    ) {
        if let Some(Err(error)) = table.map(|table| self.node.restore(Instant::ZERO, &table)) {
            tracing::warn!(%error, "the saved table is passed over; the node begins anew");
        }
        for n in 0..self.sockets.len() {
            let (now, family) = (self.now(), self.sockets[n].family);
            self.node.on_bound(now, family);
        }
        let sockets: Vec<Arc<UdpSocket>> =
            self.sockets.iter().map(|socket| Arc::clone(&socket.inward)).collect();
        let mut turn = 0;
        loop {
            self.drain();
            let wake = self.node.deadline().map(|at| self.began + Duration::from_micros(at.as_micros()));
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            turn += 1;
            tokio::select! {
                n = readable(&sockets, turn) => self.receive(n),
                () = sleep => {
                    let now = self.now();
                    self.node.on_timeout(now);
                }
                Some(addrs) = names.recv() => {
                    self.resolving -= 1;
                    let now = self.now();
                    self.node.on_resolved(now, &addrs);
                }
                ask = inbox.recv() => match ask {
                    Some(ask) => self.on_ask(ask),
                    None => return,
                },
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.began.elapsed().as_micros() as u64)
    }

    fn receive(&mut self, n: usize) {
        let Some(socket) = self.sockets.get(n) else { return };
        let socket = Arc::clone(&socket.inward);
        let mut buffer = [0; DATAGRAM_READ_BYTES_MAX];
        for _ in 0..BURST {
            // An error is news of an earlier datagram's fate: its query will run out of time.
            let Ok((length, from)) = socket.try_recv_from(&mut buffer) else { return };
            let now = self.now();
            self.node.on_datagram(now, from, &buffer[..length]);
            self.drain();
        }
    }

    fn on_ask(&mut self, ask: Ask) {
        let now = self.now();
        // Who asks and doesn't wait for the answer gets none.
        match ask {
            Ask::Begin(request, answer) => {
                let begun = begin(&mut self.node, now, request).map(|id| {
                    let (events, told) = mpsc::unbounded_channel();
                    self.waiting.insert(id, events);
                    (id, told)
                });
                let _ = answer.send(begun);
            }
            Ask::Cancel(id) => {
                if self.waiting.remove(&id).is_some() {
                    self.node.cancel(id);
                }
            }
            Ask::Joined(answer) => self.joining.push(answer),
            Ask::Status(answer) => drop(answer.send(self.node.status(now))),
            Ask::Save(answer) => drop(answer.send(self.node.save())),
        }
    }

    /// Lets out what the machine has to say.
    fn drain(&mut self) {
        for socket in &self.sockets {
            while let Some((to, datagram)) = self.node.next_datagram(socket.family) {
                // What a full or missing network takes away is lost, as any datagram may be.
                if let Err(error) = socket.outward.send_to(&datagram, to) {
                    tracing::trace!(%to, %error, "a datagram couldn't be sent");
                }
            }
        }
        while let Some(event) = self.node.next_event() {
            self.on_event(event);
        }
        if self.joining.is_empty() {
            return;
        }
        let status = self.node.status(self.now());
        let nodes = status.families.iter().any(|family| family.nodes > 0);
        if nodes || self.resolving == 0 && status.lookups == self.waiting.len() {
            for answer in self.joining.drain(..) {
                // Who asked may have gone.
                let _ = answer.send(nodes);
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let (id, done) = match &event {
            Event::Resolve { host, port } => {
                self.resolving += 1;
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                tokio::spawn(resolve(bare, *port, self.resolved.clone()));
                return;
            }
            Event::Peers { lookup, .. } | Event::Item { lookup, .. } | Event::Samples { lookup, .. } => {
                (*lookup, false)
            }
            Event::Done { lookup, .. } => (*lookup, true),
            Event::Joined(family) => return tracing::info!(?family, "joined the DHT"),
            Event::External(ip) => return tracing::debug!(%ip, "others see us here"),
        };
        if let Some(events) = self.waiting.get(&id) {
            // Nobody listens any more: the look-up is cancelled by its own `Drop`.
            let _ = events.send(event);
        }
        if done {
            self.waiting.remove(&id);
        }
    }
}

fn begin(node: &mut Node, now: Instant, request: DhtRequest) -> Result<LookupId, DhtRefusal> {
    Ok(match request {
        DhtRequest::GetPeers(info_hash) => node.get_peers(now, info_hash)?,
        DhtRequest::Announce { info_hash, port, seed } => node.announce(now, info_hash, port, seed)?,
        DhtRequest::Scrape(info_hash) => node.scrape(now, info_hash)?,
        DhtRequest::Get { target, salt } => node.get(now, target, &salt, None)?,
        DhtRequest::Put { item, cas } => node.put(now, item, cas)?,
        DhtRequest::Sample(target) => node.sample(now, target)?,
        DhtRequest::FindNode(target) => node.find_node(now, target)?,
    })
}

async fn resolve(host: String, port: u16, resolved: mpsc::UnboundedSender<Vec<SocketAddr>>) {
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host.as_str(), port))).await;
    let addrs = match found {
        Ok(Ok(addrs)) => addrs.collect(),
        Ok(Err(error)) => {
            tracing::debug!(%host, %error, "a bootstrap node's name can't be looked up");
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    // The node may have ended meanwhile.
    let _ = resolved.send(addrs);
}

/// Which socket has something to read; each comes first in turn.
async fn readable(sockets: &[Arc<UdpSocket>], turn: usize) -> usize {
    core::future::poll_fn(|cx| {
        for n in (0..sockets.len()).map(|n| (n + turn) % sockets.len()) {
            if sockets[n].poll_recv_ready(cx).is_ready() {
                return core::task::Poll::Ready(n);
            }
        }
        core::task::Poll::Pending
    })
    .await
}

/// A socket, twice: what goes out doesn't wait for readiness.
struct Bound {
    family: Family,
    inward: Arc<UdpSocket>,
    outward: std::net::UdpSocket,
}

fn bind(addr: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    let outward: std::net::UdpSocket = socket.into();
    let inward = Arc::new(UdpSocket::from_std(outward.try_clone()?)?);
    Ok(Bound { family: Family::of(&addr), inward, outward })
}
