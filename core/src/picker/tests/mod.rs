//! The picker's stories, and random sequences of events against its invariants.

mod priority;
mod random;
mod run;
mod stories;
mod swarm;

use super::*;
use crate::base::{BLOCK, BlockRef, Rng};
use std::vec;

/// A picker with its chance, and short ways to say what happens.
struct World {
    picker: Picker,
    geometry: Arc<Geometry>,
    rng: Rng,
    now: Instant,
}

impl World {
    /// `pieces` pieces of `blocks` blocks; the last block of all is short.
    fn new(pieces: u32, blocks: u32) -> Self {
        Self::with(pieces, blocks, Config::default())
    }

    fn with(pieces: u32, blocks: u32, config: Config) -> Self {
        let span = u64::from(pieces) * u64::from(blocks) * u64::from(BLOCK) - 5;
        let geometry = Arc::new(Geometry::new(span, u64::from(blocks * BLOCK), Vec::new()).unwrap());
        let picker = Picker::new(geometry.clone(), &Bits::new(pieces), config);
        Self { picker, geometry, rng: Rng::new([1; 32]), now: Instant::ZERO }
    }

    fn piece(&self, i: u32) -> PieceIndex {
        self.geometry.piece(i).unwrap()
    }

    fn block(&self, piece: u32, n: u32) -> BlockRef {
        self.geometry.block(self.piece(piece), n).unwrap()
    }

    fn bits(&self, pieces: &[u32]) -> Bits {
        let mut bits = Bits::new(self.geometry.pieces());
        for &piece in pieces {
            bits.set(piece);
        }
        bits
    }

    /// A fast seed asks, with nothing special.
    fn wish(&self, source: u32, count: usize) -> Pick<'static> {
        Pick {
            source: SourceId(source),
            pieces: PeerPieces::All,
            only: None,
            suggested: &[],
            count,
            fast: true,
            may_start: true,
            now: self.now,
        }
    }

    fn pick(&mut self, wish: &Pick<'_>) -> Vec<BlockRef> {
        let mut out = Vec::new();
        self.picker.pick(&mut self.rng, wish, &mut out);
        self.picker.check();
        out
    }

    /// A fast seed asks for `count` blocks; answers (piece, number) of each.
    fn ask(&mut self, source: u32, count: usize) -> Vec<(u32, u32)> {
        let wish = self.wish(source, count);
        names(&self.pick(&wish))
    }

    fn come(&mut self, source: u32, block: BlockRef) -> BlockOutcome {
        let outcome = self.picker.on_block(SourceId(source), block);
        self.picker.check();
        outcome
    }

    /// A whole piece comes from a seed and ends on disk.
    fn finish(&mut self, piece: u32) {
        let piece = self.piece(piece);
        assert!(self.picker.on_stored(piece));
        self.picker.check();
    }
}

fn names(blocks: &[BlockRef]) -> Vec<(u32, u32)> {
    blocks.iter().map(|block| (block.piece.get(), block.number())).collect()
}

fn pieces(blocks: &[(u32, u32)]) -> Vec<u32> {
    let mut pieces: Vec<u32> = blocks.iter().map(|&(piece, _)| piece).collect();
    pieces.dedup();
    pieces
}

fn accepted(complete: bool, cancel: &[u32]) -> BlockOutcome {
    let cancel = cancel.iter().map(|&source| SourceId(source)).collect();
    BlockOutcome::Accepted { complete, cancel }
}
