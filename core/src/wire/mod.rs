//! Pure codecs: bytes to values and back, one file a format. No state, no time, no chance.
#![warn(clippy::indexing_slicing)]

pub mod allowed_fast;
pub mod bencode;
pub mod extension;
pub mod handshake;
pub mod holepunch;
pub mod http;
pub mod http_proxy;
mod ids;
pub mod ip_filter;
pub mod krpc;
pub mod lsd;
pub mod magnet;
pub mod merkle;
pub mod message;
pub mod metadata_message;
pub mod metainfo;
pub mod mse;
pub mod path;
pub mod peer_id;
pub mod percent;
pub mod pex;
pub mod proxy_url;
pub mod socks5;
pub mod tracker;
pub mod tracker_http;
pub mod tracker_http_server;
pub mod tracker_udp;
pub mod tracker_url;
pub mod tracker_ws;
pub mod utp;

pub use bencode::{BencodeError, BencodeErrorKind, BencodeLimits, Document};
pub use ids::{InfoHash, InfoHashV2, PeerId};
pub use magnet::{Magnet, MagnetError};
pub use metainfo::{Info, Metainfo, MetainfoError, MetainfoLimits};
