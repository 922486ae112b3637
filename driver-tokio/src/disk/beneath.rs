//! Opening what lies beneath a folder, and nothing else: no link in the path may lead out of it (a torrent's names
//! are a stranger's, and so may be what lies in the folder already).

use rustix::fs::{self, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Opens a file beneath `root`.
pub(super) fn open(root: &Path, path: &[String], flags: OFlags, mode: Mode) -> io::Result<File> {
    let root = open_root(root)?;
    Ok(open_at(root.as_fd(), path, flags, mode)?.into())
}

/// Opens a file beneath `root`, creating the folders to it.
pub(super) fn open_deep(root: &Path, path: &[String], flags: OFlags, mode: Mode) -> io::Result<File> {
    let root = open_root(root)?;
    match open_at(root.as_fd(), path, flags, mode) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_parents(root.as_fd(), path)?;
            Ok(open_at(root.as_fd(), path, flags, mode)?.into())
        }
        opened => Ok(opened?.into()),
    }
}

/// Makes a symbolic link beneath `root`, and the folders to it. What is there already stays.
pub(super) fn link(root: &Path, path: &[String], target: &str) -> io::Result<()> {
    let root = open_root(root)?;
    create_parents(root.as_fd(), path)?;
    let Some((name, parents)) = path.split_last() else { return Ok(()) };
    check(name)?;
    let made = match parents {
        [] => fs::symlinkat(target, &root, name),
        _ => fs::symlinkat(target, open_at(root.as_fd(), parents, FOLDER, Mode::empty())?, name),
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Brings a folder's names onto the medium.
pub(super) fn sync_folder(root: &Path, path: &[String]) -> io::Result<()> {
    let root = open_root(root)?;
    if path.is_empty() {
        return Ok(fs::fsync(root)?);
    }
    Ok(fs::fsync(open_at(root.as_fd(), path, FOLDER, Mode::empty())?)?)
}

/// Length and time of the last change of what lies beneath `root`, links not followed at the end.
pub(super) fn stat(root: BorrowedFd<'_>, path: &[String]) -> io::Result<fs::Stat> {
    Ok(fs::statat(root, path.join("/"), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The folder itself, which may be a link: it is the application's own choice.
pub(super) fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(fs::openat(CWD, root, FOLDER, Mode::empty())?)
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn create_parents(root: BorrowedFd<'_>, path: &[String]) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o777);
    for depth in 1..path.len() {
        let Some((name, above)) = path.get(..depth).and_then(|p| p.split_last()) else { break };
        check(name)?;
        let made = match above {
            [] => fs::mkdirat(root, name, mode),
            _ => fs::mkdirat(open_at(root, above, FOLDER, Mode::empty())?, name, mode),
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn open_at(root: BorrowedFd<'_>, path: &[String], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    path.iter().try_for_each(|name| check(name))?;
    let flags = flags | OFlags::CLOEXEC;
    #[cfg(target_os = "linux")]
    match resolve(root, path, flags, mode) {
        // An old kernel, or a sandbox that doesn't know the call.
        Err(Errno::NOSYS | Errno::PERM) => {}
        Err(Errno::XDEV) => return Err(leaves(path)),
        opened => return Ok(opened?),
    }
    walk(root, path, flags, mode)
}

/// The kernel's own way: links are followed as long as they stay beneath `root`.
#[cfg(target_os = "linux")]
fn resolve(root: BorrowedFd<'_>, path: &[String], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let path = path.join("/");
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // It gives up when something is renamed meanwhile; that passes.
    for _ in 0..16 {
        match fs::openat2(root, path.as_str(), flags, mode, how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

/// The way for other systems: step by step, following no link at all.
fn walk(root: BorrowedFd<'_>, path: &[String], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let Some((name, parents)) = path.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut at: Option<OwnedFd> = None;
    let step = |at: &Option<OwnedFd>, name: &String, flags: OFlags, mode: Mode| {
        let from = at.as_ref().map_or(root, |fd| fd.as_fd());
        fs::openat(from, name, flags | OFlags::NOFOLLOW, mode).map_err(|error| match error {
            Errno::LOOP | Errno::MLINK => leaves(path),
            // With NOFOLLOW, a link where a folder should be is 'no folder'.
            Errno::NOTDIR if is_link(from, name) => leaves(path),
            other => other.into(),
        })
    };
    for parent in parents {
        at = Some(step(&at, parent, FOLDER, Mode::empty())?);
    }
    step(&at, name, flags, mode)
}

fn is_link(from: BorrowedFd<'_>, name: &str) -> bool {
    fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::Symlink)
}

/// Names come checked; should one not be, it ends here.
fn check(name: &str) -> io::Result<()> {
    match name {
        "" | "." | ".." => Err(io::ErrorKind::InvalidInput.into()),
        _ if name.contains(['/', '\0']) => Err(io::ErrorKind::InvalidInput.into()),
        _ => Ok(()),
    }
}

fn leaves(path: &[String]) -> io::Error {
    let message = format!("a link leads {} out of the folder", path.join("/"));
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::test_folder;
    use std::os::unix::fs::symlink;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    type Open = fn(BorrowedFd<'_>, &[String], OFlags, Mode) -> io::Result<OwnedFd>;

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let outside = test_folder("outside");
        std::fs::write(outside.join("secret"), b"x").unwrap();
        let folder = test_folder("beneath");
        symlink(&outside, folder.join("absolute")).unwrap();
        symlink(format!("../{}", outside.file_name().unwrap().display()), folder.join("relative")).unwrap();
        symlink(outside.join("secret"), folder.join("file")).unwrap();
        let root = open_root(&folder).unwrap();
        for open in [open_at as Open, walk as Open] {
            for text in ["absolute/secret", "relative/secret", "file", "absolute/new"] {
                let flags = OFlags::RDWR | OFlags::CREATE;
                let error = open(root.as_fd(), &path(text), flags, 0o666.into()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{text}: {error}");
            }
        }
        for text in ["../x", "a/../../x", "/etc/passwd", "."] {
            assert!(open_at(root.as_fd(), &path(text), OFlags::RDONLY, Mode::empty()).is_err(), "{text}");
        }
        assert!(create_parents(root.as_fd(), &path("absolute/a/b")).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1, "nothing was made outside");
    }

    #[test]
    fn folders_are_made_on_the_way() {
        let folder = test_folder("deep");
        let flags = OFlags::RDWR | OFlags::CREATE;
        open_deep(&folder, &path("a/b/c"), flags, 0o666.into()).unwrap();
        let root = open_root(&folder).unwrap();
        walk(root.as_fd(), &path("a/b/c"), OFlags::RDONLY, Mode::empty()).unwrap();
        link(&folder, &path("a/l"), "b").unwrap();
        link(&folder, &path("a/l"), "b").unwrap();
        open(&folder, &path("a/l/c"), OFlags::RDONLY, Mode::empty()).unwrap();
    }
}
