//! Wakers that say which link is ready, by putting its name into one list.

use crate::lock;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use millstream_core::base::ConnId;
use std::sync::{Arc, Mutex};
use std::task::Wake;

/// The links that were woken, and whom to tell.
#[derive(Default)]
pub(super) struct Woken {
    list: Mutex<Vec<ConnId>>,
    bell: Mutex<Option<Waker>>,
}

impl Woken {
    /// Whom to tell from now on.
    pub(super) fn set_bell(&self, waker: &Waker) {
        let mut bell = lock(&self.bell);
        if !bell.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *bell = Some(waker.clone());
        }
    }

    /// Takes all names.
    pub(super) fn take(&self, into: &mut Vec<ConnId>) {
        into.append(&mut lock(&self.list));
    }
}

/// One link's waker.
pub(super) struct LinkWake {
    conn: ConnId,
    woken: Arc<Woken>,
    listed: AtomicBool,
}

impl LinkWake {
    pub(super) fn new(conn: ConnId, woken: &Arc<Woken>) -> Arc<Self> {
        Arc::new(Self { conn, woken: Arc::clone(woken), listed: AtomicBool::new(false) })
    }

    /// From now on, being woken is news again.
    pub(super) fn rearm(&self) {
        self.listed.store(false, Ordering::Relaxed);
    }
}

impl Wake for LinkWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, Ordering::Relaxed) {
            return;
        }
        let first = {
            let mut list = lock(&self.woken.list);
            list.push(self.conn);
            list.len() == 1
        };
        if first && let Some(bell) = &*lock(&self.woken.bell) {
            bell.wake_by_ref();
        }
    }
}
