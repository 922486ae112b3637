//! The extension handshake (BEP 10) and the names of the extensions that are spoken. What an extension says is in its
//! own file; which number stands for which name is kept by the session.

use super::bencode::{BencodeError, Dict, Document};
use alloc::string::String;
use alloc::vec::Vec;
use bendy::encoding::Encoder;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// An extension that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// Metadata from peers (BEP 9).
    UtMetadata,
    /// Peer exchange (BEP 11).
    UtPex,
    /// Holepunch (BEP 55).
    UtHolepunch,
    /// A piece that is gone again (BEP 54).
    LtDontHave,
    /// Whether the sender wants nothing more, told at any time (BEP 21).
    UploadOnly,
}

impl Extension {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::LtDontHave, Self::UploadOnly, Self::UtHolepunch, Self::UtMetadata, Self::UtPex];

    /// The name in `m`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UtMetadata => "ut_metadata",
            Self::UtPex => "ut_pex",
            Self::UtHolepunch => "ut_holepunch",
            Self::LtDontHave => "lt_donthave",
            Self::UploadOnly => "upload_only",
        }
    }

    /// The extension of that name.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.name().as_bytes() == name)
    }

    /// The number by which we ask peers to send it; never 0.
    pub const fn our_id(self) -> u8 {
        match self {
            Self::UtPex => 1,
            Self::UtMetadata => 2,
            Self::UploadOnly => 3,
            Self::UtHolepunch => 4,
            Self::LtDontHave => 7,
        }
    }

    /// The extension that we gave this number.
    pub fn of_our_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.our_id() == id)
    }
}

/// An extension handshake. It may come again; then what it doesn't name stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// Each named extension with the sender's number for it; 0 turns it off. Only extensions spoken here.
    pub m: Vec<(Extension, u8)>,
    /// The sender's client and version.
    pub v: Option<String>,
    /// The port the sender listens on.
    pub p: Option<u16>,
    /// How many requests the sender keeps without dropping any.
    pub reqq: Option<u32>,
    /// The receiver's address as the sender sees it.
    pub yourip: Option<IpAddr>,
    /// An IPv4 address of the sender.
    pub ipv4: Option<Ipv4Addr>,
    /// An IPv6 address of the sender.
    pub ipv6: Option<Ipv6Addr>,
    /// The metadata's size in bytes (BEP 9); unchecked.
    pub metadata_size: Option<u64>,
    /// Whether the sender wants nothing more (BEP 21).
    pub upload_only: Option<bool>,
    /// Whether the sender takes encrypted links (Message Stream Encryption).
    pub e: Option<bool>,
}

/// Why bytes are no extension handshake. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the extension handshake: {0}")]
pub struct ExtensionError(#[from] BencodeError);

/// The longest client name that is kept, in bytes.
const NAME_BYTES_MAX: usize = 64;

impl ExtensionHandshake {
    /// Reads the payload of an extended message with id 0. A value that makes no sense counts as absent: strangers
    /// put odd things there, and none is worth a link.
    pub fn parse(payload: &[u8]) -> Result<Self, ExtensionError> {
        let document = Document::decode(payload)?;
        let handshake = document.dict()?;
        let number = |key: &[u8]| handshake.get(key)?.as_int();
        let bytes = |key: &[u8]| handshake.get(key)?.as_bytes();
        Ok(Self {
            m: handshake.get(b"m").and_then(|m| m.as_dict()).map_or_else(Vec::new, extensions),
            v: bytes(b"v").and_then(client_name),
            p: number(b"p").and_then(small).filter(|&port: &u16| port != 0),
            reqq: number(b"reqq").and_then(small),
            yourip: bytes(b"yourip").and_then(address),
            ipv4: bytes(b"ipv4").and_then(|ip| <[u8; 4]>::try_from(ip).ok()).map(Ipv4Addr::from),
            ipv6: bytes(b"ipv6").and_then(|ip| <[u8; 16]>::try_from(ip).ok()).map(Ipv6Addr::from),
            metadata_size: number(b"metadata_size").and_then(small),
            upload_only: number(b"upload_only").map(|n| n != 0),
            e: number(b"e").map(|n| n != 0),
        })
    }

    /// The payload of an extended message with id 0; absent values are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut m = self.m.clone();
        m.sort_unstable_by_key(|(extension, _)| extension.name());
        m.dedup_by_key(|(extension, _)| *extension);
        let mut encoder = Encoder::new();
        let done = encoder.emit_dict(|mut e| {
            if let Some(encrypts) = self.e {
                e.emit_pair(b"e", u8::from(encrypts))?;
            }
            if let Some(ip) = self.ipv4 {
                e.emit_pair_with(b"ipv4", |e| e.emit_bytes(&ip.octets()))?;
            }
            if let Some(ip) = self.ipv6 {
                e.emit_pair_with(b"ipv6", |e| e.emit_bytes(&ip.octets()))?;
            }
            e.emit_pair_with(b"m", |e| {
                e.emit_dict(|mut e| {
                    m.iter().try_for_each(|&(name, id)| e.emit_pair(name.name().as_bytes(), id))
                })
            })?;
            if let Some(size) = self.metadata_size {
                e.emit_pair(b"metadata_size", size)?;
            }
            if let Some(port) = self.p {
                e.emit_pair(b"p", port)?;
            }
            if let Some(reqq) = self.reqq {
                e.emit_pair(b"reqq", reqq)?;
            }
            if let Some(upload_only) = self.upload_only {
                e.emit_pair(b"upload_only", u8::from(upload_only))?;
            }
            if let Some(v) = &self.v {
                e.emit_pair_with(b"v", |e| e.emit_str(v))?;
            }
            match self.yourip {
                Some(IpAddr::V4(ip)) => e.emit_pair_with(b"yourip", |e| e.emit_bytes(&ip.octets())),
                Some(IpAddr::V6(ip)) => e.emit_pair_with(b"yourip", |e| e.emit_bytes(&ip.octets())),
                None => Ok(()),
            }
        });
        done.and_then(|()| encoder.get_output()).expect("the keys are written in order, two levels deep")
    }
}

