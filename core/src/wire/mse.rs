//! Message Stream Encryption: the blocks of its handshake, its hashes, and the job of a key exchange as a value. Who says
//! what when, and the arithmetic, are the room `mse`'s.

use super::InfoHash;
use core::fmt;
use sha1::{Digest as _, Sha1};
use thiserror::Error;

/// The length of a public key and of the secret both sides come to, in bytes.
pub const KEY_BYTES: usize = 96;

/// The longest padding that either side may add at any of the four places.
pub const PAD_BYTES_MAX: usize = 512;

/// The length of every hash here, in bytes.
pub const HASH_BYTES: usize = 20;

/// The length of the verification constant, in bytes: all of them zero, so that encrypted they are the key stream's own.
pub const VERIFICATION_BYTES: usize = 8;

/// Verification constant, levels and the length of the padding that follows, in bytes.
pub const TERMS_BYTES: usize = VERIFICATION_BYTES + 6;

/// A private key: 160 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PrivateKey(pub [u8; 20]);

/// A public key, big-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

/// What both sides come to, big-endian: S.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SharedSecret(pub [u8; KEY_BYTES]);

/// `HASH('req2', SKEY)`: the name of a torrent to those who know the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VeiledHash(pub [u8; HASH_BYTES]);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        self.0.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str("..)")
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

/// The job of a key exchange: up to two exponentiations of 768 bits, too slow for the thread that serves links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExchange {
    /// Our private key.
    pub private: PrivateKey,
    /// Whether our public key is wanted.
    pub public: bool,
    /// Their public key, if the secret is wanted.
    pub theirs: Option<PublicKey>,
}

/// What a key exchange came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Our public key, if it was wanted.
    pub public: Option<PublicKey>,
    /// The secret, if their public key was given.
    pub secret: Option<SharedSecret>,
}

/// How the stream after the handshake is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it is: only the handshake was hidden.
    Plain,
    /// Under RC4.
    Rc4,
}

/// A set of levels, as `crypto_provide` and `crypto_select` carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels(pub u32);

impl Level {
    const fn bit(self) -> u32 {
        match self {
            Self::Plain => 1,
            Self::Rc4 => 2,
        }
    }
}

impl Levels {
    /// Both that are known.
    pub const BOTH: Self = Self(3);

    /// One alone.
    pub const fn only(level: Level) -> Self {
        Self(level.bit())
    }

    /// Whether `level` is among them.
    pub const fn has(self, level: Level) -> bool {
        self.0 & level.bit() != 0
    }

    /// The one level it names, if it names exactly one that is known.
    pub fn single(self) -> Option<Level> {
        [Level::Plain, Level::Rc4].into_iter().find(|level| level.bit() == self.0)
    }
}

/// What the encrypted part of either side's second block begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What is offered, or the one that is chosen.
    pub levels: Levels,
    /// How many bytes of padding follow.
    pub pad_bytes: u16,
}

/// Why bytes are no terms. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TermsError {
    /// The verification constant isn't zero: another key, or no such protocol.
    #[error("the verification constant is wrong")]
    Verification,
    /// More padding than there may be.
    #[error("padding of {bytes} bytes, more than {PAD_BYTES_MAX}")]
    Pad {
        /// As many.
        bytes: u16,
    },
}

impl Terms {
    /// The bytes, in clear.
    pub fn encode(self) -> [u8; TERMS_BYTES] {
        let mut out = [0; TERMS_BYTES];
        let fields = [0; VERIFICATION_BYTES].into_iter();
        let fields = fields.chain(self.levels.0.to_be_bytes()).chain(self.pad_bytes.to_be_bytes());
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads the bytes, in clear.
    pub fn parse(bytes: &[u8; TERMS_BYTES]) -> Result<Self, TermsError> {
        let [v @ .., a, b, c, d, high, low] = *bytes;
        if v != [0; VERIFICATION_BYTES] {
            return Err(TermsError::Verification);
        }
        let pad_bytes = u16::from_be_bytes([high, low]);
        if usize::from(pad_bytes) > PAD_BYTES_MAX {
            return Err(TermsError::Pad { bytes: pad_bytes });
        }
        Ok(Self { levels: Levels(u32::from_be_bytes([a, b, c, d])), pad_bytes })
    }
}

/// Which side of a link: its opener is A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who opened the link.
    A,
    /// Who was called.
    B,
}

impl SharedSecret {
    /// `HASH('req1', S)`: where the padding before it ends.
    pub fn mark(&self) -> [u8; HASH_BYTES] {
        hash(&[b"req1", &self.0])
    }

    /// `HASH('req2', SKEY) xor HASH('req3', S)`: the torrent's name for this link.
    pub fn veil(&self, name: VeiledHash) -> [u8; HASH_BYTES] {
        let mut out = hash(&[b"req3", &self.0]);
        out.iter_mut().zip(name.0).for_each(|(out, byte)| *out ^= byte);
        out
    }

    /// What `veil` hid.
    pub fn unveil(&self, veiled: [u8; HASH_BYTES]) -> VeiledHash {
        VeiledHash(self.veil(VeiledHash(veiled)))
    }

    /// The key of what `side` sends.
    pub fn stream_key(&self, side: Side, skey: InfoHash) -> [u8; HASH_BYTES] {
        let label = match side {
            Side::A => b"keyA",
            Side::B => b"keyB",
        };
        hash(&[label, &self.0, &skey.0])
    }
}

impl VeiledHash {
    /// Of a torrent's info-hash.
    pub fn of(skey: InfoHash) -> Self {
        Self(hash(&[b"req2", &skey.0]))
    }
}

fn hash(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut sha1 = Sha1::new();
    parts.iter().for_each(|part| sha1.update(part));
    sha1.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_go_there_and_back_and_lies_are_refused() {
        let terms = Terms { levels: Levels::BOTH, pad_bytes: 512 };
        assert_eq!(&terms.encode(), b"\0\0\0\0\0\0\0\0\0\0\0\x03\x02\0");
        assert_eq!(Terms::parse(&terms.encode()), Ok(terms));
        let long = Terms { pad_bytes: 513, ..terms };
        assert_eq!(Terms::parse(&long.encode()), Err(TermsError::Pad { bytes: 513 }));
        let mut wrong = terms.encode();
        wrong[7] = 1;
        assert_eq!(Terms::parse(&wrong), Err(TermsError::Verification));
    }

    #[test]
    fn a_choice_is_one_level_that_is_known() {
        assert_eq!(Levels(1).single(), Some(Level::Plain));
        assert_eq!(Levels(2).single(), Some(Level::Rc4));
        for none in [0, 3, 4, 6, u32::MAX] {
            assert_eq!(Levels(none).single(), None);
        }
    }

    #[test]
    fn a_name_is_hidden_and_found_again_by_who_knows_the_secret() {
        let (secret, other) = (SharedSecret([3; KEY_BYTES]), SharedSecret([4; KEY_BYTES]));
        let name = VeiledHash::of(InfoHash([7; 20]));
        assert_eq!(secret.unveil(secret.veil(name)), name);
        assert_ne!(other.unveil(secret.veil(name)), name);
        assert_ne!(
            secret.stream_key(Side::A, InfoHash([7; 20])),
            secret.stream_key(Side::B, InfoHash([7; 20]))
        );
    }
}
