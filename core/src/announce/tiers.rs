//! Which tracker is announced to when, and about what: the tiers of one torrent (BEP 12). It owns the order of trackers,
//! the announce under way and the next one's moment. What is known of a tracker is `standing`'s.
//!
//! An attempt asks one tracker over all its *lanes* at once: a lane is one of our hashes over one address family, a bit of
//! a mask. It worked if one lane did; else the next tracker is tried. Next door are scrapes, in `scrape`, and trackers that
//! come and go while the torrent runs, in `replace`.

mod replace;
mod scrape;

use super::standing::{Standing, TrackerView};
use super::{
    AnnounceConfig, Answered, Ask, AskError, AskId, AskWhat, Facts, Identity, UdpAsk, UdpWhat, WsAsk, WsWhat,
};
use crate::base::{Instant, Rng};
use crate::wire::InfoHash;
use crate::wire::tracker::{AnnounceAnswer, AnnounceQuery, AnswerLimits, TrackerEvent};
use crate::wire::tracker_udp::Family;
use crate::wire::tracker_url::{Scheme, TrackerUrl, announce_url};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use replace::Leaving;

/// Lanes of the first hash; the second hash's are two bits higher.
const LANE_V4: u8 = 1;
const LANE_V6: u8 = 2;
const SECOND_HASH: u8 = 2;

/// What is announced where nobody can call us. BEP 3 has no word for it, and trackers refuse 0; nobody listens at 1.
const PORT_OF_NOBODY: u16 = 1;

/// The announces of one torrent.
#[derive(Debug)]
pub struct Announce {
    config: Arc<AnnounceConfig>,
    identity: Identity,
    key: u32,
    ports: [u16; 2],
    serial: u32,
    /// The number of the next tracker that comes.
    next_number: u32,
    trackers: Box<[Standing]>,
    /// Those that are no longer among them, until they have answered `stopped`.
    leaving: Vec<Leaving>,
    /// Started, and not stopped since.
    started: bool,
    /// When the next attempt by the tiers begins, while idle or asking out of turn.
    due: Instant,
    /// Before this, the last tracker wants no announce without an event.
    again: Instant,
    phase: Phase,
    /// Why asks of the attempt failed so far: the most telling one.
    error: Option<Box<AskError>>,
    /// The tracker that is being scraped.
    scraping: Option<Arc<str>>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Asking(Attempt),
    /// `unsure_until`: the same for trackers that may not have heard `started`.
    Stopping {
        until: Instant,
        unsure_until: Instant,
    },
}

/// One tracker being asked.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    /// Its number.
    tracker: u32,
    /// It isn't due by the tiers: the tracker is new.
    out_of_turn: bool,
    to_ask: u8,
    asked: u8,
    worked: u8,
    told_completed: u8,
    interval_s: u32,
    min_interval_s: u32,
}

impl Announce {
    /// The announces of a torrent whose trackers stand in `tiers`; each tier is put into random order once. Nothing is
    /// asked before `on_start`.
    pub fn new(
        config: Arc<AnnounceConfig>,
        rng: &mut Rng,
        identity: Identity,
        tiers: &[Vec<Arc<str>>],
    ) -> Self {
        let mut announce = Self {
            config,
            identity,
            key: 0,
            ports: [0; 2],
            serial: 0,
            next_number: 0,
            trackers: Box::default(),
            leaving: Vec::new(),
            started: false,
            due: Instant::MAX,
            again: Instant::ZERO,
            phase: Phase::Idle,
            error: None,
            scraping: None,
        };
        let _none_were_there = announce.arrange(tiers, rng);
        announce.key = rng.next_u32();
        announce
    }

    /// The torrent starts, or starts again after a stop: all trackers are to hear `started`.
    pub fn on_start(&mut self, now: Instant) {
        self.phase = Phase::Idle;
        self.started = true;
        self.due = now;
        self.serial = self.serial.wrapping_add(1);
        for tracker in &mut self.trackers {
            (tracker.heard, tracker.unsure, tracker.owed) = (0, 0, 0);
            // The tiers say who is asked.
            tracker.fresh = false;
        }
    }

