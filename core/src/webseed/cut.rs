//! A stream of the torrent's bytes, cut into the blocks that were asked for. What lies between them is thrown away, pad
//! is filled in. Where the bytes come from is the conversation's.

use crate::base::{BlockRef, Chunk, Extent, Geometry, Part};
use crate::wire::metainfo::Info;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

/// A block and its bytes, in slices of what was received.
pub(super) type Whole = (BlockRef, Vec<Chunk>);

/// The blocks that are awaited, and how far the first of them is.
#[derive(Clone, Debug, Default)]
pub(super) struct Cutter {
    /// Upwards.
    awaited: VecDeque<BlockRef>,
    /// What is here of the first.
    parts: Vec<Chunk>,
    /// Where in the span the next byte belongs.
    at: u64,
}

/// Where a block ends in the span, less the block's length where it starts.
fn start(geometry: &Geometry, block: BlockRef) -> u64 {
    geometry.start(block.piece) + u64::from(block.begin)
}

fn end(geometry: &Geometry, block: BlockRef) -> u64 {
    start(geometry, block) + u64::from(block.length)
}

impl Cutter {
    /// Awaits one more block, which lies behind all others. False if it doesn't.
    pub(super) fn ask(&mut self, geometry: &Geometry, block: BlockRef) -> bool {
        let behind = start(geometry, block) >= self.asked_end(geometry);
        if behind || self.is_empty() && self.parts.is_empty() {
            self.awaited.push_back(block);
            return true;
        }
        false
    }

    pub(super) fn is_empty(&self) -> bool {
        self.awaited.is_empty()
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Goes to another place.
    pub(super) fn seek(&mut self, at: u64) {
        debug_assert!(self.parts.is_empty(), "a block that was begun goes on where it was left");
        self.at = at;
    }

    pub(super) fn first(&self) -> Option<BlockRef> {
        self.awaited.front().copied()
    }

    /// The awaited blocks, upwards, as stretches of the span.
    pub(super) fn stretches(&self, geometry: &Geometry) -> impl Iterator<Item = (u64, u64)> {
        self.awaited.iter().map(|&block| (start(geometry, block), end(geometry, block)))
    }

    /// Where the last awaited block ends; where we are if there is none.
    pub(super) fn asked_end(&self, geometry: &Geometry) -> u64 {
        self.awaited.back().map_or(self.at, |&block| end(geometry, block))
    }

    /// Bytes that are still to come for the awaited blocks.
    pub(super) fn missing(&self) -> u64 {
        let asked: u64 = self.awaited.iter().map(|block| u64::from(block.length)).sum();
        asked - self.parts.iter().map(|part| part.len() as u64).sum::<u64>()
    }

    /// A block isn't wanted any more. False if it isn't awaited.
    pub(super) fn cancel(&mut self, block: BlockRef) -> bool {
        let Some(at) = self.awaited.iter().position(|&other| other == block) else { return false };
        if at == 0 {
            self.parts.clear();
        }
        self.awaited.remove(at);
        true
    }

    /// Lets all go.
    pub(super) fn clear(&mut self) -> Vec<BlockRef> {
        self.parts.clear();
        self.awaited.drain(..).collect()
    }

    /// Fills in pad that comes next, and gives where the next real byte is; `None` if none is awaited. Blocks that end
    /// with pad go into `whole`.
    pub(super) fn next_extent(&mut self, info: &Info, whole: &mut Vec<Whole>) -> Option<Extent> {
        let geometry = info.geometry();
        loop {
            let block = self.first()?;
            if self.parts.is_empty() {
                self.at = start(geometry, block);
            }
            let left = end(geometry, block).saturating_sub(self.at) as u32;
            match info.extents(self.at, left).next()? {
                Part::Stored(extent) => return Some(extent),
                Part::Pad(zeros) => {
                    self.parts.push(Chunk::from(vec![0; zeros as usize]));
                    self.at += u64::from(zeros);
                    whole.extend(self.finished(geometry));
                }
            }
        }
    }

    /// Takes what it can of the front of `data`, which belongs at the span's next byte, but nothing from `until` on.
    /// Gives how many bytes were thrown away, and a block if it became whole. Nothing is taken when nothing is awaited.
    pub(super) fn take(&mut self, geometry: &Geometry, data: &mut Chunk, until: u64) -> (u64, Option<Whole>) {
        let Some(block) = self.first() else { return (0, None) };
        let room = until.saturating_sub(self.at).min(data.len() as u64);
        let gap = start(geometry, block).saturating_sub(self.at);
        if gap > 0 && self.parts.is_empty() {
            let skipped = gap.min(room);
            data.split_to(skipped as usize);
            self.at += skipped;
            return (skipped, None);
        }
        let n = end(geometry, block).saturating_sub(self.at).min(room);
        if n > 0 {
            self.parts.push(data.split_to(n as usize));
            self.at += n;
        }
        (0, self.finished(geometry))
    }

    fn finished(&mut self, geometry: &Geometry) -> Option<Whole> {
        let block = self.first()?;
        if self.at < end(geometry, block) || self.parts.is_empty() {
            return None;
        }
        self.awaited.pop_front();
        Some((block, core::mem::take(&mut self.parts)))
    }
}
