//! Answers to jobs on the way in: values of `millstream._values` become outcomes, held against what is owed.

use crate::bytes::take;
use crate::errors;
use crate::given::field;
use crate::values::{class, make, take_addresses};
use millstream_core::base::{Chunk, Digests};
use millstream_core::engine::{FileNow, HostError, HostErrorKind, Outcome, Owed, OwedError};
use millstream_core::mse;
use millstream_core::wire::mse::{Exchanged, KEY_BYTES, KeyExchange, PrivateKey, PublicKey, SharedSecret};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

/// Reads the driver's answer to a job of which this is owed.
pub(crate) fn settle(owed: Owed, answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let py = answer.py();
    let outcome = outcome(answer)?;
    owed.check(&outcome).map_err(|error| match error {
        OwedError::Kind { owed, given } => {
            let message = format!("the job is answered by {}, not by {}", ours(owed), ours(given));
            errors::driver(py, message)
        }
        OwedError::Bytes { .. }
        | OwedError::Files { .. }
        | OwedError::Digests { .. }
        | OwedError::Body { .. }
        | OwedError::Keys { .. }
        | OwedError::NoAddress => errors::driver(py, error.to_string()),
    })?;
    Ok(outcome)
}

/// The class of an outcome, where it has another name here.
fn ours(name: &'static str) -> &'static str {
    match name {
        "Bytes" => "BytesRead",
        "Http" => "HttpAnswer",
        _ => name,
    }
}

fn outcome(answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let kind = answer.get_type();
    let name = kind.name()?;
    let name = name.to_cow()?;
    let known = class(answer.py(), &name).is_ok_and(|class| class.is(&kind));
    match name.as_ref() {
        "BytesRead" if known => bytes(answer),
        "Written" if known => Ok(Outcome::Written),
        "Digests" if known => digests(answer).map(Outcome::Digests),
        "Absent" if known => Ok(Outcome::Absent),
        "Files" if known => files(answer),
        "Saved" if known => Ok(Outcome::Saved),
        "HttpAnswer" if known => {
            let body = Chunk::from(take(&answer.getattr("body")?)?);
            Ok(Outcome::Http { status: field(answer, "status")?, body })
        }
        "Exchanged" if known => exchanged(answer),
        "Resolved" if known => Ok(Outcome::Resolved(take_addresses(&answer.getattr("addresses")?)?)),
        "Failed" if known => failed(answer),
        "Cancelled" if known => Ok(Outcome::Cancelled),
        _ => Err(errors::driver(answer.py(), format!("a job is answered by an outcome, not by {name}"))),
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

fn files(answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let mut files = Vec::new();
    for file in answer.getattr("files")?.try_iter()? {
        let file = file?;
        let length = field(&file, "length")?;
        files.push(FileNow { length, modified_ns: field(&file, "modified_ns")? });
    }
    Ok(Outcome::Files(files))
}

/// The answer to an `Exchange` job, computed here and now; other threads go on meanwhile.
#[pyfunction]
#[pyo3(signature = (job: "Exchange") -> "Exchanged")]
pub(crate) fn exchange<'py>(job: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = job.py();
    if !job.is_instance(&class(py, "Exchange")?)? {
        return Err(PyTypeError::new_err("keys are exchanged as an `Exchange` says"));
    }
    let theirs = job.getattr("theirs")?;
    let job = KeyExchange {
        private: PrivateKey(digest(&job.getattr("private")?)?),
        public: job.getattr("public")?.extract()?,
        theirs: if theirs.is_none() { None } else { Some(PublicKey(digest(&theirs)?)) },
    };
    let keys = py.detach(|| mse::exchange(&job));
    let public = keys.public.map(|key| PyBytes::new(py, &key.0));
    let secret = keys.secret.map(|key| PyBytes::new(py, &key.0));
    make(py, "Exchanged", (public, secret))
}

fn exchanged(answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let key = |name| -> PyResult<Option<[u8; KEY_BYTES]>> {
        let key = answer.getattr(name)?;
        if key.is_none() { Ok(None) } else { digest(&key).map(Some) }
    };
    let exchanged =
        Exchanged { public: key("public")?.map(PublicKey), secret: key("secret")?.map(SharedSecret) };
    Ok(Outcome::Exchanged(Box::new(exchanged)))
}

fn bytes(answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let data = answer.getattr("data")?;
    if data.is_instance_of::<PyList>() || data.is_instance_of::<PyTuple>() {
        let chunks = data.try_iter()?.map(|item| take(&item?).map(Chunk::from));
        return Ok(Outcome::Bytes(chunks.collect::<PyResult<_>>()?));
    }
    Ok(Outcome::Bytes(vec![Chunk::from(take(&data)?)]))
}

/// The digests of a piece.
pub(crate) fn digests(answer: &Bound<'_, PyAny>) -> PyResult<Digests> {
    let sha1 = answer.getattr("sha1")?;
    let sha1 = if sha1.is_none() { None } else { Some(digest(&sha1)?) };
    let leaves = answer.getattr("leaves")?.try_iter()?.map(|leaf| digest(&leaf?)).collect::<PyResult<_>>()?;
    Ok(Digests { sha1, leaves })
}

/// A digest of `N` bytes.
pub(crate) fn digest<const N: usize>(object: &Bound<'_, PyAny>) -> PyResult<[u8; N]> {
    let bytes = take(object)?;
    let len = bytes.len();
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{len} bytes are no digest of {N}")))
}
