//! What follows an input: outputs of torrents become effects and events, links are told what they may do.

use super::effect::Effect;
use super::event::Event;
use super::{Alarm, Asker, Engine};
use crate::base::{ConnId, Instant, JobId, PeerRef, TorrentId};
use crate::torrent::{Errand, Output, Work};
use alloc::vec::Vec;

impl Engine {
    /// Carries all that was touched to its end. The work is bounded by what was touched.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            while let Some(slot) = self.busy.pop() {
                self.drain(now, slot);
            }
            self.dial(now);
            let heard = self.hear_utp(now);
            if !self.busy.is_empty() {
                continue;
            }
            while let Some(slot) = self.touched.pop() {
                self.tell_interest(now, slot);
            }
            let shed = self.heed_pool(now);
            if self.busy.is_empty() && !heard && !shed {
                break;
            }
        }
        self.arm();
    }

    fn drain(&mut self, now: Instant, slot: u32) {
        let carrier = self.has_carrier();
        while let Some((id, seat)) = self.torrents.at_mut(slot) {
            let Some(output) = seat.torrent.next_output() else {
                let deadline = seat.torrent.deadline();
                self.timers.arm(Alarm::Torrent(id), &mut seat.armed, deadline);
                if seat.torrent.may_want_links(&self.config, carrier) {
                    self.pool.on_wants(now, TorrentId(id), true);
                }
                self.heed_openness(now, slot);
                #[cfg(feature = "dht")]
                self.heed_dht(now, slot);
                return;
            };
            self.on_output(now, TorrentId(id), output);
        }
    }

    fn on_output(&mut self, now: Instant, id: TorrentId, output: Output) {
        match output {
            Output::Job(errand, work) => self.job(Asker::Torrent(id), errand, work),
            Output::Event(news) => self.news.push(Event::Torrent(id, news)),
            Output::Touched(n) => self.touch_peer(id, n),
            Output::Leave(n, why) => self.on_leave(now, PeerRef { torrent: id, n }, &why),
            Output::Slots { freed } => self.on_slots(now, freed),
            Output::CreditUsed => self.on_credit_used(now),
            Output::Named(hash) => {
                // Who doesn't know its metadata can't be writing its files: it will learn that it is the second.
                let holder = self.find(hash).and_then(|holder| self.torrents.get(holder.0));
                if holder.is_none_or(|seat| seat.torrent.info().is_none()) {
                    self.insert_route(hash, id);
                }
            }
            Output::WebSocket(ask, ws) => self.on_socket_ask(now, (id, ask), *ws),
            Output::Udp(ask, udp) => self.on_udp_ask(now, (id, ask), udp),
            Output::Seen(ip, from) => {
                if self.vote.on_told(ip, from) {
                    self.host.on_external(self.vote.v4(), self.vote.v6());
                }
            }
            Output::DhtNode(_addr) => {
                #[cfg(feature = "dht")]
                self.with_finder(now, |finder| finder.on_node(now, _addr));
            }
            Output::Lacking => self.share(now, id),
            Output::Punch => {
                self.punching.insert(id);
            }
            Output::Gone => self.on_torrent_gone(id),
        }
    }

    /// Lets a torrent have the pieces that others have already (BEP 38).
    fn share(&mut self, now: Instant, id: TorrentId) {
        let Some(seat) = self.torrents.get(id.0) else { return };
        let Some(mut sought) = seat.torrent.sought() else { return };
        let others = self.torrents.iter().take(SHARERS_MAX);
        let found: Vec<_> = others
            .map(|(other, there)| (TorrentId(other), sought.find_in(&there.torrent)))
            .filter(|(_, pieces)| !pieces.is_empty())
            .collect();
        for (other, pieces) in found {
            self.with(now, id, |torrent, cx| torrent.take_shared(cx, other, pieces));
        }
    }

    /// Gives the driver a job.
    pub(super) fn job(&mut self, asker: Asker, errand: Errand, work: Work) {
        let job = JobId(self.jobs.insert((asker, errand)));
        self.effects.push_back(Effect::Job { job, work });
    }

    fn tell_interest(&mut self, now: Instant, slot: u32) {
        let Some((id, link)) = self.links.at_mut(slot) else { return };
        let conn = ConnId(id);
        let (credit, wants_write) = match link.peer() {
            Some(peer) => match self.torrents.get(peer.torrent.0) {
                Some(seat) => seat.torrent.link_wish(peer.n, &self.config),
                None => return,
            },
            None => match link.stage() {
                crate::link::Stage::Connecting(_)
                | crate::link::Stage::Asking(_)
                | crate::link::Stage::Summoning(_)
                | crate::link::Stage::Closed => return,
                crate::link::Stage::Signalling(socket) => {
                    (SIGNALS_CREDIT, self.web_sockets.has_message(*socket))
                }
                crate::link::Stage::Calling(..)
                | crate::link::Stage::Called(_)
                | crate::link::Stage::Answered(_)
                | crate::link::Stage::Streaming(_)
                | crate::link::Stage::Joined(_) => (HANDSHAKE_CREDIT, false),
            },
        };
        let deadline = link.deadline;
        self.timers.arm(Alarm::Link(id), &mut link.armed, deadline);
        if let Some(stream) = link.stream {
            if wants_write || link.has_hello() {
                self.push_utp(now, conn, stream);
            }
        } else if let Some((read_until, write)) = link.next_interest(credit, wants_write) {
            self.effects.push_back(Effect::Interest { conn, read_until, write });
        }
    }

    fn arm(&mut self) {
        let choke = self.choke.deadline();
        self.timers.arm(Alarm::Choke, &mut self.armed.choke, choke);
        let gate = self.gate.deadline();
        self.timers.arm(Alarm::Gate, &mut self.armed.gate, gate);
        let net = self.net.deadline();
        self.timers.arm(Alarm::Net, &mut self.armed.net, net);
        self.arm_neighbours();
        let pool = self.pool_deadline();
        self.timers.arm(Alarm::Pool, &mut self.armed.pool, pool);
        #[cfg(feature = "dht")]
        {
            let dht = self.finder.as_ref().and_then(|finder| finder.deadline());
            self.timers.arm(Alarm::Dht, &mut self.armed.dht, dht);
        }
        self.arm_utp();
        self.arm_ports();
        self.arm_sockets();
    }
}

/// Torrents that are looked through for files that a new one may share. More take longer with each torrent that begins.
const SHARERS_MAX: usize = 1_000;

/// What a tracker may send over a WebSocket ahead of us, in bytes: a message of the largest size and as much again.
const SIGNALS_CREDIT: u64 = 128 << 10;

/// What a stranger may send before it has named a torrent, in bytes: a handshake and the first messages behind it.
const HANDSHAKE_CREDIT: u64 = 4096;
