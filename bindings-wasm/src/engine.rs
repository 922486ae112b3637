//! The doors. Holds an engine, and a ledger that tells a driver's mistakes from a peer's faults.

use crate::effects::Flat;
use crate::fault::{address, addresses, driver, fault, milliseconds, moment, number, value, whole};
use crate::settings::{AddOptions, Settings};
use crate::{events, outcomes};
use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::{Chunk, ConnId, Instant, JobId, LocalId, Segment, TorrentId};
use millstream_core::engine::{
    self as doors, Command, CommandError, Effect, Incoming, Input, LinkInfo, Outcome, Owed, Reply,
    SocketKind, Status,
};
use millstream_core::wire::http::{ContentRange, HttpHead};
use std::collections::{BTreeMap, BTreeSet};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// A BitTorrent engine: a pure state machine. Moments are milliseconds since whenever the driver likes
/// (`performance.now()`), and never go back; they count to the nearest microsecond.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    engine: doors::Engine,
    now: Instant,
    /// Jobs whose effect was taken and whose answer is owed.
    owed: BTreeMap<JobId, Owed>,
    /// Links whose `close` was taken and whose `drained` is owed.
    closing: BTreeSet<ConnId>,
    /// The effect or event that was polled last.
    flat: Flat,
}

#[wasm_bindgen]
impl Engine {
    /// An engine with nothing to do. `seed` is all its chance, 32 bytes as secret as a key.
    #[wasm_bindgen(constructor)]
    pub fn new(seed: &[u8], now: f64, settings: &Settings) -> Result<Self, JsError> {
        let len = seed.len();
        let seed =
            seed.try_into().map_err(|_| value(format_args!("a seed of {len} bytes: 32 are needed")))?;
        let now = moment(now)?;
        Ok(Self {
            engine: doors::Engine::new(settings.0.clone(), seed, now),
            now,
            owed: BTreeMap::new(),
            closing: BTreeSet::new(),
            flat: Flat::default(),
        })
    }

    /// A listener is bound: peers reach us there.
    pub fn bound(&mut self, now: f64, local: f64, addr: &str) -> Result<(), JsError> {
        let addr = address(addr)?;
        self.input(now, Input::Bound { local: LocalId(whole(local)?), addr, kind: SocketKind::TcpListener })
    }

    /// A stranger opened a link to us. Gives the link's id.
    pub fn accept(&mut self, now: f64, local: f64, to: &str, remote: &str) -> Result<f64, JsError> {
        let incoming = Incoming { local: LocalId(whole(local)?), to: address(to)?, from: address(remote)? };
        let now = self.at(now)?;
        let accepted = self.engine.accept(now, incoming);
        accepted.map(|conn| number(conn.0)).map_err(|refusal| fault("refused", refusal))
    }

    /// A link that `connect` asked for is open: our end and the other.
    pub fn opened(&mut self, now: f64, conn: f64, local: &str, remote: &str) -> Result<(), JsError> {
        let (local, remote) = (address(local)?, address(remote)?);
        self.input(now, Input::Opened { conn: ConnId(whole(conn)?), info: LinkInfo::between(local, remote) })
    }

    /// A web server's answer to `connectHttp` begins: its status, and the body's length, the first byte, the last one and
    /// the total of its range, and the seconds of `Retry-After`; what is missing is no number.
    pub fn answered(&mut self, now: f64, conn: f64, status: u16, told: &[f64]) -> Result<(), JsError> {
        let one = |n: usize| told.get(n).copied().filter(|told| told.is_finite()).map(whole).transpose();
        let range = match (one(1)?, one(2)?) {
            (Some(first), Some(last)) => Some(ContentRange { first, last, total: one(3)? }),
            _ => None,
        };
        let retry_after = one(4)?.map(Duration::from_secs);
        let head = HttpHead { status, length: one(0)?, range, retry_after };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let info = LinkInfo { head: Some(Box::new(head)), ..LinkInfo::between(nowhere, nowhere) };
        self.input(now, Input::Opened { conn: ConnId(whole(conn)?), info })
    }

    /// Bytes came on a link.
    #[wasm_bindgen(js_name = handleReceived)]
    pub fn handle_received(&mut self, now: f64, conn: f64, data: Vec<u8>) -> Result<(), JsError> {
        self.input(now, Input::Received { conn: ConnId(whole(conn)?), data: Chunk::from(data) })
    }

    /// So many bytes of what `pollTransmit` gave went out.
    pub fn wrote(&mut self, now: f64, conn: f64, count: f64) -> Result<(), JsError> {
        self.input(now, Input::Wrote { conn: ConnId(whole(conn)?), bytes: whole(count)? })
    }

