//! Byte links: taken and opened, their handshakes, what they receive and send, and their end.

use super::dial::Ended;
use super::effect::{Effect, How, Transmit};
use super::{Alarm, Engine, Incoming, LinkEnd, LinkInfo, Refusal};
use crate::base::{Chunk, ConnId, Instant, PeerRef, Segment, TorrentId};
use crate::link::{Dialed, Link, LinkFault, Lobby, Prelude, Stage, Step, answers, is_self};
use crate::torrent::{Joining, Leave, UtpUse};
use crate::wire::InfoHash;
use crate::wire::handshake::{Feature, Handshake, Reserved};
use crate::wire::mse::Level;
use alloc::vec;
use core::net::SocketAddr;

/// Handshakes under way. Who called is bounded apart: our calls to those who never answer must not keep strangers out.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    pub(super) ours: usize,
    theirs: usize,
}

impl Handshakes {
    fn of(&mut self, incoming: bool) -> &mut usize {
        if incoming { &mut self.theirs } else { &mut self.ours }
    }
}

impl Engine {
    /// Takes a link that a stranger opened. It has a bounded time to name a torrent of ours.
    pub fn accept(&mut self, now: Instant, incoming: Incoming) -> Result<ConnId, Refusal> {
        let now = self.advance(now);
        if self.config.utp == UtpUse::Only {
            return Err(Refusal::UtpOnly);
        }
        if self.forbids(incoming.from.ip()) {
            self.filtered.links_refused += 1;
            return Err(Refusal::Filtered);
        }
        self.admit()?;
        let conn = self.take_in(now, incoming.from, None);
        self.settle(now);
        Ok(conn)
    }

    /// A stranger's link, or stream, is here.
    pub(super) fn take_in(&mut self, now: Instant, from: SocketAddr, stream: Option<u64>) -> ConnId {
        let deadline = now + self.config.handshake_timeout;
        let (admission, rng) = (self.admission(), &self.rng);
        let conn = ConnId(self.links.insert_with(|n| {
            let lobby = Lobby::called(admission, rng.fork_at("encrypted link", n));
            let mut link = Link::accept(from, lobby, deadline);
            link.stream = stream;
            link
        }));
        self.handshakes.theirs += 1;
        self.pool.on_accepted(now, conn);
        self.touch(conn);
        conn
    }

    /// Whether one more stranger may come in.
    pub(super) fn admit(&self) -> Result<(), Refusal> {
        if self.stopping.is_some() {
            Err(Refusal::Stopping)
        } else if self.links.len() >= self.config.links_max || !self.pool.may_accept() {
            Err(Refusal::TooManyLinks)
        } else if self.handshakes.theirs >= self.config.handshakes_max {
            Err(Refusal::TooManyHandshakes)
        } else {
            Ok(())
        }
    }

    pub(super) fn on_opened(&mut self, now: Instant, conn: ConnId, info: &LinkInfo) {
        let Some(link) = self.links.get_mut(conn.0) else { return };
        if matches!(link.stage(), Stage::Asking(_)) {
            return self.on_answered(now, conn, info.head.clone());
        }
        if let Some(socket) = link.on_summoned() {
            return self.on_socket_open(now, conn, socket);
        }
        if matches!(link.stage(), Stage::Connecting(_)) {
            self.host.learn_address(info.local.ip());
            self.on_link_open(now, conn);
        }
    }

    /// A link that we called for is open: our handshake goes first.
    pub(super) fn on_link_open(&mut self, now: Instant, conn: ConnId) {
        let deadline = now + self.config.handshake_timeout;
        let Some(link) = self.links.get_mut(conn.0) else { return };
        let Stage::Connecting(dialed) = *link.stage() else { return };
        let hello = Handshake {
            reserved: self
                .torrents
                .get(dialed.torrent.0)
                .map_or(Reserved::NONE, |seat| seat.torrent.reserved()),
            info_hash: dialed.info_hash,
            peer_id: self.host.peer_id,
        };
        let rng = self.rng.fork_at("encrypted link", conn.0);
        let Some(step) = link.on_opened(&hello, rng, deadline) else {
            self.faults.count(LinkFault::Plain);
            return self.close(now, conn, How::Abort);
        };
        tracing::debug!(remote = %link.remote, "link open");
        self.pool.on_opened(now, conn);
        self.handshakes.ours += 1;
        self.touch(conn);
        self.learn_carrier(now, conn);
        self.on_step(now, conn, step);
    }

    pub(super) fn on_received(&mut self, now: Instant, conn: ConnId, data: Chunk) {
        let Some(link) = self.links.get_mut(conn.0) else { return };
        link.count_received(data.len());
        if let Some(socket) = link.socket() {
            self.touch(conn);
            return self.on_socket_message(now, socket, &data);
        }
        self.pool.on_received(now, conn, data.len() as u64);
        match link.peer() {
            Some(peer) => {
                let data = link.open(data);
                self.touch(conn);
                self.forward(now, peer, data);
            }
            None => {
                let step = link.on_received(data);
                self.touch(conn);
                self.on_step(now, conn, step);
            }
        }
    }

