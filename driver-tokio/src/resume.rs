//! Where resume data lies: one file per torrent and folder, replaced atomically. What is in it is the engine's.

use millstream_core::engine::Source;
use millstream_core::resume::decode;
use millstream_core::wire::InfoHash;
use sha1::{Digest, Sha1};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Longer resume data isn't read: it can't be ours. Bytes.
const BYTES_MAX: u64 = 256 << 20;

/// The folder that holds resume data.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The given folder, or the user's own place for state; `None` if there is no such place.
    pub(crate) fn new(folder: Option<PathBuf>) -> Option<Self> {
        let folder = folder.or_else(|| {
            let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
            let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
            Some(state.or_else(home)?.join("millstream"))
        });
        folder.map(|folder| Self { folder })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the DHT's table lies.
    pub(crate) fn dht_table(&self) -> PathBuf {
        self.folder.join("dht.table")
    }

    /// Where the resume data of a torrent in a folder lies. The same torrent in another folder has another place.
    pub(crate) fn place(&self, source: &Source, folder: &Path) -> Option<PathBuf> {
        Some(self.folder.join(name(info_hash(source)?, folder)))
    }
}

fn info_hash(source: &Source) -> Option<InfoHash> {
    match source {
        Source::Metainfo(metainfo) => metainfo.info.hashes().next(),
        Source::Magnet(magnet) => magnet.hashes().next(),
    }
}

fn name(info_hash: InfoHash, folder: &Path) -> String {
    let digest = Sha1::digest(folder.as_os_str().as_encoded_bytes());
    let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{info_hash}-{digest}.resume")
}

/// What was kept there; `None` if nothing was. What is damaged is for who uses it to notice.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if about.len() > BYTES_MAX {
        return Err(io::Error::other(format!("its {} bytes are too many", about.len())));
    }
    let mut data = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut data)?;
    Ok(Some(data))
}

/// Resume data. What can't be read is set aside with a warning. So is what is damaged, but that warning is the engine's.
pub(crate) fn load(path: &Path) -> Option<Vec<u8>> {
    let read = read(path).unwrap_or_else(|error| {
        let (what, aside) = (path.display(), set_aside(path));
        tracing::warn!("the resume data {what} can't be read ({error}) and is {aside}; all is checked");
        None
    });
    if let Some(Err(error)) = read.as_deref().map(decode) {
        let aside = set_aside(path);
        tracing::info!(%error, "the resume data {} is {aside}", path.display());
    }
    read
}

/// Renames what is of no use: it is neither trusted nor in the way. Says what became of it.
pub(crate) fn set_aside(path: &Path) -> String {
    let aside = path.with_extension("damaged");
    match fs::rename(path, &aside) {
        Ok(()) => format!("set aside as {}", aside.display()),
        Err(why) => format!("left there: {why}"),
    }
}

/// Replaces what is kept there: after a crash at any moment, either the old or the new data is there, whole.
pub(crate) fn save(path: &Path, data: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let aside = path.with_extension("part");
    let written = (|| {
        let mut file = File::create(&aside)?;
        file.write_all(data)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    })();
    if written.is_err() {
        // The old data stays as it was; the rest of the new is of no use to anybody.
        let _ = fs::remove_file(&aside);
    }
    written?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::test_folder;

    #[test]
    fn the_same_torrent_in_two_folders_has_two_places() {
        let hash = InfoHash([7; 20]);
        assert_ne!(name(hash, Path::new("/a")), name(hash, Path::new("/b")));
        assert_eq!(name(hash, Path::new("/a")), name(hash, Path::new("/a")));
    }

    #[test]
    fn a_failed_save_leaves_the_old_data() {
        let folder = test_folder("resume");
        let path = folder.join("deep/x.resume");
        save(&path, b"old").unwrap();
        // a folder where the new data would be written first
        fs::create_dir(path.with_extension("part")).unwrap();
        assert!(save(&path, b"new").is_err());
        assert_eq!(read(&path).unwrap().unwrap(), b"old");
        fs::remove_dir(path.with_extension("part")).unwrap();
        save(&path, b"new").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"new");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left aside");
    }
    #[test]
    fn what_cant_be_read_is_set_aside_and_what_isnt_there_is_not_missed() {
        let folder = test_folder("resume-unread");
        let path = folder.join("x.resume");
        assert_eq!((read(&path).unwrap(), load(&path)), (None, None));
        // a folder in its place, more than can be ours, and what leads to itself
        fs::create_dir(&path).unwrap();
        assert_eq!(load(&path), None);
        assert!(folder.join("x.damaged").is_dir());
        fs::remove_dir(folder.join("x.damaged")).unwrap();
        File::create(&path).unwrap().set_len(BYTES_MAX + 1).unwrap();
        assert_eq!(load(&path), None);
        assert!(folder.join("x.damaged").is_file());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, &path).unwrap();
            assert_eq!(load(&path), None);
        }
        assert!(fs::symlink_metadata(&path).is_err(), "it is in nobody's way");
        save(&path, b"damaged").unwrap();
        assert_eq!(load(&path).unwrap(), b"damaged", "the engine tells of it");
        assert_eq!(fs::read(folder.join("x.damaged")).unwrap(), b"damaged");
        assert!(read(&path).unwrap().is_none());
    }
}
