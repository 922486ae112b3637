//! The sending half of a stream: bytes that wait, packets under way, what acknowledgements say of them, and which are
//! lost. How much may be under way is decided in `ledbat`, what a packet looks like in `build`.

use super::seq::{after, ahead};
use crate::base::{Chunk, Instant};
use alloc::collections::VecDeque;
use core::time::Duration;

/// Packets received beyond one that wasn't until it is taken for lost (BEP 29).
const DUPLICATES: usize = 3;

/// Packets under way at most: far less than half of the places that there are.
pub(super) const PACKETS_MAX: usize = 16_000;

/// How far behind the newest an acknowledgement may be and still be taken for a late one: what paths put out of order.
/// More lets strangers who don't know our places guess them.
const HISTORY: u16 = 512;

/// How a packet under way fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody knows.
    Out,
    /// It came, though not all before it did.
    Received,
    /// It is to be sent again.
    Lost,
}

/// A packet that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Where its payload begins in the stream.
    pub(super) offset: u64,
    pub(super) payload: u32,
    /// The whole datagram, in bytes.
    pub(super) bytes: u32,
    at: Instant,
    again: bool,
    fate: Fate,
    pub(super) fin: bool,
    probe: bool,
}

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    /// Bytes of datagrams that are known to have come for the first time.
    pub(super) bytes: u64,
    /// Bytes of payload that nothing is missing before any more.
    pub(super) delivered: u64,
    pub(super) rtt: Option<Duration>,
    /// A packet was found lost, for the first time in this round trip.
    pub(super) loss: bool,
    pub(super) probe_acked: bool,
    pub(super) probe_lost: bool,
    /// It was overtaken: what else the packet says is of the past.
    pub(super) late: bool,
}

/// What can be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A lost packet, again.
    Again(u16),
    /// So many bytes of new payload wait.
    Fresh(u64),
    /// The end.
    Fin,
}

/// The sending half.
#[derive(Debug)]
pub(super) struct Outgoing {
    chunks: VecDeque<Chunk>,
    /// Where in the stream the first of them begins.
    base: u64,
    /// Where in the stream the last of them ends.
    end: u64,
    /// Where in the stream the first byte lies that was never sent: which chunk, and where it begins in the stream.
    fresh: u64,
    fresh_chunk: (usize, u64),
    ring: VecDeque<Sent>,
    /// The place of the ring's first packet.
    first: u16,
    /// Places before the first that an acknowledgement may still name: those that there were, and not too many.
    history: u16,
    under_way: u64,
    lost: VecDeque<u16>,
    /// Packets sent again, in the order of that.
    again: VecDeque<(u16, Instant)>,
    /// Places before this one are judged: received, lost, or younger than what they are judged by.
    judged: u16,
    duplicates: usize,
    /// When the youngest of the packets that came was sent.
    delivered_at: Instant,
    /// Losses of packets before this place belong to a round trip that has paid for one.
    paid_until: u16,
    finish: bool,
    fin_sent: bool,
}

impl Outgoing {
    /// Nothing sent; `first` is the place of the first packet.
    pub(super) fn new(first: u16) -> Self {
        Self {
            chunks: VecDeque::new(),
            base: 0,
            end: 0,
            fresh: 0,
            fresh_chunk: (0, 0),
            ring: VecDeque::new(),
            first,
            history: 0,
            under_way: 0,
            lost: VecDeque::new(),
            again: VecDeque::new(),
            judged: first,
            duplicates: 0,
            delivered_at: Instant::ZERO,
            paid_until: first,
            finish: false,
            fin_sent: false,
        }
    }

    /// Lets bytes wait.
    pub(super) fn write(&mut self, data: Chunk) {
        if !data.is_empty() && !self.finish {
            self.end += data.len() as u64;
            self.chunks.push_back(data);
        }
    }

    /// Nothing will be written any more.
    pub(super) fn finish(&mut self) {
        self.finish = true;
    }

    /// Bytes never sent.
    pub(super) fn unsent(&self) -> u64 {
        self.end - self.fresh
    }

    /// Bytes of datagrams under way.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// Where in the stream the next new payload begins.
    pub(super) fn end_of_sent(&self) -> u64 {
        self.fresh
    }

    /// Bytes of payload sent that aren't acknowledged in order: what they take of the other side's window.
    pub(super) fn unanswered(&self) -> u64 {
        self.ring.front().map_or(0, |sent| self.fresh - sent.offset)
    }

    /// Whether everything, the end included, came to the other side.
    pub(super) fn is_done(&self) -> bool {
        self.fin_sent && self.ring.is_empty()
    }

