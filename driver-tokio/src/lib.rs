//! millstream on tokio: the body of the engine in `millstream-core`. It owns sockets, disk, clock and threads, and no
//! rule of the protocol.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use millstream::{AddTorrent, Session, SessionConfig};
//!
//! let session = Session::start(SessionConfig::default()).await?;
//! let torrent = session.add(AddTorrent::new("debian.torrent").folder("downloads")).await?;
//! torrent.wait_complete().await?;
//! println!("{} is complete", torrent.status().name);
//! session.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Session`] has one thread for the engine, its sockets and its timers, and a pool of threads for disk and
//! digests. Its futures run on any executor: they only wait for that thread's answers. Dropping the session ends its
//! threads; [`Session::shutdown`] does so in good order.
//!
//! # The driver's law
//!
//! What this driver keeps, as every driver must: `now` never goes back · after inputs and pops, effects are drained ·
//! then it sleeps until an input or `poll_timeout` · one transmit is in flight per link, written in order · reading
//! stops at `read_until` · a job has one answer · `Connect` is answered by `Opened` or `Closed` · after `Close` comes
//! `Drained` and nothing else.

mod add;
mod config;
mod create;
mod crew;
mod damage;
mod dht;
mod disk;
mod error;
mod events;
mod filter;
mod follow;
mod hash;
mod http;
#[doc(hidden)]
pub mod jobs;
mod letters;
mod pool;
mod resume;
mod router;
mod run;
mod session;
#[cfg(feature = "signed")]
mod sign;
mod torrent;
#[cfg(feature = "tracker")]
pub mod tracker;
mod verify;
mod way;

pub use add::AddTorrent;
pub use config::SessionConfig;
pub use create::{CreateTorrent, CreateTorrentError};
pub use damage::{Damage, DamagedFile};
pub use dht::{DhtLookup, DhtNode, DhtNodeConfig, DhtRefusal, DhtRequest};
pub use error::{AddError, CommandFailed, FetchError, LoadFilterError, StartError, WaitError};
pub use events::{Events, SessionEvent};
pub use filter::FilterFileError;
pub use follow::Follow;
pub use millstream_core as core;
pub use millstream_core::base::TorrentId;
pub use millstream_core::engine::Statistics as SessionStatistics;
pub use millstream_core::engine::{
    Allocation, Config as EngineConfig, Encryption, PeerSource, PeerStatus, Priorities, Priority, Rates,
    SeedPolicy, Selection, Sources, State, Status, TorrentEvent, TrackerStatus, UtpUse, WebSeedConfig,
    WebSeedState, WebSeedStatus,
};
pub use millstream_core::net::Followed;
pub use millstream_core::pool::PoolChange;
pub use millstream_core::wire::magnet::KeyLink;
pub use session::{Session, SessionBuilder};
#[cfg(feature = "signed")]
pub use sign::{SignError, Signer, certificate_der};
pub use torrent::Torrent;
pub use verify::{Missing, Verified, VerifyFilesError, verify_files};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; what a panicking thread left behind is whole, since no lock is held over a call that can panic halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
