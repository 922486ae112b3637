//! Making torrents: files on disk in, a torrent file's bytes out, on all cores. What a torrent file looks like is the
//! `create` room's.

mod walk;

use crate::crew::{self, Bench};
use crate::hash::Hasher;
use crate::lock;
use core::ops::ControlFlow;
use millstream_core::base::Extent;
use millstream_core::create::{CreateError, CreateJob, CreateOptions, OptionsError, Plan};
use millstream_core::wire::metainfo::Version;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use thiserror::Error;
use walk::{Stamp, Walk, read, walk};

/// A torrent to make. The same files and the same settings give the same bytes, unless a date is asked for.
///
/// A folder is walked in the order of its names, hidden files included. A symbolic link in it is stored as one (BEP 47)
/// if it leads to something in the same folder; a link that leads out, or nowhere, is an error, and so is what is
/// neither a file nor a folder.
#[derive(Clone, Debug)]
pub struct CreateTorrent {
    /// The file or the folder.
    pub path: PathBuf,
    /// v1, v2 or hybrid. Default: hybrid.
    pub version: Version,
    /// Bytes of a piece: a power of two of at least 16 KiB for v2 and hybrid. Default: by size, about 1,500 pieces.
    pub piece_length: Option<u32>,
    /// Trackers in tiers (BEP 12). Default: none.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19). Default: none.
    pub web_seeds: Vec<String>,
    /// Peers from trackers alone (BEP 27). Default: no.
    pub private: bool,
    /// Makes info-hashes differ between private trackers. Default: none.
    pub source: Option<String>,
    /// Free text. Default: none.
    pub comment: Option<String>,
    /// Seconds since 1970. Default: none.
    pub creation_date: Option<i64>,
    /// Info-hashes of torrents that may hold the same files (BEP 38). Default: none.
    pub similar: Vec<[u8; 20]>,
    /// Collections that it belongs to (BEP 38). Default: none.
    pub collections: Vec<String>,
    /// Where a newer torrent will be found (BEP 39). Default: nowhere.
    pub update_url: Option<String>,
    /// The X.509 certificate, DER, of who signs newer torrents (BEP 39). Default: none.
    pub originator: Option<Vec<u8>>,
    /// Threads that read and digest; 0 is one per core. Default 0.
    pub threads: usize,
}

/// Why no torrent can be made.
#[derive(Debug, Error)]
pub enum CreateTorrentError {
    /// A file or folder can't be read.
    #[error("{path} can't be read: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The path has no last component to name the torrent after.
    #[error("{0} has no name to call the torrent by")]
    NoName(PathBuf),
    /// A name that is no text; torrents hold only text.
    #[error("the name of {0:?} is no UTF-8: rename it")]
    Name(PathBuf),
    /// Neither a file nor a folder nor a link.
    #[error("{0} is neither a file nor a folder: leave it out of the folder")]
    Special(PathBuf),
    /// A symbolic link that leads out of the folder, or nowhere.
    #[error(
        "the symbolic link {0} leads out of the folder or nowhere: remove it, or put a copy in its place"
    )]
    Link(PathBuf),
    /// Folders too deep in each other.
    #[error("{0} is too deep a folder for a torrent")]
    TooDeep(PathBuf),
    /// A file was changed while it was read.
    #[error("{0} was changed while it was read: try again when it rests")]
    Changed(PathBuf),
    /// What was asked for can't be a torrent.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The torrent can't be written.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A thread couldn't be started.
    #[error("a thread couldn't be started: {0}")]
    Thread(#[from] io::Error),
    /// Who was told of the progress ended it.
    #[error("it was stopped")]
    Stopped,
}

impl CreateTorrent {
    /// A hybrid of a file or a folder, all else by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            version: Version::Hybrid,
            piece_length: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            private: false,
            source: None,
            comment: None,
            creation_date: None,
            similar: Vec::new(),
            collections: Vec::new(),
            update_url: None,
            originator: None,
            threads: 0,
        }
    }

    /// Reads and digests it all; the torrent file's bytes. Blocks. `progress` hears of bytes done and bytes in all, and
    /// ends the work when it breaks: `CreateTorrentError::Stopped`.
    pub fn create(
        self,
        progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Vec<u8>, CreateTorrentError> {
        let walk = walk(&self.path)?;
        let threads = self.threads;
        let plan = Plan::new(self.options(&walk))?;
        digest(plan, &walk, threads, progress)
    }

    fn options(self, walk: &Walk) -> CreateOptions {
        CreateOptions {
            multi_file: walk.multi_file,
            piece_length: self.piece_length,
            version: self.version,
            private: self.private,
            source: self.source,
            trackers: self.trackers,
            web_seeds: self.web_seeds,
            comment: self.comment,
            creation_date: self.creation_date,
            similar: self.similar,
            collections: self.collections,
            update_url: self.update_url,
            originator: self.originator,
            ..CreateOptions::new(&walk.name, walk.files.clone())
        }
    }
}

