//! A disk in memory: what programs see, what has reached the medium, and what a power cut leaves of the difference.
//! It knows files by path and no torrent.

use millstream_core::base::Rng;
use std::collections::BTreeMap;

/// What a torn write is torn at, in bytes.
const SECTOR: usize = 512;

/// A file as it is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When it was last changed.
    pub modified_ns: u64,
}

/// A disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    seen: BTreeMap<String, Stored>,
    durable: BTreeMap<String, Stored>,
    unsynced: Vec<(String, usize, Vec<u8>)>,
    saved: BTreeMap<String, Vec<u8>>,
    /// Bytes that fit; `None` is no limit.
    pub capacity: Option<u64>,
    /// Every read fails.
    pub broken: bool,
    /// What is read has a wrong byte in this many thousandths of all reads.
    pub lies_per_mille: u64,
}

impl Disk {
    /// Puts a file there, durably.
    pub fn put(&mut self, path: &str, bytes: &[u8]) {
        let file = Stored { bytes: bytes.to_vec(), modified_ns: 1 };
        self.seen.insert(path.into(), file.clone());
        self.durable.insert(path.into(), file);
    }

    /// Takes a file away, as a user may.
    pub fn remove(&mut self, path: &str) {
        self.seen.remove(path);
        self.durable.remove(path);
    }

    /// A file as programs see it.
    pub fn file(&self, path: &str) -> Option<&Stored> {
        self.seen.get(path)
    }

    /// All paths.
    pub fn paths(&self) -> Vec<String> {
        self.seen.keys().cloned().collect()
    }

    /// The bytes, if all of them are stored.
    pub fn read(&self, path: &str, offset: u64, length: u32) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.seen.get(path)?.bytes.get(start..start + length as usize)
    }

    /// Writes; not yet durable. False if the disk is full: nothing is written then.
    pub fn write(&mut self, now_ns: u64, path: &str, offset: u64, data: &[u8]) -> bool {
        let used: u64 = self.seen.values().map(|file| file.bytes.len() as u64).sum();
        let offset = offset as usize;
        let before = self.seen.get(path).map_or(0, |file| file.bytes.len());
        let grows = (offset + data.len()).saturating_sub(before) as u64;
        if grows > 0 && self.capacity.is_some_and(|capacity| used + grows > capacity) {
            return false;
        }
        let file = self.seen.entry(path.into()).or_default();
        overlay(&mut file.bytes, offset, data);
        file.modified_ns = now_ns;
        self.unsynced.push((path.into(), offset, data.to_vec()));
        true
    }

    /// Brings all that is seen of these paths onto the medium.
    pub fn sync(&mut self, paths: &[String]) {
        for path in paths {
            if let Some(file) = self.seen.get(path) {
                self.durable.insert(path.clone(), file.clone());
            }
        }
        self.unsynced.retain(|(path, _, _)| !paths.contains(path));
    }

    /// Replaces what is saved under a name, atomically and durably.
    pub fn save(&mut self, name: &str, data: &[u8]) {
        self.saved.insert(name.into(), data.to_vec());
    }

    /// What is saved under a name.
    pub fn saved(&self, name: &str) -> Option<&Vec<u8>> {
        self.saved.get(name)
    }

    /// The power fails: of what wasn't synced, some is lost, some is there in another order, some is torn.
    pub fn power_cut(&mut self, rng: &mut Rng) {
        let mut writes = core::mem::take(&mut self.unsynced);
        rng.shuffle(&mut writes);
        let seen = core::mem::take(&mut self.seen);
        for (path, offset, data) in writes {
            let kept = match rng.below(3) {
                0 => continue,
                1 => data.len(),
                _ => SECTOR * rng.below(data.len() as u64 / SECTOR as u64 + 1) as usize,
            };
            let file = self.durable.entry(path.clone()).or_default();
            overlay(&mut file.bytes, offset, &data[..kept.min(data.len())]);
            // The time of the change is itself a write that may be lost.
            if rng.chance(1, 2) {
                file.modified_ns = seen.get(&path).map_or(0, |file| file.modified_ns);
            }
        }
        self.seen = self.durable.clone();
    }
}

fn overlay(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..][..data.len()].copy_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_spares_what_was_synced_and_nothing_else_for_sure() {
        let (mut lost, mut torn) = (false, false);
        for seed in 0..40 {
            let mut disk = Disk::default();
            assert!(disk.write(7, "a", 0, &[1; 4096]));
            disk.sync(&["a".into()]);
            assert!(disk.write(8, "a", 4096, &[2; 4096]));
            disk.power_cut(&mut Rng::new([seed; 32]));
            let file = disk.file("a").unwrap();
            assert_eq!(file.bytes[..4096], [1; 4096]);
            lost |= file.bytes.len() == 4096;
            torn |= file.bytes.len() > 4096 && file.bytes.len() < 8192;
        }
        assert!(lost && torn);
    }

    #[test]
    fn a_full_disk_takes_nothing_that_needs_room() {
        let mut disk = Disk { capacity: Some(10), ..Disk::default() };
        assert!(disk.write(1, "a", 0, &[1; 8]));
        assert!(!disk.write(1, "a", 8, &[1; 8]) && disk.write(1, "a", 0, &[2; 8]));
    }
}
