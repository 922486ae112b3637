//! The messages of a session (BEP 3, 5, 6, 10, 52): bytes to values and back. Framing buffers, order and meaning are
//! the session's.

use alloc::vec::Vec;
use thiserror::Error;

/// The bytes before a block in a PIECE message: length, id, index, begin.
pub const PIECE_HEADER_BYTES: usize = 13;

/// A range of a piece as a stranger names it: unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawBlock {
    /// The piece's number.
    pub index: u32,
    /// Bytes from the piece's start.
    pub begin: u32,
    /// Bytes.
    pub length: u32,
}

/// Which hashes of a file's tree are meant (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashRange {
    /// The file's root.
    pub pieces_root: [u8; 32],
    /// The lowest layer that is meant, counted from the leaves.
    pub base_layer: u32,
    /// The first hash in that layer.
    pub index: u32,
    /// How many hashes of that layer.
    pub length: u32,
    /// How many layers of proof above it.
    pub proof_layers: u32,
}

/// The length of a hash range on the wire, in bytes.
pub const HASH_RANGE_BYTES: usize = 48;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Nothing but a sign of life.
    KeepAlive,
    /// Requests will not be served.
    Choke,
    /// Requests will be served.
    Unchoke,
    /// The sender wants pieces.
    Interested,
    /// The sender wants none.
    NotInterested,
    /// The sender has this piece now.
    Have(u32),
    /// The pieces the sender has.
    Bitfield(&'a [u8]),
    /// Send this.
    Request(RawBlock),
    /// A block.
    Piece {
        /// The piece's number.
        index: u32,
        /// Bytes from the piece's start.
        begin: u32,
        /// The block.
        data: &'a [u8],
    },
    /// Don't send this.
    Cancel(RawBlock),
    /// The UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// You might like this piece (BEP 6).
    Suggest(u32),
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// A request that will not be served (BEP 6).
    Reject(RawBlock),
    /// This piece is served even when choked (BEP 6).
    AllowedFast(u32),
    /// A message of an extension (BEP 10).
    Extended {
        /// The receiver's number for the extension; 0 is the extension handshake.
        id: u8,
        /// What the extension says.
        payload: &'a [u8],
    },
    /// Send these hashes (BEP 52).
    HashRequest(HashRange),
    /// Hashes and their proof (BEP 52).
    Hashes {
        /// What they are.
        range: HashRange,
        /// 32 bytes each.
        hashes: &'a [u8],
    },
    /// Hashes that will not be sent (BEP 52).
    HashReject(HashRange),
    /// A message that no BEP here defines.
    Unknown(u8),
}

/// The numbers of the messages.
pub mod id {
    #![allow(missing_docs)]
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const PORT: u8 = 9;
    pub const SUGGEST: u8 = 13;
    pub const HAVE_ALL: u8 = 14;
    pub const HAVE_NONE: u8 = 15;
    pub const REJECT: u8 = 16;
    pub const ALLOWED_FAST: u8 = 17;
    pub const EXTENDED: u8 = 20;
    pub const HASH_REQUEST: u8 = 21;
    pub const HASHES: u8 = 22;
    pub const HASH_REJECT: u8 = 23;
}

/// Why bytes are no message. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// A message of this kind can't have this length.
    #[error("a message {id} with a body of {length} bytes")]
    Length {
        /// The message's number.
        id: u8,
        /// The bytes behind that number.
        length: u32,
    },
}

/// What the first bytes of a message say, before its body is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// A keep-alive: 4 bytes in all.
    KeepAlive,
    /// A PIECE: its header is 13 bytes, then the block follows.
    Piece {
        /// The piece's number.
        index: u32,
        /// Bytes from the piece's start.
        begin: u32,
        /// The block's bytes.
        length: u32,
    },
    /// Any other: its header is 5 bytes, then the body follows, which `Message::parse` reads.
    Other {
        /// The message's number.
        id: u8,
        /// The body's bytes.
        length: u32,
    },
}

