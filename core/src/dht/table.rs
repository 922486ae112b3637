//! The routing table (BEP 5): who is near, who is good, who gives way to whom. Addresses were judged before.

use super::DhtConfig;
use super::address::household;
use crate::base::{Instant, Rng, is_public};
use crate::wire::krpc::NodeId;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// A node that neither answered nor asked for so long is questionable.
const QUIET: Duration = Duration::from_secs(15 * 60);

/// A node that didn't answer so many queries in a row is bad.
const FAILURES_MAX: u8 = 2;

/// One node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) id: NodeId,
    pub(super) addr: SocketAddr,
    answered: Instant,
    asked: Option<Instant>,
    failures: u8,
}

impl Contact {
    fn is_good(&self, now: Instant) -> bool {
        let seen = self.asked.unwrap_or(self.answered).max(self.answered);
        self.failures == 0 && now.saturating_since(seen) < QUIET
    }

    fn is_bad(&self) -> bool {
        self.failures >= FAILURES_MAX
    }
}

/// Nodes that share exactly so many bits with our id as the bucket has number; the last has all that share more.
#[derive(Debug, Default)]
struct Bucket {
    nodes: Vec<Contact>,
    /// Who answered while the bucket was full: the newest last.
    spare: Vec<Contact>,
    changed: Instant,
}

/// What became of a node that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is new in the table.
    Added,
    /// It was there already.
    Known,
    /// Its bucket is full; this one should be asked whether it still lives.
    Ask(NodeId, SocketAddr),
    /// There is no place for it.
    Refused,
}

/// The table of one family.
#[derive(Debug)]
pub(super) struct Table {
    own: NodeId,
    buckets: Vec<Bucket>,
    len: usize,
}

impl Table {
    pub(super) fn new(own: NodeId) -> Self {
        Self { own, buckets: alloc::vec![Bucket::default()], len: 0 }
    }

