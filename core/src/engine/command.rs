//! What an application wants of the engine. Every command is a value, so that it can be recorded and replayed.

use crate::base::{Instant, TorrentId};
use crate::torrent::{AddTorrent, Priorities, Rates, Selection};
use crate::wire::ip_filter::IpFilter;
use crate::wire::tracker_url::TrackerUrlError;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use thiserror::Error;

/// Something an application wants.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take on a torrent. Answered by `Reply::Added`.
    Add(Box<AddTorrent>),
    /// Leave a torrent: announce `stopped`, close its links, keep its files. `Event::Removed` says when all is done.
    Remove(TorrentId),
    /// Stop the transfer, keep the torrent.
    Pause(TorrentId),
    /// Go on after a pause or a failure.
    Resume(TorrentId),
    /// Check all files again.
    Recheck(TorrentId),
    /// Which files are wanted, counted as the metainfo lists the real ones (pad files don't count).
    Select(TorrentId, Selection),
    /// How much files are wanted, counted likewise; those that aren't named stay as they are. Pieces of a higher priority
    /// are asked for before all of a lower one, once what is under way is there; a piece of several files has the highest
    /// of theirs. Refused for a number that no file has; before the metadata is known, such a number is warned of later.
    Priorities(TorrentId, Priorities),
    /// Pieces in order rather than rarest first.
    Sequential(TorrentId, bool),
    /// Have these bytes of the torrent's span by then, before all others, also if they aren't selected.
    Deadline {
        /// Which torrent.
        torrent: TorrentId,
        /// First byte of the span.
        start: u64,
        /// How many bytes.
        length: u64,
        /// By when.
        by: Instant,
    },
    /// Give a torrent the addresses of peers.
    Peers(TorrentId, Vec<SocketAddr>),
    /// Close the links with a peer, known by the address that it has or listens at.
    Disconnect {
        /// Which torrent.
        torrent: TorrentId,
        /// Which peer.
        peer: SocketAddr,
        /// Never take a link with anybody at its IP again, nor call there, for as long as the torrent is here; on the
        /// loopback address, where everybody is, with that port. Else it isn't called for as long as the longest pause
        /// after failures, unless it is given again by `Peers`; it may call us.
        ban: bool,
    },
    /// Give a torrent other trackers, in tiers (BEP 12), in place of those that it has; empty tiers don't count. Those that
    /// stay keep all that is known of them, and are asked when they would have been; those that go are told `stopped` if
    /// they may have heard `started`; those that come are asked at once, one after the other. Resume data keeps the list. A
    /// torrent with `AddTorrent::only_peers` asks none of them.
    Trackers(TorrentId, Vec<Vec<String>>),
    /// Give a torrent web seeds (BEP 19), by their URLs.
    WebSeeds(TorrentId, Vec<String>),
    /// Announce now, as far as the trackers' minimum intervals allow.
    Announce(TorrentId),
    /// Look now for a newer torrent (BEP 39): `TorrentEvent::UpdateAvailable` tells of one.
    CheckUpdate(TorrentId),
    /// Ask the current tracker how many are in the swarm (BEP 48): `TorrentEvent::Scraped` or `TrackerFailed` tells. Not
    /// while such a question is under way, and not without a tracker.
    Scrape(TorrentId),
    /// Limit a torrent's rates; `None` is no limit. Bytes a second.
    TorrentRates(TorrentId, Rates),
    /// Limit the engine's rates; `None` is no limit. Bytes a second.
    Rates(Rates),
    /// Have nothing more to do with the addresses in this filter, which takes the place of the one before; `None`
    /// forbids nobody. Links to who is forbidden are closed.
    IpFilter(Option<Arc<IpFilter>>),
    /// Save the torrent's resume data now.
    Save(TorrentId),
    /// Something of the DHT. Answered by `Reply::Lookup` where it begins one, else by `Reply::Done`.
    #[cfg(feature = "dht")]
    Dht(Box<super::DhtCommand>),
    /// End all: announce `stopped`, save resume data, close links. `Event::Stopped` comes when all is done, or at `by`.
    Stop {
        /// The last moment.
        by: Instant,
    },
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The torrent's id.
    Added(TorrentId),
    /// A look-up in the DHT has begun; `Event::Dht` tells of it.
    #[cfg(feature = "dht")]
    Lookup(crate::dht::LookupId),
    /// Understood.
    Done,
}

/// Why a command can't be carried out: the application is to blame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// No torrent of this id.
    #[error("there is no torrent {0:?}")]
    NoTorrent(TorrentId),
    /// A torrent with the same info-hash is there already.
    #[error("the torrent is there already, as {0:?}")]
    Duplicate(TorrentId),
    /// As many torrents as `Config::torrents_max` allows.
    #[error("there are {0} torrents, as many as allowed")]
    TooMany(usize),
    /// A file number that the torrent doesn't have.
    #[error("there is no file {0}")]
    NoFile(u32),
    /// A peer that isn't connected.
    #[error("there is no peer {0}")]
    NoPeer(SocketAddr),
    /// More trackers than a torrent keeps.
    #[error("there are more trackers than the {0} that a torrent may have")]
    TooManyTrackers(usize),
    /// No tracker can be asked at this URL.
    #[error("no tracker can be asked at {url:.200}: {error}")]
    Tracker {
        /// What was given.
        url: String,
        /// What is wrong with it.
        error: TrackerUrlError,
    },
    /// A range outside the torrent.
    #[error("the range leaves the torrent")]
    Range,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
    /// The DHT can't do it.
    #[cfg(feature = "dht")]
    #[error(transparent)]
    Dht(#[from] super::DhtError),
}

/// Why an incoming link isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// As many links as `Config::links_max` allows.
    #[error("too many links")]
    TooManyLinks,
    /// As many unfinished handshakes as `Config::handshakes_max` allows.
    #[error("too many handshakes under way")]
    TooManyHandshakes,
    /// Links come over uTP alone.
    #[error("links come over uTP alone")]
    UtpOnly,
    /// The filter forbids its address.
    #[error("the filter forbids the address")]
    Filtered,
    /// Every torrent that could want it has banned this address.
    #[error("the address is banned")]
    Banned,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
}
