//! millstream's engine for Python. Owns the bridge and no behaviour: what a door means is said where the engine is.

mod bencode;
mod body;
mod bytes;
mod dht;
mod effects;
mod engine;
mod errors;
mod event_classes;
mod events;
mod given;
mod ledger;
mod magnet;
mod making;
mod message;
mod metainfo;
mod native;
mod options;
mod outcomes;
mod outgoing;
mod peer;
mod plan;
mod pool;
mod priorities;
mod room;
mod serving;
mod snapshots;
mod statistics;
mod status_class;
mod tracker;
mod value_class;
mod values;
mod ways;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::{Bound, PyModule, PyModuleMethods, PyResult, pymodule, wrap_pyfunction};

/// The native half of the package `millstream`.
#[pymodule]
fn _millstream(module: &Bound<'_, PyModule>) -> PyResult<()> {
    in_the_main_interpreter()?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(outcomes::exchange, module)?)?;
    event_classes::add_to(module)?;
    module.add_function(wrap_pyfunction!(bencode::decode, module)?)?;
    module.add_function(wrap_pyfunction!(bencode::encode, module)?)?;
    message::add_to(module)?;
    module.add_class::<message::Piece>()?;
    module.add_class::<peer::PeerConnection>()?;
    module.add_class::<body::Body>()?;
    module.add_class::<ways::Ways>()?;
    module.add_class::<ways::Tunnel>()?;
    status_class::add_to(module)?;
    module.add_function(wrap_pyfunction!(dht::sign, module)?)?;
    module.add_class::<dht::DhtNode>()?;
    module.add_class::<tracker::Tracker>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<native::NativeSession>()?;
    module.add_function(wrap_pyfunction!(making::create_torrent, module)?)?;
    module.add_function(wrap_pyfunction!(making::verify, module)?)?;
    module.add_class::<making::Signer>()?;
    module.add_function(wrap_pyfunction!(values::is_public, module)?)?;
    module.add_function(wrap_pyfunction!(values::read_address, module)?)?;
    module.add_class::<serving::TrackerServer>()?;
    module.add_class::<metainfo::Metainfo>()?;
    module.add_class::<magnet::Magnet>()?;
    module.add_class::<magnet::KeyLink>()?;
    module.add_class::<plan::Plan>()?;
    module.add_class::<pool::ConnectionPool>()
}

/// Refuses the other interpreters of a process: the classes are made once, and no two interpreters may share them.
#[allow(unsafe_code)]
fn in_the_main_interpreter() -> PyResult<()> {
    // SAFETY: a module is made with an interpreter at hand, and this one was just asked for.
    let number = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if number == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "millstream works in a process's main interpreter alone, and this is a sub-interpreter",
    ))
}
