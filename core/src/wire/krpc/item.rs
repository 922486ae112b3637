//! Stored items (BEP 44): their keys, what is signed, and which values are canonical. Not the signatures themselves.

use super::NodeId;
use crate::wire::{Document, InfoHash};
use alloc::vec::Vec;
use bendy::decoding::{Decoder, FromBencode as _};
use bendy::encoding::Encoder;
use bendy::value::Value;
use core::fmt::Write as _;
use sha1::{Digest as _, Sha1};

/// A longer bencoded value isn't stored. Bytes (BEP 44).
pub const VALUE_BYTES_MAX: usize = 1000;

/// A longer salt isn't one. Bytes (BEP 44).
pub const SALT_BYTES_MAX: usize = 64;

/// Values nested deeper are refused: packets that carry them aren't read deeper either.
const DEPTH_MAX: usize = 16;

/// Where an immutable item is stored: the SHA-1 of its bencoded value.
pub fn immutable_target(value: &[u8]) -> NodeId {
    NodeId(Sha1::digest(value).into())
}

/// Where a mutable item is stored: the SHA-1 of its public key and its salt.
pub fn mutable_target(key: &[u8; 32], salt: &[u8]) -> NodeId {
    NodeId(Sha1::new().chain_update(key).chain_update(salt).finalize().into())
}

/// The bytes that a mutable item's signature is of.
pub fn signed_bytes(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    struct Text(Vec<u8>);
    impl core::fmt::Write for Text {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    let mut out = Text(Vec::with_capacity(48 + salt.len() + value.len()));
    // Writing into a vector can't fail.
    if !salt.is_empty() {
        let _ = write!(out, "4:salt{}:", salt.len());
        out.0.extend_from_slice(salt);
    }
    let _ = write!(out, "3:seqi{seq}e1:v");
    out.0.extend_from_slice(value);
    out.0
}

/// The torrent that a mutable item's value names (BEP 46).
pub fn followed_torrent(value: &[u8]) -> Option<InfoHash> {
    let document = Document::decode(value).ok()?;
    let named = document.dict().ok()?.bytes("ih").ok()?;
    named.try_into().ok().map(InfoHash)
}

/// The value of a mutable item that names a torrent (BEP 46).
pub fn following_value(torrent: InfoHash) -> Vec<u8> {
    [b"d2:ih20:", &torrent.0[..], b"e"].concat()
}

/// Whether bytes are one bencoded value, written as everyone must write it: dictionaries sorted, nothing behind it.
pub fn is_canonical(value: &[u8]) -> bool {
    let mut decoder = Decoder::new(value).with_max_depth(DEPTH_MAX);
    let Ok(Some(object)) = decoder.next_object() else { return false };
    let Ok(read) = Value::decode_bencode_object(object) else { return false };
    let mut encoder = Encoder::new().with_max_depth(DEPTH_MAX);
    encoder.emit(read).and_then(|()| encoder.get_output()).is_ok_and(|written| written == value)
}
