//! A simulated network of DHT nodes on one virtual clock: delays and losses drawn from one seed, nodes that come and go,
//! hostile ones among them. Light enough for ten thousand. It owns the wire; what is measured over it is `campaign`'s, what
//! hostile nodes say is `hostile`'s.

pub mod campaign;
pub mod hostile;
pub mod reflect;

use core::cmp::{Ordering, Reverse};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use hostile::Hostile;
use millstream_core::base::{Instant, Rng};
use millstream_core::dht::{DhtConfig, Event, Family, LookupId, Node, Outcome};
use std::collections::{BinaryHeap, HashMap};

/// One way, drawn for each datagram. Microseconds.
const LATENCY_US: (u64, u64) = (20_000, 200_000);

/// Datagrams that never come, of a hundred.
const LOSSES_PERCENT: u64 = 1;

/// Nodes by which a new one enters.
const ENTRIES: usize = 3;

/// Names a host of a [`DhtWorld`]; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DhtHost(pub u32);

/// What happens at some time.
struct Turn {
    at: Instant,
    n: u64,
    what: What,
}

enum What {
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Timer(DhtHost),
}

impl Turn {
    const fn key(&self) -> (Instant, u64) {
        (self.at, self.n)
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Turn {}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

enum Mind {
    Honest(Box<Node>),
    Hostile(Box<Hostile>),
}

struct Host {
    addr: SocketAddr,
    mind: Mind,
    /// When its timer is set.
    wake: Option<Instant>,
}

/// What came to addresses where nobody lives, and is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// Datagrams.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A look-up's end, with what it told on its way.
#[derive(Debug)]
pub struct Ended {
    /// Whose it was.
    pub host: DhtHost,
    /// Which.
    pub lookup: LookupId,
    /// How it ended.
    pub outcome: Outcome,
    /// What it took.
    pub cost: millstream_core::dht::Cost,
    /// Peers that it told of.
    pub peers: Vec<SocketAddr>,
}

/// The network.
pub struct DhtWorld {
    /// The time.
    pub now: Instant,
    /// Datagrams sent so far.
    pub datagrams: u64,
    /// Look-ups that ended, until somebody takes them.
    pub ended: Vec<Ended>,
    rng: Rng,
    family: Family,
    config: DhtConfig,
    hosts: HashMap<DhtHost, Host>,
    places: HashMap<SocketAddr, DhtHost>,
    /// Living honest nodes, in an order that only the seed decides.
    honest: Vec<DhtHost>,
    hostile: Vec<DhtHost>,
    turns: BinaryHeap<Reverse<Turn>>,
    next_turn: u64,
    next_host: u32,
    told: HashMap<(DhtHost, LookupId), Vec<SocketAddr>>,
    /// Networks of which mail is counted: what the last bits of an address are doesn't count.
    watched: HashMap<IpAddr, Mail>,
    letters: HashMap<SocketAddr, Vec<Vec<u8>>>,
}

impl DhtWorld {
    /// An empty one.
    pub fn new(seed: u64, family: Family) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            now: Instant::from_micros(1_000_000),
            datagrams: 0,
            ended: Vec::new(),
            rng: Rng::new(bytes),
            family,
            config: DhtConfig { bootstrap_nodes: Vec::new(), ..DhtConfig::default() },
            hosts: HashMap::new(),
            places: HashMap::new(),
            honest: Vec::new(),
            hostile: Vec::new(),
            turns: BinaryHeap::new(),
            next_turn: 0,
            next_host: 0,
            told: HashMap::new(),
            watched: HashMap::new(),
            letters: HashMap::new(),
        }
    }

    /// The chance of whoever plays in it.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The living honest nodes.
    pub fn honest(&self) -> &[DhtHost] {
        &self.honest
    }

    /// One of them.
    ///
    /// # Panics
    /// If there is none.
    pub fn any_honest(&mut self) -> DhtHost {
        let at = self.rng.index(self.honest.len()).expect("somebody lives");
        self.honest[at]
    }

    /// Where a host is or was.
    pub fn addr(&self, host: DhtHost) -> SocketAddr {
        place(self.family, host.0)
    }

