//! Pure codecs: bytes to values and back, one file a format. No state, no time, no chance.
#![warn(clippy::indexing_slicing)]

pub mod bencode;
mod ids;
pub mod merkle;

pub use bencode::{BencodeError, BencodeErrorKind, BencodeLimits, Document};
pub use ids::{InfoHash, InfoHashV2, PeerId};
