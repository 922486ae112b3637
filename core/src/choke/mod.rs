//! Who is unchoked: pure functions over a slice of peer views, one score per policy, so that policies can be compared.
//! Upload slots belong to the engine, so the views span torrents. This room counts no bytes and sends no message:
//! the layer above fills the views, and chokes and unchokes by the answer.
//!
//! A leeching torrent goes by tit-for-tat (BEP 3). A seeding one goes by a [`SeedPolicy`]; the default, `Spreading`,
//! serves those who pass on what they get. A piece that we sent to a peer when no other leech had it is *entrusted*
//! to it; if it then shows up at a peer that we did not send it to, it was *spread*. Who takes and takes, and gives
//! nothing, is *in debt*: while any other peer of its torrent is interested, or was in the last round, it gets an optimistic slot at best, and no
//! more than a credit in it.

mod round;
mod score;
#[cfg(test)]
mod simulation;

pub use round::{ChokeState, choose, slot_count};
pub use score::{Score, in_debt, score};

use crate::base::{Instant, PeerRef};

/// One peer, as choking sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Who.
    pub id: PeerRef,
    /// It wants something of us.
    pub interested: bool,
    /// When it last wanted something, if not now. Interest comes and goes with every piece.
    pub interested_at: Option<Instant>,
    /// We have unchoked it.
    pub unchoked: bool,
    /// It has let us wait for a block for a minute (BEP 3).
    pub snubbed: bool,
    /// It downloads nothing: a seed, or one that says so (BEP 21).
    pub upload_only: bool,
    /// Our torrent has all that was selected: the seed's policy holds for this peer.
    pub seeding: bool,
    /// Payload it gives us, bytes a second.
    pub down_rate: u64,
    /// Payload we give it, bytes a second.
    pub up_rate: u64,
    /// Payload it ever gave us, bytes.
    pub down_total: u64,
    /// Payload we ever gave it, bytes.
    pub up_total: u64,
    /// Payload we gave it since it was last unchoked, bytes.
    pub up_since_unchoked: u64,
    /// Bytes of pieces that we sent it when no other leech had them: theirs to pass on. For a seed.
    pub entrusted: u64,
    /// Of these, bytes of pieces that next showed up (HAVE) at a peer we had not sent them to.
    pub spread: u64,
    /// Thousandths of the torrent that it has.
    pub have_permille: u32,
    /// When it joined.
    pub joined: Instant,
    /// When it was last unchoked, also if it is choked now.
    pub unchoked_at: Option<Instant>,
}

impl PeerView {
    /// A peer that has just joined, wants something and has given and taken nothing.
    pub fn newcomer(id: PeerRef, joined: Instant) -> Self {
        Self {
            id,
            interested: true,
            interested_at: None,
            unchoked: false,
            snubbed: false,
            upload_only: false,
            seeding: false,
            down_rate: 0,
            up_rate: 0,
            down_total: 0,
            up_total: 0,
            up_since_unchoked: 0,
            entrusted: 0,
            spread: 0,
            have_permille: 0,
            joined,
            unchoked_at: None,
        }
    }
}

/// How a seed chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SeedPolicy {
    /// Each peer in turn, after `quota_bytes`: fair, blind to what becomes of the bytes.
    RoundRobin,
    /// Whoever takes fastest: most bytes a second leave us.
    FastestUpload,
    /// Whoever is near its start or its end: newcomers get something to trade, finishers become seeds.
    AntiLeech,
    /// Whoever passes on what it gets: the swarm needs the fewest bytes of us, and who never uploads comes last.
    #[default]
    Spreading,
}

/// How many peers are unchoked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotCount {
    /// Always so many.
    Fixed(usize),
    /// As many as are worth it: a slot more is opened while each one in use carries `step_bytes` a second more than
    /// the one before it, from the slowest up; never fewer than `slots_min`.
    ByRate {
        /// The fewest slots.
        slots_min: usize,
        /// By how much each further slot's rate must rise, bytes a second. Small opens more slots.
        step_bytes: u64,
    },
}

/// How choking behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChokeConfig {
    /// How many peers are unchoked at once, over all torrents. More slots spread the rate thinner.
    pub slots: SlotCount,
    /// How a seeding torrent chooses.
    pub seed_policy: SeedPolicy,
    /// Between two rounds, milliseconds (BEP 3: 10 s). Shorter reacts sooner and lets TCP ramp up less.
    pub round_ms: u64,
    /// The least time between two rounds when something happens in between, milliseconds. Long
    /// lets a peer in debt take a fast link's worth more.
    pub round_min_ms: u64,
    /// How long an optimistic unchoke lasts, milliseconds (BEP 3: 30 s).
    pub optimistic_ms: u64,
    /// One slot in so many is optimistic, at least one. Fewer optimistic slots find better partners later.
    pub optimistic_one_in: usize,
    /// For so long a peer counts as new and is three times as likely to be drawn, milliseconds.
    pub new_ms: u64,
    /// An unchoked peer's rate counts so many hundredths more, against slots that flap.
    pub hysteresis_percent: u64,
    /// A round-robin turn, bytes.
    pub quota_bytes: u64,
    /// What a peer may take before it must have given, bytes; at least a piece, or a newcomer gets nothing to trade.
    /// Small starves slow starters, large feeds free riders.
    pub credit_bytes: u64,
}

impl Default for ChokeConfig {
    fn default() -> Self {
        Self {
            slots: SlotCount::Fixed(8),
            seed_policy: SeedPolicy::default(),
            round_ms: 10_000,
            round_min_ms: 100,
            optimistic_ms: 30_000,
            optimistic_one_in: 5,
            new_ms: 60_000,
            hysteresis_percent: 25,
            quota_bytes: 16 << 20,
            credit_bytes: 4 << 20,
        }
    }
}
