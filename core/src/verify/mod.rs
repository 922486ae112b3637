//! Whether a piece is good: v1 digests, v2 hash trees, hash requests in both directions, and who is to blame for bad
//! blocks. It computes no digest of payload (that is a job of the driver's) and bans nobody: it names the senders.

mod blame;
mod fetch;
mod serve;
#[cfg(feature = "signed")]
pub mod signed;
mod trees;

pub use blame::{Blame, BlameConfig};
pub use fetch::{Fetch, FetchConfig, HashFault, Learned};
pub use serve::{HASHES_MAX, Serve, Server, uncles};
pub use trees::{TreeFile, Trees, TreesError};

use crate::base::{Digests, Geometry, PieceIndex, Want};
pub use crate::wire::message::HashRange;
use crate::wire::metainfo::Info;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use thiserror::Error;

/// What a piece's digests say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The piece is what the metainfo describes.
    Good,
    /// It is not; which blocks are bad isn't known.
    Bad,
    /// It is not, and these blocks of it (numbers, upwards) are bad; the others are good.
    BlocksBad(Vec<u32>),
    /// Its v2 hash isn't known yet (`Fetch::want_piece` gets it), or a digest that was wanted is missing.
    Unknown,
    /// One of a hybrid's digests holds and the other doesn't: the torrent itself is at fault, no sender is.
    Inconsistent,
}

/// What makes expected digests unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// Not as many v1 digests as pieces.
    #[error("{got} digests for {wanted} pieces")]
    Count {
        /// Digests given.
        got: usize,
        /// Pieces.
        wanted: usize,
    },
    /// Neither v1 digests nor trees.
    #[error("neither v1 digests nor v2 trees")]
    Nothing,
}

/// The v1 digests, wherever they stand in shared bytes.
#[derive(Clone, Debug)]
struct V1 {
    bytes: Arc<[u8]>,
    start: usize,
}

impl V1 {
    fn get(&self, piece: PieceIndex) -> Option<&[u8; 20]> {
        let from = self.start + piece.at() * 20;
        self.bytes.get(from..)?.first_chunk()
    }
}

/// The digests that a torrent's pieces should have: v1, v2 or both. v1 digests are shared with the metainfo; piece layers
/// are copied, so a torrent that neither loads nor answers hash requests had better not keep one.
#[derive(Clone, Debug)]
pub struct Verify {
    v1: Option<V1>,
    /// Apart, since most torrents have none.
    trees: Option<Box<Trees>>,
}

impl Verify {
    /// The v1 digests of all pieces, the v2 trees, or both for a hybrid.
    pub fn new(
        geometry: &Geometry,
        v1: Option<Arc<[[u8; 20]]>>,
        trees: Option<Trees>,
    ) -> Result<Self, VerifyError> {
        let wanted = geometry.pieces() as usize;
        match &v1 {
            Some(digests) if digests.len() != wanted => {
                Err(VerifyError::Count { got: digests.len(), wanted })
            }
            None if trees.is_none() => Err(VerifyError::Nothing),
            Some(_) | None => {
                let v1 = v1.map(|digests| V1 { bytes: digests.as_flattened().into(), start: 0 });
                Ok(Self { v1, trees: trees.map(Box::new) })
            }
        }
    }

    /// All that a torrent's info dictionary, and the piece layers that came with it, say.
    pub fn of(info: &Info) -> Self {
        let shared = || {
            let (bytes, digests) = (info.raw(), info.v1_digests().as_flattened());
            // the digests are a part of the raw dictionary: where, their addresses tell
            let start = digests.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
            let end = start.checked_add(digests.len());
            match end.and_then(|end| bytes.get(start..end)) {
                Some(same) if same == digests => V1 { bytes: Arc::clone(bytes), start },
                Some(_) | None => V1 { bytes: digests.into(), start: 0 },
            }
        };
        Self { v1: info.version().has_v1().then(shared), trees: Trees::of(info).map(Box::new) }
    }

    /// The digests that `judge` needs of any piece. Where `Blame::remembers` a piece, its leaves are wanted too.
    pub fn wanted(&self) -> Want {
        Want { sha1: self.v1.is_some(), leaves: self.trees.is_some() }
    }

