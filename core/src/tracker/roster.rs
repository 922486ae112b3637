//! The peers of one torrent over one kind of address, packed as they are sent: addresses, stamps and ids in arrays of
//! their own, seeds before leeches, so that an answer is a copy of two or three runs. Not time, not other families.

use crate::base::{Key, Positions};
use crate::wire::PeerId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

/// With more rows than this, they are found by hash and no longer by reading all.
const INDEX_FROM: usize = 64;
/// With fewer, the index is given back.
const INDEX_UNTIL: usize = 32;
/// The bit of a stamp that says: this peer is counted over another family.
const SILENT: u16 = 1 << 15;

/// A peer that is not there yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<const N: usize> {
    pub(super) addr: [u8; N],
    pub(super) id: PeerId,
    pub(super) seed: bool,
    /// When it was heard, in the tracker's units, below 2^15.
    pub(super) stamp: u16,
}

/// Where an address is, or how many share its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    At(usize),
    /// Not here, but so many of the same source are.
    Absent {
        neighbours: usize,
    },
}

/// A peer that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) id: PeerId,
    /// It was not counted here.
    pub(super) silent: bool,
}

#[derive(Debug, Default)]
struct Index {
    by_source: Positions,
    by_id: Option<Positions>,
}

#[derive(Debug)]
pub(super) struct Roster<const N: usize> {
    addrs: Vec<[u8; N]>,
    stamps: Vec<u16>,
    ids: Vec<PeerId>,
    seeds: u32,
    silent_seeds: u32,
    silent_leeches: u32,
    index: Option<Box<Index>>,
}

/// What of an address is shared by those behind it: an IPv4 address, an IPv6 /64, a socket. On the loopback everyone
/// has the same, and it is the port that tells them apart.
fn source<const N: usize>(addr: &[u8; N]) -> &[u8] {
    let bytes = &addr[..];
    match N {
        6 if bytes[0] != 127 => &bytes[..4],
        18 if bytes[..16] != core::net::Ipv6Addr::LOCALHOST.octets() => &bytes[..8],
        _ => bytes,
    }
}

impl<const N: usize> Default for Roster<N> {
    fn default() -> Self {
        Self {
            addrs: Vec::new(),
            stamps: Vec::new(),
            ids: Vec::new(),
            seeds: 0,
            silent_seeds: 0,
            silent_leeches: 0,
            index: None,
        }
    }
}

impl<const N: usize> Roster<N> {
    pub(super) fn len(&self) -> usize {
        self.addrs.len()
    }

    /// Seeds that are counted here.
    pub(super) fn counted_seeds(&self) -> u32 {
        self.seeds - self.silent_seeds
    }

    /// Leeches that are counted here.
    pub(super) fn counted_leeches(&self) -> u32 {
        self.len() as u32 - self.seeds - self.silent_leeches
    }

    pub(super) fn is_seed(&self, at: usize) -> bool {
        at < self.seeds as usize
    }

    pub(super) fn is_silent(&self, at: usize) -> bool {
        self.stamps[at] & SILENT != 0
    }

    pub(super) fn row(&self, at: usize) -> Row<N> {
        let stamp = self.stamps[at] & !SILENT;
        Row { addr: self.addrs[at], id: self.ids[at], seed: self.is_seed(at), stamp }
    }

    /// Where an address is.
    pub(super) fn find(&self, key: &Key, addr: &[u8; N]) -> Found {
        let Some(index) = &self.index else {
            if let Some(at) = self.addrs.iter().position(|other| other == addr) {
                return Found::At(at);
            }
            let neighbours = self.addrs.iter().filter(|other| source(other) == source(addr)).count();
            return Found::Absent { neighbours };
        };
        let mut neighbours = 0;
        for at in index.by_source.with_hash(key.hash_one(source(addr))) {
            let other = &self.addrs[at as usize];
            if other == addr {
                return Found::At(at as usize);
            }
            neighbours += usize::from(source(other) == source(addr));
        }
        Found::Absent { neighbours }
    }

    /// Where a peer id is. In a large roster the first question costs as much as reading all; those after it do not.
    pub(super) fn find_id(&mut self, key: &Key, id: PeerId) -> Option<usize> {
        let ids = &self.ids;
        let Some(index) = &mut self.index else { return ids.iter().position(|&other| other == id) };
        let hash = |at: u32| key.hash_one(ids[at as usize].0);
        let by_id = index.by_id.get_or_insert_with(|| {
            let mut all = Positions::default();
            (0..ids.len() as u32).for_each(|at| all.insert(hash(at), at, hash));
            all
        });
        by_id.with_hash(key.hash_one(id.0)).map(|at| at as usize).find(|&at| ids[at] == id)
    }

