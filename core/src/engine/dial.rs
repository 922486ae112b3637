//! Which torrent may open a link next: whom the pool of connections names, within the hard bounds. The pool hears here
//! what became of each link.

use super::effect::{Effect, Endpoint, How};
use super::event::Event;
use super::{Alarm, Engine, LinkEnd, SocketKind};
use crate::base::{ConnId, Instant, PeerRef, TorrentId};
use crate::link::{Dialed, Link, Stage};
use crate::pool::{CloseReason, OpenError, PoolConfig, PoolStatus, Prospect};
use crate::torrent::{Config, Leave, UtpUse};
use core::net::SocketAddr;
use core::time::Duration;

/// Why a link ends, as far as the pool is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) opening: OpenError,
    pub(super) open: CloseReason,
}

impl Ended {
    /// We want it so.
    pub(super) const BY_US: Self = Self { opening: OpenError::Cancelled, open: CloseReason::Ours };
    /// Nothing came for too long.
    pub(super) const SILENT: Self = Self { opening: OpenError::TimedOut, open: CloseReason::Lost };

    /// The driver says so.
    pub(super) fn by_driver(why: &LinkEnd) -> Self {
        let (opening, open) = match why {
            LinkEnd::Finished => (OpenError::Refused, CloseReason::Finished),
            LinkEnd::Reset => (OpenError::Refused, CloseReason::Lost),
            LinkEnd::Refused => (OpenError::Refused, CloseReason::Finished),
            LinkEnd::TimedOut => (OpenError::TimedOut, CloseReason::Lost),
            LinkEnd::Unreachable => (OpenError::Unreachable, CloseReason::Lost),
            LinkEnd::NoRoom => (OpenError::NoRoom, CloseReason::Ours),
            LinkEnd::Host(_) => (OpenError::Cancelled, CloseReason::Ours),
        };
        Self { opening, open }
    }

    /// The torrent let the peer go.
    pub(super) fn by_leave(why: &Leave) -> Self {
        if why.is_silence() { Self::SILENT } else { Self::BY_US }
    }
}

/// The pool's settings; its hard bounds are the engine's.
pub(super) fn pool_config(config: &Config) -> PoolConfig {
    PoolConfig { links_max: config.links_max, half_open_max: config.half_open_max, ..config.pool.clone() }
}

impl Engine {
    /// How many links the network was found to bear, and why.
    pub fn pool(&self, now: Instant) -> PoolStatus {
        self.pool.status(now)
    }

    /// Opens links for whom the pool names, until it names nobody.
    pub(super) fn dial(&mut self, now: Instant) {
        self.punch(now);
        while !self.is_kept_from_dialing() {
            let Some(id) = self.pool.next_open(now) else { return };
            if self.dial_web(now, id) {
                continue;
            }
            if !self.has_carrier() {
                self.pool.on_wants(now, id, false);
                continue;
            }
            let Some(Some(call)) = self.with(now, id, |torrent, cx| torrent.next_dial(cx)) else {
                self.pool.on_wants(now, id, false);
                continue;
            };
            let levels = self.levels_to_offer(id, call.addr);
            let dialed = Dialed { torrent: id, info_hash: call.info_hash, levels, is_second: false };
            self.call(now, (call.addr, call.prospect), dialed);
        }
    }

    /// Calls those with whom somebody in the middle brings us together (BEP 55): over uTP and at once, for they call us too.
    fn punch(&mut self, now: Instant) {
        while let Some(&id) = self.punching.first().filter(|_| self.may_open()) {
            let Some(Some((addr, info_hash))) = self.with(now, id, |torrent, cx| torrent.next_punch(cx))
            else {
                self.punching.remove(&id);
                continue;
            };
            let levels = self.levels_to_offer(id, addr);
            // No other carrier would get through.
            let dialed = Dialed { torrent: id, info_hash, levels, is_second: true };
            if !self.dial_utp(now, (addr, Prospect::Failed), dialed) {
                self.with(now, id, |torrent, cx| torrent.on_uncalled(cx, addr));
            }
        }
    }

    /// Whether it isn't the pool that speaks against another call.
    fn is_kept_from_dialing(&self) -> bool {
        self.stopping.is_some()
            || self.links.len() >= self.config.links_max
            || self.handshakes.ours >= self.config.handshakes_max
    }

    /// Whether there is anything to call peers over: uTP needs a socket.
    pub(super) fn has_carrier(&self) -> bool {
        self.config.utp != UtpUse::Only || self.sockets.values().any(|&(_, kind)| self.carries_utp(kind))
    }

    /// Whether uTP goes over such sockets: behind a proxy over its relay alone.
    pub(super) fn carries_utp(&self, kind: SocketKind) -> bool {
        match self.config.proxy {
            None => kind == SocketKind::Udp,
            Some(proxy) => kind == SocketKind::UdpAssociate(proxy),
        }
    }

    /// A socket was bound: who found no carrier may find one now.
    pub(super) fn heed_carrier(&mut self) {
        if self.config.utp == UtpUse::Only {
            let ids = self.torrents.iter().map(|(id, _)| id);
            ids.filter_map(|id| self.torrents.slot(id)).for_each(|slot| self.busy.push(slot));
        }
    }

    /// Whether the budgets allow one more link of ours.
    fn may_open(&self) -> bool {
        self.stopping.is_none()
            && self.pool.half_open() < self.config.half_open_max
            && self.links.len() < self.config.links_max
    }

