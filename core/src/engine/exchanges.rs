//! Encrypted links as the engine sees them: what our settings let in and offer, which torrent a veiled name means, and the
//! exchanges of keys: so many at once, one for each stranger. The handshakes are the links' own.

use super::{Asker, Encryption, Engine, How, Outcome, Work};
use crate::base::{ConnId, Instant, Key, Map, TorrentId};
use crate::link::{Admission, Dialed, Link, LinkFault};
use crate::torrent::Errand;
use crate::wire::InfoHash;
use crate::wire::mse::{KeyExchange, Level, Levels, VeiledHash};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::SocketAddr;

/// Exchanges of keys, and the names by which encrypted links ask for our torrents.
#[derive(Debug)]
pub(super) struct Exchanges {
    names: Map<VeiledHash, InfoHash>,
    /// With the driver.
    outstanding: usize,
    /// Waiting for their turn: links that we opened first, then who waits longest. A link waits for one at most.
    waiting: BTreeMap<(bool, ConnId), Box<KeyExchange>>,
}

impl Exchanges {
    pub(super) fn new(key: Key) -> Self {
        Self { names: Map::new(key), outstanding: 0, waiting: BTreeMap::new() }
    }

    /// No torrent answers to this name any more.
    pub(super) fn on_name_gone(&mut self, name: InfoHash) {
        self.names.remove(&VeiledHash::of(name));
    }

    /// A link is closed: it waits for nothing.
    pub(super) fn on_closed(&mut self, conn: ConnId) {
        self.waiting.remove(&(false, conn));
        self.waiting.remove(&(true, conn));
    }
}

impl Engine {
    /// A torrent answers to one more name, in clear and veiled.
    pub(super) fn insert_route(&mut self, name: InfoHash, id: TorrentId) {
        self.routes.insert(name, id);
        if self.config.encryption != Encryption::Off {
            self.exchanges.names.insert(VeiledHash::of(name), name);
        }
    }

    /// Which links of strangers are taken.
    pub(super) fn admission(&self) -> Admission {
        let (plain, levels) = match self.config.encryption {
            Encryption::Off => (true, Levels::default()),
            Encryption::Prefer => (true, Levels::BOTH),
            Encryption::Require => (false, Levels::only(Level::Rc4)),
        };
        Admission { plain, levels }
    }

    /// The levels to offer to a peer that we call; `None`: it is called plain.
    pub(super) fn levels_to_offer(&self, torrent: TorrentId, addr: SocketAddr) -> Option<Levels> {
        match self.config.encryption {
            Encryption::Off => None,
            Encryption::Prefer => {
                let plain = self.torrents.get(torrent.0).is_some_and(|seat| seat.torrent.calls_plain(addr));
                (cfg!(feature = "mse") && !plain).then_some(Levels::BOTH)
            }
            Encryption::Require => Some(Levels::only(Level::Rc4)),
        }
    }

    /// A link needs keys.
    pub(super) fn on_exchange(&mut self, conn: ConnId, job: Box<KeyExchange>) {
        let Some(incoming) = self.links.get(conn.0).map(|link| link.incoming) else { return };
        self.exchanges.waiting.insert((incoming, conn), job);
        self.hand_out_exchanges();
    }

    pub(super) fn on_exchange_done(&mut self, now: Instant, conn: ConnId, outcome: &Outcome) {
        self.exchanges.outstanding -= 1;
        self.hand_out_exchanges();
        let Some(link) = self.links.get_mut(conn.0) else { return };
        let Outcome::Exchanged(exchanged) = outcome else {
            tracing::debug!(?conn, ?outcome, "keys can't be exchanged");
            return self.close(now, conn, How::Abort);
        };
        let step = link.on_exchanged(exchanged);
        self.touch(conn);
        self.on_step(now, conn, step);
    }

    fn hand_out_exchanges(&mut self) {
        while self.exchanges.outstanding < self.config.key_exchanges_max.max(1) {
            let Some(((_, conn), job)) = self.exchanges.waiting.pop_first() else { return };
            self.exchanges.outstanding += 1;
            self.job(Asker::Link(conn), Errand::Exchange, Work::Exchange(job));
        }
    }

    /// A stranger asks for a torrent by its veiled name.
    pub(super) fn on_named(&mut self, now: Instant, conn: ConnId, name: VeiledHash) {
        let skey = self.exchanges.names.get(&name).copied();
        let Some(link) = self.links.get_mut(conn.0) else { return };
        let step = link.on_named(skey);
        self.touch(conn);
        self.on_step(now, conn, step);
    }

    pub(super) fn on_link_fault(&mut self, now: Instant, conn: ConnId, fault: LinkFault) {
        tracing::debug!(?conn, %fault, "no handshake");
        if self.links.get(conn.0).is_some_and(|link: &Link| link.incoming) {
            self.faults.count(fault);
        }
        self.close(now, conn, How::Abort);
    }

    /// A peer that we called encrypted didn't answer so.
    pub(super) fn on_not_encrypted(&mut self, now: Instant, dialed: Dialed, remote: SocketAddr) {
        self.faults.encryption += 1;
        match self.config.encryption {
            Encryption::Off | Encryption::Prefer => {
                self.with(now, dialed.torrent, |torrent, cx| torrent.on_not_encrypted(cx, remote));
            }
            Encryption::Require => {
                self.faults.plain += 1;
                self.on_dial_failed(now, dialed, remote);
            }
        }
    }
}
