//! Which files a torrent is to be made of: a folder's, in the order of their names. Nothing is left out silently.

use super::CreateTorrentError;
use millstream_core::create::CreateFile;
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders within folders; deeper ones would make paths that no system takes.
const DEPTH_MAX: usize = 60;

/// What a torrent is to be made of.
pub(super) struct Walk {
    /// The torrent's name.
    pub(super) name: String,
    /// The folder, or the one file.
    pub(super) root: PathBuf,
    /// Whether it is a folder.
    pub(super) multi_file: bool,
    /// The files, as the plan wants them.
    pub(super) files: Vec<CreateFile>,
}

/// What tells whether a file was changed meanwhile.
#[derive(PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { length: metadata.len(), modified: metadata.modified().ok() })
    }
}

/// Looks at a file, or at all that a folder holds.
pub(super) fn walk(path: &Path) -> Result<Walk, CreateTorrentError> {
    // What the user names may be a link; what lies in it is looked at as it is.
    let root = fs::canonicalize(path).map_err(|error| read(path, error))?;
    let named = path.file_name().or_else(|| root.file_name());
    let name = named.ok_or_else(|| CreateTorrentError::NoName(path.to_owned()))?;
    let name = name.to_str().ok_or_else(|| CreateTorrentError::Name(path.to_owned()))?.to_owned();
    let metadata = fs::metadata(&root).map_err(|error| read(path, error))?;
    let mut walk = Walk { name, root, multi_file: metadata.is_dir(), files: Vec::new() };
    if walk.multi_file {
        let root = walk.root.clone();
        walk.folder(&root, &mut Vec::new())?;
    } else if metadata.is_file() {
        let file = regular(vec![walk.name.clone()], &metadata);
        walk.files.push(file);
    } else {
        return Err(CreateTorrentError::Special(path.to_owned()));
    }
    Ok(walk)
}

impl Walk {
    fn folder(&mut self, folder: &Path, above: &mut Vec<String>) -> Result<(), CreateTorrentError> {
        if above.len() > DEPTH_MAX {
            return Err(CreateTorrentError::TooDeep(folder.to_owned()));
        }
        let wrong = |error| read(folder, error);
        let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(wrong)?.collect();
        let mut paths: Vec<PathBuf> = entries.map_err(wrong)?.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str());
            above.push(name.ok_or_else(|| CreateTorrentError::Name(path.clone()))?.to_owned());
            let metadata = fs::symlink_metadata(&path).map_err(|error| read(&path, error))?;
            let kind = metadata.file_type();
            if kind.is_symlink() {
                let symlink = Some(self.target(&path)?);
                self.files.push(CreateFile { path: above.clone(), symlink, ..CreateFile::default() });
            } else if kind.is_dir() {
                self.folder(&path, above)?;
            } else if kind.is_file() {
                self.files.push(regular(above.clone(), &metadata));
            } else {
                return Err(CreateTorrentError::Special(path));
            }
            above.pop();
        }
        Ok(())
    }

    /// Where a link leads, from the folder (BEP 47).
    fn target(&self, link: &Path) -> Result<Vec<String>, CreateTorrentError> {
        let leads = || CreateTorrentError::Link(link.to_owned());
        let target = fs::canonicalize(link).map_err(|_| leads())?;
        let inside = target.strip_prefix(&self.root).map_err(|_| leads())?;
        let names: Option<Vec<String>> =
            inside.components().map(|name| name.as_os_str().to_str().map(str::to_owned)).collect();
        names.filter(|names| !names.is_empty()).ok_or_else(leads)
    }

    /// Where a file of the plan lies.
    pub(super) fn place(&self, path: &[String]) -> PathBuf {
        if self.multi_file { self.root.join(path.join("/")) } else { self.root.clone() }
    }
}

fn regular(path: Vec<String>, metadata: &Metadata) -> CreateFile {
    let mut file = CreateFile { path, length: metadata.len(), ..CreateFile::default() };
    file.attributes.executable = metadata.permissions().mode() & 0o100 != 0;
    file
}

pub(super) fn read(path: &Path, error: std::io::Error) -> CreateTorrentError {
    CreateTorrentError::Read { path: path.to_owned(), error }
}
