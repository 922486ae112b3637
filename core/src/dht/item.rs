//! Items (BEP 44): what may be stored, and who signed it.

use crate::wire::krpc::{
    NodeId, SALT_BYTES_MAX, Signed, VALUE_BYTES_MAX, code, immutable_target, is_canonical, mutable_target,
    signed_bytes,
};
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use sha2::Sha512;
use thiserror::Error;

/// What is stored under a key: a bencoded value, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Stored under its own digest.
    Immutable {
        /// The bencoded value.
        value: Vec<u8>,
    },
    /// Stored under its owner's key, who may put another in its place.
    Mutable(MutableItem),
}

/// A signed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutableItem {
    /// The owner's ed25519 public key.
    pub key: [u8; 32],
    /// Tells items of one owner apart; may be empty.
    pub salt: Vec<u8>,
    /// Grows with each version.
    pub seq: i64,
    /// The bencoded value.
    pub value: Vec<u8>,
    /// The owner's signature of salt, sequence number and value.
    pub signature: [u8; 64],
}

/// Why an item can't be stored. Who made it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ItemError {
    /// The bencoded value is longer than 1000 bytes.
    #[error("a value of {0} bytes; at most 1000 are stored")]
    ValueTooBig(usize),
    /// The salt is longer than 64 bytes.
    #[error("a salt of {0} bytes; at most 64 are allowed")]
    SaltTooBig(usize),
    /// The value is no canonical bencode.
    #[error("the value is no bencode with sorted keys")]
    Bencode,
    /// The signature is another's, or of other bytes.
    #[error("the signature doesn't hold")]
    Signature,
    /// The sequence number is negative.
    #[error("sequence number {0}")]
    Sequence(i64),
}

impl ItemError {
    /// What a node answers to who sent it (BEP 44).
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::ValueTooBig(_) => code::VALUE_TOO_BIG,
            Self::SaltTooBig(_) => code::SALT_TOO_BIG,
            Self::Signature => code::SIGNATURE,
            Self::Bencode | Self::Sequence(_) => code::PROTOCOL,
        }
    }
}

impl Item {
    /// The key it is stored under.
    pub fn target(&self) -> NodeId {
        match self {
            Self::Immutable { value } => immutable_target(value),
            Self::Mutable(item) => mutable_target(&item.key, &item.salt),
        }
    }

    /// The bencoded value.
    pub fn value(&self) -> &[u8] {
        match self {
            Self::Immutable { value } => value,
            Self::Mutable(item) => &item.value,
        }
    }

    /// The sequence number, if it is mutable.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Self::Immutable { .. } => None,
            Self::Mutable(item) => Some(item.seq),
        }
    }

    /// Whether others would store it; the signature comes last, since it costs the most.
    pub fn check(&self) -> Result<(), ItemError> {
        let value = self.value();
        if value.len() > VALUE_BYTES_MAX {
            return Err(ItemError::ValueTooBig(value.len()));
        }
        if !is_canonical(value) {
            return Err(ItemError::Bencode);
        }
        match self {
            Self::Immutable { .. } => Ok(()),
            Self::Mutable(item) => item.check(),
        }
    }

    /// Of what a packet says; nothing is checked.
    pub(super) fn read(value: &[u8], signed: Option<Signed<'_>>) -> Self {
        let value = value.to_vec();
        match signed {
            None => Self::Immutable { value },
            Some(Signed { key, salt, seq, signature }) => {
                let (key, salt, signature) = (*key, salt.to_vec(), *signature);
                Self::Mutable(MutableItem { key, salt, seq, value, signature })
            }
        }
    }

    /// How a packet says who signed it.
    pub(super) fn signed(&self) -> Option<Signed<'_>> {
        match self {
            Self::Immutable { .. } => None,
            Self::Mutable(MutableItem { key, salt, seq, signature, .. }) => {
                Some(Signed { key, salt, seq: *seq, signature })
            }
        }
    }
}

