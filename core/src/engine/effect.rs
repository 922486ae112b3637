//! What the engine asks of a driver.

use crate::base::{Chunk, ConnId, JobId, LocalId, Segment};
use crate::torrent::{Route, Work};
use crate::wire::http::HttpRequest;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Something for the driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open a link. Answered by `Opened` or `Closed`.
    Connect {
        /// Its name from now on.
        conn: ConnId,
        /// Where to, and what is spoken there.
        to: Endpoint,
        /// Which way.
        route: Route,
    },
    /// End a link. Answered by `Drained`, and nothing else comes from it.
    Close {
        /// Which.
        conn: ConnId,
        /// Whether what was handed out is still written.
        how: How,
    },
    /// What a link may read and whether there is something to pull for it. The latest wins.
    Interest {
        /// Which.
        conn: ConnId,
        /// Read no byte beyond this offset of the link's incoming stream. It only grows.
        read_until: u64,
        /// Call `poll_transmit` until it has nothing more.
        write: bool,
    },
    /// Call `poll_datagrams` until it has nothing more.
    DatagramsReady {
        /// For this socket.
        local: LocalId,
    },
    /// Do this, and answer once with `Done`.
    Job {
        /// Its name.
        job: JobId,
        /// What.
        work: Work,
    },
    /// This job's answer isn't needed any more. It is owed all the same.
    Cancel {
        /// Which.
        job: JobId,
    },
}

/// The other end of a link that we want opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A peer over TCP.
    Tcp(SocketAddr),
    /// A web server: `Opened` brings the head of its answer, the body streams in under the link's credit, and `Closed`
    /// with `Finished` is its end. Nothing is pulled for it.
    Http(Box<HttpRequest>),
    /// A WebSocket at this ws or wss URL: every `Received` and every `Transmit` is one text message.
    WebSocket(String),
}

/// How a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Write what was handed out, then close.
    Flush,
    /// At once.
    Abort,
}

/// Bytes for a link, to be written whole and in order, or the link is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// What to write.
    pub segments: Vec<Segment>,
    /// Bytes in all.
    pub len: usize,
}

/// Datagrams for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// Where to.
    pub to: SocketAddr,
    /// From this address of ours, if the socket has several and an answer must come from the one that was asked.
    pub from: Option<IpAddr>,
    /// The datagrams, one after the other.
    pub data: Chunk,
    /// Bytes of each but the last; `None` if there is only one.
    pub stride: Option<u16>,
    /// They may not be cut into fragments on their way.
    pub dont_fragment: bool,
}

impl Datagrams {
    /// One datagram, sent as the system likes.
    pub(super) fn one(to: SocketAddr, data: Chunk) -> Self {
        Self { to, from: None, data, stride: None, dont_fragment: false }
    }
}
