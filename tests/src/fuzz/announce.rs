//! The bodies about asking trackers: the exchange over UDP, the WebSockets that torrents share, alone and under an engine,
//! and the WebRTC offers. The trackers say whatever the input says.

use crate::engine_ops::Script;
use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::announce::{
    Announce, AnnounceConfig, Ask, AskId, AskWhat, ConnectionIds, Facts, Identity, SocketId, UdpAsk,
    UdpContext, UdpExchange, UdpInput, UdpOutput, UdpWhat, WebSockets, WsAsk, WsOutput, WsWhat,
};
use millstream_core::base::{Instant, Rng, TorrentId};
use millstream_core::offers::{Offers, OffersConfig};
use millstream_core::wire::tracker::{AnnounceQuery, TrackerEvent};
use millstream_core::wire::tracker_udp::{Family, Request, read_request};
use millstream_core::wire::tracker_ws::{Offer, OfferId, read_request as read_message};
use millstream_core::wire::{InfoHash, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Datagrams that one exchange may send: each address twice over, to connect and to ask, each packet once again.
const DATAGRAMS_MAX: usize = 3 * 2 * 2 * 2;

fn config() -> AnnounceConfig {
    AnnounceConfig {
        udp_addresses_max: 3,
        ws_sockets_max: 2,
        ws_timeout_ms: 5_000,
        ..AnnounceConfig::default()
    }
}

/// One exchange with a UDP tracker: it sends what a tracker can read, not too much of it, and ends once.
pub fn tracker_udp_exchange(data: &[u8]) {
    let mut script = Script(data);
    let setup = script.byte();
    let hosts = ["t.example", "192.0.2.1", "2001:db8::1", "240.0.0.1"];
    let what = if setup & 1 == 0 {
        let query = AnnounceQuery {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left: Some(5),
            event: TrackerEvent::Started,
            numwant: None,
            key: 6,
        };
        UdpWhat::Announce(query)
    } else {
        UdpWhat::Scrape([InfoHash([1; 20]), InfoHash([3; 20])][..1 + usize::from(setup >> 7)].into())
    };
    let ask = UdpAsk {
        host: hosts[usize::from(setup >> 1 & 3)].into(),
        port: 80,
        family: [None, Some(Family::V4), Some(Family::V6)][usize::from(setup >> 3 & 3) % 3],
        what,
        url_data: Box::from(&b"/announce?x"[..usize::from(setup >> 5 & 3) * 3]),
        limits: config().limits,
    };
    let mut asking = Asking {
        exchange: UdpExchange::new(Box::new(ask)),
        ids: ConnectionIds::new(2),
        rng: Rng::new([5; 32]),
        now: Instant::from_micros(1_000_000),
        scrapes: setup & 1 == 1,
        sent: 0,
        over: false,
    };
    asking.step(UdpInput::Start);
    while !script.0.is_empty() {
        asking.happen(&mut script);
    }
    asking.step(UdpInput::Resolved(&[]));
    for _ in 0..=DATAGRAMS_MAX {
        let Some(at) = asking.exchange.deadline() else { break };
        asking.now = asking.now.max(at);
        asking.step(UdpInput::Timeout);
    }
    assert!(asking.over && asking.exchange.deadline().is_none(), "it ends by itself");
}

struct Asking {
    exchange: UdpExchange,
    ids: ConnectionIds,
    rng: Rng,
    now: Instant,
    scrapes: bool,
    sent: usize,
    over: bool,
}

fn host(n: u8) -> SocketAddr {
    match n % 4 {
        0 | 1 => SocketAddr::from(([192, 0, 2, n], 80)),
        2 => SocketAddr::from(([240, 0, 0, n], 80)),
        _ => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)], 80)),
    }
}

impl Asking {
    fn happen(&mut self, script: &mut Script<'_>) {
        let (op, n) = (script.byte(), script.byte());
        match op % 8 {
            0 => {
                let all: Vec<SocketAddr> = script.bytes().into_iter().map(host).collect();
                self.step(UdpInput::Resolved(&all));
            }
            1 => self.step(UdpInput::NoSocket),
            2 => {
                self.now += Duration::from_millis(u64::from(n) * 300);
                self.step(UdpInput::Timeout);
            }
            3 => {
                let bytes = script.bytes();
                self.step(UdpInput::Packet { from: host(n), bytes: &bytes });
            }
            _ => {
                // An answer that belongs to the question, of any kind.
                let head =
                    [&[0, 0, 0, op >> 3 & 3][..], &self.exchange.transaction().0.to_be_bytes()].concat();
                let bytes = [head, script.bytes()].concat();
                self.step(UdpInput::Packet { from: host(n), bytes: &bytes });
            }
        }
    }

