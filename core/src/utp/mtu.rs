//! How large a datagram a path takes: found by probes that may not be cut into fragments. A probe is an ordinary packet
//! filled up with an extension that everyone skips, so that what it carries fits anyway when it is sent again, and who
//! cuts it silently short can't take what is left for a whole packet.

use core::net::SocketAddr;

/// What every path carries: IPv6 promises 1,280 bytes, headers counted. Bytes of UDP payload.
const FLOOR: usize = 1200;

/// What is left when even that vanishes: IPv4 promises 576. Bytes of UDP payload.
const BOTTOM: usize = 548;

/// The search ends when so little is left to find, in bytes.
const CLOSE: usize = 32;

/// Packets of the found size that vanish in a row, while waits are in vain, until the path is taken for changed.
const BLACK_HOLE: u32 = 2;

/// One path's search.
#[derive(Clone, Debug)]
pub(super) struct Mtu {
    /// Datagrams of this size get through.
    good: usize,
    /// Those of this size don't.
    bad: usize,
    /// The usual largest on Ethernet, tried first.
    usual: usize,
    max: usize,
    /// The size under way.
    probing: Option<usize>,
    /// A size that was lost once may have been lost by chance.
    doubted: usize,
    vanished: u32,
}

impl Mtu {
    /// The largest datagram that fits into an Ethernet frame.
    pub(super) fn ethernet(remote: SocketAddr) -> usize {
        if remote.ip().to_canonical().is_ipv4() { 1472 } else { 1452 }
    }

    pub(super) fn new(remote: SocketAddr, max: usize) -> Self {
        let usual = Self::ethernet(remote);
        let max = max.max(BOTTOM);
        let good = FLOOR.min(max);
        Self { good, bad: max + 1, usual, max, probing: None, doubted: 0, vanished: 0 }
    }

    /// The size for packets now.
    pub(super) fn size(&self) -> usize {
        self.good
    }

    /// The size to probe next, if none is under way and the search isn't over.
    pub(super) fn next_probe(&self) -> Option<usize> {
        if self.probing.is_some() || self.bad <= self.good + 1 {
            return None;
        }
        if self.bad == self.max + 1 {
            // The two likely ends of the search come first.
            return Some(if self.good < self.usual && self.usual < self.max { self.usual } else { self.max });
        }
        if self.good < self.usual && self.usual < self.bad {
            return Some(self.usual);
        }
        (self.bad - self.good > CLOSE.max(self.good / 32)).then_some(usize::midpoint(self.good, self.bad))
    }

    pub(super) fn on_probe_sent(&mut self, size: usize) {
        self.probing = Some(size);
    }

    /// A probe arrived.
    pub(super) fn on_probe_acked(&mut self) {
        if let Some(size) = self.probing.take() {
            self.good = self.good.max(size);
            self.bad = self.bad.max(self.good + 1);
            self.vanished = 0;
        }
    }

    /// A probe was lost: too large, or by chance, so it is tried twice.
    pub(super) fn on_probe_lost(&mut self) {
        let Some(size) = self.probing.take() else { return };
        if self.doubted == size {
            self.bad = self.bad.min(size);
        }
        self.doubted = size;
    }

    /// Our own host refused a datagram of this size. Only a probe, which may not be cut, can be too large: others are
    /// refused for reasons that say nothing of the path's size.
    pub(super) fn on_refused(&mut self, size: usize) -> bool {
        if self.probing.take_if(|probing| *probing == size).is_none() {
            return false;
        }
        self.bad = self.bad.min(size);
        true
    }

    /// All that was under way seems lost. Twice in a row with large packets: the path may have become narrower.
    pub(super) fn on_timeout(&mut self) -> bool {
        self.on_probe_lost();
        self.vanished += 1;
        if self.vanished < BLACK_HOLE || self.good <= BOTTOM {
            return false;
        }
        self.vanished = 0;
        self.bad = self.good;
        self.good = if self.good > FLOOR { FLOOR } else { BOTTOM };
        self.bad = self.bad.max(self.good + 1);
        true
    }

    /// Something of the full size came through.
    pub(super) fn on_progress(&mut self) {
        self.vanished = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(max: usize, path: usize) -> (usize, u32) {
        let mut mtu = Mtu::new(SocketAddr::from(([192, 0, 2, 1], 1)), max);
        let mut probes = 0;
        while let Some(size) = mtu.next_probe() {
            probes += 1;
            mtu.on_probe_sent(size);
            if size <= path {
                mtu.on_probe_acked()
            } else {
                mtu.on_probe_lost()
            }
            assert!(probes < 64, "the search ends");
        }
        (mtu.size(), probes)
    }

    #[test]
    fn an_ethernet_path_is_found_by_one_probe_and_the_loopback_by_two() {
        assert_eq!(search(1472, 1472), (1472, 1));
        assert_eq!(search(32_768, 65_507), (32_768, 2));
    }

    #[test]
    fn any_path_is_found_closely() {
        for path in (1200..2000).step_by(7).chain([4000, 9000 - 28]) {
            let (found, probes) = search(32_768, path);
            assert!(found <= path && path - found <= CLOSE.max(path / 32), "{path} {found}");
            assert!(probes <= 24, "{path} {probes}");
        }
    }

    #[test]
    fn a_size_that_our_own_host_refuses_is_never_tried_again() {
        let mut mtu = Mtu::new(SocketAddr::from(([192, 0, 2, 1], 1)), 32_768);
        mtu.on_probe_sent(1472);
        mtu.on_probe_acked();
        mtu.on_probe_sent(32_768);
        assert!(mtu.on_refused(32_768));
        assert!(mtu.next_probe().is_some_and(|size| size < 32_768));
        assert_eq!(mtu.size(), 1472);
    }

    #[test]
    fn a_refusal_of_anything_but_a_probe_lowers_nothing() {
        let mut mtu = Mtu::new(SocketAddr::from(([192, 0, 2, 1], 1)), 1472);
        mtu.on_probe_sent(1472);
        mtu.on_probe_acked();
        for size in [0, 20, 548, 1200, 1472, 65_000] {
            assert!(!mtu.on_refused(size), "{size}");
        }
        assert_eq!(mtu.size(), 1472);
    }

    #[test]
    fn a_path_that_became_a_black_hole_is_searched_anew() {
        let mut mtu = Mtu::new(SocketAddr::from(([192, 0, 2, 1], 1)), 1472);
        mtu.on_probe_sent(1472);
        mtu.on_probe_acked();
        assert!(!mtu.on_timeout() && mtu.on_timeout());
        assert_eq!(mtu.size(), 1200);
        assert!(!mtu.on_timeout() && mtu.on_timeout());
        assert_eq!(mtu.size(), 548);
    }
}
