//! What is read for whom, and what goes out on whose link. Super-seeding (BEP 16) shows pieces one by one.

use super::{Context, Direction, Errand, HostErrorKind, Outcome, Output, Torrent, TorrentEvent, Work};
use crate::base::{BlockRef, Part, PieceIndex, Segment};
use crate::peer::{Transmit, UploadRun};
use crate::picker::{SourceId, SuperSeed};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// Bytes of one read for a peer.
const READ_BYTES_MAX: u64 = 128 << 10;

/// Zeros of a pad in mid-piece, sent in stretches of at most this. Bytes.
const ZEROS: usize = 16 << 10;

impl Torrent {
    /// Reads what a peer's requests need, as far ahead as it may.
    pub(super) fn load(&mut self, n: u32) {
        loop {
            let (Some(content), Some(peer)) = (&self.content, self.peers.get_mut(&n)) else { return };
            let Some(run) = peer.session.next_upload_run(READ_BYTES_MAX) else { return };
            let Some(range) = content.geometry.asked_range(run.piece.get(), run.begin, run.length) else {
                debug_assert!(false, "a session only takes requests that exist");
                return peer.session.on_load_failed(run);
            };
            let parts = content.layout.block(&content.geometry, range).collect();
            let plain = peer.plain;
            let errand = Errand::Read { peer: n, range, requests: run.count as usize };
            self.job(errand, Work::Read { torrent: self.id, parts, plain });
        }
    }