fn digest(
    plan: Plan,
    walk: &Walk,
    threads: usize,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Vec<u8>, CreateTorrentError> {
    let files: Vec<(PathBuf, u64)> = plan.files().map(|(path, length)| (walk.place(path), length)).collect();
    let with_bytes = || files.iter().filter(|(_, length)| *length > 0);
    let stamps = || -> Result<Vec<Stamp>, _> {
        with_bytes().map(|(path, _)| Stamp::of(path).map_err(|error| read(path, error))).collect()
    };
    let before = stamps()?;
    let plan = Mutex::new(plan);
    if progress(0, lock(&plan).progress().1).is_break() {
        return Err(CreateTorrentError::Stopped);
    }
    let step = |bench: &mut Bench| {
        let job = lock(&plan).next_job()?;
        Some(perform(bench, &job, &files).and_then(|digests| {
            let mut plan = lock(&plan);
            plan.on_digests(job.piece, &digests)?;
            Ok(plan.progress())
        }))
    };
    // Reports of several threads may overtake each other.
    let mut most = 0;
    let ended = crew::run(threads, step, |(done, all)| {
        most = most.max(done);
        progress(most, all)
    })?;
    if ended.is_break() {
        return Err(CreateTorrentError::Stopped);
    }
    if let Some(at) = before.iter().zip(stamps()?).position(|(before, after)| *before != after) {
        let changed = with_bytes().nth(at).map_or_else(PathBuf::new, |(path, _)| path.clone());
        return Err(CreateTorrentError::Changed(changed));
    }
    let plan = plan.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(plan.finish()?)
}

fn perform(
    bench: &mut Bench,
    job: &CreateJob,
    files: &[(PathBuf, u64)],
) -> Result<millstream_core::base::Digests, CreateTorrentError> {
    let mut hasher = Hasher::new(job.want);
    for Extent { file, offset, length } in &job.extents {
        let path = files.get(*file as usize).map_or(Path::new(""), |(path, _)| path);
        let fed = bench.feed(&mut hasher, (*file, *offset, u64::from(*length)), || File::open(path));
        fed.map_err(|error| {
            let shrunk = error.kind() == io::ErrorKind::UnexpectedEof;
            if shrunk { CreateTorrentError::Changed(path.to_owned()) } else { read(path, error) }
        })?;
    }
    Ok(hasher.finish(job.pad))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::test_folder;
    use millstream_core::wire::Metainfo;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_same_folder_gives_the_same_bytes_on_any_number_of_threads() {
        let folder = test_folder("create");
        fs::create_dir(folder.join("sub")).unwrap();
        fs::write(folder.join("sub/b"), vec![1; 100_000]).unwrap();
        fs::write(folder.join(".hidden"), vec![2; 50_000]).unwrap();
        symlink("sub/b", folder.join("link")).unwrap();
        for version in [Version::V1, Version::V2, Version::Hybrid] {
            let make = |threads| {
                let options = CreateTorrent { version, threads, ..CreateTorrent::new(&folder) };
                let mut last = (0, 0);
                let torrent = options
                    .create(|done, all| {
                        last = (done, all);
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                assert_eq!(last, (150_000, 150_000));
                torrent
            };
            let torrent = make(1);
            assert_eq!(make(3), torrent);
            let metainfo = Metainfo::parse(&torrent).unwrap();
            let paths: Vec<String> =
                metainfo.info.real_files().map(|(_, file)| file.path.join("/")).collect();
            assert_eq!(paths, [".hidden", "link", "sub/b"], "{version:?}");
        }
    }

    #[test]
    fn who_is_told_of_the_progress_may_end_it() {
        let folder = test_folder("create-stopped");
        fs::write(folder.join("a"), vec![1; 400_000]).unwrap();
        let told = core::cell::Cell::new(0);
        let stop_after = |calls: u32| {
            told.set(0);
            let options = CreateTorrent { piece_length: Some(16 << 10), ..CreateTorrent::new(&folder) };
            options.create(|_, _| {
                told.set(told.get() + 1);
                if told.get() == calls { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        for calls in [1, 3] {
            assert!(matches!(stop_after(calls), Err(CreateTorrentError::Stopped)));
            assert_eq!(told.get(), calls);
        }
    }

    #[test]
    fn nothing_is_left_out_silently() {
        let folder = test_folder("create-special");
        fs::write(folder.join("a"), b"x").unwrap();
        symlink("/etc", folder.join("out")).unwrap();
        let made = CreateTorrent::new(&folder).create(|_, _| ControlFlow::Continue(()));
        assert!(matches!(made, Err(CreateTorrentError::Link(link)) if link.ends_with("out")));
        fs::remove_file(folder.join("out")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
        let made = CreateTorrent::new(&folder).create(|_, _| ControlFlow::Continue(()));
        assert!(matches!(made, Err(CreateTorrentError::Special(path)) if path.ends_with("socket")));
    }
}
