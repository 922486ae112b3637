//! What the peer has: its bitfield, have-all or have-none and its HAVE messages, also from before the geometry is
//! known. Which of it is worth having is decided above.

use super::SessionConfig;
use super::fact::{Fault, Malformed, Misbehaved};
use crate::base::{Bits, Geometry, PieceIndex};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The pieces of a peer.
#[derive(Debug, Default)]
pub(super) struct Remote {
    bits: Bits,
    /// Whether the time for a bitfield, have-all or have-none is over.
    told: bool,
    early: Option<Box<Early>>,
    /// Told by a late bitfield, and not yet passed on.
    late: Vec<PieceIndex>,
}

/// What came before the geometry was known, as it came.
#[derive(Debug, Default)]
struct Early {
    pieces: Option<Told>,
    haves: Vec<u32>,
    allowed_fast: Vec<u32>,
}

/// What a peer tells about its pieces at the beginning.
#[derive(Debug)]
pub(super) enum Told {
    /// Have-all (BEP 6).
    All,
    /// Have-none (BEP 6).
    None,
    /// A bitfield, unread.
    Bitfield(Vec<u8>),
}

/// What a bitfield, have-all or have-none brought.
#[derive(Debug)]
pub(super) enum News {
    /// It is kept until the geometry is known.
    Later,
    /// It is known now what the peer has.
    All,
    /// The peer has more pieces: see `Remote::next_late`.
    Haves,
}

/// What is known once the geometry is.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Whether anything was told about pieces.
    pub(super) pieces: bool,
    /// What was allowed fast.
    pub(super) allowed_fast: Vec<PieceIndex>,
}

impl Remote {
    pub(super) fn new(geometry: Option<&Geometry>) -> Self {
        Self {
            bits: Bits::new(geometry.map_or(0, Geometry::pieces)),
            told: false,
            early: None,
            late: Vec::new(),
        }
    }

    pub(super) fn bits(&self) -> &Bits {
        &self.bits
    }

    /// A HAVE, REQUEST or PIECE: a bitfield is late from now on (BEP 3).
    pub(super) fn close(&mut self) {
        self.told = true;
    }

    /// A bitfield, have-all or have-none.
    ///
    /// BEP 3 and 6 let it come once, before all else; aria2 sends bitfields again in place of many HAVEs. What comes
    /// late is taken as that: HAVEs for what is new in it.
    pub(super) fn on_told(&mut self, told: Told, geometry: Option<&Geometry>) -> Result<News, Fault> {
        let late = core::mem::replace(&mut self.told, true);
        let Some(geometry) = geometry else {
            self.early.get_or_insert_default().pieces = Some(told);
            return Ok(News::Later);
        };
        let bits = told.read(geometry)?;
        if !late {
            self.bits = bits;
            return Ok(News::All);
        }
        self.late =
            bits.iter().filter(|&index| !self.bits.get(index)).filter_map(|i| geometry.piece(i)).collect();
        Ok(News::Haves)
    }

    /// The next piece that a late bitfield told. The peer has it from now on: as with HAVE, one at a time, so that whoever
    /// counts pieces counts each once.
    pub(super) fn next_late(&mut self) -> Option<PieceIndex> {
        let piece = self.late.pop();
        match piece {
            Some(piece) => {
                self.bits.set(piece.get());
            }
            None if self.late.capacity() > 0 => self.late = Vec::new(),
            None => {}
        }
        piece
    }

    /// A HAVE; gives the piece if it is news.
    pub(super) fn on_have(
        &mut self,
        index: u32,
        geometry: Option<&Geometry>,
        config: &SessionConfig,
    ) -> Result<Option<PieceIndex>, Fault> {
        self.told = true;
        let Some(geometry) = geometry else {
            let haves = &mut self.early.get_or_insert_default().haves;
            if haves.len() < config.early_haves_max {
                haves.push(index);
            }
            return Ok(None);
        };
        let piece = geometry.piece(index).ok_or(Misbehaved::NoSuchPiece(index))?;
        Ok(self.bits.set(index).then_some(piece))
    }

    /// A piece is gone again (BEP 54); answers whether the peer had it.
    pub(super) fn on_dont_have(&mut self, index: u32) -> bool {
        if let Some(early) = &mut self.early {
            early.haves.retain(|&have| have != index);
        }
        self.bits.clear(index)
    }

    /// An allowed-fast piece from before the geometry.
    pub(super) fn on_early_allowed_fast(&mut self, index: u32, config: &SessionConfig) {
        let allowed = &mut self.early.get_or_insert_default().allowed_fast;
        if allowed.len() < config.allowed_fast_max && !allowed.contains(&index) {
            allowed.push(index);
        }
    }

    /// The geometry is known: what came before it is read now.
    pub(super) fn on_geometry(&mut self, geometry: &Geometry) -> Result<Resolved, Fault> {
        self.bits = Bits::new(geometry.pieces());
        let Some(early) = self.early.take() else { return Ok(Resolved::default()) };
        let pieces = early.pieces.is_some() || !early.haves.is_empty();
        if let Some(told) = early.pieces {
            self.bits = told.read(geometry)?;
        }
        for index in early.haves {
            let piece = geometry.piece(index).ok_or(Misbehaved::NoSuchPiece(index))?;
            self.bits.set(piece.get());
        }
        let allowed_fast = early.allowed_fast.into_iter().filter_map(|i| geometry.piece(i)).collect();
        Ok(Resolved { pieces, allowed_fast })
    }
}

impl Told {
    fn read(self, geometry: &Geometry) -> Result<Bits, Fault> {
        let pieces = geometry.pieces();
        match self {
            Self::All => Ok(Bits::full(pieces)),
            Self::None => Ok(Bits::new(pieces)),
            Self::Bitfield(bytes) => Ok(Bits::from_bytes(&bytes, pieces).map_err(Malformed::from)?),
        }
    }
}
