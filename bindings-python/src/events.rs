//! News on the way out.

use crate::event_classes::{
    Banned, Checked, Completed, KeyFollowed, Lagged, Listening, Metadata, PeerJoined, PeerLeft,
    PieceVerified, PoolChanged, Progress, Removed, ResumeSaved, Scraped, SessionWarned, Stopped,
    TorrentFailed, TrackerAnswered, TrackerFailed, UpdateAvailable, Warned,
};
use crate::value_class::Raw;
use crate::values::value;
use core::net::SocketAddr;
use millstream_core::engine::{DhtNews, Event, TorrentEvent};
use millstream_core::net::Followed;
use millstream_core::pool::PoolChange;
use pyo3::prelude::*;
use std::sync::Arc;

/// An event as Python has it; `None` for what Python isn't told.
pub(crate) fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    match event {
        Event::Torrent(id, news) => torrent_event(py, id.0, news),
        Event::Listening(local, address) => value(py, Listening { local: local.0, address }),
        Event::Pool(change) => pool_changed(py, change),
        Event::Lagged(count) => value(py, Lagged { count }),
        Event::Stopped => value(py, Stopped {}),
        Event::Dht(DhtNews::Followed(news)) => followed(py, news),
        Event::Dht(DhtNews::Lookup(_) | DhtNews::Table(_)) => Ok(py.None().into_bound(py)),
    }
}

/// News of a torrent as Python has it.
pub(crate) fn torrent_event(py: Python<'_>, torrent: u64, news: TorrentEvent) -> PyResult<Bound<'_, PyAny>> {
    match news {
        TorrentEvent::Metadata(_) => value(py, Metadata { torrent }),
        TorrentEvent::Checked => value(py, Checked { torrent }),
        TorrentEvent::Progress => value(py, Progress { torrent }),
        TorrentEvent::Verified(piece) => value(py, PieceVerified { torrent, piece: piece.get() }),
        TorrentEvent::Completed => value(py, Completed { torrent }),
        TorrentEvent::Peer { addr: address, joined: true } => value(py, PeerJoined { torrent, address }),
        TorrentEvent::Peer { addr: address, joined: false } => value(py, PeerLeft { torrent, address }),
        TorrentEvent::TrackerAnswered { url, peers } => value(py, TrackerAnswered { torrent, url, peers }),
        TorrentEvent::TrackerFailed { url, error } => value(py, TrackerFailed { torrent, url, error }),
        TorrentEvent::Scraped { url, seeds, leeches, downloaded } => {
            value(py, Scraped { torrent, url, seeds, leeches, downloaded })
        }
        TorrentEvent::UpdateAvailable { torrent: metainfo, signed } => {
            value(py, UpdateAvailable { torrent, metainfo: Raw(metainfo), signed })
        }
        TorrentEvent::Banned { addr: address, reason } => value(py, Banned { torrent, address, reason }),
        TorrentEvent::Warning(message) => value(py, Warned { torrent, message }),
        TorrentEvent::Failed(reason) => value(py, TorrentFailed { torrent, reason }),
        TorrentEvent::Saved => value(py, ResumeSaved { torrent }),
        TorrentEvent::Removed => value(py, Removed { torrent }),
    }
}

/// A followed key names this torrent now.
pub(crate) fn followed(py: Python<'_>, news: Followed) -> PyResult<Bound<'_, PyAny>> {
    let Followed { key, salt, seq, info_hash } = news;
    let (key, salt) = (Raw(Arc::from(key)), Raw(salt.into()));
    value(py, KeyFollowed { key, salt, info_hash: Raw(Arc::from(info_hash.0)), seq })
}

/// Something is amiss that doesn't stop the session.
pub(crate) fn session_warned(py: Python<'_>, message: String) -> PyResult<Bound<'_, PyAny>> {
    value(py, SessionWarned { message })
}

/// The network was found to bear more links or fewer.
pub(crate) fn pool_changed(py: Python<'_>, change: PoolChange) -> PyResult<Bound<'_, PyAny>> {
    value(py, PoolChanged { before: change.from, after: change.to })
}

/// So many events were dropped.
pub(crate) fn lagged(py: Python<'_>, count: u64) -> PyResult<Bound<'_, PyAny>> {
    value(py, Lagged { count })
}

/// Peers can reach us there.
pub(crate) fn listening(py: Python<'_>, local: u64, address: SocketAddr) -> PyResult<Bound<'_, PyAny>> {
    value(py, Listening { local, address })
}

/// All is ended.
pub(crate) fn stopped(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    value(py, Stopped {})
}
