//! The doors: what happens outside comes in by `handle_*`, what is to be done goes out by `poll_*`, what an application
//! wants is a `Command`. No callback crosses them: every call is a value that can be recorded and replayed.
//!
//! The driver's law is on the crate's front page.

mod command;
mod commands;
mod datagrams;
#[cfg(feature = "dht")]
mod dht;
mod dial;
mod effect;
mod event;
mod exchanges;
mod filter;
mod input;
mod links;
mod neighbours;
mod news;
#[cfg(not(feature = "utp"))]
mod no_utp;
mod ports;
mod settle;
mod slots;
mod statistics;
mod stop;
#[cfg(feature = "utp")]
mod utp;
mod web;
mod websocket;

pub use crate::book::Found;
#[cfg(feature = "dht")]
pub use crate::dht::{DhtConfig, DhtStatus};
#[cfg(feature = "lsd")]
pub use crate::lsd::LsdConfig;
pub use crate::net::NetCounts;
pub use crate::offers::OffersConfig;
pub use crate::pex::PexConfig;
pub use crate::torrent::{
    AddTorrent, Allocation, Config, Encryption, FileNow, FileSpec, FilesOp, HostError, HostErrorKind,
    Outcome, Owed, OwedError, PeerSource, PeerStatus, PortProtocol, Priorities, Priority, Rates, Route,
    SeedPolicy, Selection, Source, Sources, State, Status, TorrentEvent, TrackerStatus, UtpUse,
    WebSeedStatus, Work,
};
pub use crate::webseed::{WebSeedConfig, WebSeedState};
pub use command::{Command, CommandError, Refusal, Reply};
#[cfg(feature = "dht")]
pub use dht::{DhtCommand, DhtError, DhtNews};
pub use effect::{Datagrams, Effect, Endpoint, How, Transmit};
pub use event::Event;
pub use filter::FilterCounts;
pub use input::{Incoming, Input, LinkEnd, LinkInfo, SocketKind};
pub use statistics::Statistics;

use crate::announce::{SocketId, WebSockets};
use crate::base::{
    Arena, ConnId, Instant, JobId, Key, LocalId, Map, PeerRef, Ready, Rng, Timers, TorrentId, Vote,
};
use crate::choke::ChokeState;
use crate::link::{Link, LinkFaults};
use crate::net::{Neighbours, Net};
use crate::offers::Offers;
use crate::pool::Connections;
use crate::torrent::{Context, Errand, Gate, Host, Teller, Torrent};
use crate::wire::peer_id::our_peer_id;
use crate::wire::{InfoHash, PeerId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use exchanges::Exchanges;
use news::News;
#[cfg(not(feature = "utp"))]
use no_utp as utp;
use ports::Ports;

/// How many of those who told our address last are heard, in each family. More make a change of it slower to be seen.
const VOTERS_MAX: usize = 64;

/// A BitTorrent engine: a pure state machine.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    rng: Rng,
    host: Host,
    now: Instant,
    torrents: Arena<Seat>,
    routes: Map<InfoHash, TorrentId>,
    links: Arena<Link>,
    conns: BTreeMap<PeerRef, ConnId>,
    jobs: Arena<(Asker, Errand)>,
    /// The keys of encrypted links.
    exchanges: Exchanges,
    /// Handshakes that came to nothing.
    faults: LinkFaults,
    timers: Timers<Alarm>,
    /// Torrents that were touched: their outputs are due.
    busy: Ready,
    /// Links whose interest may have changed.
    touched: Ready,
    /// Which torrent may open a link, and when.
    pool: Connections<ConnId, TorrentId>,
    effects: VecDeque<Effect>,
    news: News,
    gate: Gate,
    choke: ChokeState,
    choke_rng: Rng,
    armed: Armed,
    sockets: BTreeMap<LocalId, (SocketAddr, SocketKind)>,
    net: Net,
    neighbours: Neighbours,
    #[cfg(feature = "dht")]
    finder: Option<alloc::boxed::Box<crate::net::Finder>>,
    utp: utp::UtpLinks,
    ports: Ports,
    web_sockets: WebSockets,
    /// The links of those.
    socket_conns: BTreeMap<SocketId, ConnId>,
    /// Why the link that is being closed ended.
    socket_end: Option<alloc::string::String>,
    offers: Offers,
    /// How others see us.
    vote: Vote<Teller>,
    /// The folder of the last torrent: the next one in the same folder shares its name.
    folder: Arc<str>,
    filtered: FilterCounts,
    handshakes: links::Handshakes,
    /// Torrents that may have somebody to call at once.
    punching: BTreeSet<TorrentId>,
    stopping: Option<Instant>,
    stopped: bool,
}

/// A torrent's seat.
#[derive(Debug)]
struct Seat {
    torrent: Torrent,
    armed: Option<Instant>,
    /// Under how many names neighbours are told of it.
    told_neighbours: usize,
    /// Whether it has its turns in the DHT.
    #[cfg(feature = "dht")]
    found_by_dht: bool,
}

