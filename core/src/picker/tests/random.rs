//! Random sequences of events: after each one the tables agree, and no block is asked where it must not be.

use super::*;
use alloc::collections::BTreeSet;
use core::time::Duration;

/// What the test knows by itself: who has what, and what is under way to whom.
struct Model {
    w: World,
    has: Vec<Option<Option<Bits>>>,
    asked: BTreeSet<(u32, PieceIndex, u32)>,
    snubbed: BTreeSet<u32>,
    /// What was under way to a source when it was snubbed: others may be asked.
    owed: BTreeSet<(u32, PieceIndex, u32)>,
    deadlines: bool,
}

const SOURCES: u32 = 6;

impl Model {
    fn new(seed: u8, deadlines: bool) -> Self {
        let mut w = World::new(12 + u32::from(seed % 30), 1 + u32::from(seed % 5));
        w.rng = Rng::new([seed; 32]);
        let has = vec![None; SOURCES as usize];
        Self { w, has, asked: BTreeSet::new(), snubbed: BTreeSet::new(), owed: BTreeSet::new(), deadlines }
    }

    fn roll(&mut self, n: u32) -> u32 {
        self.w.rng.below(u64::from(n)) as u32
    }

    fn any_piece(&mut self) -> PieceIndex {
        let i = self.roll(self.w.geometry.pieces());
        self.w.piece(i)
    }

    fn step(&mut self) {
        let source = self.roll(SOURCES);
        match self.roll(24) {
            0..=6 => self.pick(source),
            7..=12 => self.block(source),
            13 => self.come_or_go(source),
            14 => self.release(source),
            15 => self.have(source),
            16..=18 => self.piece_ends(),
            19 => self.snub(source),
            20 => {
                let (piece, priority) = (self.any_piece(), self.roll(8) as u8);
                self.w.picker.set_priority(piece, priority);
            }
            21 => self.wish_list(),
            22 => self.disk(),
            _ => {
                self.w.picker.on_all_released(SourceId(source));
                self.asked.retain(|&(s, _, _)| s != source);
            }
        }
        self.w.picker.check();
        self.owed.retain(|owed| self.asked.contains(owed));
    }

    fn pick(&mut self, source: u32) {
        let Some(has) = self.has[source as usize].clone() else { return };
        let (count, fast, may_start) = (self.roll(9) as usize, self.roll(2) == 0, self.roll(6) > 0);
        let pieces = has.as_ref().map_or(PeerPieces::All, PeerPieces::Some);
        let wish = Pick { pieces, fast, may_start, ..self.w.wish(source, count) };
        let began = self.w.picker.partial_pieces();
        let mut out = Vec::new();
        self.w.picker.pick(&mut self.w.rng, &wish, &mut out);
        assert!(out.len() <= count);
        assert!(may_start || self.w.picker.partial_pieces() == began);
        let end_game = self.w.picker.is_end_game();
        for block in out {
            let (piece, n) = (block.piece, block.number());
            assert!(pieces.has(piece) && self.w.picker.priority(piece) > 0);
            assert_eq!(self.w.geometry.block(piece, n), Some(block));
            let same = |&&(_, p, m): &&(u32, PieceIndex, u32)| (p, m) == (piece, n);
            let askers = self.asked.iter().filter(same).filter(|&asked| !self.owed.contains(asked)).count();
            assert!(askers < 3, "askers are bounded");
            assert!(askers == 0 || end_game || self.deadlines, "asked twice outside the end game");
            assert!(self.asked.insert((source, piece, n)), "asked twice of one source");
        }
    }

    fn block(&mut self, source: u32) {
        let mine: Vec<_> = self.asked.iter().filter(|&&(s, _, _)| s == source).copied().collect();
        let Some(at) = self.w.rng.index(mine.len()) else { return };
        let (_, piece, n) = mine[at];
        let others = |&&(s, p, m): &&(u32, PieceIndex, u32)| s != source && (p, m) == (piece, n);
        let mut expected: Vec<u32> = self.asked.iter().filter(others).map(|&(s, _, _)| s).collect();
        let outcome = self.w.picker.on_block(SourceId(source), self.w.block(piece.get(), n));
        let BlockOutcome::Accepted { mut cancel, .. } = outcome else {
            panic!("an asked block: {outcome:?}")
        };
        cancel.sort_unstable();
        expected.sort_unstable();
        assert_eq!(cancel.iter().map(|s| s.0).collect::<Vec<_>>(), expected);
        self.asked.retain(|&(_, p, m)| (p, m) != (piece, n));
    }

