//! The session: its state, and what each message of the peer means to it. What we tell the peer is in
//! `commands`, what can be asked about it in `view`.

use super::fact::{Fact, Fault, Malformed, Misbehaved};
use super::outbox::Outbox;
use super::pipeline::{Answer, Pipeline};
use super::reader::{Bounds, Frame, Reader};
use super::remote::{News, Remote, Told};
use super::timing::{Slot, Timing};
use super::upload::Upload;
use super::{Parts, SessionConfig};
use crate::base::{BLOCK, Bits, BlockRef, Chunk, Geometry, Instant, Meter, PieceIndex};
use crate::wire::extension::{Extension, ExtensionHandshake};
use crate::wire::handshake::{Feature, Reserved};
use crate::wire::message::{HASH_RANGE_BYTES, Message, RawBlock, id};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What both sides agreed upon by their reserved bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerTraits {
    /// The fast extension (BEP 6).
    pub fast: bool,
    /// The extension protocol (BEP 10).
    pub extensions: bool,
    /// The peer speaks v2 (BEP 52).
    pub v2: bool,
    /// The peer has a DHT node (BEP 5).
    pub dht: bool,
}

impl PeerTraits {
    /// What two handshakes have in common.
    pub fn agreed(ours: Reserved, theirs: Reserved) -> Self {
        let both = |feature| ours.has(feature) && theirs.has(feature);
        Self {
            fast: both(Feature::Fast),
            extensions: both(Feature::Extensions),
            v2: both(Feature::V2),
            dht: both(Feature::Dht),
        }
    }
}

/// One BitTorrent session, from behind the handshakes to the end of its link.
///
/// Feed it with `on_received` and drain `next_fact`; tell it what the peer should know; pull `poll_transmit` while
/// `wants_write`; wake it at `deadline`. After each of these, facts may wait.
#[derive(Debug)]
pub struct Session {
    pub(super) config: Arc<SessionConfig>,
    pub(super) traits: PeerTraits,
    pub(super) geometry: Option<Arc<Geometry>>,
    reader: Reader,
    pub(super) remote: Remote,
    pub(super) pipeline: Pipeline,
    pub(super) upload: Upload,
    pub(super) outbox: Outbox,
    pub(super) timing: Timing,
    pub(super) up: Meter,
    pub(super) down: Meter,
    /// Facts that no message brings.
    pending: VecDeque<Fact>,
    pub(super) fault: Option<Fault>,
    pub(super) flags: Flags,
    /// The longest block we ever asked for.
    pub(super) block_bytes_max: u32,
    /// The peer's numbers of the extensions, in the order of `Extension::ALL`; 0 is off.
    pub(super) m: [u8; Extension::ALL.len()],
    pub(super) reqq: Option<u32>,
    pub(super) client: Option<Box<str>>,
    /// What the peer lets us ask for while it chokes us.
    pub(super) allowed_to_us: Vec<PieceIndex>,
    /// What we let the peer ask for while we choke it.
    pub(super) allowed_to_peer: Vec<PieceIndex>,
    /// How many bytes more it may ask for while we choke it.
    pub(super) allowed_bytes_left: u64,
}

/// The two bits of each side (BEP 3) and what else is yes or no.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) am_choking: bool,
    pub(super) am_interested: bool,
    pub(super) peer_choking: bool,
    pub(super) peer_interested: bool,
    pub(super) peer_upload_only: bool,
    /// Whether we told which pieces we have.
    pub(super) pieces_told: bool,
}

impl Session {
    /// A session whose handshakes are done. `geometry` is `None` until the metadata is known.
    pub fn new(
        config: Arc<SessionConfig>,
        now: Instant,
        traits: PeerTraits,
        geometry: Option<Arc<Geometry>>,
    ) -> Self {
        Self {
            remote: Remote::new(geometry.as_deref()),
            pipeline: Pipeline::new(&config, now),
            timing: Timing::new(now),
            config,
            traits,
            geometry,
            reader: Reader::default(),
            upload: Upload::default(),
            outbox: Outbox::default(),
            up: Meter::default(),
            down: Meter::default(),
            pending: VecDeque::new(),
            fault: None,
            flags: Flags {
                am_choking: true,
                am_interested: false,
                peer_choking: true,
                peer_interested: false,
                peer_upload_only: false,
                pieces_told: false,
            },
            block_bytes_max: BLOCK,
            m: [0; Extension::ALL.len()],
            reqq: None,
            client: None,
            allowed_to_us: Vec::new(),
            allowed_to_peer: Vec::new(),
            allowed_bytes_left: 0,
        }
    }

