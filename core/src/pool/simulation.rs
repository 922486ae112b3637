//! A house behind a router, to compare pools in: swarms with dead and living addresses, a downlink that is shared, a
//! browser beside us. What each peer is like follows from its number, so that both pools of a comparison meet the same
//! world. No room but this one is in it.

use super::*;
use crate::base::{Instant, Rng};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use std::println;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// When a lost first packet is sent again.
const RESENT_MS: [u64; 3] = [1_000, 3_000, 7_000];
/// How long the sender takes to find out that the other end hears it no more.
const DEAF: Duration = Duration::from_secs(20);

/// What a full table does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    DropsNew,
    EvictsOldest,
}

/// A place to download at.
#[derive(Clone, Copy, Debug)]
struct Place {
    name: &'static str,
    router: Option<(usize, Full)>,
    /// How long the router keeps the entry of a connection that ended, seconds.
    keeps_s: u64,
    swarms: usize,
    /// Addresses in each swarm, and how many of a hundred are dead.
    addresses: u64,
    dead: u64,
    /// Bytes a second: of the downlink, and of each peer (up to twice of it).
    downlink: u64,
    peer_rate: u64,
    /// Bytes of each torrent.
    bytes: u64,
    /// Milliseconds, least and most.
    latency_ms: (u64, u64),
    /// A full downlink makes opening slower by so much.
    bloat_ms: u64,
    /// First packets lost on the way, of a hundred.
    losses: u64,
    /// How long a connection lasts before the other side ends it or the air breaks it, seconds on average; and how many
    /// of a hundred such ends are breaks.
    life_s: u64,
    breaks: u64,
    /// A peer lets a newcomer wait for so long before it gives, seconds; up to twice of it.
    warm_up_s: u64,
}

const STRONG: Place = Place {
    name: "strong network",
    router: None,
    keeps_s: 120,
    swarms: 1,
    addresses: 600,
    dead: 40,
    downlink: 25_000_000,
    peer_rate: 60_000,
    bytes: 4_000_000_000,
    latency_ms: (20, 250),
    bloat_ms: 0,
    losses: 0,
    life_s: 1_800,
    breaks: 20,
    warm_up_s: 20,
};

/// Without a weak router.
fn fair_places() -> [Place; 8] {
    [
        STRONG,
        Place { name: "lossy Wi-Fi", losses: 8, life_s: 240, breaks: 90, ..STRONG },
        Place { name: "full downlink", downlink: 4_000_000, bytes: 2_000_000_000, ..STRONG },
        Place { name: "85 % dead addresses", dead: 85, addresses: 1_500, ..STRONG },
        Place {
            name: "slow line with a deep queue",
            downlink: 700_000,
            peer_rate: 20_000,
            bytes: 400_000_000,
            bloat_ms: 2_500,
            dead: 70,
            ..STRONG
        },
        Place {
            name: "small swarm on a LAN",
            addresses: 8,
            dead: 0,
            downlink: 110_000_000,
            peer_rate: 20_000_000,
            bytes: 20_000_000_000,
            latency_ms: (1, 2),
            warm_up_s: 1,
            ..STRONG
        },
        Place { name: "many torrents", swarms: 40, addresses: 60, dead: 60, bytes: 150_000_000, ..STRONG },
        Place { name: "sources that get worse", dead: 101, addresses: 1_500, ..STRONG },
    ]
}

impl Place {
    fn evicts(&self) -> bool {
        self.router.is_some_and(|(_, full)| full == Full::EvictsOldest)
    }
}

/// Behind a table of 200 entries; and of a hundred parts of the time that fixed bounds take, how many the adaptive pool
/// may take. A full table that drops new ones serves who knocks most: fixed bounds have nearly all of it, and it is as
/// good as level if the house gets more and the download takes no longer.
fn weak_places() -> [(Place, u32); 4] {
    let dropping = Some((200, Full::DropsNew));
    let evicting = Some((200, Full::EvictsOldest));
    let large = Place { bytes: 8_000_000_000, ..STRONG };
    let stale = Place { dead: 85, addresses: 1_500, ..STRONG };
    [
        (Place { name: "200 entries, evicts", router: evicting, ..large }, 96),
        (Place { name: "200 entries, evicts, 85 % dead", router: evicting, ..stale }, 50),
        (Place { name: "200 entries, drops new", router: dropping, life_s: 400, ..large }, 102),
        (
            Place {
                name: "200 entries, drops new, 85 % dead",
                router: dropping,
                life_s: 400,
                bytes: 8_000_000_000,
                ..stale
            },
            100,
        ),
    ]
}

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
            outcome: Outcome::default(),
        };
        for swarm in 0..place.swarms {
            house.plan(Duration::from_millis(swarm as u64), What::Announce(swarm, 0));
            house.plan(Duration::from_secs(10), What::Gossip(swarm));
        }
        house.plan(Duration::from_secs(30), What::Page);
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
            self.pool.on_bytes(until, 0, wanted.min(self.place.downlink) * us / 1_000_000);
            self.now = until;
            if self.swarms.iter().all(|swarm| swarm.left == 0) {
                return;
            }
        }
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
            What::Pool => self.pool.on_timeout(self.now),
        }
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

