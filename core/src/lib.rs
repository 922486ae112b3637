//! millstream-core: a sans-IO BitTorrent engine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod announce;
pub mod base;
pub mod book;
pub mod choke;
pub mod create;
pub mod engine;
pub mod limits;
pub mod link;
pub mod metadata;
pub mod net;
pub mod peer;
pub mod picker;
pub mod resume;
pub mod store;
pub mod torrent;
#[cfg(feature = "tracker")]
pub mod tracker;
pub mod verify;
pub mod wire;
