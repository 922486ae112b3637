//! `millstream verify`: whether stored files are what a torrent says.

use crate::args::VerifyArgs;
use crate::outcome::Trouble;
use crate::signals::interruptible;
use crate::source;
use crate::ui::{self, Bar, text};
use core::ops::ControlFlow;
use millstream::{Verified, verify_files};
use serde::Serialize;

/// Ranges that are listed on a terminal; `--json` lists all.
const LISTED_MAX: usize = 50;

/// What `--json` says.
#[derive(Serialize)]
struct Report {
    complete: bool,
    /// Offsets count over the real files one after the other, as `inspect` lists them.
    missing: Vec<Range>,
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
        if verified.is_complete() { Ok(()) } else { Err(Trouble::Told(1)) }
    })
}

fn report(verified: &Verified) -> Report {
    let range = |missing: &millstream::Missing| Range { offset: missing.offset, length: missing.length };
    Report {
        complete: verified.is_complete(),
        missing: verified.missing.iter().map(range).collect(),
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
    for missing in verified.missing.iter().take(LISTED_MAX) {
        ui::line(&match missing.length {
            0 => format!("missing: an empty file at {}", missing.offset),
            length => format!("missing: {length} bytes at {}", missing.offset),
        });
    }
    if let Some(more) = verified.missing.len().checked_sub(LISTED_MAX).filter(|&more| more > 0) {
        ui::line(&format!("missing: {more} more ranges; --json lists them all"));
    }
}
