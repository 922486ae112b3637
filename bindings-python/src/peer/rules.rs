//! What may come and what may be sent on a connection between peers. It owns framing, what was agreed upon and what a
//! side told; not Python's values.

use super::cover::{Cover, Opened};
use super::extensions::News;
use millstream_core::base::{Bits, Chunk};
use millstream_core::peer::{Bounds, Fault, Frame, Misbehaved, Parts, Reader};
use millstream_core::wire::handshake::{Feature, Handshake, Reserved};
use millstream_core::wire::message::{Message, RawBlock, id};
use millstream_core::wire::{InfoHash, PeerId};

/// Reads of fewer bytes are gathered: else a block that drips in would cost a hundred bytes for each of its own.
const SMALL_BYTES: usize = 16 << 10;

/// What a connection is about and what was agreed upon.
pub(super) struct Inner {
    pub(super) client: bool,
    pub(super) peer_id: PeerId,
    pub(super) hashes: Vec<InfoHash>,
    pub(super) reserved: Reserved,
    /// The extensions that we speak, with our numbers.
    pub(super) ours: Vec<(String, u8)>,
    /// Those that the peer speaks, with its numbers.
    pub(super) theirs: Vec<(String, u8)>,
    pub(super) pieces: Option<u32>,
    pub(super) bounds: Bounds,
    pub(super) request_bytes_max: u32,
    /// What hides the stream, and the peer's handshake until all of it is there.
    pub(super) cover: Cover,
    pub(super) greeted: bool,
    pub(super) handshake: Option<Handshake>,
    pub(super) reader: Reader,
    /// Nothing but a bitfield, or what stands for it, may come first; and it comes once.
    pub(super) begun: bool,
    pub(super) end: Option<End>,
    pub(super) state: State,
}

/// How a connection ended.
#[derive(Clone)]
pub(super) enum End {
    Fault { message: String, reason: &'static str },
    Eof,
}

/// Who serves whom, and who wants what.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) am_choking: bool,
    pub(super) am_interested: bool,
    pub(super) peer_choking: bool,
    pub(super) peer_interested: bool,
}

/// What was received, checked, on its way to be a value of Python's.
pub(super) enum Received {
    Handshake(Box<Handshake>),
    KeepAlive,
    Plain(Plain),
    Piece { index: u32, begin: u32, data: Chunk },
    Message { id: u8, body: Chunk },
    Extended(Box<News>),
}

/// The messages that come by the thousand.
#[derive(Clone, Copy)]
pub(super) enum Plain {
    Have(u32),
    Request(RawBlock),
    Cancel(RawBlock),
    Reject(RawBlock),
}

/// Bytes of the body of the longest of them.
const PLAIN_BODY_BYTES: u32 = 12;

impl Plain {
    /// The first message of these bytes, if it is one of these and whole, and how long it is.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let number = |a, b, c, d| u32::from_be_bytes([a, b, c, d]);
        match *bytes {
            [0, 0, 0, 5, id::HAVE, a, b, c, d, ..] => Some((Self::Have(number(a, b, c, d)), 9)),
            [0, 0, 0, 13, id, a, b, c, d, e, f, g, h, i, j, k, l, ..] => {
                let block = RawBlock {
                    index: number(a, b, c, d),
                    begin: number(e, f, g, h),
                    length: number(i, j, k, l),
                };
                let message = match id {
                    id::REQUEST => Self::Request(block),
                    id::CANCEL => Self::Cancel(block),
                    id::REJECT => Self::Reject(block),
                    _ => return None,
                };
                Some((message, 17))
            }
            _ => None,
        }
    }

    fn index(self) -> u32 {
        match self {
            Self::Have(index) => index,
            Self::Request(block) | Self::Cancel(block) | Self::Reject(block) => block.index,
        }
    }
}

/// A peer's fault, in words and in one.
pub(super) struct Broken {
    pub(super) message: String,
    pub(super) reason: &'static str,
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        let reason = match fault {
            Fault::Malformed(_) => "malformed",
            Fault::Misbehaved(_) | Fault::Idle | Fault::Stalled => "misbehaved",
        };
        Self { message: fault.to_string(), reason }
    }
}

impl From<Misbehaved> for Broken {
    fn from(misbehaved: Misbehaved) -> Self {
        Fault::from(misbehaved).into()
    }
}

impl State {
    /// We said this.
    pub(super) fn on_sent(&mut self, message: &Message<'_>) {
        turn(message, &mut self.am_choking, &mut self.am_interested);
    }