    /// Takes bytes that were read from the link.
    pub fn on_received(&mut self, now: Instant, data: Chunk) {
        self.timing.on_received(now);
        if self.fault.is_none() {
            self.reader.push(data);
        }
    }

    /// What happened next; `None` until something more comes in. `have` is what the peer may ask for.
    pub fn next_fact(&mut self, now: Instant, have: &Bits) -> Option<Fact> {
        loop {
            if let Some(fact) = self.pending.pop_front() {
                return Some(fact);
            }
            if self.fault.is_some() {
                return None;
            }
            if let Some(piece) = self.remote.next_late() {
                return Some(Fact::Have(piece));
            }
            let bounds = Bounds::new(&self.config, self.block_bytes_max);
            let fact = match self.reader.next(bounds) {
                Ok(None) => return None,
                Ok(Some(Frame::KeepAlive)) => Ok(Some(Fact::KeepAlive)),
                Ok(Some(Frame::Piece { index, begin, data })) => self.on_piece(now, index, begin, data),
                Ok(Some(Frame::Message { id, body })) => self.on_message(now, id, &body, have),
                Err(fault) => Err(fault),
            };
            match fact {
                Ok(Some(fact)) => return Some(fact),
                Ok(None) => {}
                Err(fault) => self.fail(fault),
            }
        }
    }

    /// The metadata is known: what the peer told before is read now. Facts may wait.
    pub fn on_geometry(&mut self, geometry: Arc<Geometry>) {
        match self.remote.on_geometry(&geometry) {
            Ok(resolved) => {
                if resolved.pieces {
                    self.pending.push_back(Fact::Pieces);
                }
                self.pending.extend(resolved.allowed_fast.iter().map(|&piece| Fact::AllowedFast(piece)));
                self.allowed_to_us = resolved.allowed_fast;
                self.geometry = Some(geometry);
            }
            Err(fault) => self.fail(fault),
        }
    }

    /// When `on_timeout` has something to do. It may move later with everything that happens.
    pub fn deadline(&self) -> Option<Instant> {
        if self.fault.is_some() {
            return None;
        }
        Slot::ALL.into_iter().filter_map(|slot| self.due(slot)).min()
    }

    /// Does what is due. Facts may wait; calls that are too early do nothing.
    pub fn on_timeout(&mut self, now: Instant) {
        for slot in Slot::ALL {
            if self.fault.is_some() {
                return;
            }
            if self.due(slot).is_none_or(|at| now < at) {
                continue;
            }
            match slot {
                Slot::KeepAlive => {
                    self.timing.on_keep_alive(now);
                    self.send(&Message::KeepAlive);
                }
                Slot::Idle => self.fail(Fault::Idle),
                Slot::Stalled => self.fail(Fault::Stalled),
                Slot::Requests => self.on_requests_timeout(now),
            }
        }
    }

    fn due(&self, slot: Slot) -> Option<Instant> {
        let requests = || self.pipeline.deadline(&self.config, !self.flags.peer_choking);
        self.timing.due(slot, &self.config, requests())
    }

    fn on_requests_timeout(&mut self, now: Instant) {
        let snubbed = !self.flags.peer_choking && self.pipeline.on_snub_timeout(now, &self.config);
        let gone = self.pipeline.take_late(now, &self.config, snubbed);
        if snubbed {
            self.pending.push_back(Fact::Snubbed);
        }
        for &block in &gone {
            self.send(&Message::Cancel(raw(block)));
        }
        if !gone.is_empty() {
            self.pending.push_back(Fact::TimedOut(gone));
        }
    }

    /// Ends the session: one last fact, then silence.
    pub(super) fn fail(&mut self, fault: Fault) {
        if self.fault.is_none() {
            self.fault = Some(fault);
            self.reader = Reader::default();
            self.pending.push_back(Fact::Fault(fault));
        }
    }

    /// Queues a message; a peer that lets too much pile up is given up.
    pub(super) fn send(&mut self, message: &Message<'_>) {
        if self.fault.is_some() {
            return;
        }
        self.outbox.push(message);
        if self.outbox.len_beyond_first() > self.config.outbox_bytes_max {
            self.fail(Fault::Stalled);
        }
    }

    fn on_piece(&mut self, now: Instant, index: u32, begin: u32, data: Parts) -> Result<Option<Fact>, Fault> {
        self.remote.close();
        let length = data.len() as u32;
        let block = self.range(RawBlock { index, begin, length })?.ok_or(Misbehaved::Unrequested)?;
        self.down.add(now, u64::from(length));
        match self.pipeline.on_block(now, block, &self.config) {
            Answer::Wanted => Ok(Some(Fact::Block { block, data })),
            Answer::Late => Ok(Some(Fact::Unrequested { block, data })),
            Answer::TooMuch => Err(Misbehaved::Unrequested.into()),
        }
    }

