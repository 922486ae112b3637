//! A small swarm to compare policies in: one seed, leeches that trade, leeches that never upload. Blocks are pieces,
//! links have a rate up and none down, time goes in steps of a tenth of a second. No room but this one is in it.

use super::*;
use crate::base::{Bits, Rng, TorrentId};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

const PIECES: u32 = 256;
const PIECE: u64 = 1 << 20;
const STEP_MS: u64 = 100;

/// What one node knows of another, and does to it.
#[derive(Clone)]
struct Tie {
    view: PeerView,
    /// Pieces entrusted to it and not seen anywhere else yet.
    entrusted: Vec<u32>,
    /// The piece in flight to it, and its bytes that went.
    piece: Option<u32>,
    sent: u64,
}

struct Node {
    have: Bits,
    /// (peer, piece) that were sent.
    given: BTreeSet<(usize, u32)>,
    /// Bytes a step.
    rate: u64,
    /// Uploads to nobody.
    free_rider: bool,
    ties: Vec<Tie>,
    state: ChokeState,
    chosen: Vec<PeerRef>,
    done: Option<u64>,
}

struct Outcome {
    /// When each leech was done, in steps.
    done: Vec<u64>,
    /// What the seed sent, in hundredths of the size.
    seed_percent: u64,
}

fn id(n: usize) -> PeerRef {
    PeerRef { torrent: TorrentId(1), n: n as u32 }
}

fn swarm((seed_rate, leech_rate): (u64, u64), config: &ChokeConfig, rng: &mut Rng) -> Outcome {
    let mut nodes: Vec<Node> = (0..9)
        .map(|n| Node {
            have: if n == 0 { Bits::full(PIECES) } else { Bits::new(PIECES) },
            given: BTreeSet::new(),
            rate: if n == 0 { seed_rate } else { leech_rate } * STEP_MS / 1000,
            free_rider: n > 6,
            ties: (0..9)
                .map(|peer| Tie {
                    view: PeerView::newcomer(id(peer), Instant::ZERO),
                    entrusted: Vec::new(),
                    piece: None,
                    sent: 0,
                })
                .collect(),
            state: ChokeState::default(),
            chosen: Vec::new(),
            done: (n == 0).then_some(0),
        })
        .collect();
    let mut step = 0;
    while nodes.iter().any(|n| n.done.is_none()) && step < 10_000 {
        let now = Instant::ZERO + Duration::from_millis(step * STEP_MS);
        for me in 0..9 {
            see(now, me, &mut nodes, config, rng);
            give(now, step, me, &mut nodes, rng);
        }
        step += 1;
    }
    let sent: u64 = nodes[0].ties.iter().map(|t| t.view.up_total).sum();
    let done = nodes[1..].iter().map(|n| n.done.unwrap_or(u64::MAX)).collect();
    Outcome { done, seed_percent: sent * 100 / (u64::from(PIECES) * PIECE) }
}

/// Fills the views and chokes, if it is time.
fn see(now: Instant, me: usize, nodes: &mut [Node], config: &ChokeConfig, rng: &mut Rng) {
    let haves: Vec<Bits> = nodes.iter().map(|n| n.have.clone()).collect();
    let node = &mut nodes[me];
    for (peer, tie) in node.ties.iter_mut().enumerate() {
        tie.view.interested_at = if tie.view.interested { Some(now) } else { tie.view.interested_at };
        tie.view.upload_only = haves[peer].is_full();
        tie.view.interested = peer != me && haves[me].has_more_than(&haves[peer]);
        tie.view.seeding = haves[me].is_full();
        tie.view.have_permille = haves[peer].count() * 1000 / PIECES;
        let elsewhere = |piece: u32| (1..9).find(|&other| other != peer && haves[other].get(piece));
        let given = &node.given;
        tie.entrusted.retain(|&piece| {
            let Some(other) = elsewhere(piece) else { return true };
            tie.view.spread += if given.contains(&(other, piece)) { 0 } else { PIECE };
            false
        });
    }
    let freed = node.ties.iter().any(|t| t.view.unchoked && !t.view.interested);
    if node.ties.iter().any(|t| t.view.interested && !t.view.unchoked) {
        node.state.on_interest(now, freed, config);
    }
    let used = |t: &Tie| t.view.unchoked && t.view.up_since_unchoked > config.credit_bytes;
    if node.ties.iter().any(used) {
        node.state.on_credit_used(now, config);
    }
    if node.state.deadline().is_none_or(|at| at > now) || node.free_rider {
        return;
    }
    let views: Vec<PeerView> = node.ties.iter().map(|t| t.view.clone()).collect();
    node.chosen = choose(now, &views, config, &mut node.state, rng);
    for tie in &mut node.ties {
        let unchoked = node.chosen.contains(&tie.view.id);
        if unchoked && !tie.view.unchoked {
            (tie.view.unchoked_at, tie.view.up_since_unchoked) = (Some(now), 0);
        }
        if !unchoked {
            (tie.piece, tie.sent) = (None, 0);
        }
        tie.view.unchoked = unchoked;
    }
}

