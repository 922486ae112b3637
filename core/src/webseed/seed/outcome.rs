//! What becomes of a web seed's requests: whole files, missing ones, bodies cut, ends, failures and pauses.

use super::{Fact, Pace, WebSeed};
use crate::base::{Bits, Instant};
use crate::webseed::WebSeedError;
use crate::webseed::cut::Whole;
use alloc::vec::Vec;
use core::time::Duration;

impl WebSeed {
    /// How far a request that begins here should reach: to the end of the run, or over blocks that lie close together.
    pub(super) fn reach(&self, from: u64) -> u64 {
        let geometry = self.info.geometry();
        if !self.run.is_empty() {
            return (u64::from(self.run.end) * u64::from(geometry.piece_length())).min(geometry.span());
        }
        let mut reach = from;
        for (start, end) in self.cutter.stretches(geometry) {
            if start > reach.saturating_add(self.config.gap_bytes_max) {
                break;
            }
            reach = reach.max(end);
        }
        reach
    }

    /// The whole file comes: what lies in front is thrown away, and the rest of the file is worth having too.
    pub(super) fn on_whole(&mut self) {
        let Some(get) = &mut self.get else { return };
        get.prefix = get.asked.first;
        get.skipped = get.asked.first;
        let whole_asked = get.asked.first == 0 && get.asked.end == get.asked.length;
        if whole_asked {
            return;
        }
        get.until = get.from + (get.asked.length - get.asked.first);
        let until = get.until;
        let geometry = self.info.geometry();
        let unit = u64::from(geometry.piece_length());
        if self.run.is_empty() {
            self.run.start = self.cutter.asked_end(geometry).div_ceil(unit) as u32;
        }
        self.run.end = self.run.end.max(until.div_ceil(unit) as u32);
        self.forgo_ranges();
    }

    /// Its server ignores ranges: only what lies near the beginnings of files can be had.
    pub(super) fn forgo_ranges(&mut self) {
        if core::mem::replace(&mut self.rangeless, true) {
            return;
        }
        let mut missing = Vec::new();
        for (_, file) in self.info.real_files() {
            let reach = self.config.skip_bytes_max;
            if file.length > reach {
                missing.push((file.offset + reach, file.length - reach));
            }
        }
        self.lessen(&missing);
    }

    /// Takes the pieces that touch these stretches of the span out of what it has.
    pub(super) fn lessen(&mut self, stretches: &[(u64, u64)]) {
        let geometry = self.info.geometry();
        let pieces = self.pieces.get_or_insert_with(|| Bits::full(geometry.pieces()));
        let before = pieces.count();
        for piece in stretches.iter().flat_map(|&(start, length)| geometry.touched(start, length)) {
            pieces.clear(piece);
        }
        if pieces.count() == before {
            if before == geometry.pieces() {
                self.pieces = None;
            }
            return;
        }
        self.facts.push_back(Fact::Lessened);
    }

    /// A file can't be had here.
    pub(super) fn on_missing(&mut self, error: WebSeedError) {
        let file = self.get.as_ref().and_then(|get| self.info.files().get(get.file as usize));
        if let Some((offset, length)) = file.map(|file| (file.offset, file.length)) {
            self.lessen(&[(offset, length)]);
        }
        if self.has_nothing() {
            return self.give_up(error);
        }
        // Other files may be there: no pause.
        self.abandon(error);
    }

    pub(super) fn has_nothing(&self) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.count() == 0)
    }

    /// Cuts what came into blocks.
    pub(super) fn cut(&mut self, now: Instant) {
        let mut whole = Vec::new();
        let mut spent = false;
        while let Some(get) = &mut self.get {
            let Some(front) = get.ahead.front_mut() else { break };
            if get.prefix > 0 {
                let n = get.prefix.min(front.len() as u64);
                front.split_to(n as usize);
                get.prefix -= n;
            } else if self.cutter.at() >= get.until || self.cutter.is_empty() {
                break;
            } else {
                let (skipped, block) = self.cutter.take(self.info.geometry(), front, get.until);
                get.skipped += skipped;
                whole.extend(block);
                spent = get.skipped > self.config.skip_bytes_max;
            }
            if get.ahead.front().is_some_and(|front| front.is_empty()) {
                get.ahead.pop_front();
            }
            if spent {
                break;
            }
        }
        self.tell(whole);
        if spent {
            return self.fail(now, WebSeedError::TooMuch, Some(Duration::ZERO));
        }
        self.finish(now);
        self.settle();
    }

    /// A request that brought all that it was for is over; so is one whose link ended.
    pub(super) fn finish(&mut self, now: Instant) {
        let Some(get) = &self.get else { return };
        if self.cutter.at() >= get.until && get.opened {
            self.failures = 0;
            self.error = None;
            self.end(true);
        } else if get.ended && get.ahead.is_empty() {
            self.fail(now, WebSeedError::Short, None);
        }
    }

    pub(super) fn tell(&mut self, whole: Vec<Whole>) {
        self.facts.extend(whole.into_iter().map(|(block, data)| Fact::Block { block, data }));
    }

    /// A request that nothing more is wanted of is over.
    pub(super) fn settle(&mut self) {
        if self.get.is_some() && self.run.is_empty() && self.cutter.is_empty() {
            self.end(false);
        }
        if self.credit() == 0 && self.get.as_ref().is_none_or(|get| get.opened) {
            self.pace = None;
        }
    }

    pub(super) fn end(&mut self, whole: bool) {
        if self.get.take().is_some() {
            self.facts.push_back(Fact::Close(whole));
        }
        self.pace = None;
    }

    pub(super) fn release(&mut self) {
        let lost = self.cutter.clear();
        if !lost.is_empty() {
            self.facts.push_back(Fact::Lost(lost));
        }
    }

    pub(super) fn abandon(&mut self, error: WebSeedError) {
        self.run = 0..0;
        self.release();
        self.end(false);
        self.error = Some(error);
    }

    pub(super) fn give_up(&mut self, error: WebSeedError) {
        self.abandon(error);
        self.gone = true;
        self.rest_until = None;
    }

    /// It failed: all is let go, and it rests. `after` is how long, if that is known.
    pub(super) fn fail(&mut self, now: Instant, error: WebSeedError, after: Option<Duration>) {
        if self.has_nothing() {
            return self.give_up(error);
        }
        self.abandon(error);
        let (first, max) = (self.config.retry_first, self.config.retry_max);
        let doubled = first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = after.map_or(doubled, |after| after.max(first)).min(max);
        let jitter = self.rng.below(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX) / 4 + 1);
        self.rest_until = Some(now + pause + Duration::from_micros(jitter));
    }

    /// A stretch of time is over in which it might send all the while: was it slow?
    pub(super) fn heed_pace(&mut self, now: Instant) {
        let Some(pace) = self.pace.filter(|pace| pace.since + self.config.slow_after <= now) else { return };
        let ms = u64::try_from(now.saturating_since(pace.since).as_millis()).unwrap_or(u64::MAX).max(1);
        let slow = pace.bytes.saturating_mul(1000) / ms < self.config.slow_bytes_per_second_min;
        if slow != core::mem::replace(&mut self.slow, slow) {
            self.facts.push_back(if slow { Fact::Slow } else { Fact::Recovered });
        }
        self.pace = Some(Pace { since: now, bytes: 0 });
    }
}