    /// A link ended, or couldn't be opened.
    pub fn closed(&mut self, now: f64, conn: f64, why: &str) -> Result<(), JsError> {
        let why = outcomes::link_end(why)?;
        self.input(now, Input::Closed { conn: ConnId(whole(conn)?), why })
    }

    /// Nothing of a link is left, after `close`.
    pub fn drained(&mut self, now: f64, conn: f64) -> Result<(), JsError> {
        let conn = ConnId(whole(conn)?);
        if !self.closing.contains(&conn) {
            return Err(driver(format_args!("no close of link {} waits for drained", conn.0)));
        }
        self.input(now, Input::Drained { conn })?;
        self.closing.remove(&conn);
        Ok(())
    }

    /// Does what is due. Early and spurious calls do no harm.
    #[wasm_bindgen(js_name = handleTimeout)]
    pub fn handle_timeout(&mut self, now: f64) -> Result<(), JsError> {
        let now = self.at(now)?;
        self.engine.handle_timeout(now);
        Ok(())
    }

    /// When `handleTimeout` is due, in milliseconds.
    #[wasm_bindgen(js_name = pollTimeout)]
    pub fn poll_timeout(&self) -> Option<f64> {
        self.engine.poll_timeout().map(milliseconds)
    }

    /// Bytes to write to a link, whole and in order, at most about `max`. What is handed out is committed.
    #[wasm_bindgen(js_name = pollTransmit)]
    pub fn poll_transmit(&mut self, now: f64, conn: f64, max: u32) -> Result<Option<Vec<u8>>, JsError> {
        let (now, conn) = (self.at(now)?, ConnId(whole(conn)?));
        let Some(transmit) = self.engine.poll_transmit(now, conn, max as usize) else { return Ok(None) };
        let mut data = Vec::with_capacity(transmit.len);
        for segment in transmit.segments {
            match segment {
                Segment::Bytes(chunk) => data.extend_from_slice(&chunk),
                // handed out only after `Outcome::Stored`, which no door here answers
                Segment::Stored(..) => return Err(driver("a stored segment")),
            }
        }
        Ok(Some(data))
    }

    /// The kind of the next effect, if there is one; `flat*` then have its parts.
    #[wasm_bindgen(js_name = nextEffect)]
    pub fn next_effect(&mut self) -> Option<String> {
        let effect = self.engine.poll_effect()?;
        match &effect {
            Effect::Job { job, work } => drop(self.owed.insert(*job, Owed::of(work))),
            Effect::Close { conn, .. } => drop(self.closing.insert(*conn)),
            Effect::Connect { .. }
            | Effect::Interest { .. }
            | Effect::DatagramsReady { .. }
            | Effect::Cancel { .. } => {}
        }
        self.flat = Flat::of(effect);
        Some(self.flat.kind.to_owned())
    }

    /// The kind of the next event, if there is one; `flat*` then have its parts.
    #[wasm_bindgen(js_name = nextEvent)]
    pub fn next_event(&mut self) -> Option<String> {
        self.flat = events::flat(self.engine.poll_event()?);
        Some(self.flat.kind.to_owned())
    }

    /// The numbers of what was polled last.
    #[wasm_bindgen(js_name = flatNumbers)]
    pub fn flat_numbers(&mut self) -> Vec<f64> {
        core::mem::take(&mut self.flat.numbers)
    }

    /// The texts of what was polled last.
    #[wasm_bindgen(js_name = flatTexts)]
    pub fn flat_texts(&mut self) -> Vec<String> {
        core::mem::take(&mut self.flat.texts)
    }

