//! Bencode from strangers (BEP 3): one pass, no recursion, a flat tape of tokens with spans. It owns syntax and typed
//! access; what the keys mean is each format's own. We write by `bendy`, never from here.
//!
//! Lenient where strangers err harmlessly: keys in any order. Strict where two readers could differ: duplicate keys,
//! leading zeros, minus zero, trailing bytes.
//!
//! ```
//! use millstream_core::wire::bencode::Document;
//! let document = Document::decode(b"d8:intervali1800e5:peers0:e").unwrap();
//! let answer = document.dict().unwrap();
//! assert_eq!(answer.uint("interval").unwrap(), 1800);
//! assert_eq!(answer.bytes("peers").unwrap(), b"");
//! assert!(answer.int_opt("min interval").unwrap().is_none());
//! ```

mod error;
mod scan;
mod value;

pub use error::{BencodeError, BencodeErrorKind};
pub use scan::BencodeLimits;
pub use value::{Dict, Entries, Items, Kind, Value};

use alloc::vec::Vec;
use scan::Token;

/// Bytes that are well-formed bencode, with their tokens.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    input: &'a [u8],
    tape: Vec<Token>,
}

impl<'a> Document<'a> {
    /// Reads one value that fills the whole input, within the limits for messages.
    pub fn decode(input: &'a [u8]) -> Result<Self, BencodeError> {
        Self::decode_within(input, &BencodeLimits::default())
    }

    /// Reads one value that fills the whole input.
    pub fn decode_within(input: &'a [u8], limits: &BencodeLimits) -> Result<Self, BencodeError> {
        let (document, length) = Self::decode_prefix_within(input, limits)?;
        if length < input.len() {
            return Err(BencodeError::new(length, BencodeErrorKind::Trailing(input.len() - length)));
        }
        Ok(document)
    }

    /// Reads one value at the start of the input, within the limits for messages; gives how many bytes it took. For
    /// formats that append data to a dictionary (BEP 9).
    pub fn decode_prefix(input: &'a [u8]) -> Result<(Self, usize), BencodeError> {
        Self::decode_prefix_within(input, &BencodeLimits::default())
    }

    /// Reads one value at the start of the input; gives how many bytes it took.
    pub fn decode_prefix_within(
        input: &'a [u8],
        limits: &BencodeLimits,
    ) -> Result<(Self, usize), BencodeError> {
        let (tape, length) = scan::scan(input, limits)?;
        Ok((Self { input, tape }, length))
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_, 'a> {
        Value::root(self.input, &self.tape)
    }

    /// The outermost value, if it is a dictionary.
    pub fn dict(&self) -> Result<Dict<'_, 'a>, BencodeError> {
        self.root().dict()
    }
}

#[cfg(test)]
mod tests;
