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

    /// A source came, or tells at last which pieces it has: what it was shown before stays shown. A seed needs nothing
    /// and is left out by the caller.
    pub fn on_source(&mut self, source: SourceId, has: &Bits) {
        let shown = self.sources.get(&source).map(|viewer| (viewer.revealed.clone(), viewer.unproved));
        let (revealed, unproved) = shown.unwrap_or_else(|| (Bits::new(self.geometry.pieces()), None));
        self.on_source_gone(source);
        let mut ours = Bits::new(self.geometry.pieces());
        for piece in has.iter().map_while(|i| self.geometry.piece(i)) {
            ours.set(piece.get());
            self.copies[piece.at()] = self.copies[piece.at()].saturating_add(1);
        }
        for viewer in self.sources.values_mut() {
            viewer.unproved = viewer.unproved.filter(|last| !ours.get(last.get()));
        }
        for (i, copies) in (0..).zip(&mut self.copies) {
            if revealed.get(i) && !ours.get(i) {
                *copies = copies.saturating_add(1);
            }
        }
        self.sources.insert(source, Viewer { has: ours, revealed, unproved });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(pieces: u32) -> (SuperSeed, Arc<Geometry>, Rng) {
        let geometry = Arc::new(Geometry::new(u64::from(pieces) * 16_384, 16_384, Vec::new()).unwrap());
        (SuperSeed::new(geometry.clone()), geometry, Rng::new([5; 32]))
    }

    #[test]
    fn bep_0016_the_next_piece_is_revealed_when_another_source_has_the_last() {
        let (mut seed, geometry, mut rng) = seed(8);
        let (a, b) = (SourceId(1), SourceId(2));
        seed.on_source(a, &Bits::new(8));
        seed.on_source(b, &Bits::new(8));
        let first = seed.next_reveal(&mut rng, a).unwrap();
        assert!(seed.is_revealed(a, first) && !seed.is_revealed(b, first));
        seed.on_have(a, first);
        assert_eq!(seed.next_reveal(&mut rng, a), None);
        let other = geometry.iter().find(|&piece| piece != first).unwrap();
        seed.on_have(b, other);
        assert_eq!(seed.next_reveal(&mut rng, a), None);
        seed.on_have(b, first);
        assert_ne!(seed.next_reveal(&mut rng, a).unwrap(), first);
    }

    #[test]
    fn bep_0016_each_piece_is_revealed_once_before_any_is_revealed_twice() {
        let (mut seed, _, mut rng) = seed(30);
        let mut revealed = Vec::new();
        for n in 0..30 {
            seed.on_source(SourceId(n), &Bits::new(30));
            revealed.extend(seed.next_reveal(&mut rng, SourceId(n)));
        }
        assert!(!revealed.is_sorted(), "the order is drawn");
        revealed.sort_unstable();
        revealed.dedup();
        assert_eq!(revealed.len(), 30);
    }

    #[test]
    fn bep_0016_a_lone_source_gets_on_by_itself_and_stops_when_it_has_all() {
        let (mut seed, _, mut rng) = seed(5);
        seed.on_source(SourceId(1), &Bits::new(5));
        for _ in 0..5 {
            let piece = seed.next_reveal(&mut rng, SourceId(1)).unwrap();
            assert_eq!(seed.next_reveal(&mut rng, SourceId(1)), None);
            seed.on_have(SourceId(1), piece);
        }
        assert_eq!(seed.next_reveal(&mut rng, SourceId(1)), None);
        assert_eq!(seed.next_reveal(&mut rng, SourceId(9)), None);
    }

    #[test]
    fn bep_0016_a_source_that_comes_with_the_piece_proves_it_too() {
        let (mut seed, _, mut rng) = seed(4);
        seed.on_source(SourceId(1), &Bits::new(4));
        assert!(seed.next_reveal(&mut rng, SourceId(1)).is_some());
        seed.on_source(SourceId(2), &Bits::full(4));
        assert!(seed.next_reveal(&mut rng, SourceId(1)).is_some());
    }

    #[test]
    fn a_piece_that_leaves_with_its_source_is_rare_again() {
        let (mut seed, geometry, mut rng) = seed(2);
        let mut has = Bits::new(2);
        has.set(0);
        seed.on_source(SourceId(1), &has);
        assert_eq!(seed.next_reveal(&mut rng, SourceId(1)), geometry.piece(1));
        seed.on_source_gone(SourceId(1));
        assert_eq!(seed.copies, [0, 0]);
    }
}