    /// Whether anything sent isn't acknowledged.
    pub(super) fn is_waiting(&self) -> bool {
        !self.ring.is_empty()
    }

    /// The place of the next new packet.
    pub(super) fn next_place(&self) -> u16 {
        self.first.wrapping_add(self.ring.len() as u16)
    }

    /// Whether a packet of not long ago can have had this place. What is no payload has the next payload's.
    pub(super) fn may_have_sent(&self, place: u16) -> bool {
        let beyond = ahead(place, self.first.wrapping_sub(1));
        let most = if beyond < 0 { usize::from(self.history) } else { self.ring.len() + 1 };
        usize::from(beyond.unsigned_abs()) <= most
    }

    /// Whether a small packet is under way: another one waits for it, so that small ones stay few.
    pub(super) fn has_small(&self, full: usize) -> bool {
        self.ring.back().is_some_and(|sent| sent.fate == Fate::Out && (sent.bytes as usize) < full)
    }

    /// What to send next, lost packets first.
    pub(super) fn next(&mut self) -> Option<Next> {
        while let Some(&place) = self.lost.front() {
            if self.sent(place).is_some_and(|sent| sent.fate == Fate::Lost) {
                return Some(Next::Again(place));
            }
            self.lost.pop_front();
        }
        if self.ring.len() >= PACKETS_MAX {
            None
        } else if self.unsent() > 0 {
            Some(Next::Fresh(self.unsent()))
        } else {
            (self.finish && !self.fin_sent).then_some(Next::Fin)
        }
    }

    /// The packet at a place, if it is under way.
    pub(super) fn sent(&self, place: u16) -> Option<&Sent> {
        self.ring.get(usize::from(place.wrapping_sub(self.first)))
    }

    /// A new packet leaves, with the next `payload` bytes; `bytes` is the whole datagram. Answers its place.
    pub(super) fn on_sent(&mut self, now: Instant, (payload, bytes): (usize, usize), probe: bool) -> u16 {
        let place = self.next_place();
        self.ring.push_back(Sent {
            offset: self.fresh,
            payload: payload as u32,
            bytes: bytes as u32,
            at: now,
            again: false,
            fate: Fate::Out,
            fin: false,
            probe,
        });
        self.under_way += bytes as u64;
        self.fresh += payload as u64;
        while let Some(chunk) = self.chunks.get(self.fresh_chunk.0) {
            let ends = self.fresh_chunk.1 + chunk.len() as u64;
            if self.fresh < ends {
                break;
            }
            self.fresh_chunk = (self.fresh_chunk.0 + 1, ends);
        }
        place
    }

    /// The end leaves. Answers its place.
    pub(super) fn on_fin_sent(&mut self, now: Instant, bytes: usize) -> u16 {
        let place = self.on_sent(now, (0, bytes), false);
        if let Some(sent) = self.ring.back_mut() {
            sent.fin = true;
        }
        self.fin_sent = true;
        place
    }

    /// A lost packet leaves again, as a datagram of so many bytes.
    pub(super) fn on_sent_again(&mut self, now: Instant, place: u16, bytes: usize) {
        self.lost.pop_front();
        let at = usize::from(place.wrapping_sub(self.first));
        let Some(sent) = self.ring.get_mut(at) else { return };
        sent.fate = Fate::Out;
        (sent.at, sent.again, sent.probe, sent.bytes) = (now, true, false, bytes as u32);
        self.under_way += bytes as u64;
        self.again.push_back((place, now));
    }

    /// Copies payload that begins at `offset` of the stream.
    pub(super) fn copy(&self, offset: u64, mut out: &mut [u8]) {
        // New payload is what is asked for most.
        let (mut at, mut begins) = self.fresh_chunk;
        if offset < begins {
            (at, begins) = (0, self.base);
        }
        while !out.is_empty() {
            let Some(chunk) = self.chunks.get(at) else { return };
            let ends = begins + chunk.len() as u64;
            if offset < ends {
                let skip = offset.saturating_sub(begins) as usize;
                let from = chunk.get(skip..).unwrap_or_default();
                let n = from.len().min(out.len());
                let (head, tail) = out.split_at_mut(n);
                head.copy_from_slice(from.get(..n).unwrap_or_default());
                out = tail;
            }
            (at, begins) = (at + 1, ends);
        }
    }

