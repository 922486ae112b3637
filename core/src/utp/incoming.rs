//! The receiving half of a stream: what came in order and waits to be read, what came beyond a gap, and what to say of
//! it. Memory is bounded by the window that we gave.

use super::seq::ahead;
use crate::base::{Chunk, Instant};
use alloc::collections::VecDeque;

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
    /// What came from place `ack + 1` on, which is missing itself.
    beyond: VecDeque<Option<Chunk>>,
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
            beyond: VecDeque::new(),
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
        let is_full = held > self.window as usize && !data.is_empty();
        if at >= PLACES_MAX || is_beyond_end || is_full {
            return self.urgent = true;
        }
        if fin && self.fin.is_none() {
            self.fin = Some(place);
        }
        if at == 0 && self.beyond.is_empty() {
            self.take(data);
            self.urgent |= self.unanswered >= PACKETS_PER_ACK || fin;
            self.due.get_or_insert(later);
            return;
        }
        self.urgent = true;
        if at >= self.beyond.len() {
            self.beyond.resize(at + 1, None);
        }
        let Some(slot) = self.beyond.get_mut(at) else { return };
        if slot.is_some() {
            return;
        }
        // What waits long must not pin a large buffer.
        let data = if self.discards { Chunk::copy_from(&[]) } else { data };
        let data = if at > 0 && data.pinned() > 2 * data.len() { Chunk::copy_from(&data) } else { data };
        self.beyond_bytes += cost(&data);
        *slot = Some(data);
        while let Some(Some(_)) = self.beyond.front() {
            if let Some(data) = self.beyond.pop_front().flatten() {
                self.beyond_bytes -= cost(&data);
                self.take(data);
            }
        }
        if self.beyond.is_empty() {
            self.beyond = VecDeque::new();
        }
    }

    fn take(&mut self, data: Chunk) {
        self.ack = self.ack.wrapping_add(1);
        if self.fin == Some(self.ack) {
            self.ended = true;
            self.beyond.clear();
            self.beyond_bytes = 0;
        }
        if !data.is_empty() && !self.discards {
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
        for data in self.beyond.iter_mut().flatten() {
            *data = Chunk::copy_from(&[]);
        }
        self.beyond_bytes = 0;
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
        if self.beyond.len() < 2 {
            return 0;
        }
        let places = (self.beyond.len() - 1).min(MASK_BYTES_MAX * 8);
        let bytes = places.div_ceil(32) * 4;
        out.iter_mut().take(bytes).for_each(|byte| *byte = 0);
        for (n, _) in self.beyond.iter().skip(1).take(places).enumerate().filter(|(_, slot)| slot.is_some()) {
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
