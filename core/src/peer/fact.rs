//! What a session tells the layer above, and what it blames a peer for.

use super::Parts;
use crate::base::{BitsError, BlockRef, Chunk, PieceIndex};
use crate::wire::extension::{Extension, ExtensionError, ExtensionHandshake};
use crate::wire::message::{HashRange, MessageError};
use alloc::boxed::Box;
use alloc::vec::Vec;
use thiserror::Error;

/// Something that happened in a session.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A sign of life.
    KeepAlive,
    /// The peer chokes us.
    Choked {
        /// Requests that will not be answered; none under BEP 6, where each is answered or rejected.
        lost: Vec<BlockRef>,
    },
    /// The peer serves our requests.
    Unchoked,
    /// The peer wants pieces of ours.
    Interested,
    /// The peer wants none.
    NotInterested,
    /// The peer has one piece more.
    Have(PieceIndex),
    /// What the peer has is known: `Session::peer_pieces`. Comes at most once, when its bitfield, have-all or have-none
    /// and the geometry are both there, or for a geometry that comes later.
    Pieces,
    /// The peer lost a piece (BEP 54).
    DontHave {
        /// Which.
        piece: PieceIndex,
        /// Requests that will not be answered; none under BEP 6, where each is rejected.
        lost: Vec<BlockRef>,
    },
    /// A block that was asked for.
    Block {
        /// Which.
        block: BlockRef,
        /// Its bytes.
        data: Parts,
    },
    /// A block that isn't asked for, or isn't any more: it was cancelled, timed out or lost to a choke. Its bytes are
    /// as good as any if they are still missing.
    Unrequested {
        /// Which.
        block: BlockRef,
        /// Its bytes.
        data: Parts,
    },
    /// The peer asks for a block, and it waits to be loaded.
    Requested(BlockRef),
    /// The peer took a request back before it was handed over.
    Cancelled(BlockRef),
    /// A request of ours will not be answered (BEP 6).
    Rejected(BlockRef),
    /// We may ask for this piece while choked (BEP 6).
    AllowedFast(PieceIndex),
    /// The peer would like us to take this piece (BEP 6).
    Suggested(PieceIndex),
    /// The peer told about itself, for the first time or again (BEP 10). Only what this message holds.
    ExtensionHandshake(Box<ExtensionHandshake>),
    /// A message of an extension that the session itself does not speak (BEP 10).
    Extended {
        /// Which extension, by the number that we gave it.
        extension: Extension,
        /// What it says. It pins the buffer it came in.
        payload: Chunk,
    },
    /// The peer wants nothing more, or does again (BEP 21).
    UploadOnly(bool),
    /// The peer asks for hashes (BEP 52).
    HashRequested(HashRange),
    /// Hashes came (BEP 52).
    Hashes {
        /// Which, as the peer says.
        range: HashRange,
        /// 32 bytes each, the proof last.
        hashes: Chunk,
    },
    /// Hashes will not come (BEP 52).
    HashRejected(HashRange),
    /// The port of the peer's DHT node (BEP 5).
    Port(u16),
    /// Requests that waited too long. They are cancelled; should an answer come, it is `Unrequested`.
    TimedOut(Vec<BlockRef>),
    /// The peer sends nothing of what it owes. It gets one request at a time until it does.
    Snubbed,
    /// The peer, or its link, is at fault. Nothing follows: close the link.
    Fault(Fault),
}

/// Why a session ends. A host is never to blame here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The peer's bytes make no sense.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The peer's bytes make sense, but it may not send them.
    #[error("misbehaved: {0}")]
    Misbehaved(#[from] Misbehaved),
    /// The peer was silent for too long.
    #[error("the peer was silent for too long")]
    Idle,
    /// The link took nothing of what it was handed for too long, or more piled up than may.
    #[error("the peer does not read")]
    Stalled,
}

/// How bytes make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// A message can't be read.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A message is longer than any may be.
    #[error("a message {id} with a body of {length} bytes is too long")]
    TooLong {
        /// The message's number.
        id: u8,
        /// The bytes behind it.
        length: u32,
    },
    /// A bitfield doesn't fit the torrent.
    #[error(transparent)]
    Bitfield(#[from] BitsError),
    /// The extension handshake can't be read.
    #[error(transparent)]
    ExtensionHandshake(#[from] ExtensionError),
    /// A message of an extension has a length that it can't have.
    #[error("a message of {} can't be {length} bytes", extension.name())]
    Extended {
        /// Which extension.
        extension: Extension,
        /// The bytes behind its number.
        length: usize,
    },
}

/// What a peer may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Misbehaved {
    /// A piece that doesn't exist.
    #[error("piece {0} does not exist")]
    NoSuchPiece(u32),
    /// A range that doesn't exist.
    #[error("piece {index} has no {length} bytes at {begin}")]
    NoSuchRange {
        /// The piece's number.
        index: u32,
        /// Bytes from its start.
        begin: u32,
        /// Bytes.
        length: u32,
    },
    /// A request for more bytes than may be asked for.
    #[error("a request for {0} bytes at once")]
    RequestTooLong(u32),
    /// A message of an extension that isn't agreed upon.
    #[error("message {0} was not agreed upon")]
    NotAgreed(u8),
    /// More bytes than may just be late that nobody asked for.
    #[error("too many blocks that nobody asked for")]
    Unrequested,
}
