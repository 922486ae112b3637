//! What peers tell, and how much of it is believed: bounded for each message, in time, and for each peer.

use super::Pex;
use crate::base::Instant;
use crate::wire::pex::{PexError, PexFlags, PexMessage, PexPeer};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use thiserror::Error;

/// Why a whole message is ignored. Its sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PexIgnored {
    /// It comes too soon after the one before.
    #[error("a PEX message too soon after the last one")]
    TooOften,
    /// It can't be read.
    #[error(transparent)]
    Malformed(#[from] PexError),
    /// Its sender was not asked for any.
    #[error("nobody asked for PEX messages")]
    Unasked,
}

/// How much of what peers sent was ignored, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PexCounts {
    /// Messages that came too soon after the one before.
    pub too_often: u64,
    /// Messages that couldn't be read.
    pub malformed: u64,
    /// Peers beyond what one message may name.
    pub excess: u64,
    /// Addresses that nobody can have, or nobody whom the sender could know.
    pub junk: u64,
    /// Addresses named twice in one message, or with another port.
    pub repeated: u64,
    /// Addresses beyond what is believed of one peer, or beyond the room there is.
    pub beyond_share: u64,
}

impl PexCounts {
    /// What another counted comes to it.
    pub fn add(&mut self, other: Self) {
        let Self { too_often, malformed, excess, junk, repeated, beyond_share } = other;
        self.too_often += too_often;
        self.malformed += malformed;
        self.excess += excess;
        self.junk += junk;
        self.repeated += repeated;
        self.beyond_share += beyond_share;
    }
}

/// What is kept of a peer as a teller.
#[derive(Debug)]
pub(super) struct Hearing {
    since: Instant,
    last: Option<Instant>,
    taken: u64,
    /// Who it says it is connected to and speaks holepunch: it could bring us together.
    reaches: BTreeSet<SocketAddr>,
}

/// Addresses kept of one peer as those it could bring us together with, about 40 bytes each.
const REACHES_MAX: usize = 100;

impl Hearing {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, last: None, taken: 0, reaches: BTreeSet::new() }
    }
}

impl Pex {
    /// A message of peer `n`, whose own address is `teller`, came. Answers whom to believe in, at most `room` of them;
    /// all else is counted.
    pub fn on_message(
        &mut self,
        now: Instant,
        (n, teller): (u32, IpAddr),
        payload: &[u8],
        room: usize,
    ) -> Result<Vec<PexPeer>, PexIgnored> {
        let (config, counts) = (&self.config, &mut self.counts);
        let hearing = match self.speakers.get_mut(&n) {
            Some(speaker) => &mut speaker.hearing,
            None => return Err(PexIgnored::Unasked),
        };
        let pause = Duration::from_millis(config.heard_interval_ms);
        if hearing.last.is_some_and(|last| now < last + pause) {
            counts.too_often += 1;
            return Err(PexIgnored::TooOften);
        }
        let max = if hearing.last.is_none() { config.first_heard_max } else { config.heard_max };
        hearing.last = Some(now);
        let message = PexMessage::parse(payload, max).inspect_err(|_| counts.malformed += 1)?;
        counts.excess += message.excess as u64;
        for addr in &message.dropped {
            hearing.reaches.remove(addr);
        }
        let refilled =
            now.saturating_since(hearing.since).as_millis() / u128::from(config.share_refill_ms.max(1));
        let share = config.share_max.saturating_add(u64::try_from(refilled).unwrap_or(u64::MAX));
        let mut named = BTreeSet::new();
        let mut believed = Vec::new();
        for peer in message.added {
            let ip = peer.addr.ip();
            // Several peers may well be on one host of our own network; on the Internet it is one host that is aimed at.
            let port = if scope(ip) > 0 { peer.addr.port() } else { 0 };
            if !may_be_known_to(teller, peer.addr) {
                counts.junk += 1;
            } else if !named.insert((ip, port)) {
                counts.repeated += 1;
            } else if hearing.taken >= share || believed.len() >= room {
                counts.beyond_share += 1;
            } else {
                hearing.taken += 1;
                if peer.flags.has(PexFlags::HOLEPUNCH) && hearing.reaches.len() < REACHES_MAX {
                    hearing.reaches.insert(peer.addr);
                }
                believed.push(peer);
            }
        }
        Ok(believed)
    }

    /// A peer that could bring us together with the one at `addr` (BEP 55), as far as it told.
    pub fn relay_to(&self, addr: SocketAddr) -> Option<u32> {
        self.speakers.iter().find(|(_, speaker)| speaker.hearing.reaches.contains(&addr)).map(|(&n, _)| n)
    }
}

/// Whether an address can be a peer's, and one that somebody at `teller` can be connected to: who speaks from the
/// Internet knows nobody on our own network, and would have us knock at its doors.
pub fn may_be_known_to(teller: IpAddr, addr: SocketAddr) -> bool {
    let nobody = match addr.ip() {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast(),
        // A link-local one leads nowhere without its link, which no message says.
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local(),
    };
    addr.port() != 0 && !nobody && scope(addr.ip()) <= scope(teller)
}

/// How near an address is: 0 on the Internet, 1 in a private network, 2 on this host.
fn scope(ip: IpAddr) -> u8 {
    match ip.to_canonical() {
        ip if ip.is_loopback() => 2,
        IpAddr::V4(ip) => u8::from(ip.is_private() || ip.is_link_local()),
        IpAddr::V6(ip) => u8::from(ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}
