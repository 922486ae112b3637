//! What a torrent is added with.

use super::config::Rates;
use super::work::Allocation;
use crate::wire::magnet::Magnet;
use crate::wire::metainfo::Metainfo;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// What a torrent is added from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A torrent file.
    Metainfo(Arc<Metainfo>),
    /// A magnet link.
    Magnet(Arc<Magnet>),
}

/// Which files are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those with these numbers among the real files (BEP 53).
    Files(Vec<u32>),
}

/// A torrent to take on.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// What it is.
    pub source: Source,
    /// The folder to download into; passed to the driver as it is.
    pub folder: Arc<str>,
    /// Resume data that was saved for it. What is damaged is set aside with a warning.
    pub resume: Option<Vec<u8>>,
    /// Which files are wanted. `None` is what a magnet or the resume data says, else all.
    pub selection: Option<Selection>,
    /// Pieces in order rather than rarest first.
    pub sequential: bool,
    /// Don't start yet.
    pub paused: bool,
    /// Peers to begin with.
    pub peers: Vec<SocketAddr>,
    /// Contact nobody but `peers` and who comes in: no tracker, no discovery.
    pub only_peers: bool,
    /// How space is set aside.
    pub allocation: Allocation,
    /// Its own rate limits.
    pub rates: Rates,
    /// Reveal pieces one by one while seeding (BEP 16).
    pub super_seed: bool,
}

impl AddTorrent {
    /// A torrent into a folder, all else by default.
    pub fn new(source: Source, folder: impl Into<Arc<str>>) -> Self {
        Self {
            source,
            folder: folder.into(),
            resume: None,
            selection: None,
            sequential: false,
            paused: false,
            peers: Vec::new(),
            only_peers: false,
            allocation: Allocation::default(),
            rates: Rates::default(),
            super_seed: false,
        }
    }
}