    fn come_or_go(&mut self, source: u32) {
        if let Some(has) = self.has[source as usize].take() {
            self.w.picker.on_source_gone(SourceId(source));
            self.w.picker.on_pieces_gone(has.as_ref().map_or(PeerPieces::All, PeerPieces::Some));
            self.asked.retain(|&(s, _, _)| s != source);
            self.snubbed.remove(&source);
            return;
        }
        let density = self.roll(4);
        let pieces = self.w.geometry.pieces();
        let some: Vec<u32> = (0..pieces).filter(|_| self.w.rng.chance(u64::from(density), 3)).collect();
        let has = (density < 3).then(|| self.w.bits(&some));
        self.w.picker.on_pieces(has.as_ref().map_or(PeerPieces::All, PeerPieces::Some));
        self.has[source as usize] = Some(has);
    }

    fn have(&mut self, source: u32) {
        let piece = self.any_piece();
        let Some(Some(has)) = &mut self.has[source as usize] else { return };
        if has.set(piece.get()) {
            self.w.picker.on_have(piece);
        } else {
            has.clear(piece.get());
            self.w.picker.on_dont_have(piece);
        }
    }

    fn release(&mut self, source: u32) {
        let mine = self.asked.iter().find(|&&(s, _, _)| s == source).copied();
        if let Some((_, piece, n)) = mine {
            self.w.picker.on_released(SourceId(source), self.w.block(piece.get(), n));
            self.asked.retain(|&e| e != (source, piece, n));
        }
    }

    fn snub(&mut self, source: u32) {
        if self.snubbed.remove(&source) {
            self.w.picker.on_source_recovered(SourceId(source));
        } else if self.has[source as usize].is_some() {
            self.snubbed.insert(source);
            self.owed.extend(self.asked.iter().filter(|&&(s, _, _)| s == source));
            self.w.picker.on_source_snubbed(SourceId(source));
        }
    }

    /// Digests and writes are answered, not always well.
    fn piece_ends(&mut self) {
        let begun: Vec<_> = self.w.picker.partials().collect();
        for (piece, state) in begun {
            let good = self.roll(4) > 0;
            match state {
                PieceState::Checking if good => assert!(self.w.picker.on_verified(piece)),
                PieceState::Checking if self.roll(2) == 0 => assert!(self.w.picker.on_hash_failed(piece)),
                PieceState::Checking => assert!(self.w.picker.on_block_bad(self.w.block(piece.get(), 0))),
                PieceState::Writing if good => assert!(self.w.picker.on_written(piece)),
                PieceState::Writing => assert!(self.w.picker.on_write_failed(piece)),
                PieceState::Unwanted | PieceState::Missing | PieceState::Partial | PieceState::Have => {}
            }
        }
    }

    fn wish_list(&mut self) {
        let (piece, choice) = (self.any_piece(), self.roll(4));
        match choice {
            0 => self.w.picker.set_sequential(!self.w.picker.is_sequential()),
            1 if self.deadlines => {
                let when = Instant::ZERO + Duration::from_millis(u64::from(self.roll(2_000)));
                self.w.picker.set_deadline(piece, Some(when));
            }
            _ => {
                self.w.picker.abandon(piece);
                if self.w.picker.partials().all(|(p, _)| p != piece) {
                    self.asked.retain(|&(_, p, _)| p != piece);
                }
            }
        }
    }

    fn disk(&mut self) {
        let piece = self.any_piece();
        if self.roll(2) == 0 {
            self.w.picker.on_lost(piece);
        } else if self.w.picker.on_stored(piece) {
            self.asked.retain(|&(_, p, _)| p != piece);
        }
    }
}

#[test]
fn random_events_keep_the_tables_true() {
    for seed in 0..24 {
        let mut model = Model::new(seed, seed % 2 == 0);
        for _ in 0..1_500 {
            model.step();
        }
        let under_way: u32 = (0..SOURCES).map(|s| model.w.picker.asked(SourceId(s))).sum();
        assert_eq!(under_way as usize, model.asked.len());
    }
}

#[test]
fn every_block_is_asked_exactly_once_when_all_goes_well() {
    let mut w = World::new(40, 5);
    for _ in 0..3 {
        w.picker.on_pieces(PeerPieces::All);
    }
    let mut asked = Vec::new();
    while !w.picker.is_end_game() {
        let (source, count) = (w.rng.below(3) as u32, 1 + w.rng.below(9) as usize);
        let out = w.ask(source, count);
        for (piece, n) in out {
            if !asked.contains(&(piece, n)) {
                let _ = w.come(source, w.block(piece, n));
                asked.push((piece, n));
            }
        }
        if w.picker.partials().all(|(_, state)| state == PieceState::Checking) && asked.len() == 200 {
            break;
        }
    }
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 200);
}
