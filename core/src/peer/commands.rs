//! What we tell the peer, and what the link is given to write.

use super::Transmit;
use super::session::{Session, raw};
use super::upload::UploadRun;
use crate::base::{Bits, BlockRef, Chunk, Instant, PieceIndex, Segment};
use crate::wire::extension::{Extension, ExtensionHandshake};
use crate::wire::message::{HashRange, Message, PIECE_HEADER_BYTES, piece_header};
use alloc::vec::Vec;

/// What we tell the peer.
impl Session {
    /// Serves the peer no more. What was not handed over is dropped; under BEP 6 it is rejected, but for what it may
    /// have while choked.
    pub fn choke(&mut self) {
        if core::mem::replace(&mut self.flags.am_choking, true) {
            return;
        }
        self.send(&Message::Choke);
        let (fast, allowed) = (self.traits.fast, core::mem::take(&mut self.allowed_to_peer));
        let gone = self.upload.drain(|block| fast && allowed.contains(&block.piece));
        self.allowed_to_peer = allowed;
        self.upload.shrink();
        self.reject_all(&gone);
    }

    /// Serves the peer.
    pub fn unchoke(&mut self) {
        if core::mem::replace(&mut self.flags.am_choking, false) {
            self.send(&Message::Unchoke);
        }
    }

    /// We want pieces of the peer.
    pub fn interested(&mut self) {
        if !core::mem::replace(&mut self.flags.am_interested, true) {
            self.send(&Message::Interested);
        }
    }

    /// We want none.
    pub fn not_interested(&mut self) {
        if core::mem::replace(&mut self.flags.am_interested, false) {
            self.send(&Message::NotInterested);
        }
        self.pipeline.shrink();
    }

    /// Tells which pieces we have, once, before any `have`: as have-all or have-none under BEP 6, otherwise as a
    /// bitfield, or by silence if there is none. Only extended messages may precede it: while it isn't known what we have,
    /// for lack of metadata or of a check, it waits.
    pub fn pieces(&mut self, have: &Bits) {
        if core::mem::replace(&mut self.flags.pieces_told, true) {
            return;
        }
        match (have.is_empty(), have.is_full(), self.traits.fast) {
            (true, _, true) => self.send(&Message::HaveNone),
            (true, _, false) => {}
            (false, true, true) => self.send(&Message::HaveAll),
            (false, _, _) => self.send(&Message::Bitfield(&have.to_bytes())),
        }
    }

    /// Tells that we have one piece more. Nothing is sent before `pieces`, which will tell it.
    pub fn have(&mut self, piece: PieceIndex) {
        let redundant = self.config.redundant_haves_left_out && self.remote.bits().get(piece.get());
        if self.flags.pieces_told && !redundant {
            self.send(&Message::Have(piece.get()));
        }
    }

    /// Tells that we lost a piece (BEP 54), and drops what was asked of it. A peer that doesn't speak the extension
    /// learns it from rejects only.
    pub fn dont_have(&mut self, piece: PieceIndex) {
        self.extended(Extension::LtDontHave, &piece.get().to_be_bytes());
        let gone = self.upload.drain(|block| block.piece != piece);
        self.reject_all(&gone);
    }

    /// Asks for a block. False if the peer would not serve it, or has as many requests as it may have.
    pub fn request(&mut self, now: Instant, block: BlockRef) -> bool {
        let full = self.pipeline.len() >= self.config.requests_outstanding_max.min(self.reqq().max(1));
        if full || !self.may_request(block.piece) {
            return false;
        }
        self.block_bytes_max = self.block_bytes_max.max(block.length);
        self.pipeline.on_request(now, block);
        self.send(&Message::Request(raw(block)));
        true
    }

    /// Takes a request back. False if it isn't outstanding. Its block may still come, as `Fact::Unrequested`.
    pub fn cancel(&mut self, now: Instant, block: BlockRef) -> bool {
        let gone = self.pipeline.on_cancel(now, block, &self.config);
        if gone {
            self.send(&Message::Cancel(raw(block)));
        }
        gone
    }

