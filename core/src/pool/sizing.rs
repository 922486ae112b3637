//! How large the pool may be: the bound of the footprint, the trials that test it, the budget of those opening at once.
//! Which connections there are is `connections`'.
//!
//! A doubt alone proves nothing: addresses from another source may be worse, a provider may have an outage. So it is
//! tried: the footprint is cut to three quarters of what it was when the doubt began, then to half, and where links are
//! lost to a quarter, since that doubt may come late. If less load brings the baseline back, the network can't bear
//! more: the pool stays bounded, grows slowly, and is cut again at the next sign. If not, the load wasn't to blame: the
//! size comes back, what was seen is the new baseline, and the next trial waits, longer each time.

use super::evidence::{Judged, Losses, Silence, is_large};
use super::opening::Opening;
use super::{Mood, PoolConfig, Prospect, Sign};
use crate::base::Instant;
use core::time::Duration;

/// How sure a trial must be, in thousandths of a natural logarithm.
const VERDICT: i64 = 3_000;
/// A bound gives way so often in a row before it is tried anew what the silence means.
const EASED_MAX: u32 = 8;
/// So many attempts at silent addresses, one after the other, take as long as an entry lingers.
const ATTEMPTS_IN_LINGER: usize = 12;
/// What was lost before a trial may be noticed so much later.
const NOTICE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Sizing {
    size: usize,
    pub(super) opening: Opening,
    pub(super) silence: Silence,
    pub(super) losses: Losses,
    bound: Option<Bound>,
    trial: Option<Trial>,
    trials: u32,
    paused_until: Instant,
    /// When an attempt was started last.
    started: Instant,
}

/// A size that was found by trial.
#[derive(Clone, Copy, Debug)]
struct Bound {
    sign: Sign,
    /// The load when the doubt began.
    load: usize,
    /// When it grew last.
    grown: Instant,
    /// Whether an attempt since then would have told if it was too much.
    told: bool,
    /// How often in a row it gave way a little to a doubt, and when it did last.
    eased: (u32, Instant),
}

/// How much less load a trial tries, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// A sixteenth less: where a full table takes no new entries, that is enough to see it, and costs next to nothing.
    Little,
    /// A quarter less.
    Quarter,
    /// Half.
    Half,
    /// Three quarters less: a doubt about losses may come when far more is open than a table holds.
    Most,
}

impl Cut {
    fn of(self, load: usize) -> usize {
        match self {
            Self::Little => load - load / 16,
            Self::Quarter => load - load / 4,
            Self::Half => load / 2,
            Self::Most => load / 4,
        }
    }

