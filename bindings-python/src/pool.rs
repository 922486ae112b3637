//! The pool of connections for Python: how many to open, and when. It opens nothing; what it decides and why is core's.

use crate::errors;
use crate::given::{Int, about};
use crate::room::{Room, fields};
use crate::values::{moment, seconds};
use core::fmt::Display;
use core::time::Duration;
use millstream_core::pool::{CloseReason, Connections, Mood, OpenError, PoolConfig, Prospect, Sign};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// How many connections a network bears, found out: no socket, thread or clock. Owners are numbers, whatever they stand
/// for; connections are numbers that `started` gives. Moments are seconds since whenever you like, and never go back.
#[pyclass(frozen, module = "millstream.sansio")]
pub(crate) struct ConnectionPool(Room<Machine>);

struct Machine {
    pool: Connections<u64, u64>,
    next: u64,
}

#[pymethods]
impl ConnectionPool {
    /// A pool with nothing in it.
    #[new]
    #[pyo3(signature = (*, now = 0.0, **settings: "Unpack[PoolSettings]"))]
    fn new(py: Python<'_>, now: f64, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut config = PoolConfig::default();
        for (name, value) in settings.into_iter().flatten() {
            let name: String = name.extract()?;
            set(&mut config, &name, &value).map_err(|error| about(&name, &value, error))?;
        }
        let now = moment(py, now)?;
        Ok(Self(Room::new(Machine { pool: Connections::new(now, config), next: 1 }, now)))
    }

    /// An owner wants another connection, or none any more. It stands until it is said otherwise.
    fn set_wants(&self, py: Python<'_>, owner: Int<u64>, wants: bool, now: f64) -> PyResult<()> {
        self.0.at(py, now, |machine, now| machine.pool.on_wants(now, owner.0, wants))
    }

    /// Who may open a connection now, in fair turns. The same, until `started` or `set_wants` is called.
    fn next_open(&self, py: Python<'_>, now: f64) -> PyResult<Option<u64>> {
        self.0.at(py, now, |machine, now| machine.pool.next_open(now))
    }

    /// A connection is being opened for an owner; gives its number. `prospect` is "fresh", "proven" or
    /// "failed": whether the address was never tried, answered when it was tried last, or was silent.
    #[pyo3(signature = (owner, now, *, prospect: "Literal['fresh', 'proven', 'failed']" = "fresh"))]
    fn started(&self, py: Python<'_>, owner: Int<u64>, now: f64, prospect: &str) -> PyResult<u64> {
        let prospect = match prospect {
            "fresh" => Prospect::Fresh,
            "proven" => Prospect::Proven,
            "failed" => Prospect::Failed,
            _ => return Err(unknown(py, "prospect", prospect)),
        };
        self.0.at(py, now, |machine, now| {
            let key = machine.next;
            machine.next += 1;
            machine.pool.on_started(now, key, owner.0, prospect);
            key
        })
    }

    /// A connection that was being opened is open.
    fn opened(&self, py: Python<'_>, connection: Int<u64>, now: f64) -> PyResult<()> {
        self.0.at(py, now, |machine, now| machine.pool.on_opened(now, connection.0))
    }

    /// A connection couldn't be opened: "timed_out", "refused", "unreachable", "no_room" (of our own host)
    /// or "cancelled".
    #[pyo3(signature = (connection, why: "Literal['timed_out', 'refused', 'unreachable', 'no_room', 'cancelled']", now))]
    fn failed(&self, py: Python<'_>, connection: Int<u64>, why: &str, now: f64) -> PyResult<()> {
        let error = match why {
            "timed_out" => OpenError::TimedOut,
            "refused" => OpenError::Refused,
            "unreachable" => OpenError::Unreachable,
            "no_room" => OpenError::NoRoom,
            "cancelled" => OpenError::Cancelled,
            _ => return Err(unknown(py, "reason", why)),
        };
        self.0.at(py, now, |machine, now| machine.pool.on_failed(now, connection.0, error))
    }

    /// An open connection ended: "ours", "finished" by the other side, or "lost".
    #[pyo3(signature = (connection, why: "Literal['ours', 'finished', 'lost']", now))]
    fn closed(&self, py: Python<'_>, connection: Int<u64>, why: &str, now: f64) -> PyResult<()> {
        let reason = match why {
            "ours" => CloseReason::Ours,
            "finished" => CloseReason::Finished,
            "lost" => CloseReason::Lost,
            _ => return Err(unknown(py, "reason", why)),
        };
        self.0.at(py, now, |machine, now| machine.pool.on_closed(now, connection.0, reason))
    }

    /// So many bytes came in.
    fn received(&self, py: Python<'_>, connection: Int<u64>, bytes: Int<u64>, now: f64) -> PyResult<()> {
        self.0.at(py, now, |machine, now| machine.pool.on_received(now, connection.0, bytes.0))
    }

    /// So many bytes went out.
    fn sent(&self, py: Python<'_>, connection: Int<u64>, bytes: Int<u64>, now: f64) -> PyResult<()> {
        self.0.at(py, now, |machine, now| machine.pool.on_sent(now, connection.0, bytes.0))
    }

    /// Who should close the connection it can best do without: more are open than the network was found to bear.
    fn next_surplus(&self, py: Python<'_>, now: f64) -> PyResult<Option<u64>> {
        self.0.at(py, now, |machine, now| machine.pool.next_surplus(now))
    }

    /// When to call `handle_timer` and ask `next_open` again; None if time alone changes nothing.
    fn get_timer(&self, py: Python<'_>) -> Option<f64> {
        self.0.with(py, |machine| machine.pool.deadline()).map(seconds)
    }

    /// Does what is due; early and needless calls do no harm.
    fn handle_timer(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        self.0.at(py, now, |machine, now| machine.pool.on_timeout(now))
    }

    /// The pool at a glance.
    #[pyo3(signature = (now) -> "PoolStatus")]
    fn status<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyAny>> {
        let it = self.0.at(py, now, |machine, now| machine.pool.status(now))?;
        let (mood, sign) = match it.mood {
            Mood::Free => ("free", None),
            Mood::Trying(sign) => ("trying", Some(sign)),
            Mood::Bounded(sign) => ("bounded", Some(sign)),
        };
        let sign = sign.map(|sign| match sign {
            Sign::Silence => "silence",
            Sign::Losses => "losses",
            Sign::Latency => "latency",
            Sign::NoRoom => "no_room",
        });
        let opening = seconds(millstream_core::base::Instant::ZERO + Duration::from_millis(it.open_ms));
        py.import("millstream._pool")?.getattr("PoolStatus")?.call1((
            it.open,
            it.half_open,
            it.lingering,
            it.size,
            it.half_open_size,
            mood,
            sign,
            it.answers_per_mille,
            opening,
            it.rate,
            it.held,
        ))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let it = self.0.last(py, |machine, now| machine.pool.status(now));
        format!("<ConnectionPool: {} open, {} opening, size {}>", it.open, it.half_open, it.size)
    }
}

fn unknown(py: Python<'_>, what: impl Display, name: &str) -> PyErr {
    errors::driver(py, format!("{name:?} is no {what}"))
}

/// Changes a setting.
fn set(config: &mut PoolConfig, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    fields!(config, name, value;
        plain: links_max half_open_max adaptive size_start size_min half_open_start half_open_min doubt_max;
        seconds: growth_interval linger patience proven_after regrow_interval trial_pause hold_interval);
    Ok(())
}
