//! The info dictionary, parsed: what a torrent's bytes are, where each file's are, and their digests.

use crate::base::{Extent, Geometry, Part, PieceIndex};
use crate::wire::merkle::{self, Hash};
use crate::wire::{InfoHash, InfoHashV2, percent};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// Which protocol versions a torrent speaks (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// SHA-1 pieces over one span (BEP 3).
    V1,
    /// SHA-256 trees, one a file (BEP 52).
    V2,
    /// Both, of the same bytes.
    Hybrid,
}

impl Version {
    /// Whether it has v1 digests.
    pub fn has_v1(self) -> bool {
        matches!(self, Self::V1 | Self::Hybrid)
    }

    /// Whether it has v2 trees.
    pub fn has_v2(self) -> bool {
        matches!(self, Self::V2 | Self::Hybrid)
    }
}

/// A file's attributes (BEP 47).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `p`: not a file at all but zeros between files; never stored.
    pub pad: bool,
    /// `x`
    pub executable: bool,
    /// `h`
    pub hidden: bool,
    /// `l`: a symbolic link.
    pub symlink: bool,
}

/// One entry of the torrent's list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its safe path under the torrent's folder; for a single-file torrent its name alone. Empty for a pad file.
    pub path: Vec<String>,
    /// The path as the torrent has it; empty if `path` is the same.
    pub raw_path: Vec<Vec<u8>>,
    /// Bytes.
    pub length: u64,
    /// Where it starts in the span that pieces cut (`Geometry`).
    pub offset: u64,
    /// BEP 47.
    pub attributes: Attributes,
    /// Where a symbolic link points, from the torrent's folder. `None` on a link: it would leave the folder, so it is
    /// not created.
    pub symlink: Option<Vec<String>>,
    /// The root of its hash tree, unless it is empty or the torrent is v1 (BEP 52).
    pub pieces_root: Option<Hash>,
    /// Where its piece layer is in `Info::layers`.
    pub(super) layer: Option<Range<u32>>,
}