    /// The download became whole: who heard `started` is told.
    pub fn on_completed(&mut self, now: Instant) {
        if let Phase::Stopping { .. } = self.phase {
            return;
        }
        let (asked, lanes) = match self.phase {
            Phase::Asking(attempt) => (Some(attempt.tracker), attempt.asked),
            Phase::Idle | Phase::Stopping { .. } => (None, 0),
        };
        let mut any = 0;
        for tracker in &mut self.trackers {
            // Who is hearing `started` just now hears of an unfinished download.
            tracker.owed = tracker.heard | if Some(tracker.number) == asked { lanes } else { 0 };
            any |= tracker.owed;
        }
        if any != 0 {
            self.due = self.due.min(now);
        }
    }

    /// The torrent lacks peers: the next announce comes as early as the tracker allows.
    pub fn on_peers_lacking(&mut self, now: Instant) {
        if let Phase::Idle = self.phase
            && self.due != Instant::MAX
        {
            self.due = self.due.min(self.again.max(now));
        }
    }

    /// The torrent stops: who heard `started` hears `stopped`, within `stop_timeout_ms`. A tracker that is being told
    /// `started` hears it too, but isn't waited for so long: it may never answer.
    pub fn on_stop(&mut self, now: Instant) {
        if let Phase::Asking(attempt) = self.phase
            && let Some(tracker) = self.trackers.iter_mut().find(|t| t.number == attempt.tracker)
        {
            tracker.on_broken_off(attempt.asked);
        }
        for tracker in &mut self.trackers {
            tracker.owed = tracker.heard;
        }
        self.started = false;
        self.serial = self.serial.wrapping_add(1);
        self.due = Instant::MAX;
        let after = |ms| now + Duration::from_millis(ms);
        let until = after(self.config.stop_timeout_ms);
        let unsure_until = after(self.config.stop_unsure_timeout_ms).min(until);
        self.phase = Phase::Stopping { until, unsure_until };
    }