impl Header {
    /// Reads the header of a message; `None` until all of it is there. A length that a message of its kind can't have
    /// is refused before its body comes.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, MessageError> {
        let Some((length, rest)) = take_u32(bytes) else { return Ok(None) };
        let Some(length) = length.checked_sub(1) else { return Ok(Some(Self::KeepAlive)) };
        let Some((&id, rest)) = rest.split_first() else { return Ok(None) };
        if !length_fits(id, length) {
            return Err(MessageError::Length { id, length });
        }
        if id != id::PIECE {
            return Ok(Some(Self::Other { id, length }));
        }
        let piece = take_u32(rest).and_then(|(index, rest)| {
            let (begin, _) = take_u32(rest)?;
            Some(Self::Piece { index, begin, length: length.saturating_sub(8) })
        });
        Ok(piece)
    }

    /// The header's own bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::KeepAlive => 4,
            Self::Piece { .. } => PIECE_HEADER_BYTES,
            Self::Other { .. } => 5,
        }
    }

    /// The bytes that follow the header.
    pub const fn body_bytes(self) -> u32 {
        match self {
            Self::KeepAlive => 0,
            Self::Piece { length, .. } | Self::Other { length, .. } => length,
        }
    }
}

const fn length_fits(id: u8, length: u32) -> bool {
    match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => {
            length == 0
        }
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => length == 4,
        id::REQUEST | id::CANCEL | id::REJECT => length == 12,
        id::PORT => length == 2,
        id::PIECE => length > 8,
        id::EXTENDED => length >= 1,
        id::HASH_REQUEST | id::HASH_REJECT => length == HASH_RANGE_BYTES as u32,
        id::HASHES => {
            length >= HASH_RANGE_BYTES as u32 && (length - HASH_RANGE_BYTES as u32).is_multiple_of(32)
        }
        _ => true,
    }
}

impl<'a> Message<'a> {
    /// Reads the message with number `id` out of its whole body, which is what follows the number.
    pub fn parse(id: u8, body: &'a [u8]) -> Result<Self, MessageError> {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let wrong = MessageError::Length { id, length };
        if !length_fits(id, length) {
            return Err(wrong);
        }
        let number = || take_u32(body).map(|(n, _)| n).ok_or(wrong);
        Ok(match id {
            id::CHOKE => Self::Choke,
            id::UNCHOKE => Self::Unchoke,
            id::INTERESTED => Self::Interested,
            id::NOT_INTERESTED => Self::NotInterested,
            id::HAVE => Self::Have(number()?),
            id::BITFIELD => Self::Bitfield(body),
            id::REQUEST => Self::Request(raw_block(body).ok_or(wrong)?),
            id::PIECE => {
                let (index, rest) = take_u32(body).ok_or(wrong)?;
                let (begin, data) = take_u32(rest).ok_or(wrong)?;
                Self::Piece { index, begin, data }
            }
            id::CANCEL => Self::Cancel(raw_block(body).ok_or(wrong)?),
            id::PORT => Self::Port(u16::from_be_bytes(*body.first_chunk().ok_or(wrong)?)),
            id::SUGGEST => Self::Suggest(number()?),
            id::HAVE_ALL => Self::HaveAll,
            id::HAVE_NONE => Self::HaveNone,
            id::REJECT => Self::Reject(raw_block(body).ok_or(wrong)?),
            id::ALLOWED_FAST => Self::AllowedFast(number()?),
            id::EXTENDED => {
                let (&id, payload) = body.split_first().ok_or(wrong)?;
                Self::Extended { id, payload }
            }
            id::HASH_REQUEST => Self::HashRequest(HashRange::parse(body).ok_or(wrong)?.0),
            id::HASHES => {
                let (range, hashes) = HashRange::parse(body).ok_or(wrong)?;
                Self::Hashes { range, hashes }
            }
            id::HASH_REJECT => Self::HashReject(HashRange::parse(body).ok_or(wrong)?.0),
            _ => Self::Unknown(id),
        })
    }

