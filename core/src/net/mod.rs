//! The datagrams of a process, split among the machines that speak UDP: the exchanges with trackers (BEP 15) here, the DHT
//! in `finder`. Those who speak to a group are next door, in `neighbours`.

#[cfg(feature = "dht")]
mod finder;
#[cfg(feature = "lsd")]
mod neighbours;
#[cfg(not(feature = "lsd"))]
mod no_neighbours;

#[cfg(feature = "dht")]
pub use finder::{DhtWish, Finder, FinderOutput, Followed};
#[cfg(feature = "lsd")]
pub use neighbours::Neighbours;
#[cfg(not(feature = "lsd"))]
pub use no_neighbours::Neighbours;

use crate::announce::{
    AnnounceConfig, AskError, AskId, ConnectionIds, UdpAsk, UdpContext, UdpExchange, UdpInput, UdpOutput,
};
use crate::base::{Instant, LocalId, Rng, Timers, TorrentId};
use crate::wire::tracker::{AnnounceAnswer, SwarmCounts};
use crate::wire::tracker_udp::read_reply;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Connection ids kept of trackers, 64 bytes each.
const IDS_MAX: usize = 256;

/// Datagrams that wait to be pulled, at one socket. More are dropped: trackers are asked again.
const QUEUE_MAX: usize = 1024;

/// What is to be done.
#[derive(Debug)]
pub enum NetOutput {
    /// Look a tracker's name up, and come with `on_resolved`.
    Resolve {
        /// Names the exchange.
        exchange: u64,
        /// The name.
        host: String,
        /// The port to put into the addresses.
        port: u16,
    },
    /// Datagrams wait at this socket.
    Ready(LocalId),
    /// An announce is over.
    Answered(TorrentId, AskId, Result<AnnounceAnswer, AskError>),
    /// A scrape is over.
    Scraped(TorrentId, Result<SwarmCounts, AskError>),
}

/// A socket's address, and what waits to be sent from it.
#[derive(Debug)]
struct Socket {
    addr: SocketAddr,
    /// It carries both families: behind it is a proxy's relay.
    relays: bool,
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// One announce to a UDP tracker; a scrape has no ask.
#[derive(Debug)]
struct Exchange {
    torrent: TorrentId,
    ask: Option<AskId>,
    udp: UdpExchange,
    armed: Option<Instant>,
}

/// The UDP sockets and who speaks over them.
#[derive(Debug)]
pub struct Net {
    rng: Rng,
    ids: ConnectionIds,
    config: Arc<AnnounceConfig>,
    sockets: BTreeMap<LocalId, Socket>,
    exchanges: BTreeMap<u64, Exchange>,
    timers: Timers<u64>,
    transactions: BTreeMap<u32, u64>,
    next: u64,
    /// What waits for a proxy's relay; `None` where none is awaited.
    for_relay: Option<VecDeque<(SocketAddr, Vec<u8>)>>,
    outputs: VecDeque<NetOutput>,
    counts: NetCounts,
}

/// Datagrams that nobody could take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounts {
    /// uTP packets that can't be read, or are of no link here and call for none.
    pub utp: u64,
    /// Neither uTP nor a tracker's answer.
    pub unreadable: u64,
    /// Trackers' answers with a transaction that nobody waits for: late ones, repeated ones, forged ones.
    pub unasked: u64,
}

impl Net {
    /// No sockets yet.
    pub fn new(rng: Rng, config: Arc<AnnounceConfig>) -> Self {
        Self {
            rng,
            ids: ConnectionIds::new(IDS_MAX),
            config,
            sockets: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            timers: Timers::default(),
            transactions: BTreeMap::new(),
            next: 1,
            for_relay: None,
            outputs: VecDeque::new(),
            counts: NetCounts::default(),
        }
    }

    /// Datagrams that nobody could take.
    pub fn counts(&self) -> NetCounts {
        self.counts
    }

    /// All datagrams go through a proxy's relay, which isn't there yet: they wait for it.
    pub fn await_relay(&mut self) {
        self.for_relay = Some(VecDeque::new());
    }

    /// A UDP socket is there.
    pub fn on_bound(&mut self, local: LocalId, addr: SocketAddr) {
        self.sockets.insert(local, Socket { addr, relays: false, queue: VecDeque::new() });
    }

    /// A socket is there whose datagrams a proxy relays, whatever their family.
    pub fn on_relay(&mut self, local: LocalId, addr: SocketAddr) {
        let queue = self.for_relay.as_mut().map(core::mem::take).unwrap_or_default();
        if !queue.is_empty() {
            self.outputs.push_back(NetOutput::Ready(local));
        }
        self.sockets.insert(local, Socket { addr, relays: true, queue });
    }

    /// Whether a tracker that was asked may have sent this: it carries the transaction of an exchange.
    pub fn is_answer(&self, bytes: &[u8]) -> bool {
        read_reply(bytes).is_ok_and(|(transaction, _)| self.transactions.contains_key(&transaction.0))
    }

