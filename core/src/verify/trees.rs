//! The v2 trees of a torrent, one a file: roots from the info dictionary, piece layers from the metainfo or from peers,
//! block leaves of pieces that went bad. Every hash in here was proved against its root.

use crate::base::PieceIndex;
use crate::wire::merkle::{self, Hash};
use crate::wire::metainfo::Info;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use thiserror::Error;

/// One file with bytes, as the trees need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// The piece that it starts with.
    pub first_piece: u32,
    /// Its length in bytes, at least 1.
    pub length: u64,
    /// Its `pieces root`.
    pub root: Hash,
    /// Its piece layer, one hash a piece, if the metainfo had it; a file no longer than a piece has none.
    pub layer: Option<Arc<[Hash]>>,
}

/// What makes trees impossible. Files are counted as they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TreesError {
    /// The piece length is no power of two of at least 16 KiB and at most 1 GiB.
    #[error("a piece length of {0} bytes is no power of two from 16 KiB to 1 GiB")]
    PieceLength(u32),
    /// A file is empty, too long, or starts before the one in front of it ends.
    #[error("file {0} doesn't fit where it says it starts")]
    Place(usize),
    /// A piece layer doesn't have one hash a piece, or doesn't lead to the file's root.
    #[error("the piece layer of file {0} doesn't match its root")]
    Layer(usize),
}

/// A torrent's trees. A tree is named by its place in the list of files with bytes.
#[derive(Clone, Debug)]
pub struct Trees {
    files: Arc<[TreeFile]>,
    /// Trees by root and length, then upwards.
    by_root: Vec<u32>,
    piece_length: u32,
    /// Parts of piece layers that were fetched: (tree, first index) -> hashes, pad at the end cut off.
    fetched: BTreeMap<(u32, u32), Arc<[Hash]>>,
    /// Leaves that were fetched: (piece, first block) -> hashes, pad at the end cut off.
    leaves: BTreeMap<(PieceIndex, u32), Arc<[Hash]>>,
}

/// A piece's place in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) tree: u32,
    /// Which piece of the file.
    pub(super) index: u32,
}

impl Trees {
    /// Trees over the files with bytes, upwards by `first_piece`. Piece layers that come along are checked.
    pub fn new(piece_length: u32, files: Arc<[TreeFile]>) -> Result<Self, TreesError> {
        if !piece_length.is_power_of_two() || !(crate::base::BLOCK..=1 << 30).contains(&piece_length) {
            return Err(TreesError::PieceLength(piece_length));
        }
        let mut next = 0u64;
        for (n, file) in files.iter().enumerate() {
            let pieces = file.length.div_ceil(u64::from(piece_length));
            let first = u64::from(file.first_piece);
            if file.length == 0 || first < next || pieces > 1 << 31 {
                return Err(TreesError::Place(n));
            }
            next = first + pieces;
            if let Some(layer) = &file.layer {
                let width = merkle::piece_layer_width(file.length, piece_length);
                let root = || merkle::root_of_piece_layer(layer, piece_length);
                if layer.len() as u64 != width || width > 0 && root() != file.root {
                    return Err(TreesError::Layer(n));
                }
            }
        }
        Ok(Self::proved(piece_length, files))
    }

    /// The trees of a torrent, if it has a v2 half. Its piece layers were checked when it was read.
    pub fn of(info: &Info) -> Option<Self> {
        let piece_length = info.geometry().piece_length();
        let tree_file = |file: &crate::wire::metainfo::File| {
            Some(TreeFile {
                first_piece: u32::try_from(file.offset / u64::from(piece_length)).ok()?,
                length: file.length,
                root: file.pieces_root?,
                layer: info.layer(file).map(Into::into),
            })
        };
        let files = info.real_files().filter(|(_, file)| file.length > 0);
        let files = files.filter_map(|(_, file)| tree_file(file)).collect();
        info.version().has_v2().then(|| Self::proved(piece_length, files))
    }

