//! The book itself: what state each address is in, and the order of those that may be tried.

use super::BookConfig;
use super::address::{Added, AddressRefusal, Compact, Found, Source, Sources, compact_ip};
use super::priority::priority;
use crate::base::{Instant, Rng};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Our own addresses as others see them, for BEP 40. Where one is unknown, all its priorities are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Over IPv4.
    pub v4: Option<SocketAddr>,
    /// Over IPv6.
    pub v6: Option<SocketAddr>,
}

/// Why an IP is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanReason {
    /// It sent data that fails its digest.
    BadData,
    /// It broke the protocol.
    Protocol,
    /// The user said so.
    User,
}

/// What became of the last try at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// There was none.
    Never,
    /// It led to a peer.
    Worked,
    /// It failed.
    Failed,
}

/// The addresses of one swarm. An empty one costs a pointer.
#[derive(Debug, Default)]
pub struct Book {
    inner: Option<Box<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<Compact, Entry>,
    /// Who may be tried, best first; seeds apart, since a seed skips them.
    leeches: BTreeSet<Rank>,
    seeds: BTreeSet<Rank>,
    /// Who may be tried again, when.
    waiting: BTreeSet<(Instant, Compact)>,
    banned: BTreeMap<[u8; 16], BanReason>,
    refused: [u64; AddressRefusal::COUNT],
    found: Found,
}

/// Fewest failures first, then who the user gave, then the highest priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    failures: u8,
    not_by_user: bool,
    reversed_priority: u32,
    addr: Compact,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: State,
    priority: u32,
    sources: Sources,
    failures: u8,
    worked: bool,
    upload_only: bool,
    /// An encrypted call failed: the next one is plain.
    plain: bool,
    utp: bool,
    /// It was tried again soon after links that crossed, and no other has ended since.
    crossed: bool,
    /// The user closed the last connection with it: nothing but time ends its pause.
    dismissed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Candidate,
    Waiting(Instant),
    Connecting,
    Connected,
    Ourselves,
}

impl Book {
    /// Someone told us of an address. Refusals are counted by reason.
    pub fn on_address(
        &mut self,
        addr: SocketAddr,
        source: Source,
        own: &Own,
        config: &BookConfig,
    ) -> Result<Added, AddressRefusal> {
        let inner = self.inner.get_or_insert_default();
        let compact = Compact::new(addr);
        let said_before = inner.known.get(&compact).is_some_and(|entry| entry.sources.has(source));
        let done = if config.forbids(addr.ip()) {
            Err(AddressRefusal::Filtered)
        } else {
            inner.add(compact, source, own, config)
        };
        match done {
            Ok(_) if said_before => {}
            Ok(_) => inner.found.count(source),
            Err(refusal) => inner.refused[refusal as usize] += 1,
        }
        done
    }

    /// Whom to try next, best first; `seeding`: not who is known to want nothing of a seed. Say `on_connecting` when
    /// you do; until then the answer stays the same.
    pub fn next_candidate(&mut self, now: Instant, seeding: bool) -> Option<SocketAddr> {
        self.on_timeout(now);
        let inner = self.inner.as_ref()?;
        let seed = inner.seeds.first().filter(|_| !seeding);
        let best = match (inner.leeches.first(), seed) {
            (Some(leech), Some(seed)) => leech.min(seed),
            (one, other) => one.or(other)?,
        };
        Some(best.addr.get())
    }

    /// Ends the pauses that are over: who paused may be tried again.
    pub fn on_timeout(&mut self, now: Instant) {
        let Some(inner) = &mut self.inner else { return };
        while let Some(&(_, addr)) = inner.waiting.first().filter(|(at, _)| *at <= now) {
            inner.change(addr, |entry| entry.state = State::Candidate);
        }
    }

    /// More is wanted than before: a seed that paused only because there was nothing to fetch may be tried at once.
    pub fn on_wants(&mut self) {
        self.wake(|entry| entry.upload_only);
    }

    /// We go on after a rest of our own, in which all links were closed: it says nothing of who was there.
    pub fn on_resume(&mut self) {
        self.wake(|_| true);
    }

    /// Ends the pauses of those whose connection had worked.
    fn wake(&mut self, whose: impl Fn(&Entry) -> bool) {
        let Some(inner) = &mut self.inner else { return };
        let may = |entry: &Entry| whose(entry) && entry.worked && entry.failures == 0 && !entry.dismissed;
        let waits = |addr: &Compact| inner.known.get(addr).is_some_and(&may);
        let woken: alloc::vec::Vec<Compact> =
            inner.waiting.iter().map(|&(_, addr)| addr).filter(waits).collect();
        for addr in woken {
            inner.change(addr, |entry| entry.state = State::Candidate);
        }
    }

