//! Where each byte of the span lives: in which file, at which offset, or nowhere because it is pad. No paths, no I/O.

use crate::base::{BlockRef, Chunk, Extent, Geometry, Part, PieceIndex};
use crate::wire::metainfo::Info;
use alloc::vec::Vec;
use core::ops::Range;
use thiserror::Error;

/// The longest stretch that one `Part` covers, in bytes; a longer one comes in several.
const STRETCH: u64 = 1 << 30;

/// One file's place in the span. Files are counted as the metainfo lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the file starts in the span, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Whether it is pad (BEP 47): zeros, never stored.
    pub pad: bool,
}

/// What makes a list of files impossible to lay out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// A file starts before the one in front of it ends.
    #[error("file {0} starts before the one in front of it ends")]
    Overlap(u32),
    /// A file ends beyond 2^63, or there are 2^32 files.
    #[error("file {0} ends beyond any span")]
    TooLarge(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    start: u64,
    length: u64,
    file: u32,
}

/// The map from the span to files. It keeps a row only for files with bytes to store: whatever lies between them is pad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    rows: Vec<Row>,
    span: u64,
}

/// All that is stored of a piece, in order, and what a v1 digest covers behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPiece {
    /// The piece's real bytes; a `Part::Pad` among them is pad in mid-piece and counts as real bytes for every digest.
    pub parts: Vec<Part>,
    /// Zeros behind the real bytes that only the SHA-1 covers.
    pub pad: u32,
}

/// What to write where: the extents' bytes one after the other are the chunks' bytes one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scatter {
    /// Where, upwards.
    pub extents: Vec<Extent>,
    /// What.
    pub chunks: Vec<Chunk>,
}

impl Layout {
    /// The layout of files at given places, upwards; gaps between them are pad.
    pub fn new(places: impl IntoIterator<Item = Place>) -> Result<Self, LayoutError> {
        let (mut rows, mut span) = (Vec::new(), 0u64);
        for (n, place) in places.into_iter().enumerate() {
            let file = u32::try_from(n).map_err(|_| LayoutError::TooLarge(u32::MAX))?;
            if place.start < span {
                return Err(LayoutError::Overlap(file));
            }
            span = place
                .start
                .checked_add(place.length)
                .filter(|&end| end <= 1 << 63)
                .ok_or(LayoutError::TooLarge(file))?;
            if place.length > 0 && !place.pad {
                rows.push(Row { start: place.start, length: place.length, file });
            }
        }
        rows.shrink_to_fit();
        Ok(Self { rows, span })
    }

    /// The layout of a torrent's files.
    pub fn of(info: &Info) -> Result<Self, LayoutError> {
        let files = info.files().iter();
        Self::new(files.map(|file| Place {
            start: file.offset,
            length: file.length,
            pad: file.attributes.pad,
        }))
    }

    /// The layout of files one right behind the other, each a length and whether it is pad (BEP 3, BEP 47).
    pub fn packed(files: impl IntoIterator<Item = (u64, bool)>) -> Result<Self, LayoutError> {
        let mut start = 0u64;
        Self::new(files.into_iter().map(|(length, pad)| {
            let place = Place { start, length, pad };
            start = start.saturating_add(length);
            place
        }))
    }

    /// The layout of files that each start at a piece (BEP 52).
    pub fn aligned(lengths: impl IntoIterator<Item = u64>, piece_length: u32) -> Result<Self, LayoutError> {
        let mut end = 0u64;
        let unit = u64::from(piece_length.max(1));
        Self::new(lengths.into_iter().map(|length| {
            let start = if length == 0 { end } else { end.div_ceil(unit).saturating_mul(unit) };
            end = start.saturating_add(length);
            Place { start, length, pad: false }
        }))
    }

    /// All bytes up to the end of the last file, pad included.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// Where a file's bytes are in the span; `None` if it is empty, pad or doesn't exist.
    pub fn range_of(&self, file: u32) -> Option<Range<u64>> {
        let at = self.rows.binary_search_by_key(&file, |row| row.file).ok()?;
        self.rows.get(at).map(|row| row.start..row.start + row.length)
    }

