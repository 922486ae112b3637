//! A node of the mainline DHT (BEP 5) of both families (BEP 32): scrapes (33), ids bound to addresses (42), read-only (43),
//! stored items (44) and samples (51). It takes datagrams and time, and gives datagrams and events. It owns no socket,
//! looks no name up, and knows no torrents: who wants peers asks for them.
//!
//! ```
//! use millstream_core::base::{Instant, Rng};
//! use millstream_core::dht::{DhtConfig, Event, Family, Node};
//! use millstream_core::wire::InfoHash;
//!
//! let now = Instant::ZERO;
//! let config = DhtConfig { bootstrap_nodes: vec!["192.88.98.1:6881".into()], ..DhtConfig::default() };
//! let mut node = Node::new(config, Rng::new([7; 32]), now);
//! node.on_bound(now, Family::V4); // a socket is there: the node begins to ask around
//! let (to, datagram) = node.next_datagram(Family::V4).unwrap();
//! assert_eq!(to, "192.88.98.1:6881".parse().unwrap());
//! assert!(datagram.starts_with(b"d1:ad2:id20:"));
//!
//! let lookup = node.get_peers(now, InfoHash([1; 20])).unwrap();
//! while let Some(wake) = node.deadline() {
//!     node.on_timeout(wake); // nobody answers
//!     if let Some(Event::Done { lookup: done, .. }) = node.next_event() {
//!         assert_eq!(done, lookup);
//!         break;
//!     }
//! }
//! ```
//!
//! # Amplification
//!
//! What an answer is to its query, in bytes, at most (IPv4; IPv6 in brackets where it is more). An address that hasn't
//! proved itself by an answer or a token shares `dht_reply_bytes_per_second` with its /24 or /64; a ping that a query
//! makes us send counts there too. Those that have proved themselves share
//! `dht_proved_reply_bytes_per_second` in the same way. No datagram is answered by more than one, and one ping.
//!
//! | query | answer | factor |
//! |---|---|---|
//! | `ping` | the id | 1.3 |
//! | `find_node` | 8 nodes, or 16 if both families are wanted | 3.2 (4.2), or 5.6 |
//! | `get_peers` | 8 nodes, a token, peers | 9.9 |
//! | `get_peers` with `scrape` | the same and two filters | 9.0 |
//! | `announce_peer` | the id | 0.6 |
//! | `get` | 8 nodes, a token, an item of 1000 bytes | 15.2 |
//! | `put` | the id or an error | 0.8 |
//! | `sample_infohashes` | 8 nodes, 25 torrents | 8.5 |
//!
//! # Several addresses (BEP 45)
//!
//! A `Node` has one socket in each family, an id for each of them, and answers from the socket that was asked. Who has
//! more addresses has a `Node` for each: separate ids, tables and tokens are what BEP 45 asks for.

mod address;
mod allowance;
mod config;
mod event;
mod farthest;
mod item;
mod items;
mod lookup;
mod node;
mod peers;
mod queries;
mod run;
mod saved;
mod search;
mod serve;
mod table;
#[cfg(test)]
mod tests;
mod tokens;
mod upkeep;

pub use address::Family;
pub use config::DhtConfig;
pub use event::{Cost, DhtStatus, Dropped, Event, FamilyStatus, LookupId, Outcome, Traffic};
pub use item::{Item, ItemError, MutableItem, SecretKey};
pub use node::{Busy, Node, PutError};
pub use saved::SavedError;
