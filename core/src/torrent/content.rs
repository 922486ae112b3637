//! All that exists once the metadata is known.

use super::FileSpec;
use crate::base::{Bits, Geometry, PieceIndex};
use crate::picker::{self, Picker, PieceState, SuperSeed};
use crate::store::{Assembly, Layout, StoreConfig, Taken, Watermarks};
use crate::verify::{Blame, BlameConfig, Fetch, Server, Verify};
use crate::wire::metainfo::Info;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// What a torrent is made of, and how much of it is here.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) info: Arc<Info>,
    pub(super) geometry: Arc<Geometry>,
    pub(super) layout: Layout,
    pub(super) picker: Picker,
    pub(super) verify: Verify,
    /// The pieces that can be judged, while v2 hashes are missing. Others aren't asked for: they would lie in memory for as
    /// long as nobody gives their hashes.
    pub(super) judgeable: Option<Bits>,
    pub(super) assembly: Assembly,
    pub(super) marks: Watermarks,
    /// Whole pieces whose digest, or whose expected hash, is awaited.
    pub(super) awaiting: BTreeMap<PieceIndex, Taken>,
    /// Pieces whose digests came before their expected v2 hashes, fetched ones.
    pub(super) unjudged: BTreeMap<PieceIndex, crate::base::Digests>,
    /// The same of pieces that were found stored. Nobody in the swarm is to blame for these.
    pub(super) found: BTreeMap<PieceIndex, crate::base::Digests>,
    pub(super) blame: Blame,
    pub(super) hash_fetch: Option<Box<Fetch>>,
    pub(super) hash_server: Server,
    pub(super) super_seed: Option<Box<SuperSeed>>,
    /// Pieces that resume data may claim after the next sync.
    pub(super) written: Bits,
    checked: bool,
    wanted_bytes: u64,
}

impl Content {
    /// What an info dictionary describes, with nothing of it here yet.
    pub(super) fn new(info: Arc<Info>, store: &StoreConfig) -> Self {
        let geometry = Arc::new(info.geometry().clone());
        let layout = Layout::of(&info).expect("an info dictionary's files follow each other");
        let nothing = Bits::new(geometry.pieces());
        let picker = Picker::new(Arc::clone(&geometry), &nothing, picker::Config::default());
        let verify = Verify::of(&info);
        let mut hash_fetch = None;
        if info.missing_layers().next().is_some() {
            let mut fetch = Fetch::new(crate::verify::FetchConfig::default());
            fetch.want_all();
            hash_fetch = Some(Box::new(fetch));
        }
        let wanted_bytes = geometry.length();
        let mut content = Self {
            marks: Watermarks::new(store),
            info,
            geometry,
            layout,
            picker,
            verify,
            judgeable: None,
            assembly: Assembly::new(),
            awaiting: BTreeMap::new(),
            unjudged: BTreeMap::new(),
            found: BTreeMap::new(),
            blame: Blame::new(BlameConfig::default()),
            hash_fetch,
            hash_server: Server::new(HASH_SERVER_BYTES_MAX),
            super_seed: None,
            written: nothing,
            checked: false,
            wanted_bytes,
        };
        content.survey_hashes();
        content
    }

    /// Sees which pieces can be judged.
    pub(super) fn survey_hashes(&mut self) {
        let known = |piece: &PieceIndex| self.verify.knows(*piece);
        let mut judgeable = Bits::new(self.geometry.pieces());
        self.geometry.iter().filter(known).for_each(|piece| {
            judgeable.set(piece.get());
        });
        self.judgeable = Some(judgeable).filter(|judgeable| !judgeable.is_full());
    }

    /// The hashes of these pieces came. Gives all pieces that can be judged by that: files of the same content share
    /// their hashes.
    pub(super) fn on_hashes_known(&mut self, pieces: Range<u32>) -> Vec<Range<u32>> {
        let Some(trees) = self.verify.trees() else { return Vec::new() };
        let all = trees.alike(pieces);
        if let Some(judgeable) = &mut self.judgeable {
            for piece in all.iter().cloned().flatten() {
                judgeable.set(piece);
            }
            self.judgeable.take_if(|judgeable| judgeable.is_full());
        }
        all
    }

