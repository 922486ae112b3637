//! A plan of hash jobs that ends in metainfo (BEP 3, BEP 47, BEP 52). It reads no file and hashes no payload: it says
//! what to hash, takes the digests in any order, and keeps nothing but them.

mod options;

pub use options::{CreateFile, CreateOptions, OptionsError, default_piece_length};

use crate::base::{Bits, Digests, Extent, Want};
use crate::wire::merkle::{self, Hash};
use crate::wire::metainfo::{InfoBuilder, MetainfoBuilder, MetainfoError};
use alloc::vec;
use alloc::vec::Vec;
use thiserror::Error;

/// What a torrent says about who made it.
const CREATED_BY: &str = concat!("millstream ", env!("CARGO_PKG_VERSION"));

/// Bytes to hash: one piece of the torrent to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateJob {
    /// The piece's number.
    pub piece: u32,
    /// Its bytes, in order; `file` counts `Plan::files`.
    pub extents: Vec<Extent>,
    /// Zeros behind them that only the SHA-1 covers (BEP 47).
    pub pad: u32,
    /// Which digests.
    pub want: Want,
}

/// What went wrong in making a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CreateError {
    /// The driver's digests aren't what the job asked for.
    #[error("the digests of piece {0} aren't those that were asked for")]
    Digests(u32),
    /// Digests are still missing.
    #[error("{0} pieces are not hashed yet")]
    Unfinished(u32),
    /// The torrent can't be written like that.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
}

/// Where a piece is, while jobs are handed out.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    piece: u32,
    file: usize,
    offset: u64,
}

/// A torrent in the making. Digests take 52 bytes a piece; nothing else grows with the payload.
#[derive(Clone, Debug)]
pub struct Plan {
    info: InfoBuilder,
    outer: MetainfoBuilder,
    /// Whether each file starts at a piece.
    aligned: bool,
    /// The last file with bytes: no pad follows it.
    last: usize,
    pieces: u32,
    /// Aligned: each file's first piece, and behind them the count of all.
    first_pieces: Vec<u32>,
    cursor: Cursor,
    done: Bits,
    done_bytes: u64,
    length: u64,
    sha1: Vec<[u8; 20]>,
    /// v2: the node over each piece.
    nodes: Vec<Hash>,
}

impl Plan {
    /// A plan for these files. All that can be wrong but the digests is found here, before any hashing.
    pub fn new(options: CreateOptions) -> Result<Self, OptionsError> {
        let (info, outer) = options.builders(CREATED_BY)?;
        let aligned = info.version.has_v2() || info.multi_file && info.pad_files;
        let unit = u64::from(info.piece_length);
        let length: u64 = info.files.iter().map(|file| file.length).sum();
        let mut first_pieces = vec![0u32];
        let mut pieces = 0u64;
        for file in &info.files {
            pieces += file.length.div_ceil(unit);
            first_pieces.push(u32::try_from(pieces).unwrap_or(u32::MAX));
        }
        let pieces = if aligned { pieces } else { length.div_ceil(unit) };
        let count = u32::try_from(pieces).ok().filter(|&pieces| pieces <= options::PIECES_MAX);
        let pieces = count.ok_or(OptionsError::Pieces { pieces, max: options::PIECES_MAX })?;
        let (v1, v2) = (info.version.has_v1(), info.version.has_v2());
        let plan = Self {
            aligned,
            last: info.files.iter().rposition(|file| file.length > 0).unwrap_or(0),
            pieces,
            first_pieces: if aligned { first_pieces } else { Vec::new() },
            cursor: Cursor::default(),
            done: Bits::new(pieces),
            done_bytes: 0,
            length,
            sha1: vec![[0; 20]; if v1 { pieces as usize } else { 0 }],
            nodes: vec![[0; 32]; if v2 { pieces as usize } else { 0 }],
            info,
            outer,
        };
        plan.rehearse()?;
        Ok(plan)
    }

