//! The saved form: a magic line, the body's length, a bencoded body, and the SHA-256 of all of it. The frame never
//! changes; what the body means is said by its `version`. What is torn or flipped anywhere fails the checksum, and what
//! passes it must be, byte for byte, what we would write ourselves.

use super::{FileSaved, PEERS_MAX, Resume, Stamp};
use crate::base::Bits;
use crate::wire::{InfoHash, InfoHashV2};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bendy::decoding::{Decoder, FromBencode as _};
use bendy::encoding::Encoder;
use bendy::value::Value;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

const MAGIC: &[u8] = b"millstream resume\n";
const HEAD: usize = MAGIC.len() + 8;
const SUM: usize = 32;
const VERSION: i64 = 1;
/// How deep the body's containers nest: the dictionary, the tiers, a tier.
const DEPTH: usize = 3;
const FILE: usize = 18;
const PEER: usize = 18;

/// Why bytes are no resume data that we can use. Nobody's fault but the disk's, or a newer program's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResumeError {
    /// It doesn't start as resume data does.
    #[error("no resume data: the first bytes are others than ours")]
    Magic,
    /// It ends too early.
    #[error("resume data is cut off: {got} bytes where {wanted} belong")]
    Truncated {
        /// Bytes there are.
        got: u64,
        /// Bytes that belong.
        wanted: u64,
    },
    /// Something follows its end.
    #[error("resume data is followed by {0} bytes that don't belong to it")]
    Trailing(u64),
    /// Its bytes are others than those that were saved.
    #[error("resume data is damaged: its checksum is wrong")]
    Checksum,
    /// Another version wrote it, probably a newer one.
    #[error("resume data of version {0}; this program reads version 1")]
    Version(i64),
    /// Its body is no bencoding.
    #[error("resume data whose body is no bencoded dictionary")]
    Body,
    /// A key is missing or holds something that can't be.
    #[error("resume data with a bad `{key}`, at byte {offset} of its value")]
    Key {
        /// Which key.
        key: &'static str,
        /// Bytes from the start of its value.
        offset: usize,
    },
    /// All keys are fine, but the bytes are not the ones that we would write: unknown keys or trailing bytes.
    #[error("resume data that says more than its version knows")]
    NotCanonical,
}

/// The bytes to save.
pub fn encode(resume: &Resume) -> Vec<u8> {
    let body = body(resume);
    let mut out = Vec::with_capacity(HEAD + body.len() + SUM);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    out.extend_from_slice(&body);
    let sum = Sha256::digest(&out);
    out.extend_from_slice(&sum);
    out
}

/// Reads what [`encode`] wrote, whole and unchanged; anything else is an error.
pub fn decode(bytes: &[u8]) -> Result<Resume, ResumeError> {
    let body = open(bytes)?;
    let mut decoder = Decoder::new(body).with_max_depth(DEPTH);
    let Ok(Some(object)) = decoder.next_object() else { return Err(ResumeError::Body) };
    let Ok(Value::Dict(dict)) = Value::decode_bencode_object(object) else { return Err(ResumeError::Body) };
    let dict = Dict(dict);
    match dict.int("version") {
        Ok(VERSION) => {}
        Ok(other) => return Err(ResumeError::Version(other)),
        Err(error) => return Err(error),
    }
    let resume = read(&dict)?;
    if self::body(&resume) != body {
        return Err(ResumeError::NotCanonical);
    }
    Ok(resume)
}

/// Checks the frame; answers the body.
fn open(bytes: &[u8]) -> Result<&[u8], ResumeError> {
    let start = bytes.get(..MAGIC.len().min(bytes.len())).unwrap_or_default();
    if !MAGIC.starts_with(start) {
        return Err(ResumeError::Magic);
    }
    let got = bytes.len() as u64;
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        return Err(ResumeError::Truncated { got, wanted: (HEAD + SUM) as u64 });
    };
    let length = head.last_chunk().map_or(0, |raw| u64::from_be_bytes(*raw));
    let wanted = length.saturating_add((HEAD + SUM) as u64);
    if got < wanted {
        return Err(ResumeError::Truncated { got, wanted });
    }
    if got > wanted {
        return Err(ResumeError::Trailing(got - wanted));
    }
    let (body, sum) = rest.split_at(rest.len() - SUM);
    let (summed, _) = bytes.split_at(bytes.len() - SUM);
    if Sha256::digest(summed)[..] != *sum {
        return Err(ResumeError::Checksum);
    }
    Ok(body)
}

