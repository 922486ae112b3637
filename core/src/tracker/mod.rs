//! A tracker's swarms: who announced what, whom to tell of whom, and how many there are (BEP 3, 7, 23, 24, 48). It owns
//! torrents, their peers and their expiry. Not sockets: [`http::answer`] turns a request's target into a response for any
//! HTTP server.
//!
//! ```
//! use millstream_core::base::Instant;
//! use millstream_core::tracker::{Tracker, TrackerConfig, http};
//! let mut tracker = Tracker::new(TrackerConfig::default(), [7; 32]);
//! let target = b"/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=6881&left=0";
//! let answer = http::answer(Instant::ZERO, &mut tracker, target, "192.0.2.1:50000".parse().unwrap());
//! assert_eq!(answer.status, 200);
//! ```

pub mod http;
mod roster;
mod swarms;

pub use swarms::Tracker;

use crate::wire::PeerId;
use crate::wire::tracker::SwarmCounts;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// How the tracker behaves and what it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerConfig {
    /// Seconds between a peer's announces. A peer that was not heard for twice as long is forgotten.
    pub interval_s: u32,
    /// Seconds before which a peer is asked not to announce again.
    pub min_interval_s: u32,
    /// Torrents held; an announce of one more is refused. About 500 bytes each.
    pub torrents_max: usize,
    /// Peers held of one torrent and address family; one more is told of others, but not remembered. About 150 bytes each.
    pub peers_per_torrent_max: usize,
    /// Peers given to who doesn't say how many it wants.
    pub numwant_default: u32,
    /// Peers given at the most.
    pub numwant_max: u32,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            interval_s: 1800,
            min_interval_s: 60,
            torrents_max: 100_000,
            peers_per_torrent_max: 100_000,
            numwant_default: 50,
            numwant_max: 200,
        }
    }
}

/// What a peer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceReply {
    /// Seconds until its next announce.
    pub interval_s: u32,
    /// Seconds before which it shall not come again.
    pub min_interval_s: u32,
    /// How many are in the swarm, over both address families.
    pub counts: SwarmCounts,
    /// Others of its own address family; none of them seeds if it is one.
    pub peers: Vec<(SocketAddr, PeerId)>,
}

/// Why an announce is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `torrents_max` is reached.
    #[error("this tracker holds no more torrents")]
    TorrentsFull,
}

/// What the tracker holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackerStatistics {
    /// Torrents with a peer.
    pub torrents: usize,
    /// Peers of all torrents that miss something, counted once for each torrent and family.
    pub leeches: usize,
    /// Peers of all torrents that have everything, counted likewise.
    pub seeds: usize,
    /// Announces answered.
    pub announces: u64,
    /// Torrents scraped.
    pub scraped: u64,
    /// Downloads that became whole.
    pub completed: u64,
    /// Announces refused.
    pub refused: u64,
    /// Peers forgotten since they were not heard any more.
    pub expired: u64,
}
