//! What stands between a host and the world: a local network, with a multicast group that all of it hear, or a router
//! that lets in only what answers.

use super::host::{LISTENER, MULTICAST};
use super::{HostId, World};
use core::net::{IpAddr, SocketAddr};
use millstream_core::base::Chunk;
use millstream_core::engine::{Config, Input, SocketKind};
use std::collections::BTreeSet;

/// A router with translation of addresses: a host behind it has one address for all it sends to (endpoint-independent
/// mapping), and what comes is let in from whom the host sent to (address-dependent filtering). No TCP link comes in.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// Whom the host sent datagrams to.
    sent_to: BTreeSet<IpAddr>,
    /// Datagrams that were not let in.
    pub refused: u64,
}

impl World {
    /// A new host on the local network, of which all hear what is said to the multicast group.
    pub fn neighbour(&mut self, config: Config) -> HostId {
        let id = self.host_with(config);
        self.unbind(id);
        let addr = SocketAddr::from(([192, 168, 7, id.0 as u8 + 1], 6881));
        self.hosts[id.0].addr = addr;
        self.hosts[id.0].on_lan = true;
        self.bind(id.0);
        self.input(
            id.0,
            Input::Bound { local: MULTICAST, addr: group_port(addr), kind: SocketKind::Multicast },
        );
        id
    }

    /// A new host behind a router of its own.
    pub fn behind_router(&mut self, config: Config) -> HostId {
        let id = self.host_with(config);
        self.hosts[id.0].router = Some(Router::default());
        id
    }

    fn unbind(&mut self, id: HostId) {
        self.input(id.0, Input::Unbound { local: LISTENER });
        self.input(id.0, Input::Unbound { local: super::host::UDP });
    }

    /// Whether a host's router lets a datagram in.
    pub(super) fn lets_in(&mut self, n: usize, from: SocketAddr) -> bool {
        let Some(router) = &mut self.hosts[n].router else { return true };
        let known = router.sent_to.contains(&from.ip());
        router.refused += u64::from(!known);
        known
    }

    /// A host sends a datagram: its router lets answers in from now on.
    pub(super) fn passes_router(&mut self, n: usize, to: SocketAddr) {
        if let Some(router) = &mut self.hosts[n].router {
            router.sent_to.insert(to.ip());
        }
    }

    /// A datagram for the group reaches all on the local network, the sender too.
    pub(super) fn on_multicast(&mut self, from: SocketAddr, bytes: &[u8]) {
        let now = self.now;
        if let Some(host) = self.hosts.iter_mut().find(|host| host.addr.ip() == from.ip()) {
            host.multicasts.push(now);
        }
        for n in 0..self.hosts.len() {
            if self.hosts[n].on_lan {
                let stride = u16::try_from(bytes.len()).expect("it is short");
                let data = Chunk::copy_from(bytes);
                self.input(n, Input::Datagrams { local: MULTICAST, from, to: None, data, stride });
            }
        }
    }
}

fn group_port(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), 6771)
}