    /// Whether a stop is over: told to all, or out of time.
    pub fn is_stopped(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Idle | Phase::Asking(_) => false,
            Phase::Stopping { until, unsure_until } => {
                let waits = |t: &Standing| if unsure_until <= now { t.heard & !t.unsure } else { t.heard };
                until <= now || self.told().all(|t| waits(t) == 0)
            }
        }
    }

    /// When to call `next_ask` again, or to look at `is_stopped`. `None` while answers are awaited and when there is nobody
    /// to ask.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle => {
                let fresh = self.trackers.iter().filter(|t| t.fresh && t.is_usable()).map(|t| t.not_before);
                fresh.chain([self.due]).min().filter(|at| *at != Instant::MAX)
            }
            Phase::Asking(attempt) => (attempt.to_ask != 0).then_some(Instant::ZERO),
            Phase::Stopping { until, unsure_until } => {
                let unsure = self.told().any(|t| t.unsure != 0).then_some(*unsure_until);
                let sure = self.told().any(|t| t.heard != 0).then_some(*until);
                unsure.or(sure)
            }
        }
    }

    /// Whether announces go on: started, and not stopped since.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// The next announce to carry out; call until `None`.
    pub fn next_ask(&mut self, now: Instant, facts: &Facts) -> Option<Ask> {
        self.ports = [facts.port_v4.unwrap_or(0), facts.port_v6.unwrap_or(0)];
        match self.phase {
            Phase::Idle => self.begin(now, facts),
            Phase::Stopping { until, unsure_until } => self.give_up(until <= now, unsure_until <= now),
            Phase::Asking(_) => {}
        }
        if let Some(ask) = self.next_farewell(now, facts) {
            return Some(ask);
        }
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Asking(attempt) => {
                let lane = lowest(attempt.to_ask)?;
                attempt.to_ask &= !lane;
                attempt.asked |= lane;
                let tracker = self.trackers.iter_mut().find(|t| t.number == attempt.tracker)?;
                let event = tracker.event(lane);
                // `started` tells how much is left, so that it settles what was owed.
                tracker.owed &= !lane;
                if event == TrackerEvent::Completed {
                    attempt.told_completed |= lane;
                }
                let number = attempt.tracker;
                self.ask(self.trackers.iter().find(|t| t.number == number)?, lane, event, facts)
            }
            Phase::Stopping { .. } => {
                let index = self.trackers.iter().position(|t| t.owed != 0)?;
                let tracker = self.trackers.get_mut(index)?;
                let lane = lowest(tracker.owed)?;
                tracker.owed &= !lane;
                self.ask(self.trackers.get(index)?, lane, TrackerEvent::Stopped, facts)
            }
        }
    }

    /// The answer to an ask.
    pub fn on_answer(
        &mut self,
        now: Instant,
        id: AskId,
        answer: Result<AnnounceAnswer, AskError>,
        rng: &mut Rng,
    ) -> Answered {
        if self.on_farewell(id) || id.serial != self.serial {
            return Answered::default();
        }
        let Some(tracker) = self.trackers.iter_mut().find(|t| t.number == id.tracker) else {
            return Answered::default();
        };
        let attempt = match &mut self.phase {
            Phase::Asking(attempt) if attempt.asked & id.lane != 0 => attempt,
            Phase::Asking(_) | Phase::Idle => return Answered::default(),
            Phase::Stopping { .. } => {
                tracker.heard &= !id.lane;
                tracker.unsure &= !id.lane;
                return Answered::default();
            }
        };
        attempt.asked &= !id.lane;
        let mut out = match answer {
            Ok(answer) => {
                attempt.worked |= id.lane;
                attempt.interval_s = attempt.interval_s.max(answer.interval_s);
                attempt.min_interval_s = attempt.min_interval_s.max(answer.min_interval_s.unwrap_or(0));
                tracker.on_answer(id.lane, &answer);
                answered(answer, self.ports)
            }
            Err(error) => {
                tracing::debug!(url = %tracker.url, lane = id.lane, %error, "an announce failed");
                let told = self.error.take().filter(|told| told.is_its_word());
                self.error = Some(told.unwrap_or_else(|| Box::new(error)));
                Answered::default()
            }
        };
        if attempt.asked == 0 && attempt.to_ask == 0 {
            let attempt = *attempt;
            self.phase = Phase::Idle;
            if attempt.worked != 0 {
                self.worked(now, attempt, rng);
            } else if let Some(error) = self.error.take() {
                tracker.owed |= attempt.told_completed;
                tracker.on_failure(now, &error, (&self.config, rng));
                // Another is tried at once, unless this one was only tried beside those that work.
                if !(attempt.out_of_turn && self.working().is_some()) {
                    self.due = now;
                }
                out.failed = Some(*error);
            }
        }
        out
    }

    /// The URL of the tracker that an ask goes to, while it is awaited.
    pub fn url_of(&self, id: AskId) -> Option<&str> {
        let leaving = self.leaving.iter().map(|leaving| &leaving.tracker);
        let ours = self.trackers.iter().filter(|_| id.serial == self.serial);
        ours.chain(leaving).find(|tracker| tracker.number == id.tracker).map(|tracker| &*tracker.url)
    }

    /// What is known of each tracker, in the order in which they are tried.
    pub fn trackers(&self) -> impl Iterator<Item = TrackerView<'_>> {
        let asked = match &self.phase {
            Phase::Asking(attempt) => Some(attempt.tracker),
            Phase::Idle | Phase::Stopping { .. } => None,
        };
        let due = self.due;
        let next = self.trackers.iter().position(|t| t.is_usable() && t.not_before <= due);
        self.trackers.iter().enumerate().map(move |(index, tracker)| TrackerView {
            url: &tracker.url,
            tier: tracker.tier,
            state: tracker.state,
            asking: asked == Some(tracker.number),
            next: (next == Some(index) && asked.is_none() && due != Instant::MAX).then_some(due),
            error: tracker.error.as_deref(),
            failures: tracker.failures,
            complete: tracker.complete,
            incomplete: tracker.incomplete,
        })
    }

    /// Whoever didn't answer `stopped` in time hears no more and won't be waited for: nobody, or only those that may not
    /// have heard `started`.
    fn give_up(&mut self, all: bool, unsure: bool) {
        let leaving = self.leaving.iter_mut().map(|leaving| &mut leaving.tracker);
        for tracker in self.trackers.iter_mut().chain(leaving) {
            let gone = match (all, unsure) {
                (true, _) => u8::MAX,
                (false, true) => tracker.unsure,
                (false, false) => 0,
            };
            tracker.heard &= !gone;
            tracker.owed &= !gone;
            tracker.unsure &= !gone;
        }
    }

    fn begin(&mut self, now: Instant, facts: &Facts) {
        let turn = self.due <= now;
        let may = |t: &&mut Standing| t.is_usable() && t.not_before <= now && (turn || t.fresh);
        let Some(tracker) = self.trackers.iter_mut().find(may) else {
            if turn {
                let waiting = self.trackers.iter().filter(|t| t.is_usable()).map(|t| t.not_before);
                self.due = waiting.min().unwrap_or(Instant::MAX);
            }
            return;
        };
        tracker.fresh = false;
        let (lanes, open) = lanes(&tracker.url, facts, self.config.each_family);
        tracker.open = open;
        let both = if self.identity.second_hash.is_some() { lanes | lanes << SECOND_HASH } else { lanes };
        self.serial = self.serial.wrapping_add(1);
        let attempt =
            Attempt { tracker: tracker.number, out_of_turn: !turn, to_ask: both, ..Attempt::default() };
        if turn {
            self.due = Instant::MAX;
        }
        self.error = None;
        self.phase = Phase::Asking(attempt);
    }

    /// BEP 12: who works comes to the front of its tier.
    fn worked(&mut self, now: Instant, attempt: Attempt, rng: &mut Rng) {
        let interval_ms = u64::from(attempt.interval_s) * 1000;
        let min_ms = match u64::from(attempt.min_interval_s) * 1000 {
            0 => u64::from(self.config.limits.interval_min_s) * 1000,
            told => told,
        };
        // Up to a twentieth later, so that torrents that were started together drift apart.
        let late_ms = rng.below(interval_ms / 20 + 1);
        let next = now + Duration::from_millis(interval_ms.max(min_ms) + late_ms);
        let others_work = self.working() != Some(attempt.tracker);
        let Some(index) = self.trackers.iter().position(|t| t.number == attempt.tracker) else { return };
        let Some(tracker) = self.trackers.get_mut(index) else { return };
        tracker.next = next;
        if attempt.out_of_turn && others_work {
            // They stand before it, and go on as they would have.
            return;
        }
        let (tier, owed) = (tracker.tier, tracker.owed != 0);
        let first = self.trackers.iter().position(|t| t.tier == tier).unwrap_or(index);
        if let Some(tried) = self.trackers.get_mut(first..=index) {
            tried.rotate_right(1);
        }
        self.again = now + Duration::from_millis(min_ms);
        // `owed` was set during the attempt if the download became whole meanwhile.
        self.due = if owed { now } else { next };
    }

    fn ask(&self, tracker: &Standing, lane: u8, event: TrackerEvent, facts: &Facts) -> Option<Ask> {
        let url = TrackerUrl::parse(&tracker.url).ok()?;
        let second = lane >= LANE_V4 << SECOND_HASH;
        let plain_lane = if second { lane >> SECOND_HASH } else { lane };
        let (family, port) = match (tracker.open, plain_lane) {
            (true, _) => (None, facts.port_v4.or(facts.port_v6)),
            (false, LANE_V6) => (Some(Family::V6), facts.port_v6),
            (false, _) => (Some(Family::V4), facts.port_v4),
        };
        let numwant = match event {
            TrackerEvent::Stopped => 0,
            TrackerEvent::None | TrackerEvent::Completed | TrackerEvent::Started => {
                facts.peers_wanted.min(self.config.numwant_max)
            }
        };
        let query = AnnounceQuery {
            info_hash: self.hash(second),
            peer_id: self.identity.peer_id,
            port: port.unwrap_or(PORT_OF_NOBODY),
            uploaded: facts.uploaded,
            downloaded: facts.downloaded,
            left: facts.left,
            event,
            numwant: Some(numwant),
            key: self.key,
        };
        let limits =
            AnswerLimits { loopback: self.config.limits.loopback || url.is_loopback(), ..self.config.limits };
        let what = match url.scheme {
            Scheme::Udp => AskWhat::Udp(Box::new(UdpAsk {
                host: url.host.into(),
                port: url.port,
                family,
                what: UdpWhat::Announce(query),
                url_data: url.path_and_query.as_bytes().into(),
                limits,
            })),
            Scheme::Ws | Scheme::Wss => {
                let tracker_id = tracker.tracker_id.clone();
                let what = WsWhat::Announce { query, tracker_id, offers: Vec::new() };
                AskWhat::WebSocket(Box::new(WsAsk { url: Arc::clone(&tracker.url), what }))
            }
            Scheme::Http | Scheme::Https => {
                AskWhat::Http { url: announce_url(&url, &query, tracker.tracker_id.as_deref()) }
            }
        };
        let id = AskId { serial: self.serial, tracker: tracker.number, lane };
        Some(Ask { id, family, limits, what })
    }

    fn hash(&self, second: bool) -> InfoHash {
        match self.identity.second_hash {
            Some(hash) if second => hash,
            Some(_) | None => self.identity.info_hash,
        }
    }
}

