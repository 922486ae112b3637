//! Making torrents and checking files, on all cores and without the interpreter's lock. What a torrent looks like is
//! the library's.

use crate::given::{Int, about, given};
use crate::metainfo::Metainfo;
use crate::{bytes, errors, options};
use core::ops::ControlFlow;
use core::time::Duration;
use millstream::core::create::OptionsError;
use millstream::core::wire::metainfo::Version;
use millstream::{
    CreateTorrent, CreateTorrentError, Damage, DamagedFile, SignError, Signer as Signs, VerifyFilesError,
    certificate_der, verify_files,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::io;
use std::path::PathBuf;
use std::time::Instant;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// All that `create_torrent` knows.
const OPTIONS: [&str; 13] = [
    "version",
    "piece_length",
    "trackers",
    "web_seeds",
    "private",
    "source",
    "comment",
    "creation_date",
    "similar",
    "collections",
    "update_url",
    "originator",
    "threads",
];

/// Offset and length.
type Range = (u64, u64);

/// A file that isn't known to be whole: its number, path and length, as stored, bytes in bad pieces, what the matter is.
type DamagedRow = (u32, String, u64, Option<u64>, u64, &'static str);

/// What `verify` gives, in its order.
type Found = (u64, u64, u32, u32, Vec<Range>, Vec<DamagedRow>);

/// Makes a torrent file of a file or a folder. Blocks, and lets other threads run. `progress` is called now and then
/// with bytes done and bytes in all; what it raises ends the work. Raises CreateError.
#[pyfunction]
#[pyo3(signature = (path: "str", progress: "Callable[[int, int], object] | None" = None,
    **options: "Unpack[CreateOptions]"))]
pub(crate) fn create_torrent<'py>(
    py: Python<'py>,
    path: PathBuf,
    progress: Option<Py<PyAny>>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut wanted = CreateTorrent::new(path);
    for (name, value) in options.into_iter().flatten() {
        let name: String = name.extract()?;
        set(&mut wanted, &name, &value).map_err(|error| about(&name, &value, error))?;
    }
    let mut teller = Teller::new(progress);
    let made = py.detach(|| wanted.create(|done, all| teller.tell(done, all)));
    teller.end()?;
    made.map(|torrent| PyBytes::new(py, &torrent)).map_err(|error| create_error(py, &error))
}

/// Checks what a folder holds of a torrent. Blocks, and lets other threads run. Gives the bytes of all real files, those
/// in good pieces, how many pieces there are and are good, what is missing, and of which files.
#[pyfunction]
#[pyo3(signature = (torrent, folder: "str", progress: "Callable[[int, int], object] | None" = None, threads = Int(0))
    -> "tuple[int, int, int, int, list[tuple[int, int]], list[tuple[int, str, int, int | None, int, Damage]]]",
    text_signature = "(torrent, folder, progress=None, threads=0)")]
pub(crate) fn verify(
    py: Python<'_>,
    torrent: &Metainfo,
    folder: PathBuf,
    progress: Option<Py<PyAny>>,
    threads: Int<usize>,
) -> PyResult<Found> {
    let mut teller = Teller::new(progress);
    let looked =
        py.detach(|| verify_files(&torrent.0.info, &folder, threads.0, |done, all| teller.tell(done, all)));
    teller.end()?;
    let found = looked.map_err(|error| match error {
        VerifyFilesError::Folder { error: ref why, .. } | VerifyFilesError::Read { error: ref why, .. } => {
            io::Error::new(why.kind(), error.to_string()).into()
        }
        VerifyFilesError::Thread(error) => error.into(),
        VerifyFilesError::NoLayer(_) | VerifyFilesError::Stopped => errors::metainfo(py, &error),
    })?;
    let missing = found.missing.iter().map(|range| (range.offset, range.length)).collect();
    let files = found.files.into_iter().map(row).collect();
    Ok((found.length, found.verified, found.pieces, found.pieces_verified, missing, files))
}

fn row(file: DamagedFile) -> DamagedRow {
    let damage = match file.damage {
        Damage::Missing => "missing",
        Damage::Short => "short",
        Damage::Wrong => "wrong",
        Damage::Unsure => "unsure",
    };
    (file.index, file.path, file.length, file.stored, file.missing, damage)
}

