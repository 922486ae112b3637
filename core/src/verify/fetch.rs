//! Gets piece layers and block leaves from peers by hash requests (BEP 52), and proves what they answer before it is
//! kept. Which peers are asked is the caller's choice; what they are asked, and when again, is decided here.

use super::Trees;
use super::serve::{HASHES_MAX, uncles};
use crate::base::{Instant, PieceIndex};
use crate::wire::merkle::{self, Hash};
use crate::wire::message::HashRange;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;
use thiserror::Error;

/// Limits of fetching hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// Hash requests of a torrent outstanding at a time. Default 8, half of them with one peer; more gets layers sooner
    /// and lets more peers waste our time.
    pub hash_requests_max: usize,
    /// Hashes in one request, a power of two from 2. Default 512: BEP 52 advises against more.
    pub hashes_max: u32,
    /// Goals that wait at a time, beside the walk over all layers. Default 256; further ones are refused.
    pub hash_goals_max: usize,
    /// How long a peer may take to answer, in milliseconds. Default 15,000; then the next one is asked.
    pub hash_request_timeout_ms: u64,
    /// How long a peer that refused a range, or let it time out, isn't asked for it, in milliseconds. Default 60,000.
    pub hash_retry_ms: u64,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            hash_requests_max: 8,
            hashes_max: 512,
            hash_goals_max: 256,
            hash_request_timeout_ms: 15_000,
            hash_retry_ms: 60_000,
        }
    }
}

/// What a good answer taught.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Learned {
    /// The v2 hashes of these pieces (numbers): they can be asked for and judged.
    Pieces(Range<u32>),
    /// Block leaves of this piece: the next time it is judged bad, blocks may be named.
    Leaves(PieceIndex),
}

/// What is wrong with an answer to a hash request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HashFault {
    /// Nothing like it was asked of this peer, or too long ago. By itself no reason to part.
    #[error("hashes that were not asked for, or came too late")]
    Unasked,
    /// Not as many hashes as the request's measures give.
    #[error("{got} hashes where {wanted} belong")]
    Count {
        /// Hashes that came.
        got: usize,
        /// Hashes that belong.
        wanted: usize,
    },
    /// The hashes don't lead to the root.
    #[error("the hashes don't lead to the file's root")]
    Proof,
}

/// A range that shall become known. Block leaves come first, since a piece that keeps failing holds up peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Goal {
    Leaves { piece: PieceIndex, first: u32 },
    Layer { tree: u32, first: u32 },
}

/// A source that isn't to be asked before a moment.
type Tried = Vec<(u32, Instant)>;

#[derive(Clone, Debug)]
struct Asked {
    goal: Goal,
    tried: Tried,
    deadline: Instant,
}

/// The hash requests of one torrent. Empty, it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    config: FetchConfig,
    /// Where the walk over all layers goes on: tree and index.
    walk: Option<(u32, u32)>,
    goals: BTreeMap<Goal, Tried>,
    asked: BTreeMap<(u32, HashRange), Asked>,
}

