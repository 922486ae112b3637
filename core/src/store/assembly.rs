//! Pieces under assembly: blocks in memory as slices of the buffers they came in, and blocks already written unverified.
//! It counts what it pins. Who sent a block, and whether it is good, is not known here.

use super::{Layout, Scatter};
use crate::base::{Bits, BlockRef, Chunk, Geometry, PieceIndex};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What a block did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Accepted {
    /// It is kept; the piece wants more.
    More,
    /// It is kept; the whole piece is in memory: `take` it, hash it, write it.
    Complete,
    /// It is kept, and no block is missing, but some were spilled: `spill` the rest; the piece is hashed from storage
    /// when `on_spilled` says so.
    CompleteStored,
    /// The block was there already; this copy is let go.
    Duplicate,
    /// It is no block of the geometry, or its bytes aren't as many as it says; it is let go.
    Unfit,
}

/// A whole piece that left the assembly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Taken {
    /// Its bytes in order.
    pub chunks: Vec<Chunk>,
    /// By how much the pinned bytes fell: what the job that gets the chunks is to be charged.
    pub bytes: u64,
}

/// Blocks of an unfinished piece that left the assembly, to be written unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Spill {
    /// What to write where.
    pub scatter: Scatter,
    /// By how much the pinned bytes fell: what the write job is to be charged.
    pub bytes: u64,
    /// Tells this time of collecting the piece from later ones: `on_spilled` wants it back.
    pub epoch: u64,
}

/// The pieces being collected, of one torrent.
///
/// `pinned` counts each buffer once, whole, however many slices of it are kept here, until the last of them leaves. A
/// buffer that is also held elsewhere (by a job, by a link's unread rest) counts there again or not at all: the sum over
/// places is right within one buffer per link and job.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    pieces: BTreeMap<PieceIndex, Piece>,
    buffers: BTreeMap<usize, u32>,
    pinned: u64,
    used: u64,
    epochs: u64,
}

#[derive(Clone, Debug)]
struct Piece {
    memory: BTreeMap<u32, Vec<Chunk>>,
    used: u64,
    blocks: u32,
    /// Blocks that were given out to be written; `None` until the first spill.
    spilled: Option<Bits>,
    writes: u32,
    epoch: u64,
}

impl Piece {
    fn has(&self, number: u32) -> bool {
        self.memory.contains_key(&number) || self.spilled.as_ref().is_some_and(|bits| bits.get(number))
    }

    fn stored(&self) -> u32 {
        self.spilled.as_ref().map_or(0, Bits::count)
    }

    fn is_whole(&self) -> bool {
        self.memory.len() as u32 + self.stored() == self.blocks
    }
}

impl Assembly {
    /// Nothing collected.
    pub fn new() -> Self {
        Self::default()
    }

    /// A block came, as slices in order.
    pub fn on_block(&mut self, geometry: &Geometry, block: BlockRef, parts: Vec<Chunk>) -> Accepted {
        let number = block.number();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if geometry.block(block.piece, number) != Some(block) || length != block.length as usize {
            return Accepted::Unfit;
        }
        let epochs = &mut self.epochs;
        let piece = self.pieces.entry(block.piece).or_insert_with(|| {
            *epochs += 1;
            Piece {
                memory: BTreeMap::new(),
                used: 0,
                blocks: geometry.blocks(block.piece),
                spilled: None,
                writes: 0,
                epoch: *epochs,
            }
        });
        if piece.has(number) {
            return Accepted::Duplicate;
        }
        for part in &parts {
            let slices = self.buffers.entry(part.buffer_id()).or_insert(0);
            self.pinned += if *slices == 0 { part.pinned() as u64 } else { 0 };
            *slices += 1;
        }
        self.used += length as u64;
        piece.used += length as u64;
        piece.memory.insert(number, parts);
        match (piece.is_whole(), piece.stored()) {
            (false, _) => Accepted::More,
            (true, 0) => Accepted::Complete,
            (true, _) => Accepted::CompleteStored,
        }
    }

