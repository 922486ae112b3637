//! Our requests at the peer: which are outstanding, how many there should be, and which wait too long. Who is asked
//! for what is decided above.

use super::SessionConfig;
use super::config::ms;
use crate::base::{BLOCK, BlockRef, Instant};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    block: BlockRef,
    at: Instant,
}

/// What a block that came was to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Asked for.
    Wanted,
    /// Asked for once, or not above the measure of what may just be late.
    Late,
    /// More than may be late.
    TooMuch,
}

/// The download side of a session.
#[derive(Debug)]
pub(super) struct Pipeline {
    outstanding: VecDeque<Outstanding>,
    bytes: u32,
    /// Cancelled or timed out: an answer may come until the moment.
    late: VecDeque<Outstanding>,
    /// Bytes that may still come of requests that are forgotten: they were lost to a choke, or never answered.
    owed: u64,
    /// Bytes that nobody asked for.
    unrequested: u64,
    depth: u32,
    growing: bool,
    snubbed: bool,
    /// When the peer last brought something on: the snub time-out counts from here.
    progress_at: Instant,
    window: Window,
    round_trip: Option<Duration>,
}

/// A stretch of time over which the rate is measured.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    from: Instant,
    bytes: u64,
    /// Bytes a second, in the window before.
    rate: u64,
}

/// The shortest stretch over which a rate is measured.
const WINDOW: Duration = Duration::from_millis(500);
/// The fewest requests that a peer in order has, however slow it is.
const DEPTH_MIN: u32 = 2;
/// A round trip that is longer than this says nothing about the path.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(4);

impl Pipeline {
    pub(super) fn new(config: &SessionConfig, now: Instant) -> Self {
        Self {
            outstanding: VecDeque::new(),
            bytes: 0,
            late: VecDeque::new(),
            owed: 0,
            unrequested: 0,
            depth: config.requests_initial.max(1),
            growing: true,
            snubbed: false,
            progress_at: now,
            window: Window::default(),
            round_trip: None,
        }
    }

    /// How many requests more there should be, for a peer that keeps `peer_max`.
    pub(super) fn wanted(&self, config: &SessionConfig, peer_max: u32) -> u32 {
        let room = config.requests_outstanding_bytes_max.saturating_sub(self.bytes) / BLOCK;
        let depth = if self.snubbed { 1 } else { self.depth.min(self.max(config, peer_max)) };
        depth.saturating_sub(self.len()).min(room)
    }

    fn max(&self, config: &SessionConfig, peer_max: u32) -> u32 {
        config.requests_outstanding_max.min(peer_max.max(1))
    }

    pub(super) fn len(&self) -> u32 {
        self.outstanding.len() as u32
    }

    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = BlockRef> {
        self.outstanding.iter().map(|o| o.block)
    }

    /// A request goes out.
    pub(super) fn on_request(&mut self, now: Instant, block: BlockRef) {
        if self.outstanding.is_empty() {
            self.progress_at = self.progress_at.max(now);
            (self.window.from, self.window.bytes) = (now, 0);
        }
        self.bytes += block.length;
        self.outstanding.push_back(Outstanding { block, at: now });
    }

    /// A request is taken back; answers whether it was outstanding. Its answer may still come.
    pub(super) fn on_cancel(&mut self, now: Instant, block: BlockRef, config: &SessionConfig) -> bool {
        let Some(gone) = self.remove(block) else { return false };
        self.expect_late(now, gone.block, config);
        true
    }

    /// A block came.
    pub(super) fn on_block(&mut self, now: Instant, block: BlockRef, config: &SessionConfig) -> Answer {
        if let Some(Outstanding { at, .. }) = self.remove(block) {
            self.on_progress(now, block, config, Some(now.saturating_since(at)));
            return Answer::Wanted;
        }
        if self.forget_late(now, block) {
            self.on_progress(now, block, config, None);
            return Answer::Late;
        }
        self.on_stray(block.length, config)
    }

    /// A reject came; answers whether it was for a request that is outstanding.
    pub(super) fn on_reject(&mut self, now: Instant, block: BlockRef, config: &SessionConfig) -> Answer {
        if self.remove(block).is_some() {
            self.progress_at = now;
            return Answer::Wanted;
        }
        if self.forget_late(now, block) {
            return Answer::Late;
        }
        self.on_stray(block.length, config)
    }

    /// The peer unchokes us: it has all its time again.
    pub(super) fn on_unchoke(&mut self, now: Instant) {
        self.progress_at = now;
    }

    /// The peer drops all our requests without a word (a choke without BEP 6). Blocks on their way may come.
    pub(super) fn drop_all(&mut self) -> Vec<BlockRef> {
        self.owed += u64::from(self.bytes);
        self.bytes = 0;
        self.outstanding.drain(..).map(|o| o.block).collect()
    }

    /// The peer drops our requests for one piece without a word (BEP 54 without BEP 6).
    pub(super) fn drop_piece(&mut self, piece: crate::base::PieceIndex) -> Vec<BlockRef> {
        let lost: Vec<BlockRef> = self.iter().filter(|b| b.piece == piece).collect();
        self.outstanding.retain(|o| o.block.piece != piece);
        let bytes: u32 = lost.iter().map(|b| b.length).sum();
        self.bytes -= bytes;
        self.owed += u64::from(bytes);
        lost
    }

