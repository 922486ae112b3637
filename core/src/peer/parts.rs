//! The bytes of one block, in as few slices as the reads left them.

use crate::base::Chunk;
use alloc::vec::Vec;

/// The bytes of a block: slices of what was received, in order. One slice costs no memory beside itself.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    first: Option<Chunk>,
    more: Vec<Chunk>,
}

impl Parts {
    /// Appends a slice; an empty one is left out.
    pub fn push(&mut self, part: Chunk) {
        if part.is_empty() {
            return;
        }
        match self.first {
            None => self.first = Some(part),
            Some(_) => self.more.push(part),
        }
    }

    /// The slices, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.first.iter().chain(&self.more)
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.iter().map(|part| part.len()).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// All bytes in one copy.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.iter().for_each(|part| out.extend_from_slice(part));
        out
    }
}

impl From<Chunk> for Parts {
    fn from(chunk: Chunk) -> Self {
        let mut parts = Self::default();
        parts.push(chunk);
        parts
    }
}

impl IntoIterator for Parts {
    type Item = Chunk;
    type IntoIter = core::iter::Chain<core::option::IntoIter<Chunk>, alloc::vec::IntoIter<Chunk>>;
    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}

/// Equal bytes are equal, however they are cut.
impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |parts: &Self| parts.len();
        bytes(self) == bytes(other)
            && self.iter().flat_map(|p| p.iter()).eq(other.iter().flat_map(|p| p.iter()))
    }
}

impl Eq for Parts {}
