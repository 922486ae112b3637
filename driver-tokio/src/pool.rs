//! The pool of threads for disk and digests: a queue of work, and a list of answers that rings the engine's bell. The
//! queue's length is bounded by the engine, which limits its own jobs.

use crate::disk::Disk;
use crate::hash::{Run, digest_all};
use crate::lock;
use core::task::Waker;
use millstream_core::base::{JobId, TorrentId};
use millstream_core::engine::{HostError, HostErrorKind, Outcome, Work};
use millstream_core::mse::exchange;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Something for a thread of the pool.
enum Task {
    /// A job of the engine. A `Save` brings its path along.
    Job(JobId, Work, Option<PathBuf>),
    /// A piece of blocking work of the driver itself.
    Run(Box<dyn FnOnce() + Send>),
}

/// The pool. Its threads end when it is closed.
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    filled: Condvar,
    disk: Arc<Disk>,
    answers: Arc<Answers>,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    /// Files that a thread writes to. The kernel lets one write at a time into a file, and a second thread would
    /// spin until its turn: it does something else meanwhile.
    writing: Vec<FileName>,
    closed: bool,
}

/// A file of a torrent.
type FileName = (TorrentId, u32);

impl Queue {
    /// The first task that nobody stands in the way of.
    fn take(&mut self) -> Option<Task> {
        let is_free = |task: &Task| task.writes_to().is_none_or(|file| !self.writing.contains(&file));
        let at = self.tasks.iter().position(is_free)?;
        let task = self.tasks.remove(at)?;
        self.writing.extend(task.writes_to());
        Some(task)
    }
}

impl Task {
    /// The file that it writes to first.
    fn writes_to(&self) -> Option<FileName> {
        match self {
            Self::Job(_, Work::Write { torrent, extents, .. }, _) => {
                extents.first().map(|extent| (*torrent, extent.file))
            }
            Self::Job(..) | Self::Run(_) => None,
        }
    }
}

/// Outcomes on their way back to the engine.
#[derive(Default)]
pub(crate) struct Answers {
    list: Mutex<Vec<(JobId, Outcome)>>,
    bell: Mutex<Option<Waker>>,
}

impl Answers {
    /// Leaves an answer and rings, unless one lies there already and has rung.
    pub(crate) fn put(&self, job: JobId, outcome: Outcome) {
        let first = {
            let mut list = lock(&self.list);
            list.push((job, outcome));
            list.len() == 1
        };
        if first {
            self.ring();
        }
    }

    /// Wakes the engine's thread for another pass.
    pub(crate) fn ring(&self) {
        if let Some(bell) = &*lock(&self.bell) {
            bell.wake_by_ref();
        }
    }

    /// Takes all answers.
    pub(crate) fn take(&self, into: &mut Vec<(JobId, Outcome)>) {
        into.append(&mut lock(&self.list));
    }

    /// Whom to wake from now on.
    pub(crate) fn set_bell(&self, waker: &Waker) {
        let mut bell = lock(&self.bell);
        if !bell.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *bell = Some(waker.clone());
        }
    }
}

impl Pool {
    /// A pool of `threads` threads, or one per core if that is 0.
    pub(crate) fn start(
        threads: usize,
        disk: Arc<Disk>,
        answers: Arc<Answers>,
    ) -> io::Result<(Arc<Self>, Vec<JoinHandle<()>>)> {
        let threads = match threads {
            0 => thread::available_parallelism().map_or(2, usize::from),
            given => given,
        };
        let pool = Arc::new(Self { queue: Mutex::default(), filled: Condvar::new(), disk, answers });
        let spawn = |n| {
            let pool = Arc::clone(&pool);
            thread::Builder::new().name(format!("millstream-{n}")).spawn(move || pool.work())
        };
        let handles: io::Result<Vec<_>> = (0..threads).map(spawn).collect();
        if handles.is_err() {
            pool.close();
        }
        Ok((pool, handles?))
    }

    /// Gives a job to the next free thread.
    pub(crate) fn job(&self, job: JobId, work: Work, save_to: Option<PathBuf>) {
        self.push(Task::Job(job, work, save_to));
    }

    /// Gives a piece of the driver's own work to the next free thread.
    pub(crate) fn run(&self, work: Box<dyn FnOnce() + Send>) {
        self.push(Task::Run(work));
    }

    fn push(&self, task: Task) {
        lock(&self.queue).tasks.push_back(task);
        self.filled.notify_one();
    }

    /// Answers a job that no thread has begun; otherwise its answer comes as it is.
    pub(crate) fn cancel(&self, job: JobId) {
        let mut queue = lock(&self.queue);
        let at = queue.tasks.iter().position(|task| match task {
            Task::Job(waiting, ..) => *waiting == job,
            Task::Run(_) => false,
        });
        if let Some(at) = at {
            queue.tasks.remove(at);
            drop(queue);
            self.answers.put(job, Outcome::Cancelled);
        }
    }

