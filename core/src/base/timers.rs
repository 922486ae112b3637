//! One deadline per entity, ties broken by key. A deadline that moves later stays where it is and re-arms when it
//! fires: deadlines move later with nearly every packet, and fire rarely.

use super::Instant;
use alloc::collections::BTreeSet;

/// Deadlines of entities that keep, each, the moment they are armed for.
#[derive(Debug)]
pub struct Timers<K> {
    queue: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Self {
        Self { queue: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Sees to it that `key` fires at `deadline` at the latest. `armed` is kept by the entity and changed only here;
    /// set it to `None` when `pop_due` gave the key out.
    pub fn arm(&mut self, key: K, armed: &mut Option<Instant>, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        match *armed {
            Some(at) if at <= deadline => return,
            Some(at) => {
                self.queue.remove(&(at, key));
            }
            None => {}
        }
        self.queue.insert((deadline, key));
        *armed = Some(deadline);
    }

    /// Forgets `key`, for an entity that goes.
    pub fn disarm(&mut self, key: K, armed: &mut Option<Instant>) {
        if let Some(at) = armed.take() {
            self.queue.remove(&(at, key));
        }
    }

    /// The next key whose moment has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.remove(&(at, key));
        Some(key)
    }

    /// When the next one fires.
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_is_lazy_and_earlier_is_exact() {
        let at = Instant::from_micros;
        let mut timers = Timers::default();
        let mut armed = None;
        timers.arm(7u32, &mut armed, Some(at(10)));
        timers.arm(7, &mut armed, Some(at(50)));
        assert_eq!(timers.next(), Some(at(10)));
        timers.arm(7, &mut armed, Some(at(5)));
        assert_eq!((timers.next(), timers.pop_due(at(4))), (Some(at(5)), None));
        assert_eq!(timers.pop_due(at(5)), Some(7));
        armed = None;
        timers.arm(7, &mut armed, Some(at(9)));
        timers.disarm(7, &mut armed);
        assert_eq!((timers.next(), armed), (None, None));
    }
}