    fn step(&mut self, input: UdpInput<'_>) {
        let config = config();
        let mut context = UdpContext { ids: &mut self.ids, rng: &mut self.rng, config: &config };
        let output = self.exchange.step(self.now, input, &mut context);
        assert!(!self.over || output == UdpOutput::Wait, "what is over stays over");
        match output {
            UdpOutput::Wait | UdpOutput::Resolve { .. } => {}
            UdpOutput::Send { to, packet } => {
                self.sent += 1;
                assert!(self.sent <= DATAGRAMS_MAX, "{} datagrams", self.sent);
                assert!(to.port() != 0 && self.exchange.deadline().is_some_and(|at| at > self.now));
                let request = read_request(&packet).expect("a tracker can read it");
                assert!(self.scrapes || !matches!(request, Request::Scrape { .. }), "what was asked for");
            }
            UdpOutput::Done(answer) => {
                self.over = true;
                assert!(!self.scrapes, "an announce was asked for");
                let limits = config.limits;
                if let Ok(answer) = answer {
                    assert!(answer.peers.len() <= limits.peers_max);
                    assert!((limits.interval_min_s..=limits.interval_max_s).contains(&answer.interval_s));
                    assert!(answer.peers.iter().all(|peer| peer.port() != 0));
                }
            }
            UdpOutput::Scraped(_) => {
                self.over = true;
                assert!(self.scrapes, "a scrape was asked for");
            }
        }
        assert!(!self.over || self.exchange.deadline().is_none(), "what is over waits for nothing");
    }
}

/// Three torrents that ask two trackers of theirs over WebSockets: each question has one answer, each socket one end.
pub fn tracker_ws_client(data: &[u8]) {
    let config = Arc::new(config());
    let mut rng = Rng::new([4; 32]);
    let announce = |n: u8| {
        let (info_hash, peer_id) = (InfoHash([b'a' + n; 20]), PeerId([b'p'; 20]));
        let identity = Identity { info_hash, second_hash: (n == 2).then_some(InfoHash([b'z'; 20])), peer_id };
        let tiers = [vec![Arc::from("ws://one"), Arc::from("ws://two")], vec![Arc::from("ws://three")]];
        Announce::new(Arc::clone(&config), &mut rng, identity, &tiers)
    };
    let mut signalling = Signalling {
        torrents: [0, 1, 2].map(announce).into(),
        sockets: WebSockets::new(Rng::new([6; 32]), Arc::clone(&config)),
        rng: Rng::new([7; 32]),
        now: Instant::from_micros(1_000_000),
        known: BTreeMap::new(),
        asked: BTreeSet::new(),
        scrapes: 0,
    };
    let mut script = Script(data);
    while !script.0.is_empty() {
        signalling.happen(&mut script);
        signalling.hear();
    }
    for n in 0..3 {
        signalling.sockets.on_torrent_gone(TorrentId(n));
    }
    // Their questions end unheard.
    signalling.asked.clear();
    signalling.scrapes = 0;
    signalling.hear();
    assert!(signalling.known.is_empty(), "a socket that nobody needs is closed");
    assert_eq!(signalling.sockets.deadline(), None, "nobody waits any more");
}

struct Signalling {
    torrents: Vec<Announce>,
    sockets: WebSockets,
    rng: Rng,
    now: Instant,
    /// The sockets that there are, and whether they are open.
    known: BTreeMap<SocketId, bool>,
    asked: BTreeSet<(TorrentId, AskId)>,
    scrapes: usize,
}

impl Signalling {
    fn happen(&mut self, script: &mut Script<'_>) {
        let (op, n) = (script.byte(), script.byte());
        let known: Vec<SocketId> = self.known.keys().copied().collect();
        let socket = known.get(usize::from(n) % known.len().max(1)).copied().unwrap_or(SocketId(99));
        let torrent = usize::from(n % 3);
        match op % 12 {
            0 => self.torrents[torrent].on_start(self.now),
            1 => self.torrents[torrent].on_completed(self.now),
            2 => self.torrents[torrent].on_stop(self.now),
            3 => {
                let hashes = [InfoHash([b'a'; 20]), InfoHash([b'z'; 20])][..1 + usize::from(n & 1)].into();
                let ask = WsAsk { url: "ws://one".into(), what: WsWhat::Scrape(hashes) };
                self.scrapes += 1;
                self.sockets.on_ask(self.now, TorrentId(torrent as u64), None, ask);
            }
            4 if self.known.get(&socket) == Some(&false) => {
                self.known.insert(socket, true);
                self.sockets.on_open(socket);
            }
            5 if self.known.remove(&socket).is_some() => {
                self.sockets.on_closed(self.now, socket, "the story says so");
            }
            6..=8 if self.known.get(&socket) == Some(&true) => {
                let text = script.bytes();
                self.sockets.on_message(self.now, socket, &text);
            }
            9 => {
                self.now += Duration::from_millis(1 << (n % 22));
                self.sockets.on_timeout(self.now);
            }
            _ => {}
        }
        self.ask();
    }

