//! Digests of stored bytes.

use super::{Disk, Folder, Purpose, READ_BYTES, ZeroRun, unknown};
use crate::hash::Hasher;
use crate::lock;
use crate::pool::host_error;
use millstream_core::base::{Digests, Extent, Part, TorrentId, Want};
use millstream_core::engine::{HostError, Outcome};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

impl Disk {
    /// Digests stored bytes as one run. `Absent` if a file isn't there or is too short.
    pub(crate) fn hash_stored(&self, torrent: TorrentId, parts: &[Part], pad: u32, want: Want) -> Outcome {
        let Some(folder) = self.folder(torrent) else { return unknown() };
        let files = match self.open_all(&folder, parts) {
            Ok(Some(files)) => files,
            Ok(None) => return Outcome::Absent,
            Err(error) => return Outcome::Failed(error),
        };
        let is_zeros = |(part, file): (&Part, &Option<Arc<File>>)| match (part, file) {
            (Part::Stored(extent), Some(file)) => is_hole(file, *extent),
            (Part::Stored(_), None) => false,
            (Part::Pad(_), _) => true,
        };
        if parts.iter().zip(&files).all(is_zeros) {
            let length = parts.iter().map(|part| u64::from(part.len())).sum();
            return Outcome::Digests(self.digests_of_zeros((length, pad, want)));
        }
        let mut hasher = Hasher::new(want);
        for (part, file) in parts.iter().zip(&files) {
            let fed = match (part, file) {
                (Part::Stored(extent), Some(file)) => self
                    .feed(&mut hasher, file, *extent)
                    .map_err(|error| host_error(&error, &folder.name(extent.file))),
                (Part::Stored(_), None) => Ok(false),
                (Part::Pad(length), _) => {
                    feed_zeros(&mut hasher, u64::from(*length));
                    Ok(true)
                }
            };
            match fed {
                Ok(true) => {}
                Ok(false) => return Outcome::Absent,
                Err(error) => return Outcome::Failed(error),
            }
        }
        Outcome::Digests(hasher.finish(pad))
    }

    /// The file of each part, none for a pad; `None` if one is missing or too short.
    fn open_all(&self, folder: &Folder, parts: &[Part]) -> Result<Option<Vec<Option<Arc<File>>>>, HostError> {
        let mut files = Vec::with_capacity(parts.len());
        for part in parts {
            let Part::Stored(extent) = part else {
                files.push(None);
                continue;
            };
            let opened = self
                .open_file(folder, extent.file, Purpose::Read)
                .and_then(|file| Ok((file.metadata()?.len(), file)));
            match opened {
                Ok((length, file)) if length >= extent.offset + u64::from(extent.length) => {
                    files.push(Some(file))
                }
                Ok(_) => return Ok(None),
                Err(error) if is_absence(&error) => return Ok(None),
                Err(error) => return Err(host_error(&error, &folder.name(extent.file))),
            }
        }
        Ok(Some(files))
    }

    /// Whether all of the extent was there.
    fn feed(&self, hasher: &mut Hasher, file: &File, extent: Extent) -> io::Result<bool> {
        let mut buffer = self.runs.take();
        let (mut offset, end) = (extent.offset, extent.offset + u64::from(extent.length));
        while offset < end {
            let now = (end - offset).min(READ_BYTES as u64) as usize;
            let part = buffer.bytes_mut().get_mut(..now).unwrap_or_default();
            match file.read_exact_at(part, offset) {
                Ok(()) => hasher.update(part),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
            offset += now as u64;
        }
        Ok(true)
    }

    /// Zeros are zeros: their digests are computed once for each length of a run, not once for each run.
    fn digests_of_zeros(&self, run: ZeroRun) -> Digests {
        if let Some((known, digests)) = &*lock(&self.zeros)
            && *known == run
        {
            return digests.clone();
        }
        let (length, pad, want) = run;
        let mut hasher = Hasher::new(want);
        feed_zeros(&mut hasher, length);
        let digests = hasher.finish(pad);
        *lock(&self.zeros) = Some((run, digests.clone()));
        digests
    }
}

fn feed_zeros(hasher: &mut Hasher, mut length: u64) {
    let zeros = [0; 4096];
    while length > 0 {
        let now = length.min(zeros.len() as u64) as usize;
        hasher.update(zeros.get(..now).unwrap_or(&zeros));
        length -= now as u64;
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether no block is stored for any of these bytes, so that they read as zeros.
#[cfg(target_os = "linux")]
fn is_hole(file: &File, extent: Extent) -> bool {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    match seek(file, SeekFrom::Data(extent.offset)) {
        Ok(data) => data >= extent.offset + u64::from(extent.length),
        Err(Errno::NXIO) => true,
        Err(_) => false,
    }
}

#[cfg(not(target_os = "linux"))]
fn is_hole(_file: &File, _extent: Extent) -> bool {
    false
}