    fn proved(piece_length: u32, files: Arc<[TreeFile]>) -> Self {
        let mut by_root: Vec<u32> = (0..files.len() as u32).collect();
        by_root.sort_by_key(|&tree| files.get(tree as usize).map(|file| (file.root, file.length, tree)));
        Self { files, by_root, piece_length, fetched: BTreeMap::new(), leaves: BTreeMap::new() }
    }

    /// Whether a piece's v2 hash is known.
    pub fn knows(&self, piece: PieceIndex) -> bool {
        self.spot(piece).is_some_and(|spot| self.expected(spot).is_some())
    }

    /// A file's whole piece layer, if it has one and it is known: what a metainfo file needs.
    pub fn layer(&self, tree: u32) -> Option<Arc<[Hash]>> {
        let file = self.file(tree)?;
        if let Some(layer) = &file.layer {
            return Some(Arc::clone(layer));
        }
        if !self.layer_known(tree) {
            return None;
        }
        let parts = self.fetched.range((self.twin(tree), 0)..=(self.twin(tree), u32::MAX));
        let hashes: Vec<Hash> = parts.flat_map(|(_, hashes)| hashes.iter().copied()).collect();
        (!hashes.is_empty()).then(|| hashes.into())
    }

    /// These pieces of one file, and the same pieces of each other file of the same content.
    pub fn alike(&self, pieces: Range<u32>) -> Vec<Range<u32>> {
        let first = |file: &TreeFile| file.first_piece <= pieces.start;
        let Some(file) = self.files.partition_point(first).checked_sub(1).and_then(|n| self.files.get(n))
        else {
            return Vec::new();
        };
        let (from, length) = (pieces.start - file.first_piece, pieces.len() as u32);
        let at = self.by_root.partition_point(|&tree| {
            self.file(tree).is_some_and(|other| (other.root, other.length) < (file.root, file.length))
        });
        let rest = self.by_root.get(at..).unwrap_or_default().iter().filter_map(|&tree| self.file(tree));
        let twins = rest.take_while(|other| (other.root, other.length) == (file.root, file.length));
        twins.map(|twin| twin.first_piece + from..twin.first_piece + from + length).collect()
    }

    /// The leaf of a block, if it was fetched.
    pub fn leaf(&self, piece: PieceIndex, block: u32) -> Option<Hash> {
        let (&(_, first), hashes) = self.leaves.range((piece, 0)..=(piece, block)).next_back()?;
        hashes.get((block - first) as usize).copied()
    }

    /// The files as they were given.
    pub fn files(&self) -> &Arc<[TreeFile]> {
        &self.files
    }

    /// The piece is good or given up: the leaves that were fetched for it are let go.
    pub fn forget_leaves(&mut self, piece: PieceIndex) {
        let mut rest = self.leaves.split_off(&(piece, 0));
        rest.retain(|&(other, _), _| other != piece);
        self.leaves.append(&mut rest);
    }

    /// Whether a piece with these leaves is good; `None` if its hash isn't known.
    pub(super) fn holds(&self, piece: PieceIndex, leaves: &[Hash]) -> Option<bool> {
        let spot = self.spot(piece)?;
        let expected = self.expected(spot)?;
        let height = self.file(spot.tree)?.height().min(self.piece_layer());
        Some(merkle::root_of_height(leaves, height, [0; 32]) == expected)
    }

    /// The blocks that differ from the leaves that were fetched; `None` if none were.
    pub(super) fn bad_blocks(&self, piece: PieceIndex, leaves: &[Hash]) -> Option<Vec<u32>> {
        let known = self.leaves.range((piece, 0)..=(piece, u32::MAX));
        let mut known = known.flat_map(|(&(_, first), hashes)| (first..).zip(hashes.iter())).peekable();
        known.peek()?;
        let differs = |&(block, hash): &(u32, &Hash)| leaves.get(block as usize) != Some(hash);
        Some(known.filter(differs).map(|(block, _)| block).collect())
    }

