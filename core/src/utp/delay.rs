//! One-way delays: the least of the last minutes, and how far the last ones lie above it (BEP 29). Only differences mean
//! anything, since the two clocks were never set to each other; all arithmetic wraps.

use crate::base::Instant;

/// Minutes whose least delays are kept: long enough to outlive a queue, short enough to follow a change of path.
const MINUTES: usize = 13;

/// Samples of which the least is the delay now: one late packet isn't a queue.
const RECENT: usize = 4;

/// The delays of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    minima: [u32; MINUTES],
    filled: usize,
    at: usize,
    minute: u64,
    base: u32,
    recent: [u32; RECENT],
    recent_filled: usize,
    recent_at: usize,
}

/// Whether `a` is less than `b` on a wrapping scale.
fn less(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b).cast_signed()) < 0
}

impl Delays {
    /// Takes a sample; answers by how much the least delay fell, if it did.
    pub(super) fn add(&mut self, now: Instant, sample: u32) -> u32 {
        let minute = now.as_micros() / 60_000_000;
        let before = self.base;
        if self.filled == 0 {
            (self.minima, self.filled, self.minute, self.base) = ([sample; MINUTES], 1, minute, sample);
        } else if minute != self.minute {
            self.minute = minute;
            self.at = (self.at + 1) % MINUTES;
            self.filled = (self.filled + 1).min(MINUTES);
            self.set_minimum(sample);
        } else if self.minima.get(self.at).is_some_and(|&least| less(sample, least)) {
            self.set_minimum(sample);
        }
        if let Some(slot) = self.recent.get_mut(self.recent_at) {
            *slot = sample;
        }
        self.recent_at = (self.recent_at + 1) % RECENT;
        let first = self.recent_filled == 0;
        self.recent_filled = (self.recent_filled + 1).min(RECENT);
        if !first && less(self.base, before) { before.wrapping_sub(self.base) } else { 0 }
    }

    fn set_minimum(&mut self, sample: u32) {
        if let Some(slot) = self.minima.get_mut(self.at) {
            *slot = sample;
        }
        let kept = if self.filled == MINUTES { MINUTES } else { self.at + 1 };
        let minima = self.minima.iter().take(kept);
        self.base = minima.copied().reduce(|a, b| if less(b, a) { b } else { a }).unwrap_or(sample);
    }

    /// The other clock runs faster or slower than ours: what seemed least was `by` too little.
    pub(super) fn shift(&mut self, by: u32) {
        for slot in &mut self.minima {
            *slot = slot.wrapping_add(by);
        }
        self.base = self.base.wrapping_add(by);
    }

    /// How far the last samples lie above the least, in microseconds; `None` before the first.
    pub(super) fn queued(&self) -> Option<u32> {
        let recent = self.recent.iter().take(self.recent_filled);
        let above = recent.map(|sample| sample.wrapping_sub(self.base).cast_signed().max(0).cast_unsigned());
        above.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minute(n: u64) -> Instant {
        Instant::from_micros(n * 60_000_000)
    }

    fn fed(delays: &mut Delays, now: Instant, sample: u32) -> u32 {
        for _ in 0..RECENT {
            delays.add(now, sample);
        }
        delays.queued().unwrap()
    }

    #[test]
    fn the_least_delay_is_forgotten_after_thirteen_minutes() {
        let mut delays = Delays::default();
        assert_eq!(delays.queued(), None);
        assert_eq!(fed(&mut delays, minute(0), 1000), 0);
        for n in 1..13 {
            assert_eq!(fed(&mut delays, minute(n), 5000), 4000);
        }
        assert_eq!(fed(&mut delays, minute(13), 5000), 0);
    }

    #[test]
    fn one_late_packet_is_no_queue() {
        let mut delays = Delays::default();
        fed(&mut delays, minute(0), 1000);
        delays.add(minute(0), 900_000);
        assert_eq!(delays.queued(), Some(0));
    }

    #[test]
    fn clocks_may_wrap_between_two_samples() {
        let mut delays = Delays::default();
        fed(&mut delays, minute(0), u32::MAX - 10);
        assert_eq!(fed(&mut delays, minute(0), 989), 1000);
        assert_eq!(delays.add(minute(0), u32::MAX - 30), 20, "the least fell");
    }

    #[test]
    fn a_clock_that_drifts_doesnt_look_like_a_queue() {
        let (mut ours, mut theirs) = (Delays::default(), Delays::default());
        for step in 0..600 {
            let now = Instant::from_micros(u64::from(step) * 100_000);
            let drift = step * 200;
            let fell = theirs.add(now, 1_000_000 - drift);
            ours.shift(fell);
            ours.add(now, 1_000_000 + drift);
        }
        assert!(ours.queued().unwrap() < 2000, "{:?}", ours.queued());
    }
}