    /// The bytes of what was polled last.
    #[wasm_bindgen(js_name = flatData)]
    pub fn flat_data(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.flat.data)
    }

    /// Takes on a torrent. Gives its id.
    #[wasm_bindgen(js_name = addTorrent)]
    pub fn add_torrent(&mut self, now: f64, options: AddOptions) -> Result<f64, JsError> {
        match self.command(now, Command::Add(Box::new(options.0)))? {
            Reply::Added(id) => Ok(number(id.0)),
            Reply::Done | Reply::Lookup(_) => Err(driver("the torrent got no id")),
        }
    }

    /// Gives a torrent the addresses of peers.
    #[wasm_bindgen(js_name = addPeers)]
    pub fn add_peers(&mut self, now: f64, torrent: f64, peers: Vec<String>) -> Result<(), JsError> {
        self.tell(now, Command::Peers(TorrentId(whole(torrent)?), addresses(&peers)?))
    }

    /// More web seeds of a torrent (BEP 19), by their URLs.
    #[wasm_bindgen(js_name = addWebSeeds)]
    pub fn add_web_seeds(&mut self, now: f64, torrent: f64, urls: Vec<String>) -> Result<(), JsError> {
        self.tell(now, Command::WebSeeds(TorrentId(whole(torrent)?), urls))
    }

    /// A torrent's trackers from now on: their URLs, and how many of them stand in each tier (BEP 12).
    #[wasm_bindgen(js_name = setTrackers)]
    pub fn set_trackers(
        &mut self,
        now: f64,
        torrent: f64,
        urls: Vec<String>,
        tiers: Vec<u32>,
    ) -> Result<(), JsError> {
        let mut urls = urls.into_iter();
        let tiers = tiers.into_iter().map(|count| urls.by_ref().take(count as usize).collect()).collect();
        self.tell(now, Command::Trackers(TorrentId(whole(torrent)?), tiers))
    }

    /// Closes the links with a peer; with `ban` it is neither called nor taken any more.
    pub fn disconnect(&mut self, now: f64, torrent: f64, peer: &str, ban: bool) -> Result<(), JsError> {
        let (torrent, peer) = (TorrentId(whole(torrent)?), address(peer)?);
        self.tell(now, Command::Disconnect { torrent, peer, ban })
    }

    /// Leaves a torrent; `removed` says when all is done.
    pub fn remove(&mut self, now: f64, torrent: f64) -> Result<(), JsError> {
        self.tell(now, Command::Remove(TorrentId(whole(torrent)?)))
    }

    /// Stops the transfer, keeps the torrent.
    pub fn pause(&mut self, now: f64, torrent: f64) -> Result<(), JsError> {
        self.tell(now, Command::Pause(TorrentId(whole(torrent)?)))
    }

    /// Goes on after a pause or a failure.
    pub fn resume(&mut self, now: f64, torrent: f64) -> Result<(), JsError> {
        self.tell(now, Command::Resume(TorrentId(whole(torrent)?)))
    }

    /// Ends all; `stopped` comes when all is done, or at `by`.
    pub fn stop(&mut self, now: f64, by: f64) -> Result<(), JsError> {
        let by = moment(by)?;
        self.tell(now, Command::Stop { by })
    }

    /// The numbers of a torrent's snapshot.
    #[wasm_bindgen(js_name = statusNumbers)]
    pub fn status_numbers(&self, torrent: f64) -> Result<Vec<f64>, JsError> {
        self.status(torrent).map(|status| events::status_numbers(&status))
    }

    /// The texts of a torrent's snapshot.
    #[wasm_bindgen(js_name = statusTexts)]
    pub fn status_texts(&self, torrent: f64) -> Result<Vec<String>, JsError> {
        self.status(torrent).map(|status| events::status_texts(&status))
    }

    /// A torrent's info dictionary, once it is known.
    pub fn info(&self, torrent: f64) -> Result<Option<Vec<u8>>, JsError> {
        self.status(torrent)?;
        Ok(self.engine.info(TorrentId(whole(torrent)?)).map(|info| info.raw().to_vec()))
    }
}

/// The answers to jobs: one each, also after `cancel`.
#[wasm_bindgen]
impl Engine {
    /// Answers `filesOpen`, `filesSync` and `filesClose`: lengths (-1: not there), milliseconds since 1970.
    #[wasm_bindgen(js_name = doneFiles)]
    pub fn done_files(
        &mut self,
        now: f64,
        job: f64,
        lengths: &[f64],
        modified: &[f64],
    ) -> Result<(), JsError> {
        let files = outcomes::files(lengths, modified)?;
        self.done(now, job, Outcome::Files(files))
    }

    /// Answers `read`.
    #[wasm_bindgen(js_name = doneBytes)]
    pub fn done_bytes(&mut self, now: f64, job: f64, data: Vec<u8>) -> Result<(), JsError> {
        self.done(now, job, Outcome::Bytes(vec![Chunk::from(data)]))
    }

    /// Answers `write`.
    #[wasm_bindgen(js_name = doneWritten)]
    pub fn done_written(&mut self, now: f64, job: f64) -> Result<(), JsError> {
        self.done(now, job, Outcome::Written)
    }