/// Sends one step's bytes, evenly to all unchoked peers that want something, rarest pieces first.
fn give(now: Instant, step: u64, me: usize, nodes: &mut [Node], rng: &mut Rng) {
    let wanting: Vec<usize> = (1..9)
        .filter(|&peer| nodes[me].ties[peer].view.unchoked && nodes[me].have.has_more_than(&nodes[peer].have))
        .collect();
    let haves: Vec<Bits> = nodes.iter().map(|n| n.have.clone()).collect();
    for &peer in &wanting {
        let mut budget = nodes[me].rate / wanting.len() as u64;
        while budget > 0 {
            let Some(piece) = nodes[me].ties[peer].piece.or_else(|| pick(me, peer, nodes, rng)) else {
                break;
            };
            let tie = &mut nodes[me].ties[peer];
            let n = budget.min(PIECE - tie.sent);
            (tie.piece, tie.sent, budget) = (Some(piece), tie.sent + n, budget - n);
            (tie.view.up_total, tie.view.up_since_unchoked) =
                (tie.view.up_total + n, tie.view.up_since_unchoked + n);
            let whole = tie.sent == PIECE;
            if whole {
                (tie.piece, tie.sent) = (None, 0);
                if !(1..9).any(|other| other != peer && haves[other].get(piece)) {
                    tie.entrusted.push(piece);
                    tie.view.entrusted += PIECE;
                }
                nodes[me].given.insert((peer, piece));
            }
            let back = &mut nodes[peer].ties[me].view;
            back.down_total += n;
            back.down_rate = back.down_total * 1_000_000 / now.as_micros().max(1_000_000);
            if whole && nodes[peer].have.set(piece) && nodes[peer].have.is_full() {
                nodes[peer].done = Some(step);
            }
        }
    }
}

/// The rarest piece that `me` has, `peer` lacks and nobody is sending it, ties by chance.
fn pick(me: usize, peer: usize, nodes: &[Node], rng: &mut Rng) -> Option<u32> {
    let coming = |piece: u32| nodes.iter().any(|n| n.ties[peer].piece == Some(piece));
    let wanted = nodes[me].have.iter().filter(|&p| !nodes[peer].have.get(p) && !coming(p));
    wanted.min_by_key(|&p| (nodes.iter().filter(|n| n.have.get(p)).count(), rng.next_u32()))
}

fn run(rates: (u64, u64), slots: usize, seed_policy: SeedPolicy, chance: u8) -> Outcome {
    let config = ChokeConfig { slots: SlotCount::Fixed(slots), seed_policy, ..ChokeConfig::default() };
    swarm(rates, &config, &mut Rng::new([chance; 32]))
}

/// How many steps after the last of those that upload the first free rider was done.
fn margin(outcome: &Outcome) -> i64 {
    let (traders, riders) = outcome.done.split_at(6);
    let (first, last) = (riders.iter().min(), traders.iter().max());
    first.map_or(0, |&n| n as i64) - last.map_or(0, |&n| n as i64)
}

const CAPPED: (u64, u64) = (64 << 20, 512 << 20);
const EVEN: (u64, u64) = (256 << 20, 256 << 20);

#[test]
fn a_capped_seed_sends_at_most_1_3_times_the_size_and_all_are_done_within_1_5_times_the_ideal() {
    for (slots, chance) in [(4, 1), (6, 2), (8, 3), (8, 4)] {
        let outcome = run(CAPPED, slots, SeedPolicy::Spreading, chance);
        assert!(outcome.seed_percent <= 130, "{slots} slots: {}", outcome.seed_percent);
        assert!(outcome.done.iter().all(|&step| step <= 60), "{slots} slots: {:?}", outcome.done);
    }
}

#[test]
fn a_seed_as_fast_as_its_leeches_sends_at_most_twice_the_size() {
    for (slots, chance) in [(4, 1), (8, 2), (8, 3)] {
        let outcome = run(EVEN, slots, SeedPolicy::Spreading, chance);
        assert!(outcome.seed_percent <= 200, "{slots} slots: {}", outcome.seed_percent);
    }
}

#[test]
fn who_never_uploads_is_done_last() {
    for rates in [CAPPED, EVEN] {
        for chance in 1..4 {
            let outcome = run(rates, 8, SeedPolicy::Spreading, chance);
            assert!(margin(&outcome) > 0, "{:?}", outcome.done);
        }
    }
}

#[test]
fn no_other_seed_policy_holds_free_riders_back_as_long_or_sends_as_little() {
    let ours = run(EVEN, 8, SeedPolicy::Spreading, 7);
    for blind in [SeedPolicy::RoundRobin, SeedPolicy::FastestUpload, SeedPolicy::AntiLeech] {
        let theirs = run(EVEN, 8, blind, 7);
        assert!(margin(&ours) > margin(&theirs), "{blind:?}: {:?}, ours {:?}", theirs.done, ours.done);
        assert!(ours.seed_percent < theirs.seed_percent, "{blind:?}");
    }
}
