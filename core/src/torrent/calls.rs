//! Calling peers: whom next, over which carrier, plain or encrypted, what is learned when nobody answers, and when a call
//! and theirs cross.

use super::peers::{CROSSED, Peer};
use super::{Call, Context, Torrent, TorrentEvent};
use crate::book::{Source, Tried};
use crate::pool::Prospect;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::net::SocketAddr;

impl Torrent {
    /// Whether it could use more links; `carrier`: there is something to call peers over.
    pub fn may_want_links(&self, config: &super::Config, carrier: bool) -> bool {
        self.wants_fetch() || carrier && self.may_want_peers(config)
    }

    fn may_want_peers(&self, config: &super::Config) -> bool {
        self.may_dial()
            && self.peers.len() + self.calls < config.torrent_links_max
            && self.book.candidates(self.is_sated()) > 0
    }

    pub(super) fn may_dial(&self) -> bool {
        self.takes_part()
    }

    /// Whom to call next, by which name.
    pub fn next_dial(&mut self, cx: &mut Context<'_>) -> Option<Call> {
        if !self.may_want_peers(cx.config) {
            return None;
        }
        let addr = loop {
            let addr = self.book.next_candidate(cx.now, self.is_sated())?;
            if !self.is_banned(addr) {
                break addr;
            }
            // The book bans no single port of this very host.
            self.book.forget(addr);
        };
        let prospect = match self.book.tried(addr) {
            Tried::Never => Prospect::Fresh,
            Tried::Worked => Prospect::Proven,
            Tried::Failed => Prospect::Failed,
        };
        self.book.on_connecting(addr);
        self.calls += 1;
        Some(Call { addr, info_hash: *self.names.first()?, prospect })
    }

    /// Whether an address is known to speak uTP.
    pub fn speaks_utp(&self, addr: SocketAddr) -> bool {
        self.book.speaks_utp(addr)
    }

    /// A call showed whether an address speaks uTP.
    pub fn on_carrier(&mut self, addr: SocketAddr, utp: bool) {
        self.book.on_utp(addr, utp);
    }

    /// Whether an address is still worth a call by other means.
    pub fn goes_on_calling(&self, addr: SocketAddr, config: &super::Config) -> bool {
        self.may_dial() && !self.shuns(addr, config) && self.peers.values().all(|peer| peer.home != addr)
    }

    /// Whether nobody is to have anything to do with an address: it is banned, or the filter forbids it.
    pub(super) fn shuns(&self, addr: SocketAddr, config: &super::Config) -> bool {
        self.is_banned(addr) || config.book.forbids(addr.ip())
    }

    /// A call couldn't be made, for nothing that has to do with whom it was for.
    pub fn on_uncalled(&mut self, cx: &mut Context<'_>, addr: SocketAddr) {
        self.calls -= 1;
        self.book.on_uncalled(cx.now, addr, &cx.config.book);
        self.heed_waiting_punches(cx.now);
    }

    /// A call didn't lead to a peer.
    pub fn on_dial_failed(&mut self, cx: &mut Context<'_>, addr: SocketAddr) {
        self.calls -= 1;
        self.heed_waiting_punches(cx.now);
        if self.peers.values().any(|peer| peer.home == addr) {
            // It is here already, by a link of its own.
            return self.book.on_connected(addr);
        }
        // Who was named by hand is missed by somebody; once is enough until it was there.
        let first =
            self.book.sources(addr).has(Source::User) && !matches!(self.book.tried(addr), Tried::Failed);
        self.book.on_failed(cx.now, addr, &cx.config.book, &mut self.rng);
        if first {
            let words = "can't be reached: it refuses or doesn't answer; it is tried again later";
            self.event(TorrentEvent::Warning(format!("the peer {addr} {words}")));
        }
        self.seek_relay(cx, addr);
    }

    /// A peer that we called encrypted didn't answer so: it is called plain, at once.
    pub fn on_not_encrypted(&mut self, cx: &mut Context<'_>, addr: SocketAddr) {
        self.calls -= 1;
        if self.peers.values().any(|peer| peer.home == addr) {
            return self.book.on_connected(addr);
        }
        self.book.on_not_encrypted(addr);
        tracing::debug!(torrent = ?self.id, %addr, now = ?cx.now, "no encrypted handshake: plain next");
    }

    /// Whether whoever is there is to be called plain: the last encrypted call failed.
    pub fn calls_plain(&self, addr: SocketAddr) -> bool {
        self.book.is_plain(addr)
    }

    /// Two links with one address: each end opened one at the same moment. Twins by name are settled before; but there are
    /// those who have another name on each link, and the rules by which they tell twins may end both.
    pub(super) fn note_crossed(&mut self, n: u32) {
        let Some(home) = self.peers.get(&n).map(|peer| peer.home) else { return };
        let links: Vec<&mut Box<Peer>> = self.peers.values_mut().filter(|peer| peer.home == home).collect();
        if links.len() > 1 {
            links.into_iter().for_each(|peer| peer.crossed = true);
        }
    }

    /// What the book is told of the end of a link.
    pub(super) fn part(&mut self, cx: &mut Context<'_>, peer: &Peer, parting: Parting) {
        let (home, book, rng) = (peer.home, &cx.config.book, &mut self.rng);
        if peer.crossed && self.peers.values().any(|other| other.home == home) {
            return self.book.on_connected(home);
        }
        let young = cx.now.saturating_since(peer.joined) < CROSSED;
        match parting {
            Parting::Theirs if peer.crossed && young => self.book.on_crossed(cx.now, home, book, rng),
            Parting::Theirs | Parting::Ours => self.book.on_closed(cx.now, home, book, rng),
            Parting::Dismissed => self.book.on_dismissed(cx.now, home, book),
        }
    }
}

/// Who ended a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    Ours,
    Theirs,
    /// The application did.
    Dismissed,
}
