//! Files of torrents: which there are, which are open, and how they are read, written, digested and synced. Blocking:
//! for the pool's threads. It owns no rule about pieces; it is told extents.

mod beneath;
mod layout;
mod open;
mod stored;
mod transfer;

use crate::lock;
use crate::pool::{failed, host_error};
use millstream_core::base::{Digests, Pool as Buffers, TorrentId, Want};
use millstream_core::engine::{Allocation, FileSpec, FilesOp, HostErrorKind, Outcome};
use open::OpenFiles;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
#[cfg(test)]
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Bytes read from a file at once for digests, and of a read's buffers.
const READ_BYTES: usize = 256 << 10;

/// The files of all torrents of a session.
pub(crate) struct Disk {
    torrents: Mutex<BTreeMap<TorrentId, Arc<Folder>>>,
    open: OpenFiles,
    /// Buffers for reads up to one block.
    blocks: Buffers,
    /// Buffers for longer reads and for digests.
    runs: Buffers,
    /// What a run of zeros digests to: fresh sparse files are full of them.
    zeros: Mutex<Option<(ZeroRun, Digests)>>,
}

/// A run of zeros: its length, its pad, and which digests.
type ZeroRun = (u64, u32, Want);

/// A torrent's files.
pub(crate) struct Folder {
    torrent: TorrentId,
    /// Where it lies; shared with the engine.
    root: Arc<str>,
    files: Arc<[FileSpec]>,
    allocation: Allocation,
    /// Files written since the last sync, also since it was opened before.
    dirty: Arc<Mutex<BTreeSet<u32>>>,
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
}

impl Disk {
    /// No torrents yet; at most `open_files_max` files open at once.
    pub(crate) fn new(open_files_max: usize) -> Self {
        Self {
            torrents: Mutex::default(),
            open: OpenFiles::new(open_files_max),
            blocks: Buffers::new(16 << 10, 64),
            runs: Buffers::new(READ_BYTES, 8),
            zeros: Mutex::default(),
        }
    }

    /// Does something about a torrent's files as a whole.
    pub(crate) fn files(&self, torrent: TorrentId, op: FilesOp) -> Outcome {
        match op {
            FilesOp::Open { folder, files, allocation } => {
                let mut torrents = lock(&self.torrents);
                let dirty = torrents.get(&torrent).map(|before| Arc::clone(&before.dirty));
                let dirty = dirty.unwrap_or_default();
                let folder = Arc::new(Folder { torrent, root: folder, files, allocation, dirty });
                torrents.insert(torrent, Arc::clone(&folder));
                drop(torrents);
                layout::prepare(&folder).map_or_else(Outcome::Failed, |()| layout::look(&folder))
            }
            FilesOp::Sync => match self.folder(torrent) {
                Some(folder) => self.sync(&folder),
                None => unknown(),
            },
            FilesOp::Close => {
                lock(&self.torrents).remove(&torrent);
                self.open.forget(torrent);
                Outcome::Files(Vec::new())
            }
        }
    }

    fn sync(&self, folder: &Folder) -> Outcome {
        let dirty = core::mem::take(&mut *lock(&folder.dirty));
        let mut left = dirty.clone();
        let specs = dirty.iter().filter_map(|&file| folder.spec(file).ok());
        let parents: BTreeSet<&[String]> =
            specs.filter_map(|spec| spec.path.split_last()).map(|(_, folders)| folders).collect();
        for file in dirty {
            let synced = self.open_file(folder, file, Purpose::Write).and_then(|open| open.sync_data());
            if let Err(error) = synced {
                // What isn't on the medium yet stays to be synced.
                lock(&folder.dirty).append(&mut left);
                return Outcome::Failed(host_error(&error, &folder.name(file)));
            }
            left.remove(&file);
        }
        // A file of a folder that isn't synced may be nameless after a crash.
        for folders in parents {
            if let Err(error) = beneath::sync_folder(folder.root(), folders) {
                return Outcome::Failed(host_error(&error, &folder.root));
            }
        }
        layout::look(folder)
    }

    fn folder(&self, torrent: TorrentId) -> Option<Arc<Folder>> {
        lock(&self.torrents).get(&torrent).cloned()
    }

    /// A torrent's file, open. Its place in the list of open files is renewed.
    pub(crate) fn file(&self, torrent: TorrentId, file: u32, purpose: Purpose) -> io::Result<Arc<File>> {
        let folder = self.folder(torrent).ok_or(io::ErrorKind::NotFound)?;
        self.open_file(&folder, file, purpose)
    }

    fn open_file(&self, folder: &Folder, file: u32, purpose: Purpose) -> io::Result<Arc<File>> {
        self.open.get((folder.torrent, file), purpose, || layout::open(folder, file, purpose))
    }
}

impl Folder {
    fn root(&self) -> &Path {
        Path::new(&*self.root)
    }

    fn spec(&self, file: u32) -> io::Result<&FileSpec> {
        self.files.get(file as usize).ok_or_else(|| io::Error::other(format!("there is no file {file}")))
    }

    /// A file's name for messages.
    fn name(&self, file: u32) -> String {
        let mut path = self.root().to_owned();
        if let Ok(spec) = self.spec(file) {
            path.extend(&spec.path);
        }
        path.display().to_string()
    }
}

fn unknown() -> Outcome {
    failed(HostErrorKind::Other, "the torrent's files were never opened")
}

/// Opens a regular file beneath a folder for reading, without a torrent of a session.
pub(crate) fn open_beneath(root: &std::path::Path, path: &[String]) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    // Opening a pipe must not wait for who writes into it.
    let file = beneath::open(root, path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// A fresh folder for a test.
#[cfg(test)]
pub(crate) fn test_folder(name: &str) -> PathBuf {
    use core::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("millstream-{name}-{}-{n}", std::process::id()));
    // Left over from a run with the same process id, if it is there.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[cfg(test)]
mod tests;
