//! How many sources have which piece, and the pieces not begun, sorted by priority and rarity: every move is O(1) for a
//! change of one copy. Decides nothing about blocks.

use super::PeerPieces;
use super::selection::LEVELS;
use crate::base::{Bits, PieceIndex, Rng};
use alloc::vec;
use alloc::vec::Vec;

/// Copies beyond which a piece is as common as any: rarity matters among few copies, and large swarms move nothing.
const CLASSES: usize = 64;
/// Pieces looked at one by one in the order, before the source's bitfield is gone through instead.
const PROBES_MAX: u32 = 256;
const NOWHERE: u32 = u32::MAX;

/// How often the swarm that we see holds the torrent, ourselves included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    /// Copies of the rarest piece.
    pub whole: u32,
    /// Pieces that exist more often than that, per thousand.
    pub more_per_mille: u32,
}

/// Copies of each piece among the sources. Seeds are one number; the rest is there while a source is no seed.
#[derive(Clone, Debug, Default)]
pub(super) struct Availability {
    /// Saturates at 65,535.
    counts: Vec<u16>,
    pub(super) seeds: u32,
    /// Sources that are counted piece by piece.
    counted: u32,
}

impl Availability {
    /// Copies besides the seeds'.
    pub(super) fn beside_seeds(&self, piece: u32) -> u16 {
        self.counts.get(piece as usize).copied().unwrap_or(0)
    }

    pub(super) fn of(&self, piece: PieceIndex) -> u32 {
        self.seeds + u32::from(self.beside_seeds(piece.get()))
    }

    pub(super) fn copies(&self, have: &Bits) -> Copies {
        let of = |i: u32| u32::from(self.beside_seeds(i)) + u32::from(have.get(i));
        let least = (0..have.len()).map(of).min().unwrap_or(0);
        let more = (0..have.len()).filter(|&i| of(i) > least).count() as u64;
        Copies {
            whole: self.seeds + least,
            more_per_mille: (more * 1_000 / u64::from(have.len().max(1))) as u32,
        }
    }

    pub(super) fn is_nobody(&self) -> bool {
        self.seeds == 0 && self.counted == 0
    }

    /// A source is there; `pieces` is the torrent's number of pieces.
    pub(super) fn add_source(&mut self, has: PeerPieces<'_>, pieces: u32, mut order: Option<&mut Order>) {
        match has {
            PeerPieces::All => self.seeds += 1,
            PeerPieces::Some(bits) => {
                if self.counted == 0 {
                    self.counts = vec![0; pieces as usize];
                }
                self.counted += 1;
                for piece in bits.iter() {
                    self.add(piece, order.as_deref_mut());
                }
            }
        }
    }

    /// A source is gone, which was counted with these pieces.
    pub(super) fn remove_source(&mut self, has: PeerPieces<'_>, mut order: Option<&mut Order>) {
        match has {
            PeerPieces::All => self.seeds = self.seeds.saturating_sub(1),
            PeerPieces::Some(bits) => {
                for piece in bits.iter() {
                    self.remove(piece, order.as_deref_mut());
                }
                self.counted = self.counted.saturating_sub(1);
                if self.counted == 0 {
                    self.counts = Vec::new();
                }
            }
        }
    }

    pub(super) fn add(&mut self, piece: u32, order: Option<&mut Order>) {
        let Some(count) = self.counts.get_mut(piece as usize) else { return };
        *count = count.saturating_add(1);
        if let (Some(order), true) = (order, usize::from(*count) < CLASSES) {
            order.more_common(piece);
        }
    }

    pub(super) fn remove(&mut self, piece: u32, order: Option<&mut Order>) {
        let Some(count) = self.counts.get_mut(piece as usize).filter(|count| **count > 0) else { return };
        *count -= 1;
        if let (Some(order), true) = (order, usize::from(*count) < CLASSES - 1) {
            order.rarer(piece);
        }
    }
}

/// The pieces that are wanted and not begun. They stand in one row, cut into buckets: the last bucket is the most urgent.
/// A bucket is a level of priority and a class of rarity; the pieces within one are in no order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    row: Vec<u32>,
    /// Where in the row a piece stands, or `NOWHERE`.
    at: Vec<u32>,
    /// Where each bucket starts; the last entry is the row's end.
    starts: Vec<u32>,
    pickable: Bits,
    /// The same, level by level, where there are several: what a source lacks of one level is found out at once.
    by_level: Vec<Bits>,
    level_of: [u8; LEVELS],
}

