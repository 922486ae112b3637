//! Bytes to a message: one pass over each dictionary, fields borrowed.

use super::compact::address;
use super::{
    Body, DATAGRAM_READ_BYTES_MAX, Found, KrpcError, LIMITS, Message, Method, NodeId, Nodes4, Nodes6, Query,
    Response, Signed, Values, WantNodes,
};
use crate::wire::InfoHash;
use crate::wire::bencode::{BencodeError, BencodeErrorKind, Dict, Document, Value};

/// Reads a datagram.
pub(super) fn message(bytes: &[u8]) -> Result<Message<'_>, KrpcError> {
    if bytes.len() > DATAGRAM_READ_BYTES_MAX {
        return Err(KrpcError::TooLong(bytes.len()));
    }
    let document = Document::decode_within(bytes, &LIMITS)?;
    let root = document.dict()?;
    let (mut transaction, mut version, mut ip, mut read_only) = (None, None, None, false);
    let (mut kind, mut name, mut arguments, mut response, mut error) = (None, None, None, None, None);
    for (key, value) in root.iter() {
        match key {
            b"t" => transaction = Some(value.bytes_of("t")?),
            b"v" => version = value.as_bytes(),
            b"ip" => ip = value.as_bytes().and_then(address),
            b"ro" => read_only = value.as_int() == Some(1),
            b"y" => kind = value.as_bytes(),
            b"q" => name = value.as_bytes(),
            b"a" => arguments = value.as_dict(),
            b"r" => response = value.as_dict(),
            b"e" => error = Some(value),
            _ => {}
        }
    }
    let transaction = transaction.ok_or(missing("t", root))?;
    let body = match kind {
        Some(b"q") => {
            let name = name.ok_or(missing("q", root))?;
            Body::Query(query(name, arguments.ok_or(missing("a", root))?)?)
        }
        Some(b"r") => Body::Response(self::response(response.ok_or(missing("r", root))?)?),
        Some(b"e") => self::error(error),
        Some(_) | None => return Err(KrpcError::Kind),
    };
    Ok(Message { transaction, version, ip, read_only, body })
}

fn missing(key: &'static str, of: Dict<'_, '_>) -> BencodeError {
    BencodeError::new(of.value().offset(), BencodeErrorKind::Missing(key))
}

/// A code and a text; some send only one of them, or the text alone.
fn error<'a>(value: Option<Value<'_, 'a>>) -> Body<'a> {
    let (mut code, mut message) = (super::code::GENERIC, &b""[..]);
    for item in value.and_then(Value::as_list).into_iter().flatten().take(2) {
        code = item.as_int().unwrap_or(code);
        message = item.as_bytes().unwrap_or(message);
    }
    Body::Error { code, message }
}

/// The arguments of all methods, as far as they are there.
#[derive(Default)]
struct Arguments<'t, 'a> {
    id: Option<Value<'t, 'a>>,
    target: Option<Value<'t, 'a>>,
    info_hash: Option<Value<'t, 'a>>,
    port: Option<Value<'t, 'a>>,
    implied: bool,
    token: Option<Value<'t, 'a>>,
    seed: bool,
    no_seed: bool,
    scrape: bool,
    want: Option<WantNodes>,
    value: Option<Value<'t, 'a>>,
    key: Option<Value<'t, 'a>>,
    salt: Option<Value<'t, 'a>>,
    seq: Option<Value<'t, 'a>>,
    cas: Option<Value<'t, 'a>>,
    signature: Option<Value<'t, 'a>>,
}

impl<'t, 'a> Arguments<'t, 'a> {
    fn gather(dict: Dict<'t, 'a>) -> Self {
        let mut out = Self::default();
        let flag = |value: Value<'_, '_>| value.as_int().is_some_and(|n| n != 0);
        for (key, value) in dict.iter() {
            match key {
                b"id" => out.id = Some(value),
                b"target" => out.target = Some(value),
                b"info_hash" => out.info_hash = Some(value),
                b"port" => out.port = Some(value),
                b"implied_port" => out.implied = flag(value),
                b"token" => out.token = Some(value),
                b"seed" => out.seed = value.as_int() == Some(1),
                b"noseed" => out.no_seed = value.as_int() == Some(1),
                b"scrape" => out.scrape = value.as_int() == Some(1),
                b"want" => out.want = want(value),
                b"v" => out.value = Some(value),
                b"k" => out.key = Some(value),
                b"salt" => out.salt = Some(value),
                b"seq" => out.seq = Some(value),
                b"cas" => out.cas = Some(value),
                b"sig" => out.signature = Some(value),
                _ => {}
            }
        }
        out
    }
}

