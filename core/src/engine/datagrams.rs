//! Datagrams in and out, and what the machines that speak UDP ask for.

use super::effect::{Datagrams, Effect};
use super::{Asker, Engine};
use crate::announce::{AskId, UdpAsk};
use crate::base::{Chunk, Instant, LocalId, TorrentId};
use crate::net::NetOutput;
use crate::torrent::{Errand, Outcome, Work};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

impl Engine {
    pub(super) fn on_datagrams(
        &mut self,
        now: Instant,
        local: LocalId,
        ends: (SocketAddr, Option<IpAddr>),
        (data, stride): (Chunk, u16),
    ) {
        if !self.sockets.contains_key(&local) || data.is_empty() {
            return;
        }
        let stride = if stride == 0 { data.len() } else { usize::from(stride) };
        let forbidden = self.forbids(ends.0.ip());
        if self.is_multicast(local) && !forbidden {
            return data.chunks(stride).for_each(|datagram| self.on_neighbour(now, ends.0, datagram));
        }
        for at in (0..data.len()).step_by(stride) {
            let datagram = data.slice(at, at + stride);
            // A tracker is no peer: it was chosen by the torrent or the user, and is asked.
            if forbidden && !self.net.is_answer(&datagram) {
                self.filtered.datagrams += 1;
                continue;
            }
            // KRPC is a dictionary; no other protocol of ours begins with its letter.
            #[cfg(feature = "dht")]
            if let (Some(b'd'), Some(finder)) = (datagram.first(), &mut self.finder) {
                finder.on_datagram(now, local, ends.0, &datagram);
                continue;
            }
            if !self.on_utp_datagram(now, Self::arrival(local, ends, datagram.clone())) {
                self.net.on_datagram(now, ends.0, &datagram);
            }
        }
        self.drain_net(now);
        #[cfg(feature = "dht")]
        self.drain_finder(now);
    }

    pub(super) fn on_datagram_refused(
        &mut self,
        now: Instant,
        _local: LocalId,
        (to, bytes): (SocketAddr, Option<usize>),
    ) {
        // Who refuses now, or has no room, may take the retransmission. Only of a size there is something to learn.
        tracing::debug!(%to, bytes, "a datagram was refused");
        if let Some(bytes) = bytes {
            self.on_utp_refused(now, to, bytes);
        }
    }

    /// Datagrams to send from a socket, `max` bytes at most beside the first. Packets of uTP are put together now. When
    /// there are no more it may make effects: take them afterwards.
    pub fn poll_datagrams(&mut self, now: Instant, local: LocalId, max: usize) -> Option<Datagrams> {
        let now = self.advance(now);
        let waiting = self.net.next_datagram(local).or_else(|| self.neighbours.next_datagram(local));
        #[cfg(feature = "dht")]
        let waiting = waiting.or_else(|| self.finder.as_mut()?.next_datagram(local));
        if let Some((to, data)) = waiting {
            return Some(Datagrams::one(to, Chunk::from(data)));
        }
        let next = self.next_utp(now, local, max);
        if next.is_none() {
            // What left made room, and deadlines.
            self.settle(now);
        }
        next
    }

    pub(super) fn on_udp_ask(
        &mut self,
        now: Instant,
        (torrent, ask): (TorrentId, Option<AskId>),
        udp: Box<UdpAsk>,
    ) {
        self.net.on_ask(now, torrent, ask, udp);
        self.drain_net(now);
    }

    pub(super) fn on_net_alarm(&mut self, now: Instant) {
        self.armed.net = None;
        self.net.on_timeout(now);
        self.drain_net(now);
    }

    pub(super) fn on_net_done(&mut self, now: Instant, errand: Errand, outcome: Outcome) {
        let Errand::Resolve(exchange) = errand else { return };
        let addrs = if let Outcome::Resolved(addrs) = outcome { addrs } else { Vec::new() };
        self.net.on_resolved(now, exchange, &addrs);
        self.drain_net(now);
    }

    pub(super) fn drain_net(&mut self, now: Instant) {
        while let Some(output) = self.net.next_output() {
            match output {
                NetOutput::Resolve { exchange, host, port } => {
                    let route = self.config.route();
                    self.job(Asker::Net, Errand::Resolve(exchange), Work::Resolve { host, port, route });
                }
                NetOutput::Ready(local) => self.effects.push_back(Effect::DatagramsReady { local }),
                NetOutput::Answered(torrent, ask, answer) => {
                    self.with(now, torrent, |it, cx| it.on_announced(cx, ask, answer));
                }
                NetOutput::Scraped(torrent, counts) => {
                    self.with(now, torrent, |it, cx| it.on_scraped(cx, counts));
                }
            }
        }
    }
}
