//! Which connections there are, whose, and who may open the next: the pool's bookkeeping and its doors. How large it may
//! be is `sizing`'s.

use super::sizing::{Load, Sizing};
use super::throughput::{Throughput, Way};
use super::{CloseReason, Mood, OpenError, PoolChange, PoolConfig, PoolStatus, Prospect, Sign};
use crate::base::{Instant, Meter};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

/// Groups of ended connections that are remembered. Whoever ends more in two minutes has a strong network.
const LINGERING_MAX: usize = 1 << 16;
/// An owner with fewer connections than this isn't held back because the others' fill the line.
const OWNER_LEAST: usize = 4;
/// While the number is held, so many are opened for each that is wanted: most addresses are dead.
const TRIES_EACH: usize = 4;

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
/// pool.on_received(now, 7, 1000);
/// pool.on_closed(now, 7, CloseReason::Finished);
/// assert_eq!(pool.status(now).lingering, 1);
/// ```
#[derive(Debug)]
pub struct Connections<K, O> {
    config: PoolConfig,
    entries: BTreeMap<K, Entry<O>>,
    owners: BTreeMap<O, Owner>,
    /// Owners that want another connection: who opens fewest first, then who was served least lately.
    by_turn: BTreeSet<(usize, u64, O)>,
    /// The same: who has the smallest footprint first.
    by_share: BTreeSet<(usize, u64, O)>,
    /// The same: who has the fewest connections first.
    by_connections: BTreeSet<(usize, u64, O)>,
    served: u64,
    half_open: usize,
    lingering: Lingering<O>,
    rate: Meter,
    sizing: Sizing,
    throughput: Throughput,
    /// Until when the lives of connections were counted.
    counted: Instant,
    told: (usize, Mood),
}

#[derive(Debug)]
struct Entry<O> {
    owner: Option<O>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Opening { since: Instant, ticket: u64, prospect: Prospect },
    Open { since: Instant },
}

#[derive(Debug, Default)]
struct Owner {
    connections: usize,
    opening: usize,
    /// Ended connections that are still counted.
    lingering: usize,
    wants: bool,
    served: u64,
}

/// Ended connections, counted by the second in which they did.
#[derive(Debug)]
struct Lingering<O> {
    ended: VecDeque<Ended<O>>,
    count: usize,
}

#[derive(Debug)]
struct Ended<O> {
    second: u64,
    owner: Option<O>,
    count: usize,
}

impl<K: Ord + Copy, O: Ord + Copy> Connections<K, O> {
    /// A pool with nothing in it.
    pub fn new(now: Instant, config: PoolConfig) -> Self {
        let sizing = Sizing::new(now, &config);
        Self {
            told: (sizing.size(), Mood::Free),
            sizing,
            throughput: Throughput::new(now),
            config,
            entries: BTreeMap::new(),
            owners: BTreeMap::new(),
            by_turn: BTreeSet::new(),
            by_share: BTreeSet::new(),
            by_connections: BTreeSet::new(),
            served: 0,
            half_open: 0,
            lingering: Lingering { ended: VecDeque::new(), count: 0 },
            rate: Meter::default(),
            counted: now,
        }
    }

    /// An owner wants another connection, or wants none any more. It stands until it is said otherwise.
    pub fn on_wants(&mut self, _now: Instant, owner: O, wants: bool) {
        if self.owners.get(&owner).is_some_and(|it| it.wants) == wants {
            return;
        }
        self.change(owner, |it| it.wants = wants);
    }

    /// Who may open a connection now. While there is room for all, those who want one take turns: who opens fewest is
    /// next. Where there isn't, who has the smallest share is: of what is open, opening, or ended not long ago, so that
    /// who has only dead addresses doesn't take all. Where more connections carry no more, only who has fewer than its
    /// equal share of them, or than four, may open more than come free. Say `on_started` when it is being opened, or `on_wants` that it isn't
    /// wanted after all; until then the answer stays the same.
    pub fn next_open(&mut self, now: Instant) -> Option<O> {
        if self.by_turn.is_empty() || !self.has_room(now) {
            return None;
        }
        if self.is_held() {
            return self.next_poor();
        }
        let queue = if self.is_scarce() { &self.by_share } else { &self.by_turn };
        queue.first().map(|&(_, _, owner)| owner)
    }

