//! Messages of extensions (BEP 10) and the rare ones of the base protocol, both ways: dataclasses of
//! `millstream._messages`, and what the wire has for them.

use super::rules::{Broken, Inner};
use super::values::class;
use crate::bytes::take;
use crate::given::{about, field as number, given};
use crate::values::{address, take_address};
use crate::{bencode, outcomes};
use millstream_core::base::Chunk;
use millstream_core::peer::{Fault, Malformed};
use millstream_core::wire::bencode::Document;
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::holepunch::{HolepunchMessage, HolepunchRefusal};
use millstream_core::wire::message::{HashRange, Message, id};
use millstream_core::wire::metadata_message::{METADATA_PIECE_BYTES, MetadataMessage};
use millstream_core::wire::pex::{PexFlags, PexMessage, PexPeer};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping, PyTuple};

/// Peers of one list of a PEX message that are read.
const PEX_PEERS_MAX: usize = 200;

/// Extensions of one peer that are remembered.
const EXTENSIONS_MAX: usize = 64;

/// The extensions that we speak, with our numbers for them: those of core, unless told.
pub(crate) fn ours(told: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<(String, u8)>> {
    let Some(told) = told else {
        return Ok(Extension::ALL.map(|known| (known.name().to_owned(), known.our_id())).into());
    };
    let mapping = told
        .cast::<PyMapping>()
        .map_err(|_| PyTypeError::new_err("extensions: a mapping of names to numbers"))?;
    let ours: Vec<(String, u8)> =
        given(mapping.items()?.as_any()).map_err(|error| about("extensions", told, error))?;
    let mut numbers: Vec<u8> = ours.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() < ours.len() || numbers.first() == Some(&0) {
        return Err(PyValueError::new_err("extensions have numbers of their own, and none is 0"));
    }
    Ok(ours)
}

/// A message of an extension that came.
pub(crate) enum News {
    Handshake { m: Vec<(String, u8)>, told: Box<ExtensionHandshake> },
    MetadataRequest(u32),
    MetadataData { piece: u32, total_size: u64, data: Chunk },
    MetadataReject(u32),
    Pex(PexMessage),
    Holepunch(HolepunchMessage),
    DontHave(u32),
    UploadOnly(bool),
    Other { name: String, payload: Chunk },
}

impl Inner {
    /// Reads a message of an extension. One with a number that is none of ours is passed over.
    pub(super) fn extended(&mut self, id: u8, payload: Chunk) -> Result<Option<News>, Broken> {
        if id == 0 {
            let told = ExtensionHandshake::parse(&payload)
                .map_err(|error| Fault::Malformed(Malformed::ExtensionHandshake(error)))?;
            let m = names(&payload);
            self.amend(&m);
            return Ok(Some(News::Handshake { m, told: Box::new(told) }));
        }
        let Some((name, _)) = self.ours.iter().find(|(_, number)| *number == id) else { return Ok(None) };
        let Some(extension) = Extension::named(name.as_bytes()) else {
            return Ok(Some(News::Other { name: name.clone(), payload }));
        };
        let broken =
            |error: &dyn core::fmt::Display| Broken { message: error.to_string(), reason: "malformed" };
        let wrong = || Fault::Malformed(Malformed::Extended { extension, length: payload.len() });
        Ok(Some(match extension {
            Extension::LtDontHave => {
                let index = u32::from_be_bytes(<[u8; 4]>::try_from(&*payload).map_err(|_| wrong())?);
                self.exists(index)?;
                News::DontHave(index)
            }
            Extension::UploadOnly => {
                let &[on] = &*payload else { return Err(wrong().into()) };
                News::UploadOnly(on != 0)
            }
            Extension::UtPex => {
                News::Pex(PexMessage::parse(&payload, PEX_PEERS_MAX).map_err(|error| broken(&error))?)
            }
            Extension::UtHolepunch => {
                News::Holepunch(HolepunchMessage::parse(&payload).map_err(|error| broken(&error))?)
            }
            Extension::UtMetadata => {
                match MetadataMessage::parse(&payload).map_err(|error| broken(&error))? {
                    MetadataMessage::Request { piece } => News::MetadataRequest(piece),
                    MetadataMessage::Reject { piece } => News::MetadataReject(piece),
                    MetadataMessage::Data { piece, total_size, data } => {
                        let data = payload.slice(payload.len() - data.len(), payload.len());
                        News::MetadataData { piece, total_size, data }
                    }
                    MetadataMessage::Unknown => return Ok(None),
                }
            }
        }))
    }

    fn amend(&mut self, m: &[(String, u8)]) {
        for (name, number) in m {
            self.theirs.retain(|(known, _)| known != name);
            if *number != 0 && self.theirs.len() < EXTENSIONS_MAX {
                self.theirs.push((name.clone(), *number));
            }
        }
    }
}

/// All names of an extension handshake, known here or not.
fn names(payload: &[u8]) -> Vec<(String, u8)> {
    let Ok(document) = Document::decode(payload) else { return Vec::new() };
    let Some(m) = document.root().as_dict().and_then(|root| root.get(b"m")?.as_dict()) else {
        return Vec::new();
    };
    let named = |(name, number): (&[u8], millstream_core::wire::bencode::Value<'_, '_>)| {
        Some((core::str::from_utf8(name).ok()?.to_owned(), u8::try_from(number.as_int()?).ok()?))
    };
    m.iter().take(EXTENSIONS_MAX).filter_map(named).collect()
}

impl News {
    /// As Python has it.
    pub(super) fn value(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Handshake { m, told } => handshake(py, &m, &told),
            Self::MetadataRequest(piece) => class(py, "MetadataRequest")?.call1((piece,)),
            Self::MetadataReject(piece) => class(py, "MetadataReject")?.call1((piece,)),
            Self::MetadataData { piece, total_size, data } => {
                class(py, "MetadataData")?.call1((piece, total_size, &data[..]))
            }
            Self::Pex(message) => {
                let peer = |peer: &PexPeer| class(py, "PexPeer")?.call1((address(peer.addr), peer.flags.0));
                let added = message.added.iter().map(peer).collect::<PyResult<Vec<_>>>()?;
                let dropped = message.dropped.iter().map(|&addr| address(addr));
                class(py, "Pex")?.call1((PyTuple::new(py, added)?, PyTuple::new(py, dropped)?))
            }
            Self::Holepunch(message) => {
                let (kind, addr, error) = match message {
                    HolepunchMessage::Rendezvous(addr) => ("rendezvous", addr, 0),
                    HolepunchMessage::Connect(addr) => ("connect", addr, 0),
                    HolepunchMessage::Failed(addr, why) => ("failed", addr, code(why)),
                };
                class(py, "Holepunch")?.call1((kind, address(addr), error))
            }
            Self::DontHave(index) => class(py, "DontHave")?.call1((index,)),
            Self::UploadOnly(on) => class(py, "UploadOnly")?.call1((on,)),
            Self::Other { name, payload } => class(py, "Extended")?.call1((name, &payload[..])),
        }
    }
}

