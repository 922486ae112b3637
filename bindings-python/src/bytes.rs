//! Bytes across the border: taken in with one copy, handed out with none.

use crate::errors;
use core::ffi::c_int;
use millstream_core::base::Chunk;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PyTuple};

/// More bytes than this in one go are refused: a chunk counts its bytes in 32 bits.
const BYTES_MAX: usize = 1 << 30;

/// The bytes that an object lends by the buffer protocol, copied.
pub(crate) fn take(object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let buffer = PyBuffer::<u8>::get(object).map_err(|error| {
        let py = object.py();
        // a buffer of other items than bytes, or none at all: both are the caller's mistake
        if error.is_instance_of::<PyBufferError>(py) {
            pyo3::exceptions::PyTypeError::new_err(format!(
                "a bytes-like object is needed: {}",
                error.value(py)
            ))
        } else {
            error
        }
    })?;
    if buffer.item_count() > BYTES_MAX {
        let count = buffer.item_count();
        return Err(errors::driver(object.py(), format!("{count} bytes at once are more than {BYTES_MAX}")));
    }
    buffer.to_vec(object.py())
}

/// Memory of the engine, lent to Python for as long as it is kept.
#[pyclass(frozen)]
struct Lent(Chunk);

#[pymethods]
impl Lent {
    /// Lends the bytes, read-only.
    ///
    /// # Safety
    /// Python calls it by the buffer protocol, with a `view` that it may fill.
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes: &[u8] = &slf.get().0;
        let (start, len) = (bytes.as_ptr().cast_mut().cast(), bytes.len() as ffi::Py_ssize_t);
        // SAFETY: `view` is Python's to fill. The bytes live as long as `slf`, of which the view holds a reference;
        // a frozen chunk is never changed nor moved, and the view is read-only.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 1, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}

/// A read-only memoryview of a chunk's own memory.
pub(crate) fn lend<'py>(py: Python<'py>, chunk: Chunk) -> PyResult<Bound<'py, PyAny>> {
    let owner = Bound::new(py, Lent(chunk))?;
    Ok(PyMemoryView::from(owner.as_any())?.into_any())
}

/// A tuple of memoryviews.
pub(crate) fn lend_all<'py>(py: Python<'py>, chunks: Vec<Chunk>) -> PyResult<Bound<'py, PyTuple>> {
    let views = chunks.into_iter().map(|chunk| lend(py, chunk)).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(py, views)
}