    pub(super) fn own(&self) -> NodeId {
        self.own
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn good(&self, now: Instant) -> usize {
        self.contacts().filter(|contact| contact.is_good(now)).count()
    }

    /// All nodes, far ones first.
    pub(super) fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes)
    }

    /// Takes another id: the nodes find their places again.
    pub(super) fn on_own_id(&mut self, now: Instant, own: NodeId, config: &DhtConfig) {
        let before = core::mem::replace(self, Self::new(own));
        for contact in before.buckets.into_iter().flat_map(|bucket| bucket.nodes) {
            self.place(now, contact, config);
        }
    }

    fn index(&self, id: NodeId) -> usize {
        (self.own.common_bits(id) as usize).min(self.buckets.len() - 1)
    }

    /// A node answered a query of ours from this address.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        id: NodeId,
        addr: SocketAddr,
        config: &DhtConfig,
    ) -> Placed {
        if id == self.own {
            return Placed::Refused;
        }
        self.place(now, Contact { id, addr, answered: now, asked: None, failures: 0 }, config)
    }

    fn place(&mut self, now: Instant, contact: Contact, config: &DhtConfig) -> Placed {
        let at = self.index(contact.id);
        let bucket = &mut self.buckets[at];
        if let Some(known) = bucket.nodes.iter_mut().find(|known| known.id == contact.id) {
            if known.addr == contact.addr {
                (known.answered, known.failures) = (now, 0);
                bucket.changed = now;
                return Placed::Known;
            }
            // The first address keeps the id until it is gone: else whoever knows the ids of quiet nodes could put
            // itself in their places. A quiet one is asked whether it lives.
            let asked = Placed::Ask(known.id, known.addr);
            return if known.is_good(now) { Placed::Refused } else { asked };
        }
        if !self.is_welcome(at, &contact) {
            return Placed::Refused;
        }
        self.insert(now, contact, config)
    }

    /// One node an address (a /64 of IPv6), and one of each network a bucket, in the whole Internet: a host can't be a
    /// crowd.
    fn is_welcome(&self, at: usize, contact: &Contact) -> bool {
        let ip = contact.addr.ip();
        if self.contacts().any(|known| known.addr == contact.addr) {
            return false;
        }
        if !is_public(ip) {
            return true;
        }
        let network = |ip: IpAddr| super::address::network(ip);
        let same_host = self.contacts().any(|known| household(known.addr.ip()) == household(ip));
        let neighbour = |known: &Contact| network(known.addr.ip()) == network(ip);
        !same_host && !self.buckets[at].nodes.iter().any(neighbour)
    }

    fn insert(&mut self, now: Instant, contact: Contact, config: &DhtConfig) -> Placed {
        loop {
            let at = self.index(contact.id);
            let may_split = at + 1 == self.buckets.len() && at < 159;
            let bucket = &mut self.buckets[at];
            if bucket.nodes.len() < config.bucket_nodes_max && self.len < config.nodes_max {
                bucket.nodes.push(contact);
                bucket.changed = now;
                self.len += 1;
                return Placed::Added;
            }
            if may_split && self.len < config.nodes_max {
                self.split();
                continue;
            }
            bucket.spare.retain(|spare| spare.id != contact.id && spare.addr != contact.addr);
            bucket.spare.push(contact);
            if bucket.spare.len() > config.bucket_nodes_max {
                bucket.spare.remove(0);
            }
            let questionable = bucket.nodes.iter().filter(|known| !known.is_good(now));
            let oldest =
                questionable.min_by_key(|known| known.asked.unwrap_or(known.answered).max(known.answered));
            return oldest.map_or(Placed::Refused, |known| Placed::Ask(known.id, known.addr));
        }
    }

    /// Moves what is nearer out of the last bucket.
    fn split(&mut self) {
        let bits = self.buckets.len() as u32 - 1;
        let Some(last) = self.buckets.last_mut() else { return };
        let own = self.own;
        let near = |contact: &Contact| own.common_bits(contact.id) > bits;
        let (nodes, spare) = (core::mem::take(&mut last.nodes), core::mem::take(&mut last.spare));
        let mut next = Bucket { changed: last.changed, ..Bucket::default() };
        (next.nodes, last.nodes) = nodes.into_iter().partition(near);
        (next.spare, last.spare) = spare.into_iter().partition(near);
        self.buckets.push(next);
    }

    /// A node that may be in the table asked us something.
    pub(super) fn on_query(&mut self, now: Instant, id: NodeId, addr: SocketAddr) -> bool {
        let at = self.index(id);
        let known = self.buckets[at].nodes.iter_mut().find(|known| known.id == id && known.addr == addr);
        if let Some(known) = known {
            known.asked = Some(now);
            return true;
        }
        false
    }

    /// Whether a node of this id would find a place, if it answered.
    pub(super) fn wants(&self, now: Instant, id: NodeId, config: &DhtConfig) -> bool {
        let at = self.index(id);
        let bucket = &self.buckets[at];
        let room = bucket.nodes.len() < config.bucket_nodes_max || at + 1 == self.buckets.len();
        id != self.own && (room || bucket.nodes.iter().any(|known| !known.is_good(now)))
    }

    /// A query to this node wasn't answered. A bad one gives its place to the newest of those who wait for it and are
    /// still welcome.
    pub(super) fn on_failure(&mut self, now: Instant, id: NodeId, addr: SocketAddr) {
        let at = self.index(id);
        let bucket = &mut self.buckets[at];
        let Some(n) = bucket.nodes.iter().position(|known| known.id == id && known.addr == addr) else {
            return;
        };
        bucket.nodes[n].failures = bucket.nodes[n].failures.saturating_add(1);
        if !bucket.nodes[n].is_bad() {
            return;
        }
        bucket.nodes.swap_remove(n);
        self.len -= 1;
        while let Some(spare) = self.buckets[at].spare.pop() {
            let is_new = self.buckets[at].nodes.iter().all(|known| known.id != spare.id);
            if is_new && self.is_welcome(at, &spare) {
                let bucket = &mut self.buckets[at];
                bucket.nodes.push(spare);
                bucket.changed = now;
                self.len += 1;
                return;
            }
        }
    }

    /// Someone else than before answered from an address: whoever was known there is gone (BEP 45).
    pub(super) fn on_other_id(&mut self, addr: SocketAddr, id: NodeId) {
        for bucket in &mut self.buckets {
            let before = bucket.nodes.len();
            bucket.nodes.retain(|known| known.addr != addr || known.id == id);
            self.len -= before - bucket.nodes.len();
        }
    }

    /// Forgets the nodes at such addresses.
    pub(super) fn forget(&mut self, gone: impl Fn(SocketAddr) -> bool) {
        for bucket in &mut self.buckets {
            let before = bucket.nodes.len();
            bucket.nodes.retain(|known| !gone(known.addr));
            bucket.spare.retain(|known| !gone(known.addr));
            self.len -= before - bucket.nodes.len();
        }
    }

    /// Up to `max` nodes nearest to `target` that are not known to be gone, nearest first.
    pub(super) fn closest(&self, target: NodeId, max: usize) -> Vec<(NodeId, SocketAddr)> {
        let home = self.index(target);
        let mut out: Vec<(NodeId, SocketAddr)> = Vec::with_capacity(2 * max);
        let take = |out: &mut Vec<_>, buckets: &[Bucket]| {
            let from = out.len();
            let live = buckets.iter().flat_map(|bucket| &bucket.nodes).filter(|known| known.failures == 0);
            out.extend(live.map(|known| (known.id, known.addr)));
            out[from..].sort_unstable_by_key(|(id, _)| id.distance(target));
        };
        // What shares the target's bucket is nearest, then all nearer to us, then farther buckets one by one.
        take(&mut out, &self.buckets[home..=home]);
        if out.len() < max {
            take(&mut out, &self.buckets[home + 1..]);
        }
        for at in (0..home).rev() {
            if out.len() >= max {
                break;
            }
            take(&mut out, &self.buckets[at..=at]);
        }
        out.truncate(max);
        out
    }

    /// A point within the bucket that has been unchanged for longest, if that is too long; it counts as changed now.
    pub(super) fn next_refresh(&mut self, now: Instant, rng: &mut Rng) -> Option<NodeId> {
        let (at, bucket) = self.buckets.iter_mut().enumerate().min_by_key(|(_, bucket)| bucket.changed)?;
        if now.saturating_since(bucket.changed) < QUIET {
            return None;
        }
        bucket.changed = now;
        Some(self.own.random_beside(at as u32, rng))
    }

    /// The questionable nodes to be asked whether they live, those longest unseen first.
    pub(super) fn questionable(&self, now: Instant, max: usize) -> Vec<(NodeId, SocketAddr)> {
        let mut quiet: Vec<&Contact> = self.contacts().filter(|known| !known.is_good(now)).collect();
        quiet.sort_by_key(|known| known.answered);
        quiet.iter().take(max).map(|known| (known.id, known.addr)).collect()
    }
}