    fn next(self, sign: Sign) -> Option<Self> {
        match self {
            Self::Little => Some(Self::Quarter),
            Self::Quarter => Some(Self::Half),
            Self::Half => (sign == Sign::Losses).then_some(Self::Most),
            Self::Most => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    sign: Sign,
    /// The load when the doubt began.
    load: usize,
    cut: Cut,
    size_before: usize,
    opening_before: (usize, bool),
    /// When the footprint had shrunk; what starts or breaks from then on is weighed.
    shrunk: Option<Instant>,
    began: Instant,
    /// For the baseline if positive, for the doubt if negative.
    comfort: i64,
}

impl Sizing {
    pub(super) fn new(now: Instant, config: &PoolConfig) -> Self {
        Self {
            size: config.size_start.max(least(config)),
            opening: Opening::new(now, config),
            silence: Silence::default(),
            losses: Losses::default(),
            bound: None,
            trial: None,
            trials: 0,
            paused_until: now,
            started: now,
        }
    }

    /// How large the footprint may be.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn mood(&self) -> Mood {
        match (self.trial, self.bound) {
            (Some(trial), _) => Mood::Trying(trial.sign),
            (None, Some(bound)) => Mood::Bounded(bound.sign),
            (None, None) if self.opening.is_trying() => Mood::Trying(Sign::Latency),
            (None, None) if self.opening.bounded => Mood::Bounded(Sign::Latency),
            (None, None) => Mood::Free,
        }
    }

    /// After so long without an answer an attempt counts as silent.
    fn patience(&self, config: &PoolConfig) -> Duration {
        config.patience.max(Duration::from_micros(4 * self.opening.base_us))
    }

    /// Lets time pass: attempts are judged, sizes grow.
    pub(super) fn on_time(&mut self, now: Instant, load: Load, config: &PoolConfig) {
        while let Some(judged) = self.silence.next_judged(now, self.patience(config)) {
            self.on_judged(now, judged, load, config);
        }
        if let Some(trial) = &mut self.trial
            && trial.shrunk.is_none()
            && (load.footprint <= self.size || load.footprint - load.open() <= load.open() / 16)
        {
            trial.shrunk = Some(now);
        }
        self.opening.on_time(now, load.half_open >= self.opening.size, config);
        self.regrow(now, load, config);
        self.end_late_trial(now, load, config);
    }

    fn on_judged(&mut self, now: Instant, judged: Judged, load: Load, config: &PoolConfig) {
        match &mut self.trial {
            Some(trial) => {
                let weighs = trial.sign == Sign::Silence && trial.shrunk.is_some_and(|at| judged.at >= at);
                if weighs {
                    trial.comfort += self.silence.comfort(judged);
                    self.judge(now, load, config);
                }
            }
            None => {
                self.grow(load);
                if let Some(bound) = &mut self.bound {
                    bound.told |= judged.tells();
                }
                self.silence.weigh(judged, self.bound.is_some());
                if is_large(self.silence.doubt, config) && !self.ease(now, config) {
                    self.try_less(now, Sign::Silence, self.silence.load, config);
                }
            }
        }
    }

    /// A stranger's connection is there: the network bears it.
    pub(super) fn on_accepted(&mut self, load: Load) {
        if self.trial.is_none() {
            self.grow(load);
        }
    }

    /// While nothing speaks against it, each result makes room for two attempts.
    fn grow(&mut self, load: Load) {
        if self.bound.is_none() && load.footprint > self.size / 2 {
            self.size = self.size.saturating_add(2);
        }
    }

    /// Connections that had worked lived for `lived_us` all together, and one of them may have broken now.
    pub(super) fn on_lives(&mut self, now: Instant, lived_us: u64, lost: bool, around: (Load, &PoolConfig)) {
        let (load, config) = around;
        match &mut self.trial {
            Some(trial) => {
                let weighs = trial.sign == Sign::Losses && trial.shrunk.is_some_and(|at| now >= at + NOTICE);
                if weighs {
                    trial.comfort += self.losses.comfort(lost, lived_us);
                    self.judge(now, load, config);
                }
            }
            None => {
                self.losses.on_lived(lived_us, load.footprint);
                if lost && self.losses.on_lost(now, load.footprint) && is_large(self.losses.doubt, config) {
                    self.try_less(now, Sign::Losses, self.losses.load, config);
                }
            }
        }
    }

    /// Where a trial has shown before what the silence means, a little less is enough; unless it comes again at once.
    fn ease(&mut self, now: Instant, config: &PoolConfig) -> bool {
        let Some(bound) = self.bound.as_mut().filter(|bound| bound.sign == Sign::Silence) else {
            return false;
        };
        let row = if now < bound.eased.1 + config.linger { bound.eased.0 } else { 0 };
        if row >= EASED_MAX {
            return false;
        }
        (bound.eased, bound.grown) = ((row + 1, now), now);
        bound.load = self.silence.load;
        self.size = Cut::Little.of(bound.load).max(least(config)).min(self.size);
        self.silence.forget(false);
        self.opening.cut(now, config);
        true
    }

    /// Whether an attempt that nobody answered left no entry behind: a full table that drops new connections let it not
    /// in, as far as is known.
    pub(super) fn was_dropped(&self, prospect: Prospect) -> bool {
        if !self.silence.surprises(prospect) {
            return false;
        }
        let sign = self.trial.map(|it| it.sign).or(self.bound.map(|it| it.sign));
        match sign {
            Some(Sign::Silence) if prospect == Prospect::Proven => true,
            Some(Sign::Silence) if self.trial.is_some() => {
                self.trial.is_some_and(|trial| trial.shrunk.is_none())
            }
            Some(Sign::Silence) | None => self.silence.is_raised(),
            Some(Sign::Losses | Sign::Latency | Sign::NoRoom) => false,
        }
    }

    fn try_less(&mut self, now: Instant, sign: Sign, load: usize, config: &PoolConfig) {
        if now < self.paused_until || !config.adaptive {
            return;
        }
        let cut = match sign {
            Sign::Silence => Cut::Little,
            Sign::Losses | Sign::Latency | Sign::NoRoom => Cut::Quarter,
        };
        let trial = Trial {
            sign,
            load,
            cut,
            size_before: self.size,
            opening_before: (self.opening.size, self.opening.bounded),
            shrunk: None,
            began: now,
            comfort: 0,
        };
        self.size = cut.of(load).max(least(config));
        self.opening.cut(now, config);
        self.trial = Some(trial);
    }

    fn judge(&mut self, now: Instant, load: Load, config: &PoolConfig) {
        let Some(trial) = &mut self.trial else { return };
        if trial.comfort >= VERDICT {
            self.bound =
                Some(Bound { sign: trial.sign, load: trial.load, grown: now, told: false, eased: (0, now) });
            self.trials = 0;
            self.end(false);
        } else if trial.comfort <= -VERDICT {
            let Some(cut) = trial.cut.next(trial.sign) else { return self.release(now, load, true, config) };
            (trial.cut, trial.shrunk, trial.comfort) = (cut, None, 0);
            self.size = cut.of(trial.load).max(least(config));
        }
    }

    /// A trial that finds nothing to weigh ends some day.
    fn end_late_trial(&mut self, now: Instant, load: Load, config: &PoolConfig) {
        if self.trial.is_some_and(|trial| now >= trial.began + 4 * config.linger) {
            self.release(now, load, false, config);
        }
    }

    /// Less load didn't help.
    fn release(&mut self, now: Instant, load: Load, accepted: bool, config: &PoolConfig) {
        let Some(trial) = self.trial else { return };
        self.size = trial.size_before.max(if self.bound.is_none() { load.footprint * 2 } else { 0 });
        self.opening.restore(trial.opening_before.0, trial.opening_before.1);
        self.paused_until = now + config.trial_pause * (1 << self.trials.min(5));
        self.trials += 1;
        self.end(accepted);
    }

    fn end(&mut self, accepted: bool) {
        let Some(trial) = self.trial.take() else { return };
        self.silence.forget(accepted && trial.sign == Sign::Silence);
        self.losses.forget(accepted && trial.sign == Sign::Losses);
    }

    /// Our own host has no room for more than there are.
    pub(super) fn on_no_room(&mut self, now: Instant, load: Load, config: &PoolConfig) {
        if !config.adaptive {
            return;
        }
        self.end(false);
        self.size = (load.footprint - load.footprint / 8).max(least(config)).min(self.size);
        self.bound = Some(Bound {
            sign: Sign::NoRoom,
            load: load.footprint,
            grown: now,
            told: false,
            eased: (0, now),
        });
    }

    /// A bounded pool grows by an eighth in each interval, more slowly where nothing would tell if that were too much;
    /// at twice what raised the doubt it is free again.
    fn regrow(&mut self, now: Instant, load: Load, config: &PoolConfig) {
        let Some(bound) = self.bound.as_mut().filter(|_| self.trial.is_none()) else { return };
        if now < bound.regrows(self.size, config) {
            return;
        }
        (bound.grown, bound.told) = (now, false);
        if load.footprint + 1 + self.size / 8 >= self.size || load.footprint == 0 {
            self.size += 1;
        }
        if self.size > 2 * bound.load {
            self.bound = None;
            self.opening.bounded = false;
        }
    }

    /// Whether another attempt may start. While a footprint shrinks, attempts are as rare as they would be if it had
    /// shrunk already, and half as many.
    pub(super) fn has_room(&self, now: Instant, load: Load, config: &PoolConfig) -> bool {
        if load.half_open >= self.half_open_size(config) {
            return false;
        }
        load.footprint < self.size || self.next_trickle(load, config).is_some_and(|at| at <= now)
    }

    /// How many connections may be opening. Behind a full table that takes no new entries no more than come free of
    /// themselves while an attempt is waited for: more would only knock, and take what the rest of the house needs.
    pub(super) fn half_open_size(&self, config: &PoolConfig) -> usize {
        match (self.trial, self.bound) {
            (None, Some(Bound { sign: Sign::Silence, .. })) => {
                self.opening.size.min((self.size / ATTEMPTS_IN_LINGER).max(config.half_open_min).max(1))
            }
            _ => self.opening.size,
        }
    }

    pub(super) fn on_started(&mut self, now: Instant) {
        self.started = now;
    }

    fn next_trickle(&self, load: Load, config: &PoolConfig) -> Option<Instant> {
        let shrinking = self.trial.is_some_and(|trial| trial.shrunk.is_none());
        let free = self.size.checked_sub(load.entries).filter(|free| shrinking && *free > 0)?;
        Some(self.started + 2 * config.linger / u32::try_from(free).unwrap_or(u32::MAX))
    }

    /// When time alone changes what may be opened.
    pub(super) fn deadline(&self, load: Load, config: &PoolConfig) -> Option<Instant> {
        let growth = if load.half_open >= self.opening.size { self.opening.deadline(config) } else { None };
        if load.footprint < self.size {
            return growth;
        }
        let judged = self.silence.deadline(self.patience(config));
        let regrown = self.bound.map(|bound| bound.regrows(self.size, config));
        let trickle = self.next_trickle(load, config).filter(|_| load.half_open < self.opening.size);
        let ended = self.trial.map(|trial| trial.began + 4 * config.linger);
        [growth, judged, regrown.filter(|_| self.trial.is_none()), trickle, ended].into_iter().flatten().min()
    }
}

impl Load {
    fn open(self) -> usize {
        self.entries - self.half_open
    }
}

/// What there is at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Open, opening, and ended not long ago.
    pub(super) footprint: usize,
    /// Open and opening.
    pub(super) entries: usize,
    pub(super) half_open: usize,
}

impl Bound {
    /// When it grows by one next.
    fn regrows(&self, size: usize, config: &PoolConfig) -> Instant {
        let step = config.regrow_interval / u32::try_from(size / 8).unwrap_or(u32::MAX).max(1);
        let told = self.told || self.sign != Sign::Silence;
        self.grown + if told { step } else { step * 4 }
    }
}

fn least(config: &PoolConfig) -> usize {
    config.size_min.max(1)
}
