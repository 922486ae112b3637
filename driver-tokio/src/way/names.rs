//! Stand-ins for names that a proxy is to look up: addresses out of 240.0.0.0/4, which nobody has, each for one name.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use millstream_core::wire::socks5::Target;
use std::collections::HashMap;

/// Names that are remembered; the oldest is forgotten for a new one.
const NAMES_MAX: u32 = 16_384;

const FIRST: u32 = 0xf000_0001;

/// Which address stands in for which name.
#[derive(Default)]
pub(super) struct Names {
    by_name: HashMap<Box<str>, u32>,
    /// By number; the oldest is overwritten.
    names: Vec<Box<str>>,
    next: u32,
}

impl Names {
    /// The address that stands in for a target; an address stands for itself.
    pub(super) fn stand_in(&mut self, target: &Target) -> SocketAddr {
        let (name, port) = match target {
            Target::Addr(addr) => return *addr,
            Target::Name(name, port) => (name, *port),
        };
        let n = match self.by_name.get(name) {
            Some(&n) => n,
            None => self.add(name),
        };
        SocketAddr::from((Ipv4Addr::from(FIRST + n), port))
    }

    fn add(&mut self, name: &str) -> u32 {
        let n = self.next % NAMES_MAX;
        self.next = (n + 1) % NAMES_MAX;
        match self.names.get_mut(n as usize) {
            Some(old) => {
                self.by_name.remove(old);
                *old = name.into();
            }
            None => self.names.push(name.into()),
        }
        self.by_name.insert(name.into(), n);
        n
    }

    /// What an address stands for: a name, or itself. `None` for a stand-in that nobody knows.
    pub(super) fn target(&self, addr: SocketAddr) -> Option<Target> {
        let IpAddr::V4(ip) = addr.ip() else { return Some(Target::Addr(addr)) };
        if ip.octets()[0] < 0xf0 || ip.is_broadcast() {
            return Some(Target::Addr(addr));
        }
        let n = u32::from(ip).checked_sub(FIRST)?;
        let name = self.names.get(n as usize)?;
        Some(Target::Name(name.clone(), addr.port()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u32) -> Target {
        Target::new(&format!("h{n}.test"), 80).unwrap()
    }

    #[test]
    fn a_name_has_one_stand_in_and_comes_back_with_its_port() {
        let mut names = Names::default();
        let first = names.stand_in(&name(1));
        assert_ne!(first, names.stand_in(&name(2)));
        assert_eq!(first, names.stand_in(&name(1)));
        let other_port = SocketAddr::new(first.ip(), 81);
        assert_eq!(names.target(other_port), Target::new("h1.test", 81));
        let plain = "192.0.2.1:5".parse().unwrap();
        assert_eq!(names.target(plain), Some(Target::Addr(plain)));
        assert_eq!(names.target("240.9.9.9:1".parse().unwrap()), None, "nobody's stand-in leads nowhere");
        assert_eq!(names.target("240.0.0.0:1".parse().unwrap()), None);
    }

    #[test]
    fn the_oldest_name_is_forgotten_first() {
        let mut names = Names::default();
        let first = names.stand_in(&name(0));
        for n in 1..=NAMES_MAX {
            names.stand_in(&name(n));
        }
        assert_eq!(names.target(first), Target::new(&format!("h{NAMES_MAX}.test"), 80));
        assert_eq!(names.by_name.len(), NAMES_MAX as usize);
        assert_eq!(names.names.len(), NAMES_MAX as usize);
    }
}