impl Order {
    /// Sorts the pieces that have a priority and are `Some` by `priority_of`; `levels` are the priorities in use.
    pub(super) fn new(
        pieces: u32,
        levels: [bool; LEVELS],
        availability: &Availability,
        priority_of: impl Fn(u32) -> Option<u8>,
    ) -> Self {
        let mut level_of = [0; LEVELS];
        let mut used: u8 = 0;
        for (priority, _) in levels.iter().enumerate().filter(|&(priority, &there)| priority > 0 && there) {
            level_of[priority] = used;
            used += 1;
        }
        let mut order = Self {
            row: Vec::new(),
            at: vec![NOWHERE; pieces as usize],
            starts: vec![0; usize::from(used) * CLASSES + 1],
            pickable: Bits::new(pieces),
            by_level: if used > 1 { vec![Bits::new(pieces); usize::from(used)] } else { Vec::new() },
            level_of,
        };
        let bucket_of = |order: &Self, i| {
            priority_of(i).map(|priority| order.bucket(priority, availability.beside_seeds(i)))
        };
        for i in 0..pieces {
            if let Some(bucket) = bucket_of(&order, i) {
                order.starts[bucket + 1] += 1;
            }
        }
        for bucket in 1..order.starts.len() {
            order.starts[bucket] += order.starts[bucket - 1];
        }
        let mut next = order.starts.clone();
        order.row = vec![0; next.last().map_or(0, |&end| end as usize)];
        for i in 0..pieces {
            if let Some(bucket) = bucket_of(&order, i) {
                order.put(i, next[bucket]);
                next[bucket] += 1;
                order.pickable.set(i);
                if let Some(level) = order.by_level.get_mut(bucket / CLASSES) {
                    level.set(i);
                }
            }
        }
        order
    }

    pub(super) fn contains(&self, piece: PieceIndex) -> bool {
        self.pickable.get(piece.get())
    }

    /// Whether there is a piece that some source has, if there are `seeds`.
    pub(super) fn has_available(&self, seeds: u32) -> bool {
        if seeds > 0 {
            return !self.row.is_empty();
        }
        let unseen: u32 = (CLASSES - 1..self.starts.len() - 1)
            .step_by(CLASSES)
            .map(|bucket| self.starts[bucket + 1] - self.starts[bucket])
            .sum();
        (unseen as usize) < self.row.len()
    }

    /// The most urgent piece of those a source has, by chance among equals.
    pub(super) fn most_urgent(&self, rng: &mut Rng, has: PeerPieces<'_>) -> Option<u32> {
        let bits = match has {
            PeerPieces::All => return self.any_of_the_last(rng),
            PeerPieces::Some(bits) => bits,
        };
        if u64::from(bits.count()) * 8 < self.row.len() as u64 {
            return best_of(rng, self.pickable.iter_both(bits), |piece| self.bucket_of(piece));
        }
        let few = |level: usize| {
            let (start, end) = (self.starts[level * CLASSES], self.starts[(level + 1) * CLASSES]);
            end - start <= PROBES_MAX
        };
        let there = |&level: &usize| few(level) || self.of_level(level).meets(bits);
        let there = (0..self.levels()).rev().filter(there);
        there.filter_map(|level| self.most_urgent_of(level, rng, bits)).next()
    }

    /// The first piece of those a source has, within the highest priority.
    pub(super) fn first(&self, has: PeerPieces<'_>) -> Option<u32> {
        (0..self.levels()).rev().find_map(|level| match has {
            PeerPieces::All => self.of_level(level).iter().next(),
            PeerPieces::Some(bits) => self.of_level(level).iter_both(bits).next(),
        })
    }

    /// How many levels of priority there are.
    pub(super) fn levels(&self) -> usize {
        self.starts.len() / CLASSES
    }

    /// The pieces of a level; the higher number comes first.
    pub(super) fn of_level(&self, level: usize) -> &Bits {
        self.by_level.get(level).unwrap_or(&self.pickable)
    }

    /// How urgent a piece in the row is; a higher number is more urgent.
    pub(super) fn bucket_of(&self, piece: u32) -> usize {
        let at = self.at[piece as usize];
        self.starts.partition_point(|&start| start <= at) - 1
    }

    pub(super) fn insert(&mut self, piece: u32, priority: u8, copies: u16) {
        debug_assert!(!self.pickable.get(piece));
        let bucket = self.bucket(priority, copies);
        self.pickable.set(piece);
        if let Some(level) = self.by_level.get_mut(bucket / CLASSES) {
            level.set(piece);
        }
        self.row.push(piece);
        let last = self.starts.len() - 1;
        self.starts[last] += 1;
        self.put(piece, self.starts[last] - 1);
        for bucket in (bucket + 1..last).rev() {
            self.swap(self.at[piece as usize], self.starts[bucket]);
            self.starts[bucket] += 1;
        }
    }