    pub(super) fn has_leaves(&self, piece: PieceIndex, first: u32) -> bool {
        self.leaves.contains_key(&(piece, first))
    }

    pub(super) fn file(&self, tree: u32) -> Option<&TreeFile> {
        self.files.get(tree as usize)
    }

    pub(super) fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The layer in which a node covers a piece.
    pub(super) fn piece_layer(&self) -> u32 {
        merkle::piece_layer(self.piece_length)
    }

    pub(super) fn blocks_per_piece(&self) -> u32 {
        self.piece_length / crate::base::BLOCK
    }

    /// Where a piece is.
    pub(super) fn spot(&self, piece: PieceIndex) -> Option<Spot> {
        let tree = self.files.partition_point(|file| file.first_piece <= piece.get()).checked_sub(1)?;
        let file = self.files.get(tree)?;
        let index = piece.get() - file.first_piece;
        let inside = u64::from(index) < file.pieces(self.piece_length);
        inside.then_some(Spot { tree: tree as u32, index })
    }

    /// The first tree with this root.
    pub(super) fn tree_of_root(&self, root: &Hash) -> Option<u32> {
        let at = self.by_root.partition_point(|&tree| self.file(tree).is_some_and(|file| file.root < *root));
        let tree = *self.by_root.get(at)?;
        self.file(tree).filter(|file| file.root == *root).map(|_| tree)
    }

    /// The first tree with the same root and length: identical files share what is fetched (BEP 52).
    pub(super) fn twin(&self, tree: u32) -> u32 {
        let Some(me) = self.file(tree) else { return tree };
        let before = |&other: &u32| {
            self.file(other).is_some_and(|file| (file.root, file.length) < (me.root, me.length))
        };
        self.by_root.get(self.by_root.partition_point(before)).copied().unwrap_or(tree)
    }

    /// The hash over a piece: an entry of the piece layer, or the root of a file that has none.
    pub(super) fn expected(&self, spot: Spot) -> Option<Hash> {
        let file = self.file(spot.tree)?;
        if file.length <= u64::from(self.piece_length) {
            return Some(file.root);
        }
        if let Some(layer) = &file.layer {
            return layer.get(spot.index as usize).copied();
        }
        let twin = self.twin(spot.tree);
        let (&(_, first), hashes) = self.fetched.range((twin, 0)..=(twin, spot.index)).next_back()?;
        hashes.get((spot.index - first) as usize).copied()
    }

    pub(super) fn layer_known(&self, tree: u32) -> bool {
        let Some(file) = self.file(tree) else { return false };
        let width = merkle::piece_layer_width(file.length, self.piece_length);
        if width == 0 || file.layer.is_some() {
            return true;
        }
        let twin = self.twin(tree);
        let parts = self.fetched.range((twin, 0)..=(twin, u32::MAX));
        parts.map(|(_, hashes)| hashes.len() as u64).sum::<u64>() == width
    }

    /// Keeps a proved part of a piece layer.
    pub(super) fn keep_layer(&mut self, tree: u32, first: u32, hashes: &[Hash]) {
        let twin = self.twin(tree);
        self.fetched.insert((twin, first), hashes.into());
    }

    /// Keeps proved leaves.
    pub(super) fn keep_leaves(&mut self, piece: PieceIndex, first: u32, hashes: &[Hash]) {
        self.leaves.insert((piece, first), hashes.into());
    }
}

impl TreeFile {
    /// The layer of its root.
    pub(super) fn height(&self) -> u32 {
        merkle::tree_height(self.length)
    }

