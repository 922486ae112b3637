//! The rate limits of all peers: engine, torrent and peer, both ways, and who waits for tokens.

use super::config::Rates;
use crate::base::{Instant, PeerRef};
use crate::limits::{NodeId, Rates as Tree};
use alloc::collections::BTreeMap;

/// Which way payload flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To peers.
    Up,
    /// From peers.
    Down,
}

/// A limit in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    up: NodeId,
    down: NodeId,
}

#[derive(Debug)]
struct Side {
    tree: Tree,
    root: NodeId,
    peers: BTreeMap<NodeId, PeerRef>,
}

impl Side {
    fn new(now: Instant, rate: Option<u64>) -> Self {
        let mut tree = Tree::default();
        let root = tree.add(None, rate);
        tree.set(now, root, rate);
        Self { tree, root, peers: BTreeMap::new() }
    }

    fn next_ready(&mut self, now: Instant) -> Option<PeerRef> {
        while let Some(node) = self.tree.next_ready(now) {
            if let Some(&peer) = self.peers.get(&node) {
                return Some(peer);
            }
        }
        None
    }
}

/// The engine's limits, one tree a direction.
#[derive(Debug)]
pub struct Gate {
    up: Side,
    down: Side,
}

impl Gate {
    /// The engine's own limits, with nobody under them.
    pub fn new(now: Instant, rates: Rates) -> Self {
        Self { up: Side::new(now, rates.upload), down: Side::new(now, rates.download) }
    }

    /// Changes the engine's limits.
    pub fn set(&mut self, now: Instant, rates: Rates) {
        self.up.tree.set(now, self.up.root, rates.upload);
        self.down.tree.set(now, self.down.root, rates.download);
    }

    /// Limits for a torrent.
    pub(super) fn add_torrent(&mut self, rates: Rates) -> Pass {
        Pass {
            up: self.up.tree.add(Some(self.up.root), rates.upload),
            down: self.down.tree.add(Some(self.down.root), rates.download),
        }
    }

    /// A place for a peer under its torrent.
    pub(super) fn add_peer(&mut self, torrent: Pass, peer: PeerRef) -> Pass {
        let pass = Pass {
            up: self.up.tree.add(Some(torrent.up), None),
            down: self.down.tree.add(Some(torrent.down), None),
        };
        self.up.peers.insert(pass.up, peer);
        self.down.peers.insert(pass.down, peer);
        pass
    }

    pub(super) fn remove(&mut self, now: Instant, pass: Pass) {
        self.up.tree.remove(now, pass.up);
        self.down.tree.remove(now, pass.down);
        self.up.peers.remove(&pass.up);
        self.down.peers.remove(&pass.down);
    }

    pub(super) fn set_pass(&mut self, now: Instant, pass: Pass, rates: Rates) {
        self.up.tree.set(now, pass.up, rates.upload);
        self.down.tree.set(now, pass.down, rates.download);
    }

    /// How many of `wanted` bytes may pass, paid for. 0: the peer waits, and is named by `next_ready` when its turn comes.
    pub(super) fn take(&mut self, now: Instant, pass: Pass, direction: Direction, wanted: u64) -> u64 {
        match direction {
            Direction::Up => self.up.tree.take(now, pass.up, wanted),
            Direction::Down => self.down.tree.take(now, pass.down, wanted),
        }
    }

    /// Pays for what passed beyond what was taken, into debt.
    pub(super) fn pay(&mut self, now: Instant, pass: Pass, direction: Direction, bytes: u64) {
        match direction {
            Direction::Up => self.up.tree.pay(now, pass.up, bytes),
            Direction::Down => self.down.tree.pay(now, pass.down, bytes),
        }
    }

    /// Gives back what was paid for and did not pass.
    pub(super) fn refund(&mut self, now: Instant, pass: Pass, direction: Direction, bytes: u64) {
        if bytes == 0 {
            return;
        }
        match direction {
            Direction::Up => self.up.tree.refund(now, pass.up, bytes),
            Direction::Down => self.down.tree.refund(now, pass.down, bytes),
        }
    }

    /// Who waited and may ask again now; once each.
    pub fn next_ready(&mut self, now: Instant) -> Option<(PeerRef, Direction)> {
        let up = self.up.next_ready(now).map(|peer| (peer, Direction::Up));
        up.or_else(|| self.down.next_ready(now).map(|peer| (peer, Direction::Down)))
    }

    /// When the next one may be called up.
    pub fn deadline(&self) -> Option<Instant> {
        let (up, down) = (self.up.tree.deadline(), self.down.tree.deadline());
        up.into_iter().chain(down).min()
    }
}
