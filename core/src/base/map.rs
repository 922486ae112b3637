//! Hash tables for look-ups only: never iterated, so that their order can't leak into behaviour.
//! Keys that strangers choose go through a keyed hash, so that they can't be chosen to collide.

use core::hash::{BuildHasher, Hash, Hasher};
use hashbrown::{HashMap, HashTable};
use siphasher::sip::SipHasher13;

/// The secret of keyed tables, drawn once from the engine's seed.
#[derive(Clone, Copy, Debug)]
pub struct Key(u64, u64);

impl Key {
    /// A key out of the engine's chance.
    pub fn draw(rng: &mut super::Rng) -> Self {
        Self(rng.next_u64(), rng.next_u64())
    }
}

impl BuildHasher for Key {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// A table over keys that strangers choose. Look-ups only.
#[derive(Clone, Debug)]
pub struct Map<K, V>(HashMap<K, V, Key>);

impl<K: Hash + Eq, V> Map<K, V> {
    /// An empty table under `key`.
    pub fn new(key: Key) -> Self {
        Self(HashMap::with_hasher(key))
    }

    /// The value of `k`.
    pub fn get(&self, k: &K) -> Option<&V> {
        self.0.get(k)
    }

    /// The value of `k`.
    pub fn get_mut(&mut self, k: &K) -> Option<&mut V> {
        self.0.get_mut(k)
    }

    /// Whether `k` is there.
    pub fn contains(&self, k: &K) -> bool {
        self.0.contains_key(k)
    }

    /// Sets `k`; answers what was there.
    pub fn insert(&mut self, k: K, v: V) -> Option<V> {
        self.0.insert(k, v)
    }

    /// The value of `k`, made by `make` if it wasn't there.
    pub fn or_insert_with(&mut self, k: K, make: impl FnOnce() -> V) -> &mut V {
        self.0.entry(k).or_insert_with(make)
    }

    /// Takes `k` out.
    pub fn remove(&mut self, k: &K) -> Option<V> {
        self.0.remove(k)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where the rows of a table are, found by a hash of what is in them: 5 to 11 bytes a row. Whoever owns the rows says
/// what their hashes are, and always says the same.
#[derive(Clone, Debug, Default)]
pub struct Positions(HashTable<u32>);

impl Positions {
    /// Takes in the row `at`. `rehash` gives the hash of any row that is in, for when the table grows.
    pub fn insert(&mut self, hash: u64, at: u32, rehash: impl Fn(u32) -> u64) {
        self.0.insert_unique(hash, at, |&row| rehash(row));
    }

    /// Takes out the row `at`.
    pub fn remove(&mut self, hash: u64, at: u32) {
        if let Ok(entry) = self.0.find_entry(hash, |&row| row == at) {
            entry.remove();
        }
    }

    /// The row `from` is at `to` from now on, and the other way round.
    pub fn swap(&mut self, (from_hash, from): (u64, u32), (to_hash, to): (u64, u32)) {
        if from != to {
            self.remove(from_hash, from);
            if let Some(row) = self.0.find_mut(to_hash, |&row| row == to) {
                *row = from;
            }
            // There is room: one was just taken out.
            self.0.insert_unique(from_hash, to, |_| from_hash);
        }
    }

    /// The rows that may have this hash, in no order that means anything.
    pub fn with_hash(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        self.0.iter_hash(hash).copied()
    }
}

/// Spreads our own ids, which count up: one multiplication is enough.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct OwnHash(u64);

impl Hasher for OwnHash {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u64(&mut self, n: u64) {
        let wide = u128::from(self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.0 = (wide >> 64) as u64 ^ wide as u64;
    }
}

impl BuildHasher for OwnHash {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

/// A table over our own ids.
pub(super) type OwnMap<V> = HashMap<u64, V, OwnHash>;
