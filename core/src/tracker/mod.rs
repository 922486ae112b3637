//! A tracker's swarms: who announced what, whom to tell of whom, and how many there are (BEP 3, 7, 15, 23, 24, 31, 41,
//! 48, and WebTorrent's signalling). It owns torrents, their peers and their expiry. Not sockets: [`http`], [`udp`] and
//! [`signal`] turn what a server received into what it sends.
//!
//! ```
//! use millstream_core::base::Instant;
//! use millstream_core::tracker::{Tracker, TrackerConfig, http};
//! let mut tracker = Tracker::new(TrackerConfig::default(), [7; 32]);
//! let target = b"/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=6881&left=0";
//! let answer = http::answer(Instant::ZERO, &mut tracker, target, "192.0.2.1:50000".parse().unwrap());
//! assert_eq!(answer.status, 200);
//! ```

mod connection;
pub mod http;
mod makers;
mod roster;
mod rules;
pub mod signal;
pub mod state;
mod statistics;
mod swarm;
mod swarms;
pub mod udp;

pub use connection::{CONNECTION_LIFE_S, ConnectionIds};
pub use rules::{Rules, RulesError, read_list};
pub use statistics::{Fault, Protocol, ProtocolStatistics, TrackerStatistics};
pub use swarms::Tracker;

use crate::wire::PeerId;
use crate::wire::tracker::SwarmCounts;
use crate::wire::tracker_http_server::RetryIn;
use alloc::vec::Vec;
use core::net::SocketAddr;
use swarm::{Drawn, unpacked_4, unpacked_6};

/// How the tracker behaves and what it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerConfig {
    /// Seconds between a peer's announces. A peer that was not heard for twice as long is forgotten.
    pub interval_s: u32,
    /// Seconds before which a peer is asked not to announce again.
    pub min_interval_s: u32,
    /// Seconds between a WebSocket peer's announces: each brings fresh offers.
    pub signal_interval_s: u32,
    /// Torrents held; an announce of one more is refused. About 400 bytes each. Likewise to an IPv4 address or IPv6 /64
    /// that made as many of them as there are free places: one takes half, two a third each. The loopback has no such limit.
    pub torrents_max: usize,
    /// Peers held of all torrents; one more is told of others, but not remembered. About 40 bytes each over IPv4, 55
    /// over IPv6.
    pub peers_max: usize,
    /// Peers held of one torrent and address family; likewise.
    pub peers_per_torrent_max: usize,
    /// Peers held of one torrent and one IPv4 address or IPv6 /64; likewise. Without it one host fills a swarm with
    /// ports of its own; a small one leaves out who shares an address with many. The loopback has no such limit.
    pub peers_per_source_max: usize,
    /// Offers that a WebSocket was handed in one torrent and may answer, 48 bytes each; an older one can't be answered
    /// any more.
    pub offers_per_socket_max: usize,
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
            signal_interval_s: 120,
            torrents_max: 1_000_000,
            peers_max: 20_000_000,
            peers_per_torrent_max: 1_000_000,
            peers_per_source_max: 64,
            offers_per_socket_max: 64,
            numwant_default: 50,
            numwant_max: 200,
        }
    }
}

/// What a peer is told.
#[derive(Clone, Copy, Debug)]
pub struct AnnounceReply<'a> {
    /// Seconds until its next announce.
    pub interval_s: u32,
    /// Seconds before which it shall not come again.
    pub min_interval_s: u32,
    /// How many are in the swarm, a peer of two address families counted once.
    pub counts: SwarmCounts,
    /// Others of its own address family; none of them seeds if it is one.
    pub peers: Peers<'a>,
    /// Why others are not told of it, if a limit says so.
    pub left_out: Option<Fault>,
}

/// Peers drawn for an answer, still where the tracker holds them.
#[derive(Clone, Copy, Debug)]
pub struct Peers<'a>(Option<Drawn<'a>>);

impl Peers<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        match &self.0 {
            Some(Drawn::V4(runs)) => runs.len(),
            Some(Drawn::V6(runs)) => runs.len(),
            None => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each with its id.
    pub fn to_vec(&self) -> Vec<(SocketAddr, PeerId)> {
        match &self.0 {
            Some(Drawn::V4(runs)) => runs.rows().map(|(addr, id)| (unpacked_4(addr), id)).collect(),
            Some(Drawn::V6(runs)) => runs.rows().map(|(addr, id)| (unpacked_6(addr), id)).collect(),
            None => Vec::new(),
        }
    }

    /// Appends them packed: 6 bytes each for IPv4 (BEP 23), 18 for IPv6 (BEP 7).
    pub fn write_compact(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Some(Drawn::V4(runs)) => {
                runs.addrs.iter().for_each(|run| out.extend_from_slice(run.as_flattened()))
            }
            Some(Drawn::V6(runs)) => {
                runs.addrs.iter().for_each(|run| out.extend_from_slice(run.as_flattened()))
            }
            None => {}
        }
    }
}

/// Why an announce is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `torrents_max` is reached.
    #[error("this tracker holds no more torrents")]
    TorrentsFull,
    /// Who announces made as many of the torrents held as there are free places.
    #[error("your address has its share of the torrents that this tracker holds")]
    SourceFull,
    /// The peer id is that of another WebSocket, which is open.
    #[error("another socket has this peer id")]
    IdTaken,
    /// The [`Rules`] leave this torrent out.
    #[error("this tracker does not serve this torrent")]
    NotServed,
}

impl Refusal {
    /// When to come again (BEP 31).
    pub fn retry(self) -> RetryIn {
        match self {
            Self::TorrentsFull | Self::SourceFull => RetryIn::Minutes(30),
            Self::IdTaken => RetryIn::Minutes(1),
            Self::NotServed => RetryIn::Never,
        }
    }

    /// How it is counted.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::TorrentsFull => Fault::TorrentsFull,
            Self::SourceFull => Fault::SourceFull,
            Self::IdTaken => Fault::IdTaken,
            Self::NotServed => Fault::NotServed,
        }
    }
}
