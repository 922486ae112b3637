//! `millstream create`: a torrent file of a file or a folder.

use crate::args::CreateArgs;
use crate::inspect::Inspected;
use crate::outcome::Trouble;
use crate::signals::interruptible;
use crate::source;
use crate::ui::{self, Bar, text};
use core::ops::ControlFlow;
use millstream::core::create::OptionsError;
use millstream::core::wire::Metainfo;
use millstream::core::wire::metainfo::Version;
use millstream::{CreateTorrent, CreateTorrentError, SignError, Signer, certificate_der};
use serde::Serialize;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `--json` says.
#[derive(Serialize)]
struct Created<'a> {
    torrent: String,
    #[serde(flatten)]
    inspected: Inspected<'a>,
}

pub(crate) fn run(args: CreateArgs) -> Result<(), Trouble> {
    let (json, output) = (args.json, args.output.clone());
    interruptible(move || {
        let signer = signer(&args)?;
        let lonely = args.private && args.trackers.is_empty();
        let options = options(args)?;
        let output = output.unwrap_or_else(|| default_output(&options.path));
        if lies_within(&output, &options.path) {
            let words = "lies in what the torrent is made of, and would change it: put it elsewhere with -o";
            return Err(Trouble::Usage(format!("{} {words}", output.display())));
        }
        let bar = Bar::new("hashing", json);
        let made = options.create(|done, all| {
            bar.set(done, all);
            ControlFlow::Continue(())
        });
        bar.end();
        let mut bytes = made.map_err(|error| trouble(&error))?;
        if let Some(signer) = signer {
            bytes = signer.sign(&bytes).map_err(Trouble::failed)?;
        }
        let metainfo = Metainfo::parse(&bytes).map_err(Trouble::failed)?;
        write(&output, &bytes)
            .map_err(|error| Trouble::failed(format!("{} can't be written: {error}", output.display())))?;
        tell(&metainfo, &output, json);
        if lonely {
            ui::caution(
                "nobody can find peers for a private torrent without a tracker: name one with --tracker",
            );
        }
        Ok(())
    })
}

/// Who signs it, if anybody is to.
fn signer(args: &CreateArgs) -> Result<Option<Signer>, Trouble> {
    let (Some(key), Some(certificate)) = (&args.sign_key, &args.sign_certificate) else { return Ok(None) };
    let signer = Signer::new(&read(key)?, &read(certificate)?);
    signer.map(Some).map_err(|error| Trouble::Usage(error.to_string()))
}

fn originator(path: &Path) -> Result<Vec<u8>, Trouble> {
    let error = || Trouble::Usage(format!("--originator: {}", SignError::Certificate));
    certificate_der(&read(path)?).ok_or_else(error)
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    fs::read(path).map_err(|error| Trouble::failed(format!("{} can't be read: {error}", path.display())))
}

fn options(args: CreateArgs) -> Result<CreateTorrent, Trouble> {
    let version = match (args.v1, args.v2) {
        (true, _) => Version::V1,
        (_, true) => Version::V2,
        _ => Version::Hybrid,
    };
    Ok(CreateTorrent {
        version,
        piece_length: args.piece_length,
        trackers: args.trackers.into_iter().map(|url| vec![url]).collect(),
        web_seeds: args.web_seeds,
        private: args.private,
        comment: args.comment,
        similar: args.similar,
        collections: args.collections,
        update_url: args.update_url,
        originator: args.originator.as_deref().map(originator).transpose()?,
        ..CreateTorrent::new(args.path)
    })
}

fn trouble(error: &CreateTorrentError) -> Trouble {
    if let CreateTorrentError::Options(OptionsError::PieceLength(_)) = error {
        let rule = "a power of two from 16 KiB to 1 GiB, and any length up to 1 GiB with --v1";
        return Trouble::Usage(format!("--piece-length: {error}; choose {rule}"));
    }
    Trouble::failed(error)
}

/// The name that the files go by, in the current folder.
fn default_output(path: &Path) -> PathBuf {
    let whole = fs::canonicalize(path).unwrap_or_default();
    let mut file = path.file_name().or(whole.file_name()).map(OsString::from).unwrap_or_default();
    file.push(".torrent");
    PathBuf::from(file)
}

/// Whether writing `output` would change what is at `path`. What is no plain file (a terminal, a pipe) changes nothing.
fn lies_within(output: &Path, path: &Path) -> bool {
    let Ok(root) = fs::canonicalize(path) else { return false };
    if let Ok(output) = fs::canonicalize(output) {
        return output.is_file() && output.starts_with(&root);
    }
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::canonicalize(folder.unwrap_or(Path::new("."))).is_ok_and(|folder| folder.starts_with(&root))
}

/// Writes all or nothing.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What is no plain file (a terminal, a pipe, /dev/stdout) is written to as it is.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.part", std::process::id()));
    let written = File::create(&aside)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // Of no use to anybody; perhaps it was never there.
        let _ = fs::remove_file(&aside);
    }
    written
}

fn tell(metainfo: &Metainfo, output: &Path, json: bool) {
    let torrent = output.display().to_string();
    if json {
        ui::json(&Created { torrent, inspected: Inspected::of_torrent(metainfo) });
        return;
    }
    let info = &metainfo.info;
    let pieces = info.geometry().pieces();
    ui::line(&format!(
        "{torrent}: {} in {} and {} of {}",
        text::size(info.length()),
        text::count(info.real_files().count() as u64, "file"),
        text::count(u64::from(pieces), "piece"),
        text::size(u64::from(info.geometry().piece_length())),
    ));
    for hash in info
        .info_hash()
        .map(|hash| format!("v1 {hash}"))
        .into_iter()
        .chain(info.info_hash_v2().map(|hash| format!("v2 {hash}")))
    {
        ui::line(&format!("info-hash {hash}"));
    }
    ui::line(&source::magnet_of(metainfo).to_string());
}
