//! A torrent's files as they lie in its folder: what is made when it is taken on, how each is opened, and how they
//! are now.

use super::{Folder, Purpose, beneath};
use crate::pool::host_error;
use millstream_core::engine::{Allocation, FileNow, FileSpec, HostError, Outcome};
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;

/// Makes the folder, and the links and files of no length that are wanted; the others are made when they are first
/// written to. If nothing is wanted, nothing is made.
pub(super) fn prepare(folder: &Folder) -> Result<(), HostError> {
    if !folder.files.iter().any(|spec| spec.wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder.root()).map_err(|error| host_error(&error, &folder.root))?;
    for (n, spec) in folder.files.iter().enumerate() {
        let made = match &spec.symlink {
            _ if spec.pad || !spec.wanted => Ok(()),
            Some(target) => make_link(folder, spec, target),
            None if spec.length == 0 => make_empty(folder, spec),
            None => Ok(()),
        };
        made.map_err(|error| host_error(&error, &folder.name(n as u32)))?;
    }
    Ok(())
}

fn make_empty(folder: &Folder, spec: &FileSpec) -> io::Result<()> {
    match beneath::open(folder.root(), &spec.path, OFlags::RDONLY, Mode::empty()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            beneath::open_deep(folder.root(), &spec.path, OFlags::WRONLY | OFlags::CREATE, mode(spec))
                .map(drop)
        }
        Err(error) => Err(error),
    }
}

/// A link (BEP 47) says where it leads from the torrent's own folder, which is the first component of every path.
fn make_link(folder: &Folder, spec: &FileSpec, target: &[String]) -> io::Result<()> {
    let safe = |name: &String| !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '\0']);
    if target.is_empty() || !target.iter().all(safe) {
        return Err(io::Error::other("the link leads nowhere"));
    }
    let up = "../".repeat(spec.path.len().saturating_sub(2));
    beneath::link(folder.root(), &spec.path, &format!("{up}{}", target.join("/")))
}

/// Opens a file. For writing, it is made if it isn't there, and gets its space.
pub(super) fn open(folder: &Folder, file: u32, purpose: Purpose) -> io::Result<File> {
    let spec = folder.spec(file)?;
    match purpose {
        Purpose::Read => beneath::open(folder.root(), &spec.path, OFlags::RDONLY, Mode::empty()),
        Purpose::Write => {
            let flags = OFlags::RDWR | OFlags::CREATE;
            let open = || beneath::open_deep(folder.root(), &spec.path, flags, mode(spec));
            let open = match open() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(folder.root())?;
                    open()?
                }
                open => open?,
            };
            set_aside(&open, spec.length, folder.allocation)?;
            Ok(open)
        }
    }
}

/// Gives a file its space; one that is longer than it should be is cut.
fn set_aside(file: &File, length: u64, allocation: Allocation) -> io::Result<()> {
    let now = file.metadata()?;
    if now.len() > length {
        file.set_len(length)?;
    }
    match allocation {
        Allocation::None => Ok(()),
        Allocation::Sparse if now.len() < length => file.set_len(length),
        Allocation::Full if now.len() < length => allocate(file, length),
        Allocation::Sparse | Allocation::Full => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        // A file system that can't set space aside: at least the length is right.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(length),
        done => Ok(done?),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)
}

fn mode(spec: &FileSpec) -> Mode {
    Mode::from_raw_mode(if spec.executable { 0o777 } else { 0o666 })
}

/// The files as they are now, in order.
pub(super) fn look(folder: &Folder) -> Outcome {
    let root = match beneath::open_root(folder.root()) {
        Ok(root) => root,
        // Nothing of it was wanted yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Outcome::Files(folder.files.iter().map(|_| FileNow::default()).collect());
        }
        Err(error) => return Outcome::Failed(host_error(&error, &folder.root)),
    };
    let one = |spec: &FileSpec| {
        if spec.pad {
            return FileNow::default();
        }
        let Ok(stat) = beneath::stat(root.as_fd(), &spec.path) else { return FileNow::default() };
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        // A link to a file within the folder counts as what it leads to.
        let length = match (regular, link) {
            (true, _) => u64::try_from(stat.st_size).ok(),
            (_, true) => followed(folder, spec),
            _ => None,
        };
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        // The field's type differs between systems.
        #[allow(clippy::useless_conversion)]
        let nanos = u64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        let modified_ns = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        FileNow { length, modified_ns: if length.is_some() { modified_ns } else { 0 } }
    };
    Outcome::Files(folder.files.iter().map(one).collect())
}

fn followed(folder: &Folder, spec: &FileSpec) -> Option<u64> {
    let file = beneath::open(folder.root(), &spec.path, OFlags::RDONLY, Mode::empty()).ok()?;
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}
