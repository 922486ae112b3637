//! Digests of pieces, over bytes in memory or bytes that come by and by.
//!
//! Which crate computes them was measured (`cargo bench --bench hash_speed`; an AMD EPYC with SHA extensions, one
//! thread, MiB a second in runs of 16 KiB / 1 MiB):
//!
//! | | SHA-1 | SHA-256 |
//! |---|---|---|
//! | `sha1`, `sha2` 0.11 | 2080 / 2002 | 1971 / 2001 |
//! | `ring` 0.17 | 566 / 569 | 1950 / 2008 |
//!
//! `sha1` and `sha2` use the CPU's instructions and build with nothing but Rust; `ring`'s SHA-1 doesn't use them.

use millstream_core::base::{BLOCK, Chunk, Digests, Want};
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// One run of bytes to digest.
pub(crate) struct Run<'a> {
    pub(crate) data: &'a [Chunk],
    /// Zeros that follow the bytes in the SHA-1.
    pub(crate) pad: u32,
    pub(crate) want: Want,
}

/// Digests several runs. One after the other today; the interface lets several lanes go side by side.
pub(crate) fn digest_all(runs: &[Run<'_>]) -> Vec<Digests> {
    let one = |run: &Run<'_>| {
        let mut hasher = Hasher::new(run.want);
        run.data.iter().for_each(|chunk| hasher.update(chunk));
        hasher.finish(run.pad)
    };
    runs.iter().map(one).collect()
}

/// The digests of one run, while its bytes come in.
pub(crate) struct Hasher {
    want: Want,
    sha1: Sha1,
    leaf: Sha256,
    leaf_bytes: usize,
    leaves: Vec<[u8; 32]>,
}

impl Hasher {
    pub(crate) fn new(want: Want) -> Self {
        Self { want, sha1: Sha1::new(), leaf: Sha256::new(), leaf_bytes: 0, leaves: Vec::new() }
    }

    /// The next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if self.want.sha1 {
            self.sha1.update(bytes);
        }
        if self.want.leaves {
            self.update_leaves(bytes);
        }
    }

    fn update_leaves(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK as usize - self.leaf_bytes;
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.leaf.update(now);
            self.leaf_bytes += now.len();
            if self.leaf_bytes == BLOCK as usize {
                self.end_leaf();
            }
            bytes = rest;
        }
    }

    fn end_leaf(&mut self) {
        self.leaves.push(self.leaf.finalize_reset().into());
        self.leaf_bytes = 0;
    }

    /// The digests, after `pad` zeros in the SHA-1. The last leaf is as short as it is.
    pub(crate) fn finish(mut self, pad: u32) -> Digests {
        if self.leaf_bytes > 0 {
            self.end_leaf();
        }
        let sha1 = self.want.sha1.then(|| {
            let zeros = [0; 4096];
            let mut left = pad as usize;
            while left > 0 {
                let now = left.min(zeros.len());
                self.sha1.update(zeros.get(..now).unwrap_or(&zeros));
                left -= now;
            }
            self.sha1.finalize().into()
        });
        Digests { sha1, leaves: self.leaves }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bep_0052_leaves_are_blocks_and_the_last_is_short() {
        let data: Vec<u8> = (0..40_000_u32).map(|i| i as u8).collect();
        let chunks: Vec<Chunk> = data.chunks(7_001).map(Chunk::copy_from).collect();
        let want = Want { sha1: true, leaves: true };
        let digests = digest_all(&[Run { data: &chunks, pad: 0, want }]).remove(0);
        assert_eq!(digests.sha1, Some(Sha1::digest(&data).into()));
        let leaves: Vec<[u8; 32]> = data.chunks(16_384).map(|b| Sha256::digest(b).into()).collect();
        assert_eq!(digests.leaves, leaves);
    }

    #[test]
    fn bep_0047_pad_zeros_count_in_the_sha1_only() {
        let data = vec![1_u8; 100];
        let want = Want { sha1: true, leaves: true };
        let digests = digest_all(&[Run { data: &[Chunk::copy_from(&data)], pad: 9_000, want }]).remove(0);
        let mut padded = data.clone();
        padded.resize(9_100, 0);
        assert_eq!(digests.sha1, Some(Sha1::digest(&padded).into()));
        assert_eq!(digests.leaves, [<[u8; 32]>::from(Sha256::digest(&data))]);
    }
}
