//! Torrent files and magnet links, read.

use crate::values::{make, tuple};
use crate::{bytes, errors};
use millstream_core::wire;
use millstream_core::wire::metainfo::{Info, Version};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::sync::Arc;

/// A torrent file, and its bytes.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Metainfo(pub(crate) Arc<wire::metainfo::Metainfo>, Vec<u8>);

#[pymethods]
impl Metainfo {
    /// Reads a torrent file. Raises MetainfoError if it is none.
    #[staticmethod]
    fn parse(torrent: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (py, bytes) = (torrent.py(), bytes::take(torrent)?);
        let parsed = py.detach(|| wire::metainfo::Metainfo::parse(&bytes));
        Ok(Self(Arc::new(parsed.map_err(|error| errors::metainfo(py, &error))?), bytes))
    }

    /// Reads an info dictionary alone, as peers give it for a magnet link (BEP 9). Raises MetainfoError if it is none.
    #[staticmethod]
    fn from_info(info: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (py, bytes) = (info.py(), bytes::take(info)?);
        let parsed = py.detach(|| Info::parse(&bytes)).map_err(|error| errors::metainfo(py, &error))?;
        let torrent = wire::metainfo::Metainfo {
            info: parsed,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            nodes: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
            signatures: Vec::new(),
        };
        Ok(Self(Arc::new(torrent), [b"d4:info", bytes.as_slice(), b"e"].concat()))
    }

    /// The torrent file's bytes; around an info dictionary alone there is nothing else in it.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.1)
    }

    /// The torrent's name, safe as a path's component.
    #[getter]
    fn name(&self) -> &str {
        self.info().name()
    }

    /// `v1`, `v2` or `hybrid`.
    #[getter]
    fn version(&self) -> &'static str {
        match self.info().version() {
            Version::V1 => "v1",
            Version::V2 => "v2",
            Version::Hybrid => "hybrid",
        }
    }

    /// The v1 info-hash, 20 bytes.
    #[getter]
    fn info_hash_v1<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.info().info_hash().map(|hash| PyBytes::new(py, &hash.0))
    }

    /// The v2 info-hash, 32 bytes (BEP 52).
    #[getter]
    fn info_hash_v2<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.info().info_hash_v2().map(|hash| PyBytes::new(py, &hash.0))
    }

    /// The info dictionary's bytes as they are.
    #[getter]
    fn info_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.info().raw())
    }

    /// Bytes of all real files.
    #[getter]
    fn length(&self) -> u64 {
        self.info().length()
    }

    /// Bytes of a piece.
    #[getter]
    fn piece_length(&self) -> u32 {
        self.info().geometry().piece_length()
    }

    /// How many pieces there are.
    #[getter]
    fn pieces(&self) -> u32 {
        self.info().geometry().pieces()
    }

    /// Whether peers come from trackers alone (BEP 27).
    #[getter]
    fn private(&self) -> bool {
        self.info().is_private()
    }

    /// Whether the files stand in a folder called `name`.
    #[getter]
    fn multi_file(&self) -> bool {
        self.info().is_multi_file()
    }

    /// The files, pad files among them, as `Extent.file` counts them.
    #[getter]
    fn files<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, self.info().files(), |py, file| {
            let path = PyTuple::new(py, &file.path)?;
            let raw: Vec<_> = file.raw_components().map(|component| PyBytes::new(py, component)).collect();
            let raw = PyTuple::new(py, raw)?;
            make(py, "MetainfoFile", (path, file.length, file.offset, file.attributes.pad, raw))
        })
    }

    /// Trackers in tiers (BEP 12).
    #[getter]
    fn trackers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.0.trackers, |py, tier| Ok(PyTuple::new(py, tier)?.into_any()))
    }

    /// Web seeds (BEP 19).
    #[getter]
    fn web_seeds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.web_seeds)
    }

    /// Free text.
    #[getter]
    fn comment(&self) -> Option<&str> {
        self.0.comment.as_deref()
    }

    /// Which program made it.
    #[getter]
    fn created_by(&self) -> Option<&str> {
        self.0.created_by.as_deref()
    }

    /// Seconds since 1970.
    #[getter]
    fn creation_date(&self) -> Option<i64> {
        self.0.creation_date
    }

    fn __repr__(&self) -> String {
        format!("<Metainfo {:?}: {}, {} bytes>", self.name(), self.version(), self.length())
    }
}

impl Metainfo {
    fn info(&self) -> &Info {
        &self.0.info
    }
}

/// A magnet link.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Magnet(pub(crate) Arc<wire::magnet::Magnet>);

#[pymethods]
impl Magnet {
    /// Reads a link. Raises MagnetError if it is none.
    #[staticmethod]
    fn parse(py: Python<'_>, link: &str) -> PyResult<Self> {
        let parsed = wire::magnet::Magnet::parse(link).map_err(|error| errors::magnet(py, &error))?;
        Ok(Self(Arc::new(parsed)))
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
    fn trackers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.trackers)
    }

    /// Web seeds (BEP 19).
    #[getter]
    fn web_seeds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.web_seeds)
    }

    /// Peers: a host or address, and its port.
    #[getter]
    fn peers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.peers.iter().cloned())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Magnet {}>", *self.0)
    }
}
