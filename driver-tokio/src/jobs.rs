//! Disk and digests for drivers on other event loops: the same pool, files and resume data as a session's. Not part of
//! the library's promise.

use crate::disk::{Disk, Purpose};
use crate::pool::{Answers, Pool};
use crate::resume::{self, Shelf};
use core::task::Waker;
use millstream_core::base::{Extent, JobId, Part, TorrentId};
use millstream_core::engine::{Outcome, Source, Work};
use rustix::io::Errno;
use std::io::{self, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Slices given to one `preadv`: what every system takes.
const SLICES_MAX: usize = 1024;

/// A pool of threads for jobs of the disk, digests and exchanges of keys. Dropped, it finishes what was begun and ends.
pub struct Jobs {
    disk: Arc<Disk>,
    pool: Arc<Pool>,
    answers: Arc<Answers>,
}

impl Jobs {
    /// Starts `threads` threads, or one per core if that is 0. `bell` is woken when the first of some answers lies there.
    pub fn start(threads: usize, open_files_max: usize, bell: &Waker) -> io::Result<Self> {
        let disk = Arc::new(Disk::new(open_files_max));
        let answers = Arc::new(Answers::default());
        answers.set_bell(bell);
        let (pool, _) = Pool::start(threads, Arc::clone(&disk), Arc::clone(&answers))?;
        Ok(Self { disk, pool, answers })
    }

    /// Begins a job that is the pool's; `keep` is where a `Save` goes. Others fail.
    pub fn begin(&self, job: JobId, work: Work, keep: Option<PathBuf>) {
        self.pool.job(job, work, keep);
    }

    /// Answers a job that no thread has begun; otherwise its answer comes as it is.
    pub fn cancel(&self, job: JobId) {
        self.pool.cancel(job);
    }

    /// Takes all answers.
    pub fn take(&self, into: &mut Vec<(JobId, Outcome)>) {
        self.answers.take(into);
    }

    /// Whether all of this lies in open files and in memory, so that reading it waits for nobody.
    pub fn is_warm(&self, torrent: TorrentId, parts: &[Part]) -> bool {
        cfg!(target_os = "linux") && self.disk.is_warm(torrent, parts)
    }

    /// Reads stored bytes here and now, those that `Outcome::Stored` was said of, into places that have just the room.
    pub fn read(&self, torrent: TorrentId, extent: Extent, places: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        let file = self.disk.file(torrent, extent.file, Purpose::Read)?;
        let (mut places, mut offset) = (places, extent.offset);
        while !places.is_empty() {
            let now = places.len().min(SLICES_MAX);
            match rustix::io::preadv(&file, places.get_mut(..now).unwrap_or_default(), offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    offset += read as u64;
                    IoSliceMut::advance_slices(&mut places, read);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Keeps bytes in a file that is replaced atomically, when a thread is free for it.
    pub fn keep(&self, path: PathBuf, data: Arc<[u8]>) {
        self.pool.run(Box::new(move || {
            if let Err(error) = resume::save(&path, &data) {
                tracing::warn!(%error, path = %path.display(), "it couldn't be kept");
            }
        }));
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// Where a session keeps what it remembers.
pub struct Kept(Shelf);

impl Kept {
    /// The given folder, or the user's own place for state; `None` if there is no such place.
    pub fn new(folder: Option<PathBuf>) -> Option<Self> {
        Shelf::new(folder).map(Self)
    }

    /// Where the resume data of a torrent in a folder lies.
    pub fn place(&self, source: &Source, folder: &Path) -> Option<PathBuf> {
        self.0.place(source, folder)
    }

    /// Where the DHT's table lies.
    pub fn dht_table(&self) -> PathBuf {
        self.0.dht_table()
    }

    /// What was kept there, if anything can be read.
    pub fn load(path: &Path) -> Option<Vec<u8>> {
        resume::load(path)
    }
}
