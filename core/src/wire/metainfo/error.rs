//! What is wrong with a torrent, where, and how large a torrent may be.

use crate::base::GeometryError;
use crate::wire::bencode::BencodeError;
use crate::wire::path::PathRules;
use alloc::string::String;
use thiserror::Error;

/// How much a torrent may cost us, and how its names are made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetainfoLimits {
    /// A larger file, or info dictionary, is refused unread. Default 64 MiB.
    pub torrent_bytes_max: usize,
    /// Files, pad files included; each costs some 200 bytes of memory. Default 1,000,000.
    pub files_max: usize,
    /// Pieces; each costs 20 or 32 bytes, and its bits with every peer. Default 4,194,304.
    pub pieces_max: u32,
    /// Bencoded values; each costs 16 bytes while parsing. Default 8,388,608.
    pub nodes_max: u32,
    /// Levels of bencode; folders in a v2 file tree cost one each. Default 64.
    pub depth_max: u32,
    /// Memory for all paths: a small v2 tree can spell enormous ones. Default 256 MiB.
    pub paths_bytes_max: usize,
    /// URLs of each kind that are kept; the rest is ignored. Default 1,000.
    pub urls_max: usize,
    /// Which names can't be created where this runs.
    pub paths: PathRules,
}

impl Default for MetainfoLimits {
    fn default() -> Self {
        Self {
            torrent_bytes_max: 64 << 20,
            files_max: 1_000_000,
            pieces_max: 1 << 22,
            nodes_max: 1 << 23,
            depth_max: 64,
            paths_bytes_max: 256 << 20,
            urls_max: 1_000,
            paths: PathRules::default(),
        }
    }
}

/// Why some bytes are no torrent. Who made them is to blame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetainfoError {
    /// Malformed bencode, a missing key, or a value of the wrong type.
    #[error(transparent)]
    Bencode(#[from] BencodeError),
    /// Larger than `torrent_bytes_max`.
    #[error("{bytes} bytes are more than the {max} that a torrent may have")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A `meta version` that nobody here knows (BEP 52).
    #[error("`meta version` is {0}: the torrent is of a version that is not supported")]
    Version(i64),
    /// More than `files_max`.
    #[error("there are more than {0} files")]
    TooManyFiles(usize),
    /// More than `pieces_max`.
    #[error("there are {0} pieces: too many")]
    TooManyPieces(u32),
    /// Paths longer than `paths_bytes_max` in sum.
    #[error("the files' paths are longer than {0} bytes together")]
    PathsTooLong(usize),
    /// `length` and `files` together, or neither (BEP 3).
    #[error("`info` needs either `length` or `files`")]
    LengthOrFiles,
    /// Lengths whose sum overflows.
    #[error("the lengths of the files overflow at file {0}")]
    Overflow(String),
    /// A piece length or size that makes no sense.
    #[error("`piece length`: {0}")]
    Geometry(#[from] GeometryError),
    /// v2 pieces are powers of two, of 16 KiB at least (BEP 52).
    #[error("`piece length` is {0}: not a power of two of at least 16384")]
    PieceLengthV2(u64),
    /// `pieces` is not 20 bytes for each piece.
    #[error("`pieces` has {bytes} bytes where {pieces} pieces need 20 each")]
    Pieces {
        /// Its size.
        bytes: usize,
        /// How many pieces there are.
        pieces: u32,
    },
    /// A file whose entry contradicts itself or others.
    #[error("file `{file}`: {fault}")]
    File {
        /// Its path, in the torrent's own words.
        file: String,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// Files to write that do not stand in a tree's order, or two of the same path.
    #[error("the files to write are not sorted by path, or two have the same")]
    Order,
    /// The v1 and v2 halves of a hybrid have different numbers of files (BEP 52).
    #[error("the hybrid's v1 half has {v1} files, its v2 half {v2}")]
    HybridFiles {
        /// Real files of the v1 half.
        v1: usize,
        /// Files of the v2 half.
        v2: usize,
    },
    /// The v1 and v2 halves of a hybrid span different numbers of bytes (BEP 52).
    #[error("the hybrid's v1 half spans {v1} bytes, its v2 half {v2}")]
    HybridSpan {
        /// Bytes of the v1 half, pad included.
        v1: u64,
        /// Bytes of the v2 half, pad included.
        v2: u64,
    },
}

/// What can be wrong with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FileFault {
    /// Its entry has siblings: it would be a file and a folder (BEP 52).
    #[error("it is both a file and a folder in `file tree`")]
    FileAndFolder,
    /// A file that is not empty needs a root of 32 bytes (BEP 52).
    #[error("`pieces root` is missing or not 32 bytes long")]
    PiecesRoot,
    /// The hybrid's v1 half has another file in its place.
    #[error("the hybrid's v1 half has another file in its place")]
    HybridPath,
    /// The hybrid's v1 half has another length.
    #[error("the hybrid's v1 half gives another length")]
    HybridLength,
    /// The hybrid's v1 half does not start it at the same piece.
    #[error("the hybrid's v1 half puts it at another place")]
    HybridOffset,
    /// A file longer than a piece needs a piece layer.
    #[error("its piece layer is missing")]
    LayerMissing,
    /// A piece layer that is not 32 bytes for each piece of the file.
    #[error("its piece layer has the wrong size")]
    LayerSize,
    /// A piece layer whose root is not the file's.
    #[error("its piece layer does not match its `pieces root`")]
    LayerRoot,
}
