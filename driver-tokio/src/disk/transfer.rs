//! Reading and writing extents.

use super::{Disk, Folder, Purpose, READ_BYTES, unknown};
use crate::pool::host_error;
use millstream_core::base::{Chunk, Extent, Part, TorrentId};
use millstream_core::engine::{HostError, Outcome};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

/// Slices given to one `pwritev`: what every system takes.
const SLICES_MAX: usize = 1024;

/// The kernel reads this much ahead, so a page every so often tells for its neighbours whether they are in memory.
const PROBE_STRIDE: u64 = 128 << 10;

impl Disk {
    /// Reads parts as one run of bytes. If they go out on a link as they are, they are only brought into memory:
    /// the link sends them from the file.
    pub(crate) fn read(&self, torrent: TorrentId, parts: &[Part], plain: bool) -> Outcome {
        let Some(folder) = self.folder(torrent) else { return unknown() };
        let done = if plain && cfg!(target_os = "linux") {
            self.warm(&folder, parts).map(|()| Outcome::Stored)
        } else {
            self.fetch(&folder, parts).map(|chunk| Outcome::Bytes(vec![chunk]))
        };
        done.unwrap_or_else(Outcome::Failed)
    }

    /// Whether all of this is in open files and in memory. Cheap enough for the engine's own thread.
    pub(crate) fn is_warm(&self, torrent: TorrentId, parts: &[Part]) -> bool {
        stored(parts).all(|extent| {
            let file = self.open.peek((torrent, extent.file), Purpose::Read);
            file.is_some_and(|file| probe(&file, extent) == Some(true))
        })
    }

    fn warm(&self, folder: &Folder, parts: &[Part]) -> Result<(), HostError> {
        let mut scratch = None;
        for extent in stored(parts) {
            let wrong = |error| host_error(&error, &folder.name(extent.file));
            let file = self.open_file(folder, extent.file, Purpose::Read).map_err(wrong)?;
            if probe(&file, extent) == Some(true) {
                continue;
            }
            let buffer = scratch.get_or_insert_with(|| self.runs.take());
            let mut offset = extent.offset;
            let end = extent.offset + u64::from(extent.length);
            while offset < end {
                let now = (end - offset).min(READ_BYTES as u64) as usize;
                let part = buffer.bytes_mut().get_mut(..now).unwrap_or_default();
                file.read_exact_at(part, offset).map_err(wrong)?;
                offset += now as u64;
            }
        }
        Ok(())
    }

    fn fetch(&self, folder: &Folder, parts: &[Part]) -> Result<Chunk, HostError> {
        let total: usize = parts.iter().map(|part| part.len() as usize).sum();
        let read = |into: &mut [u8]| {
            let mut rest = into;
            for part in parts {
                let (now, after) = rest.split_at_mut(part.len() as usize);
                rest = after;
                let Part::Stored(extent) = part else {
                    now.fill(0);
                    continue;
                };
                let wrong = |error| host_error(&error, &folder.name(extent.file));
                let file = self.open_file(folder, extent.file, Purpose::Read).map_err(wrong)?;
                file.read_exact_at(now, extent.offset).map_err(wrong)?;
            }
            Ok(())
        };
        let pool = if total <= self.blocks.size() { &self.blocks } else { &self.runs };
        if total <= pool.size() {
            let mut buffer = pool.take();
            read(buffer.bytes_mut().get_mut(..total).unwrap_or_default())?;
            return Ok(buffer.freeze(total));
        }
        let mut buffer = vec![0; total];
        read(&mut buffer)?;
        Ok(Chunk::from(buffer))
    }

    /// Writes one run of bytes over extents.
    pub(crate) fn write(&self, torrent: TorrentId, extents: &[Extent], data: &[Chunk]) -> Outcome {
        let Some(folder) = self.folder(torrent) else { return unknown() };
        let mut rest: Vec<&[u8]> = data.iter().map(|chunk| &**chunk).rev().collect();
        for extent in extents {
            let slices = take(&mut rest, extent.length as usize);
            let written = self
                .open_file(&folder, extent.file, Purpose::Write)
                .and_then(|file| write_all_at(&file, slices, extent.offset));
            if let Err(error) = written {
                return Outcome::Failed(host_error(&error, &folder.name(extent.file)));
            }
            crate::lock(&folder.dirty).insert(extent.file);
        }
        Outcome::Written
    }
}

/// The parts that lie in files.
fn stored(parts: &[Part]) -> impl Iterator<Item = Extent> {
    parts.iter().filter_map(|part| match part {
        Part::Stored(extent) => Some(*extent),
        Part::Pad(_) => None,
    })
}

/// Takes `length` bytes off a reversed list of slices.
fn take<'a>(rest: &mut Vec<&'a [u8]>, mut length: usize) -> Vec<&'a [u8]> {
    let mut taken = Vec::new();
    while length > 0 {
        let Some(slice) = rest.pop() else { break };
        let (now, after) = slice.split_at(length.min(slice.len()));
        if !after.is_empty() {
            rest.push(after);
        }
        length -= now.len();
        if !now.is_empty() {
            taken.push(now);
        }
    }
    taken
}

fn write_all_at(file: &File, slices: Vec<&[u8]>, mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = slices.into_iter().map(IoSlice::new).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        let now = left.get(..SLICES_MAX).unwrap_or(left);
        match rustix::io::pwritev(file, now, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(wrote) => {
                offset += wrote as u64;
                IoSlice::advance_slices(&mut left, wrote);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether an extent is in memory: `None` if the file system won't say.
#[cfg(target_os = "linux")]
fn probe(file: &File, extent: Extent) -> Option<bool> {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;
    let last = u64::from(extent.length).saturating_sub(1);
    let mut at = 0;
    loop {
        let mut byte = [0];
        let into = &mut [IoSliceMut::new(&mut byte)];
        match preadv2(file, into, extent.offset + at, ReadWriteFlags::NOWAIT) {
            Ok(1) => {}
            // Too short: reading it properly says so.
            Ok(_) | Err(Errno::AGAIN) => return Some(false),
            Err(_) => return in_memory(file, extent),
        }
        if at == last {
            return Some(true);
        }
        at = (at + PROBE_STRIDE).min(last);
    }
}

/// A file system that has no slower place than memory can't be asked by `RWF_NOWAIT`, and need not be. `None` for others.
#[cfg(target_os = "linux")]
fn in_memory(file: &File, extent: Extent) -> Option<bool> {
    const TMPFS_MAGIC: u32 = 0x0102_1994;
    let kind = rustix::fs::fstatfs(file).ok()?.f_type;
    if u32::try_from(kind) != Ok(TMPFS_MAGIC) {
        return None;
    }
    // Too short: reading it properly says so.
    Some(file.metadata().ok()?.len() >= extent.offset + u64::from(extent.length))
}

#[cfg(not(target_os = "linux"))]
fn probe(_file: &File, _extent: Extent) -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_memory_alone_is_warm_as_far_as_it_goes() {
        let file = rustix::fs::memfd_create("warm", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(file);
        file.set_len(300_000).unwrap();
        let extent = |offset, length| Extent { file: 0, offset, length };
        assert_eq!(probe(&file, extent(100_000, 200_000)), Some(true));
        assert_eq!(probe(&file, extent(100_000, 200_001)), Some(false), "a read must say what is missing");
    }
}
