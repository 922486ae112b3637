//! All torrents of a tracker: announces and scrapes in, replies out, expiry by deadline. One torrent is a `swarm`.

use super::makers::{Maker, Makers};
use super::roster::Row;
use super::statistics::{Fault, TrackerStatistics};
use super::swarm::{Drawn, Packed, Put, Room, SOCKET, Swarm};
use super::{AnnounceReply, Peers, Refusal, Rules, TrackerConfig};
use crate::base::{Instant, Key, Map, Rng, Timers};
use crate::wire::InfoHash;
use crate::wire::tracker::{AnnounceQuery, SwarmCounts, TrackerEvent};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// A peer's life has about so many units in which its silence is measured.
const LIFE_UNITS: u64 = 4096;

/// A tracker without its sockets.
#[derive(Debug)]
pub struct Tracker {
    pub(super) config: TrackerConfig,
    pub(super) rng: Rng,
    pub(super) key: Key,
    rules: Arc<Rules>,
    /// Where in `swarms` a torrent is.
    places: Map<InfoHash, u32>,
    swarms: Vec<Option<Swarm>>,
    free: Vec<u32>,
    makers: Makers,
    timers: Timers<u32>,
    statistics: TrackerStatistics,
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
            rules: Arc::default(),
            places: Map::new(key),
            swarms: Vec::new(),
            free: Vec::new(),
            makers: Makers::new(key),
            timers: Timers::default(),
            statistics: TrackerStatistics::default(),
        }
    }

    /// Serves what these rules say from now on; torrents that it no longer serves are forgotten.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
        for place in 0..self.swarms.len() as u32 {
            let Some(swarm) = &self.swarms[place as usize] else { continue };
            if !self.rules.serve(&swarm.hash) {
                self.forget(place);
            }
        }
    }

    /// A peer announces from `source`, whose address is believed and nothing that it says of its address; its port is what
    /// it says. Who says port 0 is told of others, but they are not told of it.
    pub fn on_announce(
        &mut self,
        now: Instant,
        query: &AnnounceQuery,
        source: SocketAddr,
    ) -> Result<AnnounceReply<'_>, Refusal> {
        let stopped = query.event == TrackerEvent::Stopped;
        let keep = !stopped && query.port != 0;
        let place = self.place(&query.info_hash, keep.then_some(source.ip()))?;
        self.statistics.announces += 1;
        let (interval_s, min_interval_s) = (self.config.interval_s, self.config.min_interval_s);
        let Some(place) = place else {
            let counts = SwarmCounts::default();
            return Ok(AnnounceReply {
                interval_s,
                min_interval_s,
                counts,
                peers: Peers(None),
                left_out: None,
            });
        };
        let addr = Packed::new(source.ip(), query.port);
        let (mut at, mut counts) = (None, SwarmCounts::default());
        if stopped || keep {
            at = self.change(now, place, |swarm, key, room, stamp| {
                if stopped {
                    swarm.leave(key, addr);
                    return None;
                }
                let (id, seed) = (query.peer_id, query.left == Some(0));
                Some(match addr {
                    Packed::V4(addr) => swarm.put_4(key, Row { addr, id, seed, stamp }, room),
                    Packed::V6(addr) => swarm.put_6(key, Row { addr, id, seed, stamp }, room),
                })
            });
            if let Some(Put::At { completed: true, .. }) = at
                && query.event == TrackerEvent::Completed
            {
                self.completed(place);
            }
        }
        let wanted = if stopped { 0 } else { query.numwant.unwrap_or(self.config.numwant_default) };
        let wanted = wanted.min(self.config.numwant_max) as usize;
        let chance = self.rng.next_u64();
        let Some(swarm) = self.swarms[place as usize].as_ref() else {
            return Ok(AnnounceReply {
                interval_s,
                min_interval_s,
                counts,
                peers: Peers(None),
                left_out: None,
            });
        };
        counts = swarm.counts();
        let asker = match at {
            Some(Put::At { at, .. }) => Some(at),
            Some(Put::Full | Put::SourceFull | Put::IdTaken) | None => None,
        };
        // Who comes with a magnet link may say that nothing is left, as long as it doesn't know how much there is.
        let seed = query.left == Some(0) && query.event != TrackerEvent::Started;
        let drawn = match addr {
            Packed::V4(_) => Some(Drawn::V4(swarm.v4.draw(chance, asker, seed, wanted))),
            Packed::V6(_) => swarm.v6.as_ref().map(|v6| Drawn::V6(v6.draw(chance, asker, seed, wanted))),
        };
        Ok(AnnounceReply { interval_s, min_interval_s, counts, peers: Peers(drawn), left_out: put_fault(at) })
    }

    /// Where a torrent is. If it isn't there it is made for who shall be kept in it, if that one has not its share.
    pub(super) fn place(&mut self, hash: &InfoHash, keep: Option<IpAddr>) -> Result<Option<u32>, Refusal> {
        let found = match (self.places.get(hash), keep) {
            (Some(&place), _) => return Ok(Some(place)),
            (None, _) if !self.rules.serve(hash) => Err(Refusal::NotServed),
            (None, None) => return Ok(None),
            (None, Some(ip)) => {
                let (maker, free) =
                    (Maker::of(ip), self.config.torrents_max.saturating_sub(self.places.len()));
                if free > 0 && !self.makers.may_make(maker, free) {
                    Err(Refusal::SourceFull)
                } else {
                    self.make(hash, maker)
                }
            }
        };
        self.statistics.refused += u64::from(found.is_err());
        found.map(Some)
    }

    /// Where a torrent is that was held before a restart: its maker had a share then.
    pub(super) fn restored_place(&mut self, hash: &InfoHash, ip: IpAddr) -> Result<u32, Refusal> {
        match self.places.get(hash) {
            Some(&place) => Ok(place),
            None if !self.rules.serve(hash) => Err(Refusal::NotServed),
            None => self.make(hash, Maker::of(ip)),
        }
    }

    fn make(&mut self, hash: &InfoHash, maker: Maker) -> Result<u32, Refusal> {
        if self.places.len() >= self.config.torrents_max {
            return Err(Refusal::TorrentsFull);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.swarms.push(None);
            self.swarms.len() as u32 - 1
        });
        self.swarms[place as usize] = Some(Swarm::new(*hash, maker));
        self.places.insert(*hash, place);
        self.makers.made(maker);
        self.statistics.torrents += 1;
        Ok(place)
    }

    /// Changes a swarm that is there; the sums follow, its deadline is armed, and if it is empty then, it goes.
    pub(super) fn change<T>(
        &mut self,
        now: Instant,
        place: u32,
        change: impl FnOnce(&mut Swarm, &Key, Room, u16) -> T,
    ) -> T {
        let config = &self.config;
        // A full tracker takes nobody into any swarm, but goes on hearing whom it has.
        let peers_max =
            if self.statistics.peers < config.peers_max { config.peers_per_torrent_max } else { 0 };
        let room = Room { peers_max, per_source_max: config.peers_per_source_max };
        let (stamp, life) = (self.stamp(now), self.life());
        let swarm = self.swarms[place as usize].as_mut().expect("a place that was found holds a swarm");
        let before = (swarm.len(), swarm.counts());
        let result = change(swarm, &self.key, room, stamp);
        let (len, counts) = (swarm.len(), swarm.counts());
        let sums = &mut self.statistics;
        sums.peers = sums.peers + len - before.0;
        sums.seeds = sums.seeds + counts.complete as usize - before.1.complete as usize;
        sums.leeches = sums.leeches + counts.incomplete as usize - before.1.incomplete as usize;
        if len == 0 {
            self.forget(place);
        } else if swarm.armed.is_none() {
            self.timers.arm(place, &mut swarm.armed, Some(now + life));
        }
        result
    }

    fn forget(&mut self, place: u32) {
        let Some(mut swarm) = self.swarms[place as usize].take() else { return };
        self.timers.disarm(place, &mut swarm.armed);
        self.places.remove(&swarm.hash);
        self.makers.forgot(swarm.maker);
        self.free.push(place);
        let (counts, sums) = (swarm.counts(), &mut self.statistics);
        sums.torrents -= 1;
        sums.peers -= swarm.len();
        sums.seeds -= counts.complete as usize;
        sums.leeches -= counts.incomplete as usize;
    }

    /// Once a download: only who was seen missing something can have become whole.
    pub(super) fn completed(&mut self, place: u32) {
        if let Some(swarm) = self.swarms[place as usize].as_mut() {
            swarm.downloaded = swarm.downloaded.saturating_add(1);
            self.statistics.completed += 1;
        }
    }

    /// The swarm of a torrent.
    pub(super) fn swarm_mut(&mut self, hash: &InfoHash) -> Option<(u32, &mut Swarm, &Key)> {
        let place = *self.places.get(hash)?;
        Some((place, self.swarms[place as usize].as_mut()?, &self.key))
    }

    /// The swarms from one place on, for who saves them.
    pub(super) fn swarms_from(&self, place: u32) -> impl Iterator<Item = (u32, &Swarm)> {
        let swarms = self.swarms.get(place as usize..).unwrap_or_default();
        (place..).zip(swarms).filter_map(|(place, swarm)| swarm.as_ref().map(|swarm| (place, swarm)))
    }

    /// How many are in a torrent's swarm; `None` if nobody is (BEP 48).
    pub fn on_scrape(&mut self, info_hash: &InfoHash) -> Option<SwarmCounts> {
        self.statistics.scraped += 1;
        let place = *self.places.get(info_hash)?;
        self.swarms[place as usize].as_ref().map(Swarm::counts)
    }

    /// A WebSocket closed, which announced this torrent. Until this is said, its peer id is no other socket's.
    pub fn on_socket_closed(&mut self, now: Instant, socket: u64, info_hash: &InfoHash) {
        let socket: [u8; SOCKET] = socket.to_be_bytes();
        if let Some(&place) = self.places.get(info_hash) {
            self.change(now, place, |swarm, key, _, _| swarm.leave_socket(key, &socket));
        }
    }

    /// When to call `on_timeout`.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Forgets peers that were not heard for twice the interval, a torrent at a time.
    pub fn on_timeout(&mut self, now: Instant) {
        let (unit, life) = (self.unit_us(), self.life_units());
        // Not more often than each quarter of the interval, so that a large swarm is not walked for every peer.
        let soonest = Duration::from_secs(u64::from(self.config.interval_s)) / 4;
        while let Some(place) = self.timers.pop_due(now) {
            let Some(swarm) = self.swarms.get_mut(place as usize).and_then(Option::as_mut) else { continue };
            swarm.armed = None;
            let (gone, oldest) = self.change(now, place, |swarm, key, _, now| {
                let (gone, oldest) = swarm.expire(key, now, life);
                // `change` arms who is not armed, for a whole life: too late for the oldest.
                swarm.armed = oldest.map(|_| Instant::MAX);
                (gone, oldest)
            });
            self.statistics.expired += gone as u64;
            let Some(oldest) = oldest else { continue };
            let Some(swarm) = self.swarms[place as usize].as_mut() else { continue };
            swarm.armed = None;
            let left = Duration::from_micros(u64::from(life.saturating_sub(oldest)) * unit);
            self.timers.arm(
                place,
                &mut swarm.armed,
                Some(now + left.max(soonest).max(Duration::from_secs(1))),
            );
        }
    }

    /// What it holds and has done.
    pub fn statistics(&self) -> &TrackerStatistics {
        &self.statistics
    }

    /// The same, for who counts what the room can't see.
    pub fn statistics_mut(&mut self) -> &mut TrackerStatistics {
        &mut self.statistics
    }

    /// How it was set up.
    pub fn config(&self) -> &TrackerConfig {
        &self.config
    }

    /// How long a silent peer is remembered.
    pub(super) fn life(&self) -> Duration {
        Duration::from_micros(self.unit_us() * u64::from(self.life_units()))
    }

    /// A stamp's unit, microseconds: what u16 can count for longer than a life.
    pub(super) fn unit_us(&self) -> u64 {
        (u64::from(self.config.interval_s) * 2_000_000 / LIFE_UNITS).max(1000)
    }

    /// The life in units, never shorter than twice the interval.
    pub(super) fn life_units(&self) -> u16 {
        let units = (u64::from(self.config.interval_s) * 2_000_000).div_ceil(self.unit_us());
        u16::try_from(units + 1).unwrap_or(u16::MAX)
    }

    pub(super) fn stamp(&self, now: Instant) -> u16 {
        (now.as_micros() / self.unit_us()) as u16 & 0x7fff
    }
}

/// What a peer that was not put in counts as.
pub(super) fn put_fault(put: Option<Put>) -> Option<Fault> {
    match put? {
        Put::At { .. } => None,
        Put::Full => Some(Fault::PeersFull),
        Put::SourceFull => Some(Fault::SourceFull),
        Put::IdTaken => Some(Fault::IdTaken),
    }
}

#[cfg(test)]
mod tests;
