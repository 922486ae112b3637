//! Framing: bytes in, however they were cut, whole messages out. What a message means is the session's. Blocks are
//! slices of what was received; only what came in badly filled buffers is copied.

use super::fact::{Fault, Malformed};
use super::{Parts, SessionConfig};
use crate::base::Chunk;
use crate::wire::message::{Header, PIECE_HEADER_BYTES, id};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A whole message.
#[derive(Debug)]
pub enum Frame {
    /// A keep-alive.
    KeepAlive,
    /// A block.
    Piece {
        /// The piece's number.
        index: u32,
        /// Bytes from the piece's start.
        begin: u32,
        /// The block.
        data: Parts,
    },
    /// Any other message.
    Message {
        /// The message's number.
        id: u8,
        /// What follows the number.
        body: Chunk,
    },
}

/// Received bytes on their way to messages: what a session reads with, for those who keep a session themselves.
#[derive(Debug, Default)]
pub struct Reader {
    incoming: VecDeque<Incoming>,
    /// The bytes of a message that isn't whole, or of a block's header; bounded by `message_bytes_max`.
    partial: Vec<u8>,
    /// A block that isn't whole.
    block: Option<Box<Assembly>>,
}

/// One read.
#[derive(Debug)]
struct Incoming {
    data: Chunk,
    at: usize,
}

impl Incoming {
    fn rest(&self) -> &[u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    /// Whether it fills less than half of its buffer, so that slices of it would pin more than they hold.
    fn is_sparse(&self) -> bool {
        self.data.len() * 2 < self.data.pinned()
    }

    /// The next `n` bytes as they are to be kept.
    fn keep(&self, start: usize, n: usize) -> Chunk {
        let slice = self.data.slice(self.at + start, self.at + start + n);
        if self.is_sparse() { Chunk::copy_from(&slice) } else { slice }
    }
}

#[derive(Debug)]
struct Assembly {
    index: u32,
    begin: u32,
    missing: usize,
    parts: Parts,
    copied: Vec<u8>,
}

impl Assembly {
    fn new(index: u32, begin: u32, length: u32) -> Box<Self> {
        let missing = length as usize;
        Box::new(Self { index, begin, missing, parts: Parts::default(), copied: Vec::new() })
    }

    /// Takes what it needs of `from`; answers whether it is whole.
    fn take(&mut self, from: &mut Incoming) -> bool {
        let n = self.missing.min(from.rest().len());
        if self.copied.is_empty() && !from.is_sparse() {
            self.parts.push(from.data.slice(from.at, from.at + n));
        } else {
            if self.copied.is_empty() {
                self.copied.reserve_exact(self.missing);
            }
            self.copied.extend_from_slice(from.rest().get(..n).unwrap_or_default());
        }
        from.at += n;
        self.missing -= n;
        self.missing == 0
    }

    fn frame(mut self) -> Frame {
        self.parts.push(Chunk::from(self.copied));
        Frame::Piece { index: self.index, begin: self.begin, data: self.parts }
    }
}

/// What bounds a message.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of a block.
    pub block_bytes_max: u32,
    /// Bytes of the body of any other message.
    pub message_bytes_max: u32,
}

impl Bounds {
    pub(super) fn new(config: &SessionConfig, block_bytes_max: u32) -> Self {
        Self { block_bytes_max, message_bytes_max: config.message_bytes_max }
    }

    fn check(self, header: Header) -> Result<(), Fault> {
        let (id, length, max) = match header {
            Header::KeepAlive => return Ok(()),
            Header::Piece { length, .. } => (id::PIECE, length, self.block_bytes_max),
            Header::Other { id, length } => (id, length, self.message_bytes_max),
        };
        if length > max { Err(Malformed::TooLong { id, length }.into()) } else { Ok(()) }
    }
}

impl Reader {
    /// Takes what was read.
    pub fn push(&mut self, data: Chunk) {
        if !data.is_empty() {
            self.incoming.push_back(Incoming { data, at: 0 });
        }
    }

    /// Whether all that was taken was given out: no message is under way.
    pub fn is_empty(&self) -> bool {
        self.incoming.is_empty() && self.partial.is_empty() && self.block.is_none()
    }

    /// What was read and begins with the next message, for who knows short messages by sight; empty within a message.
    pub fn at_hand(&self) -> &[u8] {
        let between = self.partial.is_empty() && self.block.is_none();
        self.incoming.front().filter(|_| between).map_or(&[], Incoming::rest)
    }

    /// Passes over so many bytes that were at hand: whole messages that need not be read again.
    pub fn pass(&mut self, bytes: usize) {
        if let Some(front) = self.incoming.front_mut() {
            front.at += bytes.min(front.rest().len());
            self.drop_read();
        }
    }

