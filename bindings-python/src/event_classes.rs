//! The classes of events, one for each kind of news. `millstream._values` shows them under the same names.

use crate::value_class::{Raw, value_classes};
use core::net::SocketAddr;
use std::sync::Arc;

value_classes! {
    /// The info dictionary is known and verified: `info` of the engine or the session has it.
    Metadata { torrent: u64 }

    /// What is stored was checked; the transfer begins.
    Checked { torrent: u64 }

    /// Something changed that `status` shows. Coalesced.
    Progress { torrent: u64 }

    /// A piece is verified and written.
    PieceVerified { torrent: u64, piece: u32 }

    /// All that is wanted is verified and written.
    Completed { torrent: u64 }

    /// A peer joined.
    PeerJoined { torrent: u64, address: SocketAddr }

    /// A peer left.
    PeerLeft { torrent: u64, address: SocketAddr }

    /// A tracker answered, and named so many peers.
    TrackerAnswered { torrent: u64, url: Arc<str>, peers: usize }

    /// A tracker failed, or refused.
    TrackerFailed { torrent: u64, url: Arc<str>, error: String }

    /// A tracker told how many are in the swarm (BEP 48).
    Scraped { torrent: u64, url: Arc<str>, seeds: u32, leeches: u32, downloaded: u32 }

    /// There is a newer torrent (BEP 39), as a torrent file; `signed` by the originator that this one names (BEP 35).
    UpdateAvailable { torrent: u64, metainfo: Raw, signed: bool }

    /// A peer was banned.
    Banned { torrent: u64, address: SocketAddr, reason: String }

    /// Something is amiss that doesn't stop the torrent.
    Warned { torrent: u64, message: String }

    /// The torrent stopped for this reason; nothing verified is lost. `resume` tries again.
    TorrentFailed { torrent: u64, reason: String }

    /// Resume data was saved, durably.
    ResumeSaved { torrent: u64 }

    /// The torrent is gone: announced, closed, saved.
    Removed { torrent: u64 }

    /// Peers can reach us here.
    Listening { local: u64, address: SocketAddr }

    /// A followed key names this torrent now (BEP 46), by its info-hash on the wire; `seq` is the version of what it says.
    KeyFollowed { key: Raw, salt: Raw, info_hash: Raw, seq: i64 }

    /// Something is amiss that doesn't stop the session.
    SessionWarned { message: String }

    /// The network was found to bear more links or fewer: how many there may be, counting those that ended lately.
    PoolChanged { before: usize, after: usize }

    /// So many events were dropped because nobody took them.
    Lagged { count: u64 }

    /// All is ended.
    Stopped { }
}
