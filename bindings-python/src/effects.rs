//! Effects and their work on the way out.

use crate::bytes::lend_all;
use crate::values::{address, extent, make, part, tuple};
use millstream_core::engine::{Allocation, Effect, Endpoint, FileSpec, FilesOp, How, Work};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

/// An effect as Python has it.
pub(crate) fn effect(py: Python<'_>, effect: Effect) -> PyResult<Bound<'_, PyAny>> {
    match effect {
        Effect::Connect { conn, to: Endpoint::Tcp(to), route: _ } => {
            make(py, "Connect", (conn.0, address(to)))
        }
        Effect::Connect { conn, to: Endpoint::Http(request), route: _ } => {
            make(py, "ConnectHttp", (conn.0, &request.url, request.range, request.redirects_max))
        }
        Effect::Connect { conn, to: Endpoint::WebSocket(url), route: _ } => {
            make(py, "ConnectWebSocket", (conn.0, url))
        }
        Effect::Close { conn, how } => make(py, "Close", (conn.0, how == How::Flush)),
        Effect::Interest { conn, read_until, write } => make(py, "Interest", (conn.0, read_until, write)),
        Effect::DatagramsReady { local } => make(py, "DatagramsReady", (local.0,)),
        Effect::Job { job, work: asked } => make(py, "Job", (job.0, work(py, asked)?)),
        Effect::Cancel { job } => make(py, "Cancel", (job.0,)),
    }
}

fn work(py: Python<'_>, work: Work) -> PyResult<Bound<'_, PyAny>> {
    match work {
        Work::Files { torrent, op: FilesOp::Open { folder, files, allocation } } => {
            let files = tuple(py, files.iter(), spec)?;
            let allocation = match allocation {
                Allocation::Sparse => "sparse",
                Allocation::Full => "full",
                Allocation::None => "none",
            };
            make(py, "FilesOpen", (torrent.0, &*folder, files, allocation))
        }
        Work::Files { torrent, op: FilesOp::Sync } => make(py, "FilesSync", (torrent.0,)),
        Work::Files { torrent, op: FilesOp::Close } => make(py, "FilesClose", (torrent.0,)),
        Work::Read { torrent, parts, plain: _ } => make(py, "Read", (torrent.0, tuple(py, parts, part)?)),
        Work::Write { torrent, extents, data } => {
            make(py, "Write", (torrent.0, tuple(py, extents, extent)?, lend_all(py, data)?))
        }
        Work::Hash { data, pad, want } => {
            make(py, "Hash", (lend_all(py, data)?, pad, want.sha1, want.leaves))
        }
        Work::HashStored { torrent, parts, pad, want } => {
            make(py, "HashStored", (torrent.0, tuple(py, parts, part)?, pad, want.sha1, want.leaves))
        }
        Work::Save { torrent, data } => make(py, "Save", (torrent.0, PyBytes::new(py, &data))),
        Work::Http { url, bytes_max, redirects_max, timeout, route } => {
            let local = route.local.map(|local| local.0);
            make(py, "Http", (url, bytes_max, redirects_max, timeout.as_secs_f64(), local))
        }
        Work::Exchange(job) => {
            let theirs = job.theirs.as_ref().map(|key| PyBytes::new(py, &key.0));
            make(py, "Exchange", (PyBytes::new(py, &job.private.0), job.public, theirs))
        }
        Work::Resolve { host, port, route: _ } => make(py, "Resolve", (host, port)),
        Work::MapPort { internal, external, lease, .. } => {
            make(py, "MapPort", (internal.port(), external, lease.as_secs_f64()))
        }
    }
}

fn spec<'py>(py: Python<'py>, file: &FileSpec) -> PyResult<Bound<'py, PyAny>> {
    let path = PyTuple::new(py, &file.path)?;
    let symlink = file.symlink.as_ref().map(|to| PyTuple::new(py, to)).transpose()?;
    make(py, "FileSpec", (path, file.length, file.pad, file.executable, symlink, file.wanted))
}
