//! The two spellings of a torrent's files: v1's flat list (BEP 3, BEP 47) and v2's tree (BEP 52). What they say, before
//! names are made safe and places are given.

use super::error::{FileFault, MetainfoError, MetainfoLimits};
use super::info::Attributes;
use crate::wire::bencode::{BencodeError, BencodeErrorKind, Dict, Entries, Items, Value};
use crate::wire::merkle::Hash;
use alloc::string::String;
use alloc::vec::Vec;

/// One file as the torrent spells it.
#[derive(Clone, Debug)]
pub(super) struct Listed<'a> {
    pub(super) path: Vec<&'a [u8]>,
    pub(super) length: u64,
    pub(super) attributes: Attributes,
    pub(super) symlink: Option<Vec<&'a [u8]>>,
    pub(super) pieces_root: Option<Hash>,
}

impl Listed<'_> {
    /// The path in the torrent's words, for an error.
    pub(super) fn shown(&self) -> String {
        shown(&self.path)
    }

    pub(super) fn fault(&self, fault: FileFault) -> MetainfoError {
        MetainfoError::File { file: self.shown(), fault }
    }
}

/// A path as an error shows it.
pub(super) fn shown<C: AsRef<[u8]>>(path: &[C]) -> String {
    let mut text = String::new();
    for component in path {
        if !text.is_empty() {
            text.push('/');
        }
        text.extend(String::from_utf8_lossy(component.as_ref()).chars().flat_map(char::escape_debug));
    }
    text
}

/// v1's files, and whether they are a list.
pub(super) fn v1<'a>(
    info: Dict<'_, 'a>,
    name: &'a [u8],
    limits: &MetainfoLimits,
) -> Result<(Vec<Listed<'a>>, bool), MetainfoError> {
    let (files, length) = (info.list_opt("files")?, info.get(b"length"));
    match (files, length) {
        (None, Some(_)) => {
            let mut file = v1_file(info)?;
            file.path = alloc::vec![name];
            // a torrent of pad alone would have no file at all
            file.attributes.pad = false;
            Ok((alloc::vec![file], false))
        }
        (Some(files), None) => {
            let mut listed = Vec::new();
            let mut budget = limits.paths_bytes_max;
            for item in files {
                if listed.len() >= limits.files_max {
                    return Err(MetainfoError::TooManyFiles(limits.files_max));
                }
                let file = v1_file(item.dict_of("files")?)?;
                charge(&mut budget, &file.path, limits)?;
                listed.push(file);
            }
            Ok((listed, true))
        }
        (Some(_), Some(_)) | (None, None) => Err(MetainfoError::LengthOrFiles),
    }
}

fn v1_file<'a>(file: Dict<'_, 'a>) -> Result<Listed<'a>, MetainfoError> {
    let (mut length, mut path, mut path_utf8, mut target) = (None, None, None, None);
    let mut attributes = Attributes::default();
    for (key, value) in file.iter() {
        match key {
            b"length" => length = Some(value.uint_of("length")?),
            b"path" => path = Some(components(value.list_of("path")?)?),
            b"path.utf-8" => path_utf8 = value.as_list().and_then(|list| components(list).ok()),
            b"attr" => attributes = attributes_of(value),
            b"symlink path" => target = Some(components(value.list_of("symlink path")?)?),
            _ => {}
        }
    }
    let is_utf8 =
        |path: &Vec<&[u8]>| !path.is_empty() && path.iter().all(|c| core::str::from_utf8(c).is_ok());
    let missing = |key| BencodeError::new(file.value().offset(), BencodeErrorKind::Missing(key));
    let length = match length {
        _ if attributes.symlink => 0,
        Some(length) => length,
        None => return Err(missing("length").into()),
    };
    Ok(Listed {
        // only some creators of the last decade spell a path twice; where they do, this one is right
        path: path_utf8.filter(is_utf8).or(path).unwrap_or_default(),
        length,
        attributes,
        symlink: target,
        pieces_root: None,
    })
}

fn components<'a>(list: Items<'_, 'a>) -> Result<Vec<&'a [u8]>, BencodeError> {
    list.map(|component| component.bytes_of("path")).collect()
}

fn attributes_of(value: Value<'_, '_>) -> Attributes {
    let has = |c| value.as_bytes().unwrap_or_default().contains(&c);
    Attributes { pad: has(b'p'), executable: has(b'x'), hidden: has(b'h'), symlink: has(b'l') }
}

/// What a component costs beside its own bytes: its string, the view of it, the allocator's share.
const COMPONENT_BYTES: usize = 48;

/// Pays for a path's memory.
fn charge(budget: &mut usize, path: &[&[u8]], limits: &MetainfoLimits) -> Result<(), MetainfoError> {
    let cost = path.iter().map(|component| component.len() + COMPONENT_BYTES).sum();
    *budget = budget.checked_sub(cost).ok_or(MetainfoError::PathsTooLong(limits.paths_bytes_max))?;
    Ok(())
}

/// v2's files in the tree's order, and whether they are more than one file at the root.
pub(super) fn v2<'a>(
    tree: Dict<'_, 'a>,
    limits: &MetainfoLimits,
) -> Result<(Vec<Listed<'a>>, bool), MetainfoError> {
    let mut listed: Vec<Listed<'a>> = Vec::new();
    let mut budget = limits.paths_bytes_max;
    let mut path: Vec<&'a [u8]> = Vec::new();
    let mut open: Vec<Entries<'_, 'a>> = alloc::vec![tree.iter()];
    while let Some(entries) = open.last_mut() {
        let Some((name, value)) = entries.next() else {
            open.pop();
            path.pop();
            continue;
        };
        let node = value.dict_of("file tree")?;
        path.push(name);
        let leaf = if name.is_empty() { None } else { node.get(b"") };
        match leaf {
            // only the root can come here: below it, a file is seen from its parent
            None if name.is_empty() => return Err(fault(&path, FileFault::FileAndFolder)),
            None => open.push(node.iter()),
            Some(properties) => {
                if node.iter().count() > 1 {
                    return Err(fault(&path, FileFault::FileAndFolder));
                }
                if listed.len() >= limits.files_max {
                    return Err(MetainfoError::TooManyFiles(limits.files_max));
                }
                charge(&mut budget, &path, limits)?;
                listed.push(v2_file(&path, properties.dict_of("file tree")?)?);
                path.pop();
            }
        }
    }
    let single = tree.iter().count() == 1 && listed.first().is_some_and(|file| file.path.len() == 1);
    Ok((listed, !single))
}

fn v2_file<'a>(path: &[&'a [u8]], file: Dict<'_, 'a>) -> Result<Listed<'a>, MetainfoError> {
    let attributes = file.get(b"attr").map(attributes_of).unwrap_or_default();
    let length = if attributes.symlink { 0 } else { file.uint("length")? };
    let root = file.bytes_opt("pieces root")?.map(Hash::try_from);
    let pieces_root = match root {
        _ if length == 0 => None,
        Some(Ok(root)) => Some(root),
        Some(Err(_)) | None => return Err(fault(path, FileFault::PiecesRoot)),
    };
    let symlink = file.list_opt("symlink path")?.map(components).transpose()?;
    // pad is v1's: a tree's files are aligned as they are
    let attributes = Attributes { pad: false, ..attributes };
    Ok(Listed { path: path.to_vec(), length, attributes, symlink, pieces_root })
}

fn fault(path: &[&[u8]], fault: FileFault) -> MetainfoError {
    MetainfoError::File { file: shown(path), fault }
}
