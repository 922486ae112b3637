//! The bodies about uTP: its packets, and streams between us and whoever sends anything at all.

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::{Chunk, Instant, LocalId, Rng};
use millstream_core::utp::{Arrival, Sockets, StreamId, UtpConfig, UtpEvent};
use millstream_core::wire::utp::{HEADER_BYTES, Packet};
use std::collections::BTreeSet;

/// A datagram: what is accepted is written again as it came, and its payload ends where the datagram does.
pub fn utp_packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else { return };
    let extension = data.get(1).copied().unwrap_or_default();
    assert_eq!(packet.header.encode(extension)[..], data[..HEADER_BYTES], "the header survives");
    assert!(data.ends_with(packet.payload), "what is carried comes last");
    assert!(extension != 0 || packet.payload.len() + HEADER_BYTES == data.len());
}

const LOCAL: LocalId = LocalId(1);
const STREAMS_MAX: usize = 12;
const LINGER: Duration = Duration::from_secs(10);

/// Streams of ours and of strangers, under any datagrams: bounded, ending, and never worth more to a liar than he sends.
pub fn utp_streams(data: &[u8]) {
    let config = UtpConfig {
        streams_max: STREAMS_MAX,
        backlog_max: 4,
        window_bytes: 4096,
        linger_ms: LINGER.as_millis() as u32,
        ..UtpConfig::default()
    };
    let mut run = Run {
        sockets: Sockets::new(config, Rng::new([7; 32])),
        now: Instant::from_micros((1 << 32) - 5_000_000),
        streams: BTreeSet::new(),
        lingers_until: Instant::ZERO,
        names: Vec::new(),
        waiting: 0,
    };
    let mut rest = data;
    while let Some((&op, more)) = rest.split_first() {
        rest = run.step(op, more);
        run.settle();
    }
    for _ in 0..200 {
        run.wait(Duration::from_secs(2));
    }
}

struct Run {
    sockets: Sockets,
    now: Instant,
    streams: BTreeSet<StreamId>,
    /// Until then one that was let go may still have something to say.
    lingers_until: Instant,
    /// Headers that left, so that a script can answer them.
    names: Vec<[u8; HEADER_BYTES]>,
    waiting: usize,
}

impl Run {
    fn step<'a>(&mut self, op: u8, rest: &'a [u8]) -> &'a [u8] {
        let stranger = SocketAddr::from(([192, 0, 2, op >> 6], 7));
        let pick = self.streams.iter().nth(usize::from(op >> 4) % self.streams.len().max(1)).copied();
        match op % 8 {
            0 => self.streams.extend(self.sockets.connect(self.now, LOCAL, stranger)),
            1 | 2 => {
                let (len, rest) = rest.split_first().unwrap_or((&0, &[]));
                let (datagram, rest) = rest.split_at(rest.len().min(usize::from(*len)));
                self.give(stranger, datagram.to_vec());
                return rest;
            }
            // An answer to something that left: its numbers are right, the rest is the script's.
            3 | 4 => {
                let (body, rest) = rest.split_at(rest.len().min(10));
                let Some(&left) = self.names.get(usize::from(op >> 3) % self.names.len().max(1)) else {
                    return rest;
                };
                let mut datagram = left.to_vec();
                for (at, byte) in [0, 1, 3, 14, 15, 16, 17, 18, 19].into_iter().zip(body) {
                    datagram[at] = datagram[at].wrapping_add(*byte);
                }
                datagram.extend_from_slice(body);
                self.give(stranger, datagram);
                return rest;
            }
            5 => self.wait(Duration::from_millis(1 << (op >> 4))),
            6 => {
                if let Some(stream) = pick
                    && self.waiting < 1 << 20
                {
                    let bytes = 1 << (op >> 4).min(14);
                    self.waiting += bytes;
                    self.sockets.write(self.now, stream, [Chunk::from(vec![op; bytes])]);
                }
            }
            _ => {
                if let Some(stream) = pick {
                    self.streams.remove(&stream);
                    if op & 8 == 0 {
                        self.lingers_until = self.now + LINGER;
                        self.sockets.finish(self.now, stream)
                    } else {
                        self.sockets.reset(stream)
                    }
                }
            }
        }
        rest
    }

    fn give(&mut self, from: SocketAddr, datagram: Vec<u8>) {
        let bytes = datagram.len();
        let known = !self.streams.is_empty() || self.now <= self.lingers_until;
        self.sockets.on_datagram(self.now, &Arrival { local: LOCAL, to: None, from, data: datagram.into() });
        let sent = self.settle();
        // It may have proved its address just now.
        let known = known || !self.streams.is_empty();
        assert!(known || sent <= bytes, "a stranger gets no more than it sends: {sent} for {bytes}");
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for n in 0.. {
            let Some(at) = self.sockets.deadline().filter(|&at| at <= end) else { break };
            assert!(n < 2000, "due again and again");
            self.now = self.now.max(at);
            self.sockets.on_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) -> usize {
        let mut sent = 0;
        while let Some(local) = self.sockets.next_ready() {
            while let Some(packets) = self.sockets.next_packets(self.now, local, 8192) {
                sent += packets.data.len();
                let head = packets.data.first_chunk::<HEADER_BYTES>();
                self.names.extend(head.filter(|_| self.names.len() < 64));
                assert!(sent < 1 << 22, "it ends");
            }
        }
        while let Some(incoming) = self.sockets.accept() {
            self.streams.insert(incoming.stream);
        }
        while let Some(event) = self.sockets.next_event() {
            match event {
                UtpEvent::Readable(stream) => while self.sockets.read(self.now, stream).is_some() {},
                UtpEvent::Closed(stream, _) => assert!(self.streams.remove(&stream), "it was known"),
                UtpEvent::Connected(_) | UtpEvent::Writable(..) | UtpEvent::Finished(_) => {}
            }
        }
        assert!(self.sockets.len() <= STREAMS_MAX);
        sent
    }
}
