//! One BitTorrent session over any byte link: framing, choke and interest both ways, request pipeline, outbox, limits.
//! It owns no link, no torrent and no storage: bytes and commands go in, facts and bytes come out.
//!
//! ```
//! use millstream_core::base::{Bits, Geometry, Instant, Segment};
//! use millstream_core::peer::{Fact, PeerTraits, Session, SessionConfig};
//! use std::sync::Arc;
//!
//! let now = Instant::ZERO;
//! let traits = PeerTraits { fast: true, ..Default::default() };
//! let geometry = Arc::new(Geometry::new(100_000, 65_536, Vec::new()).unwrap());
//! let session = || Session::new(Arc::new(SessionConfig::default()), now, traits, Some(Arc::clone(&geometry)));
//! let (mut seed, mut leech) = (session(), session());
//! seed.pieces(&Bits::full(2));
//! leech.interested();
//!
//! // What one side writes, the other one reads.
//! let carry = |from: &mut Session, to: &mut Session| {
//!     let transmit = from.poll_transmit(now, 65_536, u64::MAX).unwrap();
//!     for segment in transmit.segments {
//!         let Segment::Bytes(chunk) = segment else { unreachable!("nothing is stored here") };
//!         to.on_received(now, chunk);
//!     }
//! };
//! carry(&mut seed, &mut leech);
//! carry(&mut leech, &mut seed);
//! assert_eq!(leech.next_fact(now, &Bits::new(2)), Some(Fact::Pieces));
//! assert_eq!(seed.next_fact(now, &Bits::full(2)), Some(Fact::Interested));
//! ```

mod commands;
mod config;
mod fact;
mod outbox;
mod parts;
mod pipeline;
mod reader;
mod remote;
mod session;
mod timing;
mod upload;
mod view;

#[cfg(test)]
mod tests;

pub use config::SessionConfig;
pub use fact::{Fact, Fault, Malformed, Misbehaved};
pub use outbox::Transmit;
pub use parts::Parts;
pub use reader::{Bounds, Frame, Reader};
pub use session::{PeerTraits, Session};
pub use upload::UploadRun;