    /// What the bytes `start .. start + length` of the span are made of, upwards. What lies beyond the span is left out.
    pub fn parts(&self, start: u64, length: u64) -> impl Iterator<Item = Part> + '_ {
        let end = start.saturating_add(length).min(self.span);
        let mut row = self.rows.partition_point(|row| row.start + row.length <= start);
        let mut at = start;
        core::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (part, length) = match self.rows.get(row) {
                Some(here) if here.start <= at => {
                    let offset = at - here.start;
                    let length = (here.length - offset).min(end - at).min(STRETCH);
                    row += usize::from(offset + length == here.length);
                    (Part::Stored(Extent { file: here.file, offset, length: length as u32 }), length)
                }
                next => {
                    let until = next.map_or(end, |next| next.start.min(end));
                    let length = (until - at).min(STRETCH);
                    (Part::Pad(length as u32), length)
                }
            };
            at += length;
            Some(part)
        })
    }

    /// The stored ranges among the bytes `start .. start + length` of the span, upwards.
    pub fn extents(&self, start: u64, length: u64) -> impl Iterator<Item = Extent> + '_ {
        self.parts(start, length).filter_map(|part| match part {
            Part::Stored(extent) => Some(extent),
            Part::Pad(_) => None,
        })
    }

    /// What a block, or any range of a piece, is made of.
    pub fn block(&self, geometry: &Geometry, block: BlockRef) -> impl Iterator<Item = Part> + '_ {
        self.parts(geometry.start(block.piece) + u64::from(block.begin), u64::from(block.length))
    }

    /// What a piece is made of, and the zeros behind it: what a job that hashes it from storage needs.
    pub fn piece(&self, geometry: &Geometry, piece: PieceIndex) -> StoredPiece {
        let length = geometry.length_of(piece);
        StoredPiece {
            parts: self.parts(geometry.start(piece), u64::from(length)).collect(),
            pad: geometry.padded_length(piece) - length,
        }
    }

    /// Sends bytes that belong at `start` of the span to their files; pad among them is dropped.
    pub fn scatter(&self, start: u64, chunks: impl IntoIterator<Item = Chunk>) -> Scatter {
        let mut out = Scatter::default();
        let mut at = start;
        for mut chunk in chunks {
            for part in self.parts(at, chunk.len() as u64) {
                let bytes = chunk.split_to(part.len() as usize);
                match part {
                    Part::Stored(extent) => out.push(extent, bytes),
                    Part::Pad(_) => {}
                }
                at += u64::from(part.len());
            }
        }
        out
    }
}

