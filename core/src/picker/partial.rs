//! The blocks of one piece that is being fetched: free, asked or received, and of whom. Knows no other piece.

use super::{PieceState, SourceId};
use alloc::vec;
use alloc::vec::Vec;

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// To be asked. (Sources that were snubbed may still be asked for it, see `Partial::extra`.)
    Free,
    /// Asked of this source, perhaps of more.
    Asked(SourceId),
    /// Here, from this source.
    Received(SourceId),
}

/// How far the piece is, once it was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Fetching,
    Checking,
    Writing,
}

impl Stage {
    pub(super) const fn state(self) -> PieceState {
        match self {
            Self::Fetching => PieceState::Partial,
            Self::Checking => PieceState::Checking,
            Self::Writing => PieceState::Writing,
        }
    }
}

/// A piece that was begun.
#[derive(Clone, Debug)]
pub(super) struct Partial {
    pub(super) stage: Stage,
    /// The fast source that began it and wants to have it for itself.
    pub(super) lead: Option<SourceId>,
    pub(super) slots: Vec<Slot>,
    /// Blocks that are free, and that are here.
    pub(super) free: u32,
    pub(super) received: u32,
    /// No block before this one is free.
    cursor: u32,
    /// Further sources asked for a block that is not here. A source stands at most once at a block.
    extra: Vec<Extra>,
}

/// A source that is asked for a block which isn't its own: in the end game, or since it was snubbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extra {
    n: u32,
    source: SourceId,
    /// It was the block's own asker and was snubbed: nobody counts on it.
    owed: bool,
}

impl Partial {
    pub(super) fn new(blocks: u32) -> Self {
        Self {
            stage: Stage::Fetching,
            lead: None,
            slots: vec![Slot::Free; blocks as usize],
            free: blocks,
            received: 0,
            cursor: 0,
            extra: Vec::new(),
        }
    }

    /// Nothing of it is asked or here.
    pub(super) fn is_empty(&self) -> bool {
        self.free as usize == self.slots.len() && self.extra.is_empty()
    }

    pub(super) fn is_filled(&self) -> bool {
        self.received as usize == self.slots.len()
    }

    pub(super) fn slot(&self, n: u32) -> Option<Slot> {
        self.slots.get(n as usize).copied()
    }

    /// Whether `source` can be asked for a block that is free.
    pub(super) fn has_free_for(&self, source: SourceId) -> bool {
        self.free > 0
            && (self.extra.is_empty()
                || (0..).zip(&self.slots).any(|(n, slot)| *slot == Slot::Free && !self.is_extra(n, source)))
    }

    /// Asks `source` for the first free block.
    pub(super) fn ask(&mut self, source: SourceId) -> Option<u32> {
        if self.free == 0 {
            return None;
        }
        let mut first = true;
        for n in self.cursor..self.slots.len() as u32 {
            if self.slots[n as usize] != Slot::Free {
                continue;
            }
            if !self.is_extra(n, source) {
                self.slots[n as usize] = Slot::Asked(source);
                self.free -= 1;
                if first {
                    self.cursor = n + 1;
                }
                return Some(n);
            }
            if first {
                self.cursor = n;
                first = false;
            }
        }
        None
    }

    /// Asks `source` for a block that fewer than `askers_max` others are asked for: the first one after `from`.
    pub(super) fn ask_again(&mut self, source: SourceId, from: u32, askers_max: usize) -> Option<u32> {
        let n = (from..self.slots.len() as u32).find(|&n| match self.slots[n as usize] {
            Slot::Asked(other) => {
                other != source && !self.is_extra(n, source) && 1 + self.extras(n).count() < askers_max
            }
            Slot::Free | Slot::Received(_) => false,
        })?;
        self.extra.push(Extra { n, source, owed: false });
        Some(n)
    }

    /// Block `n`, not here before, came from `source`. Answers everyone who was asked for it.
    pub(super) fn receive(&mut self, n: u32, source: SourceId) -> Askers {
        let slot = &mut self.slots[n as usize];
        let first = match *slot {
            Slot::Free => {
                self.free -= 1;
                None
            }
            Slot::Asked(first) => Some(first),
            Slot::Received(_) => unreachable!("a block that is here isn't received again"),
        };
        *slot = Slot::Received(source);
        self.received += 1;
        let mut more = Vec::new();
        if !self.extra.is_empty() {
            more.extend(self.extras(n));
            self.extra.retain(|extra| extra.n != n);
        }
        Askers { first, more }
    }

