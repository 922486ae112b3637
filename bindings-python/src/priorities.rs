//! How much files are wanted, as Python says it: "low", "normal" or "high", by the number of the file.

use crate::given::{about, given};
use millstream_core::engine::{Priorities, Priority};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// A dictionary of numbers and priorities.
pub(crate) fn take(value: &Bound<'_, PyAny>) -> PyResult<Priorities> {
    each(value).map_err(|error| about("priorities", value, error))
}

fn each(value: &Bound<'_, PyAny>) -> PyResult<Priorities> {
    let each = |(file, priority): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        Ok((given(&file)?, priority_of(&given::<String>(&priority)?)?))
    };
    value.cast::<PyDict>()?.iter().map(each).collect()
}

/// Of each file, or `None` if it isn't wanted.
pub(crate) fn tell<'py>(py: Python<'py>, priorities: &[Option<Priority>]) -> PyResult<Bound<'py, PyTuple>> {
    let name = |priority: &Option<Priority>| {
        priority.map(|priority| match priority {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        })
    };
    PyTuple::new(py, priorities.iter().map(name))
}

fn priority_of(name: &str) -> PyResult<Priority> {
    match name {
        "low" => Ok(Priority::Low),
        "normal" => Ok(Priority::Normal),
        "high" => Ok(Priority::High),
        _ => Err(PyValueError::new_err(format!("{name:?} is no priority; there are low, normal, high"))),
    }
}