    /// A piece that is wholly in memory leaves, in order. `None` if blocks are missing or were spilled.
    pub fn take(&mut self, piece: PieceIndex) -> Option<Taken> {
        self.pieces.get(&piece).filter(|piece| piece.is_whole() && piece.stored() == 0)?;
        let Piece { memory, used, .. } = self.pieces.remove(&piece)?;
        let before = self.pinned;
        let chunks: Vec<Chunk> = memory.into_values().flatten().collect();
        self.let_go(&chunks, used);
        Some(Taken { chunks, bytes: before - self.pinned })
    }

    /// The unfinished piece with most bytes in memory: the one to spill when memory is full.
    pub fn next_spill(&self) -> Option<PieceIndex> {
        let unfinished = self.pieces.iter().filter(|(_, piece)| piece.used > 0 && !piece.is_whole());
        let most = unfinished.max_by_key(|&(&index, piece)| (piece.used, core::cmp::Reverse(index)));
        most.map(|(&index, _)| index)
    }

    /// What is in memory of a piece leaves, to be written unverified. `None` if nothing is in memory. Where all of it is
    /// pad the scatter is empty: then `on_spilled` follows at once.
    pub fn spill(&mut self, geometry: &Geometry, layout: &Layout, piece: PieceIndex) -> Option<Spill> {
        let entry = self.pieces.get_mut(&piece).filter(|entry| !entry.memory.is_empty())?;
        let used = core::mem::take(&mut entry.used);
        let memory = core::mem::take(&mut entry.memory);
        let spilled = entry.spilled.get_or_insert_with(|| Bits::new(entry.blocks));
        entry.writes += 1;
        let epoch = entry.epoch;
        let before = self.pinned;
        let mut scatter = Scatter::default();
        for (number, parts) in memory {
            spilled.set(number);
            if let Some(block) = geometry.block(piece, number) {
                let start = geometry.start(piece) + u64::from(block.begin);
                scatter.append(layout.scatter(start, parts.iter().cloned()));
            }
            for part in &parts {
                release(&mut self.buffers, &mut self.pinned, part);
            }
        }
        self.used -= used;
        Some(Spill { scatter, bytes: before - self.pinned, epoch })
    }

    /// The write of a spill was answered well. `true` if the whole piece is stored now: hash it from storage; it has
    /// left the assembly. After a failed write, `drop_piece`.
    pub fn on_spilled(&mut self, piece: PieceIndex, epoch: u64) -> bool {
        let Some(entry) = self.pieces.get_mut(&piece).filter(|entry| entry.epoch == epoch) else {
            return false;
        };
        entry.writes = entry.writes.saturating_sub(1);
        let whole = entry.writes == 0 && entry.memory.is_empty() && entry.is_whole();
        if whole {
            self.pieces.remove(&piece);
        }
        whole
    }

    /// Whether a piece is being collected, and this is the time of collecting it that a `Spill` told.
    pub fn is_at(&self, piece: PieceIndex, epoch: u64) -> bool {
        self.pieces.get(&piece).is_some_and(|entry| entry.epoch == epoch)
    }

    /// Forgets all of a piece, spilled blocks too.
    pub fn drop_piece(&mut self, piece: PieceIndex) {
        if let Some(Piece { memory, used, .. }) = self.pieces.remove(&piece) {
            let chunks: Vec<Chunk> = memory.into_values().flatten().collect();
            self.let_go(&chunks, used);
        }
    }

    /// Whether a block is here, in memory or spilled.
    pub fn has(&self, block: BlockRef) -> bool {
        self.pieces.get(&block.piece).is_some_and(|piece| piece.has(block.number()))
    }

    /// Bytes of memory kept alive: whole buffers.
    pub fn pinned(&self) -> u64 {
        self.pinned
    }

    /// Bytes of blocks in memory.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// How many pieces are under assembly.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether nothing is under assembly.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn let_go(&mut self, chunks: &[Chunk], used: u64) {
        self.used -= used;
        for chunk in chunks {
            release(&mut self.buffers, &mut self.pinned, chunk);
        }
    }
}

