//! The peers that others announced to us (BEP 5, BEP 33): bounded, each for as long as its announce lives.

use super::DhtConfig;
use super::address::{Family, household};
use super::farthest::farthest;
use crate::base::{Instant, Rng};
use crate::wire::InfoHash;
use crate::wire::krpc::{Bloom, NodeId};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Hashes that a sample holds (BEP 51): what fits beside 8 nodes.
const SAMPLES_MAX: usize = 25;

/// How long the filters of a large swarm stand for it: whoever asks again and again costs no more work.
const BLOOMS_LIFETIME: Duration = Duration::from_secs(10);

/// Peers of a swarm whose filters are kept, at least: below it they cost less work than memory.
const BLOOMS_KEPT_FROM: usize = 32;

/// One announced peer.
#[derive(Clone, Copy, Debug)]
struct Peer {
    port: u16,
    seed: bool,
    until: Instant,
}

/// Filters of seeds and of others, and until when they stand.
#[derive(Debug)]
struct Blooms {
    until: Instant,
    seeds: Bloom,
    peers: Bloom,
}

/// The peers of one torrent; an address is one peer (BEP 33).
#[derive(Debug, Default)]
struct Swarm {
    v4: BTreeMap<IpAddr, Peer>,
    v6: BTreeMap<IpAddr, Peer>,
    blooms: [Option<Box<Blooms>>; 2],
}

impl Swarm {
    fn of(&self, family: Family) -> &BTreeMap<IpAddr, Peer> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn of_mut(&mut self, family: Family) -> &mut BTreeMap<IpAddr, Peer> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// All stored peers.
#[derive(Debug, Default)]
pub(super) struct PeerStore {
    swarms: BTreeMap<InfoHash, Swarm>,
    peers: usize,
    /// How many peers each address or /64 claims to be; none is kept with 0.
    of_address: BTreeMap<IpAddr, u32>,
    expiry: BTreeSet<(Instant, InfoHash, IpAddr)>,
    sample: Vec<InfoHash>,
    sample_until: Instant,
}

impl PeerStore {
    pub(super) fn hashes(&self) -> usize {
        self.swarms.len()
    }

    pub(super) fn len(&self) -> usize {
        self.peers
    }

    /// Whether this address could be stored, or is: if not, no token is given.
    pub(super) fn has_room(&self, (hash, ip): (InfoHash, IpAddr), config: &DhtConfig) -> bool {
        let Some(swarm) = self.swarms.get(&hash) else { return true };
        let swarm = swarm.of(if ip.is_ipv4() { Family::V4 } else { Family::V6 });
        swarm.len() < config.stored_peers_per_hash_max || swarm.contains_key(&ip)
    }

    /// Someone announced itself. `false` if there is no room for it.
    pub(super) fn on_announce(
        &mut self,
        now: Instant,
        (hash, addr, seed): (InfoHash, SocketAddr, bool),
        own: NodeId,
        config: &DhtConfig,
    ) -> bool {
        let (family, ip) = (Family::of(&addr), addr.ip());
        let known = self.swarms.get(&hash).and_then(|swarm| swarm.of(family).get(&ip)).copied();
        match known {
            Some(peer) => {
                self.expiry.remove(&(peer.until, hash, ip));
            }
            None => {
                let claims = self.of_address.get(&household(ip)).copied().unwrap_or(0);
                let room = claims < config.stored_peers_per_address_max
                    && self.has_room((hash, ip), config)
                    && self.make_room(hash, own, config);
                if !room {
                    return false;
                }
                self.of_address.insert(household(ip), claims + 1);
                self.peers += 1;
            }
        }
        let until = now + config.peer_lifetime;
        self.expiry.insert((until, hash, ip));
        let peer = Peer { port: addr.port(), seed, until };
        self.swarms.entry(hash).or_default().of_mut(family).insert(ip, peer);
        true
    }

