//! RC4 as this protocol uses it: each direction its own key, the first 1024 bytes of the key stream thrown away.

use crate::wire::mse::HASH_BYTES;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use rc4::{KeyInit as _, Rc4, StreamCipher as _};

const DROPPED_BYTES: usize = 1024;

/// One direction's key stream.
pub struct Cipher(Box<Rc4>);

impl Cipher {
    /// The key stream of a key, ready for its first byte.
    pub fn new(key: &[u8; HASH_BYTES]) -> Self {
        let mut cipher = Rc4::new_from_slice(key).expect("RC4 takes keys from 1 to 256 bytes");
        cipher.apply_keystream(&mut [0; DROPPED_BYTES]);
        Self(Box::new(cipher))
    }

    /// Encrypts or decrypts in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }

    /// Encrypts or decrypts into a buffer of its own. (A copy costs next to nothing beside the cipher.)
    pub fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        self.apply(&mut out);
        out
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_7_the_first_1024_bytes_of_the_key_stream_are_thrown_away() {
        // RC4 by its definition, once more.
        let key: [u8; 20] = core::array::from_fn(|i| i as u8 + 1);
        let mut state: [u8; 256] = core::array::from_fn(|i| i as u8);
        let mut j = 0_u8;
        for i in 0..256 {
            j = j.wrapping_add(state[i]).wrapping_add(key[i % 20]);
            state.swap(i, usize::from(j));
        }
        let (mut i, mut j) = (0_u8, 0_u8);
        let mut next = || {
            i = i.wrapping_add(1);
            j = j.wrapping_add(state[usize::from(i)]);
            state.swap(usize::from(i), usize::from(j));
            state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))]
        };
        let stream: Vec<u8> = (0..1040).map(|_| next()).collect();
        let mut out = [0; 16];
        Cipher::new(&key).apply(&mut out);
        assert_eq!(out, stream[1024..]);
    }

    #[test]
    fn a_copy_is_what_changing_in_place_gives() {
        let key = [9; 20];
        let mut bytes = *b"some bytes of a block";
        let copy = Cipher::new(&key).copy(&bytes);
        Cipher::new(&key).apply(&mut bytes);
        assert_eq!(copy, bytes);
    }
}
