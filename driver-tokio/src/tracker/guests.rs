//! How many connections there may be, in all and of one source. Not what they do.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Counts connections.
#[derive(Debug)]
pub(super) struct Guests {
    max: usize,
    per_source_max: usize,
    here: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// One connection, as long as it is kept.
#[derive(Debug)]
pub(super) struct Guest {
    of: Arc<Guests>,
    source: IpAddr,
}

/// An IPv4 address or an IPv6 /64.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

impl Guests {
    pub(super) fn new(max: usize, per_source_max: usize) -> Arc<Self> {
        Arc::new(Self { max, per_source_max, here: Mutex::default() })
    }

    /// Lets one in, if there is room.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Guest> {
        let source = source(ip);
        let mut here = crate::lock(&self.here);
        let (all, by_source) = &mut *here;
        let of_source = by_source.get(&source).copied().unwrap_or(0);
        if *all >= self.max || of_source >= self.per_source_max && !source.is_loopback() {
            return None;
        }
        *all += 1;
        by_source.insert(source, of_source + 1);
        Some(Guest { of: Arc::clone(self), source })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut here = crate::lock(&self.of.here);
        here.0 -= 1;
        if let Some(count) = here.1.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                here.1.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_gets_its_share_and_leaves_room_for_others() {
        let guests = Guests::new(4, 2);
        let admit = |ip: &str| guests.admit(ip.parse().unwrap());
        let (a, _b) = (admit("192.0.2.1"), admit("::ffff:192.0.2.1"));
        assert!(a.is_some() && admit("192.0.2.1").is_none());
        drop(a);
        let _c = admit("192.0.2.1").unwrap();
        let (_d, _e) = (admit("2001:db8::1").unwrap(), admit("2001:db8::2").unwrap());
        assert!(admit("2001:db8::3").is_none() && admit("192.0.2.9").is_none(), "and in all");
        assert_eq!(crate::lock(&guests.here).1.len(), 2);
    }
}
