//! How many bytes may be under way: LEDBAT (BEP 29, RFC 6817). It grows while the path's queues are emptier than the
//! target and shrinks when they are fuller, so that it yields to whoever fills them. Integers only.

use crate::base::Instant;
use core::time::Duration;

/// What one acknowledgement says of the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acked {
    /// Bytes that came to their end.
    pub(super) bytes: u64,
    /// How long packets wait in queues now, in microseconds, if that is known.
    pub(super) queued_us: Option<u32>,
    /// Whether more would have been under way if the window had allowed it.
    pub(super) limited: bool,
}

/// The window of one direction of a stream.
#[derive(Clone, Debug)]
pub(super) struct Ledbat {
    /// Bytes times `SCALE`.
    window: u64,
    threshold: u64,
    slow_start: bool,
    target_us: u64,
    gain: u64,
    packet: u64,
    pause: Pause,
}

/// Now and then a stream is nearly silent for two round trips, so that the queue which it keeps drains and others on the
/// path see how empty it can be. Without that, who comes later takes the queue for the path, and everything for itself.
#[derive(Clone, Copy, Debug)]
enum Pause {
    /// None was needed yet.
    Never,
    /// Silent, since and until when.
    Silent(Instant, Instant),
    /// Growing back to what was, since the silence began then.
    Growing(Instant),
    /// The next one is due then.
    Due(Instant),
}

/// A pause with all that belongs to it takes a tenth of the time, and comes once in so long at most.
const PAUSE_PART: u32 = 9;
const PAUSE_MIN: Duration = Duration::from_secs(2);

const SCALE: u64 = 1 << 12;

/// Windows never grow beyond this. Bytes.
const WINDOW_MAX: u64 = 1 << 30;

/// Packets in the first window (RFC 6928 allows ten).
const FIRST_PACKETS: u64 = 4;

impl Ledbat {
    pub(super) fn new(target_ms: u32, gain_bytes: u32, packet: usize) -> Self {
        let packet = packet as u64;
        Self {
            window: FIRST_PACKETS * packet * SCALE,
            threshold: WINDOW_MAX,
            slow_start: true,
            target_us: (u64::from(target_ms) * 1000).max(1),
            gain: u64::from(gain_bytes),
            packet,
            pause: Pause::Never,
        }
    }

    /// Bytes that may be under way.
    pub(super) fn window(&self) -> u64 {
        self.window / SCALE
    }

    /// The path takes packets of so many bytes.
    pub(super) fn set_packet(&mut self, packet: usize) {
        self.packet = packet as u64;
        self.window = self.window.max(2 * self.packet * SCALE);
    }

    pub(super) fn on_acked(&mut self, now: Instant, acked: Acked, round: Duration) {
        if self.heed_pause(now, acked, round) {
            return;
        }
        let queued = u64::from(acked.queued_us.unwrap_or(0));
        if self.slow_start {
            if queued > self.target_us / 2 {
                self.leave_slow_start(now);
            } else if acked.limited {
                self.window += acked.bytes * SCALE;
                if self.window() >= self.threshold {
                    self.leave_slow_start(now);
                }
            }
            return self.clamp();
        }
        let window = self.window().max(1);
        let bytes = acked.bytes.min(window);
        // In a round trip as many bytes are won, by all alike, as a queue beyond the target takes of each window in
        // proportion, up to a half: so those that share a path come to have windows of one size. A window that isn't
        // used wins nothing.
        let beyond = queued.saturating_sub(self.target_us).min(self.target_us / 2);
        let wins = acked.limited && beyond < self.target_us / 2;
        let gain = if wins { self.gain.max(self.packet) } else { 0 };
        self.window += gain * SCALE * bytes / window;
        self.window -= (bytes * SCALE * beyond / self.target_us).min(self.window / 2);
        self.clamp();
    }

    /// Whether the stream is silent for a pause.
    fn heed_pause(&mut self, now: Instant, acked: Acked, round: Duration) -> bool {
        match self.pause {
            Pause::Silent(began, until) => {
                if now < until {
                    return true;
                }
                self.pause = Pause::Growing(began);
            }
            Pause::Due(at) if at <= now && !self.slow_start && acked.limited => {
                self.threshold = self.window();
                self.slow_start = true;
                self.window = 2 * self.packet * SCALE;
                self.pause = Pause::Silent(now, now + 2 * round);
                return true;
            }
            Pause::Never | Pause::Growing(_) | Pause::Due(_) => {}
        }
        false
    }

