//! What a call gives, and what it raises, as Python has them.

use crate::values::{address, tuple};
use crate::{errors, priorities, snapshots, statistics};
use core::net::SocketAddr;
use millstream::{
    AddError, CommandFailed, FetchError, Follow, PeerStatus, Priority, Session, SessionStatistics,
    StartError, Torrent, TrackerStatus, WebSeedStatus,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::io;
use std::sync::Arc;

/// What a call gives.
pub(crate) enum Answer {
    Done,
    Started(Arc<Session>),
    Added(Torrent),
    Fetched(Vec<u8>),
    /// The session keeps it.
    Following(Follow),
    Addresses(Vec<SocketAddr>),
    Peers(Vec<PeerStatus>),
    Trackers(Vec<TrackerStatus>),
    WebSeeds(Vec<WebSeedStatus>),
    Priorities(Vec<Option<Priority>>),
    Statistics(Box<SessionStatistics>),
}

/// What a call raises.
pub(crate) enum Fault {
    Start(StartError),
    Add(AddError),
    Fetch(FetchError),
    Command(CommandFailed),
    Host(io::Error),
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

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
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
            Self::Done | Self::Started(_) | Self::Following(_) => Ok(py.None().into_bound(py)),
            Self::Added(torrent) => Ok(torrent.id().0.into_pyobject(py)?.into_any()),
            Self::Fetched(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
            Self::Addresses(all) => addresses(py, all).map(Bound::into_any),
            Self::Peers(peers) => tuple(py, peers, snapshots::peer).map(Bound::into_any),
            Self::Trackers(trackers) => tuple(py, trackers, snapshots::tracker).map(Bound::into_any),
            Self::WebSeeds(seeds) => tuple(py, seeds, snapshots::web_seed).map(Bound::into_any),
            Self::Priorities(all) => priorities::tell(py, &all).map(Bound::into_any),
            Self::Statistics(statistics) => statistics::statistics(py, &statistics),
        }
    }
}

impl Fault {
    /// As Python has it.
    pub(crate) fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Host(error) => error.into(),
            Self::Start(error) => errors::start(py, &error),
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

/// Addresses as Python has them.
pub(crate) fn addresses<'py>(py: Python<'py>, all: Vec<SocketAddr>) -> PyResult<Bound<'py, PyTuple>> {
    tuple(py, all, |py, addr| Ok(address(addr).into_pyobject(py)?.into_any()))
}
