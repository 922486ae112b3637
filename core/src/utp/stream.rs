//! One stream: its states, what packets and silences do to it. All its transitions are in this file; what leaves is put
//! together in `build`.

use super::config::UtpConfig;
use super::delay::Delays;
use super::incoming::Incoming;
use super::ledbat::{Acked, Ledbat};
use super::mtu::Mtu;
use super::outgoing::{News, Next, Outgoing};
use super::rtt::Rtt;
use crate::base::{Chunk, Instant, LocalId};
use crate::wire::utp::{HEADER_BYTES, Header, Kind, Packet};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides finished.
    Finished,
    /// The other side ended it at once, or knows nothing of it.
    Reset,
    /// The other side answered our call with a reset.
    Refused,
    /// Nothing came any more.
    TimedOut,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// We call; nobody answered yet.
    Calling,
    /// We were called and answered; whether the caller is where it says isn't known yet.
    Called,
    /// Bytes flow.
    Open,
    /// Over.
    Closed(CloseReason),
}

/// What a stream has to tell, collected until it is asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tidings {
    pub(super) connected: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) told_finished: bool,
}

/// Who a stream is between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) local: LocalId,
    /// The address of ours that the other side knows, if the socket has several.
    pub(super) our_ip: Option<IpAddr>,
    pub(super) remote: SocketAddr,
    pub(super) receive_id: u16,
    pub(super) send_id: u16,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ends: Ends,
    pub(super) state: State,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    pub(super) ledbat: Ledbat,
    pub(super) rtt: Rtt,
    pub(super) mtu: Mtu,
    ours: Delays,
    theirs: Delays,
    /// How much later than its timestamp the last packet came.
    pub(super) reply: u32,
    /// What the other side takes, or we are willing to hold for it.
    pub(super) peer_window: u32,
    /// More would have left last time if our window had allowed it.
    pub(super) limited: bool,
    /// The other side's window is closed: one packet may leave to ask.
    pub(super) may_ask_window: bool,
    /// One lost packet may leave whatever the window says: a loss must not wait for the window that it halved.
    pub(super) may_repair: bool,
    /// The other side says that it takes datagrams of any size whole: others may cut off without a word what is longer
    /// than an Ethernet frame, so nothing longer is tried on them.
    pub(super) takes_large: bool,
    /// Our call is to be sent.
    pub(super) call_due: bool,
    /// What waits began with: the last progress, or the first packet after a rest.
    pub(super) waits_from: Instant,
    /// When anything was sent last.
    pub(super) sent_at: Instant,
    /// The last packet was sent again in this silence.
    tail_sent: bool,
    /// Waits in vain since anything at all came.
    silences: u32,
    /// Nobody reads or writes it any more; it goes when its bytes came, or by then.
    pub(super) lingers_until: Option<Instant>,
    pub(super) tidings: Tidings,
    /// Acknowledgements of what we never said, from who called.
    wrong_acks: u8,
    /// The application knows of it.
    pub(super) was_told: bool,
    /// Bytes delivered that weren't told.
    pub(super) delivered: u64,
    pub(super) armed: Option<Instant>,
}

/// How long a stranger that called may take to prove its address.
const CALLED_TIMEOUT: Duration = Duration::from_secs(10);

/// A caller that names places which it can't have from us so many times is someone who guesses: it must call again.
const WRONG_ACKS_MAX: u8 = 3;

/// A clock that seems to jump by more than this at once didn't drift: its path changed. Microseconds.
const DRIFT_MAX_US: u32 = 10_000;

/// Differences of timestamps that say that there is none yet: BEP 29's, and that of early packets of libutp.
const UNKNOWN: [u32; 2] = [0, i32::MAX.cast_unsigned()];

/// The window that a peer is believed to have before it says. Bytes.
const FIRST_WINDOW: u32 = 64 << 10;

