//! What happened to sources, blocks and pieces, and what that does to the tables: every call of `PieceState::after` is
//! here. Decides nothing about what to ask next.

use super::partial::{Partial, Slot, Stage};
use super::rarity::Order;
use super::selection::LEVELS;
use super::state::Fact;
use super::{BlockOutcome, PRIORITY_DEFAULT, PeerPieces, Picker, PieceState, SourceId};
use crate::base::{BlockRef, PieceIndex};
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Picker {
    /// A source says for the first time what it has, if only that it has nothing. Its `on_have` come after that.
    pub fn on_pieces(&mut self, pieces: PeerPieces<'_>) {
        self.availability.add_source(pieces, self.geometry.pieces(), self.order.as_deref_mut());
    }

    /// A source that is no seed got a piece that it had not.
    pub fn on_have(&mut self, piece: PieceIndex) {
        self.availability.add(piece.get(), self.order.as_deref_mut());
    }

    /// A source that is no seed lost a piece that it had (BEP 54). A seed that loses one is first taken away with
    /// `on_pieces_gone(All)`, then counted anew.
    pub fn on_dont_have(&mut self, piece: PieceIndex) {
        self.availability.remove(piece.get(), self.order.as_deref_mut());
    }

    /// What a source has counts no more: the reverse of `on_pieces`, with all that came by `on_have` since. A source
    /// that was counted as `All` goes as `All`.
    pub fn on_pieces_gone(&mut self, pieces: PeerPieces<'_>) {
        self.availability.remove_source(pieces, self.order.as_deref_mut());
        if self.availability.is_nobody() {
            self.order = None;
        }
    }

    /// A source is gone: its requests are askable again. Its pieces go by `on_pieces_gone`.
    pub fn on_source_gone(&mut self, source: SourceId) {
        self.on_all_released(source);
        self.sources.remove(&source);
    }

    /// A source dropped all of its requests, as a choke does without BEP 6: all are askable again.
    pub fn on_all_released(&mut self, source: SourceId) {
        let Some(entry) = self.sources.get_mut(&source) else { return };
        let left = core::mem::take(&mut entry.asked);
        entry.working = None;
        let mut touched = Vec::new();
        let mut found = 0;
        for (&piece, partial) in &mut self.partials {
            let released = partial.release_all(source);
            found += released;
            if partial.lead == Some(source) || released > 0 {
                partial.lead = partial.lead.filter(|&lead| lead != source);
                touched.push(piece);
            }
        }
        debug_assert_eq!(left, found);
        for piece in touched {
            self.settle(piece);
        }
    }

    /// A source won't send one block: it rejected it, was too late, or choked us. The block is askable again.
    pub fn on_released(&mut self, source: SourceId, block: BlockRef) {
        let Some(partial) = self.partials.get_mut(&block.piece) else { return };
        if !partial.release(block.number(), source) {
            return;
        }
        partial.lead = partial.lead.filter(|&lead| lead != source);
        let entry = self.sources.entry(source).or_default();
        entry.asked -= 1;
        entry.working = entry.working.filter(|&piece| piece != block.piece);
        self.settle(block.piece);
    }

    /// A source lets us wait: others may be asked for what it is asked for. What it sends still counts.
    pub fn on_source_snubbed(&mut self, source: SourceId) {
        let entry = self.sources.entry(source).or_default();
        entry.snubbed = true;
        entry.working = None;
        if entry.asked == 0 {
            return;
        }
        let pieces: Vec<PieceIndex> = self.partials.keys().copied().collect();
        for piece in pieces {
            if let Some(partial) = self.partials.get_mut(&piece) {
                partial.share_all(source);
                partial.lead = partial.lead.filter(|&lead| lead != source);
            }
            self.refresh(piece);
        }
    }

    /// A snubbed source sends again: it may have pieces for itself.
    pub fn on_source_recovered(&mut self, source: SourceId) {
        if let Some(entry) = self.sources.get_mut(&source) {
            entry.snubbed = false;
        }
    }

    /// A block came. It is accepted where it was free too: a late answer to a request that was given up.
    pub fn on_block(&mut self, source: SourceId, block: BlockRef) -> BlockOutcome {
        let piece = block.piece;
        if self.geometry.block(piece, block.number()) != Some(block) {
            return BlockOutcome::Unwanted;
        }
        let Some(partial) = self.partials.get_mut(&piece) else {
            return if self.have.get(piece.get()) { BlockOutcome::Duplicate } else { BlockOutcome::Unwanted };
        };
        let n = block.number();
        if matches!(partial.slot(n), None | Some(Slot::Received(_))) {
            return BlockOutcome::Duplicate;
        }
        let askers = partial.receive(n, source);
        let complete = partial.is_filled();
        let mut cancel = askers.more;
        cancel.extend(askers.first);
        for asker in &cancel {
            if let Some(entry) = self.sources.get_mut(asker) {
                entry.asked -= 1;
            }
        }
        cancel.retain(|&asker| asker != source);
        if complete {
            self.turn(piece, Fact::Filled);
        } else if partial_was_open(askers.first) {
            self.refresh(piece);
        }
        BlockOutcome::Accepted { complete, cancel }
    }

    /// All blocks of a piece follow at once, without having been asked for: those that are missing will be accepted.
    pub fn on_found(&mut self, piece: PieceIndex) {
        self.turn(piece, Fact::Asked);
    }

    /// A received block was found bad alone (BEP 52's Merkle tree): it is askable again. Its piece goes on. Answers
    /// whether the block was here.
    pub fn on_block_bad(&mut self, block: BlockRef) -> bool {
        let n = block.number();
        let here = |partial: &Partial| matches!(partial.slot(n), Some(Slot::Received(_)));
        let here = self.partials.get(&block.piece).is_some_and(here);
        if !here || !self.turn(block.piece, Fact::BlockRefused) {
            return false;
        }
        if let Some(partial) = self.partials.get_mut(&block.piece) {
            partial.refuse(n);
        }
        self.settle(block.piece);
        true
    }

    /// A piece's digest was right; its write is awaited. Answers whether the piece was waiting for that.
    pub fn on_verified(&mut self, piece: PieceIndex) -> bool {
        self.turn(piece, Fact::Verified)
    }

    /// A piece's digest was wrong: all of it is forgotten, its senders too. Answers whether it was waiting for that.
    pub fn on_hash_failed(&mut self, piece: PieceIndex) -> bool {
        self.turn(piece, Fact::HashFailed)
    }

    /// A verified piece is on disk. If the answer is true it is ours from now on: tell the peers.
    pub fn on_written(&mut self, piece: PieceIndex) -> bool {
        self.turn(piece, Fact::Written)
    }

    /// The disk refused a piece or some of its blocks: all of it is forgotten. Requests still under way are forgotten
    /// too: see `askers` before. Answers whether there was something to forget.
    pub fn on_write_failed(&mut self, piece: PieceIndex) -> bool {
        self.turn(piece, Fact::WriteFailed)
    }

    /// A check found the piece on disk. Requests still under way for it are forgotten: see `askers` before. Answers
    /// whether that is news.
    pub fn on_stored(&mut self, piece: PieceIndex) -> bool {
        self.turn(piece, Fact::Stored)
    }

    /// A piece that we had is not on disk any more (tell the peers by BEP 54). Answers whether we had it.
    pub fn on_lost(&mut self, piece: PieceIndex) -> bool {
        self.turn(piece, Fact::Lost)
    }

    /// Forgets what is asked and here of a piece that is being fetched, after it was unselected. Answers the requests
    /// that were under way, by number of block: cancel them.
    pub fn abandon(&mut self, piece: PieceIndex) -> Vec<(u32, SourceId)> {
        let asked: Vec<_> = self.askers(piece).collect();
        if self.state(piece) == PieceState::Partial {
            self.turn(piece, Fact::WriteFailed);
        }
        asked
    }

    /// What must hold between the tables; for tests. Panics where it doesn't. Goes through everything.
    pub fn check(&self) {
        let mut asked = alloc::collections::BTreeMap::<SourceId, u32>::new();
        for (&piece, partial) in &self.partials {
            partial.check();
            assert!(!self.have.get(piece.get()));
            assert!(!partial.is_empty(), "an empty partial piece stayed");
            assert_eq!(partial.slots.len() as u32, self.geometry.blocks(piece));
            assert_eq!(self.open.contains(&piece), partial.free > 0 && self.priority(piece) > 0);
            partial.askers().for_each(|(_, source)| *asked.entry(source).or_default() += 1);
        }
        assert!(self.open.iter().all(|piece| self.partials.contains_key(piece)));
        assert!(self.deadlines.iter().all(|(_, piece)| !self.have.get(piece.get())));
        for (source, entry) in &self.sources {
            assert_eq!(entry.asked, asked.remove(source).unwrap_or(0), "{source:?}");
        }
        assert!(asked.is_empty());
        let left = |wanted: bool| {
            let left = self.geometry.iter().filter(move |p| !self.have.get(p.get()));
            left.filter(move |&p| !wanted || self.priority(p) > 0)
        };
        let bytes = |piece| u64::from(self.geometry.length_of(piece));
        assert_eq!(self.bytes_left, left(false).map(bytes).sum::<u64>());
        assert_eq!(self.wanted_bytes_left, left(true).map(bytes).sum::<u64>());
        assert_eq!(self.wanted_left as usize, left(true).count());
        assert!(left(true).all(|piece| self.is_needed(piece)));
        assert_eq!(self.settled().count(), self.geometry.pieces() - self.wanted_left);
        if let Some(order) = &self.order {
            order.check(&self.availability, |i| self.priority_if_missing(i));
        }
    }

    /// The order of pieces, made if it isn't there.
    pub(super) fn sort(&mut self) {
        if self.order.is_some() {
            return;
        }
        let mut uniform = [false; LEVELS];
        uniform[usize::from(PRIORITY_DEFAULT)] = true;
        let levels = self.selection.as_ref().map_or(uniform, |selection| selection.levels());
        let priority_of = |i| self.priority_if_missing(i);
        let order = Order::new(self.geometry.pieces(), levels, &self.availability, priority_of);
        self.order = Some(Box::new(order));
    }

    /// The one way from state to state. Answers whether the piece could go it.
    pub(super) fn turn(&mut self, piece: PieceIndex, fact: Fact) -> bool {
        let before = self.state(piece);
        let Some(after) = before.after(fact) else { return false };
        match before {
            PieceState::Missing => {
                if let Some(order) = &mut self.order {
                    order.remove(piece.get());
                }
            }
            PieceState::Have => self.count_left(piece, false),
            PieceState::Unwanted | PieceState::Partial | PieceState::Checking | PieceState::Writing => {}
        }
        match after {
            PieceState::Unwanted | PieceState::Missing => {
                self.forget(piece);
                let priority = self.priority(piece);
                if let (Some(order), true) = (&mut self.order, priority > 0) {
                    order.insert(piece.get(), priority, self.availability.beside_seeds(piece.get()));
                }
            }
            PieceState::Partial => self.stage(piece, Stage::Fetching),
            PieceState::Checking => self.stage(piece, Stage::Checking),
            PieceState::Writing => self.stage(piece, Stage::Writing),
            PieceState::Have => {
                self.forget(piece);
                self.count_left(piece, true);
                self.deadlines.retain(|&(_, p)| p != piece);
                self.order = self.order.take().filter(|_| self.wanted_left > 0);
            }
        }
        true
    }

    /// Keeps `open` true after a change to a partial piece's blocks or priority.
    pub(super) fn refresh(&mut self, piece: PieceIndex) {
        let free = self.partials.get(&piece).is_some_and(|partial| partial.free > 0);
        if free && self.priority(piece) > 0 {
            self.open.insert(piece);
        } else {
            self.open.remove(&piece);
        }
    }

    /// After blocks became free: the piece may be asked again, or nothing of it is left.
    fn settle(&mut self, piece: PieceIndex) {
        if self.partials.get(&piece).is_some_and(Partial::is_empty) {
            self.turn(piece, Fact::Emptied);
        } else {
            self.refresh(piece);
        }
    }

    fn stage(&mut self, piece: PieceIndex, stage: Stage) {
        let blocks = self.geometry.blocks(piece);
        self.partials.entry(piece).or_insert_with(|| Partial::new(blocks)).stage = stage;
        self.refresh(piece);
    }

    /// Drops a partial piece, with the requests under way for it.
    fn forget(&mut self, piece: PieceIndex) {
        self.open.remove(&piece);
        let Some(partial) = self.partials.remove(&piece) else { return };
        for (_, source) in partial.askers() {
            if let Some(entry) = self.sources.get_mut(&source) {
                entry.asked -= 1;
            }
        }
    }

    fn count_left(&mut self, piece: PieceIndex, here: bool) {
        let length = u64::from(self.geometry.length_of(piece));
        let wanted = self.priority(piece) > 0;
        let selection = self.selection.as_mut().filter(|_| wanted);
        if here {
            self.have.set(piece.get());
            selection.map(|s| s.settled.set(piece.get()));
            self.bytes_left -= length;
            self.wanted_bytes_left -= if wanted { length } else { 0 };
            self.wanted_left -= u32::from(wanted);
        } else {
            self.have.clear(piece.get());
            selection.map(|s| s.settled.clear(piece.get()));
            self.bytes_left += length;
            self.wanted_bytes_left += if wanted { length } else { 0 };
            self.wanted_left += u32::from(wanted);
        }
    }

    fn priority_if_missing(&self, i: u32) -> Option<u8> {
        let piece = self.geometry.piece(i)?;
        (self.state(piece) == PieceState::Missing).then(|| self.priority(piece))
    }
}

/// Whether a block that came took a free place: then its piece may have none left.
fn partial_was_open(first: Option<SourceId>) -> bool {
    first.is_none()
}
