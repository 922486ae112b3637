//! All streams of a process: found by who they are with, called and accepted, their datagrams taken in and handed out,
//! their timers and their news. What happens within one is in `stream`.

use super::config::UtpConfig;
use super::stream::{CloseReason, Ends, State, Stream};
use crate::base::{Arena, Chunk, ChunkMut, Instant, Key, LocalId, Map, Pool, Ready, Rng, Timers};
use crate::wire::socks5::stands_for_a_name;
use crate::wire::utp::{HEADER_BYTES, Header, Kind, Packet};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Bytes of a run of packets at most: what one datagram of IP can hold, which is what kernels take in one call.
const RUN_BYTES_MAX: usize = 65_487;

/// Buffers for runs that are kept.
const RUNS_KEPT: usize = 16;

/// What is no longer than this leaves in a buffer of its own size.
const SMALL_BYTES: usize = 2048;

/// Answers to packets of streams that aren't ours, waiting at one socket. More are dropped.
const STRAYS_MAX: usize = 64;

/// A stream of a [`Sockets`]. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// News of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UtpEvent {
    /// Our call was answered.
    Connected(StreamId),
    /// Bytes may be read.
    Readable(StreamId),
    /// Bytes of ours were delivered, so many since the last time, or there is room for more.
    Writable(StreamId, u64),
    /// The other side sends no more. What we send still gets there.
    Finished(StreamId),
    /// It is over and forgotten. Not told of streams that we closed.
    Closed(StreamId, CloseReason),
}

/// A stream that a stranger opened, its address proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncomingStream {
    /// The stream.
    pub stream: StreamId,
    /// The socket that it came to.
    pub local: LocalId,
    /// Who opened it.
    pub remote: SocketAddr,
}

/// A datagram as it came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The socket.
    pub local: LocalId,
    /// The address of ours that it was sent to, if known.
    pub to: Option<IpAddr>,
    /// The sender.
    pub from: SocketAddr,
    /// Its bytes.
    pub data: Chunk,
}

/// Packets to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    /// Where to.
    pub to: SocketAddr,
    /// From which address of ours, if that matters.
    pub from: Option<IpAddr>,
    /// The datagrams, one after the other.
    pub data: Chunk,
    /// Bytes of each but the last; `None` if there is only one.
    pub stride: Option<u16>,
    /// Whether they may not be cut into fragments: one that is too large is news.
    pub dont_fragment: bool,
}

#[derive(Debug, Default)]
struct Local {
    ready: Ready,
    /// Resets to strangers.
    strays: VecDeque<(SocketAddr, Option<IpAddr>, [u8; HEADER_BYTES])>,
    told: bool,
}

/// All uTP streams over a process's UDP sockets.
#[derive(Debug)]
pub struct Sockets {
    config: UtpConfig,
    rng: Rng,
    streams: Arena<Stream>,
    /// By the other end's address and our number of the stream.
    names: Map<(SocketAddr, u16), u64>,
    /// The same names in order, so that those of one address are found together.
    remotes: BTreeSet<(SocketAddr, u16)>,
    locals: BTreeMap<LocalId, Local>,
    timers: Timers<u64>,
    /// Streams that have something to tell.
    noisy: Ready,
    /// Called, not proven yet, in the order they came.
    called: VecDeque<u64>,
    accepted: VecDeque<IncomingStream>,
    pool: Pool,
    scratch: Option<ChunkMut>,
}