impl File {
    /// The path's components as the torrent has them.
    pub fn raw_components(&self) -> impl Iterator<Item = &[u8]> {
        let safe = if self.raw_path.is_empty() { self.path.as_slice() } else { &[] };
        self.raw_path.iter().map(Vec::as_slice).chain(safe.iter().map(String::as_bytes))
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// An info dictionary (BEP 3, BEP 47, BEP 52). Cheap to look things up in; the raw bytes are kept for BEP 9.
#[derive(Clone, Debug)]
pub struct Info {
    pub(super) raw: Arc<[u8]>,
    pub(super) version: Version,
    pub(super) info_hash: InfoHash,
    pub(super) info_hash_v2: InfoHashV2,
    pub(super) name: String,
    pub(super) raw_name: Vec<u8>,
    pub(super) multi_file: bool,
    pub(super) private: bool,
    pub(super) source: Option<String>,
    pub(super) files: Vec<File>,
    pub(super) geometry: Geometry,
    pub(super) digests: Range<usize>,
    pub(super) layers: Vec<Hash>,
    pub(super) similar: Vec<Vec<u8>>,
    pub(super) collections: Vec<String>,
    pub(super) update_url: Option<String>,
    pub(super) originator: Option<Box<[u8]>>,
}

impl Info {
    /// The dictionary's own bytes: what BEP 9 serves, and what the info-hashes are of.
    pub fn raw(&self) -> &Arc<[u8]> {
        &self.raw
    }

    /// Which versions it has.
    pub fn version(&self) -> Version {
        self.version
    }

    /// SHA-1 of the raw bytes, if it has a v1 half.
    pub fn info_hash(&self) -> Option<InfoHash> {
        self.version.has_v1().then_some(self.info_hash)
    }

    /// SHA-256 of the raw bytes, if it has a v2 half.
    pub fn info_hash_v2(&self) -> Option<InfoHashV2> {
        self.version.has_v2().then_some(self.info_hash_v2)
    }

    /// Every 20-byte hash that the torrent answers to: v1, then v2 truncated (BEP 52).
    pub fn hashes(&self) -> impl Iterator<Item = InfoHash> + use<> {
        let v2 = self.info_hash_v2().map(InfoHashV2::truncated);
        self.info_hash().into_iter().chain(v2)
    }

    /// The safe name: of the torrent's folder, or of its one file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its files stand in a folder called `name`. A list of one file is still a list.
    pub fn is_multi_file(&self) -> bool {
        self.multi_file
    }

    /// Whether peers may come from trackers alone (BEP 27).
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Where private trackers say it comes from.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Its measures.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Real bytes: the files' lengths, without pad.
    pub fn length(&self) -> u64 {
        self.real_files().map(|(_, file)| file.length).sum()
    }

    /// All entries as the metainfo lists them, pad files too; `Extent::file` counts these.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The real files with their number in `files`; their place in this list is what BEP 53 (`so=`) counts.
    pub fn real_files(&self) -> impl Iterator<Item = (u32, &File)> {
        (0_u32..).zip(&self.files).filter(|(_, file)| !file.attributes.pad)
    }

    /// Where a file goes, from the download folder: the torrent's folder first, if it has one.
    pub fn storage_path<'a>(&'a self, file: &'a File) -> impl Iterator<Item = &'a str> {
        let folder = self.multi_file.then_some(self.name.as_str());
        folder.into_iter().chain(file.path.iter().map(String::as_str))
    }

    /// The v1 digest of each piece; empty without a v1 half.
    pub fn v1_digests(&self) -> &[[u8; 20]] {
        self.raw.get(self.digests.clone()).unwrap_or_default().as_chunks().0
    }

    /// A file's piece layer: one hash a piece. `None` if the file is no longer than a piece, or while the layer is
    /// missing.
    pub fn layer(&self, file: &File) -> Option<&[Hash]> {
        let at = file.layer.as_ref()?;
        self.layers.get(at.start as usize..at.end as usize)
    }

    /// The numbers of the files whose piece layer is needed and not there: peers have it (BEP 52, hash requests).
    pub fn missing_layers(&self) -> impl Iterator<Item = u32> {
        let long = u64::from(self.geometry.piece_length());
        self.real_files()
            .filter(move |(_, f)| f.pieces_root.is_some() && f.length > long && f.layer.is_none())
            .map(|(number, _)| number)
    }

    /// What a piece must hash to (BEP 52): its node, and the node's height over 16 KiB leaves. `None` without a v2
    /// half, for a piece of pad alone, and while the file's layer is missing.
    pub fn v2_piece(&self, piece: PieceIndex) -> Option<(Hash, u32)> {
        let start = self.geometry.start(piece);
        let file = self.files.get(self.solid_at(start)).filter(|f| f.offset <= start)?;
        let root = file.pieces_root?;
        let unit = self.geometry.piece_length();
        if file.length <= u64::from(unit) {
            return Some((root, merkle::tree_height(file.length)));
        }
        let nth = usize::try_from((start - file.offset) / u64::from(unit)).ok()?;
        Some((*self.layer(file)?.get(nth)?, merkle::piece_layer(unit)))
    }

    /// What the bytes `start .. start + length` of the span are: stretches of files and of pad, in order. Ends at the
    /// span's end. O(log files) to begin, and again for each file that it touches.
    pub fn extents(&self, start: u64, length: u32) -> Extents<'_> {
        let end = start.saturating_add(u64::from(length)).min(self.geometry.span());
        Extents { info: self, at: start, end }
    }

    /// Torrents that may hold the same files, raw (BEP 38).
    pub fn similar(&self) -> &[Vec<u8>] {
        &self.similar
    }

    /// Collections that it belongs to (BEP 38).
    pub fn collections(&self) -> &[String] {
        &self.collections
    }

    /// Where a newer torrent may be found (BEP 39).
    pub fn update_url(&self) -> Option<&str> {
        self.update_url.as_deref()
    }

    /// The X.509 certificate, DER, of who signs newer torrents (BEP 39).
    pub fn originator(&self) -> Option<&[u8]> {
        self.originator.as_deref()
    }

    /// The URL of one file at a web seed (BEP 19). For a single-file torrent a URL that ends in `/` gets the name
    /// appended; a list of files always gets name and path; every component is percent-encoded, as the torrent spells
    /// it.
    pub fn web_seed_url(&self, seed: &str, file: &File) -> String {
        let mut url = String::from(seed);
        if !self.multi_file {
            if url.ends_with('/') {
                percent::encode_into(&mut url, &self.raw_name);
            }
            return url;
        }
        if !url.ends_with('/') {
            url.push('/');
        }
        percent::encode_into(&mut url, &self.raw_name);
        for component in file.raw_components() {
            url.push('/');
            percent::encode_into(&mut url, component);
        }
        url
    }

    /// The first entry that ends behind `at`. Entries' ends never go down, and what is empty ends where it starts.
    fn solid_at(&self, at: u64) -> usize {
        self.files.partition_point(|file| file.end() <= at)
    }
}

/// Goes through `Info::extents`.
#[derive(Clone, Debug)]
pub struct Extents<'a> {
    info: &'a Info,
    at: u64,
    end: u64,
}

impl Iterator for Extents<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if self.at >= self.end {
            return None;
        }
        let left = self.end - self.at;
        let number = self.info.solid_at(self.at);
        let part = match self.info.files.get(number) {
            Some(file) if file.offset <= self.at => {
                let length = left.min(file.end() - self.at) as u32;
                let offset = self.at - file.offset;
                let extent = Extent { file: number as u32, offset, length };
                if file.attributes.pad { Part::Pad(length) } else { Part::Stored(extent) }
            }
            Some(file) => Part::Pad(left.min(file.offset - self.at) as u32),
            None => Part::Pad(left as u32),
        };
        self.at += u64::from(part.len());
        Some(part)
    }
}
