//! One BitTorrent session over any byte link: framing, choke and interest both ways, request pipeline, outbox, limits.

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

pub use config::SessionConfig;
pub use fact::{Fact, Fault, Malformed, Misbehaved};
pub use outbox::Transmit;
pub use parts::Parts;
pub use session::{PeerTraits, Session};
pub use upload::UploadRun;