    /// When the earliest pause ends; `None` if nobody waits.
    pub fn deadline(&self) -> Option<Instant> {
        self.inner.as_ref()?.waiting.first().map(|&(at, _)| at)
    }

    /// What became of the last try at `addr`.
    pub fn tried(&self, addr: SocketAddr) -> Tried {
        let entry = self.inner.as_ref().and_then(|inner| inner.known.get(&Compact::new(addr)));
        match entry {
            Some(entry) if entry.failures > 0 => Tried::Failed,
            Some(entry) if entry.worked => Tried::Worked,
            Some(_) | None => Tried::Never,
        }
    }

    /// We are connecting to `addr`.
    pub fn on_connecting(&mut self, addr: SocketAddr) {
        if !self.is_ourselves(addr) {
            self.change(addr, |entry| entry.state = State::Connecting);
        }
    }

    /// `addr` wasn't called after all, for nothing that has to do with it: it may be tried again after a pause that grows
    /// with nothing.
    pub fn on_uncalled(&mut self, now: Instant, addr: SocketAddr, config: &BookConfig) {
        if self.entry(addr).is_some_and(|entry| entry.state == State::Connecting) {
            let pause = Duration::from_millis(config.back_off_ms);
            self.change(addr, |entry| entry.state = State::Waiting(now + pause));
        }
    }

    /// Whether `addr` was found to be ourselves.
    pub fn is_ourselves(&self, addr: SocketAddr) -> bool {
        self.entry(addr).is_some_and(|entry| entry.state == State::Ourselves)
    }

    /// The handshake with `addr` is done, whoever connected. Its failures are forgotten.
    pub fn on_connected(&mut self, addr: SocketAddr) {
        self.change(addr, |entry| {
            (entry.state, entry.failures, entry.worked) = (State::Connected, 0, true);
            entry.dismissed = false;
        });
    }

    /// The peer at `addr` answered with our own peer id: it is ourselves, and is never tried again.
    pub fn on_ourselves(&mut self, addr: SocketAddr) {
        self.change(addr, |entry| entry.state = State::Ourselves);
    }

    /// The peer at `addr` says that it downloads nothing, or that it does (BEP 21, bitfields).
    pub fn on_upload_only(&mut self, addr: SocketAddr, upload_only: bool) {
        self.change(addr, |entry| entry.upload_only = upload_only);
    }

    /// An encrypted call to `addr` came to nothing though it was taken: it may be tried again at once, plain.
    pub fn on_not_encrypted(&mut self, addr: SocketAddr) {
        self.change(addr, |entry| (entry.state, entry.plain) = (State::Candidate, true));
    }

    /// The peer at `addr` says that it takes encrypted links.
    pub fn on_encrypts(&mut self, addr: SocketAddr) {
        self.change(addr, |entry| entry.plain = false);
    }

    /// Whether `addr` is to be called plain.
    pub fn is_plain(&self, addr: SocketAddr) -> bool {
        self.entry(addr).is_some_and(|entry| entry.plain)
    }

    /// The peer at `addr` speaks uTP, or doesn't (BEP 29; BEP 11 tells of it too).
    pub fn on_utp(&mut self, addr: SocketAddr, utp: bool) {
        self.change(addr, |entry| entry.utp = utp);
    }

    /// Whether the peer at `addr` is known to speak uTP.
    pub fn speaks_utp(&self, addr: SocketAddr) -> bool {
        self.entry(addr).is_some_and(|entry| entry.utp)
    }

    fn entry(&self, addr: SocketAddr) -> Option<&Entry> {
        self.inner.as_ref()?.known.get(&Compact::new(addr))
    }

    /// A try at `addr` failed: it pauses, twice as long each time, with jitter.
    pub fn on_failed(&mut self, now: Instant, addr: SocketAddr, config: &BookConfig, rng: &mut Rng) {
        let Some(inner) = &mut self.inner else { return };
        let addr = Compact::new(addr);
        let Some(entry) = inner.known.get(&addr).filter(|entry| entry.state != State::Ourselves) else {
            return;
        };
        let failures = entry.failures.saturating_add(1);
        if failures > config.failures_max && !entry.sources.has(Source::User) {
            inner.remove(addr);
            return;
        }
        let doubled = config.back_off_ms.saturating_mul(1 << u32::from(failures - 1).min(20));
        let pause = jittered(doubled.min(config.back_off_max_ms), rng);
        let state = State::Waiting(now + pause);
        // Who is there the next time may be another one.
        inner.change(addr, |entry| (entry.state, entry.failures, entry.plain) = (state, failures, false));
    }

