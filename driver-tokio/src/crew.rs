//! Threads that digest stored files piece by piece, outside of any session: for making torrents and for checking them.
//! It owns no rule about pieces; it is told what to read.

use crate::hash::Hasher;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread;

/// Bytes read at once: enough for the kernel to read ahead, little enough to stay in the second cache.
const READ_BYTES: usize = 256 << 10;

/// What one thread works with.
pub(crate) struct Bench {
    buffer: Vec<u8>,
    /// The file that was read last, which is most often the next one too.
    file: Option<(u32, File)>,
}

impl Bench {
    fn new() -> Self {
        Self { buffer: vec![0; READ_BYTES], file: None }
    }

    /// Digests bytes of a file; `open` opens it if it isn't the one read last. A file that ends too soon is an
    /// `UnexpectedEof`.
    pub(crate) fn feed(
        &mut self,
        hasher: &mut Hasher,
        (number, offset, length): (u32, u64, u64),
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<()> {
        let file = match self.file.take() {
            Some((held, file)) if held == number => file,
            _ => open()?,
        };
        let (_, file) = self.file.insert((number, file));
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let now = (end - at).min(READ_BYTES as u64) as usize;
            let part = self.buffer.get_mut(..now).unwrap_or_default();
            file.read_exact_at(part, at)?;
            hasher.update(part);
            at += now as u64;
        }
        Ok(())
    }
}

/// Calls `step` on `threads` threads (0: one per core) until it gives `None` or an error. `report` hears on the calling
/// thread what each step gave. The first error ends all, and so does `report` when it breaks: steps under way are
/// carried through, no other begins.
pub(crate) fn run<T: Send, E: Send + From<io::Error>>(
    threads: usize,
    step: impl Fn(&mut Bench) -> Option<Result<T, E>> + Sync,
    mut report: impl FnMut(T) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, E> {
    let threads = match threads {
        0 => thread::available_parallelism().map_or(2, usize::from),
        given => given,
    };
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        let (sender, results) = mpsc::sync_channel(threads * 4);
        for n in 0..threads {
            let (sender, step, failed) = (sender.clone(), &step, &failed);
            let work = move || {
                let mut bench = Bench::new();
                while !failed.load(Ordering::Relaxed) {
                    let Some(result) = step(&mut bench) else { break };
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    // Nobody listens any more after an error.
                    if sender.send(result).is_err() {
                        break;
                    }
                }
            };
            let spawned = thread::Builder::new().name(format!("millstream-{n}")).spawn_scoped(scope, work);
            if let (Err(error), 0) = (spawned, n) {
                return Err(error.into());
            }
        }
        drop(sender);
        for result in results {
            if report(result?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ops::ControlFlow;
    use core::sync::atomic::AtomicU32;

    #[test]
    fn every_step_is_reported_once_and_the_first_error_ends_all() {
        let next = AtomicU32::new(0);
        let take = |max: u32| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&n| n < max);
        let mut seen = Vec::new();
        let mut note = |n| {
            seen.push(n);
            ControlFlow::Continue(())
        };
        assert!(run(3, |_| take(100).map(Ok::<_, io::Error>), &mut note).unwrap().is_continue());
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        next.store(0, Ordering::Relaxed);
        let fail = |_: &mut Bench| {
            take(1_000_000).map(|n| if n == 9 { Err(io::ErrorKind::Other.into()) } else { Ok(n) })
        };
        assert!(run::<_, io::Error>(2, fail, |_| ControlFlow::Continue(())).is_err());
        assert!(next.load(Ordering::Relaxed) < 1_000_000, "the rest was left alone");
    }

    #[test]
    fn who_is_told_may_end_it() {
        let next = AtomicU32::new(0);
        let step = |_: &mut Bench| Some(Ok::<_, io::Error>(next.fetch_add(1, Ordering::Relaxed)));
        let mut told = 0;
        let ended = run(2, step, |_| {
            told += 1;
            if told == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(ended.unwrap().is_break());
        assert_eq!(told, 5, "no step is reported after the end");
    }
}
