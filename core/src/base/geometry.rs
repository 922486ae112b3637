//! How a torrent's bytes divide into pieces and blocks. An index or block that exists is in range.

use alloc::vec::Vec;
use thiserror::Error;

/// The size of a block: what one REQUEST asks for, and a v2 leaf (BEP 3, BEP 52). Bytes.
pub const BLOCK: u32 = 16 * 1024;

/// A piece that exists in its torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The number on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as an index into tables with one row a piece.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// A range of one piece that exists: what REQUEST, PIECE, CANCEL and REJECT name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The piece.
    pub piece: PieceIndex,
    /// Bytes from the piece's start.
    pub begin: u32,
    /// Bytes, at least 1.
    pub length: u32,
}

impl BlockRef {
    /// Its number in the piece, if it is one of the blocks that `Geometry::block` gives.
    pub const fn number(self) -> u32 {
        self.begin / BLOCK
    }
}

/// What makes a torrent's measures impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GeometryError {
    /// A piece length of 0, or above 1 GiB.
    #[error("a piece length of {0} bytes is not between 1 and 2^30")]
    PieceLength(u64),
    /// More pieces than 2^31, or a length that overflows.
    #[error("{0} bytes make too many pieces")]
    TooLarge(u64),
    /// A short piece that doesn't exist, is empty, isn't short, or stands out of order.
    #[error("piece {0} can't be short like that")]
    Short(u32),
}

/// A torrent's measures: its span of bytes (pad included), cut into pieces. Some pieces are short: the last one, and,
/// where files are aligned (BEP 47, BEP 52), the last one of each file; what is missing is pad: zeros for a v1 digest,
/// nothing for v2, never sent, never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    span: u64,
    piece_length: u32,
    pieces: u32,
    /// (piece, its real length), upwards, without the last piece's natural shortness.
    short: Vec<(u32, u32)>,
    /// Whether a stranger may ask for pad.
    pad_asked: bool,
}

impl Geometry {
    /// A span of `span` bytes in pieces of `piece_length` (the last may be shorter); each of `short`, upwards, is a
    /// piece with the length that it really has.
    pub fn new(span: u64, piece_length: u64, short: Vec<(u32, u32)>) -> Result<Self, GeometryError> {
        if piece_length == 0 || piece_length > 1 << 30 {
            return Err(GeometryError::PieceLength(piece_length));
        }
        let pieces = span.div_ceil(piece_length);
        if pieces > 1 << 31 {
            return Err(GeometryError::TooLarge(span));
        }
        let geometry = Self {
            span,
            piece_length: piece_length as u32,
            pieces: pieces as u32,
            short: Vec::new(),
            pad_asked: false,
        };
        for (n, &(piece, length)) in short.iter().enumerate() {
            let fits =
                geometry.piece(piece).is_some_and(|p| length > 0 && length <= geometry.padded_length(p));
            let upwards = n == 0 || short.get(n - 1).is_some_and(|&(before, _)| before < piece);
            if !(fits && upwards) {
                return Err(GeometryError::Short(piece));
            }
        }
        Ok(Self { short, ..geometry })
    }