    /// Takes in who is not here; gives where it is.
    pub(super) fn insert(&mut self, key: &Key, row: Row<N>) -> usize {
        if self.len() == self.addrs.capacity() {
            // A quarter, not twice: most of a tracker's memory is here.
            let more = (self.len() / 4).max(2);
            self.addrs.reserve_exact(more);
            self.stamps.reserve_exact(more);
            self.ids.reserve_exact(more);
        }
        let at = self.len();
        self.addrs.push(row.addr);
        self.stamps.push(row.stamp & !SILENT);
        self.ids.push(row.id);
        if self.index.is_some() {
            self.index_row(key, at as u32);
        } else if self.len() > INDEX_FROM {
            self.index = Some(Box::default());
            (0..=at as u32).for_each(|at| self.index_row(key, at));
        }
        if row.seed { self.set_seed(key, at, true) } else { at }
    }

    fn index_row(&mut self, key: &Key, at: u32) {
        let Some(index) = &mut self.index else { return };
        let (addrs, ids) = (&self.addrs, &self.ids);
        let by_source = |at: u32| key.hash_one(source(&addrs[at as usize]));
        index.by_source.insert(by_source(at), at, by_source);
        if let Some(index) = &mut index.by_id {
            let by_id = |at: u32| key.hash_one(ids[at as usize].0);
            index.insert(by_id(at), at, by_id);
        }
    }

    /// It was heard.
    pub(super) fn touch(&mut self, at: usize, stamp: u16) {
        self.stamps[at] = (self.stamps[at] & SILENT) | (stamp & !SILENT);
    }

    /// It has everything, or not any more; gives where it is now.
    pub(super) fn set_seed(&mut self, key: &Key, at: usize, seed: bool) -> usize {
        if self.is_seed(at) == seed {
            return at;
        }
        let silent = u32::from(self.is_silent(at));
        let to = if seed {
            self.seeds += 1;
            self.silent_seeds += silent;
            self.silent_leeches -= silent;
            self.seeds - 1
        } else {
            self.seeds -= 1;
            self.silent_seeds -= silent;
            self.silent_leeches += silent;
            self.seeds
        };
        self.swap(key, at, to as usize);
        to as usize
    }

    /// It is counted over another family, or not any more.
    pub(super) fn set_silent(&mut self, at: usize, silent: bool) {
        if self.is_silent(at) != silent {
            self.stamps[at] ^= SILENT;
            let side = if self.is_seed(at) { &mut self.silent_seeds } else { &mut self.silent_leeches };
            *side = if silent { *side + 1 } else { *side - 1 };
        }
    }

    pub(super) fn remove(&mut self, key: &Key, at: usize) -> Gone {
        let gone = Gone { id: self.ids[at], silent: self.is_silent(at) };
        self.set_silent(at, false);
        let at = self.set_seed(key, at, false);
        let last = self.len() - 1;
        self.swap(key, at, last);
        if let Some(index) = &mut self.index {
            index.by_source.remove(key.hash_one(source(&self.addrs[last])), last as u32);
            if let Some(by_id) = &mut index.by_id {
                by_id.remove(key.hash_one(self.ids[last].0), last as u32);
            }
        }
        self.addrs.pop();
        self.stamps.pop();
        self.ids.pop();
        if self.len() < INDEX_UNTIL {
            self.index = None;
        }
        if self.len() < self.addrs.capacity() / 4 {
            let room = self.len() * 2;
            self.addrs.shrink_to(room);
            self.stamps.shrink_to(room);
            self.ids.shrink_to(room);
        }
        gone
    }

    fn swap(&mut self, key: &Key, a: usize, b: usize) {
        if a == b {
            return;
        }
        if let Some(index) = &mut self.index {
            let by_source = |at: usize| (key.hash_one(source(&self.addrs[at])), at as u32);
            index.by_source.swap(by_source(a), by_source(b));
            if let Some(index) = &mut index.by_id {
                let by_id = |at: usize| (key.hash_one(self.ids[at].0), at as u32);
                index.swap(by_id(a), by_id(b));
            }
        }
        self.addrs.swap(a, b);
        self.stamps.swap(a, b);
        self.ids.swap(a, b);
    }

    /// The next from `from` on, downwards, whose stamp lies more than `life` before `now`, all modulo 2^15.
    pub(super) fn next_expired(&self, from: usize, now: u16, life: u16) -> Option<usize> {
        self.stamps.get(..from)?.iter().rposition(|&stamp| age(now, stamp) >= life)
    }

