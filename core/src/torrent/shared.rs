//! Files that another torrent of this engine has already (BEP 38): read from there, verified as if a peer had sent them,
//! and written. Equal v2 roots say that files are equal; without them, torrents that hint at each other may share files
//! of equal name and length. Only pieces that lie within one file are looked for.

use super::content::Content;
use super::{Context, Errand, Outcome, Output, Torrent, Work};
use crate::base::{Chunk, Part, PieceIndex, TorrentId};
use crate::peer::Parts;
use crate::picker::{BlockOutcome, SourceId};
use crate::wire::merkle::Hash;
use crate::wire::metainfo::{File, Info};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

/// Pieces that are read from other torrents at once: so many lie in memory beside what peers send.
const READS_MAX: usize = 2;

/// Who sent what was found here: nobody who could be blamed. Peers count from 1.
const NOBODY: SourceId = SourceId(0);

/// Files and pieces that are looked at in all other torrents when one begins. More hold the engine up for longer; what
/// isn't looked at comes from peers.
const LOOKS_MAX: usize = 1_000_000;

/// A piece, and where another torrent has its bytes.
pub type Shared = (PieceIndex, Vec<Part>);

/// What a torrent lacks, by what makes it findable in others.
#[derive(Debug)]
pub struct Sought<'a> {
    torrent: &'a Torrent,
    content: &'a Content,
    collections: BTreeSet<&'a str>,
    by_root: Option<BTreeMap<Hash, Vec<&'a File>>>,
    by_name: Option<BTreeMap<(u64, &'a str), Vec<&'a File>>>,
    found: BTreeSet<PieceIndex>,
    /// How much more may be looked at.
    looks: usize,
}

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

    /// What it lacks, to be sought in other torrents; `None` while that isn't known.
    pub fn sought(&self) -> Option<Sought<'_>> {
        let content = self.content.as_deref()?;
        let collections = content.info.collections().iter().map(String::as_str).collect();
        Some(Sought {
            torrent: self,
            content,
            collections,
            by_root: None,
            by_name: None,
            found: BTreeSet::new(),
            looks: LOOKS_MAX,
        })
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

impl<'a> Sought<'a> {
    /// The missing pieces of which `other` has verified all bytes, as far as both say that files are the same. Each piece
    /// is found once.
    pub fn find_in(&mut self, other: &Torrent) -> Vec<Shared> {
        let mut pieces = Vec::new();
        let Some(theirs) = other.content.as_deref().filter(|_| other.is_active() && self.looks > 0) else {
            return pieces;
        };
        if other.id == self.torrent.id || theirs.picker.have().count() == 0 {
            return pieces;
        }
        let rooted = self.content.info.version().has_v2() && theirs.info.version().has_v2();
        let hinted = self.is_hinted_at(other, theirs);
        if !rooted && !hinted {
            return pieces;
        }
        let (mut roots, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (_, there) in theirs.info.real_files().filter(|(_, file)| file.length > 0) {
            if !self.look(1) {
                break;
            }
            if let Some(root) = there.pieces_root.filter(|root| rooted && roots.insert(*root)) {
                let same = self.by_root().get(&root).cloned().unwrap_or_default();
                self.take_of(&same, (theirs, there), &mut pieces);
            }
            if let Some(name) = name_of(there).filter(|name| hinted && names.insert(*name)) {
                let mut same = self.by_name().get(&name).cloned().unwrap_or_default();
                // Where both have roots, these alone say what is equal.
                same.retain(|file| file.pieces_root.is_none() || there.pieces_root.is_none());
                self.take_of(&same, (theirs, there), &mut pieces);
            }
        }
        pieces
    }

    /// Whether one of the two hints that it shares files with the other.
    fn is_hinted_at(&mut self, other: &Torrent, theirs: &Content) -> bool {
        let collections = theirs.info.collections();
        self.look(collections.len() + theirs.info.similar().len() + self.content.info.similar().len());
        is_similar(&self.content.info, other)
            || is_similar(&theirs.info, self.torrent)
            || collections.iter().any(|it| self.collections.contains(it.as_str()))
    }

    fn take_of(&mut self, same: &[&File], (theirs, there): (&Content, &File), pieces: &mut Vec<Shared>) {
        for file in same.iter().filter(|file| file.length == there.length) {
            self.take_file(file, (theirs, there), pieces);
        }
    }

    /// Goes through the missing pieces that lie within a file.
    fn take_file(&mut self, file: &File, (theirs, there): (&Content, &File), pieces: &mut Vec<Shared>) {
        let (ours, end) = (self.content, file.offset + file.length);
        for piece in ours.geometry.touched(file.offset, file.length).filter_map(|n| ours.geometry.piece(n)) {
            let (start, length) = (ours.geometry.start(piece), u64::from(ours.geometry.length_of(piece)));
            let within = start >= file.offset && start + length <= end;
            let from = there.offset + start.saturating_sub(file.offset);
            let needed = within && ours.picker.is_needed(piece) && !self.found.contains(&piece);
            let touched = if needed { theirs.geometry.touched(from, length).len() } else { 0 };
            if !self.look(1 + touched) {
                return;
            }
            if let Some(parts) = needed.then(|| held(theirs, from, length)).flatten() {
                self.found.insert(piece);
                pieces.push((piece, parts));
            }
        }
    }

    /// Whether so much more may be looked at.
    fn look(&mut self, count: usize) -> bool {
        let may = self.looks >= count;
        self.looks = self.looks.saturating_sub(count);
        may
    }

    fn by_root(&mut self) -> &BTreeMap<Hash, Vec<&'a File>> {
        let content = self.content;
        self.by_root.get_or_insert_with(|| index(content, |file| file.pieces_root))
    }

    fn by_name(&mut self) -> &BTreeMap<(u64, &'a str), Vec<&'a File>> {
        let content = self.content;
        self.by_name.get_or_insert_with(|| index(content, name_of))
    }
}

/// The files of a torrent by what makes them findable.
fn index<'a, K: Ord>(
    content: &'a Content,
    key: impl Fn(&'a File) -> Option<K>,
) -> BTreeMap<K, Vec<&'a File>> {
    let mut index: BTreeMap<K, Vec<&File>> = BTreeMap::new();
    for (_, file) in content.info.real_files().filter(|(_, file)| file.length > 0) {
        if let Some(key) = key(file) {
            index.entry(key).or_default().push(file);
        }
    }
    index
}

fn name_of(file: &File) -> Option<(u64, &str)> {
    Some((file.length, file.path.last()?.as_str()))
}

/// Whether a torrent names another one as similar.
fn is_similar(info: &Info, other: &Torrent) -> bool {
    let named = |hash: &Vec<u8>| other.names.iter().any(|name| hash.get(..20) == Some(&name.0[..]));
    info.similar().iter().any(named)
}

/// Where a torrent has so many bytes from `start`, if all of it is verified.
fn held(theirs: &Content, start: u64, length: u64) -> Option<Vec<Part>> {
    let mut touched = theirs.geometry.touched(start, length);
    let all = touched.all(|piece| theirs.picker.have().get(piece));
    all.then(|| theirs.layout.parts(start, length).collect())
}
