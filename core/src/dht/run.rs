//! Look-ups at work: their queries go out, answers come in, what they found is stored and told.

use super::address::{Family, is_worth};
use super::event::{Event, LookupId};
use super::lookup::{Goal, Lookup};
use super::node::{Busy, Node};
use super::queries::{Pending, Purpose};
use super::search::Search;
use crate::base::{Instant, is_public};
use crate::wire::InfoHash;
use crate::wire::krpc::{Body, Message, Method, NodeId, Query, Response, WantNodes};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Who we are, in every packet (BEP 5's `v`, BEP 20's letters).
pub(super) const CLIENT: &[u8] = b"MS\x00\x01";

/// Nodes taken of one answer, in each family.
const NODES_TAKEN_MAX: usize = 16;

/// Nodes whose sampling interval is remembered (BEP 51).
const SAMPLED_MAX: usize = 8_192;

impl Node {
    /// Begins a look-up that somebody waits for.
    pub(super) fn begin(&mut self, now: Instant, goal: Goal, target: NodeId) -> Result<LookupId, Busy> {
        let theirs = self.lookups.values().filter(|lookup| lookup.goal.only().is_none()).count();
        if theirs >= self.config.lookups_max {
            return Err(Busy(theirs));
        }
        Ok(self.start(now, goal, target))
    }

    /// Begins a look-up for the table's sake.
    pub(super) fn begin_quietly(&mut self, now: Instant, goal: Goal, target: NodeId) -> Option<LookupId> {
        Some(self.start(now, goal, target))
    }

    fn start(&mut self, now: Instant, goal: Goal, target: NodeId) -> LookupId {
        let id = LookupId(self.next_lookup);
        self.next_lookup += 1;
        let mut lookup = Lookup::new(now, goal);
        for family in Family::ALL {
            let side = &self.sides[family.index()];
            if !side.bound || lookup.goal.only().is_some_and(|only| only != family) {
                continue;
            }
            let mut search = Search::new(target);
            let k = self.config.bucket_nodes_max;
            let near = side.table.closest(target, 2 * k);
            for &(id, addr) in &near {
                search.on_node(Some(id), addr, 1, &self.config);
            }
            if near.len() < k {
                for addr in self.seeds(family) {
                    search.on_node(None, addr, 1, &self.config);
                }
            }
            lookup.searches[family.index()] = Some(search);
        }
        self.lookups.insert(id, lookup);
        self.step(now, id);
        id
    }

    /// Sends what a look-up has to ask, or goes on to its next part.
    pub(super) fn step(&mut self, now: Instant, id: LookupId) {
        for family in Family::ALL {
            while let Some(lookup) = self.lookups.get_mut(&id) {
                if lookup.storing.is_some() || lookup.is_found(&self.config) {
                    break;
                }
                if !self.queries.has_room(&self.config) {
                    self.starved.insert(id);
                    break;
                }
                let Some(search) = &mut lookup.searches[family.index()] else { break };
                let Some((node, to)) = search.next(&self.config) else { break };
                let target = search.target();
                let resting = self.sampled.get(&to).is_some_and(|&until| until > now);
                let method = if resting && lookup.goal == Goal::Sample {
                    Method::FindNode { target }
                } else {
                    lookup.goal.method(target)
                };
                lookup.cost.queries += 1;
                let want = self.want(lookup_joins(&self.lookups, id));
                self.send_query(now, (to, node), Purpose::Search(id), (method, want));
            }
        }
        let Some(lookup) = self.lookups.get(&id) else { return };
        match lookup.storing {
            None if lookup.is_found(&self.config) => self.store(now, id),
            Some(0) => self.finish(now, id),
            None | Some(_) => {}
        }
    }

    /// A node that joins asks for both families, if it has both (BEP 32).
    fn want(&self, joins: bool) -> Option<WantNodes> {
        let both = self.sides.iter().all(|side| side.bound);
        (joins && both).then_some(WantNodes { v4: true, v6: true })
    }