    /// Calls an address over the carrier that is likeliest to get through, or over the other one the second time.
    fn call(&mut self, now: Instant, (addr, prospect): (SocketAddr, Prospect), dialed: Dialed) {
        if self.forbids(addr.ip()) {
            // A filter came while the first carrier was tried.
            return self.on_dial_failed(now, dialed, addr);
        }
        let seat = self.torrents.get(dialed.torrent.0);
        let utp = match self.config.utp {
            UtpUse::Off => false,
            UtpUse::Only => true,
            UtpUse::On => seat.is_some_and(|seat| seat.torrent.speaks_utp(addr)) != dialed.is_second,
        };
        if utp {
            if !self.dial_utp(now, (addr, prospect), dialed) {
                self.on_uncalled(now, dialed, addr);
            }
            return;
        }
        let link = Link::dial(addr, dialed, now + self.patience(dialed));
        let conn = self.insert_dialed(now, link, (dialed.torrent, prospect));
        let route = self.config.route();
        self.effects.push_back(Effect::Connect { conn, to: Endpoint::Tcp(addr), route });
    }

    /// How long a call may take: half as long over the second carrier, since most who don't answer aren't there.
    pub(super) fn patience(&self, dialed: Dialed) -> Duration {
        self.config.connect_timeout / if dialed.is_second { 2 } else { 1 }
    }

    /// Takes in a link that is being opened.
    pub(super) fn insert_dialed(
        &mut self,
        now: Instant,
        link: Link,
        (torrent, prospect): (TorrentId, Prospect),
    ) -> ConnId {
        let conn = ConnId(self.links.insert(link));
        self.pool.on_started(now, conn, torrent, prospect);
        if let Some(link) = self.links.get_mut(conn.0) {
            let deadline = link.deadline;
            self.timers.arm(Alarm::Link(conn.0), &mut link.armed, deadline);
        }
        conn
    }

    /// A call ended before its link was open: the other carrier may get through.
    pub(super) fn on_call_failed(&mut self, now: Instant, (dialed, addr): (Dialed, SocketAddr), utp: bool) {
        let seat = self.torrents.get(dialed.torrent.0);
        let again = self.config.utp == UtpUse::On
            && !dialed.is_second
            && self.may_open()
            && seat.is_some_and(|seat| seat.torrent.goes_on_calling(addr, &self.config));
        if !again {
            return self.on_dial_failed(now, dialed, addr);
        }
        // The choice of the second carrier rests on what was known for the first one.
        self.call(now, (addr, Prospect::Failed), Dialed { is_second: true, ..dialed });
        if utp {
            self.with(now, dialed.torrent, |torrent, _| torrent.on_carrier(addr, false));
        }
    }

    /// Tells what the pool found out. Where the network bears fewer links than there are, those that can best be done
    /// without are closed; answers whether any was.
    pub(super) fn heed_pool(&mut self, now: Instant) -> bool {
        let mut shed = false;
        while let Some(change) = self.pool.next_change() {
            tracing::debug!(?change, "the pool of links changes");
            self.news.push(Event::Pool(change));
            while let Some(torrent) = self.pool.next_surplus(now) {
                let seat = self.torrents.get(torrent.0);
                let n = seat.and_then(|seat| seat.torrent.least_useful(now));
                let peer = n.map(|n| PeerRef { torrent, n });
                // What isn't a peer's ends by itself.
                let Some(&conn) = peer.and_then(|peer| self.conns.get(&peer)) else { break };
                self.close(now, conn, How::Flush);
                shed = true;
            }
        }
        shed
    }

    /// There was nothing to call an address over, which says nothing of it.
    fn on_uncalled(&mut self, now: Instant, dialed: Dialed, addr: SocketAddr) {
        if dialed.is_second {
            // The first carrier failed.
            self.on_dial_failed(now, dialed, addr);
        } else if self.config.utp == UtpUse::On {
            self.call(now, (addr, Prospect::Failed), Dialed { is_second: true, ..dialed });
        } else {
            self.with(now, dialed.torrent, |torrent, cx| torrent.on_uncalled(cx, addr));
        }
    }

    pub(super) fn on_pool_alarm(&mut self, now: Instant) {
        self.armed.pool = None;
        self.pool.on_timeout(now);
    }

    /// When the pool is to be looked at again; not while it isn't its own bounds that keep it.
    pub(super) fn pool_deadline(&self) -> Option<Instant> {
        self.pool.deadline().filter(|_| !self.is_kept_from_dialing())
    }

    /// Tells the pool that a link ended at this stage.
    pub(super) fn pool_ended(&mut self, now: Instant, conn: ConnId, stage: &Stage, ended: Ended) {
        match stage {
            Stage::Closed => {}
            Stage::Connecting(_) | Stage::Summoning(_) => self.pool.on_failed(now, conn, ended.opening),
            // For the pool it is open, and its end before an answer says nothing of the network.
            Stage::Asking(_) => self.pool.on_closed(now, conn, CloseReason::Ours),
            Stage::Calling(..)
            | Stage::Called(_)
            | Stage::Answered(_)
            | Stage::Streaming(_)
            | Stage::Signalling(_)
            | Stage::Joined(_) => {
                self.pool.on_closed(now, conn, ended.open);
            }
        }
    }
}
