//! A tree of token buckets and the queues of those who wait for tokens. Owns no time: it says when to come back.
//!
//! Fairness: whoever finds a bucket empty stands in that bucket's queue, first in first out. [`Rates::next_ready`] calls
//! the first one up when a quantum is there; anyone else who asks meanwhile stands behind. So those who always want
//! more get a quantum each in turn.

use crate::base::{BLOCK, Bucket, Instant};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::num::NonZeroU64;

/// What is handed out at once when others wait, bytes: a block.
const QUANTUM: u64 = BLOCK as u64;

/// A limit, or one who is limited, in a [`Rates`]. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

/// There is one for each torrent and each link, and most of them are never limited: those cost this much and no more.
#[derive(Debug)]
struct Node {
    parent: Option<NodeId>,
    /// `None` until it is limited for the first time: all passes.
    limit: Option<Box<Limit>>,
    /// The bucket in whose queue this node stands itself.
    stands_at: Option<NodeId>,
    /// What it wants at least when it is called up: a quantum or less.
    wants: u64,
}

#[derive(Debug)]
struct Limit {
    bucket: Bucket,
    /// Who waits for tokens of this bucket.
    waiting: VecDeque<NodeId>,
    /// When the first of them is called up.
    armed: Option<Instant>,
    /// Who was called up from this queue and has not been served yet, perhaps for want of tokens further up. Until
    /// then nobody else is, or those behind it would overtake it there.
    turn: Option<NodeId>,
}

impl Limit {
    fn new(rate: Option<u64>) -> Box<Self> {
        let bucket = Bucket::new(rate, burst(rate));
        Box::new(Self { bucket, waiting: VecDeque::new(), armed: None, turn: None })
    }
}

/// The rates of one direction: engine at the root, torrents under it, links under these; every level may have a limit.
/// A link that wants 16 KiB pays at each level.
#[derive(Debug, Default)]
pub struct Rates {
    nodes: BTreeMap<NodeId, Node>,
    timers: BTreeSet<(Instant, NodeId)>,
    /// How many were ever added.
    added: u64,
    /// Who was called up last and may still ask, and from which queue.
    called: Option<(NodeId, NodeId)>,
}

impl Rates {
    /// A new limit of `rate` bytes a second (`None`: none) under `parent` (`None`: a root).
    pub fn add(&mut self, parent: Option<NodeId>, rate: Option<u64>) -> NodeId {
        let id = NodeId(NonZeroU64::MIN.saturating_add(self.added));
        self.added += 1;
        let limit = rate.map(|_| Limit::new(rate));
        self.nodes.insert(id, Node { parent, limit, stands_at: None, wants: 0 });
        id
    }

    /// Forgets a node, which should have nothing under it any more: whoever waits for it is not called up again.
    pub fn remove(&mut self, now: Instant, id: NodeId) {
        self.on_idle(now, id);
        let Some(node) = self.nodes.remove(&id) else { return };
        let Some(limit) = node.limit else { return };
        if let Some(at) = limit.armed {
            self.timers.remove(&(at, id));
        }
        for waiter in limit.waiting {
            if let Some(waiter) = self.nodes.get_mut(&waiter) {
                waiter.stands_at = None;
            }
        }
    }

    /// Changes a limit from now on.
    pub fn set(&mut self, now: Instant, id: NodeId, rate: Option<u64>) {
        match self.nodes.get_mut(&id) {
            Some(Node { limit: Some(limit), .. }) => limit.bucket.set(now, rate, burst(rate)),
            Some(node) if rate.is_some() => node.limit = Some(Limit::new(rate)),
            Some(_) | None => {}
        }
        self.arm(now, id);
    }

    /// The limit of a node, bytes a second.
    pub fn rate(&self, id: NodeId) -> Option<u64> {
        self.nodes.get(&id)?.limit.as_ref()?.bucket.rate()
    }

    /// How many of `wanted` bytes may pass now through `id` and everything above it. 0: it stands in a queue, and
    /// [`Rates::next_ready`] will name it; ask again then. Nothing is paid yet: say what passed with [`Rates::pay`].
    pub fn allow(&mut self, now: Instant, id: NodeId, wanted: u64) -> u64 {
        if wanted == 0 || !self.nodes.contains_key(&id) {
            return 0;
        }
        if self.nodes.get(&id).is_some_and(|node| node.stands_at.is_some()) {
            return 0;
        }
        let least = wanted.min(QUANTUM);
        let mut allowed = wanted;
        let mut at = Some(id);
        while let Some((level, node)) = at.and_then(|id| Some((id, self.nodes.get_mut(&id)?))) {
            at = node.parent;
            let Some(limit) = &mut node.limit else { continue };
            let there = limit.bucket.available(now);
            let its_turn = limit.turn == Some(id);
            let others = !limit.waiting.is_empty() || (limit.turn.is_some() && !its_turn);
            if there < least || (others && !its_turn) {
                self.queue_up(now, id, level, least);
                return 0;
            }
            allowed = allowed.min(if others { least } else { there });
        }
        self.end_turns(now, id);
        allowed
    }

