//! Torrent files, read.

use crate::magnet::Magnet;
use crate::values::{make, tuple};
use crate::{bytes, errors};
use core::hash::{Hash as _, Hasher as _};
use millstream_core::verify::signed::signed_by;
use millstream_core::wire;
use millstream_core::wire::metainfo::{Info, MetainfoLimits, Version};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::hash::DefaultHasher;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

/// A torrent file, and its bytes.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Metainfo(pub(crate) Arc<wire::metainfo::Metainfo>, Vec<u8>);

#[pymethods]
impl Metainfo {
    /// Reads a torrent file. Raises MetainfoError if it is none.
    #[staticmethod]
    #[pyo3(signature = (torrent: "BytesLike"))]
    fn parse(torrent: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (py, bytes) = (torrent.py(), bytes::take(torrent)?);
        let parsed = py.detach(|| wire::metainfo::Metainfo::parse(&bytes));
        Ok(Self(Arc::new(parsed.map_err(|error| errors::metainfo(py, &error))?), bytes))
    }

    /// Reads the torrent file at a path. Raises OSError if that can't be read, MetainfoError if it is none.
    #[staticmethod]
    fn from_file(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        // one byte more than is taken, so that what is too long is told from what is cut
        let most = MetainfoLimits::default().torrent_bytes_max as u64 + 1;
        let (bytes, parsed) = py.detach(|| -> std::io::Result<_> {
            let mut bytes = Vec::new();
            std::fs::File::open(&path)?.take(most).read_to_end(&mut bytes)?;
            let parsed = wire::metainfo::Metainfo::parse(&bytes);
            Ok((bytes, parsed))
        })?;
        Ok(Self(Arc::new(parsed.map_err(|error| errors::metainfo(py, &error))?), bytes))
    }

    /// Reads an info dictionary alone, as peers give it for a magnet link (BEP 9). Raises MetainfoError if it is none.
    #[staticmethod]
    #[pyo3(signature = (info: "BytesLike"))]
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

    /// A link to the torrent: its hashes, name, trackers and web seeds.
    fn magnet(&self) -> Magnet {
        let info = self.info();
        Magnet(Arc::new(wire::magnet::Magnet {
            info_hash: info.info_hash(),
            info_hash_v2: info.info_hash_v2(),
            name: Some(info.name().to_owned()),
            trackers: self.0.trackers.concat(),
            web_seeds: self.0.web_seeds.clone(),
            ..wire::magnet::Magnet::default()
        }))
    }

    /// What the torrent is called on the wire, 20 bytes: the v1 info-hash, or the beginning of the v2 one.
    #[getter]
    // stub: bytes
    fn info_hash<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.info().hashes().next().map(|hash| PyBytes::new(py, &hash.0))
    }

    /// The torrent's name, safe as a path's component.
    #[getter]
    fn name(&self) -> &str {
        self.info().name()
    }

    /// `v1`, `v2` or `hybrid`.
    #[getter]
    // stub: Version
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
    // stub: tuple[MetainfoFile, ...]
    fn files<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, self.info().files(), |py, file| {
            let path = PyTuple::new(py, &file.path)?;
            let raw: Vec<_> = file.raw_components().map(|component| PyBytes::new(py, component)).collect();
            let raw = PyTuple::new(py, raw)?;
            let target = file.symlink.as_ref().map(|target| PyTuple::new(py, target)).transpose()?;
            make(py, "MetainfoFile", (path, file.length, file.offset, file.attributes.pad, raw, target))
        })
    }

    /// Trackers in tiers (BEP 12).
    #[getter]
    // stub: tuple[tuple[str, ...], ...]
    fn trackers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.0.trackers, |py, tier| Ok(PyTuple::new(py, tier)?.into_any()))
    }

    /// Web seeds (BEP 19).
    #[getter]
    // stub: tuple[str, ...]
    fn web_seeds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.web_seeds)
    }

    /// Nodes of the DHT: a host or address, and its port (BEP 5).
    #[getter]
    // stub: tuple[tuple[str, int], ...]
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.nodes.iter().cloned())
    }

    /// The `source` of the info dictionary, by which private trackers tell their torrents apart.
    #[getter]
    fn source(&self) -> Option<&str> {
        self.info().source()
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

    /// Where newer torrents will be found (BEP 39).
    #[getter]
    fn update_url(&self) -> Option<&str> {
        self.info().update_url()
    }

    /// The certificate of who signs newer torrents (BEP 39), in DER.
    #[getter]
    fn originator<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.info().originator().map(|certificate| PyBytes::new(py, certificate))
    }

    /// The names of those whose signatures it bears (BEP 35), unchecked: `is_signed_by` checks them.
    #[getter]
    // stub: tuple[str, ...]
    fn signers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.signatures.iter().map(|signature| &signature.signer))
    }

    /// Whether the holder of this certificate, X.509 in PEM or DER, signed the torrent (BEP 35).
    #[pyo3(signature = (certificate: "BytesLike"))]
    fn is_signed_by(&self, certificate: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(certificate) = millstream::certificate_der(&bytes::take(certificate)?) else {
            return Ok(false);
        };
        Ok(signed_by(self.info(), &self.0.signatures, &certificate).is_some())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().1 == self.1)
    }

    fn __hash__(&self) -> u64 {
        hash_of(&self.1)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, meta) = (slf.py(), slf.get());
        // around an info dictionary alone the piece layers of v2 may be missing
        let alone = meta.1.strip_prefix(b"d4:info").and_then(|rest| rest.strip_suffix(b"e"));
        match alone.filter(|info| **info == **meta.info().raw()) {
            Some(info) => made_again(slf.as_any(), "from_info", PyBytes::new(py, info).as_any()),
            None => made_again(slf.as_any(), "parse", PyBytes::new(py, &meta.1).as_any()),
        }
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

/// A number that equal bytes share.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// How pickle makes it again: a call of its class by what it was read from.
pub(crate) fn made_again<'py>(
    object: &Bound<'py, PyAny>,
    call: &str,
    source: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = object.py();
    let call = py.import("operator")?.call_method1("methodcaller", (call, source))?;
    PyTuple::new(py, [call, PyTuple::new(py, [object.get_type()])?.into_any()])
}
