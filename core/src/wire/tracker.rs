//! What HTTP and UDP trackers have in common: what an announce says, what its answer holds, compact peers and the rules
//! that a hostile answer is read by. Not the two formats themselves.

use super::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is announced as `left` while the size is unknown, as before a magnet's metadata came: one block. It must be
/// positive, since a tracker takes zero for a seed.
pub const LEFT_UNKNOWN: u64 = 16 * 1024;

/// Why a client announces (BEP 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackerEvent {
    /// The regular announce at every interval.
    #[default]
    None,
    /// The download became whole; not sent by who was whole at its start.
    Completed,
    /// The first announce.
    Started,
    /// The last announce.
    Stopped,
}

/// What an announce says (BEP 3, 7, 15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceQuery {
    /// The torrent; for v2 the truncated hash.
    pub info_hash: InfoHash,
    /// Who announces.
    pub peer_id: PeerId,
    /// Where it listens.
    pub port: u16,
    /// Bytes sent to peers since `started`.
    pub uploaded: u64,
    /// Bytes received from peers since `started`.
    pub downloaded: u64,
    /// Bytes that are missing; `None` while the size is unknown, sent as [`LEFT_UNKNOWN`].
    pub left: Option<u64>,
    /// Why it announces.
    pub event: TrackerEvent,
    /// How many peers it would like; `None` leaves it to the tracker.
    pub numwant: Option<u32>,
    /// The same over every address and announce of a session, so that a tracker knows us again (BEP 7).
    pub key: u32,
}

impl AnnounceQuery {
    /// `left` as it is written.
    pub(super) fn left_sent(&self) -> u64 {
        self.left.unwrap_or(LEFT_UNKNOWN)
    }
}

/// How many are in a swarm, as a tracker tells it (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmCounts {
    /// Peers that have everything.
    pub complete: u32,
    /// How often a download became whole.
    pub downloaded: u32,
    /// Peers that miss something.
    pub incomplete: u32,
}

/// What a tracker answered to an announce, within [`AnswerLimits`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceAnswer {
    /// Seconds until the next regular announce.
    pub interval_s: u32,
    /// Seconds before which the tracker wants no announce at all.
    pub min_interval_s: Option<u32>,
    /// Peers that have everything.
    pub complete: Option<u32>,
    /// Peers that miss something.
    pub incomplete: Option<u32>,
    /// How often a download became whole.
    pub downloaded: Option<u32>,
    /// Where peers listen: no port 0, no address that can't be a peer's, no address more often than allowed.
    pub peers: Vec<SocketAddr>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<Box<[u8]>>,
    /// For the user; the announce worked nevertheless. Without control characters.
    pub warning: Option<Box<str>>,
}

/// The rules that a tracker's answer is read by: a tracker may be hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Peers taken from one answer; the rest is dropped. 40 bytes each while the answer lives.
    pub peers_max: usize,
    /// Ports of one address taken from one answer, so that an answer full of one victim's ports sends it few connections.
    pub ports_per_address_max: u8,
    /// Below this a tracker's `interval` counts as this, seconds: else an interval of 0 makes us a flood.
    pub interval_min_s: u32,
    /// Above this it counts as this, seconds: else an interval of years loses the swarm.
    pub interval_max_s: u32,
    /// Bytes kept of a failure, a warning or a tracker id.
    pub text_bytes_max: usize,
    /// Whether peers on the loopback are taken: only from a tracker that is there itself, else a stranger makes us
    /// knock at our own services.
    pub loopback: bool,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            peers_max: 500,
            ports_per_address_max: 4,
            interval_min_s: 60,
            interval_max_s: 6 * 3600,
            text_bytes_max: 512,
            loopback: false,
        }
    }
}

impl AnswerLimits {
    /// An interval as the tracker gave it, in bounds; negative ones and absurd ones included.
    pub(super) fn interval(&self, seconds: i64) -> u32 {
        let bounded = seconds.clamp(0, i64::from(u32::MAX));
        let max = self.interval_max_s.max(self.interval_min_s);
        u32::try_from(bounded).unwrap_or(u32::MAX).clamp(self.interval_min_s, max)
    }

    /// Text for the user: UTF-8 where it can be read as such, bounded, no control characters.
    pub fn text(&self, raw: &[u8]) -> Box<str> {
        let raw = raw.get(..self.text_bytes_max).unwrap_or(raw);
        let mut text = alloc::string::String::new();
        for c in alloc::string::String::from_utf8_lossy(raw).chars() {
            text.push(if c.is_control() { ' ' } else { c });
        }
        text.into_boxed_str()
    }
}

/// Gathers peers under the limits.
pub(super) struct Peers<'a> {
    limits: &'a AnswerLimits,
    taken: Vec<SocketAddr>,
    ports: BTreeMap<IpAddr, Vec<u16>>,
}

impl<'a> Peers<'a> {
    pub(super) fn new(limits: &'a AnswerLimits) -> Self {
        Self { limits, taken: Vec::new(), ports: BTreeMap::new() }
    }