impl Stream {
    /// A call; `place` is our first place.
    pub(super) fn call(now: Instant, ends: Ends, place: u16, config: &UtpConfig) -> Self {
        let mut stream = Self::new(now, ends, place.wrapping_add(1), config);
        stream.call_due = true;
        stream
    }

    /// A stranger called with `place`; ours begins at `first`.
    pub(super) fn called(
        now: Instant,
        ends: Ends,
        (place, first): (u16, u16),
        packet: &Packet<'_>,
        config: &UtpConfig,
    ) -> Self {
        let mut stream = Self::new(now, ends, first, config);
        stream.state = State::Called;
        stream.was_told = false;
        stream.incoming = Incoming::new(place, config.window_bytes);
        stream.incoming.answer_now();
        stream.takes_large = packet.takes_large;
        stream.heed_clock(now, packet);
        stream.peer_window = packet.header.window.min(config.unacknowledged_bytes_max);
        stream
    }

    fn new(now: Instant, ends: Ends, first: u16, config: &UtpConfig) -> Self {
        let mtu = Mtu::new(ends.remote, config.packet_bytes_max.min(Mtu::ethernet(ends.remote)));
        Self {
            ends,
            state: State::Calling,
            outgoing: Outgoing::new(first),
            incoming: Incoming::new(0, config.window_bytes),
            ledbat: Ledbat::new(config.target_delay_ms, config.gain_bytes, mtu.size()),
            rtt: Rtt::new(config.timeout_min_ms),
            mtu,
            ours: Delays::default(),
            theirs: Delays::default(),
            reply: 0,
            peer_window: FIRST_WINDOW,
            limited: true,
            may_ask_window: false,
            may_repair: false,
            takes_large: false,
            call_due: false,
            waits_from: now,
            sent_at: now,
            tail_sent: false,
            silences: 0,
            lingers_until: None,
            tidings: Tidings::default(),
            wrong_acks: 0,
            was_told: true,
            delivered: 0,
            armed: None,
        }
    }

    /// Whether it has anything to tell.
    pub(super) fn has_tidings(&self) -> bool {
        let Tidings { connected, readable, writable, told_finished } = self.tidings;
        let finished = self.incoming.is_ended() && !told_finished;
        connected || readable || writable || finished || matches!(self.state, State::Closed(_))
    }

    /// The largest datagram that it may want to send.
    pub(super) fn mtu_bytes(&mut self) -> usize {
        // What is lost may be larger than what the path takes now: it isn't cut.
        let again = match self.outgoing.next() {
            Some(Next::Again(place)) => self.outgoing.sent(place).map_or(0, |sent| sent.payload as usize),
            Some(Next::Fresh(_) | Next::Fin) | None => 0,
        };
        self.mtu.next_probe().unwrap_or(0).max(self.mtu.size()).max(HEADER_BYTES + again)
    }

    /// Bytes that it takes from the application now.
    pub(super) fn space(&self, config: &UtpConfig) -> usize {
        let useful = (2 * self.ledbat.window()).max(SPACE_MIN).min(config.unsent_bytes_max as u64);
        useful.saturating_sub(self.outgoing.unsent()) as usize
    }

    /// Whether this answers our call, and isn't a stranger's guess.
    pub(super) fn is_answered_by(&self, header: &Header) -> bool {
        self.state == State::Calling
            && header.ack == self.outgoing.next_place().wrapping_sub(1)
            && matches!(header.kind, Kind::State | Kind::Data)
    }