/// Who asked for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Torrent(TorrentId),
    Link(ConnId),
    Net,
    #[cfg(feature = "dht")]
    Dht,
    Ports,
}

/// Who a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Link(u64),
    Torrent(u64),
    Choke,
    Gate,
    Net,
    Neighbours,
    Pool,
    Utp,
    #[cfg(feature = "dht")]
    Dht,
    Ports,
    Sockets,
    Stop,
}

/// The timer entries of what there is only one of.
#[derive(Debug, Default)]
struct Armed {
    choke: Option<Instant>,
    gate: Option<Instant>,
    net: Option<Instant>,
    neighbours: Option<Instant>,
    pool: Option<Instant>,
    #[cfg(feature = "dht")]
    dht: Option<Instant>,
    ports: Option<Instant>,
    sockets: Option<Instant>,
    stop: Option<Instant>,
}

impl Engine {
    /// An engine with nothing to do. `seed` is all its chance, as secret as a key.
    pub fn new(mut config: Config, seed: [u8; 32], now: Instant) -> Self {
        config.book.proxied = config.proxy.is_some();
        let rng = Rng::new(seed);
        let mut net = Net::new(rng.fork("net"), Arc::new(config.announce()));
        if config.proxy.is_some() && config.proxy_relays {
            net.await_relay();
        }
        let peer_id = config.peer_id.unwrap_or_else(|| our_peer_id(rng.fork("peer id").bytes()));
        Self {
            host: Host {
                peer_id,
                key: rng.fork("announce key").next_u32(),
                listening: Vec::new(),
                addresses: Vec::new(),
                external: [None; 2],
                mapped: None,
                own_serial: 0,
                dht_ports: [None; 2],
                session: Arc::new(config.session()),
                announce: Arc::new(config.announce()),
            },
            routes: Map::new(Key::draw(&mut rng.fork("routes"))),
            exchanges: Exchanges::new(Key::draw(&mut rng.fork("veiled names"))),
            gate: Gate::new(now, config.rates),
            choke_rng: rng.fork("choke"),
            #[cfg(feature = "dht")]
            finder: dht::finder(now, &config, &rng),
            utp: utp::UtpLinks::new(&config, rng.fork("utp")),
            net,
            #[cfg(feature = "lsd")]
            neighbours: Neighbours::new(config.lsd_config.clone(), &mut rng.fork("neighbours")),
            #[cfg(not(feature = "lsd"))]
            neighbours: Neighbours,
            ports: Ports::new(rng.fork("ports")),
            web_sockets: WebSockets::new(rng.fork("web sockets"), Arc::new(config.announce())),
            socket_conns: BTreeMap::new(),
            socket_end: None,
            offers: Offers::new(config.offers),
            vote: Vote::new(VOTERS_MAX),
            news: News::new(config.events_max),
            pool: Connections::new(now, dial::pool_config(&config)),
            config,
            rng,
            now,
            torrents: Arena::default(),
            links: Arena::default(),
            conns: BTreeMap::new(),
            jobs: Arena::default(),
            faults: LinkFaults::default(),
            timers: Timers::default(),
            busy: Ready::default(),
            touched: Ready::default(),
            effects: VecDeque::new(),
            choke: ChokeState::default(),
            armed: Armed::default(),
            sockets: BTreeMap::new(),
            folder: Arc::from(""),
            filtered: FilterCounts::default(),
            handshakes: links::Handshakes::default(),
            punching: BTreeSet::new(),
            stopping: None,
            stopped: false,
        }
    }

