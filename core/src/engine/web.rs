//! Links to web servers: opened for torrents that want something of a web seed, and what their answers begin with.

use super::effect::{Effect, Endpoint};
use super::{Engine, LinkEnd, WebSeedStatus};
use crate::base::{ConnId, Instant, PeerRef, TorrentId};
use crate::link::{Link, Stage};
use crate::pool::Prospect;
use crate::wire::http::HttpHead;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

impl Engine {
    /// A torrent's web seeds (BEP 19).
    pub fn web_seeds(&self, now: Instant, id: TorrentId) -> Vec<WebSeedStatus> {
        self.torrents.get(id.0).map_or_else(Vec::new, |seat| seat.torrent.web_seed_statuses(now))
    }

    /// Opens a link for a torrent's web seed, if it wants one. Its time is the torrent's to watch.
    pub(super) fn dial_web(&mut self, now: Instant, id: TorrentId) -> bool {
        let Some(Some((n, request))) = self.with(now, id, |torrent, _| torrent.next_fetch()) else {
            return false;
        };
        let peer = PeerRef { torrent: id, n };
        let conn = ConnId(self.links.insert(Link::ask(peer)));
        // A server takes its time: neither that nor its silence says anything of the network.
        self.pool.on_started(now, conn, id, Prospect::Failed);
        // Nor may slow servers use up the budget of links that are being opened.
        self.pool.on_opened(now, conn);
        self.conns.insert(peer, conn);
        let route = self.config.route();
        self.effects.push_back(Effect::Connect { conn, to: Endpoint::Http(request), route });
        true
    }

    /// A web server's answer begins.
    pub(super) fn on_answered(&mut self, now: Instant, conn: ConnId, head: Option<Box<HttpHead>>) {
        let Some(link) = self.links.get_mut(conn.0) else { return };
        let Some(peer) = link.on_head() else { return };
        // A driver that gives no head gives an answer that can't be used.
        let head = head.unwrap_or_default();
        self.with(now, peer.torrent, |torrent, cx| torrent.on_web_opened(cx, peer.n, &head));
        self.touch(conn);
    }

    /// A link to a web server is closed by us; the torrent knows, unless it was the engine that wanted it.
    pub(super) fn on_web_lost(&mut self, now: Instant, peer: PeerRef) {
        if self.conns.remove(&peer).is_some() {
            let failure = Some("the link was closed");
            self.with(now, peer.torrent, |torrent, cx| torrent.on_web_closed(cx, peer.n, failure));
        }
    }

    /// The link to a web server ended by itself.
    pub(super) fn on_web_closed(&mut self, now: Instant, conn: ConnId, why: &LinkEnd) {
        let Some(&(Stage::Asking(peer) | Stage::Streaming(peer))) = self.links.get(conn.0).map(Link::stage)
        else {
            return;
        };
        let failure: Option<String> = match why {
            LinkEnd::Finished => None,
            LinkEnd::Reset => Some("the server broke the link".into()),
            LinkEnd::Refused => Some("nobody listens there".into()),
            LinkEnd::TimedOut => Some("nobody answers there".into()),
            LinkEnd::Unreachable => Some("no way leads there".into()),
            LinkEnd::NoRoom => Some("our host has no room for another link".into()),
            LinkEnd::Host(error) => Some(error.clone()),
        };
        if self.conns.remove(&peer).is_some() {
            let failure = failure.as_deref();
            self.with(now, peer.torrent, |torrent, cx| torrent.on_web_closed(cx, peer.n, failure));
        }
    }
}
