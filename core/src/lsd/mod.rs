//! Local service discovery (BEP 14): which swarms are announced to the neighbours and when, and which neighbours are
//! believed. It owns no socket and no swarm.
//!
//! ```
//! use millstream_core::base::{Instant, Rng, TorrentId};
//! use millstream_core::lsd::{Lsd, LsdConfig};
//! use millstream_core::wire::InfoHash;
//! use millstream_core::wire::lsd::LSD_GROUP_V4;
//!
//! let mut here = Lsd::new(LsdConfig::default(), &mut Rng::new([1; 32]));
//! let mut there = Lsd::new(LsdConfig::default(), &mut Rng::new([2; 32]));
//! let now = Instant::ZERO;
//! here.on_torrent(now, TorrentId(1), vec![InfoHash([7; 20])]);
//!
//! let hashes = here.next_announce(now).unwrap();
//! let datagram = here.announce(6881, hashes).encode(LSD_GROUP_V4);
//! let from = "192.168.1.5:6771".parse().unwrap();
//! let neighbour = there.on_datagram(now, from, &[], &datagram).unwrap();
//! assert_eq!(neighbour.addr, "192.168.1.5:6881".parse().unwrap());
//! ```

use crate::base::{Bucket, Instant, Rng, TorrentId};
use crate::wire::InfoHash;
use crate::wire::lsd::{LSD_HASHES_MAX, LsdAnnounce, LsdError};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use thiserror::Error;

/// The pace of announces, and bounds of what is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LsdConfig {
    /// The pause between two announces of one torrent, milliseconds; the BEP wants five minutes.
    pub interval_ms: u64,
    /// The pause between two announces, whatever they name, milliseconds; the BEP wants a minute at least. With more
    /// torrents than fit into five announces each comes up less often.
    pub pace_ms: u64,
    /// Announces heard a second, over all neighbours. More are ignored: a network full of them would fill our books.
    pub heard_per_second_max: u64,
    /// Announces heard at once.
    pub heard_burst: u64,
}

impl Default for LsdConfig {
    fn default() -> Self {
        Self { interval_ms: 300_000, pace_ms: 60_000, heard_per_second_max: 10, heard_burst: 100 }
    }
}

/// A neighbour that takes part in swarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The swarms, of whatever torrents.
    pub info_hashes: Vec<InfoHash>,
}

/// Why a datagram is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LsdIgnored {
    /// It is our own.
    #[error("our own announce")]
    Own,
    /// It comes from outside our network.
    #[error("an announce from outside our network")]
    Outside,
    /// More come than are heard.
    #[error("too many announces")]
    TooOften,
    /// It is no announce.
    #[error(transparent)]
    Malformed(#[from] LsdError),
}

/// How many datagrams were ignored, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LsdCounts {
    /// Our own, come back.
    pub own: u64,
    /// From outside our network.
    pub outside: u64,
    /// More than are heard.
    pub too_often: u64,
    /// No announces.
    pub malformed: u64,
}

/// The torrents that neighbours are told of, and what is heard of neighbours.
#[derive(Debug)]
pub struct Lsd {
    config: LsdConfig,
    cookie: String,
    torrents: BTreeMap<TorrentId, Entry>,
    due: BTreeSet<(Instant, TorrentId)>,
    /// No announce before this.
    next_at: Instant,
    heard: Bucket,
    counts: LsdCounts,
}

#[derive(Debug)]
struct Entry {
    hashes: Vec<InfoHash>,
    due: Instant,
}

impl Lsd {
    /// No torrents yet. The cookie by which we know our own announces is drawn from `rng`.
    pub fn new(config: LsdConfig, rng: &mut Rng) -> Self {
        Self {
            cookie: format!("{:016x}", rng.next_u64()),
            heard: Bucket::new(Some(config.heard_per_second_max), config.heard_burst),
            config,
            torrents: BTreeMap::new(),
            due: BTreeSet::new(),
            next_at: Instant::ZERO,
            counts: LsdCounts::default(),
        }
    }

