//! What can be asked about a session. Nothing here changes it.

use super::fact::Fault;
use super::session::{PeerTraits, Session};
use crate::base::{Bits, BlockRef, Geometry, Meter, PieceIndex};
use crate::wire::extension::Extension;
use alloc::sync::Arc;
use core::time::Duration;

/// What a session knows.
impl Session {
    /// What was agreed upon.
    pub fn traits(&self) -> PeerTraits {
        self.traits
    }

    /// Whether we choke the peer. So it begins.
    pub fn am_choking(&self) -> bool {
        self.flags.am_choking
    }

    /// Whether we want pieces of the peer.
    pub fn am_interested(&self) -> bool {
        self.flags.am_interested
    }

    /// Whether the peer chokes us. So it begins.
    pub fn peer_choking(&self) -> bool {
        self.flags.peer_choking
    }

    /// Whether the peer wants pieces of ours.
    pub fn peer_interested(&self) -> bool {
        self.flags.peer_interested
    }

    /// Whether the peer says that it wants nothing more (BEP 21).
    pub fn peer_upload_only(&self) -> bool {
        self.flags.peer_upload_only
    }

    /// What the peer has; empty and of length 0 while there is no geometry.
    pub fn peer_pieces(&self) -> &Bits {
        self.remote.bits()
    }

    /// What the peer lets us ask for while it chokes us (BEP 6).
    pub fn allowed_fast(&self) -> &[PieceIndex] {
        &self.allowed_to_us
    }

    /// The client that the peer says it is (BEP 10).
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Whether the peer takes messages of this extension now (BEP 10).
    pub fn speaks(&self, extension: Extension) -> bool {
        self.peer_id_of(extension).is_some()
    }

    pub(super) fn peer_id_of(&self, extension: Extension) -> Option<u8> {
        let at = Extension::ALL.iter().position(|&e| e == extension)?;
        self.m.get(at).copied().filter(|&id| id != 0)
    }

    /// How many requests the peer says it keeps.
    pub fn reqq(&self) -> u32 {
        self.reqq.unwrap_or(self.config.requests_untold_max)
    }

    /// The metadata's pieces and blocks, once known.
    pub fn geometry(&self) -> Option<&Arc<Geometry>> {
        self.geometry.as_ref()
    }

    /// Why the session ended, if it has.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether the peer owes us blocks and sends none.
    pub fn is_snubbed(&self) -> bool {
        self.pipeline.is_snubbed()
    }

    /// Blocks that came, in bytes.
    pub fn downloaded(&self) -> &Meter {
        &self.down
    }

    /// Blocks that were written, in bytes.
    pub fn uploaded(&self) -> &Meter {
        &self.up
    }

    /// Whether a request for this piece would be served: the peer has it, and unchokes us or allows it.
    pub fn may_request(&self, piece: PieceIndex) -> bool {
        let allowed = !self.flags.peer_choking || self.allowed_to_us.contains(&piece);
        allowed && self.remote.bits().get(piece.get()) && self.fault.is_none()
    }

    /// How many requests more the pipeline wants. While the peer chokes us, only pieces that it allows
    /// (`may_request`) can be asked for.
    pub fn requests_wanted(&self) -> u32 {
        let none = self.flags.peer_choking && self.allowed_to_us.is_empty();
        if none || self.fault.is_some() || self.geometry.is_none() {
            return 0;
        }
        self.pipeline.wanted(&self.config, self.reqq())
    }

    /// The requests that wait for an answer, oldest first.
    pub fn requests(&self) -> impl Iterator<Item = BlockRef> {
        self.pipeline.iter()
    }

    /// How many requests wait for an answer.
    pub fn requests_outstanding(&self) -> u32 {
        self.pipeline.len()
    }

    /// How many bytes are asked for and have not come.
    pub fn requested_bytes(&self) -> u32 {
        self.pipeline.bytes()
    }

    /// How many requests should be outstanding at the rate of late.
    pub fn pipeline_depth(&self) -> u32 {
        self.pipeline.depth()
    }

    /// The shortest time from a request to its answer.
    pub fn round_trip(&self) -> Option<Duration> {
        self.pipeline.round_trip()
    }
}
