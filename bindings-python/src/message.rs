//! The messages of a peer that come by the thousand, as native values: frozen, compared by content, made to be matched on.
//! The rare ones are dataclasses of `millstream._messages`.

use crate::bytes::{lend, take};
use core::hash::{Hash, Hasher};
use millstream_core::base::Chunk;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple, PyType};

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $type:ty),* }) => {
        $(#[$doc])*
        #[pyclass(frozen, get_all, eq, hash, module = "millstream.sansio")]
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub(crate) struct $name { $($(#[$about])* pub(crate) $field: $type),* }

        #[pymethods]
        impl $name {
            #[new]
            fn new($($field: $type),*) -> Self {
                Self { $($field),* }
            }

            #[classattr]
            fn __match_args__(py: Python<'_>) -> PyResult<Py<PyTuple>> {
                let names: &[&str] = &[$(stringify!($field)),*];
                PyTuple::new(py, names).map(Bound::unbind)
            }

            fn __repr__(&self) -> String {
                let fields: &[String] = &[$(format!(concat!(stringify!($field), "={}"), self.$field)),*];
                format!(concat!(stringify!($name), "({})"), fields.join(", "))
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
                let fields: &[$crate::message::Number] = &[$(slf.get().$field.into()),*];
                Ok((slf.get_type(), PyTuple::new(slf.py(), fields)?))
            }
        }
    };
}

type Number = u64;

message! {
    /// Nothing but a sign of life.
    KeepAlive {}
}
message! {
    /// Requests will not be served.
    Choke {}
}
message! {
    /// Requests will be served.
    Unchoke {}
}
message! {
    /// The sender wants pieces.
    Interested {}
}
message! {
    /// The sender wants none.
    NotInterested {}
}
message! {
    /// The sender has this piece now.
    Have {
        /// The piece's number.
        index: u32
    }
}
message! {
    /// Send this.
    Request {
        /// The piece's number.
        index: u32,
        /// Bytes from the piece's start.
        begin: u32,
        /// Bytes.
        length: u32
    }
}
message! {
    /// Don't send this.
    CancelRequest {
        /// The piece's number.
        index: u32,
        /// Bytes from the piece's start.
        begin: u32,
        /// Bytes.
        length: u32
    }
}
message! {
    /// A request that will not be served (BEP 6).
    RejectRequest {
        /// The piece's number.
        index: u32,
        /// Bytes from the piece's start.
        begin: u32,
        /// Bytes.
        length: u32
    }
}
message! {
    /// You might like this piece (BEP 6).
    SuggestPiece {
        /// The piece's number.
        index: u32
    }
}
message! {
    /// The sender has every piece (BEP 6).
    HaveAll {}
}
message! {
    /// The sender has no piece (BEP 6).
    HaveNone {}
}
message! {
    /// This piece is served even when choked (BEP 6).
    AllowedFast {
        /// The piece's number.
        index: u32
    }
}
message! {
    /// The UDP port of the sender's DHT node (BEP 5).
    Port {
        /// The port.
        port: u16
    }
}

/// A block.
#[pyclass(frozen, eq, hash, module = "millstream.sansio")]
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
    fn new(index: u32, begin: u32, block: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { index, begin, data: take(block)?.into() })
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str) {
        ("index", "begin", "block")
    }

    /// The block: a read-only memoryview of native memory. It keeps what was received with it alive.
    #[getter]
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

/// Adds the classes to the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<KeepAlive>()?;
    module.add_class::<Choke>()?;
    module.add_class::<Unchoke>()?;
    module.add_class::<Interested>()?;
    module.add_class::<NotInterested>()?;
    module.add_class::<Have>()?;
    module.add_class::<Request>()?;
    module.add_class::<Piece>()?;
    module.add_class::<CancelRequest>()?;
    module.add_class::<Port>()?;
    module.add_class::<SuggestPiece>()?;
    module.add_class::<HaveAll>()?;
    module.add_class::<HaveNone>()?;
    module.add_class::<RejectRequest>()?;
    module.add_class::<AllowedFast>()
}
