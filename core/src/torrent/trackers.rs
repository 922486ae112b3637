//! Announcing: which trackers there are, what they are told, and the peers that they tell.

use super::add::{Tiers, announce, shared};
use super::{
    Context, Errand, HostErrorKind, Outcome, Output, Route, Teller, Torrent, TorrentEvent, TrackerStatus,
    Work,
};
use crate::announce::{AskError, AskId, AskWhat, Facts, read_http};
use crate::base::Instant;
use crate::book::{AddressRefusal, Found, Own, Source};
use crate::wire::tracker::{AnnounceAnswer, AnswerLimits, SwarmCounts};
use crate::wire::tracker_udp::Family;
use crate::wire::tracker_url::TrackerUrl;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// How long an HTTP tracker may take.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// Redirects followed to an HTTP tracker.
const REDIRECTS_MAX: u32 = 5;

impl Torrent {
    /// Addresses that the application or the metainfo gave.
    pub(super) fn know_peers(&mut self, addrs: &[SocketAddr], config: &super::Config, own: &Own) {
        for &addr in addrs {
            if let Err(refusal) = self.book.on_address(addr, Source::User, own, &config.book) {
                tracing::debug!(torrent = ?self.id, %addr, ?refusal, "address refused");
            }
        }
    }

    /// The filter was replaced: who is forbidden now is forgotten.
    pub fn on_filter(&mut self, cx: &mut Context<'_>) {
        self.book.on_filter(&cx.config.book);
    }

    /// How many addresses were refused for this reason.
    pub fn addresses_refused(&self, reason: AddressRefusal) -> u64 {
        self.book.refused(reason)
    }

    /// How many addresses each source told.
    pub fn addresses_found(&self) -> Found {
        self.book.found()
    }

    /// Its trackers are these from now on, in tiers (BEP 12). Those that stay are asked when they would have been, those
    /// that go hear `stopped`, those that come are asked at once. Kept in the resume data.
    pub fn set_trackers(&mut self, cx: &mut Context<'_>, tiers: &[Vec<String>]) {
        self.take_trackers(cx, tiers.iter().map(|tier| shared(tier)).collect());
        self.save.touch(cx.now, cx.config.save_interval);
        self.next_asks(cx);
    }

    /// Whether this is the URL of one of its trackers, whatever can be done with it.
    pub fn has_tracker(&self, url: &str) -> bool {
        self.announce.iter().any(|announce| announce.trackers().any(|tracker| tracker.url == url))
    }

    /// Resume data says which trackers the application named in an earlier run. What it says now counts for more.
    pub(super) fn remember_trackers(&mut self, cx: &Context<'_>, saved: &[Vec<String>]) {
        if self.trackers.is_none() && !saved.is_empty() {
            let named = saved.iter().filter(|tier| !tier.is_empty());
            self.take_trackers(cx, named.map(|tier| shared(tier)).collect());
        }
    }

    /// What resume data is to say of that.
    pub(super) fn trackers_saved(&self) -> Vec<Vec<String>> {
        match &self.trackers {
            None => Vec::new(),
            Some(named) if named.is_empty() => vec![Vec::new()],
            Some(named) => {
                named.iter().map(|tier| tier.iter().map(|url| String::from(&**url)).collect()).collect()
            }
        }
    }

    fn take_trackers(&mut self, cx: &Context<'_>, tiers: Tiers) {
        if self.announce.is_none() && !self.only_peers && !tiers.is_empty() {
            let mut rng = self.rng.fork("announce");
            self.announce = announce(&self.names, cx.host, &mut rng, &Tiers::new());
            if let Some(announce) = self.announce.as_mut().filter(|_| self.announcing) {
                announce.on_start(cx.now);
            }
        }
        if let Some(announce) = &mut self.announce {
            announce.on_tiers(cx.now, &tiers, &mut self.rng);
        }
        self.trackers = Some(Box::new(tiers));
    }

    pub(super) fn may_announce(&self) -> bool {
        self.announce.is_some()
    }