    /// The files in the torrent's order: what `Extent::file` of a job counts. Lengths are those that were given.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&[alloc::string::String], u64)> {
        self.info.files.iter().map(|file| (file.path.as_slice(), file.length))
    }

    /// The next piece to hash; any number may be outstanding.
    pub fn next_job(&mut self) -> Option<CreateJob> {
        let unit = u64::from(self.info.piece_length);
        let (mut extents, mut left) = (Vec::new(), unit);
        let mut last = 0;
        while left > 0 {
            let Some(file) = self.info.files.get(self.cursor.file) else { break };
            let length = (file.length - self.cursor.offset).min(left);
            if length > 0 {
                let (at, offset) = (self.cursor.file, self.cursor.offset);
                extents.push(Extent { file: at as u32, offset, length: length as u32 });
                last = at;
            }
            left -= length;
            self.cursor.offset += length;
            if self.cursor.offset == file.length {
                self.cursor = Cursor { file: self.cursor.file + 1, offset: 0, ..self.cursor };
                if self.aligned && !extents.is_empty() {
                    break;
                }
            }
        }
        if extents.is_empty() {
            return None;
        }
        let piece = self.cursor.piece;
        self.cursor.piece += 1;
        let padded = self.aligned && self.info.version.has_v1() && last < self.last;
        Some(CreateJob { piece, extents, pad: if padded { left as u32 } else { 0 }, want: self.want() })
    }

    /// The digests of a piece, in any order; a second answer for a piece changes nothing.
    pub fn on_digests(&mut self, piece: u32, digests: &Digests) -> Result<(), CreateError> {
        if piece >= self.cursor.piece {
            return Err(CreateError::Digests(piece));
        }
        let want = self.want();
        let (length, height) = self.measure(piece);
        let blocks = u64::from(length).div_ceil(u64::from(crate::base::BLOCK));
        if want.sha1 != digests.sha1.is_some() || want.leaves && digests.leaves.len() as u64 != blocks {
            return Err(CreateError::Digests(piece));
        }
        if !self.done.set(piece) {
            return Ok(());
        }
        self.done_bytes += u64::from(length);
        if let (Some(slot), Some(sha1)) = (self.sha1.get_mut(piece as usize), digests.sha1) {
            *slot = sha1;
        }
        if let Some(slot) = self.nodes.get_mut(piece as usize) {
            *slot = merkle::root_of_height(&digests.leaves, height, [0; 32]);
        }
        Ok(())
    }

    /// Bytes hashed, and bytes in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.done_bytes, self.length)
    }

    /// How many pieces the torrent has.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// The piece length, in bytes.
    pub fn piece_length(&self) -> u32 {
        self.info.piece_length
    }

    /// The torrent file's bytes; the same for the same input, whatever order the digests came in.
    pub fn finish(mut self) -> Result<Vec<u8>, CreateError> {
        if !self.done.is_full() {
            return Err(CreateError::Unfinished(self.pieces - self.done.count()));
        }
        self.info.v1_digests = core::mem::take(&mut self.sha1);
        if self.info.version.has_v2() {
            let unit = self.info.piece_length;
            for (file, pieces) in self.info.files.iter_mut().zip(self.first_pieces.windows(2)) {
                let &[first, until] = pieces else { continue };
                let nodes = self.nodes.get(first as usize..until as usize).unwrap_or_default();
                match nodes {
                    [] => file.pieces_root = None,
                    [root] => file.pieces_root = Some(*root),
                    layer => {
                        file.pieces_root = Some(merkle::root_of_piece_layer(layer, unit));
                        file.layer = layer.to_vec();
                    }
                }
            }
        }
        Ok(self.outer.build(&self.info)?)
    }

    fn want(&self) -> Want {
        Want { sha1: self.info.version.has_v1(), leaves: self.info.version.has_v2() }
    }

    /// A piece's real bytes, and the height of the node over it.
    fn measure(&self, piece: u32) -> (u32, u32) {
        let unit = u64::from(self.info.piece_length);
        let within = |length: u64, index: u32| (length - u64::from(index) * unit).min(unit) as u32;
        if !self.aligned {
            return (within(self.length, piece), 0);
        }
        let at = self.first_pieces.partition_point(|&first| first <= piece).saturating_sub(1);
        let length = self.info.files.get(at).map_or(0, |file| file.length);
        let first = self.first_pieces.get(at).copied().unwrap_or(0);
        let height = merkle::tree_height(length).min(merkle::piece_layer(self.info.piece_length));
        (within(length, piece - first), height)
    }

    /// Writes the info dictionary with made-up digests, so that what is wrong with it is known at once.
    fn rehearse(&self) -> Result<(), OptionsError> {
        let mut info = self.info.clone();
        info.v1_digests = self.sha1.clone();
        if info.version.has_v2() {
            for (n, file) in (1u64..).zip(&mut info.files).filter(|(_, file)| file.length > 0) {
                let mut root = [0; 32];
                root[..8].copy_from_slice(&n.to_be_bytes());
                file.pieces_root = Some(root);
            }
        }
        info.build().map(drop).map_err(OptionsError::Metainfo)
    }
}

#[cfg(test)]
mod tests;
