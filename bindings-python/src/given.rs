//! What Python gives, as Rust has it: the one place where numbers and durations are held to their range. A number that
//! is out of it is the caller's `OptionError`, which says what it was given for and what it may be.

use crate::errors;
use core::net::IpAddr;
use core::time::Duration;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyAnyMethods, PySequence, PyString};
use std::path::PathBuf;

/// The longest duration that is taken, in seconds: more than a century, and far from where clocks overflow.
const SECONDS_MAX: f64 = 4.0e9;

/// The longest text of a number that an error repeats.
const SHOWN_MAX: usize = 40;

/// What can be given.
pub(crate) trait Given: Sized {
    /// Takes it, or says what is wrong with it.
    fn take(value: &Bound<'_, PyAny>) -> PyResult<Self>;
}

/// What was given.
pub(crate) fn given<T: Given>(value: &Bound<'_, PyAny>) -> PyResult<T> {
    T::take(value)
}

/// An attribute of what was given.
pub(crate) fn field<T: Given>(object: &Bound<'_, PyAny>, name: &str) -> PyResult<T> {
    let value = object.getattr(name)?;
    T::take(&value).map_err(|error| about(name, &value, error))
}

/// A whole number as an argument.
#[derive(Clone, Copy)]
pub(crate) struct Int<T>(pub(crate) T);

impl<T: Given> FromPyObject<'_, '_> for Int<T> {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        T::take(&value).map(Self)
    }
}

/// Whole numbers, or none.
pub(crate) fn optional<T>(given: Option<Int<T>>) -> Option<T> {
    given.map(|number| number.0)
}

/// A duration as an argument, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromPyObject<'_, '_> for Seconds {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        Duration::take(&value).map(Self)
    }
}

/// A wrong value, with the name of what it was given for.
pub(crate) fn about(name: &str, value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = value.py();
    let raised = error.value(py);
    let ours = error.get_type(py).module().is_ok_and(|module| module.to_cow().is_ok_and(|m| m != "builtins"));
    if ours {
        if raised.getattr("name").is_ok_and(|known| known.is_none()) {
            // what can't be named is told without its name
            let _ = raised.setattr("name", name);
        }
        return error;
    }
    if raised.to_string().contains(name) {
        return error;
    }
    if error.is_instance_of::<PyTypeError>(py) {
        return PyTypeError::new_err(format!("{name}: {raised}"));
    }
    errors::option(py, raised.to_string(), Some(name))
}

macro_rules! whole {
    ($($type:ty),+) => {$(
        impl Given for $type {
            fn take(value: &Bound<'_, PyAny>) -> PyResult<Self> {
                value.extract().map_err(|error| beyond(value, error, (&<$type>::MIN, &<$type>::MAX)))
            }
        }
    )+};
}

whole!(u8, u16, u32, u64, usize, i64);

macro_rules! plain {
    ($($type:ty),+) => {$(
        impl Given for $type {
            fn take(value: &Bound<'_, PyAny>) -> PyResult<Self> {
                value.extract()
            }
        }
    )+};
}

plain!(bool, String, PathBuf, IpAddr);

impl<T: Given> Given for Option<T> {
    fn take(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_none() { Ok(None) } else { T::take(value).map(Some) }
    }
}

impl<T: Given> Given for Vec<T> {
    fn take(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("several are wanted, not a text"));
        }
        value.cast::<PySequence>()?.try_iter()?.map(|item| T::take(&item?)).collect()
    }
}

impl<A: Given, B: Given> Given for (A, B) {
    fn take(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (a, b): (Bound<'_, PyAny>, Bound<'_, PyAny>) = value.extract()?;
        Ok((A::take(&a)?, B::take(&b)?))
    }
}

impl Given for Duration {
    fn take(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let wrong = |value: &Bound<'_, PyAny>| {
            let message = format!("{} is no duration: seconds from 0 to {SECONDS_MAX} are", text_of(value));
            errors::option(value.py(), message, None)
        };
        let seconds: f64 = value.extract().map_err(|error: PyErr| {
            // a whole number that no float holds
            if error.is_instance_of::<PyOverflowError>(value.py()) { wrong(value) } else { error }
        })?;
        if !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(wrong(value));
        }
        Self::try_from_secs_f64(seconds).map_err(|_| wrong(value))
    }
}

/// A number that is too large, or below none.
fn beyond(value: &Bound<'_, PyAny>, error: PyErr, (least, most): (&dyn ToString, &dyn ToString)) -> PyErr {
    let py = value.py();
    if !error.is_instance_of::<PyOverflowError>(py) {
        return error;
    }
    let message =
        format!("{} is no number from {} to {}", text_of(value), least.to_string(), most.to_string());
    errors::option(py, message, None)
}

/// A number as an error shows it. One of thousands of digits has no text in Python.
fn text_of(value: &Bound<'_, PyAny>) -> String {
    match value.repr() {
        Ok(text) if text.to_cow().is_ok_and(|text| text.len() <= SHOWN_MAX) => text.to_string(),
        Ok(_) | Err(_) => "that".to_owned(),
    }
}