    /// Refuses one request that waits; under BEP 6 the peer is told. False if it doesn't wait.
    pub fn reject(&mut self, block: BlockRef) -> bool {
        let gone = self.upload.remove(block);
        if gone {
            self.reject_all(&[block]);
        }
        gone
    }

    /// Lets the peer ask for these pieces while it is choked (BEP 6), for each byte of them `allowed_fast_times_max`
    /// times; without that extension nothing happens.
    pub fn allow_fast(&mut self, pieces: &[PieceIndex]) {
        for &piece in pieces {
            if self.traits.fast && !self.allowed_to_peer.contains(&piece) {
                self.allowed_to_peer.push(piece);
                let length = self.geometry.as_ref().map_or(0, |geometry| geometry.length_of(piece));
                self.allowed_bytes_left += u64::from(length) * u64::from(self.config.allowed_fast_times_max);
                self.send(&Message::AllowedFast(piece.get()));
            }
        }
    }

    /// Suggests a piece (BEP 6); without that extension nothing happens.
    pub fn suggest(&mut self, piece: PieceIndex) {
        if self.traits.fast {
            self.send(&Message::Suggest(piece.get()));
        }
    }

    /// Tells the peer about us, or what has changed (BEP 10); without that extension nothing happens.
    pub fn extension_handshake(&mut self, handshake: &ExtensionHandshake) {
        if self.traits.extensions {
            self.send(&Message::Extended { id: 0, payload: &handshake.encode() });
        }
    }

    /// Sends a message of an extension, under the number the peer gave it (BEP 10). False if the peer doesn't speak
    /// it, or has not read enough of what waits already.
    pub fn extended(&mut self, extension: Extension, payload: &[u8]) -> bool {
        let room = self.has_room(payload.len());
        let Some(id) = self.peer_id_of(extension).filter(|_| room) else { return false };
        self.send(&Message::Extended { id, payload });
        true
    }

    /// Tells whether we want nothing more (BEP 21), as a message. False if the peer doesn't speak it; then an extension
    /// handshake tells it.
    pub fn upload_only(&mut self, upload_only: bool) -> bool {
        self.extended(Extension::UploadOnly, &[u8::from(upload_only)])
    }

    /// Asks for hashes (BEP 52).
    pub fn hash_request(&mut self, range: HashRange) {
        self.send(&Message::HashRequest(range));
    }

    /// Sends hashes (BEP 52). False, with a reject sent instead, if the peer has not read enough of what waits.
    pub fn hashes(&mut self, range: HashRange, hashes: &[u8]) -> bool {
        let room = self.has_room(hashes.len());
        if room {
            self.send(&Message::Hashes { range, hashes });
        } else {
            self.send(&Message::HashReject(range));
        }
        room
    }

    /// Refuses to send hashes (BEP 52).
    pub fn hash_reject(&mut self, range: HashRange) {
        self.send(&Message::HashReject(range));
    }

    /// Tells the port of our DHT node (BEP 5), to a peer that has one.
    pub fn port(&mut self, port: u16) {
        if self.traits.dht {
            self.send(&Message::Port(port));
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.outbox.is_empty() || self.outbox.len_beyond_first() + bytes < self.config.outbox_bytes_max
    }

    fn reject_all(&mut self, blocks: &[BlockRef]) {
        if self.traits.fast {
            blocks.iter().for_each(|&block| self.send(&Message::Reject(raw(block))));
        }
    }
}

/// Loading and writing.
impl Session {
    /// The next of the peer's requests to load, in one run as far as they follow each other within `max_bytes` and the
    /// read-ahead. To be answered by `on_loaded` or `on_load_failed`.
    #[must_use]
    pub fn next_upload_run(&mut self, max_bytes: u64) -> Option<UploadRun> {
        let ahead = self.upload.begun_bytes() + self.timing.unwritten();
        let room = self.config.upload_loaded_bytes_max.saturating_sub(ahead);
        if room == 0 || self.fault.is_some() {
            return None;
        }
        self.upload.next_run(room.min(max_bytes))
    }