    /// Pays for `n` bytes at `id` and everything above it, into debt if need be.
    pub fn pay(&mut self, now: Instant, id: NodeId, n: u64) {
        let mut at = Some(id);
        while let Some((level, node)) = at.and_then(|id| Some((id, self.nodes.get_mut(&id)?))) {
            at = node.parent;
            let Some(limit) = &mut node.limit else { continue };
            limit.bucket.take(now, n);
            self.arm(now, level);
        }
    }

    /// Both at once: how many of `wanted` bytes pass now, paid for. 0: queued, as with [`Rates::allow`].
    pub fn take(&mut self, now: Instant, id: NodeId, wanted: u64) -> u64 {
        let allowed = self.allow(now, id, wanted);
        self.pay(now, id, allowed);
        allowed
    }

    /// Gives back `n` bytes that were paid for and did not pass: a request that was rejected, cancelled or lost, or a
    /// lease that was not used up.
    pub fn refund(&mut self, now: Instant, id: NodeId, n: u64) {
        let mut at = Some(id);
        while let Some((level, node)) = at.and_then(|id| Some((id, self.nodes.get_mut(&id)?))) {
            at = node.parent;
            let Some(limit) = &mut node.limit else { continue };
            limit.bucket.give_back(n);
            self.arm(now, level);
        }
    }

    /// `id` no longer wants anything.
    pub fn on_idle(&mut self, now: Instant, id: NodeId) {
        let stood_at = self.nodes.get_mut(&id).and_then(|node| node.stands_at.take());
        if let Some(limit) = stood_at.and_then(|level| self.limit(level)) {
            limit.waiting.retain(|&waiter| waiter != id);
        }
        self.end_turns(now, id);
        if let Some(level) = stood_at {
            self.arm(now, level);
        }
    }

    /// Who may ask again now; once each. Ask for it with [`Rates::allow`] before calling this again: what it doesn't
    /// take goes to the next one.
    pub fn next_ready(&mut self, now: Instant) -> Option<NodeId> {
        if let Some((last, from)) = self.called.take()
            && self.nodes.get(&last).is_none_or(|node| node.stands_at.is_none())
        {
            self.end_turns(now, last);
            // Its path may have been cut in between.
            if let Some(limit) = self.limit(from).filter(|limit| limit.turn == Some(last)) {
                limit.turn = None;
                self.arm(now, from);
            }
        }
        let &(at, level) = self.timers.first()?;
        if at > now {
            return None;
        }
        let limit = self.limit(level)?;
        let first = limit.waiting.pop_front();
        limit.turn = first;
        self.called = first.map(|id| (id, level));
        self.arm(now, level);
        if let Some(node) = first.and_then(|id| self.nodes.get_mut(&id)) {
            node.stands_at = None;
        }
        first
    }

    /// When the next one may be called up.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// A slice of the rate for another shard: up to `wanted` bytes out of `id` and everything above it, paid for. What
    /// the shard doesn't use comes back by [`Rates::refund`]. Those who wait here go first: with a queue it is 0.
    #[must_use]
    pub fn lease(&mut self, now: Instant, id: NodeId, wanted: u64) -> u64 {
        let mut allowed = wanted;
        let mut at = Some(id);
        while let Some(node) = at.and_then(|id| self.nodes.get_mut(&id)) {
            at = node.parent;
            let Some(limit) = &mut node.limit else { continue };
            let there = if limit.waiting.is_empty() { limit.bucket.available(now) } else { 0 };
            allowed = allowed.min(there);
        }
        self.pay(now, id, allowed);
        allowed
    }

    /// A root that lives on leases: it has no rate of its own, holds at most `held_bytes_max`, and gets what other
    /// shards' [`Rates::lease`] gave by [`Rates::deposit`].
    pub fn add_leased(&mut self, now: Instant, held_bytes_max: u64) -> NodeId {
        let id = self.add(None, Some(0));
        if let Some(limit) = self.limit(id) {
            limit.bucket.set(now, Some(0), held_bytes_max.max(QUANTUM));
            let there = limit.bucket.available(now);
            limit.bucket.take(now, there);
        }
        id
    }

    /// Puts a lease of `n` bytes into a root made by [`Rates::add_leased`].
    pub fn deposit(&mut self, now: Instant, id: NodeId, n: u64) {
        if let Some(limit) = self.limit(id) {
            limit.bucket.give_back(n);
        }
        self.arm(now, id);
    }

