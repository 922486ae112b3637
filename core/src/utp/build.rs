//! What leaves a stream: put together when the driver asks for it, so that timestamps and acknowledgements are fresh.

use super::config::UtpConfig;
use super::incoming::MASK_BYTES_MAX;
use super::outgoing::Next;
use super::stream::{State, Stream, WORTH};
use crate::base::Instant;
use crate::wire::utp::{ABILITIES, HEADER_BYTES, Header, Kind, PADDING, SELECTIVE_ACK, TAKES_LARGE};

/// Packets in one run at most: what kernels take in one call.
const RUN_PACKETS_MAX: usize = 64;

/// A probe larger than an Ethernet frame carries next to nothing but padding: who cuts it silently short can't take
/// the rest for a whole packet.
const CUT_FREE_BYTES: usize = 1472;

/// Bytes of the abilities as an extension.
const ABLE_BYTES: usize = 2 + TAKES_LARGE.len();

/// A run of packets, put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) bytes: usize,
    /// Bytes of each but the last, if there are several.
    pub(super) stride: Option<u16>,
    pub(super) dont_fragment: bool,
}

impl Run {
    fn one(bytes: usize) -> Self {
        Self { bytes, stride: None, dont_fragment: false }
    }
}

impl Stream {
    /// The next packets, into `out`; `None` if nothing is to be sent now.
    pub(super) fn build(&mut self, now: Instant, out: &mut [u8], config: &UtpConfig) -> Option<Run> {
        let unsent = self.outgoing.unsent();
        let run = match self.state {
            State::Calling if self.call_due => {
                self.call_due = false;
                Some(self.put_call(now, out))
            }
            State::Called if self.incoming.wants_ack(now) => Some(self.put_state(now, out, false)),
            State::Open => self.build_open(now, out),
            State::Calling | State::Called | State::Closed(_) => None,
        };
        if run.is_some() {
            self.sent_at = now;
        }
        self.tidings.writable |= self.outgoing.unsent() < unsent && self.space(config) > 0;
        run
    }

    fn build_open(&mut self, now: Instant, out: &mut [u8]) -> Option<Run> {
        // Payload says up to where all came; what came beyond a gap is said alone.
        if self.incoming.wants_ack(now) && !self.incoming.ack_is_all() {
            return Some(self.put_state(now, out, true));
        }
        if let Some(run) = self.build_probe(now, out) {
            return Some(run);
        }
        let run = self.build_payload(now, out);
        if run.is_some() {
            return run;
        }
        self.incoming.wants_ack(now).then(|| self.put_state(now, out, false))
    }

    fn header(&self, now: Instant, kind: Kind, seq: u16) -> Header {
        Header {
            kind,
            connection_id: self.ends.send_id,
            timestamp: now.as_micros() as u32,
            timestamp_difference: self.reply,
            window: self.incoming.window(),
            seq,
            ack: self.incoming.ack,
        }
    }

    fn put_call(&self, now: Instant, out: &mut [u8]) -> Run {
        let seq = self.outgoing.next_place().wrapping_sub(1);
        let mut header = self.header(now, Kind::Syn, seq);
        (header.connection_id, header.ack) = (self.ends.receive_id, 0);
        put_able(out, &header)
    }

    fn put_state(&mut self, now: Instant, out: &mut [u8], masked: bool) -> Run {
        let header = self.header(now, Kind::State, self.outgoing.next_place());
        let mut mask = [0; MASK_BYTES_MAX];
        let mask_bytes = if masked { self.incoming.mask(&mut mask) } else { 0 };
        self.incoming.on_answered();
        if self.state == State::Called && self.takes_large {
            // As long as the call, which said the same.
            return put_able(out, &header);
        }
        if mask_bytes == 0 {
            put(out, 0, &header.encode(0));
            return Run::one(HEADER_BYTES);
        }
        put(out, 0, &header.encode(SELECTIVE_ACK));
        put(out, HEADER_BYTES, &[0, mask_bytes as u8]);
        put(out, HEADER_BYTES + 2, mask.get(..mask_bytes).unwrap_or_default());
        Run::one(HEADER_BYTES + 2 + mask_bytes)
    }

    /// A packet that tries whether the path takes a larger one. Only in a stream that has enough to send.
    ///
    /// The padding hides behind an extension that everyone knows: libutp drops packets whose first one it doesn't.
    fn build_probe(&mut self, now: Instant, out: &mut [u8]) -> Option<Run> {
        let unsent = self.outgoing.unsent() as usize;
        if unsent < self.mtu.size() {
            return None;
        }
        let size = self.mtu.next_probe().filter(|&size| size <= out.len())?;
        if self.outgoing.next() != Some(Next::Fresh(unsent as u64)) || size as u64 > self.room() {
            return None;
        }
        let fitting = self.mtu.size().saturating_sub(HEADER_BYTES + ABLE_BYTES + 2);
        let payload = if size > CUT_FREE_BYTES { 1 } else { fitting.min(unsent) };
        let offset = self.outgoing.end_of_sent();
        self.begin_waiting(now);
        let place = self.outgoing.on_sent(now, (payload, size), true);
        put(out, 0, &self.header(now, Kind::Data, place).encode(ABILITIES));
        let body = out.get_mut(HEADER_BYTES..size)?;
        let (padding, data) = body.split_at_mut_checked(size - HEADER_BYTES - payload)?;
        let (able, padding) = padding.split_at_mut_checked(ABLE_BYTES)?;
        put_abilities(able, PADDING);
        pad(padding);
        self.outgoing.copy(offset, data);
        self.mtu.on_probe_sent(size);
        self.incoming.on_answered();
        Some(Run { dont_fragment: true, ..Run::one(size) })
    }

