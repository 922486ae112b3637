//! One announce to a UDP tracker (BEP 15), or one scrape: name, connect, ask, each packet retransmitted. It owns the exchange's
//! state; who owns it resolves names, sends packets and calls again at the deadline.

use super::{AnnounceConfig, AskError, ConnectionIds, UdpAsk, UdpWhat, larger};
use crate::base::{Instant, Rng};
use crate::wire::socks5::stands_for_a_name;
use crate::wire::tracker::{AnnounceAnswer, SwarmCounts};
use crate::wire::tracker_http::HttpAnswerError;
use crate::wire::tracker_udp::{
    ConnectionId, Family, Reply, TransactionId, read_reply, scrape_counts, write_announce, write_connect,
    write_scrape,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// What the exchanges of a process share.
#[derive(Debug)]
pub struct UdpContext<'a> {
    /// Connection ids of all trackers.
    pub ids: &'a mut ConnectionIds,
    /// For transaction ids.
    pub rng: &'a mut Rng,
    /// Times and bounds.
    pub config: &'a AnnounceConfig,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum UdpInput<'a> {
    /// The exchange begins. Once, first.
    Start,
    /// The addresses of the name it asked for; empty if there are none.
    Resolved(&'a [SocketAddr]),
    /// A packet whose transaction is [`UdpExchange::transaction`].
    Packet {
        /// Where it came from.
        from: SocketAddr,
        /// What it holds.
        bytes: &'a [u8],
    },
    /// What was to be sent can't be: there is no socket of the address's family.
    NoSocket,
    /// The deadline may have come.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum UdpOutput {
    /// Nothing until the next packet, or the deadline.
    Wait,
    /// Look a name up, and come with `Resolved`.
    Resolve {
        /// The name.
        host: Box<str>,
        /// The port to put into the addresses.
        port: u16,
    },
    /// Send a packet.
    Send {
        /// Where to.
        to: SocketAddr,
        /// What.
        packet: Vec<u8>,
    },
    /// It is over, and was an announce.
    Done(Result<AnnounceAnswer, AskError>),
    /// It is over, and was a scrape.
    Scraped(Result<SwarmCounts, AskError>),
}

/// The exchange.
#[derive(Debug)]
pub struct UdpExchange {
    ask: Box<UdpAsk>,
    addresses: Vec<SocketAddr>,
    /// The address that is spoken to, as an index.
    at: usize,
    /// Packets sent to it since the last answer, less one.
    retransmissions: u8,
    transaction: TransactionId,
    deadline: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Resolving,
    Connecting,
    /// `cached`: the id came out of the table, so that a refusal may only mean that the tracker forgot it.
    Asking {
        connection: ConnectionId,
        expires: Instant,
        cached: bool,
    },
    Over,
}

impl UdpExchange {
    /// An exchange that has not begun.
    pub fn new(ask: Box<UdpAsk>) -> Self {
        Self {
            ask,
            addresses: Vec::new(),
            at: 0,
            retransmissions: 0,
            transaction: TransactionId(0),
            deadline: None,
            state: State::Resolving,
        }
    }

    /// What the expected packet carries.
    pub fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// When to come with `Timeout`.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The one door: what happened goes in, what is to be done comes out.
    pub fn step(&mut self, now: Instant, input: UdpInput<'_>, context: &mut UdpContext<'_>) -> UdpOutput {
        match (self.state, input) {
            (State::Resolving, UdpInput::Start) => match self.ask.host.parse::<IpAddr>() {
                Ok(ip) => self.begin(now, &[SocketAddr::new(ip, self.ask.port)], context),
                Err(_) => UdpOutput::Resolve { host: self.ask.host.clone(), port: self.ask.port },
            },
            (State::Resolving, UdpInput::Resolved(addresses)) => self.begin(now, addresses, context),
            (State::Connecting | State::Asking { .. }, UdpInput::Packet { from, bytes }) => {
                self.on_packet(now, from, bytes, context)
            }
            (State::Connecting | State::Asking { .. }, UdpInput::NoSocket) => {
                self.retransmissions = 0;
                self.at += 1;
                if self.at < self.addresses.len() {
                    return self.speak(now, context);
                }
                let words = "no UDP socket is bound for the family of the tracker's address";
                self.fail(AskError::Unreachable(words.into()))
            }
            (State::Connecting | State::Asking { .. }, UdpInput::Timeout) => match self.deadline {
                Some(deadline) if deadline <= now => self.on_silence(now, context),
                Some(_) | None => UdpOutput::Wait,
            },
            (State::Resolving, UdpInput::Packet { .. } | UdpInput::NoSocket | UdpInput::Timeout)
            | (State::Connecting | State::Asking { .. }, UdpInput::Start | UdpInput::Resolved(_))
            | (State::Over, _) => UdpOutput::Wait,
        }
    }

    fn begin(&mut self, now: Instant, addresses: &[SocketAddr], context: &mut UdpContext<'_>) -> UdpOutput {
        let wanted = self.ask.family;
        let usable = |addr: &&SocketAddr| {
            let fits = wanted.is_none_or(|family| family == Family::of(addr));
            fits && !addr.ip().is_unspecified() && !addr.ip().is_multicast() && addr.port() != 0
        };
        self.addresses =
            addresses.iter().filter(usable).take(context.config.udp_addresses_max).copied().collect();
        if self.addresses.is_empty() {
            let words = "the tracker has no address of this family";
            return self.fail(AskError::Unreachable(words.into()));
        }
        self.speak(now, context)
    }

    /// Begins with the current address: announces if its connection id is known, connects if not.
    fn speak(&mut self, now: Instant, context: &mut UdpContext<'_>) -> UdpOutput {
        let Some(&to) = self.addresses.get(self.at) else { return self.fail(AskError::TimedOut) };
        self.transaction = TransactionId(context.rng.next_u32());
        self.state = match context.ids.get(now, to) {
            Some((connection, expires)) => State::Asking { connection, expires, cached: true },
            None => State::Connecting,
        };
        self.send(now, to, context.config)
    }

    fn send(&mut self, now: Instant, to: SocketAddr, config: &AnnounceConfig) -> UdpOutput {
        let doubled = config.udp_timeout_first_ms.saturating_mul(1 << self.retransmissions.min(8));
        self.deadline = Some(now + Duration::from_millis(doubled));
        let packet = match self.state {
            State::Asking { connection, .. } => match &self.ask.what {
                UdpWhat::Announce(query) => {
                    write_announce(connection, self.transaction, query, &self.ask.url_data)
                }
                UdpWhat::Scrape(hashes) => write_scrape(connection, self.transaction, hashes),
            },
            State::Connecting | State::Resolving | State::Over => write_connect(self.transaction),
        };
        UdpOutput::Send { to, packet }
    }

    fn on_silence(&mut self, now: Instant, context: &mut UdpContext<'_>) -> UdpOutput {
        if self.retransmissions >= context.config.udp_retransmissions_max.min(8) {
            self.retransmissions = 0;
            self.at += 1;
            return self.speak(now, context);
        }
        self.retransmissions += 1;
        if let State::Asking { expires, .. } = self.state
            && expires <= now
        {
            return self.speak(now, context);
        }
        let Some(&to) = self.addresses.get(self.at) else { return self.fail(AskError::TimedOut) };
        self.send(now, to, context.config)
    }

    fn on_packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        context: &mut UdpContext<'_>,
    ) -> UdpOutput {
        // A multihomed tracker may answer from another of its addresses. One whose name a proxy looks up answers from an
        // address that is unknown here.
        let same = |addr: &SocketAddr| {
            addr.ip().to_canonical() == from.ip().to_canonical() || stands_for_a_name(addr.ip())
        };
        let known = self.addresses.iter().any(|addr| same(addr) && addr.port() == from.port());
        let Ok((transaction, reply)) = read_reply(bytes) else { return UdpOutput::Wait };
        if !known || transaction != self.transaction {
            return UdpOutput::Wait;
        }
        let Some(&to) = self.addresses.get(self.at) else { return UdpOutput::Wait };
        match (reply, self.state) {
            (Reply::Connected(id), State::Connecting) => {
                context.ids.on_connected(now, to, id);
                self.retransmissions = 0;
                self.transaction = TransactionId(context.rng.next_u32());
                let expires = now + Duration::from_secs(60);
                self.state = State::Asking { connection: id, expires, cached: false };
                self.send(now, to, context.config)
            }
            (Reply::Announced(announced), State::Asking { .. }) if self.announces() => {
                let answer = announced.answer(Family::of(&from), &self.ask.limits);
                self.end();
                UdpOutput::Done(Ok(answer))
            }
            (Reply::Scraped(packed), State::Asking { .. }) if !self.announces() => {
                self.end();
                UdpOutput::Scraped(larger(scrape_counts(packed)))
            }
            (Reply::Failed(_), State::Asking { cached: true, .. }) => {
                context.ids.on_refused(to);
                self.retransmissions = 0;
                self.speak(now, context)
            }
            (Reply::Failed(message), _) => {
                let reason = self.ask.limits.text(message);
                self.fail(HttpAnswerError::Failed { reason, retry: None }.into())
            }
            (Reply::Connected(_) | Reply::Announced(_) | Reply::Scraped(_), _) => UdpOutput::Wait,
        }
    }

    fn announces(&self) -> bool {
        matches!(self.ask.what, UdpWhat::Announce(_))
    }

    fn fail(&mut self, error: AskError) -> UdpOutput {
        self.end();
        match self.ask.what {
            UdpWhat::Announce(_) => UdpOutput::Done(Err(error)),
            UdpWhat::Scrape(_) => UdpOutput::Scraped(Err(error)),
        }
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.deadline = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tracker::{AnnounceQuery, AnswerLimits, SwarmCounts, TrackerEvent};
    use crate::wire::tracker_udp::{
        Request, read_request, write_announced, write_connected, write_failed, write_scraped,
    };
    use crate::wire::{InfoHash, PeerId};
    use std::vec;

    struct World {
        ids: ConnectionIds,
        rng: Rng,
        config: AnnounceConfig,
        now: Instant,
        exchange: UdpExchange,
    }

    const A: &str = "192.0.2.1:80";
    const B: &str = "192.0.2.2:80";

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn exchange(family: Option<Family>) -> UdpExchange {
        let what = UdpWhat::Announce(AnnounceQuery {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left: Some(5),
            event: TrackerEvent::Started,
            numwant: None,
            key: 6,
        });
        asking(family, what)
    }

    fn asking(family: Option<Family>, what: UdpWhat) -> UdpExchange {
        UdpExchange::new(Box::new(UdpAsk {
            host: "t.example".into(),
            port: 80,
            family,
            what,
            url_data: Box::new(*b"/x"),
            limits: AnswerLimits::default(),
        }))
    }

    impl World {
        fn new() -> Self {
            Self {
                ids: ConnectionIds::new(8),
                rng: Rng::new([4; 32]),
                config: AnnounceConfig { udp_retransmissions_max: 8, ..AnnounceConfig::default() },
                now: Instant::ZERO,
                exchange: exchange(None),
            }
        }

        fn step(&mut self, input: UdpInput<'_>) -> UdpOutput {
            let mut context = UdpContext { ids: &mut self.ids, rng: &mut self.rng, config: &self.config };
            self.exchange.step(self.now, input, &mut context)
        }

        fn sent(&mut self, input: UdpInput<'_>) -> (SocketAddr, Request) {
            let UdpOutput::Send { to, packet } = self.step(input) else { panic!("nothing was sent") };
            (to, read_request(&packet).unwrap())
        }

        fn resolve(&mut self) -> Request {
            assert!(matches!(self.step(UdpInput::Start), UdpOutput::Resolve { .. }));
            let (to, request) = self.sent(UdpInput::Resolved(&[addr(A), addr(B)]));
            assert_eq!(to, addr(A));
            request
        }

        fn connected(&mut self, from: &str) -> Request {
            let packet = write_connected(self.exchange.transaction(), ConnectionId(99));
            self.sent(UdpInput::Packet { from: addr(from), bytes: &packet }).1
        }

        fn announced(&mut self, from: &str) -> UdpOutput {
            let counts = SwarmCounts { complete: 1, downloaded: 0, incomplete: 0 };
            let peers = [addr("198.51.100.1:5")];
            let packet = write_announced(self.exchange.transaction(), Family::V4, 900, counts, &peers);
            self.step(UdpInput::Packet { from: addr(from), bytes: &packet })
        }
    }

    #[test]
    fn bep_0015_name_connect_announce_answer() {
        let mut w = World::new();
        assert!(matches!(w.resolve(), Request::Connect { .. }));
        let Request::Announce { connection, url_data, .. } = w.connected(A) else { panic!("no announce") };
        assert_eq!((connection, &*url_data), (ConnectionId(99), &b"/x"[..]));
        let UdpOutput::Done(Ok(answer)) = w.announced(A) else { panic!("not done") };
        assert_eq!((answer.interval_s, answer.peers), (900, vec![addr("198.51.100.1:5")]));
        assert_eq!(w.exchange.deadline(), None);
    }

    #[test]
    fn bep_0048_a_scrape_over_udp_takes_only_a_scrapes_answer() {
        let mut w = World::new();
        let hashes = [InfoHash([1; 20]), InfoHash([2; 20])];
        w.exchange = asking(None, UdpWhat::Scrape(hashes.into()));
        w.resolve();
        let Request::Scrape { connection, info_hashes, .. } = w.connected(A) else { panic!("no scrape") };
        assert_eq!((connection, &info_hashes[..]), (ConnectionId(99), &hashes[..]));
        assert_eq!(w.announced(A), UdpOutput::Wait, "nobody announced");
        let counts = [
            SwarmCounts { complete: 3, downloaded: 9, incomplete: 1 },
            SwarmCounts { complete: 2, downloaded: 9, incomplete: 4 },
        ];
        let packet = write_scraped(w.exchange.transaction(), &counts);
        let output = w.step(UdpInput::Packet { from: addr(A), bytes: &packet });
        let larger = SwarmCounts { complete: 3, downloaded: 9, incomplete: 4 };
        assert_eq!(output, UdpOutput::Scraped(Ok(larger)));
        assert_eq!(w.exchange.deadline(), None);
    }

    #[test]
    fn bep_0048_an_announce_takes_no_scrapes_answer_and_a_scrape_without_counts_fails() {
        let mut w = World::new();
        w.resolve();
        w.connected(A);
        let packet = write_scraped(w.exchange.transaction(), &[SwarmCounts::default()]);
        assert_eq!(w.step(UdpInput::Packet { from: addr(A), bytes: &packet }), UdpOutput::Wait);
        w.exchange = asking(None, UdpWhat::Scrape([InfoHash([1; 20])].into()));
        w.ids.on_refused(addr(A));
        w.resolve();
        w.connected(A);
        let packet = write_scraped(w.exchange.transaction(), &[]);
        let output = w.step(UdpInput::Packet { from: addr(A), bytes: &packet });
        assert_eq!(output, UdpOutput::Scraped(Err(AskError::NoCounts)));
    }

    #[test]
    fn behind_a_proxy_a_tracker_answers_from_an_address_that_was_never_known() {
        let mut world = World::new();
        let _ = world.step(UdpInput::Start);
        let _ = world.sent(UdpInput::Resolved(&[addr("240.0.0.5:80")]));
        let packet = write_connected(world.exchange.transaction(), ConnectionId(99));
        let other_port = UdpInput::Packet { from: addr("203.0.113.9:81"), bytes: &packet };
        assert_eq!(world.step(other_port), UdpOutput::Wait, "the port is the one that was asked");
        assert!(matches!(world.connected("203.0.113.9:80"), Request::Announce { .. }));
        assert!(matches!(world.announced("[2001:db8::9]:80"), UdpOutput::Done(Ok(_))));
    }

    #[test]
    fn pitfall_04_a_connect_is_retransmitted_after_15_45_105_seconds() {
        let mut w = World::new();
        w.resolve();
        let mut at = vec![];
        for _ in 0..3 {
            w.now = w.exchange.deadline().unwrap();
            at.push(w.now.as_micros() / 1_000_000);
            assert!(matches!(w.sent(UdpInput::Timeout).1, Request::Connect { .. }));
        }
        assert_eq!(at, [15, 45, 105]);
    }

    #[test]
    fn bep_0015_an_announce_that_outlives_its_connection_id_connects_again() {
        let mut w = World::new();
        w.resolve();
        w.connected(A);
        let mut kinds = vec![];
        for _ in 0..3 {
            w.now = w.exchange.deadline().unwrap();
            kinds.push(matches!(w.sent(UdpInput::Timeout).1, Request::Announce { .. }));
        }
        assert_eq!(kinds, [true, true, false]);
    }

    #[test]
    fn a_connection_id_in_the_table_saves_the_connect() {
        let mut w = World::new();
        w.ids.on_connected(w.now, addr(A), ConnectionId(7));
        assert!(matches!(w.resolve(), Request::Announce { connection: ConnectionId(7), .. }));
    }

    #[test]
    fn a_tracker_that_forgot_the_shared_id_is_connected_to_again() {
        let mut w = World::new();
        w.ids.on_connected(w.now, addr(A), ConnectionId(7));
        w.resolve();
        let packet = write_failed(w.exchange.transaction(), "bad connection id");
        let (_, request) = w.sent(UdpInput::Packet { from: addr(A), bytes: &packet });
        assert!(matches!(request, Request::Connect { .. }));
    }

    #[test]
    fn pitfall_04_a_reply_from_another_address_of_the_tracker_counts_from_a_stranger_not() {
        let mut w = World::new();
        w.resolve();
        let packet = write_connected(w.exchange.transaction(), ConnectionId(99));
        let stranger = addr("203.0.113.9:80");
        assert_eq!(w.step(UdpInput::Packet { from: stranger, bytes: &packet }), UdpOutput::Wait);
        assert!(matches!(w.connected(B), Request::Announce { .. }));
        assert!(matches!(w.announced(B), UdpOutput::Done(Ok(_))));
    }

    #[test]
    fn a_reply_with_another_transaction_is_ignored() {
        let mut w = World::new();
        w.resolve();
        let other = TransactionId(w.exchange.transaction().0.wrapping_add(1));
        let packet = write_connected(other, ConnectionId(99));
        assert_eq!(w.step(UdpInput::Packet { from: addr(A), bytes: &packet }), UdpOutput::Wait);
    }

    #[test]
    fn a_dead_address_gives_way_to_the_next_and_then_to_an_error() {
        let mut w = World::new();
        w.config.udp_retransmissions_max = 0;
        w.resolve();
        w.now = w.exchange.deadline().unwrap();
        assert_eq!(w.sent(UdpInput::Timeout).0, addr(B));
        w.now = w.exchange.deadline().unwrap();
        assert_eq!(w.step(UdpInput::Timeout), UdpOutput::Done(Err(AskError::TimedOut)));
    }

    #[test]
    fn a_refusal_is_an_error_with_the_trackers_words() {
        let mut w = World::new();
        w.resolve();
        w.connected(A);
        let packet = write_failed(w.exchange.transaction(), "not\nhere");
        let output = w.step(UdpInput::Packet { from: addr(A), bytes: &packet });
        let UdpOutput::Done(Err(error)) = output else { panic!("not refused") };
        assert_eq!(std::format!("{error}"), "the tracker refuses: not here");
    }

    #[test]
    fn only_addresses_of_the_asked_family_are_spoken_to() {
        let mut w = World::new();
        w.exchange = exchange(Some(Family::V6));
        let _ = w.step(UdpInput::Start);
        let output = w.step(UdpInput::Resolved(&[addr(A)]));
        assert!(matches!(output, UdpOutput::Done(Err(AskError::Unreachable(_)))));
    }
}