impl Scatter {
    /// How many bytes are to be written.
    pub fn len(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.length)).sum()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// Puts the writes of `other` behind these.
    pub fn append(&mut self, other: Self) {
        let mut chunks = other.chunks;
        for extent in other.extents {
            self.extent(extent);
        }
        self.chunks.append(&mut chunks);
    }

    fn push(&mut self, extent: Extent, chunk: Chunk) {
        self.extent(extent);
        self.chunks.push(chunk);
    }

    /// Adds an extent, melted into the last one if it goes on where that one ends.
    fn extent(&mut self, extent: Extent) {
        if let Some(last) = self.extents.last_mut()
            && last.file == extent.file
            && last.offset + u64::from(last.length) == extent.offset
            && let Some(length) = last.length.checked_add(extent.length)
        {
            last.length = length;
            return;
        }
        self.extents.push(extent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use alloc::vec;

    fn stored(file: u32, offset: u64, length: u32) -> Part {
        Part::Stored(Extent { file, offset, length })
    }

    #[test]
    fn a_range_over_files_skips_empty_ones_and_names_pad() {
        let layout = Layout::packed([(10, false), (0, false), (6, true), (20, false)]).unwrap();
        assert_eq!(layout.parts(4, 16).collect::<Vec<_>>(), [stored(0, 4, 6), Part::Pad(6), stored(3, 0, 4)]);
        assert_eq!(layout.parts(36, 5).count(), 0, "beyond the span there is nothing");
        assert_eq!((layout.range_of(3), layout.range_of(1), layout.range_of(2)), (Some(16..36), None, None));
    }

    #[test]
    fn bep_0052_files_start_at_pieces_and_the_gap_is_pad_for_the_v1_digest_only() {
        let layout = Layout::aligned([100, 0, 40_000], 16_384).unwrap();
        let geometry = Geometry::new(16_384 + 40_000, 16_384, vec![(0, 100)]).unwrap();
        let first = layout.piece(&geometry, geometry.piece(0).unwrap());
        assert_eq!(first, StoredPiece { parts: vec![stored(0, 0, 100)], pad: 16_284 });
        let last = layout.piece(&geometry, geometry.piece(3).unwrap());
        assert_eq!(last, StoredPiece { parts: vec![stored(2, 32_768, 7_232)], pad: 0 });
    }

    #[test]
    fn bep_0047_pad_in_mid_piece_is_zeros_that_are_never_written() {
        let layout = Layout::packed([(3, false), (2, true), (4, false)]).unwrap();
        let scatter = layout.scatter(1, [Chunk::copy_from(b"bc\0"), Chunk::copy_from(b"\0defg")]);
        assert_eq!(
            scatter.extents,
            [Extent { file: 0, offset: 1, length: 2 }, Extent { file: 2, offset: 0, length: 4 }]
        );
        let bytes: Vec<u8> = scatter.chunks.iter().flat_map(|c| c.to_vec()).collect();
        assert_eq!((bytes.as_slice(), scatter.len()), (&b"bcdefg"[..], 6));
    }

    #[test]
    fn each_version_of_a_torrent_stores_the_same_bytes() {
        use crate::wire::metainfo::{FileEntry, InfoBuilder, Version};
        for version in [Version::V1, Version::V2, Version::Hybrid] {
            let mut builder = InfoBuilder::new("folder", 16_384, version);
            (builder.multi_file, builder.pad_files) = (true, true);
            for (name, length) in [("a", 20_000), ("b", 0), ("c", 5)] {
                let pieces_root = Some([length as u8; 32]).filter(|_| length > 0);
                let path = vec![name.into()];
                builder.files.push(FileEntry { path, length, pieces_root, ..FileEntry::default() });
            }
            builder.v1_digests = vec![[0; 20]; 3];
            let info = Info::parse(&builder.build().unwrap()).unwrap();
            let (layout, geometry) = (Layout::of(&info).unwrap(), info.geometry());
            let pieces: Vec<StoredPiece> =
                geometry.iter().map(|piece| layout.piece(geometry, piece)).collect();
            let lengths: Vec<u32> = pieces.iter().flat_map(|piece| &piece.parts).map(Part::len).collect();
            assert_eq!(lengths, [16_384, 3_616, 5], "{version:?}");
            assert_eq!(
                pieces.iter().map(|piece| piece.pad).collect::<Vec<_>>(),
                [0, 12_768, 0],
                "{version:?}"
            );
            let stored = |part: &Part| matches!(part, Part::Stored(_));
            assert!(pieces.iter().flat_map(|piece| &piece.parts).all(stored));
        }
    }

    #[test]
    fn impossible_places_are_refused_with_the_file() {
        let place = |start, length| Place { start, length, pad: false };
        assert_eq!(Layout::new([place(0, 5), place(4, 1)]), Err(LayoutError::Overlap(1)));
        assert_eq!(Layout::new([place(1, u64::MAX)]), Err(LayoutError::TooLarge(0)));
        assert_eq!(Layout::packed([(1 << 63, false), (1, false)]), Err(LayoutError::TooLarge(1)));
        assert_eq!(Layout::aligned([u64::MAX, 7], 16_384), Err(LayoutError::TooLarge(0)));
    }

    #[test]
    fn a_stretch_longer_than_a_part_comes_in_several() {
        let layout = Layout::packed([(5 << 30, false)]).unwrap();
        let parts: Vec<Part> = layout.parts(0, u64::MAX).collect();
        assert_eq!((parts.len(), parts.last()), (5, Some(&stored(0, 4 << 30, 1 << 30))));
    }

    #[test]
    fn every_byte_of_the_span_maps_once() {
        for seed in 0..60 {
            let mut rng = Rng::new([seed; 32]);
            let files: Vec<(u64, bool)> =
                (0..1 + rng.below(12)).map(|_| (rng.below(40), rng.chance(1, 4))).collect();
            let layout = Layout::packed(files.iter().copied()).unwrap();
            let wanted: Vec<Option<(u32, u64)>> = (0u32..)
                .zip(&files)
                .flat_map(|(file, &(length, pad))| (0..length).map(move |at| (!pad).then_some((file, at))))
                .collect();
            assert_eq!(layout.span(), wanted.len() as u64);
            for _ in 0..20 {
                let start = rng.below(layout.span() + 1);
                let length = rng.below(layout.span() - start + 1);
                let got: Vec<Option<(u32, u64)>> = layout.parts(start, length).flat_map(bytes_of).collect();
                assert_eq!(got, wanted[start as usize..(start + length) as usize], "seed {seed}");
            }
        }
    }

    fn bytes_of(part: Part) -> Vec<Option<(u32, u64)>> {
        match part {
            Part::Stored(Extent { file, offset, length }) => {
                (0..u64::from(length)).map(|at| Some((file, offset + at))).collect()
            }
            Part::Pad(length) => vec![None; length as usize],
        }
    }
}
