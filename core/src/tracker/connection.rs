//! Connection ids of BEP 15 that nobody has to remember: a keyed hash over address and second, which every worker with
//! the same seed can check.

use crate::base::{Instant, Key, Rng};
use crate::wire::tracker_udp::ConnectionId;
use core::hash::BuildHasher as _;
use core::net::IpAddr;

/// How long a connection id is valid, seconds (BEP 15).
pub const CONNECTION_LIFE_S: u64 = 120;

/// How far another worker's clock may be ahead, seconds: each reads it once for many datagrams.
const SKEW_S: u64 = 2;

/// Gives out and checks connection ids.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionIds {
    key: Key,
}

impl ConnectionIds {
    /// Those of a seed; take it from the operating system, the same for all workers.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: Key::draw(&mut Rng::new(seed).fork("connection ids")) }
    }

    /// An id for who is at `ip`.
    pub fn give(&self, now: Instant, ip: IpAddr) -> ConnectionId {
        self.at(now.as_micros() / 1_000_000, ip)
    }

    /// Whether it was given to who is at `ip` within the last two minutes.
    pub fn check(&self, now: Instant, ip: IpAddr, id: ConnectionId) -> bool {
        let latest = now.as_micros() / 1_000_000 + SKEW_S;
        // Its lowest byte is that of the second it was given in.
        let age = latest.wrapping_sub(id.0) & 0xff;
        age <= CONNECTION_LIFE_S + SKEW_S && age <= latest && self.at(latest - age, ip) == id
    }

    fn at(&self, second: u64, ip: IpAddr) -> ConnectionId {
        let hash = match ip.to_canonical() {
            IpAddr::V4(ip) => self.key.hash_one((second, ip.to_bits())),
            IpAddr::V6(ip) => self.key.hash_one((second, ip.to_bits())),
        };
        ConnectionId((hash & !0xff) | (second & 0xff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: fn() -> ConnectionIds = || ConnectionIds::new([1; 32]);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn pitfall_04_a_connection_id_is_valid_for_two_minutes_and_at_every_worker() {
        for given in [0, 1, 200, 255, 256, 1_000_003] {
            let ip = "192.0.2.1".parse().unwrap();
            let id = IDS().give(at(given), ip);
            for age in 0..600 {
                assert_eq!(IDS().check(at(given + age), ip, id), age <= 120, "{given} + {age}");
            }
        }
    }

    #[test]
    fn a_worker_that_read_its_clock_a_while_ago_takes_what_another_just_gave() {
        let ip = "192.0.2.1".parse().unwrap();
        for given in [0, 5, 255, 256] {
            let id = IDS().give(at(given), ip);
            assert!(IDS().check(at(given.saturating_sub(1)), ip, id));
        }
        assert!(!IDS().check(at(90), ip, IDS().give(at(100), ip)));
    }

    #[test]
    fn a_connection_id_is_bound_to_its_address_and_to_the_seed() {
        let (a, b) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let id = IDS().give(at(9), a);
        assert!(IDS().check(at(9), "::ffff:192.0.2.1".parse().unwrap(), id), "mapped is the same");
        assert!(!IDS().check(at(9), b, id) && !ConnectionIds::new([2; 32]).check(at(9), a, id));
        assert!(!IDS().check(at(9), a, ConnectionId(id.0 ^ 1 << 40)));
    }
}
