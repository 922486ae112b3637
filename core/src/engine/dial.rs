//! Which torrent may open a link next: in turn, within the budgets for links and for half-open ones.

use super::Engine;
use super::effect::{Effect, Endpoint};
use crate::base::{ConnId, Instant};
use crate::link::{Dialed, Link};

impl Engine {
    /// Opens links for hungry torrents, one each in turn, until the budgets are used or nobody wants one.
    pub(super) fn dial(&mut self, now: Instant) {
        while self.stopping.is_none()
            && self.half_open < self.config.half_open_max
            && self.links.len() < self.config.links_max
        {
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
            let levels = self.levels_to_offer(id, addr);
            let dialed = Dialed { torrent: id, info_hash, levels };
            let link = Link::dial(addr, dialed, now + self.config.connect_timeout);
            let conn = ConnId(self.links.insert(link));
            self.half_open += 1;
            let deadline = now + self.config.connect_timeout;
            if let Some(link) = self.links.get_mut(conn.0) {
                self.timers.arm(super::Alarm::Link(conn.0), &mut link.armed, Some(deadline));
            }
            let route = self.config.route();
            self.effects.push_back(Effect::Connect { conn, to: Endpoint::Tcp(addr), route });
            self.hungry.push(slot);
        }
    }
}
