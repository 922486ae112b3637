//! Opening a torrent's files, and looking at what is stored in them already.

use super::content::Content;
use super::phase::Phase;
use super::{Context, Errand, FileSpec, FilesOp, Outcome, Output, Torrent, TorrentEvent, Work};
use crate::base::{Bits, PieceIndex};
use crate::resume::{Resume, decode};
use crate::store::Recheck;
use crate::verify::Verdict;
use crate::wire::metainfo::Info;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Torrent {
    /// Takes on what an info dictionary describes.
    pub(super) fn set_content(&mut self, info: Arc<Info>, config: &super::Config) {
        self.name = Arc::from(info.name());
        self.hash_v2 = info.info_hash_v2();
        let mut content = Box::new(Content::new(info, &config.store()));
        content.picker.set_sequential(self.sequential);
        self.content = Some(content);
        self.apply_wants();
    }

    pub(super) fn open_files(&mut self) {
        // Until it is read what an earlier run selected, nothing is made.
        if let Some(op) = self.opening(self.resume.is_none()) {
            self.job(Errand::Open, Work::Files { torrent: self.id, op });
        }
    }

    /// Other files are wanted than were when they were opened: those of no length are made by nobody else.
    pub(super) fn make_files(&mut self) {
        let open = match &self.phase {
            Phase::Opening | Phase::Checking(_) | Phase::Active => !self.recheck,
            Phase::Paused | Phase::Failed(_) => {
                self.content.as_ref().is_some_and(|content| content.is_checked())
            }
            Phase::Metadata | Phase::Leaving(_) => false,
        };
        let Some(op) = self.opening(true).filter(|_| open) else { return };
        let lacks = |spec: &FileSpec| spec.wanted && !spec.pad && spec.length == 0;
        if matches!(&op, FilesOp::Open { files, .. } if files.iter().any(lacks)) {
            self.job(Errand::Make, Work::Files { torrent: self.id, op });
        }
    }

    /// How the files are opened; `make`: and those of no length that are selected made.
    fn opening(&self, make: bool) -> Option<FilesOp> {
        let content = self.content.as_ref()?;
        let wanted = self.priorities().into_iter().map(|priority| make && priority.is_some());
        Some(FilesOp::Open {
            folder: Arc::clone(&self.folder),
            files: content.specs(wanted),
            allocation: self.allocation,
        })
    }

    pub(super) fn on_files_made(&mut self, cx: &mut Context<'_>, outcome: Outcome) {
        if !matches!(outcome, Outcome::Files(_)) {
            self.fail_with(cx, "can't make the files", outcome);
        }
    }

    pub(super) fn close_files(&mut self) {
        self.job(Errand::Close, Work::Files { torrent: self.id, op: FilesOp::Close });
    }

    pub(super) fn on_files_open(&mut self, cx: &mut Context<'_>, outcome: Outcome) {
        // Before a recheck begins they are opened again.
        if !matches!(self.phase, Phase::Opening) || self.recheck {
            return;
        }
        let Outcome::Files(files) = outcome else {
            return self.fail_with(cx, "can't open the files", outcome);
        };
        let held = self.resume.is_some();
        let resume = self.take_resume(cx);
        if held {
            self.make_files();
        }
        let Some(content) = &mut self.content else { return };
        let mut good = Bits::new(content.geometry.pieces());
        if let Some(resume) = &resume {
            good = super::save::trusted(resume, &files, content);
        } else if content.written.len() == content.geometry.pieces() {
            // A check that was broken off goes on.
            good = content.written.clone();
        }
        self.save.on_trusted(resume.is_some_and(|resume| resume.verified == good));
        let mut unknown = Bits::full(content.geometry.pieces());
        good.iter().for_each(|piece| {
            unknown.clear(piece);
        });
        let mut recheck = Recheck::new(unknown, cx.config.check_jobs_max);
        for (n, file) in files.iter().enumerate() {
            recheck.on_file_size(&content.geometry, &content.layout, n as u32, file.length.unwrap_or(0));
        }
        content.written = good.clone();
        for piece in good.iter().filter_map(|n| content.geometry.piece(n)) {
            content.picker.on_stored(piece);
        }
        self.check(cx, recheck);
    }

    /// What was saved for this torrent, if it is sound and meant for it.
    fn take_resume(&mut self, cx: &Context<'_>) -> Option<Resume> {
        let bytes = self.resume.take()?;
        match decode(&bytes) {
            Ok(resume) if self.is_of(&resume) => {
                self.remember(cx, &resume);
                Some(resume)
            }
            Ok(_) => {
                self.event(TorrentEvent::Warning(
                    "the resume data belongs to another torrent: set aside".into(),
                ));
                None
            }
            Err(error) => {
                self.event(TorrentEvent::Warning(format!(
                    "the resume data is damaged, all is checked: {error}"
                )));
                None
            }
        }
    }

    fn is_of(&self, resume: &Resume) -> bool {
        let info = self.info();
        info.is_some_and(|info| resume.v1 == info.info_hash() && resume.v2 == info.info_hash_v2())
    }

    /// A stored piece turned out good after its check was over: its expected hash came late.
    pub(super) fn on_found(&mut self, cx: &mut Context<'_>, piece: PieceIndex) {
        let Some(content) = &mut self.content else { return };
        if content.picker.on_stored(piece) {
            content.written.set(piece.get());
            let numbers: Vec<u32> = self.peers.keys().copied().collect();
            for n in numbers {
                if let Some(peer) = self.peers.get_mut(&n) {
                    peer.session.have(piece);
                }
                self.heed_interest(cx.now, n);
                self.arm(cx.now, n);
                self.output(Output::Touched(n));
            }
            self.save.touch(cx.now, cx.config.save_interval);
            self.event(TorrentEvent::Verified(piece));
            self.check_complete(cx);
        }
    }

    /// Hands out looks at stored pieces, as many as the driver may have; ends the check when all are done.
    pub(super) fn next_checks(&mut self, cx: &mut Context<'_>) {
        let mut found = Vec::new();
        if let (Phase::Checking(recheck), Some(content)) = (&mut self.phase, &self.content) {
            while let Some(piece) = recheck.next_piece(&content.geometry) {
                found.push((piece, content.stored(piece)));
            }
        }
        for (piece, (parts, pad)) in found {
            let want = self.content.as_ref().map_or_else(Default::default, |content| content.verify.wanted());
            self.job(Errand::Check(piece), Work::HashStored { torrent: self.id, parts, pad, want });
        }
        let Phase::Checking(recheck) = &self.phase else { return };
        if !recheck.is_done() {
            return;
        }
        let good = recheck.good().clone();
        if let Some(content) = &mut self.content {
            content.on_checked(&good);
        }
        self.event(TorrentEvent::Checked);
        self.activate(cx);
        self.save.on_checked(cx.now, cx.config.save_interval, good.count() > 0);
    }

    pub(super) fn on_piece_checked(&mut self, cx: &mut Context<'_>, piece: PieceIndex, outcome: Outcome) {
        let Some(content) = &mut self.content else { return };
        let good = match outcome.digests() {
            Ok(digests) => {
                let verdict = content.verify.judge(&content.geometry, piece, &digests);
                if matches!(verdict, Verdict::Unknown) {
                    content.found.insert(piece, digests);
                }
                matches!(verdict, Verdict::Good)
            }
            Err(Outcome::Absent) => false,
            Err(outcome) => return self.fail_with(cx, "can't check the files", outcome),
        };
        if let Phase::Checking(recheck) = &mut self.phase {
            recheck.on_result(piece, good);
            self.event(TorrentEvent::Progress);
            self.next_checks(cx);
        }
    }

    /// A job didn't bring what was asked: the host failed, or (a driver's bug) the answer is of the wrong kind.
    pub(super) fn fail_with(&mut self, cx: &mut Context<'_>, what: &str, outcome: Outcome) {
        if outcome != Outcome::Cancelled {
            let why = outcome.failure();
            self.fail(cx, format!("{what}: {why}"));
        }
    }
}

impl Content {
    /// Where a piece is stored, and how many zeros its v1 digest covers beyond.
    pub(super) fn stored(&self, piece: PieceIndex) -> (Vec<crate::base::Part>, u32) {
        let stored = self.layout.piece(&self.geometry, piece);
        (stored.parts, stored.pad)
    }
}
