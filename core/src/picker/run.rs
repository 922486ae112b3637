//! What to ask of a source that streams: pieces in a row that nobody began, then their blocks one after the other.

use super::state::Fact;
use super::{PeerPieces, Picker, PieceState, SourceId};
use crate::base::{BlockRef, PieceIndex};
use alloc::vec::Vec;
use core::ops::Range;

impl Picker {
    /// The longest row of pieces that are wanted and not begun, of those a source has, leaving out `taken`; at most `max`
    /// pieces of it, all of the highest priority there is among them. What has a deadline comes first, with what follows
    /// and matters no less; in a sequential torrent the first row. One pass over all pieces, and another for each
    /// priority in use but one: once a run, not once a block.
    pub fn gap(&mut self, has: PeerPieces<'_>, taken: &[Range<u32>], max: u32) -> Option<Range<u32>> {
        if self.wanted_left == 0 {
            return None;
        }
        self.sort();
        let order = self.order.as_ref()?;
        let fits = |n: u32| {
            let free = !taken.iter().any(|range| range.contains(&n));
            free && self.geometry.piece(n).is_some_and(|piece| order.contains(piece) && has.has(piece))
        };
        let priority = |n: u32| self.geometry.piece(n).map_or(0, |piece| self.priority(piece));
        let row_from = |from: u32| {
            let end = self.geometry.pieces().min(from.saturating_add(max));
            let goes_on = |n: u32| fits(n) && priority(n) >= priority(from);
            from..(from..end).find(|&n| !goes_on(n)).unwrap_or(end)
        };
        let urgent = self.deadlines.iter().map(|(_, piece)| piece.get()).find(|&n| fits(n));
        if let Some(from) = urgent {
            return Some(row_from(from));
        }
        let mut levels = (0..order.levels()).rev();
        let level =
            order.of_level(levels.find(|&level| level == 0 || order.of_level(level).iter().any(fits))?);
        let mut best = 0..0;
        let mut row = 0..0;
        for n in 0..=self.geometry.pieces() {
            if n < self.geometry.pieces() && level.get(n) && fits(n) {
                row = if row.end == n && !row.is_empty() { row.start..n + 1 } else { n..n + 1 };
                continue;
            }
            if row.len() > best.len() {
                best = row.clone();
            }
            row = 0..0;
            if self.sequential && !best.is_empty() {
                break;
            }
        }
        best.end = best.end.min(best.start.saturating_add(max));
        Some(best).filter(|best| !best.is_empty())
    }

    /// Asks a source for free blocks of one piece, upwards, at most `count`; none if the piece isn't wanted, is here or
    /// asked of others already, or is a fast source's own. They are marked as asked, and put behind `out`.
    pub fn pick_in(&mut self, source: SourceId, piece: PieceIndex, count: usize, out: &mut Vec<BlockRef>) {
        let state = self.state(piece);
        let askable = matches!(state, PieceState::Missing | PieceState::Partial) && self.priority(piece) > 0;
        let lead = self.partials.get(&piece).and_then(|partial| partial.lead);
        if !askable || count == 0 || lead.is_some_and(|lead| lead != source) {
            return;
        }
        let begun = self.turn(piece, Fact::Asked);
        let Some(partial) = self.partials.get_mut(&piece) else { return };
        let entry = self.sources.entry(source).or_default();
        if begun && !entry.snubbed {
            partial.lead = Some(source);
        }
        let end = out.len() + count;
        while out.len() < end {
            let Some(n) = partial.ask(source) else { break };
            let Some(block) = self.geometry.block(piece, n) else { break };
            out.push(block);
            entry.asked += 1;
        }
        self.refresh(piece);
    }
}
