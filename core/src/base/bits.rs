//! A set of small numbers, as BitTorrent sends it: the high bit of the first byte is number 0.

use alloc::vec;
use alloc::vec::Vec;
use thiserror::Error;

/// What is wrong with bytes that should be a bitfield.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BitsError {
    /// The count of bytes doesn't fit the count of bits.
    #[error("a bitfield of {got} bytes where {wanted} belong")]
    Length {
        /// Bytes that came.
        got: usize,
        /// Bytes that belong.
        wanted: usize,
    },
    /// A bit beyond the last one is set (BEP 3 forbids it).
    #[error("a spare bit at the end of the bitfield is set")]
    Spare,
}

/// A set of numbers below `len`, with its count kept.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bits {
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

impl Bits {
    /// The empty set of numbers below `len`.
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; (len as usize).div_ceil(64)], len, ones: 0 }
    }

    /// All numbers below `len`.
    pub fn full(len: u32) -> Self {
        let mut bits = Self { words: vec![u64::MAX; (len as usize).div_ceil(64)], len, ones: len };
        if let (Some(last), rest @ 1..) = (bits.words.last_mut(), len % 64) {
            *last = !(u64::MAX >> rest);
        }
        bits
    }

    /// Reads the bytes of a BITFIELD message (BEP 3) for `len` pieces.
    pub fn from_bytes(bytes: &[u8], len: u32) -> Result<Self, BitsError> {
        let wanted = (len as usize).div_ceil(8);
        if bytes.len() != wanted {
            return Err(BitsError::Length { got: bytes.len(), wanted });
        }
        let mut bits = Self::new(len);
        for (word, part) in bits.words.iter_mut().zip(bytes.chunks(8)) {
            let mut raw = [0; 8];
            raw[..part.len()].copy_from_slice(part);
            *word = u64::from_be_bytes(raw);
        }
        let rest = len % 64;
        let last = bits.words.last().copied().unwrap_or(0);
        if rest != 0 && last & (u64::MAX >> rest) != 0 {
            return Err(BitsError::Spare);
        }
        bits.ones = bits.words.iter().map(|w| w.count_ones()).sum();
        Ok(bits)
    }

    /// The bytes of a BITFIELD message (BEP 3).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out: Vec<u8> = self.words.iter().flat_map(|w| w.to_be_bytes()).collect();
        out.truncate((self.len as usize).div_ceil(8));
        out
    }

    /// Whether `i` is in the set.
    pub fn get(&self, i: u32) -> bool {
        self.words.get(i as usize / 64).is_some_and(|w| w & mask(i) != 0)
    }

    /// Puts `i` in; answers whether that changed anything. Numbers beyond `len` are left out.
    pub fn set(&mut self, i: u32) -> bool {
        if i >= self.len {
            return false;
        }
        let word = &mut self.words[i as usize / 64];
        let new = *word & mask(i) == 0;
        *word |= mask(i);
        self.ones += u32::from(new);
        new
    }

    /// Takes `i` out; answers whether that changed anything.
    pub fn clear(&mut self, i: u32) -> bool {
        let Some(word) = self.words.get_mut(i as usize / 64) else { return false };
        let was = *word & mask(i) != 0;
        *word &= !mask(i);
        self.ones -= u32::from(was);
        was
    }

    /// How many numbers are in the set.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// The bound of its numbers.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no number is in the set.
    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// Whether every number is in the set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// The numbers in the set, upwards.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(n, &word)| {
            let mut left = word;
            core::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.leading_zeros())?;
                left &= !(1 << (63 - bit));
                Some(n as u32 * 64 + bit)
            })
        })
    }

    /// The numbers that are in `self` and in `other`, upwards. Goes by words: 64 numbers at a time where none is.
    pub fn iter_both<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + use<'a> {
        (0u32..).step_by(64).zip(self.words.iter().zip(&other.words)).flat_map(|(first, (a, b))| {
            let mut left = a & b;
            core::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.leading_zeros())?;
                left &= !(1 << (63 - bit));
                Some(first + bit)
            })
        })
    }

    /// The numbers that are in `self` and in `other`, below the `len` of `self`.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        let theirs = other.words.iter().copied().chain(core::iter::repeat(0));
        let words: Vec<u64> = self.words.iter().zip(theirs).map(|(a, b)| a & b).collect();
        let ones = words.iter().map(|word| word.count_ones()).sum();
        Self { words, len: self.len, ones }
    }

    /// Whether some number is in `self` and in `other`.
    pub fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Whether some number in `self` is not in `other`.
    pub fn has_more_than(&self, other: &Self) -> bool {
        let theirs = other.words.iter().copied().chain(core::iter::repeat(0));
        self.words.iter().zip(theirs).any(|(a, b)| a & !b != 0)
    }
}

const fn mask(i: u32) -> u64 {
    1 << (63 - i % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_and_spare_bits_are_refused() {
        let bits = Bits::from_bytes(&[0b1010_0000, 0b0100_0000], 10).unwrap();
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 2, 9]);
        assert_eq!((bits.count(), bits.to_bytes()), (3, vec![0b1010_0000, 0b0100_0000]));
        assert_eq!(Bits::from_bytes(&[0, 0b0010_0000], 10), Err(BitsError::Spare));
        assert_eq!(Bits::from_bytes(&[0], 10), Err(BitsError::Length { got: 1, wanted: 2 }));
        for len in [0, 1, 63, 64, 65, 130] {
            let full = Bits::full(len);
            assert_eq!(Bits::from_bytes(&full.to_bytes(), len).unwrap(), full);
            assert!(full.is_full() && full.iter().count() == len as usize);
        }
    }

    #[test]
    fn what_two_sets_share_comes_upwards() {
        let (mut a, mut b) = (Bits::new(300), Bits::new(290));
        assert!([0, 5, 63, 64, 200, 299].iter().all(|&i| a.set(i)));
        assert!([1, 5, 63, 200, 289].iter().all(|&i| b.set(i)));
        assert_eq!(a.iter_both(&b).collect::<Vec<_>>(), [5, 63, 200]);
        assert!(a.meets(&b) && !a.meets(&Bits::new(300)));
        assert_eq!((a.both(&b).iter().collect::<Vec<_>>(), a.both(&b).count()), (vec![5, 63, 200], 3));
    }

    #[test]
    fn the_count_follows_every_change() {
        let mut bits = Bits::new(70);
        assert!(bits.set(69) && !bits.set(69) && !bits.set(70));
        assert!(bits.get(69) && !bits.get(70));
        assert!(bits.has_more_than(&Bits::new(70)) && !bits.has_more_than(&bits.clone()));
        assert!(bits.clear(69) && !bits.clear(69) && bits.is_empty());
    }
}
