//! All torrents of a tracker: announces and scrapes in, replies out, expiry by deadline. The peers of one are a `roster`.

use super::roster::{Roster, Was};
use super::{AnnounceReply, Refusal, TrackerConfig, TrackerStatistics};
use crate::base::{Instant, Key, Map, Rng, Timers};
use crate::wire::InfoHash;
use crate::wire::tracker::{AnnounceQuery, SwarmCounts, TrackerEvent};
use core::net::SocketAddr;
use core::time::Duration;

/// A tracker without its sockets.
#[derive(Debug)]
pub struct Tracker {
    config: TrackerConfig,
    rng: Rng,
    key: Key,
    swarms: Map<InfoHash, Swarm>,
    timers: Timers<InfoHash>,
    statistics: TrackerStatistics,
}

#[derive(Debug)]
struct Swarm {
    v4: Roster,
    v6: Roster,
    downloaded: u32,
    armed: Option<Instant>,
}

impl Swarm {
    fn new(key: Key) -> Self {
        Self { v4: Roster::new(key), v6: Roster::new(key), downloaded: 0, armed: None }
    }

    fn roster(&mut self, addr: SocketAddr) -> &mut Roster {
        if addr.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    fn is_empty(&self) -> bool {
        self.v4.len() + self.v6.len() == 0
    }

    fn seeds(&self) -> usize {
        self.v4.seeds() + self.v6.seeds()
    }

    fn leeches(&self) -> usize {
        self.v4.leeches() + self.v6.leeches()
    }

    fn counts(&self) -> SwarmCounts {
        let saturate = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        SwarmCounts {
            complete: saturate(self.seeds()),
            downloaded: self.downloaded,
            incomplete: saturate(self.leeches()),
        }
    }
}

impl Tracker {
    /// A tracker that knows nobody. The seed decides whom it draws for whom; take it from the operating system.
    pub fn new(config: TrackerConfig, seed: [u8; 32]) -> Self {
        let mut rng = Rng::new(seed).fork("tracker");
        let key = Key::draw(&mut rng);
        Self {
            config,
            rng,
            key,
            swarms: Map::new(key),
            timers: Timers::default(),
            statistics: TrackerStatistics::default(),
        }
    }

    /// A peer announces from `source`, whose address is believed and nothing that it says of its address; its port is what
    /// it says. Who says port 0 is told of others, but they are not told of it.
    pub fn on_announce(
        &mut self,
        now: Instant,
        query: &AnnounceQuery,
        source: SocketAddr,
    ) -> Result<AnnounceReply, Refusal> {
        let known = self.swarms.contains(&query.info_hash);
        let stopped = query.event == TrackerEvent::Stopped;
        if !known && !stopped && self.swarms.len() >= self.config.torrents_max {
            self.statistics.refused += 1;
            return Err(Refusal::TorrentsFull);
        }
        self.statistics.announces += 1;
        let mut reply = AnnounceReply {
            interval_s: self.config.interval_s,
            min_interval_s: self.config.min_interval_s,
            counts: SwarmCounts::default(),
            peers: alloc::vec::Vec::new(),
        };
        let listens = query.port != 0;
        if !known && (stopped || !listens) {
            return Ok(reply);
        }
        let peer = SocketAddr::new(source.ip().to_canonical(), query.port);
        let seed = query.left == Some(0);
        let key = self.key;
        let swarm = self.swarms.or_insert_with(query.info_hash, || Swarm::new(key));
        let before = (swarm.seeds(), swarm.leeches());
        let roster = swarm.roster(peer);
        if stopped {
            roster.remove(peer);
        } else {
            let room = roster.len() < self.config.peers_per_torrent_max || roster.contains(peer);
            let was = if listens && room { roster.put(now, peer, query.peer_id, seed) } else { Was::Absent };
            // Once: only who was seen missing something can have become whole.
            let completed = query.event == TrackerEvent::Completed && seed && was == Was::Leech;
            let wanted = query.numwant.unwrap_or(self.config.numwant_default).min(self.config.numwant_max);
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            reply.peers = roster.draw(&mut self.rng, peer, seed, wanted);
            swarm.downloaded = swarm.downloaded.saturating_add(u32::from(completed));
            self.statistics.completed += u64::from(completed);
        }
        reply.counts = swarm.counts();
        let life = Duration::from_secs(u64::from(self.config.interval_s) * 2);
        self.timers.arm(query.info_hash, &mut swarm.armed, Some(now + life));
        self.settle(query.info_hash, before);
        Ok(reply)
    }

