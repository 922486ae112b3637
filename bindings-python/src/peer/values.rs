//! Messages as Python has them: the native classes to the wire and back.

use super::extensions;
use super::rules::{Plain, Received};
use crate::message::{
    AllowedFast, CancelRequest, Choke, Have, HaveAll, HaveNone, Interested, KeepAlive, NotInterested, Piece,
    Port, RejectRequest, Request, SuggestPiece, Unchoke,
};
use crate::values::value as native_value;
use millstream_core::wire::handshake::Handshake;
use millstream_core::wire::message::{Message, RawBlock};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

static MESSAGES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// A class of `millstream._messages`.
pub(super) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let module = MESSAGES.get_or_try_init(py, || py.import("millstream._messages").map(Bound::unbind))?;
    module.bind(py).getattr(PyString::intern(py, name))
}

/// A message of the native classes as the wire has it.
pub(super) fn native(message: &Bound<'_, PyAny>) -> Option<Message<'static>> {
    let block = |index, begin, length| RawBlock { index, begin, length };
    Some(if let Ok(have) = message.cast::<Have>() {
        Message::Have(have.get().index)
    } else if let Ok(r) = message.cast::<Request>().map(Bound::get) {
        Message::Request(block(r.index, r.begin, r.length))
    } else if let Ok(c) = message.cast::<CancelRequest>().map(Bound::get) {
        Message::Cancel(block(c.index, c.begin, c.length))
    } else if let Ok(r) = message.cast::<RejectRequest>().map(Bound::get) {
        Message::Reject(block(r.index, r.begin, r.length))
    } else if let Ok(suggested) = message.cast::<SuggestPiece>() {
        Message::Suggest(suggested.get().index)
    } else if let Ok(allowed) = message.cast::<AllowedFast>() {
        Message::AllowedFast(allowed.get().index)
    } else if let Ok(port) = message.cast::<Port>() {
        Message::Port(port.get().port)
    } else if message.is_instance_of::<KeepAlive>() {
        Message::KeepAlive
    } else if message.is_instance_of::<Choke>() {
        Message::Choke
    } else if message.is_instance_of::<Unchoke>() {
        Message::Unchoke
    } else if message.is_instance_of::<Interested>() {
        Message::Interested
    } else if message.is_instance_of::<NotInterested>() {
        Message::NotInterested
    } else if message.is_instance_of::<HaveAll>() {
        Message::HaveAll
    } else if message.is_instance_of::<HaveNone>() {
        Message::HaveNone
    } else {
        return None;
    })
}

/// What was received as Python has it.
pub(super) fn value(py: Python<'_>, received: Received) -> PyResult<Bound<'_, PyAny>> {
    let (id, body) = match received {
        Received::Plain(plain) => {
            return match plain {
                Plain::Have(index) => native_value(py, Have { index }),
                Plain::Request(RawBlock { index, begin, length }) => {
                    native_value(py, Request { index, begin, length })
                }
                Plain::Cancel(RawBlock { index, begin, length }) => {
                    native_value(py, CancelRequest { index, begin, length })
                }
                Plain::Reject(RawBlock { index, begin, length }) => {
                    native_value(py, RejectRequest { index, begin, length })
                }
            };
        }
        Received::KeepAlive => return native_value(py, KeepAlive {}),
        Received::Piece { index, begin, data } => return native_value(py, Piece { index, begin, data }),
        Received::Handshake(theirs) => {
            let Handshake { reserved, info_hash, peer_id } = *theirs;
            let bytes = (&reserved.0[..], &info_hash.0[..], &peer_id.0[..]);
            return class(py, "Handshake")?.call1(bytes);
        }
        Received::Extended(news) => return news.value(py),
        Received::Message { id, body } => (id, body),
    };
    let Ok(message) = Message::parse(id, &body) else { return Ok(py.None().into_bound(py)) };
    match message {
        Message::KeepAlive => native_value(py, KeepAlive {}),
        Message::Choke => native_value(py, Choke {}),
        Message::Unchoke => native_value(py, Unchoke {}),
        Message::Interested => native_value(py, Interested {}),
        Message::NotInterested => native_value(py, NotInterested {}),
        Message::Have(index) => native_value(py, Have { index }),
        Message::Request(RawBlock { index, begin, length }) => {
            native_value(py, Request { index, begin, length })
        }
        Message::Cancel(RawBlock { index, begin, length }) => {
            native_value(py, CancelRequest { index, begin, length })
        }
        Message::Reject(RawBlock { index, begin, length }) => {
            native_value(py, RejectRequest { index, begin, length })
        }
        Message::Suggest(index) => native_value(py, SuggestPiece { index }),
        Message::AllowedFast(index) => native_value(py, AllowedFast { index }),
        Message::HaveAll => native_value(py, HaveAll {}),
        Message::HaveNone => native_value(py, HaveNone {}),
        Message::Port(port) => native_value(py, Port { port }),
        Message::Bitfield(bits) => class(py, "Bitfield")?.call1((bits,)),
        Message::Unknown(id) => class(py, "Unknown")?.call1((id, &body[..])),
        Message::Piece { .. } | Message::Extended { .. } => Ok(py.None().into_bound(py)),
        Message::HashRequest(range) => extensions::hash_range(py, "HashRequest", range),
        Message::HashReject(range) => extensions::hash_range(py, "HashReject", range),
        Message::Hashes { range, hashes } => extensions::hashes(py, range, hashes),
    }
}
