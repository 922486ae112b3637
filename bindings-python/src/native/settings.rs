//! Settings of a session by name: the driver's own here, the engine's where the engine's are.

use crate::given::{about, given};
use crate::options::{self, unknown};
use crate::values::take_addresses;
use core::net::Ipv4Addr;
use millstream::{EngineConfig, SessionConfig};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::path::PathBuf;

/// The session that these settings ask for.
pub(crate) fn config(settings: Option<&Bound<'_, PyDict>>) -> PyResult<SessionConfig> {
    let mut config = SessionConfig::default();
    for (name, value) in settings.into_iter().flatten() {
        let name: String = name.extract()?;
        set(&mut config, &name, &value).map_err(|error| about(&name, &value, error))?;
    }
    let has = |name| settings.map_or(Ok(false), |settings| settings.contains(name));
    // a port that is named is meant
    if has("listen")? && !has("listen_tries_max")? && config.listen.iter().any(|at| at.port() != 0) {
        config.listen_tries_max = 0;
    }
    Ok(config)
}

/// All that `set` knows beside the engine's.
const SETTINGS: [&str; 21] = [
    "listen",
    "listen_tries_max",
    "allocation",
    "state_folder",
    "keep_resume",
    "open_files_max",
    "pool_threads",
    "receive_bytes_max",
    "sendfile_locally",
    "torrent_file_bytes_max",
    "events_max",
    "fetch_timeout",
    "dht_bootstrap",
    "port_mapping",
    "proxy",
    "router",
    "bind",
    "ip_filter",
    "seed",
    "tracker_bytes_max",
    "newcomer_credit_bytes",
];

fn set(config: &mut SessionConfig, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "listen" => config.listen = take_addresses(value)?,
        "listen_tries_max" => config.listen_tries_max = given(value)?,
        "allocation" => config.allocation = options::allocation(&given::<String>(value)?)?,
        "state_folder" => config.state_folder = given(value)?,
        "keep_resume" => config.keep_resume = given(value)?,
        "open_files_max" => config.open_files_max = given(value)?,
        "pool_threads" => config.pool_threads = given(value)?,
        "receive_bytes_max" => config.receive_bytes_max = given(value)?,
        "sendfile_locally" => config.sendfile_locally = given(value)?,
        "torrent_file_bytes_max" => config.torrent_file_bytes_max = given(value)?,
        "events_max" => config.events_max = given(value)?,
        "fetch_timeout" => config.fetch_timeout = given(value)?,
        "dht_bootstrap" => config.dht_bootstrap = nodes(value)?,
        "proxy" => config.proxy = given(value)?,
        "router" => config.router = router(value)?,
        "bind" => config.bind = given(value)?,
        "ip_filter" => config.ip_filter = given::<Option<PathBuf>>(value)?,
        "seed" => config.seed = if value.is_none() { None } else { Some(seed(value)?) },
        _ => return set_engine(&mut config.engine, name, value),
    }
    Ok(())
}

/// What the engine without a driver has no use for, and the rest of what it has.
fn set_engine(config: &mut EngineConfig, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "port_mapping" => config.port_mapping = given(value)?,
        "tracker_bytes_max" => config.tracker_bytes_max = given(value)?,
        "newcomer_credit_bytes" => config.newcomer_credit_bytes = given(value)?,
        _ if options::SETTINGS.contains(&name) => return options::set(config, name, value),
        _ => {
            let all: Vec<&str> = SETTINGS.iter().chain(&options::SETTINGS).copied().collect();
            return Err(unknown(value.py(), "setting", name, &all));
        }
    }
    Ok(())
}

/// Nodes as `host:port`, or as pairs.
fn nodes(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if value.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("several nodes are wanted, not a text"));
    }
    let each = |item: PyResult<Bound<'_, PyAny>>| {
        let item = item?;
        let text = match item.extract::<(String, u16)>() {
            Ok((host, port)) if host.contains(':') => format!("[{host}]:{port}"),
            Ok((host, port)) => format!("{host}:{port}"),
            Err(_) => item.extract::<String>()?,
        };
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                Ok(text)
            }
            _ => Err(PyValueError::new_err(format!("{text:?} is no node: host:port is"))),
        }
    };
    value.try_iter()?.map(each).collect()
}

fn router(value: &Bound<'_, PyAny>) -> PyResult<Option<Ipv4Addr>> {
    let Some(text) = given::<Option<String>>(value)? else { return Ok(None) };
    let wrong = |_| PyValueError::new_err(format!("{text:?} is no IPv4 address"));
    text.parse().map(Some).map_err(wrong)
}

fn seed(value: &Bound<'_, PyAny>) -> PyResult<[u8; 32]> {
    let bytes = crate::bytes::take(value)?;
    let len = bytes.len();
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("a seed of {len} bytes: 32 are needed")))
}
