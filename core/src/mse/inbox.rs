//! The bytes of a handshake that came and aren't used up: found, opened, taken.

use super::Cipher;
use crate::base::Chunk;
use crate::wire::mse::PAD_BYTES_MAX;
use alloc::vec::Vec;

/// Bytes that wait.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// Where a search goes on.
    sought: usize,
    /// How many at the front are decrypted.
    opened: usize,
}

/// What a search for a mark behind padding came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Right behind the mark.
    At(usize),
    /// More has to come.
    NotYet,
    /// No padding is that long.
    Never,
}

impl Inbox {
    pub(super) fn push(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The first `N` bytes, taken out once they are there.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let head = *self.bytes.first_chunk::<N>()?;
        self.skip(N);
        Some(head)
    }

    /// Drops the first `n` bytes.
    pub(super) fn skip(&mut self, n: usize) {
        self.bytes.drain(..n.min(self.bytes.len()));
        (self.sought, self.opened) = (0, 0);
    }

    /// Looks for `mark` behind as much padding as there may be.
    pub(super) fn find(&mut self, mark: &[u8]) -> Found {
        let reach = self.bytes.len().min(PAD_BYTES_MAX + mark.len());
        let within = self.bytes.get(self.sought..reach).unwrap_or_default();
        if let Some(at) = within.windows(mark.len()).position(|window| window == mark) {
            return Found::At(self.sought + at + mark.len());
        }
        self.sought = (reach + 1).saturating_sub(mark.len());
        if reach == PAD_BYTES_MAX + mark.len() { Found::Never } else { Found::NotYet }
    }

    /// The first `n` bytes decrypted, each once, as soon as they are there.
    pub(super) fn open(&mut self, cipher: &mut Cipher, n: usize) -> Option<&[u8]> {
        let head = self.bytes.get_mut(..n)?;
        if let Some(closed) = head.get_mut(self.opened..) {
            cipher.apply(closed);
            self.opened = n;
        }
        Some(head)
    }

    /// All that is left.
    pub(super) fn take_rest(&mut self) -> Chunk {
        Chunk::from(core::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_7_a_mark_is_found_behind_any_padding_however_it_comes_and_no_further() {
        for pad in [0, 1, 511, 512] {
            for step in [1, 7, 600] {
                let mut bytes = alloc::vec![b'x'; pad];
                bytes.extend_from_slice(b"the mark");
                let mut inbox = Inbox::default();
                let mut found = Found::NotYet;
                for part in bytes.chunks(step) {
                    assert_eq!(found, Found::NotYet);
                    inbox.push(part);
                    found = inbox.find(b"the mark");
                }
                assert_eq!(found, Found::At(pad + 8));
            }
        }
        let mut inbox = Inbox::default();
        inbox.push(&[b'x'; 513]);
        inbox.push(b"the mark");
        assert_eq!(inbox.find(b"the mark"), Found::Never);
    }
}
