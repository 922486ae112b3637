//! How a session's threads call the loop's thread: one byte on a socket when the first news lies ready, and no other
//! until it was heard. Nothing here knows of Python.

use super::log::Ring;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

/// Locks; no lock is held over a call that can panic halfway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bell, and the list of calls that can go on.
pub(crate) struct Bell {
    rung: AtomicBool,
    near: UnixStream,
    far: UnixStream,
    ready: Mutex<Vec<u64>>,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        Ok(Self { rung: AtomicBool::new(false), near, far, ready: Mutex::default() })
    }

    /// What becomes readable when it rings.
    pub(crate) fn fd(&self) -> RawFd {
        self.near.as_raw_fd()
    }

    /// It was heard: what comes from now on rings again. Call it before looking at what lies ready.
    pub(crate) fn hear(&self) {
        let mut heard = [0; 64];
        // Nothing is there if the listener looks unasked.
        let _ = (&self.near).read(&mut heard);
        self.rung.store(false, Ordering::SeqCst);
    }

    /// The calls that can go on.
    pub(crate) fn take_ready(&self) -> Vec<u64> {
        core::mem::take(&mut lock(&self.ready))
    }
}

impl Ring for Bell {
    fn ring(&self) {
        // Unless it has rung and wasn't heard yet.
        if !self.rung.swap(true, Ordering::SeqCst) {
            // One byte always fits: the one before was read. If the listener has gone, nobody is to be called.
            let _ = (&self.far).write(&[1]);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// Wakes one call.
pub(crate) struct CallBell {
    pub(crate) token: u64,
    pub(crate) bell: Arc<Bell>,
}

impl Wake for CallBell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        lock(&self.bell.ready).push(self.token);
        self.bell.ring();
    }
}
