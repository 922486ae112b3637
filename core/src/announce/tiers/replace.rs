//! Trackers that come and go while the torrent runs: who stays keeps what is known of it and when it is asked, who goes
//! hears `stopped`, who comes is asked out of turn. What is asked of those that are there is `tiers`'.

use super::{Announce, Ask, AskId, Facts, Phase, lowest};
use crate::announce::TrackerState;
use crate::announce::standing::Standing;
use crate::base::{Instant, Rng};
use crate::wire::tracker::TrackerEvent;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// A tracker that is no longer among the torrent's, and heard `started`.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) tracker: Standing,
    /// When its answer is given up.
    until: Instant,
}

impl Announce {
    /// The trackers are these from now on, in tiers (BEP 12), as many as `trackers_max` allows. Within a tier those that
    /// were there come first. Before `on_start`, and after `on_stop`, nobody is asked for that.
    pub fn on_tiers(&mut self, now: Instant, tiers: &[Vec<Arc<str>>], rng: &mut Rng) {
        let current =
            self.working().or_else(|| self.trackers.iter().find(|t| t.is_usable()).map(|t| t.number));
        let mut gone = self.arrange(tiers, rng);
        if let Phase::Asking(attempt) = self.phase
            && let Some(tracker) = gone.iter_mut().find(|t| t.number == attempt.tracker)
        {
            tracker.on_broken_off(attempt.asked);
            self.phase = Phase::Idle;
            if !attempt.out_of_turn {
                self.due = self.next_turn(now);
            }
        }
        if gone.iter().any(|t| Some(t.number) == current) {
            match self.phase {
                Phase::Idle if self.started => self.due = self.next_turn(now),
                Phase::Asking(attempt) if attempt.out_of_turn => self.due = self.next_turn(now),
                Phase::Idle | Phase::Asking(_) | Phase::Stopping { .. } => {}
            }
        }
        self.part_from(now, gone);
        // Over some ways a later `started` could come before the `stopped` that is under way.
        for tracker in &mut self.trackers {
            if let Some(before) = self.leaving.iter().find(|it| it.tracker.url == tracker.url) {
                tracker.not_before = tracker.not_before.max(before.until);
            }
        }
    }

    /// Puts the trackers into these tiers, new ones in random order behind those that were there; gives those that have no
    /// place.
    pub(super) fn arrange(&mut self, tiers: &[Vec<Arc<str>>], rng: &mut Rng) -> Vec<Standing> {
        let mut before = core::mem::take(&mut self.trackers).into_vec();
        let mut trackers: Vec<Standing> = Vec::new();
        let max = self.config.trackers_max;
        for (tier, urls) in (0u16..).zip(tiers) {
            let stay = before.extract_if(.., |known| urls.contains(&known.url));
            trackers.extend(stay.map(|known| Standing { tier, ..known }));
            let first = trackers.len();
            for url in urls {
                if trackers.len() < max && trackers.iter().all(|known| known.url != *url) {
                    let new = Standing::new(self.next_number, Arc::clone(url), tier);
                    self.next_number += 1;
                    trackers.push(Standing { fresh: self.started, ..new });
                }
            }
            rng.shuffle(trackers.get_mut(first..).unwrap_or_default());
        }
        before.extend(trackers.split_off(max.min(trackers.len())));
        self.trackers = trackers.into_boxed_slice();
        before
    }

    /// The first tracker that works.
    pub(super) fn working(&self) -> Option<u32> {
        self.trackers.iter().find(|t| t.state == TrackerState::Working).map(|t| t.number)
    }

    /// When one is to be asked by the tiers, since the one that was goes.
    fn next_turn(&self, now: Instant) -> Instant {
        let works = self.trackers.iter().find(|t| t.state == TrackerState::Working);
        works.filter(|t| t.heard != 0).map_or(now, |t| t.next)
    }

    /// Those that may have heard `started` and not `stopped`.
    pub(super) fn told(&self) -> impl Iterator<Item = &Standing> {
        self.trackers.iter().chain(self.leaving.iter().map(|leaving| &leaving.tracker))
    }

    /// The next `stopped` for one that goes.
    pub(super) fn next_farewell(&mut self, now: Instant, facts: &Facts) -> Option<Ask> {
        self.leaving.retain(|it| it.tracker.heard != 0 && now < it.until);
        let index = self.leaving.iter().position(|it| it.tracker.owed != 0)?;
        let tracker = &mut self.leaving.get_mut(index)?.tracker;
        let lane = lowest(tracker.owed)?;
        tracker.owed &= !lane;
        self.ask(&self.leaving.get(index)?.tracker, lane, TrackerEvent::Stopped, facts)
    }

    /// An answer may be that of one that goes, whatever it says.
    pub(super) fn on_farewell(&mut self, id: AskId) -> bool {
        let Some(leaving) = self.leaving.iter_mut().find(|it| it.tracker.number == id.tracker) else {
            return false;
        };
        leaving.tracker.heard &= !id.lane;
        leaving.tracker.unsure &= !id.lane;
        true
    }

    fn part_from(&mut self, now: Instant, gone: Vec<Standing>) {
        let stopping = matches!(self.phase, Phase::Stopping { .. });
        let until = now + Duration::from_millis(self.config.stop_timeout_ms);
        for mut tracker in gone.into_iter().filter(|t| t.heard != 0) {
            if !stopping {
                tracker.owed = tracker.heard;
                // What it was asked before is answered to nobody.
                tracker.number = self.next_number;
                self.next_number += 1;
            }
            self.leaving.push(Leaving { tracker, until });
        }
        let over = self.leaving.len().saturating_sub(self.config.trackers_max);
        self.leaving.drain(..over);
    }
}
