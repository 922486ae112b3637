//! Writing torrents: canonical bencode, by `bendy`. It is told lengths and digests; who hashes is of `create`.

use super::error::MetainfoError;
use super::info::{Attributes, Info, Version};
use crate::wire::merkle::Hash;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bendy::encoding::{Encoder, Error, SingleItemEncoder, SortedDictEncoder};

/// A file to describe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path from the torrent's folder; for a single-file torrent the name alone.
    pub path: Vec<String>,
    /// Bytes.
    pub length: u64,
    /// BEP 47; `pad` is ignored, pad files come by themselves.
    pub attributes: Attributes,
    /// A symbolic link's target from the torrent's folder.
    pub symlink: Option<Vec<String>>,
    /// v2: the root of its tree; `None` for an empty file.
    pub pieces_root: Option<Hash>,
    /// v2: its piece layer; empty if it is no longer than a piece.
    pub layer: Vec<Hash>,
}

/// What stands in the span, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The file with this index.
    File(usize),
    /// So many zeros.
    Pad(u64),
}

/// An info dictionary to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoBuilder {
    /// The torrent's name: of its folder, or of its one file.
    pub name: String,
    /// Bytes; for v2 a power of two of at least 16 KiB.
    pub piece_length: u32,
    /// Which halves to write.
    pub version: Version,
    /// The files, in order; v2 and hybrid need the order of `sort`.
    pub files: Vec<FileEntry>,
    /// Whether the files stand in a folder called `name`.
    pub multi_file: bool,
    /// Whether v1 aligns files by pad files (BEP 47); a hybrid always does.
    pub pad_files: bool,
    /// Peers from trackers alone (BEP 27).
    pub private: bool,
    /// Makes info-hashes differ between private trackers.
    pub source: Option<String>,
    /// v1: one digest a piece, over the span that `layout` describes.
    pub v1_digests: Vec<[u8; 20]>,
    /// Info-hashes of torrents that may hold the same files (BEP 38).
    pub similar: Vec<[u8; 20]>,
    /// Collections that it belongs to (BEP 38).
    pub collections: Vec<String>,
    /// Where a newer torrent may be found (BEP 39).
    pub update_url: Option<String>,
    /// The X.509 certificate, DER, of who signs newer torrents (BEP 39).
    pub originator: Option<Vec<u8>>,
}

impl InfoBuilder {
    /// Starts with no files. `multi_file` and `pad_files` are off.
    pub fn new(name: &str, piece_length: u32, version: Version) -> Self {
        Self {
            name: name.into(),
            piece_length,
            version,
            files: Vec::new(),
            multi_file: false,
            pad_files: false,
            private: false,
            source: None,
            v1_digests: Vec::new(),
            similar: Vec::new(),
            collections: Vec::new(),
            update_url: None,
            originator: None,
        }
    }

