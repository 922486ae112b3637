//! News and snapshots on the way out.

use crate::event_classes::{
    Banned, Checked, Completed, Lagged, Listening, Metadata, PeerJoined, PeerLeft, PieceVerified,
    PoolChanged, Progress, Removed, ResumeSaved, Scraped, Stopped, TorrentFailed, TrackerAnswered,
    TrackerFailed, UpdateAvailable, Warned,
};
use crate::value_class::Raw;
use core::net::SocketAddr;
use millstream_core::engine::{Event, State, Status, TorrentEvent};
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

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

/// A torrent's snapshot as Python has it.
pub(crate) fn status(py: Python<'_>, status: Status) -> PyResult<Bound<'_, PyAny>> {
    let state = match status.state {
        State::Metadata => "metadata",
        State::Checking => "checking",
        State::Leeching => "leeching",
        State::Seeding => "seeding",
        State::Paused => "paused",
        State::Failed => "failed",
        State::Stopping => "stopping",
    };
    let fields = PyDict::new(py);
    fields.set_item("state", state)?;
    fields.set_item("name", &*status.name)?;
    fields.set_item("info_hash_v1", status.info_hash_v1.map(|hash| PyBytes::new(py, &hash.0)))?;
    fields.set_item("info_hash_v2", status.info_hash_v2.map(|hash| PyBytes::new(py, &hash.0)))?;
    fields.set_item("length", status.length)?;
    fields.set_item("wanted", status.wanted)?;
    fields.set_item("verified", status.verified)?;
    fields.set_item("pieces", status.pieces)?;
    fields.set_item("pieces_verified", status.pieces_verified)?;
    fields.set_item("checked", status.checked)?;
    fields.set_item("downloaded", status.downloaded)?;
    fields.set_item("uploaded", status.uploaded)?;
    fields.set_item("wasted", status.wasted)?;
    fields.set_item("download_rate", status.download_rate)?;
    fields.set_item("upload_rate", status.upload_rate)?;
    fields.set_item("peers", status.peers)?;
    fields.set_item("seeds", status.seeds)?;
    fields.set_item("known", status.known)?;
    fields.set_item("failure", status.failure)?;
    crate::values::class(py, "Status")?.call((), Some(&fields))
}
