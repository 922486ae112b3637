//! How many connections may be opening at once: doubles at the start, halves when opening takes much longer than it did
//! and fewer at once help against that, and grows again one by one.

use super::PoolConfig;
use crate::base::Instant;
use core::time::Duration;

/// Openings before there is a baseline, and in a trial.
const SAMPLES: u64 = 32;
/// Opening takes long if it takes four times as long as it did, and so much more. A few first packets that were lost and
/// sent again must not look like that. Microseconds.
const SLACK_US: u64 = 500_000;
/// A bounded budget grows by one in this time.
const REGROWTH: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Opening {
    pub(super) size: usize,
    grown: Instant,
    /// A sign was seen: growth is slow from here on.
    pub(super) bounded: bool,
    samples: u64,
    pub(super) base_us: u64,
    pub(super) smooth_us: u64,
    trial: Option<Trial>,
    paused_until: Instant,
    trials: u32,
}

/// Half of the budget, to see whether it helps.
#[derive(Clone, Copy, Debug)]
struct Trial {
    began: Instant,
    size_before: usize,
    us_before: u64,
    samples: u64,
    sum_us: u64,
}

impl Opening {
    pub(super) fn new(now: Instant, config: &PoolConfig) -> Self {
        Self {
            size: config.half_open_start.clamp(least(config), config.half_open_max.max(1)),
            grown: now,
            bounded: false,
            samples: 0,
            base_us: 0,
            smooth_us: 0,
            trial: None,
            paused_until: now,
            trials: 0,
        }
    }

    pub(super) fn is_trying(&self) -> bool {
        self.trial.is_some()
    }

    /// Lets the budget grow with time; `wanted`: all of it is in use.
    pub(super) fn on_time(&mut self, now: Instant, wanted: bool, config: &PoolConfig) {
        let max = config.half_open_max.max(1);
        let step = self.step(config);
        if wanted && self.size < max && self.trial.is_none() && now >= self.grown + step {
            self.grown = now;
            self.size = if self.bounded { self.size + 1 } else { self.size * 2 }.min(max);
        }
    }

    /// When it grows next, if it can.
    pub(super) fn deadline(&self, config: &PoolConfig) -> Option<Instant> {
        (self.size < config.half_open_max.max(1) && self.trial.is_none())
            .then(|| self.grown + self.step(config))
    }

    fn step(&self, config: &PoolConfig) -> Duration {
        if self.bounded { REGROWTH } else { config.growth_interval }
    }

    /// A connection took `us` to open.
    pub(super) fn on_opened(&mut self, now: Instant, started: Instant, us: u64, config: &PoolConfig) {
        self.samples += 1;
        if self.samples <= SAMPLES {
            self.base_us = (self.base_us * (self.samples - 1) + us) / self.samples;
            self.smooth_us = self.base_us;
            return;
        }
        self.base_us = approach(self.base_us, us, 256);
        self.smooth_us = approach(self.smooth_us, us, 32);
        match &mut self.trial {
            Some(trial) => {
                if started >= trial.began {
                    trial.samples += 1;
                    trial.sum_us = trial.sum_us.saturating_add(us);
                }
                if trial.samples >= SAMPLES {
                    self.judge(now, config);
                }
            }
            None if now >= self.paused_until && self.smooth_us > 4 * self.base_us + SLACK_US => {
                let trial = Trial {
                    began: now,
                    size_before: self.size,
                    us_before: self.smooth_us,
                    samples: 0,
                    sum_us: 0,
                };
                self.trial = Some(trial);
                self.halve(config);
            }
            None => {}
        }
    }

    fn judge(&mut self, now: Instant, config: &PoolConfig) {
        let Some(trial) = self.trial.take() else { return };
        self.grown = now;
        if trial.sum_us / trial.samples.max(1) < trial.us_before * 2 / 3 {
            self.bounded = true;
            self.trials = 0;
        } else {
            // It isn't how many we open: a queue on the way, perhaps, that our own transfers fill.
            self.size = trial.size_before;
            self.base_us = self.smooth_us;
            self.paused_until = now + config.trial_pause * (1 << self.trials.min(5));
            self.trials += 1;
        }
    }

    /// Another sign speaks for fewer at once.
    pub(super) fn cut(&mut self, now: Instant, config: &PoolConfig) {
        self.trial = None;
        self.bounded = true;
        self.grown = now;
        self.halve(config);
    }

    /// It didn't help.
    pub(super) fn restore(&mut self, size: usize, bounded: bool) {
        self.size = self.size.max(size);
        self.bounded = bounded;
    }

    fn halve(&mut self, config: &PoolConfig) {
        self.size = (self.size / 2).max(least(config));
    }
}

fn least(config: &PoolConfig) -> usize {
    config.half_open_min.clamp(1, config.half_open_max.max(1))
}

fn approach(from: u64, to: u64, shares: u64) -> u64 {
    (from * (shares - 1) + to.min(1 << 40)) / shares
}
