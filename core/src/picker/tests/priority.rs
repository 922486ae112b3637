//! What matters more comes first: levels of priority against a model that knows every piece by itself.

use super::*;
use alloc::collections::BTreeSet;

/// What somebody who looks at all pieces would say of each pick.
struct Model {
    w: World,
    has: Vec<Option<Bits>>,
    priorities: Vec<u8>,
    begun: BTreeSet<u32>,
    under_way: Vec<(u32, BlockRef)>,
    asked: BTreeSet<BlockRef>,
}

const PIECES: u32 = 70;
const SOURCES: u32 = 4;

impl Model {
    /// One seed, and leeches that have a part each.
    fn new(seed: u8, sequential: bool) -> Self {
        let mut w = World::new(PIECES, 3);
        w.rng = Rng::new([seed; 32]);
        w.picker.set_sequential(sequential);
        let mut has = vec![None];
        for n in 1..SOURCES {
            let some: Vec<u32> = (0..PIECES).filter(|_| w.rng.chance(u64::from(n), 4)).collect();
            has.push(Some(w.bits(&some)));
        }
        has.iter().for_each(|has| w.picker.on_pieces(has.as_ref().map_or(PeerPieces::All, PeerPieces::Some)));
        let priorities = vec![PRIORITY_DEFAULT; PIECES as usize];
        Self { w, has, priorities, begun: BTreeSet::new(), under_way: Vec::new(), asked: BTreeSet::new() }
    }

    fn roll(&mut self, n: u32) -> u32 {
        self.w.rng.below(u64::from(n)) as u32
    }

    /// Files are given priorities: rows of pieces.
    fn prioritize(&mut self) {
        let (from, level) =
            (self.roll(PIECES), [PRIORITY_MIN, PRIORITY_DEFAULT, PRIORITY_MAX][self.roll(3) as usize]);
        let to = (from + self.roll(25)).min(PIECES);
        self.priorities[from as usize..to as usize].fill(level);
        let priorities = self.priorities.clone();
        self.w.picker.set_priorities(|piece| priorities[piece.at()]);
        self.w.picker.check();
        let uniform = priorities.iter().all(|&one| one == PRIORITY_DEFAULT);
        assert_eq!(self.w.picker.selection.is_none(), uniform, "who is like all others costs nothing");
    }

    fn pick(&mut self) {
        let (source, count, fast) = (self.roll(SOURCES), 1 + self.roll(7) as usize, self.roll(2) == 0);
        let has = self.has[source as usize].clone();
        let pieces = has.as_ref().map_or(PeerPieces::All, PeerPieces::Some);
        let wish = Pick { pieces, fast, ..self.w.wish(source, count) };
        let out = self.w.pick(&wish);
        let end_game = self.w.picker.is_end_game();
        for block in out {
            let piece = block.piece.get();
            if self.begun.insert(piece) {
                self.judge(piece, pieces);
            }
            assert!(self.asked.insert(block) || end_game, "asked twice");
            self.under_way.push((source, block));
        }
    }

    /// Whether this was the piece to begin, of all that weren't.
    fn judge(&self, piece: u32, pieces: PeerPieces<'_>) {
        let open = |&other: &u32| !self.begun.contains(&other) && pieces.has(self.w.piece(other));
        let rank = |piece: u32| {
            let copies = self.w.picker.availability(self.w.piece(piece));
            let place = if self.w.picker.is_sequential() { piece } else { copies };
            (self.priorities[piece as usize], core::cmp::Reverse(place))
        };
        let best = (0..PIECES).filter(open).map(rank).max();
        assert!(best.is_none_or(|best| best <= rank(piece)), "{piece}: {best:?}");
    }

    fn come(&mut self) {
        let Some(at) = self.w.rng.index(self.under_way.len()) else { return };
        let (source, block) = self.under_way[at];
        let outcome = self.w.come(source, block);
        self.under_way.retain(|&(_, other)| other != block);
        if let BlockOutcome::Accepted { complete: true, .. } = outcome {
            assert!(self.w.picker.on_verified(block.piece) && self.w.picker.on_written(block.piece));
        }
    }
}

#[test]
fn whatever_changes_the_next_piece_is_of_the_highest_level_and_every_block_comes_once() {
    for seed in 0..40 {
        let mut model = Model::new(seed, seed % 3 == 0);
        let mut steps = 0;
        while !model.w.picker.is_complete() {
            match model.roll(20) {
                0 => model.prioritize(),
                1..=9 => model.pick(),
                _ => model.come(),
            }
            steps += 1;
            assert!(steps < 20_000, "it ends");
        }
        assert_eq!(model.asked.len() as u32, PIECES * 3);
    }
}

/// Pieces 0 to 3 are low, 4 to 7 normal, 8 to 11 high.
fn three_levels(blocks: u32) -> World {
    let mut w = World::new(12, blocks);
    w.picker.on_pieces(PeerPieces::All);
    w.picker.set_priorities(|piece| [PRIORITY_MIN, PRIORITY_DEFAULT, PRIORITY_MAX][piece.at() / 4]);
    w
}

#[test]
fn levels_come_one_after_the_other() {
    let mut w = three_levels(1);
    let levels: Vec<u32> = pieces(&w.ask(1, 12)).iter().map(|piece| piece / 4).collect();
    assert_eq!(levels, [2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0]);
}

#[test]
fn a_piece_that_a_source_has_begun_is_ended_before_what_matters_more_now() {
    let mut w = three_levels(4);
    w.picker.set_priorities(|_| PRIORITY_DEFAULT);
    let begun = w.ask(1, 2)[0].0;
    w.picker.set_priorities(|piece| if piece.get() == begun { PRIORITY_MIN } else { PRIORITY_MAX });
    let next = w.ask(1, 3);
    assert_eq!(next[..2], [(begun, 2), (begun, 3)]);
    assert_ne!(next[2].0, begun);
    assert_eq!(w.picker.partial_pieces(), 2);
}

#[test]
fn who_has_only_what_matters_less_is_asked_for_it() {
    let mut w = three_levels(1);
    let has = w.bits(&[1, 5]);
    w.picker.on_pieces(PeerPieces::Some(&has));
    let wish = Pick { pieces: PeerPieces::Some(&has), ..w.wish(2, 3) };
    assert_eq!(names(&w.pick(&wish)), [(5, 0), (1, 0)]);
}

#[test]
fn a_deadline_comes_before_every_level() {
    let mut w = three_levels(1);
    w.picker.set_deadline(w.piece(2), Some(w.now));
    assert_eq!(w.ask(1, 2)[0], (2, 0));
}

#[test]
fn bep_0019_a_web_seed_gets_a_row_of_the_highest_level_there_is() {
    let mut w = three_levels(1);
    w.finish(9);
    let mut gap = |taken: &[core::ops::Range<u32>]| w.picker.gap(PeerPieces::All, taken, 100);
    assert_eq!(gap(&[]), Some(10..12));
    assert_eq!(gap(core::slice::from_ref(&(8..12))), Some(4..8));
    assert_eq!(gap(core::slice::from_ref(&(1..12))), Some(0..1));
    w.picker.set_deadline(w.piece(6), Some(w.now));
    assert_eq!(w.picker.gap(PeerPieces::All, &[], 100), Some(6..9), "what follows matters more");
    w.picker.set_deadline(w.piece(6), None);
    w.picker.set_deadline(w.piece(11), Some(w.now));
    assert_eq!(w.picker.gap(PeerPieces::All, &[], 100), Some(11..12));
}
