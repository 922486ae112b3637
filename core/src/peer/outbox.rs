//! What waits to be sent beside blocks, and how a transmit is put together. Blocks wait in the upload queue.

use crate::base::{Chunk, Segment};
use crate::wire::message::Message;
use alloc::vec::Vec;

/// Bytes for the link. What it holds is committed: it is written whole and in order, or the link is closed.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transmit {
    /// What to write.
    pub segments: Vec<Segment>,
    /// Bytes in all.
    pub len: usize,
    /// Bytes of blocks that were committed with it: what a rate limit has to pay for.
    pub payload: u64,
}

/// Messages that wait to be sent, encoded.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    control: Vec<u8>,
    /// The length of the message that found nothing before it: one alone may be longer than all may be together.
    first: usize,
    /// The rest of a message of which a part was handed over.
    begun: Vec<Segment>,
}

impl Outbox {
    /// Appends a message.
    pub(super) fn push(&mut self, message: &Message<'_>) {
        let before = self.control.len();
        message.encode(&mut self.control);
        if before == 0 {
            self.first = self.control.len();
        }
    }

    /// Bytes that wait behind the first message.
    pub(super) fn len_beyond_first(&self) -> usize {
        self.control.len().saturating_sub(self.first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.begun.is_empty()
    }

    pub(super) fn take_control(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.control)
    }

    pub(super) fn take_begun(&mut self) -> Vec<Segment> {
        core::mem::take(&mut self.begun)
    }

    /// Cuts `segments` at `max` bytes; what is beyond goes first the next time. Answers the bytes that stay.
    pub(super) fn cut(&mut self, segments: &mut Vec<Segment>, max: usize) -> usize {
        let len: usize = segments.iter().map(Segment::len).sum();
        if len > max {
            self.begun = range(segments, max, len - max);
            *segments = range(segments, 0, max);
        }
        len.min(max)
    }
}

/// The `length` bytes from `start` of what `segments` hold together, as far as they go.
pub(super) fn range(segments: &[Segment], start: usize, length: usize) -> Vec<Segment> {
    let (mut skip, mut left) = (start, length);
    let mut out = Vec::with_capacity(segments.len().min(2));
    for segment in segments {
        let at = skip.min(segment.len());
        skip -= at;
        let n = left.min(segment.len() - at);
        left -= n;
        if n > 0 {
            out.push(part(segment, at, n));
        }
        if left == 0 {
            break;
        }
    }
    out
}

fn part(segment: &Segment, at: usize, n: usize) -> Segment {
    match segment {
        Segment::Bytes(chunk) => Segment::Bytes(Chunk::slice(chunk, at, at + n)),
        Segment::Stored(torrent, extent) => {
            let mut part = *extent;
            part.offset += at as u64;
            part.length = n as u32;
            Segment::Stored(*torrent, part)
        }
    }
}
