//! Connection ids of UDP trackers (BEP 15), shared by all torrents that announce to the same address. Valid one minute.

use crate::base::Instant;
use crate::wire::tracker_udp::ConnectionId;
use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

const LIFE: Duration = Duration::from_secs(60);

/// The ids that are still valid, at most `max` of them; the oldest goes first.
#[derive(Debug)]
pub struct ConnectionIds {
    max: usize,
    known: BTreeMap<SocketAddr, (Instant, ConnectionId)>,
}

impl ConnectionIds {
    /// An empty table of at most `max` ids, 64 bytes each.
    pub fn new(max: usize) -> Self {
        Self { max, known: BTreeMap::new() }
    }

    /// The id of a tracker, with the moment it expires.
    pub fn get(&self, now: Instant, tracker: SocketAddr) -> Option<(ConnectionId, Instant)> {
        let &(received, id) = self.known.get(&tracker)?;
        let expires = received + LIFE;
        (now < expires).then_some((id, expires))
    }

    /// Keeps what a tracker gave.
    pub fn on_connected(&mut self, now: Instant, tracker: SocketAddr, id: ConnectionId) {
        if self.known.len() >= self.max && !self.known.contains_key(&tracker) {
            self.known.retain(|_, (received, _)| now < *received + LIFE);
            let oldest = self.known.iter().min_by_key(|(_, (received, _))| *received).map(|(&addr, _)| addr);
            if let Some(oldest) = oldest.filter(|_| self.known.len() >= self.max) {
                self.known.remove(&oldest);
            }
        }
        if self.max > 0 {
            self.known.insert(tracker, (now, id));
        }
    }

    /// Forgets an id that its tracker no longer takes.
    pub fn on_refused(&mut self, tracker: SocketAddr) {
        self.known.remove(&tracker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u16) -> SocketAddr {
        ([192, 0, 2, 1], n).into()
    }

    #[test]
    fn pitfall_04_a_connection_id_lives_one_minute_for_the_client() {
        let mut ids = ConnectionIds::new(4);
        let t = Instant::ZERO;
        ids.on_connected(t, addr(1), ConnectionId(7));
        assert!(ids.get(t + Duration::from_millis(59_999), addr(1)).is_some());
        assert_eq!(ids.get(t + LIFE, addr(1)), None);
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_goes_first() {
        let mut ids = ConnectionIds::new(2);
        for n in 1..=3 {
            ids.on_connected(Instant::from_micros(u64::from(n)), addr(n), ConnectionId(0));
        }
        let now = Instant::from_micros(9);
        assert_eq!([1, 2, 3].map(|n| ids.get(now, addr(n)).is_some()), [false, true, true]);
    }
}