    fn on_message(&mut self, now: Instant, id: u8, body: &Chunk, have: &Bits) -> Result<Option<Fact>, Fault> {
        let message = Message::parse(id, body).map_err(Malformed::from)?;
        match message {
            Message::KeepAlive => Ok(Some(Fact::KeepAlive)),
            Message::Choke => {
                self.flags.peer_choking = true;
                let lost = if self.traits.fast { Vec::new() } else { self.pipeline.drop_all() };
                self.pipeline.shrink();
                Ok(Some(Fact::Choked { lost }))
            }
            Message::Unchoke => {
                self.flags.peer_choking = false;
                self.pipeline.on_unchoke(now);
                Ok(Some(Fact::Unchoked))
            }
            Message::Interested => {
                self.flags.peer_interested = true;
                Ok(Some(Fact::Interested))
            }
            Message::NotInterested => {
                self.flags.peer_interested = false;
                self.upload.shrink();
                Ok(Some(Fact::NotInterested))
            }
            Message::Have(index) => {
                let news = self.remote.on_have(index, self.geometry.as_deref(), &self.config)?;
                Ok(news.map(Fact::Have))
            }
            Message::Bitfield(bits) => self.on_told(Told::Bitfield(bits.to_vec())),
            Message::Request(block) => self.on_request(block, have),
            Message::Piece { index, begin, .. } => {
                self.on_piece(now, index, begin, body.slice(8, body.len()).into())
            }
            Message::Cancel(block) => self.on_cancel(block),
            Message::Port(port) => Ok(Some(Fact::Port(port))),
            Message::Extended { id, .. } => self.on_extended(id, body.slice(1, body.len())),
            Message::HashRequest(range) => Ok(Some(Fact::HashRequested(range))),
            Message::Hashes { range, .. } => {
                Ok(Some(Fact::Hashes { range, hashes: body.slice(HASH_RANGE_BYTES, body.len()) }))
            }
            Message::HashReject(range) => Ok(Some(Fact::HashRejected(range))),
            Message::Suggest(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::Reject(_)
            | Message::AllowedFast(_) => self.on_fast(now, id, message),
            Message::Unknown(_) => Ok(None),
        }
    }

    /// The messages of BEP 6, which may come only if it was agreed upon.
    fn on_fast(&mut self, now: Instant, id: u8, message: Message<'_>) -> Result<Option<Fact>, Fault> {
        if !self.traits.fast {
            return Err(Misbehaved::NotAgreed(id).into());
        }
        match (id, message) {
            (id::HAVE_ALL, _) => self.on_told(Told::All),
            (id::HAVE_NONE, _) => self.on_told(Told::None),
            (_, Message::Suggest(index)) => Ok(self.piece(index)?.map(Fact::Suggested)),
            (_, Message::Reject(block)) => self.on_reject(now, block),
            (_, Message::AllowedFast(index)) => self.on_allowed_fast(index),
            _ => Ok(None),
        }
    }

    fn on_told(&mut self, told: Told) -> Result<Option<Fact>, Fault> {
        match self.remote.on_told(told, self.geometry.as_deref())? {
            News::Later => Ok(None),
            News::All => Ok(Some(Fact::Pieces)),
            News::Haves => Ok(self.remote.next_late().map(Fact::Have)),
        }
    }

    fn on_request(&mut self, wanted: RawBlock, have: &Bits) -> Result<Option<Fact>, Fault> {
        self.remote.close();
        if wanted.length > self.config.request_length_max {
            return Err(Misbehaved::RequestTooLong(wanted.length).into());
        }
        let block = self.asked_range(wanted)?;
        let served = block.filter(|block| {
            let fast = self.allowed_to_peer.contains(&block.piece)
                && u64::from(block.length) <= self.allowed_bytes_left;
            (fast || !self.flags.am_choking)
                && have.get(block.piece.get())
                && self.upload.len() < self.config.requests_queued_max
        });
        match served {
            Some(block) => {
                if self.flags.am_choking {
                    self.allowed_bytes_left -= u64::from(block.length);
                }
                self.upload.push(block);
            }
            None if self.traits.fast => self.send(&Message::Reject(wanted)),
            None => {}
        }
        Ok(served.map(Fact::Requested))
    }

    fn on_cancel(&mut self, wanted: RawBlock) -> Result<Option<Fact>, Fault> {
        let block = self.asked_range(wanted)?.filter(|&block| self.upload.remove(block));
        if block.is_some() && self.traits.fast {
            self.send(&Message::Reject(wanted));
        }
        Ok(block.map(Fact::Cancelled))
    }

    fn on_reject(&mut self, now: Instant, refused: RawBlock) -> Result<Option<Fact>, Fault> {
        let Some(block) = self.range(refused)? else { return Ok(None) };
        match self.pipeline.on_reject(now, block, &self.config) {
            Answer::Wanted => {
                // A piece that is refused isn't allowed any more, or it would be asked for again at once.
                self.allowed_to_us.retain(|&piece| piece != block.piece);
                Ok(Some(Fact::Rejected(block)))
            }
            Answer::Late => Ok(None),
            Answer::TooMuch => Err(Misbehaved::Unrequested.into()),
        }
    }

    fn on_allowed_fast(&mut self, index: u32) -> Result<Option<Fact>, Fault> {
        let Some(piece) = self.piece(index)? else {
            self.remote.on_early_allowed_fast(index, &self.config);
            return Ok(None);
        };
        let known = self.allowed_to_us.contains(&piece);
        if known || self.allowed_to_us.len() >= self.config.allowed_fast_max {
            return Ok(None);
        }
        self.allowed_to_us.push(piece);
        Ok(Some(Fact::AllowedFast(piece)))
    }

    fn on_extended(&mut self, id: u8, payload: Chunk) -> Result<Option<Fact>, Fault> {
        if !self.traits.extensions {
            return Err(Misbehaved::NotAgreed(id::EXTENDED).into());
        }
        if id == 0 {
            let handshake = ExtensionHandshake::parse(&payload).map_err(Malformed::from)?;
            self.amend(&handshake);
            return Ok(Some(Fact::ExtensionHandshake(Box::new(handshake))));
        }
        let Some(extension) = Extension::of_our_id(id) else { return Ok(None) };
        let wrong = Malformed::Extended { extension, length: payload.len() };
        match extension {
            Extension::LtDontHave => {
                let index = <[u8; 4]>::try_from(&*payload).map_err(|_| wrong)?;
                self.on_dont_have(u32::from_be_bytes(index))
            }
            Extension::UploadOnly => {
                let &[value] = &*payload else { return Err(wrong.into()) };
                self.flags.peer_upload_only = value != 0;
                Ok(Some(Fact::UploadOnly(value != 0)))
            }
            Extension::UtMetadata | Extension::UtPex | Extension::UtHolepunch => {
                Ok(Some(Fact::Extended { extension, payload }))
            }
        }
    }

    /// An extension handshake amends the ones before it (BEP 10).
    fn amend(&mut self, handshake: &ExtensionHandshake) {
        for &(extension, id) in &handshake.m {
            if let Some(at) = Extension::ALL.iter().position(|&e| e == extension) {
                self.m[at] = id;
            }
        }
        self.reqq = handshake.reqq.or(self.reqq);
        if let Some(client) = &handshake.v {
            self.client = Some(client.as_str().into());
        }
        self.flags.peer_upload_only = handshake.upload_only.unwrap_or(self.flags.peer_upload_only);
    }

    fn on_dont_have(&mut self, index: u32) -> Result<Option<Fact>, Fault> {
        let had = self.remote.on_dont_have(index);
        let Some(piece) = self.piece(index)?.filter(|_| had) else { return Ok(None) };
        let lost = if self.traits.fast { Vec::new() } else { self.pipeline.drop_piece(piece) };
        Ok(Some(Fact::DontHave { piece, lost }))
    }

    /// The piece with this number; `None` while there is no geometry.
    fn piece(&self, index: u32) -> Result<Option<PieceIndex>, Fault> {
        let Some(geometry) = &self.geometry else { return Ok(None) };
        Ok(Some(geometry.piece(index).ok_or(Misbehaved::NoSuchPiece(index))?))
    }

    /// The range that the peer asks for, pad too where it may; `None` while there is no geometry.
    fn asked_range(&self, wanted: RawBlock) -> Result<Option<BlockRef>, Fault> {
        let Some(geometry) = &self.geometry else { return Ok(None) };
        let RawBlock { index, begin, length } = wanted;
        let missing = Misbehaved::NoSuchRange { index, begin, length };
        Ok(Some(geometry.asked_range(index, begin, length).ok_or(missing)?))
    }

    /// The range that a message names; `None` while there is no geometry.
    fn range(&self, RawBlock { index, begin, length }: RawBlock) -> Result<Option<BlockRef>, Fault> {
        let Some(geometry) = &self.geometry else { return Ok(None) };
        let missing = Misbehaved::NoSuchRange { index, begin, length };
        Ok(Some(geometry.range(index, begin, length).ok_or(missing)?))
    }
}

/// A block as it goes over the wire.
pub(super) fn raw(block: BlockRef) -> RawBlock {
    RawBlock { index: block.piece.get(), begin: block.begin, length: block.length }
}