fn handshake<'py>(
    py: Python<'py>,
    m: &[(String, u8)],
    told: &ExtensionHandshake,
) -> PyResult<Bound<'py, PyAny>> {
    let (fields, names) = (PyDict::new(py), PyDict::new(py));
    m.iter().try_for_each(|(name, number)| names.set_item(name, number))?;
    fields.set_item("m", names)?;
    fields.set_item("v", told.v.as_deref())?;
    fields.set_item("p", told.p)?;
    fields.set_item("reqq", told.reqq)?;
    fields.set_item("yourip", told.yourip.map(|ip| ip.to_string()))?;
    fields.set_item("ipv4", told.ipv4.map(|ip| ip.to_string()))?;
    fields.set_item("ipv6", told.ipv6.map(|ip| ip.to_string()))?;
    fields.set_item("metadata_size", told.metadata_size)?;
    fields.set_item("upload_only", told.upload_only)?;
    fields.set_item("encrypts", told.e)?;
    class(py, "ExtensionHandshake")?.call((), Some(&fields))
}

fn code(why: HolepunchRefusal) -> u32 {
    match why {
        HolepunchRefusal::NoSuchPeer => 1,
        HolepunchRefusal::NotConnected => 2,
        HolepunchRefusal::NoSupport => 3,
        HolepunchRefusal::NoSelf => 4,
        HolepunchRefusal::Other(code) => code,
    }
}

fn refusal(code: u32) -> HolepunchRefusal {
    match code {
        1 => HolepunchRefusal::NoSuchPeer,
        2 => HolepunchRefusal::NotConnected,
        3 => HolepunchRefusal::NoSupport,
        4 => HolepunchRefusal::NoSelf,
        other => HolepunchRefusal::Other(other),
    }
}

/// `HashRequest` or `HashReject` as Python has it.
pub(super) fn hash_range<'py>(py: Python<'py>, name: &str, range: HashRange) -> PyResult<Bound<'py, PyAny>> {
    let HashRange { pieces_root, base_layer, index, length, proof_layers } = range;
    class(py, name)?.call1((&pieces_root[..], base_layer, index, length, proof_layers))
}

