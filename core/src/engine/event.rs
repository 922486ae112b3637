//! What the engine tells an application. Owned values, bounded in number.

use crate::base::{LocalId, TorrentId};
use crate::pool::PoolChange;
use crate::torrent::TorrentEvent;
use core::net::SocketAddr;

/// News.
#[derive(Clone, Debug)]
pub enum Event {
    /// News of a torrent.
    Torrent(TorrentId, TorrentEvent),
    /// Peers can reach us here.
    Listening(LocalId, SocketAddr),
    /// The pool of links shrank or grew much, or why it has its size changed.
    Pool(PoolChange),
    /// So many events were dropped since the last one, because nobody took them. Completion, metadata, failure and
    /// removal are never among them.
    Lagged(u64),
    /// News of the DHT.
    #[cfg(feature = "dht")]
    Dht(super::DhtNews),
    /// All is ended (`Command::Stop`).
    Stopped,
}
