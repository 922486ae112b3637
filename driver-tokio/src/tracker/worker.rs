//! One thread of the tracker: it owns some of the torrents and a socket at each UDP address, and shares nothing. What
//! another thread wants of it comes by its queue.

use super::batch::{BATCH, Incoming, Outgoing, Way};
use super::queue::{Ask, Gather, Shared, owner};
use core::time::Duration;
use millstream_core::base::Instant;
use millstream_core::tracker::udp::UdpStep;
use millstream_core::tracker::{ConnectionIds, Fault, Protocol, Tracker, http, signal, udp};
use millstream_core::wire::InfoHash;
use millstream_core::wire::tracker::{AnnounceQuery, SwarmCounts};
use millstream_core::wire::tracker_udp::TransactionId;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

/// The token of the bell; sockets have their numbers.
pub(super) const BELL: Token = Token(usize::MAX);
/// Batches of one socket before others have their turn.
const BATCHES_A_TURN: usize = 8;
/// Questions answered before sockets have their turn.
const ASKS_A_TURN: usize = 256;
/// Bytes of state saved at one question.
const SAVE_BYTES: usize = 1 << 20;

pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) tracker: Tracker,
    pub(super) ids: ConnectionIds,
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) asks: Receiver<Ask>,
}

/// What a worker needs for one socket's turn.
struct Lines {
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Worker {
    /// Works until it is told to stop.
    pub(super) fn run(mut self, mut poll: Poll) {
        if let Err(error) = self.work(&mut poll) {
            tracing::error!(worker = self.number, %error, "a worker of the tracker ended");
        }
    }

    fn work(&mut self, poll: &mut Poll) -> io::Result<()> {
        for (n, socket) in self.sockets.iter_mut().enumerate() {
            poll.registry().register(socket, Token(n), Interest::READABLE)?;
        }
        let mut events = Events::with_capacity(self.sockets.len() + 1);
        let mut lines = Lines { incoming: Incoming::new(), outgoing: Outgoing::default() };
        let mut ready: Vec<bool> = vec![false; self.sockets.len()];
        loop {
            self.shared.doors[self.number].sleeps();
            // What came before the door was told is seen here, what comes after it rings.
            let Some(more) = self.on_asks(&mut lines) else { return Ok(()) };
            let busy = more || ready.contains(&true);
            let until = if busy { Some(Duration::ZERO) } else { self.patience() };
            match poll.poll(&mut events, until) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.shared.doors[self.number].wakes();
            for event in &events {
                if let Some(ready) = ready.get_mut(event.token().0) {
                    *ready = true;
                }
            }
            for (n, ready) in ready.iter_mut().enumerate() {
                if *ready {
                    *ready = self.on_readable(n, &mut lines);
                }
            }
            let now = self.shared.now();
            if self.tracker.deadline().is_some_and(|due| due <= now) {
                self.tracker.on_timeout(now);
            }
        }
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Option<Duration> {
        self.tracker.deadline().map(|due| due.saturating_since(self.shared.now()))
    }

    /// Reads some of what a socket has; whether there may be more.
    fn on_readable(&mut self, socket: usize, lines: &mut Lines) -> bool {
        for _ in 0..BATCHES_A_TURN {
            let count = match lines.incoming.receive(&self.sockets[socket]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // Such as the refusal of an earlier answer: the socket goes on.
                Err(_) => continue,
            };
            let now = self.shared.now();
            for n in 0..count {
                self.on_datagram(now, socket, lines.incoming.get(n), &mut lines.outgoing);
            }
            self.flush(socket, &mut lines.outgoing);
            if count < BATCH {
                return false;
            }
        }
        true
    }

    fn flush(&mut self, socket: usize, outgoing: &mut Outgoing) {
        for _ in 0..outgoing.flush(&self.sockets[socket]) {
            self.fault(Protocol::Udp, Fault::Busy);
        }
    }

    fn fault(&mut self, protocol: Protocol, fault: Fault) {
        self.tracker.statistics_mut().protocol_mut(protocol).fault(fault);
    }

    fn on_datagram(
        &mut self,
        now: Instant,
        socket: usize,
        (packet, way): (&[u8], Way),
        outgoing: &mut Outgoing,
    ) {
        let step = udp::read(now, &mut self.tracker, &self.ids, (packet, way.there), &mut outgoing.bytes);
        match step {
            UdpStep::Answered => outgoing.push(way),
            UdpStep::Silent => {}
            UdpStep::Announce(transaction, query) => {
                let owner = owner(&query.info_hash, self.shared.doors.len());
                if owner == self.number {
                    self.announce(now, (transaction, &query), way, outgoing);
                    return;
                }
                let ask = Ask::UdpAnnounce { socket, transaction, query: Box::new(query), way };
                if self.shared.doors[owner].ask(ask).is_err() {
                    self.fault(Protocol::Udp, Fault::Busy);
                }
            }
            UdpStep::Scrape(transaction, hashes) => {
                self.on_scrape((socket, transaction, way), &hashes, outgoing);
            }
        }
    }

    fn announce(
        &mut self,
        now: Instant,
        asked: (TransactionId, &AnnounceQuery),
        way: Way,
        outgoing: &mut Outgoing,
    ) {
        udp::announce(now, &mut self.tracker, asked, way.there, &mut outgoing.bytes);
        outgoing.push(way);
    }

    fn on_scrape(
        &mut self,
        (socket, transaction, way): (usize, TransactionId, Way),
        hashes: &[InfoHash],
        outgoing: &mut Outgoing,
    ) {
        let workers = self.shared.doors.len();
        let counts = Mutex::new((vec![SwarmCounts::default(); hashes.len()], hashes.len()));
        let gather = Arc::new(Gather { socket, transaction, way, counts });
        let of = |worker: usize| {
            let own = |(_, hash): &(usize, &InfoHash)| owner(hash, workers) == worker;
            hashes.iter().enumerate().filter(own).map(|(n, hash)| (n, *hash)).collect::<Vec<_>>()
        };
        let me = self.number;
        for worker in (0..workers).filter(|&worker| worker != me) {
            let hashes = of(worker);
            let ask = Ask::UdpScrape { gather: Arc::clone(&gather), hashes };
            if matches!(&ask, Ask::UdpScrape { hashes, .. } if hashes.is_empty()) {
                continue;
            }
            if self.shared.doors[worker].ask(ask).is_err() {
                self.fault(Protocol::Udp, Fault::Busy);
            }
        }
        self.on_part(&gather, &of(self.number), outgoing);
    }

    /// Adds what it knows; who adds the last answers.
    fn on_part(&mut self, gather: &Gather, hashes: &[(usize, InfoHash)], outgoing: &mut Outgoing) -> bool {
        let mut counts = crate::lock(&gather.counts);
        for (n, hash) in hashes {
            counts.0[*n] = self.tracker.on_scrape(hash).unwrap_or_default();
        }
        counts.1 -= hashes.len();
        if counts.1 > 0 || hashes.is_empty() {
            return false;
        }
        udp::scraped(&mut self.tracker, gather.transaction, &counts.0, &mut outgoing.bytes);
        outgoing.push(gather.way);
        true
    }

    /// Answers some of what was asked; whether there may be more, `None` to stop.
    fn on_asks(&mut self, lines: &mut Lines) -> Option<bool> {
        for _ in 0..ASKS_A_TURN {
            match self.asks.try_recv() {
                Ok(Ask::Stop) | Err(std::sync::mpsc::TryRecvError::Disconnected) => return None,
                Ok(ask) => self.on_ask(ask, &mut lines.outgoing),
                Err(std::sync::mpsc::TryRecvError::Empty) => return Some(false),
            }
        }
        Some(true)
    }

    /// Who asked may be gone: then nobody hears the answer.
    fn on_ask(&mut self, ask: Ask, outgoing: &mut Outgoing) {
        let now = self.shared.now();
        match ask {
            Ask::UdpAnnounce { socket, transaction, query, way } => {
                self.announce(now, (transaction, &query), way, outgoing);
                self.flush(socket, outgoing);
            }
            Ask::UdpScrape { gather, hashes } => {
                if self.on_part(&gather, &hashes, outgoing) {
                    self.flush(gather.socket, outgoing);
                }
            }
            Ask::HttpAnnounce { asked, source, answer } => {
                let _ = answer.send(http::announce(now, &mut self.tracker, &asked, source));
            }
            Ask::Scrape { hashes, answer } => {
                let known = |hash| self.tracker.on_scrape(&hash).map(|counts| (hash, counts));
                let _ = answer.send(hashes.into_iter().filter_map(known).collect());
            }
            Ask::Signal { socket, source, announce, answer } => {
                let hash = announce.query.info_hash;
                let out = signal::announce(now, &mut self.tracker, (socket, source), *announce);
                if answer.send(out).is_err() {
                    // It closed meanwhile, and its closing may have come before.
                    self.tracker.on_socket_closed(now, socket, &hash);
                }
            }
            Ask::SignalAnswer { socket, said, answer } => {
                let _ = answer.send(signal::answer(&mut self.tracker, socket, *said));
            }
            Ask::SocketClosed { socket, hashes } => {
                for hash in hashes {
                    self.tracker.on_socket_closed(now, socket, &hash);
                }
            }
            Ask::Statistics { answer } => {
                let _ = answer.send(*self.tracker.statistics());
            }
            Ask::Save { from, answer } => {
                let _ = answer.send(self.tracker.save(now, from, SAVE_BYTES));
            }
            Ask::Rules { rules, answer } => {
                self.tracker.set_rules(rules);
                let _ = answer.send(());
            }
            Ask::Stop => {}
        }
    }
}
