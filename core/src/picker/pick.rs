//! What to ask next of a source: deadlines, the piece it works on, pieces others began, new pieces, the end game.
//! Changes no state itself but by `turn`.

use super::partial::Stage;
use super::state::Fact;
use super::{PeerPieces, Picker, PieceState, SourceId};
use crate::base::{BlockRef, Instant, PieceIndex, Rng};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Bound::{Excluded, Unbounded};
use core::time::Duration;

/// Who wants to be asked, and under what conditions.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// The source.
    pub source: SourceId,
    /// What it has.
    pub pieces: PeerPieces<'a>,
    /// The only pieces it may be asked for, if not all: the allowed-fast set while it chokes us (BEP 6).
    pub only: Option<&'a [PieceIndex]>,
    /// Pieces it would like to be asked for (SUGGEST, BEP 6), the best first.
    pub suggested: &'a [PieceIndex],
    /// How many blocks.
    pub count: usize,
    /// Whether it is among the fast ones: it gets pieces of its own to finish. Others share pieces.
    pub fast: bool,
    /// Whether pieces may be begun, or memory is too short for more than the ones begun.
    pub may_start: bool,
    /// For deadlines.
    pub now: Instant,
}

/// A pick under way: blocks go behind `out` until it holds `end`.
struct Asking<'a> {
    request: &'a Pick<'a>,
    end: usize,
    out: &'a mut Vec<BlockRef>,
}

impl Asking<'_> {
    fn is_full(&self) -> bool {
        self.out.len() >= self.end
    }
}

impl Pick<'_> {
    fn may(&self, piece: PieceIndex) -> bool {
        self.pieces.has(piece) && self.only.is_none_or(|only| only.contains(&piece))
    }
}

impl Picker {
    /// Chooses up to `request.count` blocks to ask of a source, marks them as asked and puts them behind `out`. None
    /// comes when it has nothing for us that isn't asked of others already. Blocks of one piece come in a row.
    pub fn pick(&mut self, rng: &mut Rng, request: &Pick<'_>, out: &mut Vec<BlockRef>) {
        if self.wanted_left == 0 {
            return;
        }
        let end = out.len().saturating_add(request.count);
        let mut asking = Asking { request, end, out };
        self.pick_by_deadline(&mut asking);
        let working = self.sources.get(&request.source).and_then(|source| source.working);
        if let Some(piece) = working.filter(|&piece| request.may(piece) && self.open.contains(&piece)) {
            self.take(piece, &mut asking);
        }
        while !asking.is_full() {
            let Some(piece) = self.next_piece(rng, request) else { break };
            let before = asking.out.len();
            self.take(piece, &mut asking);
            debug_assert!(asking.out.len() > before, "a piece was chosen that has nothing to ask");
            if asking.out.len() == before {
                return;
            }
        }
        if !asking.is_full() {
            self.pick_again(rng, &mut asking);
        }
    }

    /// Whether all that the sources have and we want is asked or here.
    pub fn is_end_game(&self) -> bool {
        let Some(order) = &self.order else { return false };
        !self.partials.is_empty()
            && !order.has_available(self.availability.seeds)
            && self.open.iter().all(|&piece| self.availability(piece) == 0)
    }

    /// Pieces with a deadline, in the order of time; blocks of late ones are asked of several sources.
    fn pick_by_deadline(&mut self, asking: &mut Asking<'_>) {
        let request = asking.request;
        let margin = Duration::from_millis(u64::from(self.config.deadline_margin_ms));
        let mut entry = self.deadlines.first().copied();
        while let Some((when, piece)) = entry.filter(|_| !asking.is_full()) {
            if request.may(piece) && self.priority(piece) > 0 {
                let begun = self.partials.contains_key(&piece);
                if begun || (request.may_start && self.state(piece) == PieceState::Missing) {
                    self.take(piece, asking);
                }
                if when <= request.now + margin {
                    self.take_again(piece, usize::from(self.config.askers_max), asking);
                }
            }
            entry = self.deadlines.range((Excluded((when, piece)), Unbounded)).next().copied();
        }
    }

    /// The piece that the source's next free block comes from.
    fn next_piece(&mut self, rng: &mut Rng, request: &Pick<'_>) -> Option<PieceIndex> {
        let fresh = if request.may_start { self.fresh(rng, request) } else { None };
        let floor = fresh.map_or(0, |piece| self.priority(piece));
        let crowded = self.open.len() > self.open_pieces_max();
        let shared = self.open_piece(request, |priority, led| priority >= floor && (!led || crowded));
        shared.or(fresh).or_else(|| self.open_piece(request, |_, _| true))
    }