    /// A connection with `addr` that had worked is closed: it may be tried again after a pause.
    pub fn on_closed(&mut self, now: Instant, addr: SocketAddr, config: &BookConfig, rng: &mut Rng) {
        let state = State::Waiting(now + jittered(config.reconnect_ms, rng));
        self.change(addr, |entry| (entry.state, entry.crossed) = (state, false));
    }

    /// The user closed the connection with `addr`: it may be tried again after the longest pause, or when the user gives it
    /// again.
    pub fn on_dismissed(&mut self, now: Instant, addr: SocketAddr, config: &BookConfig) {
        let state = State::Waiting(now + Duration::from_millis(config.back_off_max_ms));
        self.change(addr, |entry| (entry.state, entry.crossed, entry.dismissed) = (state, false, true));
    }

    /// The peer at `addr` and we called each other at one moment, and it closed both links: it may be tried again soon, but
    /// only once in a row.
    pub fn on_crossed(&mut self, now: Instant, addr: SocketAddr, config: &BookConfig, rng: &mut Rng) {
        if self.entry(addr).is_none_or(|entry| entry.crossed) {
            return self.on_closed(now, addr, config, rng);
        }
        let state = State::Waiting(now + jittered(config.reconnect_ms.min(CROSSED_MS), rng));
        self.change(addr, |entry| (entry.state, entry.crossed) = (state, true));
    }

    /// From now on nobody at `ip` is tried, and `ban_of` names why.
    pub fn ban(&mut self, ip: IpAddr, reason: BanReason, config: &BookConfig) {
        let inner = self.inner.get_or_insert_default();
        let ip = compact_ip(ip);
        if inner.banned.len() >= config.bans_max && !inner.banned.contains_key(&ip) {
            inner.banned.pop_first();
        }
        inner.banned.insert(ip, reason);
        let gone: alloc::vec::Vec<Compact> =
            inner.known.keys().filter(|addr| addr.ip() == ip).copied().collect();
        gone.into_iter().for_each(|addr| inner.remove(addr));
    }

    /// An address is forgotten, whoever told of it. Links to it are the caller's to close.
    pub fn forget(&mut self, addr: SocketAddr) {
        if let Some(inner) = &mut self.inner {
            inner.remove(Compact::new(addr));
        }
    }

    /// Who told of an address; nobody if it isn't known.
    pub fn sources(&self, addr: SocketAddr) -> Sources {
        let entry = self.inner.as_ref().and_then(|inner| inner.known.get(&Compact::new(addr)));
        entry.map_or_else(Sources::default, |entry| entry.sources)
    }

    /// The filter was replaced: who is forbidden now is forgotten, and counted as refused.
    pub fn on_filter(&mut self, config: &BookConfig) {
        let Some(inner) = &mut self.inner else { return };
        let forbidden = |addr: &&Compact| config.forbids(addr.get().ip());
        let gone: alloc::vec::Vec<Compact> = inner.known.keys().filter(forbidden).copied().collect();
        inner.refused[AddressRefusal::Filtered as usize] += gone.len() as u64;
        gone.into_iter().for_each(|addr| inner.remove(addr));
    }

    /// Takes a ban back.
    pub fn unban(&mut self, ip: IpAddr) {
        if let Some(inner) = &mut self.inner {
            inner.banned.remove(&compact_ip(ip));
        }
    }

    /// Why `ip` is banned, if it is: also for those who connect to us.
    pub fn ban_of(&self, ip: IpAddr) -> Option<BanReason> {
        self.inner.as_ref()?.banned.get(&compact_ip(ip)).copied()
    }

    /// Others see us under new addresses: all priorities change.
    pub fn on_own(&mut self, own: &Own) {
        let Some(inner) = &mut self.inner else { return };
        let all: alloc::vec::Vec<Compact> = inner.known.keys().copied().collect();
        for addr in all {
            inner.change(addr, |entry| entry.priority = priority_of(addr, own));
        }
    }

    /// All addresses but our own, with their sources: for peer exchange and resume data.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, Sources)> {
        let known = self.inner.iter().flat_map(|inner| inner.known.iter());
        known.filter(|(_, e)| e.state != State::Ourselves).map(|(addr, entry)| (addr.get(), entry.sources))
    }

    /// How many addresses are known.
    pub fn len(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| inner.known.len())
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many could be tried now: the length of the queue behind [`Book::next_candidate`].
    pub fn candidates(&self, seeding: bool) -> usize {
        let inner = self.inner.as_ref();
        inner.map_or(0, |i| i.leeches.len() + if seeding { 0 } else { i.seeds.len() })
    }

    /// How many addresses were refused for this reason.
    pub fn refused(&self, reason: AddressRefusal) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.refused[reason as usize])
    }

    /// How many addresses each source told.
    pub fn found(&self) -> Found {
        self.inner.as_ref().map_or_else(Found::default, |inner| inner.found)
    }

    fn change(&mut self, addr: SocketAddr, change: impl FnOnce(&mut Entry)) {
        if let Some(inner) = &mut self.inner {
            inner.change(Compact::new(addr), change);
        }
    }
}

