//! The sockets to trackers that speak WebTorrent's signalling: one for each URL, shared by all torrents, opened when it is
//! asked and again after a pause when it broke. It owns who asked what over which socket, and routes answers by info-hash.
//! Not the links: whoever owns it opens, feeds and closes them. Offers and answers of WebRTC it only hands up.

use super::{AnnounceConfig, AskError, AskId, larger};
use crate::base::{Instant, Rng, TorrentId};
use crate::wire::InfoHash;
use crate::wire::tracker::{AnnounceAnswer, AnnounceQuery, SwarmCounts, TrackerEvent};
use crate::wire::tracker_http::HttpAnswerError;
use crate::wire::tracker_ws::{
    Offer, Relayed, SignalAnnounce, SignalAnnounced, SignalReply, read_reply, write_announce, write_scrape,
};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Names a socket, for as long as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// Something for a tracker that is reached by a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsAsk {
    /// Its URL, the same for all that share its socket.
    pub url: Arc<str>,
    /// What it is asked.
    pub what: WsWhat,
}

/// What a tracker is asked over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WsWhat {
    /// To take an announce.
    Announce {
        /// What it says.
        query: AnnounceQuery,
        /// What the tracker gave to be sent back.
        tracker_id: Option<Box<[u8]>>,
        /// For peers that speak WebRTC; none where nobody does.
        offers: Vec<Offer>,
    },
    /// How many are in these swarms, which are one torrent's.
    Scrape(Box<[InfoHash]>),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum WsOutput {
    /// Open a socket at this URL, and say `on_open` or `on_closed`.
    Open(SocketId, Arc<str>),
    /// It has something to send: `next_message`.
    Ready(SocketId),
    /// Nobody needs it any more, or it said what none says: close it. It is forgotten already.
    Close(SocketId),
    /// An announce is over.
    Answered(TorrentId, AskId, Result<AnnounceAnswer, AskError>),
    /// A scrape is over.
    Scraped(TorrentId, Result<SwarmCounts, AskError>),
    /// Somebody in a swarm offers a link over WebRTC.
    Offered(SocketId, Box<Relayed>),
    /// Somebody answers one of our offers.
    OfferAnswered(Box<Relayed>),
}

/// One question that waits for its answer.
#[derive(Debug)]
struct Asked {
    torrent: TorrentId,
    /// A scrape has none.
    ask: Option<AskId>,
    hashes: Vec<InfoHash>,
    until: Instant,
}

#[derive(Debug)]
struct Socket {
    url: Arc<str>,
    open: bool,
    /// What waits to be sent.
    queue: VecDeque<String>,
    asked: Vec<Asked>,
    /// Whose announces it carries: it stays open for them, since it is by the socket that a tracker knows us.
    users: Vec<TorrentId>,
}

/// What is remembered of a URL whose socket broke.
#[derive(Debug)]
struct Broken {
    failures: u8,
    not_before: Instant,
    why: Box<str>,
}

/// All of them.
#[derive(Debug)]
pub struct WebSockets {
    config: Arc<AnnounceConfig>,
    rng: Rng,
    next: u64,
    sockets: BTreeMap<SocketId, Socket>,
    broken: BTreeMap<Arc<str>, Broken>,
    outputs: VecDeque<WsOutput>,
    refused: u64,
}

impl WebSockets {
    /// None yet.
    pub fn new(rng: Rng, config: Arc<AnnounceConfig>) -> Self {
        Self {
            config,
            rng,
            next: 1,
            sockets: BTreeMap::new(),
            broken: BTreeMap::new(),
            outputs: VecDeque::new(),
            refused: 0,
        }
    }

    /// A torrent wants a tracker asked; an announce has an id to be answered by.
    pub fn on_ask(&mut self, now: Instant, torrent: TorrentId, ask: Option<AskId>, ws: WsAsk) {
        let WsAsk { url, what } = ws;
        let (text, hashes, leaves) = match what {
            WsWhat::Announce { query, tracker_id, offers } => {
                let hashes = Vec::from([query.info_hash]);
                let leaves = query.event == TrackerEvent::Stopped;
                let tracker_id = tracker_id.and_then(|id| String::from_utf8(id.into()).ok());
                (write_announce(&SignalAnnounce { query, tracker_id, offers }), hashes, leaves)
            }
            WsWhat::Scrape(hashes) => (write_scrape(&hashes), hashes.into_vec(), false),
        };
        let until = now + Duration::from_millis(self.config.ws_timeout_ms);
        let asked = Asked { torrent, ask, hashes, until };
        let id = match self.socket(now, &url) {
            Ok(id) => id,
            Err(error) => return self.answer(asked, Err(error)),
        };
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if leaves {
            socket.users.retain(|user| *user != torrent);
        } else if ask.is_some() && !socket.users.contains(&torrent) {
            socket.users.push(torrent);
        }
        socket.asked.push(asked);
        socket.queue.push_back(text);
        if socket.open {
            self.outputs.push_back(WsOutput::Ready(id));
        }
    }