    /// Takes in what happened outside. Never fails: a peer's fault costs that peer its link, an id that is gone is
    /// ignored.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        let now = self.advance(now);
        match input {
            Input::Bound { local, addr, kind } => self.on_bound(now, local, (addr, kind)),
            Input::Unbound { local } => self.on_unbound(now, local),
            Input::Opened { conn, info } => self.on_opened(now, conn, &info),
            Input::Received { conn, data } => self.on_received(now, conn, data),
            Input::Wrote { conn, bytes } => self.on_wrote(now, conn, bytes),
            Input::Closed { conn, why } => self.on_closed(now, conn, &why),
            Input::Drained { conn } => self.on_drained(conn),
            Input::Datagrams { local, from, to, data, stride } => {
                self.on_datagrams(now, local, (from, to), (data, stride))
            }
            Input::DatagramRefused { local, to, bytes } => self.on_datagram_refused(now, local, (to, bytes)),
            Input::Done { job, outcome } => self.on_done(now, job, outcome),
        }
        self.settle(now);
    }

    /// Does what is due. Early and spurious calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some(alarm) = self.timers.pop_due(now) {
            match alarm {
                Alarm::Link(id) => self.on_link_alarm(now, ConnId(id)),
                Alarm::Torrent(id) => self.on_torrent_alarm(now, TorrentId(id)),
                Alarm::Choke => self.on_choke_alarm(now),
                Alarm::Gate => self.on_gate_alarm(now),
                Alarm::Net => self.on_net_alarm(now),
                Alarm::Neighbours => self.on_neighbours_alarm(now),
                Alarm::Pool => self.on_pool_alarm(now),
                Alarm::Utp => self.on_utp_alarm(now),
                #[cfg(feature = "dht")]
                Alarm::Dht => self.on_dht_alarm(now),
                Alarm::Ports => self.on_ports_alarm(now),
                Alarm::Sockets => self.on_sockets_alarm(now),
                Alarm::Stop => self.on_stop_alarm(),
            }
        }
        self.settle(now);
    }

    /// The next thing for the driver to do; call until `None` after inputs and pops.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.news.pop()
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Our peer id (BEP 20).
    pub fn peer_id(&self) -> PeerId {
        self.host.peer_id
    }

    /// A torrent at a glance.
    pub fn status(&self, now: Instant, id: TorrentId) -> Option<Status> {
        self.torrents.get(id.0).map(|seat| seat.torrent.status(now))
    }

    /// All torrents.
    pub fn torrents(&self) -> Vec<TorrentId> {
        let mut ids: Vec<TorrentId> = self.torrents.iter().map(|(id, _)| TorrentId(id)).collect();
        ids.sort_unstable();
        ids
    }

    /// The torrent that answers to this hash.
    pub fn find(&self, hash: InfoHash) -> Option<TorrentId> {
        self.routes.get(&hash).copied()
    }

    /// A torrent's info dictionary, once it is known.
    pub fn info(&self, id: TorrentId) -> Option<alloc::sync::Arc<crate::wire::metainfo::Info>> {
        self.torrents.get(id.0)?.torrent.info().cloned()
    }

    /// Which pieces are verified and written, once the metadata is known.
    pub fn verified(&self, id: TorrentId) -> Option<crate::base::Bits> {
        self.torrents.get(id.0)?.torrent.verified()
    }

    /// How much each real file of a torrent is wanted, `None` if it isn't; nothing until the metadata is known.
    pub fn priorities(&self, id: TorrentId) -> Vec<Option<Priority>> {
        self.torrents.get(id.0).map_or_else(Vec::new, |seat| seat.torrent.priorities())
    }

    /// A torrent's connected peers, in join order.
    pub fn peers(&self, now: Instant, id: TorrentId) -> Vec<PeerStatus> {
        self.torrents.get(id.0).map_or_else(Vec::new, |seat| seat.torrent.peer_statuses(now))
    }

    /// A torrent's trackers.
    pub fn trackers(&self, now: Instant, id: TorrentId) -> Vec<TrackerStatus> {
        self.torrents.get(id.0).map_or_else(Vec::new, |seat| seat.torrent.tracker_statuses(now))
    }

    /// Our addresses on the Internet, IPv4 and IPv6, where trackers and peers agree on them (BEP 10, 24).
    pub fn external_addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        (self.vote.v4(), self.vote.v6())
    }

    /// How many links there are, and how many of them aren't open yet.
    pub fn link_counts(&self) -> (usize, usize) {
        (self.links.len(), self.pool.half_open())
    }

    /// How many handshakes of links came to nothing, by reason.
    pub fn link_faults(&self) -> LinkFaults {
        self.faults
    }

    fn advance(&mut self, now: Instant) -> Instant {
        debug_assert!(now >= self.now, "the driver's clock went back");
        self.now = self.now.max(now);
        self.now
    }

    /// Calls a torrent, and lets its outputs follow.
    fn with<R>(
        &mut self,
        now: Instant,
        id: TorrentId,
        call: impl FnOnce(&mut Torrent, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let slot = self.torrents.slot(id.0)?;
        let (_, seat) = self.torrents.at_mut(slot)?;
        self.busy.push(slot);
        seat.torrent.heed_own(&self.host);
        let mut context = Context {
            now,
            config: &self.config,
            host: &self.host,
            gate: &mut self.gate,
            routes: &self.routes,
        };
        Some(call(&mut seat.torrent, &mut context))
    }

    fn on_done(&mut self, now: Instant, job: JobId, outcome: Outcome) {
        let Some((asker, errand)) = self.jobs.remove(job.0) else {
            tracing::debug!(?job, "an answer to a job that isn't outstanding");
            return;
        };
        match asker {
            Asker::Torrent(id) => {
                self.with(now, id, |torrent, cx| torrent.on_done(cx, errand, outcome));
            }
            Asker::Link(conn) => self.on_exchange_done(now, conn, &outcome),
            Asker::Net => self.on_net_done(now, errand, outcome),
            #[cfg(feature = "dht")]
            Asker::Dht => self.on_dht_resolved(now, outcome),
            Asker::Ports => {
                if let Errand::MapPort(local) = errand {
                    self.on_port_answer(now, local, &outcome);
                }
            }
        }
    }

    fn on_torrent_alarm(&mut self, now: Instant, id: TorrentId) {
        if let Some(seat) = self.torrents.get_mut(id.0) {
            seat.armed = None;
        }
        self.with(now, id, |torrent, cx| torrent.on_timeout(cx));
    }
}