    /// The same, of a torrent with a v1 half: to who reads that one only, the pad is bytes like any (BEP 47).
    #[must_use]
    pub fn with_pad_asked(self) -> Self {
        Self { pad_asked: true, ..self }
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// The nominal piece length, in bytes.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// All bytes, pad included.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// All real bytes: the span less the pad at the ends of short pieces.
    pub fn length(&self) -> u64 {
        let pad = |&(piece, length): &(u32, u32)| {
            self.piece(piece).map_or(0, |p| u64::from(self.padded_length(p) - length))
        };
        self.span - self.short.iter().map(pad).sum::<u64>()
    }

    /// The piece with this number, if there is one.
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.pieces).then_some(PieceIndex(index))
    }

    /// All pieces, upwards.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.pieces).map(PieceIndex)
    }

    /// Where a piece starts in the span.
    pub fn start(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// A piece's real bytes: what is sent, stored and asked for.
    pub fn length_of(&self, piece: PieceIndex) -> u32 {
        match self.short.binary_search_by_key(&piece.0, |&(p, _)| p) {
            Ok(at) => self.short.get(at).map_or(0, |&(_, length)| length),
            Err(_) => self.padded_length(piece),
        }
    }

    /// A piece's bytes with its pad: what a v1 digest covers.
    pub fn padded_length(&self, piece: PieceIndex) -> u32 {
        let left = self.span - self.start(piece);
        u32::try_from(left).unwrap_or(u32::MAX).min(self.piece_length)
    }

    /// How many blocks a piece has.
    pub fn blocks(&self, piece: PieceIndex) -> u32 {
        self.length_of(piece).div_ceil(BLOCK)
    }

    /// The `n`-th block of a piece.
    pub fn block(&self, piece: PieceIndex, n: u32) -> Option<BlockRef> {
        let length = self.length_of(piece);
        let begin = n.checked_mul(BLOCK).filter(|&begin| begin < length)?;
        Some(BlockRef { piece, begin, length: BLOCK.min(length - begin) })
    }

    /// Checks what a stranger names: a range inside one piece, not empty.
    pub fn range(&self, index: u32, begin: u32, length: u32) -> Option<BlockRef> {
        let piece = self.piece(index)?;
        let end = begin.checked_add(length)?;
        (length > 0 && end <= self.length_of(piece)).then_some(BlockRef { piece, begin, length })
    }

    /// Checks what a stranger asks for: as `range`, but in a torrent with a v1 half it may reach into the pad, which is
    /// answered by zeros (BEP 47).
    pub fn asked_range(&self, index: u32, begin: u32, length: u32) -> Option<BlockRef> {
        if !self.pad_asked {
            return self.range(index, begin, length);
        }
        let piece = self.piece(index)?;
        let end = begin.checked_add(length)?;
        (length > 0 && end <= self.padded_length(piece)).then_some(BlockRef { piece, begin, length })
    }

    /// The pieces that the bytes `start .. start + length` of the span touch: first and one past the last.
    pub fn touched(&self, start: u64, length: u64) -> core::ops::Range<u32> {
        if length == 0 {
            return 0..0;
        }
        let unit = u64::from(self.piece_length);
        let end = start.saturating_add(length).div_ceil(unit).min(u64::from(self.pieces));
        ((start / unit).min(end) as u32)..end as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_and_its_last_block_are_short() {
        let g = Geometry::new(100_000, 65_536, Vec::new()).unwrap();
        let last = g.piece(1).unwrap();
        assert_eq!((g.pieces(), g.length_of(last), g.blocks(last)), (2, 34_464, 3));
        assert_eq!(g.block(last, 2).unwrap(), BlockRef { piece: last, begin: 32_768, length: 1_696 });
        assert_eq!((g.block(last, 3), g.piece(2), g.length()), (None, None, 100_000));
        assert!(g.range(1, 34_463, 1).is_some());
        assert!(g.range(1, 34_463, 2).is_none() && g.range(0, 0, 0).is_none());
        assert!(g.range(0, u32::MAX, 2).is_none());
        assert_eq!((g.touched(0, 65_536), g.touched(65_535, 2), g.touched(5, 0)), (0..1, 0..2, 0..0));
    }

    #[test]
    fn a_files_last_piece_is_short_in_an_aligned_torrent() {
        let g = Geometry::new(3 * 16_384, 16_384, alloc::vec![(0, 1), (1, 16_384)]).unwrap();
        let first = g.piece(0).unwrap();
        assert_eq!((g.length_of(first), g.padded_length(first), g.length()), (1, 16_384, 2 * 16_384 + 1));
        assert_eq!((g.asked_range(0, 1, 1), g.range(0, 0, 1).is_some()), (None, true));
        let v1 = g.with_pad_asked();
        assert!(v1.asked_range(0, 1, 16_383).is_some() && v1.range(0, 1, 1).is_none());
        assert!(v1.asked_range(0, 1, 16_384).is_none() && v1.asked_range(3, 0, 1).is_none());
        assert_eq!(Geometry::new(16_384, 16_384, alloc::vec![(1, 1)]), Err(GeometryError::Short(1)));
        assert_eq!(Geometry::new(16_384, 16_384, alloc::vec![(0, 0)]), Err(GeometryError::Short(0)));
        assert_eq!(Geometry::new(1, 0, Vec::new()), Err(GeometryError::PieceLength(0)));
        assert_eq!(Geometry::new(1, 1 << 40, Vec::new()), Err(GeometryError::PieceLength(1 << 40)));
        assert_eq!(Geometry::new(u64::MAX, 1, Vec::new()), Err(GeometryError::TooLarge(u64::MAX)));
    }
}