fn query<'t, 'a>(name: &'a [u8], dict: Dict<'t, 'a>) -> Result<Query<'a>, KrpcError> {
    let need = |key: &'static str, value: Option<Value<'t, 'a>>| value.ok_or(missing(key, dict));
    let args = Arguments::gather(dict);
    let id = NodeId(*array(("id", need("id", args.id)?))?);
    let target = |args: &Arguments<'t, 'a>| -> Result<NodeId, KrpcError> {
        Ok(NodeId(*array(("target", need("target", args.target)?))?))
    };
    let info_hash = |args: &Arguments<'t, 'a>| -> Result<InfoHash, KrpcError> {
        Ok(InfoHash(*array(("info_hash", need("info_hash", args.info_hash)?))?))
    };
    let method = match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: target(&args)? },
        b"get_peers" => {
            let (no_seed, scrape) = (args.no_seed, args.scrape);
            Method::GetPeers { info_hash: info_hash(&args)?, no_seed, scrape }
        }
        b"announce_peer" => {
            let port = if args.implied { None } else { Some(port(need("port", args.port)?)?) };
            let token = need("token", args.token)?.bytes_of("token")?;
            Method::AnnouncePeer { info_hash: info_hash(&args)?, port, token, seed: args.seed }
        }
        b"get" => Method::Get { target: target(&args)?, seq: int(("seq", args.seq))? },
        b"put" => Method::Put {
            token: need("token", args.token)?.bytes_of("token")?,
            value: need("v", args.value)?.raw(),
            cas: int(("cas", args.cas))?,
            signed: match args.key {
                None => None,
                Some(key) => Some(Signed {
                    key: array(("k", key))?,
                    salt: args.salt.map_or(Ok(&b""[..]), |salt| salt.bytes_of("salt"))?,
                    seq: need("seq", args.seq)?.int_of("seq")?,
                    signature: array(("sig", need("sig", args.signature)?))?,
                }),
            },
        },
        b"sample_infohashes" => Method::SampleInfohashes { target: target(&args)? },
        _ => {
            let point = args.target.or(args.info_hash);
            let target = point.and_then(|value| array(("target", value)).ok()).copied().map(NodeId);
            Method::Other { name, target }
        }
    };
    Ok(Query { id, method, want: args.want })
}

fn response<'a>(dict: Dict<'_, 'a>) -> Result<Response<'a>, KrpcError> {
    let mut out = Response::default();
    let mut id = None;
    for (key, value) in dict.iter() {
        match key {
            b"id" => id = Some(NodeId(*array(("id", value))?)),
            b"nodes" => out.nodes = Nodes4(value.as_bytes()),
            b"nodes6" => out.nodes6 = Nodes6(value.as_bytes()),
            b"token" => out.token = value.as_bytes(),
            b"values" => out.values = value.as_list().map(|_| Values::of(value)).unwrap_or_default(),
            b"BFsd" => out.seeds = value.as_bytes().and_then(|bytes| bytes.try_into().ok()),
            b"BFpe" => out.peers = value.as_bytes().and_then(|bytes| bytes.try_into().ok()),
            b"v" => out.value = Some(value.raw()),
            b"k" => out.key = value.as_bytes().and_then(|bytes| bytes.try_into().ok()),
            b"seq" => out.seq = value.as_int(),
            b"sig" => out.signature = value.as_bytes().and_then(|bytes| bytes.try_into().ok()),
            b"interval" => out.interval = value.as_int(),
            b"num" => out.num = value.as_int(),
            b"samples" => out.samples = value.as_bytes(),
            _ => {}
        }
    }
    out.id = id.ok_or(missing("id", dict))?;
    Ok(out)
}

/// BEP 32: unknown strings are passed over; a list of none that we know asks for nothing.
fn want(value: Value<'_, '_>) -> Option<WantNodes> {
    let mut out = WantNodes::default();
    for item in value.as_list()? {
        match item.as_bytes() {
            Some(b"n4") => out.v4 = true,
            Some(b"n6") => out.v6 = true,
            Some(_) | None => {}
        }
    }
    Some(out)
}

fn port(value: Value<'_, '_>) -> Result<u16, KrpcError> {
    let port = value.uint_of("port")?;
    let range = BencodeError::new(value.offset(), BencodeErrorKind::Range("port"));
    Ok(u16::try_from(port).map_err(|_| range)?)
}

fn int((key, value): (&'static str, Option<Value<'_, '_>>)) -> Result<Option<i64>, KrpcError> {
    Ok(value.map(|value| value.int_of(key)).transpose()?)
}

fn array<'a, const N: usize>((key, value): Found<'_, 'a>) -> Result<&'a [u8; N], KrpcError> {
    let bytes = value.bytes_of(key)?;
    bytes.try_into().map_err(|_| KrpcError::Length { key, length: bytes.len() })
}
