//! A weak router before a host: a table of entries, one for each link that the host opens, kept for a while after the
//! link has ended. A full one throws out the oldest, or takes no new ones. Nobody outside can call. And addresses where nobody answers.

use super::{Happening, HostId, World};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream_core::base::{ConnId, Instant};
use std::collections::VecDeque;

/// What a full table does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// A new link breaks the oldest.
    EvictsOldest,
    /// A new link gets no answer.
    DropsNew,
}

/// A router.
#[derive(Debug)]
pub(super) struct Router {
    host: usize,
    entries_max: usize,
    keeps: Duration,
    when_full: WhenFull,
    /// Links in the order of their opening, and until when their entries are kept once they have ended.
    entries: VecDeque<(ConnId, Option<Instant>)>,
    evicted: u64,
}

impl World {
    /// Puts a host behind a router with a table of so many entries, each kept for so long after its link ended.
    pub fn put_behind_router(
        &mut self,
        host: HostId,
        entries_max: usize,
        keeps: Duration,
        when_full: WhenFull,
    ) {
        let entries = VecDeque::new();
        self.routers.push(Router { host: host.0, entries_max, keeps, when_full, entries, evicted: 0 });
    }

    /// How many links of a host its router broke.
    pub fn evicted(&self, host: HostId) -> u64 {
        self.routers.iter().find(|router| router.host == host.0).map_or(0, |router| router.evicted)
    }

    /// A new address where nobody answers.
    pub fn dead_addr(&mut self) -> SocketAddr {
        self.dead += 1;
        let [_, _, high, low] = self.dead.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(65, 10 + high, low, 9)), 5555)
    }

    /// Whether a first packet gets an answer, by way of the router before this host.
    pub(super) fn is_carried(&mut self, host: usize, conn: ConnId, to: SocketAddr) -> bool {
        let now = self.now;
        if let Some(router) = self.routers.iter_mut().find(|router| router.host == host) {
            router.entries.retain(|(_, end)| end.is_none_or(|end| end > now));
            if router.entries.len() >= router.entries_max {
                if router.when_full == WhenFull::DropsNew {
                    return false;
                }
                let oldest = router.entries.pop_front().map(|(conn, _)| conn);
                let wire = oldest.and_then(|conn| self.hosts[host].conns.get(&conn).copied());
                if let Some((wire, _)) = wire {
                    router.evicted += 1;
                    self.plan(now, Happening::Cut { wire });
                }
            }
            if let Some(router) = self.routers.iter_mut().find(|router| router.host == host) {
                router.entries.push_back((conn, None));
            }
        }
        let hidden = |router: &Router| self.hosts[router.host].socket(to).is_some();
        !is_dead(to) && !self.routers.iter().any(hidden)
    }

    /// A link of this host has ended.
    pub(super) fn on_entry_idle(&mut self, host: usize, conn: ConnId) {
        let now = self.now;
        let Some(router) = self.routers.iter_mut().find(|router| router.host == host) else { return };
        let end = now + router.keeps;
        if let Some(entry) = router.entries.iter_mut().find(|(it, end)| *it == conn && end.is_none()) {
            entry.1 = Some(end);
        }
    }
}

fn is_dead(addr: SocketAddr) -> bool {
    matches!(addr.ip(), IpAddr::V4(ip) if ip.octets()[0] == 65)
}
