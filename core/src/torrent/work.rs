//! What a torrent asks of its host, and what the host answers. Values only: the driver decides how.

use crate::base::{Chunk, Digests, Extent, LocalId, Part, ProxyId, TorrentId, Want};
use crate::wire::mse::{Exchanged, KeyExchange};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use thiserror::Error;

/// A job. Every job is answered exactly once, also after it was cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Something about the torrent's files as a whole.
    Files {
        /// Whose files.
        torrent: TorrentId,
        /// What about them.
        op: FilesOp,
    },
    /// Read these parts, in order, as one run of bytes. Answered by `Outcome::Bytes`, or by `Outcome::Stored` if
    /// `plain` and the driver holds the bytes warm in an open file and will send them from there, or by
    /// `Outcome::Absent` if not all of them are stored any more.
    Read {
        /// Whose files.
        torrent: TorrentId,
        /// What to read.
        parts: Vec<Part>,
        /// Whether the bytes go out on a link as they are.
        plain: bool,
    },
    /// Write `data`, one run of bytes, over these extents, in order. Answered by `Outcome::Written`.
    Write {
        /// Whose files.
        torrent: TorrentId,
        /// Where to.
        extents: Vec<Extent>,
        /// The bytes: as many as the extents have.
        data: Vec<Chunk>,
    },
    /// Digest bytes in memory. Answered by `Outcome::Digests`.
    Hash {
        /// One run of bytes.
        data: Vec<Chunk>,
        /// Zeros that follow the bytes in the SHA-1.
        pad: u32,
        /// Which digests.
        want: Want,
    },
    /// Digest stored bytes. Answered by `Outcome::Digests`, or by `Outcome::Absent` if not all of them are stored.
    HashStored {
        /// Whose files.
        torrent: TorrentId,
        /// One run of bytes.
        parts: Vec<Part>,
        /// Zeros that follow the bytes in the SHA-1.
        pad: u32,
        /// Which digests.
        want: Want,
    },
    /// Keep the torrent's resume data: replace what was kept before, atomically and durably. Answered by
    /// `Outcome::Saved`.
    Save {
        /// Whose.
        torrent: TorrentId,
        /// The encoded resume data.
        data: Vec<u8>,
    },
    /// GET a URL. Answered by `Outcome::Http`.
    Http {
        /// An absolute http or https URL.
        url: String,
        /// A longer body fails the job. Bytes.
        bytes_max: usize,
        /// More redirects than this fail the job.
        redirects_max: u32,
        /// How long the whole exchange may take.
        timeout: Duration,
        /// Which way.
        route: Route,
    },
    /// Exchange keys for an encrypted link: `mse::exchange` does it, in hundreds of microseconds. Answered by
    /// `Outcome::Exchanged`.
    Exchange(Box<KeyExchange>),
    /// Look up a host's addresses. Answered by `Outcome::Resolved`.
    Resolve {
        /// A host name, or an address in text.
        host: String,
        /// The port to put into the answers.
        port: u16,
        /// Which way. Through a proxy, the answers may be stand-ins that only the proxy's driver knows the names of.
        route: Route,
    },
    /// Have the router let peers in by a port, or renew that, or (with no lease) give it back. Answered by
    /// `Outcome::Mapped`. Not where everything goes through a proxy.
    MapPort {
        /// The socket.
        local: LocalId,
        /// What it carries.
        protocol: PortProtocol,
        /// Its address.
        internal: SocketAddr,
        /// The port outside that is wanted, or that was given before.
        external: u16,
        /// For how long; zero gives it back.
        lease: Duration,
    },
}

/// What a mapped port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortProtocol {
    /// Links over TCP.
    Tcp,
    /// Datagrams.
    Udp,
}

/// The way out. Where a proxy is set, every route has it: no direct one exists that could leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// From this socket's address, and so by its family; `None` leaves it to the driver.
    pub local: Option<LocalId>,
    /// Through this proxy, and never without it.
    pub proxy: Option<ProxyId>,
}