fn body(resume: &Resume) -> Vec<u8> {
    let mut dict = BTreeMap::new();
    let mut put = |key: &'static str, value: Value<'static>| {
        dict.insert(Cow::Borrowed(key.as_bytes()), value);
    };
    put("version", Value::Integer(VERSION));
    if let Some(hash) = resume.v1 {
        put("v1", bytes(&hash.0));
    }
    if let Some(hash) = resume.v2 {
        put("v2", bytes(&hash.0));
    }
    if let Some(info) = &resume.info {
        put("info", bytes(info));
    }
    if let Some(completed) = resume.completed {
        put("completed", number(completed));
    }
    put("name", bytes(resume.name.as_bytes()));
    put("save path", bytes(resume.save_path.as_bytes()));
    put("piece count", number(u64::from(resume.verified.len())));
    put("verified", bytes(&resume.verified.to_bytes()));
    put("files", bytes(&resume.files.iter().flat_map(pack_file).collect::<Vec<u8>>()));
    put("uploaded", number(resume.uploaded));
    put("downloaded", number(resume.downloaded));
    put("added", number(resume.added));
    put("trackers", Value::List(resume.trackers.iter().map(|tier| strings(tier)).collect()));
    put("web seeds", strings(&resume.web_seeds));
    let layers = resume.piece_layers.iter();
    put("piece layers", Value::Dict(layers.map(|(root, l)| (Cow::Owned(root.to_vec()), bytes(l))).collect()));
    put("peers", bytes(&resume.peers.iter().take(PEERS_MAX).flat_map(pack_peer).collect::<Vec<u8>>()));
    put("clean", number(u64::from(resume.clean)));
    let mut encoder = Encoder::new().with_max_depth(DEPTH);
    let done = encoder.emit(Value::Dict(dict)).and_then(|()| encoder.get_output());
    done.expect("a dictionary with sorted keys, 3 deep, always encodes")
}

fn read(dict: &Dict<'_>) -> Result<Resume, ResumeError> {
    let pieces = u32::try_from(dict.number("piece count")?).map_err(|_| bad("piece count", 0))?;
    let v1 = dict.optional("v1", |d, k| d.array(k).map(InfoHash))?;
    let v2 = dict.optional("v2", |d, k| d.array(k).map(InfoHashV2))?;
    if v1.is_none() && v2.is_none() {
        return Err(bad("v1", 0));
    }
    Ok(Resume {
        v1,
        v2,
        name: dict.text("name")?,
        info: dict.optional("info", |d, k| d.bytes(k).map(<[u8]>::to_vec))?,
        save_path: dict.text("save path")?,
        verified: Bits::from_bytes(dict.bytes("verified")?, pieces).map_err(|_| bad("verified", 0))?,
        files: dict.packed("files", FILE, unpack_file)?,
        uploaded: dict.number("uploaded")?,
        downloaded: dict.number("downloaded")?,
        added: dict.number("added")?,
        completed: dict.optional("completed", Dict::number)?,
        trackers: list(dict.get("trackers")?, "trackers")?
            .iter()
            .map(|tier| texts(tier, "trackers"))
            .collect::<Result<_, _>>()?,
        web_seeds: texts(dict.get("web seeds")?, "web seeds")?,
        piece_layers: dict.layers()?,
        peers: dict.packed("peers", PEER, unpack_peer)?,
        clean: match dict.number("clean")? {
            0 => false,
            1 => true,
            _ => return Err(bad("clean", 0)),
        },
    })
}

/// The body's dictionary, read key by key.
struct Dict<'a>(BTreeMap<Cow<'a, [u8]>, Value<'a>>);

impl<'a> Dict<'a> {
    fn get(&self, key: &'static str) -> Result<&Value<'a>, ResumeError> {
        self.0.get(key.as_bytes()).ok_or(bad(key, 0))
    }

    fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Self, &'static str) -> Result<T, ResumeError>,
    ) -> Result<Option<T>, ResumeError> {
        self.0.contains_key(key.as_bytes()).then(|| read(self, key)).transpose()
    }

    fn int(&self, key: &'static str) -> Result<i64, ResumeError> {
        match self.get(key)? {
            Value::Integer(n) => Ok(*n),
            Value::Bytes(_) | Value::List(_) | Value::Dict(_) => Err(bad(key, 0)),
        }
    }

    fn number(&self, key: &'static str) -> Result<u64, ResumeError> {
        u64::try_from(self.int(key)?).map_err(|_| bad(key, 0))
    }

