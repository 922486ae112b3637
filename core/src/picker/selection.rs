//! Which pieces are wanted, how much, and by when. Knows nothing of blocks and sources.

use super::{Picker, PieceState};
use crate::base::{Bits, Instant, PieceIndex};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// The priority of a piece that nobody gave one.
pub const PRIORITY_DEFAULT: u8 = 4;
/// The lowest priority of a piece that is wanted.
pub const PRIORITY_MIN: u8 = 1;
/// The highest priority; 0 is 'unwanted'.
pub const PRIORITY_MAX: u8 = 7;
/// How many priorities there are, 0 included.
pub(super) const LEVELS: usize = PRIORITY_MAX as usize + 1;

/// Priorities, once they differ from the default.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    priorities: Vec<u8>,
    /// Pieces that are here or unwanted: a source that has no others has nothing for us.
    pub(super) settled: Bits,
}

impl Selection {
    pub(super) fn levels(&self) -> [bool; LEVELS] {
        let mut levels = [false; LEVELS];
        for &priority in &self.priorities {
            levels[usize::from(priority)] = true;
        }
        levels
    }

    pub(super) fn priority(&self, piece: PieceIndex) -> u8 {
        self.priorities.get(piece.at()).copied().unwrap_or(0)
    }
}

impl Picker {
    /// The priority of a piece: 0 is unwanted, 7 comes first.
    pub fn priority(&self, piece: PieceIndex) -> u8 {
        self.selection.as_ref().map_or(PRIORITY_DEFAULT, |selection| selection.priority(piece))
    }

    /// Gives a piece a priority; more than `PRIORITY_MAX` counts as that. Requests for a piece that becomes unwanted
    /// stay: see `askers` and `abandon`. The next pick sorts all pieces anew, once for any number of changes.
    pub fn set_priority(&mut self, piece: PieceIndex, priority: u8) {
        let priority = priority.min(PRIORITY_MAX);
        let before = self.priority(piece);
        if before == priority {
            return;
        }
        let selection = self.selection.get_or_insert_with(|| {
            Box::new(Selection {
                priorities: vec![PRIORITY_DEFAULT; self.geometry.pieces() as usize],
                settled: self.have.clone(),
            })
        });
        selection.priorities[piece.at()] = priority;
        self.order = None;
        if self.have.get(piece.get()) {
            return;
        }
        let length = u64::from(self.geometry.length_of(piece));
        if priority == 0 {
            selection.settled.set(piece.get());
            self.wanted_left -= 1;
            self.wanted_bytes_left -= length;
        } else if before == 0 {
            selection.settled.clear(piece.get());
            self.wanted_left += 1;
            self.wanted_bytes_left += length;
        }
        self.refresh(piece);
    }

    /// Gives every piece the priority that `of` says; as `set_priority`. Pieces that all have the default cost nothing.
    pub fn set_priorities(&mut self, of: impl Fn(PieceIndex) -> u8) {
        let geometry = Arc::clone(&self.geometry);
        geometry.iter().for_each(|piece| self.set_priority(piece, of(piece)));
        self.selection.take_if(|selection| selection.priorities.iter().all(|&one| one == PRIORITY_DEFAULT));
    }

    /// Whether pieces are begun in their order in the torrent, within each priority, rather than rarest first.
    pub fn set_sequential(&mut self, sequential: bool) {
        self.sequential = sequential;
    }

    /// Whether pieces are begun in their order in the torrent.
    pub fn is_sequential(&self) -> bool {
        self.sequential
    }

    /// By when a piece is needed. Pieces with a deadline are asked first, in the order of time; one that is nearly late
    /// is asked of several sources. `None` takes the deadline away; so does the piece's end. It makes no
    /// piece wanted.
    pub fn set_deadline(&mut self, piece: PieceIndex, deadline: Option<Instant>) {
        self.deadlines.retain(|&(_, p)| p != piece);
        if let Some(when) = deadline.filter(|_| self.state(piece) != PieceState::Have) {
            self.deadlines.insert((when, piece));
        }
    }

    /// The deadline of a piece, if it has one.
    pub fn deadline(&self, piece: PieceIndex) -> Option<Instant> {
        self.deadlines.iter().find(|&&(_, p)| p == piece).map(|&(when, _)| when)
    }
}