    /// A packet was lost, the first one in a round trip.
    pub(super) fn on_loss(&mut self, now: Instant) {
        if matches!(self.pause, Pause::Silent(..)) {
            self.threshold /= 2;
            return;
        }
        self.window /= 2;
        self.clamp();
        self.leave_slow_start(now);
        // What halves the window drains the queue too: no silence is needed for that.
        if let Pause::Due(at) = &mut self.pause {
            *at = (*at).max(now + PAUSE_MIN);
        }
    }

    /// Nothing came back for as long as anything might take.
    pub(super) fn on_timeout(&mut self) {
        self.threshold = (self.window() / 2).max(2 * self.packet);
        self.window = self.packet * SCALE;
        self.slow_start = true;
    }

    fn leave_slow_start(&mut self, now: Instant) {
        self.slow_start = false;
        self.threshold = self.window();
        let took = match self.pause {
            Pause::Growing(began) => now.saturating_since(began),
            Pause::Never => Duration::ZERO,
            Pause::Silent(..) | Pause::Due(_) => return,
        };
        self.pause = Pause::Due(now + (took * PAUSE_PART).max(PAUSE_MIN));
    }

    fn clamp(&mut self) {
        self.window = self.window.clamp(2 * self.packet * SCALE, WINDOW_MAX * SCALE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm(bytes: u64) -> Acked {
        Acked { bytes, queued_us: Some(0), limited: true }
    }

    fn ack(ledbat: &mut Ledbat, acked: Acked) {
        ledbat.on_acked(Instant::ZERO, acked, Duration::from_millis(50));
    }

    fn grown() -> Ledbat {
        let mut ledbat = Ledbat::new(100, 3000, 1000);
        while ledbat.window() < 100_000 {
            ack(&mut ledbat, calm(1000));
        }
        ledbat
    }

    #[test]
    fn the_window_doubles_each_round_trip_until_a_queue_or_a_loss_shows() {
        let mut ledbat = grown();
        let before = ledbat.window();
        for _ in 0..before / 1000 {
            ack(&mut ledbat, calm(1000));
        }
        assert_eq!(ledbat.window(), before * 2);
        ack(&mut ledbat, Acked { queued_us: Some(60_000), ..calm(1000) });
        ack(&mut ledbat, calm(1000));
        assert!(ledbat.window() < before * 2 + 100);
    }

    #[test]
    fn a_round_trip_gains_three_thousand_bytes_and_loses_what_the_queue_is_too_long() {
        let mut ledbat = grown();
        ledbat.on_loss(Instant::ZERO);
        let before = ledbat.window();
        for _ in 0..before / 1000 {
            ack(&mut ledbat, calm(1000));
        }
        assert!((2800..=3000).contains(&(ledbat.window() - before)), "{}", ledbat.window() - before);
        let before = ledbat.window();
        for _ in 0..before / 1000 {
            ack(&mut ledbat, Acked { queued_us: Some(120_000), ..calm(1000) });
        }
        assert!(ledbat.window() < before * 9 / 10, "{}", ledbat.window());
    }

    #[test]
    fn a_window_that_isnt_used_doesnt_grow() {
        let mut ledbat = grown();
        let before = ledbat.window();
        for _ in 0..1000 {
            ack(&mut ledbat, Acked { limited: false, ..calm(1000) });
        }
        assert_eq!(ledbat.window(), before);
    }

    #[test]
    fn now_and_then_it_pauses_for_two_round_trips_and_grows_back() {
        let mut ledbat = grown();
        ledbat.on_loss(Instant::ZERO);
        let before = ledbat.window();
        let mut now = Instant::ZERO + PAUSE_MIN;
        let round = Duration::from_millis(50);
        ledbat.on_acked(now, calm(1000), round);
        assert_eq!(ledbat.window(), 2000);
        now += round;
        ledbat.on_acked(now, calm(1000), round);
        assert_eq!(ledbat.window(), 2000);
        now += round;
        while ledbat.slow_start {
            ledbat.on_acked(now, calm(1000), round);
        }
        assert!(ledbat.window().abs_diff(before) <= 1000);
    }

    #[test]
    fn queues_beyond_the_target_shrink_it_and_it_stays_usable() {
        let mut ledbat = grown();
        for _ in 0..1000 {
            ack(&mut ledbat, Acked { queued_us: Some(400_000), ..calm(1000) });
        }
        assert_eq!(ledbat.window(), 2000);
        ledbat.on_timeout();
        assert_eq!(ledbat.window(), 1000);
    }
}
