//! The Bloom filters that swarms are counted by without counting anyone twice (BEP 33).

use core::fmt;
use core::net::IpAddr;
use sha1::{Digest as _, Sha1};

/// Bits of a filter.
const BITS: u32 = 2048;

/// 256 bytes that stand for a set of addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bloom(pub [u8; 256]);

impl Default for Bloom {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl fmt::Debug for Bloom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bloom(about {})", self.estimate())
    }
}

impl Bloom {
    /// Adds an address; ports don't count.
    pub fn insert(&mut self, ip: IpAddr) {
        for bit in bits(ip) {
            if let Some(byte) = self.0.get_mut(usize::from(bit / 8)) {
                *byte |= 1 << (bit % 8);
            }
        }
    }

    /// Whether it may hold an address; `false` is certain.
    pub fn may_hold(&self, ip: IpAddr) -> bool {
        bits(ip).iter().all(|bit| {
            let byte = self.0.get(usize::from(bit / 8)).copied().unwrap_or(0);
            byte & 1 << (bit % 8) != 0
        })
    }

    /// Adds all that another holds.
    pub fn join(&mut self, other: &[u8; 256]) {
        for (byte, more) in self.0.iter_mut().zip(other) {
            *byte |= more;
        }
    }

    /// About how many addresses it holds, rounded; beyond 6000 it is a guess.
    pub fn estimate(&self) -> u32 {
        let ten_thousandths = self.estimate_ten_thousandths();
        u32::try_from((ten_thousandths + 5_000) / 10_000).unwrap_or(u32::MAX)
    }

    /// The same in 1/10,000: `ln(zeros / 2048) / (2 ln(1 - 1/2048))`, in whole numbers.
    pub(super) fn estimate_ten_thousandths(&self) -> u64 {
        let ones: u32 = self.0.iter().map(|byte| byte.count_ones()).sum();
        let zeros = (BITS - ones).clamp(1, BITS - 1);
        if ones == 0 {
            return 0;
        }
        // -log2 of both, in units of 2^-48; the 2 ln's base falls out of the quotient.
        let of_zeros = minus_log2(zeros);
        let of_one = minus_log2(BITS - 1);
        u64::try_from(of_zeros * 10_000 / (2 * of_one)).unwrap_or(u64::MAX)
    }
}

fn bits(ip: IpAddr) -> [u16; 2] {
    let hash = match ip.to_canonical() {
        IpAddr::V4(ip) => Sha1::digest(ip.octets()),
        IpAddr::V6(ip) => Sha1::digest(ip.octets()),
    };
    let [a, b, c, d, ..] = <[u8; 20]>::from(hash);
    [u16::from_le_bytes([a, b]) % BITS as u16, u16::from_le_bytes([c, d]) % BITS as u16]
}

/// `-log2(n / 2048)` in units of 2^-48, for n from 1 to 2048: by squaring, a bit a step.
fn minus_log2(n: u32) -> u128 {
    // x in [1, 2) with 62 fraction bits; n / 2048 = x * 2^-shift
    let shift = 11 - n.ilog2();
    let mut x = u128::from(n) << (62 - n.ilog2());
    let mut fraction = 0_u128;
    for _ in 0..48 {
        x = (x * x) >> 62;
        fraction <<= 1;
        if x >= 2 << 62 {
            x >>= 1;
            fraction |= 1;
        }
    }
    (u128::from(shift) << 48) - fraction
}
