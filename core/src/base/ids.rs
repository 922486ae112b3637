//! Names of the engine's own things. Counters below 2^53, never reused: a stale id finds nothing, and a JavaScript
//! number holds it.

/// Makes one kind of id.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    };
}

id!(/** A torrent of this engine. */ TorrentId);
id!(/** A byte link, from its first moment to its `Drained`. */ ConnId);
id!(/** A job that the driver owes an answer. */ JobId);
id!(/** A socket that the driver bound. */ LocalId);
id!(/** A proxy that the driver knows the way through. */ ProxyId);

/// A peer of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerRef {
    /// The torrent.
    pub torrent: TorrentId,
    /// Counts up in the torrent.
    pub n: u32,
}
