//! A tracker for Python: datagrams, HTTP requests and messages of WebSockets in, answers out. What they mean is core's.

mod sockets;

use crate::bytes::take;
use crate::errors;
use crate::given::{Int, about, given};
use crate::peer::info_hash;
use crate::room::{Room, fields, seed};
use crate::values::{moment, seconds, take_address};
use core::time::Duration;
use millstream_core::base::Instant;
use millstream_core::tracker::state::{SavedState, StateWriter};
use millstream_core::tracker::{
    self, ConnectionIds, Fault, Protocol, ProtocolStatistics, Rules, TrackerConfig, http, udp,
};
use millstream_core::wire::InfoHash;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use sockets::Sockets;
use std::sync::Arc;

/// A tracker: no socket, thread or clock. Moments are seconds since whenever you like, and never go back.
#[pyclass(frozen, module = "millstream.sansio")]
pub(crate) struct Tracker(Room<Machine>);

struct Machine {
    tracker: tracker::Tracker,
    ids: ConnectionIds,
    sockets: Sockets,
}

#[pymethods]
impl Tracker {
    /// A tracker that knows nobody. `seed` is all its chance, as secret as a key: 32 bytes, or a number below 2^256.
    #[new]
    #[pyo3(signature = (seed: "BytesLike | int", *, now = 0.0, **settings: "Unpack[TrackerSettings]"))]
    fn new(seed: &Bound<'_, PyAny>, now: f64, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let py = seed.py();
        let (mut config, mut sockets) = (TrackerConfig::default(), Sockets::default());
        for (name, value) in settings.into_iter().flatten() {
            let name: String = name.extract()?;
            let done = match name.as_str() {
                "sockets_max" => given(&value).map(|max| sockets.sockets_max = max),
                "torrents_per_socket_max" => given(&value).map(|max| sockets.torrents_per_socket_max = max),
                _ => set(&mut config, &name, &value),
            };
            done.map_err(|error| about(&name, &value, error))?;
        }
        let seed = self::seed(seed)?;
        let tracker = tracker::Tracker::new(config, seed);
        let machine = Machine { tracker, ids: ConnectionIds::new(seed), sockets };
        Ok(Self(Room::new(machine, moment(py, now)?)))
    }