    /// A socket is open.
    pub fn on_open(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.open = true;
        self.broken.remove(&socket.url);
        if !socket.queue.is_empty() {
            self.outputs.push_back(WsOutput::Ready(id));
        }
    }

    /// A message came.
    pub fn on_message(&mut self, now: Instant, id: SocketId, message: &[u8]) {
        let limits = self.config.limits;
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let reply = core::str::from_utf8(message).ok().map(|text| read_reply(text, &limits));
        match reply {
            Some(Ok(SignalReply::Announced(announced))) => self.on_announced(id, &announced),
            Some(Ok(SignalReply::Scraped(files))) => self.on_scraped(id, &files),
            Some(Ok(SignalReply::Failed { info_hash, reason })) => {
                // Without a hash it is the oldest question that the tracker couldn't read.
                let asks = |asked: &Asked| info_hash.is_none_or(|hash| asked.hashes.contains(&hash));
                if let Some(at) = socket.asked.iter().position(asks) {
                    let asked = socket.asked.remove(at);
                    let refused = HttpAnswerError::Failed { reason, retry: None };
                    self.answer(asked, Err(refused.into()));
                }
            }
            Some(Ok(SignalReply::Offer(offer))) => self.outputs.push_back(WsOutput::Offered(id, offer)),
            Some(Ok(SignalReply::Answer(answer))) => self.outputs.push_back(WsOutput::OfferAnswered(answer)),
            Some(Err(error)) => {
                tracing::debug!(?id, %error, "a tracker's message is malformed");
                self.fail(now, id, "the tracker's message is malformed");
                self.outputs.push_back(WsOutput::Close(id));
            }
            None => {
                self.fail(now, id, "the tracker's message is no text");
                self.outputs.push_back(WsOutput::Close(id));
            }
        }
        self.leave_if_unused(id);
    }

    /// A socket ended, or couldn't be opened.
    pub fn on_closed(&mut self, now: Instant, id: SocketId, why: &str) {
        self.fail(now, id, why);
    }

    /// The next message to send over a socket that is open.
    pub fn next_message(&mut self, id: SocketId) -> Option<String> {
        let message = self.sockets.get_mut(&id).filter(|socket| socket.open)?.queue.pop_front();
        self.leave_if_unused(id);
        message
    }

    /// Whether something waits to be sent over a socket.
    pub fn has_message(&self, id: SocketId) -> bool {
        self.sockets.get(&id).is_some_and(|socket| socket.open && !socket.queue.is_empty())
    }

    /// Time passed: questions that weren't answered are given up.
    pub fn on_timeout(&mut self, now: Instant) {
        let ids: Vec<SocketId> = self.sockets.keys().copied().collect();
        for id in ids {
            let Some(socket) = self.sockets.get_mut(&id) else { continue };
            let late = |asked: &mut Asked| asked.until <= now;
            let late: Vec<Asked> = socket.asked.extract_if(.., late).collect();
            let silent = !late.is_empty() && !socket.open;
            for asked in late {
                self.answer(asked, Err(AskError::TimedOut));
            }
            if silent {
                self.fail(now, id, "the tracker doesn't answer");
                self.outputs.push_back(WsOutput::Close(id));
            } else {
                self.leave_if_unused(id);
            }
        }
    }

