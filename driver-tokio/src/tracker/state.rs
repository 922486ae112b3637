//! A tracker's state in a file: written beside and moved into place, so that there is always a whole one; what is damaged
//! is set aside. Not what is in it.

use super::queue::{Ask, Shared};
use core::time::Duration;
use millstream_core::tracker::state::{SavedState, StateError, StateWriter};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// A longer state can't be ours: hundreds of millions of peers. Bytes.
const BYTES_MAX: u64 = 16 << 30;

/// So many bytes say whether the rest is worth reading.
const FIRST_BYTES: u64 = 64;

/// What a file holds.
pub(super) enum Loaded {
    /// Nothing yet.
    Absent,
    /// What can't be believed; it is set aside. For the user.
    Damaged(String),
    /// A state, whole, and how long ago it was saved.
    State(Vec<u8>, Duration),
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Reads a state. One that is damaged is moved to a name of its own.
pub(super) fn load(path: &Path) -> io::Result<Loaded> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Absent),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    io::Read::by_ref(&mut file).take(FIRST_BYTES).read_to_end(&mut bytes)?;
    // What doesn't begin as ours is not read, however long it is.
    if let Err(error @ (StateError::Foreign | StateError::Version { .. })) = SavedState::read(&bytes) {
        return set_aside(path, error).map(Loaded::Damaged);
    }
    if file.metadata()?.len() > BYTES_MAX {
        return set_aside(path, StateError::Damaged).map(Loaded::Damaged);
    }
    file.read_to_end(&mut bytes)?;
    match SavedState::read(&bytes) {
        Ok(state) => {
            let away = Duration::from_secs(now_s().saturating_sub(state.at_s));
            Ok(Loaded::State(bytes, away))
        }
        Err(error) => set_aside(path, error).map(Loaded::Damaged),
    }
}

fn set_aside(path: &Path, error: StateError) -> io::Result<String> {
    let aside = beside(path, "damaged");
    std::fs::rename(path, &aside)?;
    let (path, aside) = (path.display(), aside.display());
    Ok(format!("{path}: {error}; it is set aside as {aside}, and the tracker begins with nothing"))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Saves what all workers hold, a part at a time. Not for a thread that has anything else to do.
pub(super) fn save(shared: &Shared, path: &Path) -> io::Result<()> {
    let fresh = beside(path, "new");
    let mut file = File::create(&fresh)?;
    let (mut writer, head) = StateWriter::new(now_s());
    file.write_all(&head)?;
    for door in &shared.doors {
        let mut from = Some(0);
        while let Some(place) = from {
            let (answer, waits) = oneshot::channel();
            door.insist(Ask::Save { from: place, answer });
            let (bytes, next) = waits.blocking_recv().map_err(|_| io::Error::other("a worker is gone"))?;
            writer.add(&bytes);
            file.write_all(&bytes)?;
            from = next;
        }
    }
    file.write_all(&writer.finish())?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&fresh, path)
}
