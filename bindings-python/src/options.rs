//! Settings and options given by name. An unknown name is a mistake, and the answer says which name may be meant.

use crate::given::{Given, about, given};
use crate::magnet::Magnet;
use crate::making::tiers;
use crate::metainfo::Metainfo;
use crate::values::take_peers;
use crate::{bytes, errors, priorities};
use millstream_core::engine::{
    AddTorrent, Allocation, Config, Encryption, Rates, SeedPolicy, Selection, Source, UtpUse,
};
use millstream_core::wire::PeerId;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};
use std::sync::Arc;

/// Settings of an engine by name.
pub(crate) fn config(settings: Option<&Bound<'_, PyDict>>) -> PyResult<Config> {
    // These drivers know no way to speak to a router.
    let mut config = Config { port_mapping: false, ..Config::default() };
    for (name, value) in settings.into_iter().flatten() {
        let name: String = name.extract()?;
        set(&mut config, &name, &value).map_err(|error| about(&name, &value, error))?;
    }
    Ok(config)
}

/// All that `set` knows.
pub(crate) const SETTINGS: [&str; 33] = [
    "peer_id",
    "client",
    "torrents_max",
    "links_max",
    "tracker_sockets_max",
    "torrent_links_max",
    "half_open_max",
    "handshakes_max",
    "handshake_timeout",
    "connect_timeout",
    "store_bytes_max",
    "upload_ahead_bytes_max",
    "requests_outstanding_max",
    "credit_bytes",
    "upload_slots",
    "seed_policy",
    "download_rate",
    "upload_rate",
    "check_jobs_max",
    "save_interval",
    "events_max",
    "numwant",
    "announce_port",
    "metadata_bytes_max",
    "encryption",
    "key_exchanges_max",
    "dht",
    "lsd",
    "pex",
    "holepunch",
    "web_seeds",
    "utp",
    "updates",
];

/// Changes one of `SETTINGS`.
pub(crate) fn set(config: &mut Config, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "peer_id" => config.peer_id = Some(PeerId(crate::outcomes::digest(value)?)),
        "client" => config.client = given(value)?,
        "torrents_max" => config.torrents_max = given(value)?,
        "links_max" => config.links_max = given(value)?,
        "tracker_sockets_max" => config.tracker_sockets_max = given(value)?,
        "torrent_links_max" => config.torrent_links_max = given(value)?,
        "half_open_max" => config.half_open_max = given(value)?,
        "handshakes_max" => config.handshakes_max = given(value)?,
        "handshake_timeout" => config.handshake_timeout = given(value)?,
        "connect_timeout" => config.connect_timeout = given(value)?,
        "store_bytes_max" => config.store_bytes_max = given(value)?,
        "upload_ahead_bytes_max" => config.upload_ahead_bytes_max = given(value)?,
        "requests_outstanding_max" => config.requests_outstanding_max = given(value)?,
        "credit_bytes" => config.credit_bytes = given(value)?,
        "upload_slots" => config.upload_slots = given(value)?,
        "seed_policy" => config.seed_policy = seed_policy(&given::<String>(value)?)?,
        "download_rate" => config.rates.download = given(value)?,
        "upload_rate" => config.rates.upload = given(value)?,
        "check_jobs_max" => config.check_jobs_max = given(value)?,
        "save_interval" => config.save_interval = given(value)?,
        "events_max" => config.events_max = given(value)?,
        "numwant" => config.numwant = given(value)?,
        "announce_port" => config.announce_port = given(value)?,
        "metadata_bytes_max" => config.metadata_bytes_max = given(value)?,
        "encryption" => config.encryption = encryption(&given::<String>(value)?)?,
        "key_exchanges_max" => config.key_exchanges_max = given(value)?,
        "dht" => config.dht = given(value)?,
        "lsd" => config.lsd = given(value)?,
        "pex" => config.pex = given(value)?,
        "holepunch" => config.holepunch = given(value)?,
        "web_seeds" => config.web_seeds = given(value)?,
        "utp" => config.utp = utp(value)?,
        "updates" => config.updates = given(value)?,
        _ => return Err(unknown(value.py(), "setting", name, &SETTINGS)),
    }
    Ok(())
}

/// A seed from 32 bytes, or from a number below 2^256 (little-endian).
pub(crate) fn seed(seed: &Bound<'_, PyAny>) -> PyResult<[u8; 32]> {
    let given = if seed.is_instance_of::<PyInt>() {
        let made = seed.call_method1("to_bytes", (32, "little"));
        bytes::take(&made.map_err(|_| PyValueError::new_err("a seed is a number from 0 to below 2^256"))?)?
    } else {
        bytes::take(seed).map_err(|_| PyTypeError::new_err("a seed is 32 bytes or a number"))?
    };
    let len = given.len();
    given.try_into().map_err(|_| PyValueError::new_err(format!("a seed of {len} bytes: 32 are needed")))
}

/// An allocation by its name.
pub(crate) fn allocation(name: &str) -> PyResult<Allocation> {
    match name {
        "sparse" => Ok(Allocation::Sparse),
        "full" => Ok(Allocation::Full),
        "none" => Ok(Allocation::None),
        _ => Err(PyValueError::new_err(format!("{name:?} is no allocation; there are sparse, full, none"))),
    }
}

fn encryption(name: &str) -> PyResult<Encryption> {
    match name {
        "off" => Ok(Encryption::Off),
        "prefer" => Ok(Encryption::Prefer),
        "require" => Ok(Encryption::Require),
        _ => Err(PyValueError::new_err(format!("{name:?} is no encryption; there are off, prefer, require"))),
    }
}