    /// Pieces with free blocks beyond which sources share rather than begin new ones.
    fn open_pieces_max(&self) -> usize {
        usize::from(self.config.open_pieces_per_source_max) * self.sources.len().max(1)
    }

    /// A begun piece with a free block for the source: the highest priority, then no other's own, then the most done.
    fn open_piece(&self, request: &Pick<'_>, fits: impl Fn(u8, bool) -> bool) -> Option<PieceIndex> {
        let candidates = self.open.iter().copied().filter(|&piece| request.may(piece));
        let rated = candidates.filter_map(|piece| {
            let partial = self.partials.get(&piece)?;
            let priority = self.priority(piece);
            let led = partial.lead.is_some_and(|lead| lead != request.source);
            let fits = fits(priority, led) && partial.has_free_for(request.source);
            fits.then_some((priority, !led, Reverse(partial.free), piece))
        });
        rated
            .max_by_key(|&(priority, own, free, piece)| (priority, own, free, Reverse(piece)))
            .map(|best| best.3)
    }

    /// A piece to begin.
    fn fresh(&mut self, rng: &mut Rng, request: &Pick<'_>) -> Option<PieceIndex> {
        self.sort();
        let order = self.order.as_ref()?;
        if let Some(only) = request.only {
            let there = only.iter().copied().filter(|&piece| order.contains(piece) && request.may(piece));
            return there.max_by_key(|piece| order.bucket_of(piece.get()));
        }
        if self.sequential {
            return order.first(request.pieces).and_then(|i| self.geometry.piece(i));
        }
        let best = order.most_urgent(rng, request.pieces).and_then(|i| self.geometry.piece(i))?;
        let least = self.priority(best);
        let suggested = request.suggested.iter().copied();
        suggested
            .filter(|&piece| order.contains(piece) && request.may(piece))
            .find(|&piece| self.priority(piece) >= least)
            .or(Some(best))
    }

    /// The end game: when every block that somebody has is asked, those that are awaited are asked of others too.
    fn pick_again(&mut self, rng: &mut Rng, asking: &mut Asking<'_>) {
        let request = asking.request;
        let spare = u32::from(self.config.end_game_asked_max).saturating_sub(self.asked(request.source));
        asking.end = asking.end.min(asking.out.len() + spare as usize);
        if asking.is_full() || !self.is_end_game() {
            return;
        }
        let from = self.geometry.piece(rng.below(u64::from(self.geometry.pieces())) as u32);
        let Some(from) = from else { return };
        let begun = self.partials.range(from..).chain(self.partials.range(..from));
        let candidates: Vec<PieceIndex> = begun
            .filter(|&(&piece, partial)| partial.stage == Stage::Fetching && request.may(piece))
            .map(|(&piece, _)| piece)
            .filter(|&piece| self.priority(piece) > 0)
            .collect();
        for askers_max in 2..=usize::from(self.config.askers_max) {
            for &piece in &candidates {
                self.take_again(piece, askers_max, asking);
                if asking.is_full() {
                    return;
                }
            }
        }
    }

    /// Asks for free blocks of one piece.
    fn take(&mut self, piece: PieceIndex, asking: &mut Asking<'_>) {
        let request = asking.request;
        let begun = self.turn(piece, Fact::Asked);
        let Some(partial) = self.partials.get_mut(&piece) else { return };
        let source = self.sources.entry(request.source).or_default();
        if begun && request.fast && !source.snubbed {
            partial.lead = Some(request.source);
        }
        while !asking.is_full() {
            let Some(n) = partial.ask(request.source) else { break };
            let Some(block) = self.geometry.block(piece, n) else { break };
            asking.out.push(block);
            source.asked += 1;
            source.working = Some(piece);
        }
        if partial.free == 0 {
            source.working = source.working.filter(|&working| working != piece);
            self.open.remove(&piece);
        }
    }

    /// Asks for blocks of one piece that fewer than `askers_max` others are asked for.
    fn take_again(&mut self, piece: PieceIndex, askers_max: usize, asking: &mut Asking<'_>) {
        let source = asking.request.source;
        let Some(partial) = self.partials.get_mut(&piece) else { return };
        let mut from = 0;
        while !asking.is_full() {
            let Some(n) = partial.ask_again(source, from, askers_max) else { return };
            let Some(block) = self.geometry.block(piece, n) else { return };
            from = n + 1;
            asking.out.push(block);
            self.sources.entry(source).or_default().asked += 1;
        }
    }
}