    /// It is gone.
    pub fn on_unbound(&mut self, local: LocalId) {
        self.sockets.remove(&local);
    }

    /// A torrent wants a tracker asked; an announce has an id to be answered by.
    pub fn on_ask(&mut self, now: Instant, torrent: TorrentId, ask: Option<AskId>, udp: Box<UdpAsk>) {
        let exchange = self.next;
        self.next += 1;
        let udp = UdpExchange::new(udp);
        self.exchanges.insert(exchange, Exchange { torrent, ask, udp, armed: None });
        self.step(now, exchange, UdpInput::Start);
    }

    /// A name was looked up; no addresses if it couldn't be.
    pub fn on_resolved(&mut self, now: Instant, exchange: u64, addrs: &[SocketAddr]) {
        self.step(now, exchange, UdpInput::Resolved(addrs));
    }

    /// A datagram came.
    pub fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Ok((transaction, _)) = read_reply(bytes) else {
            self.counts.unreadable += 1;
            return;
        };
        match self.transactions.get(&transaction.0) {
            Some(&exchange) => self.step(now, exchange, UdpInput::Packet { from, bytes }),
            None => self.counts.unasked += 1,
        }
    }

    /// A packet of uTP that belongs to nobody.
    #[cfg(feature = "utp")]
    pub fn on_stray_utp(&mut self) {
        self.counts.utp += 1;
    }

    /// Time passed.
    pub fn on_timeout(&mut self, now: Instant) {
        while let Some(n) = self.timers.pop_due(now) {
            if let Some(exchange) = self.exchanges.get_mut(&n) {
                exchange.armed = None;
            }
            self.step(now, n, UdpInput::Timeout);
        }
    }

    /// When `on_timeout` is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next thing to do.
    pub fn next_output(&mut self) -> Option<NetOutput> {
        self.outputs.pop_front()
    }

    /// The next datagram to send from a socket.
    pub fn next_datagram(&mut self, local: LocalId) -> Option<(SocketAddr, Vec<u8>)> {
        self.sockets.get_mut(&local)?.queue.pop_front()
    }

    /// A torrent is gone: its exchanges end unheard. Which they were: nobody waits any more for their names either.
    pub fn on_torrent_gone(&mut self, torrent: TorrentId) -> Vec<u64> {
        let mut gone = Vec::new();
        let (transactions, timers) = (&mut self.transactions, &mut self.timers);
        self.exchanges.retain(|&n, exchange| {
            if exchange.torrent == torrent {
                transactions.remove(&exchange.udp.transaction().0);
                timers.disarm(n, &mut exchange.armed);
                gone.push(n);
            }
            exchange.torrent != torrent
        });
        gone
    }

    fn step(&mut self, now: Instant, n: u64, input: UdpInput<'_>) {
        let Some(Exchange { torrent, ask, udp, armed }) = self.exchanges.get_mut(&n) else { return };
        self.transactions.remove(&udp.transaction().0);
        let mut context = UdpContext { ids: &mut self.ids, rng: &mut self.rng, config: &self.config };
        let output = udp.step(now, input, &mut context);
        self.transactions.insert(udp.transaction().0, n);
        let deadline = udp.deadline();
        self.timers.arm(n, armed, deadline);
        match output {
            UdpOutput::Wait => {}
            UdpOutput::Resolve { host, port } => {
                self.outputs.push_back(NetOutput::Resolve { exchange: n, host: host.into(), port });
            }
            UdpOutput::Send { to, packet } => {
                if !self.send(to, packet) {
                    // As often as the exchange has addresses, which is bounded.
                    self.step(now, n, UdpInput::NoSocket);
                }
            }
            UdpOutput::Done(answer) => {
                let answered = ask.map(|ask| NetOutput::Answered(*torrent, ask, answer));
                self.end(n, answered);
            }
            UdpOutput::Scraped(counts) => {
                let scraped = NetOutput::Scraped(*torrent, counts);
                self.end(n, Some(scraped));
            }
        }
    }

    fn end(&mut self, n: u64, output: Option<NetOutput>) {
        let Some(mut exchange) = self.exchanges.remove(&n) else { return };
        self.transactions.remove(&exchange.udp.transaction().0);
        self.timers.disarm(n, &mut exchange.armed);
        self.outputs.extend(output);
    }

    /// Lets a packet wait at a socket of its family; `false` if there is none. A packet that finds the queue full is lost
    /// like others on their way: it is sent again.
    fn send(&mut self, to: SocketAddr, packet: Vec<u8>) -> bool {
        let socket = self
            .sockets
            .iter_mut()
            .find(|(_, socket)| socket.relays || socket.addr.is_ipv4() == to.is_ipv4());
        let Some((&local, socket)) = socket else {
            let Some(queue) = &mut self.for_relay else { return false };
            if queue.len() < QUEUE_MAX {
                queue.push_back((to, packet));
            }
            return true;
        };
        if socket.queue.len() < QUEUE_MAX {
            socket.queue.push_back((to, packet));
            self.outputs.push_back(NetOutput::Ready(local));
        }
        true
    }
}
