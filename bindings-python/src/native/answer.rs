//! What a call gives, and what it raises, as Python has them.

use crate::values::{address, class, tuple};
use crate::{errors, statistics};
use millstream::{
    AddError, CommandFailed, FetchError, PeerStatus, Session, SessionStatistics, StartError, Torrent,
    TrackerStatus, WebSeedState, WebSeedStatus,
};
use millstream_core::wire::mse::Level;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::sync::Arc;

/// What a call gives.
pub(crate) enum Answer {
    Done,
    Started(Arc<Session>),
    Added(Torrent),
    Fetched(Vec<u8>),
    Peers(Vec<PeerStatus>),
    Trackers(Vec<TrackerStatus>),
    WebSeeds(Vec<WebSeedStatus>),
    Statistics(Box<SessionStatistics>),
}

/// What a call raises.
pub(crate) enum Fault {
    Start(StartError),
    Add(AddError),
    Fetch(FetchError),
    Command(CommandFailed),
}

impl From<StartError> for Fault {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<AddError> for Fault {
    fn from(error: AddError) -> Self {
        Self::Add(error)
    }
}

impl From<FetchError> for Fault {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<CommandFailed> for Fault {
    fn from(error: CommandFailed) -> Self {
        Self::Command(error)
    }
}

impl Answer {
    /// As Python has it.
    pub(crate) fn show(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Done | Self::Started(_) => Ok(py.None().into_bound(py)),
            Self::Added(torrent) => Ok(torrent.id().0.into_pyobject(py)?.into_any()),
            Self::Fetched(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
            Self::Peers(peers) => tuple(py, peers, peer).map(Bound::into_any),
            Self::Trackers(trackers) => tuple(py, trackers, tracker).map(Bound::into_any),
            Self::WebSeeds(seeds) => tuple(py, seeds, web_seed).map(Bound::into_any),
            Self::Statistics(statistics) => statistics::statistics(py, &statistics),
        }
    }
}

impl Fault {
    /// As Python has it.
    pub(crate) fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Start(error) => errors::raise(py, "StartError", (error.to_string(),)),
            Self::Fetch(FetchError::Ended)
            | Self::Add(AddError::Ended | AddError::Fetch(FetchError::Ended))
            | Self::Command(CommandFailed::Ended) => errors::session_closed(py),
            Self::Fetch(error) | Self::Add(AddError::Fetch(error)) => {
                errors::raise(py, "FetchError", (error.to_string(),))
            }
            Self::Add(AddError::Refused(error)) | Self::Command(CommandFailed::Refused(error)) => {
                errors::command(py, &error)
            }
            Self::Add(AddError::Malformed(what)) => errors::metainfo(py, &what),
            Self::Add(error @ (AddError::Read { .. } | AddError::Folder(_))) => {
                errors::raise(py, "CommandError", (error.to_string(),))
            }
        }
    }
}

fn peer(py: Python<'_>, peer: PeerStatus) -> PyResult<Bound<'_, PyAny>> {
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

fn tracker(py: Python<'_>, tracker: TrackerStatus) -> PyResult<Bound<'_, PyAny>> {
    let TrackerStatus { url, tier, error, seeds, leeches } = tracker;
    class(py, "TrackerStatus")?.call1((&*url, tier, error, seeds, leeches))
}

fn web_seed(py: Python<'_>, seed: WebSeedStatus) -> PyResult<Bound<'_, PyAny>> {
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

/// Addresses as Python has them.
pub(crate) fn addresses<'py>(
    py: Python<'py>,
    all: Vec<core::net::SocketAddr>,
) -> PyResult<Bound<'py, PyTuple>> {
    tuple(py, all, |py, addr| Ok(address(addr).into_pyobject(py)?.into_any()))
}
