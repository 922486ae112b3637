//! KRPC, the packets of the DHT (BEP 5, 32, 33, 42, 43, 44, 51): bytes to a borrowed message and back. Not what anyone does
//! with them.
//!
//! ```
//! use millstream_core::wire::krpc::{Body, Message, Method};
//! let bytes = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
//! let message = Message::parse(bytes).unwrap();
//! let Body::Query(query) = message.body else { panic!("it is a query") };
//! assert_eq!((query.id.0, query.method), (*b"abcdefghij0123456789", Method::Ping));
//! let mut out = Vec::new();
//! message.write(&mut out);
//! assert_eq!(out, bytes);
//! ```

mod bloom;
mod compact;
mod item;
mod node_id;
mod parse;
#[cfg(test)]
mod tests;
mod write;

pub use bloom::Bloom;
pub use compact::{Nodes4, Nodes6, Values, write_node};
pub use item::{
    SALT_BYTES_MAX, VALUE_BYTES_MAX, followed_torrent, following_value, immutable_target, is_canonical,
    mutable_target, signed_bytes,
};
pub use node_id::{NodeId, external_key};

use crate::wire::bencode::{BencodeError, Value};
use crate::wire::{BencodeLimits, InfoHash};
use alloc::vec::Vec;
use core::net::SocketAddr;
use thiserror::Error;

/// No datagram of ours is longer (BEP 32). Bytes.
pub const DATAGRAM_BYTES_MAX: usize = 1024;

/// A longer datagram is refused unread: nothing that the BEPs name comes near it. Bytes.
pub const DATAGRAM_READ_BYTES_MAX: usize = 2048;

/// What a stranger's datagram may make us hold.
const LIMITS: BencodeLimits = BencodeLimits { depth_max: 16, nodes_max: 1024 };

/// Why a datagram is no message. Its sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KrpcError {
    /// No bencode, or a value that the BEPs don't allow there.
    #[error(transparent)]
    Bencode(#[from] BencodeError),
    /// Longer than [`DATAGRAM_READ_BYTES_MAX`].
    #[error("a datagram of {0} bytes")]
    TooLong(usize),
    /// A `y` that is no query, response or error.
    #[error("a message that is no query, no response and no error")]
    Kind,
    /// A string of another length than its key has.
    #[error("`{key}` of {length} bytes")]
    Length {
        /// Which key.
        key: &'static str,
        /// How long it is.
        length: usize,
    },
}

/// The error codes of KRPC (BEP 5, BEP 44).
pub mod code {
    /// Generic error.
    pub const GENERIC: i64 = 201;
    /// Server error: for instance no room.
    pub const SERVER: i64 = 202;
    /// Protocol error: malformed, invalid arguments or a bad token.
    pub const PROTOCOL: i64 = 203;
    /// Method unknown.
    pub const METHOD: i64 = 204;
    /// `v` too big (BEP 44).
    pub const VALUE_TOO_BIG: i64 = 205;
    /// Invalid signature (BEP 44).
    pub const SIGNATURE: i64 = 206;
    /// `salt` too big (BEP 44).
    pub const SALT_TOO_BIG: i64 = 207;
    /// `cas` is another than the stored sequence number (BEP 44).
    pub const CAS: i64 = 301;
    /// Sequence number less than the stored one (BEP 44).
    pub const SEQUENCE: i64 = 302;
}

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message<'a> {
    /// `t`: names the query that a response or error belongs to.
    pub transaction: &'a [u8],
    /// `v`: who wrote it.
    pub version: Option<&'a [u8]>,
    /// `ip`: how the sender sees the receiver (BEP 42).
    pub ip: Option<SocketAddr>,
    /// `ro`: the sender answers no queries and wants to be in no table (BEP 43).
    pub read_only: bool,
    /// What it says.
    pub body: Body<'a>,
}

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "borrowed fields, on the stack for the time of one datagram")]
pub enum Body<'a> {
    /// `q`
    Query(Query<'a>),
    /// `r`
    Response(Response<'a>),
    /// `e`
    Error {
        /// Which; see [`code`].
        code: i64,
        /// In words.
        message: &'a [u8],
    },
}

/// A query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Query<'a> {
    /// The sender's id.
    pub id: NodeId,
    /// What is asked, with its own arguments.
    pub method: Method<'a>,
    /// `want` (BEP 32); `None` leaves it to the family of the packet.
    pub want: Option<WantNodes>,
}

