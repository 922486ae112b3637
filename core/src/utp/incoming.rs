//! The receiving half of a stream: what came in order and waits to be read, what came beyond a gap, and what to say of
//! it. Memory is bounded by the window that we gave.

use super::seq::ahead;
use crate::base::{Chunk, Instant};
use alloc::collections::VecDeque;
use alloc::collections::btree_map::{BTreeMap, Entry};

/// Places beyond a gap that are kept at most: the window bounds bytes, this bounds tiny packets.
const PLACES_MAX: usize = 8192;

/// Bytes of a mask at most, as an extension's length allows, in whole words.
pub(super) const MASK_BYTES_MAX: usize = 252;

/// Packets that one acknowledgement may answer before it is sent at once.
const PACKETS_PER_ACK: u32 = 2;

/// The least that a piece of data takes in memory, in bytes.
const COST_MIN: usize = 64;

/// The receiving half.
#[derive(Debug)]
pub(super) struct Incoming {
    /// All up to this place has come.
    pub(super) ack: u16,
    /// Packets taken in order so far, which is what `ack` is without the wrapping.
    taken: u64,
    /// What came beyond a gap, numbered as `taken` is; none without payload. Number `taken + 1` is missing.
    beyond: BTreeMap<u64, Option<Chunk>>,
    beyond_bytes: usize,
    ready: VecDeque<Chunk>,
    ready_bytes: usize,
    window: u32,
    /// The place of the other side's end.
    fin: Option<u16>,
    ended: bool,
    /// Nobody will read: what comes is acknowledged and dropped.
    discards: bool,
    /// Packets that no acknowledgement has answered.
    unanswered: u32,
    /// When one must.
    pub(super) due: Option<Instant>,
    /// An acknowledgement is due now.
    urgent: bool,
    /// The window that the other side knows.
    told: u32,
}

impl Incoming {
    pub(super) fn new(ack: u16, window: u32) -> Self {
        Self {
            ack,
            taken: 0,
            beyond: BTreeMap::new(),
            beyond_bytes: 0,
            ready: VecDeque::new(),
            ready_bytes: 0,
            window,
            fin: None,
            ended: false,
            discards: false,
            unanswered: 0,
            due: None,
            urgent: false,
            told: window,
        }
    }

    /// A packet with payload, or the end, came. `later`: when its answer is due at the latest.
    pub(super) fn on_packet(&mut self, place: u16, data: Chunk, fin: bool, later: Instant) {
        let distance = ahead(place, self.ack);
        self.unanswered += 1;
        if distance <= 0 || self.ended {
            // It came before: the answer was lost.
            return self.urgent = true;
        }
        let at = distance as usize - 1;
        let is_beyond_end = self.fin.is_some_and(|end| ahead(place, end) > 0);
        // What fills the gap is always taken: all that waits beyond it waits for that.
        let held = self.ready_bytes + if at == 0 { 0 } else { self.beyond_bytes };
        let always_fits = data.is_empty() && (at == 0 || fin);
        let is_full = held > self.window as usize && !always_fits;
        if at >= PLACES_MAX || is_beyond_end || is_full {
            return self.urgent = true;
        }
        if fin && self.fin.is_none() {
            self.fin = Some(place);
        }
        if at > 0 {
            self.urgent = true;
            return self.keep(self.taken + 1 + at as u64, data);
        }
        if self.beyond.is_empty() {
            self.urgent |= self.unanswered >= PACKETS_PER_ACK || fin;
            self.due.get_or_insert(later);
        } else {
            self.urgent = true;
        }
        self.take(Some(data));
        while let Some(data) = self.beyond.remove(&(self.taken + 1)) {
            self.beyond_bytes -= cost_beyond(data.as_ref());
            self.take(data);
        }
    }

    /// Keeps what came beyond a gap.
    fn keep(&mut self, number: u64, data: Chunk) {
        let Entry::Vacant(place) = self.beyond.entry(number) else { return };
        // What waits long must not pin a large buffer.
        let slim = |data: Chunk| if data.pinned() > 2 * data.len() { Chunk::copy_from(&data) } else { data };
        let data = Some(data).filter(|data| !data.is_empty() && !self.discards).map(slim);
        self.beyond_bytes += cost_beyond(data.as_ref());
        place.insert(data);
    }

    fn take(&mut self, data: Option<Chunk>) {
        self.ack = self.ack.wrapping_add(1);
        self.taken += 1;
        if self.fin == Some(self.ack) {
            self.ended = true;
            self.beyond.clear();
            self.beyond_bytes = 0;
        }
        if let Some(data) = data.filter(|data| !data.is_empty() && !self.discards) {
            self.ready_bytes += cost(&data);
            self.ready.push_back(data);
        }
    }

    /// The next bytes, as they came.
    pub(super) fn read(&mut self) -> Option<Chunk> {
        let data = self.ready.pop_front()?;
        self.ready_bytes -= cost(&data);
        Some(data)
    }