    pub(super) fn on_read(
        &mut self,
        cx: &mut Context<'_>,
        n: u32,
        (range, requests): (BlockRef, usize),
        outcome: Outcome,
    ) {
        let run = UploadRun {
            piece: range.piece,
            begin: range.begin,
            length: range.length,
            count: requests as u32,
        };
        let segments: Vec<Segment> = if let Outcome::Bytes(chunks) = outcome {
            chunks.into_iter().map(Segment::Bytes).collect()
        } else if outcome == Outcome::Stored {
            self.stored_segments(range)
        } else {
            if let Some(peer) = self.peers.get_mut(&n) {
                peer.session.on_load_failed(run);
                self.output(Output::Touched(n));
            }
            if is_gone(&outcome) {
                return self.lose(cx, range.piece);
            }
            let error = outcome.failure();
            return self.event(TorrentEvent::Warning(format!("can't read what a peer asked for: {error}")));
        };
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.session.on_loaded(run, &segments);
            self.after(cx, n);
        }
    }

    /// A piece that we had isn't stored any more: nobody is told that we have it, and it is fetched again (BEP 54).
    fn lose(&mut self, cx: &mut Context<'_>, piece: PieceIndex) {
        let Some(content) = &mut self.content else { return };
        if !content.picker.on_lost(piece) {
            return;
        }
        content.written.clear(piece.get());
        self.completed &= self.is_seeding();
        self.save.touch(cx.now, cx.config.save_interval);
        self.event(TorrentEvent::Warning(format!("piece {} is not stored any more", piece.get())));
        self.event(TorrentEvent::Progress);
        if !self.completed {
            self.tell_upload_only(false);
        }
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            if let Some(peer) = self.peers.get_mut(&n) {
                peer.session.dont_have(piece);
            }
            self.heed_interest(cx.now, n);
            self.after(cx, n);
        }
    }

    /// Where the driver finds the bytes when they go out.
    fn stored_segments(&self, range: BlockRef) -> Vec<Segment> {
        let Some(content) = &self.content else { return Vec::new() };
        let mut segments = Vec::new();
        for part in content.layout.block(&content.geometry, range) {
            match part {
                Part::Stored(extent) => segments.push(Segment::Stored(self.id, extent)),
                Part::Pad(mut left) => {
                    while left > 0 {
                        let some = (left as usize).min(ZEROS);
                        segments.push(Segment::Bytes(vec![0; some].into()));
                        left -= some as u32;
                    }
                }
            }
        }
        segments
    }

    /// Bytes for a peer's link. What it hands out is committed and paid for.
    pub fn poll_transmit(&mut self, cx: &mut Context<'_>, n: u32, max: usize) -> Option<Transmit> {
        let peer = self.peers.get_mut(&n)?;
        if !peer.session.wants_write() {
            return None;
        }
        let mut allowance = core::mem::take(&mut peer.granted);
        if allowance == 0 && !peer.held_up && peer.session.has_payload() {
            allowance = cx.gate.take(cx.now, peer.pass, Direction::Up, max as u64);
            peer.held_up = allowance == 0;
        }
        let transmit = peer.session.poll_transmit(cx.now, max, allowance);
        let used = transmit.as_ref().map_or(0, |transmit| transmit.payload);
        if used > allowance {
            cx.gate.pay(cx.now, peer.pass, Direction::Up, used - allowance);
        } else {
            cx.gate.refund(cx.now, peer.pass, Direction::Up, allowance - used);
        }
        self.load(n);
        self.arm(cx.now, n);
        transmit
    }

    /// Tokens are there for a peer that waited to be sent more.
    pub fn on_upload_allowed(&mut self, cx: &mut Context<'_>, n: u32) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        peer.held_up = false;
        if peer.session.has_payload() {
            let granted = cx.gate.take(cx.now, peer.pass, Direction::Up, u64::from(crate::base::BLOCK));
            peer.granted += granted;
            peer.held_up = granted == 0;
        }
        self.output(Output::Touched(n));
    }

    /// A peer's link wrote bytes that it was handed.
    pub fn on_wrote(&mut self, cx: &mut Context<'_>, n: u32, bytes: u64) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        let before = peer.session.uploaded().total();
        peer.session.on_wrote(cx.now, bytes);
        let sent = peer.session.uploaded().total() - before;
        if sent > 0 {
            let taken = before - peer.sent_then.min(before);
            let credit = cx.config.newcomer_credit_bytes.max(1);
            self.up.add(cx.now, sent);
            if taken / credit != (taken + sent) / credit {
                self.output(Output::CreditUsed);
            }
        }
        self.after(cx, n);
    }

    pub(super) fn super_seed_on(&self) -> bool {
        self.content.as_deref().is_some_and(|content| content.super_seed.is_some())
    }

    /// All is here: show it piece by piece if that is wished.
    pub(super) fn begin_super_seed(&mut self) {
        let Some(content) = self.content.as_deref_mut() else { return };
        if self.super_seed
            && content.picker.is_complete()
            && content.super_seed.is_none()
            && self.peers.is_empty()
        {
            content.super_seed = Some(Box::new(SuperSeed::new(Arc::clone(&content.geometry))));
        }
    }

    pub(super) fn super_seed_join(&mut self, n: u32) {
        let Some(content) = self.content.as_deref_mut() else { return };
        let (Some(super_seed), Some(peer)) = (&mut content.super_seed, self.peers.get(&n)) else { return };
        if peer.is_seed() || peer.session.geometry().is_none() {
            return;
        }
        super_seed.on_source(SourceId(n), peer.session.peer_pieces());
        self.reveal();
    }

    pub(super) fn super_seed_have(&mut self, n: u32, piece: PieceIndex) {
        let Some(super_seed) = self.content.as_deref_mut().and_then(|content| content.super_seed.as_mut())
        else {
            return;
        };
        super_seed.on_have(SourceId(n), piece);
        self.reveal();
    }

    fn reveal(&mut self) {
        let Some(super_seed) = self.content.as_deref_mut().and_then(|content| content.super_seed.as_mut())
        else {
            return;
        };
        let mut shown = Vec::new();
        for (&n, peer) in &mut self.peers {
            while let Some(piece) = super_seed.next_reveal(&mut self.rng, SourceId(n)) {
                peer.session.have(piece);
                shown.push(n);
            }
        }
        for n in shown {
            self.output(Output::Touched(n));
        }
    }
}

/// Whether a read failed because there is nothing to read.
fn is_gone(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Absent => true,
        Outcome::Failed(error) => error.kind == HostErrorKind::NotFound,
        Outcome::Bytes(_)
        | Outcome::Stored
        | Outcome::Written
        | Outcome::Digests(_)
        | Outcome::Files(_)
        | Outcome::Saved
        | Outcome::Http { .. }
        | Outcome::Exchanged(_)
        | Outcome::Resolved(_)
        | Outcome::Mapped { .. }
        | Outcome::Cancelled => false,
    }
}