    /// No more work: the threads finish what is queued and end.
    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
        self.filled.notify_all();
    }

    fn next(&self) -> Option<Task> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(task) = queue.take() {
                return Some(task);
            }
            if queue.closed && queue.tasks.is_empty() {
                return None;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            let written = task.writes_to();
            match task {
                Task::Job(job, work, save_to) => {
                    let outcome = self.perform(work, save_to);
                    self.answers.put(job, outcome);
                }
                Task::Run(work) => work(),
            }
            if let Some(file) = written {
                lock(&self.queue).writing.retain(|other| *other != file);
                self.filled.notify_one();
            }
        }
    }

    fn perform(&self, work: Work, save_to: Option<PathBuf>) -> Outcome {
        match work {
            Work::Files { torrent, op } => self.disk.files(torrent, op),
            Work::Read { torrent, parts, plain } => self.disk.read(torrent, &parts, plain),
            Work::Write { torrent, extents, data } => self.disk.write(torrent, &extents, &data),
            Work::Hash { data, pad, want } => {
                let mut digests = digest_all(&[Run { data: &data, pad, want }]);
                digests.pop().map_or_else(|| failed(HostErrorKind::Other, "no digest"), Outcome::Digests)
            }
            Work::HashStored { torrent, parts, pad, want } => {
                self.disk.hash_stored(torrent, &parts, pad, want)
            }
            Work::Save { torrent: _, data } => save(save_to, &data),
            Work::Exchange(job) => Outcome::Exchanged(Box::new(exchange(&job))),
            Work::Http { .. } | Work::Resolve { .. } | Work::MapPort { .. } => {
                failed(HostErrorKind::Other, "no work for the disk")
            }
        }
    }
}

fn save(to: Option<PathBuf>, data: &[u8]) -> Outcome {
    // Without a place, the application wants none kept: there is nothing to fail.
    let Some(path) = to else { return Outcome::Saved };
    match crate::resume::save(&path, data) {
        Ok(()) => Outcome::Saved,
        Err(error) => Outcome::Failed(host_error(&error, &path.display().to_string())),
    }
}

/// A failure that is told in our own words.
pub(crate) fn failed(kind: HostErrorKind, message: &str) -> Outcome {
    Outcome::Failed(HostError { kind, message: message.to_owned() })
}

/// What the operating system said about something.
#[expect(clippy::wildcard_enum_match_arm, reason = "the list of the standard library is open")]
pub(crate) fn host_error(error: &io::Error, about: &str) -> HostError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            HostErrorKind::Full
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => HostErrorKind::Permission,
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => HostErrorKind::NotFound,
        io::ErrorKind::TimedOut => HostErrorKind::TimedOut,
        _ => HostErrorKind::Other,
    };
    HostError { kind, message: format!("{about}: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use millstream_core::base::{Chunk, Extent, Want};
    use std::sync::mpsc;

    #[test]
    fn a_job_cancelled_before_it_began_is_answered_once() {
        let answers = Arc::new(Answers::default());
        let (pool, threads) = Pool::start(1, Arc::new(Disk::new(4)), Arc::clone(&answers)).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        pool.run(Box::new(move || assert!(wait.recv_timeout(Duration::from_secs(20)).is_ok())));
        let want = Want { sha1: true, leaves: false };
        let work = || Work::Hash { data: vec![Chunk::copy_from(b"abc")], pad: 0, want };
        pool.job(JobId(1), work(), None);
        pool.job(JobId(2), work(), None);
        pool.cancel(JobId(1));
        go.send(()).unwrap();
        pool.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut seen = Vec::new();
        answers.take(&mut seen);
        assert_eq!(seen[0], (JobId(1), Outcome::Cancelled));
        assert!(matches!(seen[1], (JobId(2), Outcome::Digests(_))), "{seen:?}");
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn two_writes_to_one_file_go_one_after_the_other_and_others_overtake() {
        let mut queue = Queue::default();
        let write = |job, file| {
            let extents = vec![Extent { file, offset: 0, length: 0 }];
            Task::Job(JobId(job), Work::Write { torrent: TorrentId(1), extents, data: Vec::new() }, None)
        };
        queue.tasks.extend([write(1, 0), write(2, 0), write(3, 1)]);
        let mut take = |done: &[FileName]| {
            queue.writing.retain(|file| !done.contains(file));
            queue.take().map(|task| match task {
                Task::Job(job, ..) => job.0,
                Task::Run(_) => 0,
            })
        };
        assert_eq!([take(&[]), take(&[]), take(&[])], [Some(1), Some(3), None]);
        assert_eq!(take(&[(TorrentId(1), 0)]), Some(2));
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures_and_names_the_file() {
        let error = host_error(&io::Error::from_raw_os_error(28), "/a/b");
        assert_eq!(error.kind, HostErrorKind::Full);
        assert!(error.message.starts_with("/a/b: "));
    }
}