    fn queue_up(&mut self, now: Instant, id: NodeId, level: NodeId, least: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            (node.stands_at, node.wants) = (Some(level), least);
        }
        if let Some(limit) = self.limit(level) {
            if limit.turn == Some(id) {
                limit.turn = None;
                limit.waiting.push_front(id);
            } else {
                limit.waiting.push_back(id);
            }
        }
        self.arm(now, level);
    }

    /// `id` was served or gave up: the next ones may be called up, at every level where it was its turn.
    fn end_turns(&mut self, now: Instant, id: NodeId) {
        let mut at = Some(id);
        while let Some((level, node)) = at.and_then(|id| Some((id, self.nodes.get_mut(&id)?))) {
            at = node.parent;
            if let Some(limit) = node.limit.as_mut().filter(|limit| limit.turn == Some(id)) {
                limit.turn = None;
                self.arm(now, level);
            }
        }
    }

    fn limit(&mut self, id: NodeId) -> Option<&mut Limit> {
        self.nodes.get_mut(&id)?.limit.as_deref_mut()
    }

    /// Sets the moment when the first waiter of `level` will find what it wants.
    fn arm(&mut self, now: Instant, level: NodeId) {
        let Some(limit) = self.nodes.get(&level).and_then(|node| node.limit.as_deref()) else { return };
        if limit.waiting.is_empty() && limit.armed.is_none() {
            return;
        }
        let first = limit.waiting.front().filter(|_| limit.turn.is_none());
        let wants = first.and_then(|id| self.nodes.get(id)).map(|node| node.wants);
        let Some(limit) = self.limit(level) else { return };
        let before = limit.armed.take();
        limit.armed = wants.and_then(|wants| limit.bucket.ready_at(now, wants));
        let after = limit.armed;
        if let Some(at) = before {
            self.timers.remove(&(at, level));
        }
        if let Some(at) = after {
            self.timers.insert((at, level));
        }
    }
}

