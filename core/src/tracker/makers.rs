//! Who made the torrents that a tracker holds, so that one source can't take all places. Not the torrents.

use crate::base::{Key, Map};
use core::net::IpAddr;

/// An IPv4 address or an IPv6 /64; everyone on the loopback together, who is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Maker(u64);

impl Maker {
    /// The loopback, where trackers behind a proxy find all their peers.
    const UNCOUNTED: Self = Self(0);

    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::UNCOUNTED,
            // No /64 that is in use begins like this.
            IpAddr::V4(ip) => Self(u64::from(u32::MAX) << 32 | u64::from(ip.to_bits())),
            IpAddr::V6(ip) => Self((ip.to_bits() >> 64) as u64),
        }
    }
}

/// How many torrents each made that are there still: as many rows as torrents at the most.
#[derive(Debug)]
pub(super) struct Makers(Map<Maker, u32>);

impl Makers {
    pub(super) fn new(key: Key) -> Self {
        Self(Map::new(key))
    }

    /// Whether one may make another where so many more may be made: who has as many as are free has its share. So one
    /// takes half of all, two a third each, and a place is left for who has none.
    pub(super) fn may_make(&self, maker: Maker, free: usize) -> bool {
        (self.0.get(&maker).copied().unwrap_or(0) as usize) < free
    }

    pub(super) fn made(&mut self, maker: Maker) {
        if maker != Maker::UNCOUNTED {
            *self.0.or_insert_with(maker, || 0) += 1;
        }
    }

    pub(super) fn forgot(&mut self, maker: Maker) {
        if let Some(count) = self.0.get_mut(&maker) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&maker);
            }
        }
    }
}
