//! From an info dictionary to `Info`: versions, places in the span, the two halves of a hybrid, short pieces, digests,
//! piece layers.

use super::error::{FileFault, MetainfoError, MetainfoLimits};
use super::info::{File, Info, Version};
use super::list::{self, Listed};
use crate::base::{Geometry, GeometryError};
use crate::wire::bencode::{BencodeLimits, Dict, Document, Value};
use crate::wire::merkle::{self, Hash};
use crate::wire::{InfoHash, InfoHashV2, path};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Scans bytes within a torrent's limits.
pub(super) fn document<'a>(bytes: &'a [u8], limits: &MetainfoLimits) -> Result<Document<'a>, MetainfoError> {
    if bytes.len() > limits.torrent_bytes_max {
        return Err(MetainfoError::TooLarge { bytes: bytes.len(), max: limits.torrent_bytes_max });
    }
    let limits = BencodeLimits { depth_max: limits.depth_max, nodes_max: limits.nodes_max };
    Ok(Document::decode_within(bytes, &limits)?)
}

impl Info {
    /// Reads an info dictionary alone, as BEP 9 brings it; piece layers are missing then.
    pub fn parse(raw: &[u8]) -> Result<Self, MetainfoError> {
        Self::parse_within(raw, &MetainfoLimits::default())
    }

    /// Reads an info dictionary alone, within other limits.
    pub fn parse_within(raw: &[u8], limits: &MetainfoLimits) -> Result<Self, MetainfoError> {
        Self::from_dict(document(raw, limits)?.dict()?, limits)
    }

    pub(super) fn from_dict(info: Dict<'_, '_>, limits: &MetainfoLimits) -> Result<Self, MetainfoError> {
        let version = version(info)?;
        let raw_name = name(info)?;
        let piece_length = info.uint("piece length")?;
        if piece_length == 0 || piece_length > 1 << 30 {
            return Err(GeometryError::PieceLength(piece_length).into());
        }
        if version.has_v2() && (!piece_length.is_power_of_two() || piece_length < 1 << 14) {
            return Err(MetainfoError::PieceLengthV2(piece_length));
        }
        let placed = place(info, version, raw_name, piece_length, limits)?;
        let short = short_pieces(&placed, piece_length);
        let geometry = Geometry::new(placed.span, piece_length, short)?;
        let geometry = if version.has_v1() { geometry.with_pad_asked() } else { geometry };
        if geometry.pieces() > limits.pieces_max {
            return Err(MetainfoError::TooManyPieces(geometry.pieces()));
        }
        let digests = if version.has_v1() { digests(info, &geometry)? } else { 0..0 };
        let text = |key: &[u8]| info.get(key).and_then(Value::as_bytes).map(lossy);
        let raw = info.value().raw();
        Ok(Self {
            raw: Arc::from(raw),
            version,
            info_hash: InfoHash(Sha1::digest(raw).into()),
            info_hash_v2: InfoHashV2(Sha256::digest(raw).into()),
            name: path::component(raw_name, limits.paths),
            raw_name: raw_name.to_vec(),
            multi_file: placed.multi_file,
            private: info.get(b"private").and_then(Value::as_int) == Some(1),
            source: text(b"source"),
            files: files(placed.files, limits),
            geometry,
            digests,
            layers: Vec::new(),
            similar: similar(info),
            collections: collections(info),
            update_url: text(b"update-url"),
            originator: info.get(b"originator").and_then(Value::as_bytes).map(Box::from),
        })
    }

    /// Adds what stands outside of the info dictionary of where else its files may be (BEP 38).
    pub(super) fn take_hints(&mut self, outer: Dict<'_, '_>) {
        self.similar.extend(similar(outer));
        self.collections.extend(collections(outer));
    }

