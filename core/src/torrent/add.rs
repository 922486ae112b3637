//! What a torrent is added with.

use super::config::Rates;
use super::output::Host;
use super::work::Allocation;
use crate::announce::{Announce, Identity};
use crate::base::Rng;
use crate::wire::magnet::Magnet;
use crate::wire::metainfo::{Info, Metainfo};
use crate::wire::{InfoHash, InfoHashV2};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
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

impl Source {
    /// What the torrent answers to: v1, then v2 truncated.
    pub fn names(&self) -> Vec<InfoHash> {
        match self {
            Self::Metainfo(metainfo) => metainfo.info.hashes().collect(),
            Self::Magnet(magnet) => magnet.hashes().collect(),
        }
    }

    pub(super) fn hash_v2(&self) -> Option<InfoHashV2> {
        match self {
            Self::Metainfo(metainfo) => metainfo.info.info_hash_v2(),
            Self::Magnet(magnet) => magnet.info_hash_v2,
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        match self {
            Self::Metainfo(metainfo) => metainfo.info.name().into(),
            Self::Magnet(magnet) => magnet.name.as_deref().unwrap_or_default().into(),
        }
    }

    /// The web seeds that it names (BEP 19).
    pub(super) fn web_seeds(&self) -> Vec<Arc<str>> {
        let urls = match self {
            Self::Metainfo(metainfo) => &metainfo.web_seeds,
            Self::Magnet(magnet) => &magnet.web_seeds,
        };
        urls.iter().map(|url| url.as_str().into()).collect()
    }

    /// Where it says that newer torrents are (BEP 39).
    pub(super) fn update_url(&self) -> Option<Box<str>> {
        match self {
            Self::Metainfo(metainfo) => super::updates::update_url(metainfo),
            Self::Magnet(_) => None,
        }
    }

    /// What the source itself selects: a magnet's `so` (BEP 53).
    pub(super) fn selection(&self) -> Option<Selection> {
        match self {
            Self::Metainfo(_) => None,
            Self::Magnet(magnet) if magnet.select.is_empty() => None,
            Self::Magnet(magnet) => {
                Some(Selection::Files(magnet.select.iter().cloned().flatten().take(FILES_MAX).collect()))
            }
        }
    }

    /// Whether it names a tracker of this URL, whatever can be done with it.
    pub fn names_tracker(&self, url: &str) -> bool {
        self.trackers().iter().flatten().any(|known| **known == *url)
    }

    /// Its trackers.
    fn trackers(&self) -> Tiers {
        match self {
            Self::Metainfo(metainfo) => metainfo.trackers.iter().map(|tier| shared(tier)).collect(),
            Self::Magnet(magnet) => magnet.trackers.iter().map(|url| vec![url.as_str().into()]).collect(),
        }
    }
}

/// Trackers in tiers (BEP 12).
pub(super) type Tiers = Vec<Vec<Arc<str>>>;

pub(super) fn shared(tier: &[String]) -> Vec<Arc<str>> {
    tier.iter().map(|url| url.as_str().into()).collect()
}

/// Trackers of a torrent that answers to these names, ready to be asked.
pub(super) fn announce(
    names: &[InfoHash],
    host: &Host,
    rng: &mut Rng,
    tiers: &Tiers,
) -> Option<Box<Announce>> {
    let identity =
        Identity { info_hash: *names.first()?, second_hash: names.get(1).copied(), peer_id: host.peer_id };
    Some(Box::new(Announce::new(Arc::clone(&host.announce), rng, identity, tiers)))
}

/// The info dictionary of a torrent file, moved out where nobody else holds the file.
pub(super) fn info_of(metainfo: Arc<Metainfo>) -> Arc<Info> {
    Arc::new(match Arc::try_unwrap(metainfo) {
        Ok(metainfo) => metainfo.info,
        Err(shared) => shared.info.clone(),
    })
}

/// Files that a magnet may select.
const FILES_MAX: usize = 1_000_000;

/// Which files are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those with these numbers among the real files (BEP 53).
    Files(Vec<u32>),
}

/// How much a file is wanted that is wanted at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// After all others.
    Low,
    /// As files are that nothing is said of.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// How much files are wanted, by their numbers among the real ones.
pub type Priorities = BTreeMap<u32, Priority>;

/// A torrent to take on.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// What it is.
    pub source: Source,
    /// The folder to download into; passed to the driver as it is.
    pub folder: Arc<str>,
    /// Resume data that was saved for it. What is damaged is set aside with a warning.
    pub resume: Option<Vec<u8>>,
    /// Which files are wanted. `None` is what the resume data or a magnet says, else all. Resume data in which no file is
    /// selected says nothing.
    pub selection: Option<Selection>,
    /// Which files are wanted more or less than others; those that aren't named are normal. `None` is what the resume data
    /// says. A piece is wanted as much as the file in it that is wanted most; those of a higher priority come first.
    pub priorities: Option<Priorities>,
    /// Pieces in order rather than rarest first.
    pub sequential: bool,
    /// Don't start yet.
    pub paused: bool,
    /// Peers to begin with.
    pub peers: Vec<SocketAddr>,
    /// Contact nobody but `peers` and who comes in: no tracker, no discovery, no web seed, none of the peers that a magnet or resume
    /// data names.
    pub only_peers: bool,
    /// Its trackers, in tiers (BEP 12), in place of those that the source names and of those that the resume data keeps.
    pub trackers: Option<Vec<Vec<String>>>,
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
            priorities: None,
            sequential: false,
            paused: false,
            peers: Vec::new(),
            only_peers: false,
            trackers: None,
            allocation: Allocation::default(),
            rates: Rates::default(),
            super_seed: false,
        }
    }

    /// Its trackers, ready to be asked; `None` if it has none, or none may ever be.
    pub(super) fn announce(&self, names: &[InfoHash], host: &Host, rng: &mut Rng) -> Option<Box<Announce>> {
        let tiers = self.named_trackers().unwrap_or_else(|| self.source.trackers());
        if self.only_peers || tiers.iter().all(Vec::is_empty) {
            None
        } else {
            announce(names, host, rng, &tiers)
        }
    }

    /// The trackers that the application names.
    pub(super) fn named_trackers(&self) -> Option<Tiers> {
        self.trackers.as_ref().map(|tiers| tiers.iter().map(|tier| shared(tier)).collect())
    }
}
