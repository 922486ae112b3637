//! v2 hashes: those that are missing from peers, those that peers ask for from what is known or stored (BEP 52).

use super::{Context, Errand, Outcome, Output, Torrent, Work};
use crate::base::{Chunk, Instant, PieceIndex, Want};
use crate::picker::PieceState;
use crate::verify::{self, HashFault, Learned, Serve};
use crate::wire::message::HashRange;
use alloc::vec::Vec;

/// Requests for leaves of one peer that may wait for storage at a time; beyond that they are rejected.
const ASKED_MAX: usize = 2;

impl Torrent {
    pub(super) fn hashes_deadline(&self) -> Option<Instant> {
        let content = self.content.as_deref().filter(|_| self.is_active())?;
        content.hash_fetch.as_ref()?.deadline()
    }

    pub(super) fn on_hashes_timeout(&mut self, cx: &mut Context<'_>) {
        let Some(fetch) = self.content.as_deref_mut().and_then(|content| content.hash_fetch.as_mut()) else {
            return;
        };
        if fetch.deadline().is_some_and(|at| at <= cx.now) {
            fetch.on_timeout(cx.now);
            self.ask_hashes(cx);
        }
    }

    /// The expected hash of a piece isn't known: get it before others.
    pub(super) fn want_hash(&mut self, cx: &mut Context<'_>, piece: PieceIndex) {
        let Some(content) = self.content.as_deref_mut() else { return };
        let Some(trees) = content.verify.trees() else { return };
        let fetch = content.hash_fetch.get_or_insert_with(|| {
            alloc::boxed::Box::new(verify::Fetch::new(verify::FetchConfig::default()))
        });
        fetch.want_piece(trees, piece);
        self.ask_hashes(cx);
    }