    /// The peer said this.
    fn on_received(&mut self, message: &Message<'_>) {
        turn(message, &mut self.peer_choking, &mut self.peer_interested);
    }
}

fn turn(message: &Message<'_>, choking: &mut bool, interested: &mut bool) {
    if matches!(message, Message::Choke | Message::Unchoke) {
        *choking = *message == Message::Choke;
    }
    if matches!(message, Message::Interested | Message::NotInterested) {
        *interested = *message == Message::Interested;
    }
}

impl Inner {
    /// The handshake to be written, or what hides it.
    pub(super) fn greet(&mut self) -> Result<Vec<u8>, String> {
        self.is_open()?;
        if self.greeted {
            return Err("the handshake was given already".to_owned());
        }
        let info_hash = match (self.client, self.handshake) {
            (true, _) => self.hashes.first().copied(),
            (false, theirs) => theirs.map(|theirs| theirs.info_hash),
        };
        let info_hash = info_hash.ok_or("who is called answers a handshake, and none has come")?;
        self.greeted = true;
        self.cover.greet(&Handshake { reserved: self.reserved, info_hash, peer_id: self.peer_id });
        Ok(self.cover.take_waiting())
    }

    /// The peer is not heard any more: what was kept to understand it is given back.
    pub(super) fn close(&mut self) {
        self.reader = Reader::default();
        self.cover.end();
    }

    /// Whether both sides said that they can.
    pub(super) fn both(&self, feature: Feature) -> bool {
        self.reserved.has(feature) && self.handshake.is_some_and(|theirs| theirs.reserved.has(feature))
    }

    fn is_open(&self) -> Result<(), String> {
        match &self.end {
            Some(End::Fault { message, .. }) => Err(format!("the connection failed: {message}")),
            Some(End::Eof) | None => Ok(()),
        }
    }

    pub(super) fn may_send(&self) -> Result<(), String> {
        self.is_open()?;
        if !self.greeted {
            return Err("the handshake goes first".to_owned());
        }
        if self.cover.is_unagreed() {
            return Err("encryption goes first: wait for the peer's handshake".to_owned());
        }
        Ok(())
    }

