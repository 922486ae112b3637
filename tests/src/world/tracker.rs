//! Simulated trackers: the swarms of core's own tracker room behind its HTTP answers and the UDP codec. Each keeps what
//! it heard, so that stories can tell it.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use millstream_core::base::Instant;
use millstream_core::tracker::{Tracker, TrackerConfig, http};
use millstream_core::wire::tracker::{AnnounceQuery, SwarmCounts, TrackerEvent};
use millstream_core::wire::tracker_udp::{
    ConnectionId, Family, Request, read_request, write_announced, write_connected, write_failed,
    write_scraped,
};
use millstream_core::wire::{InfoHash, PeerId};

/// A tracker that answers over HTTP and UDP.
#[derive(Debug)]
pub struct SimTracker {
    /// Its host name.
    pub host: String,
    /// Its address.
    pub addr: SocketAddr,
    /// Its address over IPv6.
    pub addr_6: SocketAddr,
    /// Whether it answers.
    pub up: bool,
    /// Whether it takes what it is asked over HTTP and never answers.
    pub hangs: bool,
    /// Whether it refuses every announce over HTTP.
    pub refuses: bool,
    /// The request targets it heard over HTTP.
    pub targets: Vec<String>,
    /// The announces it heard, over either protocol, and the URL data that came along (BEP 41).
    pub announces: Vec<(SocketAddr, AnnounceQuery, Vec<u8>)>,
    /// Scrapes it heard.
    pub scrapes: u64,
    tracker: Tracker,
}

/// An IPv6 address that goes with an IPv4 one.
pub(super) fn sixth(ip: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = ip.octets().map(u16::from);
    Ipv6Addr::new(0x2a01, a, b, c, d, 0, 0, 1)
}

impl SimTracker {
    pub(super) fn new(host: String, addr: SocketAddr, config: TrackerConfig, seed: [u8; 32]) -> Self {
        let tracker = Tracker::new(config, seed);
        let addr_6 = match addr {
            SocketAddr::V4(v4) => SocketAddr::new(sixth(*v4.ip()).into(), addr.port()),
            SocketAddr::V6(_) => addr,
        };
        Self {
            host,
            addr,
            addr_6,
            up: true,
            hangs: false,
            refuses: false,
            targets: Vec::new(),
            announces: Vec::new(),
            scrapes: 0,
            tracker,
        }
    }

    /// Its announce URL over HTTP.
    pub fn http_url(&self) -> String {
        format!("http://{}/announce", self.host)
    }

    /// Its announce URL over UDP.
    pub fn udp_url(&self) -> String {
        format!("udp://{}:{}/announce", self.host, self.addr.port())
    }

    /// The events it heard, in order.
    pub fn events(&self) -> Vec<TrackerEvent> {
        self.announces.iter().map(|(_, query, _)| query.event).collect()
    }

    /// Takes a leech at this address into a torrent's swarm.
    pub fn know(&mut self, now: Instant, info_hash: InfoHash, addr: SocketAddr) {
        let query = AnnounceQuery {
            info_hash,
            peer_id: PeerId([7; 20]),
            port: addr.port(),
            uploaded: 0,
            downloaded: 0,
            left: Some(1),
            event: TrackerEvent::Started,
            numwant: Some(0),
            key: 0,
        };
        self.tracker.on_announce(now, &query, addr).expect("the tracker has room");
    }

    /// Notes the target of a GET.
    pub(super) fn hear<'a>(&mut self, url: &'a str) -> &'a str {
        let after = url.split_once("://").map_or(url, |(_, rest)| rest);
        let target = after.find('/').map_or("/", |at| &after[at..]);
        self.targets.push(target.into());
        target
    }

    /// Answers a GET; `None` if it is down.
    pub(super) fn on_get(&mut self, now: Instant, url: &str, source: SocketAddr) -> Option<(u16, Vec<u8>)> {
        if !self.up || self.hangs {
            return None;
        }
        let target = self.hear(url);
        if self.refuses {
            return Some((200, b"d14:failure reason8:not heree".to_vec()));
        }
        let query = target.split_once('?').map_or("", |(_, query)| query).as_bytes();
        if target.starts_with("/announce")
            && let Ok(announce) = millstream_core::wire::tracker_http_server::read_announce(query)
        {
            self.announces.push((source, announce.query, Vec::new()));
        } else if target.starts_with("/scrape") {
            self.scrapes += 1;
        }
        let answer = http::answer(now, &mut self.tracker, target.as_bytes(), source);
        Some((answer.status, answer.body))
    }

    /// Answers a datagram.
    pub(super) fn on_datagram(&mut self, now: Instant, packet: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
        if !self.up {
            return None;
        }
        // The id says when and to whom it was given, as a server's own secret would.
        let id = |at: Instant| {
            ConnectionId(at.as_micros() / 60_000_000 * 1000 + u64::from(source.port()) % 1000 + 1)
        };
        let valid = |given: ConnectionId| {
            let before = now - core::time::Duration::from_secs(60);
            let earlier = before - core::time::Duration::from_secs(60);
            [now, before, earlier].into_iter().any(|at| id(at) == given)
        };
        Some(match read_request(packet).ok()? {
            Request::Connect { transaction } => write_connected(transaction, id(now)),
            Request::Announce { connection, transaction, .. }
            | Request::Scrape { connection, transaction, .. }
                if !valid(connection) =>
            {
                write_failed(transaction, "connection id mismatch")
            }
            Request::Announce { transaction, query, url_data, .. } => {
                let reply = self.tracker.on_announce(now, &query, source);
                self.announces.push((source, query, url_data.to_vec()));
                match reply {
                    Ok(reply) => {
                        let peers: Vec<SocketAddr> =
                            reply.peers.to_vec().into_iter().map(|(addr, _)| addr).collect();
                        write_announced(
                            transaction,
                            Family::of(&source),
                            reply.interval_s,
                            reply.counts,
                            &peers,
                        )
                    }
                    Err(refusal) => write_failed(transaction, &refusal.to_string()),
                }
            }
            Request::Scrape { transaction, info_hashes, .. } => {
                self.scrapes += 1;
                let counts: Vec<SwarmCounts> =
                    info_hashes.iter().map(|hash| self.tracker.on_scrape(hash).unwrap_or_default()).collect();
                write_scraped(transaction, &counts)
            }
        })
    }
}
