//! uTP packets (BEP 29): header and extensions to values and back. No streams, no windows, no time: see the `utp` room.

/// Bytes of the header, before extensions and payload.
pub const HEADER_BYTES: usize = 20;

/// The extension with the mask of packets received beyond the first gap.
pub const SELECTIVE_ACK: u8 = 1;
/// The extension with the reason of an end, as libtorrent sends it.
pub const CLOSE_REASON: u8 = 3;
/// The extension with eight bytes of what the sender of a call, or of its answer, can do beyond BEP 29. Others skip it.
pub const ABILITIES: u8 = 2;
/// The abilities of who takes datagrams of any size whole.
pub const TAKES_LARGE: [u8; 8] = *b"MS large";
/// An extension that means nothing and fills a packet up: nobody assigned it, so everyone skips it, if it isn't the
/// first (libutp takes a packet whose first extension is none of 0 to 2 for no uTP).
pub const PADDING: u8 = 0x5a;

const VERSION: u8 = 1;

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Payload.
    Data,
    /// The end of a stream, in order behind its payload.
    Fin,
    /// An acknowledgement alone.
    State,
    /// There is no such stream, or no more.
    Reset,
    /// A call.
    Syn,
}

/// A packet's header but for its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is for.
    pub kind: Kind,
    /// The stream, by the receiver's number; in a call by the caller's.
    pub connection_id: u16,
    /// When it was sent, by the sender's clock. Microseconds, wrapping.
    pub timestamp: u32,
    /// How much later than its timestamp the last packet came, by the clock of who received it. Microseconds, wrapping;
    /// 0 before there was any.
    pub timestamp_difference: u32,
    /// Bytes that the sender of this packet takes beyond what it acknowledges.
    pub window: u32,
    /// Its place in the stream; in what isn't payload, the place of the next payload.
    pub seq: u16,
    /// The last place up to which all has come.
    pub ack: u16,
}

/// A packet, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// Which places from `ack + 2` on have come: the lowest bit of the first byte is `ack + 2`. Any length.
    pub selective_ack: Option<&'a [u8]>,
    /// Why the stream ends.
    pub close_reason: Option<u16>,
    /// Whether its sender says that it takes datagrams of any size whole.
    pub takes_large: bool,
    /// What it carries.
    pub payload: &'a [u8],
}

/// What is wrong with a packet. The sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UtpError {
    /// It is shorter than a header.
    #[error("packet of {len} bytes is shorter than a header")]
    Short {
        /// The packet's length.
        len: usize,
    },
    /// Not this version, or a kind that doesn't exist.
    #[error("not a packet of version 1: first byte {first:#x}")]
    Unknown {
        /// The first byte.
        first: u8,
    },
    /// An extension runs past the packet's end.
    #[error("extension {extension} runs past the packet's end")]
    Extension {
        /// Its number.
        extension: u8,
    },
}

/// Whether a datagram looks like uTP: by its first byte, which no other protocol of BitTorrent's datagrams shares.
pub fn is_utp(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_BYTES && datagram.first().is_some_and(|&first| kind_of(first).is_some())
}