    pub(super) fn remove(&mut self, piece: u32) {
        if !self.pickable.clear(piece) {
            return;
        }
        let bucket = self.bucket_of(piece);
        if let Some(level) = self.by_level.get_mut(bucket / CLASSES) {
            level.clear(piece);
        }
        for next in bucket + 1..self.starts.len() {
            self.starts[next] -= 1;
            self.swap(self.at[piece as usize], self.starts[next]);
        }
        let last = self.row.pop();
        debug_assert_eq!(last, Some(piece));
        self.at[piece as usize] = NOWHERE;
    }

    /// What must hold; for tests.
    pub(super) fn check(&self, availability: &Availability, priority_of: impl Fn(u32) -> Option<u8>) {
        assert_eq!(self.pickable.count() as usize, self.row.len());
        assert_eq!(self.starts.last().copied(), Some(self.row.len() as u32));
        for (i, &at) in (0..).zip(&self.at) {
            let priority = priority_of(i);
            assert_eq!(priority.is_some(), self.pickable.get(i), "piece {i}");
            assert_eq!(at != NOWHERE, self.pickable.get(i));
            let level = priority.map(|priority| self.bucket(priority, 0) / CLASSES);
            for (n, bits) in self.by_level.iter().enumerate() {
                assert_eq!(level == Some(n), bits.get(i), "piece {i}");
            }
            if let Some(priority) = priority {
                assert_eq!(self.row[at as usize], i);
                assert_eq!(self.bucket_of(i), self.bucket(priority, availability.beside_seeds(i)));
            }
        }
    }

    /// A copy more: to the bucket before.
    fn more_common(&mut self, piece: u32) {
        if !self.pickable.get(piece) {
            return;
        }
        let bucket = self.bucket_of(piece);
        if !bucket.is_multiple_of(CLASSES) {
            self.swap(self.at[piece as usize], self.starts[bucket]);
            self.starts[bucket] += 1;
        }
    }

    /// A copy less: to the bucket behind.
    fn rarer(&mut self, piece: u32) {
        if !self.pickable.get(piece) {
            return;
        }
        let bucket = self.bucket_of(piece);
        if bucket % CLASSES < CLASSES - 1 {
            self.starts[bucket + 1] -= 1;
            self.swap(self.at[piece as usize], self.starts[bucket + 1]);
        }
    }

    fn any_of_the_last(&self, rng: &mut Rng) -> Option<u32> {
        let end = self.row.len() as u32;
        let start = *self.starts.iter().rev().find(|&&start| start < end)?;
        let offset = rng.below(u64::from(end - start)) as u32;
        Some(self.row[(start + offset) as usize])
    }

    /// The most urgent piece of one level, of a source that has some of it.
    fn most_urgent_of(&self, level: usize, rng: &mut Rng, bits: &Bits) -> Option<u32> {
        let mut probes = 0;
        for bucket in (level * CLASSES..(level + 1) * CLASSES).rev() {
            let (start, end) = (self.starts[bucket], self.starts[bucket + 1]);
            let nobody_has_it = bucket % CLASSES == CLASSES - 1;
            if start == end || nobody_has_it {
                continue;
            }
            let offset = rng.below(u64::from(end - start)) as u32;
            for at in (start + offset..end).chain(start..start + offset) {
                let piece = self.row[at as usize];
                if bits.get(piece) {
                    return Some(piece);
                }
                probes += 1;
                if probes == PROBES_MAX {
                    let both = self.of_level(level).iter_both(bits);
                    return best_of(rng, both, |piece| self.bucket_of(piece));
                }
            }
        }
        None
    }

    fn bucket(&self, priority: u8, copies: u16) -> usize {
        let level = usize::from(self.level_of[usize::from(priority)]);
        level * CLASSES + CLASSES - 1 - usize::from(copies).min(CLASSES - 1)
    }

    fn put(&mut self, piece: u32, at: u32) {
        self.row[at as usize] = piece;
        self.at[piece as usize] = at;
    }

    fn swap(&mut self, a: u32, b: u32) {
        let (one, other) = (self.row[a as usize], self.row[b as usize]);
        self.put(one, b);
        self.put(other, a);
    }
}

/// The most urgent of a few pieces, by chance among equals.
fn best_of(rng: &mut Rng, pieces: impl Iterator<Item = u32>, urgency: impl Fn(u32) -> usize) -> Option<u32> {
    let (mut best, mut equals) = (None, 0);
    for piece in pieces {
        let bucket = urgency(piece);
        match best {
            Some((b, _)) if bucket < b => {}
            Some((b, _)) if bucket == b => {
                equals += 1;
                if rng.below(equals) == 0 {
                    best = Some((bucket, piece));
                }
            }
            Some(_) | None => {
                best = Some((bucket, piece));
                equals = 1;
            }
        }
    }
    best.map(|(_, piece)| piece)
}
