//! Which torrent may open a link next: whom the pool of connections names, within the hard bounds. The pool hears here
//! what became of each link.

use super::effect::{Effect, Endpoint};
use super::{Alarm, Engine, LinkEnd};
use crate::base::{ConnId, Instant};
use crate::link::{Dialed, Link, Stage};
use crate::pool::{CloseReason, OpenError, PoolConfig, PoolStatus};
use crate::torrent::{Config, Leave};

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
        while self.stopping.is_none() && self.links.len() < self.config.links_max {
            let Some(id) = self.pool.next_open(now) else { return };
            if self.dial_web(now, id) {
                continue;
            }
            let Some(Some(call)) = self.with(now, id, |torrent, cx| torrent.next_dial(cx)) else {
                self.pool.on_wants(now, id, false);
                continue;
            };
            let dialed = Dialed { torrent: id, info_hash: call.info_hash };
            let deadline = now + self.config.connect_timeout;
            let conn = ConnId(self.links.insert(Link::dial(call.addr, dialed, deadline)));
            self.pool.on_started(now, conn, id, call.prospect);
            if let Some(link) = self.links.get_mut(conn.0) {
                self.timers.arm(Alarm::Link(conn.0), &mut link.armed, Some(deadline));
            }
            let route = self.config.route();
            self.effects.push_back(Effect::Connect { conn, to: Endpoint::Tcp(call.addr), route });
        }
    }

    pub(super) fn on_pool_alarm(&mut self, now: Instant) {
        self.armed.pool = None;
        self.pool.on_timeout(now);
    }

    /// When the pool is to be looked at again; not while it isn't its own bounds that keep it.
    pub(super) fn pool_deadline(&self) -> Option<Instant> {
        let kept = self.stopping.is_some() || self.links.len() >= self.config.links_max;
        self.pool.deadline().filter(|_| !kept)
    }

    /// Tells the pool that a link ended at this stage.
    pub(super) fn pool_ended(&mut self, now: Instant, conn: ConnId, stage: &Stage, ended: Ended) {
        match stage {
            Stage::Closed => {}
            Stage::Connecting(_) | Stage::Asking(_) => self.pool.on_failed(now, conn, ended.opening),
            Stage::Calling(..)
            | Stage::Called(_)
            | Stage::Answered(_)
            | Stage::Streaming(_)
            | Stage::Joined(_) => {
                self.pool.on_closed(now, conn, ended.open);
            }
        }
    }
}