    /// Asks whoever speaks v2 for what is missing.
    pub(super) fn ask_hashes(&mut self, cx: &mut Context<'_>) {
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            self.ask_hashes_of(cx, n);
        }
    }

    pub(super) fn ask_hashes_of(&mut self, cx: &mut Context<'_>, n: u32) {
        let Some(content) = self.content.as_deref_mut() else { return };
        let (Some(fetch), Some(trees)) = (&mut content.hash_fetch, content.verify.trees()) else { return };
        let Some(peer) = self.peers.get_mut(&n).filter(|peer| peer.session.traits().v2) else { return };
        if peer.session.peer_pieces().is_empty() {
            return;
        }
        let mut asked = false;
        while let Some(range) = fetch.next_hash_request(cx.now, trees, n) {
            peer.session.hash_request(range);
            asked = true;
        }
        if asked {
            self.output(Output::Touched(n));
        }
    }

    pub(super) fn on_hashes(&mut self, cx: &mut Context<'_>, n: u32, range: &HashRange, hashes: &Chunk) {
        let Some(content) = self.content.as_deref_mut() else { return };
        let (Some(fetch), Some(trees)) = (&mut content.hash_fetch, content.verify.trees_mut()) else {
            return;
        };
        let list: Vec<[u8; 32]> = hashes.as_chunks::<32>().0.to_vec();
        match fetch.on_hashes(trees, n, range, &list) {
            Ok(Learned::Pieces(pieces)) => {
                let known = content.on_hashes_known(pieces);
                for number in known.into_iter().flatten() {
                    let Some(content) = self.content.as_deref_mut() else { return };
                    let Some(piece) = content.geometry.piece(number) else { continue };
                    if let Some(digests) = content.found.remove(&piece) {
                        self.judge_found(cx, piece, &digests);
                    }
                    let Some(content) = self.content.as_deref_mut() else { return };
                    if let Some(digests) = content.unjudged.remove(&piece) {
                        self.judge(cx, piece, digests);
                    }
                }
                self.feed(cx);
            }
            Ok(Learned::Leaves(piece)) => self.on_leaves_known(cx, piece),
            Err(HashFault::Unasked) => {}
            Err(fault) => {
                tracing::debug!(torrent = ?self.id, n, ?fault, "hashes that prove nothing");
                return self.ban(cx, n);
            }
        }
        self.ask_hashes(cx);
    }

    /// The leaves of a piece that failed: whoever sent other blocks lied.
    fn on_leaves_known(&mut self, cx: &mut Context<'_>, piece: PieceIndex) {
        let Some(content) = self.content.as_deref_mut() else { return };
        let Some(trees) = content.verify.trees() else { return };
        for liar in content.blame.on_leaves(piece, |block| trees.leaf(piece, block)) {
            self.ban(cx, liar);
        }
    }

    /// A piece failed and nobody is known to have lied: its leaves tell which blocks are bad.
    pub(super) fn want_leaves(&mut self, cx: &mut Context<'_>, piece: PieceIndex) {
        let Some(content) = self.content.as_deref_mut() else { return };
        let Some(trees) = content.verify.trees() else { return };
        let fetch = content.hash_fetch.get_or_insert_with(|| {
            alloc::boxed::Box::new(verify::Fetch::new(verify::FetchConfig::default()))
        });
        if fetch.want_blocks(trees, piece, content.geometry.blocks(piece)) {
            self.ask_hashes(cx);
        }
    }

    /// The expected hash of a piece came that was found stored. If it is being fetched since, what is stored may have
    /// been written over.
    fn judge_found(&mut self, cx: &mut Context<'_>, piece: PieceIndex, digests: &crate::base::Digests) {
        let Some(content) = self.content.as_deref() else { return };
        let good = content.verify.judge(&content.geometry, piece, digests) == verify::Verdict::Good;
        let untouched = matches!(content.picker.state(piece), PieceState::Missing | PieceState::Unwanted);
        if good && untouched {
            self.on_found(cx, piece);
        }
    }

    pub(super) fn on_hash_rejected(&mut self, cx: &mut Context<'_>, n: u32, range: &HashRange) {
        let Some(fetch) = self.content.as_deref_mut().and_then(|content| content.hash_fetch.as_mut()) else {
            return;
        };
        fetch.on_hash_reject(cx.now, n, range);
        self.ask_hashes(cx);
    }

    /// A peer asks for hashes.
    pub(super) fn on_hash_requested(&mut self, n: u32, range: HashRange) {
        let (Some(content), Some(peer)) = (self.content.as_deref_mut(), self.peers.get_mut(&n)) else {
            return;
        };
        let Some(trees) = content.verify.trees() else {
            peer.session.hash_reject(range);
            return self.output(Output::Touched(n));
        };
        match content.hash_server.hashes_for(trees, &range) {
            Serve::Hashes(hashes) => {
                peer.session.hashes(range, hashes.as_flattened());
            }
            Serve::NeedLeaves(pieces) => {
                let bytes = pieces.len() as u64 * u64::from(content.geometry.piece_length());
                let have = pieces.clone().all(|piece| content.picker.have().get(piece));
                let costly = pieces.len() > 1 && bytes > LEAF_BYTES_MAX;
                if !have || costly || peer.hashes_asked.len() >= ASKED_MAX {
                    peer.session.hash_reject(range);
                    return self.output(Output::Touched(n));
                }
                let all: Vec<PieceIndex> = pieces.filter_map(|n| content.geometry.piece(n)).collect();
                peer.hashes_asked.push(range);
                let want = Want { sha1: false, leaves: true };
                let mut parts = Vec::new();
                for piece in &all {
                    parts.append(&mut content.stored(*piece).0);
                }
                let work = Work::HashStored { torrent: self.id, parts, pad: 0, want };
                self.job(Errand::Leaves(n, range), work);
            }
            Serve::Reject => peer.session.hash_reject(range),
        }
        self.output(Output::Touched(n));
    }

    pub(super) fn on_leaves(&mut self, n: u32, range: HashRange, outcome: Outcome) {
        let (Some(content), Some(peer)) = (self.content.as_deref_mut(), self.peers.get_mut(&n)) else {
            return;
        };
        peer.hashes_asked.retain(|asked| *asked != range);
        let leaves = if let Outcome::Digests(digests) = outcome { digests.leaves } else { Vec::new() };
        let trees = content.verify.trees();
        match trees.and_then(|trees| content.hash_server.with_leaves(trees, &range, &leaves)) {
            Some(hashes) => {
                peer.session.hashes(range, hashes.as_flattened());
            }
            None => peer.session.hash_reject(range),
        }
        self.output(Output::Touched(n));
    }
}

/// Bytes read and hashed for one request for leaves, but always a piece. A message of 53 bytes makes us do it.
const LEAF_BYTES_MAX: u64 = 16 << 20;
