//! The messages by which peers send each other the metadata (BEP 9). Who is asked for what is not decided here.

use super::bencode::{BencodeError, Document};
use alloc::vec::Vec;
use bendy::encoding::Encoder;
use thiserror::Error;

/// The size of a piece of metadata, in bytes; only the last may be shorter (BEP 9).
pub const METADATA_PIECE_BYTES: usize = 16 * 1024;

/// One message of `ut_metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataMessage<'a> {
    /// Send this piece.
    Request {
        /// Its number.
        piece: u32,
    },
    /// A piece.
    Data {
        /// Its number.
        piece: u32,
        /// The whole metadata's bytes, as the sender says.
        total_size: u64,
        /// The piece's bytes.
        data: &'a [u8],
    },
    /// This piece will not be sent.
    Reject {
        /// Its number.
        piece: u32,
    },
    /// A type of a later time, to be passed over.
    Unknown,
}

/// Why bytes are no metadata message. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MetadataMessageError {
    /// Not a bencoded dictionary, or a key that its type needs is missing or makes no sense.
    #[error("the metadata message: {0}")]
    Bencode(#[from] BencodeError),
    /// A piece number beyond 32 bits.
    #[error("the metadata message names piece {0}")]
    Piece(u64),
    /// More data than a piece has.
    #[error("the metadata message carries {0} bytes of data")]
    TooLong(usize),
}

impl<'a> MetadataMessage<'a> {
    /// Reads the payload of an extended message. The data begins where the dictionary ends.
    pub fn parse(payload: &'a [u8]) -> Result<Self, MetadataMessageError> {
        let (document, end) = Document::decode_prefix(payload)?;
        let message = document.dict()?;
        let data = payload.get(end..).unwrap_or_default();
        let piece = || {
            let piece = message.uint("piece")?;
            u32::try_from(piece).map_err(|_| MetadataMessageError::Piece(piece))
        };
        Ok(match message.int("msg_type")? {
            0 => Self::Request { piece: piece()? },
            1 if data.len() > METADATA_PIECE_BYTES => return Err(MetadataMessageError::TooLong(data.len())),
            1 => Self::Data { piece: piece()?, total_size: message.uint("total_size")?, data },
            2 => Self::Reject { piece: piece()? },
            _ => Self::Unknown,
        })
    }

    /// The payload of an extended message. `Unknown` gives none.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Self::Request { piece } => head(0, piece, None),
            Self::Data { piece, total_size, data } => {
                let mut out = head(1, piece, Some(total_size));
                out.extend_from_slice(data);
                out
            }
            Self::Reject { piece } => head(2, piece, None),
            Self::Unknown => Vec::new(),
        }
    }
}

fn head(kind: u8, piece: u32, total_size: Option<u64>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let done = encoder.emit_dict(|mut e| {
        e.emit_pair(b"msg_type", kind)?;
        e.emit_pair(b"piece", piece)?;
        total_size.map_or(Ok(()), |size| e.emit_pair(b"total_size", size))
    });
    done.and_then(|()| encoder.get_output()).expect("the keys are written in order, one level deep")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bep_0009_the_messages_are_those_of_the_bep() {
        let request = MetadataMessage::Request { piece: 0 };
        assert_eq!(request.encode(), b"d8:msg_typei0e5:piecei0ee");
        let data = MetadataMessage::Data { piece: 0, total_size: 3425, data: b"xxxxxxxx" };
        assert_eq!(data.encode(), b"d8:msg_typei1e5:piecei0e10:total_sizei3425eexxxxxxxx");
        for message in [request, data, MetadataMessage::Reject { piece: 3 }] {
            assert_eq!(MetadataMessage::parse(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn pitfall_3_the_data_begins_where_the_dictionary_ends_even_if_it_looks_like_bencode() {
        let payload = b"d5:piecei1e8:msg_typei1e1:xd1:ale1:bi1ee10:total_sizei9eed1:e";
        let want = MetadataMessage::Data { piece: 1, total_size: 9, data: b"d1:e" };
        assert_eq!(MetadataMessage::parse(payload), Ok(want));
    }

    #[test]
    fn bep_0009_an_unknown_type_is_passed_over() {
        assert_eq!(MetadataMessage::parse(b"d8:msg_typei7e5:piecei0ee"), Ok(MetadataMessage::Unknown));
    }

    #[test]
    fn what_a_type_needs_must_be_there() {
        let parse = MetadataMessage::parse;
        let refused: [&[u8]; 6] = [
            b"x",
            b"de",
            b"d8:msg_typei0ee",
            b"d8:msg_typei0e5:piecei-1ee",
            b"d8:msg_typei0e5:piecei4294967296ee",
            b"d8:msg_typei1e5:piecei0ee",
        ];
        for bytes in refused {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        let long = MetadataMessage::Data { piece: 0, total_size: 1, data: &[0; METADATA_PIECE_BYTES + 1] };
        assert_eq!(parse(&long.encode()), Err(MetadataMessageError::TooLong(METADATA_PIECE_BYTES + 1)));
    }
}
