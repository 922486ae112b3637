//! What speaks for a change: two sums of doubt, one over fresh attempts, one over the time of connections that worked.
//! Each compares what comes with its baseline, and remembers what the load was when the doubt began. What is done about
//! it is `sizing`'s.
//!
//! Both are cumulative sums of log likelihood ratios (CUSUM): a run of ordinary results brings the sum back to nought,
//! so that ordinary failures, however many, never add up; only a worse rate than before does.

use super::{PoolConfig, Prospect};
use crate::base::Instant;
use alloc::collections::VecDeque;
use core::time::Duration;

/// Fresh attempts before there is a baseline.
const BASELINE_MIN: u64 = 24;
/// Where a tally forgets half of what it knows.
const TALLY_MAX: u64 = 512;
/// Half of the attempts are forgotten after so long, as far as they explain losses: a broken connection may be noticed
/// late.
const MEMORY: Duration = Duration::from_secs(30);
/// Chance alone often raises a doubt so far, in thousandths: only beyond it the load is worth remembering.
const EXCURSION: i64 = 2_500;
/// One as a chance.
const CERTAIN: u64 = 10_000;
/// Where the lives of connections are forgotten by half: about two minutes of two hundred connections.
const LIVED_MAX_US: u64 = 24_000_000_000;
/// The rate of losses that is taken for ordinary before there is a baseline: one in ten minutes of a connection. In
/// losses per million seconds.
const LOSSES_PRIOR: u64 = 1_667;
/// No rate below one loss in a minute of a connection is worth a doubt. In losses per million seconds.
const LOSSES_BAD: u64 = 16_667;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    hits: u64,
    of: u64,
}

impl Tally {
    fn add(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.of += 1;
    }

    fn merge(&mut self, other: &mut Self) {
        self.hits += other.hits;
        self.of += other.of;
        *other = Self::default();
        while self.of > TALLY_MAX {
            (self.hits, self.of) = (self.hits / 2, self.of / 2);
        }
    }

    /// The chance of a hit; never nought, never certain.
    fn chance(self) -> u64 {
        (CERTAIN * (2 * self.hits + 1) / (2 * self.of + 2)).clamp(1, CERTAIN - 1)
    }

    /// The chance of a hit, less two standard deviations: what few attempts promise is believed little.
    fn at_least(self) -> u64 {
        let chance = self.chance();
        let deviation = (chance * (CERTAIN - chance) / (self.of + 1)).isqrt();
        chance.saturating_sub(2 * deviation).max(1)
    }
}

/// An attempt in the order of their starts.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    at: Instant,
    load: usize,
    prospect: Prospect,
    said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Unknown,
    Answer,
    Silence,
    /// It says nothing, whatever it says.
    Void,
}

/// The doubt whether addresses answer as they did.
#[derive(Debug)]
pub(super) struct Silence {
    /// Attempts are judged in the order in which they were started: answers come in a moment, silence takes seconds, and
    /// in the order of results each batch would look good at first and bad at last.
    attempts: VecDeque<Attempt>,
    /// The ticket of the first of them.
    first: u64,
    fresh: Class,
    proven: Class,
    /// Thousandths of a natural logarithm.
    pub(super) doubt: i64,
    /// The load when the doubt began to count.
    pub(super) load: usize,
}

/// Addresses of which alike much is to be expected.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    base: Tally,
    run: Tally,
}

impl Judged {
    /// Whether it says anything.
    pub(super) fn tells(self) -> bool {
        self.answered.is_some()
    }
}

/// An attempt that has been judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) at: Instant,
    load: usize,
    prospect: Prospect,
    /// `None` if it says nothing.
    answered: Option<bool>,
}

impl Default for Silence {
    fn default() -> Self {
        // Who answered a while ago mostly does so again.
        let proven =
            Class { base: Tally { hits: 3 * BASELINE_MIN / 4, of: BASELINE_MIN }, run: Tally::default() };
        Self { attempts: VecDeque::new(), first: 0, fresh: Class::default(), proven, doubt: 0, load: 0 }
    }
}

impl Silence {
    /// An attempt starts under this load. Returns its ticket.
    pub(super) fn on_started(&mut self, now: Instant, load: usize, prospect: Prospect) -> u64 {
        let said = if prospect == Prospect::Failed { Said::Void } else { Said::Unknown };
        self.attempts.push_back(Attempt { at: now, load, prospect, said });
        self.first + self.attempts.len() as u64 - 1
    }