    /// When `on_timeout` is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.sockets.values().flat_map(|socket| &socket.asked).map(|asked| asked.until).min()
    }

    /// How often a tracker wasn't asked, since as many sockets are open as may be.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The next thing to do.
    pub fn next_output(&mut self) -> Option<WsOutput> {
        self.outputs.pop_front()
    }

    /// A torrent is gone: its questions end unheard.
    pub fn on_torrent_gone(&mut self, torrent: TorrentId) {
        let ids: Vec<SocketId> = self.sockets.keys().copied().collect();
        for id in ids {
            if let Some(socket) = self.sockets.get_mut(&id) {
                socket.users.retain(|user| *user != torrent);
                socket.asked.retain(|asked| asked.torrent != torrent);
            }
            self.leave_if_unused(id);
        }
    }

    /// The socket of a URL: the one that is there, or a new one.
    fn socket(&mut self, now: Instant, url: &Arc<str>) -> Result<SocketId, AskError> {
        if let Some((&id, _)) = self.sockets.iter().find(|(_, socket)| socket.url == *url) {
            return Ok(id);
        }
        if let Some(broken) = self.broken.get(url).filter(|broken| now < broken.not_before) {
            return Err(AskError::Unreachable(broken.why.clone()));
        }
        if self.sockets.len() >= self.config.ws_sockets_max {
            self.refused += 1;
            return Err(AskError::Unreachable("too many WebSockets are open".into()));
        }
        let id = SocketId(self.next);
        self.next += 1;
        let (url, queue) = (Arc::clone(url), VecDeque::new());
        self.outputs.push_back(WsOutput::Open(id, Arc::clone(&url)));
        self.sockets.insert(id, Socket { url, open: false, queue, asked: Vec::new(), users: Vec::new() });
        Ok(id)
    }

    fn on_announced(&mut self, id: SocketId, announced: &SignalAnnounced) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let asks = |asked: &Asked| asked.ask.is_some() && asked.hashes.contains(&announced.info_hash);
        // Trackers also tell counts unasked.
        let Some(at) = socket.asked.iter().position(asks) else { return };
        let asked = socket.asked.remove(at);
        let answer = AnnounceAnswer {
            interval_s: announced.interval_s,
            min_interval_s: announced.min_interval_s,
            complete: announced.complete,
            incomplete: announced.incomplete,
            tracker_id: announced.tracker_id.as_ref().map(|id| id.as_bytes().into()),
            warning: announced.warning.clone(),
            ..AnnounceAnswer::default()
        };
        self.answer(asked, Ok(answer));
    }

    fn on_scraped(&mut self, id: SocketId, files: &[(InfoHash, SwarmCounts)]) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let asks = |asked: &Asked| {
            asked.ask.is_none()
                && (files.is_empty() || files.iter().any(|(hash, _)| asked.hashes.contains(hash)))
        };
        let Some(at) = socket.asked.iter().position(asks) else { return };
        let asked = socket.asked.remove(at);
        let ours = files.iter().filter(|(hash, _)| asked.hashes.contains(hash));
        let counts = larger(ours.map(|&(_, counts)| counts));
        self.outputs.push_back(WsOutput::Scraped(asked.torrent, counts));
    }

    fn answer(&mut self, asked: Asked, answer: Result<AnnounceAnswer, AskError>) {
        self.outputs.push_back(match (asked.ask, answer) {
            (Some(ask), answer) => WsOutput::Answered(asked.torrent, ask, answer),
            (None, Err(error)) => WsOutput::Scraped(asked.torrent, Err(error)),
            (None, Ok(_)) => WsOutput::Scraped(asked.torrent, Err(AskError::NoCounts)),
        });
    }

    /// Forgets a socket, answers all who wait for it, and leaves its tracker alone for a while.
    fn fail(&mut self, now: Instant, id: SocketId, why: &str) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        let failures = self.broken.get(&socket.url).map_or(0, |broken| broken.failures);
        let doubled = self.config.ws_retry_first_ms.saturating_mul(1 << failures.min(16));
        let pause_ms = doubled.min(self.config.retry_max_ms);
        let pause_ms = pause_ms + self.rng.below(pause_ms / 4 + 1);
        // As many as sockets: what is older than that is forgotten.
        if self.broken.len() >= self.config.ws_sockets_max && !self.broken.contains_key(&socket.url) {
            self.broken.pop_first();
        }
        let not_before = now + Duration::from_millis(pause_ms);
        let broken = Broken { failures: failures.saturating_add(1), not_before, why: why.into() };
        self.broken.insert(socket.url, broken);
        for asked in socket.asked {
            self.answer(asked, Err(AskError::Unreachable(why.into())));
        }
    }

    fn leave_if_unused(&mut self, id: SocketId) {
        let unused = |socket: &Socket| {
            // What nobody waits for is still sent, if it can be sent now.
            let silent = socket.queue.is_empty() || !socket.open;
            silent && socket.users.is_empty() && socket.asked.is_empty()
        };
        if self.sockets.get(&id).is_some_and(unused) {
            self.sockets.remove(&id);
            self.outputs.push_back(WsOutput::Close(id));
        }
    }
}

#[cfg(test)]
mod tests;
