//! What an application adds: where the torrent comes from, and how it is to be treated.

use core::net::SocketAddr;
use millstream_core::engine::{Allocation, Priorities, Rates, Selection, Source};
use millstream_core::wire::{InfoHash, Magnet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A torrent to add, and how.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    pub(crate) origin: Origin,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) allocation: Option<Allocation>,
    pub(crate) selection: Option<Selection>,
    pub(crate) priorities: Option<Priorities>,
    pub(crate) sequential: bool,
    pub(crate) paused: bool,
    pub(crate) only_peers: bool,
    pub(crate) super_seed: bool,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) trackers: Option<Vec<Vec<String>>>,
    pub(crate) rates: Rates,
    pub(crate) recheck: bool,
    pub(crate) resume: Option<Vec<u8>>,
}

/// Where a torrent comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Path(PathBuf),
    Bytes(Vec<u8>),
    Magnet(String),
    Url(String),
    Parsed(Source),
}

impl AddTorrent {
    /// By what the text looks like: a magnet link, an http or https URL of a torrent file, or the path of one.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let starts = |with: &str| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
        if starts("magnet:") {
            Self::magnet(text)
        } else if starts("http://") || starts("https://") {
            Self::url(text)
        } else {
            Self::file(text)
        }
    }

    /// From a torrent file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::from_origin(Origin::Path(path.into()))
    }

    /// From a torrent file's bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::from_origin(Origin::Bytes(bytes.into()))
    }

    /// From a magnet link (BEP 9).
    pub fn magnet(link: impl Into<String>) -> Self {
        Self::from_origin(Origin::Magnet(link.into()))
    }

    /// From a v1 info-hash, or a v2 one cut short: the rest is asked of peers. What a followed key names (BEP 46).
    pub fn info_hash(info_hash: InfoHash) -> Self {
        Self::source(Source::Magnet(Arc::new(Magnet { info_hash: Some(info_hash), ..Magnet::default() })))
    }

    /// From a torrent file on an http or https server.
    pub fn url(url: impl Into<String>) -> Self {
        Self::from_origin(Origin::Url(url.into()))
    }

    /// From a torrent file or a magnet link that is parsed already.
    pub fn source(source: Source) -> Self {
        Self::from_origin(Origin::Parsed(source))
    }

    fn from_origin(origin: Origin) -> Self {
        Self {
            origin,
            folder: None,
            allocation: None,
            selection: None,
            priorities: None,
            sequential: false,
            paused: false,
            only_peers: false,
            super_seed: false,
            peers: Vec::new(),
            trackers: None,
            rates: Rates::default(),
            recheck: false,
            resume: None,
        }
    }

    /// The folder to download into.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// How space is set aside.
    #[must_use]
    pub fn allocation(mut self, allocation: Allocation) -> Self {
        self.allocation = Some(allocation);
        self
    }

    /// Which files are wanted.
    #[must_use]
    pub fn select(mut self, selection: Selection) -> Self {
        self.selection = Some(selection);
        self
    }

    /// Which files come before others, or after them; those that aren't named are normal. Unless told, it is as resume
    /// data says.
    #[must_use]
    pub fn priorities(mut self, priorities: impl Into<Priorities>) -> Self {
        self.priorities = Some(priorities.into());
        self
    }

    /// Pieces in order rather than rarest first.
    #[must_use]
    pub fn sequential(mut self, sequential: bool) -> Self {
        self.sequential = sequential;
        self
    }

    /// Don't start yet.
    #[must_use]
    pub fn paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }

    /// Peers to begin with.
    #[must_use]
    pub fn peers(mut self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.peers.extend(peers);
        self
    }

    /// Its trackers, in tiers (BEP 12), in place of those that the source names and of those that resume data keeps.
    #[must_use]
    pub fn trackers(mut self, tiers: Vec<Vec<String>>) -> Self {
        self.trackers = Some(tiers);
        self
    }

    /// Contact nobody but the given peers and who comes in: no tracker, no discovery.
    #[must_use]
    pub fn only_peers(mut self, only: bool) -> Self {
        self.only_peers = only;
        self
    }

    /// Reveal pieces one by one while seeding (BEP 16).
    #[must_use]
    pub fn super_seed(mut self, on: bool) -> Self {
        self.super_seed = on;
        self
    }

    /// Its own rate limits.
    #[must_use]
    pub fn rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        self
    }

    /// Use this resume data, not what the session kept.
    #[must_use]
    pub fn resume(mut self, data: Vec<u8>) -> Self {
        self.resume = Some(data);
        self
    }

    /// Leave resume data aside: look at everything that is stored.
    #[must_use]
    pub fn recheck(mut self, on: bool) -> Self {
        self.recheck = on;
        self
    }
}

impl From<&str> for AddTorrent {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for AddTorrent {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&Path> for AddTorrent {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<PathBuf> for AddTorrent {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_taken_for_what_it_looks_like() {
        assert!(matches!(AddTorrent::new("MAGNET:?xt=urn:btih:00").origin, Origin::Magnet(_)));
        assert!(matches!(AddTorrent::new("https://a.example/b.torrent").origin, Origin::Url(_)));
        assert!(matches!(AddTorrent::new("http.torrent").origin, Origin::Path(_)));
    }
}
