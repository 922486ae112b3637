//! `millstream verify`: whether stored files are what a torrent says.

use crate::args::VerifyArgs;
use crate::outcome::Trouble;
use crate::signals::interruptible;
use crate::source;
use crate::ui::{self, Bar, text};
use core::ops::ControlFlow;
use millstream::{Damage, DamagedFile, Verified, verify_files};
use serde::Serialize;

/// Files that are listed on a terminal; `--json` lists all.
const LISTED_MAX: usize = 50;

/// What `--json` says.
#[derive(Serialize)]
struct Report<'a> {
    complete: bool,
    /// Offsets count over the real files one after the other, as `inspect` lists them.
    missing: Vec<Range>,
    files: Vec<File<'a>>,
    length: u64,
    verified: u64,
    pieces: u32,
    pieces_verified: u32,
}

#[derive(Serialize)]
struct Range {
    offset: u64,
    length: u64,
}

/// A file that isn't known to be whole; `stored` is its length as it is, `null` if it isn't there.
#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    damage: &'static str,
    length: u64,
    stored: Option<u64>,
    missing: u64,
}

pub(crate) fn run(args: VerifyArgs) -> Result<(), Trouble> {
    interruptible(move || {
        let (metainfo, _) = source::read_torrent(&args.torrent)?;
        let bar = Bar::new("verifying", args.json);
        let looked = verify_files(&metainfo.info, &args.data, 0, |done, all| {
            bar.set(done, all);
            ControlFlow::Continue(())
        });
        bar.end();
        let verified = looked.map_err(Trouble::failed)?;
        if args.json {
            ui::json(&report(&verified));
        } else {
            tell(&verified);
        }
        let is_absent = |file: &DamagedFile| file.damage == Damage::Missing;
        if verified.is_complete() {
            Ok(())
        } else if verified.verified == 0 && verified.files.iter().all(is_absent) {
            Err(Trouble::failed("nothing of it is there: is --data the folder that holds it?"))
        } else {
            Err(Trouble::Told(1))
        }
    })
}

fn report(verified: &Verified) -> Report<'_> {
    let range = |missing: &millstream::Missing| Range { offset: missing.offset, length: missing.length };
    Report {
        complete: verified.is_complete(),
        missing: verified.missing.iter().map(range).collect(),
        files: verified.files.iter().map(File::of).collect(),
        length: verified.length,
        verified: verified.verified,
        pieces: verified.pieces,
        pieces_verified: verified.pieces_verified,
    }
}

fn tell(verified: &Verified) {
    if verified.is_complete() {
        ui::line(&format!("complete: {} are verified", text::size(verified.length)));
        return;
    }
    ui::line(&format!(
        "not whole: {} of {} are verified, {} of {} pieces",
        text::size(verified.verified),
        text::size(verified.length),
        verified.pieces_verified,
        verified.pieces,
    ));
    verified.files.iter().take(LISTED_MAX).for_each(|file| ui::line(&words(file)));
    if let Some(more) = verified.files.len().checked_sub(LISTED_MAX).filter(|&more| more > 0) {
        ui::line(&format!("{} more; --json lists them all", text::count(more as u64, "file")));
    }
}

fn words(file: &DamagedFile) -> String {
    let DamagedFile { path, length, missing, .. } = file;
    let stored = file.stored.unwrap_or(0);
    match file.damage {
        Damage::Missing if *length == 0 => format!("missing: {path}, an empty file"),
        Damage::Missing => format!("missing: {path}, {}", text::count(*length, "byte")),
        Damage::Short => format!("short: {path}, {stored} of {}", text::count(*length, "byte")),
        Damage::Wrong => {
            format!("wrong: {path}, {missing} of {} in bad pieces", text::count(*length, "byte"))
        }
        Damage::Unsure => {
            let shared = "in pieces shared with a file that is missing or short";
            format!("unsure: {path}, {missing} of {} {shared}", text::count(*length, "byte"))
        }
    }
}

impl<'a> File<'a> {
    fn of(file: &'a DamagedFile) -> Self {
        let damage = match file.damage {
            Damage::Missing => "missing",
            Damage::Short => "short",
            Damage::Wrong => "wrong",
            Damage::Unsure => "unsure",
        };
        let DamagedFile { path, length, stored, missing, .. } = file;
        Self { path, damage, length: *length, stored: *stored, missing: *missing }
    }
}