    /// The next whole message; `None` until more bytes come. After an error nothing more is to be read.
    pub fn next(&mut self, bounds: Bounds) -> Result<Option<Frame>, Fault> {
        loop {
            if let Some(block) = &mut self.block {
                let Some(front) = self.incoming.front_mut() else { return Ok(None) };
                let whole = block.take(front);
                self.drop_read();
                if whole && let Some(block) = self.block.take() {
                    return Ok(Some(block.frame()));
                }
            } else if self.partial.is_empty() {
                let Some(front) = self.incoming.front() else { return Ok(None) };
                if front.rest().is_empty() {
                    self.incoming.pop_front();
                } else if let Some(frame) = self.whole_or_begin(bounds)? {
                    return Ok(Some(frame));
                }
            } else {
                if self.incoming.is_empty() {
                    return Ok(None);
                }
                if let Some(frame) = self.go_on(bounds)? {
                    return Ok(Some(frame));
                }
            }
        }
    }

    /// Reads a message that begins in the front read: all of it, or what is there of it.
    fn whole_or_begin(&mut self, bounds: Bounds) -> Result<Option<Frame>, Fault> {
        let Some(front) = self.incoming.front_mut() else { return Ok(None) };
        let rest = front.rest();
        let Some(header) = Header::parse(rest).map_err(Malformed::from)? else {
            self.partial.extend_from_slice(rest);
            self.incoming.pop_front();
            return Ok(None);
        };
        bounds.check(header)?;
        let (head, body) = (header.bytes(), header.body_bytes() as usize);
        let whole = rest.len() >= head + body;
        match header {
            Header::Piece { index, begin, length } if !whole => {
                front.at += head;
                self.block = Some(Assembly::new(index, begin, length));
                self.drop_read();
                return Ok(None);
            }
            Header::Other { .. } if !whole => {
                self.partial.extend_from_slice(rest);
                self.incoming.pop_front();
                return Ok(None);
            }
            Header::KeepAlive | Header::Piece { .. } | Header::Other { .. } => {}
        }
        let frame = match header {
            Header::KeepAlive => Frame::KeepAlive,
            Header::Piece { index, begin, .. } => {
                Frame::Piece { index, begin, data: front.keep(head, body).into() }
            }
            Header::Other { id, .. } => {
                Frame::Message { id, body: front.data.slice(front.at + head, front.at + head + body) }
            }
        };
        front.at += head + body;
        self.drop_read();
        Ok(Some(frame))
    }

    /// Adds to the message that began in an earlier read.
    fn go_on(&mut self, bounds: Bounds) -> Result<Option<Frame>, Fault> {
        let wanted = match Header::parse(&self.partial).map_err(Malformed::from)? {
            None => header_bytes(&self.partial),
            Some(header) => header.bytes() + header.body_bytes() as usize,
        };
        let Some(front) = self.incoming.front_mut() else { return Ok(None) };
        let missing = wanted.saturating_sub(self.partial.len());
        let n = missing.min(front.rest().len());
        self.partial.extend_from_slice(front.rest().get(..n).unwrap_or_default());
        front.at += n;
        self.drop_read();
        self.finish(bounds)
    }

    /// The message under way, if that is all of it: it may end with the last read there is.
    fn finish(&mut self, bounds: Bounds) -> Result<Option<Frame>, Fault> {
        let Some(header) = Header::parse(&self.partial).map_err(Malformed::from)? else { return Ok(None) };
        bounds.check(header)?;
        match header {
            Header::KeepAlive => {
                self.partial = Vec::new();
                Ok(Some(Frame::KeepAlive))
            }
            Header::Piece { index, begin, length } => {
                self.block = Some(Assembly::new(index, begin, length));
                self.partial = Vec::new();
                Ok(None)
            }
            Header::Other { id, length } => {
                let whole = header.bytes() + length as usize;
                if self.partial.len() < whole {
                    return Ok(None);
                }
                let body = Chunk::from(core::mem::take(&mut self.partial)).slice(header.bytes(), whole);
                Ok(Some(Frame::Message { id, body }))
            }
        }
    }

    fn drop_read(&mut self) {
        if self.incoming.front().is_some_and(|front| front.rest().is_empty()) {
            self.incoming.pop_front();
        }
    }
}

/// How many bytes it takes to know more about the message that begins like this.
fn header_bytes(partial: &[u8]) -> usize {
    match partial {
        [_, _, _, _, id::PIECE, ..] => PIECE_HEADER_BYTES,
        [_, _, _, _, ..] => 5,
        _ => 4,
    }
}