fn extensions(m: Dict<'_, '_>) -> Vec<(Extension, u8)> {
    m.iter().filter_map(|(name, id)| Some((Extension::named(name)?, small(id.as_int()?)?))).collect()
}

fn small<T: TryFrom<i64>>(n: i64) -> Option<T> {
    T::try_from(n).ok()
}

fn client_name(bytes: &[u8]) -> Option<String> {
    let cut = bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes);
    let name: String = String::from_utf8_lossy(cut).chars().filter(|c| !c.is_control()).collect();
    (!name.is_empty()).then_some(name)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(ip) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(ip));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn bep_0010_a_handshake_goes_there_and_back() {
        let ours = ExtensionHandshake {
            m: vec![(Extension::UtPex, 1), (Extension::UtMetadata, 2), (Extension::LtDontHave, 7)],
            v: Some(String::from("millstream 0.1.0")),
            p: Some(6881),
            reqq: Some(512),
            yourip: Some(IpAddr::from([10, 0, 0, 1])),
            ipv4: Some(Ipv4Addr::LOCALHOST),
            ipv6: Some(Ipv6Addr::LOCALHOST),
            metadata_size: Some(31_235),
            upload_only: Some(true),
            e: Some(true),
        };
        let mut theirs = ExtensionHandshake::parse(&ours.encode()).unwrap();
        theirs.m.sort_unstable_by_key(|&(_, id)| id);
        assert_eq!(theirs, ours);
    }

    #[test]
    fn bep_0010_what_we_write_is_canonical_and_absent_values_are_left_out() {
        let ours = ExtensionHandshake { m: vec![(Extension::UtMetadata, 3)], ..Default::default() };
        assert_eq!(ours.encode(), b"d1:md11:ut_metadatai3eee");
    }

    #[test]
    fn bep_0010_unknown_names_and_odd_values_are_passed_over() {
        let odd = b"d1:v5:\xc2\xb5T 11:md7:LT_metai1e6:ut_pexi300e11:ut_metadatai0ee1:pi-1e1:xld1:ai1eee6:yourip3:abce";
        let theirs = ExtensionHandshake::parse(odd).unwrap();
        assert_eq!(theirs.m, [(Extension::UtMetadata, 0)]);
        assert_eq!((theirs.v.as_deref(), theirs.p, theirs.yourip), (Some("µT 1"), None, None));
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for bytes in [&b""[..], b"d", b"le", b"d1:v", b"d1:v9:xe", b"d1:mi1", b"dex"] {
            assert!(ExtensionHandshake::parse(bytes).is_err(), "{bytes:?}");
        }
        let deep = [b"d1:m".to_vec(), vec![b'l'; 100_000]].concat();
        assert!(ExtensionHandshake::parse(&deep).is_err());
    }

    #[test]
    fn our_numbers_are_distinct_and_never_zero() {
        for extension in Extension::ALL {
            assert_eq!(Extension::of_our_id(extension.our_id()), Some(extension));
            assert_eq!(Extension::named(extension.name().as_bytes()), Some(extension));
            assert_ne!(extension.our_id(), 0);
        }
    }
}