    /// The search is over: what is to be stored is stored at the nearest.
    fn store(&mut self, now: Instant, id: LookupId) {
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        lookup.storing = Some(0);
        let stores = match lookup.goal {
            Goal::Announce { .. } | Goal::Put { .. } => {
                let all = lookup.searches.iter().flatten();
                all.flat_map(|search| search.stores(&self.config)).collect()
            }
            Goal::Nodes
            | Goal::Join(_)
            | Goal::Refresh(_)
            | Goal::Peers { .. }
            | Goal::Scrape { .. }
            | Goal::Get { .. }
            | Goal::Sample => Vec::new(),
        };
        lookup.storing = Some(stores.len() as u32);
        lookup.cost.queries += stores.len() as u32;
        let goal = lookup.goal.clone();
        for (node, token) in stores {
            let token = &token[..];
            let method = match &goal {
                &Goal::Announce { info_hash, port, seed } => {
                    Method::AnnouncePeer { info_hash, port, token, seed }
                }
                Goal::Put { item, cas } => {
                    // Who has nothing has nothing to compare with.
                    let cas = cas.filter(|_| node.seq.is_some());
                    Method::Put { token, value: item.value(), signed: item.signed(), cas }
                }
                Goal::Nodes
                | Goal::Join(_)
                | Goal::Refresh(_)
                | Goal::Peers { .. }
                | Goal::Scrape { .. }
                | Goal::Get { .. }
                | Goal::Sample => continue,
            };
            self.send_query(now, (node.addr, node.id), Purpose::Store(id), (method, None));
        }
        self.step(now, id);
    }

    fn finish(&mut self, now: Instant, id: LookupId) {
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        self.starved.remove(&id);
        let outcome = lookup.outcome(&self.config);
        let mut cost = lookup.cost;
        cost.elapsed = now.saturating_since(lookup.begun);
        if lookup.goal.only().is_none() {
            self.events.push_back(Event::Done { lookup: id, outcome, cost });
        }
        self.on_upkeep_done(now, &lookup.goal);
    }