    /// Nobody will read any more: what waits and what comes is dropped, and acknowledged as ever.
    pub(super) fn discard(&mut self) {
        (self.ready, self.ready_bytes, self.discards) = (VecDeque::new(), 0, true);
        self.beyond.values_mut().for_each(|data| *data = None);
        self.beyond_bytes = self.beyond.len() * COST_MIN;
    }

    /// Whether something waits to be read.
    pub(super) fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether the other side has sent all it will, and it came.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// What the other side may send beyond what is acknowledged.
    pub(super) fn window(&self) -> u32 {
        self.window.saturating_sub(u32::try_from(self.ready_bytes).unwrap_or(u32::MAX))
    }

    /// Whether an acknowledgement should leave now. Small changes of the window are no news (the silly window).
    pub(super) fn wants_ack(&self, now: Instant) -> bool {
        let opened = self.told < self.window / 2 && self.window() >= self.told + self.window / 4;
        self.urgent || opened || self.due.is_some_and(|due| due <= now)
    }

    /// Whether an acknowledgement is due now.
    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Time passed.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        self.urgent |= self.due.take_if(|due| *due <= now).is_some();
    }

    /// Lets an acknowledgement leave even if nothing asks for it.
    pub(super) fn answer_now(&mut self) {
        self.urgent = true;
    }

    /// Whether a place alone says all that there is to acknowledge.
    pub(super) fn ack_is_all(&self) -> bool {
        self.beyond.is_empty()
    }

    /// An acknowledgement leaves.
    pub(super) fn on_answered(&mut self) {
        (self.unanswered, self.due, self.urgent, self.told) = (0, None, false, self.window());
    }

    /// Which places from `ack + 2` on have come; answers how many bytes of `out` that takes, in whole words.
    pub(super) fn mask(&self, out: &mut [u8; MASK_BYTES_MAX]) -> usize {
        let Some((&last, _)) = self.beyond.last_key_value() else { return 0 };
        let first = self.taken + 2;
        let places = ((last + 1 - first) as usize).min(MASK_BYTES_MAX * 8);
        let bytes = places.div_ceil(32) * 4;
        out.iter_mut().take(bytes).for_each(|byte| *byte = 0);
        for (number, _) in self.beyond.range(first..first + places as u64) {
            let n = (number - first) as usize;
            if let Some(byte) = out.get_mut(n / 8) {
                *byte |= 1 << (n % 8);
            }
        }
        bytes
    }
}

/// What data that waits takes of the window, in bytes: single bytes cost a hundred times what they bring.
fn cost(data: &Chunk) -> usize {
    if data.is_empty() { 0 } else { data.len().max(COST_MIN) }
}

/// The same beyond a gap, where a packet without payload holds its place too.
fn cost_beyond(data: Option<&Chunk>) -> usize {
    data.map_or(COST_MIN, cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(window: u32, places: impl Iterator<Item = u16>, data: &[u8]) -> Incoming {
        let mut incoming = Incoming::new(0, window);
        places.for_each(|place| incoming.on_packet(place, Chunk::copy_from(data), false, Instant::ZERO));
        incoming
    }

    #[test]
    fn one_datagram_far_beyond_a_gap_holds_one_place() {
        assert_eq!(filled(1 << 20, 8000..=8000, b"x").beyond.len(), 1);
    }

    #[test]
    fn packets_without_payload_beyond_a_gap_fill_the_window_too_and_the_end_still_fits() {
        let mut incoming = filled(64 << 10, 2..8000, b"");
        assert!((1000..=1025).contains(&incoming.beyond.len()), "{}", incoming.beyond.len());
        incoming.on_packet(8000, Chunk::copy_from(b""), true, Instant::ZERO);
        assert_eq!(incoming.fin, Some(8000));
        assert!(!incoming.is_ended());
        incoming.discard();
        for place in 1..=8000 {
            incoming.on_packet(place, Chunk::copy_from(b""), place == 8000, Instant::ZERO);
        }
        assert!(incoming.is_ended() && incoming.ack_is_all());
        assert_eq!((incoming.ack, incoming.beyond_bytes), (8000, 0));
    }

    #[test]
    fn bep_0029_the_mask_begins_two_behind_what_is_acknowledged_though_places_wrap() {
        let mut incoming = Incoming::new(65_530, 1 << 20);
        for place in [65_531, 65_533, 65_535, 1, 40] {
            incoming.on_packet(place, Chunk::copy_from(b"x"), false, Instant::ZERO);
        }
        let mut mask = [0xff; MASK_BYTES_MAX];
        assert_eq!((incoming.ack, incoming.mask(&mut mask)), (65_531, 8));
        // Places from 65,533 on: 65,533, 65,535, 1 and 40.
        assert_eq!(mask[..8], [0b0001_0101, 0, 0, 0, 0, 0b0000_1000, 0, 0]);
    }
}