    /// The attempt ended; `None` if that says nothing.
    pub(super) fn on_ended(&mut self, ticket: u64, answered: Option<bool>) {
        let place = ticket.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        let Some(attempt) = place.and_then(|n| self.attempts.get_mut(n)) else { return };
        if attempt.said == Said::Unknown {
            attempt.said = match answered {
                Some(true) => Said::Answer,
                Some(false) => Said::Silence,
                None => Said::Void,
            };
        }
    }

    /// The next attempt that can be judged.
    pub(super) fn next_judged(&mut self, now: Instant, patience: Duration) -> Option<Judged> {
        let &Attempt { at, load, prospect, said } = self.attempts.front()?;
        let answered = match said {
            Said::Unknown if at + patience > now => return None,
            Said::Unknown | Said::Silence => Some(false),
            Said::Answer => Some(true),
            Said::Void => None,
        };
        self.attempts.pop_front();
        self.first += 1;
        Some(Judged { at, load, prospect, answered })
    }

    /// When the first attempt that waits is judged at the latest.
    pub(super) fn deadline(&self, patience: Duration) -> Option<Instant> {
        self.attempts.front().map(|attempt| attempt.at + patience)
    }

    /// Weighs an attempt against the baseline of its class. While the pool is bounded the baseline stays: it grows until
    /// it hurts again, and what hurts a little must not become usual.
    pub(super) fn weigh(&mut self, judged: Judged, bounded: bool) {
        let (Some(answered), Some(class)) = (judged.answered, self.class(judged.prospect)) else { return };
        if class.base.of < BASELINE_MIN {
            class.base.add(answered);
            return;
        }
        let usual = class.base.at_least();
        class.run.add(answered);
        if self.doubt < EXCURSION {
            self.load = judged.load;
        }
        self.doubt += likelihood(answered, usual * 3 / 5, usual);
        if self.doubt <= 0 {
            self.doubt = 0;
            for class in [&mut self.fresh, &mut self.proven] {
                let mut run = core::mem::take(&mut class.run);
                if !bounded || run.chance() >= class.base.chance() {
                    class.base.merge(&mut run);
                }
            }
        }
    }

    /// How much more this attempt looks like the baseline than like the doubtful run. Thousandths.
    pub(super) fn comfort(&mut self, judged: Judged) -> i64 {
        let (Some(answered), Some(class)) = (judged.answered, self.class(judged.prospect)) else { return 0 };
        if class.base.of < BASELINE_MIN {
            return 0;
        }
        let usual = class.base.at_least();
        let doubtful = if class.run.of == 0 { usual / 2 } else { class.run.chance() };
        likelihood(answered, usual, doubtful.min(usual * 3 / 4))
    }

    fn class(&mut self, prospect: Prospect) -> Option<&mut Class> {
        match prospect {
            Prospect::Fresh => Some(&mut self.fresh),
            Prospect::Proven => Some(&mut self.proven),
            Prospect::Failed => None,
        }
    }

    /// Whether at least a third of such addresses answer, so that silence of many means something.
    pub(super) fn surprises(&self, prospect: Prospect) -> bool {
        let class = match prospect {
            Prospect::Proven => &self.proven,
            Prospect::Fresh | Prospect::Failed => &self.fresh,
        };
        3 * class.base.chance() >= CERTAIN
    }

    /// Whether the doubt has gone further than chance alone often takes it.
    pub(super) fn is_raised(&self) -> bool {
        self.doubt >= EXCURSION
    }

    /// Lets the doubt go. If it is `accepted`, the run it came from is the baseline from now on.
    pub(super) fn forget(&mut self, accepted: bool) {
        for class in [&mut self.fresh, &mut self.proven] {
            let run = core::mem::take(&mut class.run);
            if accepted && run.of > 0 {
                class.base = run;
            }
        }
        self.doubt = 0;
    }

    /// Of a thousand fresh addresses, how many answer.
    pub(super) fn per_mille(&self) -> Option<u32> {
        let base = self.fresh.base;
        (base.of >= BASELINE_MIN).then(|| (base.chance() / (CERTAIN / 1000)) as u32)
    }
}

