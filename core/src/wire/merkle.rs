//! The arithmetic of v2 hash trees (BEP 52): pairs, pads, roots, proofs and the measures of layers. Pure: it owns no
//! tree, asks nobody for hashes and blames nobody (that is `verify`'s).
//!
//! A tree's layers are counted from its leaves: layer 0 holds the SHA-256 of each 16 KiB block of a file, the root is
//! alone in layer `tree_height`. What is missing to a power of two is filled with zero hashes in layer 0, so with the
//! roots of all-zero subtrees further up: `pad`.

use crate::base::BLOCK;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// One node of a tree.
pub type Hash = [u8; 32];

/// The leaf of one block: its SHA-256. The last block of a file is hashed as it is, without pad.
pub fn leaf(block: &[u8]) -> Hash {
    Sha256::digest(block).into()
}

/// The node over two nodes.
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut pair = [0; 64];
    let (first, second) = pair.split_at_mut(32);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    Sha256::digest(pair).into()
}

/// What fills a layer: 32 zero bytes in layer 0, above it the root of a subtree of such leaves.
pub fn pad(layer: u32) -> Hash {
    (0..layer).fold([0; 32], |below, _| parent(&below, &below))
}

/// The root over some hashes of one layer, filled with `pad` to the next power of two. One hash is its own root; none
/// gives `pad`.
pub fn root(hashes: &[Hash], pad: Hash) -> Hash {
    let height = hashes.len().max(1).next_power_of_two().trailing_zeros();
    root_of_height(hashes, height, pad)
}

/// The root of the subtree that stands `height` layers above some hashes, filled with `pad`. More than `2^height`
/// hashes: the surplus is ignored.
pub fn root_of_height(hashes: &[Hash], height: u32, pad: Hash) -> Hash {
    let width = 1_usize.checked_shl(height).unwrap_or(usize::MAX);
    let mut row: Vec<Hash> = hashes.get(..width).unwrap_or(hashes).to_vec();
    let mut fill = pad;
    for _ in 0..height {
        above(&mut row, &fill);
        fill = parent(&fill, &fill);
    }
    row.first().copied().unwrap_or(fill)
}

/// Replaces a layer's hashes by those of the layer above; a missing right brother is `pad`.
pub fn above(row: &mut Vec<Hash>, pad: &Hash) {
    let half = row.len().div_ceil(2);
    for at in 0..half {
        let Some(left) = row.get(2 * at) else { break };
        let node = parent(left, row.get(2 * at + 1).unwrap_or(pad));
        if let Some(slot) = row.get_mut(at) {
            *slot = node;
        }
    }
    row.truncate(half);
}

/// What the root would be, given the node at `index` of some layer and its uncles from there upwards.
pub fn root_of_proof(node: Hash, index: u64, uncles: &[Hash]) -> Hash {
    let step = |(node, index): (Hash, u64), uncle: &Hash| {
        let up = if index & 1 == 0 { parent(&node, uncle) } else { parent(uncle, &node) };
        (up, index >> 1)
    };
    uncles.iter().fold((node, index), step).0
}

/// How many leaves a file of `length` bytes has, without pad.
pub fn leaves(length: u64) -> u64 {
    length.div_ceil(u64::from(BLOCK))
}

/// The layer in which the root of a file of `length` bytes stands: 0 if it has one block, or none.
pub fn tree_height(length: u64) -> u32 {
    leaves(length).max(1).next_power_of_two().trailing_zeros()
}

/// The layer in which one node covers one piece; `piece_length` is a power of two of at least 16 KiB.
pub fn piece_layer(piece_length: u32) -> u32 {
    (piece_length / BLOCK).max(1).trailing_zeros()
}

/// How many nodes a layer has for a file of `length` bytes, without pad.
pub fn layer_width(length: u64, layer: u32) -> u64 {
    let unit = u64::from(BLOCK).checked_shl(layer).unwrap_or(u64::MAX);
    length.div_ceil(unit)
}

/// How many hashes a file's piece layer has: one a piece, none if the file is no longer than a piece (its root covers
/// it).
pub fn piece_layer_width(length: u64, piece_length: u32) -> u64 {
    if length <= u64::from(piece_length) { 0 } else { length.div_ceil(u64::from(piece_length).max(1)) }
}

/// The root of a file, given its piece layer.
pub fn root_of_piece_layer(hashes: &[Hash], piece_length: u32) -> Hash {
    root(hashes, pad(piece_layer(piece_length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn numbered(n: u8) -> Vec<Hash> {
        (1..=n).map(|n| leaf(&[n])).collect()
    }

    #[test]
    fn bep_0052_a_layer_is_filled_with_zero_hashes_of_that_layer() {
        let l = numbered(5);
        let zero = [0; 32];
        let right = parent(&parent(&l[4], &zero), &parent(&zero, &zero));
        let left = parent(&parent(&l[0], &l[1]), &parent(&l[2], &l[3]));
        let expected = parent(&left, &right);
        assert_eq!(root(&l, zero), expected);
        // the same root, from the layer above: its pad is not zero
        let layer_1 = [parent(&l[0], &l[1]), parent(&l[2], &l[3]), parent(&l[4], &zero)];
        assert_eq!(root(&layer_1, pad(1)), expected);
        assert_ne!(root(&layer_1, zero), expected);
        assert_ne!(pad(1), leaf(&[0; 32]), "hashes are zero, not data");
    }

    #[test]
    fn a_single_leaf_is_the_root_and_nothing_is_pad() {
        let l = numbered(1);
        assert_eq!(root(&l, [0; 32]), l[0]);
        assert_eq!(root(&[], [7; 32]), [7; 32]);
        assert_eq!(root_of_height(&[], 3, [0; 32]), pad(3));
        assert_eq!(root_of_height(&l, 1, [0; 32]), parent(&l[0], &[0; 32]));
    }

    #[test]
    fn a_proof_leads_from_each_leaf_to_the_root() {
        let l = numbered(4);
        let pairs = [parent(&l[0], &l[1]), parent(&l[2], &l[3])];
        let top = root(&l, [0; 32]);
        for (at, uncles) in
            [vec![l[1], pairs[1]], vec![l[0], pairs[1]], vec![l[3], pairs[0]]].iter().enumerate()
        {
            assert_eq!(root_of_proof(l[at], at as u64, uncles), top);
        }
        assert_ne!(root_of_proof(l[0], 1, &[l[1], pairs[1]]), top);
    }

    #[test]
    fn measures_of_layers() {
        assert_eq!([0, 1, 16_384, 16_385, 65_537].map(leaves), [0, 1, 1, 2, 5]);
        assert_eq!([0, 1, 16_384, 16_385, 65_537].map(tree_height), [0, 0, 0, 1, 3]);
        assert_eq!((piece_layer(16_384), piece_layer(65_536), piece_layer(1 << 30)), (0, 2, 16));
        assert_eq!((layer_width(65_537, 0), layer_width(65_537, 1), layer_width(65_537, 3)), (5, 3, 1));
        assert_eq!((piece_layer_width(65_536, 65_536), piece_layer_width(65_537, 65_536)), (0, 2));
        assert_eq!(tree_height(u64::MAX), 50);
    }

    #[test]
    fn a_piece_layer_gives_the_same_root_as_the_leaves() {
        let l = numbered(9);
        let layer: Vec<Hash> = l.chunks(4).map(|piece| root_of_height(piece, 2, [0; 32])).collect();
        assert_eq!(root_of_piece_layer(&layer, 65_536), root(&l, [0; 32]));
    }
}
