//! What a torrent tells the application.

use crate::base::PieceIndex;
use crate::wire::metainfo::Info;
use alloc::string::String;
use alloc::sync::Arc;
use core::net::SocketAddr;

/// News of a torrent.
#[derive(Clone, Debug)]
pub enum TorrentEvent {
    /// The info dictionary is known and verified: at once for a torrent file, later for a magnet.
    Metadata(Arc<Info>),
    /// What is stored was checked; the transfer begins.
    Checked,
    /// Something changed that `TorrentRef::status` shows. Coalesced.
    Progress,
    /// A piece is verified and written. Coalesced away when the application is slow.
    Verified(PieceIndex),
    /// All that is wanted is verified and written.
    Completed,
    /// A peer joined or left.
    Peer {
        /// Its address.
        addr: SocketAddr,
        /// Whether it joined.
        joined: bool,
    },
    /// A tracker answered.
    TrackerAnswered {
        /// Its URL.
        url: Arc<str>,
        /// How many peers it named.
        peers: usize,
    },
    /// A tracker failed, or refused.
    TrackerFailed {
        /// Its URL.
        url: Arc<str>,
        /// Why.
        error: String,
    },
    /// A tracker told how many are in the swarm (BEP 48).
    Scraped {
        /// Its URL.
        url: Arc<str>,
        /// Peers that have everything.
        seeds: u32,
        /// Peers that miss something.
        leeches: u32,
        /// How often a download became whole.
        downloaded: u32,
    },
    /// There is a newer torrent (BEP 39). Add it to follow.
    UpdateAvailable {
        /// The torrent file's bytes.
        torrent: Arc<[u8]>,
        /// Whether the originator that this torrent names signed it (BEP 35); if it names one, nothing else is told of.
        signed: bool,
    },
    /// A peer was banned.
    Banned {
        /// Its address.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
    /// Something is amiss that doesn't stop the torrent.
    Warning(String),
    /// The torrent stopped for this reason; nothing verified is lost. `Command::Resume` tries again.
    Failed(String),
    /// Resume data was saved, durably.
    Saved,
    /// The torrent is gone: announced, closed, saved.
    Removed,
}
