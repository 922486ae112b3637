//! Refusals of the engine as exceptions of `millstream.errors`. Who is to blame is said there.

use millstream::StartError;
use millstream_core::engine::{CommandError, Refusal};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// An exception of the tree, by its name.
pub(crate) fn raise<'py>(py: Python<'py>, name: &str, args: impl PyCallArgs<'py>) -> PyErr {
    let module = ERRORS.get_or_try_init(py, || py.import("millstream.errors").map(Bound::unbind));
    let made = module.and_then(|module| module.bind(py).getattr(name)?.call1(args));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// A session that can't start: which setting can't be had, and why, apart from the words.
pub(crate) fn start(py: Python<'_>, error: &StartError) -> PyErr {
    let (setting, reason) = match error {
        StartError::Listen(why) => (Some("listen"), why.to_string()),
        StartError::Bind(why) => (Some("bind"), why.to_string()),
        StartError::Proxy(why) => (Some("proxy"), why.to_string()),
        StartError::Filter { .. } => (Some("ip_filter"), error.to_string()),
        StartError::Thread(_) | StartError::Seed(_) => (None, error.to_string()),
    };
    with(
        py,
        raise(py, "StartError", (error.to_string(),)),
        &[("setting", setting), ("reason", Some(&reason))],
    )
}

/// An exception with these attributes.
fn with(py: Python<'_>, raised: PyErr, attributes: &[(&str, Option<&str>)]) -> PyErr {
    let value = raised.value(py);
    match attributes.iter().try_for_each(|(name, text)| value.setattr(*name, *text)) {
        Ok(()) => raised,
        Err(error) => error,
    }
}

/// An option, a setting or an argument that isn't what it may be, and which, if that is known already.
pub(crate) fn option(py: Python<'_>, message: String, name: Option<&str>) -> PyErr {
    raise(py, "OptionError", (message, name))
}

/// A torrent file that is none.
pub(crate) fn metainfo(py: Python<'_>, error: &dyn core::fmt::Display) -> PyErr {
    raise(py, "MetainfoError", (error.to_string(),))
}

/// A magnet link that is none.
pub(crate) fn magnet(py: Python<'_>, error: &dyn core::fmt::Display) -> PyErr {
    raise(py, "MagnetError", (error.to_string(),))
}

/// A torrent that can't be made like that.
pub(crate) fn create(py: Python<'_>, error: &dyn core::fmt::Display) -> PyErr {
    raise(py, "CreateError", (error.to_string(),))
}

/// A torrent that can't be made with this option.
pub(crate) fn create_with(py: Python<'_>, error: &dyn core::fmt::Display, option: &str) -> PyErr {
    with(py, create(py, error), &[("option", Some(option))])
}

/// Bytes that are no bencode, or a value that has none; where, if it is known.
pub(crate) fn bencode(py: Python<'_>, error: &dyn core::fmt::Display, offset: Option<usize>) -> PyErr {
    raise(py, "BencodeError", (error.to_string(), offset))
}

/// A message that may not be sent.
pub(crate) fn local_protocol(py: Python<'_>, message: String) -> PyErr {
    raise(py, "LocalProtocolError", (message,))
}

/// A peer's fault: what it was, in words and in one, and the messages before it.
pub(crate) fn remote_protocol(
    py: Python<'_>,
    message: &str,
    reason: &str,
    before: Vec<Bound<'_, PyAny>>,
) -> PyErr {
    raise(py, "RemoteProtocolError", (message, reason, before))
}

/// Saved bytes that are damaged, or of somebody else.
pub(crate) fn state(py: Python<'_>, error: &dyn core::fmt::Display) -> PyErr {
    raise(py, "StateError", (error.to_string(),))
}

/// An item that no node of the DHT would store.
pub(crate) fn item(py: Python<'_>, error: &dyn core::fmt::Display) -> PyErr {
    raise(py, "ItemError", (error.to_string(),))
}

/// More look-ups than may be.
pub(crate) fn busy(py: Python<'_>, error: &dyn core::fmt::Display) -> PyErr {
    raise(py, "CommandError", (error.to_string(),))
}

/// A driver that broke the law.
pub(crate) fn driver(py: Python<'_>, message: String) -> PyErr {
    raise(py, "DriverError", (message,))
}

/// An incoming link that isn't taken.
pub(crate) fn refused(py: Python<'_>, refusal: Refusal) -> PyErr {
    raise(py, "Refused", (refusal.to_string(),))
}

/// A torrent that isn't there.
pub(crate) fn no_torrent(py: Python<'_>, torrent: u64) -> PyErr {
    raise(py, "TorrentNotFound", (format!("there is no torrent {torrent}"),))
}

/// A torrent that was there.
pub(crate) fn torrent_removed(py: Python<'_>, torrent: u64) -> PyErr {
    raise(py, "TorrentRemoved", (format!("the torrent {torrent} was removed"),))
}

/// A session that has ended.
pub(crate) fn session_closed(py: Python<'_>) -> PyErr {
    raise(py, "SessionClosed", ("the session is closed",))
}

/// A session in a process that began by a fork: its threads aren't there.
pub(crate) fn session_forked(py: Python<'_>) -> PyErr {
    raise(
        py,
        "SessionClosed",
        ("the session belongs to the process that started it, and this one was forked",),
    )
}

/// A command that can't be carried out.
pub(crate) fn command(py: Python<'_>, error: &CommandError) -> PyErr {
    match error {
        CommandError::NoTorrent(id) => no_torrent(py, id.0),
        CommandError::Duplicate(id) => {
            raise(py, "DuplicateTorrent", (format!("the torrent is there already, as {}", id.0), id.0))
        }
        CommandError::NoFile(_) => raise(py, "NoSuchFile", (error.to_string(),)),
        CommandError::NoPeer(_) => raise(py, "NoSuchPeer", (error.to_string(),)),
        CommandError::TooManyTrackers(_) | CommandError::Tracker { .. } => {
            option(py, error.to_string(), Some("trackers"))
        }
        CommandError::TooMany(_) | CommandError::Range | CommandError::Stopping | CommandError::Dht(_) => {
            raise(py, "CommandError", (error.to_string(),))
        }
    }
}
