//! The messages of a peer that come by the thousand, as native values: frozen, compared by content, made to be matched on.
//! The rare ones are dataclasses of `millstream._messages`.

use crate::bytes::{lend, take};
use crate::given::Int;
use crate::value_class::value_classes;
use core::hash::{Hash, Hasher};
use millstream_core::base::Chunk;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};

value_classes! {
    in "millstream._messages";

    /// Nothing but a sign of life.
    KeepAlive {}

    /// Requests will not be served.
    Choke {}

    /// Requests will be served.
    Unchoke {}

    /// The sender wants pieces.
    Interested {}

    /// The sender wants none.
    NotInterested {}

    /// The sender has this piece now.
    Have { index: u32 }

    /// Send this.
    Request { index: u32, begin: u32, length: u32 }

    /// Don't send this.
    CancelRequest { index: u32, begin: u32, length: u32 }

    /// A request that will not be served (BEP 6).
    RejectRequest { index: u32, begin: u32, length: u32 }

    /// You might like this piece (BEP 6).
    SuggestPiece { index: u32 }

    /// The sender has every piece (BEP 6).
    HaveAll {}

    /// The sender has no piece (BEP 6).
    HaveNone {}

    /// This piece is served even when choked (BEP 6).
    AllowedFast { index: u32 }

    /// The UDP port of the sender's DHT node (BEP 5).
    Port { port: u16 }
}

/// A block.
#[pyclass(frozen, eq, hash, module = "millstream._messages")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The piece's number.
    #[pyo3(get)]
    pub(crate) index: u32,
    /// Bytes from the piece's start.
    #[pyo3(get)]
    pub(crate) begin: u32,
    pub(crate) data: Chunk,
}

#[pymethods]
impl Piece {
    #[new]
    #[pyo3(signature = (index, begin, block: "BytesLike"))]
    fn new(index: Int<u32>, begin: Int<u32>, block: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { index: index.0, begin: begin.0, data: take(block)?.into() })
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str) {
        ("index", "begin", "block")
    }

    /// The block: a read-only memoryview of native memory. It keeps what was received with it alive.
    #[getter]
    // stub: memoryview
    fn block<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        lend(py, self.data.clone())
    }

    fn __repr__(&self) -> String {
        format!("Piece(index={}, begin={}, block=<{} bytes>)", self.index, self.begin, self.data.len())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (u32, u32, Bound<'py, PyBytes>)) {
        let piece = slf.get();
        (slf.get_type(), (piece.index, piece.begin, PyBytes::new(slf.py(), &piece.data)))
    }
}

impl Hash for Piece {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.index, self.begin, &*self.data).hash(state);
    }
}