    /// How many are in a torrent's swarm; `None` if nobody is (BEP 48).
    pub fn on_scrape(&mut self, info_hash: &InfoHash) -> Option<SwarmCounts> {
        self.statistics.scraped += 1;
        self.swarms.get(info_hash).map(Swarm::counts)
    }

    /// When to call `on_timeout`.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Forgets peers that were not heard for twice the interval, a torrent at a time.
    pub fn on_timeout(&mut self, now: Instant) {
        let interval = Duration::from_secs(u64::from(self.config.interval_s));
        while let Some(info_hash) = self.timers.pop_due(now) {
            let Some(swarm) = self.swarms.get_mut(&info_hash) else { continue };
            swarm.armed = None;
            let before = (swarm.seeds(), swarm.leeches());
            let since = now - interval * 2;
            let (gone_v4, next_v4) = swarm.v4.expire(since);
            let (gone_v6, next_v6) = swarm.v6.expire(since);
            self.statistics.expired += (gone_v4 + gone_v6) as u64;
            // Not more often than each quarter of the interval, so that a large swarm is not walked for every peer.
            let soonest = now + (interval / 4).max(Duration::from_secs(1));
            let next =
                next_v4.into_iter().chain(next_v6).min().map(|heard| (heard + interval * 2).max(soonest));
            self.timers.arm(info_hash, &mut swarm.armed, next);
            self.settle(info_hash, before);
        }
    }

    /// What it holds and has done.
    pub fn statistics(&self) -> TrackerStatistics {
        TrackerStatistics { torrents: self.swarms.len(), ..self.statistics }
    }

    /// How it was set up.
    pub fn config(&self) -> &TrackerConfig {
        &self.config
    }

