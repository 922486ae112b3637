//! What is known of one tracker of one torrent: what it has heard from us, how it does, when it may be asked. Not which
//! tracker is next: see `tiers`.

use super::{AnnounceConfig, AskError};
use crate::base::{Instant, Rng};
use crate::wire::tracker::{AnnounceAnswer, TrackerEvent};
use crate::wire::tracker_http::RetryIn;
use crate::wire::tracker_url::TrackerUrl;
use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use core::time::Duration;

/// How a tracker does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackerState {
    /// Not asked yet.
    #[default]
    Unused,
    /// Its last announce worked.
    Working,
    /// Its last announce failed; it is asked again later.
    Failing,
    /// It said never to come again (BEP 31).
    Refused,
    /// Its URL is none that can be asked here.
    Unsupported,
}

/// What a user sees of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerView<'a> {
    /// Its URL, as the torrent has it. It may hold a passkey.
    pub url: &'a str,
    /// Its tier, from 0.
    pub tier: u16,
    /// How it does.
    pub state: TrackerState,
    /// Whether an announce is under way.
    pub asking: bool,
    /// When it is asked next, if it is the one that will be asked.
    pub next: Option<Instant>,
    /// Why its last announce failed.
    pub error: Option<&'a str>,
    /// How many failed in a row.
    pub failures: u8,
    /// Peers that have everything, as it says.
    pub complete: Option<u32>,
    /// Peers that miss something, as it says.
    pub incomplete: Option<u32>,
}

/// One tracker. Lanes are bits: hash and family, see `tiers`.
#[derive(Debug)]
pub(super) struct Standing {
    /// Names it among all that the torrent ever had.
    pub(super) number: u32,
    /// It came while announces went on, and wasn't asked yet: it is, out of turn.
    pub(super) fresh: bool,
    pub(super) url: Arc<str>,
    pub(super) tier: u16,
    pub(super) state: TrackerState,
    pub(super) failures: u8,
    /// Lanes that heard `started`.
    pub(super) heard: u8,
    /// Lanes of these that may not have heard it: its answer was awaited when the torrent stopped.
    pub(super) unsure: u8,
    /// Lanes that are owed `completed`; while stopping, `stopped`.
    pub(super) owed: u8,
    /// Whether it is asked without choice of a family.
    pub(super) open: bool,
    /// When it wants to hear from us again, since an announce worked.
    pub(super) next: Instant,
    /// Not asked before this.
    pub(super) not_before: Instant,
    pub(super) error: Option<Box<str>>,
    pub(super) tracker_id: Option<Box<[u8]>>,
    pub(super) complete: Option<u32>,
    pub(super) incomplete: Option<u32>,
}

impl Standing {
    pub(super) fn new(number: u32, url: Arc<str>, tier: u16) -> Self {
        let (state, error) = match TrackerUrl::parse(&url) {
            Ok(_) => (TrackerState::Unused, None),
            Err(error) => (TrackerState::Unsupported, Some(error.to_string().into())),
        };
        Self {
            number,
            fresh: false,
            url,
            tier,
            state,
            failures: 0,
            heard: 0,
            unsure: 0,
            owed: 0,
            open: false,
            next: Instant::ZERO,
            not_before: Instant::ZERO,
            error,
            tracker_id: None,
            complete: None,
            incomplete: None,
        }
    }

    /// Whether it can be asked at all.
    pub(super) fn is_usable(&self) -> bool {
        match self.state {
            TrackerState::Unused | TrackerState::Working | TrackerState::Failing => true,
            TrackerState::Refused | TrackerState::Unsupported => false,
        }
    }

    /// What a lane is to be told next.
    pub(super) fn event(&self, lane: u8) -> TrackerEvent {
        if self.heard & lane == 0 {
            TrackerEvent::Started
        } else if self.owed & lane != 0 {
            TrackerEvent::Completed
        } else {
            TrackerEvent::None
        }
    }

    /// Its answers on these lanes aren't awaited any more: it may have heard `started` though they didn't come yet.
    pub(super) fn on_broken_off(&mut self, asked: u8) {
        self.unsure = asked & !self.heard;
        self.heard |= asked;
    }

    /// A lane's announce worked.
    pub(super) fn on_answer(&mut self, lane: u8, answer: &AnnounceAnswer) {
        self.heard |= lane;
        self.state = TrackerState::Working;
        self.failures = 0;
        self.error = None;
        self.complete = answer.complete.or(self.complete);
        self.incomplete = answer.incomplete.or(self.incomplete);
        if answer.tracker_id.is_some() {
            self.tracker_id.clone_from(&answer.tracker_id);
        }
    }

    /// No lane's announce worked.
    pub(super) fn on_failure(
        &mut self,
        now: Instant,
        error: &AskError,
        context: (&AnnounceConfig, &mut Rng),
    ) {
        let (config, rng) = context;
        self.state = TrackerState::Failing;
        self.error = Some(error.to_string().into());
        let doubled = config.retry_first_ms.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause_ms = match error.retry() {
            Some(RetryIn::Never) => {
                self.state = TrackerState::Refused;
                return;
            }
            Some(RetryIn::Minutes(minutes)) => {
                let max_ms = u64::from(config.limits.interval_max_s) * 1000;
                (u64::from(minutes) * 60_000).clamp(config.retry_first_ms, max_ms.max(config.retry_first_ms))
            }
            None => doubled.min(config.retry_max_ms),
        };
        // Up to a quarter more, so that a swarm doesn't come back in one moment.
        let jitter_ms = rng.below(pause_ms / 4 + 1);
        self.not_before = now + Duration::from_millis(pause_ms + jitter_ms);
    }
}
