//! The tracker as a server on threads of its own, for Python. What it serves and remembers is the library's.

use crate::given::{about, given};
use crate::values::{address, take_addresses};
use crate::{errors, options};
use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use core::task::{Context, Poll};
use millstream::core::wire::InfoHash;
use millstream::tracker::{self, Rules, TrackerAddresses, TrackerServerConfig, read_list};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use std::thread::{self, Thread};

/// All that a server can be told.
const SETTINGS: [&str; 13] = [
    "udp",
    "http",
    "ws",
    "stats",
    "workers",
    "allow",
    "deny",
    "state",
    "interval",
    "min_interval",
    "max_torrents",
    "max_peers",
    "max_peers_per_source",
];

/// A tracker that runs. Its methods block, and let other threads run.
#[pyclass(frozen, module = "millstream._millstream")]
pub(crate) struct TrackerServer {
    server: Mutex<Option<tracker::TrackerServer>>,
    addresses: TrackerAddresses,
    warning: Option<String>,
}

#[pymethods]
impl TrackerServer {
    /// Binds the addresses and starts the threads. `allow` and `deny` are lists in text. Raises StartError.
    #[new]
    #[pyo3(signature = (**settings: "Unpack[TrackerServerSettings]"))]
    fn new(py: Python<'_>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut config = TrackerServerConfig {
            workers: thread::available_parallelism().map_or(1, usize::from),
            ..TrackerServerConfig::default()
        };
        let (mut allow, mut deny) = (None, None);
        for (name, value) in settings.into_iter().flatten() {
            let name: String = name.extract()?;
            match name.as_str() {
                "allow" => allow = given(&value)?,
                "deny" => deny = given(&value)?,
                _ => {
                    set(&mut config, &name, &value).map_err(|error| about(&name, &value, error))?;
                }
            }
        }
        config.rules = rules(allow, deny)?;
        let started = py.detach(|| tracker::TrackerServer::start(config));
        let server = started.map_err(|error| errors::raise(py, "StartError", (error.to_string(),)))?;
        let (addresses, warning) = (server.addresses().clone(), server.warning().map(str::to_owned));
        Ok(Self { server: Mutex::new(Some(server)), addresses, warning })
    }

    /// Where it is reached: by `udp`, `http`, `ws` and `stats`.
    #[pyo3(signature = () -> "dict[str, list[Address]]")]
    fn addresses(&self) -> BTreeMap<&'static str, Vec<(String, u16)>> {
        let all = |of: &[SocketAddr]| of.iter().copied().map(address).collect();
        let TrackerAddresses { udp, http, websocket, stats } = &self.addresses;
        BTreeMap::from([
            ("udp", all(udp)),
            ("http", all(http)),
            ("ws", all(websocket)),
            ("stats", all(stats)),
        ])
    }

    /// What is to be known of its start: a state that was damaged and is set aside.
    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Torrents and peers that it holds, and the announces that it answered.
    fn counts(&self, py: Python<'_>) -> PyResult<(usize, usize, u64)> {
        let sum = py.detach(|| self.lock().as_ref().map(|server| wait(server.statistics())));
        let sum = sum.ok_or_else(|| errors::session_closed(py))?;
        Ok((sum.torrents, sum.peers, sum.announces))
    }

    /// What it holds and has done, as the JSON that it serves.
    fn statistics_json(&self, py: Python<'_>) -> PyResult<String> {
        let json = py.detach(|| self.lock().as_ref().map(|server| wait(server.statistics_json())));
        json.ok_or_else(|| errors::session_closed(py))
    }

    /// Raises ValueError for a text that is no list of info-hashes.
    #[staticmethod]
    fn check_list(text: &str) -> PyResult<()> {
        read_list(text).map(drop).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Serves what these lists say from now on.
    fn set_rules(&self, py: Python<'_>, allow: Option<String>, deny: Option<String>) -> PyResult<()> {
        let rules = rules(allow, deny)?;
        let done = py.detach(|| self.lock().as_ref().map(|server| wait(server.set_rules(rules))));
        done.ok_or_else(|| errors::session_closed(py))
    }

    /// Stops in good order, and saves its state. Again, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let ended = py.detach(|| self.lock().take().map(|server| wait(server.shutdown())));
        ended.unwrap_or(Ok(())).map_err(|error| PyOSError::new_err(error.to_string()))
    }
}

impl TrackerServer {
    fn lock(&self) -> MutexGuard<'_, Option<tracker::TrackerServer>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(config: &mut TrackerServerConfig, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "udp" => config.udp = take_addresses(value)?,
        "http" => config.http = take_addresses(value)?,
        "ws" => config.websocket = take_addresses(value)?,
        "stats" => config.stats = take_addresses(value)?,
        "workers" => config.workers = given(value)?,
        "state" => config.state = given(value)?,
        "interval" => {
            let interval = given(value)?;
            let tracker = &mut config.tracker;
            tracker.interval_s = interval;
            tracker.min_interval_s = tracker.min_interval_s.min(interval);
            tracker.signal_interval_s = tracker.signal_interval_s.min(interval);
        }
        "min_interval" => config.tracker.min_interval_s = given(value)?,
        "max_torrents" => config.tracker.torrents_max = given(value)?,
        "max_peers" => config.tracker.peers_max = given(value)?,
        "max_peers_per_source" => config.tracker.peers_per_source_max = given(value)?,
        _ => return Err(options::unknown(value.py(), "setting", name, &SETTINGS)),
    }
    Ok(())
}

fn rules(allow: Option<String>, deny: Option<String>) -> PyResult<Rules> {
    let read = |text: String| -> PyResult<Vec<InfoHash>> {
        read_list(&text).map_err(|error| PyValueError::new_err(error.to_string()))
    };
    let deny = deny.map(read).transpose()?;
    Ok(Rules::new(allow.map(read).transpose()?, deny.unwrap_or_default()))
}

/// Waits on this thread for what other threads do.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}
