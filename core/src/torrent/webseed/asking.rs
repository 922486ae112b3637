//! From the picker to a web seed: which pieces in a row it gets, and which blocks of them are asked of it.

use super::{Shared, Web};
use crate::base::{BLOCK, Bits, BlockRef, Instant, Rng};
use crate::picker::{PeerPieces, Pick, SourceId};
use crate::torrent::content::Content;
use crate::webseed::WebSeed;
use alloc::vec::Vec;
use core::ops::Range;

/// Blocks on their way from the picker to a web seed.
pub(super) struct Asking<'a> {
    pub(super) seed: &'a mut WebSeed,
    pub(super) content: &'a mut Content,
    pub(super) source: SourceId,
    pub(super) now: Instant,
    /// Blocks that may still be asked.
    pub(super) left: usize,
    /// Bytes that were.
    pub(super) bytes: u64,
}

impl Asking<'_> {
    /// What others began, and what they are asked for in the end game: up to a piece of it.
    pub(super) fn scattered(&mut self, rng: &mut Rng) {
        let whole = self.content.geometry.piece_length().div_ceil(BLOCK) as usize;
        let has = obtainable(self.content, self.seed);
        let pick = Pick {
            source: self.source,
            pieces: has.as_ref().map_or(PeerPieces::All, PeerPieces::Some),
            only: None,
            suggested: &[],
            count: self.left.min(whole),
            fast: false,
            may_start: true,
            now: self.now,
        };
        let mut blocks = Vec::new();
        self.content.picker.pick(rng, &pick, &mut blocks);
        blocks.sort_unstable();
        self.give(blocks);
    }

    /// The pieces of its run, one after the other.
    pub(super) fn run(&mut self) {
        while let Some(piece) = self.seed.next_piece().filter(|_| self.left > 0) {
            let mut blocks = Vec::new();
            if self.content.judgeable.as_ref().is_none_or(|judgeable| judgeable.get(piece.get())) {
                self.content.picker.pick_in(self.source, piece, self.left, &mut blocks);
            }
            let exhausted = blocks.len() < self.left;
            self.give(blocks);
            if exhausted {
                self.seed.on_exhausted();
            }
        }
    }

    fn give(&mut self, blocks: Vec<BlockRef>) {
        self.left -= blocks.len().min(self.left);
        for block in blocks {
            if self.seed.ask(self.now, block) {
                self.bytes += u64::from(block.length);
            } else {
                self.content.picker.on_released(self.source, block);
            }
        }
    }
}

/// What can be had of a web seed and judged; `None` is all.
fn obtainable(content: &Content, seed: &WebSeed) -> Option<Bits> {
    match (&content.judgeable, seed.pieces()) {
        (Some(judgeable), Some(bits)) => Some(judgeable.both(bits)),
        (Some(bits), None) | (None, Some(bits)) => Some(bits.clone()),
        (None, None) => None,
    }
}

impl Web {
    /// Pieces in a row for one of them, where no other is at work; where that is everywhere, or what another is at work on
    /// matters more, the second half of the longest run of that other, with that one and where it is to end.
    pub(super) fn next_run(&self, content: &mut Content, n: u32) -> Option<(Range<u32>, Option<Shared>)> {
        let seed = &self.seats.get(&n)?.seed;
        let unit = u64::from(content.geometry.piece_length());
        let max = u32::try_from(seed.config().run_bytes_max / unit).unwrap_or(u32::MAX).max(1);
        let has = obtainable(content, seed);
        let has = has.as_ref().map_or(PeerPieces::All, PeerPieces::Some);
        let others = || self.seats.iter().filter(|&(&m, _)| m != n).map(|(&m, seat)| (m, seat.seed.run()));
        let taken: Vec<Range<u32>> = others().map(|(_, run)| run).collect();
        let gap = content.picker.gap(has, &taken, max);
        let least = gap.as_ref().map(|run| content.priority(run.start));
        let better =
            |start: u32, content: &Content| least.is_none_or(|least| content.priority(start) > least);
        let long = others().filter(|(_, run)| run.len() > 1 && better(run.start, content));
        let longest = long.max_by_key(|(_, run)| (content.priority(run.start), run.len()));
        let shared = longest.and_then(|(other, run)| {
            let middle = run.start + (run.end - run.start) / 2;
            Some((other, content.picker.gap(has, &[0..middle, run.end..u32::MAX], max)?))
        });
        match shared.filter(|(_, run)| better(run.start, content)) {
            Some((other, run)) => {
                let start = run.start;
                Some((run, Some((other, start))))
            }
            None => gap.map(|run| (run, None)),
        }
    }
}
