//! Counted slots: connections, half-open connections, handshakes. Whoever takes one owes it back.

/// So many of a kind at once, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    max: usize,
    used: usize,
}

impl Slots {
    /// At most `max` at once.
    pub const fn new(max: usize) -> Self {
        Self { max, used: 0 }
    }

    /// Takes one, if one is free.
    #[must_use]
    pub const fn take(&mut self) -> bool {
        let free = self.used < self.max;
        if free {
            self.used += 1;
        }
        free
    }

    /// Gives one back.
    pub const fn give_back(&mut self) {
        debug_assert!(self.used > 0, "a slot comes back that nobody took");
        self.used = self.used.saturating_sub(1);
    }

    /// Changes how many there may be. Those taken stay taken, also above the new bound.
    pub const fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// How many are free.
    pub const fn free(&self) -> usize {
        self.max.saturating_sub(self.used)
    }

    /// How many are taken.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Lends up to `n` free slots to another shard; answers how many. They count as taken here until `return_lease`.
    #[must_use]
    pub fn lease(&mut self, n: usize) -> usize {
        let n = n.min(self.free());
        self.used += n;
        n
    }

    /// Takes `n` lent slots back.
    pub fn return_lease(&mut self, n: usize) {
        debug_assert!(n <= self.used, "more slots come back than were lent");
        self.used = self.used.saturating_sub(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are() {
        let mut slots = Slots::new(2);
        assert!(slots.take() && slots.take() && !slots.take());
        slots.give_back();
        assert_eq!((slots.free(), slots.used()), (1, 1));
        slots.set_max(0);
        assert!(!slots.take());
        slots.give_back();
        assert_eq!((slots.free(), slots.used()), (0, 0));
    }

    #[test]
    fn lent_slots_count_as_taken() {
        let mut slots = Slots::new(10);
        assert!(slots.take());
        assert_eq!((slots.lease(20), slots.free()), (9, 0));
        slots.return_lease(9);
        assert_eq!(slots.free(), 9);
    }
}