/// The doubt whether connections that worked last as long as they did.
#[derive(Debug, Default)]
pub(super) struct Losses {
    base: Lives,
    run: Lives,
    /// Thousandths of a natural logarithm.
    pub(super) doubt: i64,
    /// The load when the doubt began to count.
    pub(super) load: usize,
    /// How many losses our own attempts of late can explain: each throws out one entry at most. An outage breaks many
    /// more.
    explained: u32,
    /// When half of those attempts were forgotten last.
    halved: Instant,
}

/// Losses in so much time of connections.
#[derive(Clone, Copy, Debug, Default)]
struct Lives {
    losses: u64,
    lived_us: u64,
}

impl Lives {
    fn add(&mut self, other: Self) {
        self.losses += other.losses;
        self.lived_us = self.lived_us.saturating_add(other.lived_us);
        while self.losses > TALLY_MAX || self.lived_us > LIVED_MAX_US {
            (self.losses, self.lived_us) = (self.losses / 2, self.lived_us / 2);
        }
    }

    /// Losses per million seconds, starting from what is ordinary.
    fn rate(self) -> u64 {
        self.rate_of(self.losses + 1)
    }

    /// The rate and two standard deviations: what few losses promise is believed little.
    fn at_most(self) -> u64 {
        self.rate_of(self.losses + 1 + 2 * (self.losses + 1).isqrt())
    }

    fn rate_of(self, losses: u64) -> u64 {
        (losses * 1_000_000 / (self.lived_us / 1_000_000 + 1_000_000 / LOSSES_PRIOR)).max(LOSSES_PRIOR)
    }
}

impl Losses {
    /// An attempt was started: it may throw out an entry.
    pub(super) fn on_started(&mut self, now: Instant) {
        self.age(now);
        self.explained = (self.explained + 1).min(256);
    }

    /// Connections lived for `lived_us` all together, under this load.
    pub(super) fn on_lived(&mut self, lived_us: u64, load: usize) {
        self.add(Lives { losses: 0, lived_us }, load);
    }

    /// A connection that had worked broke, under this load. Whether our own attempts can explain it.
    pub(super) fn on_lost(&mut self, now: Instant, load: usize) -> bool {
        self.age(now);
        if self.explained == 0 {
            return false;
        }
        self.explained -= 1;
        self.add(Lives { losses: 1, lived_us: 0 }, load);
        true
    }

    fn age(&mut self, now: Instant) {
        let halvings = now.saturating_since(self.halved).as_micros() / MEMORY.as_micros();
        if halvings > 0 {
            self.explained =
                self.explained.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0);
            self.halved = now;
        }
    }

    fn add(&mut self, lives: Lives, load: usize) {
        if self.doubt < EXCURSION {
            self.load = load;
        }
        self.run.add(lives);
        let usual = self.base.at_most();
        self.doubt += lives_likelihood(lives, (4 * usual).max(LOSSES_BAD), usual);
        if self.doubt <= 0 {
            self.doubt = 0;
            self.base.add(core::mem::take(&mut self.run));
        }
    }

    /// How much more this looks like the baseline than like the doubtful run. Thousandths.
    pub(super) fn comfort(&self, lost: bool, lived_us: u64) -> i64 {
        let usual = self.base.at_most();
        let lives = Lives { losses: u64::from(lost), lived_us };
        -lives_likelihood(lives, self.run.rate().max(2 * usual), usual)
    }

    /// Lets the doubt go. If it is `accepted`, the run it came from is the baseline from now on.
    pub(super) fn forget(&mut self, accepted: bool) {
        if accepted {
            self.base = self.run;
        }
        self.run = Lives::default();
        self.doubt = 0;
    }
}

/// Whether a doubt, in thousandths, is large enough to act upon.
pub(super) fn is_large(doubt: i64, config: &PoolConfig) -> bool {
    doubt >= i64::from(config.doubt_max) * 1000
}

/// How much likelier this is if the chance of an answer is `one` than if it is `other`. Thousandths.
fn likelihood(answered: bool, one: u64, other: u64) -> i64 {
    let (one, other) = (one.clamp(1, CERTAIN - 1), other.clamp(1, CERTAIN - 1));
    match answered {
        true => ln(one) - ln(other),
        false => ln(CERTAIN - one) - ln(CERTAIN - other),
    }
}

