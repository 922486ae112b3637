//! How many bytes may be under way: LEDBAT (BEP 29, RFC 6817). It grows while the path's queues are emptier than the
//! target and shrinks when they are fuller, so that it yields to whoever fills them. Integers only.

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
}

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

    pub(super) fn on_acked(&mut self, acked: Acked) {
        let queued = u64::from(acked.queued_us.unwrap_or(0));
        if self.slow_start {
            if queued > self.target_us / 2 {
                self.leave_slow_start();
            } else if acked.limited {
                self.window += acked.bytes * SCALE;
                self.slow_start = self.window() < self.threshold;
            }
            return self.clamp();
        }
        let window = self.window().max(1);
        let bytes = acked.bytes.min(window);
        if queued <= self.target_us {
            // No gain for a window that wasn't used.
            if acked.limited {
                let gain = self.gain.max(self.packet);
                let room = self.target_us - queued;
                self.window += gain * SCALE * bytes / window * room / self.target_us;
            }
        } else {
            // In a round trip, by as large a part as the queue is beyond its target, up to a half: who came first
            // gives way to who comes later.
            let beyond = (queued - self.target_us).min(self.target_us / 2);
            self.window -= (bytes * SCALE * beyond / self.target_us).min(self.window / 2);
        }
        self.clamp();
    }

    /// A packet was lost, the first one in a round trip.
    pub(super) fn on_loss(&mut self) {
        self.window /= 2;
        self.clamp();
        self.leave_slow_start();
    }

    /// Nothing came back for as long as anything might take.
    pub(super) fn on_timeout(&mut self) {
        self.threshold = (self.window() / 2).max(2 * self.packet);
        self.window = self.packet * SCALE;
        self.slow_start = true;
    }

    fn leave_slow_start(&mut self) {
        self.slow_start = false;
        self.threshold = self.window();
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

    fn grown() -> Ledbat {
        let mut ledbat = Ledbat::new(100, 3000, 1000);
        while ledbat.window() < 100_000 {
            ledbat.on_acked(calm(1000));
        }
        ledbat
    }

    #[test]
    fn the_window_doubles_each_round_trip_until_a_queue_or_a_loss_shows() {
        let mut ledbat = grown();
        let before = ledbat.window();
        for _ in 0..before / 1000 {
            ledbat.on_acked(calm(1000));
        }
        assert_eq!(ledbat.window(), before * 2);
        ledbat.on_acked(Acked { queued_us: Some(60_000), ..calm(1000) });
        ledbat.on_acked(calm(1000));
        assert!(ledbat.window() < before * 2 + 100);
    }

    #[test]
    fn without_delay_a_round_trip_gains_three_thousand_bytes_and_at_the_target_none() {
        let mut ledbat = grown();
        ledbat.on_loss();
        let before = ledbat.window();
        for _ in 0..before / 1000 {
            ledbat.on_acked(calm(1000));
        }
        assert!((2800..=3000).contains(&(ledbat.window() - before)), "{}", ledbat.window() - before);
        let before = ledbat.window();
        for _ in 0..before / 1000 {
            ledbat.on_acked(Acked { queued_us: Some(100_000), ..calm(1000) });
        }
        assert_eq!(ledbat.window(), before);
    }

    #[test]
    fn a_window_that_isnt_used_doesnt_grow() {
        let mut ledbat = grown();
        let before = ledbat.window();
        for _ in 0..1000 {
            ledbat.on_acked(Acked { limited: false, ..calm(1000) });
        }
        assert_eq!(ledbat.window(), before);
    }

    #[test]
    fn queues_beyond_the_target_shrink_it_and_it_stays_usable() {
        let mut ledbat = grown();
        for _ in 0..1000 {
            ledbat.on_acked(Acked { queued_us: Some(400_000), ..calm(1000) });
        }
        assert_eq!(ledbat.window(), 2000);
        ledbat.on_timeout();
        assert_eq!(ledbat.window(), 1000);
    }
}
