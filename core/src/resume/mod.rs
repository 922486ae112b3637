//! What is remembered of a torrent from one run to the next: a checksummed codec, and the rule which saved pieces may
//! be trusted. This room writes no file; whoever does replaces the old one in one step, after the data is synced.

mod codec;
mod trust;

pub use codec::{ResumeError, decode, encode};
pub use trust::trusted;

use crate::base::Bits;
use crate::wire::{InfoHash, InfoHashV2};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// The most peers that are saved; more are left out. 18 bytes each.
pub const PEERS_MAX: usize = 200;

/// What is saved of one torrent. Times are whole seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Resume {
    /// Its v1 info-hash.
    pub v1: Option<InfoHash>,
    /// Its v2 info-hash.
    pub v2: Option<InfoHashV2>,
    /// Its name, also while the metadata isn't known.
    pub name: String,
    /// The info dictionary, byte for byte, if it is known: a magnet need not fetch it again.
    pub info: Option<Vec<u8>>,
    /// Where it is stored, in the host's own words.
    pub save_path: String,
    /// Pieces that were verified *and* written, and synced where the host syncs. Nothing else is claimed.
    pub verified: Bits,
    /// Each file as it was found when this was saved, and its priority, in metainfo order.
    pub files: Vec<FileSaved>,
    /// Payload sent, all time, bytes.
    pub uploaded: u64,
    /// Payload received, all time, bytes.
    pub downloaded: u64,
    /// When it was added.
    pub added: u64,
    /// When everything selected was complete.
    pub completed: Option<u64>,
    /// Tracker tiers (BEP 12) that the application named, in place of those that the torrent came with. Empty: it named
    /// none. One tier without trackers: it wants none asked.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// v2 piece layers by `pieces root` (BEP 52), verified.
    pub piece_layers: BTreeMap<[u8; 32], Vec<u8>>,
    /// Peers worth trying again; at most [`PEERS_MAX`].
    pub peers: Vec<SocketAddr>,
    /// Everything selected was complete and nothing was being written when this was saved.
    pub clean: bool,
}

/// One file of a torrent, as saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FileSaved {
    /// What the file looked like; `None`: it did not exist.
    pub stamp: Option<Stamp>,
    /// Its priority: 4 is normal, less is low, more is high. 0 is not selected; with 128 on top, a file that isn't
    /// selected has the rest for its priority should it be.
    pub priority: u8,
}

/// What changes when somebody else writes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Its length, bytes.
    pub length: u64,
    /// When it was last modified, nanoseconds since 1970.
    pub modified_ns: i64,
}