    /// Answers `hash` and `hashStored`: 20 bytes or none, and 32 bytes for each leaf.
    #[wasm_bindgen(js_name = doneDigests)]
    pub fn done_digests(&mut self, now: f64, job: f64, sha1: &[u8], leaves: &[u8]) -> Result<(), JsError> {
        let digests = outcomes::digests(sha1, leaves)?;
        self.done(now, job, Outcome::Digests(digests))
    }

    /// Answers `hashStored` when not all is stored.
    #[wasm_bindgen(js_name = doneAbsent)]
    pub fn done_absent(&mut self, now: f64, job: f64) -> Result<(), JsError> {
        self.done(now, job, Outcome::Absent)
    }

    /// Answers `save`.
    #[wasm_bindgen(js_name = doneSaved)]
    pub fn done_saved(&mut self, now: f64, job: f64) -> Result<(), JsError> {
        self.done(now, job, Outcome::Saved)
    }

    /// Answers `http`.
    #[wasm_bindgen(js_name = doneHttp)]
    pub fn done_http(&mut self, now: f64, job: f64, status: u16, body: Vec<u8>) -> Result<(), JsError> {
        self.done(now, job, Outcome::Http { status, body: Chunk::from(body) })
    }

    /// Answers `exchange`: a public key and a secret, each 96 bytes or none.
    #[wasm_bindgen(js_name = doneExchanged)]
    pub fn done_exchanged(
        &mut self,
        now: f64,
        job: f64,
        public: &[u8],
        secret: &[u8],
    ) -> Result<(), JsError> {
        let exchanged = outcomes::exchanged(public, secret)?;
        self.done(now, job, Outcome::Exchanged(Box::new(exchanged)))
    }

    /// Answers `resolve`.
    #[wasm_bindgen(js_name = doneResolved)]
    pub fn done_resolved(&mut self, now: f64, job: f64, addrs: Vec<String>) -> Result<(), JsError> {
        let addrs = addresses(&addrs)?;
        self.done(now, job, Outcome::Resolved(addrs))
    }

    /// Answers any job: it couldn't be done, the host's fault.
    #[wasm_bindgen(js_name = doneFailed)]
    pub fn done_failed(&mut self, now: f64, job: f64, kind: &str, message: String) -> Result<(), JsError> {
        let error = outcomes::failed(kind, message)?;
        self.done(now, job, Outcome::Failed(error))
    }

    /// Answers a job that was cancelled before it was done.
    #[wasm_bindgen(js_name = doneCancelled)]
    pub fn done_cancelled(&mut self, now: f64, job: f64) -> Result<(), JsError> {
        self.done(now, job, Outcome::Cancelled)
    }
}

impl Engine {
    /// The moment, if it isn't before the last one.
    fn at(&mut self, now: f64) -> Result<Instant, JsError> {
        let now = moment(now)?;
        if now < self.now {
            return Err(driver(format_args!("the clock went back from {:?} to {now:?}", self.now)));
        }
        self.now = now;
        Ok(now)
    }

    fn input(&mut self, now: f64, input: Input) -> Result<(), JsError> {
        let now = self.at(now)?;
        self.engine.handle_input(now, input);
        Ok(())
    }

    fn done(&mut self, now: f64, job: f64, outcome: Outcome) -> Result<(), JsError> {
        let job = JobId(whole(job)?);
        let none = || driver(format_args!("no answer is owed for job {}", job.0));
        self.owed.get(&job).ok_or_else(none)?.check(&outcome).map_err(driver)?;
        self.input(now, Input::Done { job, outcome })?;
        self.owed.remove(&job);
        Ok(())
    }

    fn command(&mut self, now: f64, command: Command) -> Result<Reply, JsError> {
        let now = self.at(now)?;
        self.engine.command(now, command).map_err(|error| match error {
            CommandError::NoTorrent(_) => fault("torrentNotFound", error),
            CommandError::Duplicate(_) => fault("duplicateTorrent", error),
            CommandError::TooMany(_)
            | CommandError::NoFile(_)
            | CommandError::NoPeer(_)
            | CommandError::TooManyTrackers(_)
            | CommandError::Tracker { .. }
            | CommandError::Range
            | CommandError::Stopping
            | CommandError::Dht(_) => fault("command", error),
        })
    }

    fn tell(&mut self, now: f64, command: Command) -> Result<(), JsError> {
        self.command(now, command).map(drop)
    }

    fn status(&self, torrent: f64) -> Result<Status, JsError> {
        let id = whole(torrent)?;
        let status = self.engine.status(self.now, TorrentId(id));
        status.ok_or_else(|| fault("torrentNotFound", format_args!("there is no torrent {id}")))
    }
}
