//! A message to bytes, keys in order. Written by hand and not through a tree: a node answers thousands a second.

use super::{Body, Message, Method, Query, Response, WantNodes};
use crate::wire::tracker::write_compact;
use alloc::vec::Vec;

/// Appends the packet.
pub(super) fn message(message: &Message<'_>, out: &mut Vec<u8>) {
    out.push(b'd');
    match &message.body {
        Body::Query(query) => arguments(query, out),
        Body::Error { code, message } => {
            out.extend_from_slice(b"1:el");
            int(out, *code);
            string(out, message);
            out.push(b'e');
        }
        Body::Response(_) => {}
    }
    if let Some(ip) = message.ip {
        out.extend_from_slice(if ip.is_ipv4() { b"2:ip6:" } else { b"2:ip18:" });
        write_compact(out, ip);
    }
    match &message.body {
        Body::Query(query) => {
            out.extend_from_slice(b"1:q");
            string(out, query.method.name());
        }
        Body::Response(values) => response(values, out),
        Body::Error { .. } => {}
    }
    if message.read_only {
        out.extend_from_slice(b"2:roi1e");
    }
    out.extend_from_slice(b"1:t");
    string(out, message.transaction);
    if let Some(version) = message.version {
        out.extend_from_slice(b"1:v");
        string(out, version);
    }
    out.extend_from_slice(match message.body {
        Body::Query(_) => b"1:y1:qe",
        Body::Response(_) => b"1:y1:re",
        Body::Error { .. } => b"1:y1:ee",
    });
}

impl<'a> Method<'a> {
    /// The name that a packet calls it by.
    pub fn name(&self) -> &'a [u8] {
        match self {
            Self::Ping => b"ping",
            Self::FindNode { .. } => b"find_node",
            Self::GetPeers { .. } => b"get_peers",
            Self::AnnouncePeer { .. } => b"announce_peer",
            Self::Get { .. } => b"get",
            Self::Put { .. } => b"put",
            Self::SampleInfohashes { .. } => b"sample_infohashes",
            Self::Other { name, .. } => name,
        }
    }
}

fn arguments(query: &Query<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"1:ad");
    if let Method::Put { cas: Some(cas), .. } = query.method {
        key_int(out, "cas", cas);
    }
    key(out, "id", &query.id.0);
    match query.method {
        Method::Ping => {}
        Method::FindNode { target } | Method::SampleInfohashes { target } => key(out, "target", &target.0),
        Method::GetPeers { info_hash, no_seed, scrape } => {
            key(out, "info_hash", &info_hash.0);
            flag(out, "noseed", no_seed);
            flag(out, "scrape", scrape);
        }
        Method::AnnouncePeer { info_hash, port, token, seed } => {
            flag(out, "implied_port", port.is_none());
            key(out, "info_hash", &info_hash.0);
            if let Some(port) = port {
                key_int(out, "port", i64::from(port));
            }
            flag(out, "seed", seed);
            key(out, "token", token);
        }
        Method::Get { target, seq } => {
            if let Some(seq) = seq {
                key_int(out, "seq", seq);
            }
            key(out, "target", &target.0);
        }
        Method::Put { token, value, signed, .. } => {
            if let Some(signed) = signed {
                key(out, "k", signed.key);
                if !signed.salt.is_empty() {
                    key(out, "salt", signed.salt);
                }
                key_int(out, "seq", signed.seq);
                key(out, "sig", signed.signature);
            }
            key(out, "token", token);
            out.extend_from_slice(b"1:v");
            out.extend_from_slice(value);
        }
        Method::Other { target, .. } => {
            if let Some(target) = target {
                key(out, "target", &target.0);
            }
        }
    }
    if let Some(WantNodes { v4, v6 }) = query.want {
        out.extend_from_slice(b"4:wantl");
        if v4 {
            out.extend_from_slice(b"2:n4");
        }
        if v6 {
            out.extend_from_slice(b"2:n6");
        }
        out.push(b'e');
    }
    out.push(b'e');
}

fn response(values: &Response<'_>, out: &mut Vec<u8>) {
    let bytes = |out: &mut Vec<u8>, name: &str, value: Option<&[u8]>| {
        if let Some(value) = value {
            key(out, name, value);
        }
    };
    let ints = |out: &mut Vec<u8>, name: &str, value: Option<i64>| {
        if let Some(value) = value {
            key_int(out, name, value);
        }
    };
    out.extend_from_slice(b"1:rd");
    bytes(out, "BFpe", values.peers.map(|filter| &filter[..]));
    bytes(out, "BFsd", values.seeds.map(|filter| &filter[..]));
    key(out, "id", &values.id.0);
    ints(out, "interval", values.interval);
    bytes(out, "k", values.key.map(|public| &public[..]));
    bytes(out, "nodes", values.nodes.0);
    bytes(out, "nodes6", values.nodes6.0);
    ints(out, "num", values.num);
    bytes(out, "samples", values.samples);
    ints(out, "seq", values.seq);
    bytes(out, "sig", values.signature.map(|signature| &signature[..]));
    bytes(out, "token", values.token);
    if let Some(value) = values.value {
        out.extend_from_slice(b"1:v");
        out.extend_from_slice(value);
    }
    if values.values.is_present() {
        out.extend_from_slice(b"6:values");
        out.extend_from_slice(values.values.raw());
    }
    out.push(b'e');
}

fn key(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    string(out, name.as_bytes());
    string(out, value);
}

fn key_int(out: &mut Vec<u8>, name: &str, value: i64) {
    string(out, name.as_bytes());
    int(out, value);
}

fn flag(out: &mut Vec<u8>, name: &str, set: bool) {
    if set {
        key_int(out, name, 1);
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    decimal(out, bytes.len() as u64);
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn int(out: &mut Vec<u8>, value: i64) {
    out.push(b'i');
    if value < 0 {
        out.push(b'-');
    }
    decimal(out, value.unsigned_abs());
    out.push(b'e');
}

fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (value % 10) as u8);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}
