//! The message by which peers tell each other whom they are connected to (BEP 11). Who is told what, how often, and
//! what is believed is not decided here.

use super::bencode::{BencodeError, Dict, Document};
use super::tracker::write_compact;
use alloc::vec::Vec;
use bendy::encoding::Encoder;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// What the sender says of a peer: a set of flags. Unknown ones are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It says in its extension handshake that it prefers encryption.
    pub const ENCRYPTION: Self = Self(0x01);
    /// It has everything, or wants nothing more.
    pub const SEED: Self = Self(0x02);
    /// It speaks uTP (BEP 29).
    pub const UTP: Self = Self(0x04);
    /// It speaks `ut_holepunch` (BEP 55).
    pub const HOLEPUNCH: Self = Self(0x08);
    /// The sender called it: it can be reached.
    pub const REACHABLE: Self = Self(0x10);

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With `other` set, if `on`.
    #[must_use]
    pub const fn with(self, other: Self, on: bool) -> Self {
        if on { Self(self.0 | other.0) } else { self }
    }
}

/// A peer, as another one tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PexPeer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it is said to be.
    pub flags: PexFlags,
}

/// One message of `ut_pex`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PexMessage {
    /// Who is connected to the sender now and wasn't when it wrote last.
    pub added: Vec<PexPeer>,
    /// Who isn't any more.
    pub dropped: Vec<SocketAddr>,
    /// How many more were named than were read.
    pub excess: usize,
}

/// Why bytes are no PEX message. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the PEX message: {0}")]
pub struct PexError(#[from] BencodeError);

const V4: usize = 6;
const V6: usize = 18;

impl PexMessage {
    /// Reads the payload of an extended message, at most `max` peers of each list and family; the others are counted.
    /// A rest that is no whole peer is ignored, and so are values of a wrong type.
    pub fn parse(payload: &[u8], max: usize) -> Result<Self, PexError> {
        let document = Document::decode(payload)?;
        let root = document.dict()?;
        let mut message = Self::default();
        for (list, flags) in [("added", "added.f"), ("added6", "added6.f")] {
            let flags = bytes(root, flags);
            for (at, addr) in message.addresses(root, list, max).into_iter().enumerate() {
                let flags = PexFlags(flags.get(at).copied().unwrap_or(0));
                message.added.push(PexPeer { addr, flags });
            }
        }
        for list in ["dropped", "dropped6"] {
            let gone = message.addresses(root, list, max);
            message.dropped.extend(gone);
        }
        Ok(message)
    }

    /// Whether it says nothing; such a message may not be sent.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }

    /// The payload of an extended message; lists without a peer are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut added = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
        for peer in &self.added {
            let [v4, v6] = &mut added;
            let (peers, flags) = if peer.addr.is_ipv4() { v4 } else { v6 };
            write_compact(peers, peer.addr);
            flags.push(peer.flags.0);
        }
        let mut dropped = [Vec::new(), Vec::new()];
        for &addr in &self.dropped {
            let [v4, v6] = &mut dropped;
            write_compact(if addr.is_ipv4() { v4 } else { v6 }, addr);
        }
        let [(added4, flags4), (added6, flags6)] = added;
        let [dropped4, dropped6] = dropped;
        let fields: [(&[u8], Vec<u8>); 6] = [
            (b"added", added4),
            (b"added.f", flags4),
            (b"added6", added6),
            (b"added6.f", flags6),
            (b"dropped", dropped4),
            (b"dropped6", dropped6),
        ];
        let mut encoder = Encoder::new();
        let done = encoder.emit_dict(|mut e| {
            let mut there = fields.iter().filter(|(_, value)| !value.is_empty());
            there.try_for_each(|(key, value)| e.emit_pair_with(key, |e| e.emit_bytes(value)))
        });
        done.and_then(|()| encoder.get_output()).expect("the keys are written in order, one level deep")
    }

    fn addresses(&mut self, root: Dict<'_, '_>, list: &'static str, max: usize) -> Vec<SocketAddr> {
        let packed = bytes(root, list);
        let stride = if list.ends_with('6') { V6 } else { V4 };
        self.excess += (packed.len() / stride).saturating_sub(max);
        packed.chunks_exact(stride).take(max).filter_map(address).collect()
    }
}

fn bytes<'a>(root: Dict<'_, 'a>, key: &'static str) -> &'a [u8] {
    root.get(key.as_bytes()).and_then(|value| value.as_bytes()).unwrap_or_default()
}

fn address(packed: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = packed.split_last_chunk::<2>()?;
    let ip: IpAddr = match ip.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn peer(addr: &str, flags: PexFlags) -> PexPeer {
        PexPeer { addr: addr.parse().unwrap(), flags }
    }

    #[test]
    fn bep_0011_a_message_goes_there_and_back() {
        let message = PexMessage {
            added: vec![
                peer("192.0.2.1:6881", PexFlags::SEED.with(PexFlags::UTP, true)),
                peer("192.0.2.2:1", PexFlags::default()),
                peer("[2001:db8::1]:6881", PexFlags::REACHABLE),
            ],
            dropped: vec!["192.0.2.3:5".parse().unwrap(), "[2001:db8::2]:7".parse().unwrap()],
            excess: 0,
        };
        assert_eq!(PexMessage::parse(&message.encode(), 50), Ok(message));
    }

    #[test]
    fn bep_0011_the_fields_are_those_of_the_bep_and_empty_ones_are_left_out() {
        let message =
            PexMessage { added: vec![peer("1.2.3.4:258", PexFlags(0x12))], ..PexMessage::default() };
        assert_eq!(message.encode(), b"d5:added6:\x01\x02\x03\x04\x01\x027:added.f1:\x12e");
        let gone = PexMessage { dropped: vec!["1.2.3.4:258".parse().unwrap()], ..PexMessage::default() };
        assert_eq!(gone.encode(), b"d7:dropped6:\x01\x02\x03\x04\x01\x02e");
        assert!(PexMessage::default().is_empty());
    }

    #[test]
    fn bep_0011_flags_may_be_missing_and_unknown_keys_are_passed_over() {
        let message = PexMessage::parse(b"d5:added6:\x01\x02\x03\x04\x01\x023:newi1ee", 50).unwrap();
        assert_eq!(message.added, [peer("1.2.3.4:258", PexFlags::default())]);
    }

    #[test]
    fn more_than_the_bound_is_counted_and_not_read() {
        let added = (1..=9).map(|n| peer(&std::format!("192.0.2.{n}:1"), PexFlags::SEED)).collect();
        let bytes = PexMessage { added, ..PexMessage::default() }.encode();
        let message = PexMessage::parse(&bytes, 4).unwrap();
        assert_eq!((message.added.len(), message.excess), (4, 5));
    }

    #[test]
    fn ragged_lists_and_wrong_types_are_no_peers_and_what_is_no_dictionary_is_refused() {
        let message = PexMessage::parse(b"d5:added8:\x01\x02\x03\x04\x01\x02xx7:droppedi3ee", 50).unwrap();
        assert_eq!((message.added.len(), message.dropped.len()), (1, 0));
        for bytes in [&b""[..], b"le", b"d5:added", b"i1e", b"d5:added9:x"] {
            assert!(PexMessage::parse(bytes, 50).is_err(), "{bytes:?}");
        }
    }
}
