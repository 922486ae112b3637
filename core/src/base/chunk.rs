//! Buffers: owned by one while they are filled, then frozen into cheap slices, back in their pool when the last drops.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use crossbeam_queue::ArrayQueue;

/// A bounded store of buffers of one size, shared by all threads of a driver.
#[derive(Clone)]
pub struct Pool {
    shelf: Arc<ArrayQueue<Vec<u8>>>,
    size: usize,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} of {} x {} bytes)", self.shelf.len(), self.shelf.capacity(), self.size)
    }
}

impl Pool {
    /// A pool that keeps at most `keep` unused buffers of `size` bytes.
    pub fn new(size: usize, keep: usize) -> Self {
        Self { shelf: Arc::new(ArrayQueue::new(keep.max(1))), size }
    }

    /// A buffer of this pool's size, used or new. Its bytes are whatever was in it last.
    pub fn take(&self) -> ChunkMut {
        let data = self.shelf.pop().unwrap_or_else(|| vec![0; self.size]);
        ChunkMut(Buffer { data, home: Some(Arc::clone(&self.shelf)) })
    }

    /// The size of each buffer, in bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}

struct Buffer {
    data: Vec<u8>,
    home: Option<Arc<ArrayQueue<Vec<u8>>>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            // A full shelf means there are more buffers than will be needed soon: this one is let go.
            let _ = home.push(core::mem::take(&mut self.data));
        }
    }
}

/// A buffer that one owner fills.
pub struct ChunkMut(Buffer);

impl ChunkMut {
    /// The whole buffer.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0.data
    }

    /// The first `len` bytes, frozen. What lies behind them is out of reach but stays pinned.
    pub fn freeze(self, len: usize) -> Chunk {
        let len = len.min(self.0.data.len());
        Chunk { buffer: Arc::new(self.0), start: 0, end: len as u32 }
    }
}

impl fmt::Debug for ChunkMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkMut({} bytes)", self.0.data.len())
    }
}

/// A slice of a shared buffer. Cloning and slicing copy no bytes.
#[derive(Clone)]
pub struct Chunk {
    buffer: Arc<Buffer>,
    start: u32,
    end: u32,
}

impl Chunk {
    /// A chunk of its own, with a copy of `bytes` and nothing pinned beside them.
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }

    /// The bytes from `start` to `end` of this slice, without a copy; both are cut to what is there.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let len = self.len();
        let (start, end) = (start.min(len), end.min(len));
        Self {
            buffer: Arc::clone(&self.buffer),
            start: self.start + start as u32,
            end: self.start + end.max(start) as u32,
        }
    }

    /// Splits off the first `n` bytes (or all there are).
    pub fn split_to(&mut self, n: usize) -> Self {
        let head = self.slice(0, n);
        self.start = head.end;
        head
    }

    /// How many bytes of memory this slice keeps alive: its whole buffer.
    pub fn pinned(&self) -> usize {
        self.buffer.data.capacity()
    }

    /// A number that slices of one buffer share, and no other buffer has while one of them lives. Only for telling
    /// buffers apart: never to be ordered by, kept or shown, since it differs from run to run.
    pub fn buffer_id(&self) -> usize {
        Arc::as_ptr(&self.buffer).addr()
    }

    /// Its bytes to change, if nobody else holds a slice of the same buffer.
    pub fn unique_mut(&mut self) -> Option<&mut [u8]> {
        let (start, end) = (self.start as usize, self.end as usize);
        Arc::get_mut(&mut self.buffer)?.data.get_mut(start..end)
    }
}

impl Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.buffer.data.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(data: Vec<u8>) -> Self {
        let end = u32::try_from(data.len()).unwrap_or(u32::MAX);
        Self { buffer: Arc::new(Buffer { data, home: None }), start: 0, end }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len())
    }
}

impl PartialEq for Chunk {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Chunk {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_home_when_its_last_slice_drops() {
        let pool = Pool::new(8, 1);
        let mut buffer = pool.take();
        buffer.bytes_mut()[..3].copy_from_slice(b"abc");
        let chunk = buffer.freeze(3);
        let slice = chunk.slice(1, 9);
        drop(chunk);
        assert_eq!((&*slice, slice.pinned(), pool.shelf.len()), (&b"bc"[..], 8, 0));
        drop(slice);
        assert_eq!(pool.shelf.len(), 1);
        let (a, b) = (pool.take(), pool.take());
        drop((a, b));
        assert_eq!(pool.shelf.len(), 1, "the shelf is bounded");
    }

    #[test]
    fn only_a_sole_owner_may_change_bytes() {
        let mut chunk = Chunk::copy_from(b"abcd");
        let mut head = chunk.split_to(2);
        assert!(head.unique_mut().is_none());
        drop(chunk);
        head.unique_mut().unwrap()[0] = b'x';
        assert_eq!(&*head, b"xb");
    }
}