fn set(wanted: &mut CreateTorrent, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "version" => {
            wanted.version = match given::<String>(value)?.as_str() {
                "v1" => Version::V1,
                "v2" => Version::V2,
                "hybrid" => Version::Hybrid,
                other => {
                    let words = format!("{other:?} is no version; there are v1, v2 and hybrid");
                    return Err(errors::create(value.py(), &words));
                }
            }
        }
        "piece_length" => wanted.piece_length = given(value)?,
        "trackers" => wanted.trackers = checked_tiers(value)?,
        "web_seeds" => wanted.web_seeds = given(value)?,
        "private" => wanted.private = given(value)?,
        "source" => wanted.source = given(value)?,
        "comment" => wanted.comment = given(value)?,
        "creation_date" => wanted.creation_date = given(value)?,
        "similar" => {
            let each = |hash: PyResult<Bound<'_, PyAny>>| crate::outcomes::digest(&hash?);
            wanted.similar = value.try_iter()?.map(each).collect::<PyResult<_>>()?;
        }
        "collections" => wanted.collections = given(value)?,
        "update_url" => wanted.update_url = given(value)?,
        "originator" => {
            let wrong = || errors::create_with(value.py(), &SignError::Certificate, "originator");
            let given = (!value.is_none()).then(|| bytes::take(value)).transpose()?;
            wanted.originator = given.map(|given| certificate_der(&given).ok_or_else(wrong)).transpose()?;
        }
        "threads" => wanted.threads = given(value)?,
        _ => return Err(options::unknown(value.py(), "option", name, &OPTIONS)),
    }
    Ok(())
}

/// Tiers of trackers (BEP 12) for a torrent that is made.
pub(crate) fn checked_tiers(value: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<String>>> {
    let tiers = tiers(value)?;
    if let Some(wrong) = tiers.iter().flatten().find(|text| !is_url(text)) {
        let words = format!("{wrong:?} is no URL of a tracker, such as http://host/announce");
        return Err(errors::create_with(value.py(), &words, "trackers"));
    }
    Ok(tiers)
}

/// Tiers of trackers (BEP 12): each a list, or one text alone.
pub(crate) fn tiers(value: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<String>>> {
    if value.is_instance_of::<PyString>() {
        let words = "trackers: a list of tiers is wanted, each a list of URLs or one URL, not a text";
        return Err(PyTypeError::new_err(words));
    }
    let each = |tier: PyResult<Bound<'_, PyAny>>| {
        let tier = tier?;
        if tier.is_instance_of::<PyString>() { Ok(vec![given(&tier)?]) } else { given(&tier) }
    };
    value.try_iter()?.map(each).collect()
}

/// Whether this has a scheme and a host.
fn is_url(text: &str) -> bool {
    let whole = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) && !rest.is_empty()
    });
    whole && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn create_error(py: Python<'_>, error: &CreateTorrentError) -> PyErr {
    if let CreateTorrentError::Options(OptionsError::PieceLength(_)) = error {
        return errors::create_with(py, error, "piece_length");
    }
    errors::create(py, error)
}

/// Who signs torrents (BEP 35): an RSA key, and the X.509 certificate that goes with it.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Signer(Signs);

#[pymethods]
impl Signer {
    /// Takes the contents of a key's file, in PEM or DER without a password, and of its certificate's. Raises CreateError.
    #[new]
    #[pyo3(signature = (key: "BytesLike", certificate: "BytesLike"))]
    fn new(key: &Bound<'_, PyAny>, certificate: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (key_bytes, certificate_bytes) = (bytes::take(key)?, bytes::take(certificate)?);
        let option = |error: &SignError| match error {
            SignError::Certificate => "sign_certificate",
            SignError::Key | SignError::Pair | SignError::Torrent(_) | SignError::Sign(_) => "sign_key",
        };
        let signer = Signs::new(&key_bytes, &certificate_bytes);
        signer.map(Self).map_err(|error| errors::create_with(key.py(), &error, option(&error)))
    }

    /// The torrent file with the signature, which holds the certificate; one that it had of this signer is replaced. Raises
    /// MetainfoError for what is no torrent.
    #[pyo3(signature = (torrent: "BytesLike"))]
    fn sign<'py>(&self, torrent: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let (py, torrent) = (torrent.py(), bytes::take(torrent)?);
        let signed = py.detach(|| self.0.sign(&torrent)).map_err(|error| match error {
            SignError::Torrent(error) => errors::metainfo(py, &error),
            SignError::Key | SignError::Certificate | SignError::Pair | SignError::Sign(_) => {
                errors::create(py, &error)
            }
        })?;
        Ok(PyBytes::new(py, &signed))
    }

    fn __repr__(&self) -> &'static str {
        "<Signer>"
    }
}

/// Tells Python how far it is, now and then, and lets it end the work: by an exception of who is told, or of a key that
/// interrupts.
struct Teller {
    to: Option<Py<PyAny>>,
    told: Option<Instant>,
    raised: Option<PyErr>,
}

impl Teller {
    fn new(to: Option<Py<PyAny>>) -> Self {
        Self { to, told: None, raised: None }
    }

    fn tell(&mut self, done: u64, all: u64) -> ControlFlow<()> {
        if done < all && self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return ControlFlow::Continue(());
        }
        self.told = Some(Instant::now());
        let heard = Python::attach(|py| {
            py.check_signals()?;
            self.to.as_ref().map_or(Ok(()), |to| to.call1(py, (done, all)).map(drop))
        });
        match heard {
            Ok(()) => ControlFlow::Continue(()),
            Err(raised) => {
                self.raised = Some(raised);
                ControlFlow::Break(())
            }
        }
    }

    fn end(self) -> PyResult<()> {
        self.raised.map_or(Ok(()), Err)
    }
}