    fn ask(&mut self) {
        let facts = Facts { left: Some(1), port_v4: Some(1), peers_wanted: 9, ..Facts::default() };
        for n in 0..self.torrents.len() {
            let torrent = TorrentId(n as u64);
            // A tracker that can't be asked is followed by the next, and all of them by a pause.
            for _ in 0..64 {
                let Some(Ask { id, what, .. }) = self.torrents[n].next_ask(self.now, &facts) else { break };
                let AskWhat::WebSocket(ask) = what else { panic!("all trackers are WebSockets") };
                assert!(self.asked.insert((torrent, id)), "an ask has a name of its own");
                self.sockets.on_ask(self.now, torrent, Some(id), *ask);
                self.hear();
            }
        }
    }

    fn hear(&mut self) {
        while let Some(output) = self.sockets.next_output() {
            match output {
                WsOutput::Open(id, _) => {
                    assert!(self.known.insert(id, false).is_none(), "a socket has a name of its own");
                    assert!(self.known.len() <= config().ws_sockets_max, "the limit holds");
                }
                WsOutput::Ready(id) => {
                    // It may have ended since.
                    while let Some(text) = self.sockets.next_message(id) {
                        assert_eq!(self.known.get(&id), Some(&true), "only what is open sends");
                        read_message(&text).expect("a tracker can read it");
                    }
                }
                WsOutput::Close(id) => assert!(self.known.remove(&id).is_some(), "closed once"),
                WsOutput::Answered(torrent, ask, answer) => {
                    assert!(self.asked.remove(&(torrent, ask)), "answered once");
                    let torrent = &mut self.torrents[torrent.0 as usize];
                    torrent.on_answer(self.now, ask, answer, &mut self.rng);
                }
                WsOutput::Scraped(..) => {
                    self.scrapes = self.scrapes.checked_sub(1).expect("scraped once");
                }
                WsOutput::Offered(..) | WsOutput::OfferAnswered(_) => {}
            }
        }
        assert!(
            !self.known.is_empty() || (self.asked.is_empty() && self.scrapes == 0),
            "nobody waits in vain"
        );
    }
}

/// Offers made, handed out, answered and lost: there are never more than allowed, and none belongs to two torrents.
pub fn offers(data: &[u8]) {
    let config = OffersConfig { offers_max: 6, per_announce_max: 3, unanswered_ms: 1_000 };
    let mut offers = Offers::new(config);
    let mut now = Instant::from_micros(1_000_000);
    // Those that are open: for whom, and until when.
    let mut open: BTreeMap<u8, Option<(TorrentId, Instant)>> = BTreeMap::new();
    for &[op, n] in data.as_chunks::<2>().0 {
        let (id, torrent) = (OfferId([n % 8; 20]), TorrentId(u64::from(n % 3)));
        match op % 7 {
            0 => {
                let made = offers.on_made(Offer { id, sdp: "v=0".into() });
                assert_eq!(made, open.len() < 6, "as many as there is room for");
                if made {
                    open.insert(n % 8, None);
                }
            }
            1 => {
                for offer in offers.hand_out(now, torrent, usize::from(op >> 4)) {
                    let given = open.get_mut(&offer.id.0[0]).expect("it is open");
                    assert!(given.is_none_or(|(_, until)| until <= now), "no other torrent has it");
                    *given = Some((torrent, now + Duration::from_secs(1)));
                }
            }
            2 => {
                let given = open.remove(&(n % 8)).flatten();
                assert_eq!(offers.on_answered(id), given.map(|(torrent, _)| torrent), "whom it was made for");
            }
            3 => {
                offers.on_lost(id);
                open.remove(&(n % 8));
            }
            4 => {
                offers.on_torrent_gone(torrent);
                open.values_mut().for_each(|given| *given = given.filter(|(it, _)| *it != torrent));
            }
            5 => now += Duration::from_millis(u64::from(n) * 10),
            _ => offers.on_ignored(),
        }
        let free = open.values().filter(|given| given.is_none_or(|(_, until)| until <= now)).count();
        let wanted = offers.wanted(now, usize::from(op));
        assert_eq!(
            wanted,
            usize::from(op).min(3).saturating_sub(free).min(6 - open.len()),
            "what is missing"
        );
    }
}
