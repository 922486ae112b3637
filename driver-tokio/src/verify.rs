//! Checking stored files against a torrent, on all cores, without a session and without writing anything.

use crate::crew::{self, Bench};
use crate::damage::{self, DamagedFile};
use crate::disk;
use crate::hash::Hasher;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU32, Ordering};
use millstream_core::base::{Digests, Part, PieceIndex, Want};
use millstream_core::wire::merkle;
use millstream_core::wire::metainfo::Info;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What is stored of a torrent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Bytes of all real files.
    pub length: u64,
    /// Bytes in good pieces.
    pub verified: u64,
    /// How many pieces there are.
    pub pieces: u32,
    /// How many are good.
    pub pieces_verified: u32,
    /// What is not good, upwards, as ranges as long as they can be. A range of length 0 is a file of no length that isn't
    /// there.
    pub missing: Vec<Missing>,
    /// The files that this is about, in the torrent's order.
    pub files: Vec<DamagedFile>,
}

/// Bytes that are missing or not what they should be. A bad piece is bad as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first byte, counted over the real files one after the other, in the torrent's order, pad left out.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

impl Verified {
    /// Whether all is there.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Why files can't be checked.
#[derive(Debug, Error)]
pub enum VerifyFilesError {
    /// The folder isn't there or can't be read.
    #[error("the folder {path} can't be read: {error}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is there and can't be read.
    #[error("{path} can't be read: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The torrent lacks the hashes of a file, so that nothing can be said about it.
    #[error("the torrent lacks the piece layer of `{0}`: get a complete torrent file")]
    NoLayer(String),
    /// A thread couldn't be started.
    #[error("a thread couldn't be started: {0}")]
    Thread(#[from] io::Error),
    /// Who was told of the progress ended it.
    #[error("it was stopped")]
    Stopped,
}

/// Digests what `folder` holds of a torrent on `threads` threads (0: one per core). Blocks. Files that are missing or
/// too short are missing bytes, not errors. `progress` hears of bytes looked at and bytes in all, and ends the work when
/// it breaks: `VerifyFilesError::Stopped`.
pub fn verify_files(
    info: &Info,
    folder: &Path,
    threads: usize,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Verified, VerifyFilesError> {
    if let Some(file) = info.missing_layers().next().and_then(|n| info.files().get(n as usize)) {
        return Err(VerifyFilesError::NoLayer(file.path.join("/")));
    }
    std::fs::read_dir(folder).map_err(|error| VerifyFilesError::Folder { path: folder.to_owned(), error })?;
    let geometry = info.geometry();
    let mut good = vec![false; geometry.pieces() as usize];
    let (mut done, length) = (0, info.length());
    if progress(0, length).is_break() {
        return Err(VerifyFilesError::Stopped);
    }
    let next = AtomicU32::new(0);
    let step = |bench: &mut Bench| {
        let piece = geometry.piece(next.fetch_add(1, Ordering::Relaxed))?;
        Some(check(bench, info, folder, piece).map(|good| (piece, good)))
    };
    let ended = crew::run(threads, step, |(piece, is_good)| {
        if let Some(slot) = good.get_mut(piece.at()) {
            *slot = is_good;
        }
        done += real_bytes(info, piece);
        progress(done, length)
    })?;
    if ended.is_break() {
        return Err(VerifyFilesError::Stopped);
    }
    let mut sum = sum(info, &good);
    sum.missing.extend(missing_empty_files(info, folder)?);
    sum.missing.sort_by_key(|missing| (missing.offset, missing.length));
    sum.files = damage::damaged(info, folder, &good);
    Ok(sum)
}

/// Files of no length, which no piece covers, that aren't there.
fn missing_empty_files(info: &Info, folder: &Path) -> Result<Vec<Missing>, VerifyFilesError> {
    let mut missing = Vec::new();
    let mut offset = 0;
    for (_, file) in info.real_files() {
        if file.length == 0 && !file.attributes.symlink {
            let path: Vec<String> = info.storage_path(file).map(str::to_owned).collect();
            let found = disk::open_beneath(folder, &path).and_then(|file| file.metadata());
            match found {
                Ok(metadata) if metadata.is_file() => {}
                Ok(_) => missing.push(Missing { offset, length: 0 }),
                Err(error) if is_absence(&error) => missing.push(Missing { offset, length: 0 }),
                Err(error) => {
                    return Err(VerifyFilesError::Read { path: folder.join(path.join("/")), error });
                }
            }
        }
        offset += file.length;
    }
    Ok(missing)
}

/// What is good, as ranges.
fn sum(info: &Info, good: &[bool]) -> Verified {
    let mut sum = Verified { length: info.length(), pieces: good.len() as u32, ..Verified::default() };
    let mut at = 0;
    for (piece, &good) in info.geometry().iter().zip(good) {
        let bytes = real_bytes(info, piece);
        if good {
            sum.verified += bytes;
            sum.pieces_verified += 1;
        } else if let Some(last) = sum.missing.last_mut().filter(|last| last.offset + last.length == at) {
            last.length += bytes;
        } else if bytes > 0 {
            sum.missing.push(Missing { offset: at, length: bytes });
        }
        at += bytes;
    }
    sum
}

/// All that a piece's v1 digest covers.
fn parts(info: &Info, piece: PieceIndex) -> impl Iterator<Item = Part> + '_ {
    let geometry = info.geometry();
    info.extents(geometry.start(piece), geometry.padded_length(piece))
}

fn real_bytes(info: &Info, piece: PieceIndex) -> u64 {
    let bytes = |part| match part {
        Part::Stored(extent) => u64::from(extent.length),
        Part::Pad(_) => 0,
    };
    parts(info, piece).map(bytes).sum()
}

/// Whether a piece is good.
fn check(bench: &mut Bench, info: &Info, folder: &Path, piece: PieceIndex) -> Result<bool, VerifyFilesError> {
    let version = info.version();
    // A piece of pad alone has no node.
    let node = info.v2_piece(piece);
    let want = Want { sha1: version.has_v1(), leaves: node.is_some() };
    let mut hasher = Hasher::new(want);
    let mut pad = 0;
    for part in parts(info, piece) {
        match part {
            // Pad that is followed by a file: zeros like any other byte.
            Part::Stored(extent) => {
                zeros(&mut hasher, core::mem::take(&mut pad));
                let Some(file) = info.files().get(extent.file as usize) else { return Ok(false) };
                let path: Vec<String> = info.storage_path(file).map(str::to_owned).collect();
                let open = || disk::open_beneath(folder, &path);
                let range = (extent.file, extent.offset, u64::from(extent.length));
                match bench.feed(&mut hasher, range, open) {
                    Ok(()) => {}
                    Err(error) if is_absence(&error) => return Ok(false),
                    Err(error) => {
                        return Err(VerifyFilesError::Read { path: folder.join(path.join("/")), error });
                    }
                }
            }
            Part::Pad(length) => pad += length,
        }
    }
    let digests = hasher.finish(pad);
    Ok(judge(info, piece, &digests))
}

/// Both of a hybrid's digests must hold.
fn judge(info: &Info, piece: PieceIndex, digests: &Digests) -> bool {
    let v1 = digests.sha1.is_none_or(|sha1| info.v1_digests().get(piece.at()) == Some(&sha1));
    let v2 = info.v2_piece(piece);
    v1 && v2.is_none_or(|(node, height)| merkle::root_of_height(&digests.leaves, height, [0; 32]) == node)
}

fn zeros(hasher: &mut Hasher, mut length: u32) {
    let zeros = [0; 4096];
    while length > 0 {
        let now = length.min(zeros.len() as u32);
        hasher.update(zeros.get(..now as usize).unwrap_or(&zeros));
        length -= now;
    }
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CreateTorrent;
    use crate::damage::Damage;
    use crate::disk::test_folder;
    use millstream_core::wire::Metainfo;
    use millstream_core::wire::metainfo::Version;
    use std::fs;

    #[test]
    fn bad_missing_and_short_files_are_ranges() {
        for version in [Version::V1, Version::V2, Version::Hybrid] {
            let folder = test_folder("verify");
            let data = folder.join("data");
            fs::create_dir(&data).unwrap();
            fs::write(data.join("a"), vec![1; 50_000]).unwrap();
            fs::write(data.join("b"), vec![2; 40_000]).unwrap();
            let options = CreateTorrent { version, piece_length: Some(16_384), ..CreateTorrent::new(&data) };
            let info =
                Metainfo::parse(&options.create(|_, _| ControlFlow::Continue(())).unwrap()).unwrap().info;
            let look = || verify_files(&info, &folder, 2, |_, _| ControlFlow::Continue(())).unwrap();
            assert!(look().is_complete(), "{version:?}");
            assert_eq!(look().verified, 90_000);
            let mut bytes = fs::read(data.join("a")).unwrap();
            bytes[20_000] ^= 1;
            fs::write(data.join("a"), &bytes).unwrap();
            assert_eq!(look().missing, [Missing { offset: 16_384, length: 16_384 }], "{version:?}");
            fs::remove_file(data.join("b")).unwrap();
            let now = look();
            assert_eq!(now.verified + now.missing.iter().map(|m| m.length).sum::<u64>(), 90_000);
            assert_eq!(now.missing.len(), 2);
            let from = if version == Version::V1 { 49_152 } else { 50_000 };
            assert_eq!(now.missing[1], Missing { offset: from, length: 90_000 - from }, "{version:?}");
            let told = |file: &DamagedFile| (file.path.clone(), file.stored, file.missing, file.damage);
            let wrong = if version == Version::V1 { 16_384 + 848 } else { 16_384 };
            let a = ("data/a".to_owned(), Some(50_000), wrong, Damage::Wrong);
            let b = ("data/b".to_owned(), None, 40_000, Damage::Missing);
            assert_eq!(now.files.iter().map(told).collect::<Vec<_>>(), [a, b], "{version:?}");
            bytes[20_000] ^= 1;
            fs::write(data.join("a"), &bytes).unwrap();
            fs::write(data.join("b"), vec![2; 39_999]).unwrap();
            let now: Vec<_> = look().files.into_iter().map(|file| (file.path, file.damage)).collect();
            let short = ("data/b".to_owned(), Damage::Short);
            assert_eq!(now, [short], "{version:?}");
            fs::remove_file(data.join("b")).unwrap();
            let unsure = look().files.iter().any(|file| file.damage == Damage::Unsure);
            assert_eq!(unsure, version == Version::V1, "the piece that both share says nothing of the first");
        }
    }

    #[test]
    fn a_file_of_no_length_that_is_missing_is_a_range_of_no_length() {
        for version in [Version::V1, Version::V2, Version::Hybrid] {
            let folder = test_folder("verify-empty");
            let data = folder.join("data");
            fs::create_dir(&data).unwrap();
            fs::write(data.join("a"), vec![1; 20_000]).unwrap();
            fs::write(data.join("b"), []).unwrap();
            let options = CreateTorrent { version, ..CreateTorrent::new(&data) };
            let info =
                Metainfo::parse(&options.create(|_, _| ControlFlow::Continue(())).unwrap()).unwrap().info;
            let look = || verify_files(&info, &folder, 1, |_, _| ControlFlow::Continue(())).unwrap();
            assert!(look().is_complete(), "{version:?}");
            fs::remove_file(data.join("b")).unwrap();
            assert_eq!(look().missing, [Missing { offset: 20_000, length: 0 }], "{version:?}");
            let files = look().files;
            assert_eq!((files.len(), &*files[0].path, files[0].damage), (1, "data/b", Damage::Missing));
            assert!(!look().is_complete());
        }
    }

    #[test]
    fn a_link_out_of_the_folder_is_not_read() {
        let folder = test_folder("verify-link");
        let outside = test_folder("verify-outside");
        fs::write(outside.join("a"), vec![1; 50_000]).unwrap();
        let torrent = CreateTorrent::new(outside.join("a")).create(|_, _| ControlFlow::Continue(())).unwrap();
        std::os::unix::fs::symlink(outside.join("a"), folder.join("a")).unwrap();
        let info = Metainfo::parse(&torrent).unwrap().info;
        let looked = verify_files(&info, &folder, 1, |_, _| ControlFlow::Continue(()));
        assert!(matches!(looked, Err(VerifyFilesError::Read { path, .. }) if path.ends_with("a")));
    }
}