    /// An honest node comes, and knows a few that are there.
    pub fn join(&mut self) -> DhtHost {
        let mut node =
            Node::new(self.config.clone(), self.rng.fork_at("node", self.next_host.into()), self.now);
        for _ in 0..ENTRIES {
            if let Some(at) = self.rng.index(self.honest.len()) {
                node.on_node(self.now, self.addr(self.honest[at]));
            }
        }
        node.on_bound(self.now, self.family);
        let host = self.settle(Mind::Honest(Box::new(node)));
        self.honest.push(host);
        self.collect(host);
        host
    }

    /// A hostile node comes, and makes itself known.
    pub fn join_hostile(&mut self) -> DhtHost {
        let (own, at) = (self.next_host, place(self.family, self.next_host));
        let hostile = Hostile::new(own, at, self.rng.fork_at("hostile", own.into()));
        let host = self.settle(Mind::Hostile(Box::new(hostile)));
        self.hostile.push(host);
        self.set_timer(host, Some(self.now));
        host
    }

    fn settle(&mut self, mind: Mind) -> DhtHost {
        let host = DhtHost(self.next_host);
        self.next_host += 1;
        let addr = place(self.family, host.0);
        self.places.insert(addr, host);
        self.hosts.insert(host, Host { addr, mind, wake: None });
        host
    }

    /// An honest node leaves without a word.
    pub fn leave(&mut self, host: DhtHost) {
        self.honest.retain(|&other| other != host);
        if let Some(host) = self.hosts.remove(&host) {
            self.places.remove(&host.addr);
        }
    }

    /// Does something with an honest node and lets out what it sends.
    ///
    /// # Panics
    /// If it has left, or is hostile.
    pub fn with<T>(&mut self, host: DhtHost, act: impl FnOnce(&mut Node, Instant) -> T) -> T {
        let now = self.now;
        let out = act(self.node(host), now);
        self.collect(host);
        out
    }

    /// An honest node.
    ///
    /// # Panics
    /// If it has left, or is hostile.
    pub fn node(&mut self, host: DhtHost) -> &mut Node {
        match &mut self.hosts.get_mut(&host).expect("it lives").mind {
            Mind::Honest(node) => node,
            Mind::Hostile(_) => panic!("{host:?} is hostile"),
        }
    }

    /// Counts what is sent to an address from now on, together with those that share its /24 or /64.
    pub fn watch(&mut self, ip: IpAddr) {
        self.watched.insert(network(ip), Mail::default());
    }

    /// What was sent there.
    pub fn mail(&self, ip: IpAddr) -> Mail {
        self.watched.get(&network(ip)).copied().unwrap_or_default()
    }

