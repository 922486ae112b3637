//! Peers, trackers and web seeds at a glance, for Python.

use crate::values::{address, class};
use millstream_core::engine::{PeerStatus, TrackerStatus, WebSeedState, WebSeedStatus};
use millstream_core::wire::mse::Level;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// A peer as Python has it.
pub(crate) fn peer(py: Python<'_>, peer: PeerStatus) -> PyResult<Bound<'_, PyAny>> {
    let encrypted = peer.encrypted.map(|level| match level {
        Level::Plain => "plaintext",
        Level::Rc4 => "rc4",
    });
    let fields = PyDict::new(py);
    fields.set_item("address", address(peer.addr))?;
    fields.set_item("raw_peer_id", PyBytes::new(py, &peer.peer_id.0))?;
    fields.set_item("client", peer.client)?;
    fields.set_item("incoming", peer.incoming)?;
    fields.set_item("encrypted", encrypted)?;
    fields.set_item("downloaded", peer.downloaded)?;
    fields.set_item("uploaded", peer.uploaded)?;
    fields.set_item("download_rate", peer.download_rate)?;
    fields.set_item("upload_rate", peer.upload_rate)?;
    fields.set_item("pieces", peer.pieces)?;
    fields.set_item("choked", peer.choked)?;
    fields.set_item("choking", peer.choking)?;
    fields.set_item("interested", peer.interested)?;
    fields.set_item("interesting", peer.interesting)?;
    class(py, "PeerStatus")?.call((), Some(&fields))
}

/// A tracker as Python has it.
pub(crate) fn tracker(py: Python<'_>, tracker: TrackerStatus) -> PyResult<Bound<'_, PyAny>> {
    let TrackerStatus { url, tier, error, seeds, leeches, next_in } = tracker;
    let next_in = next_in.map(|next| next.as_secs_f64());
    class(py, "TrackerStatus")?.call1((&*url, tier, error, seeds, leeches, next_in))
}

/// A web seed as Python has it.
pub(crate) fn web_seed(py: Python<'_>, seed: WebSeedStatus) -> PyResult<Bound<'_, PyAny>> {
    let WebSeedStatus { url, state, error, downloaded, download_rate } = seed;
    let state = match state {
        WebSeedState::Idle => "idle",
        WebSeedState::Asking => "asking",
        WebSeedState::Sending => "sending",
        WebSeedState::Resting => "resting",
        WebSeedState::Gone => "gone",
    };
    class(py, "WebSeedStatus")?.call1((&*url, state, error, downloaded, download_rate))
}