    /// A packet of this stream came; `payload` is what it carries. Answers whether it was believed.
    pub(super) fn on_packet(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        payload: Chunk,
        config: &UtpConfig,
    ) -> bool {
        let header = packet.header;
        match self.state {
            State::Calling => {
                if !self.is_answered_by(&header) {
                    return false;
                }
                if self.rtt.timeouts == 0 {
                    self.rtt.add(now.saturating_since(self.sent_at));
                }
                // What isn't payload names the place of the next payload.
                self.incoming = Incoming::new(header.seq.wrapping_sub(1), config.window_bytes);
                self.takes_large = packet.takes_large;
                self.open(now, config);
            }
            State::Called => {
                let first = self.outgoing.next_place();
                if header.kind == Kind::Syn {
                    // The answer is as long as the call.
                    self.takes_large = packet.takes_large;
                    self.incoming.answer_now();
                    return true;
                }
                if header.ack == first {
                    // By the letter of BEP 29 the answer to a call takes a place of its own.
                    self.outgoing = Outgoing::new(first.wrapping_add(1));
                } else if header.ack != first.wrapping_sub(1) {
                    self.wrong_acks += 1;
                    if self.wrong_acks >= WRONG_ACKS_MAX {
                        self.close(CloseReason::TimedOut);
                    }
                    return false;
                }
                self.open(now, config);
            }
            State::Open => {}
            State::Closed(_) => return false,
        }
        if header.kind == Kind::Syn {
            return false;
        }
        let alone = header.kind == Kind::State;
        let Some(news) = self.outgoing.on_ack(now, header.ack, packet.selective_ack, alone) else {
            return false;
        };
        self.silences = 0;
        self.heed_clock(now, packet);
        if !UNKNOWN.contains(&header.timestamp_difference) {
            self.ours.add(now, header.timestamp_difference);
        }
        if !news.late {
            self.peer_window = header.window.min(config.unacknowledged_bytes_max);
        }
        self.on_news(now, news);
        if matches!(header.kind, Kind::Data | Kind::Fin) {
            let later = now + Duration::from_millis(u64::from(config.ack_delay_ms));
            self.incoming.on_packet(header.seq, payload, header.kind == Kind::Fin, later);
            self.tidings.readable |= self.incoming.is_readable();
        }
        self.check_over();
        true
    }

    fn open(&mut self, now: Instant, config: &UtpConfig) {
        if self.takes_large {
            self.mtu = Mtu::new(self.ends.remote, config.packet_bytes_max);
        }
        self.state = State::Open;
        self.call_due = false;
        self.rtt.timeouts = 0;
        self.waits_from = now;
        self.tidings.connected = true;
        self.tidings.writable = true;
    }

    fn heed_clock(&mut self, now: Instant, packet: &Packet<'_>) {
        self.reply = (now.as_micros() as u32).wrapping_sub(packet.header.timestamp);
        // If packets seem to come ever faster from there, its clock runs slow: ours, which it measures, seems to
        // queue by as much.
        let fell = self.theirs.add(now, self.reply);
        if (1..=DRIFT_MAX_US).contains(&fell) {
            self.ours.shift(fell);
        }
    }

    fn on_news(&mut self, now: Instant, news: News) {
        if news.probe_acked {
            self.mtu.on_probe_acked();
            self.ledbat.set_packet(self.mtu.size());
        }
        if news.probe_lost {
            self.mtu.on_probe_lost();
        }
        if let Some(sample) = news.rtt {
            self.rtt.add(sample);
        }
        if news.bytes > 0 {
            let acked = Acked { bytes: news.bytes, queued_us: self.ours.queued(), limited: self.limited };
            self.ledbat.on_acked(now, acked, self.rtt.smooth());
            self.rtt.timeouts = 0;
            self.waits_from = now;
            self.tail_sent = false;
            self.tidings.writable = true;
            self.mtu.on_progress();
        }
        self.delivered += news.delivered;
        if news.loss {
            self.ledbat.on_loss(now);
            self.may_repair = true;
        }
    }

    /// The other side says that there is no such stream.
    pub(super) fn on_reset(&mut self) {
        let reason = if self.state == State::Calling { CloseReason::Refused } else { CloseReason::Reset };
        self.close(reason);
    }