    fn knows(&self, index: u32) -> Result<(), String> {
        match self.pieces {
            Some(pieces) if index >= pieces => Err(format!("piece {index} does not exist")),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether extension messages may be sent.
    pub(super) fn may_extend(&self) -> Result<(), String> {
        self.may_send()?;
        let agreed = self.both(Feature::Extensions);
        if agreed { Ok(()) } else { Err("extensions were not agreed upon (BEP 10)".to_owned()) }
    }

    /// Whether we may send this.
    pub(super) fn may_say(&self, message: &Message<'_>) -> Result<(), String> {
        self.may_send()?;
        if let Message::Request(block) = message
            && (block.length > self.request_bytes_max || block.length == 0)
        {
            return Err(format!("a request for {} bytes at once", block.length));
        }
        if matches!(message, Message::Piece { data: [], .. }) {
            return Err("a block has bytes".to_owned());
        }
        if let (Message::Bitfield(bits), Some(pieces)) = (message, self.pieces) {
            Bits::from_bytes(bits, pieces).map_err(|error| error.to_string())?;
        }
        if is_fast(message) && !self.both(Feature::Fast) {
            return Err("the fast extension was not agreed upon (BEP 6)".to_owned());
        }
        named(message).map_or(Ok(()), |index| self.knows(index))
    }

    pub(super) fn take_in(&mut self, mut data: Vec<u8>, out: &mut Vec<Received>) -> Result<(), Broken> {
        if data.len() < SMALL_BYTES {
            // room to spare tells the reader to gather a block's bytes rather than to keep a slice of each small read
            data.reserve_exact(data.len() + 1);
        }
        let Self { cover, hashes, .. } = self;
        let data = match cover.on_received(Chunk::from(data), hashes, |hash| is_one_of(hashes, hash))? {
            Opened::Wait => return Ok(()),
            Opened::Data(data) => data,
            Opened::Whole(handshake, rest) => {
                if handshake.peer_id == self.peer_id {
                    return Err(Broken { message: "it is ourselves".to_owned(), reason: "handshake" });
                }
                self.handshake = Some(handshake);
                out.push(Received::Handshake(Box::new(handshake)));
                rest
            }
        };
        self.reader.push(data);
        loop {
            self.take_plain(out)?;
            let Some(frame) = self.reader.next(self.bounds)? else { return Ok(()) };
            if let Some(received) = self.check(frame)? {
                out.push(received);
            }
        }
    }

    /// Takes the messages that come by the thousand where they lie, one after the other. What is said of them in `check`
    /// is said here too.
    fn take_plain(&mut self, out: &mut Vec<Received>) -> Result<(), Broken> {
        if self.bounds.message_bytes_max < PLAIN_BODY_BYTES {
            return Ok(());
        }
        let fast = self.both(Feature::Fast);
        let (mut rest, mut taken) = (self.reader.at_hand(), 0);
        while let Some((message, length)) = Plain::read(rest) {
            match message {
                Plain::Reject(_) if !fast => return Err(Misbehaved::NotAgreed(id::REJECT).into()),
                Plain::Request(block) if block.length > self.request_bytes_max => {
                    return Err(Misbehaved::RequestTooLong(block.length).into());
                }
                Plain::Have(_) | Plain::Request(_) | Plain::Cancel(_) | Plain::Reject(_) => {}
            }
            self.exists(message.index())?;
            out.push(Received::Plain(message));
            taken += length;
            rest = rest.get(length..).unwrap_or_default();
        }
        self.reader.pass(taken);
        Ok(())
    }

    fn check(&mut self, frame: Frame) -> Result<Option<Received>, Broken> {
        let (id, body) = match frame {
            Frame::KeepAlive => return Ok(Some(Received::KeepAlive)),
            Frame::Piece { index, begin, data } => {
                self.exists(index)?;
                return Ok(Some(Received::Piece { index, begin, data: whole(data) }));
            }
            Frame::Message { id, body } => (id, body),
        };
        let message = Message::parse(id, &body).map_err(|error| Fault::Malformed(error.into()))?;
        if is_fast(&message) && !self.both(Feature::Fast) {
            return Err(Misbehaved::NotAgreed(id).into());
        }
        self.state.on_received(&message);
        if let (Message::Bitfield(bits), Some(pieces)) = (message, self.pieces) {
            Bits::from_bytes(bits, pieces).map_err(|error| Fault::Malformed(error.into()))?;
        }
        if let Message::Request(block) = message
            && block.length > self.request_bytes_max
        {
            return Err(Misbehaved::RequestTooLong(block.length).into());
        }
        if let Message::Extended { id, .. } = message {
            if !self.both(Feature::Extensions) {
                return Err(Misbehaved::NotAgreed(id::EXTENDED).into());
            }
            let payload = body.slice(1, body.len());
            return Ok(self.extended(id, payload)?.map(|news| Received::Extended(Box::new(news))));
        }
        if let Some(index) = named(&message) {
            self.exists(index)?;
        }
        Ok(Some(Received::Message { id, body }))
    }

    pub(super) fn exists(&self, index: u32) -> Result<(), Broken> {
        match self.pieces {
            Some(pieces) if index >= pieces => Err(Misbehaved::NoSuchPiece(index).into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether a handshake is about one of these torrents, or any if there are none.
fn is_one_of(hashes: &[InfoHash], info_hash: InfoHash) -> Result<(), Broken> {
    if hashes.is_empty() || hashes.contains(&info_hash) {
        return Ok(());
    }
    Err(Broken { message: format!("another torrent: {info_hash}"), reason: "handshake" })
}

/// The bytes of a block in one piece.
fn whole(parts: Parts) -> Chunk {
    let mut each = parts.iter();
    match (each.next(), each.next()) {
        (Some(only), None) => only.clone(),
        _ => Chunk::from(parts.to_vec()),
    }
}

fn is_fast(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::Suggest(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::Reject(_)
            | Message::AllowedFast(_)
    )
}

/// The piece that a message is about.
fn named(message: &Message<'_>) -> Option<u32> {
    match *message {
        Message::Have(index) | Message::Suggest(index) | Message::AllowedFast(index) => Some(index),
        Message::Request(block) | Message::Cancel(block) | Message::Reject(block) => Some(block.index),
        Message::Piece { index, .. } => Some(index),
        Message::KeepAlive
        | Message::Choke
        | Message::Unchoke
        | Message::Interested
        | Message::NotInterested
        | Message::Bitfield(_)
        | Message::Port(_)
        | Message::HaveAll
        | Message::HaveNone
        | Message::Extended { .. }
        | Message::HashRequest(_)
        | Message::Hashes { .. }
        | Message::HashReject(_)
        | Message::Unknown(_) => None,
    }
}
