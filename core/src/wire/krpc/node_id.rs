//! Node ids: distance (BEP 5), and which ids an address may have (BEP 42).

use crate::base::Rng;
use crate::wire::InfoHash;
use core::fmt;
use core::net::IpAddr;

/// A node's name, and a point of the same space: info-hashes and items' keys are others.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

impl From<InfoHash> for NodeId {
    fn from(hash: InfoHash) -> Self {
        Self(hash.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InfoHash(self.0).fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InfoHash(self.0).fmt(f)
    }
}

impl NodeId {
    /// How far away `other` is: their difference by exclusive or, as a number in network order.
    #[must_use]
    pub fn distance(self, other: Self) -> [u8; 20] {
        let mut out = self.0;
        for (a, b) in out.iter_mut().zip(other.0) {
            *a ^= b;
        }
        out
    }

    /// How many leading bits are the same, 0 to 160.
    pub fn common_bits(self, other: Self) -> u32 {
        let distance = self.distance(other);
        let zeros = distance.iter().take_while(|&&byte| byte == 0).count();
        let rest = distance.get(zeros).map_or(0, |byte| byte.leading_zeros());
        zeros as u32 * 8 + rest
    }

    /// An id by chance.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.bytes())
    }

    /// An id by chance that shares `bits` leading bits with `self`, and not the one after them.
    #[must_use]
    pub fn random_beside(self, bits: u32, rng: &mut Rng) -> Self {
        let random: [u8; 20] = rng.bytes();
        let mut out = self;
        for (n, (byte, chance)) in out.0.iter_mut().zip(random).enumerate() {
            let kept = bits.saturating_sub(n as u32 * 8).min(8);
            let mask = 0xff_u8.checked_shr(kept).unwrap_or(0);
            *byte = (*byte & !mask) | (chance & mask);
            if kept < 8 && bits / 8 == n as u32 {
                let flip = 0x80_u8 >> kept;
                *byte = (*byte & !flip) | (!self.0.get(n).copied().unwrap_or(0) & flip);
            }
        }
        out
    }

    /// An id that the host at `ip` may have (BEP 42).
    pub fn for_address(ip: IpAddr, rng: &mut Rng) -> Self {
        let mut id = rng.bytes::<20>();
        let last = id.last().copied().unwrap_or(0);
        let [a, b, c, _] = external_key(ip, last).to_be_bytes();
        let [first, second, third, ..] = &mut id;
        (*first, *second, *third) = (a, b, (c & 0xf8) | (*third & 0x07));
        Self(id)
    }

    /// Whether the host at `ip` may have this id (BEP 42). One in a local network may have any.
    pub fn suits(self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        if is_local(ip) {
            return true;
        }
        let [first, second, third, .., last] = self.0;
        let [a, b, c, _] = external_key(ip, last).to_be_bytes();
        (first, second, third & 0xf8) == (a, b, c & 0xf8)
    }
}

/// The CRC32C whose first 21 bits an id at `ip` starts with, if its last byte is `last` (BEP 42).
pub fn external_key(ip: IpAddr, last: u8) -> u32 {
    let r = (last & 7) << 5;
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mut masked = (u32::from(ip) & 0x030f_3fff).to_be_bytes();
            masked[0] |= r;
            crc32c(&masked)
        }
        IpAddr::V6(ip) => {
            let mut masked = ((u128::from(ip) >> 64) as u64 & 0x0103_070f_1f3f_7fff).to_be_bytes();
            masked[0] |= r;
            crc32c(&masked)
        }
    }
}

/// The blocks that BEP 42 exempts, and their like in IPv6.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Castagnoli's CRC, bit by bit: four or eight bytes are all it is ever given.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
