//! The WebSockets of a tracker for Python: which are open, where they come from, what they announced. What their messages
//! mean, and whom they reach, is core's.

use super::Machine;
use core::net::IpAddr;
use millstream_core::base::Instant;
use millstream_core::tracker::{Fault, Protocol, ProtocolStatistics, signal};
use millstream_core::wire::InfoHash;
use millstream_core::wire::tracker::TrackerEvent;
use millstream_core::wire::tracker_ws::{
    SignalAnnounce, SignalReply, SignalRequest, read_request, write_reply,
};
use std::collections::{BTreeMap, BTreeSet};

/// A text for a socket, by its number.
pub(super) type Text = (u64, String);

/// Which sockets are open.
pub(super) struct Sockets {
    next: u64,
    open: BTreeMap<u64, Socket>,
    /// Sockets that may be open.
    pub(super) sockets_max: usize,
    /// Torrents that one of them may announce.
    pub(super) torrents_per_socket_max: usize,
}

struct Socket {
    source: IpAddr,
    /// What it announced and didn't stop.
    torrents: BTreeSet<InfoHash>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { next: 1, open: BTreeMap::new(), sockets_max: 10_000, torrents_per_socket_max: 1000 }
    }
}

impl Sockets {
    /// A socket from there; `None` if there are as many as may be.
    pub(super) fn open(&mut self, source: IpAddr) -> Option<u64> {
        if self.open.len() >= self.sockets_max {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.open.insert(number, Socket { source, torrents: BTreeSet::new() });
        Some(number)
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

impl Machine {
    /// A socket said this: what is to be told to whom. `None` if there is no such socket.
    pub(super) fn on_text(&mut self, now: Instant, number: u64, text: &str) -> Option<Vec<Text>> {
        if !self.sockets.open.contains_key(&number) {
            return None;
        }
        self.seen().bytes_in += text.len() as u64;
        let replies = match read_request(text) {
            Ok(SignalRequest::Announce(announce)) => self.announce(now, number, *announce),
            Ok(SignalRequest::Answer(said)) => {
                signal::answer(&mut self.tracker, number, *said).into_iter().collect()
            }
            Ok(SignalRequest::Scrape(hashes)) => {
                let known = |hash: &InfoHash| Some((*hash, self.tracker.on_scrape(hash)?));
                let known: Vec<_> = hashes.iter().filter_map(known).collect();
                self.seen().scrapes += 1;
                self.seen().scraped += hashes.len() as u64;
                vec![(number, SignalReply::Scraped(known))]
            }
            Err(error) => {
                self.seen().fault(Fault::Malformed);
                vec![failed(number, None, &error.to_string())]
            }
        };
        let texts: Vec<Text> = replies.into_iter().map(|(to, reply)| (to, write_reply(&reply))).collect();
        self.seen().bytes_out += texts.iter().map(|(_, text)| text.len() as u64).sum::<u64>();
        Some(texts)
    }

    /// A socket is gone, and its peers with it. One that isn't there any more does no harm.
    pub(super) fn on_closed(&mut self, now: Instant, number: u64) {
        let Some(socket) = self.sockets.open.remove(&number) else { return };
        for hash in socket.torrents {
            self.tracker.on_socket_closed(now, number, &hash);
        }
    }

    fn announce(&mut self, now: Instant, number: u64, announce: SignalAnnounce) -> Vec<signal::Outgoing> {
        let max = self.sockets.torrents_per_socket_max;
        let Some(socket) = self.sockets.open.get_mut(&number) else { return Vec::new() };
        let hash = announce.query.info_hash;
        let stopped = announce.query.event == TrackerEvent::Stopped;
        let known = socket.torrents.contains(&hash);
        if socket.torrents.len() >= max && !known && !stopped {
            self.seen().fault(Fault::SourceFull);
            return vec![failed(number, Some(hash), "too many torrents over one socket")];
        }
        let out = signal::announce(now, &mut self.tracker, (number, socket.source), announce);
        let refused = matches!(out[..], [(_, SignalReply::Failed { .. })]);
        if stopped && !refused {
            socket.torrents.remove(&hash);
        } else if !refused {
            socket.torrents.insert(hash);
        }
        out
    }

    fn seen(&mut self) -> &mut ProtocolStatistics {
        self.tracker.statistics_mut().protocol_mut(Protocol::WebSocket)
    }
}

fn failed(number: u64, info_hash: Option<InfoHash>, reason: &str) -> signal::Outgoing {
    (number, SignalReply::Failed { info_hash, reason: reason.into() })
}
