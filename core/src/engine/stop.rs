//! The end: every torrent announces `stopped`, saves and closes; then the engine has stopped, or its time is up.

use super::event::Event;
use super::{Alarm, Engine, How};
use crate::base::{ConnId, Instant, TorrentId};

impl Engine {
    pub(super) fn stop(&mut self, now: Instant, by: Instant) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(by);
        #[cfg(feature = "dht")]
        self.save_dht();
        self.timers.arm(Alarm::Stop, &mut self.armed.stop, Some(by));
        for id in self.torrents() {
            self.with(now, id, |torrent, cx| torrent.leave(cx));
        }
        let nameless = |link: &crate::link::Link| link.peer().is_none();
        let conns: alloc::vec::Vec<ConnId> =
            self.links.iter().filter(|(_, link)| nameless(link)).map(|(id, _)| ConnId(id)).collect();
        for conn in conns {
            self.close(now, conn, How::Abort);
        }
        self.check_stopped();
    }

    /// A torrent is gone: announced, saved, closed.
    pub(super) fn on_torrent_gone(&mut self, id: TorrentId) {
        let Some(mut seat) = self.torrents.remove(id.0) else { return };
        self.timers.disarm(Alarm::Torrent(id.0), &mut seat.armed);
        seat.torrent.on_removed(self.now, &mut self.gate);
        for name in seat.torrent.names() {
            if self.routes.get(name) == Some(&id) {
                self.routes.remove(name);
                self.exchanges.on_name_gone(*name);
            }
        }
        self.net.on_torrent_gone(id);
        self.neighbours.on_torrent(self.now, id, &[]);
        self.pool.on_wants(self.now, id, false);
        #[cfg(feature = "dht")]
        if seat.found_by_dht {
            let now = self.now;
            self.with_finder(now, |finder| finder.on_torrent(now, id, false));
        }
        self.news.push(Event::Torrent(id, crate::torrent::TorrentEvent::Removed));
        self.check_stopped();
    }

    pub(super) fn on_stop_alarm(&mut self) {
        self.armed.stop = None;
        if !core::mem::replace(&mut self.stopped, true) {
            tracing::debug!(torrents = self.torrents.len(), "time is up");
            self.news.push(Event::Stopped);
        }
    }

    fn check_stopped(&mut self) {
        if self.stopping.is_some() && self.torrents.is_empty() && !core::mem::replace(&mut self.stopped, true)
        {
            self.timers.disarm(Alarm::Stop, &mut self.armed.stop);
            self.news.push(Event::Stopped);
        }
    }
}
