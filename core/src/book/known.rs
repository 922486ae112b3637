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
        let may = |entry: &Entry| whose(entry) && entry.worked && entry.failures == 0;
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
        self.change(addr, |entry| entry.state = state);
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
            self.change(addr, |entry| entry.sources.add(source));
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

/// A pause of three quarters to five quarters of `ms`, so that those who failed together don't try again together.
fn jittered(ms: u64, rng: &mut Rng) -> Duration {
    Duration::from_millis(ms - ms / 4 + rng.below(ms / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip_filter::IpFilter;
    use alloc::format;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    const fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn addr(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    fn tell(book: &mut Book, s: &str) -> Result<Added, AddressRefusal> {
        book.on_address(addr(s), Source::Tracker, &Own::default(), &BookConfig::default())
    }

    #[test]
    fn one_peer_has_one_address_whoever_tells_it() {
        let mut book = Book::default();
        assert_eq!(tell(&mut book, "1.2.3.4:5"), Ok(Added::New));
        assert_eq!(tell(&mut book, "[::ffff:1.2.3.4]:5"), Ok(Added::Known));
        let (own, config) = (Own::default(), BookConfig::default());
        book.on_address(addr("1.2.3.4:5"), Source::Pex, &own, &config).unwrap();
        let all: Vec<_> = book.iter().collect();
        assert_eq!((all.len(), all[0].0), (1, addr("1.2.3.4:5")));
        assert!(all[0].1.has(Source::Pex) && all[0].1.has(Source::Tracker) && !all[0].1.has(Source::Dht));
    }

    #[test]
    fn addresses_of_no_single_host_are_refused_and_counted() {
        let mut book = Book::default();
        assert_eq!(tell(&mut book, "1.2.3.4:0"), Err(AddressRefusal::Port));
        for bad in ["0.0.0.0:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", "[::]:1", "[ff02::1]:1"] {
            assert_eq!(tell(&mut book, bad), Err(AddressRefusal::Host), "{bad}");
        }
        assert_eq!((book.refused(AddressRefusal::Host), book.refused(AddressRefusal::Port)), (6, 1));
        assert!(book.is_empty());
    }

    #[test]
    fn who_could_not_be_called_is_tried_again_after_a_pause_that_does_not_grow() {
        let (mut book, config) = (Book::default(), BookConfig::default());
        tell(&mut book, "1.2.3.4:5").unwrap();
        let mut now = at(0);
        for _ in 0..100 {
            let next = book.next_candidate(now, false).expect("it isn't forgotten");
            book.on_connecting(next);
            book.on_uncalled(now, next, &config);
            assert_eq!((book.next_candidate(now, false), book.tried(next)), (None, Tried::Never));
            now += Duration::from_millis(config.back_off_ms);
        }
    }

    #[test]
    fn what_the_filter_forbids_is_refused_and_a_new_filter_forgets_who_was_known() {
        let mut book = Book::default();
        let list = b"10.0.0.0/8\n2001:db8::/32\n";
        let filter = |list| Some(Arc::new(IpFilter::read(list, &Default::default()).unwrap().filter));
        let mut config = BookConfig { ip_filter: filter(&list[..]), ..BookConfig::default() };
        let tell = |book: &mut Book, s, config: &BookConfig| {
            book.on_address(addr(s), Source::User, &Own::default(), config)
        };
        for bad in ["10.1.2.3:4", "[2001:db8::7]:1", "[::ffff:10.0.0.1]:1"] {
            assert_eq!(tell(&mut book, bad, &config), Err(AddressRefusal::Filtered), "{bad}");
        }
        assert_eq!(tell(&mut book, "192.0.2.1:1", &config), Ok(Added::New));
        assert_eq!(tell(&mut book, "192.0.3.1:1", &config), Ok(Added::New));
        config.ip_filter = filter(b"192.0.2.0/24");
        book.on_filter(&config);
        assert_eq!((book.len(), book.refused(AddressRefusal::Filtered)), (1, 4));
        assert_eq!(book.next_candidate(at(0), false), Some(addr("192.0.3.1:1")));
    }

    #[test]
    fn failures_double_the_pause_and_a_stranger_is_forgotten_after_too_many() {
        let (mut book, config, mut rng) = (Book::default(), BookConfig::default(), Rng::new([1; 32]));
        tell(&mut book, "1.2.3.4:5").unwrap();
        let mut now = at(0);
        let mut pauses = Vec::new();
        while let Some(next) = book.next_candidate(now, false) {
            book.on_connecting(next);
            assert_eq!(book.next_candidate(now, false), None);
            book.on_failed(now, next, &config, &mut rng);
            let Some(end) = book.deadline() else { break };
            pauses.push(end.saturating_since(now).as_millis() as u64);
            assert_eq!(book.next_candidate(end - Duration::from_micros(1), false), None);
            now = end;
        }
        assert_eq!((pauses.len(), book.len()), (6, 0));
        for (n, pause) in pauses.iter().enumerate() {
            let nominal = 5_000 << n;
            assert!((nominal * 3 / 4..=nominal * 5 / 4).contains(pause), "{pauses:?}");
        }
    }

    #[test]
    fn what_the_user_gave_is_tried_first_and_for_ever() {
        let (mut book, config, mut rng) = (Book::default(), BookConfig::default(), Rng::new([1; 32]));
        tell(&mut book, "1.2.3.4:5").unwrap();
        let mine = addr("9.9.9.9:9");
        book.on_address(mine, Source::User, &Own::default(), &config).unwrap();
        assert_eq!(book.next_candidate(at(0), false), Some(mine));
        for _ in 0..100 {
            book.on_failed(at(0), mine, &config, &mut rng);
        }
        assert_eq!(book.len(), 2);
    }

    #[test]
    fn bep_0040_the_highest_priority_is_tried_first_and_follows_our_address() {
        let (mut book, config) = (Book::default(), BookConfig::default());
        let own = Own { v4: Some(addr("123.213.32.10:6881")), v6: None };
        for n in 0..50 {
            let theirs = addr(&format!("{}.7.8.9:6881", n + 1));
            book.on_address(theirs, Source::Tracker, &own, &config).unwrap();
        }
        let order = |book: &mut Book| {
            let next = book.next_candidate(at(0), false)?;
            book.on_connecting(next);
            Some(next)
        };
        let first = order(&mut book).unwrap();
        let best = book.iter().map(|(a, _)| priority(own.v4.unwrap(), a)).max().unwrap();
        assert_eq!(priority(own.v4.unwrap(), first), best);
        let own = Own { v4: Some(addr("8.8.8.8:6881")), v6: None };
        book.on_own(&own);
        let drawn: Vec<u32> =
            core::iter::from_fn(|| order(&mut book)).map(|a| priority(own.v4.unwrap(), a)).collect();
        assert!(drawn.len() == 49 && drawn.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn a_seed_does_not_try_seeds() {
        let mut book = Book::default();
        tell(&mut book, "1.2.3.4:5").unwrap();
        book.on_upload_only(addr("1.2.3.4:5"), true);
        assert_eq!((book.next_candidate(at(0), true), book.candidates(true)), (None, 0));
        assert_eq!(book.next_candidate(at(0), false), Some(addr("1.2.3.4:5")));
    }

    #[test]
    fn we_never_try_ourselves_twice() {
        let mut book = Book::default();
        tell(&mut book, "1.2.3.4:5").unwrap();
        book.on_connecting(addr("1.2.3.4:5"));
        book.on_ourselves(addr("1.2.3.4:5"));
        book.on_connecting(addr("1.2.3.4:5")); // somebody in the middle says that it calls us
        assert_eq!(tell(&mut book, "1.2.3.4:5"), Err(AddressRefusal::Ourselves));
        assert_eq!((book.next_candidate(at(u64::MAX / 1000), false), book.iter().count()), (None, 0));
    }

    #[test]
    fn bep_0014_a_ban_holds_on_every_link() {
        let (mut book, config) = (Book::default(), BookConfig::default());
        let own = Own::default();
        let on = |link: u32| addr(&std::format!("[fe80::1%{link}]:5"));
        assert_eq!(book.on_address(on(3), Source::Lsd, &own, &config), Ok(Added::New));
        book.ban(on(3).ip(), BanReason::BadData, &config);
        assert!(book.is_empty());
        let again = book.on_address(on(4), Source::Lsd, &own, &config);
        assert_eq!(again, Err(AddressRefusal::Banned));
    }

    #[test]
    fn a_ban_holds_for_every_port_and_says_why() {
        let (mut book, config) = (Book::default(), BookConfig::default());
        for s in ["1.2.3.4:5", "1.2.3.4:6", "1.2.3.5:5"] {
            tell(&mut book, s).unwrap();
        }
        book.ban("::ffff:1.2.3.4".parse().unwrap(), BanReason::BadData, &config);
        assert_eq!((book.len(), book.next_candidate(at(0), false)), (1, Some(addr("1.2.3.5:5"))));
        assert_eq!(tell(&mut book, "1.2.3.4:7"), Err(AddressRefusal::Banned));
        assert_eq!(book.ban_of("1.2.3.4".parse().unwrap()), Some(BanReason::BadData));
        book.unban("1.2.3.4".parse().unwrap());
        assert_eq!(tell(&mut book, "1.2.3.4:7"), Ok(Added::New));
    }

    #[test]
    fn a_flood_of_addresses_stays_within_its_bound_and_the_worst_go() {
        let config = BookConfig { addresses_max: 10, ..BookConfig::default() };
        let own = Own { v4: Some(addr("123.213.32.10:6881")), v6: None };
        let (mut book, mut rng) = (Book::default(), Rng::new([1; 32]));
        let mine = addr("9.9.9.9:9");
        book.on_address(mine, Source::User, &own, &config).unwrap();
        book.on_failed(at(0), mine, &config, &mut rng);
        let mut all = Vec::new();
        for n in 0..1000u32 {
            let theirs = SocketAddr::new(IpAddr::from((n + 1_000_000_000).to_be_bytes()), 6881);
            all.push(priority(own.v4.unwrap(), theirs));
            let _ = book.on_address(theirs, Source::Pex, &own, &config);
            assert!(book.len() <= 10);
        }
        all.sort_unstable();
        let worst = book.iter().filter(|x| x.0 != mine).map(|x| priority(own.v4.unwrap(), x.0)).min();
        assert_eq!((worst, book.iter().any(|x| x.0 == mine)), (Some(all[991]), true));
    }

    #[test]
    fn each_source_is_counted_once_for_an_address_that_it_tells() {
        let (mut book, config) = (Book::default(), BookConfig::default());
        let told = [Source::Tracker, Source::Pex, Source::Pex, Source::Tracker, Source::Dht];
        for source in told {
            book.on_address(addr("1.2.3.4:5"), source, &Own::default(), &config).unwrap();
        }
        book.on_address(addr("1.2.3.4:0"), Source::Lsd, &Own::default(), &config).unwrap_err();
        assert_eq!(book.found(), Found { trackers: 1, pex: 1, dht: 1, ..Found::default() });
    }

    #[test]
    fn an_empty_book_costs_next_to_nothing() {
        assert!(size_of::<Book>() <= 8 && size_of::<Entry>() <= 32 && size_of::<Rank>() <= 28);
    }
}