    /// Brings the files into the order of a v2 tree: component by component, by bytes (BEP 52).
    pub fn sort(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// What the v1 digests cover, in order. No pad follows the last file.
    pub fn layout(&self) -> Vec<Placement> {
        let unit = u64::from(self.piece_length.max(1));
        let aligned = self.multi_file && (self.pad_files || self.version != Version::V1);
        let mut at = 0_u64;
        let mut layout = Vec::with_capacity(self.files.len());
        for (index, file) in self.files.iter().enumerate() {
            let pad = (unit - at % unit) % unit;
            if aligned && file.length > 0 && pad > 0 {
                layout.push(Placement::Pad(pad));
                at = at.saturating_add(pad);
            }
            layout.push(Placement::File(index));
            at = at.saturating_add(file.length);
        }
        layout
    }

    /// The info dictionary's bytes. They are read back to prove that they say what a reader expects: an error says
    /// what is wrong with what was given.
    pub fn build(&self) -> Result<Vec<u8>, MetainfoError> {
        let mut encoder = Encoder::new();
        let written = encoder.emit_dict(|e| self.emit(e)).and_then(|()| encoder.get_output());
        // all keys but the files' names stand in order above
        let raw = written.map_err(|_| MetainfoError::Order)?;
        Info::parse(&raw)?;
        Ok(raw)
    }

    fn emit(&self, mut e: SortedDictEncoder<'_>) -> Result<(), Error> {
        let one = self.files.first().filter(|_| !self.multi_file);
        let (v1, v2) = (self.version.has_v1(), self.version.has_v2());
        let attributes = one.filter(|_| v1).map(|file| letters(file.attributes)).filter(|a| !a.is_empty());
        if let Some(attributes) = attributes {
            e.emit_pair(b"attr", attributes)?;
        }
        if !self.collections.is_empty() {
            e.emit_pair(b"collections", &self.collections)?;
        }
        if v2 {
            let files: Vec<&FileEntry> = self.files.iter().collect();
            e.emit_pair_with(b"file tree", |e| emit_tree(e, &files, 0))?;
        }
        match one {
            Some(file) if v1 => e.emit_pair(b"length", file.length)?,
            None if v1 => e.emit_pair_with(b"files", |e| self.emit_list(e))?,
            Some(_) | None => {}
        }
        if v2 {
            e.emit_pair(b"meta version", 2)?;
        }
        e.emit_pair(b"name", self.name.as_str())?;
        if let Some(originator) = &self.originator {
            e.emit_pair_with(b"originator", |e| e.emit_bytes(originator))?;
        }
        e.emit_pair(b"piece length", self.piece_length)?;
        if v1 {
            e.emit_pair_with(b"pieces", |e| e.emit_bytes(self.v1_digests.as_flattened()))?;
        }
        if self.private {
            e.emit_pair(b"private", 1)?;
        }
        if !self.similar.is_empty() {
            e.emit_pair_with(b"similar", |e| {
                e.emit_list(|e| self.similar.iter().try_for_each(|hash| e.emit_bytes(hash)))
            })?;
        }
        if let Some(source) = &self.source {
            e.emit_pair(b"source", source.as_str())?;
        }
        if let Some(target) = one.filter(|_| v1).and_then(|file| file.symlink.as_ref()) {
            e.emit_pair(b"symlink path", target)?;
        }
        match &self.update_url {
            Some(url) => e.emit_pair(b"update-url", url.as_str()),
            None => Ok(()),
        }
    }

    fn emit_list(&self, e: SingleItemEncoder<'_>) -> Result<(), Error> {
        e.emit_list(|e| {
            for placement in self.layout() {
                let pad = match placement {
                    Placement::File(index) => {
                        if let Some(file) = self.files.get(index) {
                            e.emit_dict(|e| emit_v1_file(e, file))?;
                        }
                        continue;
                    }
                    Placement::Pad(pad) => pad,
                };
                e.emit_dict(|mut e| {
                    e.emit_pair(b"attr", "p")?;
                    e.emit_pair(b"length", pad)?;
                    e.emit_pair(b"path", alloc::vec![".pad".to_string(), pad.to_string()])
                })?;
            }
            Ok(())
        })
    }
}

fn letters(attributes: Attributes) -> String {
    let Attributes { pad: _, executable, hidden, symlink } = attributes;
    [('h', hidden), ('l', symlink), ('x', executable)].iter().filter(|(_, on)| *on).map(|(c, _)| *c).collect()
}

fn emit_v1_file(mut e: SortedDictEncoder<'_>, file: &FileEntry) -> Result<(), Error> {
    let attributes = letters(file.attributes);
    if !attributes.is_empty() {
        e.emit_pair(b"attr", attributes)?;
    }
    e.emit_pair(b"length", file.length)?;
    e.emit_pair(b"path", &file.path)?;
    match &file.symlink {
        Some(target) => e.emit_pair(b"symlink path", target),
        None => Ok(()),
    }
}

/// Writes one folder: sorted files that share their first `depth` components.
fn emit_tree(e: SingleItemEncoder<'_>, files: &[&FileEntry], depth: usize) -> Result<(), Error> {
    e.emit_dict(|mut e| {
        for group in files.chunk_by(|a, b| a.path.get(depth) == b.path.get(depth)) {
            let Some((first, name)) = group.first().and_then(|f| Some((*f, f.path.get(depth)?))) else {
                continue;
            };
            if first.path.len() == depth + 1 {
                e.emit_pair_with(name.as_bytes(), |e| {
                    e.emit_dict(|mut e| e.emit_pair_with(b"", |e| e.emit_dict(|e| emit_v2_file(e, first))))
                })?;
            } else {
                e.emit_pair_with(name.as_bytes(), |e| emit_tree(e, group, depth + 1))?;
            }
        }
        Ok(())
    })
}

fn emit_v2_file(mut e: SortedDictEncoder<'_>, file: &FileEntry) -> Result<(), Error> {
    let attributes = letters(file.attributes);
    if !attributes.is_empty() {
        e.emit_pair(b"attr", attributes)?;
    }
    e.emit_pair(b"length", file.length)?;
    if let Some(root) = file.pieces_root.filter(|_| file.length > 0) {
        e.emit_pair_with(b"pieces root", |e| e.emit_bytes(&root))?;
    }
    match &file.symlink {
        Some(target) => e.emit_pair(b"symlink path", target),
        None => Ok(()),
    }
}

/// A torrent file to write around an info dictionary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetainfoBuilder {
    /// Trackers in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// DHT nodes: host and port (BEP 5).
    pub nodes: Vec<(String, u16)>,
    /// Free text.
    pub comment: Option<String>,
    /// Which program makes it.
    pub created_by: Option<String>,
    /// Seconds since 1970; without it the same input gives the same file.
    pub creation_date: Option<i64>,
}

