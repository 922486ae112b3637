//! A torrent at a glance, as Python has it: read often, of many torrents, and looked at field by field.

use crate::value_class::{Field, value_classes};
use crate::values::value;
use millstream_core::engine::{self, State};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::sync::Arc;

value_classes! {
    /// A torrent at a glance. Sizes in bytes, rates in bytes a second; `length` is 0 until the metadata is known.
    Status {
        state: StateName,
        name: Arc<str>,
        info_hash_v1: Option<[u8; 20]>,
        info_hash_v2: Option<[u8; 32]>,
        length: u64,
        wanted: u64,
        verified: u64,
        pieces: u32,
        pieces_verified: u32,
        checked: (u64, u64),
        downloaded: u64,
        uploaded: u64,
        wasted: u64,
        download_rate: u64,
        upload_rate: u64,
        peers: u32,
        seeds: u32,
        known: u32,
        failure: Option<String>,
    } with {
        /// How much of what is wanted is verified and written, from 0.0 to 1.0, which is said of nothing less than all.
        #[getter]
        fn progress(&self) -> f64 {
            if self.length == 0 && self.state.0 == name(State::Metadata) {
                return 0.0;
            }
            if self.verified >= self.wanted { 1.0 } else { (self.verified as f64 / self.wanted as f64).min(0.9999) }
        }
    }
}

/// A torrent's snapshot as Python has it.
pub(crate) fn status(py: Python<'_>, status: engine::Status) -> PyResult<Bound<'_, PyAny>> {
    let shown = Status {
        state: StateName(name(status.state)),
        name: status.name,
        info_hash_v1: status.info_hash_v1.map(|hash| hash.0),
        info_hash_v2: status.info_hash_v2.map(|hash| hash.0),
        length: status.length,
        wanted: status.wanted,
        verified: status.verified,
        pieces: status.pieces,
        pieces_verified: status.pieces_verified,
        checked: status.checked,
        downloaded: status.downloaded,
        uploaded: status.uploaded,
        wasted: status.wasted,
        download_rate: status.download_rate,
        upload_rate: status.upload_rate,
        peers: status.peers,
        seeds: status.seeds,
        known: status.known,
        failure: status.failure,
    };
    value(py, shown)
}

/// What a torrent is doing, in a word.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct StateName(&'static str);

const STATES: [State; 7] = [
    State::Metadata,
    State::Checking,
    State::Leeching,
    State::Seeding,
    State::Paused,
    State::Failed,
    State::Stopping,
];

fn name(state: State) -> &'static str {
    match state {
        State::Metadata => "metadata",
        State::Checking => "checking",
        State::Leeching => "leeching",
        State::Seeding => "seeding",
        State::Paused => "paused",
        State::Failed => "failed",
        State::Stopping => "stopping",
    }
}

impl Field for StateName {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyString::intern(py, self.0).into_any())
    }

    fn take(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let given: String = object.extract()?;
        let known = STATES.map(name).into_iter().find(|name| *name == given);
        known.map(Self).ok_or_else(|| PyValueError::new_err(format!("{given:?} is no state")))
    }
}

impl<const N: usize> Field for Option<[u8; N]> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.map(|bytes| PyBytes::new(py, &bytes)).into_pyobject(py)?)
    }

    fn take(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        object.extract()
    }
}
