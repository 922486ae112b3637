//! Digests of pieces against what the torrent says: good ones are written, bad ones are blamed on who sent them.

use super::content::Content;
use super::{Context, Errand, Outcome, Torrent, Work};
use crate::base::{Chunk, Digests, PieceIndex, Want};
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
        if let Some(trees) = content.verify.trees_mut() {
            trees.forget_leaves(piece);
        }
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
        match content.blame.on_failed(piece, leaves, senders) {
            Some(liar) => self.ban(cx, liar),
            None => self.want_leaves(cx, piece),
        }
    }

    /// v2 leaves say which blocks are bad: only these are fetched again.
    fn on_blocks_bad(&mut self, cx: &mut Context<'_>, piece: PieceIndex, blocks: &[u32]) {
        let Some(content) = &mut self.content else { return };
        let senders: Vec<(u32, u32)> =
            content.picker.senders(piece).map(|(block, source)| (block, source.0)).collect();
        let liars = Blame::on_blocks_bad(blocks, &senders);
        match content.awaiting.remove(&piece) {
            Some(taken) => {
                content.marks.on_jobs(taken.bytes, 0);
                self.wasted += content.refuse_blocks(piece, blocks, &taken.chunks);
            }
            // Its good blocks are stored only: they are fetched again with the bad ones.
            None => {
                content.picker.on_hash_failed(piece);
                self.wasted += u64::from(content.geometry.length_of(piece));
            }
        }
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

impl Content {
    /// Some blocks of a whole piece in memory are bad: the others are kept. Gives how many bytes are to come again.
    fn refuse_blocks(&mut self, piece: PieceIndex, bad: &[u32], chunks: &[Chunk]) -> u64 {
        let before = self.assembly.pinned();
        let mut refused = 0;
        for number in 0..self.geometry.blocks(piece) {
            let Some(block) = self.geometry.block(piece, number) else { continue };
            if bad.contains(&number) {
                self.picker.on_block_bad(block);
                refused += u64::from(block.length);
            } else {
                let parts = cut(chunks, block.begin as usize, block.length as usize);
                let kept = self.assembly.on_block(&self.geometry, block, parts);
                debug_assert!(kept == crate::store::Accepted::More, "the piece was taken out whole");
            }
        }
        self.marks.on_collected(before, self.assembly.pinned());
        refused
    }
}

/// A stretch of bytes that lie in chunks one after the other.
fn cut(chunks: &[Chunk], mut from: usize, mut length: usize) -> Vec<Chunk> {
    let mut parts = Vec::new();
    for chunk in chunks {
        let here = chunk.len().saturating_sub(from).min(length);
        if here > 0 {
            parts.push(chunk.slice(from, from + here));
        }
        from = from.saturating_sub(chunk.len());
        length -= here;
    }
    parts
}
