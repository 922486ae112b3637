//! A path with a mind of its own: delay, jitter, loss, duplication, a bottleneck with a queue, a limit of size; all from
//! one seed. At each end there are sockets, and a TCP-like flow may share the bottleneck.

use super::super::*;
use crate::base::{Chunk, Instant, LocalId, Rng};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::vec::Vec;

/// What a path is like; the bottleneck is on the way from end 0 to end 1.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) delay_ms: u64,
    pub(super) jitter_ms: u64,
    pub(super) loss_per_mille: u64,
    pub(super) twice_per_mille: u64,
    /// Bytes a second; 0 is no limit.
    pub(super) rate: u64,
    pub(super) queue_bytes: u64,
    pub(super) mtu: usize,
    /// Whether a packet that is too large and may not be cut is refused by our own host.
    pub(super) refuses: bool,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay_ms: 10,
            jitter_ms: 0,
            loss_per_mille: 0,
            twice_per_mille: 0,
            rate: 0,
            queue_bytes: 0,
            mtu: 65_507,
            refuses: false,
        }
    }
}

/// What travels.
enum Cargo {
    Datagram {
        to: usize,
        data: Chunk,
    },
    /// A packet of the TCP-like flow, and its acknowledgement.
    Rival,
    RivalAck,
}

/// A flow that fills queues until packets are lost, as Reno does.
pub(super) struct Rival {
    pub(super) window: f64,
    pub(super) under_way: u64,
    threshold: f64,
    lost_at: Instant,
    pub(super) delivered: u64,
}

const RIVAL_BYTES: u64 = 1500;

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) ends: [Sockets; 2],
    pub(super) path: Path,
    pub(super) rival: Option<Rival>,
    pub(super) sent_datagrams: [u64; 2],
    pub(super) sent_bytes: [u64; 2],
    rng: Rng,
    cargo: BTreeMap<(Instant, u64), Cargo>,
    count: u64,
    free_at: Instant,
    pub(super) events: [Vec<UtpEvent>; 2],
}

pub(super) const LOCAL: LocalId = LocalId(1);

pub(super) fn addr(end: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, end as u8 + 1], 6881))
}

impl World {
    pub(super) fn new(seed: u8, path: Path, config: &UtpConfig) -> Self {
        let rng = Rng::new([seed; 32]);
        let end = |n| Sockets::new(config.clone(), rng.fork_at("end", n));
        Self {
            // The first timestamps wrap soon.
            now: Instant::from_micros((1 << 32) - 1_500_000),
            ends: [end(0), end(1)],
            path,
            rival: None,
            sent_datagrams: [0; 2],
            sent_bytes: [0; 2],
            rng: rng.fork("path"),
            cargo: BTreeMap::new(),
            count: 0,
            free_at: Instant::ZERO,
            events: [Vec::new(), Vec::new()],
        }
    }

    pub(super) fn rival(&mut self) {
        self.rival =
            Some(Rival { window: 4.0, under_way: 0, threshold: 1e9, lost_at: Instant::ZERO, delivered: 0 });
        self.rival_sends();
    }

    /// Two ends that are connected; the streams of end 0 and end 1.
    pub(super) fn connected(seed: u8, path: Path, config: &UtpConfig) -> (Self, StreamId, StreamId) {
        let mut world = Self::new(seed, path, config);
        let (near, far) = world.connect();
        (world, near, far)
    }

    pub(super) fn connect(&mut self) -> (StreamId, StreamId) {
        let near = self.ends[0].connect(self.now, LOCAL, addr(1)).unwrap();
        // The caller speaks first.
        self.ends[0].write(self.now, near, [Chunk::copy_from(b"!")]);
        for _ in 0..10_000 {
            self.step();
            if let Some(incoming) = self.ends[1].accept() {
                let far = incoming.stream;
                assert_eq!(self.ends[1].read(self.now, far).as_deref(), Some(&b"!"[..]));
                return (near, far);
            }
        }
        panic!("no connection");
    }

    pub(super) fn after(&self, ms: u64) -> Instant {
        self.now + Duration::from_millis(ms)
    }