    /// Takes the piece layers of a `.torrent` (root to hashes), each verified against the files that need it.
    pub(super) fn take_layers(&mut self, layers: &BTreeMap<&[u8], &[u8]>) -> Result<(), MetainfoError> {
        let piece_length = self.geometry.piece_length();
        let mut known: BTreeMap<Hash, Range<u32>> = BTreeMap::new();
        for file in &mut self.files {
            let width = merkle::piece_layer_width(file.length, piece_length);
            let Some(root) = file.pieces_root.filter(|_| width > 0) else { continue };
            let fault = |fault| MetainfoError::File { file: list::shown(&raw_path(file)), fault };
            let found = layers.get(root.as_slice()).ok_or_else(|| fault(FileFault::LayerMissing))?;
            let (hashes, rest) = found.as_chunks::<32>();
            if hashes.len() as u64 != width || !rest.is_empty() {
                return Err(fault(FileFault::LayerSize));
            }
            // files with the same bytes share root and layer
            if let Entry::Vacant(new) = known.entry(root) {
                if merkle::root_of_piece_layer(hashes, piece_length) != root {
                    return Err(fault(FileFault::LayerRoot));
                }
                let start = self.layers.len() as u32;
                self.layers.extend_from_slice(hashes);
                new.insert(start..self.layers.len() as u32);
            }
            file.layer = known.get(&root).cloned();
        }
        Ok(())
    }
}

/// Hints of each kind that are read. More are passed over.
const HINTS_MAX: usize = 1_000;

fn hints<'t, 'a>(of: Dict<'t, 'a>, key: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'t, 'a> {
    let list = of.get(key).and_then(Value::as_list);
    list.into_iter().flatten().filter_map(Value::as_bytes).take(HINTS_MAX)
}

fn similar(of: Dict<'_, '_>) -> Vec<Vec<u8>> {
    hints(of, b"similar").map(<[u8]>::to_vec).collect()
}

fn collections(of: Dict<'_, '_>) -> Vec<String> {
    hints(of, b"collections").map(lossy).collect()
}

fn raw_path(file: &File) -> Vec<&[u8]> {
    file.raw_components().collect()
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `meta version` is looked at first, so that a newer torrent is called newer, not broken (BEP 52).
fn version(info: Dict<'_, '_>) -> Result<Version, MetainfoError> {
    match info.int_opt("meta version")? {
        None => Ok(Version::V1),
        Some(2) if info.get(b"pieces").is_some() => Ok(Version::Hybrid),
        Some(2) => Ok(Version::V2),
        Some(other) => Err(MetainfoError::Version(other)),
    }
}

fn name<'a>(info: Dict<'_, 'a>) -> Result<&'a [u8], MetainfoError> {
    let utf8 = info.get(b"name.utf-8").and_then(Value::as_str).filter(|name| !name.is_empty());
    Ok(match utf8 {
        Some(name) => name.as_bytes(),
        None => info.bytes("name")?,
    })
}

/// Files with their places in the span.
struct Placed<'a> {
    files: Vec<(u64, Listed<'a>)>,
    multi_file: bool,
    span: u64,
}

fn place<'a>(
    info: Dict<'_, 'a>,
    version: Version,
    name: &'a [u8],
    piece_length: u64,
    limits: &MetainfoLimits,
) -> Result<Placed<'a>, MetainfoError> {
    let v1 = || {
        let (files, multi_file) = list::v1(info, name, limits)?;
        offsets(files, multi_file, 1)
    };
    let v2 = || {
        let (files, multi_file) = list::v2(info.dict("file tree")?, limits)?;
        offsets(files, multi_file, piece_length)
    };
    match version {
        Version::V1 => v1(),
        Version::V2 => v2(),
        Version::Hybrid => join(v1()?, v2()?, piece_length),
    }
}

/// Lays files out one after the other; each that isn't empty starts at a multiple of `alignment`.
fn offsets(files: Vec<Listed<'_>>, multi_file: bool, alignment: u64) -> Result<Placed<'_>, MetainfoError> {
    let mut span = 0_u64;
    let mut placed = Vec::with_capacity(files.len());
    for file in files {
        let start = if file.length == 0 { Some(span) } else { span.checked_next_multiple_of(alignment) };
        let end = start.and_then(|start| start.checked_add(file.length)).filter(|&end| end < 1 << 62);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(MetainfoError::Overflow(file.shown()));
        };
        span = end;
        placed.push((start, file));
    }
    Ok(Placed { files: placed, multi_file, span })
}

