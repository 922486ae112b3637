//! What a hash job computes over one piece, and what it is asked to compute. No hashing here: that is the driver's.

use alloc::vec::Vec;

/// Which digests of a piece are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// The SHA-1 of the piece's real bytes followed by its pad zeros (BEP 3, BEP 47).
    pub sha1: bool,
    /// The SHA-256 of each 16 KiB block, the last one as short as it is (BEP 52).
    pub leaves: bool,
}

/// The digests of one piece, as far as they were wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// The SHA-1 of the piece's real bytes followed by its pad zeros (BEP 3, BEP 47).
    pub sha1: Option<[u8; 20]>,
    /// The SHA-256 of each 16 KiB block, the last one as short as it is (BEP 52); empty if not wanted.
    pub leaves: Vec<[u8; 32]>,
}
