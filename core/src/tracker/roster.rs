//! The peers of one torrent over one address family: seeds and leeches apart, so that a draw of some costs what is drawn,
//! not what is there. Not time: who calls says when.

use crate::base::{Instant, Key, Map, Rng};
use crate::wire::PeerId;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// One peer.
#[derive(Clone, Copy, Debug)]
struct Row {
    addr: SocketAddr,
    id: PeerId,
    heard: Instant,
}

/// Where a peer's row is.
#[derive(Clone, Copy, Debug)]
struct Place {
    seed: bool,
    at: usize,
}

/// What an announce changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Was {
    /// It was not known.
    Absent,
    /// It missed something.
    Leech,
    /// It had everything.
    Seed,
}

#[derive(Debug)]
pub(super) struct Roster {
    seeds: Vec<Row>,
    leeches: Vec<Row>,
    places: Map<SocketAddr, Place>,
}

impl Roster {
    pub(super) fn new(key: Key) -> Self {
        Self { seeds: Vec::new(), leeches: Vec::new(), places: Map::new(key) }
    }

    pub(super) fn seeds(&self) -> usize {
        self.seeds.len()
    }

    pub(super) fn leeches(&self) -> usize {
        self.leeches.len()
    }

    pub(super) fn len(&self) -> usize {
        self.seeds.len() + self.leeches.len()
    }

    pub(super) fn contains(&self, addr: SocketAddr) -> bool {
        self.places.contains(&addr)
    }

    /// A peer was heard.
    pub(super) fn put(&mut self, now: Instant, addr: SocketAddr, id: PeerId, seed: bool) -> Was {
        let was = self.remove(addr);
        let side = if seed { &mut self.seeds } else { &mut self.leeches };
        self.places.insert(addr, Place { seed, at: side.len() });
        side.push(Row { addr, id, heard: now });
        was
    }

    /// A peer left.
    pub(super) fn remove(&mut self, addr: SocketAddr) -> Was {
        let Some(Place { seed, at }) = self.places.remove(&addr) else { return Was::Absent };
        let side = if seed { &mut self.seeds } else { &mut self.leeches };
        side.swap_remove(at);
        if let Some(moved) = side.get(at)
            && let Some(place) = self.places.get_mut(&moved.addr)
        {
            place.at = at;
        }
        if seed { Was::Seed } else { Was::Leech }
    }

    /// Forgets who was not heard since `since`; gives how many, and when the next was heard last.
    pub(super) fn expire(&mut self, since: Instant) -> (usize, Option<Instant>) {
        let rows = self.seeds.iter().chain(&self.leeches);
        let gone: Vec<SocketAddr> = rows.filter(|row| row.heard <= since).map(|row| row.addr).collect();
        for &addr in &gone {
            self.remove(addr);
        }
        (gone.len(), self.seeds.iter().chain(&self.leeches).map(|row| row.heard).min())
    }

    /// Up to `wanted` random peers for who announced from `addr`; no seeds for a seed.
    pub(super) fn draw(
        &self,
        rng: &mut Rng,
        asker: SocketAddr,
        seed: bool,
        wanted: usize,
    ) -> Vec<(SocketAddr, PeerId)> {
        let total = if seed { self.leeches.len() } else { self.len() };
        // One more than wanted, for the asker may be among them.
        let indexes = sample(rng, total, wanted.saturating_add(1));
        let row = |index: usize| match index.checked_sub(self.leeches.len()) {
            None => self.leeches.get(index),
            Some(at) => self.seeds.get(at),
        };
        let rows = indexes.into_iter().filter_map(row).filter(|row| row.addr != asker);
        rows.take(wanted).map(|row| (row.addr, row.id)).collect()
    }
}

/// Up to `wanted` different numbers below `total`, each set of them equally likely (Floyd), in random order.
fn sample(rng: &mut Rng, total: usize, wanted: usize) -> Vec<usize> {
    let mut chosen = BTreeSet::new();
    for last in total.saturating_sub(wanted)..total {
        let pick = rng.index(last + 1).unwrap_or(0);
        if !chosen.insert(pick) {
            chosen.insert(last);
        }
    }
    let mut out: Vec<usize> = chosen.into_iter().collect();
    rng.shuffle(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn addr(n: u32) -> SocketAddr {
        (core::net::Ipv4Addr::from(0x0a00_0000 + n), 6881).into()
    }

    fn roster(leeches: u32, seeds: u32) -> Roster {
        let mut roster = Roster::new(Key::draw(&mut Rng::new([1; 32])));
        for n in 0..leeches + seeds {
            roster.put(Instant::from_micros(u64::from(n)), addr(n), PeerId([0; 20]), n >= leeches);
        }
        roster
    }

    #[test]
    fn a_draw_is_of_different_peers_reaches_all_and_leaves_the_asker_out() {
        let roster = roster(10, 10);
        let mut rng = Rng::new([2; 32]);
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let drawn: Vec<SocketAddr> =
                roster.draw(&mut rng, addr(3), false, 5).into_iter().map(|p| p.0).collect();
            assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 5);
            seen.extend(drawn);
        }
        assert_eq!(seen.len(), 19);
        assert!(!seen.contains(&addr(3)));
        assert_eq!(roster.draw(&mut rng, addr(3), false, 100).len(), 19);
    }

    #[test]
    fn seeds_get_no_seeds() {
        let roster = roster(3, 50);
        let drawn = roster.draw(&mut Rng::new([2; 32]), addr(40), true, 50);
        let mut drawn: Vec<SocketAddr> = drawn.into_iter().map(|p| p.0).collect();
        drawn.sort();
        assert_eq!(drawn, vec![addr(0), addr(1), addr(2)]);
    }

    #[test]
    fn places_stay_true_through_any_order_of_changes() {
        let mut roster = roster(0, 0);
        let mut rng = Rng::new([3; 32]);
        let mut model = std::collections::BTreeMap::new();
        for _ in 0..5000 {
            let who = addr(rng.below(40) as u32);
            match rng.below(3) {
                0 => {
                    let was = roster.remove(who);
                    assert_eq!(was != Was::Absent, model.remove(&who).is_some());
                }
                n => {
                    let was = roster.put(Instant::ZERO, who, PeerId([0; 20]), n == 1);
                    let before = model.insert(who, n == 1);
                    assert_eq!(
                        was,
                        before.map_or(Was::Absent, |seed| if seed { Was::Seed } else { Was::Leech })
                    );
                }
            }
            let seeds = model.values().filter(|&&seed| seed).count();
            assert_eq!((roster.seeds(), roster.len()), (seeds, model.len()));
        }
    }

    #[test]
    fn who_was_not_heard_is_forgotten() {
        let mut roster = roster(6, 4);
        assert_eq!(roster.expire(Instant::from_micros(4)), (5, Some(Instant::from_micros(5))));
        assert_eq!((roster.leeches(), roster.seeds()), (1, 4));
        assert!(roster.contains(addr(5)) && !roster.contains(addr(4)));
    }
}