    /// Appends the whole message, its length first. `Unknown` is written without a body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::KeepAlive => out.extend_from_slice(&[0; 4]),
            Self::Choke => head(out, id::CHOKE, 0),
            Self::Unchoke => head(out, id::UNCHOKE, 0),
            Self::Interested => head(out, id::INTERESTED, 0),
            Self::NotInterested => head(out, id::NOT_INTERESTED, 0),
            Self::Have(index) => numbers(out, id::HAVE, &[index]),
            Self::Bitfield(bits) => bytes(out, id::BITFIELD, &[], bits),
            Self::Request(block) => raw(out, id::REQUEST, block),
            Self::Piece { index, begin, data } => {
                piece_header(out, RawBlock { index, begin, length: data.len() as u32 });
                out.extend_from_slice(data);
            }
            Self::Cancel(block) => raw(out, id::CANCEL, block),
            Self::Port(port) => bytes(out, id::PORT, &[], &port.to_be_bytes()),
            Self::Suggest(index) => numbers(out, id::SUGGEST, &[index]),
            Self::HaveAll => head(out, id::HAVE_ALL, 0),
            Self::HaveNone => head(out, id::HAVE_NONE, 0),
            Self::Reject(block) => raw(out, id::REJECT, block),
            Self::AllowedFast(index) => numbers(out, id::ALLOWED_FAST, &[index]),
            Self::Extended { id, payload } => bytes(out, id::EXTENDED, &[id], payload),
            Self::HashRequest(range) => bytes(out, id::HASH_REQUEST, &range.encode(), &[]),
            Self::Hashes { range, hashes } => bytes(out, id::HASHES, &range.encode(), hashes),
            Self::HashReject(range) => bytes(out, id::HASH_REJECT, &range.encode(), &[]),
            Self::Unknown(id) => head(out, id, 0),
        }
    }
}

/// Appends the 13 bytes before a block, which is sent from where it lies.
pub fn piece_header(out: &mut Vec<u8>, block: RawBlock) {
    head(out, id::PIECE, block.length.saturating_add(8));
    out.extend_from_slice(&block.index.to_be_bytes());
    out.extend_from_slice(&block.begin.to_be_bytes());
}

impl HashRange {
    /// Reads the 48 bytes; gives what follows them too.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&pieces_root, rest) = bytes.split_first_chunk::<32>()?;
        let (base_layer, rest) = take_u32(rest)?;
        let (index, rest) = take_u32(rest)?;
        let (length, rest) = take_u32(rest)?;
        let (proof_layers, rest) = take_u32(rest)?;
        Some((Self { pieces_root, base_layer, index, length, proof_layers }, rest))
    }

    fn encode(&self) -> [u8; HASH_RANGE_BYTES] {
        let mut out = [0; HASH_RANGE_BYTES];
        let numbers = [self.base_layer, self.index, self.length, self.proof_layers];
        let numbers = numbers.into_iter().flat_map(u32::to_be_bytes);
        let fields = self.pieces_root.into_iter().chain(numbers);
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        out
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(n, rest)| (u32::from_be_bytes(*n), rest))
}

fn raw_block(body: &[u8]) -> Option<RawBlock> {
    let (index, rest) = take_u32(body)?;
    let (begin, rest) = take_u32(rest)?;
    let (length, _) = take_u32(rest)?;
    Some(RawBlock { index, begin, length })
}

fn head(out: &mut Vec<u8>, id: u8, body: u32) {
    out.extend_from_slice(&body.saturating_add(1).to_be_bytes());
    out.push(id);
}

fn numbers(out: &mut Vec<u8>, id: u8, numbers: &[u32]) {
    head(out, id, numbers.len() as u32 * 4);
    numbers.iter().for_each(|n| out.extend_from_slice(&n.to_be_bytes()));
}

fn raw(out: &mut Vec<u8>, id: u8, block: RawBlock) {
    numbers(out, id, &[block.index, block.begin, block.length]);
}

