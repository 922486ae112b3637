//! Super-seeding (BEP 16): which piece a lone seed reveals to which source, and when the next one. Sends nothing.

use super::SourceId;
use crate::base::{Bits, Geometry, PieceIndex, Rng};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// A seed that looks like a leech with few pieces, so that it sends each piece about once (BEP 16). It sends no bitfield,
/// but HAVE for what `next_reveal` answers; a source gets its next piece when another one has the last.
#[derive(Clone, Debug)]
pub struct SuperSeed {
    geometry: Arc<Geometry>,
    /// Per piece, how often it is among the sources or revealed to one that has it not yet. Saturates at 65,535.
    copies: Vec<u16>,
    sources: BTreeMap<SourceId, Viewer>,
}

/// A source, as the seed sees it.
#[derive(Clone, Debug)]
struct Viewer {
    has: Bits,
    revealed: Bits,
    /// What it was shown last, until somebody else has it.
    unproved: Option<PieceIndex>,
}

impl SuperSeed {
    /// A seed without sources.
    pub fn new(geometry: Arc<Geometry>) -> Self {
        let copies = vec![0; geometry.pieces() as usize];
        Self { geometry, copies, sources: BTreeMap::new() }
    }

    /// A source came, with these pieces; a seed needs nothing and is left out by the caller.
    pub fn on_source(&mut self, source: SourceId, has: &Bits) {
        self.on_source_gone(source);
        let mut ours = Bits::new(self.geometry.pieces());
        for piece in has.iter().map_while(|i| self.geometry.piece(i)) {
            ours.set(piece.get());
            self.copies[piece.at()] = self.copies[piece.at()].saturating_add(1);
        }
        for viewer in self.sources.values_mut() {
            viewer.unproved = viewer.unproved.filter(|last| !ours.get(last.get()));
        }
        let revealed = Bits::new(self.geometry.pieces());
        self.sources.insert(source, Viewer { has: ours, revealed, unproved: None });
    }

    /// A source is gone; pieces that it was shown and didn't get are as rare as before.
    pub fn on_source_gone(&mut self, source: SourceId) {
        let Some(viewer) = self.sources.remove(&source) else { return };
        for (i, copies) in (0..).zip(&mut self.copies) {
            if viewer.has.get(i) || viewer.revealed.get(i) {
                *copies = copies.saturating_sub(1);
            }
        }
    }

    /// A source has a piece: whoever else was shown it last has passed it on.
    pub fn on_have(&mut self, source: SourceId, piece: PieceIndex) {
        let Some(viewer) = self.sources.get_mut(&source) else { return };
        if viewer.has.set(piece.get()) && !viewer.revealed.get(piece.get()) {
            self.copies[piece.at()] = self.copies[piece.at()].saturating_add(1);
        }
        self.prove(source, piece);
    }

    /// Whether a source may ask for a piece: it was shown it.
    pub fn is_revealed(&self, source: SourceId, piece: PieceIndex) -> bool {
        self.sources.get(&source).is_some_and(|viewer| viewer.revealed.get(piece.get()))
    }

    /// The piece to reveal to a source now: one of the rarest that it has not, by chance among equals. `None` while
    /// its last one isn't seen elsewhere, and when it has all. Alone, a source has to have its last one itself. One
    /// pass over all pieces.
    pub fn next_reveal(&mut self, rng: &mut Rng, source: SourceId) -> Option<PieceIndex> {
        let alone = self.sources.len() == 1;
        let viewer = self.sources.get_mut(&source)?;
        if viewer.unproved.is_some_and(|last| !(alone && viewer.has.get(last.get()))) {
            return None;
        }
        let hidden = |i: u32| !viewer.has.get(i) && !viewer.revealed.get(i);
        let rarest = (0..).zip(&self.copies).filter(|&(i, _)| hidden(i)).map(|(_, &copies)| copies).min()?;
        let fits = |&(i, &copies): &(u32, &u16)| copies == rarest && hidden(i);
        let equals = (0..).zip(&self.copies).filter(fits).count();
        let chosen = (0..).zip(&self.copies).filter(fits).nth(rng.index(equals)?)?.0;
        let piece = self.geometry.piece(chosen)?;
        viewer.revealed.set(chosen);
        viewer.unproved = Some(piece);
        self.copies[piece.at()] = self.copies[piece.at()].saturating_add(1);
        Some(piece)
    }

    fn prove(&mut self, by: SourceId, piece: PieceIndex) {
        for (_, viewer) in self.sources.iter_mut().filter(|&(&source, _)| source != by) {
            viewer.unproved = viewer.unproved.filter(|&last| last != piece);
        }
    }
}
