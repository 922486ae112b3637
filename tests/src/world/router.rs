//! A weak router before a host: a table of entries, one for each link that the host opens and for each address it
//! sends datagrams to, kept for a while after the link has ended or the last datagram went. A full one throws out the oldest, or takes no new ones. Nobody outside can call. And addresses where nobody answers.

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

/// What holds an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Link(ConnId),
    Datagrams(SocketAddr),
}

/// A router.
#[derive(Debug)]
pub(super) struct Router {
    host: usize,
    entries_max: usize,
    keeps: Duration,
    when_full: WhenFull,
    /// In the order of their making; until when each is kept once its link has ended or datagrams stopped.
    entries: VecDeque<(Flow, Option<Instant>)>,
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

    /// How many links and flows of datagrams of a host its router broke.
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
        if !self.enters(host, Flow::Link(conn)) {
            return false;
        }
        let hidden = |router: &Router| self.hosts[router.host].socket(to).is_some();
        !is_dead(to) && !self.routers.iter().any(hidden)
    }

    /// Whether a datagram of this host gets out: who was sent one has an entry, or gets one.
    pub(super) fn lets_out(&mut self, host: usize, to: SocketAddr) -> bool {
        let now = self.now;
        if !self.enters(host, Flow::Datagrams(to)) {
            return false;
        }
        if let Some(router) = self.routers.iter_mut().find(|router| router.host == host) {
            let entry = router.entries.iter_mut().find(|(flow, _)| *flow == Flow::Datagrams(to));
            entry.into_iter().for_each(|entry| entry.1 = Some(now + router.keeps));
        }
        true
    }

    /// Whether a datagram for this host has an entry to come in by.
    pub(super) fn lets_back_in(&self, host: usize, from: SocketAddr) -> bool {
        let router = self.routers.iter().find(|router| router.host == host);
        let is_its = |&(flow, end): &(Flow, Option<Instant>)| {
            flow == Flow::Datagrams(from) && end.is_none_or(|end| end > self.now)
        };
        router.is_none_or(|router| router.entries.iter().any(is_its))
    }

    /// Finds or makes an entry; `false` if there is no room.
    fn enters(&mut self, host: usize, flow: Flow) -> bool {
        let now = self.now;
        let Some(router) = self.routers.iter_mut().find(|router| router.host == host) else { return true };
        router.entries.retain(|(_, end)| end.is_none_or(|end| end > now));
        if router.entries.iter().any(|(it, _)| *it == flow) {
            return true;
        }
        let mut cut = None;
        if router.entries.len() >= router.entries_max {
            if router.when_full == WhenFull::DropsNew {
                return false;
            }
            match router.entries.pop_front() {
                Some((Flow::Link(conn), _)) => cut = self.hosts[host].conns.get(&conn).copied(),
                Some((Flow::Datagrams(_), _)) => router.evicted += 1,
                None => {}
            }
        }
        router.evicted += u64::from(cut.is_some());
        router.entries.push_back((flow, None));
        if let Some((wire, _)) = cut {
            self.plan(now, Happening::Cut { wire });
        }
        true
    }

    /// A link of this host has ended.
    pub(super) fn on_entry_idle(&mut self, host: usize, conn: ConnId) {
        let now = self.now;
        let Some(router) = self.routers.iter_mut().find(|router| router.host == host) else { return };
        let end = now + router.keeps;
        if let Some(entry) =
            router.entries.iter_mut().find(|(it, end)| *it == Flow::Link(conn) && end.is_none())
        {
            entry.1 = Some(end);
        }
    }
}

fn is_dead(addr: SocketAddr) -> bool {
    matches!(addr.ip(), IpAddr::V4(ip) if ip.octets()[0] == 65)
}
