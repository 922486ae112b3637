//! Who sent the bad blocks: what failed pieces were made of is kept until they pass, then the difference tells.
//! It names sources; banning is the book's.

use crate::base::PieceIndex;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Limits of blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlameConfig {
    /// Failed pieces remembered in a torrent. Default 16; beyond that the oldest is forgotten, and its liars go free.
    pub failed_pieces_max: usize,
    /// Blocks of failed pieces remembered in a torrent, about 40 bytes each. Default 8192; a piece with more is only
    /// remembered by its first ones.
    pub failed_blocks_max: usize,
}

impl Default for BlameConfig {
    fn default() -> Self {
        Self { failed_pieces_max: 16, failed_blocks_max: 8_192 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    block: u32,
    source: u32,
    leaf: [u8; 32],
}

/// The failed pieces of a torrent. Empty costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Blame {
    config: BlameConfig,
    failed: BTreeMap<PieceIndex, Vec<Record>>,
    oldest: VecDeque<PieceIndex>,
    blocks: usize,
}

impl Blame {
    /// Nobody is blamed yet.
    pub fn new(config: BlameConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// A piece failed: its blocks' digests (SHA-256 each; a v1 torrent gets them by one more hash job) and who sent each
    /// of its blocks. Gives the source to ban at once, if all blocks came from one.
    pub fn on_failed(
        &mut self,
        piece: PieceIndex,
        leaves: &[[u8; 32]],
        senders: &[(u32, u32)],
    ) -> Option<u32> {
        let (_, first) = *senders.first()?;
        let whole = leaves.is_empty() || leaves.len() <= senders.len();
        if whole && senders.iter().all(|&(_, source)| source == first) {
            return Some(first);
        }
        self.make_room(piece);
        for &(block, source) in senders {
            let Some(&leaf) = leaves.get(block as usize) else { continue };
            let records = self.failed.entry(piece).or_default();
            let record = Record { block, source, leaf };
            if self.blocks < self.config.failed_blocks_max && !records.contains(&record) {
                records.push(record);
                self.blocks += 1;
            }
        }
        if self.failed.contains_key(&piece) && !self.oldest.contains(&piece) {
            self.oldest.push_back(piece);
        }
        None
    }

    /// These blocks of a piece are known to be bad (`Verdict::BlocksBad`): gives who sent them, upwards, each once.
    pub fn on_blocks_bad(blocks: &[u32], senders: &[(u32, u32)]) -> Vec<u32> {
        let guilty = senders.iter().filter(|(block, _)| blocks.contains(block));
        unique(guilty.map(|&(_, source)| source).collect())
    }

    /// A piece passed: gives the sources that once sent other blocks than these for it, upwards, each once.
    pub fn on_passed(&mut self, piece: PieceIndex, leaves: &[[u8; 32]]) -> Vec<u32> {
        let records = self.forget(piece);
        let differs =
            |record: &&Record| leaves.get(record.block as usize).is_some_and(|leaf| *leaf != record.leaf);
        unique(records.iter().filter(differs).map(|record| record.source).collect())
    }

    /// Leaves of a piece that failed were fetched (BEP 52): gives the sources that sent other blocks than these, upwards,
    /// each once. What is known to be good is forgotten.
    pub fn on_leaves(&mut self, piece: PieceIndex, leaf: impl Fn(u32) -> Option<[u8; 32]>) -> Vec<u32> {
        let records = self.failed.get(&piece).map_or(&[][..], Vec::as_slice);
        let differs = |record: &&Record| leaf(record.block).is_some_and(|leaf| leaf != record.leaf);
        unique(records.iter().filter(differs).map(|record| record.source).collect())
    }

    /// Whether a piece failed before: the next time, its leaves are wanted, so that `on_passed` can compare.
    pub fn remembers(&self, piece: PieceIndex) -> bool {
        self.failed.contains_key(&piece)
    }

    /// Lets the oldest pieces go until one more may come.
    fn make_room(&mut self, piece: PieceIndex) {
        let pieces_max = self.config.failed_pieces_max.max(1);
        while !self.failed.contains_key(&piece)
            && (self.failed.len() >= pieces_max || self.blocks >= self.config.failed_blocks_max)
        {
            let Some(&oldest) = self.oldest.front() else { return };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, piece: PieceIndex) -> Vec<Record> {
        self.oldest.retain(|&other| other != piece);
        let records = self.failed.remove(&piece).unwrap_or_default();
        self.blocks -= records.len();
        records
    }
}

fn unique(mut sources: Vec<u32>) -> Vec<u32> {
    sources.sort_unstable();
    sources.dedup();
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Geometry;

    fn piece(n: u32) -> PieceIndex {
        Geometry::new(1 << 30, 1 << 16, Vec::new()).unwrap().piece(n).unwrap()
    }

    fn leaves(of: [u8; 4]) -> Vec<[u8; 32]> {
        of.map(|n| [n; 32]).to_vec()
    }

    #[test]
    fn the_sender_of_a_differing_block_is_named_when_the_piece_passes() {
        let mut blame = Blame::new(BlameConfig::default());
        let senders = [(0, 70), (1, 71), (2, 72), (3, 70)];
        assert_eq!(blame.on_failed(piece(5), &leaves([1, 9, 3, 4]), &senders), None);
        assert!(blame.remembers(piece(5)) && !blame.remembers(piece(6)));
        assert_eq!(blame.on_passed(piece(5), &leaves([1, 2, 3, 4])), [71]);
        assert!(!blame.remembers(piece(5)) && blame.blocks == 0);
    }

    #[test]
    fn liars_of_several_tries_are_all_named() {
        let mut blame = Blame::new(BlameConfig::default());
        let _ = blame.on_failed(piece(0), &leaves([9, 2, 3, 4]), &[(0, 8), (1, 1), (2, 1), (3, 1)]);
        let _ = blame.on_failed(piece(0), &leaves([1, 2, 3, 7]), &[(0, 1), (1, 1), (2, 1), (3, 6)]);
        assert_eq!(blame.on_passed(piece(0), &leaves([1, 2, 3, 4])), [6, 8]);
    }

    #[test]
    fn a_piece_from_one_sender_needs_no_second_try() {
        let mut blame = Blame::new(BlameConfig::default());
        let alone = [(0, 4), (1, 4), (2, 4), (3, 4)];
        assert_eq!(blame.on_failed(piece(0), &leaves([0; 4]), &alone), Some(4));
        assert_eq!(
            blame.on_failed(piece(0), &leaves([0; 4]), &alone[..3]),
            None,
            "one block's sender is unknown"
        );
    }

    #[test]
    fn known_bad_blocks_name_their_senders_at_once() {
        assert_eq!(Blame::on_blocks_bad(&[1, 3], &[(0, 9), (1, 8), (2, 9), (3, 8)]), [8]);
    }

    #[test]
    fn memory_is_bounded_in_pieces_and_blocks() {
        let config = BlameConfig { failed_pieces_max: 2, failed_blocks_max: 10 };
        let mut blame = Blame::new(config);
        let senders = [(0, 1), (1, 2), (2, 3), (3, 4)];
        for n in 0..3 {
            let _ = blame.on_failed(piece(n), &leaves([9; 4]), &senders);
        }
        assert!(!blame.remembers(piece(0)) && blame.remembers(piece(2)), "the oldest goes");
        for n in 0..9 {
            let _ = blame.on_failed(piece(2), &leaves([n; 4]), &senders);
        }
        assert_eq!(blame.blocks, 10);
        let _ = blame.on_failed(piece(3), &leaves([9; 4]), &senders);
        assert!(blame.remembers(piece(3)) && blame.blocks <= 10 && blame.oldest.len() == blame.failed.len());
    }
}