impl Sockets {
    /// No streams yet.
    pub fn new(config: UtpConfig, mut rng: Rng) -> Self {
        Self {
            names: Map::new(Key::draw(&mut rng)),
            config,
            rng,
            streams: Arena::default(),
            remotes: BTreeSet::new(),
            locals: BTreeMap::new(),
            timers: Timers::default(),
            noisy: Ready::default(),
            called: VecDeque::new(),
            accepted: VecDeque::new(),
            pool: Pool::new(RUN_BYTES_MAX, RUNS_KEPT),
            scratch: None,
        }
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Calls an address from a socket; `None` if there are as many streams as may be, or it has all numbers in use.
    pub fn connect(&mut self, now: Instant, local: LocalId, remote: SocketAddr) -> Option<StreamId> {
        if !self.make_room(false) {
            return None;
        }
        let drawn = self.rng.next_u32() as u16;
        let is_free = |id: u16| !self.names.contains(&(remote, id));
        // Nor may the other side, whose number is one above or one below ours, take the call for a part of a stream.
        let mut ids = (0..=u16::MAX).map(|n| drawn.wrapping_add(n));
        let receive_id = ids.find(|&id| (0..3).all(|n| is_free(id.wrapping_add(n))))?;
        let place = self.rng.next_u32() as u16;
        let send_id = receive_id.wrapping_add(1);
        let ends = Ends { local, our_ip: None, remote, receive_id, send_id };
        let id = self.streams.insert(Stream::call(now, ends, place, &self.config));
        self.name(id, (remote, receive_id));
        self.look_at(now, id);
        Some(StreamId(id))
    }

    /// The next stream that a stranger opened.
    pub fn accept(&mut self) -> Option<IncomingStream> {
        self.accepted.pop_front()
    }

    /// How many more bytes a stream takes now.
    pub fn space(&self, stream: StreamId) -> usize {
        self.streams.get(stream.0).map_or(0, |it| it.space(&self.config))
    }

    /// Lets bytes wait to be sent. More than there is space for is taken too, and held.
    pub fn write(&mut self, now: Instant, stream: StreamId, data: impl IntoIterator<Item = Chunk>) {
        if let Some(it) = self.streams.get_mut(stream.0) {
            data.into_iter().for_each(|chunk| it.outgoing.write(chunk));
            self.look_at(now, stream.0);
        }
    }

    /// The next bytes of a stream, as they came.
    pub fn read(&mut self, now: Instant, stream: StreamId) -> Option<Chunk> {
        let it = self.streams.get_mut(stream.0)?;
        let data = it.incoming.read();
        if data.is_some() && it.incoming.wants_ack(now) {
            self.look_at(now, stream.0);
        }
        data
    }

    /// Lets a stream go: what was written is sent, then its end; it is forgotten when that came, or after
    /// `linger_ms`. What waits to be read, or comes, is acknowledged and dropped.
    pub fn finish(&mut self, now: Instant, stream: StreamId) {
        if let Some(it) = self.streams.get_mut(stream.0) {
            it.finish(now, &self.config);
            self.look_at(now, stream.0);
        }
    }

    /// Ends a stream at once: what wasn't sent is dropped, and the other side is told.
    pub fn reset(&mut self, stream: StreamId) {
        let Some(it) = self.streams.get(stream.0) else { return };
        if it.state != State::Calling {
            let (ends, ack) = (it.ends, it.incoming.ack);
            self.stray(ends.local, (ends.remote, ends.our_ip), ends.send_id, ack);
        }
        self.forget(stream.0);
    }

    /// A datagram came that looks like uTP. Answers whether it belonged to a stream or called.
    pub fn on_datagram(&mut self, now: Instant, arrival: &Arrival) -> bool {
        if !is_source(arrival.from) {
            return false;
        }
        let Ok(packet) = Packet::parse(&arrival.data) else { return false };
        let (remote, header) = (arrival.from, packet.header);
        if header.kind == Kind::Reset {
            return self.on_reset(now, remote, header);
        }
        let ours = match header.kind {
            Kind::Syn => header.connection_id.wrapping_add(1),
            Kind::Data | Kind::Fin | Kind::State | Kind::Reset => header.connection_id,
        };
        let known = self.names.get(&(remote, ours)).copied();
        let Some(id) = known.or_else(|| self.named_by_proxy(remote, &header)) else {
            if header.kind == Kind::Syn {
                return self.on_call(now, arrival, &packet);
            }
            self.stray(arrival.local, (remote, arrival.to), header.connection_id, header.seq);
            return false;
        };
        let Some(it) = self.streams.get_mut(id) else { return false };
        let was_called = it.state == State::Called;
        let whole = arrival.data.len();
        let payload = arrival.data.slice(whole - packet.payload.len(), whole);
        let believed = it.on_packet(now, &packet, payload, &self.config);
        if was_called && it.state == State::Open {
            (it.ends.local, it.ends.our_ip) = (arrival.local, arrival.to);
            let local = it.ends.local;
            it.tidings.connected = false;
            it.was_told = true;
            self.called.retain(|&other| other != id);
            self.accepted.push_back(IncomingStream { stream: StreamId(id), local, remote });
        }
        self.look_at(now, id);
        believed
    }

    /// Whose call an answer from an unknown address belongs to: behind a proxy a call to a name goes to an address that
    /// stands for it, and the answer comes from the peer's own. Its port, its number and what it acknowledges tell; from
    /// then on the stream is with that address.
    fn named_by_proxy(&mut self, remote: SocketAddr, header: &Header) -> Option<u64> {
        if header.kind != Kind::State {
            return None;
        }
        let (first, last) = (Ipv4Addr::new(240, 0, 0, 0), Ipv4Addr::BROADCAST);
        let stand_ins = (SocketAddr::from((first, 0)), 0)..(SocketAddr::from((last, 0)), 0);
        let mut called = self.remotes.range(stand_ins).filter(|&&(addr, number)| {
            stands_for_a_name(addr.ip()) && (addr.port(), number) == (remote.port(), header.connection_id)
        });
        let id = called.find_map(|name| {
            let id = *self.names.get(name)?;
            self.streams.get(id)?.is_answered_by(header).then_some(id)
        })?;
        let it = self.streams.get_mut(id)?;
        let old = (it.ends.remote, it.ends.receive_id);
        it.ends.remote = remote;
        let new = (remote, it.ends.receive_id);
        self.names.remove(&old);
        self.remotes.remove(&old);
        self.name(id, new);
        Some(id)
    }

    fn on_call(&mut self, now: Instant, arrival: &Arrival, packet: &Packet<'_>) -> bool {
        // Those that nobody took yet count: memory is bounded though nobody calls `accept`.
        if self.accepted.len() >= self.config.backlog_max {
            return false;
        }
        if !self.make_room(self.called.len() >= self.config.backlog_max) {
            return false;
        }
        let send_id = packet.header.connection_id;
        let ends = Ends {
            local: arrival.local,
            our_ip: arrival.to,
            remote: arrival.from,
            receive_id: send_id.wrapping_add(1),
            send_id,
        };
        let places = (packet.header.seq, self.rng.next_u32() as u16);
        let id = self.streams.insert(Stream::called(now, ends, places, packet, &self.config));
        self.name(id, (ends.remote, ends.receive_id));
        self.called.push_back(id);
        self.look_at(now, id);
        true
    }

    /// Whether one more stream may be. Where there is no room, who called first and hasn't proved its address makes it.
    fn make_room(&mut self, is_crowded: bool) -> bool {
        let is_full = is_crowded || self.streams.len() >= self.config.streams_max;
        if is_full && let Some(oldest) = self.called.pop_front() {
            self.forget(oldest);
        }
        self.streams.len() < self.config.streams_max
    }

    /// A reset names a stream by either side's number, and a packet of ours: a stranger has to guess both.
    fn on_reset(&mut self, now: Instant, remote: SocketAddr, reset: Header) -> bool {
        let Header { connection_id: number, ack, .. } = reset;
        let candidates = [number, number.wrapping_sub(1), number.wrapping_add(1)];
        for receive_id in candidates {
            let Some(&id) = self.names.get(&(remote, receive_id)) else { continue };
            let Some(it) = self.streams.get_mut(id) else { continue };
            let is_named = it.ends.receive_id == number || it.ends.send_id == number;
            if is_named && it.outgoing.may_have_sent(ack) {
                it.on_reset();
                self.look_at(now, id);
                return true;
            }
        }
        false
    }

    /// Says that there is no such stream. Never longer than what it answers.
    fn stray(&mut self, local: LocalId, (to, from): (SocketAddr, Option<IpAddr>), number: u16, ack: u16) {
        let header = Header {
            kind: Kind::Reset,
            connection_id: number,
            timestamp: 0,
            timestamp_difference: 0,
            window: 0,
            seq: self.rng.next_u32() as u16,
            ack,
        };
        let local = self.locals.entry(local).or_default();
        if local.strays.len() < STRAYS_MAX {
            local.strays.push_back((to, from, header.encode(0)));
        }
    }

    /// Our own host, or the network, refused a datagram of this size. It matters only to who tried the path with it:
    /// what may be cut into fragments is never too large.
    pub fn on_datagram_refused(&mut self, now: Instant, to: SocketAddr, bytes: usize) {
        let named = self.remotes.range((to, 0)..=(to, u16::MAX));
        let ids: Vec<u64> = named.filter_map(|name| self.names.get(name).copied()).collect();
        for id in ids {
            if let Some(it) = self.streams.get_mut(id) {
                it.on_refused(bytes);
                self.look_at(now, id);
            }
        }
    }

    /// A socket is gone, and its streams with it.
    pub fn on_unbound(&mut self, now: Instant, local: LocalId) {
        let among = |(_, it): &(u64, &Stream)| it.ends.local == local;
        let ids: Vec<u64> = self.streams.iter().filter(among).map(|(id, _)| id).collect();
        for id in ids {
            if let Some(it) = self.streams.get_mut(id) {
                it.on_reset();
                self.look_at(now, id);
            }
        }
        self.locals.remove(&local);
    }

    /// A socket that has datagrams to send; each is named once until `next_packets` has nothing more for it.
    pub fn next_ready(&mut self) -> Option<LocalId> {
        let waits = |local: &Local| !local.told && (!local.ready.is_empty() || !local.strays.is_empty());
        let (&id, local) = self.locals.iter_mut().find(|(_, local)| waits(local))?;
        local.told = true;
        Some(id)
    }

    /// The next packets to send from a socket: at most `max` bytes, put together now.
    pub fn next_packets(&mut self, now: Instant, local: LocalId, max: usize) -> Option<Packets> {
        loop {
            let at = self.locals.get_mut(&local)?;
            if let Some((to, from, bytes)) = at.strays.pop_front() {
                let data = Chunk::copy_from(&bytes);
                return Some(Packets { to, from, data, stride: None, dont_fragment: false });
            }
            let Some(slot) = at.ready.pop() else {
                at.told = false;
                return None;
            };
            let Some((id, it)) = self.streams.at_mut(slot) else { continue };
            if it.ends.local != local {
                // Another stream stands there now, or it moved.
                self.locals.entry(it.ends.local).or_default().ready.push(slot);
                continue;
            }
            let scratch = self.scratch.get_or_insert_with(|| self.pool.take());
            let room = scratch.bytes_mut();
            // One packet always fits, whatever the driver would rather have.
            let room_bytes = room.len().min(max.max(it.mtu_bytes()));
            let Some(run) = it.build(now, room.get_mut(..room_bytes)?, &self.config) else {
                self.look_at_rest(id);
                continue;
            };
            let (to, from) = (it.ends.remote, it.ends.our_ip);
            let data = if run.bytes <= SMALL_BYTES {
                Chunk::copy_from(room.get(..run.bytes)?)
            } else {
                self.scratch.take()?.freeze(run.bytes)
            };
            self.look_at(now, id);
            return Some(Packets { to, from, data, stride: run.stride, dont_fragment: run.dont_fragment });
        }
    }

    /// The next piece of news.
    pub fn next_event(&mut self) -> Option<UtpEvent> {
        loop {
            let slot = self.noisy.pop()?;
            let Some((id, it)) = self.streams.at_mut(slot) else { continue };
            let stream = StreamId(id);
            let tidings = &mut it.tidings;
            let event = if core::mem::take(&mut tidings.connected) {
                UtpEvent::Connected(stream)
            } else if core::mem::take(&mut tidings.readable) {
                UtpEvent::Readable(stream)
            } else if core::mem::take(&mut tidings.writable) {
                UtpEvent::Writable(stream, core::mem::take(&mut it.delivered))
            } else if it.incoming.is_ended() && !core::mem::replace(&mut tidings.told_finished, true) {
                UtpEvent::Finished(stream)
            } else if let State::Closed(reason) = it.state {
                let is_ours = it.lingers_until.is_none();
                let was_told = it.was_told;
                self.forget(id);
                if is_ours && was_told {
                    return Some(UtpEvent::Closed(stream, reason));
                }
                continue;
            } else {
                continue;
            };
            let silent = it.lingers_until.is_some();
            self.noisy.push(slot);
            if !silent {
                return Some(event);
            }
        }
    }

    /// When `on_timeout` is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn on_timeout(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            let Some(it) = self.streams.get_mut(id) else { continue };
            it.armed = None;
            it.on_timeout(now, &self.config);
            self.look_at(now, id);
        }
    }

    /// Whatever happened with a stream: it may have something to send or to tell, and its deadline may have moved.
    fn look_at(&mut self, _now: Instant, id: u64) {
        let Some(slot) = self.streams.slot(id) else { return };
        let Some((_, it)) = self.streams.at_mut(slot) else { return };
        self.locals.entry(it.ends.local).or_default().ready.push(slot);
        self.look_at_rest(id);
    }

    fn look_at_rest(&mut self, id: u64) {
        let Some(slot) = self.streams.slot(id) else { return };
        let Some((_, it)) = self.streams.at_mut(slot) else { return };
        if it.has_tidings() {
            self.noisy.push(slot);
        }
        let deadline = it.deadline(&self.config);
        self.timers.arm(id, &mut it.armed, deadline);
    }

    fn name(&mut self, id: u64, name: (SocketAddr, u16)) {
        self.names.insert(name, id);
        self.remotes.insert(name);
    }

    fn forget(&mut self, id: u64) {
        let Some(mut it) = self.streams.remove(id) else { return };
        self.timers.disarm(id, &mut it.armed);
        let name = (it.ends.remote, it.ends.receive_id);
        self.names.remove(&name);
        self.remotes.remove(&name);
        self.called.retain(|&other| other != id);
        self.accepted.retain(|other| other.stream.0 != id);
    }
}

/// Whether anyone can be at an address: an answer to any other is refused by our own host.
fn is_source(addr: SocketAddr) -> bool {
    let is_host = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => ip.octets()[0] != 0 && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST,
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    is_host && addr.port() != 0
}
