//! News and snapshots on the way out.

use crate::values::{address, make};
use millstream_core::engine::{Event, State, Status, TorrentEvent};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// An event as Python has it.
pub(crate) fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    match event {
        Event::Torrent(id, news) => torrent_event(py, id.0, news),
        Event::Listening(local, addr) => make(py, "Listening", (local.0, address(addr))),
        Event::Pool(change) => make(py, "PoolChanged", (change.from, change.to)),
        Event::Lagged(count) => make(py, "Lagged", (count,)),
        Event::Stopped => make(py, "Stopped", ()),
        Event::Dht(_) => Ok(py.None().into_bound(py)),
    }
}

fn torrent_event(py: Python<'_>, id: u64, news: TorrentEvent) -> PyResult<Bound<'_, PyAny>> {
    match news {
        TorrentEvent::Metadata(_) => make(py, "Metadata", (id,)),
        TorrentEvent::Checked => make(py, "Checked", (id,)),
        TorrentEvent::Progress => make(py, "Progress", (id,)),
        TorrentEvent::Verified(piece) => make(py, "PieceVerified", (id, piece.get())),
        TorrentEvent::Completed => make(py, "Completed", (id,)),
        TorrentEvent::Peer { addr, joined: true } => make(py, "PeerJoined", (id, address(addr))),
        TorrentEvent::Peer { addr, joined: false } => make(py, "PeerLeft", (id, address(addr))),
        TorrentEvent::TrackerAnswered { url, peers } => make(py, "TrackerAnswered", (id, &*url, peers)),
        TorrentEvent::TrackerFailed { url, error } => make(py, "TrackerFailed", (id, &*url, error)),
        TorrentEvent::Scraped { url, seeds, leeches, downloaded } => {
            make(py, "Scraped", (id, &*url, seeds, leeches, downloaded))
        }
        TorrentEvent::UpdateAvailable { torrent, signed } => {
            make(py, "UpdateAvailable", (id, PyBytes::new(py, &torrent), signed))
        }
        TorrentEvent::Banned { addr, reason } => make(py, "Banned", (id, address(addr), reason)),
        TorrentEvent::Warning(message) => make(py, "Warned", (id, message)),
        TorrentEvent::Failed(reason) => make(py, "TorrentFailed", (id, reason)),
        TorrentEvent::Saved => make(py, "ResumeSaved", (id,)),
        TorrentEvent::Removed => make(py, "Removed", (id,)),
    }
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
