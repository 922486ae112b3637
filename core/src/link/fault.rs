//! Why a link that isn't a peer's yet is closed, and how often each happened.

use crate::mse::MseError;
use crate::wire::handshake::HandshakeError;
use thiserror::Error;

/// Why a handshake came to nothing. The other side is to blame, or wants what we don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkFault {
    /// It isn't BitTorrent's.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// It is plain, and we require encryption.
    #[error("plain, where encryption is required")]
    Plain,
    /// The encrypted part of it failed.
    #[error(transparent)]
    Encryption(#[from] MseError),
    /// It was encrypted for one torrent and named another.
    #[error("encrypted for another torrent than it names")]
    OtherTorrent,
}

/// How many handshakes came to nothing, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkFaults {
    /// Other protocols, and encrypted links where we take none.
    pub handshake: u64,
    /// Plain links that we refused, and plain links that we didn't try, since encryption is required.
    pub plain: u64,
    /// Encrypted handshakes that failed, of both directions.
    pub encryption: u64,
    /// Links that were encrypted for one torrent and named another.
    pub other_torrent: u64,
}

impl LinkFaults {
    /// One more.
    pub fn count(&mut self, fault: LinkFault) {
        let counter = match fault {
            LinkFault::Handshake(_) => &mut self.handshake,
            LinkFault::Plain => &mut self.plain,
            LinkFault::Encryption(_) => &mut self.encryption,
            LinkFault::OtherTorrent => &mut self.other_torrent,
        };
        *counter += 1;
    }
}
