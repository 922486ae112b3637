//! The DHT as a torrent sees it: whether it may be asked, what it finds, and the PORT messages of peers (BEP 5). When it is
//! asked is decided above.

use super::{Context, Output, Torrent};
use crate::book::Source;
use crate::wire::InfoHash;
use alloc::vec::Vec;
use core::net::SocketAddr;

impl Torrent {
    /// Whether it may be known to the DHT at all: a private torrent (BEP 27) and one of given peers alone may not.
    pub(super) fn may_use_dht(&self) -> bool {
        let private = self.content.as_deref().is_some_and(|content| content.info.is_private());
        self.dht && !private
    }

    /// Whether it wants to be found now.
    pub fn uses_dht(&self) -> bool {
        self.may_use_dht() && self.takes_part() && !self.paused
    }

    /// What the DHT is to be told: the hashes (both of a hybrid), the port that peers reach us at, and whether all is
    /// here.
    pub fn dht_facts(&self, cx: &Context<'_>) -> (Vec<InfoHash>, Option<u16>, bool) {
        (self.names.clone(), cx.host.port_of(cx.config, |_| true), self.is_seeding())
    }

    /// The DHT found peers.
    pub fn on_dht_peers(&mut self, cx: &mut Context<'_>, peers: &[SocketAddr]) {
        if !self.uses_dht() {
            return;
        }
        let own = cx.host.own();
        for &addr in peers {
            if let Err(refusal) = self.book.on_address(addr, Source::Dht, &own, &cx.config.book) {
                tracing::trace!(torrent = ?self.id, %addr, ?refusal, "an address of the DHT refused");
            }
        }
    }

    /// Tells a peer where our node is, over the family that it speaks (BEP 32).
    pub(super) fn tell_dht_port(&mut self, cx: &Context<'_>, n: u32) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        if let Some(port) = cx.host.dht_ports[usize::from(peer.addr.is_ipv6())] {
            peer.session.port(port);
        }
    }

    /// A peer tells where its node is.
    pub(super) fn on_dht_port(&mut self, n: u32, port: u16) {
        let Some(peer) = self.peers.get(&n) else { return };
        if self.may_use_dht() && port != 0 {
            self.output(Output::DhtNode(SocketAddr::new(peer.addr.ip(), port)));
        }
    }
}