    /// Takes over what was learned of hashes, which stays true whatever is stored.
    pub(super) fn keep_layers(&mut self, before: Self) {
        self.verify = before.verify;
        self.hash_fetch = before.hash_fetch;
        self.survey_hashes();
    }

    /// Whether all that is stored was looked at.
    pub(super) fn is_checked(&self) -> bool {
        self.checked
    }

    pub(super) fn on_checked(&mut self, good: &Bits) {
        for piece in good.iter().filter_map(|n| self.geometry.piece(n)) {
            self.picker.on_stored(piece);
            self.written.set(piece.get());
        }
        self.checked = true;
    }

    /// Bytes of the wanted pieces.
    pub(super) fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes
    }

    /// The piece layers that are known, by root (BEP 52), for resume data.
    pub(super) fn layers(&self) -> BTreeMap<[u8; 32], Vec<u8>> {
        let Some(trees) = self.verify.trees().filter(|_| self.hash_fetch.is_some()) else {
            return BTreeMap::new();
        };
        let files = trees.files().iter().zip(0..);
        files.filter_map(|(file, n)| Some((file.root, trees.layer(n)?.as_flattened().to_vec()))).collect()
    }

    /// The files as the driver shall store them; `wanted`: of each real file, whether it is selected.
    pub(super) fn specs(&self, wanted: impl IntoIterator<Item = bool>) -> Arc<[FileSpec]> {
        let mut selected = Bits::new(self.info.files().len() as u32);
        for (file, _) in
            self.info.real_files().zip(wanted).filter(|(_, wanted)| *wanted).map(|(file, _)| file)
        {
            selected.set(file);
        }
        let spec = |(n, file): (u32, &crate::wire::metainfo::File)| FileSpec {
            path: self.info.storage_path(file).map(Into::into).collect(),
            length: file.length,
            pad: file.attributes.pad || (file.attributes.symlink && file.symlink.is_none()),
            executable: file.attributes.executable,
            symlink: file.symlink.clone(),
            wanted: selected.get(n),
        };
        (0..).zip(self.info.files()).map(spec).collect()
    }

    /// Wants a piece beside what is selected; whether that is news.
    pub(super) fn want(&mut self, piece: PieceIndex) -> bool {
        if self.picker.priority(piece) > 0 || self.picker.state(piece) == PieceState::Have {
            return false;
        }
        self.picker.set_priority(piece, picker::PRIORITY_DEFAULT);
        self.wanted_bytes += u64::from(self.geometry.length_of(piece));
        true
    }

    /// The picker's priority of a piece, by its number.
    pub(super) fn priority(&self, piece: u32) -> u8 {
        self.geometry.piece(piece).map_or(0, |piece| self.picker.priority(piece))
    }

    /// Wants each piece as much as it says there, and those of 0 not at all.
    pub(super) fn choose(&mut self, levels: &[u8]) {
        let level = |piece: PieceIndex| levels.get(piece.at()).copied().unwrap_or(0);
        self.picker.set_priorities(level);
        let wanted = self.geometry.iter().filter(|&piece| level(piece) > 0);
        self.wanted_bytes = wanted.map(|piece| u64::from(self.geometry.length_of(piece))).sum();
    }

    /// Wants the pieces that are wanted as much as it says there; wants neither more pieces nor fewer.
    pub(super) fn rank(&mut self, levels: &[u8]) {
        let before: Vec<u8> = self.geometry.iter().map(|piece| self.picker.priority(piece)).collect();
        let level = |piece: PieceIndex| levels.get(piece.at()).copied().unwrap_or(0);
        self.picker.set_priorities(|piece| match before.get(piece.at()).copied().unwrap_or(0) {
            0 => 0,
            before if level(piece) == 0 => before,
            _ => level(piece),
        });
    }
}

/// Upper layers of hash trees kept for serving, in bytes.
const HASH_SERVER_BYTES_MAX: usize = 1 << 20;
