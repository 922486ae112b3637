//! A torrent to take on, as Python asks for it.

use crate::{bytes, options};
use millstream::AddTorrent;
use millstream_core::engine::Source;
use millstream_core::wire::magnet::Magnet;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::Arc;

/// A torrent from a magnet link or a torrent file's bytes, and what else is given by name. Bytes are read by the
/// driver's own threads: they may be long.
pub(crate) fn order(
    source: &Bound<'_, PyAny>,
    folder: String,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<AddTorrent> {
    let has = |name: &str| options.map_or(Ok(false), |options| options.contains(name));
    let (source, bytes) = if source.is_instance_of::<PyString>() {
        (options::source(source)?, None)
    } else {
        (Source::Magnet(Arc::new(Magnet::default())), Some(bytes::take(source)?))
    };
    let asked = options::add_from(source, folder, options)?;
    let mut order = match bytes {
        Some(bytes) => AddTorrent::bytes(bytes),
        None => AddTorrent::source(asked.source),
    };
    order = order
        .folder(&*asked.folder)
        .sequential(asked.sequential)
        .paused(asked.paused)
        .peers(asked.peers)
        .only_peers(asked.only_peers)
        .super_seed(asked.super_seed)
        .rates(asked.rates);
    if let Some(tiers) = asked.trackers {
        order = order.trackers(tiers);
    }
    if has("allocation")? {
        order = order.allocation(asked.allocation);
    }
    if let Some(selection) = asked.selection {
        order = order.select(selection);
    }
    if let Some(priorities) = asked.priorities {
        order = order.priorities(priorities);
    }
    if let Some(resume) = asked.resume {
        order = order.resume(resume);
    }
    Ok(order)
}