fn lowest(lanes: u8) -> Option<u8> {
    (lanes != 0).then(|| 1 << lanes.trailing_zeros())
}

/// The lanes of one hash to a tracker, and whether the family is left open.
fn lanes(url: &str, facts: &Facts, each_family: bool) -> (u8, bool) {
    let url = TrackerUrl::parse(url).ok();
    // A datagram's family is ours to choose; a request's is chosen where that is wanted; a socket is one for all.
    let chosen = url.is_some_and(|url| match url.scheme {
        Scheme::Udp => true,
        Scheme::Http | Scheme::Https => each_family,
        Scheme::Ws | Scheme::Wss => false,
    });
    if !chosen {
        return (LANE_V4, true);
    }
    let host = url.and_then(|url| url.host_address());
    let reaches = |v4: bool| host.is_none_or(|ip| ip.is_ipv4() == v4);
    let v4 = if facts.port_v4.is_some() && reaches(true) { LANE_V4 } else { 0 };
    let v6 = if facts.port_v6.is_some() && reaches(false) { LANE_V6 } else { 0 };
    // Who listens nowhere that the tracker can see asks for peers nevertheless.
    if v4 | v6 == 0 { (LANE_V4, true) } else { (v4 | v6, false) }
}

/// What the torrent gets of an answer: without ourselves, where the tracker told who we are.
fn answered(answer: AnnounceAnswer, [port_v4, port_v6]: [u16; 2]) -> Answered {
    let mut peers = answer.peers;
    if let Some(ip) = answer.external_ip {
        let port = if ip.is_ipv4() { port_v4 } else { port_v6 };
        peers.retain(|peer| *peer != SocketAddr::new(ip, port));
    }
    Answered { peers, external_ip: answer.external_ip, warning: answer.warning, failed: None }
}

#[cfg(test)]
mod tests;
