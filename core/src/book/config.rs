//! Bounds of the books and their back-off; whom they don't take in.

use crate::wire::ip_filter::IpFilter;
use crate::wire::socks5::stands_for_a_name;
use alloc::sync::Arc;
use core::net::IpAddr;

/// Bounds and back-off, shared by the books of all torrents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookConfig {
    /// Addresses kept of one swarm; about 80 bytes each. When full, the worst makes room for a better one.
    pub addresses_max: usize,
    /// Bans kept of one swarm; when full, the oldest address in order makes room.
    pub bans_max: usize,
    /// After so many failures in a row an address is forgotten, unless the user gave it.
    pub failures_max: u8,
    /// The pause after the first failure, milliseconds; it doubles with each further one.
    pub back_off_ms: u64,
    /// The longest pause, milliseconds.
    pub back_off_max_ms: u64,
    /// The pause after a connection that worked was closed, milliseconds.
    pub reconnect_ms: u64,
    /// Addresses that nobody is to have anything to do with; 8 bytes a range of IPv4, 32 of IPv6. `None` forbids none.
    pub ip_filter: Option<Arc<IpFilter>>,
    /// Whether everything goes through a proxy, as the engine's config says: addresses out of 240.0.0.0/4 then stand for
    /// names, and no list has anything to say about them.
    pub proxied: bool,
}

impl BookConfig {
    /// Whether the filter forbids an address.
    pub fn forbids(&self, ip: IpAddr) -> bool {
        let stands_in = self.proxied && stands_for_a_name(ip);
        self.ip_filter.as_ref().is_some_and(|filter| !stands_in && filter.forbids(ip))
    }
}

impl Default for BookConfig {
    fn default() -> Self {
        Self {
            addresses_max: 2_000,
            bans_max: 1_000,
            failures_max: 6,
            back_off_ms: 5_000,
            back_off_max_ms: 900_000,
            reconnect_ms: 15_000,
            ip_filter: None,
            proxied: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_covers_reserved_addresses_does_not_forbid_names_behind_a_proxy() {
        let all = IpFilter::from_ranges([("0.0.0.0".parse().unwrap(), "255.255.255.255".parse().unwrap())]);
        let open = BookConfig { ip_filter: Some(Arc::new(all)), ..BookConfig::default() };
        let proxied = BookConfig { proxied: true, ..open.clone() };
        let name: IpAddr = "240.0.0.1".parse().unwrap();
        assert_eq!((open.forbids(name), proxied.forbids(name)), (true, false));
        for ip in ["239.255.255.255", "255.255.255.255", "198.51.100.1"] {
            assert!(proxied.forbids(ip.parse().unwrap()), "{ip}");
        }
    }
}