    /// A connection is being opened for an owner.
    pub fn on_started(&mut self, now: Instant, key: K, owner: O, prospect: Prospect) {
        self.count_lives(now, false);
        self.served += 1;
        let served = self.served;
        self.change(owner, |it| {
            it.connections += 1;
            it.opening += 1;
            it.served = served;
        });
        self.half_open += 1;
        self.sizing.on_started(now);
        self.sizing.losses.on_started(now);
        let footprint = self.load().footprint + 1;
        let ticket = self.sizing.silence.on_started(now, footprint, prospect);
        let state = State::Opening { since: now, ticket, prospect };
        let before = self.entries.insert(key, Entry { owner: Some(owner), state });
        debug_assert!(before.is_none(), "a key names one connection at a time");
    }

    /// A stranger opened a connection; whose it is shows later. Only the hard bound speaks against taking it.
    pub fn on_accepted(&mut self, now: Instant, key: K) {
        self.count_lives(now, false);
        let before = self.entries.insert(key, Entry { owner: None, state: State::Open { since: now } });
        debug_assert!(before.is_none(), "a key names one connection at a time");
        self.sizing.on_accepted(self.load());
    }

    /// Whether a stranger's connection may be taken.
    pub fn may_accept(&self) -> bool {
        self.entries.len() < self.config.links_max
    }

