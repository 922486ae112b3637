//! One connection to a peer, in h11's manners: bytes in, messages out; messages in, bytes out. It owns the doors; what may
//! be said is in `rules`. When to say what is the caller's.

mod cover;
mod extensions;
mod rules;
mod values;

use crate::bytes::take;
use crate::given::{Int, optional};
use crate::message::Piece;
use crate::{errors, outcomes};
use cover::Cover;
use millstream_core::peer::{Bounds, Reader};
use millstream_core::wire::handshake::{Feature, Reserved};
use millstream_core::wire::message::{Message, PIECE_HEADER_BYTES, RawBlock, piece_header};
use millstream_core::wire::{InfoHash, InfoHashV2, PeerId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PySlice, PyTuple};
use rules::{Broken, End, Inner, State};
use std::sync::{Mutex, MutexGuard, PoisonError};
use values::{native, value};

/// Bytes that `get_buffer` lends.
const BUFFER_BYTES: usize = 256 << 10;

/// One side of a connection between peers: no socket, thread or clock.
#[pyclass(frozen, module = "millstream.sansio")]
pub(crate) struct PeerConnection {
    inner: Mutex<Inner>,
    /// What `get_buffer` lends.
    buffer: PyOnceLock<Py<PyByteArray>>,
}

#[pymethods]
impl PeerConnection {
    /// A side that called (`client`) or was called. `info_hash` is one, or several: a client greets with the first and takes
    /// any for an answer; who is called takes any, or all if none is given.
    ///
    /// `encryption` (MSE) is `off`, `prefer` or `require`: whether we call encrypted, and whether we take such calls, or
    /// none but such. `encryption_levels` says what the stream behind may be carried as: `plaintext` and `rc4`, or with
    /// `require` `rc4` alone, unless told. Then `seed` is needed, of its own for each connection: 32 random bytes.
    #[new]
    #[pyo3(signature = (*, client, peer_id: "BytesLike", info_hash: "bytes | Iterable[bytes] | None" = None,
        pieces = None, fast = true, dht = false, v2 = false, extensions: "Mapping[str, int] | None" = None,
        message_bytes_max = Int(1 << 20), block_bytes_max = Int(128 << 10), request_bytes_max = Int(128 << 10),
        encryption: "Literal['off', 'prefer', 'require']" = "off",
        encryption_levels: "Iterable[Literal['plaintext', 'rc4']] | None" = None,
        seed: "BytesLike | int | None" = None))]
    #[expect(clippy::too_many_arguments, reason = "keywords, in Python")]
    fn new(
        client: bool,
        peer_id: &Bound<'_, PyAny>,
        info_hash: Option<&Bound<'_, PyAny>>,
        pieces: Option<Int<u32>>,
        fast: bool,
        dht: bool,
        v2: bool,
        extensions: Option<&Bound<'_, PyAny>>,
        message_bytes_max: Int<u32>,
        block_bytes_max: Int<u32>,
        request_bytes_max: Int<u32>,
        encryption: &str,
        encryption_levels: Option<&Bound<'_, PyAny>>,
        seed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let hashes = info_hash.map_or_else(|| Ok(Vec::new()), info_hashes)?;
        if client && hashes.is_empty() {
            return Err(PyValueError::new_err("who calls says which torrent: info_hash"));
        }
        let cover = Cover::new(client, !hashes.is_empty(), encryption, encryption_levels, seed)?;
        let ours = extensions::ours(extensions)?;
        let mut reserved = Reserved::NONE;
        let features = [
            (fast, Feature::Fast),
            (dht, Feature::Dht),
            (v2, Feature::V2),
            (!ours.is_empty(), Feature::Extensions),
        ];
        for (_, feature) in features.into_iter().filter(|(on, _)| *on) {
            reserved = reserved.with(feature);
        }
        let inner = Inner {
            client,
            peer_id: PeerId(outcomes::digest(peer_id)?),
            hashes,
            reserved,
            ours,
            theirs: Vec::new(),
            pieces: optional(pieces),
            bounds: Bounds { block_bytes_max: block_bytes_max.0, message_bytes_max: message_bytes_max.0 },
            request_bytes_max: request_bytes_max.0,
            cover,
            greeted: false,
            handshake: None,
            reader: Reader::default(),
            begun: false,
            end: None,
            state: State {
                am_choking: true,
                am_interested: false,
                peer_choking: true,
                peer_interested: false,
            },
        };
        Ok(Self { inner: Mutex::new(inner), buffer: PyOnceLock::new() })
    }

    /// The handshake to send: at once if we called, after the peer's `Handshake` if it did. Raises LocalProtocolError if
    /// it isn't its time. Of an encrypted call it is the first part; `data_to_send` has the others.
    fn handshake<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let greeting = self.lock(py).greet();
        greeting.map(|bytes| PyBytes::new(py, &bytes)).map_err(|message| errors::local_protocol(py, message))
    }

    /// What the handshake of an encrypted connection wants written: ask after `receive_data`, as long as no `Handshake`
    /// came. `handshake` and `send` give it too, before their own.
    fn data_to_send<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let waiting = self.lock(py).cover.take_waiting();
        PyBytes::new(py, &waiting)
    }

    /// The messages that these bytes complete. Raises RemoteProtocolError for the peer's fault, now and whenever more comes;
    /// its `messages` are those before the fault.
    #[pyo3(signature = (data: "BytesLike") -> "list[Message]")]
    fn receive_data<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        self.receive(py, take(data)?)
    }

    /// The peer sends no more. Raises RemoteProtocolError if it stopped within a message, or before its handshake; with the
    /// reason `encryption` if it didn't agree to be called encrypted: call it again, plain, if you may.
    fn receive_eof(&self, py: Python<'_>) -> PyResult<()> {
        let end = {
            let mut inner = self.lock(py);
            let whole = inner.handshake.is_some() && inner.reader.is_empty();
            if inner.end.is_none() {
                let unagreed = inner.cover.is_unagreed();
                inner.end = Some(match (whole, unagreed) {
                    (true, _) => End::Eof,
                    (false, false) => End::Fault {
                        message: "the peer stopped within a message".to_owned(),
                        reason: "ended",
                    },
                    (false, true) => End::Fault {
                        message: "the peer left before it agreed upon encryption".to_owned(),
                        reason: "encryption",
                    },
                });
                if !whole {
                    inner.close();
                }
            }
            inner.end.clone()
        };
        match end {
            Some(End::Fault { message, reason }) => {
                Err(errors::remote_protocol(py, &message, reason, Vec::new()))
            }
            Some(End::Eof) | None => Ok(()),
        }
    }

    /// Memory to read into, for `asyncio.BufferedProtocol`; then comes `buffer_updated`.
    #[pyo3(signature = (sizehint = Int(-1)), text_signature = "($self, /, sizehint=-1)")]
    fn get_buffer<'py>(&self, py: Python<'py>, sizehint: Int<i64>) -> PyResult<Bound<'py, PyMemoryView>> {
        let _ = sizehint;
        let buffer = self.buffer.get_or_init(py, || PyByteArray::new(py, &[0; BUFFER_BYTES]).unbind());
        PyMemoryView::from(buffer.bind(py))
    }

    /// So many bytes were read into what `get_buffer` lent: as `receive_data`.
    #[pyo3(signature = (nbytes) -> "list[Message]")]
    fn buffer_updated<'py>(&self, py: Python<'py>, nbytes: Int<usize>) -> PyResult<Bound<'py, PyList>> {
        let nbytes = nbytes.0;
        let Some(buffer) = self.buffer.get(py).filter(|buffer| nbytes <= buffer.bind(py).len()) else {
            return Err(PyValueError::new_err(format!("{nbytes} bytes were never lent")));
        };
        let view = PyMemoryView::from(buffer.bind(py))?;
        let part = view.get_item(PySlice::new(py, 0, nbytes as isize, 1))?;
        self.receive(py, take(&part)?)
    }

    /// The bytes of these messages. Raises LocalProtocolError for what may not be sent; then nothing counts as sent.
    #[pyo3(signature = (*messages: "Outgoing"))]
    fn send<'py>(&self, messages: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyBytes>> {
        let py = messages.py();
        if messages.len() == 1
            && let Ok(piece) = messages.get_item(0)?.cast::<Piece>()
        {
            return self.send_piece(py, piece.get());
        }
        let mut out = Vec::new();
        let (mut state, mut begun) = {
            let inner = self.lock(py);
            (inner.state, inner.begun)
        };
        for message in messages.iter() {
            self.encode(&message, (&mut state, &mut begun), &mut out)?;
        }
        let mut inner = self.lock(py);
        (inner.state, inner.begun) = (state, begun);
        let wire = inner.cover.seal(out);
        drop(inner);
        Ok(PyBytes::new(py, &wire))
    }

    /// How many pieces there are is known now: what comes is checked by it.
    fn set_pieces(&self, py: Python<'_>, pieces: Int<u32>) {
        self.lock(py).pieces = Some(pieces.0);
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let inner = self.lock(py);
        let side = if inner.client { "client" } else { "server" };
        let state = match (&inner.end, inner.handshake) {
            (Some(End::Fault { message, .. }), _) => format!("failed: {message}"),
            (Some(End::Eof), _) => "ended".to_owned(),
            (None, Some(theirs)) => format!("{:?} about {}", theirs.peer_id, theirs.info_hash),
            (None, None) => "no handshake yet".to_owned(),
        };
        format!("<PeerConnection {side}: {state}>")
    }

    /// Where we stand: `greeting` until `handshake`, `encrypting` until an encrypted call is agreed upon, `open`, or `error`:
    /// after a fault of the peer nothing is sent.
    #[getter]
    // stub: Literal["greeting", "encrypting", "open", "error"]
    fn our_state(&self, py: Python<'_>) -> &'static str {
        let inner = self.lock(py);
        match (&inner.end, inner.greeted) {
            (Some(End::Fault { .. }), _) => "error",
            (Some(End::Eof) | None, false) => "greeting",
            (Some(End::Eof) | None, true) if inner.cover.is_unagreed() => "encrypting",
            (Some(End::Eof) | None, true) => "open",
        }
    }

    /// Where the peer stands: `greeting` until its `Handshake`, `open`, `ended` after `receive_eof`, or `error`.
    #[getter]
    // stub: Literal["greeting", "open", "ended", "error"]
    fn their_state(&self, py: Python<'_>) -> &'static str {
        let inner = self.lock(py);
        match (&inner.end, inner.handshake) {
            (Some(End::Fault { .. }), _) => "error",
            (Some(End::Eof), _) => "ended",
            (None, None) => "greeting",
            (None, Some(_)) => "open",
        }
    }

    /// Whether we called.
    #[getter]
    fn client(&self, py: Python<'_>) -> bool {
        self.lock(py).client
    }

    /// Whether we serve the peer.
    #[getter]
    fn am_choking(&self, py: Python<'_>) -> bool {
        self.lock(py).state.am_choking
    }

    /// Whether we told that we want pieces.
    #[getter]
    fn am_interested(&self, py: Python<'_>) -> bool {
        self.lock(py).state.am_interested
    }

    /// Whether the peer serves us.
    #[getter]
    fn peer_choking(&self, py: Python<'_>) -> bool {
        self.lock(py).state.peer_choking
    }

    /// Whether the peer told that it wants pieces.
    #[getter]
    fn peer_interested(&self, py: Python<'_>) -> bool {
        self.lock(py).state.peer_interested
    }

    /// Whether both sides speak the fast extension (BEP 6).
    #[getter]
    fn fast(&self, py: Python<'_>) -> bool {
        self.lock(py).both(Feature::Fast)
    }

    /// How the stream is carried behind an encrypted handshake, once that is agreed upon: `plaintext` or `rc4`. None on a
    /// connection that was plain from its first byte.
    #[getter]
    // stub: Literal["plaintext", "rc4"] | None
    fn encryption_level(&self, py: Python<'_>) -> Option<&'static str> {
        self.lock(py).cover.level()
    }

    /// The extensions that the peer speaks, with its numbers for them (BEP 10).
    #[getter]
    // stub: dict[str, int]
    fn peer_extensions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let theirs = self.lock(py).theirs.clone();
        let dict = PyDict::new(py);
        theirs.iter().try_for_each(|(name, id)| dict.set_item(name, id))?;
        Ok(dict)
    }
}

impl PeerConnection {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Inner> {
        self.inner.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    fn receive<'py>(&self, py: Python<'py>, data: Vec<u8>) -> PyResult<Bound<'py, PyList>> {
        // no lock is held while objects are made: that may run any code
        let mut received = Vec::new();
        let end = {
            let mut inner = self.lock(py);
            match &inner.end {
                Some(End::Eof) => {
                    return Err(errors::local_protocol(py, "nothing comes after the end".to_owned()));
                }
                Some(End::Fault { .. }) => {}
                None => {
                    if let Err(Broken { message, reason }) = inner.take_in(data, &mut received) {
                        inner.end = Some(End::Fault { message, reason });
                        inner.close();
                    }
                }
            }
            inner.end.clone()
        };
        let messages = received.into_iter().map(|news| value(py, news)).collect::<PyResult<Vec<_>>>()?;
        let list = PyList::new(py, messages)?;
        match end {
            Some(End::Fault { message, reason }) => {
                Err(errors::remote_protocol(py, &message, reason, list.iter().collect()))
            }
            Some(End::Eof) | None => Ok(list),
        }
    }

    fn send_piece<'py>(&self, py: Python<'py>, piece: &Piece) -> PyResult<Bound<'py, PyBytes>> {
        let Piece { index, begin, data } = piece;
        let message = Message::Piece { index: *index, begin: *begin, data };
        let sealed = {
            let mut inner = self.lock(py);
            let refused = inner.may_say(&message);
            inner.begun |= refused.is_ok();
            refused.map(|()| {
                (!inner.cover.is_clear()).then(|| {
                    let mut wire = Vec::with_capacity(PIECE_HEADER_BYTES + data.len());
                    message.encode(&mut wire);
                    inner.cover.seal(wire)
                })
            })
        };
        if let Some(wire) = sealed.map_err(|message| errors::local_protocol(py, message))? {
            return Ok(PyBytes::new(py, &wire));
        }
        let mut head = Vec::with_capacity(PIECE_HEADER_BYTES);
        piece_header(&mut head, RawBlock { index: *index, begin: *begin, length: data.len() as u32 });
        PyBytes::new_with(py, head.len() + data.len(), |out| {
            let (first, rest) = out.split_at_mut(head.len());
            first.copy_from_slice(&head);
            rest.copy_from_slice(data);
            Ok(())
        })
    }

    /// Appends a message, and notes what it changes.
    fn encode(
        &self,
        message: &Bound<'_, PyAny>,
        (state, begun): (&mut State, &mut bool),
        out: &mut Vec<u8>,
    ) -> PyResult<()> {
        let py = message.py();
        let wire = native(message);
        let refuse = |message: String| errors::local_protocol(py, message);
        if let Some(wire) = wire {
            self.lock(py).may_say(&wire).map_err(refuse)?;
            if *begun && matches!(wire, Message::HaveAll | Message::HaveNone) {
                return Err(refuse("what we have is told first, and once".to_owned()));
            }
            state.on_sent(&wire);
            *begun |= !matches!(wire, Message::KeepAlive | Message::Port(_));
            wire.encode(out);
            return Ok(());
        }
        if let Ok(piece) = message.cast::<Piece>() {
            let Piece { index, begin, data } = piece.get();
            let wire = Message::Piece { index: *index, begin: *begin, data };
            self.lock(py).may_say(&wire).map_err(refuse)?;
            *begun = true;
            wire.encode(out);
            return Ok(());
        }
        let Some(told) = extensions::Told::read(message)? else {
            return Err(extensions::no_message(message));
        };
        let inner = self.lock(py);
        told.encode(&inner, begun, out).map_err(refuse)
    }
}

fn info_hashes(given: &Bound<'_, PyAny>) -> PyResult<Vec<InfoHash>> {
    if given.is_instance_of::<PyBytes>() {
        return Ok(vec![info_hash(given)?]);
    }
    given.try_iter()?.map(|hash| info_hash(&hash?)).collect()
}

/// An info-hash of 20 bytes, or one of 32 cut to them (BEP 52).
pub(crate) fn info_hash(given: &Bound<'_, PyAny>) -> PyResult<InfoHash> {
    let bytes = take(given)?;
    if let Ok(hash) = <[u8; 32]>::try_from(&*bytes) {
        return Ok(InfoHashV2(hash).truncated());
    }
    let hash = <[u8; 20]>::try_from(&*bytes);
    hash.map(InfoHash).map_err(|_| PyValueError::new_err(format!("{} bytes are no info-hash", bytes.len())))
}