fn kind_of(first: u8) -> Option<Kind> {
    if first & 0x0f != VERSION {
        return None;
    }
    match first >> 4 {
        0 => Some(Kind::Data),
        1 => Some(Kind::Fin),
        2 => Some(Kind::State),
        3 => Some(Kind::Reset),
        4 => Some(Kind::Syn),
        _ => None,
    }
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, UtpError> {
        let short = UtpError::Short { len: datagram.len() };
        let (fixed, rest) = datagram.split_first_chunk::<HEADER_BYTES>().ok_or(short)?;
        let &[first, extension, id0, id1, t0, t1, t2, t3, d0, d1, d2, d3, w0, w1, w2, w3, s0, s1, a0, a1] =
            fixed;
        let header = Header {
            kind: kind_of(first).ok_or(UtpError::Unknown { first })?,
            connection_id: u16::from_be_bytes([id0, id1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            timestamp_difference: u32::from_be_bytes([d0, d1, d2, d3]),
            window: u32::from_be_bytes([w0, w1, w2, w3]),
            seq: u16::from_be_bytes([s0, s1]),
            ack: u16::from_be_bytes([a0, a1]),
        };
        let mut packet =
            Self { header, selective_ack: None, close_reason: None, takes_large: false, payload: rest };
        packet.read_extensions(extension)?;
        Ok(packet)
    }

    fn read_extensions(&mut self, mut extension: u8) -> Result<(), UtpError> {
        while extension != 0 {
            let past = UtpError::Extension { extension };
            let (&[next, len], rest) = self.payload.split_first_chunk::<2>().ok_or(past)?;
            let (body, rest) = rest.split_at_checked(usize::from(len)).ok_or(past)?;
            match extension {
                SELECTIVE_ACK => self.selective_ack = Some(body),
                ABILITIES => self.takes_large = body == TAKES_LARGE,
                CLOSE_REASON => {
                    if let &[_, _, high, low] = body {
                        self.close_reason = Some(u16::from_be_bytes([high, low]));
                    }
                }
                _ => {}
            }
            self.payload = rest;
            extension = next;
        }
        Ok(())
    }
}

impl Header {
    /// Its bytes; `extension` is the number of the first extension behind it, 0 for none.
    pub fn encode(&self, extension: u8) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::Fin => 1,
            Kind::State => 2,
            Kind::Reset => 3,
            Kind::Syn => 4_u8,
        };
        let [id0, id1] = self.connection_id.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [d0, d1, d2, d3] = self.timestamp_difference.to_be_bytes();
        let [w0, w1, w2, w3] = self.window.to_be_bytes();
        let [s0, s1] = self.seq.to_be_bytes();
        let [a0, a1] = self.ack.to_be_bytes();
        let first = kind << 4 | VERSION;
        [first, extension, id0, id1, t0, t1, t2, t3, d0, d1, d2, d3, w0, w1, w2, w3, s0, s1, a0, a1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn header(kind: Kind) -> Header {
        Header {
            kind,
            connection_id: 0x1234,
            timestamp: 0xdead_beef,
            timestamp_difference: 7,
            window: 1 << 20,
            seq: 0xffff,
            ack: 3,
        }
    }

    fn packet(extension: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = header(Kind::Data).encode(extension).to_vec();
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn bep_0029_every_field_survives_the_way_there_and_back() {
        for kind in [Kind::Data, Kind::Fin, Kind::State, Kind::Reset, Kind::Syn] {
            let bytes = header(kind).encode(0);
            assert!(is_utp(&bytes));
            assert_eq!(Packet::parse(&bytes).unwrap().header, header(kind));
        }
        assert_eq!(header(Kind::Syn).encode(1)[..4], [0x41, 1, 0x12, 0x34]);
    }

    #[test]
    fn bep_0029_unknown_extensions_are_skipped_and_masks_may_have_any_length() {
        for len in [0, 1, 3, 4, 5, 255_u8] {
            let mut rest = Vec::from([SELECTIVE_ACK, 2, 9, 9, CLOSE_REASON, len]);
            rest.extend((0..len).map(|_| 0x55));
            rest.extend_from_slice(&[0, 4, 0, 0, 0, 7]);
            rest.extend_from_slice(b"payload");
            let bytes = packet(PADDING, &rest);
            let read = Packet::parse(&bytes).unwrap();
            assert_eq!(read.selective_ack.map(<[u8]>::len), Some(usize::from(len)));
            assert_eq!((read.close_reason, read.payload), (Some(7), &b"payload"[..]));
        }
    }

    #[test]
    fn a_chain_of_extensions_that_leaves_the_packet_is_refused_at_any_cut() {
        let whole = packet(PADDING, &[SELECTIVE_ACK, 2, 0, 0, 0, 4, 1, 2, 3, 4]);
        assert!(Packet::parse(&whole).is_ok());
        for cut in 0..whole.len() {
            assert!(Packet::parse(&whole[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn other_protocols_of_our_sockets_are_told_apart_by_the_first_byte() {
        assert!(!is_utp(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping"));
        assert!(!is_utp(&[0; 20]), "a tracker's answer");
        assert!(!is_utp(&[0x51; 20]) && !is_utp(&[0x42; 20]) && !is_utp(&[0x41; 19]));
    }
}
