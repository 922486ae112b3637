//! One swarm: wires its rooms, its peers in join order, its states.

mod add;
mod config;
mod event;
mod status;
mod work;

pub use crate::choke::SeedPolicy;
pub use add::{AddTorrent, Selection, Source};
pub use config::{Config, Rates};
pub use event::TorrentEvent;
pub use status::{PeerStatus, State, Status, TrackerStatus};
pub use work::{Allocation, FileNow, FileSpec, FilesOp, HostError, HostErrorKind, Outcome, Work};
