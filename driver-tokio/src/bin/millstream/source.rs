//! Torrents as they are named on the command line.

use crate::outcome::Trouble;
use millstream::KeyLink;
use millstream::core::wire::{Magnet, Metainfo};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longer files are no torrents. Bytes.
const BYTES_MAX: u64 = 64 << 20;

/// A torrent file, a magnet link, or a link of a key that names a torrent (BEP 46).
pub(crate) enum Source {
    Torrent(Box<Metainfo>),
    Magnet(Box<Magnet>),
    Key(KeyLink),
}

/// Whether this is a magnet link rather than a file's name.
pub(crate) fn is_magnet(text: &str) -> bool {
    text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("magnet:"))
}

/// The key of a link that has one in a torrent's place.
pub(crate) fn key_link(text: &str) -> Option<KeyLink> {
    KeyLink::parse(text).filter(|_| Magnet::parse(text).is_err())
}

/// The link of a torrent whose file is here.
pub(crate) fn magnet_of(metainfo: &Metainfo) -> Magnet {
    Magnet {
        info_hash: metainfo.info.info_hash(),
        info_hash_v2: metainfo.info.info_hash_v2(),
        name: Some(metainfo.info.name().to_owned()),
        trackers: metainfo.trackers.concat(),
        web_seeds: metainfo.web_seeds.clone(),
        ..Magnet::default()
    }
}

/// Reads what `text` names: a magnet link or the path of a torrent file.
pub(crate) fn read(text: &str) -> Result<Source, Trouble> {
    if let Some(link) = key_link(text) {
        return Ok(Source::Key(link));
    }
    if is_magnet(text) {
        let magnet =
            Magnet::parse(text).map_err(|error| Trouble::failed(format!("the magnet link: {error}")))?;
        return Ok(Source::Magnet(Box::new(magnet)));
    }
    if let Some(link) = link_of_hash(text).filter(|_| !Path::new(text).exists()) {
        return Err(Trouble::failed(format!(
            "{text} is no file; of an info-hash give the magnet link: {link}"
        )));
    }
    let (metainfo, _) = read_torrent(Path::new(text))?;
    Ok(Source::Torrent(Box::new(metainfo)))
}

/// The link of a bare info-hash, if it is one.
fn link_of_hash(text: &str) -> Option<String> {
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    match text.len() {
        40 if hex => Some(format!("magnet:?xt=urn:btih:{text}")),
        64 if hex => Some(format!("magnet:?xt=urn:btmh:1220{text}")),
        _ => None,
    }
}

/// Reads a torrent file: what it says, and its bytes.
pub(crate) fn read_torrent(path: &Path) -> Result<(Metainfo, Vec<u8>), Trouble> {
    let shown = path.display();
    if path.to_str().is_some_and(|path| is_magnet(path) || link_of_hash(path).is_some()) && !path.exists() {
        let why = "a torrent file is needed here; `millstream download --seed` takes a magnet link";
        return Err(Trouble::failed(format!("{shown} is no file: {why}")));
    }
    let wrong = |error: std::io::Error| Trouble::failed(format!("{shown} can't be read: {error}"));
    let file = File::open(path).map_err(wrong)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Trouble::failed(format!("{shown} is no torrent: it is longer than {BYTES_MAX} bytes")));
    }
    let metainfo = Metainfo::parse(&bytes)
        .map_err(|error| Trouble::failed(format!("{shown} is no usable torrent: {error}")))?;
    Ok((metainfo, bytes))
}