    pub(super) fn on_step(&mut self, now: Instant, conn: ConnId, step: Step) {
        match step {
            Step::Wait => {}
            Step::Exchange(job) => self.on_exchange(conn, job),
            Step::Named(name) => self.on_named(now, conn, name),
            Step::Asked(prelude) => self.on_asked(now, conn, prelude),
            Step::Whole { handshake, rest } => self.on_whole(now, conn, &handshake, rest),
            Step::Fault(fault) => self.on_link_fault(now, conn, fault),
        }
    }

    fn on_asked(&mut self, now: Instant, conn: ConnId, prelude: Prelude) {
        let torrent = self.routes.get(&prelude.info_hash).copied();
        if prelude.skey.is_some_and(|skey| self.routes.get(&skey).copied() != torrent) {
            return self.on_link_fault(now, conn, LinkFault::OtherTorrent);
        }
        let Some(seat) = torrent.and_then(|id| self.torrents.get(id.0)) else {
            return self.close(now, conn, How::Abort);
        };
        let Some(link) = self.links.get_mut(conn.0) else { return };
        if !seat.torrent.welcomes(link.remote, &self.config) {
            return self.close(now, conn, How::Abort);
        }
        let hello = Handshake {
            reserved: seat.torrent.reserved(),
            info_hash: upgrade(seat.torrent.names(), &prelude),
            peer_id: self.host.peer_id,
        };
        let step = link.on_answer(&hello);
        self.on_step(now, conn, step);
    }

    fn on_whole(&mut self, now: Instant, conn: ConnId, handshake: &Handshake, rest: Chunk) {
        let Some(link) = self.links.get(conn.0) else { return };
        let (remote, incoming) = (link.remote, link.incoming);
        let called = match *link.stage() {
            Stage::Calling(dialed, _) => Some(dialed),
            Stage::Connecting(_)
            | Stage::Called(_)
            | Stage::Answered(_)
            | Stage::Joined(_)
            | Stage::Asking(_)
            | Stage::Streaming(_)
            | Stage::Summoning(_)
            | Stage::Signalling(_)
            | Stage::Closed => None,
        };
        let torrent = called.map(|dialed| dialed.torrent).or_else(|| self.find(handshake.info_hash));
        let Some(id) = torrent else { return self.close(now, conn, How::Abort) };
        let names = self.torrents.get(id.0).map(|seat| seat.torrent.names());
        let ours = is_self(self.host.peer_id, handshake);
        let right =
            called.is_none_or(|dialed| answers(dialed.info_hash, names.unwrap_or_default(), handshake));
        if ours && incoming {
            // Our other end has to hear our name, to know the address for our own: it closes the link, or time does.
            return;
        }
        if !right || ours {
            self.with(now, id, |torrent, cx| torrent.on_stranger(cx, remote, ours));
            return self.close(now, conn, How::Abort);
        }
        let level = link.level();
        let plain = link.stream.is_none() && level != Some(Level::Rc4);
        let joining = Joining { addr: remote, incoming, handshake: *handshake, level, plain };
        match self.with(now, id, |torrent, cx| torrent.join(cx, joining)) {
            Some(Ok(n)) => {
                let peer = PeerRef { torrent: id, n };
                if let Some(link) = self.links.get_mut(conn.0) {
                    link.on_joined(peer);
                }
                *self.handshakes.of(incoming) -= 1;
                self.pool.on_owner(now, conn, id);
                self.conns.insert(peer, conn);
                if !rest.is_empty() {
                    self.forward(now, peer, rest);
                }
            }
            Some(Err(refusal)) => {
                tracing::debug!(%remote, ?refusal, "peer refused");
                self.close(now, conn, How::Abort);
            }
            None => self.close(now, conn, How::Abort),
        }
    }

    fn forward(&mut self, now: Instant, peer: PeerRef, data: Chunk) {
        self.with(now, peer.torrent, |torrent, cx| torrent.on_received(cx, peer.n, data));
    }

    pub(super) fn on_wrote(&mut self, now: Instant, conn: ConnId, bytes: u64) {
        if let Some(peer) = self.links.get(conn.0).and_then(Link::peer) {
            self.pool.on_sent(now, conn, bytes);
            self.with(now, peer.torrent, |torrent, cx| torrent.on_wrote(cx, peer.n, bytes));
            self.touch(conn);
        }
    }

    /// Bytes to write to a link, at most about `max`. What is handed over is committed: it is paid for and can't be
    /// cancelled any more; it is written whole, or the link is closed. It may make effects: take them afterwards.
    pub fn poll_transmit(&mut self, now: Instant, conn: ConnId, max: usize) -> Option<Transmit> {
        let now = self.advance(now);
        let transmit = self.hand_out(now, conn, max);
        if transmit.is_none() {
            self.touch(conn);
        }
        self.settle(now);
        transmit
    }