    pub(super) fn pieces(&self, piece_length: u32) -> u64 {
        self.length.div_ceil(u64::from(piece_length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Geometry;
    use alloc::vec;

    fn file(first_piece: u32, length: u64, root: Hash, layer: Option<Vec<Hash>>) -> TreeFile {
        TreeFile { first_piece, length, root, layer: layer.map(Into::into) }
    }

    fn layer(n: u8) -> Vec<Hash> {
        (0..n).map(|n| [n + 1; 32]).collect()
    }

    #[test]
    fn bep_0052_a_piece_layer_must_lead_to_its_root() {
        let good = merkle::root_of_piece_layer(&layer(3), 16_384);
        let new = |length, layer| Trees::new(16_384, Arc::new([file(0, length, good, Some(layer))])).err();
        assert_eq!(new(40_000, layer(3)), None);
        assert_eq!(new(50_000, layer(3)), Some(TreesError::Layer(0)), "a hash short");
        assert_eq!(new(40_000, vec![[1; 32]; 3]), Some(TreesError::Layer(0)));
        assert_eq!(new(100, layer(1)), Some(TreesError::Layer(0)), "a small file has no layer");
    }

    #[test]
    fn what_is_known_of_a_piece_is_known_of_the_same_piece_of_each_file_of_the_same_content() {
        let files = vec![
            file(0, 50_000, [7; 32], None),
            file(4, 50_000, [8; 32], None),
            file(8, 50_000, [7; 32], None),
        ];
        let trees = Trees::new(16_384, files.into()).unwrap();
        assert_eq!(trees.alike(1..3), [1..3, 9..11]);
        assert_eq!(trees.alike(10..12), [2..4, 10..12]);
        assert_eq!(trees.alike(4..8), vec![4u32..8]);
    }

    #[test]
    fn impossible_files_are_refused() {
        let new = |length, files: Vec<TreeFile>| Trees::new(length, files.into()).err();
        assert_eq!(new(20_000, vec![]), Some(TreesError::PieceLength(20_000)));
        assert_eq!(new(8_192, vec![]), Some(TreesError::PieceLength(8_192)));
        assert_eq!(new(16_384, vec![file(0, 0, [0; 32], None)]), Some(TreesError::Place(0)));
        let overlap = vec![file(0, 20_000, [0; 32], None), file(1, 5, [0; 32], None)];
        assert_eq!(new(16_384, overlap), Some(TreesError::Place(1)));
        assert_eq!(new(16_384, vec![file(0, u64::MAX, [0; 32], None)]), Some(TreesError::Place(0)));
    }

    #[test]
    fn bep_0052_identical_files_share_what_is_fetched() {
        let g = Geometry::new(6 * 16_384, 16_384, Vec::new()).unwrap();
        let files = [file(0, 40_000, [7; 32], None), file(3, 40_000, [7; 32], None)];
        let mut trees = Trees::new(16_384, Arc::new(files)).unwrap();
        let piece = g.piece(4).unwrap();
        assert!(!trees.knows(piece));
        trees.keep_layer(0, 0, &layer(3));
        assert!(g.iter().all(|piece| trees.knows(piece)));
        assert_eq!(trees.layer(1).unwrap().to_vec(), layer(3));
        assert_eq!(trees.expected(trees.spot(piece).unwrap()), Some([2; 32]));
    }

    #[test]
    fn fetched_leaves_name_the_bad_blocks_until_they_are_forgotten() {
        let g = Geometry::new(2 * 65_536, 65_536, Vec::new()).unwrap();
        let mut trees = Trees::new(65_536, Arc::new([file(0, 2 * 65_536, [7; 32], None)])).unwrap();
        let (a, b) = (g.piece(0).unwrap(), g.piece(1).unwrap());
        trees.keep_leaves(a, 0, &layer(4));
        trees.keep_leaves(b, 0, &layer(2));
        trees.keep_leaves(b, 2, &layer(2));
        assert_eq!(trees.bad_blocks(b, &[[1; 32], [9; 32], [1; 32], [9; 32]]), Some(vec![1, 3]));
        trees.forget_leaves(b);
        assert_eq!((trees.bad_blocks(b, &layer(4)), trees.bad_blocks(a, &layer(4))), (None, Some(vec![])));
        assert_eq!(trees.leaves.len(), 1, "what is forgotten takes no memory");
    }
}