    /// It shows whose a stranger's connection is.
    pub fn on_owner(&mut self, _now: Instant, key: K, owner: O) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.owner.is_none()) else { return };
        entry.owner = Some(owner);
        self.change(owner, |it| it.connections += 1);
    }

    /// A connection that was being opened is open.
    pub fn on_opened(&mut self, now: Instant, key: K) {
        self.count_lives(now, false);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let State::Opening { since, ticket, prospect } = entry.state else { return };
        entry.state = State::Open { since: now };
        let owner = entry.owner;
        self.half_open -= 1;
        if let Some(owner) = owner {
            self.change(owner, |it| it.opening -= 1);
        }
        self.sizing.silence.on_ended(ticket, Some(true));
        if prospect != Prospect::Failed {
            let us = u64::try_from(now.saturating_since(since).as_micros()).unwrap_or(u64::MAX);
            self.sizing.opening.on_opened(now, since, us, &self.config);
        }
        self.on_timeout(now);
    }

    /// A connection couldn't be opened.
    pub fn on_failed(&mut self, now: Instant, key: K, why: OpenError) {
        let Some(Entry { state: State::Opening { ticket, prospect, .. }, .. }) = self.entries.get(&key)
        else {
            return;
        };
        let prospect = *prospect;
        let answered = match why {
            OpenError::TimedOut => Some(false),
            OpenError::Refused | OpenError::Unreachable => Some(true),
            OpenError::NoRoom | OpenError::Cancelled => None,
        };
        self.sizing.silence.on_ended(*ticket, answered);
        let lingers = match answered {
            // Who is refused leaves no entry behind, or none for long.
            Some(true) => false,
            Some(false) => !self.sizing.was_dropped(prospect),
            None => true,
        };
        self.remove(now, key, lingers);
        if why == OpenError::NoRoom {
            self.sizing.on_no_room(now, self.load(), &self.config);
        }
        self.on_timeout(now);
    }

    /// An open connection ended.
    pub fn on_closed(&mut self, now: Instant, key: K, why: CloseReason) {
        let Some(Entry { state: State::Open { since }, .. }) = self.entries.get(&key) else { return };
        let proven = now.saturating_since(*since) >= self.config.proven_after;
        let lost = match why {
            CloseReason::Ours | CloseReason::Finished => false,
            CloseReason::Lost => proven,
        };
        self.throughput.on_closed(*since);
        self.count_lives(now, lost);
        self.remove(now, key, true);
        self.on_timeout(now);
    }

    /// Bytes came in.
    pub fn on_received(&mut self, now: Instant, key: K, bytes: u64) {
        self.on_bytes(now, key, (Way::Received, bytes));
    }

    /// Bytes went out.
    pub fn on_sent(&mut self, now: Instant, key: K, bytes: u64) {
        self.on_bytes(now, key, (Way::Sent, bytes));
    }

    /// Does what is due; early and spurious calls do no harm.
    pub fn on_timeout(&mut self, now: Instant) {
        while let Some((owner, count)) = self.lingering.next_expired(now, self.config.linger) {
            if let Some(owner) = owner {
                self.change(owner, |it| it.lingering -= count);
            }
        }
        self.sizing.on_time(now, self.load(), &self.config);
        self.throughput.on_time(now, self.entries.len() - self.half_open, &self.config);
    }

    /// When to call `on_timeout`, and to ask `next_open` again; `None` if time alone changes nothing.
    pub fn deadline(&self) -> Option<Instant> {
        let blocked_for_good =
            self.half_open >= self.config.half_open_max || self.entries.len() >= self.config.links_max;
        if self.by_turn.is_empty() || blocked_for_good || !self.config.adaptive {
            return None;
        }
        if self.is_held() && self.next_poor().is_none() {
            return Some(self.throughput.deadline());
        }
        let load = self.load();
        let sizing = self.sizing.deadline(load, &self.config);
        let expiry = self.lingering.next(self.config.linger).filter(|_| load.footprint >= self.sizing.size());
        [sizing, expiry].into_iter().flatten().min()
    }

    /// The owner with the most connections, if it should close the one it can best do without: more are open than the
    /// network was found to bear.
    pub fn next_surplus(&self, _now: Instant) -> Option<O> {
        let weak = match self.sizing.mood() {
            // Waiting longer is no reason to lose a connection that carries something.
            Mood::Bounded(Sign::Latency) | Mood::Free | Mood::Trying(_) => false,
            Mood::Bounded(_) => true,
        };
        if !weak || self.entries.len() <= self.sizing.size() {
            return None;
        }
        self.owners.iter().max_by_key(|(_, owner)| owner.connections).map(|(id, _)| *id)
    }

    /// The last change of size or mood that is worth telling, if it wasn't told yet.
    pub fn next_change(&mut self) -> Option<PoolChange> {
        let (from, told) = self.told;
        let (to, mood) = (self.sizing.size(), self.sizing.mood());
        let much = match mood {
            Mood::Free | Mood::Trying(Sign::Latency) | Mood::Bounded(Sign::Latency) => false,
            Mood::Trying(_) | Mood::Bounded(_) => from.abs_diff(to) * 4 >= from.max(1),
        };
        if told == mood && !much {
            return None;
        }
        self.told = (to, mood);
        Some(PoolChange { from, to, mood })
    }

    /// How many connections of an owner ended not long ago: they count as its share.
    pub fn lingering_of(&self, owner: O) -> usize {
        self.owners.get(&owner).map_or(0, |it| it.lingering)
    }

    /// How many connections are being opened.
    pub fn half_open(&self) -> usize {
        self.half_open
    }

    /// The pool at a glance.
    pub fn status(&self, now: Instant) -> PoolStatus {
        PoolStatus {
            open: self.entries.len() - self.half_open,
            half_open: self.half_open,
            lingering: self.lingering.count,
            size: self.sizing.size(),
            half_open_size: self.sizing.half_open_size(&self.config),
            mood: self.sizing.mood(),
            held: self.throughput.held(),
            answers_per_mille: self.sizing.silence.per_mille(),
            open_ms: self.sizing.opening.smooth_us / 1000,
            rate: self.rate.rate(now),
        }
    }

    fn on_bytes(&mut self, now: Instant, key: K, (way, bytes): (Way, u64)) {
        self.rate.add(now, bytes);
        if let Some(Entry { state: State::Open { since }, .. }) = self.entries.get(&key) {
            self.throughput.on_bytes(*since, way, bytes);
        }
        self.throughput.on_time(now, self.entries.len() - self.half_open, &self.config);
    }

    fn load(&self) -> Load {
        let entries = self.entries.len();
        Load { footprint: entries + self.lingering.count, entries, half_open: self.half_open }
    }

    fn has_room(&mut self, now: Instant) -> bool {
        if self.half_open >= self.config.half_open_max || self.entries.len() >= self.config.links_max {
            return false;
        }
        if !self.config.adaptive {
            return true;
        }
        self.on_timeout(now);
        self.sizing.has_room(now, self.load(), &self.config)
    }

    /// Whether as many are open, or will be, as carry all there is to carry.
    fn is_held(&self) -> bool {
        let open = self.entries.len() - self.half_open;
        let held = self.throughput.held().filter(|_| self.config.adaptive);
        held.is_some_and(|held| open + self.half_open / TRIES_EACH >= held)
    }

    /// Who may open one although the number is held.
    fn next_poor(&self) -> Option<O> {
        let share = self.throughput.held()? / self.owners.len().max(1);
        let &(connections, _, owner) = self.by_connections.first()?;
        (connections < share.max(OWNER_LEAST)).then_some(owner)
    }

    /// Whether what one gets another lacks.
    fn is_scarce(&self) -> bool {
        let bounded = match self.sizing.mood() {
            Mood::Free | Mood::Trying(Sign::Latency) | Mood::Bounded(Sign::Latency) => false,
            Mood::Trying(_) | Mood::Bounded(_) => true,
        };
        bounded || self.entries.len() + self.config.half_open_max >= self.config.links_max
    }

    fn remove(&mut self, now: Instant, key: K, lingers: bool) {
        let Some(entry) = self.entries.remove(&key) else { return };
        let opening = match entry.state {
            State::Opening { .. } => 1,
            State::Open { .. } => 0,
        };
        self.half_open -= opening;
        if lingers {
            self.lingering.add(now, entry.owner);
        }
        if let Some(owner) = entry.owner {
            self.change(owner, |it| {
                it.connections -= 1;
                it.opening -= opening;
                it.lingering += usize::from(lingers);
            });
        }
    }

    /// Counts what the open connections lived since the last time, and a loss.
    fn count_lives(&mut self, now: Instant, lost: bool) {
        let us = u64::try_from(now.saturating_since(self.counted).as_micros()).unwrap_or(u64::MAX);
        self.counted = now;
        let lived_us = us.saturating_mul((self.entries.len() - self.half_open) as u64);
        let load = self.load();
        self.sizing.on_lives(now, lived_us, lost, (load, &self.config));
    }

    /// The one place where an owner changes, so that the queues follow.
    fn change(&mut self, id: O, change: impl FnOnce(&mut Owner)) {
        let owner = self.owners.entry(id).or_default();
        self.by_turn.remove(&(owner.opening, owner.served, id));
        self.by_share.remove(&(owner.footprint(), owner.served, id));
        self.by_connections.remove(&(owner.connections, owner.served, id));
        change(owner);
        if owner.wants {
            self.by_turn.insert((owner.opening, owner.served, id));
            self.by_share.insert((owner.footprint(), owner.served, id));
            self.by_connections.insert((owner.connections, owner.served, id));
        } else if owner.footprint() == 0 {
            self.owners.remove(&id);
        }
    }
}