    /// Whether `judge` can decide about a piece: don't ask peers for pieces that nobody can judge.
    pub fn knows(&self, piece: PieceIndex) -> bool {
        self.v1.is_some() || self.trees.as_ref().is_some_and(|trees| trees.knows(piece))
    }

    /// Compares a piece's digests with what they should be. Both of a hybrid's must hold; while its v2 hash isn't known,
    /// the v1 digest decides, since the info-hash vouches for it whichever of the two names the user gave.
    pub fn judge(&self, geometry: &Geometry, piece: PieceIndex, digests: &Digests) -> Verdict {
        let want = self.wanted();
        let blocks = geometry.blocks(piece) as usize;
        let complete =
            (digests.sha1.is_some() || !want.sha1) && (digests.leaves.len() == blocks || !want.leaves);
        debug_assert!(complete, "a hash job answers what it was asked");
        if !complete {
            return Verdict::Unknown;
        }
        let v1 = self.v1.as_ref().map(|v1| v1.get(piece) == digests.sha1.as_ref());
        let v2 = self.trees.as_ref().and_then(|trees| trees.holds(piece, &digests.leaves));
        match (v1, v2) {
            (None, None) => Verdict::Unknown,
            (Some(true) | None, Some(true)) | (Some(true), None) => Verdict::Good,
            (Some(true), Some(false)) | (Some(false), Some(true)) => Verdict::Inconsistent,
            (Some(false) | None, Some(false)) | (Some(false), None) => self.bad(piece, &digests.leaves),
        }
    }

    /// The v2 trees.
    pub fn trees(&self) -> Option<&Trees> {
        self.trees.as_deref()
    }

    /// The v2 trees, to put into them what was fetched.
    pub fn trees_mut(&mut self) -> Option<&mut Trees> {
        self.trees.as_deref_mut()
    }

