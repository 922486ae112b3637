//! Whether more connections carry more. On a line that is full newcomers carry what the others lose: then the number open
//! is held for a while, though never made smaller. Who may open one all the same is `connections`'.
//!
//! Received and sent are judged apart, or a full uplink would hide that a download still grows. Newcomers that carry
//! nothing yet say nothing; nor do connections that end.

use super::PoolConfig;
use crate::base::Instant;
use core::time::Duration;

/// Bytes are counted in windows of at least this length, so that the turns of unchoking fall into each.
const WINDOW: Duration = Duration::from_secs(15);
/// So many windows in a row must say that more carry no more.
const WINDOWS_SURE: u32 = 2;
/// After so long what was measured says little about now.
const BASE_KEEPS: Duration = Duration::from_secs(300);
/// A pool that grew by fewer connections than this, or by less than a quarter, has shown nothing.
const GROWN_MIN: usize = 4;

/// One number for each way bytes go: received, sent.
type Ways = [u64; 2];

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Received,
    Sent,
}

#[derive(Debug)]
pub(super) struct Throughput {
    window: Window,
    base: Option<Base>,
    hold: Option<Hold>,
}

/// What was carried of late.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    /// Bytes of connections that were there when the base was measured, and of those that came later.
    old: Ways,
    new: Ways,
}

/// What there was before the pool grew.
#[derive(Clone, Copy, Debug)]
struct Base {
    /// Connections opened from then on are newcomers.
    at: Instant,
    /// Connections that were open, and how many of them still are.
    open: usize,
    left: usize,
    /// Bytes a second.
    rates: Ways,
    /// Windows in a row that said that more carry no more.
    sure: u32,
}

/// Growth that ceased.
#[derive(Clone, Copy, Debug)]
struct Hold {
    open: usize,
    until: Instant,
    /// The most that was carried, and what is of late, smoothed. Bytes a second.
    most: Ways,
    smooth: Ways,
}

/// What newcomers mean for one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Next to nothing goes this way.
    Idle,
    /// More is carried than before.
    More,
    /// What newcomers carry the others lost.
    Same,
    /// It can't be told yet.
    Unknown,
}

impl Throughput {
    pub(super) fn new(now: Instant) -> Self {
        Self { window: Window::new(now), base: None, hold: None }
    }

    /// A connection that is open `since` then carried something.
    pub(super) fn on_bytes(&mut self, since: Instant, way: Way, bytes: u64) {
        let newcomer = self.base.is_some_and(|base| since >= base.at);
        let ways = if newcomer { &mut self.window.new } else { &mut self.window.old };
        let count = match way {
            Way::Received => &mut ways[0],
            Way::Sent => &mut ways[1],
        };
        *count = count.saturating_add(bytes);
    }

    /// A connection that was open `since` then ended.
    pub(super) fn on_closed(&mut self, since: Instant) {
        if let Some(base) = self.base.as_mut().filter(|base| since < base.at) {
            base.left = base.left.saturating_sub(1);
        }
    }

    /// Lets time pass while so many are open.
    pub(super) fn on_time(&mut self, now: Instant, open: usize, config: &PoolConfig) {
        let elapsed = now.saturating_since(self.window.began);
        if elapsed < WINDOW || config.hold_interval.is_zero() {
            return;
        }
        let window = core::mem::replace(&mut self.window, Window::new(now));
        let old = window.old.map(|bytes| per_second(bytes, elapsed));
        let new = window.new.map(|bytes| per_second(bytes, elapsed));
        let rates = sum(old, new);
        if let Some(hold) = &mut self.hold {
            hold.on_rates(rates);
            if now >= hold.until || hold.is_worse() {
                (self.hold, self.base) = (None, Some(Base::new(now, open, rates)));
            }
            return;
        }
        match &mut self.base {
            Some(base) if base.holds_at(now, open) => match base.judge(open, old, new) {
                Verdict::More => self.base = Some(Base::new(now, open, rates)),
                Verdict::Same => {
                    base.sure += 1;
                    if base.sure >= WINDOWS_SURE {
                        let until = now + config.hold_interval;
                        self.hold = Some(Hold { open, until, most: rates, smooth: rates });
                    }
                }
                Verdict::Idle | Verdict::Unknown => base.sure = 0,
            },
            _ => self.base = Some(Base::new(now, open, rates)),
        }
    }

    /// How many may be open, if more would carry no more.
    pub(super) fn held(&self) -> Option<usize> {
        self.hold.map(|hold| hold.open)
    }

    /// When it may have changed.
    pub(super) fn deadline(&self) -> Instant {
        self.window.began + WINDOW
    }
}