impl Inner {
    fn add(
        &mut self,
        addr: Compact,
        source: Source,
        own: &Own,
        config: &BookConfig,
    ) -> Result<Added, AddressRefusal> {
        addr.check(source)?;
        if self.banned.contains_key(&addr.ip()) {
            return Err(AddressRefusal::Banned);
        }
        if let Some(entry) = self.known.get(&addr) {
            if entry.state == State::Ourselves {
                return Err(AddressRefusal::Ourselves);
            }
            self.change(addr, |entry| {
                entry.sources.add(source);
                if entry.dismissed && source == Source::User && matches!(entry.state, State::Waiting(_)) {
                    (entry.state, entry.dismissed) = (State::Candidate, false);
                }
            });
            return Ok(Added::Known);
        }
        let mut sources = Sources::default();
        sources.add(source);
        let priority = priority_of(addr, own);
        let entry = Entry {
            state: State::Candidate,
            priority,
            sources,
            failures: 0,
            worked: false,
            upload_only: false,
            plain: false,
            utp: false,
            crossed: false,
            dismissed: false,
        };
        if self.known.len() >= config.addresses_max && !self.make_room(entry.rank(addr)) {
            return Err(AddressRefusal::Full);
        }
        self.known.insert(addr, entry);
        self.leeches.insert(entry.rank(addr));
        Ok(Added::New)
    }

    /// Drops the worst address, if it is worse than the new one: who waits after failures, then the worst candidate.
    fn make_room(&mut self, new: Rank) -> bool {
        let failed = |addr: &Compact| {
            self.known.get(addr).is_some_and(|e| e.failures > 0 && !e.sources.has(Source::User))
        };
        let waits = self.waiting.last().map(|&(_, addr)| addr).filter(failed);
        let last = self.leeches.last().max(self.seeds.last()).filter(|last| **last > new && last.not_by_user);
        match waits.or(last.map(|rank| rank.addr)) {
            Some(addr) => {
                self.remove(addr);
                true
            }
            None => false,
        }
    }

    fn remove(&mut self, addr: Compact) {
        self.change(addr, |entry| entry.state = State::Connecting);
        self.known.remove(&addr);
    }

    /// The one place where an entry changes, so that each index follows.
    fn change(&mut self, addr: Compact, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.known.get_mut(&addr) else { return };
        let before = *entry;
        change(entry);
        let after = *entry;
        match before.state {
            State::Candidate => {
                let _ = self.candidates(before.upload_only).remove(&before.rank(addr));
            }
            State::Waiting(at) => {
                let _ = self.waiting.remove(&(at, addr));
            }
            State::Connecting | State::Connected | State::Ourselves => {}
        }
        match after.state {
            State::Candidate => {
                let _ = self.candidates(after.upload_only).insert(after.rank(addr));
            }
            State::Waiting(at) => {
                let _ = self.waiting.insert((at, addr));
            }
            State::Connecting | State::Connected | State::Ourselves => {}
        }
    }

    fn candidates(&mut self, upload_only: bool) -> &mut BTreeSet<Rank> {
        if upload_only { &mut self.seeds } else { &mut self.leeches }
    }
}

impl Entry {
    fn rank(&self, addr: Compact) -> Rank {
        Rank {
            failures: self.failures,
            not_by_user: !self.sources.has(Source::User),
            reversed_priority: !self.priority,
            addr,
        }
    }
}

fn priority_of(addr: Compact, own: &Own) -> u32 {
    let addr = addr.get();
    let ours = if addr.is_ipv4() { own.v4 } else { own.v6 };
    ours.map_or(0, |ours| priority(ours, addr))
}

/// The pause after links that crossed, milliseconds: long enough for both ends to be rid of them.
const CROSSED_MS: u64 = 1_000;

/// A pause of three quarters to five quarters of `ms`, so that those who failed together don't try again together.
fn jittered(ms: u64, rng: &mut Rng) -> Duration {
    Duration::from_millis(ms - ms / 4 + rng.below(ms / 2 + 1))
}

#[cfg(test)]
mod tests;