    /// As many packets of one size as may leave.
    fn build_payload(&mut self, now: Instant, out: &mut [u8]) -> Option<Run> {
        let mut stride = 0;
        let mut bytes = 0;
        for n in 0..RUN_PACKETS_MAX {
            let rest = out.get_mut(bytes..).unwrap_or_default();
            let most = if n == 0 { rest.len() } else { rest.len().min(stride) };
            let Some(size) = self.put_packet(now, rest, (most, n)) else { break };
            bytes += size;
            if n == 0 {
                stride = size;
            } else if size < stride {
                break;
            }
        }
        if bytes == 0 {
            return None;
        }
        if self.incoming.ack_is_all() {
            self.incoming.on_answered();
        }
        let stride = u16::try_from(stride).ok().filter(|_| bytes > stride);
        Some(Run { bytes, stride, dont_fragment: false })
    }

    /// One packet of at most `most` bytes, the `n`-th of a run; answers how many it took.
    fn put_packet(&mut self, now: Instant, out: &mut [u8], (most, n): (usize, usize)) -> Option<usize> {
        match self.outgoing.next() {
            Some(Next::Again(place)) => {
                let sent = self.outgoing.sent(place)?;
                let (payload, offset, fin) = (sent.payload as usize, sent.offset, sent.fin);
                let size = HEADER_BYTES + payload;
                let may = self.may_repair || self.outgoing.under_way() == 0;
                if size > most || !(may || size as u64 <= self.window_room()) {
                    return None;
                }
                self.may_repair = false;
                let kind = if fin { Kind::Fin } else { Kind::Data };
                put(out, 0, &self.header(now, kind, place).encode(0));
                self.outgoing.copy(offset, out.get_mut(HEADER_BYTES..size)?);
                self.begin_waiting(now);
                self.outgoing.on_sent_again(now, place, size);
                Some(size)
            }
            Some(Next::Fresh(unsent)) => {
                let payload = self.fresh_payload(unsent, most)?;
                let size = HEADER_BYTES + payload;
                let offset = self.outgoing.end_of_sent();
                self.begin_waiting(now);
                let place = self.outgoing.on_sent(now, (payload, size), false);
                put(out, 0, &self.header(now, Kind::Data, place).encode(0));
                self.outgoing.copy(offset, out.get_mut(HEADER_BYTES..size)?);
                Some(size)
            }
            Some(Next::Fin) if n == 0 => {
                self.begin_waiting(now);
                let place = self.outgoing.on_fin_sent(now, HEADER_BYTES);
                put(out, 0, &self.header(now, Kind::Fin, place).encode(0));
                Some(HEADER_BYTES)
            }
            Some(Next::Fin) => None,
            None => {
                self.limited = false;
                None
            }
        }
    }

    /// How much new payload may leave in one packet now.
    fn fresh_payload(&mut self, unsent: u64, most: usize) -> Option<usize> {
        let full = self.mtu.size();
        let wanted = (unsent as usize).min(full - HEADER_BYTES);
        let is_first = self.outgoing.under_way() == 0;
        let size = HEADER_BYTES + wanted;
        if core::mem::take(&mut self.may_ask_window) {
            return Some(wanted.min(WORTH as usize).min(most.checked_sub(HEADER_BYTES)?));
        }
        // One that isn't full waits for the one before it (Nagle, as Minshall has it), unless it is the last.
        if size < full && self.outgoing.has_small(full) {
            self.limited = false;
            return None;
        }
        if size as u64 <= self.room() {
            return (size <= most).then_some(wanted);
        }
        self.limited = self.window_room() < size as u64;
        if !is_first {
            return None;
        }
        // Nothing is under way: what the other side takes is sent even if it is little, but not next to nothing.
        let takes = (self.peer_window as usize).min(wanted);
        (takes >= (WORTH as usize).min(wanted) && takes + HEADER_BYTES <= most).then_some(takes)
    }

    /// Bytes that our window lets leave.
    fn window_room(&self) -> u64 {
        self.ledbat.window().saturating_sub(self.outgoing.under_way())
    }

    /// Bytes that may leave.
    fn room(&self) -> u64 {
        let takes = u64::from(self.peer_window).saturating_sub(self.outgoing.unanswered());
        self.window_room().min(takes)
    }

    fn begin_waiting(&mut self, now: Instant) {
        if !self.outgoing.is_waiting() {
            self.waits_from = now;
        }
    }
}

/// A call, or its answer, with what we can do.
fn put_able(out: &mut [u8], header: &Header) -> Run {
    put(out, 0, &header.encode(ABILITIES));
    put_abilities(out.get_mut(HEADER_BYTES..).unwrap_or_default(), 0);
    Run::one(HEADER_BYTES + ABLE_BYTES)
}

/// The extension that says what we can do; `next` is the number of the one behind it.
fn put_abilities(out: &mut [u8], next: u8) {
    put(out, 0, &[next, TAKES_LARGE.len() as u8]);
    put(out, 2, &TAKES_LARGE);
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = out.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// Fills `out`, at least two bytes, with a chain of extensions that mean nothing.
fn pad(mut out: &mut [u8]) {
    while let Some((head, rest)) = out.split_first_chunk_mut::<2>() {
        let mut body = rest.len().min(255);
        if rest.len() - body == 1 {
            body -= 1;
        }
        let is_last = rest.len() == body;
        *head = [if is_last { 0 } else { PADDING }, body as u8];
        let (zeros, next) = rest.split_at_mut(body);
        zeros.fill(0);
        out = next;
    }
}
