//! What can go wrong for an application: one enum per operation, each saying who is to blame.

use crate::filter::FilterFileError;
use millstream_core::engine::CommandError;
use millstream_core::wire::proxy_url::ProxyUrlError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a session can't start: the host is to blame.
#[derive(Debug, Error)]
pub enum StartError {
    /// A thread or the reactor couldn't be made.
    #[error("the engine's thread couldn't be started: {0}")]
    Thread(#[source] io::Error),
    /// None of the addresses in `SessionConfig::listen` could be bound.
    #[error("none of the listening addresses could be bound: {0}")]
    Listen(#[source] io::Error),
    /// The interface or address of `SessionConfig::bind` isn't there.
    #[error("{0}")]
    Bind(#[source] io::Error),
    /// `SessionConfig::proxy` is no proxy's URL.
    #[error(transparent)]
    Proxy(ProxyUrlError),
    /// The list of `SessionConfig::ip_filter` can't be used. Nothing is started without it.
    #[error("{path}: {error}")]
    Filter {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: FilterFileError,
    },
    /// The operating system gave no random numbers.
    #[error("the system has no random numbers: {0}")]
    Seed(String),
}

/// Why a torrent can't be added.
#[derive(Debug, Error)]
pub enum AddError {
    /// The torrent file couldn't be read.
    #[error("{path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The torrent file couldn't be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is no usable torrent file or magnet link.
    #[error("{0}")]
    Malformed(String),
    /// The folder's name is no text; the engine keeps names as text.
    #[error("the folder {0:?} has no name in UTF-8")]
    Folder(PathBuf),
    /// The engine refused it.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

impl From<CommandFailed> for AddError {
    fn from(failed: CommandFailed) -> Self {
        match failed {
            CommandFailed::Refused(error) => Self::Refused(error),
            CommandFailed::Ended => Self::Ended,
        }
    }
}

/// Why a URL couldn't be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// It is no absolute http or https URL.
    #[error("{0} is no http or https URL")]
    Url(String),
    /// The host's name leads nowhere.
    #[error("{host} can't be looked up: {error}")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        error: io::Error,
    },
    /// No link to the server.
    #[error("{host}: {error}")]
    Connect {
        /// The host.
        host: String,
        /// Why.
        error: io::Error,
    },
    /// The server broke HTTP, or hung up.
    #[error("{host}: {error}")]
    Http {
        /// The host.
        host: String,
        /// What was wrong.
        error: String,
    },
    /// More redirects than allowed.
    #[error("more than {0} redirects")]
    Redirects(u32),
    /// A public server redirects into a private network.
    #[error("{0} is private, and a public server redirects there")]
    Private(String),
    /// The body is longer than allowed, as sent or as unpacked.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It took longer than allowed.
    #[error("no answer in time")]
    TimedOut,
    /// The server answered with this status.
    #[error("the server answered {0}")]
    Status(u16),
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

/// Why a command wasn't carried out.
#[derive(Debug, Error)]
pub enum CommandFailed {
    /// The engine refused it.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

/// Why a filter list doesn't take effect: the one before still does.
#[derive(Debug, Error)]
pub enum LoadFilterError {
    /// The list can't be used.
    #[error(transparent)]
    File(#[from] FilterFileError),
    /// The session has ended.
    #[error(transparent)]
    Failed(#[from] CommandFailed),
}

/// Why a torrent will not complete.
#[derive(Debug, Error)]
pub enum WaitError {
    /// The host failed; [`crate::Torrent::resume`] tries again.
    #[error("{0}")]
    Failed(String),
    /// The torrent was removed, or the session has ended.
    #[error("the torrent was removed")]
    Removed,
}
