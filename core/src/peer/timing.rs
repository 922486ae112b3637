//! When a session has to act though nothing comes: one named slot a deadline. What is due is done by the session.

use super::SessionConfig;
use super::config::ms;
use crate::base::Instant;

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// We were silent for long: a keep-alive is due.
    KeepAlive,
    /// The peer was silent for too long.
    Idle,
    /// The link takes nothing.
    Stalled,
    /// A request waits, or the peer owes a block, for too long.
    Requests,
}

impl Slot {
    pub(super) const ALL: [Self; 4] = [Self::KeepAlive, Self::Idle, Self::Stalled, Self::Requests];
}

/// When what happened last.
#[derive(Debug)]
pub(super) struct Timing {
    sent_at: Instant,
    received_at: Instant,
    wrote_at: Instant,
    /// Bytes handed over and not yet written, and how many of them are blocks.
    unwritten: u64,
    unwritten_payload: u64,
}

impl Timing {
    pub(super) fn new(now: Instant) -> Self {
        Self { sent_at: now, received_at: now, wrote_at: now, unwritten: 0, unwritten_payload: 0 }
    }

    /// When `slot` is due; the requests' is the pipeline's to say.
    pub(super) fn due(
        &self,
        slot: Slot,
        config: &SessionConfig,
        requests: Option<Instant>,
    ) -> Option<Instant> {
        match slot {
            Slot::KeepAlive => Some(self.sent_at + ms(config.keep_alive_ms)),
            Slot::Idle => Some(self.received_at + ms(config.idle_timeout_ms)),
            Slot::Stalled => (self.unwritten > 0).then_some(self.wrote_at + ms(config.write_timeout_ms)),
            Slot::Requests => requests,
        }
    }

    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten
    }

    pub(super) fn on_received(&mut self, now: Instant) {
        self.received_at = now;
    }

    pub(super) fn on_keep_alive(&mut self, now: Instant) {
        self.sent_at = now;
    }

    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64, payload: u64) {
        self.sent_at = now;
        if self.unwritten == 0 {
            self.wrote_at = now;
        }
        self.unwritten += bytes;
        self.unwritten_payload += payload;
    }

    /// Answers how many bytes of blocks were written.
    pub(super) fn on_wrote(&mut self, now: Instant, bytes: u64) -> u64 {
        if bytes > 0 {
            self.wrote_at = now;
        }
        self.unwritten = self.unwritten.saturating_sub(bytes);
        // Headers are a thousandth of what is written: they are counted as if they went last.
        let payload = self.unwritten_payload.min(bytes);
        let payload = if self.unwritten == 0 { self.unwritten_payload } else { payload };
        self.unwritten_payload -= payload;
        payload
    }
}