    /// Gives memory back, where the pipeline is not used for a while.
    pub(super) fn shrink(&mut self) {
        self.outstanding.shrink_to_fit();
        self.late.shrink_to_fit();
    }

    /// When something waits too long; `serving` is whether the peer unchokes us.
    pub(super) fn deadline(&self, config: &SessionConfig, serving: bool) -> Option<Instant> {
        let oldest = self.outstanding.front()?.at + ms(config.request_timeout_ms);
        let snub = self.progress_at + ms(config.snub_timeout_ms);
        Some(if serving && !self.snubbed { oldest.min(snub) } else { oldest })
    }

    /// Whether the peer is snubbed from now on.
    pub(super) fn on_snub_timeout(&mut self, now: Instant, config: &SessionConfig) -> bool {
        let due = !self.outstanding.is_empty() && now >= self.progress_at + ms(config.snub_timeout_ms);
        let begins = due && !self.snubbed;
        self.snubbed |= due;
        begins
    }

    /// The requests that waited too long; of a peer that has just been snubbed, all.
    pub(super) fn take_late(&mut self, now: Instant, config: &SessionConfig, all: bool) -> Vec<BlockRef> {
        let mut gone = Vec::new();
        while let Some(oldest) = self.outstanding.front().copied() {
            if !all && now < oldest.at + ms(config.request_timeout_ms) {
                break;
            }
            self.outstanding.pop_front();
            self.bytes -= oldest.block.length;
            self.expect_late(now, oldest.block, config);
            gone.push(oldest.block);
        }
        gone
    }

    fn remove(&mut self, block: BlockRef) -> Option<Outstanding> {
        // Answers come in order, or nearly so.
        let at = self.outstanding.iter().position(|o| o.block == block)?;
        let gone = if at == 0 { self.outstanding.pop_front() } else { self.outstanding.remove(at) }?;
        self.bytes -= gone.block.length;
        Some(gone)
    }

    fn expect_late(&mut self, now: Instant, block: BlockRef, config: &SessionConfig) {
        self.expire(now);
        if self.late.len() >= config.requests_outstanding_max as usize
            && let Some(oldest) = self.late.pop_front()
        {
            self.owed += u64::from(oldest.block.length);
        }
        self.late.push_back(Outstanding { block, at: now + ms(config.cancel_timeout_ms) });
    }

    fn forget_late(&mut self, now: Instant, block: BlockRef) -> bool {
        self.expire(now);
        let at = self.late.iter().position(|o| o.block == block);
        at.is_some_and(|at| self.late.remove(at).is_some())
    }

    fn expire(&mut self, now: Instant) {
        while self.late.front().is_some_and(|oldest| oldest.at <= now) {
            let gone = self.late.pop_front();
            self.owed += gone.map_or(0, |o| u64::from(o.block.length));
        }
    }

    fn on_stray(&mut self, length: u32, config: &SessionConfig) -> Answer {
        let length = u64::from(length);
        self.owed = self.owed.min(u64::from(config.requests_outstanding_bytes_max));
        let paid = self.owed.min(length);
        self.owed -= paid;
        self.unrequested += length - paid;
        if self.unrequested > config.unrequested_bytes_max { Answer::TooMuch } else { Answer::Late }
    }

    fn on_progress(
        &mut self,
        now: Instant,
        block: BlockRef,
        config: &SessionConfig,
        round_trip: Option<Duration>,
    ) {
        self.progress_at = now;
        self.snubbed = false;
        if let Some(round_trip) = round_trip.map(|rtt| rtt.min(ROUND_TRIP_MAX)) {
            self.round_trip = Some(self.round_trip.map_or(round_trip, |least| least.min(round_trip)));
        }
        self.window.bytes += u64::from(block.length);
        if self.growing {
            // One more for each answer doubles the depth in each round trip.
            self.depth = self.depth.saturating_add(1).min(config.requests_outstanding_max);
        }
        let round_trip = self.round_trip.unwrap_or_default();
        let elapsed = now.saturating_since(self.window.from);
        if elapsed >= WINDOW.max(round_trip) {
            self.on_window(now, elapsed, round_trip + ms(config.request_queue_ms));
            self.depth = self.depth.clamp(DEPTH_MIN, config.requests_outstanding_max.max(DEPTH_MIN));
        }
    }

    /// A window ends: the depth follows the rate, once the rate has stopped growing with the depth.
    fn on_window(&mut self, now: Instant, elapsed: Duration, ahead: Duration) {
        let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = self.window.bytes.saturating_mul(1_000_000) / us;
        let before = self.window.rate;
        self.growing &= rate > before + before / 8;
        self.window = Window { from: now, bytes: 0, rate };
        if !self.growing {
            // A single weak window doesn't shrink the pipeline at once.
            let rate = rate.max(before / 2 + rate / 2);
            let ahead = u64::try_from(ahead.as_micros()).unwrap_or(u64::MAX);
            let blocks = rate.saturating_mul(ahead) / 1_000_000 / u64::from(BLOCK);
            self.depth = u32::try_from(blocks.saturating_add(1)).unwrap_or(u32::MAX);
        }
    }
}

#[cfg(test)]
impl Pipeline {
    pub(super) fn capacity(&self) -> usize {
        self.outstanding.capacity() + self.late.capacity()
    }
}
