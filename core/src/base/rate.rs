//! Rates in whole numbers: a token bucket that limits and a meter that observes. Neither has a tick.

use super::Instant;
use core::time::Duration;

/// A token bucket, in bytes. Tokens come in continuously; a debt is allowed, so that whole blocks can be taken.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Option<u64>,
    burst: u64,
    /// Millionths of a byte, so that slow rates lose nothing to rounding.
    tokens: i128,
    at: Instant,
}

const SCALE: i128 = 1_000_000;

impl Bucket {
    /// A bucket that lets `rate` bytes through a second, `None` for no limit, and `burst` bytes at once.
    pub fn new(rate: Option<u64>, burst: u64) -> Self {
        Self { rate, burst, tokens: i128::from(burst) * SCALE, at: Instant::ZERO }
    }

    /// Changes the rate and the burst from now on.
    pub fn set(&mut self, now: Instant, rate: Option<u64>, burst: u64) {
        self.refill(now);
        (self.rate, self.burst) = (rate, burst);
        self.tokens = self.tokens.min(i128::from(burst) * SCALE);
    }

    /// The rate in bytes a second; `None` is no limit.
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// How many bytes may pass at once now; `u64::MAX` without a limit.
    pub fn available(&mut self, now: Instant) -> u64 {
        if self.rate.is_none() {
            return u64::MAX;
        }
        self.refill(now);
        u64::try_from(self.tokens / SCALE).unwrap_or(0)
    }

    /// Pays for `n` bytes, into debt if need be.
    pub fn take(&mut self, now: Instant, n: u64) {
        if self.rate.is_some() {
            self.refill(now);
            self.tokens -= i128::from(n) * SCALE;
        }
    }

    /// Gives back `n` bytes that were paid for and not used.
    pub fn give_back(&mut self, n: u64) {
        self.tokens = (self.tokens + i128::from(n) * SCALE).min(i128::from(self.burst) * SCALE);
    }

    /// When `n` bytes (at most the burst) will be available; `None` if never.
    pub fn ready_at(&mut self, now: Instant, n: u64) -> Option<Instant> {
        let Some(rate) = self.rate else { return Some(now) };
        self.refill(now);
        let missing = i128::from(n.min(self.burst)) * SCALE - self.tokens;
        if missing <= 0 {
            return Some(now);
        }
        let rate = i128::from(rate);
        (rate > 0).then(|| {
            now + Duration::from_micros(u64::try_from((missing + rate - 1) / rate).unwrap_or(u64::MAX))
        })
    }

    fn refill(&mut self, now: Instant) {
        let us = now.saturating_since(self.at).as_micros() as i128;
        self.at = self.at.max(now);
        let full = i128::from(self.burst) * SCALE;
        self.tokens = self.tokens.saturating_add(us * i128::from(self.rate.unwrap_or(0))).min(full);
    }
}

/// Observes a rate: a moving average over about two seconds that decays when read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    total: u64,
    step: u64,
    in_step: u64,
    /// Bytes a second, times 16.
    smooth: u64,
}

const STEP_US: u64 = 250_000;

impl Meter {
    /// Counts `n` bytes now.
    pub fn add(&mut self, now: Instant, n: u64) {
        self.roll(now);
        self.total += n;
        self.in_step += n;
    }

    /// Bytes a second, at `now`.
    pub fn rate(&self, now: Instant) -> u64 {
        let mut at = *self;
        at.roll(now);
        at.smooth / 16
    }

    /// All bytes ever counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn roll(&mut self, now: Instant) {
        let step = now.as_micros() / STEP_US;
        if step <= self.step {
            return;
        }
        let missed = step - self.step;
        let fresh = core::mem::take(&mut self.in_step) * (1_000_000 / STEP_US) * 16;
        self.step = step;
        if missed > 200 {
            self.smooth = 0;
            return;
        }
        self.smooth = self.smooth - self.smooth / 8 + fresh / 8;
        for _ in 1..missed {
            self.smooth -= self.smooth.div_ceil(8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Instant {
        Instant::from_micros(n * 1000)
    }

    #[test]
    fn a_bucket_lets_its_rate_through_and_no_more() {
        let mut bucket = Bucket::new(Some(1000), 100);
        let mut sent = 0;
        for t in 0..10_000 {
            if bucket.available(ms(t)) >= 50 {
                bucket.take(ms(t), 50);
                sent += 50;
            }
        }
        assert!((9_950..=10_100).contains(&sent), "{sent}");
    }

    #[test]
    fn ready_at_is_exact_and_debt_is_paid_first() {
        let mut bucket = Bucket::new(Some(1000), 100);
        bucket.take(ms(0), 150);
        assert_eq!(bucket.ready_at(ms(0), 100), Some(ms(150)));
        assert_eq!((bucket.available(ms(149)), bucket.available(ms(150))), (99, 100));
        bucket.set(ms(150), Some(0), 100);
        bucket.take(ms(150), 100);
        assert_eq!(bucket.ready_at(ms(150), 1), None);
        assert_eq!(Bucket::new(None, 0).available(ms(0)), u64::MAX);
    }

    #[test]
    fn a_meter_finds_the_rate_and_forgets_it() {
        let mut meter = Meter::default();
        for t in 0..1000 {
            meter.add(ms(t * 10), 1000);
        }
        let rate = meter.rate(ms(10_000));
        assert!((90_000..=110_000).contains(&rate), "{rate}");
        assert!(meter.rate(ms(20_000)) < 2_000);
        assert_eq!((meter.rate(ms(90_000)), meter.total()), (0, 1_000_000));
    }
}
