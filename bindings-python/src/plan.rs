//! Torrents in the making.

use crate::given::{Int, about, given};
use crate::making::checked_tiers;
use crate::values::{extent, make, tuple};
use crate::{errors, outcomes};
use millstream_core::create::{CreateFile, CreateOptions, Plan as CorePlan};
use millstream_core::wire::metainfo::Version;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A torrent in the making: it says what to digest, takes the digests in any order, and ends in a torrent file.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Plan(Mutex<Option<CorePlan>>);

#[pymethods]
impl Plan {
    /// A plan for these files, each its path and its length. Raises CreateError for what can't be a torrent.
    #[new]
    #[pyo3(signature = (name, files: "Sequence[tuple[Sequence[str], int]]", **options: "Unpack[PlanOptions]"))]
    fn new(
        py: Python<'_>,
        name: &str,
        files: Vec<(Vec<String>, Int<u64>)>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let file = |(path, Int(length))| CreateFile { path, length, ..CreateFile::default() };
        let mut wanted = CreateOptions::new(name, files.into_iter().map(file).collect());
        for (key, value) in options.into_iter().flatten() {
            let key: String = key.extract()?;
            match key.as_str() {
                "version" => wanted.version = version(py, &given::<String>(&value)?)?,
                "piece_length" => {
                    wanted.piece_length = given(&value).map_err(|error| about(&key, &value, error))?
                }
                "multi_file" => {
                    wanted.multi_file = given(&value).map_err(|error| about(&key, &value, error))?
                }
                "private" => wanted.private = given(&value).map_err(|error| about(&key, &value, error))?,
                "source" => wanted.source = given(&value).map_err(|error| about(&key, &value, error))?,
                "trackers" => {
                    wanted.trackers = checked_tiers(&value).map_err(|error| about(&key, &value, error))?
                }
                "web_seeds" => {
                    wanted.web_seeds = given(&value).map_err(|error| about(&key, &value, error))?
                }
                "comment" => wanted.comment = given(&value).map_err(|error| about(&key, &value, error))?,
                "creation_date" => {
                    wanted.creation_date = given(&value).map_err(|error| about(&key, &value, error))?
                }
                _ => return Err(PyTypeError::new_err(format!("there is no option {key:?} for a torrent"))),
            }
        }
        let plan = py.detach(|| CorePlan::new(wanted)).map_err(|error| errors::create(py, &error))?;
        Ok(Self(Mutex::new(Some(plan))))
    }

    /// The files in the torrent's order, each its path and its length.
    #[getter]
    // stub: tuple[tuple[tuple[str, ...], int], ...]
    fn files<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let files: Vec<(Vec<String>, u64)> = {
            let plan = self.lock(py);
            let plan = plan.as_ref().ok_or_else(|| finished(py))?;
            plan.files().map(|(path, length)| (path.to_vec(), length)).collect()
        };
        tuple(py, files, |py, (path, length)| {
            Ok((PyTuple::new(py, path)?, length).into_pyobject(py)?.into_any())
        })
    }

    /// The next piece to digest, or None.
    #[pyo3(signature = () -> "CreateJob | None")]
    fn next_job<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let job = self.lock(py).as_mut().ok_or_else(|| finished(py))?.next_job();
        let Some(job) = job else { return Ok(None) };
        let extents = tuple(py, job.extents, extent)?;
        make(py, "CreateJob", (job.piece, extents, job.pad, job.want.sha1, job.want.leaves)).map(Some)
    }

    /// The digests of a piece, in any order.
    #[pyo3(signature = (piece, digests: "Digests"))]
    fn on_digests(&self, piece: Int<u32>, digests: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = digests.py();
        let digests = outcomes::digests(digests)?;
        let taken = self.lock(py).as_mut().ok_or_else(|| finished(py))?.on_digests(piece.0, &digests);
        taken.map_err(|error| errors::create(py, &error))
    }

    /// The torrent file. The plan is used up.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let plan = self.lock(py).take().ok_or_else(|| finished(py))?;
        py.detach(|| plan.finish())
            .map(|file| PyBytes::new(py, &file))
            .map_err(|error| errors::create(py, &error))
    }
}

impl Plan {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Option<CorePlan>> {
        self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

fn finished(py: Python<'_>) -> PyErr {
    errors::create(py, &"the plan is finished")
}

fn version(py: Python<'_>, name: &str) -> PyResult<Version> {
    match name {
        "v1" => Ok(Version::V1),
        "v2" => Ok(Version::V2),
        "hybrid" => Ok(Version::Hybrid),
        _ => Err(errors::create(py, &format!("{name:?} is no version; there are v1, v2 and hybrid"))),
    }
}