    /// An acknowledgement came: all up to `ack`, and what the mask names beyond. `None` if it names what was never sent, or
    /// what was answered long ago.
    /// `alone`: it came with nothing else, so that seeing it again means that packets arrive behind a gap.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        ack: u16,
        mask: Option<&[u8]>,
        alone: bool,
    ) -> Option<News> {
        let mut news = News::default();
        let gained = ahead(ack, self.first.wrapping_sub(1));
        if gained < 0 && gained.unsigned_abs() > self.history {
            return None;
        }
        news.late = gained < 0;
        if gained > 0 {
            if usize::from(gained.cast_unsigned()) > self.ring.len() {
                return None;
            }
            for _ in 0..gained {
                self.pop(now, &mut news);
            }
            self.release();
            self.duplicates = 0;
            while self.again.front().is_some_and(|&sent| !self.is_out(sent)) {
                self.again.pop_front();
            }
        } else if gained == 0 && alone && !self.ring.is_empty() {
            self.duplicates += 1;
        }
        if gained >= 0 {
            if let Some(mask) = mask {
                self.heed(now, mask, &mut news);
            } else if self.duplicates >= DUPLICATES {
                self.duplicates = 0;
                let first = self.first;
                if self.sent(first).is_some_and(|sent| !sent.again) {
                    self.lose(first, &mut news);
                }
            }
        }
        Some(news)
    }

    fn pop(&mut self, now: Instant, news: &mut News) {
        let Some(sent) = self.ring.pop_front() else { return };
        self.first = self.first.wrapping_add(1);
        self.history = HISTORY.min(self.history + 1);
        news.delivered += u64::from(sent.payload);
        if sent.fate != Fate::Received {
            if sent.fate == Fate::Out {
                self.under_way -= u64::from(sent.bytes);
            }
            self.credit(now, &sent, news);
        }
        // Neither may fall behind by half of all places: it would seem to be ahead.
        for place in [&mut self.judged, &mut self.paid_until] {
            if after(self.first, *place) {
                *place = self.first;
            }
        }
    }

    /// A packet came to the other side.
    fn credit(&mut self, now: Instant, sent: &Sent, news: &mut News) {
        news.bytes += u64::from(sent.bytes);
        news.probe_acked |= sent.probe;
        if !sent.again {
            news.rtt = Some(now.saturating_since(sent.at));
            self.delivered_at = self.delivered_at.max(sent.at);
        }
    }

    /// Lets go of payload that nothing is missing before.
    fn release(&mut self) {
        let kept_from = self.ring.front().map_or(self.fresh, |sent| sent.offset);
        while let Some(chunk) = self.chunks.front() {
            let ends = self.base + chunk.len() as u64;
            if ends > kept_from {
                break;
            }
            self.base = ends;
            self.chunks.pop_front();
            self.fresh_chunk.0 -= 1;
        }
    }

    /// Heeds a mask: bits of packets that were never sent mean nothing.
    fn heed(&mut self, now: Instant, mask: &[u8], news: &mut News) {
        let mut last = None;
        let mut count = 0;
        for (n, &byte) in mask.iter().enumerate() {
            let mut bits = byte;
            while bits != 0 {
                let at = n * 8 + bits.trailing_zeros() as usize + 1;
                bits &= bits - 1;
                let Some(sent) = self.ring.get_mut(at) else { return self.judge(now, (last, count), news) };
                count += 1;
                last = Some(at);
                if sent.fate == Fate::Received {
                    continue;
                }
                if core::mem::replace(&mut sent.fate, Fate::Received) == Fate::Out {
                    self.under_way -= u64::from(sent.bytes);
                }
                let sent = sent.clone();
                self.credit(now, &sent, news);
            }
        }
        self.judge(now, (last, count), news);
    }

    /// Finds packets that at least three later ones overtook, and those sent again that were overtaken since.
    fn judge(&mut self, now: Instant, (last, count): (Option<usize>, usize), news: &mut News) {
        let Some(mut at) = last.filter(|_| count >= DUPLICATES) else { return };
        // From the last one back to the third received one: those before it have three received behind them.
        let mut behind = 0;
        while behind < DUPLICATES {
            behind += usize::from(self.ring.get(at).is_some_and(|sent| sent.fate == Fate::Received));
            if at == 0 || behind == DUPLICATES {
                break;
            }
            at -= 1;
        }
        let until = self.first.wrapping_add(at as u16);
        while after(until, self.judged) {
            let place = self.judged;
            self.judged = place.wrapping_add(1);
            if self.sent(place).is_some_and(|sent| sent.fate == Fate::Out && !sent.again) {
                self.lose(place, news);
            }
        }
        self.judge_again(now, news);
    }

    /// A packet sent again is lost again if one that was sent clearly later came.
    fn judge_again(&mut self, now: Instant, news: &mut News) {
        while let Some(&(place, at)) = self.again.front() {
            if self.is_out((place, at)) {
                let round = news.rtt.unwrap_or_else(|| now.saturating_since(self.delivered_at));
                if self.delivered_at < at + round / 4 {
                    return;
                }
                self.lose(place, news);
            }
            self.again.pop_front();
        }
    }

    /// Whether nobody knows of a packet that was sent again then.
    fn is_out(&self, (place, at): (u16, Instant)) -> bool {
        self.sent(place).is_some_and(|sent| sent.fate == Fate::Out && sent.at == at)
    }

    fn lose(&mut self, place: u16, news: &mut News) {
        let next = self.next_place();
        let at = usize::from(place.wrapping_sub(self.first));
        let Some(sent) = self.ring.get_mut(at) else { return };
        if sent.fate != Fate::Out {
            return;
        }
        sent.fate = Fate::Lost;
        self.under_way -= u64::from(sent.bytes);
        self.lost.push_back(place);
        if core::mem::take(&mut sent.probe) {
            // It was larger than the path's packets: that says nothing of queues.
            news.probe_lost = true;
        } else if !after(self.paid_until, place) {
            self.paid_until = next;
            news.loss = true;
        }
    }

    /// Nothing came back in time: all that isn't known to have come is lost.
    pub(super) fn on_timeout(&mut self) {
        self.lost.clear();
        self.again.clear();
        for at in 0..self.ring.len() {
            let place = self.first.wrapping_add(at as u16);
            let Some(sent) = self.ring.get_mut(at) else { return };
            if sent.fate == Fate::Received {
                continue;
            }
            if sent.fate == Fate::Out {
                self.under_way -= u64::from(sent.bytes);
            }
            (sent.fate, sent.probe) = (Fate::Lost, false);
            self.lost.push_back(place);
        }
        self.judged = self.next_place();
        self.paid_until = self.next_place();
        self.duplicates = 0;
    }

    /// A long silence: the last packet is sent again, since nothing behind it can tell that it was lost.
    pub(super) fn on_silence(&mut self) {
        let Some(sent) = self.ring.back_mut() else { return };
        if sent.fate == Fate::Out && self.lost.is_empty() {
            sent.fate = Fate::Lost;
            self.under_way -= u64::from(sent.bytes);
            let last = self.next_place().wrapping_sub(1);
            self.lost.push_back(last);
        }
    }

    /// The datagram at this place was refused by our own host as too large.
    pub(super) fn on_refused(&mut self, bytes: usize) -> bool {
        let at = self.ring.iter().rposition(|sent| sent.bytes as usize == bytes && sent.fate == Fate::Out);
        let Some(at) = at else { return false };
        let place = self.first.wrapping_add(at as u16);
        if let Some(sent) = self.ring.get_mut(at) {
            (sent.fate, sent.probe) = (Fate::Lost, false);
            self.under_way -= u64::from(sent.bytes);
            self.lost.push_back(place);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(outgoing: &mut Outgoing, now: Instant) -> u16 {
        outgoing.write(Chunk::copy_from(&[0; 100]));
        outgoing.on_sent(now, (100, 120), false)
    }

    #[test]
    fn a_loss_counts_after_any_number_of_packets_without_one() {
        for packets in [10, 20_000, 40_000, 60_000, 70_000] {
            let mut outgoing = Outgoing::new(1);
            let now = Instant::from_micros(1);
            for _ in 0..packets {
                let place = send(&mut outgoing, now);
                outgoing.on_ack(now, place, None, true).unwrap();
            }
            let first = send(&mut outgoing, now);
            for _ in 0..3 {
                send(&mut outgoing, now);
            }
            let news = outgoing.on_ack(now, first.wrapping_sub(1), Some(&[0b0000_0111]), true).unwrap();
            assert!(news.loss, "after {packets}");
        }
    }

    #[test]
    fn what_was_sent_again_is_forgotten_when_it_came_though_no_mask_ever_tells() {
        let mut outgoing = Outgoing::new(1);
        for n in 0..1000 {
            let now = Instant::from_micros(n);
            let place = send(&mut outgoing, now);
            for _ in 0..3 {
                outgoing.on_ack(now, place.wrapping_sub(1), None, true).unwrap();
            }
            assert_eq!(outgoing.next(), Some(Next::Again(place)));
            outgoing.on_sent_again(now, place, 120);
            outgoing.on_ack(now, place, None, true).unwrap();
        }
        assert!(outgoing.again.is_empty(), "{}", outgoing.again.len());
    }
}
