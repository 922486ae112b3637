//! Pure codecs: bytes to values and back, one file a format. No state, no time, no chance.
#![warn(clippy::indexing_slicing)]

mod ids;
pub mod merkle;
pub mod tracker;
pub mod tracker_http_server;
pub mod tracker_udp;
pub mod tracker_url;

pub use ids::{InfoHash, InfoHashV2, PeerId};
