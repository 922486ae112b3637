//! How many connections to open, and when: a pool that finds out what its network bears. It opens nothing itself, knows
//! no protocol and is generic over what names a connection (`K`) and over who wants it (`O`): torrents and links, or
//! hosts and URLs of an FTP or HTTP downloader.
//!
//! What a weak router bears is a table of connections. An entry is made by every attempt, also one to a dead address, and
//! stays for minutes after the connection has ended; a full table drops new connections or throws out living ones. So
//! what is bounded here is the *footprint*: connections that are open, opening, or ended not long ago. It starts
//! small, doubles while nothing speaks against it, and is cut when there is evidence.
//!
//! Dead addresses are no evidence: most of a swarm's are. What counts is change against a baseline, and only if less
//! load brings the baseline back; see `sizing`.
//!
//! Where more connections carry no more, the line is full: the number open is held for a while, not cut; see
//! `throughput`.

mod config;
mod connections;
mod evidence;
mod opening;
#[cfg(test)]
mod simulation;
mod sizing;
mod throughput;

pub use config::PoolConfig;
pub use connections::Connections;

/// What is known of an address before it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// It answered when it was tried last: its silence says much about the network.
    Proven,
    /// It was never tried: its silence says something, beside that of others.
    Fresh,
    /// It was silent before, or is slow by nature: its silence says nothing, nor does how long it takes.
    Failed,
}

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Nobody answered in time.
    TimedOut,
    /// Somebody answered with a refusal: the network carried it there and back.
    Refused,
    /// The network says that no way leads there. Counts as an answer.
    Unreachable,
    /// Our own host has no room for more connections: the pool is cut at once.
    NoRoom,
    /// We gave up ourselves, before it was known.
    Cancelled,
}

/// Why an open connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// We ended it.
    Ours,
    /// The other side ended it in order.
    Finished,
    /// It broke: reset, or silent for too long. Many of these soon after new ones were opened are how a router shows
    /// that it throws out old entries.
    Lost,
}

/// What the pool takes for a sign that it is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// Addresses that were never tried answer much less often than those before them.
    Silence,
    /// Connections that had worked break much more often than before.
    Losses,
    /// Opening takes much longer than it did.
    Latency,
    /// Our own host has no room for more.
    NoRoom,
}

/// Why the pool has the size it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Nothing speaks against growing.
    Free,
    /// It was made smaller, to see whether that helps against this sign.
    Trying(Sign),
    /// Less load helped: it stays near that size and grows slowly.
    Bounded(Sign),
}

/// The pool at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections that are open, whoever opened them.
    pub open: usize,
    /// Connections that we are opening.
    pub half_open: usize,
    /// Connections that ended not long ago: a router may still hold their entries.
    pub lingering: usize,
    /// How large the sum of these three may be now.
    pub size: usize,
    /// How many may be opening at once now.
    pub half_open_size: usize,
    /// Why.
    pub mood: Mood,
    /// How many may be open, beside what an owner with few may open, while more would carry no more; `None` while that
    /// isn't known.
    pub held: Option<usize>,
    /// Of a thousand fresh addresses, how many answer; `None` until enough were tried.
    pub answers_per_mille: Option<u32>,
    /// How long opening takes, milliseconds, smoothed; 0 until something was opened.
    pub open_ms: u64,
    /// Bytes a second of all connections together.
    pub rate: u64,
}

/// The pool's size changed by a quarter or more, or its mood did, since the last change that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolChange {
    /// The size that was told last.
    pub from: usize,
    /// The size now.
    pub to: usize,
    /// Why.
    pub mood: Mood,
}