    /// `source` won't send block `n`. Answers whether it was asked for it.
    pub(super) fn release(&mut self, n: u32, source: SourceId) -> bool {
        if let Some(at) = self.extra.iter().position(|extra| (extra.n, extra.source) == (n, source)) {
            self.extra.swap_remove(at);
            return true;
        }
        let asked = self.slot(n) == Some(Slot::Asked(source));
        if asked {
            self.free_up(n);
        }
        asked
    }

    /// `source` won't send any block of what it was asked for. Answers how many those were.
    pub(super) fn release_all(&mut self, source: SourceId) -> u32 {
        let before = self.extra.len();
        self.extra.retain(|extra| extra.source != source);
        let mut released = (before - self.extra.len()) as u32;
        for n in 0..self.slots.len() as u32 {
            if self.slots[n as usize] == Slot::Asked(source) {
                self.free_up(n);
                released += 1;
            }
        }
        released
    }

    /// `source` lets us wait: what it is asked for alone becomes free for others, while it may still come.
    pub(super) fn share_all(&mut self, source: SourceId) {
        self.extra.iter_mut().filter(|extra| extra.source == source).for_each(|extra| extra.owed = true);
        for n in 0..self.slots.len() as u32 {
            if self.slots[n as usize] == Slot::Asked(source) {
                self.free_up(n);
                self.extra.push(Extra { n, source, owed: true });
            }
        }
    }

    /// Block `n` was received and is bad.
    pub(super) fn refuse(&mut self, n: u32) {
        debug_assert!(matches!(self.slot(n), Some(Slot::Received(_))));
        self.slots[n as usize] = Slot::Free;
        self.received -= 1;
        self.free += 1;
        self.cursor = self.cursor.min(n);
    }

    /// Everyone who is asked for something, with the block's number.
    pub(super) fn askers(&self) -> impl Iterator<Item = (u32, SourceId)> {
        let first = (0..).zip(&self.slots).filter_map(|(n, slot)| match slot {
            Slot::Asked(source) => Some((n, *source)),
            Slot::Free | Slot::Received(_) => None,
        });
        first.chain(self.extra.iter().map(|extra| (extra.n, extra.source)))
    }

    /// What must hold; for tests.
    pub(super) fn check(&self) {
        let count = |is: fn(&Slot) -> bool| self.slots.iter().filter(|s| is(s)).count() as u32;
        assert_eq!(self.free, count(|s| matches!(s, Slot::Free)));
        assert_eq!(self.received, count(|s| matches!(s, Slot::Received(_))));
        assert!(self.slots.iter().take(self.cursor as usize).all(|s| *s != Slot::Free));
        assert_eq!(self.stage != Stage::Fetching, self.is_filled());
        let mut asked: Vec<_> = self.askers().collect();
        let all = asked.len();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(all, asked.len(), "a source is asked twice for one block");
        for extra in &self.extra {
            assert!(!matches!(self.slot(extra.n), None | Some(Slot::Received(_))));
            assert!(extra.owed || self.slot(extra.n) != Some(Slot::Free));
        }
    }

    /// Block `n` loses its first asker: another one that we count on takes the place, or the block is free.
    fn free_up(&mut self, n: u32) {
        let heir = self.extra.iter().position(|extra| extra.n == n && !extra.owed);
        if let Some(heir) = heir.map(|at| self.extra.swap_remove(at)) {
            self.slots[n as usize] = Slot::Asked(heir.source);
            return;
        }
        self.slots[n as usize] = Slot::Free;
        self.free += 1;
        self.cursor = self.cursor.min(n);
    }

    fn extras(&self, n: u32) -> impl Iterator<Item = SourceId> {
        self.extra.iter().filter(move |extra| extra.n == n).map(|extra| extra.source)
    }

    fn is_extra(&self, n: u32, source: SourceId) -> bool {
        !self.extra.is_empty() && self.extras(n).any(|s| s == source)
    }
}

/// Who was asked for a block.
pub(super) struct Askers {
    pub(super) first: Option<SourceId>,
    pub(super) more: Vec<SourceId>,
}