    /// Sends a query and remembers it.
    pub(super) fn send_query(
        &mut self,
        now: Instant,
        (to, id): (SocketAddr, Option<NodeId>),
        purpose: Purpose,
        (method, want): (Method<'_>, Option<WantNodes>),
    ) {
        let transaction = self.queries.on_sent(now, (to, id), purpose, &self.config);
        let own = self.id(Family::of(&to));
        let message = Message {
            transaction: &transaction,
            version: Some(CLIENT),
            ip: None,
            read_only: self.config.read_only,
            body: Body::Query(Query { id: own, method, want }),
        };
        let mut datagram = Vec::with_capacity(128);
        message.write(&mut datagram);
        self.traffic.queries_out += 1;
        self.send(to, datagram);
    }

    /// The query that a packet answers, if there is one.
    fn answered(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>) -> Option<Pending> {
        let Some(pending) = self.queries.on_answer(message.transaction, from, &self.config) else {
            self.dropped.unasked += 1;
            return None;
        };
        self.traffic.answers_in += 1;
        self.allowance.on_proved(now, from.ip());
        if let Some(ours) = message.ip {
            self.on_told(now, from, ours);
        }
        Some(pending)
    }

    /// A response came.
    pub(super) fn on_response(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &Message<'_>,
        response: &Response<'_>,
    ) {
        let Some(pending) = self.answered(now, from, message) else { return };
        self.on_alive(now, response.id, pending.to);
        match pending.purpose {
            Purpose::Ping => {}
            Purpose::Search(id) => {
                self.on_found(now, id, &pending, response);
                self.step(now, id);
            }
            Purpose::Store(id) => {
                if let Some(lookup) = self.lookups.get_mut(&id) {
                    lookup.cost.answers += 1;
                    lookup.stored += 1;
                    lookup.storing = lookup.storing.map(|left| left.saturating_sub(1));
                }
                self.step(now, id);
            }
        }
        self.feed_starved(now);
    }

    /// A step of a search was answered.
    fn on_found(&mut self, now: Instant, id: LookupId, pending: &Pending, response: &Response<'_>) {
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        let family = Family::of(&pending.to);
        lookup.cost.answers += 1;
        let Some(search) = &mut lookup.searches[family.index()] else { return };
        let asked = (pending.id, pending.to);
        if response.id == self.sides[family.index()].table.own() {
            // Ourselves, or who says so.
            search.on_failure(pending.id, pending.to);
            return;
        }
        let gave = (response.token, response.seq);
        let Some(hops) = search.on_answer(asked, response.id, gave, &self.config) else { return };
        let target = search.target();
        let nodes = response.nodes.iter().take(NODES_TAKEN_MAX);
        // A host of the Internet has one place in a table, and so in an answer.
        let mut hosts = BTreeSet::new();
        for (node, addr) in nodes.chain(response.nodes6.iter().take(NODES_TAKEN_MAX)) {
            if is_public(addr.ip()) && !hosts.insert(addr.ip()) {
                continue;
            }
            let side = &self.sides[Family::of(&addr).index()];
            let search = lookup.searches[Family::of(&addr).index()].as_mut();
            let worth = is_worth(addr, &self.config) && node != side.table.own();
            match search {
                Some(search) if worth => search.on_node(Some(node), addr, hops + 1, &self.config),
                // The other family, while one joins (BEP 32).
                None if worth && side.bound => self.sides[Family::of(&addr).index()].on_seed(addr),
                Some(_) | None => {}
            }
        }
        let gain = lookup.on_response(target, response, &self.config);
        let sample = matches!(lookup.goal, Goal::Sample);
        self.dropped.lies += u64::from(gain.lie);
        if !gain.peers.is_empty() {
            self.tell(Event::Peers { lookup: id, peers: gain.peers });
        }
        if let Some(item) = gain.item {
            self.tell(Event::Item { lookup: id, item });
        }
        if let Some(samples) = response.samples.filter(|_| sample) {
            self.on_samples(now, id, pending.to, (samples, response));
        }
    }

    fn on_samples(
        &mut self,
        now: Instant,
        id: LookupId,
        from: SocketAddr,
        (samples, response): (&[u8], &Response<'_>),
    ) {
        let samples: Vec<InfoHash> = samples.as_chunks::<20>().0.iter().map(|hash| InfoHash(*hash)).collect();
        let seconds = response.interval.unwrap_or(0).clamp(0, 21_600).unsigned_abs();
        let interval = Duration::from_secs(seconds);
        if self.sampled.len() >= SAMPLED_MAX {
            self.sampled.retain(|_, until| *until > now);
        }
        if self.sampled.len() < SAMPLED_MAX {
            self.sampled.insert(from, now + interval);
        }
        if let Some(lookup) = self.lookups.get_mut(&id) {
            lookup.sampled.0 += 1;
            lookup.sampled.1 += samples.len();
        }
        let num = response.num.unwrap_or(0).max(0).unsigned_abs();
        self.tell(Event::Samples { lookup: id, from, samples, num, interval });
    }

    /// An error came.
    pub(super) fn on_error(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>, code: i64) {
        if let Some(pending) = self.answered(now, from, message) {
            self.on_failed(now, &pending, Some(code));
        }
    }

    /// A query is slow.
    pub(super) fn on_stalled(&mut self, now: Instant, pending: &Pending) {
        if let Purpose::Search(id) = pending.purpose {
            if let Some(search) = self.search(id, pending) {
                search.on_stall(pending.id, pending.to);
            }
            self.step(now, id);
        }
    }

    /// A query failed: nobody answered, or an error came, which shows at least that someone lives.
    pub(super) fn on_failed(&mut self, now: Instant, pending: &Pending, code: Option<i64>) {
        let family = Family::of(&pending.to);
        if let (None, Some(id)) = (code, pending.id) {
            self.sides[family.index()].table.on_failure(now, id, pending.to);
        }
        match pending.purpose {
            Purpose::Ping => {}
            Purpose::Search(id) => {
                if let Some(search) = self.search(id, pending) {
                    search.on_failure(pending.id, pending.to);
                }
                if let Some(lookup) = self.lookups.get_mut(&id) {
                    lookup.cost.timeouts += u32::from(code.is_none());
                }
                self.step(now, id);
            }
            Purpose::Store(id) => {
                if let Some(lookup) = self.lookups.get_mut(&id) {
                    *lookup.refused.entry(code.unwrap_or(0)).or_default() += 1;
                    lookup.cost.timeouts += u32::from(code.is_none());
                    lookup.storing = lookup.storing.map(|left| left.saturating_sub(1));
                }
                self.step(now, id);
            }
        }
        self.feed_starved(now);
    }

    fn search(&mut self, id: LookupId, pending: &Pending) -> Option<&mut Search> {
        let lookup = self.lookups.get_mut(&id)?;
        lookup.searches[Family::of(&pending.to).index()].as_mut()
    }

    /// A query is over: one of those look-ups that wait for room gets a turn.
    fn feed_starved(&mut self, now: Instant) {
        if let Some(id) = self.starved.pop_first() {
            self.step(now, id);
        }
    }
}

fn lookup_joins(lookups: &alloc::collections::BTreeMap<LookupId, Lookup>, id: LookupId) -> bool {
    lookups.get(&id).is_some_and(|lookup| matches!(lookup.goal, Goal::Join(_)))
}
