//! The WebRTC offers of a process. Each is a whole connection waiting for its other end, and browsers have few: so there is
//! one budget for all torrents, and an offer that nobody answered is handed out again. Not WebRTC itself, nor the trackers
//! that carry offers: where nobody speaks WebRTC none is ever made.

use crate::base::{Instant, TorrentId};
use crate::wire::tracker_ws::{Offer, OfferId};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Bounds of offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffersConfig {
    /// Offers that are open at once, of all torrents; 0 where there is no WebRTC. More than a few dozen are too many
    /// connections for a browser.
    pub offers_max: usize,
    /// Offers in one announce. Trackers give each to another peer, and limit messages.
    pub per_announce_max: usize,
    /// How long an offer belongs to the torrent that it was handed out for, milliseconds; then it may serve another.
    pub unanswered_ms: u64,
}

impl Default for OffersConfig {
    fn default() -> Self {
        Self { offers_max: 0, per_announce_max: 5, unanswered_ms: 50_000 }
    }
}

/// How it went so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfferCounts {
    /// Offers of others that came where there is no WebRTC.
    pub ignored: u64,
    /// Answers to offers that aren't open: too late, or never made.
    pub strays: u64,
}

#[derive(Debug)]
struct Open {
    sdp: String,
    /// For whom it was handed out, and until when it is theirs.
    given: Option<(TorrentId, Instant)>,
}

/// The offers.
#[derive(Debug)]
pub struct Offers {
    config: OffersConfig,
    open: BTreeMap<OfferId, Open>,
    counts: OfferCounts,
}

impl Offers {
    /// None yet.
    pub fn new(config: OffersConfig) -> Self {
        Self { config, open: BTreeMap::new(), counts: OfferCounts::default() }
    }

    /// How it went.
    pub fn counts(&self) -> OfferCounts {
        self.counts
    }

    /// How many more to have made for an announce that could use so many: only as many as no open offer can serve.
    pub fn wanted(&self, now: Instant, peers_wanted: usize) -> usize {
        let free = self.open.values().filter(|open| open.is_free(now)).count();
        let room = self.config.offers_max.saturating_sub(self.open.len());
        peers_wanted.min(self.config.per_announce_max).saturating_sub(free).min(room)
    }

    /// One was made. `false` if there is no room: let it go.
    pub fn on_made(&mut self, offer: Offer) -> bool {
        let room = self.open.len() < self.config.offers_max;
        if room {
            self.open.insert(offer.id, Open { sdp: offer.sdp, given: None });
        }
        room
    }

    /// Offers for an announce of this torrent; those that nobody answered are among them.
    pub fn hand_out(&mut self, now: Instant, torrent: TorrentId, peers_wanted: usize) -> Vec<Offer> {
        let until = now + Duration::from_millis(self.config.unanswered_ms);
        let free = self.open.iter_mut().filter(|(_, open)| open.is_free(now));
        free.take(peers_wanted.min(self.config.per_announce_max))
            .map(|(&id, open)| {
                open.given = Some((torrent, until));
                Offer { id, sdp: open.sdp.clone() }
            })
            .collect()
    }

    /// An answer came: for which torrent its offer was handed out. Its place is free again.
    pub fn on_answered(&mut self, id: OfferId) -> Option<TorrentId> {
        let given = self.open.remove(&id).and_then(|open| open.given);
        self.counts.strays += u64::from(given.is_none());
        given.map(|(torrent, _)| torrent)
    }

    /// Its connection is gone.
    pub fn on_lost(&mut self, id: OfferId) {
        self.open.remove(&id);
    }

    /// Somebody offers, and there is no WebRTC to answer with.
    pub fn on_ignored(&mut self) {
        self.counts.ignored += 1;
    }

    /// A torrent is gone: its offers may serve others at once.
    pub fn on_torrent_gone(&mut self, torrent: TorrentId) {
        for open in self.open.values_mut() {
            if open.given.is_some_and(|(given, _)| given == torrent) {
                open.given = None;
            }
        }
    }
}

impl Open {
    fn is_free(&self, now: Instant) -> bool {
        self.given.is_none_or(|(_, until)| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TorrentId = TorrentId(1);

    fn made(n: u8) -> Offer {
        Offer { id: OfferId([n; 20]), sdp: String::from("v=0") }
    }

    fn offers(max: usize) -> Offers {
        Offers::new(OffersConfig { offers_max: max, ..OffersConfig::default() })
    }

    #[test]
    fn the_budget_is_one_for_all_torrents() {
        let (mut offers, now) = (offers(7), Instant::ZERO);
        assert_eq!(offers.wanted(now, 50), 5);
        (0..5).for_each(|n| assert!(offers.on_made(made(n))));
        assert_eq!(offers.hand_out(now, T, 50).len(), 5);
        assert_eq!(offers.wanted(now, 50), 2, "what is left of the budget");
        (5..7).for_each(|n| assert!(offers.on_made(made(n))));
        assert!(!offers.on_made(made(9)), "no room");
        assert_eq!(offers.hand_out(now, TorrentId(2), 50).len(), 2);
    }

    #[test]
    fn an_offer_that_nobody_answered_is_handed_out_again_rather_than_a_new_one_made() {
        let (mut offers, now) = (offers(10), Instant::ZERO);
        (0..3).for_each(|n| assert!(offers.on_made(made(n))));
        assert_eq!(offers.hand_out(now, T, 3).len(), 3);
        assert_eq!(offers.wanted(now, 3), 3);
        let later = now + Duration::from_millis(50_000);
        assert_eq!(offers.wanted(later, 3), 0);
        assert_eq!(offers.hand_out(later, TorrentId(2), 3).len(), 3);
        assert_eq!(offers.on_answered(OfferId([1; 20])), Some(TorrentId(2)));
        assert_eq!(offers.on_answered(OfferId([1; 20])), None, "once");
        assert_eq!(offers.counts().strays, 1);
    }

    #[test]
    fn without_webrtc_none_is_made_and_those_of_others_are_counted() {
        let mut offers = Offers::new(OffersConfig::default());
        assert_eq!(offers.wanted(Instant::ZERO, 50), 0);
        assert!(!offers.on_made(made(1)));
        offers.on_ignored();
        assert_eq!(offers.counts(), OfferCounts { ignored: 1, strays: 0 });
    }

    #[test]
    fn the_offers_of_a_torrent_that_is_gone_serve_others_at_once() {
        let (mut offers, now) = (offers(1), Instant::ZERO);
        assert!(offers.on_made(made(1)));
        assert_eq!(offers.hand_out(now, T, 1).len(), 1);
        assert!(offers.hand_out(now, TorrentId(2), 1).is_empty());
        offers.on_torrent_gone(T);
        assert_eq!(offers.hand_out(now, TorrentId(2), 1).len(), 1);
        offers.on_lost(OfferId([1; 20]));
        assert_eq!(offers.wanted(now, 1), 1);
    }
}
