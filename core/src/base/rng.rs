//! The one source of chance: ChaCha from a seed, forked by label so that rooms don't disturb each other's draws.

use alloc::boxed::Box;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// A seeded stream of random numbers. Equal seeds give equal streams on every machine. One that nothing was drawn from
/// costs its seed alone: most torrents and links rest.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: [u8; 32],
    stream: Option<Box<ChaCha12Rng>>,
}

impl Rng {
    /// A stream from a seed. Drivers take the seed from the operating system, tests from a number.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, stream: None }
    }

    /// An independent stream for `label`; it doesn't depend on what was drawn from this one before.
    #[must_use]
    pub fn fork(&self, label: &str) -> Self {
        self.fork_at(label, 0)
    }

    /// An independent stream for the `n`-th of `label`.
    #[must_use]
    pub fn fork_at(&self, label: &str, n: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(n.to_le_bytes());
        hash.update(label.as_bytes());
        Self::new(hash.finalize().into())
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.stream().next_u64()
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.stream().next_u32()
    }

    /// A number below `n`; 0 if `n` is 0. The bias is below 2^-32 for every `n` below 2^32.
    pub fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(n);
        (wide >> 64) as u64
    }

    /// An index below `len`; `None` if `len` is 0.
    pub fn index(&mut self, len: usize) -> Option<usize> {
        if len == 0 { None } else { Some(self.below(len as u64) as usize) }
    }

    /// True `num` times out of `den`.
    pub fn chance(&mut self, num: u64, den: u64) -> bool {
        self.below(den) < num
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.stream().fill_bytes(out);
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    fn stream(&mut self) -> &mut ChaCha12Rng {
        self.stream.get_or_insert_with(|| Box::new(ChaCha12Rng::from_seed(self.seed)))
    }

    /// Puts `items` into random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn equal_seeds_give_equal_streams_and_forks_are_independent_of_draws() {
        let mut a = Rng::new([7; 32]);
        let fork = a.fork("x").next_u64();
        let first: Vec<u64> = (0..4).map(|_| a.next_u64()).collect();
        assert_eq!(a.fork("x").next_u64(), fork);
        assert_ne!(a.fork("y").next_u64(), fork);
        assert_ne!(a.fork_at("x", 1).next_u64(), fork);
        let mut b = Rng::new([7; 32]);
        assert_eq!(first, (0..4).map(|_| b.next_u64()).collect::<Vec<_>>());
    }

    #[test]
    fn a_stream_that_was_never_drawn_from_costs_its_seed() {
        assert!(size_of::<Rng>() <= 40);
        let mut rng = Rng::new([7; 32]);
        assert!(rng.stream.is_none() && rng.fork("x").stream.is_none());
        rng.next_u64();
        assert!(rng.stream.is_some());
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut rng = Rng::new([1; 32]);
        let mut seen = [false; 7];
        for _ in 0..500 {
            seen[rng.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.index(0), None);
    }
}
