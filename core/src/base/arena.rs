//! Where long-lived things stand: found by an id that is never reused, or by a slot that is as fast as an index.

use super::map::OwnMap;
use alloc::vec::Vec;

/// Items by id. Ids count up from 1, stay below 2^53 and are never reused, so a stale id finds nothing.
/// A slot is an item's place in memory: small, dense, reused. Only queues inside the engine hold slots.
#[derive(Debug)]
pub struct Arena<T> {
    slots: Vec<Option<(u64, T)>>,
    free: Vec<u32>,
    index: OwnMap<u32>,
    next: u64,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), index: OwnMap::default(), next: 1 }
    }
}

impl<T> Arena<T> {
    /// Stores what `make` builds from its new id; answers the id.
    pub fn insert_with(&mut self, make: impl FnOnce(u64) -> T) -> u64 {
        let id = self.next;
        self.next += 1;
        let item = Some((id, make(id)));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = item;
                slot
            }
            None => {
                self.slots.push(item);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert(id, slot);
        id
    }

    /// Stores an item; answers its id.
    pub fn insert(&mut self, item: T) -> u64 {
        self.insert_with(|_| item)
    }

    /// The item with this id.
    pub fn get(&self, id: u64) -> Option<&T> {
        self.at(self.slot(id)?).map(|(_, item)| item)
    }

    /// The item with this id.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let slot = self.slot(id)?;
        self.at_mut(slot).map(|(_, item)| item)
    }

    /// Takes the item with this id out. Its slot will be reused, its id never.
    pub fn remove(&mut self, id: u64) -> Option<T> {
        let slot = self.index.remove(&id)?;
        let (_, item) = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(item)
    }

    /// Where the item with this id stands.
    pub fn slot(&self, id: u64) -> Option<u32> {
        self.index.get(&id).copied()
    }

    /// Whoever stands in this slot, with its id.
    pub fn at(&self, slot: u32) -> Option<(u64, &T)> {
        self.slots.get(slot as usize)?.as_ref().map(|(id, item)| (*id, item))
    }

    /// Whoever stands in this slot, with its id.
    pub fn at_mut(&mut self, slot: u32) -> Option<(u64, &mut T)> {
        self.slots.get_mut(slot as usize)?.as_mut().map(|(id, item)| (*id, item))
    }

    /// All items, in slot order (the same in every run).
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.slots.iter().flatten().map(|(id, item)| (*id, item))
    }

    /// All items, in slot order (the same in every run).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.slots.iter_mut().flatten().map(|(id, item)| (*id, item))
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing_though_its_slot_is_reused() {
        let mut arena = Arena::default();
        let a = arena.insert("a");
        let slot = arena.slot(a);
        assert_eq!(arena.remove(a), Some("a"));
        let b = arena.insert("b");
        assert_eq!(arena.slot(b), slot);
        assert_eq!((arena.get(a), arena.get(b), arena.len()), (None, Some(&"b"), 1));
        assert_eq!(arena.remove(a), None);
    }
}
