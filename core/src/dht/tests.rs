//! Nodes beside nodes: stories of small networks in memory, without loss, 20 ms from anyone to anyone.

use super::*;
use crate::base::{Instant, Rng};
use crate::wire::InfoHash;
use crate::wire::krpc::{Body, Message, NodeId, Response, code};
use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;
use std::string::String;
use std::vec::Vec;

mod hostile;
mod liars;
mod stories;
mod table;

const DELAY: Duration = Duration::from_millis(20);

/// A network of nodes, and a wire to each that a test may speak over itself.
struct Network {
    now: Instant,
    nodes: BTreeMap<SocketAddr, Node>,
    /// Datagrams under way, by arrival; a number keeps their order.
    wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    n: u64,
    /// What came to addresses where no node is.
    mail: BTreeMap<SocketAddr, Vec<Vec<u8>>>,
    bytes: u64,
    /// Addresses that stand in for others, as behind a proxy that looks names up.
    names: BTreeMap<SocketAddr, SocketAddr>,
}

/// The n-th host: each in a network of its own.
fn host(n: u32) -> SocketAddr {
    let [a, b, c] = [n >> 12 & 0x3f, n >> 6 & 0x3f, n & 0x3f].map(|part| part as u8 + 20);
    SocketAddr::new([a, b, c, 7].into(), 6881)
}

fn host6(n: u32) -> SocketAddr {
    SocketAddr::new([0x2a01, 0x100, n as u16, 1, 0, 0, 0, 1].into(), 6881)
}

fn config() -> DhtConfig {
    // Ids follow addresses only once those are known: a small network's first moments are over before.
    DhtConfig { bootstrap_nodes: Vec::new(), enforce_node_ids: false, ..DhtConfig::default() }
}

fn hash(n: u8) -> InfoHash {
    InfoHash([n; 20])
}

impl Network {
    fn empty() -> Self {
        let (nodes, wire, mail) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            now: Instant::from_micros(1_000_000),
            nodes,
            wire,
            n: 0,
            mail,
            bytes: 0,
            names: BTreeMap::new(),
        }
    }

    /// So many nodes that know each other, each through the first.
    fn of(count: u32) -> Self {
        let mut network = Self::empty();
        (0..count).for_each(|n| network.join(n, config()));
        network.settle();
        network
    }

    /// Lets all join, and forgets what they told of it.
    fn settle(&mut self) {
        self.run(Duration::from_secs(60));
        self.nodes.values_mut().for_each(|node| while node.next_event().is_some() {});
    }

    fn join(&mut self, n: u32, config: DhtConfig) {
        self.join_at(host(n), n, config);
    }

    fn join_at(&mut self, addr: SocketAddr, n: u32, config: DhtConfig) {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        let mut node = Node::new(config, Rng::new(seed), self.now);
        let first = if addr.is_ipv4() { host(0) } else { host6(0) };
        if addr != first {
            node.on_node(self.now, first);
        }
        node.on_bound(self.now, Family::of(&addr));
        self.nodes.insert(addr, node);
        self.collect(addr);
    }

    fn node(&mut self, n: u32) -> &mut Node {
        self.nodes.get_mut(&host(n)).unwrap()
    }

    /// Does something with a node and lets out what it sends.
    fn with<T>(&mut self, n: u32, act: impl FnOnce(&mut Node, Instant) -> T) -> T {
        let now = self.now;
        let out = act(self.node(n), now);
        self.collect(host(n));
        out
    }

    fn collect(&mut self, from: SocketAddr) {
        let Some(node) = self.nodes.get_mut(&from) else { return };
        while let Some((to, bytes)) = node.next_datagram(Family::of(&from)) {
            assert!(bytes.len() <= 1400, "{} bytes", bytes.len());
            let to = self.names.get(&to).copied().unwrap_or(to);
            self.n += 1;
            self.bytes += bytes.len() as u64;
            self.wire.insert((self.now + DELAY, self.n), (from, to, bytes));
        }
    }

    fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.n += 1;
        self.wire.insert((self.now + DELAY, self.n), (from, to, bytes.to_vec()));
    }

    /// What the next moment brings.
    fn step(&mut self, until: Instant) -> bool {
        let timer = self.nodes.iter().filter_map(|(addr, node)| Some((node.deadline()?, *addr))).min();
        let wire = self.wire.first_key_value().map(|(key, _)| key.0);
        let next = timer.map(|(at, _)| at).into_iter().chain(wire).min().unwrap_or(Instant::MAX);
        if next > until {
            self.now = until;
            return false;
        }
        self.now = self.now.max(next);
        if wire == Some(next) {
            let (_, (from, to, bytes)) = self.wire.pop_first().unwrap();
            match self.nodes.get_mut(&to) {
                Some(node) => node.on_datagram(self.now, from, &bytes),
                None => self.mail.entry(to).or_default().push(bytes),
            }
            self.collect(to);
        } else if let Some((_, addr)) = timer {
            self.nodes.get_mut(&addr).unwrap().on_timeout(self.now);
            self.collect(addr);
        }
        true
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Runs until a node's look-up is over; what else it told on the way.
    fn finish(&mut self, n: u32, lookup: LookupId) -> (Outcome, Cost, Vec<Event>) {
        let until = self.now + Duration::from_secs(120);
        let mut told = Vec::new();
        loop {
            while let Some(event) = self.node(n).next_event() {
                match event {
                    Event::Done { lookup: done, outcome, cost } if done == lookup => {
                        return (outcome, cost, told);
                    }
                    other @ (Event::Done { .. }
                    | Event::Resolve { .. }
                    | Event::Peers { .. }
                    | Event::Item { .. }
                    | Event::Samples { .. }
                    | Event::Joined(_)
                    | Event::External(_)) => told.push(other),
                }
            }
            assert!(self.step(until), "the look-up never ends");
        }
    }

    /// Sends bytes from a host without a node, and gives what comes back.
    fn ask(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.mail.remove(&from);
        self.post(from, to, bytes);
        self.run(DELAY * 2);
        self.mail.remove(&from).unwrap_or_default()
    }
}

/// A query by hand; `arguments` are those behind the id, in order.
fn query(name: &str, arguments: &[u8]) -> Vec<u8> {
    let mut out = b"d1:ad2:id20:abcdefghij0123456789".to_vec();
    out.extend_from_slice(arguments);
    out.extend_from_slice(std::format!("e1:q{}:{name}1:t2:aa1:y1:qe", name.len()).as_bytes());
    out
}

fn reads(bytes: &[u8]) -> Response<'_> {
    let Body::Response(response) = Message::parse(bytes).unwrap().body else {
        panic!("{}", bytes.escape_ascii())
    };
    response
}

fn error_code(bytes: &[u8]) -> i64 {
    let Body::Error { code, .. } = Message::parse(bytes).unwrap().body else {
        panic!("{}", bytes.escape_ascii())
    };
    code
}

fn is_query(bytes: &[u8]) -> bool {
    matches!(Message::parse(bytes).unwrap().body, Body::Query(_))
}
