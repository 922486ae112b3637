//! An engine behind a lock, and a ledger that tells a driver's mistakes from a peer's faults.

use crate::engine::Engine;
use crate::errors;
use crate::values::moment;
use millstream_core::base::{ConnId, Instant, JobId, TorrentId};
use millstream_core::engine::{self as doors, Command, Input, Owed, Reply};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An engine with its ledger.
pub(crate) struct Inner {
    pub(crate) engine: doors::Engine,
    pub(crate) now: Instant,
    /// Jobs whose effect was taken and whose answer is owed.
    pub(crate) owed: BTreeMap<JobId, Owed>,
    /// Links whose `Close` was taken and whose `drained` is owed.
    pub(crate) closing: BTreeSet<ConnId>,
}

impl Engine {
    /// An engine that was made.
    pub(crate) fn holding(engine: doors::Engine, now: Instant) -> Self {
        Self(Mutex::new(Inner { engine, now, owed: BTreeMap::new(), closing: BTreeSet::new() }))
    }

    pub(crate) fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Inner> {
        self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the engine, unless the clock went back. No Python runs while the lock is held, so it can't be met again.
    pub(crate) fn with<R>(
        &self,
        py: Python<'_>,
        now: f64,
        call: impl FnOnce(&mut Inner, Instant) -> R,
    ) -> PyResult<R> {
        let now = moment(py, now)?;
        let mut inner = self.lock(py);
        let last = inner.now;
        let answer = (now >= last).then(|| {
            inner.now = now;
            call(&mut inner, now)
        });
        drop(inner);
        answer.ok_or_else(|| errors::driver(py, format!("the clock went back from {last:?} to {now:?}")))
    }

    pub(crate) fn input(&self, py: Python<'_>, now: f64, input: Input) -> PyResult<()> {
        self.with(py, now, |inner, now| inner.engine.handle_input(now, input))
    }

    pub(crate) fn command(&self, py: Python<'_>, now: f64, command: Command) -> PyResult<Reply> {
        let reply = self.with(py, now, |inner, now| inner.engine.command(now, command))?;
        reply.map_err(|error| errors::command(py, &error))
    }

    /// What the engine knows of a torrent.
    pub(crate) fn know<R>(
        &self,
        py: Python<'_>,
        torrent: u64,
        ask: impl FnOnce(&doors::Engine, Instant) -> R,
    ) -> PyResult<R> {
        let inner = self.lock(py);
        let there = inner.engine.status(inner.now, TorrentId(torrent)).is_some();
        let answer = there.then(|| ask(&inner.engine, inner.now));
        drop(inner);
        answer.ok_or_else(|| errors::no_torrent(py, torrent))
    }

    pub(crate) fn tell(&self, py: Python<'_>, now: f64, command: Command) -> PyResult<()> {
        self.command(py, now, command).map(drop)
    }
}