/// A twentieth of a second's worth: a burst counts fully against 'within 5 % over 10 s'. Two quanta at least, so that a
/// slow bucket loses nothing while its waiter stands in a queue further up.
fn burst(rate: Option<u64>) -> u64 {
    (rate.unwrap_or(0) / 20).max(2 * QUANTUM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    const SECOND: u64 = 1_000_000;

    /// `peers` links that always want a block, under one cap, for `seconds` of virtual time: (moment, peer, bytes).
    fn run(rates: &mut Rates, links: &[NodeId], seconds: u64) -> Vec<(u64, usize, u64)> {
        let mut log = Vec::new();
        let mut ask = |rates: &mut Rates, now: Instant, id: NodeId| {
            loop {
                let n = rates.take(now, id, 64 * 1024);
                if n == 0 {
                    return;
                }
                let who = links.iter().position(|&link| link == id).unwrap();
                log.push((now.as_micros(), who, n));
            }
        };
        for &id in links {
            ask(rates, Instant::ZERO, id);
        }
        while let Some(at) = rates.deadline().filter(|at| at.as_micros() <= seconds * SECOND) {
            while let Some(id) = rates.next_ready(at) {
                ask(rates, at, id);
            }
        }
        log
    }

    fn shared(cap: u64, peers: usize) -> (Rates, Vec<NodeId>) {
        let mut rates = Rates::default();
        let engine = rates.add(None, Some(cap));
        let torrent = rates.add(Some(engine), None);
        let links = (0..peers).map(|_| rates.add(Some(torrent), None)).collect();
        (rates, links)
    }

    #[test]
    fn a_cap_holds_within_5_percent_over_any_10_seconds_with_1_and_with_50_peers() {
        for cap in [100 * 1024, 1 << 20, 64 << 20] {
            for peers in [1, 50] {
                let (mut rates, links) = shared(cap, peers);
                let log = run(&mut rates, &links, 30);
                for start in 0..20 {
                    let window = start * SECOND..(start + 10) * SECOND;
                    let sum: u64 = log.iter().filter(|(at, ..)| window.contains(at)).map(|x| x.2).sum();
                    let ideal = cap * 10;
                    assert!(sum.abs_diff(ideal) <= ideal / 20, "{peers} at {cap} from {start} s: {sum}");
                }
            }
        }
    }

    #[test]
    fn fifty_peers_share_a_cap_evenly() {
        let (mut rates, links) = shared(4 << 20, 50);
        let mut each = vec![0; 50];
        for (_, who, n) in run(&mut rates, &links, 20) {
            each[who] += n;
        }
        let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
        assert!(most - least <= 256 * 1024, "{least} to {most}");
    }

    #[test]
    fn the_tightest_cap_of_a_path_holds_and_leaves_the_rest_to_others() {
        let mut rates = Rates::default();
        let engine = rates.add(None, Some(1 << 20));
        let slow = rates.add(Some(engine), Some(100 * 1024));
        let fast = rates.add(Some(engine), None);
        let links = [rates.add(Some(slow), None), rates.add(Some(slow), None), rates.add(Some(fast), None)];
        let mut each = [0; 3];
        for (_, who, n) in run(&mut rates, &links, 20) {
            each[who] += n;
        }
        let slow: u64 = each[..2].iter().sum();
        assert!(slow.abs_diff(20 * 100 * 1024) <= 100 * 1024, "{each:?}");
        assert!(each[0].abs_diff(each[1]) <= 64 * 1024, "{each:?}");
        assert!((slow + each[2]).abs_diff(20 << 20) <= 1 << 20, "{each:?}");
    }

    #[test]
    fn what_was_refunded_passes_again() {
        let (mut rates, links) = shared(100 * 1024, 2);
        let now = Instant::ZERO;
        assert_eq!(rates.take(now, links[0], 32_768), 32_768);
        assert_eq!(rates.take(now, links[1], 16_384), 0);
        assert!(rates.deadline().unwrap() > now);
        rates.refund(now, links[0], 16_384);
        assert_eq!((rates.deadline(), rates.next_ready(now)), (Some(now), Some(links[1])));
        assert_eq!(rates.take(now, links[1], 16_384), 16_384);
    }

    #[test]
    fn who_goes_or_loses_interest_does_not_hold_up_the_queue() {
        let (mut rates, links) = shared(100 * 1024, 4);
        let now = Instant::ZERO;
        rates.take(now, links[0], 32_768);
        for &id in &links[1..] {
            assert_eq!(rates.take(now, id, 16_384), 0);
        }
        rates.remove(now, links[1]);
        rates.on_idle(now, links[2]);
        let at = rates.deadline().unwrap();
        assert_eq!((rates.next_ready(at), rates.take(at, links[3], 16_384)), (Some(links[3]), 16_384));
        assert_eq!((rates.next_ready(at), rates.deadline()), (None, None));
        assert_eq!(rates.allow(at, links[1], 1), 0, "a stale id finds nothing");
    }

    #[test]
    fn a_torrent_that_goes_before_its_links_leaves_no_one_stuck() {
        let mut rates = Rates::default();
        let engine = rates.add(None, Some(100 * 1024));
        let torrents = [rates.add(Some(engine), None), rates.add(Some(engine), None)];
        let links = torrents.map(|torrent| rates.add(Some(torrent), None));
        let now = Instant::ZERO;
        rates.pay(now, links[0], 32_768);
        assert_eq!(links.map(|id| rates.take(now, id, 16_384)), [0, 0]);
        let at = rates.deadline().unwrap();
        assert_eq!(rates.next_ready(at), Some(links[0]));
        rates.remove(at, torrents[0]);
        rates.remove(at, links[0]);
        assert_eq!((rates.next_ready(at), rates.take(at, links[1], 16_384)), (Some(links[1]), 16_384));
    }

    #[test]
    fn a_rate_of_zero_stops_until_it_is_raised() {
        let (mut rates, links) = shared(0, 1);
        let root = NodeId(NonZeroU64::MIN);
        let now = Instant::ZERO;
        rates.take(now, links[0], 32_768);
        assert_eq!((rates.take(now, links[0], 1), rates.deadline()), (0, None));
        rates.set(now, root, Some(16_384));
        assert_eq!(rates.deadline(), Some(Instant::from_micros(62)), "a byte a 61.04 us");
        rates.set(now, root, None);
        assert_eq!((rates.next_ready(now), rates.take(now, links[0], 1 << 30)), (Some(links[0]), 1 << 30));
    }

    #[test]
    fn a_shard_lives_on_leases() {
        let mut main = Rates::default();
        let engine = main.add(None, Some(10 << 20));
        let mut shard = Rates::default();
        let now = Instant::ZERO;
        let root = shard.add_leased(now, 1 << 20);
        let link = shard.add(Some(root), None);
        assert_eq!(shard.take(now, link, 16_384), 0);
        let lease = main.lease(now, engine, 256 * 1024);
        assert_eq!(lease, 256 * 1024);
        shard.deposit(now, root, lease);
        assert_eq!((shard.next_ready(now), shard.take(now, link, 1 << 20)), (Some(link), lease));
        assert_eq!(main.lease(now, engine, 1 << 20), (10 << 20) / 20 - lease, "the main one paid");
    }
}