fn bytes(out: &mut Vec<u8>, id: u8, first: &[u8], second: &[u8]) {
    head(out, id, (first.len() + second.len()) as u32);
    out.extend_from_slice(first);
    out.extend_from_slice(second);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const BLOCK: RawBlock = RawBlock { index: 1, begin: 0x4000, length: 0x4000 };
    const RANGE: HashRange =
        HashRange { pieces_root: [9; 32], base_layer: 4, index: 512, length: 512, proof_layers: 3 };

    fn all() -> Vec<(Message<'static>, u8, usize)> {
        vec![
            (Message::Choke, 0, 5),
            (Message::Unchoke, 1, 5),
            (Message::Interested, 2, 5),
            (Message::NotInterested, 3, 5),
            (Message::Have(7), 4, 9),
            (Message::Bitfield(b"\xff\x80"), 5, 7),
            (Message::Request(BLOCK), 6, 17),
            (Message::Piece { index: 1, begin: 2, data: b"xyz" }, 7, 16),
            (Message::Cancel(BLOCK), 8, 17),
            (Message::Port(6881), 9, 7),
            (Message::Suggest(3), 13, 9),
            (Message::HaveAll, 14, 5),
            (Message::HaveNone, 15, 5),
            (Message::Reject(BLOCK), 16, 17),
            (Message::AllowedFast(4), 17, 9),
            (Message::Extended { id: 3, payload: b"de" }, 20, 8),
            (Message::HashRequest(RANGE), 21, 53),
            (Message::Hashes { range: RANGE, hashes: &[5; 64] }, 22, 117),
            (Message::HashReject(RANGE), 23, 53),
        ]
    }

    #[test]
    fn every_message_goes_there_and_back_with_its_number_and_length() {
        for (message, id, length) in all() {
            let mut out = Vec::new();
            message.encode(&mut out);
            assert_eq!((out[4], out.len()), (id, length), "{message:?}");
            let header = Header::parse(&out).unwrap().unwrap();
            let whole = header.bytes() + header.body_bytes() as usize;
            assert_eq!(whole, out.len(), "{message:?}");
            assert_eq!(Message::parse(id, &out[5..]).unwrap(), message);
            for short in 0..header.bytes() {
                assert_eq!(Header::parse(&out[..short]), Ok(None), "{short} bytes of {message:?}");
            }
        }
    }

    #[test]
    fn bep_0003_a_keep_alive_has_length_zero() {
        let mut out = Vec::new();
        Message::KeepAlive.encode(&mut out);
        assert_eq!((out.as_slice(), Header::parse(&out)), (&[0; 4][..], Ok(Some(Header::KeepAlive))));
    }

    #[test]
    fn a_piece_header_needs_no_block() {
        let header = [0, 0, 0x40, 9, 7, 0, 0, 0, 2, 0, 0, 0x40, 0];
        let piece = Header::Piece { index: 2, begin: 0x4000, length: 0x4000 };
        assert_eq!(Header::parse(&header), Ok(Some(piece)));
        let mut out = Vec::new();
        piece_header(&mut out, RawBlock { index: 2, begin: 0x4000, length: 0x4000 });
        assert_eq!(out, header);
    }

    #[test]
    fn a_length_that_the_kind_cannot_have_is_refused_before_the_body() {
        let cases = [(0, 2), (4, 4), (6, 12), (7, 9), (9, 2), (14, 2), (20, 1), (21, 48), (22, 50)];
        for (id, length) in cases {
            let bytes = [0, 0, 0, length, id];
            let want = MessageError::Length { id, length: u32::from(length) - 1 };
            assert_eq!(Header::parse(&bytes), Err(want), "message {id} of length {length}");
        }
    }

    #[test]
    fn an_unknown_message_has_a_length_and_is_told_by_its_number() {
        let bytes = [0, 0, 0, 3, 99, 1, 2];
        assert_eq!(Header::parse(&bytes), Ok(Some(Header::Other { id: 99, length: 2 })));
        assert_eq!(Message::parse(99, &bytes[5..]), Ok(Message::Unknown(99)));
    }
}
