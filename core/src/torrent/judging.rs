//! Digests of pieces against what the torrent says: good ones are written, bad ones are blamed on who sent them.

use super::{Context, Errand, Outcome, Torrent, Work};
use crate::base::{Digests, PieceIndex, Want};
use crate::store::Taken;
use crate::verify::{Blame, Verdict};
use alloc::format;
use alloc::vec::Vec;

impl Torrent {
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
}
