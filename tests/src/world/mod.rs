//! A small simulated world: engines with disks, links, trackers, strangers and one clock, all drawn from one seed. The
//! same seed gives the same run, bit for bit. What a host does alone is `host`, what goes between hosts is `network`.

pub mod content;
pub mod disk;
pub mod host;
pub mod lan;
mod network;
pub mod router;
pub mod stranger;
pub mod tape;
pub mod tracker;
pub mod weather;
pub mod web;

pub use content::{Content, options};
pub use host::Host;
pub use stranger::Stranger;
pub use weather::{Drain, Weather};

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use host::{LISTENER, LISTENER_6, UDP, UDP_6, failed};
use millstream_core::base::{ConnId, Instant, JobId, Rng, TorrentId};
use millstream_core::engine::{
    AddTorrent, Command, CommandError, Config, DhtConfig, Effect, Endpoint, Event, HostErrorKind, Input,
    LinkEnd, Outcome, Reply, SocketKind, State, Status, TorrentEvent, Work,
};
use millstream_core::tracker::TrackerConfig;
use millstream_core::wire::http::HttpRequest;
use network::Wire;
use std::collections::{BTreeMap, VecDeque};
use tracker::{SimTracker, sixth};

/// How often an engine may be due again at one moment.
const WAKES_MAX: u32 = 3;

/// A host of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// A simulated world.
#[derive(Debug)]
pub struct World {
    /// The number that it is all drawn from.
    pub seed: u64,
    /// How kind it is.
    pub weather: Weather,
    /// Its trackers.
    pub trackers: Vec<SimTracker>,
    /// Its web servers.
    pub webs: Vec<web::SimWeb>,
    /// What lies at URLs, for whoever asks once.
    pub pages: BTreeMap<String, Vec<u8>>,
    /// Which of those were asked for, in order, with what was added to the URL.
    pub asked: Vec<String>,
    /// Its clock.
    pub now: Instant,
    hosts: Vec<Host>,
    wires: Vec<Wire>,
    /// Those that lead to web servers, and to which.
    web_wires: Vec<(usize, SocketAddr)>,
    /// Strangers that listen: their address, and the wires that came.
    callable: BTreeMap<SocketAddr, Vec<usize>>,
    strangers: u32,
    routers: Vec<router::Router>,
    dead: u32,
    agenda: BTreeMap<(Instant, u64), Happening>,
    happened: u64,
    todo: VecDeque<(usize, Effect)>,
    rng: Rng,
    trace: u64,
    config: Config,
}