    fn bytes(&self, key: &'static str) -> Result<&[u8], ResumeError> {
        match self.get(key)? {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Integer(_) | Value::List(_) | Value::Dict(_) => Err(bad(key, 0)),
        }
    }

    fn text(&self, key: &'static str) -> Result<String, ResumeError> {
        text(self.get(key)?, key)
    }

    fn array<const N: usize>(&self, key: &'static str) -> Result<[u8; N], ResumeError> {
        self.bytes(key)?.try_into().map_err(|_| bad(key, 0))
    }

    fn packed<T>(
        &self,
        key: &'static str,
        size: usize,
        unpack: fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, ResumeError> {
        let all = self.bytes(key)?.chunks(size).enumerate();
        all.map(|(n, raw)| unpack(raw).ok_or(bad(key, n * size))).collect()
    }

    fn layers(&self) -> Result<BTreeMap<[u8; 32], Vec<u8>>, ResumeError> {
        const KEY: &str = "piece layers";
        let Value::Dict(layers) = self.get(KEY)? else { return Err(bad(KEY, 0)) };
        let layer = |(root, layer): (&Cow<'_, [u8]>, &Value<'_>)| {
            let Value::Bytes(layer) = layer else { return Err(bad(KEY, 0)) };
            let root = root.as_ref().try_into().map_err(|_| bad(KEY, 0))?;
            if layer.len() % 32 == 0 { Ok((root, layer.to_vec())) } else { Err(bad(KEY, layer.len())) }
        };
        layers.iter().map(layer).collect()
    }
}

const fn bad(key: &'static str, offset: usize) -> ResumeError {
    ResumeError::Key { key, offset }
}

fn bytes(raw: &[u8]) -> Value<'static> {
    Value::Bytes(Cow::Owned(raw.to_vec()))
}

/// Numbers above 2^63 don't fit bencode's signed ones here; totals that large are cut, no one has them.
fn number(n: u64) -> Value<'static> {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn strings(all: &[String]) -> Value<'static> {
    Value::List(all.iter().map(|s| bytes(s.as_bytes())).collect())
}

