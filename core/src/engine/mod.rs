//! The doors: Engine, Command, Input, Effect, Event, Config.

mod command;
mod effect;
mod event;
mod input;

pub use crate::torrent::{
    AddTorrent, Allocation, Config, FileNow, FileSpec, FilesOp, HostError, HostErrorKind, Outcome,
    PeerStatus, Rates, SeedPolicy, Selection, Source, State, Status, TorrentEvent, TrackerStatus, Work,
};
pub use command::{Command, CommandError, Refusal, Reply};
pub use effect::{Datagrams, Effect, How, Transmit};
pub use event::Event;
pub use input::{Incoming, Input, LinkEnd, SocketKind};

use crate::base::{ConnId, Instant, LocalId, TorrentId};

/// A BitTorrent engine: a pure state machine.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// An engine with nothing to do. `seed` is all its chance, as secret as a key.
    pub fn new(_config: Config, _seed: [u8; 32], _now: Instant) -> Self {
        Self {}
    }

    /// Takes in what happened outside. Never fails.
    pub fn handle_input(&mut self, _now: Instant, _input: Input) {}

    /// Does what is due. Early and spurious calls do no harm.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// The next thing for the driver to do; call until `None` after inputs and pops.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        None
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Bytes to write to a link, at most about `max`. What is handed over is committed: it is written whole, or the
    /// link is closed. It may make effects.
    pub fn poll_transmit(&mut self, _now: Instant, _conn: ConnId, _max: usize) -> Option<Transmit> {
        None
    }

    /// Datagrams to send from a socket, at most `max` bytes.
    pub fn poll_datagrams(&mut self, _now: Instant, _local: LocalId, _max: usize) -> Option<Datagrams> {
        None
    }

    /// Carries out a command.
    pub fn command(&mut self, _now: Instant, _command: Command) -> Result<Reply, CommandError> {
        Err(CommandError::Stopping)
    }

    /// Takes a link that a stranger opened.
    pub fn accept(&mut self, _now: Instant, _incoming: Incoming) -> Result<ConnId, Refusal> {
        Err(Refusal::Stopping)
    }

    /// A torrent at a glance.
    pub fn status(&self, _now: Instant, _id: TorrentId) -> Option<Status> {
        None
    }

    /// All torrents, in the order they were added.
    pub fn torrents(&self) -> alloc::vec::Vec<TorrentId> {
        alloc::vec::Vec::new()
    }

    /// A torrent's connected peers.
    pub fn peers(&self, _now: Instant, _id: TorrentId) -> alloc::vec::Vec<PeerStatus> {
        alloc::vec::Vec::new()
    }

    /// A torrent's trackers.
    pub fn trackers(&self, _id: TorrentId) -> alloc::vec::Vec<TrackerStatus> {
        alloc::vec::Vec::new()
    }
}
