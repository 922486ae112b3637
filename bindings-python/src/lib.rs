//! millstream's engine for Python. Owns the bridge and no behaviour.

use pyo3::prelude::{Bound, PyModule, PyModuleMethods, PyResult, pymodule};

/// The native half of the package `millstream`.
#[pymodule]
fn _millstream(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
