//! Peer exchange (BEP 11) of one swarm: who is told of whom and when, and what is believed of what peers tell. It owns
//! no session and no address book: who joins, leaves and speaks comes in, messages and addresses go out.
//!
//! ```
//! use core::time::Duration;
//! use millstream_core::base::Instant;
//! use millstream_core::pex::{Pex, PexConfig};
//! use millstream_core::wire::pex::PexFlags;
//!
//! let mut pex = Pex::new(PexConfig::default());
//! let now = Instant::ZERO;
//! pex.on_joined(now, 1, "192.0.2.1:6881".parse().unwrap(), PexFlags::SEED);
//! pex.on_joined(now, 2, "192.0.2.2:6881".parse().unwrap(), PexFlags::default());
//! pex.on_speaks(now, 1, true); // peer 1 wants to hear of others
//! let due = pex.deadline().unwrap();
//! let (to, message) = pex.next_message(due).unwrap();
//! assert_eq!((to, message.added.len()), (1, 1));
//! ```

mod hearing;
mod members;
mod telling;

#[cfg(test)]
mod tests;

pub use hearing::{PexCounts, PexIgnored, may_be_known_to};

use crate::base::{Instant, Timers};
use crate::wire::pex::PexFlags;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use hearing::Hearing;
use members::Members;

/// Bounds of what is told and of what is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PexConfig {
    /// The pause between two messages to one peer, milliseconds; the BEP wants a minute at least.
    pub interval_ms: u64,
    /// The pause before the first message to a peer, milliseconds: more peers fit into one message.
    pub first_ms: u64,
    /// Peers named as added in one message but the first, and as dropped in any. The BEP wants 50 at most.
    pub peers_max: usize,
    /// Peers named in the first message to a peer.
    pub first_peers_max: usize,
    /// Peers that one peer is told of and that aren't dropped yet, 4 bytes each. Beyond it none is added.
    pub told_max: usize,
    /// Peers that left and of whose leaving somebody is still to be told, about 80 bytes each. Beyond it the oldest are
    /// forgotten, and never said to be gone.
    pub gone_max: usize,
    /// Messages of one peer that come sooner than this after the last one are ignored, milliseconds. It is less than the
    /// BEP's minute, since networks hold messages up.
    pub heard_interval_ms: u64,
    /// Peers taken in from one message, of each list and family. What is beyond is ignored.
    pub heard_max: usize,
    /// The same for the first message of a peer, which may be larger.
    pub first_heard_max: usize,
    /// Addresses believed of one peer. More lets one peer fill the book.
    pub share_max: u64,
    /// One address more is believed after each such time, milliseconds.
    pub share_refill_ms: u64,
}

impl Default for PexConfig {
    fn default() -> Self {
        Self {
            interval_ms: 60_000,
            first_ms: 2_000,
            peers_max: 50,
            first_peers_max: 100,
            told_max: 250,
            gone_max: 500,
            heard_interval_ms: 45_000,
            heard_max: 100,
            first_heard_max: 250,
            share_max: 250,
            share_refill_ms: 10_000,
        }
    }
}

/// The exchange of one swarm. Peers go by the numbers that the caller gives them, which count up and are never reused.
#[derive(Debug)]
pub struct Pex {
    config: PexConfig,
    members: Members,
    speakers: BTreeMap<u32, Speaker>,
    timers: Timers<u32>,
    counts: PexCounts,
}

/// A peer that speaks `ut_pex`.
#[derive(Debug)]
struct Speaker {
    /// Whom it was told of and not yet that they are gone, in order.
    told: Vec<u32>,
    /// Those who left recently up to this one were shown to it already.
    shown: u64,
    /// It may be written to from now on.
    next_at: Instant,
    /// It was written to before.
    begun: bool,
    armed: Option<Instant>,
    hearing: Hearing,
}

impl Pex {
    /// Nobody is here yet.
    pub fn new(config: PexConfig) -> Self {
        Self {
            config,
            members: Members::default(),
            speakers: BTreeMap::new(),
            timers: Timers::default(),
            counts: PexCounts::default(),
        }
    }

    /// A peer is connected, and it is known where it listens. Of a link-local address nobody is told: it leads nowhere
    /// from another link, and doesn't say from which.
    pub fn on_joined(&mut self, now: Instant, n: u32, addr: SocketAddr, flags: PexFlags) {
        if matches!(addr, SocketAddr::V6(addr) if addr.ip().is_unicast_link_local()) {
            return;
        }
        if self.members.on_joined(n, addr, flags) {
            self.arm_all(now);
        }
    }

    /// More is known of a peer that joined.
    pub fn on_flags(&mut self, n: u32, flags: PexFlags) {
        self.members.on_flags(n, flags);
    }

    /// A peer's link is gone. `worthy`: it was let go though nothing is wrong with it, so that others may still be told
    /// of it while few are here.
    pub fn on_left(&mut self, now: Instant, n: u32, worthy: bool) {
        self.on_speaks(now, n, false);
        if self.members.on_left(n, worthy) {
            self.forget_oldest();
            self.arm_all(now);
        }
    }

    /// A peer speaks `ut_pex`, or doesn't any more (BEP 10).
    pub fn on_speaks(&mut self, now: Instant, n: u32, speaks: bool) {
        if !speaks {
            let Some(mut speaker) = self.speakers.remove(&n) else { return };
            self.timers.disarm(n, &mut speaker.armed);
            for member in speaker.told {
                self.members.release(member);
            }
            return;
        }
        let next_at = now + Duration::from_millis(self.config.first_ms);
        let speaker = self.speakers.entry(n).or_insert_with(|| Speaker {
            told: Vec::new(),
            shown: 0,
            next_at,
            begun: false,
            armed: None,
            hearing: Hearing::new(now),
        });
        self.timers.arm(n, &mut speaker.armed, Some(speaker.next_at));
    }

    /// When `next_message` may have one.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How much of what peers sent was ignored, and why.
    pub fn counts(&self) -> PexCounts {
        self.counts
    }

    /// Something changed: everyone may hear of it, as soon as they may be written to.
    fn arm_all(&mut self, now: Instant) {
        for (&n, speaker) in &mut self.speakers {
            self.timers.arm(n, &mut speaker.armed, Some(speaker.next_at.max(now)));
        }
    }

    /// Too many are gone of whom somebody is still to be told.
    fn forget_oldest(&mut self) {
        while let Some(oldest) = self.members.oldest_gone(self.config.gone_max) {
            for speaker in self.speakers.values_mut() {
                if let Ok(at) = speaker.told.binary_search(&oldest) {
                    speaker.told.remove(at);
                }
            }
            self.members.remove(oldest);
        }
    }
}
