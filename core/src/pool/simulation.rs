//! A house behind a router, to compare pools in: swarms with dead and living addresses, a downlink that is shared, a
//! browser beside us. What each peer is like follows from its number, so that both pools of a comparison meet the same
//! world. No room but this one is in it.

mod places;
mod table;

use super::*;
use crate::base::{Instant, Rng};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;
use places::{Full, Place};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// When a lost first packet is sent again.
const RESENT_MS: [u64; 3] = [1_000, 3_000, 7_000];
/// How long the sender takes to find out that the other end hears it no more.
const DEAF: Duration = Duration::from_secs(20);

type Key = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A first packet reaches the router: the `n`th of an attempt.
    Knock(Key, usize),
    Answer(Key),
    /// It begins to give.
    Warm(Key),
    TimeOut(Key),
    /// The other side ends it, or the air breaks it.
    End(Key, bool),
    /// We notice that nobody hears us.
    Deaf(Key),
    Retry(usize, u64),
    Announce(usize, u32),
    Gossip(usize),
    Page,
    PageEnds(u64),
    Tell,
    Pool,
}

/// A connection of ours, or one of the browser's if it has no peer.
#[derive(Clone, Copy, Debug)]
struct Try {
    swarm: usize,
    peer: u64,
    open: bool,
    /// It holds an entry, or needs none.
    through: bool,
    gives: bool,
    done: bool,
}

#[derive(Debug, Default)]
struct Swarm {
    /// Fewest failures first; then by chance.
    candidates: BTreeSet<(u8, u64, u64)>,
    failures: BTreeMap<u64, u8>,
    busy: BTreeSet<u64>,
    proven: BTreeSet<u64>,
    left: u64,
    told: u64,
}

/// The table: who holds an entry, in the order of their making, and whose end when.
#[derive(Debug, Default)]
struct Router {
    order: VecDeque<u64>,
    held: BTreeMap<u64, Option<Instant>>,
}

struct House {
    place: Place,
    seed: u64,
    now: Instant,
    pool: Connections<Key, usize>,
    agenda: BTreeSet<(Instant, u64, What)>,
    n: u64,
    swarms: Vec<Swarm>,
    tries: BTreeMap<Key, Try>,
    next_key: Key,
    router: Router,
    rng: Rng,
    /// Bytes a second of what is open and through, by swarm.
    rates: Vec<u64>,
    /// What the pool wasn't told yet: how long at its own rate each connection of a swarm carried, microseconds.
    carried_us: Vec<u64>,
    outcome: Outcome,
}

/// How it went.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    done: Instant,
    attempts: u64,
    /// Attempts at living addresses that failed.
    failed: u64,
    /// Connections that broke because their entry was thrown out.
    broken: u64,
    /// Connections that were open at once, at most.
    open_max: usize,
    pages: u64,
    pages_failed: u64,
    trials: u64,
}

/// A number that follows from the world alone.
fn fate(seed: u64, swarm: usize, peer: u64, what: u64) -> u64 {
    let mut x = seed ^ (swarm as u64) << 48 ^ peer << 16 ^ what << 60;
    for _ in 0..3 {
        x = (x ^ x >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc);
    }
    x ^ x >> 29
}