fn list<'v, 'a>(value: &'v Value<'a>, key: &'static str) -> Result<&'v [Value<'a>], ResumeError> {
    match value {
        Value::List(items) => Ok(items),
        Value::Bytes(_) | Value::Integer(_) | Value::Dict(_) => Err(bad(key, 0)),
    }
}

fn text(value: &Value<'_>, key: &'static str) -> Result<String, ResumeError> {
    let Value::Bytes(raw) = value else { return Err(bad(key, 0)) };
    let text = core::str::from_utf8(raw).map_err(|error| bad(key, error.valid_up_to()))?;
    Ok(text.into())
}

fn texts(value: &Value<'_>, key: &'static str) -> Result<Vec<String>, ResumeError> {
    list(value, key)?.iter().map(|item| text(item, key)).collect()
}

/// Priority, whether it existed, length, modification time.
fn pack_file(file: &FileSaved) -> [u8; FILE] {
    let mut out = [0; FILE];
    let stamp = file.stamp.unwrap_or_default();
    (out[0], out[1]) = (file.priority, u8::from(file.stamp.is_some()));
    out[2..10].copy_from_slice(&stamp.length.to_be_bytes());
    out[10..].copy_from_slice(&stamp.modified_ns.to_be_bytes());
    out
}

fn unpack_file(raw: &[u8]) -> Option<FileSaved> {
    let (&[priority, existed], rest) = raw.split_first_chunk()?;
    let (length, modified) = rest.split_first_chunk()?;
    let stamp = Stamp {
        length: u64::from_be_bytes(*length),
        modified_ns: i64::from_be_bytes(modified.try_into().ok()?),
    };
    let stamp = match existed {
        0 => None,
        1 => Some(stamp),
        _ => return None,
    };
    Some(FileSaved { stamp, priority })
}

/// IPv6, or IPv4 in its mapped form, and the port.
fn pack_peer(peer: &SocketAddr) -> [u8; PEER] {
    let ip = match peer.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut out = [0; PEER];
    out[..16].copy_from_slice(&ip.octets());
    out[16..].copy_from_slice(&peer.port().to_be_bytes());
    out
}

fn unpack_peer(raw: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = raw.split_first_chunk::<16>()?;
    Some(SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), u16::from_be_bytes(port.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sample() -> Resume {
        let mut verified = Bits::new(11);
        assert!([0, 3, 10].into_iter().all(|piece| verified.set(piece)));
        Resume {
            v1: Some(InfoHash([1; 20])),
            v2: Some(InfoHashV2([2; 32])),
            name: "häuser".into(),
            info: Some(b"d4:name1:xe".to_vec()),
            save_path: "/data".into(),
            verified,
            files: vec![
                FileSaved { stamp: Some(Stamp { length: 5, modified_ns: -1 }), priority: 0 },
                FileSaved { stamp: None, priority: 7 },
            ],
            uploaded: 1 << 50,
            downloaded: 0,
            added: 1_700_000_000,
            completed: Some(1_700_000_001),
            trackers: vec![vec!["http://a/".into(), "udp://b:1".into()], vec![]],
            web_seeds: vec!["http://w/".into()],
            piece_layers: BTreeMap::from([([9; 32], vec![8; 64])]),
            peers: vec!["1.2.3.4:5".parse().unwrap(), "[2001:db8::1]:6".parse().unwrap()],
            clean: true,
        }
    }

    /// A whole frame, with a right checksum, round any body.
    fn framed(body: &[u8]) -> Vec<u8> {
        let mut out = [MAGIC, &(body.len() as u64).to_be_bytes(), body].concat();
        out.extend_from_slice(&Sha256::digest(&out));
        out
    }

    /// The sample's body with one change.
    fn changed(from: &str, to: &str) -> Result<Resume, ResumeError> {
        let body = body(&Resume { v2: None, name: "n".into(), ..sample() });
        let at = body.windows(from.len()).position(|w| w == from.as_bytes()).expect("the sample has it");
        decode(&framed(&[&body[..at], to.as_bytes(), &body[at + from.len()..]].concat()))
    }

    #[test]
    fn what_was_saved_is_read() {
        assert_eq!(decode(&encode(&sample())), Ok(sample()));
        let bare = Resume { v2: Some(InfoHashV2([2; 32])), ..Resume::default() };
        assert_eq!(decode(&encode(&bare)), Ok(bare));
    }

    #[test]
    fn no_single_flipped_bit_is_ever_read() {
        let good = encode(&sample());
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn no_torn_file_is_ever_read() {
        let good = encode(&sample());
        for length in 0..good.len() {
            let got = length as u64;
            let torn = decode(&good[..length]);
            assert!(
                matches!(torn, Err(ResumeError::Truncated { got: g, .. }) if g == got),
                "{length}: {torn:?}"
            );
            let zeroed = [&good[..length], &vec![0; good.len() - length]].concat();
            assert!(decode(&zeroed).is_err() || zeroed == good, "{length}");
        }
        assert_eq!(decode(&[&good[..], b"xy"].concat()), Err(ResumeError::Trailing(2)));
        assert_eq!(decode(b"d4:name1:xe"), Err(ResumeError::Magic));
    }

    #[test]
    fn a_newer_version_is_named() {
        assert_eq!(changed("7:versioni1e", "7:versioni2e"), Err(ResumeError::Version(2)));
        assert_eq!(decode(&framed(b"d7:versioni99e4:newsi1ee")), Err(ResumeError::Body), "unsorted keys");
        assert_eq!(decode(&framed(b"d4:newsi1e7:versioni99ee")), Err(ResumeError::Version(99)));
    }

    #[test]
    fn errors_name_the_key_and_the_place() {
        let key = |key, offset| Err(ResumeError::Key { key, offset });
        assert_eq!(
            changed("4:name1:n", "4:name1:\u{0}"),
            Ok(Resume { name: "\0".into(), v2: None, ..sample() })
        );
        assert_eq!(changed("4:name1:n", ""), key("name", 0));
        assert_eq!(changed("5:cleani1e", "5:cleani2e"), key("clean", 0));
        assert_eq!(changed("11:piece counti11e", "11:piece counti10e"), key("verified", 0));
        assert_eq!(changed("11:piece counti11e", "11:piece counti-1e"), key("piece count", 0));
    }

    #[test]
    fn unknown_keys_and_trailing_bytes_in_the_body_are_refused() {
        assert_eq!(changed("4:name1:n", "4:name1:n4:newsi1e"), Err(ResumeError::NotCanonical));
        let body = [&body(&sample())[..], b"i1e"].concat();
        assert!(decode(&framed(&body)).is_err());
    }

    #[test]
    fn saved_peers_are_bounded() {
        let peer: SocketAddr = "1.2.3.4:5".parse().unwrap();
        let many = Resume { peers: vec![peer; 1000], ..sample() };
        assert_eq!(decode(&encode(&many)).unwrap().peers.len(), PEERS_MAX);
    }
}