    pub(super) fn announce_started(&mut self, cx: &mut Context<'_>) {
        self.announcing = true;
        if let Some(announce) = self.announce.as_mut().filter(|announce| !announce.is_started()) {
            announce.on_start(cx.now);
        }
        self.next_asks(cx);
    }

    pub(super) fn announce_completed(&mut self, cx: &mut Context<'_>) {
        if let Some(announce) = &mut self.announce {
            announce.on_completed(cx.now);
        }
        self.next_asks(cx);
    }

    pub(super) fn announce_stopped(&mut self, cx: &mut Context<'_>) {
        self.announcing = false;
        if let Some(announce) = &mut self.announce {
            announce.on_stop(cx.now);
        }
        self.next_asks(cx);
    }

    /// Announces as soon as the trackers allow.
    pub fn announce_now(&mut self, cx: &mut Context<'_>) {
        if let Some(announce) = &mut self.announce {
            announce.on_peers_lacking(cx.now);
        }
        self.next_asks(cx);
    }

    /// Whether the trackers heard `stopped`, or won't.
    pub(super) fn has_announced_stopped(&self) -> bool {
        self.announce.as_ref().is_none_or(|announce| announce.is_stopped(self.clock))
    }

    pub(super) fn on_announce_timeout(&mut self, cx: &mut Context<'_>) {
        self.next_asks(cx);
        self.check_left(cx);
    }

    fn next_asks(&mut self, cx: &mut Context<'_>) {
        self.clock = cx.now;
        let facts = Facts {
            uploaded: self.up.total(),
            downloaded: self.down.total(),
            left: self.content.as_deref().map(|content| content.picker.bytes_left()),
            port_v4: cx.host.port_of(cx.config, SocketAddr::is_ipv4),
            port_v6: cx.host.port_of(cx.config, SocketAddr::is_ipv6),
            peers_wanted: self.peers_wanted(cx),
        };
        let Some(announce) = &mut self.announce else { return };
        let mut asks = Vec::new();
        while let Some(ask) = announce.next_ask(cx.now, &facts) {
            asks.push(ask);
        }
        for ask in asks {
            match ask.what {
                AskWhat::Http { url } => {
                    let route = cx.host.route(cx.config, ask.family.map(|family| family == Family::V4));
                    self.job(Errand::Ask(ask.id, Box::new(ask.limits)), http(url, route, cx));
                }
                AskWhat::Udp(udp) => self.output(Output::Udp(Some(ask.id), udp)),
                AskWhat::WebSocket(ws) => self.output(Output::WebSocket(Some(ask.id), ws)),
            }
        }
    }

    fn peers_wanted(&self, cx: &Context<'_>) -> u32 {
        if self.is_leaving() || !self.takes_part() {
            return 0;
        }
        let room = cx.config.torrent_links_max.saturating_sub(self.peers.len() + self.book.candidates(false));
        u32::try_from(room).unwrap_or(u32::MAX).min(cx.config.numwant)
    }

    /// An HTTP tracker answered, or didn't.
    pub(super) fn on_asked(&mut self, cx: &mut Context<'_>, ask: (AskId, &AnswerLimits), outcome: Outcome) {
        let (ask, limits) = ask;
        let answer = if let Outcome::Http { status, body } = outcome {
            read_http(status, &body, limits)
        } else {
            Err(unanswered(outcome))
        };
        self.on_announced(cx, ask, answer);
    }