/// Seeds of one comparison.
const SEEDS: [u64; 7] = [11, 23, 47, 5, 61, 83, 97];

fn fixed() -> PoolConfig {
    PoolConfig { adaptive: false, ..PoolConfig::default() }
}

/// All seeds together: the median of the time, and the sums of the rest.
fn measure(place: Place, config: &PoolConfig) -> (Duration, Outcome) {
    let mut sum = Outcome::default();
    let mut times = Vec::new();
    for seed in SEEDS {
        let it = House::new(place, seed, config.clone()).run();
        times.push(it.done.saturating_since(Instant::from_micros(1_000_000)));
        sum.attempts += it.attempts;
        sum.failed += it.failed;
        sum.broken += it.broken;
        sum.pages += it.pages;
        sum.pages_failed += it.pages_failed;
        sum.trials += it.trials;
    }
    times.sort_unstable();
    (times[SEEDS.len() / 2], sum)
}

fn row(place: Place) -> (String, [(Duration, Outcome); 2]) {
    let both = [measure(place, &fixed()), measure(place, &PoolConfig::default())];
    let [(before, a), (after, b)] = both;
    let row = std::format!(
        "| {} | {:.0} | {:.0} | {:+.1} | {} / {} | {} / {} | {} / {} | {} / {} | {} |",
        place.name,
        before.as_secs_f64(),
        after.as_secs_f64(),
        (after.as_secs_f64() / before.as_secs_f64() - 1.0) * 100.0,
        a.attempts,
        b.attempts,
        a.failed,
        b.failed,
        a.broken,
        b.broken,
        a.pages_failed * 100 / a.pages.max(1),
        b.pages_failed * 100 / b.pages.max(1),
        b.trials,
    );
    (row, both)
}

const HEAD: &str = "| place | fixed, s | adaptive, s | % | attempts | living ones failed | broken | pages failed, % | trials |";

#[test]
fn without_a_weak_router_it_costs_at_most_2_percent() {
    println!("{HEAD}");
    for place in fair_places() {
        let (row, [(fixed, _), (adaptive, _)]) = row(place);
        println!("{row}");
        assert!(adaptive * 100 <= fixed * 102, "{}: {fixed:?}, {adaptive:?}", place.name);
    }
}

#[test]
fn behind_a_table_of_200_entries_that_evicts_downloads_end_sooner_and_links_live() {
    println!("{HEAD}");
    for (place, percent) in weak_places().into_iter().filter(|(place, _)| place.evicts()) {
        let (row, [(fixed, before), (adaptive, after)]) = row(place);
        println!("{row}");
        assert!(adaptive * 100 <= fixed * percent, "{}: {fixed:?}, {adaptive:?}", place.name);
        assert!(after.broken * 5 <= before.broken, "{}: {before:?}, {after:?}", place.name);
    }
}

#[test]
fn behind_a_table_of_200_entries_that_drops_new_ones_it_takes_no_longer_and_the_house_breathes() {
    println!("{HEAD}");
    for (place, percent) in weak_places().into_iter().filter(|(place, _)| !place.evicts()) {
        let (row, [(fixed, before), (adaptive, after)]) = row(place);
        println!("{row}");
        assert!(adaptive * 100 <= fixed * percent, "{}: {fixed:?}, {adaptive:?}", place.name);
        assert!(after.failed * 3 <= before.failed * 2, "{}: {before:?}, {after:?}", place.name);
        assert!(after.pages_failed < before.pages_failed, "{}: {before:?}, {after:?}", place.name);
    }
}
