//! News on the way out.

use crate::event_classes::{
    Banned, Checked, Completed, Lagged, Listening, Metadata, PeerJoined, PeerLeft, PieceVerified,
    PoolChanged, Progress, Removed, ResumeSaved, Scraped, Stopped, TorrentFailed, TrackerAnswered,
    TrackerFailed, UpdateAvailable, Warned,
};
use crate::value_class::Raw;
use core::net::SocketAddr;
use millstream_core::engine::{Event, TorrentEvent};
use pyo3::PyClass;
use pyo3::prelude::*;

/// An event as Python has it; `None` for what Python isn't told.
pub(crate) fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    match event {
        Event::Torrent(id, news) => torrent_event(py, id.0, news),
        Event::Listening(local, address) => new(py, Listening { local: local.0, address }),
        Event::Pool(change) => new(py, PoolChanged { before: change.from, after: change.to }),
        Event::Lagged(count) => new(py, Lagged { count }),
        Event::Stopped => new(py, Stopped {}),
        Event::Dht(_) => Ok(py.None().into_bound(py)),
    }
}

/// News of a torrent as Python has it.
pub(crate) fn torrent_event(py: Python<'_>, torrent: u64, news: TorrentEvent) -> PyResult<Bound<'_, PyAny>> {
    match news {
        TorrentEvent::Metadata(_) => new(py, Metadata { torrent }),
        TorrentEvent::Checked => new(py, Checked { torrent }),
        TorrentEvent::Progress => new(py, Progress { torrent }),
        TorrentEvent::Verified(piece) => new(py, PieceVerified { torrent, piece: piece.get() }),
        TorrentEvent::Completed => new(py, Completed { torrent }),
        TorrentEvent::Peer { addr: address, joined: true } => new(py, PeerJoined { torrent, address }),
        TorrentEvent::Peer { addr: address, joined: false } => new(py, PeerLeft { torrent, address }),
        TorrentEvent::TrackerAnswered { url, peers } => new(py, TrackerAnswered { torrent, url, peers }),
        TorrentEvent::TrackerFailed { url, error } => new(py, TrackerFailed { torrent, url, error }),
        TorrentEvent::Scraped { url, seeds, leeches, downloaded } => {
            new(py, Scraped { torrent, url, seeds, leeches, downloaded })
        }
        TorrentEvent::UpdateAvailable { torrent: metainfo, signed } => {
            new(py, UpdateAvailable { torrent, metainfo: Raw(metainfo), signed })
        }
        TorrentEvent::Banned { addr: address, reason } => new(py, Banned { torrent, address, reason }),
        TorrentEvent::Warning(message) => new(py, Warned { torrent, message }),
        TorrentEvent::Failed(reason) => new(py, TorrentFailed { torrent, reason }),
        TorrentEvent::Saved => new(py, ResumeSaved { torrent }),
        TorrentEvent::Removed => new(py, Removed { torrent }),
    }
}

/// So many events were dropped.
pub(crate) fn lagged(py: Python<'_>, count: u64) -> PyResult<Bound<'_, PyAny>> {
    new(py, Lagged { count })
}

/// Peers can reach us there.
pub(crate) fn listening(py: Python<'_>, local: u64, address: SocketAddr) -> PyResult<Bound<'_, PyAny>> {
    new(py, Listening { local, address })
}

/// All is ended.
pub(crate) fn stopped(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    new(py, Stopped {})
}

fn new<T: PyClass + Into<PyClassInitializer<T>>>(py: Python<'_>, value: T) -> PyResult<Bound<'_, PyAny>> {
    Ok(Bound::new(py, value)?.into_any())
}
