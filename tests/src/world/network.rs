//! What goes between hosts: byte links as TCP has them (in order, with a window, late when a packet is lost, cut at
//! times), and datagrams, which may get lost.

use super::host::MULTICAST;
use super::{Happening, Host, HostId, World};
use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::{Chunk, ConnId, Instant, LocalId};
use millstream_core::engine::{How, Input, LinkEnd, LinkInfo};
use millstream_core::wire::lsd::LSD_GROUP_V4;
use std::collections::VecDeque;

/// Bytes of one packet, at the most.
const PACKET_BYTES: usize = 8 << 10;
/// How late a packet comes whose first copy was lost.
const RETRANSMISSION: Duration = Duration::from_millis(250);

/// Whose an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Host {
        host: usize,
        conn: ConnId,
    },
    Stranger,
    /// Closed; what still comes is dropped.
    Gone,
}

/// A byte link. Stream `n` flows towards end `n`.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) ends: [End; 2],
    pub(super) streams: [Stream; 2],
    latency: Duration,
    cut: bool,
}

/// Bytes in order, moved in stretches: tests run without optimisation.
#[derive(Debug, Default)]
pub(super) struct Queue {
    parts: VecDeque<Vec<u8>>,
    /// Bytes of the first part that are taken already.
    taken: usize,
    len: usize,
}