    /// Makes room for a torrent's peer by forgetting a torrent that is farther from our id.
    fn make_room(&mut self, hash: InfoHash, own: NodeId, config: &DhtConfig) -> bool {
        let new = !self.swarms.contains_key(&hash);
        let full =
            self.peers >= config.stored_peers_max || (new && self.swarms.len() >= config.stored_hashes_max);
        if !full {
            return true;
        }
        let distance = |hash: &InfoHash| own.distance((*hash).into());
        match farthest(&self.swarms, own, InfoHash).filter(|far| distance(far) > distance(&hash)) {
            Some(far) => {
                self.forget_swarm(far);
                true
            }
            None => false,
        }
    }

    fn forget_swarm(&mut self, hash: InfoHash) {
        let Some(swarm) = self.swarms.remove(&hash) else { return };
        self.peers -= swarm.len();
        for (ip, peer) in swarm.v4.into_iter().chain(swarm.v6) {
            self.expiry.remove(&(peer.until, hash, ip));
            self.disclaim(ip);
        }
    }

    fn disclaim(&mut self, ip: IpAddr) {
        let ip = household(ip);
        if let Some(claims) = self.of_address.get_mut(&ip) {
            *claims -= 1;
            if *claims == 0 {
                self.of_address.remove(&ip);
            }
        }
    }

    /// Up to `max` peers, by chance; rather no seeds if `no_seed` says so.
    pub(super) fn some(
        &self,
        (hash, family): (InfoHash, Family),
        no_seed: bool,
        max: usize,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let Some(swarm) = self.swarms.get(&hash) else { return Vec::new() };
        let all = swarm.of(family);
        let start = rng.index(all.len()).unwrap_or(0);
        // A random start in the order of addresses: no more than a walk over what is given, twice.
        let around = all.iter().skip(start).chain(all.iter().take(start));
        let wanted = around.filter(|(_, peer)| !(no_seed && peer.seed)).take(max);
        let mut out: Vec<_> = wanted.map(|(&ip, peer)| SocketAddr::new(ip, peer.port)).collect();
        rng.shuffle(&mut out);
        out
    }

    /// Seeds and others as Bloom filters (BEP 33), if the torrent is known. Those of a large swarm may be some seconds old.
    pub(super) fn blooms(&mut self, now: Instant, hash: InfoHash, family: Family) -> Option<(Bloom, Bloom)> {
        let swarm = self.swarms.get_mut(&hash)?;
        let kept = &mut swarm.blooms[family.index()];
        kept.take_if(|kept| kept.until <= now);
        if let Some(kept) = kept {
            return Some((kept.seeds, kept.peers));
        }
        let (mut seeds, mut peers) = (Bloom::default(), Bloom::default());
        for (&ip, peer) in swarm.of(family) {
            if peer.seed { seeds.insert(ip) } else { peers.insert(ip) }
        }
        if swarm.of(family).len() >= BLOOMS_KEPT_FROM {
            let until = now + BLOOMS_LIFETIME;
            swarm.blooms[family.index()] = Some(Box::new(Blooms { until, seeds, peers }));
        }
        Some((seeds, peers))
    }

    #[cfg(test)]
    pub(super) fn has_blooms(&self, hash: InfoHash, family: Family) -> bool {
        self.swarms.get(&hash).is_some_and(|swarm| swarm.blooms[family.index()].is_some())
    }

    /// Torrents by chance, the same until the interval is over (BEP 51); and how many seconds that is.
    pub(super) fn sample(&mut self, now: Instant, config: &DhtConfig, rng: &mut Rng) -> (&[InfoHash], u64) {
        if now >= self.sample_until || self.sample.len() < self.swarms.len().min(SAMPLES_MAX) {
            self.sample_until = now + config.sample_interval;
            self.sample.clear();
            let mut left = SAMPLES_MAX.min(self.swarms.len()) as u64;
            for (n, hash) in self.swarms.keys().enumerate() {
                let rest = (self.swarms.len() - n) as u64;
                if rng.below(rest) < left {
                    self.sample.push(*hash);
                    left -= 1;
                }
            }
        }
        let interval = if self.swarms.len() <= SAMPLES_MAX {
            0
        } else {
            self.sample_until.saturating_since(now).as_secs()
        };
        (&self.sample, interval.min(21_600))
    }

