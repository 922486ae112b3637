//! What the machines beside the engine share: a lock, a clock that never goes back, a seed.

use crate::bytes::take;
use crate::errors;
use crate::values::moment;
use millstream_core::base::Instant;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyInt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A machine behind a lock, with the moment that it was told last.
pub(crate) struct Room<T>(Mutex<(T, Instant)>);

impl<T> Room<T> {
    pub(crate) fn new(machine: T, now: Instant) -> Self {
        Self(Mutex::new((machine, now)))
    }

    /// Calls the machine at a moment; one before the last is the driver's mistake. No code of Python's may run in `call`.
    pub(crate) fn at<R>(
        &self,
        py: Python<'_>,
        now: f64,
        call: impl FnOnce(&mut T, Instant) -> R,
    ) -> PyResult<R> {
        let now = moment(py, now)?;
        let room = self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        on_time(room, now, call).map_err(|last| went_back(py, last, now))
    }

    /// Likewise, for what may take long: other threads go on meanwhile.
    pub(crate) fn long<R: Send>(
        &self,
        py: Python<'_>,
        now: f64,
        call: impl FnOnce(&mut T, Instant) -> R + Send,
    ) -> PyResult<R>
    where
        T: Send,
    {
        let now = moment(py, now)?;
        let done = py.detach(|| on_time(self.0.lock().unwrap_or_else(PoisonError::into_inner), now, call));
        done.map_err(|last| went_back(py, last, now))
    }

    /// Calls the machine at the moment that it was told last.
    pub(crate) fn last<R>(&self, py: Python<'_>, call: impl FnOnce(&mut T, Instant) -> R) -> R {
        let mut room = self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let now = room.1;
        call(&mut room.0, now)
    }

    /// Calls the machine without a moment.
    pub(crate) fn with<R>(&self, py: Python<'_>, call: impl FnOnce(&mut T) -> R) -> R {
        call(&mut self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// Calls the machine unless the moment is before the last one, which it gives.
fn on_time<T, R>(
    mut room: MutexGuard<'_, (T, Instant)>,
    now: Instant,
    call: impl FnOnce(&mut T, Instant) -> R,
) -> Result<R, Instant> {
    if now < room.1 {
        return Err(room.1);
    }
    room.1 = now;
    Ok(call(&mut room.0, now))
}

fn went_back(py: Python<'_>, last: Instant, now: Instant) -> PyErr {
    errors::driver(py, format!("the clock went back from {last:?} to {now:?}"))
}

/// All chance of a machine: 32 bytes, or a number below 2^256.
pub(crate) fn seed(given: &Bound<'_, PyAny>) -> PyResult<[u8; 32]> {
    let bytes = if given.is_instance_of::<PyInt>() {
        let bytes = given.call_method1("to_bytes", (32, "little"));
        take(&bytes.map_err(|_| PyValueError::new_err("a seed is a number from 0 to below 2^256"))?)?
    } else {
        take(given).map_err(|_| PyTypeError::new_err("a seed is 32 bytes or a number"))?
    };
    let len = bytes.len();
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("a seed of {len} bytes: 32 are needed")))
}

/// Fields of a configuration by name: `fields!(config, name, value, {number..}, {duration..})`.
macro_rules! fields {
    ($config:ident, $name:ident, $value:ident; plain: $($plain:ident)*; seconds: $($seconds:ident)*) => {
        match $name {
            $(stringify!($plain) => $config.$plain = $crate::given::given($value)?,)*
            $(stringify!($seconds) => $config.$seconds = $crate::given::given($value)?,)*
            _ => {
                let all = [$(stringify!($plain),)* $(stringify!($seconds),)*];
                return Err($crate::options::unknown($value.py(), "setting", $name, &all));
            }
        }
    };
}
pub(crate) use fields;
