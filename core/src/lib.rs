//! millstream-core: a sans-IO BitTorrent engine.
//!
//! The [`Engine`](engine::Engine) is a pure state machine: bytes, time and answers go in; bytes, jobs and events come
//! out. It opens no socket and no file, reads no clock, starts no thread and draws no chance of its own. Whoever gives it
//! a body is a driver; the crate `millstream` is one on tokio.
//!
//! ```
//! use millstream_core::base::Instant;
//! use millstream_core::engine::{AddTorrent, Command, Config, Effect, Endpoint, Engine, Source};
//! use millstream_core::wire::magnet::Magnet;
//!
//! let seed = [7; 32]; // from the operating system, in earnest
//! let mut now = Instant::ZERO;
//! let mut engine = Engine::new(Config::default(), seed, now);
//!
//! let link = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567&x.pe=192.0.2.1:6881";
//! let magnet = Magnet::parse(link)?;
//! engine.command(now, Command::Add(Box::new(AddTorrent::new(Source::Magnet(magnet.into()), "downloads"))))?;
//!
//! // The engine says what is to be done ...
//! let effect = engine.poll_effect();
//! assert!(matches!(effect, Some(Effect::Connect { to: Endpoint::Tcp(to), .. }) if to.port() == 6881));
//! // ... and when it wants to be called, if nothing happens before.
//! now = engine.poll_timeout().expect("a call doesn't wait for ever");
//! engine.handle_timeout(now);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The driver's law
//!
//! - `now` never goes back.
//! - After inputs and pops, take effects until there is none; then sleep until an input or `poll_timeout`. Early and
//!   spurious calls do no harm.
//! - One transmit in flight per link, written whole and in order, and told by `Wrote`.
//! - Stop reading at `read_until`; one read of overrun is forgiven.
//! - One answer a job, also after `Cancel`.
//! - `Connect` is answered by `Opened` or `Closed`; after `Close` comes `Drained` and nothing else.
//!
//! # Rooms
//!
//! Each room is public and usable alone: [`wire`] as a toolbox of codecs, [`peer`] as one session over any byte link,
//! [`picker`], [`choke`], [`book`], [`limits`] and [`resume`] as what their names say, [`tracker`] as a tracker, [`dht`] as a node of
//! the mainline DHT.
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
#[cfg(feature = "dht")]
pub mod dht;
pub mod engine;
pub mod limits;
pub mod link;
#[cfg(feature = "lsd")]
pub mod lsd;
pub mod metadata;
pub mod mse;
pub mod net;
pub mod offers;
pub mod peer;
pub mod pex;
pub mod picker;
pub mod pool;
pub mod resume;
pub mod store;
pub mod torrent;
#[cfg(feature = "tracker")]
pub mod tracker;
#[cfg(feature = "utp")]
pub mod utp;
pub mod verify;
pub mod webseed;
pub mod wire;
