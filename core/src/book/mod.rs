//! The addresses of one swarm: where they came from, which to try next, which to leave alone and why. This room opens
//! no connection; it is told what became of each.

mod address;
mod config;
mod known;
mod priority;

pub use address::{Added, AddressRefusal, Found, Source, Sources};
pub use config::BookConfig;
pub use known::{BanReason, Book, Own, Tried};
pub use priority::priority;
