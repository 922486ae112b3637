//! What is asked of whom, and what becomes of the blocks that come: digest, write, have; or blame.

use super::content::Content;
use super::{Context, Direction, Errand, Outcome, Output, Torrent, TorrentEvent, Work};
use crate::base::{BLOCK, BlockRef, Digests, PieceIndex, Want};
use crate::peer::Parts;
use crate::picker::{BlockOutcome, Pick, PieceState, SourceId};
use crate::store::{Accepted, Taken};
use crate::verify::{Blame, Verdict};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Torrent {
    /// Asks a peer for as many blocks as its pipeline, the memory and the rate limits allow.
    pub(super) fn plan(&mut self, cx: &mut Context<'_>, n: u32) {
        if !self.is_active() {
            return;
        }
        let share = self.share(cx);
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&n)) else { return };
        let session = &mut peer.session;
        let choked = session.peer_choking();
        if peer.held_down || !session.am_interested() || (choked && session.allowed_fast().is_empty()) {
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
        let all = !bits.is_empty() && bits.is_full();
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
        if (blocks.len() as u64) < wanted {
            self.hungry.insert(n);
        } else {
            self.hungry.remove(&n);
        }
        if !blocks.is_empty() {
            self.arm(cx.now, n);
            self.output(Output::Touched(n));
        }
    }

    /// How many bytes may be asked of one peer at a time: an equal part of the memory for those who serve us. What is
    /// asked of one can't be had of another, and several who ask a seed for much ask it for the same.
    fn share(&self, cx: &Context<'_>) -> u64 {
        let serving = |peer: &&alloc::boxed::Box<super::peers::Peer>| {
            peer.session.am_interested() && !peer.session.peer_choking()
        };
        let sources = self.peers.values().filter(serving).count().max(1);
        (cx.config.store_bytes_max / sources).max(SHARE_BYTES_MIN) as u64
    }

    /// Blocks or room became free: whoever could be asked for more is.
    pub(super) fn feed(&mut self, cx: &mut Context<'_>) {
        let hungry = core::mem::take(&mut self.hungry);
        for n in hungry {
            self.plan(cx, n);
        }
    }

    /// Tokens are there for a peer that waited to be asked.
    pub fn on_download_allowed(&mut self, cx: &mut Context<'_>, n: u32) {
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.held_down = false;
            self.plan(cx, n);
            self.output(Output::Touched(n));
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
        if let Some(peer) = self.peers.get_mut(&n)
            && core::mem::take(&mut peer.snubbed)
        {
            content.picker.on_source_recovered(SourceId(n));
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

    fn take_back(&mut self, cx: &mut Context<'_>, n: u32, block: BlockRef) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&n)) else { return };
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

    fn keep(&mut self, cx: &mut Context<'_>, block: BlockRef, data: Parts) {
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

    pub(super) fn on_piece_hashed(&mut self, cx: &mut Context<'_>, piece: PieceIndex, outcome: Outcome) {
        match outcome.digests() {
            Ok(digests) => self.judge(cx, piece, digests),
            Err(outcome) => {
                self.drop_awaiting(piece);
                self.fail_with(cx, "can't hash", outcome);
            }
        }
    }

    /// A piece's digests are known: compare.
    pub(super) fn judge(&mut self, cx: &mut Context<'_>, piece: PieceIndex, digests: Digests) {
        let Some(content) = &mut self.content else { return };
        match content.verify.judge(&content.geometry, piece, &digests) {
            Verdict::Good => self.on_good(cx, piece, &digests),
            Verdict::Bad => self.on_bad(cx, piece, &digests),
            Verdict::BlocksBad(blocks) => self.on_blocks_bad(cx, piece, &blocks),
            Verdict::Unknown => {
                content.unjudged.insert(piece, digests);
                self.want_hash(cx, piece);
            }
            Verdict::Inconsistent => {
                self.drop_awaiting(piece);
                let reason =
                    format!("the torrent contradicts itself: the two hashes of piece {}", piece.get());
                self.fail(cx, reason);
            }
        }
    }

    fn on_good(&mut self, cx: &mut Context<'_>, piece: PieceIndex, digests: &Digests) {
        let Some(content) = &mut self.content else { return };
        let liars = content.blame.on_passed(piece, &digests.leaves);
        if !content.picker.on_verified(piece) {
            return self.drop_awaiting(piece);
        }
        match content.awaiting.get(&piece) {
            Some(taken) => {
                let scatter =
                    content.layout.scatter(content.geometry.start(piece), taken.chunks.iter().cloned());
                let (errand, id) = (Errand::Write(piece, taken.bytes), self.id);
                content.awaiting.remove(&piece);
                self.job(errand, Work::Write { torrent: id, extents: scatter.extents, data: scatter.chunks });
            }
            // Its blocks are written already.
            None => self.on_have_piece(cx, piece),
        }
        for liar in liars {
            self.ban(cx, liar);
        }
    }

    fn on_bad(&mut self, cx: &mut Context<'_>, piece: PieceIndex, digests: &Digests) {
        let Some(content) = &mut self.content else { return };
        self.wasted += u64::from(content.geometry.length_of(piece));
        let senders: Vec<(u32, u32)> =
            content.picker.senders(piece).map(|(block, source)| (block, source.0)).collect();
        let taken = content.awaiting.remove(&piece);
        if let Some(taken) = &taken {
            content.marks.on_jobs(taken.bytes, 0);
        }
        content.picker.on_hash_failed(piece);
        tracing::debug!(torrent = ?self.id, piece = piece.get(), "a piece fails its digest");
        if digests.leaves.is_empty() {
            // Who sent which block wrong can only be told from digests of blocks: one more job, on a bad day only.
            let want = Want { sha1: false, leaves: true };
            match taken {
                Some(Taken { chunks, .. }) => {
                    self.job(Errand::Blame(piece, senders), Work::Hash { data: chunks, pad: 0, want });
                }
                None => {
                    let (parts, pad) = content.stored(piece);
                    let work = Work::HashStored { torrent: self.id, parts, pad, want };
                    self.job(Errand::Blame(piece, senders), work);
                }
            }
        } else {
            self.on_blamable(cx, piece, &digests.leaves, &senders);
        }
        self.feed(cx);
    }

    pub(super) fn on_blame(
        &mut self,
        cx: &mut Context<'_>,
        piece: PieceIndex,
        senders: &[(u32, u32)],
        outcome: Outcome,
    ) {
        if let Outcome::Digests(digests) = outcome {
            self.on_blamable(cx, piece, &digests.leaves, senders);
        }
    }

    fn on_blamable(
        &mut self,
        cx: &mut Context<'_>,
        piece: PieceIndex,
        leaves: &[[u8; 32]],
        senders: &[(u32, u32)],
    ) {
        let Some(content) = &mut self.content else { return };
        if let Some(liar) = content.blame.on_failed(piece, leaves, senders) {
            self.ban(cx, liar);
        }
    }

    /// v2 leaves say which blocks are bad: only these are fetched again.
    fn on_blocks_bad(&mut self, cx: &mut Context<'_>, piece: PieceIndex, blocks: &[u32]) {
        let Some(content) = &mut self.content else { return };
        let senders: Vec<(u32, u32)> =
            content.picker.senders(piece).map(|(block, source)| (block, source.0)).collect();
        let liars = Blame::on_blocks_bad(blocks, &senders);
        let taken = content.awaiting.remove(&piece);
        if let Some(taken) = &taken {
            content.marks.on_jobs(taken.bytes, 0);
        }
        content.picker.on_hash_failed(piece);
        self.wasted += u64::from(content.geometry.length_of(piece));
        for liar in liars {
            self.ban(cx, liar);
        }
        self.feed(cx);
    }

    fn drop_awaiting(&mut self, piece: PieceIndex) {
        let Some(content) = &mut self.content else { return };
        content.unjudged.remove(&piece);
        if let Some(taken) = content.awaiting.remove(&piece) {
            content.marks.on_jobs(taken.bytes, 0);
        }
        content.picker.on_hash_failed(piece);
    }

    pub(super) fn on_stored_hashed(&mut self, cx: &mut Context<'_>, piece: PieceIndex, outcome: Outcome) {
        match outcome.digests() {
            Ok(digests) => self.judge(cx, piece, digests),
            Err(Outcome::Absent) => {
                self.drop_awaiting(piece);
                self.feed(cx);
            }
            Err(outcome) => {
                self.drop_awaiting(piece);
                self.fail_with(cx, "can't read back", outcome);
            }
        }
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
    fn on_have_piece(&mut self, cx: &mut Context<'_>, piece: PieceIndex) {
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
        if self.completed || !self.is_seeding() || !self.is_active() {
            return;
        }
        self.completed = true;
        self.event(TorrentEvent::Completed);
        let whole = self.content.as_deref().is_some_and(|content| content.picker.is_complete());
        if whole && self.down.total() > 0 && !core::mem::replace(&mut self.announced_completed, true) {
            self.announce_completed(cx);
        }
        self.tell_upload_only(true);
        self.part_from_seeds(cx, None);
        self.save(cx);
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
        for peer in self.peers.values_mut() {
            if peer.told_upload_only != upload_only && peer.session.upload_only(upload_only) {
                peer.told_upload_only = upload_only;
            }
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

/// Bytes that may always be asked of one peer at a time.
const SHARE_BYTES_MIN: usize = 1 << 20;

/// Requests outstanding from which on a peer counts as fast: it gets pieces of its own.
const FAST_DEPTH: u32 = 32;
