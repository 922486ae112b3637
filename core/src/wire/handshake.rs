//! The 68 bytes that open a session (BEP 3), and the reserved bits in them. What is agreed after them is not here.

use super::{InfoHash, PeerId};
use core::fmt;
use thiserror::Error;

/// The length of a handshake, in bytes.
pub const HANDSHAKE_BYTES: usize = 68;

/// How many bytes name the protocol: the length 19 and `BitTorrent protocol`.
pub const PROTOCOL_BYTES: usize = 20;

/// What every handshake begins with.
pub const PROTOCOL: [u8; PROTOCOL_BYTES] = *b"\x13BitTorrent protocol";

/// The eight reserved bytes: what a side can do beyond BEP 3.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved(pub [u8; 8]);

/// One thing that a reserved bit stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// The extension protocol (BEP 10).
    Extensions,
    /// The fast extension (BEP 6).
    Fast,
    /// A DHT node at the address that a PORT message names (BEP 5).
    Dht,
    /// In a handshake with a hybrid's v1 hash: v2 is spoken as well (BEP 52).
    V2,
}

impl Feature {
    const fn bit(self) -> (usize, u8) {
        match self {
            Self::Extensions => (5, 0x10),
            Self::Fast => (7, 0x04),
            Self::Dht => (7, 0x01),
            Self::V2 => (7, 0x10),
        }
    }
}

impl Reserved {
    /// No bit set.
    pub const NONE: Self = Self([0; 8]);

    /// The same bits and that of `feature`.
    #[must_use]
    pub fn with(mut self, feature: Feature) -> Self {
        let (at, bit) = feature.bit();
        if let Some(byte) = self.0.get_mut(at) {
            *byte |= bit;
        }
        self
    }

    /// Whether the bit of `feature` is set.
    pub fn has(self, feature: Feature) -> bool {
        let (at, bit) = feature.bit();
        self.0.get(at).is_some_and(|byte| byte & bit != 0)
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A whole handshake (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What the sender can do.
    pub reserved: Reserved,
    /// The torrent it means: a v1 hash or a truncated v2 hash.
    pub info_hash: InfoHash,
    /// What it calls itself.
    pub peer_id: PeerId,
}

/// Why bytes are no handshake. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// Some byte of the protocol's name is another one.
    #[error("byte {at} doesn't belong to `BitTorrent protocol`")]
    Protocol {
        /// The first wrong byte, counted from the start.
        at: usize,
    },
}

/// As much of a handshake as has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartialHandshake {
    /// Known after 28 bytes.
    pub reserved: Option<Reserved>,
    /// Known after 48 bytes: enough to answer, as a side that checks for NAT may wait for it.
    pub info_hash: Option<InfoHash>,
    /// Known after 68 bytes.
    pub peer_id: Option<PeerId>,
}

impl PartialHandshake {
    /// The whole, if all of it has come.
    pub fn whole(self) -> Option<Handshake> {
        Some(Handshake { reserved: self.reserved?, info_hash: self.info_hash?, peer_id: self.peer_id? })
    }
}

impl Handshake {
    /// The 68 bytes.
    pub fn encode(&self) -> [u8; HANDSHAKE_BYTES] {
        let mut out = [0; HANDSHAKE_BYTES];
        let fields = PROTOCOL.iter().chain(&self.reserved.0).chain(&self.info_hash.0).chain(&self.peer_id.0);
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = *from);
        out
    }

    /// Reads from the first byte on; bytes behind the handshake are left alone. A wrong protocol is refused at its
    /// first wrong byte, so that a stranger who speaks something else isn't waited for.
    pub fn parse(bytes: &[u8]) -> Result<PartialHandshake, HandshakeError> {
        if let Some(at) = PROTOCOL.iter().zip(bytes).position(|(want, got)| want != got) {
            return Err(HandshakeError::Protocol { at });
        }
        let mut partial = PartialHandshake::default();
        let Some((_, rest)) = bytes.split_first_chunk::<PROTOCOL_BYTES>() else { return Ok(partial) };
        let Some((reserved, rest)) = rest.split_first_chunk::<8>() else { return Ok(partial) };
        partial.reserved = Some(Reserved(*reserved));
        let Some((hash, rest)) = rest.split_first_chunk::<20>() else { return Ok(partial) };
        partial.info_hash = Some(InfoHash(*hash));
        partial.peer_id = rest.first_chunk::<20>().map(|id| PeerId(*id));
        Ok(partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        let reserved = Reserved::NONE.with(Feature::Extensions).with(Feature::Fast);
        Handshake { reserved, info_hash: InfoHash([7; 20]), peer_id: PeerId(*b"-MS0100-abcdefghijkl") }
    }

    #[test]
    fn bep_0003_a_handshake_goes_there_and_back() {
        let bytes = handshake().encode();
        assert_eq!(&bytes[..28], b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04");
        assert_eq!(Handshake::parse(&bytes).unwrap().whole(), Some(handshake()));
    }

    #[test]
    fn each_field_is_known_as_soon_as_its_bytes_are_there() {
        let bytes = handshake().encode();
        for n in 0..=68 {
            let partial = Handshake::parse(&bytes[..n]).unwrap();
            let known = (partial.reserved.is_some(), partial.info_hash.is_some(), partial.peer_id.is_some());
            assert_eq!(known, (n >= 28, n >= 48, n >= 68), "after {n} bytes");
        }
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte() {
        assert_eq!(Handshake::parse(b"GET / HTTP"), Err(HandshakeError::Protocol { at: 0 }));
        assert_eq!(Handshake::parse(b"\x13BitTorrent Protocol"), Err(HandshakeError::Protocol { at: 12 }));
        assert_eq!(Handshake::parse(b""), Ok(PartialHandshake::default()));
    }

    #[test]
    fn reserved_bits_are_where_the_beps_put_them() {
        let with = |feature| Reserved::NONE.with(feature).0;
        assert_eq!(with(Feature::Extensions), [0, 0, 0, 0, 0, 0x10, 0, 0]);
        assert_eq!(with(Feature::Fast), [0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(with(Feature::Dht), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(with(Feature::V2), [0, 0, 0, 0, 0, 0, 0, 0x10]);
        let all = Reserved([0xff; 8]);
        assert!(all.has(Feature::V2) && !Reserved::NONE.has(Feature::V2));
    }
}