impl MutableItem {
    fn check(&self) -> Result<(), ItemError> {
        if self.salt.len() > SALT_BYTES_MAX {
            return Err(ItemError::SaltTooBig(self.salt.len()));
        }
        if self.seq < 0 {
            return Err(ItemError::Sequence(self.seq));
        }
        let key = VerifyingKey::from_bytes(&self.key).map_err(|_| ItemError::Signature)?;
        let signed = signed_bytes(&self.salt, self.seq, &self.value);
        key.verify(&signed, &Signature::from_bytes(&self.signature)).map_err(|_| ItemError::Signature)
    }
}

/// What an owner signs with. It is shown to nobody, not even by `Debug`.
pub struct SecretKey {
    secret: ExpandedSecretKey,
    public: VerifyingKey,
}

impl SecretKey {
    /// A key from 32 random bytes (RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self::of(ExpandedSecretKey::from(seed))
    }

    /// A key in the expanded form that other clients store, of 64 bytes: scalar and prefix.
    pub fn from_expanded(expanded: &[u8; 64]) -> Self {
        Self::of(ExpandedSecretKey::from_bytes(expanded))
    }

    fn of(secret: ExpandedSecretKey) -> Self {
        Self { public: VerifyingKey::from(&secret), secret }
    }

    /// What others know us by.
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    /// Signs a value; the sequence number must be greater than that of the version before.
    pub fn sign(&self, salt: &[u8], seq: i64, value: &[u8]) -> Result<MutableItem, ItemError> {
        let signature = raw_sign::<Sha512>(&self.secret, &signed_bytes(salt, seq, value), &self.public);
        let (salt, value) = (salt.to_vec(), value.to_vec());
        let item = MutableItem { key: self.public(), salt, seq, value, signature: signature.to_bytes() };
        Item::Mutable(item.clone()).check().map(|()| item)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString as _;

    fn unhex<const N: usize>(text: &str) -> [u8; N] {
        let byte = |n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap();
        core::array::from_fn(byte)
    }

    /// The key pair of the text.
    fn owner() -> SecretKey {
        SecretKey::from_expanded(&unhex(
            "e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d\
             b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d",
        ))
    }

    #[test]
    fn bep_0044_the_signatures_of_the_text() {
        let public: [u8; 32] = unhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548");
        assert_eq!(owner().public(), public);
        let value = b"12:Hello World!";
        let plain = owner().sign(b"", 1, value).unwrap();
        let expected: [u8; 64] = unhex(
            "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
             1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
        );
        assert_eq!(plain.signature, expected);
        let salted = owner().sign(b"foobar", 1, value).unwrap();
        let expected: [u8; 64] = unhex(
            "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
             df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
        );
        assert_eq!(salted.signature, expected);
        assert_eq!(Item::Mutable(salted).target().to_string(), "411eba73b6f087ca51a3795d9c8c938d365e32c1");
    }

    #[test]
    fn pitfall_10_bep_0044_what_may_not_be_stored_has_its_code() {
        let owner = SecretKey::from_seed(&[5; 32]);
        let good = owner.sign(b"s", 7, b"1:x").unwrap();
        let code = |item: MutableItem| Item::Mutable(item).check().map_err(ItemError::code);
        assert_eq!(code(good.clone()), Ok(()));
        assert_eq!(code(MutableItem { seq: 8, ..good.clone() }), Err(code::SIGNATURE));
        assert_eq!(code(MutableItem { salt: b"t".to_vec(), ..good.clone() }), Err(code::SIGNATURE));
        assert_eq!(code(MutableItem { salt: [b's'; 65].to_vec(), ..good.clone() }), Err(code::SALT_TOO_BIG));
        let big = |n: usize| [format!("{n}:").into_bytes(), [b'x'; 2000][..n].to_vec()].concat();
        assert_eq!(code(MutableItem { value: big(997), ..good }), Err(code::VALUE_TOO_BIG));
        assert!(owner.sign(&[b's'; 64], 1, &big(996)).is_ok(), "exactly 1000 bytes");
        assert_eq!(owner.sign(b"", -1, b"1:x"), Err(ItemError::Sequence(-1)));
        assert_eq!(Item::Immutable { value: b"d1:b0:1:a0:e".to_vec() }.check(), Err(ItemError::Bencode));
    }

    #[test]
    fn a_secret_key_is_not_shown() {
        assert_eq!(format!("{:?}", owner()), "SecretKey(..)");
    }
}