impl Queue {
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.parts.push_back(bytes);
        }
    }

    pub(super) fn take(&mut self, size: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(size);
        while out.len() < size {
            let Some(first) = self.parts.front() else { break };
            let some = (size - out.len()).min(first.len() - self.taken);
            out.extend_from_slice(&first[self.taken..][..some]);
            self.taken += some;
            if self.taken == first.len() {
                self.parts.pop_front();
                self.taken = 0;
            }
        }
        self.len -= out.len();
        out
    }

    pub(super) fn take_all(&mut self) -> Vec<u8> {
        self.take(self.len)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn len(&self) -> usize {
        self.len
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Handed out by the sender, not yet on its way.
    pub(super) outgoing: Queue,
    /// The sender has more to give.
    wants_write: bool,
    /// The sender closes when all is on its way.
    pub(super) closing: bool,
    /// A wake-up for this sender is planned.
    pumping: bool,
    in_flight: usize,
    last_arrival: Instant,
    /// Arrived, not yet read.
    pub(super) unread: Queue,
    read: u64,
    read_until: u64,
    /// The end of the stream has arrived.
    finished: bool,
}

impl World {
    pub(super) fn on_connect(&mut self, n: usize, conn: ConnId, to: SocketAddr) {
        let at = self.after(self.weather.latency_us);
        self.hosts[n].dialing.insert(conn, to);
        self.hosts[n].dialed.push(to);
        let boot = self.hosts[n].boot;
        self.plan(at, Happening::Dial { host: n, boot, conn, to });
    }

    /// A host has no room for the links that it is opening.
    pub fn refuse_room(&mut self, host: HostId) {
        let dialing: Vec<ConnId> = self.hosts[host.0].dialing.keys().copied().collect();
        for conn in dialing {
            self.tell(host.0, Input::Closed { conn, why: LinkEnd::NoRoom });
        }
        self.settle();
    }

    pub(super) fn on_dial(&mut self, n: usize, boot: u32, conn: ConnId, to: SocketAddr) {
        if self.hosts[n].boot != boot || !self.hosts[n].dialing.contains_key(&conn) {
            return;
        }
        if !self.is_carried(n, conn, to) {
            return;
        }
        let from = self.hosts[n].addr_like(to);
        let latency_us = self.draw(self.weather.latency_us);
        let other = if let Some(other) = self.hosts.iter().position(|host| host.is_called_at(to)) {
            let now = self.now;
            let taken =
                self.hosts[other].accept(now, SocketAddr::new(from.ip(), 40_000 + (conn.0 % 20_000) as u16));
            self.called(other);
            taken.ok().map(|conn| End::Host { host: other, conn })
        } else {
            self.callable.contains_key(&to).then_some(End::Stranger)
        };
        let at = self.now + Duration::from_micros(latency_us);
        let Some(other) = other else {
            let input = Input::Closed { conn, why: LinkEnd::Refused };
            return self.plan(at, Happening::Tell { host: n, boot, input });
        };
        let wire = self.lay(Duration::from_micros(latency_us), [End::Host { host: n, conn }, other]);
        if other == End::Stranger {
            self.callable.entry(to).or_default().push(wire);
        }
        self.plan(
            at,
            Happening::Tell {
                host: n,
                boot,
                input: Input::Opened { conn, info: LinkInfo::between(from, to) },
            },
        );
    }

    /// A new wire between two ends.
    pub(super) fn lay(&mut self, latency: Duration, ends: [End; 2]) -> usize {
        let wire = self.wires.len();
        self.wires.push(Wire { ends, streams: [Stream::default(), Stream::default()], latency, cut: false });
        for (side, end) in ends.into_iter().enumerate() {
            match end {
                End::Host { host, conn } => {
                    self.hosts[host].conns.insert(conn, (wire, side));
                }
                End::Stranger => self.wires[wire].streams[side].read_until = u64::MAX,
                End::Gone => {}
            }
        }
        wire
    }

    /// A fact that was on its way to a host.
    pub(super) fn tell(&mut self, n: usize, input: Input) {
        if let Input::Opened { conn, .. } | Input::Closed { conn, .. } = &input {
            let dialing = self.hosts[n].dialing.remove(conn).is_some();
            let open = matches!(input, Input::Closed { .. }) && self.hosts[n].conns.contains_key(conn);
            // The engine closed the link meanwhile: nothing but `Drained` may come from it.
            if !dialing && !open {
                return;
            }
        }
        self.input(n, input);
    }

    pub(super) fn on_close(&mut self, n: usize, conn: ConnId, how: How) {
        self.hosts[n].dialing.remove(&conn);
        let Some(&(wire, side)) = self.hosts[n].conns.get(&conn) else {
            return self.drained(n, conn);
        };
        let stream = &mut self.wires[wire].streams[1 - side];
        stream.closing = true;
        stream.wants_write = false;
        if how == How::Abort {
            stream.outgoing.clear();
        }
        self.pump(wire, side);
    }

    fn drained(&mut self, n: usize, conn: ConnId) {
        self.on_entry_idle(n, conn);
        self.hosts[n].conns.remove(&conn);
        let at = self.after(self.weather.job_us);
        let boot = self.hosts[n].boot;
        self.plan(at, Happening::Tell { host: n, boot, input: Input::Drained { conn } });
    }

    pub(super) fn on_interest(&mut self, n: usize, conn: ConnId, read_until: u64, write: bool) {
        let Some(&(wire, side)) = self.hosts[n].conns.get(&conn) else { return };
        let stream = &mut self.wires[wire].streams[side];
        assert!(read_until >= stream.read_until, "a credit only grows");
        stream.read_until = read_until;
        if !self.wires[wire].streams[1 - side].closing {
            self.wires[wire].streams[1 - side].wants_write = write;
        }
        self.read(wire, side);
        self.pump(wire, side);
        if self.wires[wire].ends[1 - side] == End::Stranger {
            // What was read makes room for more.
            self.pump(wire, 1 - side);
        }
    }

    /// Sends what this side has to send, as far as window and uplink allow.
    pub(super) fn pump(&mut self, wire: usize, side: usize) {
        while !self.wires[wire].cut {
            self.fill(wire, side);
            let stream = &self.wires[wire].streams[1 - side];
            if stream.outgoing.is_empty() {
                break;
            }
            let window = self.weather.window_bytes.saturating_sub(stream.in_flight + stream.unread.len());
            let size = stream.outgoing.len().min(window).min(PACKET_BYTES);
            if size == 0 || self.waits_for_uplink(wire, side) {
                return;
            }
            self.send(wire, side, size);
        }
        let stream = &mut self.wires[wire].streams[1 - side];
        if stream.closing && stream.outgoing.is_empty() {
            self.finish(wire, side);
        }
    }

    /// Asks the engine for more, if nothing is left of what it gave.
    fn fill(&mut self, wire: usize, side: usize) {
        let stream = &self.wires[wire].streams[1 - side];
        if !(stream.outgoing.is_empty() && stream.wants_write) {
            return;
        }
        let End::Host { host, conn } = self.wires[wire].ends[side] else { return };
        let now = self.now;
        let transmit = self.hosts[host].transmit(now, conn, 64 << 10);
        let bytes = transmit.as_ref().map(|transmit| self.hosts[host].bytes_of(transmit));
        self.called(host);
        let stream = &mut self.wires[wire].streams[1 - side];
        match bytes {
            None => stream.wants_write = false,
            Some(Some(bytes)) => stream.outgoing.push(bytes),
            Some(None) => {
                stream.wants_write = false;
                self.cut_wire(wire, LinkEnd::Host("the disk fails".into()));
            }
        }
    }

    fn waits_for_uplink(&mut self, wire: usize, side: usize) -> bool {
        let End::Host { host, .. } = self.wires[wire].ends[side] else { return false };
        let free = self.hosts[host].uplink_free;
        if free <= self.now {
            return false;
        }
        let stream = &mut self.wires[wire].streams[1 - side];
        if !stream.pumping {
            stream.pumping = true;
            self.hosts[host].waiting.push_back((wire, side));
            self.plan_uplink(host);
        }
        true
    }

    fn plan_uplink(&mut self, host: usize) {
        let Host { waiting, uplink_planned, uplink_free, .. } = &mut self.hosts[host];
        if !waiting.is_empty() && !core::mem::replace(uplink_planned, true) {
            let (at, boot) = (*uplink_free, self.hosts[host].boot);
            self.plan(at, Happening::Uplink { host, boot });
        }
    }

    /// A host may send again: its links have their turns, a packet each.
    pub(super) fn on_uplink_free(&mut self, host: usize) {
        self.hosts[host].uplink_planned = false;
        while self.hosts[host].uplink_free <= self.now {
            let Some((wire, side)) = self.hosts[host].waiting.pop_front() else { return };
            self.wires[wire].streams[1 - side].pumping = false;
            self.pump(wire, side);
        }
        self.plan_uplink(host);
    }

    fn send(&mut self, wire: usize, side: usize, size: usize) {
        let mut departs = self.now;
        let end = self.wires[wire].ends[side];
        if let (End::Host { host, .. }, Some(rate)) = (end, self.weather.uplink) {
            departs += Duration::from_micros(size as u64 * 1_000_000 / rate);
            self.hosts[host].uplink_free = departs;
        }
        let late = self.rng.chance(self.weather.losses_per_mille, 1000);
        let cut = self.rng.chance(self.weather.cuts_per_million, 1_000_000);
        let Wire { streams, latency, .. } = &mut self.wires[wire];
        let stream = &mut streams[1 - side];
        let bytes = stream.outgoing.take(size);
        stream.in_flight += size;
        let arrives = departs + *latency + if late { RETRANSMISSION } else { Duration::ZERO };
        stream.last_arrival = stream.last_arrival.max(arrives);
        let (at, closing) = (stream.last_arrival, stream.closing);
        self.plan(at, Happening::Arrive { wire, side: 1 - side, bytes });
        if cut {
            self.plan(at, Happening::Cut { wire });
        }
        if let (End::Host { host, conn }, false) = (end, closing) {
            self.input(host, Input::Wrote { conn, bytes: size as u64 });
        }
    }

    /// All that this side had to send is on its way: its end follows.
    fn finish(&mut self, wire: usize, side: usize) {
        let end = core::mem::replace(&mut self.wires[wire].ends[side], End::Gone);
        if end == End::Gone {
            return;
        }
        self.wires[wire].streams[side].unread.clear();
        let stream = &self.wires[wire].streams[1 - side];
        let at = stream.last_arrival.max(self.now + self.wires[wire].latency);
        self.plan(at, Happening::Fin { wire, side: 1 - side });
        if let End::Host { host, conn } = end {
            self.drained(host, conn);
        }
    }

    pub(super) fn on_arrive(&mut self, wire: usize, side: usize, bytes: Vec<u8>) {
        if self.wires[wire].cut {
            return;
        }
        let gone = self.wires[wire].ends[side] == End::Gone;
        let stream = &mut self.wires[wire].streams[side];
        stream.in_flight -= bytes.len();
        if !gone {
            stream.unread.push(bytes);
        }
        self.read(wire, side);
        self.pump(wire, 1 - side);
    }

    pub(super) fn on_fin(&mut self, wire: usize, side: usize) {
        if !self.wires[wire].cut {
            self.wires[wire].streams[side].finished = true;
            self.read(wire, side);
        }
    }

    /// Gives an engine what arrived, as far as its credit allows, in reads of drawn sizes.
    fn read(&mut self, wire: usize, side: usize) {
        while let End::Host { host, conn } = self.wires[wire].ends[side] {
            if self.wires[wire].cut || self.hosts[host].dialing.contains_key(&conn) {
                return;
            }
            let stream = &self.wires[wire].streams[side];
            let credit = (stream.read_until - stream.read.min(stream.read_until)) as usize;
            let most = stream.unread.len().min(credit.saturating_add(self.weather.overrun_bytes));
            if most == 0 || credit == 0 {
                break;
            }
            let size = self.draw_read().min(most);
            let stream = &mut self.wires[wire].streams[side];
            stream.read += size as u64;
            let data = stream.unread.take(size);
            self.input(host, Input::Received { conn, data: Chunk::from(data) });
        }
        let stream = &mut self.wires[wire].streams[side];
        if stream.finished && stream.unread.is_empty() {
            stream.finished = false;
            if let End::Host { host, conn } = self.wires[wire].ends[side] {
                self.tell(host, Input::Closed { conn, why: LinkEnd::Finished });
            }
        }
    }

    /// Small sizes are as likely as large ones.
    fn draw_read(&mut self) -> usize {
        let (least, most) = self.weather.read_bytes;
        if least == most {
            return least as usize;
        }
        let bits = u64::from(64 - most.leading_zeros());
        let top = (1 << self.rng.below(bits)).max(least + 1).min(most);
        self.draw((least, top)) as usize
    }

    /// A wire breaks: both ends are told, what was under way is lost.
    pub(super) fn cut_wire(&mut self, wire: usize, why: LinkEnd) {
        if core::mem::replace(&mut self.wires[wire].cut, true) {
            return;
        }
        for side in 0..2 {
            let end = self.wires[wire].ends[side];
            let stream = &mut self.wires[wire].streams[side];
            stream.outgoing.clear();
            stream.unread.clear();
            let closing = self.wires[wire].streams[1 - side].closing;
            if let End::Host { host, conn } = end {
                self.wires[wire].ends[side] = End::Gone;
                if closing {
                    self.drained(host, conn);
                } else {
                    let boot = self.hosts[host].boot;
                    let input = Input::Closed { conn, why: why.clone() };
                    self.plan(self.now, Happening::Tell { host, boot, input });
                }
            }
        }
    }

    /// Breaks every link between two hosts.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        let both = |wire: &Wire| {
            let of =
                |n: usize| wire.ends.iter().any(|end| matches!(end, End::Host { host, .. } if *host == n));
            of(a.0) && of(b.0)
        };
        let wires: Vec<usize> = (0..self.wires.len()).filter(|&n| both(&self.wires[n])).collect();
        for wire in wires {
            self.cut_wire(wire, LinkEnd::Reset);
        }
        self.settle();
    }

    /// The program of a host is killed, and with `power` its disk forgets what wasn't synced; then it starts again,
    /// with no torrent.
    pub fn crash(&mut self, host: HostId, power: bool) {
        let n = host.0;
        self.settle();
        let on =
            |wire: &Wire| wire.ends.iter().any(|end| matches!(end, End::Host { host, .. } if *host == n));
        let wires: Vec<usize> = (0..self.wires.len()).filter(|&w| on(&self.wires[w])).collect();
        for wire in wires {
            self.cut_wire(wire, LinkEnd::Reset);
        }
        if power {
            let mut rng = self.rng.fork_at("power", self.happened);
            self.hosts[n].disk.power_cut(&mut rng);
        }
        let seed = self.rng.fork_at("restart", self.happened).bytes();
        self.todo.retain(|(of, _)| *of != n);
        let now = self.now;
        self.hosts[n].restart(seed, now);
        self.bind(n);
        self.settle();
    }

    pub(super) fn on_datagrams_ready(&mut self, n: usize, local: LocalId) {
        while let Some(datagrams) = self.hosts[n].datagrams(self.now, local) {
            let stride = datagrams.stride.map_or(datagrams.data.len(), usize::from).max(1);
            for bytes in datagrams.data.chunks(stride) {
                let bytes = bytes.to_vec();
                let from = self.hosts[n].addr_like(datagrams.to);
                let socket = if local == MULTICAST { Some(MULTICAST) } else { self.hosts[n].socket(from) };
                assert_eq!(socket, Some(local), "a datagram leaves by a socket of its family");
                self.passes_router(n, datagrams.to);
                if self.lets_out(n, datagrams.to) {
                    self.post(from, datagrams.to, bytes);
                }
            }
        }
        self.called(n);
    }

    /// Puts a datagram onto its way.
    pub(super) fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if self.rng.chance(self.weather.datagram_losses_per_mille, 1000) {
            return;
        }
        let at = self.after(self.weather.latency_us);
        self.plan(at, Happening::Datagram { from, to, bytes });
    }

    pub(super) fn on_datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now = self.now;
        if to == LSD_GROUP_V4 {
            return self.on_multicast(from, bytes);
        }
        if let Some(tracker) =
            self.trackers.iter_mut().find(|tracker| tracker.addr == to || tracker.addr_6 == to)
        {
            if let Some(reply) = tracker.on_datagram(now, bytes, from) {
                self.post(to, from, reply);
            }
        } else if let Some((n, local)) =
            self.hosts.iter().zip(0..).find_map(|(host, n)| Some((n, host.socket(to)?)))
        {
            if !self.lets_in(n, from) || !self.lets_back_in(n, from) {
                return;
            }
            let stride = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            let data = Chunk::copy_from(bytes);
            self.input(n, Input::Datagrams { local, from, to: Some(to.ip()), data, stride });
        }
    }
}
