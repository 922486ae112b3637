//! One address: its compact form, its sources, and which addresses nobody should be sent to.

use crate::wire::socks5::stands_for_a_name;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use thiserror::Error;

/// Who told us of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// The user. Never given up and never evicted.
    User = 1,
    /// A tracker.
    Tracker = 2,
    /// The peer itself, by connecting and naming its port (BEP 10 `p`).
    Incoming = 4,
    /// Another peer (BEP 11).
    Pex = 8,
    /// The DHT (BEP 5).
    Dht = 16,
    /// Our own network (BEP 14).
    Lsd = 32,
    /// What was saved last time.
    Resume = 64,
}

/// All who told us of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u8);

impl Sources {
    /// Whether `source` is among them.
    pub const fn has(self, source: Source) -> bool {
        self.0 & source as u8 != 0
    }

    pub(super) const fn add(&mut self, source: Source) {
        self.0 |= source as u8;
    }
}

/// What became of an address that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// Nobody had told it before.
    New,
    /// It was known; the source was noted.
    Known,
}

impl Added {
    /// Whether nobody had told it before.
    pub fn is_new(self) -> bool {
        matches!(self, Self::New)
    }
}

/// How many addresses were taken in from each source. One that several told counts for each of them, and once, until it
/// is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// From the user.
    pub user: u64,
    /// From trackers.
    pub trackers: u64,
    /// From the peers themselves, who called us.
    pub incoming: u64,
    /// From other peers (BEP 11).
    pub pex: u64,
    /// From the DHT (BEP 5).
    pub dht: u64,
    /// From our own network (BEP 14).
    pub lsd: u64,
    /// From what was saved last time.
    pub resume: u64,
}

impl Found {
    pub(super) fn count(&mut self, source: Source) {
        *match source {
            Source::User => &mut self.user,
            Source::Tracker => &mut self.trackers,
            Source::Incoming => &mut self.incoming,
            Source::Pex => &mut self.pex,
            Source::Dht => &mut self.dht,
            Source::Lsd => &mut self.lsd,
            Source::Resume => &mut self.resume,
        } += 1;
    }

    /// What another counted comes to it.
    pub fn add(&mut self, other: Self) {
        let Self { user, trackers, incoming, pex, dht, lsd, resume } = other;
        self.user += user;
        self.trackers += trackers;
        self.incoming += incoming;
        self.pex += pex;
        self.dht += dht;
        self.lsd += lsd;
        self.resume += resume;
    }
}

/// Why an address is not taken in. Whoever gave it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[repr(usize)]
pub enum AddressRefusal {
    /// Port 0.
    #[error("port 0")]
    Port,
    /// No address of a single host: unspecified, multicast, broadcast.
    #[error("not the address of a single host")]
    Host,
    /// Its IP is banned.
    #[error("banned")]
    Banned,
    /// It is ourselves.
    #[error("our own address")]
    Ourselves,
    /// The filter forbids it.
    #[error("forbidden by the filter")]
    Filtered,
    /// The book is full of better ones.
    #[error("the book is full of better addresses")]
    Full,
}

impl AddressRefusal {
    pub(super) const COUNT: usize = 6;
}

/// An address in 18 bytes; IPv4 in its mapped form, so that one peer has one address. A link-local one of IPv6 means
/// nothing without its link: the number of the interface stands where such an address has zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Compact {
    ip: [u8; 16],
    port: [u8; 2],
}

impl Compact {
    pub(super) fn new(addr: SocketAddr) -> Self {
        let mut ip = compact_ip(addr.ip());
        if let SocketAddr::V6(v6) = addr
            && v6.ip().is_unicast_link_local()
        {
            ip[SCOPE].copy_from_slice(&v6.scope_id().to_be_bytes());
        }
        Self { ip, port: addr.port().to_be_bytes() }
    }

    pub(super) fn get(self) -> SocketAddr {
        let (ip, port) = (Ipv6Addr::from(self.ip).to_canonical(), u16::from_be_bytes(self.port));
        match ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                let mut scope = [0; 4];
                scope.copy_from_slice(&self.ip[SCOPE]);
                let ip = Ipv6Addr::from(without_scope(self.ip));
                SocketAddrV6::new(ip, port, 0, u32::from_be_bytes(scope)).into()
            }
            IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(ip, port),
        }
    }

    /// Its IP, on whatever link: as `compact_ip` has it.
    pub(super) fn ip(self) -> [u8; 16] {
        if Ipv6Addr::from(self.ip).is_unicast_link_local() { without_scope(self.ip) } else { self.ip }
    }

    /// Checks what a stranger says. The user may give addresses that stand for names behind a proxy (240.0.0.0/4, which
    /// nobody has); told by anyone else, they would lead to whatever name they stand for.
    pub(super) fn check(self, source: Source) -> Result<(), AddressRefusal> {
        let addr = self.get();
        if addr.port() == 0 {
            return Err(AddressRefusal::Port);
        }
        let bad = match addr.ip() {
            IpAddr::V4(v4) => {
                v4.octets()[0] == 0
                    || v4.is_multicast()
                    || v4 == Ipv4Addr::BROADCAST
                    || stands_for_a_name(v4.into()) && source != Source::User
            }
            IpAddr::V6(ip) => {
                let nowhere = matches!(addr, SocketAddr::V6(addr) if addr.scope_id() == 0);
                ip.is_unspecified()
                    || ip.is_multicast()
                    || ip.is_unicast_link_local() && nowhere && source != Source::User
            }
        };
        if bad { Err(AddressRefusal::Host) } else { Ok(()) }
    }
}

/// Where the number of the interface stands in a link-local address: its prefix is fe80::/64.
const SCOPE: core::ops::Range<usize> = 4..8;

fn without_scope(mut ip: [u8; 16]) -> [u8; 16] {
    ip[SCOPE].fill(0);
    ip
}

pub(super) fn compact_ip(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn addresses_that_stand_for_names_behind_a_proxy_are_believed_of_the_user_alone() {
        for addr in ["240.0.0.1:1", "[::ffff:255.255.255.254]:1"] {
            let addr = Compact::new(addr.parse().unwrap());
            for source in
                [Source::Tracker, Source::Pex, Source::Dht, Source::Lsd, Source::Incoming, Source::Resume]
            {
                assert_eq!(addr.check(source), Err(AddressRefusal::Host), "{source:?}");
            }
            assert_eq!(addr.check(Source::User), Ok(()));
        }
    }

    #[test]
    fn bep_0014_a_link_local_address_keeps_its_link_and_means_nothing_without() {
        for text in
            ["[fe80::1%7]:1", "[fe80::8000:0:0:1%4294967295]:1", "[::ffff:1.2.3.4]:5", "[2001:db8::5]:1"]
        {
            let addr: SocketAddr = text.parse().unwrap();
            let canonical = if text.contains("ffff:1") { "1.2.3.4:5".parse().unwrap() } else { addr };
            assert_eq!(Compact::new(addr).get(), canonical);
            assert_eq!(Compact::new(addr).ip(), compact_ip(addr.ip()));
        }
        let on = |link: &str| Compact::new(format!("[fe80::1%{link}]:1").parse().unwrap());
        assert_ne!(on("1"), on("2"));
        assert_eq!(
            (on("1").check(Source::Lsd), on("0").check(Source::Lsd)),
            (Ok(()), Err(AddressRefusal::Host))
        );
        // who smuggles a link into the address has none
        let smuggled = Compact::new("[fe80:0:0:7::1]:1".parse().unwrap());
        assert_eq!(smuggled.check(Source::Pex), Err(AddressRefusal::Host));
    }
}