    /// Sends a datagram with any sender; it is never lost.
    pub fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let at = self.now + Duration::from_micros(LATENCY_US.0);
        self.push(at, What::Datagram { from, to, bytes });
    }

    /// Sends a datagram and gives what comes back within half a second.
    pub fn ask(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        self.letters.insert(from, Vec::new());
        self.post(from, to, bytes);
        self.run(Duration::from_millis(500));
        self.letters.remove(&from).unwrap_or_default()
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.turns.peek().is_some_and(|Reverse(turn)| turn.at <= until) {
            let Some(Reverse(turn)) = self.turns.pop() else { break };
            self.now = self.now.max(turn.at);
            self.take(turn);
        }
        self.now = until;
    }

    fn take(&mut self, turn: Turn) {
        let now = self.now;
        match turn.what {
            What::Datagram { from, to, bytes } => {
                let Some(&id) = self.places.get(&to) else {
                    return self.on_mail(to, bytes);
                };
                let Some(host) = self.hosts.get_mut(&id) else { return };
                match &mut host.mind {
                    Mind::Honest(node) => node.on_datagram(now, from, &bytes),
                    Mind::Hostile(hostile) => {
                        let answer = hostile.answer(from, &bytes);
                        let at = host.addr;
                        answer.into_iter().for_each(|bytes| self.send(at, from, bytes));
                    }
                }
                self.collect(id);
            }
            What::Timer(id) => {
                let Some(host) = self.hosts.get_mut(&id) else { return };
                if host.wake != Some(turn.at) {
                    return; // It was set anew.
                }
                host.wake = None;
                match &mut host.mind {
                    Mind::Honest(node) => {
                        node.on_timeout(now);
                        self.collect(id);
                    }
                    Mind::Hostile(_) => self.advertise(id),
                }
            }
        }
    }

    fn on_mail(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if let Some(letters) = self.letters.get_mut(&to) {
            letters.push(bytes);
        }
    }

    /// A hostile node knocks at honest ones, so that they know it.
    fn advertise(&mut self, id: DhtHost) {
        for _ in 0..hostile::KNOCKS {
            let victim = self.any_honest();
            let to = self.addr(victim);
            let Some(Host { addr, mind: Mind::Hostile(hostile), .. }) = self.hosts.get_mut(&id) else {
                return;
            };
            let (from, bytes) = (*addr, hostile.knock());
            self.send(from, to, bytes);
        }
        self.set_timer(id, Some(self.now + hostile::KNOCK_PAUSE));
    }

    /// Lets out what an honest node has to say.
    fn collect(&mut self, id: DhtHost) {
        let Some(Host { addr, mind: Mind::Honest(node), .. }) = self.hosts.get_mut(&id) else { return };
        let from = *addr;
        let mut out = Vec::new();
        while let Some(datagram) = node.next_datagram(self.family) {
            out.push(datagram);
        }
        let mut events = Vec::new();
        while let Some(event) = node.next_event() {
            events.push(event);
        }
        let wake = node.deadline();
        for (to, bytes) in out {
            self.send(from, to, bytes);
        }
        events.into_iter().for_each(|event| self.on_event(id, event));
        self.set_timer(id, wake);
    }

    fn on_event(&mut self, host: DhtHost, event: Event) {
        match event {
            Event::Peers { lookup, peers } => self.told.entry((host, lookup)).or_default().extend(peers),
            Event::Done { lookup, outcome, cost } => {
                let peers = self.told.remove(&(host, lookup)).unwrap_or_default();
                self.ended.push(Ended { host, lookup, outcome, cost, peers });
            }
            Event::Resolve { .. }
            | Event::Item { .. }
            | Event::Samples { .. }
            | Event::Joined(_)
            | Event::External(_) => {}
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        assert!(bytes.len() <= 1400, "a datagram of {} bytes", bytes.len());
        self.datagrams += 1;
        if let Some(mail) = self.watched.get_mut(&network(to.ip())) {
            mail.datagrams += 1;
            mail.bytes += bytes.len() as u64;
        }
        if self.rng.chance(LOSSES_PERCENT, 100) {
            return;
        }
        let (least, most) = LATENCY_US;
        let at = self.now + Duration::from_micros(least + self.rng.below(most - least));
        self.push(at, What::Datagram { from, to, bytes });
    }

    fn set_timer(&mut self, id: DhtHost, wake: Option<Instant>) {
        let wake = wake.map(|at| at.max(self.now));
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if host.wake == wake {
            return;
        }
        host.wake = wake;
        if let Some(at) = wake {
            self.push(at, What::Timer(id));
        }
    }

    fn push(&mut self, at: Instant, what: What) {
        self.next_turn += 1;
        self.turns.push(Reverse(Turn { at, n: self.next_turn, what }));
    }
}

/// The n-th host's address: each in a network of its own.
pub fn place(family: Family, n: u32) -> SocketAddr {
    let ip = match family {
        Family::V4 => {
            let [a, b, c] = [n & 0x3f, n >> 6 & 0x3f, n >> 12 & 0x3f].map(|part| part as u8 + 20);
            IpAddr::from([a, b, c, 7])
        }
        Family::V6 => IpAddr::from([0x2a01, 0x100 + (n >> 16) as u16, n as u16, 1, 0, 0, 0, 1]),
    };
    SocketAddr::new(ip, 6881)
}

fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(ip) => IpAddr::from(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}
