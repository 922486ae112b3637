//! Disk, digests and the router for drivers on other event loops, and which ways out their sessions have: the same pool,
//! files, resume data and rules as a session's here. Not part of the library's promise.

mod ports;
mod reach;

pub use reach::Reach;

use crate::disk::{Disk, Purpose};
use crate::error::StartError;
use crate::filter::{self, FilterFileError};
use crate::pool::{Answers, Pool};
use crate::resume::{self, Shelf};
use crate::router::{PortWish, Router};
use crate::{SessionConfig, lock, run};
use core::fmt::Display;
use core::net::Ipv4Addr;
use core::task::Waker;
use core::time::Duration;
use millstream_core::base::{Extent, JobId, Part, TorrentId};
use millstream_core::engine::{Config, Outcome, Source, Work};
use millstream_core::wire::ip_filter::IpFilter;
use ports::Ports;
use rustix::io::Errno;
use std::io::{self, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Slices given to one `preadv`: what every system takes.
const SLICES_MAX: usize = 1024;

/// A pool of threads for jobs of the disk, digests and exchanges of keys, and one thread that asks the router. Dropped, it
/// finishes what was begun and ends; the router isn't waited for.
pub struct Jobs {
    disk: Arc<Disk>,
    pool: Arc<Pool>,
    answers: Arc<Answers>,
    ports: Ports,
    /// How much waits to be kept.
    keeping: Arc<(Mutex<usize>, Condvar)>,
    threads: usize,
}

impl Jobs {
    /// Starts `threads` threads, or one per core if that is 0. `router` is where the router is, if the default route doesn't
    /// say. `bell` is woken when the first of some answers lies there. Raises the process's limit of open files, as a session
    /// does.
    pub fn start(
        threads: usize,
        open_files_max: usize,
        router: Option<Ipv4Addr>,
        bell: &Waker,
    ) -> io::Result<Self> {
        run::raise_files_limit();
        let disk = Arc::new(Disk::new(open_files_max));
        let answers = Arc::new(Answers::default());
        answers.set_bell(bell);
        let (pool, handles) = Pool::start(threads, Arc::clone(&disk), Arc::clone(&answers))?;
        let ports = Ports::new(Router::new(router), Arc::clone(&answers));
        Ok(Self { disk, pool, answers, ports, keeping: Arc::default(), threads: handles.len() })
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Begins a job that is the pool's or the router's; `keep` is where a `Save` goes. Others fail.
    pub fn begin(&self, job: JobId, work: Work, keep: Option<PathBuf>) {
        match work {
            Work::MapPort { local: _, protocol, internal, external, lease } => {
                let internal = internal.port();
                self.ports.map(job, PortWish { protocol, internal, external, lease });
            }
            Work::Read { .. }
            | Work::Write { .. }
            | Work::Hash { .. }
            | Work::HashStored { .. }
            | Work::Files { .. }
            | Work::Save { .. }
            | Work::Exchange(_)
            | Work::Http { .. }
            | Work::Resolve { .. } => self.pool.job(job, work, keep),
        }
    }

    /// Answers a job that no thread has begun, or that asks the router; otherwise its answer comes as it is.
    pub fn cancel(&self, job: JobId) {
        self.ports.cancel(job);
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
        let keeping = Arc::clone(&self.keeping);
        *lock(&keeping.0) += 1;
        self.pool.run(Box::new(move || {
            if let Err(error) = resume::save(&path, &data) {
                tracing::warn!(%error, path = %path.display(), "it couldn't be kept");
            }
            *lock(&keeping.0) -= 1;
            keeping.1.notify_all();
        }));
    }

    /// Waits until all is kept that was to be, or so long. Answers whether it is.
    pub fn wait_kept(&self, timeout: Duration) -> bool {
        let count = lock(&self.keeping.0);
        let waited = self.keeping.1.wait_timeout_while(count, timeout, |count| *count > 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// The engine's settings for a session whose jobs these are, with the ways out that it has, and its chance.
pub fn engine_settings(
    config: &SessionConfig,
    reach: &Reach,
    threads: usize,
) -> Result<(Config, [u8; 32]), StartError> {
    let seed = run::draw_seed(config)?;
    let mut config = config.clone();
    run::fit_engine(&mut config, threads);
    reach.close_direct_ways(&mut config);
    Ok((run::table::engine_config(&config), seed))
}

/// A filter list from its file, and what is to be warned of.
pub fn read_filter(path: &Path) -> Result<(IpFilter, Option<String>), FilterFileError> {
    let read = filter::read(path)?;
    let warning = filter::warning(path, &read);
    Ok((read.filter, warning))
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

    /// The DHT's table, if there is one.
    pub fn load_dht_table(&self) -> io::Result<Option<Vec<u8>>> {
        resume::read(&self.dht_table())
    }

    /// Sets the DHT's table aside, which is of no use for this reason. What the user should know.
    pub fn set_dht_table_aside(&self, why: &dyn Display) -> String {
        run::table::set_aside(&self.dht_table(), why)
    }

    /// The resume data that was kept there. What can't be read is set aside with a warning.
    pub fn load(path: &Path) -> Option<Vec<u8>> {
        resume::load(path)
    }
}
