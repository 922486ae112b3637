//! Answers to jobs on the way in: each is held against what was asked, so that a driver's mistake shows at once.

use crate::bytes::take;
use crate::errors;
use crate::values::{class, take_addresses};
use millstream_core::base::{BLOCK, Chunk, Digests, Part, Want};
use millstream_core::engine::{FileNow, FilesOp, HostError, HostErrorKind, Outcome, Work};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// What the driver owes for a job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owed {
    /// So many files, if it matters.
    Files(Option<usize>),
    /// So many bytes.
    Bytes(u64),
    Written,
    /// Digests of so many bytes; of stored ones they may be absent.
    Digests {
        want: Want,
        bytes: u64,
        stored: bool,
    },
    Saved,
    Http {
        bytes_max: usize,
    },
    Resolved,
}

impl Owed {
    /// What is owed for this work.
    pub(crate) fn of(work: &Work) -> Self {
        let length = |parts: &[Part]| parts.iter().map(|part| u64::from(part.len())).sum();
        match work {
            Work::Files { op: FilesOp::Open { files, .. }, .. } => Self::Files(Some(files.len())),
            Work::Files { op: FilesOp::Sync | FilesOp::Close, .. } => Self::Files(None),
            Work::Read { parts, .. } => Self::Bytes(length(parts)),
            Work::Write { .. } => Self::Written,
            Work::Hash { data, want, .. } => {
                let bytes = data.iter().map(|chunk| chunk.len() as u64).sum();
                Self::Digests { want: *want, bytes, stored: false }
            }
            Work::HashStored { parts, want, .. } => {
                Self::Digests { want: *want, bytes: length(parts), stored: true }
            }
            Work::Save { .. } => Self::Saved,
            Work::Http { bytes_max, .. } => Self::Http { bytes_max: *bytes_max },
            Work::Resolve { .. } => Self::Resolved,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Files(_) => "Files",
            Self::Bytes(_) => "BytesRead",
            Self::Written => "Written",
            Self::Digests { .. } => "Digests",
            Self::Saved => "Saved",
            Self::Http { .. } => "HttpAnswer",
            Self::Resolved => "Resolved",
        }
    }

    /// Reads the driver's answer.
    pub(crate) fn settle(self, answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
        let py = answer.py();
        let is = |name: &str| answer.is_instance(&class(py, name)?);
        if is("Failed")? {
            return failed(answer);
        }
        if is("Cancelled")? {
            return Ok(Outcome::Cancelled);
        }
        if matches!(self, Self::Digests { stored: true, .. }) && is("Absent")? {
            return Ok(Outcome::Absent);
        }
        if !is(self.class())? {
            let given = answer.get_type().name()?;
            let message = format!("the job is answered by {}, not by {given}", self.class());
            return Err(errors::driver(py, message));
        }
        match self {
            Self::Files(expected) => files(answer, expected),
            Self::Bytes(expected) => bytes(answer, expected),
            Self::Written => Ok(Outcome::Written),
            Self::Digests { want, bytes, .. } => digests(answer, want, bytes),
            Self::Saved => Ok(Outcome::Saved),
            Self::Http { bytes_max } => http(answer, bytes_max),
            Self::Resolved => resolved(answer),
        }
    }
}

fn failed(answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let kind: String = answer.getattr("kind")?.extract()?;
    let kind = match kind.as_str() {
        "full" => HostErrorKind::Full,
        "permission" => HostErrorKind::Permission,
        "not_found" => HostErrorKind::NotFound,
        "timed_out" => HostErrorKind::TimedOut,
        "other" => HostErrorKind::Other,
        _ => return Err(PyValueError::new_err(format!("{kind:?} is no kind of failure"))),
    };
    Ok(Outcome::Failed(HostError { kind, message: answer.getattr("message")?.extract()? }))
}

fn files(answer: &Bound<'_, PyAny>, expected: Option<usize>) -> PyResult<Outcome> {
    let mut files = Vec::new();
    for file in answer.getattr("files")?.try_iter()? {
        let file = file?;
        let length = file.getattr("length")?.extract()?;
        files.push(FileNow { length, modified_ns: file.getattr("modified_ns")?.extract()? });
    }
    match expected {
        Some(count) if count != files.len() => {
            Err(errors::driver(answer.py(), format!("{} files were told of {count}", files.len())))
        }
        Some(_) | None => Ok(Outcome::Files(files)),
    }
}

fn bytes(answer: &Bound<'_, PyAny>, expected: u64) -> PyResult<Outcome> {
    let data = answer.getattr("data")?;
    let chunks = if data.is_instance_of::<PyList>() || data.is_instance_of::<PyTuple>() {
        data.try_iter()?.map(|item| take(&item?).map(Chunk::from)).collect::<PyResult<Vec<_>>>()?
    } else {
        vec![Chunk::from(take(&data)?)]
    };
    let given: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    if given != expected {
        return Err(errors::driver(answer.py(), format!("{given} bytes were read of {expected}")));
    }
    Ok(Outcome::Bytes(chunks))
}

fn digests(answer: &Bound<'_, PyAny>, want: Want, bytes: u64) -> PyResult<Outcome> {
    let py = answer.py();
    let sha1 = answer.getattr("sha1")?;
    let sha1 = if sha1.is_none() { None } else { Some(digest::<20>(&sha1)?) };
    let leaves = answer.getattr("leaves")?;
    let leaves = leaves.try_iter()?.map(|leaf| digest::<32>(&leaf?)).collect::<PyResult<Vec<_>>>()?;
    let blocks = if want.leaves { bytes.div_ceil(u64::from(BLOCK)) } else { 0 };
    if sha1.is_some() != want.sha1 || leaves.len() as u64 != blocks {
        let wanted = if want.sha1 { "a SHA-1" } else { "no SHA-1" };
        return Err(errors::driver(py, format!("wanted were {wanted} and {blocks} leaves")));
    }
    Ok(Outcome::Digests(Digests { sha1, leaves }))
}

/// A digest of `N` bytes.
pub(crate) fn digest<const N: usize>(object: &Bound<'_, PyAny>) -> PyResult<[u8; N]> {
    let bytes = take(object)?;
    let len = bytes.len();
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{len} bytes are no digest of {N}")))
}

fn http(answer: &Bound<'_, PyAny>, bytes_max: usize) -> PyResult<Outcome> {
    let body = take(&answer.getattr("body")?)?;
    if body.len() > bytes_max {
        let message = format!("a body of {} bytes is longer than {bytes_max}: answer Failed", body.len());
        return Err(errors::driver(answer.py(), message));
    }
    Ok(Outcome::Http { status: answer.getattr("status")?.extract()?, body: Chunk::from(body) })
}

fn resolved(answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let addrs = take_addresses(&answer.getattr("addresses")?)?;
    if addrs.is_empty() {
        return Err(errors::driver(answer.py(), "no address is a Failed, of the kind not_found".to_owned()));
    }
    Ok(Outcome::Resolved(addrs))
}
