//! A torrent at a glance.

use crate::book::Sources;
use crate::webseed::WebSeedState;
use crate::wire::{InfoHash, InfoHashV2};
use alloc::string::String;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Gets the info dictionary from peers (BEP 9).
    Metadata,
    /// Looks at what is stored.
    Checking,
    /// Downloads.
    Leeching,
    /// Has all that is wanted.
    Seeding,
    /// Paused by the application.
    Paused,
    /// Stopped by a failure of the host.
    Failed,
    /// Leaving: announces `stopped`, saves.
    Stopping,
}

/// A snapshot of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Its name; what a magnet says until the metadata is known.
    pub name: Arc<str>,
    /// v1 info-hash.
    pub info_hash_v1: Option<InfoHash>,
    /// v2 info-hash.
    pub info_hash_v2: Option<InfoHashV2>,
    /// Bytes of all real files; 0 until the metadata is known.
    pub length: u64,
    /// Bytes of the wanted pieces.
    pub wanted: u64,
    /// Bytes of wanted pieces that are verified and written.
    pub verified: u64,
    /// How many pieces there are.
    pub pieces: u32,
    /// How many are verified and written.
    pub pieces_verified: u32,
    /// Bytes of stored data looked at, of those that are to be looked at, while checking.
    pub checked: (u64, u64),
    /// Payload received, in bytes, since it was added.
    pub downloaded: u64,
    /// Payload sent, in bytes, since it was added.
    pub uploaded: u64,
    /// Payload received that was of no use: duplicates and bad pieces. Bytes.
    pub wasted: u64,
    /// Bytes a second in.
    pub download_rate: u64,
    /// Bytes a second out.
    pub upload_rate: u64,
    /// Peers connected, seeds included.
    pub peers: u32,
    /// Seeds connected.
    pub seeds: u32,
    /// Peers known.
    pub known: u32,
    /// Why it failed.
    pub failure: Option<String>,
}

/// A connected peer at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its address.
    pub addr: SocketAddr,
    /// What it calls itself.
    pub peer_id: crate::wire::PeerId,
    /// Its client's name and version.
    pub client: String,
    /// Whether it came to us.
    pub incoming: bool,
    /// Who told us of it; nobody but itself if it came to us.
    pub sources: Sources,
    /// The level at which its link is encrypted; `None` if it is plain from its first byte.
    pub encrypted: Option<crate::wire::mse::Level>,
    /// Payload received from it, bytes.
    pub downloaded: u64,
    /// Payload sent to it, bytes.
    pub uploaded: u64,
    /// Bytes a second in.
    pub download_rate: u64,
    /// Bytes a second out.
    pub upload_rate: u64,
    /// Pieces it has.
    pub pieces: u32,
    /// We choke it.
    pub choked: bool,
    /// It chokes us.
    pub choking: bool,
    /// It wants something of ours.
    pub interested: bool,
    /// It has something we want.
    pub interesting: bool,
}

/// A tracker at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerStatus {
    /// Its URL.
    pub url: Arc<str>,
    /// Its tier (BEP 12).
    pub tier: u32,
    /// What went wrong last, if the last exchange failed.
    pub error: Option<String>,
    /// Seeds it counts.
    pub seeds: Option<u32>,
    /// Leeches it counts.
    pub leeches: Option<u32>,
    /// How long until it is asked again, if it is the next to be asked.
    pub next_in: Option<Duration>,
}

/// A web seed at a glance (BEP 19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSeedStatus {
    /// Its URL.
    pub url: Arc<str>,
    /// What it is doing.
    pub state: WebSeedState,
    /// What went wrong, until a request goes well again.
    pub error: Option<String>,
    /// Payload received from it, bytes.
    pub downloaded: u64,
    /// Bytes a second.
    pub download_rate: u64,
}