/// Something that will happen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Happening {
    /// Bytes reach an end of a wire.
    Arrive { wire: usize, side: usize, bytes: Vec<u8> },
    /// The end of a stream reaches an end of a wire.
    Fin { wire: usize, side: usize },
    /// A host's uplink is free again.
    Uplink { host: usize, boot: u32 },
    /// A wire breaks.
    Cut { wire: usize },
    /// A call reaches the other side.
    Dial { host: usize, boot: u32, conn: ConnId, to: SocketAddr },
    /// A request reaches a web server.
    Fetch { host: usize, boot: u32, conn: ConnId, web: usize, request: HttpRequest },
    /// A web server sends what is left of a body.
    Body { wire: usize, rate: Option<u64>, stays: bool, left: Vec<u8> },
    /// A fact for a host as it is since a start.
    Tell { host: usize, boot: u32, input: Input },
    /// A host's job is done.
    Done { host: usize, boot: u32, job: JobId },
    /// A datagram comes.
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, weather: Weather) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            seed,
            weather,
            trackers: Vec::new(),
            pages: BTreeMap::new(),
            asked: Vec::new(),
            webs: Vec::new(),
            now: Instant::from_micros(1_000_000),
            hosts: Vec::new(),
            wires: Vec::new(),
            web_wires: Vec::new(),
            callable: BTreeMap::new(),
            strangers: 0,
            routers: Vec::new(),
            dead: 0,
            agenda: BTreeMap::new(),
            happened: 0,
            todo: VecDeque::new(),
            rng: Rng::new(bytes),
            trace: 0xcbf2_9ce4_8422_2325,
            // Stories are about one thing: those of the DHT turn it on.
            config: Config { dht: false, ..Config::default() },
        }
    }

    /// A new host with default settings.
    pub fn host(&mut self) -> HostId {
        self.host_with(self.config.clone())
    }

    /// A new host.
    pub fn host_with(&mut self, config: Config) -> HostId {
        self.add_host(config, false)
    }

    /// A new host that has IPv6 too.
    pub fn host_6(&mut self) -> HostId {
        let id = self.host();
        let IpAddr::V4(ip) = self.hosts[id.0].addr.ip() else { unreachable!("hosts have IPv4") };
        let addr = SocketAddr::new(sixth(ip).into(), 6881);
        self.hosts[id.0].addr_6 = Some(addr);
        self.input(id.0, Input::Bound { local: LISTENER_6, addr, kind: SocketKind::TcpListener });
        self.input(id.0, Input::Bound { local: UDP_6, addr, kind: SocketKind::Udp });
        id
    }

    /// A new host that keeps a journal.
    pub fn host_with_tape(&mut self) -> HostId {
        self.add_host(self.config.clone(), true)
    }

    /// New hosts that are nodes of one DHT; the first is where the others begin, and keeps a journal.
    pub fn dht_hosts(&mut self, count: usize) -> Vec<HostId> {
        let first = SocketAddr::new(Ipv4Addr::new(81, self.hosts.len() as u8 + 1, 7, 3).into(), 6881);
        let config = |bootstrap_nodes| {
            let dht_node = DhtConfig { bootstrap_nodes, ..DhtConfig::default() };
            Config { dht: true, dht_node, ..self.config.clone() }
        };
        let (first, other) = (config(Vec::new()), config(vec![first.to_string()]));
        let hosts = (0..count).map(|n| {
            let config = if n == 0 { first.clone() } else { other.clone() };
            self.add_host(config, n == 0)
        });
        hosts.collect()
    }

    fn add_host(&mut self, config: Config, tape: bool) -> HostId {
        let n = self.hosts.len();
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(81, n as u8 + 1, 7, 3)), 6881);
        let seed = self.rng.fork_at("host", n as u64).bytes();
        let mut host = Host::new(config, addr, seed, self.now);
        if tape {
            host.keep_tape(seed, self.now);
        }
        self.hosts.push(host);
        self.bind(n);
        HostId(n)
    }

    fn bind(&mut self, n: usize) {
        let addr = self.hosts[n].addr;
        self.input(n, Input::Bound { local: LISTENER, addr, kind: SocketKind::TcpListener });
        self.input(n, Input::Bound { local: UDP, addr, kind: SocketKind::Udp });
    }

    /// A new tracker. Returns its number.
    pub fn tracker(&mut self, interval_s: u32) -> usize {
        let n = self.trackers.len();
        let config =
            TrackerConfig { interval_s, min_interval_s: interval_s.min(60), ..TrackerConfig::default() };
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(91, n as u8 + 1, 0, 1)), 6969);
        let seed = self.rng.fork_at("tracker", n as u64).bytes();
        self.trackers.push(SimTracker::new(format!("tracker{n}.example"), addr, config, seed));
        n
    }

    /// A host.
    pub fn at(&self, host: HostId) -> &Host {
        &self.hosts[host.0]
    }

    /// A host, to change its disk.
    pub fn at_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0]
    }

    /// A host's address.
    pub fn addr(&self, host: HostId) -> SocketAddr {
        self.hosts[host.0].addr
    }

    /// Gives a host a command.
    pub fn command(&mut self, host: HostId, command: Command) -> Result<Reply, CommandError> {
        self.trace(&format!("{host:?} {command:?}"));
        let now = self.now;
        let reply = self.hosts[host.0].command(now, command);
        self.called(host.0);
        self.settle();
        reply
    }

    /// Adds a torrent; it must be taken.
    pub fn add(&mut self, host: HostId, add: AddTorrent) -> TorrentId {
        match self.command(host, Command::Add(Box::new(add))) {
            Ok(Reply::Added(id)) => id,
            other => panic!("the torrent isn't taken: {other:?}"),
        }
    }

    /// A host that has all of it on its disk, has checked it, and shares it.
    pub fn seed(&mut self, host: HostId, content: &Content) -> TorrentId {
        self.store(host, content);
        let id = self.add(host, AddTorrent::new(content.source(), "disk"));
        self.complete(Duration::from_secs(600), &[(host, id)]);
        id
    }

    /// Puts all of it onto a host's disk.
    pub fn store(&mut self, host: HostId, content: &Content) {
        for (path, bytes) in &content.files {
            self.hosts[host.0].disk.put(&format!("disk/{path}"), bytes);
        }
    }

    /// A host that wants all of it, and knows these others.
    pub fn leech(&mut self, host: HostId, content: &Content, peers: &[HostId]) -> TorrentId {
        let peers = peers.iter().map(|&peer| self.addr(peer)).collect();
        self.add(host, AddTorrent { peers, ..AddTorrent::new(content.source(), "disk") })
    }

    /// A torrent at a glance.
    pub fn status(&self, host: HostId, id: TorrentId) -> Status {
        self.hosts[host.0].engine.status(self.now, id).expect("the host has the torrent")
    }

    /// Whether a host has all files, byte for byte.
    pub fn is_whole(&self, host: HostId, content: &Content) -> bool {
        let stored = |path: &str| self.hosts[host.0].disk.file(&format!("disk/{path}"));
        content.files.iter().all(|(path, bytes)| stored(path).is_some_and(|file| file.bytes == *bytes))
    }

    /// Whether a torrent has all that it wants.
    pub fn is_complete(&self, host: HostId, id: TorrentId) -> bool {
        self.hosts[host.0].engine.status(self.now, id).is_some_and(|status| status.state == State::Seeding)
    }

    /// News of a host's torrents that fit, in order.
    pub fn news<T>(&self, host: HostId, fit: impl Fn(&TorrentEvent) -> Option<T>) -> Vec<T> {
        let of = |event: &Event| if let Event::Torrent(_, news) = event { fit(news) } else { None };
        self.hosts[host.0].events.iter().filter_map(of).collect()
    }

    /// A number that two runs share exactly if all that happened was the same.
    pub fn trace_digest(&self) -> u64 {
        self.trace
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        self.until(time, |_| false);
    }

    /// Goes on until something holds; false if it doesn't within so much time.
    pub fn until(&mut self, within: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + within;
        self.settle();
        while !holds(self) {
            if !self.step(end) {
                self.now = self.now.max(end);
                return holds(self);
            }
        }
        true
    }

    /// Goes on until all of these have all that they want; else tells how far they are.
    pub fn complete(&mut self, within: Duration, all: &[(HostId, TorrentId)]) {
        if !self.until(within, |world| all.iter().all(|&(host, id)| world.is_complete(host, id))) {
            let left: Vec<_> = all.iter().map(|&(host, id)| self.status(host, id)).collect();
            panic!("not complete within {within:?}: {left:#?}");
        }
    }

    /// Goes on until nothing is under way and nothing is due within a second, or so much time has passed.
    pub fn quiet(&mut self, within: Duration) {
        let end = self.now + within;
        self.settle();
        loop {
            let horizon = if self.agenda.is_empty() { self.now + Duration::from_secs(1) } else { end };
            if !self.step(end.min(horizon)) {
                return;
            }
        }
    }

    /// Goes to the next moment at which something happens; false if that isn't before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let timeouts = self.hosts.iter().filter_map(|host| host.engine.poll_timeout());
        let next = self.agenda.keys().next().map(|&(at, _)| at).into_iter().chain(timeouts).min();
        let Some(next) = next.filter(|&at| at <= end) else { return false };
        self.now = self.now.max(next);
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let happening = entry.remove();
            self.happen(happening);
            if self.weather.drain == Drain::EachInput {
                self.settle();
            }
        }
        for n in 0..self.hosts.len() {
            self.wake(n);
        }
        self.settle();
        true
    }

    /// Wakes an engine that is due; it must not be due again for ever.
    fn wake(&mut self, n: usize) {
        let due = |world: &Self| world.hosts[n].engine.poll_timeout().filter(|&at| at <= world.now);
        for _ in 0..WAKES_MAX {
            if due(self).is_none() {
                return;
            }
            self.trace(&format!("{n} wakes"));
            let now = self.now;
            self.hosts[n].timeout(now);
            self.called(n);
        }
        assert!(due(self).is_none(), "host {n} is due again and again at {:?}", self.now);
    }

    /// Takes all effects, and carries them out.
    fn settle(&mut self) {
        loop {
            while let Some((n, effect)) = self.todo.pop_front() {
                self.carry_out(n, effect);
            }
            let Some(n) = self.hosts.iter().position(|host| host.dirty) else { return };
            self.collect(n);
        }
    }

    fn collect(&mut self, n: usize) {
        self.hosts[n].dirty = false;
        while let Some(effect) = self.hosts[n].effect(self.now) {
            self.trace(&format!("{n} {effect:?}"));
            self.todo.push_back((n, effect));
        }
        self.hosts[n].take_events(self.now);
    }

    /// A host's engine was called.
    fn called(&mut self, n: usize) {
        match self.weather.drain {
            Drain::EachInput => self.collect(n),
            Drain::AfterAll => self.hosts[n].dirty = true,
        }
    }

    fn input(&mut self, n: usize, input: Input) {
        self.trace(&format!("{n} {input:?}"));
        self.hosts[n].input(self.now, input);
        self.called(n);
    }

    fn plan(&mut self, at: Instant, happening: Happening) {
        self.happened += 1;
        self.agenda.insert((at.max(self.now), self.happened), happening);
    }

    fn draw(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.rng.below(most - least + 1)
    }

    fn after(&mut self, span_us: (u64, u64)) -> Instant {
        let us = self.draw(span_us);
        self.now + Duration::from_micros(us)
    }

    fn carry_out(&mut self, n: usize, effect: Effect) {
        match effect {
            Effect::Connect { conn, to: Endpoint::Tcp(to), route: _ } => self.on_connect(n, conn, to),
            Effect::Connect { conn, to: Endpoint::Http(request), route: _ } => {
                self.on_fetch(n, conn, *request);
            }
            Effect::Connect { conn, to, .. } => panic!("the world has no way to open {conn:?} to {to:?}"),
            Effect::Close { conn, how } => self.on_close(n, conn, how),
            Effect::Interest { conn, read_until, write } => self.on_interest(n, conn, read_until, write),
            Effect::DatagramsReady { local } => self.on_datagrams_ready(n, local),
            Effect::Job { job, work } => {
                let at = match &work {
                    Work::Http { url, timeout, .. } if self.hangs(url) => self.now + *timeout,
                    Work::Http { .. } | Work::Resolve { .. } | Work::MapPort { .. } => {
                        self.after(self.weather.latency_us) + Duration::from_millis(1)
                    }
                    Work::Files { .. }
                    | Work::Read { .. }
                    | Work::Write { .. }
                    | Work::Hash { .. }
                    | Work::HashStored { .. }
                    | Work::Exchange(_)
                    | Work::Save { .. } => self.after(self.weather.job_us),
                };
                self.hosts[n].jobs.insert(job, (work, false));
                let boot = self.hosts[n].boot;
                self.plan(at, Happening::Done { host: n, boot, job });
            }
            Effect::Cancel { job } => {
                if let Some((_, cancelled)) = self.hosts[n].jobs.get_mut(&job) {
                    *cancelled = true;
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { wire, side, bytes } => self.on_arrive(wire, side, bytes),
            Happening::Fin { wire, side } => self.on_fin(wire, side),
            Happening::Uplink { host, boot } => {
                if self.hosts[host].boot == boot {
                    self.on_uplink_free(host);
                }
            }
            Happening::Cut { wire } => self.cut_wire(wire, LinkEnd::Reset),
            Happening::Dial { host, boot, conn, to } => self.on_dial(host, boot, conn, to),
            Happening::Fetch { host, boot, conn, web, request } => {
                self.on_request((host, boot, conn), web, &request);
            }
            Happening::Body { wire, rate, stays, left } => self.on_body(wire, rate, stays, left),
            Happening::Tell { host, boot, input } => {
                if self.hosts[host].boot == boot {
                    self.tell(host, input);
                }
            }
            Happening::Done { host, boot, job } => {
                if self.hosts[host].boot == boot {
                    self.on_done(host, job);
                }
            }
            Happening::Datagram { from, to, bytes } => self.on_datagram(from, to, &bytes),
        }
    }

    fn on_done(&mut self, n: usize, job: JobId) {
        let (work, cancelled) = self.hosts[n].jobs.remove(&job).expect("a job is answered once");
        let outcome =
            if cancelled && self.rng.chance(1, 2) { Outcome::Cancelled } else { self.outcome(n, &work) };
        self.input(n, Input::Done { job, outcome });
    }

    fn outcome(&mut self, n: usize, work: &Work) -> Outcome {
        match work {
            Work::Http { url, .. } if let Some(page) = self.page(url) => {
                self.asked.push(url.clone());
                Outcome::Http { status: 200, body: page.into() }
            }
            Work::Http { url, bytes_max, route, .. } => {
                let sixth = self.hosts[n].addr_6.filter(|_| route.local == Some(LISTENER_6));
                let (now, source) = (self.now, sixth.unwrap_or(self.hosts[n].addr));
                let named = |tracker: &&mut SimTracker| url.contains(&tracker.host);
                match self.trackers.iter_mut().find(named).and_then(|t| t.on_get(now, url, source)) {
                    Some((status, body)) if body.len() <= *bytes_max => {
                        Outcome::Http { status, body: body.into() }
                    }
                    Some(_) => failed(HostErrorKind::Other),
                    None => failed(HostErrorKind::TimedOut),
                }
            }
            Work::Resolve { host, port, .. } => {
                let named = self.trackers.iter().find(|tracker| tracker.host == *host);
                let ips = match (named, host.parse::<IpAddr>()) {
                    (Some(tracker), _) if self.hosts[n].addr_6.is_some() => {
                        vec![tracker.addr.ip(), tracker.addr_6.ip()]
                    }
                    (Some(tracker), _) => vec![tracker.addr.ip()],
                    (None, Ok(ip)) => vec![ip],
                    (None, Err(_)) => return failed(HostErrorKind::NotFound),
                };
                Outcome::Resolved(ips.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect())
            }
            Work::MapPort { .. } => failed(HostErrorKind::NotFound),
            Work::Files { .. }
            | Work::Read { .. }
            | Work::Write { .. }
            | Work::Hash { .. }
            | Work::HashStored { .. }
            | Work::Exchange(_)
            | Work::Save { .. } => self.hosts[n].work(self.now, work, &self.weather, &mut self.rng),
        }
    }

    fn page(&self, url: &str) -> Option<Vec<u8>> {
        self.pages.iter().find(|(start, _)| url.starts_with(start.as_str())).map(|(_, page)| page.clone())
    }

    /// Whether a tracker takes a GET and never answers.
    fn hangs(&mut self, url: &str) -> bool {
        let hangs = |tracker: &&mut SimTracker| tracker.hangs && url.contains(&tracker.host);
        self.trackers.iter_mut().find(hangs).map(|tracker| tracker.hear(url)).is_some()
    }

    fn trace(&mut self, line: &str) {
        for byte in self.now.as_micros().to_le_bytes().into_iter().chain(line.bytes()) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world of this failure: seed {}, at {:?}", self.seed, self.now);
        }
    }
}
