//! The links to trackers over WebSockets: opened, fed and closed as the exchange wants it.

use super::effect::{Effect, Endpoint, How, Transmit};
use super::{Alarm, Engine, LinkEnd};
use crate::announce::{AskId, SocketId, WsAsk, WsOutput};
use crate::base::{Chunk, ConnId, Instant, Segment, TorrentId};
use crate::link::Link;
use alloc::string::String;
use alloc::vec;

impl Engine {
    /// What became of WebRTC offers, which trackers over WebSockets bring.
    pub fn offer_counts(&self) -> crate::offers::OfferCounts {
        self.offers.counts()
    }

    pub(super) fn on_socket_ask(
        &mut self,
        now: Instant,
        (torrent, ask): (TorrentId, Option<AskId>),
        ws: WsAsk,
    ) {
        self.web_sockets.on_ask(now, torrent, ask, ws);
        self.drain_web_sockets(now);
    }

    pub(super) fn on_socket_open(&mut self, now: Instant, conn: ConnId, socket: SocketId) {
        self.web_sockets.on_open(socket);
        self.drain_web_sockets(now);
        self.touch(conn);
    }

    pub(super) fn on_socket_message(&mut self, now: Instant, socket: SocketId, message: &[u8]) {
        self.web_sockets.on_message(now, socket, message);
        self.drain_web_sockets(now);
    }

    /// The link ended, or we end it: whoever waits for an answer hears so.
    pub(super) fn on_socket_lost(&mut self, now: Instant, socket: SocketId) {
        let why = self.socket_end.take();
        if self.socket_conns.remove(&socket).is_some() {
            self.web_sockets.on_closed(now, socket, why.as_deref().unwrap_or("the link was closed"));
            self.drain_web_sockets(now);
        }
    }

    /// Remembers why a link ended, for those who wait for it.
    pub(super) fn note_socket_end(&mut self, conn: ConnId, why: &LinkEnd) {
        if self.links.get(conn.0).and_then(Link::socket).is_none() {
            return;
        }
        self.socket_end = Some(match why {
            LinkEnd::Finished => String::from("the tracker closed the link"),
            LinkEnd::Reset => String::from("the link to the tracker broke"),
            LinkEnd::Refused => String::from("nobody listens there"),
            LinkEnd::TimedOut => String::from("nobody answers there"),
            LinkEnd::Unreachable => String::from("no way leads there"),
            LinkEnd::NoRoom => String::from("the host can open no more links"),
            LinkEnd::Host(error) => error.clone(),
        });
    }

    /// The next message to a tracker: each transmit is one.
    pub(super) fn poll_message(&mut self, now: Instant, conn: ConnId, socket: SocketId) -> Option<Transmit> {
        let message = self.web_sockets.next_message(socket);
        if message.is_none()
            && let Some(link) = self.links.get_mut(conn.0)
        {
            link.on_dry();
            self.touch(conn);
        }
        self.drain_web_sockets(now);
        let message = Chunk::from(message?.into_bytes());
        Some(Transmit { len: message.len(), segments: vec![Segment::Bytes(message)] })
    }

    pub(super) fn on_sockets_alarm(&mut self, now: Instant) {
        self.armed.sockets = None;
        self.web_sockets.on_timeout(now);
        self.drain_web_sockets(now);
    }

    pub(super) fn arm_sockets(&mut self) {
        let at = self.web_sockets.deadline();
        self.timers.arm(Alarm::Sockets, &mut self.armed.sockets, at);
    }

    pub(super) fn on_torrent_leaves_sockets(&mut self, now: Instant, torrent: TorrentId) {
        self.web_sockets.on_torrent_gone(torrent);
        self.offers.on_torrent_gone(torrent);
        self.drain_web_sockets(now);
    }

    fn drain_web_sockets(&mut self, now: Instant) {
        while let Some(output) = self.web_sockets.next_output() {
            match output {
                WsOutput::Open(socket, url) => {
                    let conn = ConnId(self.links.insert(Link::signal(socket)));
                    self.socket_conns.insert(socket, conn);
                    let (to, route) = (Endpoint::WebSocket(String::from(&*url)), self.config.route());
                    self.effects.push_back(Effect::Connect { conn, to, route });
                }
                WsOutput::Ready(socket) => {
                    if let Some(&conn) = self.socket_conns.get(&socket) {
                        self.touch(conn);
                    }
                }
                WsOutput::Close(socket) => {
                    if let Some(conn) = self.socket_conns.remove(&socket) {
                        self.close(now, conn, How::Flush);
                    }
                }
                WsOutput::Answered(torrent, ask, answer) => {
                    self.with(now, torrent, |it, cx| it.on_announced(cx, ask, answer));
                }
                WsOutput::Scraped(torrent, counts) => {
                    self.with(now, torrent, |it, cx| it.on_scraped(cx, counts));
                }
                WsOutput::Offered(..) => self.offers.on_ignored(),
                WsOutput::OfferAnswered(answer) => {
                    // None was handed out: it is a stray.
                    self.offers.on_answered(answer.offer_id);
                }
            }
        }
    }
}
