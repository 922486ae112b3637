//! Where stored bytes are, and what a link writes: bytes in memory or bytes in storage.

use super::{Chunk, TorrentId};

/// A range of one file of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// Which file, counted as the metainfo lists them (pad files too).
    pub file: u32,
    /// Bytes from the file's start.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
}

/// A stretch of a torrent's span: stored in a file, or pad (BEP 47), which is zeros and stored nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes of a file.
    Stored(Extent),
    /// So many zeros.
    Pad(u32),
}

impl Part {
    /// How many bytes.
    pub fn len(&self) -> u32 {
        match self {
            Self::Stored(extent) => extent.length,
            Self::Pad(length) => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A stretch of bytes to write to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Bytes in memory.
    Bytes(Chunk),
    /// Bytes that the driver said it holds warm in an open file: it sends them from there (`sendfile`).
    Stored(TorrentId, Extent),
}

impl Segment {
    /// How many bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(chunk) => chunk.len(),
            Self::Stored(_, extent) => extent.length as usize,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
