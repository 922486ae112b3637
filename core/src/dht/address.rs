//! Which addresses are worth a packet, and what counts as one network.

use super::DhtConfig;
use crate::base::is_public;
use crate::wire::socks5::stands_for_a_name;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which of the two DHTs (BEP 32): they share nothing but a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(addr: &SocketAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
        }
    }
}

/// Whether a node or peer may be at an address that somebody told us, and we would have to do with it.
pub(super) fn is_worth(addr: SocketAddr, config: &DhtConfig) -> bool {
    let may = is_public(addr.ip()) || config.private_addresses && is_host(addr.ip());
    addr.port() != 0 && may && !forbids(addr, config)
}

/// Whether an address that the user named may be asked.
pub(super) fn is_named(addr: SocketAddr, config: &DhtConfig) -> bool {
    is_source(addr) && !forbids(addr, config)
}

/// Whether the filter forbids an address. What stands in for a name isn't anybody's.
pub(super) fn forbids(addr: SocketAddr, config: &DhtConfig) -> bool {
    let filter = config.ip_filter.as_ref().filter(|_| !stands_in(addr, config));
    filter.is_some_and(|filter| filter.forbids(addr.ip()))
}

/// Whether an address stands in for a name that the proxy looks up.
pub(super) fn stands_in(addr: SocketAddr, config: &DhtConfig) -> bool {
    config.proxied && stands_for_a_name(addr.ip())
}

/// Whether a datagram may come from an address.
pub(super) fn is_source(addr: SocketAddr) -> bool {
    addr.port() != 0 && is_host(addr.ip())
}

fn is_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] != 0 && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST,
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && ip.to_ipv4_mapped().is_none(),
    }
}

/// Who is behind an address: one host of IPv4; of IPv6 a host has a whole /64.
pub(super) fn household(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
    }
}

/// The network that an address shares its allowance with: /24 or /64.
pub(super) fn network(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip) & 0xffff_ff00) | 0xffff << 32,
        IpAddr::V6(ip) => u128::from(ip) >> 64 << 64,
    }
}