/// How much likelier this is if connections are lost at the rate `one` than if at `other`. Thousandths.
fn lives_likelihood(lives: Lives, one: u64, other: u64) -> i64 {
    let lived = i128::from(lives.lived_us) * (i128::from(one) - i128::from(other)) / 1_000_000_000;
    let lost = i128::from(lives.losses) * i128::from(ln(one) - ln(other));
    i64::try_from(lost - lived).unwrap_or(i64::MIN / 4)
}

/// The natural logarithm, in thousandths.
fn ln(n: u64) -> i64 {
    let n = n.max(1);
    let whole = u64::from(n.ilog2());
    // The rest lies in 1..2; squaring it gives one binary digit of its logarithm after the other.
    let mut rest = if whole > 31 { n >> (whole - 31) } else { n << (31 - whole) };
    let mut log2 = whole;
    for _ in 0..12 {
        rest = (rest * rest) >> 31;
        log2 <<= 1;
        if rest >= 1 << 32 {
            rest >>= 1;
            log2 |= 1;
        }
    }
    (log2 * 693_147 / 4_096_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    fn attempt(silence: &mut Silence, load: usize, answered: bool) {
        let ticket = silence.on_started(Instant::ZERO, load, Prospect::Fresh);
        silence.on_ended(ticket, Some(answered));
        while let Some(judged) = silence.next_judged(Instant::ZERO, Duration::from_secs(4)) {
            silence.weigh(judged, false);
        }
    }

    #[test]
    fn logarithms_are_right_to_a_thousandth() {
        for (n, thousandths) in [(1, 0), (2, 693), (10, 2302), (10_000, 9210), (1 << 40, 27_725)] {
            assert!((ln(n) - thousandths).abs() <= 1, "ln {n}: {}", ln(n));
        }
    }

    #[test]
    fn a_swarm_of_dead_addresses_never_raises_a_doubt_that_counts() {
        let (mut silence, mut rng) = (Silence::default(), Rng::new([5; 32]));
        let mut most = 0;
        for load in 0..3000 {
            attempt(&mut silence, load, rng.chance(15, 100));
            most = most.max(silence.doubt);
        }
        assert!(!is_large(most, &PoolConfig::default()), "{most}");
    }

    #[test]
    fn silence_beyond_a_load_is_seen_and_the_load_is_remembered() {
        let (mut silence, mut rng) = (Silence::default(), Rng::new([6; 32]));
        for load in 0..200 {
            attempt(&mut silence, load, rng.chance(80, 100));
        }
        let mut load = 200;
        while !is_large(silence.doubt, &PoolConfig::default()) {
            attempt(&mut silence, load, rng.chance(25, 100));
            load += 1;
        }
        assert!(load < 240, "{load}");
        assert!((190..=220).contains(&silence.load), "{}", silence.load);
    }

    #[test]
    fn attempts_are_judged_in_the_order_of_their_starts() {
        let mut silence = Silence::default();
        let patience = Duration::from_secs(4);
        let first = silence.on_started(Instant::ZERO, 1, Prospect::Fresh);
        let second = silence.on_started(Instant::ZERO, 2, Prospect::Fresh);
        silence.on_ended(second, Some(true));
        assert!(silence.next_judged(Instant::ZERO, patience).is_none(), "the first isn't known yet");
        let later = Instant::ZERO + patience;
        assert_eq!(silence.next_judged(later, patience).map(|j| j.answered), Some(Some(false)));
        assert_eq!(silence.next_judged(later, patience).map(|j| j.answered), Some(Some(true)));
        silence.on_ended(first, Some(true));
        assert!(silence.next_judged(later, patience).is_none(), "too late to be heard");
    }

    #[test]
    fn silence_surprises_only_where_addresses_are_used_to_answer() {
        for (per_hundred, surprises) in [(60, true), (15, false)] {
            let (mut silence, mut rng) = (Silence::default(), Rng::new([7; 32]));
            (0..200).for_each(|load| attempt(&mut silence, load, rng.chance(per_hundred, 100)));
            assert_eq!(silence.surprises(Prospect::Fresh), surprises);
            assert!(silence.surprises(Prospect::Proven));
        }
    }

    #[test]
    fn an_outage_that_breaks_all_at_once_is_not_laid_to_our_attempts() {
        let mut losses = Losses::default();
        losses.on_lived(3_000_000_000, 100);
        (0..5).for_each(|_| losses.on_started(Instant::ZERO));
        assert_eq!((0..100).filter(|_| losses.on_lost(Instant::ZERO, 100)).count(), 5);
    }
}
