//! The order in which stored pieces are hashed again, and what came of it. Hashing and judging are others' work.

use super::Layout;
use crate::base::{Bits, Geometry, PieceIndex};

/// How far a check is, in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Pieces with a result, those skipped among them.
    pub done: u32,
    /// Pieces to check in all.
    pub total: u32,
}

/// A check of stored pieces: upwards, so that disks read in order, with a bounded number outstanding.
#[derive(Clone, Debug)]
pub struct Recheck {
    pieces: u32,
    next: u32,
    waiting: Bits,
    outstanding: Bits,
    good: Bits,
    total: u32,
    jobs_max: usize,
}

impl Recheck {
    /// A check of the pieces in `pieces`, at most `recheck_jobs_max` at a time.
    pub fn new(pieces: Bits, recheck_jobs_max: usize) -> Self {
        let (len, total) = (pieces.len(), pieces.count());
        Self {
            pieces: len,
            next: 0,
            waiting: pieces,
            outstanding: Bits::new(len),
            good: Bits::new(len),
            total,
            jobs_max: recheck_jobs_max.max(1),
        }
    }

    /// A file has only `stored` bytes on disk (0 if it is missing): pieces that reach beyond that are bad without a
    /// read. Tell it before the first `next_piece`; later it spares what wasn't handed out yet.
    pub fn on_file_size(&mut self, geometry: &Geometry, layout: &Layout, file: u32, stored: u64) {
        let Some(range) = layout.range_of(file) else { return };
        let Some(missing) = (range.end - range.start).checked_sub(stored).filter(|&n| n > 0) else { return };
        for piece in geometry.touched(range.end - missing, missing) {
            self.waiting.clear(piece);
        }
    }

    /// The next piece to hash from storage; `None` while enough are outstanding, and at the end.
    pub fn next_piece(&mut self, geometry: &Geometry) -> Option<PieceIndex> {
        if self.outstanding.count() as usize >= self.jobs_max || self.waiting.is_empty() {
            return None;
        }
        while self.next < self.pieces {
            let piece = self.next;
            self.next += 1;
            if self.waiting.clear(piece) {
                self.outstanding.set(piece);
                return geometry.piece(piece);
            }
        }
        None
    }

    /// The result of a piece that was handed out; others are ignored.
    pub fn on_result(&mut self, piece: PieceIndex, good: bool) {
        if self.outstanding.clear(piece.get()) && good {
            self.good.set(piece.get());
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress { done: self.total - self.waiting.count() - self.outstanding.count(), total: self.total }
    }

    /// Whether every piece has its result.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.outstanding.is_empty()
    }

    /// The pieces found good so far.
    pub fn good(&self) -> &Bits {
        &self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn geometry(pieces: u64) -> Geometry {
        Geometry::new(pieces * 16_384, 16_384, Vec::new()).unwrap()
    }

    #[test]
    fn pieces_come_upwards_with_a_bounded_number_outstanding() {
        let g = geometry(5);
        let mut check = Recheck::new(Bits::full(5), 2);
        let (a, b) = (check.next_piece(&g).unwrap(), check.next_piece(&g).unwrap());
        assert_eq!((a.get(), b.get(), check.next_piece(&g)), (0, 1, None));
        check.on_result(b, true);
        check.on_result(b, true);
        assert_eq!(check.progress(), Progress { done: 1, total: 5 });
        check.on_result(a, false);
        while let Some(piece) = check.next_piece(&g) {
            check.on_result(piece, true);
        }
        assert!(check.is_done());
        assert_eq!(check.good().iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn missing_and_short_files_are_not_read() {
        let g = geometry(6);
        let layout =
            Layout::packed([(2 * 16_384 + 1, false), (16_384 * 2, false), (16_383 + 16_384, false)]).unwrap();
        let mut check = Recheck::new(Bits::full(6), 9);
        check.on_file_size(&g, &layout, 0, 16_384);
        check.on_file_size(&g, &layout, 1, 2 * 16_384);
        check.on_file_size(&g, &layout, 2, 0);
        let mut handed = Vec::new();
        while let Some(piece) = check.next_piece(&g) {
            handed.push(piece.get());
        }
        assert_eq!(handed, [0, 3], "pieces 1 and 2 lack file 0, pieces 4 and 5 file 2");
        assert_eq!(check.progress(), Progress { done: 4, total: 6 });
    }
}
