//! What tasks leave for the engine's thread: a list, and a bell that rings when the first lies there.

use crate::lock;
use core::task::Waker;
use std::sync::Mutex;

/// The list and the bell.
pub(crate) struct Letters<T> {
    list: Mutex<Vec<T>>,
    bell: Mutex<Option<Waker>>,
}

impl<T> Default for Letters<T> {
    fn default() -> Self {
        Self { list: Mutex::default(), bell: Mutex::default() }
    }
}

impl<T> Letters<T> {
    /// Leaves one, and rings unless one lies there already and has rung.
    pub(crate) fn put(&self, letter: T) {
        let first = {
            let mut list = lock(&self.list);
            list.push(letter);
            list.len() == 1
        };
        if first && let Some(bell) = &*lock(&self.bell) {
            bell.wake_by_ref();
        }
    }

    /// Takes all.
    pub(crate) fn take(&self) -> Vec<T> {
        core::mem::take(&mut lock(&self.list))
    }

    /// Whom to wake from now on.
    pub(crate) fn set_bell(&self, waker: &Waker) {
        let mut bell = lock(&self.bell);
        if !bell.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *bell = Some(waker.clone());
        }
    }
}