impl Window {
    fn new(began: Instant) -> Self {
        Self { began, old: [0; 2], new: [0; 2] }
    }
}

impl Base {
    fn new(at: Instant, open: usize, rates: Ways) -> Self {
        Self { at, open, left: open, rates, sure: 0 }
    }

    /// Whether it is young enough, and the pool not much smaller since.
    fn holds_at(&self, now: Instant, open: usize) -> bool {
        now < self.at + BASE_KEEPS && open >= self.open - self.open / 4
    }

    /// What both ways together say of growth to so many.
    fn judge(&self, open: usize, old: Ways, new: Ways) -> Verdict {
        if open < self.open + (self.open / 4).max(GROWN_MIN) {
            return Verdict::Unknown;
        }
        let all = self.rates.iter().chain(&old).chain(&new).sum::<u64>();
        let ways = [0, 1].map(|way| self.judge_way((old[way], new[way]), self.rates[way], all));
        match ways {
            [Verdict::More, _] | [_, Verdict::More] => Verdict::More,
            [Verdict::Unknown, _] | [_, Verdict::Unknown] => Verdict::Unknown,
            [Verdict::Same, _] | [_, Verdict::Same] => Verdict::Same,
            [Verdict::Idle, Verdict::Idle] => Verdict::Idle,
        }
    }

    /// One way: it carried `before`; now it carries what the `old` ones do and the `new` ones. `all`: both ways, before
    /// and now.
    fn judge_way(&self, (old, new): (u64, u64), before: u64, all: u64) -> Verdict {
        let now = old + new;
        if (before + now) * 16 < all {
            Verdict::Idle
        } else if now >= before + before / 16 {
            Verdict::More
        } else {
            // What those that are left would carry, had nobody come.
            let expected = u128::from(before) * self.left as u128 / self.open.max(1) as u128;
            let lost = u64::try_from(expected).unwrap_or(u64::MAX).saturating_sub(old);
            if new >= now / 8 && new > 0 && lost >= new / 2 { Verdict::Same } else { Verdict::Unknown }
        }
    }
}

impl Hold {
    fn on_rates(&mut self, rates: Ways) {
        self.smooth = [0, 1].map(|way| (3 * self.smooth[way] + rates[way]) / 4);
        self.most = [0, 1].map(|way| self.most[way].max(self.smooth[way]));
    }

    /// Whether an eighth less is carried: then it isn't the line that bounds it.
    fn is_worse(&self) -> bool {
        let all = self.most[0].saturating_add(self.most[1]);
        let worse = |way: usize| self.smooth[way] < self.most[way] - self.most[way] / 8;
        [0, 1].into_iter().any(|way| self.most[way] > all / 16 && worse(way))
    }
}

fn sum(one: Ways, other: Ways) -> Ways {
    [0, 1].map(|way| one[way].saturating_add(other[way]))
}

fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let us = elapsed.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000 / us).unwrap_or(u64::MAX >> 8).min(u64::MAX >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{CloseReason, Connections, Mood, Prospect};
    use std::vec::Vec;

    /// A swarm on a line: whoever may opens one connection a second.
    struct Line {
        now: Instant,
        pool: Connections<u64, char>,
        open: Vec<(u64, char)>,
        next: u64,
    }

    impl Line {
        fn new(config: PoolConfig) -> Self {
            let now = Instant::from_micros(1);
            let mut pool = Connections::new(now, config);
            pool.on_wants(now, 'a', true);
            Self { now, pool, open: Vec::new(), next: 0 }
        }

        /// Some seconds in which all connections together carry what `carried` says of their number: received, sent.
        fn run(&mut self, seconds: u64, carried: impl Fn(u64) -> Ways) {
            for _ in 0..seconds {
                self.now += Duration::from_secs(1);
                let bytes = carried(self.open.len() as u64).map(|all| all / (self.open.len() as u64).max(1));
                for &(key, _) in &self.open {
                    self.pool.on_received(self.now, key, bytes[0]);
                    self.pool.on_sent(self.now, key, bytes[1]);
                }
                if let Some(owner) = self.pool.next_open(self.now) {
                    self.pool.on_started(self.now, self.next, owner, Prospect::Fresh);
                    self.pool.on_opened(self.now, self.next);
                    self.open.push((self.next, owner));
                    self.next += 1;
                }
            }
        }

        fn open_of(&self, owner: char) -> usize {
            self.open.iter().filter(|it| it.1 == owner).count()
        }
    }

    const FULL: u64 = 1_000_000;

    fn full(open: u64) -> Ways {
        [(open * 40_000).min(FULL), 0]
    }

    #[test]
    fn where_more_connections_carry_no_more_growth_stops_and_nothing_is_closed() {
        let mut line = Line::new(PoolConfig::default());
        line.run(300, full);
        let held = line.pool.status(line.now).held.expect("twenty-five fill the line");
        assert!(held < 150, "{held}");
        assert_eq!((line.open.len(), line.pool.next_surplus(line.now)), (held, None));
        assert_eq!(line.pool.status(line.now).mood, Mood::Free, "the network bears more");
    }

    #[test]
    fn where_each_connection_adds_growth_goes_on() {
        let mut line = Line::new(PoolConfig::default());
        line.run(900, |open| [open * 40_000, 0]);
        assert_eq!((line.open.len(), line.pool.status(line.now).held), (900, None));
    }

    #[test]
    fn newcomers_that_carry_nothing_yet_say_nothing() {
        let mut line = Line::new(PoolConfig::default());
        for _ in 0..600 {
            line.run(1, |_| [0, 0]);
            // The first forty have it all; the others are choked.
            (0..40).for_each(|key| line.pool.on_received(line.now, key, 25_000));
        }
        assert_eq!(line.open.len(), 600);
    }

    #[test]
    fn newcomers_that_make_up_for_those_who_left_are_no_sign_of_a_full_line() {
        let mut line = Line::new(PoolConfig::default());
        line.run(60, |open| [open * 25_000, 0]);
        for s in 0..90 {
            line.run(1, |_| [0, 0]);
            for &(key, _) in &line.open {
                line.pool.on_received(line.now, key, if key < 60 { 25_000 } else { 10_000 });
            }
            if s % 5 < 3 {
                let (key, _) = line.open.remove(0);
                line.pool.on_closed(line.now, key, CloseReason::Finished);
            }
            assert_eq!(line.pool.status(line.now).held, None, "after {s} s");
        }
    }

    #[test]
    fn a_full_uplink_does_not_hide_that_a_download_grows() {
        let mut line = Line::new(PoolConfig::default());
        line.run(600, |open| [open * 1_000, 20 * FULL]);
        assert!(line.open.len() < 600, "what is received is next to nothing beside what is sent");
        let mut line = Line::new(PoolConfig::default());
        line.run(600, |open| [open * 10_000, 5 * FULL]);
        assert_eq!(line.open.len(), 600);
    }

    #[test]
    fn what_ends_is_replaced_while_the_number_is_held() {
        let mut line = Line::new(PoolConfig::default());
        line.run(300, full);
        let held = line.open.len();
        for (key, _) in line.open.drain(..10) {
            line.pool.on_closed(line.now, key, CloseReason::Finished);
        }
        line.run(60, full);
        assert_eq!(line.open.len(), held);
    }

    #[test]
    fn another_owner_gets_its_share_while_the_number_is_held() {
        let mut line = Line::new(PoolConfig::default());
        line.run(150, full);
        let held = line.open.len();
        line.pool.on_wants(line.now, 'b', true);
        line.run(90, full);
        assert_eq!((line.open_of('a'), line.open_of('b')), (held, held / 2));
        for (n, owner) in ('c'..='z').enumerate() {
            line.pool.on_wants(line.now, owner, true);
            line.run(5, full);
            assert!(line.open_of(owner) >= 4, "number {n}: {}", line.open_of(owner));
        }
    }

    #[test]
    fn growth_goes_on_when_less_is_carried() {
        let mut line = Line::new(PoolConfig::default());
        line.run(300, full);
        let held = line.open.len();
        line.run(60, |_| [FULL * 3 / 4, 0]);
        assert!(line.open.len() > held, "it isn't the line that bounds it");
    }

    #[test]
    fn after_a_while_it_is_tried_again_whether_more_carry_more() {
        let mut line = Line::new(PoolConfig::default());
        line.run(150, full);
        let held = line.open.len();
        line.run(200, full);
        assert_eq!(line.open.len(), held);
        line.run(160, |open| [open * 40_000, 0]);
        assert!(line.open.len() > held, "the line has become faster");
    }

    #[test]
    fn who_waits_for_a_held_number_is_woken_until_it_changes() {
        let mut line = Line::new(PoolConfig::default());
        line.run(300, full);
        let start = line.now;
        while line.pool.next_open(line.now).is_none() {
            let at = line.pool.deadline().expect("who waits is woken");
            assert!(at > line.now && at <= start + Duration::from_secs(300), "{at:?}");
            line.now = at;
            line.pool.on_timeout(at);
        }
    }

    #[test]
    fn without_the_interval_the_number_is_never_held() {
        let config = PoolConfig { hold_interval: Duration::ZERO, ..PoolConfig::default() };
        let mut line = Line::new(config);
        line.run(600, full);
        assert_eq!(line.open.len(), 600);
    }
}