/// One slice fewer of its buffer; the last one frees it.
fn release(buffers: &mut BTreeMap<usize, u32>, pinned: &mut u64, part: &Chunk) {
    let id = part.buffer_id();
    let Some(slices) = buffers.get_mut(&id) else { return };
    *slices -= 1;
    if *slices == 0 {
        buffers.remove(&id);
        *pinned -= part.pinned() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BLOCK, Extent, Rng};
    use alloc::vec;

    const B: usize = BLOCK as usize;

    fn world() -> (Geometry, Layout) {
        let geometry = Geometry::new(4 * 65_536 + 20_000, 65_536, Vec::new()).unwrap();
        let layout = Layout::packed([(100_000, false), (4 * 65_536 + 20_000 - 100_000, false)]).unwrap();
        (geometry, layout)
    }

    fn block(geometry: &Geometry, piece: u32, n: u32) -> BlockRef {
        geometry.block(geometry.piece(piece).unwrap(), n).unwrap()
    }

    fn chunk(fill: u8, length: usize) -> Chunk {
        vec![fill; length].into()
    }

    #[test]
    fn a_piece_is_taken_whole_and_in_order() {
        let (g, _) = world();
        let mut assembly = Assembly::new();
        let last = g.piece(4).unwrap();
        let second = assembly.on_block(&g, block(&g, 4, 1), vec![chunk(2, 3_000), chunk(3, 616)]);
        assert_eq!((second, assembly.take(last)), (Accepted::More, None));
        assert_eq!(assembly.on_block(&g, block(&g, 4, 0), vec![chunk(1, B)]), Accepted::Complete);
        let taken = assembly.take(last).unwrap();
        let firsts: Vec<(u8, usize)> = taken.chunks.iter().map(|c| (c[0], c.len())).collect();
        assert_eq!((firsts, taken.bytes), (vec![(1, B), (2, 3_000), (3, 616)], 20_000));
        assert!(assembly.is_empty() && assembly.pinned() == 0 && assembly.used() == 0);
    }

    #[test]
    fn a_second_copy_and_what_is_no_block_are_let_go() {
        let (g, _) = world();
        let mut assembly = Assembly::new();
        let first = block(&g, 0, 0);
        assert_eq!(assembly.on_block(&g, first, vec![chunk(1, B)]), Accepted::More);
        assert_eq!(assembly.on_block(&g, first, vec![chunk(2, B)]), Accepted::Duplicate);
        assert_eq!(assembly.on_block(&g, block(&g, 0, 1), vec![chunk(1, B - 1)]), Accepted::Unfit);
        let odd = BlockRef { begin: 5, ..first };
        assert_eq!(assembly.on_block(&g, odd, vec![chunk(1, B)]), Accepted::Unfit);
        assert_eq!((assembly.used(), assembly.len()), (B as u64, 1));
    }

    #[test]
    fn a_buffer_counts_once_and_whole_until_its_last_slice_leaves() {
        let (g, _) = world();
        let mut assembly = Assembly::new();
        let buffer = chunk(7, 4 * B);
        let slice = |n: usize| vec![buffer.slice(n * B, (n + 1) * B)];
        let _ = assembly.on_block(&g, block(&g, 0, 0), slice(0));
        let _ = assembly.on_block(&g, block(&g, 1, 0), slice(1));
        assert_eq!((assembly.pinned(), assembly.used()), (4 * B as u64, 2 * B as u64));
        assembly.drop_piece(g.piece(0).unwrap());
        assert_eq!(assembly.pinned(), 4 * B as u64);
        assembly.drop_piece(g.piece(1).unwrap());
        assert_eq!(assembly.pinned(), 0);
    }

    #[test]
    fn a_spilled_piece_is_hashed_from_storage_when_all_its_writes_are_answered() {
        let (g, layout) = world();
        let mut assembly = Assembly::new();
        let piece = g.piece(1).unwrap();
        let _ = assembly.on_block(&g, block(&g, 0, 0), vec![chunk(1, B)]);
        for n in [0, 1, 2] {
            let _ = assembly.on_block(&g, block(&g, 1, n), vec![chunk(1, B)]);
        }
        assert_eq!(assembly.next_spill(), Some(piece), "the one with most bytes");
        let first = assembly.spill(&g, &layout, piece).unwrap();
        assert_eq!(
            first.scatter.extents,
            [
                Extent { file: 0, offset: 65_536, length: 34_464 },
                Extent { file: 1, offset: 0, length: 3 * BLOCK - 34_464 }
            ]
        );
        assert_eq!((first.bytes, assembly.pinned()), (3 * B as u64, B as u64));
        assert_eq!(assembly.on_block(&g, block(&g, 1, 2), vec![chunk(1, B)]), Accepted::Duplicate);
        assert_eq!(assembly.on_block(&g, block(&g, 1, 3), vec![chunk(1, B)]), Accepted::CompleteStored);
        assert_eq!(assembly.take(piece), None, "a part of it is no longer in memory");
        let rest = assembly.spill(&g, &layout, piece).unwrap();
        assert!(!assembly.on_spilled(piece, rest.epoch));
        assert!(assembly.on_spilled(piece, first.epoch));
        assert!(assembly.len() == 1 && !assembly.has(block(&g, 1, 0)), "the piece is forgotten");
    }

    #[test]
    fn the_answer_to_an_old_spill_does_not_finish_a_piece_that_began_anew() {
        let (g, layout) = world();
        let mut assembly = Assembly::new();
        let piece = g.piece(4).unwrap();
        let fill = |assembly: &mut Assembly| {
            let _ = assembly.on_block(&g, block(&g, 4, 0), vec![chunk(1, B)]);
            let _ = assembly.on_block(&g, block(&g, 4, 1), vec![chunk(1, 3_616)]);
            assembly.spill(&g, &layout, piece).unwrap().epoch
        };
        let old = fill(&mut assembly);
        assembly.drop_piece(piece);
        let new = fill(&mut assembly);
        assert!(!assembly.on_spilled(piece, old));
        assert!(assembly.on_spilled(piece, new));
    }

    #[test]
    fn accounts_balance_over_any_order_of_facts() {
        let (g, layout) = world();
        for seed in 0..40 {
            let mut rng = Rng::new([seed; 32]);
            let mut assembly = Assembly::new();
            let mut buffer = chunk(0, 4 * B);
            for _ in 0..300 {
                let piece = g.piece(rng.below(5) as u32).unwrap();
                let at = g.block(piece, rng.below(u64::from(g.blocks(piece))) as u32).unwrap();
                match rng.below(7) {
                    0 => assembly.drop_piece(piece),
                    1 => drop(assembly.spill(&g, &layout, piece)),
                    2 => drop(assembly.take(piece)),
                    _ => {
                        if buffer.len() < at.length as usize {
                            buffer = chunk(0, 4 * B);
                        }
                        let cut = rng.below(u64::from(at.length)) as usize;
                        let head = buffer.split_to(cut);
                        let _ =
                            assembly.on_block(&g, at, vec![head, buffer.split_to(at.length as usize - cut)]);
                    }
                }
                check(&assembly);
            }
            for piece in g.iter() {
                assembly.drop_piece(piece);
            }
            assert_eq!(
                (assembly.pinned(), assembly.used(), assembly.buffers.len()),
                (0, 0, 0),
                "seed {seed}"
            );
        }
    }

    fn check(assembly: &Assembly) {
        let chunks: Vec<&Chunk> =
            assembly.pieces.values().flat_map(|p| p.memory.values().flatten()).collect();
        let buffers: BTreeMap<usize, usize> = chunks.iter().map(|c| (c.buffer_id(), c.pinned())).collect();
        assert_eq!(assembly.used(), chunks.iter().map(|c| c.len() as u64).sum::<u64>());
        assert_eq!(assembly.pinned(), buffers.values().sum::<usize>() as u64);
    }
}