    /// Lets everything happen up to the next thing that does; at most 100 ms.
    pub(super) fn step(&mut self) {
        self.flush();
        let arrival = self.cargo.keys().next().map(|&(at, _)| at);
        let deadlines = self.ends.iter().filter_map(Sockets::deadline);
        let next = deadlines.chain(arrival).min().unwrap_or(Instant::MAX);
        self.now = next.max(self.now).min(self.after(100));
        while let Some(entry) = self.cargo.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let cargo = entry.remove();
            self.arrive(cargo);
        }
        for end in 0..2 {
            self.ends[end].on_timeout(self.now);
            while let Some(event) = self.ends[end].next_event() {
                self.events[end].push(event);
            }
        }
        self.flush();
    }

    fn arrive(&mut self, cargo: Cargo) {
        match cargo {
            Cargo::Datagram { to, data } => {
                let arrival = Arrival { local: LOCAL, to: None, from: addr(1 - to), data };
                self.ends[to].on_datagram(self.now, &arrival);
            }
            Cargo::Rival => {
                let back = self.after(self.path.delay_ms);
                self.load(back, Cargo::RivalAck);
                if let Some(rival) = &mut self.rival {
                    rival.delivered += RIVAL_BYTES;
                }
            }
            Cargo::RivalAck => {
                if let Some(rival) = &mut self.rival {
                    rival.under_way -= 1;
                    let slow = rival.window < rival.threshold;
                    rival.window += if slow { 1.0 } else { 1.0 / rival.window };
                }
                self.rival_sends();
            }
        }
    }

    fn rival_sends(&mut self) {
        while let Some(rival) = &mut self.rival
            && (rival.under_way as f64) < rival.window
        {
            rival.under_way += 1;
            if let Some(at) = self.through_bottleneck(RIVAL_BYTES) {
                self.load(at, Cargo::Rival);
            } else if let Some(rival) = &mut self.rival {
                rival.under_way -= 1;
                let round = Duration::from_millis(2 * self.path.delay_ms + 100);
                if rival.lost_at + round < self.now {
                    rival.lost_at = self.now;
                    rival.window = (rival.window / 2.0).max(2.0);
                    rival.threshold = rival.window;
                }
                return;
            }
        }
    }

    fn load(&mut self, at: Instant, cargo: Cargo) {
        self.count += 1;
        self.cargo.insert((at, self.count), cargo);
    }

    fn through_bottleneck(&mut self, bytes: u64) -> Option<Instant> {
        let path = &self.path;
        let mut at = self.now;
        if path.rate > 0 {
            let free_at = self.free_at.max(self.now);
            let waiting = free_at.saturating_since(self.now).as_micros() as u64 * path.rate / 1_000_000;
            if waiting + bytes > path.queue_bytes {
                return None;
            }
            self.free_at = free_at + Duration::from_micros(bytes * 1_000_000 / path.rate);
            at = self.free_at;
        }
        Some(at + Duration::from_millis(path.delay_ms))
    }

    pub(super) fn flush(&mut self) {
        for end in 0..2 {
            while let Some(local) = self.ends[end].next_ready() {
                while let Some(packets) = self.ends[end].next_packets(self.now, local, 65_536) {
                    let stride = packets.stride.map_or(packets.data.len(), usize::from);
                    for at in (0..packets.data.len()).step_by(stride) {
                        let data = packets.data.slice(at, at + stride);
                        self.send(end, data, packets.dont_fragment);
                    }
                }
            }
        }
    }

    fn send(&mut self, end: usize, data: Chunk, dont_fragment: bool) {
        self.sent_datagrams[end] += 1;
        self.sent_bytes[end] += data.len() as u64;
        if dont_fragment && data.len() > self.path.mtu {
            if self.path.refuses {
                self.ends[end].on_datagram_refused(self.now, addr(1 - end), data.len());
            }
            return;
        }
        if self.rng.chance(self.path.loss_per_mille, 1000) {
            return;
        }
        let arrives = if end == 0 {
            self.through_bottleneck(data.len() as u64 + 28)
        } else {
            Some(self.after(self.path.delay_ms))
        };
        let Some(arrives) = arrives else { return };
        let copies = 1 + u64::from(self.rng.chance(self.path.twice_per_mille, 1000));
        for _ in 0..copies {
            let jitter = self.rng.below(self.path.jitter_ms * 1000 + 1);
            self.load(
                arrives + Duration::from_micros(jitter),
                Cargo::Datagram { to: 1 - end, data: data.clone() },
            );
        }
    }

    pub(super) fn closed(&self, end: usize, stream: StreamId) -> Option<CloseReason> {
        self.events[end].iter().find_map(|event| {
            let UtpEvent::Closed(id, reason) = event else { return None };
            (*id == stream).then_some(*reason)
        })
    }
}

/// One way of a stream: writes a pattern as there is room, reads and compares it.
pub(super) struct Flow {
    from: (usize, StreamId),
    to: (usize, StreamId),
    pub(super) written: u64,
    pub(super) read: u64,
    pub(super) total: u64,
}

fn pattern(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9) >> 13) as u8
}

impl Flow {
    pub(super) fn new(from: (usize, StreamId), to: (usize, StreamId), total: u64) -> Self {
        Self { from, to, written: 0, read: 0, total }
    }

    pub(super) fn pump(&mut self, world: &mut World) {
        let (end, stream) = self.from;
        let room = world.ends[end].space(stream) as u64;
        let n = room.min(self.total - self.written);
        if n > 0 {
            let bytes: Vec<u8> = (self.written..self.written + n).map(pattern).collect();
            world.ends[end].write(world.now, stream, [Chunk::from(bytes)]);
            self.written += n;
        }
        let (end, stream) = self.to;
        while let Some(data) = world.ends[end].read(world.now, stream) {
            let same = data.iter().zip(self.read..).all(|(&byte, at)| byte == pattern(at));
            assert!(same, "exact at {}", self.read);
            self.read += data.len() as u64;
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.read == self.total
    }
}

/// Runs until the flows are done; answers how long it took, in ms.
pub(super) fn run(world: &mut World, flows: &mut [Flow], within_ms: u64) -> u64 {
    let began = world.now;
    let end = world.after(within_ms);
    while flows.iter().any(|flow| !flow.is_done()) {
        flows.iter_mut().for_each(|flow| flow.pump(world));
        world.step();
        assert!(world.now < end, "{:?}", flows.iter().map(|flow| flow.read).collect::<Vec<_>>());
    }
    world.now.saturating_since(began).as_millis() as u64
}

/// Runs for so long; answers what each flow delivered.
pub(super) fn run_for(world: &mut World, flows: &mut [Flow], ms: u64) -> Vec<u64> {
    let before: Vec<u64> = flows.iter().map(|flow| flow.read).collect();
    let end = world.after(ms);
    while world.now < end {
        flows.iter_mut().for_each(|flow| flow.pump(world));
        world.step();
    }
    flows.iter().zip(before).map(|(flow, before)| flow.read - before).collect()
}
