//! What a node does unasked: joining, refreshing its buckets, asking whether quiet nodes live, taking the id that its
//! address asks for (BEP 42). Its sockets' queues stand here too.

use super::address::{Family, is_named, is_worth, network};
use super::event::{Event, LookupId};
use super::lookup::Goal;
use super::node::Node;
use super::queries::Purpose;
use super::table::{Placed, Table};
use crate::base::{Instant, Vote, is_public};
use crate::wire::krpc::{Method, NodeId};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// How many voices on our address are heard, the newest.
const VOTERS_MAX: usize = 16;

/// Addresses that may be nodes, kept to begin with.
const SEEDS_MAX: usize = 256;

/// How many of them a search begins with.
const SEEDS_ASKED: usize = 16;

/// Bootstrap nodes kept.
const ROUTERS_MAX: usize = 32;

/// How often a table is looked after.
const UPKEEP: Duration = Duration::from_secs(60);

/// Quiet nodes asked each time.
const QUIET_ASKED: usize = 8;

/// The first pause after an attempt to join that found too few; each is twice as long as the one before.
const JOIN_PAUSE: Duration = Duration::from_secs(5);

/// Joins before a node is content: those who came at the same time know each other only at the second.
const JOINS_MIN: u32 = 2;

/// The longest pause.
const JOIN_PAUSE_MAX: Duration = Duration::from_secs(600);

/// One family's half of a node.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) family: Family,
    pub(super) bound: bool,
    pub(super) table: Table,
    pub(super) queue: VecDeque<(SocketAddr, Vec<u8>)>,
    /// When to join next, if there is need.
    join_at: Instant,
    joins: u32,
    joining: Option<LookupId>,
    /// `Event::Joined` was told, and some node is there still.
    joined: bool,
    /// A join found enough nodes to live with.
    settled: bool,
    refreshing: Option<LookupId>,
    upkeep_at: Instant,
    seeds: VecDeque<SocketAddr>,
    pub(super) routers: Vec<SocketAddr>,
    asked_names: bool,
    /// On our address: each network has one voice, as a host of IPv6 has a whole one.
    vote: Vote<u128>,
}

impl Side {
    pub(super) fn new(now: Instant, family: Family, table: Table) -> Self {
        Self {
            family,
            bound: false,
            table,
            queue: VecDeque::new(),
            join_at: now,
            joins: 0,
            joining: None,
            joined: false,
            settled: false,
            refreshing: None,
            upkeep_at: now + UPKEEP,
            seeds: VecDeque::new(),
            routers: Vec::new(),
            asked_names: false,
            vote: Vote::new(VOTERS_MAX),
        }
    }

    pub(super) fn on_bound(&mut self, now: Instant) {
        (self.bound, self.join_at, self.joins) = (true, now, 0);
        self.upkeep_at = now + UPKEEP;
    }

    pub(super) fn on_unbound(&mut self) {
        self.bound = false;
        self.queue.clear();
    }

    pub(super) fn on_seed(&mut self, addr: SocketAddr) {
        if !self.seeds.contains(&addr) {
            // A host of the Internet is one: else it could push all others out by naming its ports.
            self.seeds.retain(|known| known.ip() != addr.ip() || !is_public(addr.ip()));
            self.seeds.push_back(addr);
        }
        if self.seeds.len() > SEEDS_MAX {
            self.seeds.pop_front();
        }
    }

    /// Forgets nodes at such addresses.
    pub(super) fn forget(&mut self, gone: impl Fn(SocketAddr) -> bool) {
        self.seeds.retain(|addr| !gone(*addr));
        self.routers.retain(|addr| !gone(*addr));
        self.table.forget(gone);
    }