/// `Hashes` as Python has it.
pub(super) fn hashes<'py>(py: Python<'py>, range: HashRange, hashes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let HashRange { pieces_root, base_layer, index, length, proof_layers } = range;
    let hashes = PyTuple::new(py, hashes.chunks_exact(32))?;
    class(py, "Hashes")?.call1((&pieces_root[..], base_layer, index, length, proof_layers, hashes))
}

/// A message of the dataclasses, read, on its way out.
pub(super) enum Told {
    Bitfield(Vec<u8>),
    Unknown {
        id: u8,
        payload: Vec<u8>,
    },
    Hashes {
        range: HashRange,
        hashes: Vec<u8>,
    },
    HashRequest(HashRange),
    HashReject(HashRange),
    /// The fields of an extension handshake; our own extensions if it names none.
    Handshake {
        payload: Vec<u8>,
        names: bool,
    },
    /// A message of an extension.
    Extended {
        name: String,
        payload: Vec<u8>,
    },
}

impl Told {
    /// Reads one of the dataclasses; `None` if it is none of them.
    pub(super) fn read(message: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = message.py();
        let kind = message.get_type();
        let name = kind.name()?;
        let name = name.to_string_lossy();
        if !class(py, &name).is_ok_and(|known| known.is(&kind)) {
            return Ok(None);
        }
        let field = |name: &str| message.getattr(name);
        let extended = |extension: Extension, payload: Vec<u8>| {
            Some(Self::Extended { name: extension.name().to_owned(), payload })
        };
        let metadata = |message: MetadataMessage<'_>| extended(Extension::UtMetadata, message.encode());
        Ok(match &*name {
            "Bitfield" => Some(Self::Bitfield(take(&field("bits")?)?)),
            "Unknown" => {
                Some(Self::Unknown { id: number(message, "id")?, payload: take(&field("payload")?)? })
            }
            "HashRequest" => Some(Self::HashRequest(range(message)?)),
            "HashReject" => Some(Self::HashReject(range(message)?)),
            "Hashes" => {
                let mut hashes = Vec::new();
                for hash in field("hashes")?.try_iter()? {
                    hashes.extend_from_slice(&outcomes::digest::<32>(&hash?)?);
                }
                Some(Self::Hashes { range: range(message)?, hashes })
            }
            "ExtensionHandshake" => Some(own_handshake(message)?),
            "MetadataRequest" => metadata(MetadataMessage::Request { piece: number(message, "piece")? }),
            "MetadataReject" => metadata(MetadataMessage::Reject { piece: number(message, "piece")? }),
            "MetadataData" => {
                let (data, total_size) = (take(&field("data")?)?, number(message, "total_size")?);
                if data.len() > METADATA_PIECE_BYTES {
                    return Err(PyValueError::new_err("a piece of metadata has at most 16 KiB"));
                }
                metadata(MetadataMessage::Data { piece: number(message, "piece")?, total_size, data: &data })
            }
            "Pex" => extended(Extension::UtPex, pex(message)?.encode()),
            "Holepunch" => extended(Extension::UtHolepunch, holepunch(message)?.encode()),
            "DontHave" => {
                let index: u32 = number(message, "index")?;
                extended(Extension::LtDontHave, index.to_be_bytes().into())
            }
            "UploadOnly" => extended(Extension::UploadOnly, vec![u8::from(field("on")?.extract::<bool>()?)]),
            "Extended" => {
                Some(Self::Extended { name: field("name")?.extract()?, payload: take(&field("payload")?)? })
            }
            _ => None,
        })
    }

    /// Appends it, if it may be sent.
    pub(super) fn encode(self, inner: &Inner, begun: &mut bool, out: &mut Vec<u8>) -> Result<(), String> {
        let message = match &self {
            Self::Bitfield(_) if *begun => return Err("what we have is told first, and once".to_owned()),
            Self::Bitfield(bits) => Message::Bitfield(bits),
            Self::Hashes { range, hashes } => Message::Hashes { range: *range, hashes },
            Self::HashRequest(range) => Message::HashRequest(*range),
            Self::HashReject(range) => Message::HashReject(*range),
            Self::Unknown { id, payload } => {
                inner.may_send()?;
                if is_known(*id) {
                    return Err(format!("message {id} has a class of its own"));
                }
                *begun = true;
                out.extend_from_slice(&(payload.len() as u32 + 1).to_be_bytes());
                out.push(*id);
                out.extend_from_slice(payload);
                return Ok(());
            }
            // these may come before what we have is told
            Self::Handshake { payload, names } => {
                inner.may_extend()?;
                let payload = if *names { payload.clone() } else { inner.with_names(payload) };
                Message::Extended { id: 0, payload: &payload }.encode(out);
                return Ok(());
            }
            Self::Extended { name, payload } => {
                inner.may_extend()?;
                let number = inner.theirs.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
                let id = number.ok_or_else(|| format!("the peer doesn't speak {name:?}"))?;
                Message::Extended { id, payload }.encode(out);
                return Ok(());
            }
        };
        inner.may_say(&message)?;
        *begun = true;
        message.encode(out);
        Ok(())
    }
}

