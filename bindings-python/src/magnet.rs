//! Magnet links, read and made.

use crate::errors;
use crate::given::Int;
use crate::metainfo::{hash_of, made_again};
use crate::outcomes::digest;
use millstream_core::wire::{self, InfoHash, InfoHashV2};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use std::sync::Arc;

/// A magnet link (BEP 9, 52, 53).
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Magnet(pub(crate) Arc<wire::magnet::Magnet>);

#[pymethods]
impl Magnet {
    /// A link of these. Raises MagnetError for what can't be one. `select` are the first and last numbers of ranges of real
    /// files (BEP 53).
    #[new]
    #[pyo3(signature = (*, info_hash_v1: "BytesLike | None" = None, info_hash_v2: "BytesLike | None" = None,
        name = None, trackers: "Sequence[str]" = Vec::new(), web_seeds: "Sequence[str]" = Vec::new(),
        peers: "Sequence[tuple[str, int]]" = Vec::new(), select: "Sequence[tuple[int, int]]" = Vec::new(),
        exact_sources: "Sequence[str]" = Vec::new(), acceptable_sources: "Sequence[str]" = Vec::new()))]
    #[expect(clippy::too_many_arguments, reason = "keywords, in Python")]
    fn new(
        py: Python<'_>,
        info_hash_v1: Option<&Bound<'_, PyAny>>,
        info_hash_v2: Option<&Bound<'_, PyAny>>,
        name: Option<String>,
        trackers: Vec<String>,
        web_seeds: Vec<String>,
        peers: Vec<(String, Int<u16>)>,
        select: Vec<(Int<u32>, Int<u32>)>,
        exact_sources: Vec<String>,
        acceptable_sources: Vec<String>,
    ) -> PyResult<Self> {
        let magnet = wire::magnet::Magnet {
            info_hash: info_hash_v1.map(digest).transpose()?.map(InfoHash),
            info_hash_v2: info_hash_v2.map(digest).transpose()?.map(InfoHashV2),
            name,
            trackers,
            web_seeds,
            peers: peers.into_iter().map(|(host, port)| (host, port.0)).collect(),
            select: select.into_iter().map(|(first, last)| first.0..=last.0).collect(),
            exact_sources,
            acceptable_sources,
        };
        // what can't be said in a link is no link
        Self::parse(py, &magnet.to_string())
    }

    /// Reads a link. Raises MagnetError if it is none.
    #[staticmethod]
    fn parse(py: Python<'_>, link: &str) -> PyResult<Self> {
        let parsed = wire::magnet::Magnet::parse(link).map_err(|error| errors::magnet(py, &error))?;
        Ok(Self(Arc::new(parsed)))
    }

    /// What the torrent is called on the wire, 20 bytes: the v1 info-hash, or the beginning of the v2 one.
    #[getter]
    // stub: bytes
    fn info_hash<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.hashes().next().map(|hash| PyBytes::new(py, &hash.0))
    }

    /// The v1 info-hash, 20 bytes.
    #[getter]
    fn info_hash_v1<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.info_hash.map(|hash| PyBytes::new(py, &hash.0))
    }

    /// The v2 info-hash, 32 bytes (BEP 52).
    #[getter]
    fn info_hash_v2<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.info_hash_v2.map(|hash| PyBytes::new(py, &hash.0))
    }

    /// The name to show until the metadata is there. Not safe as a path.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Trackers, each a tier of its own.
    #[getter]
    // stub: tuple[str, ...]
    fn trackers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.trackers)
    }

    /// Web seeds (BEP 19).
    #[getter]
    // stub: tuple[str, ...]
    fn web_seeds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.web_seeds)
    }

    /// Peers: a host or address, and its port.
    #[getter]
    // stub: tuple[Address, ...]
    fn peers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.peers.iter().cloned())
    }

    /// The files wanted, counted among real files from 0: first and last number of each range (BEP 53). Empty: all.
    #[getter]
    // stub: tuple[tuple[int, int], ...]
    fn select<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.select.iter().map(|range| (*range.start(), *range.end())))
    }

    /// Where the torrent file itself may be had.
    #[getter]
    // stub: tuple[str, ...]
    fn exact_sources<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.exact_sources)
    }

    /// Where it may be had if all else fails.
    #[getter]
    // stub: tuple[str, ...]
    fn acceptable_sources<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.acceptable_sources)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0 == self.0)
    }

    fn __hash__(&self) -> u64 {
        hash_of(self.0.to_string().as_bytes())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        made_again(slf.as_any(), "parse", PyString::new(slf.py(), &slf.get().0.to_string()).as_any())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Magnet {}>", *self.0)
    }
}

/// Reads a key's link.
pub(crate) fn key_link(py: Python<'_>, link: &str) -> PyResult<wire::magnet::KeyLink> {
    wire::magnet::KeyLink::parse(link)
        .ok_or_else(|| errors::magnet(py, &"no `xs=urn:btpk:` names a key, or the salt is none"))
}

/// A link to whatever torrent a key names now: `magnet:?xs=urn:btpk:` (BEP 46). It names no torrent itself; the DHT is asked
/// for its `target`.
#[pyclass(frozen, eq, module = "millstream.sansio")]
#[derive(PartialEq, Eq)]
pub(crate) struct KeyLink(wire::magnet::KeyLink);

#[pymethods]
impl KeyLink {
    /// A link of a public key of 32 bytes, and a salt. Raises MagnetError for a salt that can't be one.
    #[new]
    #[pyo3(signature = (key: "BytesLike", salt: "BytesLike | None" = None))]
    fn new(key: &Bound<'_, PyAny>, salt: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let salt = salt.map_or_else(|| Ok(Vec::new()), crate::bytes::take)?;
        let link = wire::magnet::KeyLink { key: digest(key)?, salt };
        Self::parse(key.py(), &link.to_string())
    }

    /// Reads a link. Raises MagnetError if it names no key.
    #[staticmethod]
    fn parse(py: Python<'_>, link: &str) -> PyResult<Self> {
        key_link(py, link).map(Self)
    }

    /// The magnet link of a torrent that the key was found to name, with all else that the key's own link says. Raises
    /// MagnetError for a text that is no link.
    #[staticmethod]
    #[pyo3(signature = (link, info_hash: "BytesLike"))]
    fn with_torrent(py: Python<'_>, link: &str, info_hash: &Bound<'_, PyAny>) -> PyResult<Magnet> {
        let named = wire::magnet::KeyLink::with_torrent(link, InfoHash(digest(info_hash)?));
        Magnet::parse(py, &named)
    }

    /// The publisher's ed25519 public key, 32 bytes.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.key)
    }

    /// The salt; empty if there is none.
    #[getter]
    fn salt<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.salt)
    }

    /// What the DHT is asked for (BEP 44), 20 bytes.
    #[getter]
    fn target<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &wire::krpc::mutable_target(&self.0.key, &self.0.salt).0)
    }

    fn __hash__(&self) -> u64 {
        hash_of(self.0.to_string().as_bytes())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        made_again(slf.as_any(), "parse", PyString::new(slf.py(), &slf.get().0.to_string()).as_any())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<KeyLink {}>", self.0)
    }
}
