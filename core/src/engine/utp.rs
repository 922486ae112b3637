//! Links over uTP (BEP 29): framed, timed and paced in here, so that a driver only ever sees their datagrams. They have
//! a `ConnId` like others and go through the same handshakes, lobby and limits.
//!
//! Which carrier a call takes: with `UtpUse::On`, uTP first for addresses that are known to speak it, TCP first for all
//! others, and the other carrier at once when the first one fails before it is open.

use super::effect::{Datagrams, How};
use super::{Alarm, Engine, LinkEnd};
use crate::base::{Chunk, ConnId, Instant, LocalId, Rng, Segment};
use crate::link::{Dialed, Link, Stage};
use crate::pool::Prospect;
use crate::torrent::{Config, UtpUse};
use crate::utp::{Arrival, CloseReason, Sockets, StreamId, UtpEvent};
use crate::wire::utp::is_utp;
use alloc::collections::BTreeMap;
use core::net::SocketAddr;

/// The streams, and which link each carries.
#[derive(Debug)]
pub(super) struct UtpLinks {
    sockets: Sockets,
    conns: BTreeMap<StreamId, ConnId>,
    armed: Option<Instant>,
}

impl UtpLinks {
    pub(super) fn new(config: &Config, rng: Rng) -> Self {
        let room = crate::utp::UtpConfig {
            // What a link may deliver beyond what was taken in is what its peer may send.
            window_bytes: u32::try_from(config.credit_bytes).unwrap_or(u32::MAX),
            streams_max: config.links_max,
            backlog_max: config.handshakes_max,
            ..config.utp_config.clone()
        };
        Self { sockets: Sockets::new(room, rng), conns: BTreeMap::new(), armed: None }
    }
}

impl Engine {
    /// Takes a datagram in if it is uTP's.
    pub(super) fn on_utp_datagram(&mut self, now: Instant, arrival: Arrival) -> bool {
        if self.config.utp == UtpUse::Off || !is_utp(&arrival.data) {
            return false;
        }
        if !self.utp.sockets.on_datagram(now, &arrival) {
            self.net.on_stray_utp();
        }
        true
    }

    /// The next packets of streams for a socket.
    pub(super) fn next_utp(&mut self, now: Instant, local: LocalId, max: usize) -> Option<Datagrams> {
        let packets = self.utp.sockets.next_packets(now, local, max)?;
        let crate::utp::Packets { to, from, data, stride, dont_fragment } = packets;
        Some(Datagrams { to, from, data, stride, dont_fragment })
    }

    pub(super) fn on_utp_refused(&mut self, now: Instant, to: SocketAddr, bytes: usize) {
        self.utp.sockets.on_datagram_refused(now, to, bytes);
    }

    pub(super) fn on_utp_unbound(&mut self, now: Instant, local: LocalId) {
        self.utp.sockets.on_unbound(now, local);
    }

    pub(super) fn on_utp_alarm(&mut self, now: Instant) {
        self.utp.armed = None;
        self.utp.sockets.on_timeout(now);
    }

    /// Calls over uTP. `false` if that isn't possible.
    pub(super) fn dial_utp(
        &mut self,
        now: Instant,
        (addr, prospect): (SocketAddr, Prospect),
        dialed: Dialed,
    ) -> bool {
        if self.forbids(addr.ip()) {
            return false;
        }
        let mut sockets = self.sockets.iter();
        // A proxy's relay carries both families.
        let carries = |at: &SocketAddr| self.config.proxy.is_some() || at.is_ipv4() == addr.is_ipv4();
        let socket = sockets.find(|(_, (at, kind))| self.carries_utp(*kind) && carries(at));
        let Some(local) = socket.map(|(&local, _)| local) else { return false };
        let Some(stream) = self.utp.sockets.connect(now, local, addr) else { return false };
        let mut link = Link::dial(addr, dialed, now + self.patience(dialed));
        link.stream = Some(stream.0);
        let conn = self.insert_dialed(now, link, (dialed.torrent, prospect));
        self.utp.conns.insert(stream, conn);
        true
    }

    /// Takes what streams have to tell. Answers whether there was anything.
    pub(super) fn hear_utp(&mut self, now: Instant) -> bool {
        let mut heard = false;
        while let Some(incoming) = self.utp.sockets.accept() {
            heard = true;
            self.take_utp(now, incoming.stream, incoming.remote);
        }
        while let Some(event) = self.utp.sockets.next_event() {
            heard = true;
            self.on_utp_event(now, event);
        }
        heard
    }

