//! Answers to peers' hash requests (BEP 52), from known layers or from the leaves of stored pieces. How often a peer may
//! ask is the session's business.

use super::Trees;
use crate::wire::merkle::{self, Hash};
use crate::wire::message::HashRange;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// More hashes than this are never asked or given. BEP 52 advises 512; some clients ask for more.
pub const HASHES_MAX: u32 = 8_192;

/// How many uncle hashes follow those of a range: the proof layers inside the range itself are left out (BEP 52).
pub fn uncles(range: &HashRange) -> u32 {
    range.proof_layers.saturating_sub(range.length.max(2).ilog2() - 1)
}

/// What to do about a hash request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Serve {
    /// Answer with these.
    Hashes(Vec<Hash>),
    /// Hash these pieces (numbers) from storage if we have them all, then ask `with_leaves`; else reject.
    NeedLeaves(Range<u32>),
    /// Reject.
    Reject,
}

/// Serves hashes of one torrent. It keeps the layers above the piece layers of files that were asked about, so that
/// requests cost no hashing; before the first request it costs nothing.
#[derive(Clone, Debug)]
pub struct Server {
    /// Per tree: the layers from the piece layer upwards.
    upper: BTreeMap<u32, Vec<Vec<Hash>>>,
    hashes: usize,
    upper_bytes_max: usize,
}

/// A request that makes sense.
struct Valid {
    tree: u32,
    first_piece: u32,
    /// The layer of the root.
    height: u32,
}

impl Server {
    /// A server that keeps at most `upper_bytes_max` bytes of upper layers, or one file's if that is more; beyond that it
    /// starts anew, which costs hashing again.
    pub fn new(upper_bytes_max: usize) -> Self {
        Self { upper: BTreeMap::new(), hashes: 0, upper_bytes_max }
    }

    /// The answer to a request, as far as known layers give it.
    pub fn hashes_for(&mut self, trees: &Trees, range: &HashRange) -> Serve {
        let Some(valid) = validate(trees, range) else { return Serve::Reject };
        let top = range.base_layer + range.proof_layers;
        let above = valid.height > trees.piece_layer() && top >= trees.piece_layer();
        if above && !self.knows(trees, valid.tree) {
            return Serve::Reject;
        }
        if range.base_layer == 0 && trees.piece_layer() > 0 || valid.height <= trees.piece_layer() {
            return need_leaves(trees, range, &valid);
        }
        let own = (range.index..range.index + range.length).map(|n| self.upper_node(trees, &valid, 0, n));
        let hashes: Vec<Hash> = own.collect();
        Serve::Hashes(self.with_uncles(trees, range, &valid, (hashes, &[])))
    }

    /// The answer to a request for leaves, from the leaves of all pieces that `Serve::NeedLeaves` named, in order. `None`
    /// if they aren't what the torrent describes (what is stored went bad), or the request makes no sense: reject.
    pub fn with_leaves(&mut self, trees: &Trees, range: &HashRange, leaves: &[Hash]) -> Option<Vec<Hash>> {
        let valid = validate(trees, range)?;
        let Serve::NeedLeaves(pieces) = self.hashes_for(trees, range) else { return None };
        let file = trees.file(valid.tree)?;
        let unit = u64::from(trees.blocks_per_piece());
        let first = u64::from(pieces.start - valid.first_piece) * unit;
        let until = (u64::from(pieces.end - valid.first_piece) * unit).min(merkle::leaves(file.length));
        if leaves.len() as u64 != until - first || !proven(trees, &valid, &pieces, leaves) {
            return None;
        }
        let from = (u64::from(range.index) - first) as usize;
        let own = (from..from + range.length as usize).map(|n| leaves.get(n).copied().unwrap_or_default());
        let own: Vec<Hash> = own.collect();
        Some(self.with_uncles(trees, range, &valid, (own, leaves)))
    }

