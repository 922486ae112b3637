//! Whom the torrent has nothing to do with: who lied, and whom the application sends away. What is known of addresses is the
//! room `book`'s.

use super::peers::Peer;
use super::{Context, Leave, Torrent, TorrentEvent};
use crate::book::BanReason;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

impl Torrent {
    /// Lets a peer go for data that fails its digest, and takes it never again.
    pub(super) fn ban(&mut self, cx: &mut Context<'_>, n: u32) {
        let Some(peer) = self.peers.get(&n) else { return self.blame_web(cx, n) };
        let (addr, home) = (peer.addr, peer.home);
        for addr in [addr, home] {
            self.shut_out(cx, addr, BanReason::BadData);
        }
        let reason = String::from("it sent data that fails its digest");
        self.event(TorrentEvent::Banned { addr, reason });
        self.dismiss(cx, n, Leave::Banned);
    }

    /// Closes the links with a peer, known by the address that it has or listens at, and calls it no more by itself for
    /// the book's longest pause. With `ban` never again, and whoever is at its address isn't taken either, whether it is
    /// here now or not. Answers whether there was anything to do.
    pub fn disconnect(&mut self, cx: &mut Context<'_>, addr: SocketAddr, ban: bool) -> bool {
        let addr = match addr.ip().to_canonical() {
            ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
            IpAddr::V6(_) => addr,
        };
        let here = |peer: &Peer| same(peer.addr, addr) || same(peer.home, addr);
        let homes: Vec<[SocketAddr; 2]> =
            self.peers.values().filter(|peer| here(peer)).map(|peer| [peer.addr, peer.home]).collect();
        if ban {
            for addr in homes.iter().copied().flatten().chain([addr]) {
                self.shut_out(cx, addr, BanReason::User);
            }
            self.event(TorrentEvent::Banned { addr, reason: String::from("the application says so") });
        }
        let banned = |peer: &Peer| ban && (self.is_banned(peer.addr) || self.is_banned(peer.home));
        let leave: Vec<u32> =
            self.peers.iter().filter(|(_, peer)| here(peer) || banned(peer)).map(|(&n, _)| n).collect();
        let why = if ban { Leave::Banned } else { Leave::Dismissed };
        for &n in &leave {
            self.dismiss(cx, n, why.clone());
        }
        ban || !leave.is_empty()
    }

    /// Has nothing to do with an address any more.
    fn shut_out(&mut self, cx: &Context<'_>, addr: SocketAddr, reason: BanReason) {
        // Everyone on this host has the loopback address: banning it would ban the innocent.
        if addr.ip().is_loopback() {
            self.banned_here.insert(addr);
            self.book.forget(addr);
            if self.banned_here.len() > cx.config.book.bans_max {
                self.banned_here.pop_first();
            }
        } else {
            self.book.ban(addr.ip(), reason, &cx.config.book);
        }
    }

    pub(super) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned_here.contains(&addr) || self.book.ban_of(addr.ip()).is_some()
    }
}

/// Whether two addresses are one: an IPv4 address has two forms.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}