    /// What a link has to say next, whoever carries it.
    pub(super) fn hand_out(&mut self, now: Instant, conn: ConnId, max: usize) -> Option<Transmit> {
        let link = self.links.get_mut(conn.0)?;
        if let Some(hello) = link.take_hello() {
            return Some(Transmit { len: hello.len(), segments: vec![Segment::Bytes(hello)] });
        }
        if let Some(socket) = link.socket() {
            let message = self.poll_message(now, conn, socket);
            self.settle(now);
            return message;
        }
        let transmit = match link.peer() {
            Some(peer) => {
                self.with(now, peer.torrent, |torrent, cx| torrent.poll_transmit(cx, peer.n, max)).flatten()
            }
            None => None,
        };
        if transmit.is_none()
            && let Some(link) = self.links.get_mut(conn.0)
        {
            link.on_dry();
        }
        transmit.map(|mut t| {
            if let Some(link) = self.links.get_mut(conn.0) {
                link.seal(&mut t.segments);
            }
            Transmit { segments: t.segments, len: t.len }
        })
    }

    /// A peer's link is to be closed: the torrent has let it go already.
    pub(super) fn on_leave(&mut self, now: Instant, peer: PeerRef, why: &Leave) {
        if let Some(conn) = self.conns.remove(&peer) {
            tracing::debug!(?conn, ?why, "peer let go");
            let how = if why.flush() { How::Flush } else { How::Abort };
            self.end(now, conn, how, Ended::by_leave(why));
        }
    }

    /// The other side, or the network, ended a link.
    pub(super) fn on_closed(&mut self, now: Instant, conn: ConnId, why: &LinkEnd) {
        tracing::debug!(?conn, ?why, "link ended");
        self.on_web_closed(now, conn, why);
        self.note_socket_end(conn, why);
        self.end(now, conn, How::Abort, Ended::by_driver(why));
    }

    /// Ends a link because we want it so.
    pub(super) fn close(&mut self, now: Instant, conn: ConnId, how: How) {
        self.end(now, conn, how, Ended::BY_US);
    }

    /// Ends a link from our side or after the other side did; either way the driver owes `Drained`.
    fn end(&mut self, now: Instant, conn: ConnId, how: How, why: Ended) {
        let Some(link) = self.links.get_mut(conn.0) else { return };
        let (remote, stream) = (link.remote, link.stream);
        let stage = link.on_closed();
        self.exchanges.on_closed(conn);
        self.timers.disarm(Alarm::Link(conn.0), &mut link.armed);
        self.pool_ended(now, conn, &stage, why);
        match stage {
            Stage::Closed => return,
            Stage::Connecting(dialed) => {
                self.on_call_failed(now, (dialed, remote), stream.is_some());
            }
            Stage::Calling(dialed, lobby) => {
                self.handshakes.ours -= 1;
                if lobby.is_unagreed() {
                    self.on_not_encrypted(now, dialed, remote);
                } else {
                    self.on_dial_failed(now, dialed, remote);
                }
            }
            Stage::Called(_) | Stage::Answered(_) => self.handshakes.theirs -= 1,
            Stage::Asking(peer) | Stage::Streaming(peer) => self.on_web_lost(now, peer),
            Stage::Summoning(socket) | Stage::Signalling(socket) => self.on_socket_lost(now, socket),
            Stage::Joined(peer) => {
                if self.conns.remove(&peer).is_some() {
                    self.with(now, peer.torrent, |torrent, cx| torrent.on_gone(cx, peer.n));
                }
            }
        }
        match stream {
            Some(stream) => self.close_utp(now, conn, (stream, how)),
            None => self.effects.push_back(Effect::Close { conn, how }),
        }
    }

    pub(super) fn on_dial_failed(&mut self, now: Instant, dialed: Dialed, remote: SocketAddr) {
        self.with(now, dialed.torrent, |torrent, cx| torrent.on_dial_failed(cx, remote));
    }

    pub(super) fn on_drained(&mut self, conn: ConnId) {
        match self.links.get(conn.0).map(Link::stage) {
            Some(Stage::Closed) => {
                self.links.remove(conn.0);
            }
            Some(_) => debug_assert!(false, "Drained answers Close"),
            None => {}
        }
    }

    pub(super) fn on_link_alarm(&mut self, now: Instant, conn: ConnId) {
        let Some(link) = self.links.get_mut(conn.0) else { return };
        link.armed = None;
        match link.deadline {
            Some(at) if at <= now => self.end(now, conn, How::Abort, Ended::SILENT),
            Some(_) => self.touch(conn),
            None => {}
        }
    }

    /// Lets a link's interest and deadline be looked at.
    pub(super) fn touch(&mut self, conn: ConnId) {
        if let Some(slot) = self.links.slot(conn.0) {
            self.touched.push(slot);
        }
    }

    pub(super) fn touch_peer(&mut self, torrent: TorrentId, n: u32) {
        if let Some(&conn) = self.conns.get(&PeerRef { torrent, n }) {
            self.touch(conn);
        }
    }
}

/// The name to answer with: a hybrid's v2 name if the stranger called its v1 name and speaks v2 (BEP 52).
fn upgrade(names: &[InfoHash], prelude: &Prelude) -> InfoHash {
    match names {
        [v1, v2] if prelude.info_hash == *v1 && prelude.reserved.has(Feature::V2) => *v2,
        _ => prelude.info_hash,
    }
}
