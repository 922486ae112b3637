//! How long a packet and its acknowledgement take, and how long to wait for them (BEP 29).

use core::time::Duration;

/// Estimates of a path's round trip.
#[derive(Clone, Debug)]
pub(super) struct Rtt {
    smooth_us: u64,
    variance_us: u64,
    measured: bool,
    min_us: u64,
    /// Waits in a row that were in vain.
    pub(super) timeouts: u32,
}

/// The wait before anything is measured.
const FIRST_US: u64 = 1_000_000;

/// No wait is longer.
const WAIT_MAX_US: u64 = 30_000_000;

impl Rtt {
    pub(super) fn new(timeout_min_ms: u32) -> Self {
        let min_us = u64::from(timeout_min_ms) * 1000;
        Self { smooth_us: 0, variance_us: 0, measured: false, min_us, timeouts: 0 }
    }

    /// A packet that was sent once took so long.
    pub(super) fn add(&mut self, sample: Duration) {
        let sample = u64::try_from(sample.as_micros()).unwrap_or(u64::MAX).min(WAIT_MAX_US);
        if !core::mem::replace(&mut self.measured, true) {
            (self.smooth_us, self.variance_us) = (sample, sample / 2);
            return;
        }
        let off = self.smooth_us.abs_diff(sample);
        self.variance_us = self.variance_us - self.variance_us / 4 + off / 4;
        self.smooth_us = self.smooth_us - self.smooth_us / 8 + sample / 8;
    }

    /// The usual round trip; zero before one was measured.
    pub(super) fn smooth(&self) -> Duration {
        Duration::from_micros(self.smooth_us)
    }

    /// How long to wait for an acknowledgement.
    pub(super) fn timeout(&self) -> Duration {
        let once = if self.measured { self.smooth_us + 4 * self.variance_us } else { FIRST_US };
        let wait = once.max(self.min_us) << self.timeouts.min(6);
        Duration::from_micros(wait.min(WAIT_MAX_US))
    }

    /// After which silence the last packet is sent again, in case it was lost: nothing behind it would tell.
    pub(super) fn probe(&self) -> Option<Duration> {
        let wait = 2 * self.smooth_us + 4 * self.variance_us + PROBE_SLACK_US;
        (self.measured && self.timeouts == 0).then(|| Duration::from_micros(wait).min(self.timeout()))
    }
}

/// What the other side may let an acknowledgement wait.
const PROBE_SLACK_US: u64 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bep_0029_the_wait_is_a_second_at_first_half_a_second_at_least_and_doubles() {
        let mut rtt = Rtt::new(500);
        assert_eq!(rtt.timeout(), Duration::from_secs(1));
        for _ in 0..100 {
            rtt.add(Duration::from_millis(20));
        }
        assert_eq!(rtt.timeout(), Duration::from_millis(500));
        rtt.timeouts = 2;
        assert_eq!(rtt.timeout(), Duration::from_secs(2));
        rtt.timeouts = 60;
        assert_eq!(rtt.timeout(), Duration::from_secs(30));
    }

    #[test]
    fn a_long_path_is_waited_for() {
        let mut rtt = Rtt::new(500);
        for n in 0..100 {
            rtt.add(Duration::from_millis(800 + n % 2 * 100));
        }
        assert!(rtt.timeout() > Duration::from_millis(950), "{:?}", rtt.timeout());
    }
}
