//! What a torrent shall be made of, checked and put in order.

use crate::base::BLOCK;
use crate::wire::metainfo::{Attributes, FileEntry, InfoBuilder, MetainfoBuilder, MetainfoError, Version};
use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

/// More pieces than this are not hashed: their digests alone would take over 200 MB, and no client would load the file.
pub(super) const PIECES_MAX: u32 = 1 << 22;

/// The longest default piece, in bytes.
const PIECE_LENGTH_MAX: u32 = 16 << 20;

/// The default piece length for so many bytes: a power of two from 16 KiB to 16 MiB, so that there are about 1,500
/// pieces (1,061 to 2,121, where those bounds allow).
pub fn default_piece_length(length: u64) -> u32 {
    let mut piece_length = BLOCK;
    while piece_length < PIECE_LENGTH_MAX && length / u64::from(piece_length) > 2_121 {
        piece_length *= 2;
    }
    piece_length
}

/// A file to put into a torrent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateFile {
    /// Its path from the torrent's folder, one string a component.
    pub path: Vec<String>,
    /// Bytes; 0 for a symbolic link.
    pub length: u64,
    /// Executable, hidden (BEP 47).
    pub attributes: Attributes,
    /// A symbolic link's target from the torrent's folder (BEP 47).
    pub symlink: Option<Vec<String>>,
}

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// The torrent's name: of its folder, or of its one file.
    pub name: String,
    /// The files, in any order; the torrent has them in BEP 52's.
    pub files: Vec<CreateFile>,
    /// Whether the files stand in a folder called `name`; if not there is one file, and its path is the name.
    pub multi_file: bool,
    /// Bytes: a power of two of at least 16 KiB for v2 and hybrid; `None` for the default by size.
    pub piece_length: Option<u32>,
    /// v1, v2 or hybrid.
    pub version: Version,
    /// Peers from trackers alone (BEP 27).
    pub private: bool,
    /// Makes info-hashes differ between private trackers.
    pub source: Option<String>,
    /// Trackers in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Free text.
    pub comment: Option<String>,
    /// Seconds since 1970. By default none, so that the same input gives the same torrent.
    pub creation_date: Option<i64>,
    /// Info-hashes of torrents that may hold the same files (BEP 38).
    pub similar: Vec<[u8; 20]>,
    /// Collections that it belongs to (BEP 38).
    pub collections: Vec<String>,
    /// Where a newer torrent may be found (BEP 39).
    pub update_url: Option<String>,
    /// The X.509 certificate, DER, of who signs newer torrents (BEP 39).
    pub originator: Option<Vec<u8>>,
}

/// What is wrong with what was asked for; the user is to blame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// There is no file with bytes.
    #[error("there are no bytes to make a torrent of")]
    Empty,
    /// A name or a component of a path that no file system or no reader would take.
    #[error("{0:?} can't be a name in a torrent")]
    Name(String),
    /// Two files with one path, or a file where another's folder is.
    #[error("{0:?} is there twice")]
    Twice(Vec<String>),
    /// A torrent without a folder has exactly one file.
    #[error("{0} files without a folder")]
    NoFolder(usize),
    /// A symbolic link has no bytes of its own.
    #[error("the symbolic link {0:?} has a length")]
    Link(Vec<String>),
    /// A piece length that the version doesn't allow.
    #[error("pieces can't be {0} bytes long")]
    PieceLength(u32),
    /// Too many pieces: choose a longer piece length.
    #[error("{pieces} pieces are more than {max}: choose a longer piece length")]
    Pieces {
        /// Pieces that it would have.
        pieces: u64,
        /// Pieces allowed.
        max: u32,
    },
    /// More bytes than 2^63.
    #[error("the files are too long together")]
    TooLarge,
    /// The info dictionary can't be written like that.
    #[error(transparent)]
    Metainfo(MetainfoError),
}

impl CreateOptions {
    /// A hybrid of these files in a folder, all else default.
    pub fn new(name: &str, files: Vec<CreateFile>) -> Self {
        Self {
            name: name.into(),
            files,
            multi_file: true,
            piece_length: None,
            version: Version::Hybrid,
            private: false,
            source: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            creation_date: None,
            similar: Vec::new(),
            collections: Vec::new(),
            update_url: None,
            originator: None,
        }
    }

    /// The same checked, in order, ready for digests.
    pub(super) fn builders(self, created_by: &str) -> Result<(InfoBuilder, MetainfoBuilder), OptionsError> {
        check_name(&self.name)?;
        let total = self.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.length));
        let total = total.filter(|&total| total < 1 << 63).ok_or(OptionsError::TooLarge)?;
        if total == 0 {
            return Err(OptionsError::Empty);
        }
        let piece_length = self.piece_length.unwrap_or_else(|| default_piece_length(total));
        let fits = piece_length.is_power_of_two() && piece_length >= BLOCK || !self.version.has_v2();
        if !fits || piece_length == 0 || piece_length > 1 << 30 {
            return Err(OptionsError::PieceLength(piece_length));
        }
        let mut info = InfoBuilder::new(&self.name, piece_length, self.version);
        info.multi_file = self.multi_file;
        info.private = self.private;
        info.source = self.source;
        (info.similar, info.collections) = (self.similar, self.collections);
        (info.update_url, info.originator) = (self.update_url, self.originator);
        info.files = entries(self.files, (!self.multi_file).then_some(self.name))?;
        info.sort();
        check_paths(&info.files)?;
        let outer = MetainfoBuilder {
            trackers: self.trackers,
            web_seeds: self.web_seeds,
            nodes: Vec::new(),
            comment: self.comment,
            created_by: Some(created_by.into()),
            creation_date: self.creation_date,
        };
        Ok((info, outer))
    }
}

/// Files as the builder takes them; `alone` is the name of a file without a folder.
fn entries(files: Vec<CreateFile>, alone: Option<String>) -> Result<Vec<FileEntry>, OptionsError> {
    if alone.is_some() && files.len() != 1 {
        return Err(OptionsError::NoFolder(files.len()));
    }
    let entry = |file: CreateFile| {
        let CreateFile { path, length, mut attributes, symlink } = file;
        let path = alone.clone().map_or(path, |name| Vec::from([name]));
        attributes.symlink = symlink.is_some();
        attributes.pad = false;
        match symlink {
            Some(_) if length > 0 => Err(OptionsError::Link(path)),
            symlink => Ok(FileEntry { path, length, attributes, symlink, ..FileEntry::default() }),
        }
    };
    files.into_iter().map(entry).collect()
}

fn check_name(name: &str) -> Result<(), OptionsError> {
    let bad = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
    if bad { Err(OptionsError::Name(name.into())) } else { Ok(()) }
}

/// Checks sorted files: good names, no path twice, none inside another.
fn check_paths(files: &[FileEntry]) -> Result<(), OptionsError> {
    for file in files {
        if file.path.is_empty() {
            return Err(OptionsError::Name(String::new()));
        }
        file.path.iter().try_for_each(|component| check_name(component))?;
    }
    // in this order whatever lies inside a path follows it at once
    match files.windows(2).find_map(|pair| {
        let [first, second] = pair else { return None };
        second.path.starts_with(&first.path).then_some(first)
    }) {
        Some(first) => Err(OptionsError::Twice(first.path.clone())),
        None => Ok(()),
    }
}
