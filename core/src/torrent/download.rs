//! What is asked of whom, and what becomes of the blocks that come: memory, storage, have. What their digests
//! say is next door.

use super::content::Content;
use super::{Context, Direction, Errand, Outcome, Output, Torrent, TorrentEvent, Work};
use crate::base::{BLOCK, BlockRef, PieceIndex, Want};
use crate::peer::Parts;
use crate::picker::{BlockOutcome, Pick, PieceState, SourceId};
use crate::store::Accepted;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Torrent {
    /// Asks a peer for as many blocks as its pipeline, the memory and the rate limits allow.
    pub(super) fn plan(&mut self, cx: &mut Context<'_>, n: u32) {
        if !self.is_active() {
            return;
        }
        let share = self.share(cx, n);
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&n)) else { return };
        let session = &mut peer.session;
        let choked = session.peer_choking();
        if peer.held_down
            || peer.refused > REFUSED_MAX
            || !session.am_interested()
            || (choked && session.allowed_fast().is_empty())
        {
            return;
        }
        let free = share.saturating_sub(u64::from(session.requested_bytes())).div_ceil(u64::from(BLOCK));
        let wanted = u64::from(session.requests_wanted()).min(free);
        if wanted == 0 {
            return;
        }
        let room = content.marks.room() / u64::from(BLOCK);
        let count = wanted.min(room);
        let allowed = match count {
            0 => 0,
            _ => cx.gate.take(cx.now, peer.pass, Direction::Down, count * u64::from(BLOCK)),
        };
        if count > 0 && allowed < u64::from(BLOCK) {
            cx.gate.refund(cx.now, peer.pass, Direction::Down, allowed);
            peer.held_down = allowed == 0;
            return;
        }
        let mut blocks = Vec::new();
        let bits = session.peer_pieces();
        let mut all = !bits.is_empty() && bits.is_full();
        let both = content.judgeable.as_ref().map(|judgeable| judgeable.both(bits));
        let bits = both.as_ref().unwrap_or(bits);
        all &= both.is_none();
        let pick = Pick {
            source: SourceId(n),
            pieces: if all { crate::picker::PeerPieces::All } else { crate::picker::PeerPieces::Some(bits) },
            only: choked.then(|| session.allowed_fast()),
            suggested: &peer.suggested,
            count: (allowed / u64::from(BLOCK)) as usize,
            fast: session.pipeline_depth() >= FAST_DEPTH,
            may_start: true,
            now: cx.now,
        };
        content.picker.pick(&mut self.rng, &pick, &mut blocks);
        let mut asked = 0;
        for &block in &blocks {
            if session.request(cx.now, block) {
                asked += u64::from(block.length);
            } else {
                content.picker.on_released(SourceId(n), block);
            }
        }
        content.marks.on_asked(asked);
        cx.gate.refund(cx.now, peer.pass, Direction::Down, allowed - asked.min(allowed));
        if (blocks.len() as u64) < wanted && !core::mem::replace(&mut peer.hungry, true) {
            self.hungry.push_back(n);
        }
        if !blocks.is_empty() {
            self.arm(cx.now, n);
            self.output(Output::Touched(n));
        }
    }

    /// How many bytes may be asked of one peer at a time: an equal part of the memory for those who serve us. What is
    /// asked of one can't be had of another, and several who ask a seed for much ask it for the same. While leeches
    /// together give us more than a seed does, it is asked for less: they have what it has, and others need it more.
    pub(super) fn share(&self, cx: &Context<'_>, n: u32) -> u64 {
        let (mut sources, mut leeches) = (0, 0);
        for peer in self.peers.values() {
            if peer.session.am_interested() && !peer.session.peer_choking() {
                sources += 1;
                leeches += if peer.is_seed() { 0 } else { peer.session.downloaded().rate(cx.now) };
            }
        }
        sources += self.web_sources(n);
        let share = (cx.config.store_bytes_max / sources.max(1)).max(SHARE_BYTES_MIN) as u64;
        let spared =
            |peer: &super::peers::Peer| peer.is_seed() && leeches > peer.session.downloaded().rate(cx.now);
        if self.peers.get(&n).is_some_and(|peer| spared(peer)) { share / SPARED } else { share }
    }

    /// Blocks or room became free: whoever could be asked for more is, in turn, while there is room. Who is still hungry
    /// then waits behind the others.
    pub(super) fn feed(&mut self, cx: &mut Context<'_>) {
        for _ in 0..self.hungry.len() {
            let room = self.content.as_deref().map_or(0, |content| content.marks.room());
            if room < u64::from(BLOCK) {
                return;
            }
            let Some(n) = self.hungry.pop_front() else { return };
            if let Some(peer) = self.peers.get_mut(&n) {
                peer.hungry = false;
                self.plan(cx, n);
            } else {
                self.feed_web(cx, n);
            }
        }
    }

    /// Tokens are there for a peer that waited to be asked.
    pub fn on_download_allowed(&mut self, cx: &mut Context<'_>, n: u32) {
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.held_down = false;
            self.plan(cx, n);
            self.output(Output::Touched(n));
        } else {
            self.on_web_allowed(cx, n);
        }
    }

    /// Requests that won't be answered: their blocks may be asked of others.
    pub(super) fn on_lost(&mut self, cx: &mut Context<'_>, n: u32, blocks: &[BlockRef]) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get(&n)) else { return };
        for &block in blocks {
            content.picker.on_released(SourceId(n), block);
            content.marks.on_settled(u64::from(block.length));
            cx.gate.refund(cx.now, peer.pass, Direction::Down, u64::from(block.length));
        }
        if !blocks.is_empty() {
            self.feed(cx);
        }
    }

    /// A request is refused, though the peer lets us ask. Its block may be asked of it again, but not for ever.
    pub(super) fn on_rejected(&mut self, cx: &mut Context<'_>, n: u32, block: BlockRef) {
        if let Some(peer) = self.peers.get_mut(&n)
            && !peer.session.peer_choking()
        {
            peer.refused += 1;
        }
        self.on_lost(cx, n, &[block]);
    }

    /// A peer that refused too much may be asked again.
    pub(super) fn forgive(&mut self, n: u32) {
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.refused = 0;
        }
    }

    pub(super) fn on_snubbed(&mut self, cx: &mut Context<'_>, n: u32) {
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.snubbed = true;
        }
        if let Some(content) = &mut self.content {
            content.picker.on_source_snubbed(SourceId(n));
        }
        self.feed(cx);
    }

    /// A block that was asked for.
    pub(super) fn on_block(&mut self, cx: &mut Context<'_>, n: u32, block: BlockRef, data: Parts) {
        let length = u64::from(block.length);
        self.down.add(cx.now, length);
        let Some(content) = &mut self.content else { return };
        content.marks.on_settled(length);
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.refused = 0;
            if core::mem::take(&mut peer.snubbed) {
                content.picker.on_source_recovered(SourceId(n));
            }
        }
        match content.picker.on_block(SourceId(n), block) {
            BlockOutcome::Accepted { complete: _, cancel } => {
                self.keep(cx, block, data);
                for other in cancel {
                    self.take_back(cx, other.0, block);
                }
            }
            BlockOutcome::Duplicate | BlockOutcome::Unwanted => self.wasted += length,
        }
    }

    /// A block that isn't asked for any more. While it is missing it is as good as any.
    pub(super) fn on_unrequested(&mut self, cx: &mut Context<'_>, n: u32, block: BlockRef, data: Parts) {
        let length = u64::from(block.length);
        self.down.add(cx.now, length);
        // What was paid for it, if it ever was, was given back when its request was given up.
        if let Some(peer) = self.peers.get(&n) {
            cx.gate.pay(cx.now, peer.pass, Direction::Down, length);
        }
        let Some(content) = &mut self.content else { return };
        match content.picker.on_block(SourceId(n), block) {
            BlockOutcome::Accepted { complete: _, cancel } => {
                self.keep(cx, block, data);
                for other in cancel {
                    self.take_back(cx, other.0, block);
                }
            }
            BlockOutcome::Duplicate | BlockOutcome::Unwanted => self.wasted += length,
        }
    }

    pub(super) fn take_back(&mut self, cx: &mut Context<'_>, n: u32, block: BlockRef) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&n)) else {
            return self.take_back_web(cx, n, block);
        };
        if peer.session.cancel(cx.now, block) {
            content.marks.on_settled(u64::from(block.length));
            cx.gate.refund(cx.now, peer.pass, Direction::Down, u64::from(block.length));
            self.output(Output::Touched(n));
            self.plan(cx, n);
        }
    }

    /// Lets go what is asked and here of pieces that aren't wanted any more.
    pub(super) fn abandon_unwanted(&mut self, cx: &mut Context<'_>) {
        let Some(content) = &self.content else { return };
        let unwanted = |&(piece, state): &(PieceIndex, PieceState)| {
            state == PieceState::Partial && content.picker.priority(piece) == 0
        };
        let pieces: Vec<PieceIndex> = content.picker.partials().filter(unwanted).map(|(p, _)| p).collect();
        for piece in pieces {
            let Some(content) = &mut self.content else { return };
            content.drop_collected(piece);
            let asked = content.picker.abandon(piece);
            let geometry = Arc::clone(&content.geometry);
            for (number, source) in asked {
                if let Some(block) = geometry.block(piece, number) {
                    self.take_back(cx, source.0, block);
                }
            }
        }
    }

    pub(super) fn keep(&mut self, cx: &mut Context<'_>, block: BlockRef, data: Parts) {
        let Some(content) = &mut self.content else { return };
        let before = content.assembly.pinned();
        let parts: Vec<_> = data.into_iter().collect();
        let accepted = content.assembly.on_block(&content.geometry, block, parts);
        content.marks.on_collected(before, content.assembly.pinned());
        match accepted {
            Accepted::More => {}
            Accepted::Complete => self.hash(block.piece),
            Accepted::CompleteStored => self.spill(block.piece),
            Accepted::Duplicate | Accepted::Unfit => {
                debug_assert!(false, "the picker accepted a block that the store has");
            }
        }
        while let Some(piece) = self.next_spill() {
            self.spill(piece);
        }
        let _ = cx;
    }

    fn next_spill(&self) -> Option<PieceIndex> {
        let content = self.content.as_deref().filter(|content| content.marks.spill() > 0)?;
        content.assembly.next_spill()
    }

    /// A whole piece is in memory: its digest is asked for.
    fn hash(&mut self, piece: PieceIndex) {
        let Some(content) = &mut self.content else { return };
        let before = content.assembly.pinned();
        let Some(taken) = content.assembly.take(piece) else { return };
        content.marks.on_collected(before, content.assembly.pinned());
        content.marks.on_jobs(0, taken.bytes);
        let data = taken.chunks.clone();
        let pad = content.geometry.padded_length(piece) - content.geometry.length_of(piece);
        let want = content.wanted_of(piece);
        content.awaiting.insert(piece, taken);
        self.job(Errand::Hash(piece), Work::Hash { data, pad, want });
    }

    /// Memory is short: what is in memory of a piece is written unverified, and hashed from storage when it is whole.
    fn spill(&mut self, piece: PieceIndex) {
        let Some(content) = &mut self.content else { return };
        let before = content.assembly.pinned();
        let Some(spill) = content.assembly.spill(&content.geometry, &content.layout, piece) else { return };
        content.marks.on_collected(before, content.assembly.pinned());
        content.marks.on_jobs(0, spill.bytes);
        let errand = Errand::Spill { piece, epoch: spill.epoch, bytes: spill.bytes };
        let work =
            Work::Write { torrent: self.id, extents: spill.scatter.extents, data: spill.scatter.chunks };
        self.job(errand, work);
    }

    pub(super) fn on_spilled(
        &mut self,
        cx: &mut Context<'_>,
        (piece, epoch): (PieceIndex, u64),
        bytes: u64,
        outcome: Outcome,
    ) {
        let Some(content) = &mut self.content else { return };
        content.marks.on_jobs(bytes, 0);
        if outcome != Outcome::Written {
            if content.assembly.is_at(piece, epoch) {
                content.drop_collected(piece);
                content.picker.on_write_failed(piece);
            }
            return self.fail_with(cx, "can't write", outcome);
        }
        if content.assembly.on_spilled(piece, epoch) {
            let (parts, pad) = content.stored(piece);
            let want = content.wanted_of(piece);
            self.job(Errand::HashStored(piece), Work::HashStored { torrent: self.id, parts, pad, want });
        }
        self.feed(cx);
    }

    pub(super) fn on_piece_written(
        &mut self,
        cx: &mut Context<'_>,
        piece: PieceIndex,
        bytes: u64,
        outcome: Outcome,
    ) {
        let Some(content) = &mut self.content else { return };
        content.marks.on_jobs(bytes, 0);
        if outcome != Outcome::Written {
            content.picker.on_write_failed(piece);
            return self.fail_with(cx, "can't write", outcome);
        }
        self.on_have_piece(cx, piece);
        self.feed(cx);
    }

    /// A piece is verified and written: everyone may know.
    pub(super) fn on_have_piece(&mut self, cx: &mut Context<'_>, piece: PieceIndex) {
        let Some(content) = &mut self.content else { return };
        if !content.picker.on_written(piece) {
            return;
        }
        content.written.set(piece.get());
        self.save.touch(cx.now, cx.config.save_interval);
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            if let Some(peer) = self.peers.get_mut(&n) {
                peer.session.have(piece);
                self.output(Output::Touched(n));
            }
            self.heed_interest(cx.now, n);
            self.arm(cx.now, n);
        }
        self.event(TorrentEvent::Verified(piece));
        self.event(TorrentEvent::Progress);
        self.check_complete(cx);
    }

    /// Whether all that is wanted is here now.
    pub(super) fn check_complete(&mut self, cx: &mut Context<'_>) {
        if !self.is_seeding() || !self.is_active() {
            return;
        }
        let whole = self.content.as_deref().is_some_and(|content| content.picker.is_complete());
        // What is read beside the selection completes nothing, until it is all there is.
        if self.completed && !(self.on_demand && whole) {
            return;
        }
        self.on_demand &= !whole;
        self.completed = true;
        self.event(TorrentEvent::Completed);
        if whole && self.down.total() > 0 && !core::mem::replace(&mut self.announced_completed, true) {
            self.announce_completed(cx);
        }
        if self.is_sated() {
            self.tell_upload_only(true);
        }
        self.end_web(cx);
        self.part_from_seeds(cx, None);
        // What was found stored is saved with what the check found.
        if self.down.total() > 0 {
            self.save(cx);
        }
        self.begin_super_seed();
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            self.heed_interest(cx.now, n);
            self.arm(cx.now, n);
            self.output(Output::Touched(n));
        }
    }

    /// Tells everyone whether we want nothing more: all, or all that was selected, is here (BEP 21).
    pub(super) fn tell_upload_only(&mut self, upload_only: bool) {
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            self.tell_one_upload_only(n, upload_only);
        }
    }

    pub(super) fn tell_one_upload_only(&mut self, n: u32, upload_only: bool) {
        if let Some(peer) = self.peers.get_mut(&n)
            && peer.told_upload_only != upload_only
            && peer.session.upload_only(upload_only)
        {
            peer.told_upload_only = upload_only;
            self.output(Output::Touched(n));
        }
    }
}

impl Content {
    /// Lets go what was collected of a piece.
    pub(super) fn drop_collected(&mut self, piece: PieceIndex) {
        let before = self.assembly.pinned();
        self.assembly.drop_piece(piece);
        self.marks.on_collected(before, self.assembly.pinned());
    }

    /// Which digests of a piece are worth computing.
    fn wanted_of(&self, piece: PieceIndex) -> Want {
        let want = self.verify.wanted();
        Want { leaves: want.leaves || self.blame.remembers(piece), ..want }
    }
}

/// A seed is asked for this part while leeches give us more.
const SPARED: u64 = 4;

/// Bytes that may always be asked of one peer at a time.
const SHARE_BYTES_MIN: usize = 1 << 20;

/// Requests outstanding from which on a peer counts as fast: it gets pieces of its own.
const FAST_DEPTH: u32 = 32;

/// Requests that a peer may refuse one after the other while it lets us ask. Then it isn't asked until it unchokes us
/// anew: asking and refusing could go on for ever.
const REFUSED_MAX: u32 = 512;