    /// The answer to a datagram (BEP 15), or None: what can't be read is counted.
    #[pyo3(signature = (data: "BytesLike", addr: "Address", now))]
    fn receive_datagram<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        addr: &Bound<'py, PyAny>,
        now: f64,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let (py, from) = (data.py(), take_address(addr)?);
        let packet = take(data)?;
        let mut out = Vec::new();
        let answered = self.0.at(py, now, |machine, now| {
            udp::answer(now, &mut machine.tracker, &machine.ids, (&packet, from), &mut out)
        })?;
        Ok(answered.then(|| PyBytes::new(py, &out)))
    }

    /// The answer to a GET of `target` (`/announce?..` or `/scrape?..`), as a status and a body of text/plain (BEP 3, 48).
    /// Refusals are said in the body too.
    #[pyo3(signature = (target: "BytesLike | str", addr: "Address", now))]
    fn http<'py>(
        &self,
        target: &Bound<'py, PyAny>,
        addr: &Bound<'py, PyAny>,
        now: f64,
    ) -> PyResult<(u16, Bound<'py, PyBytes>)> {
        let (py, from) = (target.py(), take_address(addr)?);
        let target = match target.cast::<PyString>() {
            Ok(text) => text.to_string_lossy().into_owned().into_bytes(),
            Err(_) => take(target)?,
        };
        let answer =
            self.0.at(py, now, |machine, now| http::answer(now, &mut machine.tracker, &target, from))?;
        Ok((answer.status, PyBytes::new(py, &answer.body)))
    }

    /// A WebSocket was opened from `addr`: its number here. Raises Refused if `sockets_max` are open: close it.
    #[pyo3(signature = (addr: "Address"))]
    fn websocket_opened(&self, addr: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (py, from) = (addr.py(), take_address(addr)?);
        let opened = self.0.with(py, |machine| machine.sockets.open(from.ip()));
        opened.ok_or_else(|| {
            errors::raise(py, "Refused", ("as many WebSockets are open as this tracker takes",))
        })
    }

    /// A text message came on a WebSocket: what is to be sent on which, each a number and a text (WebTorrent's announces,
    /// offers, answers and scrapes). What can't be read is counted, and answered with a reason. Raises DriverError if
    /// there is no such socket.
    #[pyo3(signature = (socket, text: "str", now))]
    fn receive_message<'py>(
        &self,
        socket: Int<u64>,
        text: &Bound<'py, PyString>,
        now: f64,
    ) -> PyResult<Vec<(u64, String)>> {
        let said = text.to_string_lossy();
        let told = self.0.at(text.py(), now, |machine, now| machine.on_text(now, socket.0, &said))?;
        told.ok_or_else(|| errors::driver(text.py(), format!("there is no open WebSocket {}", socket.0)))
    }

    /// A WebSocket was closed, by whomever: its peers are gone. Nothing is sent on it any more; a second time does no harm.
    fn websocket_closed(&self, py: Python<'_>, socket: Int<u64>, now: f64) -> PyResult<()> {
        self.0.at(py, now, |machine, now| machine.on_closed(now, socket.0))
    }

    /// Which torrents are served: those of `allow`, or all without it, but none of `deny`.
    #[pyo3(signature = (*, allow: "Iterable[BytesLike] | None" = None, deny: "Iterable[BytesLike] | None" = None))]
    fn set_rules(
        &self,
        py: Python<'_>,
        allow: Option<&Bound<'_, PyAny>>,
        deny: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let rules = Rules::new(allow.map(hashes).transpose()?, deny.map_or_else(|| Ok(Vec::new()), hashes)?);
        self.0.with(py, |machine| machine.tracker.set_rules(Arc::new(rules)));
        Ok(())
    }

    /// When `handle_timer` is due.
    fn get_timer(&self, py: Python<'_>) -> Option<f64> {
        self.0.with(py, |machine| machine.tracker.deadline()).map(seconds)
    }

    /// Forgets who wasn't heard for too long. Early and spurious calls do no harm.
    fn handle_timer(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        self.0.long(py, now, |machine, now| machine.tracker.on_timeout(now))
    }

    /// What it holds and has done.
    #[getter]
    // stub: TrackerStatistics
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let told = self.0.with(py, |machine| *machine.tracker.statistics());
        let (protocols, fields) = (PyDict::new(py), PyDict::new(py));
        for protocol in Protocol::ALL {
            protocols.set_item(protocol.name(), protocol_value(py, told.protocol(protocol))?)?;
        }
        fields.set_item("torrents", told.torrents)?;
        fields.set_item("peers", told.peers)?;
        fields.set_item("leeches", told.leeches)?;
        fields.set_item("seeds", told.seeds)?;
        fields.set_item("announces", told.announces)?;
        fields.set_item("scraped", told.scraped)?;
        fields.set_item("completed", told.completed)?;
        fields.set_item("refused", told.refused)?;
        fields.set_item("expired", told.expired)?;
        fields.set_item("protocols", protocols)?;
        value(py, "TrackerStatistics", &fields)
    }

    /// All torrents and peers, for `restore`; `unix_time` is the time of day in seconds since 1970.
    fn save<'py>(&self, py: Python<'py>, now: f64, unix_time: Int<u64>) -> PyResult<Bound<'py, PyBytes>> {
        let saved = self.0.long(py, now, |machine, now| {
            let (mut writer, head) = StateWriter::new(unix_time.0);
            let (body, _) = machine.tracker.save(now, 0, usize::MAX);
            writer.add(&body);
            [&head[..], &body, &writer.finish()].concat()
        })?;
        Ok(PyBytes::new(py, &saved))
    }

    /// Takes in what was saved and isn't too old; how many peers that were. Raises StateError if it is damaged.
    #[pyo3(signature = (data: "BytesLike", now, unix_time))]
    fn restore(&self, data: &Bound<'_, PyAny>, now: f64, unix_time: Int<u64>) -> PyResult<usize> {
        let (py, bytes) = (data.py(), take(data)?);
        let saved = py.detach(|| SavedState::read(&bytes)).map_err(|error| errors::state(py, &error))?;
        let away = Duration::from_secs(unix_time.0.saturating_sub(saved.at_s));
        self.0.long(py, now, |machine, now: Instant| machine.tracker.restore(now, &saved, away, |_| true))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (told, sockets) =
            self.0.with(py, |machine| (*machine.tracker.statistics(), machine.sockets.len()));
        let sockets = if sockets == 0 { String::new() } else { format!(", {sockets} WebSockets") };
        format!("<Tracker: {} torrents, {} peers{sockets}>", told.torrents, told.peers)
    }
}

fn set(config: &mut TrackerConfig, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    fields!(config, name, value;
        plain: interval_s min_interval_s signal_interval_s torrents_max peers_max peers_per_torrent_max
            peers_per_source_max offers_per_socket_max numwant_default numwant_max;
        seconds:
    );
    Ok(())
}

fn hashes(given: &Bound<'_, PyAny>) -> PyResult<Vec<InfoHash>> {
    given.try_iter()?.map(|hash| info_hash(&hash?)).collect()
}

fn value<'py>(py: Python<'py>, name: &str, fields: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    py.import("millstream._tracker")?.getattr(name)?.call((), Some(fields))
}

fn protocol_value<'py>(py: Python<'py>, told: &ProtocolStatistics) -> PyResult<Bound<'py, PyAny>> {
    let (announces, faults, fields) = (PyDict::new(py), PyDict::new(py), PyDict::new(py));
    for (name, count) in ProtocolStatistics::ANNOUNCES.iter().zip(told.announces) {
        announces.set_item(name, count)?;
    }
    for (fault, count) in Fault::ALL.iter().zip(told.faults) {
        faults.set_item(fault.name(), count)?;
    }
    fields.set_item("connects", told.connects)?;
    fields.set_item("announces", announces)?;
    fields.set_item("scrapes", told.scrapes)?;
    fields.set_item("scraped", told.scraped)?;
    fields.set_item("relayed", told.relayed)?;
    fields.set_item("faults", faults)?;
    fields.set_item("bytes_in", told.bytes_in)?;
    fields.set_item("bytes_out", told.bytes_out)?;
    value(py, "ProtocolStatistics", &fields)
}