    /// The age of who was not heard for longest.
    pub(super) fn oldest(&self, now: u16) -> Option<u16> {
        self.stamps.iter().map(|&stamp| age(now, stamp)).max()
    }

    /// Up to `wanted` others for the one at `asker`: for a leech half of them seeds if there are so many, for a seed
    /// leeches only. `chance` is random and used up.
    pub(super) fn draw(&self, chance: u64, asker: Option<usize>, seed: bool, wanted: usize) -> Runs<'_, N> {
        let seeds = self.seeds as usize;
        let leeches = self.len() - seeds;
        let among_seeds = asker.filter(|&at| at < seeds);
        let among_leeches = asker.and_then(|at| at.checked_sub(seeds));
        let seeds_free = if seed { 0 } else { seeds - usize::from(among_seeds.is_some()) };
        let leeches_free = leeches - usize::from(among_leeches.is_some());
        let from_seeds = seeds_free.min(wanted.div_ceil(2).max(wanted.saturating_sub(leeches_free)));
        let from_leeches = leeches_free.min(wanted - from_seeds);
        let [a, b] = window(seeds, among_seeds, from_seeds, chance as u32);
        let [c, d] = window(leeches, among_leeches, from_leeches, (chance >> 32) as u32);
        let moved = |(from, to): (usize, usize)| (seeds + from, seeds + to);
        let runs = [a, b, moved(c), moved(d)];
        Runs {
            addrs: runs.map(|(from, to)| &self.addrs[from..to]),
            ids: runs.map(|(from, to)| &self.ids[from..to]),
        }
    }
}

/// How long ago, modulo 2^15.
fn age(now: u16, stamp: u16) -> u16 {
    now.wrapping_sub(stamp) & !SILENT
}

/// A run of `count` out of a ring of `len`, from a random place on, without `without`; as two ranges.
fn window(len: usize, without: Option<usize>, count: usize, chance: u32) -> [(usize, usize); 2] {
    if count == 0 {
        return [(0, 0); 2];
    }
    let below = |n: usize| ((u64::from(chance) * n as u64) >> 32) as usize;
    let first = match without {
        // The ring is cut there, and the run doesn't cross the cut.
        Some(at) => (at + 1 + below(len - count)) % len,
        None => below(len),
    };
    let to = (first + count).min(len);
    [(first, to), (0, first + count - to)]
}