    /// A tracker answered, or didn't.
    pub fn on_announced(
        &mut self,
        cx: &mut Context<'_>,
        ask: AskId,
        answer: Result<AnnounceAnswer, AskError>,
    ) {
        let Some(announce) = &mut self.announce else { return };
        let Some(url) = announce.url_of(ask).map(Arc::<str>::from) else {
            // It was asked before a stop, or is none of ours any more.
            return self.check_left(cx);
        };
        let answers = answer.is_ok();
        let answered = announce.on_answer(cx.now, ask, answer, &mut self.rng);
        if answers {
            let peers = answered.peers.len();
            self.event(TorrentEvent::TrackerAnswered { url: Arc::clone(&url), peers });
        } else if let Some(error) = answered.failed {
            self.event(TorrentEvent::TrackerFailed { url: Arc::clone(&url), error: error.to_string() });
        }
        if let Some(warning) = answered.warning {
            self.event(TorrentEvent::Warning(String::from("tracker ") + &url + " says: " + &warning));
        }
        if let (Some(ip), Ok(tracker)) = (answered.external_ip, TrackerUrl::parse(&url)) {
            self.output(Output::Seen(ip, Teller::Tracker(tracker.host.into())));
        }
        let own = cx.host.own();
        for addr in answered.peers {
            if !self.only_peers {
                let _ = self.book.on_address(addr, Source::Tracker, &own, &cx.config.book);
            }
        }
        self.next_asks(cx);
        self.check_left(cx);
    }

    /// Asks the current tracker how many are in the swarm (BEP 48).
    pub fn scrape(&mut self, cx: &mut Context<'_>) {
        if self.is_leaving() {
            return;
        }
        let scrape = self.announce.as_mut().and_then(|announce| announce.next_scrape());
        match scrape {
            Some(Ok(AskWhat::Http { url })) => self.job(Errand::Scrape, http(url, cx.config.route(), cx)),
            Some(Ok(AskWhat::Udp(udp))) => self.output(Output::Udp(None, udp)),
            Some(Ok(AskWhat::WebSocket(ws))) => self.output(Output::WebSocket(None, ws)),
            Some(Err(error)) => self.on_scraped(cx, Err(error)),
            None => {}
        }
    }

    /// An HTTP tracker answered a scrape, or didn't.
    pub(super) fn on_scrape_done(&mut self, cx: &mut Context<'_>, outcome: Outcome) {
        let Some(announce) = &self.announce else { return };
        let counts = if let Outcome::Http { status, body } = outcome {
            announce.read_scrape(status, &body)
        } else {
            Err(unanswered(outcome))
        };
        self.on_scraped(cx, counts);
    }

    /// A tracker answered a scrape, or didn't.
    pub fn on_scraped(&mut self, _cx: &mut Context<'_>, counts: Result<SwarmCounts, AskError>) {
        let Some(announce) = &mut self.announce else { return };
        let Some(url) = announce.on_scraped(counts.as_ref().ok()) else { return };
        self.event(match counts {
            Ok(SwarmCounts { complete, downloaded, incomplete }) => {
                TorrentEvent::Scraped { url, seeds: complete, leeches: incomplete, downloaded }
            }
            Err(error) => TorrentEvent::TrackerFailed { url, error: error.to_string() },
        });
    }

    /// Each tracker at a glance.
    pub fn tracker_statuses(&self, now: Instant) -> Vec<TrackerStatus> {
        let Some(announce) = &self.announce else { return Vec::new() };
        let status = |view: crate::announce::TrackerView<'_>| TrackerStatus {
            url: view.url.into(),
            tier: u32::from(view.tier),
            error: view.error.map(String::from),
            seeds: view.complete,
            leeches: view.incomplete,
            next_in: view.next.map(|next| next.saturating_since(now)),
        };
        announce.trackers().map(status).collect()
    }
}

/// The GET of a tracker's URL.
fn http(url: String, route: Route, cx: &Context<'_>) -> Work {
    Work::Http {
        url,
        bytes_max: cx.config.tracker_bytes_max,
        redirects_max: REDIRECTS_MAX,
        timeout: HTTP_TIMEOUT,
        route,
    }
}

/// Why a GET brought no answer.
fn unanswered(outcome: Outcome) -> AskError {
    let error = outcome.failure();
    match error.kind {
        HostErrorKind::TimedOut => AskError::TimedOut,
        HostErrorKind::Full | HostErrorKind::Permission | HostErrorKind::NotFound | HostErrorKind::Other => {
            AskError::Unreachable(error.message.into())
        }
    }
}