    fn close(&mut self, reason: CloseReason) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(reason);
        }
    }

    fn check_over(&mut self) {
        let heard_all = self.incoming.is_ended() || self.lingers_until.is_some();
        if self.outgoing.is_done() && heard_all {
            self.close(CloseReason::Finished);
        }
    }

    /// When `on_timeout` is due.
    pub(super) fn deadline(&self, config: &UtpConfig) -> Option<Instant> {
        let keep_alive = self.sent_at + Duration::from_millis(u64::from(config.keep_alive_ms));
        let answer = match self.state {
            State::Calling => Some(self.waits_from + self.rtt.timeout()),
            State::Called => Some(self.waits_from + CALLED_TIMEOUT),
            State::Open if self.incoming.is_urgent() => self.wait_ends(),
            State::Open => self.wait_ends().or(Some(keep_alive)),
            State::Closed(_) => return None,
        };
        [answer, self.incoming.due, self.lingers_until, self.tail_due()].into_iter().flatten().min()
    }

    fn wait_ends(&self) -> Option<Instant> {
        let waits = self.outgoing.is_waiting() || (self.outgoing.unsent() > 0 && self.is_shut());
        waits.then(|| self.waits_from + self.rtt.timeout())
    }

    fn tail_due(&self) -> Option<Instant> {
        let probe = self.rtt.probe().filter(|_| self.outgoing.is_waiting() && !self.tail_sent);
        probe.map(|wait| self.waits_from + wait)
    }

    /// Whether the other side takes nothing worth sending.
    pub(super) fn is_shut(&self) -> bool {
        self.peer_window < WORTH
    }

    /// Time passed.
    pub(super) fn on_timeout(&mut self, now: Instant, config: &UtpConfig) {
        self.incoming.on_timeout(now);
        if self.lingers_until.is_some_and(|until| until <= now) {
            return self.close(CloseReason::TimedOut);
        }
        match self.state {
            State::Calling if now >= self.waits_from + self.rtt.timeout() => {
                self.rtt.timeouts += 1;
                if self.rtt.timeouts >= config.syn_timeouts_max {
                    return self.close(CloseReason::TimedOut);
                }
                self.waits_from = now;
                self.call_due = true;
            }
            State::Called if now >= self.waits_from + CALLED_TIMEOUT => self.close(CloseReason::TimedOut),
            State::Open => self.on_silence(now, config),
            State::Calling | State::Called | State::Closed(_) => {}
        }
    }

    fn on_silence(&mut self, now: Instant, config: &UtpConfig) {
        if self.tail_due().is_some_and(|due| due <= now) {
            self.tail_sent = true;
            self.outgoing.on_silence();
        }
        if self.wait_ends().is_some_and(|end| end <= now) {
            self.silences += 1;
            self.rtt.timeouts += 1;
            self.waits_from = now;
            if self.silences > config.timeouts_max {
                return self.close(CloseReason::TimedOut);
            }
            self.may_ask_window = self.is_shut() && !self.outgoing.is_waiting();
            if self.outgoing.is_waiting() {
                self.outgoing.on_timeout();
                // What was dropped behind a closed window wasn't lost on the way.
                if !self.is_shut() {
                    self.ledbat.on_timeout();
                    if self.mtu.on_timeout() {
                        self.ledbat.set_packet(self.mtu.size());
                    }
                }
            }
        }
        if now >= self.sent_at + Duration::from_millis(u64::from(config.keep_alive_ms)) {
            self.incoming.answer_now();
        }
    }

    /// Our own host refused a datagram of this size.
    pub(super) fn on_refused(&mut self, bytes: usize) {
        if self.mtu.on_refused(bytes) {
            self.outgoing.on_refused(bytes);
        }
    }

    /// Nobody writes or reads it any more: what waits is sent, then the end.
    pub(super) fn finish(&mut self, now: Instant, config: &UtpConfig) {
        self.outgoing.finish();
        self.incoming.discard();
        self.tidings.readable = false;
        self.lingers_until = Some(now + Duration::from_millis(u64::from(config.linger_ms)));
        self.check_over();
    }
}

/// Bytes of a window that are worth a packet.
pub(super) const WORTH: u32 = 150;

/// Bytes taken from the application at least.
const SPACE_MIN: u64 = 32 << 10;