/// Something about a torrent's files as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesOp {
    /// Get to know the files; create none yet but links and files of no length that are wanted, and the folder if any is.
    /// May come again, when more are wanted: nothing is forgotten by that. Answered by `Outcome::Files`.
    Open {
        /// The folder to download into, as the application named it.
        folder: Arc<str>,
        /// The files, counted as extents count them.
        files: Arc<[FileSpec]>,
        /// How space is set aside when a file is first written to.
        allocation: Allocation,
    },
    /// Bring all that was written onto the medium. Answered by `Outcome::Files`, read after the sync.
    Sync,
    /// Forget the files; close what is open. Answered by `Outcome::Files` (empty).
    Close,
}

/// A file as it should be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// Safe path components under the folder, the torrent's name first.
    pub path: Vec<String>,
    /// Bytes.
    pub length: u64,
    /// Padding (BEP 47): never stored, no extent names it.
    pub pad: bool,
    /// May be executed (BEP 47).
    pub executable: bool,
    /// A symbolic link (BEP 47) to this path under the torrent's own folder.
    pub symlink: Option<Vec<String>>,
    /// Selected. A link or a file of no length that is not is not made; others are made when they are first written to,
    /// with the folder.
    pub wanted: bool,
}

/// How space is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocation {
    /// Files get their length at once, blocks when written.
    #[default]
    Sparse,
    /// All blocks are set aside when a file is first opened for writing.
    Full,
    /// Files grow as they are written.
    None,
}

/// A file as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileNow {
    /// Its length in bytes; `None` if there is no such file.
    pub length: Option<u64>,
    /// When it was last changed, in nanoseconds since 1970.
    pub modified_ns: u64,
}

/// The answer to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bytes that were to be read.
    Bytes(Vec<Chunk>),
    /// The bytes are warm in an open file: hand their extents back in a `Transmit`.
    Stored,
    /// All is written.
    Written,
    /// The digests that were wanted.
    Digests(Digests),
    /// Not all of the bytes are stored.
    Absent,
    /// The files as they are, in order.
    Files(Vec<FileNow>),
    /// The resume data is kept, durably.
    Saved,
    /// What the server answered.
    Http {
        /// The status code.
        status: u16,
        /// The body.
        body: Chunk,
    },
    /// What an exchange of keys came to.
    Exchanged(Box<Exchanged>),
    /// The host's addresses, at least one.
    Resolved(Vec<SocketAddr>),
    /// The router lets peers in.
    Mapped {
        /// Where, seen from outside.
        external: SocketAddr,
        /// For how long; zero if the port was given back.
        lease: Duration,
    },
    /// It couldn't be done: the host's fault, not a peer's.
    Failed(HostError),
    /// It was cancelled before it was done.
    Cancelled,
}

impl Outcome {
    /// The digests, or what came instead.
    pub(super) fn digests(self) -> Result<Digests, Self> {
        if let Self::Digests(digests) = self { Ok(digests) } else { Err(self) }
    }

    /// Why it isn't what was asked for.
    pub(super) fn failure(self) -> HostError {
        if let Self::Failed(error) = self {
            return error;
        }
        debug_assert!(self == Self::Cancelled, "a driver's bug: an answer of the wrong kind: {self:?}");
        HostError {
            kind: HostErrorKind::Other,
            message: String::from("the driver's answer is of the wrong kind"),
        }
    }
}

/// A host's failure.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct HostError {
    /// Which kind.
    pub kind: HostErrorKind,
    /// What the operating system said, and about what.
    pub message: String,
}

/// Kinds of failure that the engine treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostErrorKind {
    /// No space left, or a quota is reached.
    Full,
    /// Not allowed.
    Permission,
    /// A file or host that isn't there.
    NotFound,
    /// A server or host that didn't answer in time.
    TimedOut,
    /// Anything else.
    Other,
}