/// Some rows of a roster, where they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs<'a, const N: usize> {
    pub(super) addrs: [&'a [[u8; N]]; 4],
    pub(super) ids: [&'a [PeerId]; 4],
}

impl<'a, const N: usize> Runs<'a, N> {
    pub(super) fn len(&self) -> usize {
        self.addrs.iter().map(|run| run.len()).sum()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&'a [u8; N], PeerId)> + use<'a, N> {
        let ids = self.ids.into_iter().flatten().copied();
        self.addrs.into_iter().flatten().zip(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use std::collections::BTreeMap;

    fn key() -> Key {
        Key::draw(&mut Rng::new([1; 32]))
    }

    fn addr(n: u32) -> [u8; 6] {
        let [a, b, c, d] = n.to_be_bytes();
        [10, a, b, c, d, 1]
    }

    fn row(n: u32, seed: bool) -> Row<6> {
        let mut id = [0; 20];
        id[..4].copy_from_slice(&n.to_be_bytes());
        Row { addr: addr(n), id: PeerId(id), seed, stamp: (n % 1000) as u16 }
    }

    fn roster(leeches: u32, seeds: u32) -> Roster<6> {
        let mut roster = Roster::default();
        (0..leeches).for_each(|n| {
            roster.insert(&key(), row(n, false));
        });
        (leeches..leeches + seeds).for_each(|n| {
            roster.insert(&key(), row(n, true));
        });
        roster
    }

    fn at(roster: &Roster<6>, n: u32) -> usize {
        let Found::At(at) = roster.find(&key(), &addr(n)) else { panic!("{n}") };
        at
    }

    fn drawn(runs: &Runs<'_, 6>) -> Vec<u32> {
        runs.rows().map(|(addr, _)| u32::from_be_bytes(addr[1..5].try_into().unwrap())).collect()
    }

    #[test]
    fn whatever_comes_and_goes_the_roster_says_the_same_as_a_plain_map() {
        let key = key();
        let mut rng = Rng::new([2; 32]);
        for size in [20, 300] {
            let mut roster = Roster::<6>::default();
            let mut model: BTreeMap<u32, (bool, bool)> = BTreeMap::new();
            for _ in 0..20_000 {
                let n = rng.below(size) as u32;
                let found = roster.find(&key, &addr(n));
                assert_eq!(matches!(found, Found::At(_)), model.contains_key(&n));
                match (found, rng.below(4)) {
                    (Found::At(at), 0) => {
                        let (_, silent) = model.remove(&n).unwrap();
                        assert_eq!(roster.remove(&key, at), Gone { id: row(n, false).id, silent });
                    }
                    (Found::At(at), 1) => {
                        let entry = model.get_mut(&n).unwrap();
                        entry.1 = !entry.1;
                        roster.set_silent(at, entry.1);
                    }
                    (Found::At(at), _) => {
                        let entry = model.get_mut(&n).unwrap();
                        entry.0 = !entry.0;
                        let at = roster.set_seed(&key, at, entry.0);
                        assert_eq!(roster.row(at).addr, addr(n));
                    }
                    (Found::Absent { .. }, chance) => {
                        let at = roster.insert(&key, row(n, chance == 0));
                        assert_eq!(roster.row(at).id, row(n, false).id);
                        model.insert(n, (chance == 0, false));
                    }
                }
                let count = |wanted: (bool, bool)| model.values().filter(|&&m| m == wanted).count() as u32;
                assert_eq!(roster.counted_seeds(), count((true, false)));
                assert_eq!(roster.counted_leeches(), count((false, false)));
                let other = rng.below(size) as u32;
                let found = roster.find_id(&key, row(other, false).id).map(|at| roster.row(at).addr);
                assert_eq!(found, model.contains_key(&other).then(|| addr(other)));
            }
        }
    }

    #[test]
    fn a_draw_gives_different_peers_and_never_the_asker_and_reaches_all() {
        let roster = roster(50, 7);
        let mut rng = Rng::new([3; 32]);
        let mut seen = [false; 57];
        for _ in 0..500 {
            let mut got = drawn(&roster.draw(rng.next_u64(), Some(at(&roster, 5)), false, 10));
            got.iter().for_each(|&n| seen[n as usize] = true);
            got.sort_unstable();
            got.dedup();
            assert_eq!(got.len(), 10);
        }
        assert!(!seen[5] && seen.iter().filter(|seen| **seen).count() == 56);
    }

    #[test]
    fn a_leech_gets_half_seeds_where_there_are_so_many_and_a_seed_none() {
        let roster = roster(50, 50);
        let seeds = |runs: &Runs<'_, 6>| drawn(runs).into_iter().filter(|&n| n >= 50).count();
        assert_eq!(seeds(&roster.draw(1, Some(at(&roster, 5)), false, 30)), 15);
        assert_eq!(seeds(&roster.draw(1, Some(at(&roster, 60)), true, 30)), 0);
        let all = roster.draw(1, Some(at(&roster, 60)), true, 300);
        assert_eq!(all.len(), 50);
        assert_eq!(roster.draw(u64::MAX, None, false, 300).len(), 100);
        assert_eq!(roster.draw(1, None, false, 0).len(), 0);
    }

    #[test]
    fn those_of_one_source_are_counted_but_on_the_loopback() {
        for many in [10u8, 200] {
            let mut roster = Roster::<6>::default();
            for n in 0..many {
                roster.insert(&key(), Row { addr: [10, 0, 0, 1, 0, n], ..row(0, false) });
                roster.insert(&key(), Row { addr: [127, 0, 0, 1, 0, n], ..row(0, false) });
            }
            let found = roster.find(&key(), &[10, 0, 0, 1, 9, 9]);
            assert_eq!(found, Found::Absent { neighbours: usize::from(many) });
            assert_eq!(roster.find(&key(), &[127, 0, 0, 1, 9, 9]), Found::Absent { neighbours: 0 });
        }
    }

    #[test]
    fn who_was_not_heard_for_a_life_is_expired_also_where_stamps_wrap() {
        let mut roster = Roster::<6>::default();
        let now = 5u16;
        for (n, ago) in [10u16, 100, 99, 200].into_iter().enumerate() {
            let stamp = now.wrapping_sub(ago) & !SILENT;
            roster.insert(&key(), Row { stamp, ..row(n as u32, false) });
        }
        assert_eq!(roster.next_expired(4, now, 100), Some(3));
        assert_eq!(roster.next_expired(3, now, 100), Some(1));
        assert_eq!(roster.next_expired(1, now, 100), None);
        assert_eq!(roster.oldest(now), Some(200));
    }

    #[test]
    fn what_is_no_longer_held_takes_no_memory() {
        let mut roster = roster(1000, 0);
        (0..1000).for_each(|n| {
            roster.remove(&key(), at(&roster, n));
        });
        assert!(roster.addrs.capacity() < 4 && roster.index.is_none());
    }
}
