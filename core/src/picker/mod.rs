//! Which piece is in which state, and which block to ask of whom next. Knows a `SourceId`, no peers: a web seed is a
//! source like a peer. It holds no payload, computes no digest and draws no chance of its own.
//!
//! | file | owns |
//! |---|---|
//! | `state` | the states of a piece and every transition between them |
//! | `partial` | the blocks of one piece that is being fetched |
//! | `rarity` | how many sources have which piece; the pieces not begun, sorted by priority and rarity |
//! | `selection` | priorities, and what is settled by them |
//! | `facts` | what happened: `on_<fact>` |
//! | `pick` | what to ask next |
//! | `run` | what to ask next of a source that streams |
//! | `super_seed` | what a super-seed reveals to whom (BEP 16); stands alone |
//!
//! A torrent that rests pays for its own bitfield only: counts of copies live while some source is no seed, the order
//! of pieces lives from the first pick to the last wanted piece, or the departure of the last source.

mod facts;
mod partial;
mod pick;
mod rarity;
mod run;
mod selection;
mod state;
mod super_seed;
#[cfg(test)]
mod tests;

pub use pick::Pick;
pub use rarity::Copies;
pub use selection::{PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN};
pub use state::PieceState;
pub use super_seed::SuperSeed;

use crate::base::{Bits, Geometry, Instant, PieceIndex};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use partial::{Partial, Slot};
use rarity::{Availability, Order};
use selection::Selection;

/// Somebody blocks can be asked of: a peer of the swarm, or a web seed. The caller gives out the numbers, and gives none
/// again while blocks that came from its first owner are unsettled (`Picker::senders`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// What a source has.
#[derive(Clone, Copy, Debug)]
pub enum PeerPieces<'a> {
    /// All pieces: a seed, a web seed.
    All,
    /// These.
    Some(&'a Bits),
}

impl PeerPieces<'_> {
    /// Whether the source has the piece.
    pub fn has(&self, piece: PieceIndex) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) => bits.get(piece.get()),
        }
    }
}

/// The picker's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Sources that one block is asked of at the same time, in the end game or past a deadline. Default 3. More ends a
    /// download sooner and wastes more.
    pub askers_max: u8,
    /// Requests under way to a source beyond which it gets no block that another is already asked for. Default 16.
    pub end_game_asked_max: u16,
    /// A piece counts as late this long before its deadline: its blocks are then asked of several sources.
    /// Milliseconds, default 1,000.
    pub deadline_margin_ms: u32,
    /// Pieces with blocks to ask, per source; beyond it, sources share pieces rather than begin new ones. Default 2. More
    /// leaves more of the torrent half done.
    pub open_pieces_per_source_max: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            askers_max: 3,
            end_game_asked_max: 16,
            deadline_margin_ms: 1_000,
            open_pieces_per_source_max: 2,
        }
    }
}

/// What a block that came means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum BlockOutcome {
    /// Keep it.
    Accepted {
        /// It was the last one of its piece: take the digest.
        complete: bool,
        /// Sources that were asked for it too: CANCEL it there. Their requests are forgotten here.
        cancel: Vec<SourceId>,
    },
    /// It was here before: drop it. Its request is forgotten here.
    Duplicate,
    /// Nobody was asked for it, or it is no block of ours: drop it.
    Unwanted,
}

/// What the room knows of a source that was asked for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Source {
    /// The piece that its next blocks come from, as long as that has some.
    working: Option<PieceIndex>,
    /// Requests under way.
    asked: u32,
    /// It let us wait: what it is asked for, others may be asked for.
    snubbed: bool,
}

/// The pieces of one torrent: their states, and what to ask next.
#[derive(Clone, Debug)]
pub struct Picker {
    config: Config,
    geometry: Arc<Geometry>,
    have: Bits,
    selection: Option<Box<Selection>>,
    sequential: bool,
    availability: Availability,
    /// The pieces not begun, sorted. Made by the first pick, dropped when priorities change, nothing is
    /// wanted any more, or all sources are gone.
    order: Option<Box<Order>>,
    partials: BTreeMap<PieceIndex, Partial>,
    /// The partial pieces that are wanted and have blocks to ask.
    open: BTreeSet<PieceIndex>,
    sources: BTreeMap<SourceId, Source>,
    deadlines: BTreeSet<(Instant, PieceIndex)>,
    bytes_left: u64,
    wanted_bytes_left: u64,
    wanted_left: u32,
}

