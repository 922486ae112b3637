//! Resume data: what was synced is claimed, nothing else; saved from time to time, at completion and at the end.

use super::content::Content;
use super::{Context, Errand, FileNow, FilesOp, Outcome, Torrent, TorrentEvent, Work};
use crate::base::{Bits, Instant, TorrentId};
use crate::resume::{FileSaved, Resume, Stamp, encode};
use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

/// Where saving stands.
#[derive(Debug)]
pub(super) struct Saving {
    /// By how many of 2,048 parts of the interval this torrent saves earlier: thousands that were added together, and
    /// came to something worth saving together, don't save in one moment. Below 1,024.
    earlier: u32,
    due: Option<Instant>,
    /// A sync or a save is under way: the pieces that may be claimed when it is done.
    claim: Option<Bits>,
    /// Asked for again meanwhile.
    again: bool,
    /// The resume data that the torrent was added with already claims what was trusted of it.
    kept: bool,
}

impl Saving {
    /// Nothing to save yet.
    pub(super) fn new(id: TorrentId) -> Self {
        // The golden ratio spreads numbers that follow each other.
        let earlier = (id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as u32;
        Self { earlier, due: None, claim: None, again: false, kept: false }
    }

    /// Something changed that is worth saving within `interval`.
    pub(super) fn touch(&mut self, now: Instant, interval: Duration) {
        let wait = interval.saturating_sub(interval / 2048 * self.earlier);
        self.due = self.due.or(Some(now + wait));
    }

    /// The files are open: what the resume data claimed, if there was any, is trusted as a whole or not.
    pub(super) fn on_trusted(&mut self, whole: bool) {
        self.kept = whole;
    }

    /// All that is stored was looked at. Thousands of torrents that are found as they were left have nothing to save.
    pub(super) fn on_checked(&mut self, now: Instant, interval: Duration, found: bool) {
        if found || !core::mem::take(&mut self.kept) {
            self.touch(now, interval);
        }
    }

    /// Other files are wanted than was saved, or they are wanted more or less.
    pub(super) fn on_wants(&mut self, now: Instant, interval: Duration) {
        self.kept = false;
        self.touch(now, interval);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

impl Torrent {
    pub(super) fn on_save_timeout(&mut self, cx: &mut Context<'_>) {
        if self.save.due.is_some_and(|at| at <= cx.now) {
            self.save(cx);
        }
    }

    /// Saves resume data: first what was written is brought onto the medium, then it is claimed.
    pub fn save(&mut self, _cx: &mut Context<'_>) {
        self.save.due = None;
        let Some(content) = self.content.as_deref().filter(|content| content.is_checked()) else {
            return self.on_last_saved();
        };
        if self.save.claim.is_some() {
            self.save.again = true;
            return;
        }
        self.save.claim = Some(content.written.clone());
        self.job(Errand::Sync, Work::Files { torrent: self.id, op: FilesOp::Sync });
    }

    pub(super) fn on_synced(&mut self, cx: &mut Context<'_>, outcome: Outcome) {
        let Outcome::Files(files) = outcome else {
            let error = outcome.failure();
            self.event(TorrentEvent::Warning(format!("what was written can't be synced: {error}")));
            return self.save_done(cx);
        };
        let Some(claim) = &self.save.claim else { return };
        match self.resume_data(claim, &files) {
            Some(resume) => self.job(Errand::Save, Work::Save { torrent: self.id, data: encode(&resume) }),
            None => self.save_done(cx),
        }
    }

    pub(super) fn on_saved(&mut self, cx: &mut Context<'_>, outcome: Outcome) {
        if outcome == Outcome::Saved {
            self.event(TorrentEvent::Saved);
        } else {
            let error = outcome.failure();
            self.event(TorrentEvent::Warning(format!("the resume data can't be saved: {error}")));
        }
        self.save_done(cx);
    }

    fn save_done(&mut self, cx: &mut Context<'_>) {
        self.save.claim = None;
        if core::mem::take(&mut self.save.again) {
            return self.save(cx);
        }
        self.on_last_saved();
        self.check_left(cx);
    }

    fn resume_data(&self, claim: &Bits, files: &[FileNow]) -> Option<Resume> {
        let content = self.content.as_deref()?;
        let stamp = |file: &FileNow| {
            Some(Stamp {
                length: file.length?,
                modified_ns: i64::try_from(file.modified_ns).unwrap_or(i64::MAX),
            })
        };
        let files = files.iter().zip(self.saved_priorities());
        let saved = files.map(|(file, priority)| FileSaved { stamp: stamp(file), priority }).collect();
        Some(Resume {
            v1: content.info.info_hash(),
            v2: content.info.info_hash_v2(),
            name: content.info.name().into(),
            info: Some(content.info.raw().to_vec()),
            save_path: (*self.folder).into(),
            verified: claim.clone(),
            files: saved,
            uploaded: self.up.total() + self.before.0,
            downloaded: self.down.total() + self.before.1,
            piece_layers: content.layers(),
            peers: self.book.iter().map(|(addr, _)| addr).take(crate::resume::PEERS_MAX).collect(),
            clean: content.picker.is_wanted_complete(),
            web_seeds: self.web_urls(),
            trackers: self.trackers_saved(),
            ..Resume::default()
        })
    }

    /// Takes over what resume data remembers beside pieces.
    pub(super) fn remember(&mut self, cx: &Context<'_>, resume: &Resume) {
        let config = cx.config;
        self.before = (resume.uploaded, resume.downloaded);
        self.recall_wants(resume);
        let own = crate::book::Own::default();
        self.remember_trackers(cx, &resume.trackers);
        self.know_web_seeds(resume.web_seeds.iter().map(|url| url.as_str().into()), &config.web_seed);
        if !self.only_peers {
            for &addr in &resume.peers {
                let _ = self.book.on_address(addr, crate::book::Source::Resume, &own, &config.book);
            }
        }
    }
}

/// The pieces that resume data claims, of files that are as they were.
pub(super) fn trusted(resume: &Resume, files: &[FileNow], content: &Content) -> Bits {
    let now: Vec<Option<Stamp>> = files
        .iter()
        .map(|file| {
            Some(Stamp {
                length: file.length?,
                modified_ns: i64::try_from(file.modified_ns).unwrap_or(i64::MAX),
            })
        })
        .collect();
    let spans: Vec<Range<u64>> =
        (0..files.len()).map(|n| content.layout.range_of(n as u32).unwrap_or(0..0)).collect();
    crate::resume::trusted(resume, &content.geometry, &now, &spans)
}
