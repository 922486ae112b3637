//! The queries that wait for an answer: which packet belongs to which, and what is late.

use super::DhtConfig;
use super::address::stands_in;
use super::event::LookupId;
use crate::base::{Instant, Rng, is_public};
use crate::wire::krpc::NodeId;
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;

/// Pings under way at once.
const PINGS_MAX: usize = 64;

/// Pings of the table's own nodes beyond it: a flood of strangers mustn't keep us from seeing who of ours is gone.
const OWN_PINGS_MAX: usize = 32;

/// What a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To see whether a node lives.
    Ping,
    /// A step of a look-up.
    Search(LookupId),
    /// To store what a look-up was for.
    Store(LookupId),
}

/// A query under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) to: SocketAddr,
    /// Who is expected there; `None` if nobody knows.
    pub(super) id: Option<NodeId>,
    pub(super) purpose: Purpose,
    sent: Instant,
    stalled: bool,
}

/// What time brought.
#[derive(Debug)]
pub(super) enum Late {
    /// It is slow.
    Stalled(Pending),
    /// It failed.
    Failed(Pending),
}

/// All queries under way.
#[derive(Debug)]
pub(super) struct Queries {
    rng: Rng,
    pending: BTreeMap<u32, Pending>,
    timers: BTreeSet<(Instant, u32)>,
    pings: BTreeSet<SocketAddr>,
}

impl Queries {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, pending: BTreeMap::new(), timers: BTreeSet::new(), pings: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn has_room(&self, config: &DhtConfig) -> bool {
        self.pending.len() < config.transactions_max
    }

    /// Whether one more ping may go to this address: one at a time, and few at once; one host of the Internet is pinged at
    /// one port. Who has an id is of the table.
    pub(super) fn may_ping(&self, (to, id): (SocketAddr, Option<NodeId>), config: &DhtConfig) -> bool {
        let most = PINGS_MAX + if id.is_some() { OWN_PINGS_MAX } else { 0 };
        let [first, last] = [0, u16::MAX].map(|port| SocketAddr::new(to.ip(), port));
        let crowded = id.is_none() && is_public(to.ip()) && self.pings.range(first..=last).next().is_some();
        self.has_room(config) && self.pings.len() < most && !crowded && !self.pings.contains(&to)
    }

    /// A query goes out; its transaction id.
    pub(super) fn on_sent(
        &mut self,
        now: Instant,
        (to, id): (SocketAddr, Option<NodeId>),
        purpose: Purpose,
        config: &DhtConfig,
    ) -> [u8; 4] {
        let transaction = loop {
            let transaction = self.rng.next_u32();
            if !self.pending.contains_key(&transaction) {
                break transaction;
            }
        };
        if purpose == Purpose::Ping {
            self.pings.insert(to);
        }
        self.pending.insert(transaction, Pending { to, id, purpose, sent: now, stalled: false });
        self.timers.insert((now + config.stall_timeout, transaction));
        transaction.to_be_bytes()
    }

    /// The query that a packet from `from` answers.
    pub(super) fn on_answer(
        &mut self,
        transaction: &[u8],
        from: SocketAddr,
        config: &DhtConfig,
    ) -> Option<Pending> {
        let transaction = u32::from_be_bytes(transaction.try_into().ok()?);
        let by_name =
            |to: SocketAddr| stands_in(to, config) && to.port() == from.port() && !stands_in(from, config);
        let asked = |pending: &&Pending| pending.to == from || by_name(pending.to);
        let pending = *self.pending.get(&transaction).filter(asked)?;
        self.timers.remove(&(pending.next(config), transaction));
        self.forget(transaction, &pending);
        Some(pending)
    }

    /// What is late by now.
    pub(super) fn next_late(&mut self, now: Instant, config: &DhtConfig) -> Option<Late> {
        let &(at, transaction) = self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        let pending = self.pending.get_mut(&transaction)?;
        if pending.stalled {
            let pending = *pending;
            self.forget(transaction, &pending);
            return Some(Late::Failed(pending));
        }
        pending.stalled = true;
        self.timers.insert((pending.next(config), transaction));
        Some(Late::Stalled(*pending))
    }

    fn forget(&mut self, transaction: u32, pending: &Pending) {
        self.pending.remove(&transaction);
        if pending.purpose == Purpose::Ping {
            self.pings.remove(&pending.to);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }
}

impl Pending {
    /// When it is late next.
    fn next(&self, config: &DhtConfig) -> Instant {
        let after =
            if self.stalled { config.query_timeout.max(config.stall_timeout) } else { config.stall_timeout };
        self.sent + after
    }
}