    /// Takes one, if the rules allow it. False once no more will be taken.
    pub(super) fn push(&mut self, ip: IpAddr, port: u16) -> bool {
        if self.taken.len() >= self.limits.peers_max {
            return false;
        }
        let ip = ip.to_canonical();
        if port == 0 || !may_be_a_peer(ip, self.limits.loopback) {
            return true;
        }
        let ports = self.ports.entry(ip).or_default();
        if ports.len() < usize::from(self.limits.ports_per_address_max) && !ports.contains(&port) {
            ports.push(port);
            self.taken.push(SocketAddr::new(ip, port));
        }
        true
    }

    /// Takes compact peers of IPv4: 6 bytes each (BEP 23). A rest that is no whole peer is ignored.
    pub(super) fn push_compact_4(&mut self, bytes: &[u8]) {
        for &[a, b, c, d, high, low] in bytes.as_chunks::<6>().0 {
            if !self.push(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])) {
                return;
            }
        }
    }

    /// Takes compact peers of IPv6: 18 bytes each (BEP 7, 15). A rest that is no whole peer is ignored.
    pub(super) fn push_compact_6(&mut self, bytes: &[u8]) {
        for chunk in bytes.as_chunks::<18>().0 {
            let Some((ip, port)) = chunk.split_first_chunk::<16>() else { return };
            let port = port.first_chunk::<2>().map_or(0, |&p| u16::from_be_bytes(p));
            if !self.push(Ipv6Addr::from(*ip).into(), port) {
                return;
            }
        }
    }

    pub(super) fn finish(self) -> Vec<SocketAddr> {
        self.taken
    }
}

fn may_be_a_peer(ip: IpAddr, loopback: bool) -> bool {
    let never = match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(_) => false,
    };
    !(never || ip.is_unspecified() || ip.is_multicast() || (ip.is_loopback() && !loopback))
}

/// Appends a peer in compact form: 6 bytes for IPv4 (BEP 23), 18 for IPv6 (BEP 7).
pub fn write_compact(out: &mut Vec<u8>, peer: SocketAddr) {
    match peer.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&peer.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn compact(peers: &[&str]) -> Vec<u8> {
        let mut out = vec![];
        peers.iter().for_each(|p| write_compact(&mut out, p.parse().unwrap()));
        out
    }

    #[test]
    fn pitfall_20_an_interval_of_zero_or_of_years_is_clamped() {
        let limits = AnswerLimits::default();
        assert_eq!(limits.interval(0), 60);
        assert_eq!(limits.interval(-5), 60);
        assert_eq!(limits.interval(1800), 1800);
        assert_eq!(limits.interval(i64::MAX), 6 * 3600);
    }

    #[test]
    fn pitfall_20_a_list_full_of_one_victim_yields_few_of_its_ports() {
        let limits = AnswerLimits::default();
        let mut peers = Peers::new(&limits);
        for port in 1..=60_000u16 {
            peers.push(Ipv4Addr::new(198, 51, 100, 7).into(), port);
        }
        peers.push(Ipv4Addr::new(198, 51, 100, 8).into(), 1);
        assert_eq!(peers.finish().len(), 5);
    }

    #[test]
    fn pitfall_20_a_million_peers_are_capped() {
        let limits = AnswerLimits { peers_max: 50, ..AnswerLimits::default() };
        let mut bytes = vec![];
        for n in 0..1_000_000u32 {
            bytes.extend_from_slice(&(0x0a00_0000 + n).to_be_bytes());
            bytes.extend_from_slice(&[1, 1]);
        }
        let mut peers = Peers::new(&limits);
        peers.push_compact_4(&bytes);
        assert_eq!(peers.finish().len(), 50);
    }

    #[test]
    fn addresses_that_cannot_be_a_peer_are_dropped() {
        let limits = AnswerLimits::default();
        let mut peers = Peers::new(&limits);
        peers.push_compact_4(&compact(&[
            "0.0.0.0:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "127.0.0.1:1",
            "192.0.2.1:0",
            "192.0.2.1:7",
            "192.0.2.1:7",
        ]));
        peers.push_compact_6(&compact(&[
            "[::]:1",
            "[ff02::1]:1",
            "[::1]:1",
            "[::ffff:192.0.2.2]:9",
            "[2001:db8::1]:5",
        ]));
        let expected = ["192.0.2.1:7", "192.0.2.2:9", "[2001:db8::1]:5"];
        assert_eq!(peers.finish(), expected.map(|p| p.parse().unwrap()));
    }

    #[test]
    fn loopback_peers_are_taken_where_the_tracker_is_there_too() {
        let limits = AnswerLimits { loopback: true, ..AnswerLimits::default() };
        let mut peers = Peers::new(&limits);
        peers.push_compact_4(&compact(&["127.0.0.1:1"]));
        assert_eq!(peers.finish().len(), 1);
    }

    #[test]
    fn text_for_the_user_is_bounded_and_has_no_control_characters() {
        let limits = AnswerLimits { text_bytes_max: 6, ..AnswerLimits::default() };
        assert_eq!(&*limits.text(b"a\x1b[2\nJ tail"), "a [2 J");
    }
}
