//! What a driver tells the engine.

use crate::base::{Chunk, ConnId, JobId, LocalId, ProxyId};
use crate::torrent::Outcome;
use crate::wire::http::HttpHead;
use alloc::boxed::Box;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};

/// What happened outside. Taking one in never fails: a peer's fault costs that peer its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The driver bound a socket. What is bound is announced.
    Bound {
        /// The driver's name for it; never reused.
        local: LocalId,
        /// Its address.
        addr: SocketAddr,
        /// What it carries.
        kind: SocketKind,
    },
    /// The socket is gone.
    Unbound {
        /// Which.
        local: LocalId,
    },
    /// A link that the engine asked for is open.
    Opened {
        /// Which.
        conn: ConnId,
        /// What is known of it.
        info: LinkInfo,
    },
    /// Bytes came on a link.
    Received {
        /// On which.
        conn: ConnId,
        /// The bytes, uniquely owned.
        data: Chunk,
    },
    /// Bytes of a transmit went out.
    Wrote {
        /// On which link.
        conn: ConnId,
        /// How many more.
        bytes: u64,
    },
    /// A link ended, or couldn't be opened.
    Closed {
        /// Which.
        conn: ConnId,
        /// Why.
        why: LinkEnd,
    },
    /// Nothing of a closed link is left in the driver.
    Drained {
        /// Which.
        conn: ConnId,
    },
    /// Datagrams came, all from one source.
    Datagrams {
        /// On which socket.
        local: LocalId,
        /// The source.
        from: SocketAddr,
        /// The address of ours that they were sent to, if known.
        to: Option<IpAddr>,
        /// The datagrams, one after the other.
        data: Chunk,
        /// Bytes of each but the last, which may be shorter.
        stride: u16,
    },
    /// A datagram couldn't be sent: our own host or the network refused it.
    DatagramRefused {
        /// From which socket.
        local: LocalId,
        /// Where to.
        to: SocketAddr,
        /// How large it was, if it was refused because it is too large for the way there (`EMSGSIZE`). Bytes; `None` for
        /// any other reason, which says nothing of sizes.
        bytes: Option<usize>,
    },
    /// A job is done.
    Done {
        /// Which.
        job: JobId,
        /// Its one answer.
        outcome: Outcome,
    },
}

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketKind {
    /// Incoming byte links.
    TcpListener,
    /// Datagrams.
    Udp,
    /// Datagrams from the local network, to the group of BEP 14.
    Multicast,
    /// Datagrams through a proxy.
    UdpAssociate(ProxyId),
}

/// What is known of a link when it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Our end.
    pub local: SocketAddr,
    /// The other end; behind a proxy, what was asked for.
    pub remote: SocketAddr,
    /// What a web server said first.
    pub head: Option<Box<HttpHead>>,
}

impl LinkInfo {
    /// A link between these addresses.
    pub fn between(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote, head: None }
    }
}

/// Why a link ended, seen from the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The other side closed it in order.
    Finished,
    /// The other side reset it, or its network did.
    Reset,
    /// Nobody listened there.
    Refused,
    /// Nobody answered.
    TimedOut,
    /// No way leads there.
    Unreachable,
    /// Our own host has no room for another link: too many are open, or its network is out of buffers.
    NoRoom,
    /// Our own host failed, for instance while reading a file to send. No peer is to blame.
    Host(String),
}

/// A link that a stranger opened to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The listener.
    pub local: LocalId,
    /// Our end.
    pub to: SocketAddr,
    /// The other end.
    pub from: SocketAddr,
}