impl Inner {
    /// An extension handshake whose `m`, which is empty, names what we speak.
    fn with_names(&self, payload: &[u8]) -> Vec<u8> {
        let mut names = self.ours.clone();
        names.sort();
        let mut m = b"1:md".to_vec();
        for (name, number) in names {
            m.extend_from_slice(format!("{}:{name}i{number}e", name.len()).as_bytes());
        }
        m.push(b'e');
        let empty = b"1:mde";
        let at = payload.windows(empty.len()).position(|here| here == empty).unwrap_or(payload.len());
        let (before, after) = payload.split_at(at);
        [before, &m, after.get(empty.len()..).unwrap_or_default()].concat()
    }
}

/// What is no message at all.
pub(super) fn no_message(object: &Bound<'_, PyAny>) -> PyErr {
    match object.get_type().name() {
        Ok(name) => PyTypeError::new_err(format!("{name} is no message that `send` takes")),
        Err(error) => error,
    }
}

fn is_known(number: u8) -> bool {
    matches!(number, id::CHOKE..=id::PORT | id::SUGGEST..=id::ALLOWED_FAST | id::EXTENDED..=id::HASH_REJECT)
}

fn range(message: &Bound<'_, PyAny>) -> PyResult<HashRange> {
    let number = |name: &str| number::<u32>(message, name);
    Ok(HashRange {
        pieces_root: outcomes::digest(&message.getattr("pieces_root")?)?,
        base_layer: number("base_layer")?,
        index: number("index")?,
        length: number("length")?,
        proof_layers: number("proof_layers")?,
    })
}

fn own_handshake(message: &Bound<'_, PyAny>) -> PyResult<Told> {
    let py = message.py();
    let fields = PyDict::new(py);
    for (key, name) in [("v", "v"), ("p", "p"), ("reqq", "reqq"), ("metadata_size", "metadata_size")] {
        let value = message.getattr(name)?;
        if !value.is_none() {
            fields.set_item(key, value)?;
        }
    }
    for (key, name) in [("upload_only", "upload_only"), ("e", "encrypts")] {
        if let Some(on) = message.getattr(name)?.extract::<Option<bool>>()? {
            fields.set_item(key, u8::from(on))?;
        }
    }
    for name in ["yourip", "ipv4", "ipv6"] {
        let Some(ip) = message.getattr(name)?.extract::<Option<String>>()? else { continue };
        let ip = ip.parse().map_err(|_| PyValueError::new_err(format!("{ip:?} is not an IP address")))?;
        let octets = match ip {
            core::net::IpAddr::V4(ip) => PyBytes::new(py, &ip.octets()),
            core::net::IpAddr::V6(ip) => PyBytes::new(py, &ip.octets()),
        };
        fields.set_item(name, octets)?;
    }
    let m = message.getattr("m")?;
    let names = !m.is_none();
    fields.set_item("m", if names { m } else { PyDict::new(py).into_any() })?;
    let mut payload = Vec::new();
    bencode::write(&fields, &mut payload, 3)?;
    Ok(Told::Handshake { payload, names })
}

fn pex(message: &Bound<'_, PyAny>) -> PyResult<PexMessage> {
    let mut told = PexMessage::default();
    for peer in message.getattr("added")?.try_iter()? {
        let peer = peer?;
        let flags = PexFlags(number(&peer, "flags")?);
        told.added.push(PexPeer { addr: take_address(&peer.getattr("addr")?)?, flags });
    }
    for addr in message.getattr("dropped")?.try_iter()? {
        told.dropped.push(take_address(&addr?)?);
    }
    Ok(told)
}

fn holepunch(message: &Bound<'_, PyAny>) -> PyResult<HolepunchMessage> {
    let addr = take_address(&message.getattr("addr")?)?;
    let kind: String = message.getattr("kind")?.extract()?;
    match kind.as_str() {
        "rendezvous" => Ok(HolepunchMessage::Rendezvous(addr)),
        "connect" => Ok(HolepunchMessage::Connect(addr)),
        "failed" => Ok(HolepunchMessage::Failed(addr, refusal(message.getattr("error")?.extract()?))),
        _ => Err(PyValueError::new_err(format!("{kind:?} is no kind of holepunch message"))),
    }
}
