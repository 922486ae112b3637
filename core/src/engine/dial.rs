//! Which torrent may open a link next: in turn, within the budgets for links and for half-open ones.

use super::Engine;
use super::effect::{Effect, Endpoint};
use crate::base::{ConnId, Instant};
use crate::link::{Dialed, Link};
use crate::torrent::UtpUse;
use core::net::SocketAddr;

impl Engine {
    /// Opens links for hungry torrents, one each in turn, until the budgets are used or nobody wants one.
    pub(super) fn dial(&mut self, now: Instant) {
        while self.may_open() {
            let Some(slot) = self.hungry.pop() else { return };
            let Some((id, _)) = self.torrents.at(slot) else { continue };
            let id = crate::base::TorrentId(id);
            if self.dial_web(now, id) {
                self.hungry.push(slot);
                continue;
            }
            let Some(Some((addr, info_hash))) = self.with(now, id, |torrent, cx| torrent.next_dial(cx))
            else {
                continue;
            };
            self.call(now, addr, Dialed { torrent: id, info_hash, is_second: false });
            self.hungry.push(slot);
        }
    }

    /// Whether the budgets allow one more link of ours.
    fn may_open(&self) -> bool {
        self.stopping.is_none()
            && self.half_open < self.config.half_open_max
            && self.links.len() < self.config.links_max
    }

    /// Calls an address over the carrier that is likeliest to get through, or over the other one the second time.
    fn call(&mut self, now: Instant, addr: SocketAddr, dialed: Dialed) {
        let seat = self.torrents.get(dialed.torrent.0);
        let utp = match self.config.utp {
            UtpUse::Off => false,
            UtpUse::Only => true,
            UtpUse::On => seat.is_some_and(|seat| seat.torrent.speaks_utp(addr)) != dialed.is_second,
        };
        if utp {
            if !self.dial_utp(now, addr, dialed) {
                self.on_call_failed(now, (dialed, addr), true);
            }
            return;
        }
        let conn = self.insert_dialed(Link::dial(addr, dialed, now + self.config.connect_timeout));
        let route = self.config.route();
        self.effects.push_back(Effect::Connect { conn, to: Endpoint::Tcp(addr), route });
    }

    pub(super) fn insert_dialed(&mut self, link: Link) -> ConnId {
        let conn = ConnId(self.links.insert(link));
        self.half_open += 1;
        if let Some(link) = self.links.get_mut(conn.0) {
            let deadline = link.deadline;
            self.timers.arm(super::Alarm::Link(conn.0), &mut link.armed, deadline);
        }
        conn
    }

    /// A call ended before its link was open: the other carrier may get through.
    pub(super) fn on_call_failed(&mut self, now: Instant, (dialed, addr): (Dialed, SocketAddr), utp: bool) {
        let seat = self.torrents.get(dialed.torrent.0);
        let again = self.config.utp == UtpUse::On
            && !dialed.is_second
            && self.may_open()
            && seat.is_some_and(|seat| seat.torrent.goes_on_calling(addr));
        if !again {
            self.with(now, dialed.torrent, |torrent, cx| torrent.on_dial_failed(cx, addr));
            return;
        }
        // The choice of the second carrier rests on what was known for the first one.
        self.call(now, addr, Dialed { is_second: true, ..dialed });
        if utp {
            self.with(now, dialed.torrent, |torrent, _| torrent.on_carrier(addr, false));
        }
    }
}