impl Owner {
    fn footprint(&self) -> usize {
        self.connections + self.lingering
    }
}

impl<O: Copy + PartialEq> Lingering<O> {
    fn add(&mut self, now: Instant, owner: Option<O>) {
        let second = now.as_micros() / 1_000_000;
        self.count += 1;
        match self.ended.back_mut() {
            Some(last) if last.second == second && last.owner == owner => last.count += 1,
            _ => self.ended.push_back(Ended { second, owner, count: 1 }),
        }
    }

    /// When the next ones are forgotten.
    fn next(&self, linger: Duration) -> Option<Instant> {
        self.ended.front().map(|ended| Instant::from_micros((ended.second + 1) * 1_000_000) + linger)
    }

    /// Forgets what ended long enough ago, or first, if there is too much of it.
    fn next_expired(&mut self, now: Instant, linger: Duration) -> Option<(Option<O>, usize)> {
        let due = self.next(linger)? <= now || self.ended.len() > LINGERING_MAX;
        let ended = if due { self.ended.pop_front()? } else { return None };
        self.count -= ended.count;
        Some((ended.owner, ended.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Mood, Sign};
    use std::vec::Vec;

    fn at(s: u64) -> Instant {
        Instant::from_micros(s * 1_000_000)
    }

    /// Opens for whoever may, until nobody may; returns for whom.
    fn open_all(pool: &mut Connections<u32, char>, now: Instant, key: &mut u32) -> Vec<char> {
        let mut opened = Vec::new();
        while let Some(owner) = pool.next_open(now) {
            *key += 1;
            pool.on_started(now, *key, owner, Prospect::Fresh);
            pool.on_opened(now, *key);
            opened.push(owner);
        }
        opened
    }

    #[test]
    fn owners_get_equal_shares_and_who_wants_less_leaves_its_share_to_the_others() {
        let config = PoolConfig { links_max: 10, ..PoolConfig::default() };
        let mut pool = Connections::new(at(0), config);
        ['a', 'b', 'c'].into_iter().for_each(|owner| pool.on_wants(at(0), owner, true));
        let mut key = 0;
        pool.on_started(at(0), 100, 'c', Prospect::Fresh);
        pool.on_opened(at(0), 100);
        pool.on_wants(at(0), 'c', false);
        let opened = open_all(&mut pool, at(0), &mut key);
        let count = |owner| opened.iter().filter(|&&it| it == owner).count();
        assert_eq!((count('a'), count('b'), count('c')), (5, 4, 0), "{opened:?}");
        pool.on_wants(at(1), 'c', true);
        pool.on_closed(at(1), 1, CloseReason::Finished);
        assert_eq!(pool.next_open(at(1)), Some('c'), "who has fewest is next");
    }

    #[test]
    fn the_hard_bounds_hold_whatever_is_observed() {
        let config = PoolConfig { links_max: 30, half_open_max: 7, ..PoolConfig::default() };
        let mut pool: Connections<u32, char> = Connections::new(at(0), config);
        pool.on_wants(at(0), 'a', true);
        let mut key = 0;
        for s in 0..1000 {
            while let Some(owner) = pool.next_open(at(s)) {
                pool.on_started(at(s), key, owner, Prospect::Fresh);
                key += 1;
            }
            let status = pool.status(at(s));
            assert!(status.half_open <= 7 && status.open + status.half_open <= 30, "{status:?}");
            if s % 2 == 0 {
                pool.on_opened(at(s), key - 1);
            }
        }
        assert_eq!(pool.status(at(1000)).open, 30 - 7 + 7 - pool.status(at(1000)).half_open);
        assert!(!pool.may_accept());
        assert_eq!(pool.deadline(), None, "time alone changes nothing");
    }

    #[test]
    fn a_pool_that_nobody_wants_anything_of_wakes_nobody() {
        let mut pool: Connections<u32, char> = Connections::new(at(0), PoolConfig::default());
        pool.on_wants(at(0), 'a', true);
        let mut key = 0;
        pool.on_started(at(0), 1, 'a', Prospect::Fresh);
        pool.on_wants(at(0), 'a', false);
        assert_eq!(pool.deadline(), None);
        pool.on_failed(at(10), 1, OpenError::TimedOut);
        assert_eq!((pool.deadline(), pool.status(at(10)).lingering), (None, 1));
        pool.on_timeout(at(200));
        assert_eq!(pool.status(at(200)).lingering, 0, "the router has forgotten it");
        assert!(open_all(&mut pool, at(200), &mut key).is_empty());
    }

    #[test]
    fn dead_addresses_alone_never_bound_the_pool() {
        let mut pool: Connections<u32, char> = Connections::new(at(0), PoolConfig::default());
        pool.on_wants(at(0), 'a', true);
        let (mut key, mut first) = (0, 0);
        for s in (0..3000).step_by(10) {
            while let Some(owner) = pool.next_open(at(s)) {
                pool.on_started(at(s), key, owner, Prospect::Fresh);
                key += 1;
            }
            for it in first..key {
                if it % 7 == 0 {
                    pool.on_opened(at(s), it);
                    pool.on_closed(at(s), it, CloseReason::Finished);
                } else {
                    pool.on_failed(at(s + 10), it, OpenError::TimedOut);
                }
            }
            first = key;
        }
        assert_eq!(pool.status(at(3000)).mood, Mood::Free);
        assert!(key > 10_000, "{key}");
        assert_eq!(pool.next_change(), None);
    }

    #[test]
    fn when_our_own_host_has_no_room_the_pool_shrinks_at_once_and_says_so() {
        let mut pool: Connections<u32, char> =
            Connections::new(at(0), PoolConfig { links_max: 200, ..PoolConfig::default() });
        pool.on_wants(at(0), 'a', true);
        let mut key = 0;
        open_all(&mut pool, at(0), &mut key);
        pool.on_closed(at(0), 1, CloseReason::Ours);
        pool.on_timeout(at(121));
        assert_eq!(pool.next_open(at(121)), Some('a'));
        pool.on_started(at(121), 9999, 'a', Prospect::Fresh);
        pool.on_failed(at(121), 9999, OpenError::NoRoom);
        let change = pool.next_change().expect("it is told");
        assert_eq!(change.mood, Mood::Bounded(Sign::NoRoom));
        assert!(change.to < key as usize && pool.next_open(at(121)).is_none(), "{change:?}");
        assert_eq!(pool.next_surplus(at(121)), Some('a'));
        pool.on_timeout(at(10_000));
        (1..60).for_each(|key| pool.on_closed(at(10_000), key, CloseReason::Ours));
        assert!(pool.next_open(at(10_200)).is_some(), "there is room again");
    }

    #[test]
    fn strangers_count_and_get_their_owner_later() {
        let mut pool: Connections<u32, char> = Connections::new(at(0), PoolConfig::default());
        for key in 0..500 {
            assert!(pool.may_accept());
            pool.on_accepted(at(0), key);
            pool.on_owner(at(0), key, 'a');
        }
        pool.on_wants(at(0), 'b', true);
        assert_eq!(pool.next_open(at(0)), Some('b'), "strangers don't shut us in");
        assert_eq!(pool.status(at(0)).open, 500);
    }
}
