//! The multicast sockets, and what is said and heard on them (BEP 14): one socket for each address family.

use crate::base::{Instant, LocalId, Rng, TorrentId};
use crate::lsd::{Lsd, LsdConfig, LsdCounts, Neighbour};
use crate::wire::InfoHash;
use crate::wire::lsd::{LSD_GROUP_V4, LSD_GROUP_V6};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// What is said to neighbours, and by which sockets.
#[derive(Debug)]
pub struct Neighbours {
    lsd: Lsd,
    sockets: BTreeMap<LocalId, Socket>,
}

/// A multicast socket, and the announce that waits to be sent from it: the next one comes a minute later.
#[derive(Debug)]
struct Socket {
    group: SocketAddr,
    waiting: Option<Vec<u8>>,
}

impl Neighbours {
    /// No sockets yet.
    pub fn new(config: LsdConfig, rng: &mut Rng) -> Self {
        Self { lsd: Lsd::new(config, rng), sockets: BTreeMap::new() }
    }

    /// A multicast socket is there.
    pub fn on_bound(&mut self, local: LocalId, addr: SocketAddr) {
        let group = if addr.is_ipv4() { LSD_GROUP_V4 } else { LSD_GROUP_V6 };
        self.sockets.insert(local, Socket { group, waiting: None });
    }

    /// It is gone.
    pub fn on_unbound(&mut self, local: LocalId) {
        self.sockets.remove(&local);
    }

    /// A torrent is to be found by neighbours under these names; under none it isn't any more.
    pub fn on_torrent(&mut self, now: Instant, id: TorrentId, names: &[InfoHash]) {
        if names.is_empty() {
            self.lsd.on_torrent_gone(id);
        } else {
            self.lsd.on_torrent(now, id, names.to_vec());
        }
    }

    /// When `on_timeout` is due.
    pub fn deadline(&self) -> Option<Instant> {
        if self.sockets.is_empty() { None } else { self.lsd.deadline() }
    }

    /// Announces what is due, in each family that we listen in, at that port; answers at which sockets datagrams wait.
    pub fn on_timeout(&mut self, now: Instant, port: impl Fn(bool) -> Option<u16>) -> Vec<LocalId> {
        let mut ready = Vec::new();
        if self.sockets.is_empty() {
            return ready;
        }
        let Some(hashes) = self.lsd.next_announce(now) else { return ready };
        for (&local, socket) in &mut self.sockets {
            if let Some(port) = port(socket.group.is_ipv4()) {
                socket.waiting = Some(self.lsd.announce(port, hashes.clone()).encode(socket.group));
                ready.push(local);
            }
        }
        ready
    }

    /// A datagram came to the group: who sent it, if it is a neighbour, and what it takes part in.
    pub fn on_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        own: &[IpAddr],
        bytes: &[u8],
    ) -> Option<(SocketAddr, Vec<InfoHash>)> {
        match self.lsd.on_datagram(now, from, own, bytes) {
            Ok(Neighbour { addr, info_hashes }) => Some((addr, info_hashes)),
            Err(ignored) => {
                tracing::debug!(%from, %ignored, "neighbour");
                None
            }
        }
    }

    /// How many datagrams were ignored, and why.
    pub fn counts(&self) -> LsdCounts {
        self.lsd.counts()
    }

    /// The next datagram to send from a socket.
    pub fn next_datagram(&mut self, local: LocalId) -> Option<(SocketAddr, Vec<u8>)> {
        let socket = self.sockets.get_mut(&local)?;
        Some((socket.group, socket.waiting.take()?))
    }
}