fn utp(value: &Bound<'_, PyAny>) -> PyResult<UtpUse> {
    if let Ok(on) = value.extract::<bool>() {
        return Ok(if on { UtpUse::On } else { UtpUse::Off });
    }
    match given::<String>(value)?.as_str() {
        "on" => Ok(UtpUse::On),
        "off" => Ok(UtpUse::Off),
        "only" => Ok(UtpUse::Only),
        other => Err(PyValueError::new_err(format!("{other:?} is no use of uTP; there are on, off, only"))),
    }
}

fn seed_policy(name: &str) -> PyResult<SeedPolicy> {
    match name {
        "round_robin" => Ok(SeedPolicy::RoundRobin),
        "fastest_upload" => Ok(SeedPolicy::FastestUpload),
        "anti_leech" => Ok(SeedPolicy::AntiLeech),
        "spreading" => Ok(SeedPolicy::Spreading),
        _ => {
            let all = ["round_robin", "fastest_upload", "anti_leech", "spreading"];
            Err(PyValueError::new_err(format!("{name:?} is no seed policy; there are {}", all.join(", "))))
        }
    }
}

/// A torrent to take on, from its source, its folder and what else is given by name.
pub(crate) fn add(
    source: &Bound<'_, PyAny>,
    folder: String,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<AddTorrent> {
    add_from(self::source(source)?, folder, options)
}

/// As `add`, from a source that is read.
pub(crate) fn add_from(
    source: Source,
    folder: String,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<AddTorrent> {
    let mut add = AddTorrent::new(source, folder);
    for (name, value) in options.into_iter().flatten() {
        let name: String = name.extract()?;
        set_option(&mut add, &name, &value).map_err(|error| about(&name, &value, error))?;
    }
    Ok(add)
}

/// All that `set_option` knows.
const OPTIONS: [&str; 12] = [
    "peers",
    "trackers",
    "only_peers",
    "paused",
    "sequential",
    "resume",
    "files",
    "priorities",
    "super_seed",
    "allocation",
    "download_rate",
    "upload_rate",
];

fn set_option(add: &mut AddTorrent, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "peers" => add.peers = take_peers(value)?,
        "trackers" => add.trackers = if value.is_none() { None } else { Some(tiers(value)?) },
        "only_peers" => add.only_peers = given(value)?,
        "paused" => add.paused = given(value)?,
        "sequential" => add.sequential = given(value)?,
        "resume" => add.resume = if value.is_none() { None } else { Some(bytes::take(value)?) },
        "files" => add.selection = given::<Option<Vec<FileNumber>>>(value)?.map(numbers),
        "priorities" => add.priorities = if value.is_none() { None } else { Some(priorities::take(value)?) },
        "super_seed" => add.super_seed = given(value)?,
        "allocation" => add.allocation = allocation(&given::<String>(value)?)?,
        "download_rate" => add.rates = Rates { download: given(value)?, ..add.rates },
        "upload_rate" => add.rates = Rates { upload: given(value)?, ..add.rates },
        _ => return Err(unknown(value.py(), "option", name, &OPTIONS)),
    }
    Ok(())
}

/// The number of a file among a torrent's real ones.
struct FileNumber(u32);

impl Given for FileNumber {
    fn take(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        u32::take(value).map(Self).map_err(|error| match error.is_instance_of::<PyTypeError>(value.py()) {
            true => PyTypeError::new_err(format!("{value:?} is no number of a file")),
            false => error,
        })
    }
}

fn numbers(files: Vec<FileNumber>) -> Selection {
    Selection::Files(files.into_iter().map(|file| file.0).collect())
}

/// A torrent file, or a magnet link, read already or not.
pub(crate) fn source(object: &Bound<'_, PyAny>) -> PyResult<Source> {
    if let Ok(metainfo) = object.cast::<Metainfo>() {
        return Ok(Source::Metainfo(Arc::clone(&metainfo.get().0)));
    }
    if let Ok(magnet) = object.cast::<Magnet>() {
        return Ok(Source::Magnet(Arc::clone(&magnet.get().0)));
    }
    let py = object.py();
    if let Ok(link) = object.cast::<PyString>() {
        let link = link.to_cow()?;
        let magnet = millstream_core::wire::magnet::Magnet::parse(&link);
        return Ok(Source::Magnet(Arc::new(magnet.map_err(|error| errors::magnet(py, &error))?)));
    }
    let bytes = bytes::take(object)?;
    let parsed = py.detach(|| millstream_core::wire::metainfo::Metainfo::parse(&bytes));
    Ok(Source::Metainfo(Arc::new(parsed.map_err(|error| errors::metainfo(py, &error))?)))
}

/// A name that isn't known: which may be meant, or which there are.
pub(crate) fn unknown(py: Python<'_>, kind: &str, name: &str, known: &[&str]) -> PyErr {
    let alike = || {
        let matches = py.import("difflib")?.call_method1("get_close_matches", (name, known.to_vec()))?;
        matches.extract::<Vec<String>>()
    };
    let message = match alike() {
        Ok(alike) if alike.is_empty() => {
            format!("there is no {kind} {name:?}; there is {}", known.join(", "))
        }
        Ok(alike) => format!("there is no {kind} {name:?}; did you mean {}?", alike.join(" or ")),
        Err(error) => return error,
    };
    PyTypeError::new_err(message)
}