    /// Adds the proof: uncles inside a piece come from its leaves, others from the upper layers.
    fn with_uncles(
        &mut self,
        trees: &Trees,
        range: &HashRange,
        valid: &Valid,
        (mut hashes, leaves): (Vec<Hash>, &[Hash]),
    ) -> Vec<Hash> {
        let height = range.length.ilog2();
        let inside = if leaves.is_empty() { 0 } else { trees.piece_layer() };
        for up in height..height + uncles(range) {
            let layer = range.base_layer + up;
            let uncle = (range.index >> up) ^ 1;
            hashes.push(if layer < inside {
                let blocks = trees.blocks_per_piece() as usize;
                let from = ((uncle as usize) << layer) % blocks;
                let all = leaves.get(from..).unwrap_or_default();
                merkle::root_of_height(all, layer, [0; 32])
            } else {
                self.upper_node(trees, valid, layer - trees.piece_layer(), uncle)
            });
        }
        hashes
    }

    /// Whether a tree's layers from the piece layer upwards are here, or can be made.
    fn knows(&mut self, trees: &Trees, tree: u32) -> bool {
        if self.upper.contains_key(&tree) {
            return true;
        }
        let Some(layer) = trees.layer(tree) else { return false };
        let mut layers = Vec::from([layer.to_vec()]);
        let mut row = layer.to_vec();
        let mut at = trees.piece_layer();
        while row.len() > 1 {
            merkle::above(&mut row, &merkle::pad(at));
            layers.push(row.clone());
            at += 1;
        }
        let hashes: usize = layers.iter().map(Vec::len).sum();
        if (self.hashes + hashes) * 32 > self.upper_bytes_max {
            self.upper.clear();
            self.hashes = 0;
        }
        self.hashes += hashes;
        self.upper.insert(tree, layers);
        true
    }

    /// A node `up` layers above the piece layer.
    fn upper_node(&self, trees: &Trees, valid: &Valid, up: u32, index: u32) -> Hash {
        let layer = self.upper.get(&valid.tree).and_then(|layers| layers.get(up as usize));
        let node = layer.and_then(|layer| layer.get(index as usize)).copied();
        node.unwrap_or_else(|| merkle::pad(trees.piece_layer() + up))
    }
}

/// Whether a request makes sense: BEP 52's rules, our bounds, and nothing beyond the file. What is ambiguous is rejected.
fn validate(trees: &Trees, range: &HashRange) -> Option<Valid> {
    let HashRange { base_layer, index, length, proof_layers, .. } = *range;
    let measured = length.is_power_of_two() && (2..=HASHES_MAX).contains(&length);
    if !measured || index % length != 0 {
        return None;
    }
    let tree = trees.tree_of_root(&range.pieces_root)?;
    let file = trees.file(tree)?;
    let height = file.height();
    let layers = height.checked_sub(base_layer).filter(|&layers| layers > 0)?;
    let fits = u64::from(index) < merkle::layer_width(file.length, base_layer)
        && length.ilog2() <= layers
        && proof_layers < layers
        && (base_layer == 0 || base_layer == trees.piece_layer());
    fits.then_some(Valid { tree, first_piece: file.first_piece, height })
}

/// The pieces whose leaves a request needs. Beyond the BEP's 512 hashes only one piece is read for a request.
fn need_leaves(trees: &Trees, range: &HashRange, valid: &Valid) -> Serve {
    let blocks = trees.blocks_per_piece();
    if range.length > blocks.max(512) {
        return Serve::Reject;
    }
    let pieces = trees.file(valid.tree).map_or(0, |file| file.pieces(trees.piece_length())) as u32;
    let first = range.index / blocks;
    let until = range.index.saturating_add(range.length).div_ceil(blocks).min(pieces);
    Serve::NeedLeaves(valid.first_piece + first..valid.first_piece + until)
}

/// Whether leaves are those of the pieces.
fn proven(trees: &Trees, valid: &Valid, pieces: &Range<u32>, leaves: &[Hash]) -> bool {
    let height = valid.height.min(trees.piece_layer());
    let parts = leaves.chunks(trees.blocks_per_piece() as usize);
    pieces.clone().zip(parts).all(|(piece, part)| {
        let spot = super::trees::Spot { tree: valid.tree, index: piece - valid.first_piece };
        trees.expected(spot).is_none_or(|hash| merkle::root_of_height(part, height, [0; 32]) == hash)
    })
}

#[cfg(test)]
mod tests;
