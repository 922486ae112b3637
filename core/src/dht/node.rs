//! The node's doors: datagrams and time in, datagrams and events out, commands. What they set off is next door.

use super::DhtConfig;
use super::address::{Family, forbids, is_source, is_worth};
use super::allowance::Allowance;
use super::event::{DhtStatus, Dropped, Event, FamilyStatus, LookupId, Traffic};
use super::item::{Item, ItemError};
use super::items::ItemStore;
use super::lookup::{Goal, Lookup};
use super::peers::PeerStore;
use super::queries::{Late, Queries};
use super::saved::{Saved, SavedError};
use super::table::Table;
use super::tokens::Tokens;
use super::upkeep::Side;
use crate::base::{Instant, Rng};
use crate::wire::InfoHash;
use crate::wire::ip_filter::IpFilter;
use crate::wire::krpc::{Body, Message, NodeId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use thiserror::Error;

/// As many look-ups as the configuration allows are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} look-ups are under way; no more at once")]
pub struct Busy(pub usize);

/// A node of the DHT.
#[derive(Debug)]
pub struct Node {
    pub(super) config: DhtConfig,
    pub(super) rng: Rng,
    pub(super) sides: [Side; 2],
    pub(super) queries: Queries,
    pub(super) tokens: Tokens,
    pub(super) allowance: Allowance,
    pub(super) peers: PeerStore,
    pub(super) items: ItemStore,
    pub(super) lookups: BTreeMap<LookupId, Lookup>,
    /// Look-ups that wait for room among the queries.
    pub(super) starved: BTreeSet<LookupId>,
    /// Until when nodes gave no other samples (BEP 51).
    pub(super) sampled: BTreeMap<SocketAddr, Instant>,
    pub(super) next_lookup: u64,
    pub(super) events: VecDeque<Event>,
    pub(super) traffic: Traffic,
    pub(super) dropped: Dropped,
}

impl Node {
    /// A node without sockets. It does nothing until one is bound.
    pub fn new(config: DhtConfig, rng: Rng, now: Instant) -> Self {
        let mut own = rng.fork("dht");
        let mut side = |family| Side::new(now, family, Table::new(NodeId::random(&mut own)));
        let sides = [side(Family::V4), side(Family::V6)];
        Self {
            allowance: Allowance::new(&config, &mut own),
            queries: Queries::new(rng.fork("dht transactions")),
            tokens: Tokens::new(rng.fork("dht tokens")),
            rng: own,
            sides,
            peers: PeerStore::default(),
            items: ItemStore::default(),
            lookups: BTreeMap::new(),
            starved: BTreeSet::new(),
            sampled: BTreeMap::new(),
            next_lookup: 1,
            events: VecDeque::new(),
            traffic: Traffic::default(),
            dropped: Dropped::default(),
            config,
        }
    }

    /// A socket of this family is there: the node joins that DHT.
    pub fn on_bound(&mut self, now: Instant, family: Family) {
        self.sides[family.index()].on_bound(now);
        self.keep_up(now);
    }

    /// It is gone. What waited for it is dropped.
    pub fn on_unbound(&mut self, now: Instant, family: Family) {
        self.sides[family.index()].on_unbound();
        self.keep_up(now);
    }

    /// A datagram came. Garbage is dropped and counted.
    pub fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.traffic.bytes_in += bytes.len() as u64;
        if !is_source(from) {
            self.dropped.source += 1;
            return;
        }
        let Ok(message) = Message::parse(bytes) else {
            self.dropped.malformed += 1;
            return;
        };
        match message.body {
            Body::Query(query) => self.on_query(now, from, &message, &query),
            Body::Response(response) => self.on_response(now, from, &message, &response),
            Body::Error { code, .. } => self.on_error(now, from, &message, code),
        }
    }

    /// A name was looked up; no addresses if it couldn't be.
    pub fn on_resolved(&mut self, now: Instant, addrs: &[SocketAddr]) {
        self.on_routers(addrs);
        self.keep_up(now);
    }

    /// There may be a node at this address (a PORT message, a torrent's `nodes`): it is asked.
    pub fn on_node(&mut self, now: Instant, addr: SocketAddr) {
        if is_worth(addr, &self.config) {
            self.sides[Family::of(&addr).index()].on_seed(addr);
            self.ping(now, None, addr);
        }
    }

    /// The filter of addresses is another: who is forbidden now leaves the tables, and what waits for them isn't sent.
    pub fn on_filter(&mut self, now: Instant, filter: Option<Arc<IpFilter>>) {
        self.config.ip_filter = filter;
        for side in &mut self.sides {
            let before = side.queue.len();
            side.queue.retain(|(to, _)| !forbids(*to, &self.config));
            self.dropped.filtered += (before - side.queue.len()) as u64;
            side.forget(|addr| forbids(addr, &self.config));
        }
        self.keep_up(now);
    }

    /// Time passed.
    pub fn on_timeout(&mut self, now: Instant) {
        while let Some(late) = self.queries.next_late(now, &self.config) {
            match late {
                Late::Stalled(pending) => self.on_stalled(now, &pending),
                Late::Failed(pending) => self.on_failed(now, &pending, None),
            }
        }
        self.peers.on_timeout(now);
        self.items.on_timeout(now);
        self.keep_up(now);
    }

    /// When `on_timeout` is due.
    pub fn deadline(&self) -> Option<Instant> {
        let upkeep = self.sides.iter().filter_map(Side::deadline).min();
        let all = [self.queries.deadline(), self.peers.deadline(), self.items.deadline(), upkeep];
        all.into_iter().flatten().min()
    }

    /// The next datagram to send from the socket of a family, and where to.
    pub fn next_datagram(&mut self, family: Family) -> Option<(SocketAddr, Vec<u8>)> {
        self.sides[family.index()].queue.pop_front()
    }

    /// Whether datagrams wait.
    pub fn has_datagrams(&self, family: Family) -> bool {
        !self.sides[family.index()].queue.is_empty()
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Asks the bootstrap nodes now, whatever the table has.
    pub fn bootstrap(&mut self, now: Instant) {
        self.sides.iter_mut().for_each(|side| side.unsettle(now));
        self.keep_up(now);
    }

    /// Seeks the nodes nearest to a point.
    pub fn find_node(&mut self, now: Instant, target: NodeId) -> Result<LookupId, Busy> {
        self.begin(now, Goal::Nodes, target)
    }

    /// Seeks peers of a torrent.
    pub fn get_peers(&mut self, now: Instant, info_hash: InfoHash) -> Result<LookupId, Busy> {
        self.begin(now, Goal::Peers { info_hash, no_seed: false }, info_hash.into())
    }

    /// Seeks peers of a torrent, and tells the nodes nearest to it that we are one; `port` is where peers reach us, `None`
    /// the port that our datagrams come from. A seed seeks no seeds.
    pub fn announce(
        &mut self,
        now: Instant,
        info_hash: InfoHash,
        port: Option<u16>,
        seed: bool,
    ) -> Result<LookupId, Busy> {
        self.begin(now, Goal::Announce { info_hash, port, seed }, info_hash.into())
    }

    /// Counts who is in a swarm (BEP 33).
    pub fn scrape(&mut self, now: Instant, info_hash: InfoHash) -> Result<LookupId, Busy> {
        self.begin(now, Goal::Scrape { info_hash }, info_hash.into())
    }

    /// Seeks an item (BEP 44); `salt` is that of a mutable one, empty if it has none. Only one above `newer_than`.
    pub fn get(
        &mut self,
        now: Instant,
        target: NodeId,
        salt: &[u8],
        newer_than: Option<i64>,
    ) -> Result<LookupId, Busy> {
        self.begin(now, Goal::Get { salt: salt.to_vec(), newer_than }, target)
    }

    /// Stores an item at the nodes nearest to its key (BEP 44); with `cas` only over that sequence number.
    pub fn put(&mut self, now: Instant, item: Item, cas: Option<i64>) -> Result<LookupId, PutError> {
        item.check()?;
        let target = item.target();
        Ok(self.begin(now, Goal::Put { item, cas }, target)?)
    }

    /// Asks nodes on the way to a point which torrents they know (BEP 51). Who told some less than its interval ago is not
    /// asked again.
    pub fn sample(&mut self, now: Instant, target: NodeId) -> Result<LookupId, Busy> {
        self.begin(now, Goal::Sample, target)
    }

    /// Ends a look-up without an event.
    pub fn cancel(&mut self, lookup: LookupId) {
        self.lookups.remove(&lookup);
        self.starved.remove(&lookup);
    }

    /// Our id in a family.
    pub fn id(&self, family: Family) -> NodeId {
        self.sides[family.index()].table.own()
    }

    /// The nodes of a family's table, far ones first.
    pub fn contacts(&self, family: Family) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.sides[family.index()].table.contacts().map(|contact| (contact.id, contact.addr))
    }

    /// The table, to be restored next time.
    pub fn save(&self) -> Vec<u8> {
        let ids = Family::ALL.map(|family| self.id(family));
        let nodes = Family::ALL.into_iter().flat_map(|family| self.contacts(family)).collect();
        Saved { ids, nodes }.write()
    }

    /// Takes the ids and nodes of a saved table; best before a socket is bound. The nodes are asked before they are
    /// believed. How many there are; an error leaves the node as it is.
    pub fn restore(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, SavedError> {
        let saved = Saved::read(bytes)?;
        for family in Family::ALL {
            let side = &mut self.sides[family.index()];
            side.table.on_own_id(now, saved.id(family), &self.config);
            side.unsettle(now);
        }
        for &(_, addr) in &saved.nodes {
            if is_worth(addr, &self.config) {
                self.sides[Family::of(&addr).index()].on_seed(addr);
            }
        }
        self.keep_up(now);
        Ok(saved.nodes.len())
    }

    /// How the node is.
    pub fn status(&self, now: Instant) -> DhtStatus {
        let bound = self.sides.iter().filter(|side| side.bound);
        let family = |side: &Side| FamilyStatus {
            family: side.family,
            id: side.table.own(),
            external: side.external(),
            nodes: side.table.len(),
            good: side.table.good(now),
            buckets: side.table.buckets(),
        };
        DhtStatus {
            families: bound.map(family).collect(),
            lookups: self.lookups.len(),
            transactions: self.queries.len(),
            stored_hashes: self.peers.hashes(),
            stored_peers: self.peers.len(),
            stored_items: self.items.len(),
            stored_items_bytes: self.items.bytes(),
            traffic: self.traffic,
            dropped: self.dropped,
        }
    }

    /// Tells something that may be lost if nobody listens.
    pub(super) fn tell(&mut self, event: Event) {
        if self.events.len() < self.config.events_max {
            self.events.push_back(event);
        }
    }

    /// Lets a datagram wait at its socket.
    pub(super) fn send(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if forbids(to, &self.config) {
            // One that was heard of before it was forbidden: its query fails by time.
            self.dropped.filtered += 1;
            return;
        }
        let side = &mut self.sides[Family::of(&to).index()];
        if !side.bound || side.queue.len() >= self.config.datagrams_max {
            self.dropped.queue += 1;
            return;
        }
        self.traffic.bytes_out += datagram.len() as u64;
        side.queue.push_back((to, datagram));
    }
}

/// Why an item isn't put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PutError {
    /// No node would store it.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// Too many look-ups.
    #[error(transparent)]
    Busy(#[from] Busy),
}
