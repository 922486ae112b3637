//! Which outstanding job is for what, and how many bytes the driver holds for it. Who cancels and why is not its matter.

use crate::base::JobId;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Clone, Debug)]
struct Entry<K> {
    key: K,
    bytes: u64,
    cancelled: bool,
}

/// The jobs that the driver owes an answer. A job's bytes stay counted until it is answered, also after `cancel`, since
/// until then the driver may hold them.
#[derive(Clone, Debug)]
pub struct Ledger<K> {
    jobs: BTreeMap<JobId, Entry<K>>,
    bytes: u64,
    jobs_max: usize,
}

/// A job that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Answered<K> {
    /// What it was for.
    pub key: K,
    /// The bytes that are free again.
    pub bytes: u64,
    /// Whether its result is no longer wanted.
    pub cancelled: bool,
}

impl<K> Ledger<K> {
    /// A ledger of at most `jobs_max` jobs; more wait with whoever would start them.
    pub fn new(jobs_max: usize) -> Self {
        Self { jobs: BTreeMap::new(), bytes: 0, jobs_max }
    }

    /// Whether one more job may start.
    pub fn has_room(&self) -> bool {
        self.jobs.len() < self.jobs_max
    }

    /// A job went to the driver with `bytes` of memory. An id is used once.
    pub fn on_started(&mut self, job: JobId, key: K, bytes: u64) {
        debug_assert!(self.has_room(), "ask has_room first");
        let before = self.jobs.insert(job, Entry { key, bytes, cancelled: false });
        debug_assert!(before.is_none(), "job ids are never reused");
        self.bytes += bytes;
    }

    /// The driver answered. `None` for an id that is not outstanding.
    pub fn on_answered(&mut self, job: JobId) -> Option<Answered<K>> {
        let Entry { key, bytes, cancelled } = self.jobs.remove(&job)?;
        self.bytes -= bytes;
        Some(Answered { key, bytes, cancelled })
    }

    /// The result of a job is no longer wanted; answers whether that is news. Its bytes stay counted.
    pub fn cancel(&mut self, job: JobId) -> bool {
        self.jobs.get_mut(&job).is_some_and(|entry| !core::mem::replace(&mut entry.cancelled, true))
    }

    /// Cancels every job whose key is meant; gives those that weren't cancelled before, in order of their ids.
    pub fn cancel_where(&mut self, mut meant: impl FnMut(&K) -> bool) -> Vec<JobId> {
        let news = self.jobs.iter_mut().filter(|(_, entry)| !entry.cancelled && meant(&entry.key));
        news.map(|(&job, entry)| {
            entry.cancelled = true;
            job
        })
        .collect()
    }

    /// What an outstanding job is for.
    pub fn get(&self, job: JobId) -> Option<&K> {
        self.jobs.get(&job).map(|entry| &entry.key)
    }

    /// All outstanding jobs in order of their ids, cancelled ones too.
    pub fn iter(&self) -> impl Iterator<Item = (JobId, &K)> {
        self.jobs.iter().map(|(&job, entry)| (job, &entry.key))
    }

    /// Bytes with the driver.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many jobs are outstanding.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether none is outstanding.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_counted_after_cancel_until_the_answer() {
        let mut ledger = Ledger::new(2);
        ledger.on_started(JobId(1), "hash", 100);
        ledger.on_started(JobId(2), "write", 50);
        assert!(!ledger.has_room());
        assert!(ledger.cancel(JobId(1)) && !ledger.cancel(JobId(1)) && !ledger.cancel(JobId(9)));
        assert_eq!((ledger.bytes(), ledger.has_room()), (150, false));
        let answered = ledger.on_answered(JobId(1)).unwrap();
        assert_eq!(answered, Answered { key: "hash", bytes: 100, cancelled: true });
        assert_eq!((ledger.bytes(), ledger.has_room()), (50, true));
        assert!(ledger.on_answered(JobId(1)).is_none(), "one answer a job");
    }

    #[test]
    fn cancelling_by_key_names_each_job_once() {
        let mut ledger = Ledger::new(9);
        for n in [3, 1, 2] {
            ledger.on_started(JobId(n), n % 2, 1);
        }
        assert_eq!(ledger.cancel_where(|&odd| odd == 1), [JobId(1), JobId(3)]);
        assert!(ledger.cancel_where(|&odd| odd == 1).is_empty());
        assert_eq!((ledger.len(), ledger.get(JobId(2))), (3, Some(&0)));
    }
}
