//! Message Stream Encryption: the handshake that hides which torrent a link is about, for both sides, and the key streams
//! that it leaves behind. Takes bytes and finished key exchanges in, gives bytes and exchanges to be done out; opens no
//! link, knows no torrents, and computes nothing slow itself: [`exchange`] is for the host's other threads.
//!
//! It hides a stream from those who look for patterns. It proves nothing about who is at the other end.

#[cfg(not(feature = "mse"))]
mod absent;
#[cfg(feature = "mse")]
mod cipher;
#[cfg(feature = "mse")]
mod crypt;
#[cfg(feature = "mse")]
mod exchange;
#[cfg(feature = "mse")]
mod greeting;
#[cfg(feature = "mse")]
mod inbox;
#[cfg(feature = "mse")]
mod initiator;
#[cfg(feature = "mse")]
mod responder;

#[cfg(not(feature = "mse"))]
pub use absent::{Crypt, Initiator, Responder, answer, call, exchange};
#[cfg(feature = "mse")]
pub use {
    cipher::Cipher,
    crypt::Crypt,
    exchange::exchange,
    initiator::{Initiator, call},
    responder::{Responder, answer},
};

use crate::base::Chunk;
use crate::wire::InfoHash;
use crate::wire::mse::{KeyExchange, PAD_BYTES_MAX, TermsError, VeiledHash};
use alloc::boxed::Box;
use alloc::vec::Vec;
use thiserror::Error;

/// What follows a fact.
#[derive(Debug)]
#[must_use]
pub struct Step {
    /// To be sent now; may be empty.
    pub say: Vec<u8>,
    /// What else.
    pub then: Then,
}

/// What a handshake waits for, or came to.
#[derive(Debug)]
pub enum Then {
    /// More bytes, or the exchange that is out.
    Wait,
    /// Do this exchange, and answer with `on_exchanged`.
    Exchange(Box<KeyExchange>),
    /// Which of our torrents has this name? Answer with `on_named`.
    Asked(VeiledHash),
    /// The handshake is done.
    Done(Box<Secured>),
    /// It failed; the other side is to blame.
    Fault(MseError),
}

/// A handshake that is done.
#[derive(Debug)]
pub struct Secured {
    /// The torrent that both sides mean.
    pub skey: InfoHash,
    /// How the stream is carried from here.
    pub crypt: Crypt,
    /// What came behind the handshake, decrypted: the stream's first bytes.
    pub rest: Chunk,
}

/// Why a handshake failed. The other side is to blame; a side that doesn't speak this protocol looks just so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MseError {
    /// Its public key leaves the secret open, or is no key.
    #[error("a public key that leaves the secret open")]
    WeakKey,
    /// It sent more than a key and padding, when it could know no more to say.
    #[error("{bytes} bytes behind a public key, before the secret was known")]
    TooMuch {
        /// As many.
        bytes: usize,
    },
    /// What ends the padding didn't come within its longest.
    #[error("no end of the padding within {PAD_BYTES_MAX} bytes")]
    NoMark,
    /// It named a torrent that isn't ours.
    #[error("a torrent that isn't ours")]
    UnknownTorrent,
    /// Its terms aren't any.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// It offered no level that we take, or chose one that we didn't offer.
    #[error("no level for both, of {levels:#x}")]
    NoLevel {
        /// What it named, as `crypto_provide` and `crypto_select` do.
        levels: u32,
    },
}

#[cfg(feature = "mse")]
#[cfg(test)]
mod tests;