    /// Forgets who didn't announce again.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        while let Some(&(until, hash, ip)) = self.expiry.first() {
            if until > now {
                return;
            }
            self.expiry.pop_first();
            self.peers -= 1;
            self.disclaim(ip);
            if let Some(swarm) = self.swarms.get_mut(&hash) {
                swarm.of_mut(if ip.is_ipv4() { Family::V4 } else { Family::V6 }).remove(&ip);
                if swarm.len() == 0 {
                    self.swarms.remove(&hash);
                    self.sample.retain(|sampled| *sampled != hash);
                }
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.expiry.first().map(|(until, ..)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const OWN: NodeId = NodeId([0; 20]);

    fn addr(n: u32, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from(n.to_be_bytes()), port)
    }

    fn hash(first: u8, last: u8) -> InfoHash {
        let mut out = [0; 20];
        (out[0], out[19]) = (first, last);
        InfoHash(out)
    }

    #[test]
    fn bep_0033_an_address_is_one_peer_whose_port_and_seeding_may_change() {
        let (config, mut store, mut rng) = (DhtConfig::default(), PeerStore::default(), Rng::new([1; 32]));
        let h = hash(1, 1);
        assert!(store.on_announce(Instant::ZERO, (h, addr(7, 1), false), OWN, &config));
        assert!(store.on_announce(Instant::ZERO, (h, addr(7, 2), true), OWN, &config));
        assert_eq!(store.some((h, Family::V4), false, 9, &mut rng), [addr(7, 2)]);
        assert_eq!(store.some((h, Family::V4), true, 9, &mut rng), [], "noseed");
        let (seeds, peers) = store.blooms(Instant::ZERO, h, Family::V4).unwrap();
        assert_eq!((seeds.estimate(), peers.estimate(), store.len()), (1, 0, 1));
        assert!(store.blooms(Instant::ZERO, hash(2, 2), Family::V4).is_none());
    }

    #[test]
    fn filters_of_a_large_swarm_are_made_once_in_some_seconds() {
        let (config, mut store) = (DhtConfig::default(), PeerStore::default());
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        let mut seen = |seconds, peers| {
            for n in 0..peers {
                store.on_announce(at(seconds), (hash(1, 1), addr(n + 1, 1), false), OWN, &config);
            }
            store.blooms(at(seconds), hash(1, 1), Family::V4).unwrap().1
        };
        let (few, more) = (seen(0, 10), seen(0, 20));
        assert!(few != more, "a small one's are made when they are asked for");
        let many = seen(0, 100);
        assert!(more != many && seen(9, 200) == many);
        assert!(seen(10, 200) != many);
    }

    #[test]
    fn peers_are_forgotten_after_their_lifetime_and_a_new_announce_renews_it() {
        let (config, mut store, mut rng) = (DhtConfig::default(), PeerStore::default(), Rng::new([1; 32]));
        let at = |minutes: u64| Instant::ZERO + Duration::from_secs(60 * minutes);
        for n in 1..=2 {
            store.on_announce(at(0), (hash(1, 1), addr(n, 1), false), OWN, &config);
        }
        store.on_announce(at(20), (hash(1, 1), addr(1, 1), false), OWN, &config);
        assert_eq!(store.deadline(), Some(at(30)));
        store.on_timeout(at(30));
        assert_eq!(store.some((hash(1, 1), Family::V4), false, 9, &mut rng), [addr(1, 1)]);
        store.on_timeout(at(50));
        assert_eq!((store.len(), store.hashes(), store.deadline()), (0, 0, None));
        assert!(store.of_address.is_empty());
    }

    #[test]
    fn what_is_stored_is_bounded_and_the_farthest_torrent_gives_way() {
        let config = DhtConfig {
            stored_hashes_max: 3,
            stored_peers_max: 5,
            stored_peers_per_hash_max: 2,
            stored_peers_per_address_max: 4,
            ..DhtConfig::default()
        };
        let mut store = PeerStore::default();
        let mut announce = |h, n| store.on_announce(Instant::ZERO, (h, addr(n, 1), false), OWN, &config);
        assert!(announce(hash(8, 0), 1) && announce(hash(4, 0), 1) && announce(hash(2, 0), 1));
        assert!(!announce(hash(9, 0), 2), "farther than all");
        assert!(announce(hash(1, 0), 2), "nearer");
        assert!(!announce(hash(8, 0), 3), "it gave way, and is the farthest");
        assert!(announce(hash(1, 0), 3) && !announce(hash(1, 0), 4), "two peers a torrent");
        assert!(!store.has_room((hash(1, 0), addr(9, 1).ip()), &config));
        assert_eq!((store.hashes(), store.len()), (3, 4));
        let mut greedy = PeerStore::default();
        let claimed = (0..9).filter(|&n| {
            greedy.on_announce(
                Instant::ZERO,
                (hash(0, n), addr(1, 1), false),
                OWN,
                &DhtConfig { stored_hashes_max: 99, stored_peers_max: 99, ..config.clone() },
            )
        });
        assert_eq!(claimed.count(), 4, "one address claims to be so many peers and no more");
    }

    #[test]
    fn a_host_of_ipv6_has_a_whole_network_and_claims_no_more_than_an_address_may() {
        let config = DhtConfig { stored_peers_per_address_max: 4, ..DhtConfig::default() };
        let mut store = PeerStore::default();
        let face = |network: u16, n: u16| {
            SocketAddr::new(IpAddr::from([0x2a01, 0x200, 0, network, 0, 0, 0, n + 1]), 1)
        };
        let claimed = (0..20).filter(|&n| {
            store.on_announce(Instant::ZERO, (hash(1, (n % 2) as u8), face(1, n), false), OWN, &config)
        });
        assert_eq!(claimed.count(), 4);
        assert!(store.on_announce(Instant::ZERO, (hash(1, 1), face(2, 0), false), OWN, &config));
        store.on_timeout(Instant::ZERO + config.peer_lifetime);
        assert!(store.len() == 0 && store.of_address.is_empty());
    }

    #[test]
    fn who_is_in_a_full_swarm_may_announce_again() {
        let config = DhtConfig { stored_peers_per_hash_max: 2, ..DhtConfig::default() };
        let mut store = PeerStore::default();
        let h = hash(1, 1);
        for n in 1..=2 {
            assert!(store.has_room((h, addr(n, 1).ip()), &config));
            assert!(store.on_announce(Instant::ZERO, (h, addr(n, 1), false), OWN, &config));
        }
        assert!(!store.has_room((h, addr(3, 1).ip()), &config), "BEP 33: no token for who finds it full");
        assert!(store.has_room((h, addr(2, 1).ip()), &config), "or it would be forgotten while it is there");
        assert!(store.on_announce(Instant::ZERO, (h, addr(2, 9), true), OWN, &config));
    }

    #[test]
    fn bep_0051_a_sample_stays_the_same_for_its_interval() {
        let (config, mut store, mut rng) = (DhtConfig::default(), PeerStore::default(), Rng::new([1; 32]));
        for n in 0..20 {
            store.on_announce(Instant::ZERO, (hash(1, n), addr(u32::from(n) + 1, 1), false), OWN, &config);
        }
        let (sample, interval) = store.sample(Instant::ZERO, &config, &mut rng);
        assert_eq!((sample.len(), interval), (20, 0), "all are told: no need to wait");
        for n in 20..200 {
            store.on_announce(Instant::ZERO, (hash(1, n), addr(u32::from(n) + 1, 1), false), OWN, &config);
        }
        let first: Vec<_> = store.sample(Instant::ZERO, &config, &mut rng).0.to_vec();
        let at = |s| Instant::ZERO + Duration::from_secs(s);
        let (again, interval) = store.sample(at(600), &config, &mut rng);
        assert_eq!((again, interval), (&first[..], 3000));
        assert_eq!(first.len(), 25);
        assert_ne!(store.sample(at(3600), &config, &mut rng).0, &first[..]);
    }
}