    /// A torrent takes part, under these names: both of a hybrid (BEP 52). Never a private one (BEP 27). Said again,
    /// the names are those of the last time, and the pace stays.
    pub fn on_torrent(&mut self, now: Instant, id: TorrentId, hashes: Vec<InfoHash>) {
        if let Some(entry) = self.torrents.get_mut(&id) {
            entry.hashes = hashes;
            return;
        }
        self.torrents.insert(id, Entry { hashes, due: now });
        self.due.insert((now, id));
    }

    /// It takes part no more.
    pub fn on_torrent_gone(&mut self, id: TorrentId) {
        if let Some(entry) = self.torrents.remove(&id) {
            self.due.remove(&(entry.due, id));
        }
    }

    /// When `next_announce` has something.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|&(due, _)| due.max(self.next_at))
    }

    /// The names to announce now, to each group; those that waited longest, as many as one datagram holds.
    pub fn next_announce(&mut self, now: Instant) -> Option<Vec<InfoHash>> {
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        let mut hashes = Vec::new();
        while let Some(&(at, id)) = self.due.first().filter(|(at, _)| *at <= now) {
            let Some(entry) = self.torrents.get_mut(&id) else { break };
            if hashes.len() + entry.hashes.len() > LSD_HASHES_MAX {
                break;
            }
            hashes.extend_from_slice(&entry.hashes);
            self.due.remove(&(at, id));
            entry.due = now + Duration::from_millis(self.config.interval_ms.max(1));
            self.due.insert((entry.due, id));
        }
        self.next_at = now + Duration::from_millis(self.config.pace_ms);
        (!hashes.is_empty()).then_some(hashes)
    }

    /// An announce of these names by somebody who listens at that port.
    pub fn announce(&self, port: u16, info_hashes: Vec<InfoHash>) -> LsdAnnounce {
        LsdAnnounce { port, info_hashes, cookie: Some(self.cookie.clone()) }
    }

    /// A datagram came to the group's port. `own` are addresses of ours: who shares a network with one of them is a
    /// neighbour too.
    pub fn on_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        own: &[IpAddr],
        datagram: &[u8],
    ) -> Result<Neighbour, LsdIgnored> {
        let heard = self.judge(now, from, own, datagram);
        match &heard {
            Ok(_) => {}
            Err(LsdIgnored::Own) => self.counts.own += 1,
            Err(LsdIgnored::Outside) => self.counts.outside += 1,
            Err(LsdIgnored::TooOften) => self.counts.too_often += 1,
            Err(LsdIgnored::Malformed(_)) => self.counts.malformed += 1,
        }
        heard
    }

    /// How many datagrams were ignored, and why.
    pub fn counts(&self) -> LsdCounts {
        self.counts
    }

    fn judge(
        &mut self,
        now: Instant,
        from: SocketAddr,
        own: &[IpAddr],
        datagram: &[u8],
    ) -> Result<Neighbour, LsdIgnored> {
        if !is_near(from.ip(), own) {
            return Err(LsdIgnored::Outside);
        }
        if self.heard.available(now) == 0 {
            return Err(LsdIgnored::TooOften);
        }
        let announce = LsdAnnounce::parse(datagram)?;
        if announce.cookie.as_ref() == Some(&self.cookie) {
            return Err(LsdIgnored::Own);
        }
        self.heard.take(now, 1);
        let mut addr = from;
        addr.set_port(announce.port);
        Ok(Neighbour { addr, info_hashes: announce.info_hashes })
    }
}

/// Whether an address is of our own network: a private one, or one that shares its /24 or /64 with one of ours. Who sends
/// to our port from further away would have us connect to whom it likes.
fn is_near(ip: IpAddr, own: &[IpAddr]) -> bool {
    let private = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    };
    private || own.iter().any(|own| same_network(ip.to_canonical(), own.to_canonical()))
}

