//! The end: every torrent announces `stopped`, saves and closes; then the engine has stopped, or its time is up.

use super::effect::Effect;
use super::event::Event;
use super::{Alarm, Asker, Engine, How};
use crate::base::{ConnId, Instant, JobId, TorrentId};
use crate::torrent::Errand;

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
        let nameless = |link: &crate::link::Link| link.peer().is_none() && link.socket().is_none();
        let conns: alloc::vec::Vec<ConnId> =
            self.links.iter().filter(|(_, link)| nameless(link)).map(|(id, _)| ConnId(id)).collect();
        for conn in conns {
            self.close(now, conn, How::Abort);
        }
        self.unmap_all();
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
        self.cancel_asks(id);
        self.on_torrent_leaves_sockets(self.now, id);
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

    /// Nobody waits for what a torrent that is gone asked trackers: hanging questions are given up.
    fn cancel_asks(&mut self, id: TorrentId) {
        let resolving = self.net.on_torrent_gone(id);
        let idle = |(_, (asker, errand)): &(u64, &(Asker, Errand))| match asker {
            Asker::Torrent(asker) => *asker == id && errand.asks(),
            Asker::Net => matches!(errand, Errand::Resolve(exchange) if resolving.contains(exchange)),
            #[cfg(feature = "dht")]
            Asker::Dht => false,
            Asker::Link(_) | Asker::Ports => false,
        };
        let jobs: alloc::vec::Vec<JobId> = self.jobs.iter().filter(idle).map(|(job, _)| JobId(job)).collect();
        self.effects.extend(jobs.into_iter().map(|job| Effect::Cancel { job }));
    }

    pub(super) fn on_stop_alarm(&mut self) {
        self.armed.stop = None;
        if !core::mem::replace(&mut self.stopped, true) {
            tracing::debug!(torrents = self.torrents.len(), "time is up");
            self.news.push(Event::Stopped);
        }
    }

    pub(super) fn check_stopped(&mut self) {
        let done = self.stopping.is_some() && self.torrents.is_empty() && !self.ports.is_leaving();
        if done && !core::mem::replace(&mut self.stopped, true) {
            self.timers.disarm(Alarm::Stop, &mut self.armed.stop);
            self.news.push(Event::Stopped);
        }
    }
}
