//! What a check of stored files found, file by file. It reads no byte of them; which pieces are good is told to it.

use crate::disk;
use millstream_core::wire::metainfo::Info;
use std::path::Path;

/// A file that isn't known to be whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its place among the torrent's real files.
    pub index: u32,
    /// Where it belongs beneath the folder, its components joined by `/`.
    pub path: String,
    /// How long it should be, in bytes.
    pub length: u64,
    /// How long it is, in bytes; `None` if it isn't there.
    pub stored: Option<u64>,
    /// Bytes of it that lie in bad pieces.
    pub missing: u64,
    /// What is the matter with it.
    pub damage: Damage,
}

/// What is the matter with a stored file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It isn't there.
    Missing,
    /// It ends too soon.
    Short,
    /// It is there in its length, and its bytes aren't what they should be.
    Wrong,
    /// Nothing may be wrong with it: all its bad pieces are shared with a file that is missing or short.
    Unsure,
}

/// The files that have bytes in bad pieces, and those of no length that aren't there, in the torrent's order.
pub(crate) fn damaged(info: &Info, folder: &Path, good: &[bool]) -> Vec<DamagedFile> {
    let pieces = |offset, length| info.geometry().touched(offset, length);
    let bad = |&piece: &u32| !good.get(piece as usize).copied().unwrap_or(true);
    let mut found = Vec::new();
    // Bad pieces that have a reason: a file that lacks bytes.
    let mut explained = vec![false; good.len()];
    for (index, (_, file)) in (0..).zip(info.real_files()) {
        if file.attributes.symlink || (file.length > 0 && !pieces(file.offset, file.length).any(|n| bad(&n)))
        {
            continue;
        }
        let path: Vec<String> = info.storage_path(file).map(str::to_owned).collect();
        let stored = disk::open_beneath(folder, &path).and_then(|file| file.metadata());
        let stored = stored.ok().map(|metadata| metadata.len());
        let damage = match stored {
            None => Damage::Missing,
            Some(_) if file.length == 0 => continue,
            Some(stored) if stored < file.length => Damage::Short,
            Some(_) => Damage::Wrong,
        };
        let unit = u64::from(info.geometry().piece_length());
        let mut missing = 0;
        for piece in pieces(file.offset, file.length).filter(bad) {
            let start = u64::from(piece) * unit;
            let end = (start + unit).min(file.offset + file.length);
            missing += end - start.max(file.offset);
            if let Some(slot) = explained.get_mut(piece as usize).filter(|_| damage != Damage::Wrong) {
                *slot = true;
            }
        }
        let touched = pieces(file.offset, file.length);
        let (path, length) = (path.join("/"), file.length);
        found.push((DamagedFile { index, path, length, stored, missing, damage }, touched));
    }
    found
        .into_iter()
        .map(|(mut file, pieces)| {
            let reason = |n: u32| explained.get(n as usize).copied().unwrap_or(false);
            if file.damage == Damage::Wrong && pieces.filter(bad).all(reason) {
                file.damage = Damage::Unsure;
            }
            file
        })
        .collect()
}
