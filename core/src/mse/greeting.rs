//! What both sides do alike: a key and padding first, padding of any length later, levels in common; and short ways to
//! make a step.

use super::{MseError, Step, Then};
use crate::base::Rng;
use crate::wire::mse::{Levels, PAD_BYTES_MAX, PublicKey};
use alloc::vec::Vec;

impl Step {
    pub(super) const WAIT: Self = Self { say: Vec::new(), then: Then::Wait };

    pub(super) const fn then(then: Then) -> Self {
        Self { say: Vec::new(), then }
    }

    pub(super) const fn fault(error: MseError) -> Self {
        Self::then(Then::Fault(error))
    }

    /// The same, with `say` sent before.
    pub(super) fn after(mut self, mut say: Vec<u8>) -> Self {
        say.append(&mut self.say);
        Self { say, ..self }
    }
}

/// A public key and padding of any length, as both sides begin.
pub(super) fn greeting(key: &PublicKey, rng: &mut Rng) -> Vec<u8> {
    let mut say = key.0.to_vec();
    let from = say.len();
    say.resize(from + pad_bytes(rng), 0);
    if let Some(pad) = say.get_mut(from..) {
        rng.fill(pad);
    }
    say
}

/// As much padding as chance wants.
pub(super) fn pad_bytes(rng: &mut Rng) -> usize {
    rng.below(PAD_BYTES_MAX as u64 + 1) as usize
}

/// The levels that both sides name.
pub(super) fn common(ours: Levels, theirs: Levels) -> Levels {
    Levels(ours.0 & theirs.0)
}