impl Picker {
    /// A torrent of which `have` is on disk and verified. All pieces are wanted, at `PRIORITY_DEFAULT`. Numbers in
    /// `have` beyond the torrent's pieces are left out.
    pub fn new(geometry: Arc<Geometry>, have: &Bits, config: Config) -> Self {
        let mut ours = Bits::new(geometry.pieces());
        let mut bytes_left = geometry.length();
        for piece in have.iter().map_while(|i| geometry.piece(i)) {
            ours.set(piece.get());
            bytes_left -= u64::from(geometry.length_of(piece));
        }
        Self {
            config,
            wanted_left: geometry.pieces() - ours.count(),
            have: ours,
            selection: None,
            sequential: false,
            availability: Availability::default(),
            order: None,
            partials: BTreeMap::new(),
            open: BTreeSet::new(),
            sources: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            bytes_left,
            wanted_bytes_left: bytes_left,
            geometry,
        }
    }

    /// The pieces that are written and verified: what HAVE and BITFIELD may say.
    pub fn have(&self) -> &Bits {
        &self.have
    }

    /// The state of a piece.
    pub fn state(&self, piece: PieceIndex) -> PieceState {
        if self.have.get(piece.get()) {
            return PieceState::Have;
        }
        match self.partials.get(&piece) {
            Some(partial) => partial.stage.state(),
            None if self.priority(piece) == 0 => PieceState::Unwanted,
            None => PieceState::Missing,
        }
    }

    /// Whether every piece is written and verified.
    pub fn is_complete(&self) -> bool {
        self.have.is_full()
    }

    /// Whether every wanted piece is written and verified.
    pub fn is_wanted_complete(&self) -> bool {
        self.wanted_left == 0
    }

    /// Wanted pieces that are not yet written and verified.
    pub fn wanted_left(&self) -> u32 {
        self.wanted_left
    }

    /// Bytes of the wanted pieces that are not yet written and verified.
    pub fn wanted_bytes_left(&self) -> u64 {
        self.wanted_bytes_left
    }

    /// Bytes of all pieces that are not yet written and verified: the `left` of an announce (BEP 3).
    pub fn bytes_left(&self) -> u64 {
        self.bytes_left
    }

    /// Pieces being fetched, checked or written.
    pub fn partial_pieces(&self) -> usize {
        self.partials.len()
    }

    /// The pieces being fetched, checked or written, upwards, each with its state.
    pub fn partials(&self) -> impl Iterator<Item = (PieceIndex, PieceState)> {
        self.partials.iter().map(|(&piece, partial)| (piece, partial.stage.state()))
    }

    /// Whether a source with these pieces has one that is wanted and not yet here. One pass over the bitfield at most,
    /// O(1) for a seed; the answer can change to `true` by a HAVE, a loss or a priority, to `false` by a piece's end.
    pub fn is_interesting(&self, pieces: PeerPieces<'_>) -> bool {
        match pieces {
            PeerPieces::All => self.wanted_left > 0,
            PeerPieces::Some(bits) => self.wanted_left > 0 && bits.has_more_than(self.settled()),
        }
    }

    /// Whether this piece is wanted and not yet here: what a HAVE for it does to interest, in O(1).
    pub fn is_needed(&self, piece: PieceIndex) -> bool {
        !self.settled().get(piece.get())
    }

    /// How many sources have the piece, seeds included, ourselves not.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.availability.of(piece)
    }

    /// How many whole copies the sources and we hold together. One pass over all pieces.
    pub fn copies(&self) -> Copies {
        self.availability.copies(&self.have)
    }

    /// Requests under way to a source.
    pub fn asked(&self, source: SourceId) -> u32 {
        self.sources.get(&source).map_or(0, |s| s.asked)
    }

    /// Who sent which block (by number) of a piece that is not settled yet. Ask before `on_hash_failed` forgets it.
    pub fn senders(&self, piece: PieceIndex) -> impl Iterator<Item = (u32, SourceId)> {
        let slots = self.partials.get(&piece).map_or(&[][..], |partial| &partial.slots);
        slots.iter().zip(0..).filter_map(|(slot, n)| match slot {
            Slot::Received(source) => Some((n, *source)),
            Slot::Free | Slot::Asked(_) => None,
        })
    }

    /// Who is asked for which block (by number) of a piece: what to cancel when the piece is unselected.
    pub fn askers(&self, piece: PieceIndex) -> impl Iterator<Item = (u32, SourceId)> {
        self.partials.get(&piece).into_iter().flat_map(Partial::askers)
    }

    /// The blocks (by number) of a partial piece that have come: what resume data may keep.
    pub fn received(&self, piece: PieceIndex) -> impl Iterator<Item = u32> {
        self.senders(piece).map(|(n, _)| n)
    }

    fn settled(&self) -> &Bits {
        self.selection.as_ref().map_or(&self.have, |selection| &selection.settled)
    }
}
