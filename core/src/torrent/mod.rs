//! One swarm: wires its rooms, its peers in join order, its states.

mod event;
mod status;
mod work;

use crate::wire::magnet::Magnet;
use crate::wire::metainfo::Metainfo;
use alloc::sync::Arc;

pub use event::TorrentEvent;
pub use status::{PeerStatus, State, Status, TrackerStatus};
pub use work::{Allocation, FileNow, FileSpec, FilesOp, HostError, HostErrorKind, Outcome, Work};

/// What a torrent is added from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A torrent file.
    Metainfo(Arc<Metainfo>),
    /// A magnet link.
    Magnet(Arc<Magnet>),
}