/// Checks that both halves of a hybrid describe the same bytes, and gives v1's list the roots of v2's tree. Creators
/// differ in whether pad follows the last file: both are fine.
fn join<'a>(mut v1: Placed<'a>, v2: Placed<'a>, piece_length: u64) -> Result<Placed<'a>, MetainfoError> {
    let real = v1.files.iter().filter(|(_, file)| !file.attributes.pad).count();
    if real != v2.files.len() {
        return Err(MetainfoError::HybridFiles { v1: real, v2: v2.files.len() });
    }
    let padded = v2.span.checked_next_multiple_of(piece_length);
    if v1.span < v2.span || Some(v1.span) > padded {
        return Err(MetainfoError::HybridSpan { v1: v1.span, v2: v2.span });
    }
    let mut tree = v2.files.into_iter();
    for (offset, file) in v1.files.iter_mut().filter(|(_, file)| !file.attributes.pad) {
        let Some((offset_v2, file_v2)) = tree.next() else { break };
        if v1.multi_file && file.path != file_v2.path {
            return Err(file_v2.fault(FileFault::HybridPath));
        }
        if file.length != file_v2.length {
            return Err(file_v2.fault(FileFault::HybridLength));
        }
        if file.length > 0 && *offset != offset_v2 {
            return Err(file_v2.fault(FileFault::HybridOffset));
        }
        file.pieces_root = file_v2.pieces_root;
    }
    Ok(v1)
}

/// The pieces whose tail is pad, with their real length. Pad is what no file covers, and pad files; runs of it are
/// joined. A piece of nothing but pad is not short: it is stored nowhere, and hashed.
fn short_pieces(placed: &Placed<'_>, piece_length: u64) -> Vec<(u32, u32)> {
    let mut short = Vec::new();
    let mut run = |start: u64, end: u64| {
        let (piece, real) = (start / piece_length, start % piece_length);
        let piece_end = (piece + 1).saturating_mul(piece_length).min(placed.span);
        if start < end && real > 0 && end >= piece_end {
            // numbers beyond u32 belong to torrents that `Geometry` is about to refuse
            short.push((piece as u32, real as u32));
        }
    };
    let mut covered = 0;
    for (offset, file) in &placed.files {
        if file.attributes.pad || file.length == 0 {
            continue;
        }
        run(covered, *offset);
        covered = offset + file.length;
    }
    run(covered, placed.span);
    short
}

/// Where v1's digests are in the info dictionary.
fn digests(info: Dict<'_, '_>, geometry: &Geometry) -> Result<Range<usize>, MetainfoError> {
    let value = info.need("pieces")?;
    let digests = value.bytes_of("pieces")?;
    if digests.len() as u64 != 20 * u64::from(geometry.pieces()) {
        return Err(MetainfoError::Pieces { bytes: digests.len(), pieces: geometry.pieces() });
    }
    let end = value.offset() - info.value().offset() + value.raw().len();
    Ok(end - digests.len()..end)
}

/// Makes names safe and different.
fn files(placed: Vec<(u64, Listed<'_>)>, limits: &MetainfoLimits) -> Vec<File> {
    let rules = limits.paths;
    let mut files: Vec<File> = placed
        .iter()
        .map(|(offset, listed)| File {
            path: safe_path(listed, limits),
            raw_path: Vec::new(),
            length: listed.length,
            offset: *offset,
            attributes: listed.attributes,
            symlink: listed
                .symlink
                .as_ref()
                .filter(|_| listed.attributes.symlink)
                .and_then(|target| path::link_target(target.iter().copied(), rules)),
            pieces_root: listed.pieces_root,
            layer: None,
        })
        .collect();
    path::make_unique(files.iter_mut().map(|f| (!f.attributes.pad).then_some(&mut f.path)), rules);
    for (file, (_, listed)) in files.iter_mut().zip(&placed) {
        let same = file.path.iter().map(String::as_bytes).eq(listed.path.iter().copied());
        if !same {
            file.raw_path = listed.path.iter().map(|component| (*component).to_owned()).collect();
        }
    }
    files
}

fn safe_path(listed: &Listed<'_>, limits: &MetainfoLimits) -> Vec<String> {
    if listed.attributes.pad {
        return Vec::new();
    }
    let mut path: Vec<String> = listed.path.iter().map(|raw| path::component(raw, limits.paths)).collect();
    if path.is_empty() {
        path.push(path::component(b"", limits.paths));
    }
    path
}
