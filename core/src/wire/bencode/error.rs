//! What is wrong with a stranger's bencode, and at which byte.

use thiserror::Error;

/// Malformed bencode, or a value that isn't what a format asks for. The sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind} (at byte {offset})")]
pub struct BencodeError {
    /// Bytes from the start of the input.
    pub offset: usize,
    /// What is wrong there.
    pub kind: BencodeErrorKind,
}

/// What can be wrong with bencode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BencodeErrorKind {
    /// The input ends within a value.
    #[error("the input ends within a value")]
    End,
    /// A byte that starts no value.
    #[error("a value can't start with byte {0:#04x}")]
    Start(u8),
    /// A dictionary's key that is no string.
    #[error("a dictionary's key is not a string")]
    Key,
    /// A key that its dictionary already has.
    #[error("a dictionary has the same key twice")]
    DuplicateKey,
    /// A dictionary that ends after a key.
    #[error("a dictionary's last key has no value")]
    NoValue,
    /// A string length that is not digits and a colon, or has a leading zero.
    #[error("a string's length is malformed")]
    Length,
    /// A string longer than what is left of the input.
    #[error("a string is longer than the input")]
    TooLong,
    /// Not a number, a leading zero, or minus zero.
    #[error("an integer is malformed")]
    Integer,
    /// Nested deeper than `depth_max`.
    #[error("values are nested too deep")]
    Depth,
    /// More values than `nodes_max`.
    #[error("there are too many values")]
    Nodes,
    /// An input of 4 GiB or more.
    #[error("the input is too large")]
    TooLarge,
    /// This many bytes follow the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A key that the format needs is missing from the dictionary that starts here.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The value of a key is of another type.
    #[error("`{key}` is not {expected}")]
    Type {
        /// The key.
        key: &'static str,
        /// What was asked for, with its article.
        expected: &'static str,
    },
    /// The integer of a key is beyond what can be held, or negative where it may not be.
    #[error("`{0}` is out of range")]
    Range(&'static str),
}

impl BencodeError {
    /// An error at a byte of the input.
    pub(crate) const fn new(offset: usize, kind: BencodeErrorKind) -> Self {
        Self { offset, kind }
    }
}
