//! The open files, bounded in number: the one unused for longest is closed first.

use super::Purpose;
use crate::lock;
use millstream_core::base::TorrentId;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};

/// A file of a torrent.
type Name = (TorrentId, u32);

/// The open files.
pub(super) struct OpenFiles {
    shelf: Mutex<Shelf>,
    files_max: usize,
}

#[derive(Default)]
struct Shelf {
    files: BTreeMap<Name, Entry>,
    /// Counts up with every use.
    clock: u64,
}

struct Entry {
    file: Arc<File>,
    purpose: Purpose,
    used: u64,
}

impl OpenFiles {
    pub(super) fn new(files_max: usize) -> Self {
        Self { shelf: Mutex::default(), files_max: files_max.max(1) }
    }

    /// The file, if it is open for this purpose.
    pub(super) fn peek(&self, name: Name, purpose: Purpose) -> Option<Arc<File>> {
        let mut shelf = lock(&self.shelf);
        shelf.clock += 1;
        let now = shelf.clock;
        let entry = shelf.files.get_mut(&name)?;
        if purpose == Purpose::Write && entry.purpose == Purpose::Read {
            return None;
        }
        entry.used = now;
        Some(Arc::clone(&entry.file))
    }

    /// The file, opened by `open` if need be. Whoever still uses a file that is closed here keeps it until done.
    pub(super) fn get(
        &self,
        name: Name,
        purpose: Purpose,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        if let Some(file) = self.peek(name, purpose) {
            return Ok(file);
        }
        // Not under the lock: opening may take its time, and others need their files.
        let file = Arc::new(open()?);
        let mut shelf = lock(&self.shelf);
        let used = shelf.clock;
        shelf.files.insert(name, Entry { file: Arc::clone(&file), purpose, used });
        while shelf.files.len() > self.files_max {
            let oldest = shelf.files.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| *name);
            oldest.and_then(|name| shelf.files.remove(&name));
        }
        Ok(file)
    }

    /// Closes all files of a torrent.
    pub(super) fn forget(&self, torrent: TorrentId) {
        let files = &mut lock(&self.shelf).files;
        let names: Vec<Name> =
            files.range((torrent, 0)..=(torrent, u32::MAX)).map(|(name, _)| *name).collect();
        for name in names {
            files.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_unused_for_longest_is_closed_first() {
        let files = OpenFiles::new(2);
        let name = |n| (TorrentId(1), n);
        let null = || File::open("/dev/null");
        for n in 0..2 {
            files.get(name(n), Purpose::Read, null).unwrap();
        }
        assert!(files.peek(name(0), Purpose::Read).is_some(), "and now it is used");
        files.get(name(2), Purpose::Read, null).unwrap();
        assert!(files.peek(name(1), Purpose::Read).is_none());
        assert!(files.peek(name(0), Purpose::Read).is_some());
        assert!(files.peek(name(0), Purpose::Write).is_none(), "open for reading isn't open for writing");
        files.forget(TorrentId(1));
        assert!(files.peek(name(0), Purpose::Read).is_none());
    }
}