    fn bad(&self, piece: PieceIndex, leaves: &[[u8; 32]]) -> Verdict {
        match self.trees.as_ref().and_then(|trees| trees.bad_blocks(piece, leaves)) {
            Some(blocks) if !blocks.is_empty() => Verdict::BlocksBad(blocks),
            Some(_) | None => Verdict::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::merkle::{leaf, pad, root, root_of_height};
    use crate::wire::metainfo::{FileEntry, InfoBuilder, Metainfo, MetainfoBuilder, Version};
    use alloc::vec;

    /// Two blocks in one piece, as a hybrid.
    fn hybrid(sha1: [u8; 20], tree: [u8; 32]) -> (Geometry, Verify, PieceIndex) {
        let geometry = Geometry::new(32_768, 32_768, Vec::new()).unwrap();
        let file = TreeFile { first_piece: 0, length: 32_768, root: tree, layer: None };
        let trees = Trees::new(32_768, Arc::new([file])).unwrap();
        let verify = Verify::new(&geometry, Some(Arc::new([sha1])), Some(trees)).unwrap();
        let piece = geometry.piece(0).unwrap();
        (geometry, verify, piece)
    }

    #[test]
    fn a_v1_piece_is_good_by_its_digest_alone() {
        let g = Geometry::new(20_000, 16_384, Vec::new()).unwrap();
        let verify = Verify::new(&g, Some(Arc::new([[1; 20], [2; 20]])), None).unwrap();
        let digests = |n| Digests { sha1: Some([n; 20]), leaves: Vec::new() };
        let piece = g.piece(1).unwrap();
        assert_eq!(verify.wanted(), Want { sha1: true, leaves: false });
        assert!(verify.knows(piece));
        assert_eq!(verify.judge(&g, piece, &digests(2)), Verdict::Good);
        assert_eq!(verify.judge(&g, piece, &digests(1)), Verdict::Bad);
        let short = Verify::new(&g, Some(Arc::new([[1; 20]])), None);
        assert_eq!(short.err(), Some(VerifyError::Count { got: 1, wanted: 2 }));
        assert_eq!(Verify::new(&g, None, None).err(), Some(VerifyError::Nothing));
    }

    #[test]
    fn bep_0052_both_digests_of_a_hybrid_must_hold_and_a_disagreement_is_the_torrents_fault() {
        let leaves = vec![leaf(b"one"), leaf(b"two")];
        let (g, verify, piece) = hybrid([1; 20], root(&leaves, [0; 32]));
        let judge = |n, leaves: &[[u8; 32]]| {
            verify.judge(&g, piece, &Digests { sha1: Some([n; 20]), leaves: leaves.to_vec() })
        };
        let other = [leaf(b"one"), leaf(b"six")];
        assert_eq!(judge(1, &leaves), Verdict::Good);
        assert_eq!(judge(2, &other), Verdict::Bad);
        assert_eq!(judge(1, &other), Verdict::Inconsistent);
        assert_eq!(judge(2, &leaves), Verdict::Inconsistent);
    }

    /// A torrent in memory of two files, with the digests of its first and last piece.
    fn torrent(version: Version) -> (Info, [Digests; 2]) {
        let (first, last) = ([1; 40_000], [2; 20_000]);
        let leaves = |data: &[u8]| data.chunks(16_384).map(leaf).collect::<Vec<_>>();
        let layer: Vec<_> = leaves(&first).chunks(2).map(|part| root_of_height(part, 1, [0; 32])).collect();
        let entry = |path: &str, length, pieces_root, layer| FileEntry {
            path: vec![path.into()],
            length,
            pieces_root: Some(pieces_root),
            layer,
            ..FileEntry::default()
        };
        let mut info = InfoBuilder::new("folder", 32_768, version);
        info.multi_file = true;
        info.pad_files = true;
        info.files.push(entry("a", 40_000, root(&layer, pad(1)), layer));
        info.files.push(entry("b", 20_000, root(&leaves(&last), [0; 32]), Vec::new()));
        info.v1_digests = vec![[5; 20], [6; 20], [7; 20]];
        let digests = |n, leaves: Vec<_>| Digests { sha1: Some([n; 20]), leaves };
        let both = [digests(5, leaves(&first[..32_768])), digests(7, leaves(&last))];
        let torrent = MetainfoBuilder::default().build(&info).unwrap();
        (Metainfo::parse(&torrent).unwrap().info, both)
    }

    #[test]
    fn the_digests_of_a_torrent_file_are_found_in_its_own_bytes() {
        for version in [Version::V1, Version::V2, Version::Hybrid] {
            let (info, [first, last]) = torrent(version);
            let verify = Verify::of(&info);
            let g = info.geometry();
            let piece = |n| g.piece(n).unwrap();
            assert_eq!(verify.wanted(), Want { sha1: version.has_v1(), leaves: version.has_v2() });
            assert_eq!(verify.judge(g, piece(0), &first), Verdict::Good, "{version:?}");
            assert_eq!(verify.judge(g, piece(2), &last), Verdict::Good, "{version:?}");
            assert_eq!(verify.judge(g, piece(0), &last), Verdict::Bad, "{version:?}");
            assert!(verify.v1.is_none_or(|v1| Arc::ptr_eq(&v1.bytes, info.raw())), "shared, not copied");
            assert!(verify.trees.is_none_or(|trees| g.iter().all(|piece| trees.knows(piece))));
        }
    }

    #[test]
    fn a_v2_piece_without_its_hash_is_unknown_and_a_hybrids_goes_by_v1() {
        let g = Geometry::new(65_536, 32_768, Vec::new()).unwrap();
        let file = TreeFile { first_piece: 0, length: 65_536, root: [9; 32], layer: None };
        let trees = Trees::new(32_768, Arc::new([file])).unwrap();
        let piece = g.piece(1).unwrap();
        let digests = Digests { sha1: Some([1; 20]), leaves: vec![[0; 32]; 2] };
        let v2 = Verify::new(&g, None, Some(trees.clone())).unwrap();
        assert_eq!((v2.knows(piece), v2.judge(&g, piece, &digests)), (false, Verdict::Unknown));
        let both = Verify::new(&g, Some(Arc::new([[1; 20]; 2])), Some(trees)).unwrap();
        assert_eq!((both.knows(piece), both.judge(&g, piece, &digests)), (true, Verdict::Good));
    }
}
