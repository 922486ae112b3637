//! A queue of slots that have something to do: each at most once, first in first out, O(1).

use alloc::vec::Vec;

const OUT: u32 = u32::MAX;
const LAST: u32 = u32::MAX - 1;

/// Slots that wait for a turn. Pushing one that waits already changes nothing.
#[derive(Debug)]
pub struct Ready {
    next: Vec<u32>,
    head: u32,
    tail: u32,
    len: usize,
}

impl Default for Ready {
    fn default() -> Self {
        Self { next: Vec::new(), head: LAST, tail: LAST, len: 0 }
    }
}

impl Ready {
    /// Lets `slot` wait for its turn.
    pub fn push(&mut self, slot: u32) {
        let at = slot as usize;
        if at >= self.next.len() {
            self.next.resize(at + 1, OUT);
        }
        if self.next[at] != OUT {
            return;
        }
        self.next[at] = LAST;
        match self.tail {
            LAST => self.head = slot,
            tail => self.next[tail as usize] = slot,
        }
        self.tail = slot;
        self.len += 1;
    }

    /// Whose turn it is.
    pub fn pop(&mut self) -> Option<u32> {
        let slot = self.head;
        if slot == LAST {
            return None;
        }
        let next = core::mem::replace(&mut self.next[slot as usize], OUT);
        self.head = next;
        if next == LAST {
            self.tail = LAST;
        }
        self.len -= 1;
        Some(slot)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_waits_once_and_in_order() {
        let mut q = Ready::default();
        for slot in [3, 1, 3, 0, 1] {
            q.push(slot);
        }
        assert_eq!(q.len(), 3);
        assert_eq!([q.pop(), q.pop()], [Some(3), Some(1)]);
        q.push(3);
        assert_eq!([q.pop(), q.pop(), q.pop()], [Some(0), Some(3), None]);
        q.push(3);
        assert_eq!(q.pop(), Some(3));
    }
}