/// Which nodes are wanted (BEP 32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantNodes {
    /// `n4`
    pub v4: bool,
    /// `n6`
    pub v6: bool,
}

/// What a query asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method<'a> {
    /// Are you there?
    Ping,
    /// Who is near `target`?
    FindNode {
        /// A point of the key space.
        target: NodeId,
    },
    /// Who has the torrent, or who is near it?
    GetPeers {
        /// The torrent.
        info_hash: InfoHash,
        /// Rather no seeds (BEP 33).
        no_seed: bool,
        /// With Bloom filters (BEP 33).
        scrape: bool,
    },
    /// I have the torrent.
    AnnouncePeer {
        /// The torrent.
        info_hash: InfoHash,
        /// Where peers reach me; `None` is the port that the packet comes from.
        port: Option<u16>,
        /// From the answer to `get_peers`.
        token: &'a [u8],
        /// I have all of it (BEP 33).
        seed: bool,
    },
    /// What is stored under `target` (BEP 44)?
    Get {
        /// The item's key.
        target: NodeId,
        /// Only if its sequence number is greater.
        seq: Option<i64>,
    },
    /// Store this (BEP 44).
    Put {
        /// From the answer to `get`.
        token: &'a [u8],
        /// The bencoded value, as it stands in the packet.
        value: &'a [u8],
        /// What makes it mutable; `None` is an immutable item.
        signed: Option<Signed<'a>>,
        /// Only over this sequence number.
        cas: Option<i64>,
    },
    /// Which torrents do you know of (BEP 51)?
    SampleInfohashes {
        /// A point of the key space, for the nodes of the answer.
        target: NodeId,
    },
    /// A method that no BEP of ours names. With a target it may be answered with nodes.
    Other {
        /// Its name.
        name: &'a [u8],
        /// `target` or `info_hash`, if there is one.
        target: Option<NodeId>,
    },
}

/// What makes an item mutable (BEP 44).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// `k`: the public key.
    pub key: &'a [u8; 32],
    /// `salt`; empty if there is none.
    pub salt: &'a [u8],
    /// `seq`
    pub seq: i64,
    /// `sig`
    pub signature: &'a [u8; 64],
}

/// A response: whatever of these fields it has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Response<'a> {
    /// The sender's id.
    pub id: NodeId,
    /// `nodes`: 26 bytes each.
    pub nodes: Nodes4<'a>,
    /// `nodes6`: 38 bytes each (BEP 32).
    pub nodes6: Nodes6<'a>,
    /// `token`: a write token.
    pub token: Option<&'a [u8]>,
    /// `values`: peers.
    pub values: Values<'a>,
    /// `BFsd`: the seeds as a Bloom filter (BEP 33).
    pub seeds: Option<&'a [u8; 256]>,
    /// `BFpe`: the others (BEP 33).
    pub peers: Option<&'a [u8; 256]>,
    /// `v`: a stored value, as it stands in the packet (BEP 44).
    pub value: Option<&'a [u8]>,
    /// `k` (BEP 44).
    pub key: Option<&'a [u8; 32]>,
    /// `seq` (BEP 44).
    pub seq: Option<i64>,
    /// `sig` (BEP 44).
    pub signature: Option<&'a [u8; 64]>,
    /// `interval`: seconds until other samples are given (BEP 51).
    pub interval: Option<i64>,
    /// `num`: torrents it knows of (BEP 51).
    pub num: Option<i64>,
    /// `samples`: 20 bytes each (BEP 51).
    pub samples: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Reads a datagram. Unknown keys are passed over.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, KrpcError> {
        parse::message(bytes)
    }

    /// Appends the packet, canonically bencoded.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::message(self, out);
    }
}

/// A value that stands under a key, for errors.
type Found<'t, 'a> = (&'static str, Value<'t, 'a>);