    /// A stranger opened a stream: the limits are those of links that the driver accepts.
    fn take_utp(&mut self, now: Instant, stream: StreamId, remote: SocketAddr) {
        match self.admit() {
            Ok(()) => {
                let conn = self.take_in(now, remote, Some(stream.0));
                self.utp.conns.insert(stream, conn);
            }
            Err(refusal) => {
                tracing::debug!(%remote, %refusal, "a stream isn't taken");
                self.utp.sockets.reset(stream);
            }
        }
    }

    fn on_utp_event(&mut self, now: Instant, event: UtpEvent) {
        let (UtpEvent::Connected(stream)
        | UtpEvent::Readable(stream)
        | UtpEvent::Writable(stream, _)
        | UtpEvent::Finished(stream)
        | UtpEvent::Closed(stream, _)) = event;
        let Some(&conn) = self.utp.conns.get(&stream) else { return };
        match event {
            UtpEvent::Connected(_) => self.on_link_open(now, conn),
            UtpEvent::Readable(_) => {
                while let Some(data) = self.utp.sockets.read(now, stream) {
                    self.on_received(now, conn, data);
                }
            }
            UtpEvent::Writable(_, delivered) => {
                if delivered > 0 {
                    self.on_wrote(now, conn, delivered);
                }
                self.touch(conn);
            }
            UtpEvent::Finished(_) => self.on_closed(now, conn, &LinkEnd::Finished),
            UtpEvent::Closed(_, reason) => {
                let why = match reason {
                    CloseReason::Finished => LinkEnd::Finished,
                    CloseReason::Reset => LinkEnd::Reset,
                    CloseReason::Refused => LinkEnd::Refused,
                    CloseReason::TimedOut => LinkEnd::TimedOut,
                };
                self.on_closed(now, conn, &why);
            }
        }
    }

    /// Gives a stream what its link has to say, as far as there is room.
    pub(super) fn push_utp(&mut self, now: Instant, conn: ConnId, stream: u64) {
        let stream = StreamId(stream);
        loop {
            let space = self.utp.sockets.space(stream);
            if space == 0 {
                return;
            }
            let Some(transmit) = self.hand_out(now, conn, space) else { return };
            let bytes = transmit.segments.into_iter().filter_map(|segment| match segment {
                Segment::Bytes(bytes) => Some(bytes),
                Segment::Stored(..) => {
                    debug_assert!(false, "what a stream carries is asked for as bytes");
                    None
                }
            });
            self.utp.sockets.write(now, stream, bytes);
        }
    }

    /// Ends the stream of a link that is closed. No driver owes anything for it.
    pub(super) fn close_utp(&mut self, now: Instant, conn: ConnId, (stream, how): (u64, How)) {
        let stream = StreamId(stream);
        self.utp.conns.remove(&stream);
        match how {
            How::Flush => self.utp.sockets.finish(now, stream),
            How::Abort => self.utp.sockets.reset(stream),
        }
        self.links.remove(conn.0);
    }

    /// Tells the driver of sockets that have something to send, and sees to the streams' next deadline.
    pub(super) fn arm_utp(&mut self) {
        while let Some(local) = self.utp.sockets.next_ready() {
            self.effects.push_back(super::Effect::DatagramsReady { local });
        }
        let deadline = self.utp.sockets.deadline();
        self.timers.arm(Alarm::Utp, &mut self.utp.armed, deadline);
    }

    /// One datagram of a run.
    pub(super) fn arrival(
        local: LocalId,
        (from, to): (SocketAddr, Option<core::net::IpAddr>),
        data: Chunk,
    ) -> Arrival {
        Arrival { local, to, from, data }
    }

    /// How a link that is open was reached: worth knowing for the next call.
    pub(super) fn learn_carrier(&mut self, now: Instant, conn: ConnId) {
        let Some(link) = self.links.get(conn.0) else { return };
        let (remote, is_utp) = (link.remote, link.stream.is_some());
        let Stage::Calling(dialed, _) = *link.stage() else { return };
        if is_utp {
            self.with(now, dialed.torrent, |torrent, _| torrent.on_carrier(remote, true));
        }
    }
}