impl MetainfoBuilder {
    /// A torrent file around an info dictionary that is built here too.
    pub fn build(&self, info: &InfoBuilder) -> Result<Vec<u8>, MetainfoError> {
        let layers = info.files.iter().filter_map(|file| Some((file.pieces_root?, file.layer.as_slice())));
        let torrent = self.compose(&info.build()?, layers.filter(|(_, layer)| !layer.is_empty()));
        super::Metainfo::parse(&torrent)?;
        Ok(torrent)
    }

    /// A torrent file around an info dictionary as peers gave it (BEP 9), byte for byte, with the piece layers that
    /// are known: root and hashes. The bytes must have been verified against the info-hash.
    pub fn compose<'a>(&self, info: &[u8], layers: impl Iterator<Item = (Hash, &'a [Hash])>) -> Vec<u8> {
        // keys stand in order: what sorts before `info`, `info` itself, what sorts after
        let before = dict(|e| self.emit_before(e));
        let after = dict(|e| self.emit_after(e, &layers.collect()));
        let inner = |dict: &[u8]| dict.get(1..dict.len().saturating_sub(1)).unwrap_or_default().to_vec();
        [b"d", inner(&before).as_slice(), b"4:info", info, &inner(&after), b"e"].concat()
    }

    fn emit_before(&self, mut e: SortedDictEncoder<'_>) -> Result<(), Error> {
        let first = self.trackers.iter().flatten().next();
        if let Some(first) = first {
            e.emit_pair(b"announce", first.as_str())?;
        }
        if self.trackers.iter().flatten().count() > 1 {
            e.emit_pair(b"announce-list", &self.trackers)?;
        }
        if let Some(comment) = &self.comment {
            e.emit_pair(b"comment", comment.as_str())?;
        }
        if let Some(created_by) = &self.created_by {
            e.emit_pair(b"created by", created_by.as_str())?;
        }
        match self.creation_date {
            Some(date) => e.emit_pair(b"creation date", date),
            None => Ok(()),
        }
    }

    fn emit_after(
        &self,
        mut e: SortedDictEncoder<'_>,
        layers: &BTreeMap<Hash, &[Hash]>,
    ) -> Result<(), Error> {
        if !self.nodes.is_empty() {
            e.emit_pair_with(b"nodes", |e| {
                e.emit_list(|e| {
                    self.nodes.iter().try_for_each(|(host, port)| {
                        e.emit_list(|e| e.emit_str(host).and_then(|()| e.emit_int(*port)))
                    })
                })
            })?;
        }
        if !layers.is_empty() {
            e.emit_pair_with(b"piece layers", |e| {
                e.emit_dict(|mut e| {
                    layers.iter().try_for_each(|(root, layer)| {
                        e.emit_pair_with(root, |e| e.emit_bytes(layer.as_flattened()))
                    })
                })
            })?;
        }
        match self.web_seeds.is_empty() {
            true => Ok(()),
            false => e.emit_pair(b"url-list", &self.web_seeds),
        }
    }
}

/// One dictionary's bytes.
fn dict(emit: impl FnOnce(SortedDictEncoder<'_>) -> Result<(), Error>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let written = encoder.emit_dict(emit).and_then(|()| encoder.get_output());
    written.expect("keys are written in order, and nesting is shallow")
}