fn same_network(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.to_bits() >> 8 == other.to_bits() >> 8,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() >> 64 == other.to_bits() >> 64,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::lsd::LSD_GROUP_V4;
    use std::vec;

    fn lsd(seed: u8) -> Lsd {
        Lsd::new(LsdConfig::default(), &mut Rng::new([seed; 32]))
    }

    fn hash(n: u64) -> InfoHash {
        let mut hash = [0; 20];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        InfoHash(hash)
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn said(n: u64, cookie: Option<&str>) -> Vec<u8> {
        let announce =
            LsdAnnounce { port: 7000, info_hashes: vec![hash(n)], cookie: cookie.map(String::from) };
        announce.encode(LSD_GROUP_V4)
    }

    #[test]
    fn bep_0014_a_torrent_is_announced_at_once_and_then_every_five_minutes() {
        let mut lsd = lsd(1);
        lsd.on_torrent(at(5), TorrentId(1), vec![hash(1), hash(2)]);
        assert_eq!(lsd.deadline(), Some(at(5)));
        assert_eq!(lsd.next_announce(at(5)), Some(vec![hash(1), hash(2)]), "both hashes of a hybrid");
        assert_eq!(lsd.deadline(), Some(at(305)));
        assert_eq!(lsd.next_announce(at(304)), None);
        assert!(lsd.next_announce(at(305)).is_some());
        lsd.on_torrent_gone(TorrentId(1));
        assert_eq!(lsd.deadline(), None);
    }

    #[test]
    fn bep_0014_no_more_than_one_announce_a_minute_and_many_torrents_take_turns() {
        let mut lsd = lsd(1);
        for n in 0..60 {
            lsd.on_torrent(at(0), TorrentId(n), vec![hash(n)]);
        }
        let mut seen = Vec::new();
        let mut last = None;
        while let Some(due) = lsd.deadline().filter(|due| *due < at(300)) {
            assert!(last.is_none_or(|last| due >= last + Duration::from_secs(60)));
            last = Some(due);
            seen.extend(lsd.next_announce(due).unwrap());
        }
        assert_eq!(seen, (0..60).map(hash).collect::<Vec<_>>(), "each once in five minutes");
    }

    #[test]
    fn bep_0014_our_own_announce_that_comes_back_is_ignored() {
        let (mut here, mut there) = (lsd(1), lsd(2));
        here.on_torrent(at(0), TorrentId(1), vec![hash(1)]);
        let hashes = here.next_announce(at(0)).unwrap();
        let datagram = here.announce(6881, hashes).encode(LSD_GROUP_V4);
        let from = "10.0.0.1:6771".parse().unwrap();
        assert_eq!(here.on_datagram(at(0), from, &[], &datagram), Err(LsdIgnored::Own));
        let heard = there.on_datagram(at(0), from, &[], &datagram).unwrap();
        assert_eq!(heard, Neighbour { addr: "10.0.0.1:6881".parse().unwrap(), info_hashes: vec![hash(1)] });
        assert_eq!(here.counts().own, 1);
    }

    #[test]
    fn only_neighbours_are_believed() {
        let mut lsd = lsd(1);
        let own = ["203.0.113.9".parse().unwrap(), "2001:db8::5".parse().unwrap()];
        for (from, near) in [
            ("192.168.7.7:6771", true),
            ("[fe80::1]:6771", true),
            ("[fd00::1]:6771", true),
            ("203.0.113.77:6771", true),
            ("[2001:db8::77]:1", true),
            ("203.0.114.77:6771", false),
            ("8.8.8.8:6771", false),
            ("[2001:db8:1::1]:1", false),
        ] {
            let heard = lsd.on_datagram(at(0), from.parse().unwrap(), &own, &said(1, None));
            assert_eq!(heard.is_ok(), near, "{from}");
        }
        assert_eq!(lsd.counts().outside, 3);
    }

    #[test]
    fn a_flood_is_heard_up_to_a_rate_and_garbage_is_counted() {
        let mut lsd = lsd(1);
        let from = "10.0.0.2:6771".parse().unwrap();
        let heard =
            (0..1000).filter(|&n| lsd.on_datagram(at(1), from, &[], &said(n, Some("x"))).is_ok()).count();
        assert_eq!((heard, lsd.counts().too_often), (100, 900));
        assert!(lsd.on_datagram(at(2), from, &[], &said(1, None)).is_ok(), "and again after a while");
        assert!(matches!(lsd.on_datagram(at(3), from, &[], b"NOTIFY"), Err(LsdIgnored::Malformed(_))));
    }
}
