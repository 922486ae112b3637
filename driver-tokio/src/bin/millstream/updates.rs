//! Newer torrents (BEP 39) that are told of: those that their originator signed (BEP 35) are saved, if that is wanted.
//! Looking for them is the session's.

use crate::create;
use crate::ui::News;
use millstream::Session;
use millstream::core::wire::Metainfo;
use std::fs;
use std::path::{Path, PathBuf};

/// What `--updates` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Updates {
    /// They are saved beside the state; so it is if nothing is said.
    BesideState,
    /// They are saved here.
    Into(PathBuf),
    /// They aren't looked for.
    Off,
}

impl Updates {
    /// Reads the flag's value.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("it is a folder, or off".to_owned()),
            "off" => Ok(Self::Off),
            folder => Ok(Self::Into(folder.into())),
        }
    }

    /// Where they are saved in this session; `None` if there is no such place.
    pub(crate) fn folder(asked: Option<&Self>, session: &Session) -> Option<PathBuf> {
        match asked.unwrap_or(&Self::BesideState) {
            Self::BesideState => session.state_folder().map(|folder| folder.join("updates")),
            Self::Into(folder) => Some(folder.clone()),
            Self::Off => None,
        }
    }
}

/// Saves a newer torrent that is vouched for; what to tell of it, and what to warn of.
pub(crate) fn take(torrent: &[u8], signed: bool, folder: Option<&Path>) -> (News<'static>, Option<String>) {
    let newer = Metainfo::parse(torrent).ok().map(|metainfo| metainfo.info);
    let newer_v1 = newer.as_ref().and_then(|info| info.info_hash()).map(|hash| hash.to_string());
    let newer_v2 = newer.as_ref().and_then(|info| info.info_hash_v2()).map(|hash| hash.to_string());
    // Not its own name: that is a stranger's word until somebody looks at it.
    let path = newer_v1.as_ref().or(newer_v2.as_ref()).zip(folder.filter(|_| signed));
    let path = path.map(|(hash, folder)| folder.join(format!("{hash}.torrent")));
    let written = path.as_deref().map(|path| {
        path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| create::write(path, torrent))
    });
    let shown = path.map(|path| path.display().to_string());
    let (saved, warning) = match (shown, written) {
        (Some(path), Some(Err(error))) => {
            (None, Some(format!("the newer torrent can't be saved as {path}: {error}")))
        }
        (shown, _) => (shown, None),
    };
    (News::Update { signed, newer_v1, newer_v2, saved }, warning)
}