    /// After a change of a swarm that had so many seeds and leeches: the sums follow, and an empty swarm goes.
    fn settle(&mut self, info_hash: InfoHash, (seeds, leeches): (usize, usize)) {
        let Some(swarm) = self.swarms.get_mut(&info_hash) else { return };
        let sums = &mut self.statistics;
        sums.seeds = sums.seeds - seeds + swarm.seeds();
        sums.leeches = sums.leeches - leeches + swarm.leeches();
        if swarm.is_empty() {
            self.timers.disarm(info_hash, &mut swarm.armed);
            self.swarms.remove(&info_hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PeerId;

    struct World {
        tracker: Tracker,
        now: Instant,
    }

    fn query(torrent: u8, port: u16, left: u64, event: TrackerEvent) -> AnnounceQuery {
        AnnounceQuery {
            info_hash: InfoHash([torrent; 20]),
            peer_id: PeerId([port as u8; 20]),
            port,
            uploaded: 0,
            downloaded: 0,
            left: Some(left),
            event,
            numwant: None,
            key: 0,
        }
    }

    impl World {
        fn new(config: TrackerConfig) -> Self {
            Self { tracker: Tracker::new(config, [5; 32]), now: Instant::ZERO }
        }

        fn announce(&mut self, query: &AnnounceQuery, from: &str) -> AnnounceReply {
            self.tracker.on_announce(self.now, query, std::format!("{from}:50000").parse().unwrap()).unwrap()
        }
    }

    const V4: &str = "192.0.2.1";

    #[test]
    fn bep_0003_peers_are_told_of_each_other_and_not_of_themselves() {
        let mut w = World::new(TrackerConfig::default());
        assert!(w.announce(&query(1, 1, 5, TrackerEvent::Started), V4).peers.is_empty());
        let reply = w.announce(&query(1, 2, 5, TrackerEvent::Started), "192.0.2.2");
        assert_eq!(reply.peers, [("192.0.2.1:1".parse().unwrap(), PeerId([1; 20]))]);
        assert_eq!((reply.counts.complete, reply.counts.incomplete), (0, 2));
        assert!(w.announce(&query(2, 3, 5, TrackerEvent::Started), V4).peers.is_empty());
    }

    #[test]
    fn stopped_removes_and_an_empty_torrent_goes() {
        let mut w = World::new(TrackerConfig::default());
        w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
        let reply = w.announce(&query(1, 1, 5, TrackerEvent::Stopped), V4);
        assert_eq!((reply.counts, reply.peers.len()), (SwarmCounts::default(), 0));
        assert_eq!(w.tracker.statistics().torrents, 0);
        assert_eq!(w.tracker.deadline(), None);
        w.announce(&query(1, 1, 5, TrackerEvent::Stopped), V4);
        assert_eq!(w.tracker.statistics().torrents, 0);
    }

    #[test]
    fn completed_is_counted_once() {
        let mut w = World::new(TrackerConfig::default());
        w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
        for _ in 0..3 {
            w.announce(&query(1, 1, 0, TrackerEvent::Completed), V4);
        }
        w.announce(&query(1, 2, 0, TrackerEvent::Completed), V4);
        let counts = w.tracker.on_scrape(&InfoHash([1; 20])).unwrap();
        assert_eq!(counts, SwarmCounts { complete: 2, downloaded: 1, incomplete: 0 });
        let sums = w.tracker.statistics();
        assert_eq!((sums.seeds, sums.leeches, sums.completed, sums.announces), (2, 0, 1, 5));
    }

    #[test]
    fn who_is_silent_for_twice_the_interval_is_forgotten() {
        let mut w = World::new(TrackerConfig::default());
        w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
        w.now += Duration::from_secs(1800);
        w.announce(&query(1, 2, 5, TrackerEvent::Started), V4);
        assert_eq!(w.tracker.deadline(), Some(Instant::ZERO + Duration::from_secs(3600)));
        w.now += Duration::from_secs(1800);
        w.tracker.on_timeout(w.now);
        let counts = w.tracker.on_scrape(&InfoHash([1; 20])).unwrap();
        assert_eq!((counts.incomplete, w.tracker.statistics().expired), (1, 1));
        w.now = w.tracker.deadline().unwrap();
        assert_eq!(w.now, Instant::ZERO + Duration::from_secs(5400));
        w.tracker.on_timeout(w.now);
        let sums = w.tracker.statistics();
        assert_eq!((sums.torrents, sums.leeches, w.tracker.deadline()), (0, 0, None));
    }

    #[test]
    fn bep_0007_families_are_kept_apart_and_mapped_addresses_are_ipv4() {
        let mut w = World::new(TrackerConfig::default());
        w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
        let reply = w.announce(&query(1, 2, 5, TrackerEvent::Started), "[2001:db8::1]");
        assert_eq!((reply.peers.len(), reply.counts.incomplete), (0, 2));
        let reply = w.announce(&query(1, 3, 5, TrackerEvent::Started), "[::ffff:192.0.2.9]");
        assert_eq!(reply.peers, [("192.0.2.1:1".parse().unwrap(), PeerId([1; 20]))]);
    }

    #[test]
    fn numwant_is_capped_and_may_be_zero() {
        let mut w =
            World::new(TrackerConfig { numwant_default: 3, numwant_max: 5, ..TrackerConfig::default() });
        for port in 1..=20 {
            w.announce(&query(1, port, 5, TrackerEvent::Started), V4);
        }
        for (numwant, got) in [(None, 3), (Some(1000), 5), (Some(0), 0)] {
            let asked = AnnounceQuery { numwant, ..query(1, 1, 5, TrackerEvent::None) };
            assert_eq!(w.announce(&asked, V4).peers.len(), got);
        }
    }

    #[test]
    fn torrents_and_peers_are_bounded() {
        let config = TrackerConfig { torrents_max: 1, peers_per_torrent_max: 2, ..TrackerConfig::default() };
        let mut w = World::new(config);
        for port in 1..=3 {
            w.announce(&query(1, port, 5, TrackerEvent::Started), V4);
        }
        assert_eq!(w.tracker.statistics().leeches, 2);
        let source = "192.0.2.1:1".parse().unwrap();
        let refused = w.tracker.on_announce(w.now, &query(2, 1, 5, TrackerEvent::Started), source);
        assert_eq!(refused, Err(Refusal::TorrentsFull));
        assert_eq!(w.tracker.statistics().refused, 1);
    }

    #[test]
    fn who_does_not_listen_is_told_but_not_told_of() {
        let mut w = World::new(TrackerConfig::default());
        w.announce(&query(1, 1, 5, TrackerEvent::Started), V4);
        assert_eq!(w.announce(&query(1, 0, 5, TrackerEvent::Started), V4).peers.len(), 1);
        assert_eq!(w.tracker.statistics().leeches, 1);
    }

    #[test]
    fn a_peer_that_does_not_know_its_size_is_no_seed() {
        let mut w = World::new(TrackerConfig::default());
        let unknown = AnnounceQuery { left: None, ..query(1, 1, 0, TrackerEvent::Started) };
        assert_eq!(w.announce(&unknown, V4).counts.complete, 0);
    }
}
