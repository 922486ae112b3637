//! Neighbours (BEP 14): which torrents they may find, and what they say.

use super::effect::Effect;
use super::{Alarm, Engine};
use crate::base::{Instant, LocalId, TorrentId};
use alloc::vec::Vec;
use core::net::SocketAddr;

impl Engine {
    /// A torrent may have begun or ceased to be open to whoever finds it, or have got another name.
    pub(super) fn heed_openness(&mut self, now: Instant, slot: u32) {
        let Some((id, seat)) = self.torrents.at_mut(slot) else { return };
        let open = self.config.lsd && seat.torrent.is_open_to_all();
        let names = if open { seat.torrent.names() } else { &[] };
        if seat.told_neighbours != names.len() {
            seat.told_neighbours = names.len();
            self.neighbours.on_torrent(now, TorrentId(id), names);
        }
    }

    pub(super) fn on_neighbours_alarm(&mut self, now: Instant) {
        self.armed.neighbours = None;
        let (host, config) = (&self.host, &self.config);
        let ready = self.neighbours.on_timeout(now, |v4| host.port_of(config, |addr| addr.is_ipv4() == v4));
        for local in ready {
            self.effects.push_back(Effect::DatagramsReady { local });
        }
    }

    /// A neighbour says what it takes part in.
    pub(super) fn on_neighbour(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if !self.config.lsd {
            return;
        }
        let own = &self.host.addresses;
        let Some((addr, hashes)) = self.neighbours.on_datagram(now, from, own, datagram) else { return };
        let mut ids: Vec<TorrentId> = hashes.into_iter().filter_map(|hash| self.find(hash)).collect();
        ids.dedup();
        for id in ids {
            self.with(now, id, |torrent, cx| torrent.on_neighbour(cx, addr));
        }
    }

    pub(super) fn arm_neighbours(&mut self) {
        let neighbours = self.neighbours.deadline();
        self.timers.arm(Alarm::Neighbours, &mut self.armed.neighbours, neighbours);
    }

    pub(super) fn is_multicast(&self, local: LocalId) -> bool {
        self.sockets.get(&local).is_some_and(|(_, kind)| *kind == super::SocketKind::Multicast)
    }
}
