//! Scrapes (BEP 48): how many are in the swarm, asked of one tracker out of turn. One at a time; what a tracker is
//! announced, and when, doesn't change by it.

use super::{Announce, Phase};
use crate::announce::{AskError, AskWhat, TrackerState, UdpAsk, UdpWhat, WsAsk, WsWhat, read_http_scrape};
use crate::wire::InfoHash;
use crate::wire::tracker::SwarmCounts;
use crate::wire::tracker_url::{Scheme, TrackerUrl, scrape_url};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Announce {
    /// Begins a scrape of the current tracker: the one that is being asked, else the one that works, else the first that
    /// can be asked. Its answer comes by `on_scraped`, once. `None` if no tracker can be asked, and while a scrape is
    /// under way: its answer tells the same.
    pub fn next_scrape(&mut self) -> Option<Result<AskWhat, AskError>> {
        if self.scraping.is_some() {
            return None;
        }
        let url = self.current()?;
        let what = self.scrape_of(&url);
        self.scraping = Some(url);
        Some(what)
    }

    /// Reads what an HTTP tracker answered to a scrape.
    pub fn read_scrape(&self, status: u16, body: &[u8]) -> Result<SwarmCounts, AskError> {
        read_http_scrape(status, body, &self.hashes(), &self.config.limits)
    }

    /// The answer to the scrape under way: the tracker's URL. Its counts are taken over; a failure says nothing of how
    /// the tracker takes announces, and is only passed on.
    pub fn on_scraped(&mut self, counts: Option<&SwarmCounts>) -> Option<Arc<str>> {
        let url = self.scraping.take()?;
        let tracker = self.trackers.iter_mut().find(|tracker| tracker.url == url);
        if let (Some(tracker), Some(counts)) = (tracker, counts) {
            (tracker.complete, tracker.incomplete) = (Some(counts.complete), Some(counts.incomplete));
        }
        Some(url)
    }

    fn current(&self) -> Option<Arc<str>> {
        let asked = match self.phase {
            Phase::Asking(attempt) => self.trackers.iter().find(|t| t.number == attempt.tracker),
            Phase::Idle | Phase::Stopping { .. } => None,
        };
        let works = || self.trackers.iter().find(|tracker| tracker.state == TrackerState::Working);
        let first = || self.trackers.iter().find(|tracker| tracker.is_usable());
        asked.or_else(works).or_else(first).map(|tracker| Arc::clone(&tracker.url))
    }

    fn scrape_of(&self, text: &Arc<str>) -> Result<AskWhat, AskError> {
        let url = TrackerUrl::parse(text).map_err(|_| AskError::NoScrape)?;
        Ok(match url.scheme {
            Scheme::Udp => AskWhat::Udp(Box::new(UdpAsk {
                host: url.host.into(),
                port: url.port,
                family: None,
                what: UdpWhat::Scrape(self.hashes().into()),
                url_data: Box::default(),
                limits: self.config.limits,
            })),
            Scheme::Ws | Scheme::Wss => AskWhat::WebSocket(Box::new(WsAsk {
                url: Arc::clone(text),
                what: WsWhat::Scrape(self.hashes().into()),
            })),
            Scheme::Http | Scheme::Https => {
                AskWhat::Http { url: scrape_url(&url, &self.hashes()).map_err(|_| AskError::NoScrape)? }
            }
        })
    }

    fn hashes(&self) -> Vec<InfoHash> {
        core::iter::once(self.identity.info_hash).chain(self.identity.second_hash).collect()
    }
}