impl Fetch {
    /// Nothing wanted yet.
    pub fn new(config: FetchConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Wants every piece layer that isn't known.
    pub fn want_all(&mut self) {
        self.walk = Some((0, 0));
    }

    /// Wants the hash of one piece, before others. `false` if it is known, being got, or too many wait.
    pub fn want_piece(&mut self, trees: &Trees, piece: PieceIndex) -> bool {
        let Some(spot) = trees.spot(piece).filter(|_| !trees.knows(piece)) else { return false };
        let tree = trees.twin(spot.tree);
        let length = layer_length(trees, tree, self.config.hashes_max);
        self.want(Goal::Layer { tree, first: spot.index - spot.index % length })
    }

    /// Wants the leaves of a piece that failed, so that its bad blocks can be named. `false` if there is nothing to get:
    /// the piece has one block, its hash or its leaves are known or not yet known, or too many wait.
    pub fn want_blocks(&mut self, trees: &Trees, piece: PieceIndex, blocks: u32) -> bool {
        if blocks < 2 || !trees.knows(piece) {
            return false;
        }
        let step = trees.blocks_per_piece().min(self.length_max());
        let firsts = (0..blocks).step_by(step as usize).filter(|&first| !trees.has_leaves(piece, first));
        let news = firsts.filter(|&first| self.want(Goal::Leaves { piece, first }));
        news.count() > 0
    }

    /// The next request for a peer that speaks v2, best one that announced pieces of the file.
    pub fn next_hash_request(&mut self, now: Instant, trees: &Trees, source: u32) -> Option<HashRange> {
        let with_source = self.asked.range((source, FIRST)..=(source, LAST)).count();
        let requests_max = self.config.hash_requests_max.max(1);
        if self.asked.len() >= requests_max || with_source >= requests_max.div_ceil(2) {
            return None;
        }
        self.goals.retain(|goal, _| !is_met(trees, goal));
        let free = |tried: &Tried| tried.iter().all(|&(who, until)| who != source || until <= now);
        let goal = match self.goals.iter().find(|(_, tried)| free(tried)) {
            Some((&goal, _)) => goal,
            None if self.goals.len() >= self.config.hash_goals_max => return None,
            None => self.walk_on(trees)?,
        };
        let tried = self.goals.remove(&goal).unwrap_or_default();
        let range = range_of(trees, goal, self.length_max())?;
        let deadline = now + Duration::from_millis(self.config.hash_request_timeout_ms);
        self.asked.insert((source, range), Asked { goal, tried, deadline });
        Some(range)
    }

    /// A peer answered. What it proved is in `trees` from now on. On `HashFault::Count` and `Proof` the peer misbehaved;
    /// another will be asked.
    pub fn on_hashes(
        &mut self,
        trees: &mut Trees,
        source: u32,
        range: &HashRange,
        hashes: &[Hash],
    ) -> Result<Learned, HashFault> {
        let asked = self.asked.remove(&(source, *range)).ok_or(HashFault::Unasked)?;
        match prove(trees, asked.goal, range, hashes) {
            Ok(real) => Ok(keep(trees, asked.goal, real)),
            Err(fault) => {
                self.put_back(asked, source, Instant::MAX);
                Err(fault)
            }
        }
    }

    /// A peer won't answer. `false` if nothing like it was asked of it.
    pub fn on_hash_reject(&mut self, now: Instant, source: u32, range: &HashRange) -> bool {
        let Some(asked) = self.asked.remove(&(source, *range)) else { return false };
        self.put_back(asked, source, now + Duration::from_millis(self.config.hash_retry_ms));
        true
    }

    /// A peer left: others are asked for what it owes.
    pub fn on_source_gone(&mut self, source: u32) {
        let mut owed = self.asked.split_off(&(source, FIRST));
        let keys: Vec<(u32, HashRange)> = owed.range(..=(source, LAST)).map(|(&key, _)| key).collect();
        for key in keys {
            if let Some(Asked { goal, tried, .. }) = owed.remove(&key) {
                self.goals.insert(goal, tried);
            }
        }
        self.asked.append(&mut owed);
        for tried in self.goals.values_mut() {
            tried.retain(|&(who, _)| who != source);
        }
    }

    /// Time passed: requests that took too long go to other peers. Gives the peers that let them time out.
    pub fn on_timeout(&mut self, now: Instant) -> Vec<u32> {
        let late: Vec<(u32, HashRange)> =
            self.asked.iter().filter(|(_, asked)| asked.deadline <= now).map(|(&key, _)| key).collect();
        for key in &late {
            if let Some(asked) = self.asked.remove(key) {
                self.put_back(asked, key.0, now + Duration::from_millis(self.config.hash_retry_ms));
            }
        }
        for tried in self.goals.values_mut() {
            tried.retain(|&(_, until)| until > now);
        }
        late.into_iter().map(|(source, _)| source).collect()
    }

    /// When `on_timeout` is due: an answer is overdue, or a peer may be asked again.
    pub fn deadline(&self) -> Option<Instant> {
        let answers = self.asked.values().map(|asked| asked.deadline);
        let again = self.goals.values().flatten().map(|&(_, until)| until);
        answers.chain(again).filter(|&at| at < Instant::MAX).min()
    }

    /// Requests outstanding.
    pub fn outstanding(&self) -> usize {
        self.asked.len()
    }

    fn want(&mut self, goal: Goal) -> bool {
        let known = self.goals.contains_key(&goal) || self.asked.values().any(|asked| asked.goal == goal);
        if known || self.goals.len() >= self.config.hash_goals_max {
            return false;
        }
        self.goals.insert(goal, Tried::new());
        true
    }

    fn put_back(&mut self, asked: Asked, source: u32, until: Instant) {
        let mut tried = asked.tried;
        tried.retain(|&(who, _)| who != source);
        if tried.len() >= TRIED_MAX {
            tried.remove(0);
        }
        tried.push((source, until));
        self.goals.insert(asked.goal, tried);
    }

    /// The next range of the walk over all layers that is neither known nor being got.
    fn walk_on(&mut self, trees: &Trees) -> Option<Goal> {
        let (mut tree, mut index) = self.walk?;
        while let Some(file) = trees.file(tree) {
            let width = merkle::piece_layer_width(file.length, trees.piece_length());
            let step = layer_length(trees, tree, self.config.hashes_max);
            if u64::from(index) >= width || trees.twin(tree) != tree || trees.layer_known(tree) {
                (tree, index) = (tree + 1, 0);
                continue;
            }
            let goal = Goal::Layer { tree, first: index };
            index += step;
            let waits = self.goals.contains_key(&goal) || self.asked.values().any(|asked| asked.goal == goal);
            if !waits && !is_met(trees, &goal) {
                self.walk = Some((tree, index));
                return Some(goal);
            }
        }
        self.walk = None;
        None
    }

    fn length_max(&self) -> u32 {
        length_max(self.config.hashes_max)
    }
}

/// Before every range.
const FIRST: HashRange =
    HashRange { pieces_root: [0; 32], base_layer: 0, index: 0, length: 0, proof_layers: 0 };

/// Behind every range.
const LAST: HashRange = HashRange {
    pieces_root: [255; 32],
    base_layer: u32::MAX,
    index: u32::MAX,
    length: u32::MAX,
    proof_layers: u32::MAX,
};

/// Peers remembered for one range as not to be asked now; the oldest is forgotten.
const TRIED_MAX: usize = 16;

/// A power of two from 2, whatever the configuration says.
fn length_max(hashes_max: u32) -> u32 {
    1 << hashes_max.clamp(2, HASHES_MAX).ilog2()
}

/// How many hashes a request for a piece layer asks.
fn layer_length(trees: &Trees, tree: u32, hashes_max: u32) -> u32 {
    let height = trees.file(tree).map_or(0, |file| file.height().saturating_sub(trees.piece_layer()));
    1u32.checked_shl(height).unwrap_or(u32::MAX).clamp(2, length_max(hashes_max))
}

fn is_met(trees: &Trees, goal: &Goal) -> bool {
    match *goal {
        Goal::Leaves { piece, first } => trees.has_leaves(piece, first),
        Goal::Layer { tree, first } => trees.expected(super::trees::Spot { tree, index: first }).is_some(),
    }
}

/// The request that meets a goal. A layer is proved by the root, leaves by the hash of their piece.
fn range_of(trees: &Trees, goal: Goal, length_max: u32) -> Option<HashRange> {
    let piece_layer = trees.piece_layer();
    match goal {
        Goal::Layer { tree, first } => {
            let file = trees.file(tree)?;
            Some(HashRange {
                pieces_root: file.root,
                base_layer: piece_layer,
                index: first,
                length: layer_length(trees, tree, length_max),
                proof_layers: file.height().checked_sub(piece_layer + 1)?,
            })
        }
        Goal::Leaves { piece, first } => {
            let spot = trees.spot(piece)?;
            let file = trees.file(spot.tree)?;
            let height = file.height().min(piece_layer);
            let index = u64::from(spot.index) * u64::from(trees.blocks_per_piece()) + u64::from(first);
            Some(HashRange {
                pieces_root: file.root,
                base_layer: 0,
                index: u32::try_from(index).ok()?,
                length: (1u32 << height).min(length_max),
                proof_layers: height.checked_sub(1)?,
            })
        }
    }
}

/// Proves an answer; gives the hashes asked for, without pad.
fn prove<'a>(
    trees: &Trees,
    goal: Goal,
    range: &HashRange,
    hashes: &'a [Hash],
) -> Result<&'a [Hash], HashFault> {
    let height = range.length.ilog2();
    let wanted = range.length as usize + uncles(range) as usize;
    if hashes.len() != wanted {
        return Err(HashFault::Count { got: hashes.len(), wanted });
    }
    let tree = match goal {
        Goal::Layer { tree, .. } => Some(tree),
        Goal::Leaves { piece, .. } => trees.spot(piece).map(|spot| spot.tree),
    };
    let (tree, file) = tree.and_then(|tree| Some((tree, trees.file(tree)?))).ok_or(HashFault::Unasked)?;
    let (own, proof) = hashes.split_at(range.length as usize);
    let pad = merkle::pad(range.base_layer);
    let node = merkle::root_of_height(own, height, pad);
    let top = merkle::root_of_proof(node, u64::from(range.index >> height), proof);
    let layer = range.base_layer + height + uncles(range);
    let expected = if layer == file.height() {
        Some(file.root)
    } else {
        let index = range.index >> (trees.piece_layer() - range.base_layer);
        trees.expected(super::trees::Spot { tree, index }).filter(|_| layer == trees.piece_layer())
    };
    let width = merkle::layer_width(file.length, range.base_layer).saturating_sub(u64::from(range.index));
    let real = own.get(..width.min(u64::from(range.length)) as usize).unwrap_or(own);
    let padded = own.get(real.len()..).is_some_and(|rest| rest.iter().all(|hash| *hash == pad));
    if expected == Some(top) && padded { Ok(real) } else { Err(HashFault::Proof) }
}

fn keep(trees: &mut Trees, goal: Goal, real: &[Hash]) -> Learned {
    match goal {
        Goal::Layer { tree, first } => {
            trees.keep_layer(tree, first, real);
            let start = trees.file(tree).map_or(0, |file| file.first_piece) + first;
            Learned::Pieces(start..start + real.len() as u32)
        }
        Goal::Leaves { piece, first } => {
            trees.keep_leaves(piece, first, real);
            Learned::Leaves(piece)
        }
    }
}
