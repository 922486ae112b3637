//! Files that another torrent of this engine has already (BEP 38): read from there, verified as if a peer had sent them,
//! and written. Equal v2 roots say that files are equal; without them, torrents that hint at each other may share files
//! of equal name and length. Only pieces that lie within one file are looked for.

use super::content::Content;
use super::{Context, Errand, Outcome, Output, Torrent, Work};
use crate::base::{Chunk, Part, PieceIndex, TorrentId};
use crate::peer::Parts;
use crate::picker::{BlockOutcome, SourceId};
use crate::wire::metainfo::{File, Info};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

/// Pieces that are read from other torrents at once: so many lie in memory beside what peers send.
const READS_MAX: usize = 2;

/// Who sent what was found here: nobody who could be blamed. Peers count from 1.
const NOBODY: SourceId = SourceId(0);

/// A piece, and where another torrent has its bytes.
pub type Shared = (PieceIndex, Vec<Part>);

/// What is still to be read, of whom.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    waiting: VecDeque<(TorrentId, Shared)>,
    asked: BTreeSet<PieceIndex>,
    reads: usize,
}

impl Torrent {
    /// The transfer begins: others may have what is missing.
    pub(super) fn seek_shared(&mut self) {
        if self.content.as_deref().is_some_and(|content| !content.picker.is_wanted_complete()) {
            self.output(Output::Lacking);
        }
    }

    /// The missing pieces of which `other` has verified all bytes, as far as both say that files are the same.
    pub fn shared_with(&self, other: &Self) -> Vec<Shared> {
        let (Some(ours), Some(theirs)) = (self.content.as_deref(), other.content.as_deref()) else {
            return Vec::new();
        };
        if !other.is_active() || theirs.picker.have().count() == 0 {
            return Vec::new();
        }
        let hinted = hints(self, &ours.info, other) || hints(other, &theirs.info, self);
        let mut found = Vec::new();
        for (_, file) in ours.info.real_files().filter(|(_, file)| file.length > 0) {
            let same = |there: &&File| is_same(file, there, hinted);
            if let Some(there) = theirs.info.real_files().map(|(_, file)| file).find(same) {
                pieces_within(ours, file, |start, length| held(theirs, there, start, length), &mut found);
            }
        }
        found
    }

    /// Takes these pieces from another torrent.
    pub fn take_shared(&mut self, cx: &mut Context<'_>, from: TorrentId, pieces: Vec<Shared>) {
        let sharing = self.sharing.get_or_insert_default();
        for shared in pieces {
            if sharing.asked.insert(shared.0) {
                sharing.waiting.push_back((from, shared));
            }
        }
        self.read_shared(cx);
    }

    fn read_shared(&mut self, _cx: &mut Context<'_>) {
        while let (Some(sharing), Some(content)) = (self.sharing.as_mut(), self.content.as_deref()) {
            if sharing.reads >= READS_MAX || !matches!(self.phase, super::phase::Phase::Active) {
                return;
            }
            let Some((torrent, (piece, parts))) = sharing.waiting.pop_front() else {
                if sharing.reads == 0 {
                    self.sharing = None;
                }
                return;
            };
            if content.picker.is_needed(piece) {
                sharing.reads += 1;
                self.job(Errand::Share(piece), Work::Read { torrent, parts, plain: false });
            }
        }
    }

    /// What another torrent has of a piece was read.
    pub(super) fn on_shared(&mut self, cx: &mut Context<'_>, piece: PieceIndex, outcome: Outcome) {
        if let Some(sharing) = &mut self.sharing {
            sharing.reads -= 1;
        }
        if let (Outcome::Bytes(chunks), true) = (&outcome, self.is_active()) {
            let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect();
            self.take_piece(cx, piece, &Chunk::from(bytes));
        } else {
            // Peers have it too.
            tracing::debug!(torrent = ?self.id, ?piece, answer = ?outcome, "not shared");
        }
        self.read_shared(cx);
    }

    fn take_piece(&mut self, cx: &mut Context<'_>, piece: PieceIndex, bytes: &Chunk) {
        let Some(content) = &mut self.content else { return };
        let blocks = content.geometry.blocks(piece);
        if bytes.len() as u64 != u64::from(content.geometry.length_of(piece)) {
            return;
        }
        content.picker.on_found(piece);
        for n in 0..blocks {
            let Some(content) = &mut self.content else { return };
            let Some(block) = content.geometry.block(piece, n) else { return };
            let (start, end) = (block.begin as usize, (block.begin + block.length) as usize);
            if let BlockOutcome::Accepted { complete: _, cancel } = content.picker.on_block(NOBODY, block) {
                let mut data = Parts::default();
                data.push(bytes.slice(start, end));
                self.keep(cx, block, data);
                for other in cancel {
                    self.take_back(cx, other.0, block);
                }
            }
        }
    }
}

/// Whether a torrent hints that it shares files with another.
fn hints(one: &Torrent, info: &Info, other: &Torrent) -> bool {
    let named = |hash: &Vec<u8>| other.names.iter().any(|name| hash.get(..20) == Some(&name.0[..]));
    let theirs = other.content.as_deref().map(|content| content.info.collections()).unwrap_or_default();
    one.id != other.id
        && (info.similar().iter().any(named) || info.collections().iter().any(|it| theirs.contains(it)))
}

fn is_same(ours: &File, theirs: &File, hinted: bool) -> bool {
    ours.length == theirs.length
        && match (ours.pieces_root, theirs.pieces_root) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => hinted && ours.path.last() == theirs.path.last(),
        }
}

/// Goes through the missing pieces that lie within a file.
fn pieces_within(
    ours: &Content,
    file: &File,
    held: impl Fn(u64, u64) -> Option<Vec<Part>>,
    found: &mut Vec<Shared>,
) {
    let end = file.offset + file.length;
    for piece in ours.geometry.touched(file.offset, file.length).filter_map(|n| ours.geometry.piece(n)) {
        let (start, length) = (ours.geometry.start(piece), u64::from(ours.geometry.length_of(piece)));
        if start < file.offset || start + length > end || !ours.picker.is_needed(piece) {
            continue;
        }
        if let Some(parts) = held(start - file.offset, length) {
            found.push((piece, parts));
        }
    }
}

/// Where a torrent has so many bytes from `start` in a file, if all of it is verified.
fn held(theirs: &Content, file: &File, start: u64, length: u64) -> Option<Vec<Part>> {
    let start = file.offset + start;
    let mut touched = theirs.geometry.touched(start, length);
    let all = touched.all(|piece| theirs.picker.have().get(piece));
    all.then(|| theirs.layout.parts(start, length).collect())
}
