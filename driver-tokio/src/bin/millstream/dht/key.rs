//! Keys of mutable items in files that only their owner may read.

use super::args::{hex, unhex};
use crate::outcome::Trouble;
use millstream::core::dht::SecretKey;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A longer file is no key. Bytes.
const BYTES_MAX: u64 = 1024;

/// Makes a key, keeps it in a new file, and gives its public half.
pub(super) fn make(path: &Path) -> Result<[u8; 32], Trouble> {
    let shown = path.display();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Trouble::failed(format!("the system has no random numbers: {error}")))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(format!("{}\n", hex(&seed)).as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Trouble::failed(format!("{shown} can't be written: {error}")))?;
    Ok(SecretKey::from_seed(&seed).public())
}

/// Reads a key: a seed of 64 hex digits, or the expanded form of 128 that other clients keep.
pub(super) fn read(path: &Path) -> Result<SecretKey, Trouble> {
    let shown = path.display();
    let wrong = |error: std::io::Error| Trouble::failed(format!("{shown} can't be read: {error}"));
    let file = File::open(path).map_err(wrong)?;
    if file.metadata().map_err(wrong)?.mode() & 0o077 != 0 {
        return Err(Trouble::failed(format!(
            "{shown} may be read by others and is no secret; after `chmod 600` it is taken"
        )));
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(wrong)?;
    let digits = text.trim();
    let seed = unhex::<32>(digits).map(|seed| SecretKey::from_seed(&seed));
    let key = seed.or_else(|| Some(SecretKey::from_expanded(&unhex::<64>(digits)?)));
    key.ok_or_else(|| Trouble::failed(format!("{shown} is no key: 64 or 128 hex digits are")))
}
