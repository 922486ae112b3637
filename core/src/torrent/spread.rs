//! Who passes on what it gets: a seed remembers what it gave to one peer alone until somebody else has it. What follows
//! for whom is served is choking's.

use super::Torrent;
use crate::base::PieceIndex;

/// Pieces remembered that a peer alone was given.
const GIVEN_MAX: u32 = 64;

impl Torrent {
    /// A peer asks for a piece: if nobody else has it, that peer is entrusted with it.
    pub(super) fn on_requested(&mut self, n: u32, piece: PieceIndex) {
        if !self.is_seeding() || self.given.contains_key(&piece) {
            return;
        }
        let Some(content) = self.content.as_deref().filter(|c| c.picker.availability(piece) == 0) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(&n)
            && peer.given < GIVEN_MAX
        {
            peer.given += 1;
            peer.entrusted += u64::from(content.geometry.length_of(piece));
            self.given.insert(piece, n);
        }
    }

    /// Someone has a piece: if we gave it to one other peer only, that one passed it on.
    pub(super) fn credit_spread(&mut self, n: u32, piece: PieceIndex, length: u64) {
        let Some(&other) = self.given.get(&piece).filter(|&&other| other != n) else { return };
        self.given.remove(&piece);
        if let Some(peer) = self.peers.get_mut(&other) {
            peer.given -= 1;
            peer.spread += length;
        }
    }
}