impl House {
    fn new(place: Place, seed: u64, config: PoolConfig) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut house = Self {
            place,
            seed,
            now,
            pool: Connections::new(now, config),
            agenda: BTreeSet::new(),
            n: 0,
            swarms: (0..place.swarms).map(|_| Swarm { left: place.bytes, ..Swarm::default() }).collect(),
            tries: BTreeMap::new(),
            next_key: 0,
            router: Router::default(),
            rng: Rng::new([seed as u8; 32]),
            rates: alloc::vec![0; place.swarms],
            carried_us: alloc::vec![0; place.swarms],
            outcome: Outcome::default(),
        };
        for swarm in 0..place.swarms {
            house.plan(Duration::from_millis(swarm as u64), What::Announce(swarm, 0));
            house.plan(Duration::from_secs(10), What::Gossip(swarm));
        }
        house.plan(Duration::from_secs(30), What::Page);
        house.plan(Duration::from_secs(1), What::Tell);
        house
    }

    fn plan(&mut self, after: Duration, what: What) {
        self.n += 1;
        self.agenda.insert((self.now + after, self.n, what));
    }

    fn run(mut self) -> Outcome {
        while self.swarms.iter().any(|swarm| swarm.left > 0) {
            self.dial();
            if let Some(at) = self.pool.deadline() {
                self.n += 1;
                self.agenda.insert((at.max(self.now), self.n, What::Pool));
            }
            let Some((at, _, what)) = self.agenda.pop_first() else { break };
            self.flow(at);
            if self.swarms.iter().all(|swarm| swarm.left == 0) {
                break;
            }
            if what == What::Pool {
                // One wake-up is enough, and it is planned anew.
                self.agenda.retain(|(_, _, what)| *what != What::Pool);
            }
            self.happen(what);
            assert!(
                self.now < Instant::from_micros(40_000_000_000),
                "{}: it comes to an end",
                self.place.name
            );
        }
        self.outcome.done = self.now;
        self.outcome
    }

    /// Bytes flow until `at`, or until all is there.
    fn flow(&mut self, at: Instant) {
        while self.now < at {
            let wanted: u64 = self.wanted();
            let full = wanted.max(self.place.downlink);
            let mut until = at;
            for (swarm, rate) in self.swarms.iter().zip(&self.rates) {
                let rate = rate * self.place.downlink / full;
                if swarm.left > 0 && rate > 0 {
                    let end = self.now + Duration::from_micros(swarm.left * 1_000_000 / rate + 1);
                    until = until.min(end);
                }
            }
            let us = until.saturating_since(self.now).as_micros() as u64;
            for (swarm, rate) in self.swarms.iter_mut().zip(&self.rates) {
                let rate = rate * self.place.downlink / full;
                swarm.left = swarm.left.saturating_sub(rate * us / 1_000_000);
            }
            for (swarm, carried_us) in self.swarms.iter().zip(&mut self.carried_us) {
                *carried_us += if swarm.left > 0 { us * self.place.downlink / full } else { 0 };
            }
            self.now = until;
            if self.swarms.iter().all(|swarm| swarm.left == 0) {
                return;
            }
        }
    }

    /// Tells the pool what each connection carried, once a second.
    fn tell(&mut self) {
        for (&key, it) in self.tries.iter().filter(|(_, it)| it.gives) {
            let bytes = self.rate_of(it.swarm, it.peer) * self.carried_us[it.swarm] / 1_000_000;
            self.pool.on_received(self.now, key, bytes);
        }
        self.carried_us.fill(0);
        self.plan(Duration::from_secs(1), What::Tell);
    }

    fn wanted(&self) -> u64 {
        self.swarms.iter().zip(&self.rates).filter(|(swarm, _)| swarm.left > 0).map(|(_, rate)| rate).sum()
    }

    fn dial(&mut self) {
        while let Some(swarm) = self.pool.next_open(self.now) {
            let it = &mut self.swarms[swarm];
            let Some(&(failures, order, peer)) =
                it.candidates.first().filter(|_| it.busy.len() < 200 && it.left > 0)
            else {
                self.pool.on_wants(self.now, swarm, false);
                continue;
            };
            it.candidates.remove(&(failures, order, peer));
            it.busy.insert(peer);
            let key = self.next_key;
            self.next_key += 1;
            let prospect = match failures {
                0 if it.proven.contains(&peer) => Prospect::Proven,
                0 => Prospect::Fresh,
                _ => Prospect::Failed,
            };
            self.pool.on_started(self.now, key, swarm, prospect);
            self.tries
                .insert(key, Try { swarm, peer, open: false, through: false, gives: false, done: false });
            self.outcome.attempts += 1;
            self.plan(Duration::ZERO, What::Knock(key, 0));
            self.plan(CONNECT_TIMEOUT, What::TimeOut(key));
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Knock(key, n) => self.knock(key, n),
            What::Answer(key) => self.on_answer(key),
            What::Warm(key) => self.on_warm(key),
            What::TimeOut(key) => self.on_time_out(key),
            What::End(key, breaks) => {
                self.close(key, if breaks { CloseReason::Lost } else { CloseReason::Finished });
            }
            What::Deaf(key) => self.close(key, CloseReason::Lost),
            What::Retry(swarm, peer) => self.offer(swarm, peer),
            What::Announce(swarm, failures) => self.announce(swarm, failures),
            What::Gossip(swarm) => self.gossip(swarm),
            What::Page => {
                for n in 0..6 {
                    self.outcome.pages += 1;
                    let entry = self.browser_key();
                    if self.enter(entry) {
                        self.plan(Duration::from_secs(5 + n), What::PageEnds(entry));
                    } else {
                        self.outcome.pages_failed += 1;
                    }
                }
                self.plan(Duration::from_secs(20), What::Page);
            }
            What::PageEnds(entry) => self.leave(entry),
            What::Tell => self.tell(),
            What::Pool => self.pool.on_timeout(self.now),
        }
        self.outcome.open_max = self.outcome.open_max.max(self.pool.status(self.now).open);
        while let Some(change) = self.pool.next_change() {
            if let Mood::Trying(_) = change.mood {
                self.outcome.trials += 1;
            }
        }
    }

    fn browser_key(&mut self) -> Key {
        self.next_key += 1;
        1 << 40 | self.next_key
    }

    fn is_dead(&self, swarm: usize, peer: u64) -> bool {
        // More than a hundred: the first third is good, the rest is bad.
        let dead = match self.place.dead {
            101 if peer < self.place.addresses / 3 => 30,
            101 => 95,
            dead => dead,
        };
        fate(self.seed, swarm, peer, 1) % 100 < dead
    }

    fn rate_of(&self, swarm: usize, peer: u64) -> u64 {
        self.place.peer_rate + fate(self.seed, swarm, peer, 2) % self.place.peer_rate
    }

    /// A first packet: it makes an entry, if it finds room, and is answered if it gets there.
    fn knock(&mut self, key: Key, n: usize) {
        let Some(it) = self.tries.get(&key).copied().filter(|it| !it.open && !it.done) else { return };
        let through = it.through || self.enter(key);
        if let Some(it) = self.tries.get_mut(&key) {
            it.through = through;
        }
        let arrives = through && !self.rng.chance(self.place.losses, 100);
        if arrives && !self.is_dead(it.swarm, it.peer) {
            let (least, most) = self.place.latency_ms;
            let mut ms = least + fate(self.seed, it.swarm, it.peer, 3) % (most - least);
            if self.wanted() * 20 > self.place.downlink * 19 {
                ms += self.place.bloat_ms;
            }
            self.plan(Duration::from_millis(ms), What::Answer(key));
        } else if let Some(&ms) = RESENT_MS.get(n) {
            let before = n.checked_sub(1).map_or(0, |n| RESENT_MS[n]);
            self.plan(Duration::from_millis(ms - before), What::Knock(key, n + 1));
        }
    }

    fn on_answer(&mut self, key: Key) {
        let Some(it) = self.tries.get_mut(&key).filter(|it| !it.open && !it.done && it.through) else {
            return;
        };
        it.open = true;
        let it = *it;
        self.pool.on_opened(self.now, key);
        self.swarms[it.swarm].failures.remove(&it.peer);
        self.swarms[it.swarm].proven.insert(it.peer);
        let warm_up = self.place.warm_up_s * 1000;
        let ms = warm_up + fate(self.seed, it.swarm, it.peer, 5) % warm_up;
        self.plan(Duration::from_millis(ms), What::Warm(key));
        let life = self.place.life_s * 1000;
        let ms = life / 4 + self.rng.below(life * 3 / 2);
        let breaks = self.rng.chance(self.place.breaks, 100);
        self.plan(Duration::from_millis(ms), What::End(key, breaks));
    }

    fn on_warm(&mut self, key: Key) {
        let Some(it) = self.tries.get_mut(&key).filter(|it| it.open && it.through) else { return };
        it.gives = true;
        let it = *it;
        self.rates[it.swarm] += self.rate_of(it.swarm, it.peer);
    }

    fn on_time_out(&mut self, key: Key) {
        let Some(it) = self.tries.get_mut(&key).filter(|it| !it.open && !it.done) else { return };
        it.done = true;
        let it = *it;
        self.leave(key);
        self.outcome.failed += u64::from(!self.is_dead(it.swarm, it.peer));
        self.pool.on_failed(self.now, key, OpenError::TimedOut);
        let swarm = &mut self.swarms[it.swarm];
        swarm.busy.remove(&it.peer);
        let failures = swarm.failures.entry(it.peer).or_default();
        *failures += 1;
        if *failures <= 6 {
            let pause = 5_000 << (*failures - 1).min(10);
            let jitter = self.rng.below(pause / 4);
            self.plan(Duration::from_millis(pause + jitter), What::Retry(it.swarm, it.peer));
        }
        self.tries.remove(&key);
    }

    fn close(&mut self, key: Key, why: CloseReason) {
        let Some(it) = self.tries.remove(&key) else { return };
        if it.gives {
            self.rates[it.swarm] -= self.rate_of(it.swarm, it.peer);
        }
        self.leave(key);
        self.pool.on_closed(self.now, key, why);
        self.swarms[it.swarm].busy.remove(&it.peer);
        let ms = 15_000 + self.rng.below(4_000);
        self.plan(Duration::from_millis(ms), What::Retry(it.swarm, it.peer));
    }

    fn offer(&mut self, swarm: usize, peer: u64) {
        let order = fate(self.seed, swarm, peer, 4);
        let it = &mut self.swarms[swarm];
        let failures = it.failures.get(&peer).copied().unwrap_or(0);
        it.candidates.insert((failures, order, peer));
        if it.left > 0 {
            self.pool.on_wants(self.now, swarm, true);
        }
    }

    /// Asks the tracker, through the router like everybody.
    fn announce(&mut self, swarm: usize, failures: u32) {
        let entry = self.browser_key();
        if self.swarms[swarm].left == 0 {
            return;
        }
        if !self.enter(entry) {
            let pause = 15 << failures.min(6);
            return self.plan(Duration::from_secs(pause), What::Announce(swarm, failures + 1));
        }
        self.leave(entry);
        self.learn(swarm, 100);
        self.plan(Duration::from_secs(60), What::Announce(swarm, 0));
    }

    /// Peers tell of peers.
    fn gossip(&mut self, swarm: usize) {
        if self.rates[swarm] > 0 {
            self.learn(swarm, 30);
        }
        self.plan(Duration::from_secs(10), What::Gossip(swarm));
    }

    fn learn(&mut self, swarm: usize, many: u64) {
        let told = self.swarms[swarm].told;
        let end = (told + many).min(self.place.addresses);
        (told..end).for_each(|peer| self.offer(swarm, peer));
        self.swarms[swarm].told = end;
    }

    /// A new entry in the table; `false` if there is no room.
    fn enter(&mut self, key: u64) -> bool {
        let Some((max, full)) = self.place.router else { return true };
        let now = self.now;
        self.router.order.retain(|key| {
            let gone = self.router.held.get(key).is_none_or(|end| end.is_some_and(|end| end <= now));
            if gone {
                self.router.held.remove(key);
            }
            !gone
        });
        if self.router.order.len() >= max {
            match full {
                Full::DropsNew => return false,
                Full::EvictsOldest => self.evict(),
            }
        }
        self.router.order.push_back(key);
        self.router.held.insert(key, None);
        true
    }

    fn evict(&mut self) {
        let Some(key) = self.router.order.pop_front() else { return };
        self.router.held.remove(&key);
        let Some(it) = self.tries.get_mut(&key).filter(|it| it.through) else { return };
        it.through = false;
        if it.open && !it.done {
            let (it, gave) = (*it, core::mem::take(&mut it.gives));
            if gave {
                self.rates[it.swarm] -= self.rate_of(it.swarm, it.peer);
            }
            self.outcome.broken += 1;
            self.plan(DEAF, What::Deaf(key));
        }
    }

    fn leave(&mut self, key: u64) {
        let end = self.now + Duration::from_secs(self.place.keeps_s);
        if let Some(held) = self.router.held.get_mut(&key) {
            *held = Some(end);
        }
    }
}
