//! Which connections there are, whose, and who may open the next: the pool's bookkeeping and its doors. How large it may
//! be is `sizing`'s.

use super::{CloseReason, Mood, OpenError, PoolChange, PoolConfig, PoolStatus, Prospect};
use crate::base::{Instant, Meter};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

/// Connections named `K`, opened for owners `O`.
///
/// ```
/// use core::time::Duration;
/// use millstream_core::base::Instant;
/// use millstream_core::pool::{CloseReason, Connections, PoolConfig, Prospect};
///
/// let mut now = Instant::ZERO;
/// let mut pool: Connections<u32, &str> = Connections::new(now, PoolConfig::default());
/// pool.on_wants(now, "mirror.example", true);
/// while let Some(host) = pool.next_open(now) {
///     let key = 7; // the connection that is opened now
///     pool.on_started(now, key, host, Prospect::Fresh);
///     pool.on_wants(now, host, false); // one is enough
/// }
/// now += Duration::from_millis(80);
/// pool.on_opened(now, 7);
/// pool.on_bytes(now, 7, 1000);
/// pool.on_closed(now, 7, CloseReason::Finished);
/// assert_eq!(pool.status(now).lingering, 1);
/// ```
#[derive(Debug)]
pub struct Connections<K, O> {
    config: PoolConfig,
    entries: BTreeMap<K, Entry<O>>,
    owners: BTreeMap<O, Owner>,
    /// Owners that want another connection: who has fewest first, then who was served least lately.
    queue: BTreeSet<(usize, u64, O)>,
    served: u64,
    half_open: usize,
    lingering: Lingering,
    rate: Meter,
}

#[derive(Debug)]
struct Entry<O> {
    owner: Option<O>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Opening,
    Open,
}

#[derive(Debug, Default)]
struct Owner {
    connections: usize,
    wants: bool,
    served: u64,
}

/// Ended connections, counted by the second in which they did.
#[derive(Debug, Default)]
struct Lingering {
    ended: VecDeque<(u64, usize)>,
    count: usize,
}

impl<K: Ord + Copy, O: Ord + Copy> Connections<K, O> {
    /// A pool with nothing in it.
    pub fn new(_now: Instant, config: PoolConfig) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            owners: BTreeMap::new(),
            queue: BTreeSet::new(),
            served: 0,
            half_open: 0,
            lingering: Lingering::default(),
            rate: Meter::default(),
        }
    }

    /// An owner wants another connection, or wants none any more. It stands until it is said otherwise.
    pub fn on_wants(&mut self, _now: Instant, owner: O, wants: bool) {
        if !wants && !self.owners.contains_key(&owner) {
            return;
        }
        self.change(owner, |it| it.wants = wants);
    }

    /// Who may open a connection now: of those who want one, who has fewest. Say `on_started` when it is being opened, or
    /// `on_wants` that it isn't wanted after all; until then the answer stays the same.
    pub fn next_open(&mut self, now: Instant) -> Option<O> {
        let &(_, _, owner) = self.queue.first()?;
        self.has_room(now).then_some(owner)
    }

    /// A connection is being opened for an owner.
    pub fn on_started(&mut self, _now: Instant, key: K, owner: O, _prospect: Prospect) {
        self.served += 1;
        let served = self.served;
        self.change(owner, |it| {
            it.connections += 1;
            it.served = served;
        });
        self.half_open += 1;
        let before = self.entries.insert(key, Entry { owner: Some(owner), state: State::Opening });
        debug_assert!(before.is_none(), "a key names one connection at a time");
    }

    /// A stranger opened a connection; whose it is shows later. Only the hard bound speaks against taking it.
    pub fn on_accepted(&mut self, _now: Instant, key: K) {
        self.entries.insert(key, Entry { owner: None, state: State::Open });
    }

    /// Whether a stranger's connection may be taken.
    pub fn may_accept(&self) -> bool {
        self.entries.len() < self.config.links_max
    }

    /// It shows whose a stranger's connection is.
    pub fn on_owner(&mut self, _now: Instant, key: K, owner: O) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if entry.owner.is_some() {
            return;
        }
        entry.owner = Some(owner);
        self.change(owner, |it| it.connections += 1);
    }

    /// A connection that was being opened is open.
    pub fn on_opened(&mut self, _now: Instant, key: K) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let State::Opening = entry.state {
            entry.state = State::Open;
            self.half_open -= 1;
        }
    }

    /// A connection couldn't be opened.
    pub fn on_failed(&mut self, now: Instant, key: K, _why: OpenError) {
        self.remove(now, key);
    }

    /// An open connection ended.
    pub fn on_closed(&mut self, now: Instant, key: K, _why: CloseReason) {
        self.remove(now, key);
    }

    /// Bytes came in or went out.
    pub fn on_bytes(&mut self, now: Instant, _key: K, bytes: u64) {
        self.rate.add(now, bytes);
    }

    /// Does what is due; early and spurious calls do no harm.
    pub fn on_timeout(&mut self, now: Instant) {
        self.lingering.expire(now, self.config.linger);
    }

    /// When to call `on_timeout`, and to ask `next_open` again; `None` if time alone changes nothing.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The owner with the most connections, if it should close the one it can best do without: more are open than the
    /// network was found to bear.
    pub fn next_surplus(&self, _now: Instant) -> Option<O> {
        None
    }

    /// The last change of size or mood, if it wasn't told yet.
    pub fn next_change(&mut self) -> Option<PoolChange> {
        None
    }

    /// The pool at a glance.
    pub fn status(&self, now: Instant) -> PoolStatus {
        PoolStatus {
            open: self.entries.len() - self.half_open,
            half_open: self.half_open,
            lingering: self.lingering.count,
            size: self.config.links_max,
            half_open_size: self.config.half_open_max,
            mood: Mood::Full,
            answers_per_mille: None,
            open_ms: 0,
            rate: self.rate.rate(now),
        }
    }

    fn has_room(&mut self, _now: Instant) -> bool {
        self.half_open < self.config.half_open_max && self.entries.len() < self.config.links_max
    }

    fn remove(&mut self, now: Instant, key: K) {
        let Some(entry) = self.entries.remove(&key) else { return };
        if let State::Opening = entry.state {
            self.half_open -= 1;
        }
        self.lingering.add(now);
        if let Some(owner) = entry.owner {
            self.change(owner, |it| it.connections -= 1);
        }
    }

    /// The one place where an owner changes, so that the queue follows.
    fn change(&mut self, id: O, change: impl FnOnce(&mut Owner)) {
        let owner = self.owners.entry(id).or_default();
        self.queue.remove(&(owner.connections, owner.served, id));
        change(owner);
        if owner.wants {
            self.queue.insert((owner.connections, owner.served, id));
        } else if owner.connections == 0 {
            self.owners.remove(&id);
        }
    }
}

impl Lingering {
    fn add(&mut self, now: Instant) {
        let second = now.as_micros() / 1_000_000;
        self.count += 1;
        match self.ended.back_mut() {
            Some((at, count)) if *at == second => *count += 1,
            _ => self.ended.push_back((second, 1)),
        }
    }

    fn expire(&mut self, now: Instant, linger: Duration) {
        let until = (now - linger).as_micros() / 1_000_000;
        while let Some(&(at, count)) = self.ended.front().filter(|(at, _)| *at < until) {
            debug_assert!(at < until);
            self.count -= count;
            self.ended.pop_front();
        }
    }
}