    /// Whether `next_upload_run` has something.
    pub fn wants_load(&self) -> bool {
        let ahead = self.upload.begun_bytes() + self.timing.unwritten();
        self.upload.has_waiting() && ahead < self.config.upload_loaded_bytes_max && self.fault.is_none()
    }

    /// The bytes of a run, in order. Requests that were taken back meanwhile are passed over.
    pub fn on_loaded(&mut self, run: UploadRun, segments: &[Segment]) {
        let whole = segments.iter().map(Segment::len).sum::<usize>() == run.length as usize;
        debug_assert!(whole, "a run is loaded whole or fails");
        if whole {
            self.upload.on_loaded(run, segments);
        } else {
            self.on_load_failed(run);
        }
    }

    /// A run can't be loaded. Its requests are dropped, under BEP 6 with a reject.
    pub fn on_load_failed(&mut self, run: UploadRun) {
        let gone = self.upload.on_load_failed(run);
        self.reject_all(&gone);
    }

    /// How many requests of the peer wait, blocks that are loaded included.
    pub fn requests_queued(&self) -> u32 {
        self.upload.len()
    }

    /// Whether `poll_transmit` has something, given some allowance.
    pub fn wants_write(&self) -> bool {
        let waits = !self.outbox.is_empty() || self.upload.is_loaded();
        waits && self.fault.is_none() && self.timing.unwritten() < self.config.upload_loaded_bytes_max
    }

    /// Whether what waits to be written is blocks only, so that it needs an allowance.
    pub fn wants_payload_only(&self) -> bool {
        self.outbox.is_empty() && self.upload.is_loaded()
    }

    /// Whether blocks wait to be written.
    pub fn has_payload(&self) -> bool {
        self.upload.is_loaded()
    }

    /// Bytes for the link: at most `max_bytes`, messages first, then blocks while some of `payload_allowance` is left
    /// (the last may go beyond it by less than its length). What it hands over is committed.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_bytes: usize,
        payload_allowance: u64,
    ) -> Option<Transmit> {
        if !self.wants_write() || max_bytes == 0 {
            return None;
        }
        let mut segments = self.outbox.take_begun();
        let mut len: usize = segments.iter().map(Segment::len).sum();
        let mut headers = self.outbox.take_control();
        len += headers.len();
        // All headers lie in one buffer: a block stands behind the byte of it at which its header ends.
        let mut blocks: Vec<(usize, Vec<Segment>)> = Vec::new();
        let mut payload = 0;
        while len < max_bytes && payload < payload_allowance {
            let Some((block, data)) = self.upload.pop_loaded() else { break };
            piece_header(&mut headers, raw(block));
            blocks.push((headers.len(), data));
            payload += u64::from(block.length);
            len += PIECE_HEADER_BYTES + block.length as usize;
        }
        let headers = Chunk::from(headers);
        let mut from = 0;
        for (end, data) in blocks {
            segments.push(Segment::Bytes(headers.slice(from, end)));
            segments.extend(data);
            from = end;
        }
        if from < headers.len() {
            segments.push(Segment::Bytes(headers.slice(from, headers.len())));
        }
        let len = self.outbox.cut(&mut segments, max_bytes);
        if len == 0 {
            return None;
        }
        self.timing.on_sent(now, len as u64, payload);
        Some(Transmit { segments, len, payload })
    }

    /// The link wrote this many bytes of what it was handed.
    pub fn on_wrote(&mut self, now: Instant, bytes: u64) {
        let payload = self.timing.on_wrote(now, bytes);
        self.up.add(now, payload);
    }
}