    pub(super) fn external(&self) -> Option<IpAddr> {
        match self.family {
            Family::V4 => self.vote.v4(),
            Family::V6 => self.vote.v6(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let join = if self.wants_to_join() { self.join_at } else { self.upkeep_at };
        self.bound.then_some(join.min(self.upkeep_at))
    }

    /// Whether it has too few nodes to begin searches from.
    fn wants_to_join(&self) -> bool {
        !self.settled && self.joining.is_none()
    }

    /// Must be known anew, and soon.
    pub(super) fn unsettle(&mut self, now: Instant) {
        (self.settled, self.join_at, self.joins) = (false, now, 0);
    }
}

impl Node {
    /// Where a search may begin beside the table: addresses of which no id is known.
    pub(super) fn seeds(&self, family: Family) -> Vec<SocketAddr> {
        let side = &self.sides[family.index()];
        side.seeds.iter().rev().take(SEEDS_ASKED).chain(&side.routers).copied().collect()
    }

    /// Bootstrap nodes have these addresses.
    pub(super) fn on_routers(&mut self, addrs: &[SocketAddr]) {
        for &addr in addrs {
            let side = &mut self.sides[Family::of(&addr).index()];
            let known = side.routers.contains(&addr) || side.routers.len() >= ROUTERS_MAX;
            // The user named them: they may be anywhere.
            if !known && is_named(addr, &self.config) {
                side.routers.push(addr);
                if !side.joined {
                    side.unsettle(Instant::ZERO);
                }
            }
        }
    }

    /// Does what is due.
    pub(super) fn keep_up(&mut self, now: Instant) {
        for family in Family::ALL {
            let side = &self.sides[family.index()];
            if !side.bound {
                continue;
            }
            if now >= side.join_at && side.wants_to_join() {
                self.join(now, family);
            }
            if now >= self.sides[family.index()].upkeep_at {
                self.look_after(now, family);
            }
        }
    }

    fn join(&mut self, now: Instant, family: Family) {
        self.ask_names(family);
        let side = &mut self.sides[family.index()];
        let pause = JOIN_PAUSE.saturating_mul(1 << side.joins.min(16)).min(JOIN_PAUSE_MAX);
        side.joins += 1;
        side.join_at = now + pause;
        if side.seeds.is_empty() && side.routers.is_empty() && side.table.len() == 0 {
            return;
        }
        let own = side.table.own();
        let lookup = self.begin_quietly(now, Goal::Join(family), own);
        // It may have ended at once.
        self.sides[family.index()].joining = lookup.filter(|id| self.lookups.contains_key(id));
    }

    /// Wants the names of bootstrap nodes looked up, once for each time that there is need.
    fn ask_names(&mut self, family: Family) {
        let side = &mut self.sides[family.index()];
        if core::mem::replace(&mut side.asked_names, true) && side.joins % 4 != 3 {
            return;
        }
        for node in self.config.bootstrap_nodes.clone() {
            if let Ok(addr) = node.parse() {
                self.on_routers(&[addr]);
            } else if let Some((host, port)) =
                node.rsplit_once(':').and_then(|(h, p)| Some((h, p.parse().ok()?)))
            {
                let event = Event::Resolve { host: String::from(host), port };
                if !self.events.contains(&event) {
                    self.tell(event);
                }
            }
        }
    }

    /// Refreshes the stalest bucket and asks quiet nodes.
    fn look_after(&mut self, now: Instant, family: Family) {
        let side = &mut self.sides[family.index()];
        side.upkeep_at = now + UPKEEP;
        side.joined &= side.table.len() > 0;
        if side.settled && side.table.len() < self.config.bucket_nodes_max / 2 {
            side.unsettle(now);
        }
        let quiet = side.table.questionable(now, QUIET_ASKED);
        let refresh =
            if side.refreshing.is_none() { side.table.next_refresh(now, &mut self.rng) } else { None };
        for (id, addr) in quiet {
            self.ping(now, Some(id), addr);
        }
        if let Some(target) = refresh {
            let lookup = self.begin_quietly(now, Goal::Refresh(family), target);
            self.sides[family.index()].refreshing = lookup.filter(|id| self.lookups.contains_key(id));
        }
    }

    /// A look-up of ours is over.
    pub(super) fn on_upkeep_done(&mut self, now: Instant, goal: &Goal) {
        match goal {
            Goal::Join(family) => {
                let family = *family;
                let side = &mut self.sides[family.index()];
                side.joining = None;
                side.settled = side.joins >= JOINS_MIN && side.table.len() >= self.config.bucket_nodes_max;
                if side.table.len() > 0 && !core::mem::replace(&mut side.joined, true) {
                    self.tell(Event::Joined(family));
                }
                self.keep_up(now);
            }
            Goal::Refresh(family) => self.sides[family.index()].refreshing = None,
            Goal::Nodes
            | Goal::Peers { .. }
            | Goal::Announce { .. }
            | Goal::Scrape { .. }
            | Goal::Get { .. }
            | Goal::Put { .. }
            | Goal::Sample => {}
        }
    }

    /// Asks a node whether it lives; one of the table is known by its id.
    pub(super) fn ping(&mut self, now: Instant, id: Option<NodeId>, addr: SocketAddr) {
        let bound = self.sides[Family::of(&addr).index()].bound;
        if bound && self.queries.may_ping((addr, id), &self.config) {
            self.send_query(now, (addr, id), Purpose::Ping, (Method::Ping, None));
        }
    }

    /// A node answered us: it has earned a place, if there is one.
    pub(super) fn on_alive(&mut self, now: Instant, id: NodeId, addr: SocketAddr) {
        let side = &mut self.sides[Family::of(&addr).index()];
        // Who has a network of its own needs every node of it.
        let router = side.routers.contains(&addr) && !self.config.private_addresses;
        if router || !is_worth(addr, &self.config) {
            return;
        }
        side.table.on_other_id(addr, id);
        match side.table.on_answer(now, id, addr, &self.config) {
            Placed::Ask(quiet, at) => self.ping(now, Some(quiet), at),
            Placed::Added => {
                // The first node: who is near us is asked of it at once.
                let side = &mut self.sides[Family::of(&addr).index()];
                if side.table.len() == 1 && side.wants_to_join() {
                    side.join_at = now;
                    self.keep_up(now);
                }
            }
            Placed::Known | Placed::Refused => {}
        }
    }

    /// A node says how it sees us (BEP 42). An id that doesn't suit the address that they agree on is given up.
    pub(super) fn on_told(&mut self, now: Instant, from: SocketAddr, ours: SocketAddr) {
        let side = &mut self.sides[Family::of(&from).index()];
        if !side.vote.on_told(ours.ip(), network(from.ip())) {
            return;
        }
        let Some(external) = side.external() else { return };
        if !side.table.own().suits(external) {
            let own = NodeId::for_address(external, &mut self.rng);
            side.table.on_own_id(now, own, &self.config);
            // Who is near the new id must hear of us.
            side.unsettle(now);
        }
        self.tell(Event::External(external));
        self.keep_up(now);
    }
}
