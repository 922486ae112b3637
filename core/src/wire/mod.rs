//! Pure codecs: bytes to values and back, one file a format. No state, no time, no chance.
#![warn(clippy::indexing_slicing)]

mod ids;
pub mod magnet;
pub mod merkle;
pub mod metainfo;

pub use ids::{InfoHash, InfoHashV2, PeerId};
