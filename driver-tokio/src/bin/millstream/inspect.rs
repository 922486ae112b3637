//! `millstream inspect`: what a torrent file, a magnet link or a key's link says.

use crate::args::InspectArgs;
use crate::dht::hex;
use crate::outcome::Trouble;
use crate::source::{self, Source};
use crate::ui::{self, text};
use millstream::KeyLink;
use millstream::core::wire::krpc::mutable_target;
use millstream::core::wire::{Magnet, Metainfo};
use serde::Serialize;

/// What `--json` says. `null` is what isn't known, or isn't there.
#[derive(Serialize)]
pub(crate) struct Inspected<'a> {
    name: Option<&'a str>,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    /// The key that names a torrent, and its salt, in hexadecimal digits; where they are stored in the DHT (BEP 46).
    #[serde(flatten)]
    key: Option<InspectedKey>,
    magnet: Option<String>,
    piece_length: Option<u32>,
    pieces: Option<u32>,
    length: Option<u64>,
    private: Option<bool>,
    files: Vec<InspectedFile>,
    trackers: Vec<&'a str>,
    web_seeds: Vec<&'a str>,
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    creation_date: Option<i64>,
}

#[derive(Serialize)]
struct InspectedKey {
    public_key: String,
    salt: String,
    target: String,
}

/// A real file; its place in the list is its number for `--select`.
#[derive(Serialize)]
struct InspectedFile {
    path: String,
    length: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    symlink: Option<String>,
}

impl<'a> Inspected<'a> {
    /// Of a torrent file. Paths begin at the folder that `download -o` is given.
    pub(crate) fn of_torrent(metainfo: &'a Metainfo) -> Self {
        let info = &metainfo.info;
        let file = |file: &millstream::core::wire::metainfo::File| InspectedFile {
            path: info.storage_path(file).collect::<Vec<_>>().join("/"),
            length: file.length,
            symlink: file.symlink.as_ref().map(|target| target.join("/")),
        };
        Self {
            name: Some(info.name()),
            info_hash_v1: info.info_hash().map(|hash| hash.to_string()),
            info_hash_v2: info.info_hash_v2().map(|hash| hash.to_string()),
            key: None,
            magnet: Some(source::magnet_of(metainfo).to_string()),
            piece_length: Some(info.geometry().piece_length()),
            pieces: Some(info.geometry().pieces()),
            length: Some(info.length()),
            private: Some(info.is_private()),
            files: info.real_files().map(|(_, entry)| file(entry)).collect(),
            trackers: metainfo.trackers.iter().flatten().map(String::as_str).collect(),
            web_seeds: metainfo.web_seeds.iter().map(String::as_str).collect(),
            comment: metainfo.comment.as_deref(),
            created_by: metainfo.created_by.as_deref(),
            creation_date: metainfo.creation_date,
        }
    }

    fn of_magnet(magnet: &'a Magnet) -> Self {
        Self {
            name: magnet.name.as_deref(),
            info_hash_v1: magnet.info_hash.map(|hash| hash.to_string()),
            info_hash_v2: magnet.info_hash_v2.map(|hash| hash.to_string()),
            magnet: Some(magnet.to_string()),
            trackers: magnet.trackers.iter().map(String::as_str).collect(),
            web_seeds: magnet.web_seeds.iter().map(String::as_str).collect(),
            ..Self::unknown()
        }
    }

    fn of_key(link: &KeyLink) -> Self {
        let target = mutable_target(&link.key, &link.salt).to_string();
        let key = InspectedKey { public_key: hex(&link.key), salt: hex(&link.salt), target };
        Self { key: Some(key), magnet: Some(link.to_string()), ..Self::unknown() }
    }

    const fn unknown() -> Self {
        Self {
            name: None,
            info_hash_v1: None,
            info_hash_v2: None,
            key: None,
            magnet: None,
            piece_length: None,
            pieces: None,
            length: None,
            private: None,
            files: Vec::new(),
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
        }
    }

    /// One line for each thing that is known.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut say = |what: &str, value: Option<String>| {
            lines.extend(value.map(|value| format!("{what:<13} {}", text::clean(&value))));
        };
        say("name", self.name.map(str::to_owned));
        say("info-hash v1", self.info_hash_v1.clone());
        say("info-hash v2", self.info_hash_v2.clone());
        if let Some(key) = &self.key {
            say("public key", Some(key.public_key.clone()));
            say("salt", Some(key.salt.clone()).filter(|salt| !salt.is_empty()));
            say("stored at", Some(key.target.clone()));
        }
        say("magnet", self.magnet.clone());
        say("length", self.length.map(|length| format!("{} ({length} bytes)", text::size(length))));
        say(
            "pieces",
            self.pieces
                .zip(self.piece_length)
                .map(|(n, length)| format!("{n} of {}", text::size(u64::from(length)))),
        );
        say("private", self.private.map(|private| if private { "yes" } else { "no" }.to_owned()));
        self.trackers.iter().for_each(|url| say("tracker", Some((*url).to_owned())));
        self.web_seeds.iter().for_each(|url| say("web seed", Some((*url).to_owned())));
        say("comment", self.comment.map(str::to_owned));
        say("created by", self.created_by.map(str::to_owned));
        say("created on", self.creation_date.map(|date| format!("{date} seconds since 1970")));
        for (n, file) in self.files.iter().enumerate() {
            let to = file.symlink.as_ref().map_or_else(String::new, |target| format!(" -> {target}"));
            say(&format!("file {n}"), Some(format!("{:>10}  {}{to}", text::size(file.length), file.path)));
        }
        lines
    }
}

pub(crate) fn run(args: &InspectArgs) -> Result<(), Trouble> {
    let source = source::read(&args.torrent)?;
    let inspected = match &source {
        Source::Torrent(metainfo) => Inspected::of_torrent(metainfo),
        Source::Magnet(magnet) => Inspected::of_magnet(magnet),
        Source::Key(link) => Inspected::of_key(link),
    };
    if args.json {
        ui::json(&inspected);
    } else {
        inspected.lines().iter().for_each(|line| ui::line(line));
    }
    Ok(())
}
