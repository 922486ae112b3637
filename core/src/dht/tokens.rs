//! Write tokens (BEP 5): bound to a key and an address, valid for five to ten minutes. None is remembered.

use crate::base::{Instant, Rng};
use crate::wire::krpc::NodeId;
use core::net::IpAddr;
use sha1::{Digest as _, Sha1};

/// How long one secret is used; a token lives one to two of them.
const PERIOD_US: u64 = 5 * 60 * 1_000_000;

/// Makes tokens and knows them again.
#[derive(Debug)]
pub(super) struct Tokens {
    rng: Rng,
}

impl Tokens {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng }
    }

    /// The token that `ip` gets for `key` now.
    pub(super) fn give(&self, now: Instant, ip: IpAddr, key: NodeId) -> [u8; 8] {
        self.of(now.as_micros() / PERIOD_US, ip, key)
    }

    /// Whether we gave `ip` this token for `key` in this period or the one before.
    pub(super) fn is_ours(&self, now: Instant, (ip, key): (IpAddr, NodeId), token: &[u8]) -> bool {
        let period = now.as_micros() / PERIOD_US;
        [Some(period), period.checked_sub(1)].into_iter().flatten().any(|p| self.of(p, ip, key) == token)
    }

    fn of(&self, period: u64, ip: IpAddr, key: NodeId) -> [u8; 8] {
        let secret: [u8; 16] = self.rng.fork_at("token", period).bytes();
        let mut hash = Sha1::new().chain_update(secret).chain_update(key.0);
        match ip {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
        let mut out = [0; 8];
        out.copy_from_slice(&hash.finalize()[..8]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn pitfall_9_a_token_binds_info_hash_and_ip_and_lives_for_two_periods() {
        let tokens = Tokens::new(Rng::new([1; 32]));
        let (ip, key) = (IpAddr::from([192, 0, 2, 1]), NodeId([7; 20]));
        let now = Instant::ZERO + Duration::from_secs(1000);
        let token = tokens.give(now, ip, key);
        assert!(tokens.is_ours(now, (ip, key), &token));
        assert!(tokens.is_ours(now + Duration::from_secs(300), (ip, key), &token));
        assert!(!tokens.is_ours(now + Duration::from_secs(600), (ip, key), &token));
        assert!(!tokens.is_ours(now, (IpAddr::from([192, 0, 2, 2]), key), &token));
        assert!(!tokens.is_ours(now, (ip, NodeId([8; 20])), &token));
        assert!(!tokens.is_ours(now, (ip, key), &token[..7]));
        assert_ne!(Tokens::new(Rng::new([2; 32])).give(now, ip, key), token);
    }
}
