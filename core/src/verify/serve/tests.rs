//! Hash requests from both sides: what a server answers, a client can prove; what is wrong, neither takes.

use super::*;
use crate::base::{BLOCK, Geometry, Instant};
use crate::verify::{Fetch, FetchConfig, HashFault, Learned, TreeFile};
use alloc::sync::Arc;
use alloc::vec;

/// A file of one torrent, known wholly on one side and by its root alone on the other.
struct World {
    geometry: Geometry,
    leaves: Vec<Hash>,
    full: Trees,
    bare: Trees,
}

fn world(blocks: u32, piece_blocks: u32) -> World {
    let leaves: Vec<Hash> = (0..blocks).map(|n| merkle::leaf(&n.to_be_bytes())).collect();
    let piece_length = piece_blocks * BLOCK;
    let length = u64::from(blocks) * u64::from(BLOCK) - 5;
    let parts = leaves.chunks(piece_blocks as usize);
    let layer: Vec<Hash> =
        parts.map(|part| merkle::root_of_height(part, piece_blocks.ilog2(), [0; 32])).collect();
    let layer = (blocks > piece_blocks).then_some(layer);
    let root = merkle::root(&leaves, [0; 32]);
    let trees = |layer: Option<Vec<Hash>>| {
        let file = TreeFile { first_piece: 0, length, root, layer: layer.map(Into::into) };
        Trees::new(piece_length, Arc::new([file])).unwrap()
    };
    World {
        geometry: Geometry::new(length, u64::from(piece_length), Vec::new()).unwrap(),
        full: trees(layer),
        bare: trees(None),
        leaves,
    }
}

impl World {
    fn answer(&self, server: &mut Server, range: &HashRange) -> Option<Vec<Hash>> {
        match server.hashes_for(&self.full, range) {
            Serve::Hashes(hashes) => Some(hashes),
            Serve::NeedLeaves(pieces) => {
                let unit = self.full.blocks_per_piece();
                let until = (pieces.end * unit).min(self.leaves.len() as u32);
                let leaves = &self.leaves[(pieces.start * unit) as usize..until as usize];
                server.with_leaves(&self.full, range, leaves)
            }
            Serve::Reject => None,
        }
    }
}

fn config(hashes_max: u32) -> FetchConfig {
    FetchConfig { hashes_max, ..FetchConfig::default() }
}

#[test]
fn bep_0052_what_a_server_answers_a_client_can_prove_for_all_sizes() {
    for blocks in 1..=70 {
        for piece_blocks in [1, 2, 4, 16] {
            for hashes_max in [2, 4, 512] {
                let mut world = world(blocks, piece_blocks);
                let (mut server, mut fetch) = (Server::new(1 << 20), Fetch::new(config(hashes_max)));
                let case = (blocks, piece_blocks, hashes_max);
                fetch.want_all();
                while let Some(range) = fetch.next_hash_request(Instant::ZERO, &world.bare, 1) {
                    let hashes = world.answer(&mut server, &range).expect("a fair request");
                    let _ = fetch.on_hashes(&mut world.bare, 1, &range, &hashes).expect("a fair answer");
                }
                assert!(world.geometry.iter().all(|piece| world.bare.knows(piece)), "{case:?}");
                assert_eq!(fetch.outstanding(), 0, "{case:?}");
                assert_eq!(world.bare.layer(0), world.full.layer(0), "{case:?}");
                for piece in world.geometry.iter() {
                    fetch.want_blocks(&world.bare, piece, world.geometry.blocks(piece));
                }
                while let Some(range) = fetch.next_hash_request(Instant::ZERO, &world.bare, 1) {
                    let hashes = world.answer(&mut server, &range).expect("a fair request");
                    let _ = fetch.on_hashes(&mut world.bare, 1, &range, &hashes).expect("a fair answer");
                }
                for piece in world.geometry.iter().filter(|&piece| world.geometry.blocks(piece) > 1) {
                    let start = (piece.get() * piece_blocks) as usize;
                    let mut leaves = world.leaves[start..][..world.geometry.blocks(piece) as usize].to_vec();
                    assert_eq!(world.bare.bad_blocks(piece, &leaves), Some(vec![]), "{case:?}");
                    leaves[1] = [9; 32];
                    assert_eq!(world.bare.bad_blocks(piece, &leaves), Some(vec![1]), "{case:?}");
                }
            }
        }
    }
}

#[test]
fn bep_0052_every_fair_range_leads_to_the_root() {
    for (blocks, piece_blocks) in [(70, 4), (64, 8), (33, 1), (5, 16), (13, 4)] {
        let world = world(blocks, piece_blocks);
        let (root, height) = (world.full.files()[0].root, merkle::tree_height(world.full.files()[0].length));
        let mut server = Server::new(1 << 20);
        for base_layer in [0, piece_blocks.ilog2()] {
            for length in (1..=height.saturating_sub(base_layer)).map(|l| 1 << l) {
                let width = merkle::layer_width(world.full.files()[0].length, base_layer) as u32;
                for index in (0..width).step_by(length as usize) {
                    let range = HashRange {
                        pieces_root: root,
                        base_layer,
                        index,
                        length,
                        proof_layers: height - base_layer - 1,
                    };
                    let hashes = world.answer(&mut server, &range).expect("fair");
                    let (own, uncles) = hashes.split_at(length as usize);
                    let node = merkle::root(own, [0; 32]);
                    assert_eq!(
                        merkle::root_of_proof(node, u64::from(index / length), uncles),
                        root,
                        "{range:?}"
                    );
                    assert_eq!(uncles.len() as u32, height - base_layer - length.ilog2());
                }
            }
        }
    }
}

#[test]
fn bep_0052_proof_layers_inside_the_range_are_left_out_but_count() {
    let range = |length, proof_layers| HashRange {
        pieces_root: [0; 32],
        base_layer: 0,
        index: 0,
        length,
        proof_layers,
    };
    assert_eq!([range(2, 0), range(2, 3), range(8, 2), range(8, 3)].map(|r| super::uncles(&r)), [0, 3, 0, 1]);
}

#[test]
fn bep_0052_a_length_that_is_no_power_of_two_and_an_unaligned_index_are_rejected() {
    let world = world(64, 4);
    let mut server = Server::new(1 << 20);
    let fair = HashRange {
        pieces_root: world.full.files()[0].root,
        base_layer: 2,
        index: 4,
        length: 4,
        proof_layers: 3,
    };
    assert!(matches!(server.hashes_for(&world.full, &fair), Serve::Hashes(_)));
    let unfair = [
        HashRange { length: 0, ..fair },
        HashRange { length: 1, ..fair },
        HashRange { length: 3, index: 3, ..fair },
        HashRange { length: 16_384, index: 0, ..fair },
        HashRange { length: 32, index: 0, ..fair },
        HashRange { index: 2, ..fair },
        HashRange { index: 16, ..fair },
        HashRange { index: u32::MAX - 3, ..fair },
        HashRange { base_layer: 1, ..fair },
        HashRange { base_layer: 6, length: 2, index: 0, proof_layers: 0, ..fair },
        HashRange { base_layer: u32::MAX, ..fair },
        HashRange { proof_layers: 4, ..fair },
        HashRange { proof_layers: u32::MAX, ..fair },
        HashRange { pieces_root: [0; 32], ..fair },
        HashRange { pieces_root: [255; 32], ..fair },
    ];
    for range in unfair {
        assert_eq!(server.hashes_for(&world.full, &range), Serve::Reject, "{range:?}");
    }
    assert_eq!(Server::new(0).hashes_for(&world.bare, &fair), Serve::Reject, "the layer isn't known");
}

#[test]
fn leaves_that_no_longer_match_are_not_served() {
    let world = world(64, 4);
    let mut server = Server::new(1 << 20);
    let root = world.full.files()[0].root;
    let range = HashRange { pieces_root: root, base_layer: 0, index: 4, length: 4, proof_layers: 1 };
    assert_eq!(server.hashes_for(&world.full, &range), Serve::NeedLeaves(1..2));
    let mut leaves = world.leaves[4..8].to_vec();
    assert_eq!(server.with_leaves(&world.full, &range, &leaves), Some(leaves.clone()));
    assert_eq!(server.with_leaves(&world.full, &range, &leaves[..3]), None);
    leaves[0] = [1; 32];
    assert_eq!(server.with_leaves(&world.full, &range, &leaves), None);
}

#[test]
fn one_request_reads_at_most_512_blocks_or_one_piece() {
    let root = world(4_096, 4).full.files()[0].root;
    let range = |length| HashRange { pieces_root: root, base_layer: 0, index: 0, length, proof_layers: 0 };
    let small = world(4_096, 4);
    let mut server = Server::new(1 << 20);
    assert_eq!(server.hashes_for(&small.full, &range(512)), Serve::NeedLeaves(0..128));
    assert_eq!(server.hashes_for(&small.full, &range(1_024)), Serve::Reject);
    let large = world(4_096, 1_024);
    assert_eq!(Server::new(1 << 20).hashes_for(&large.full, &range(1_024)), Serve::NeedLeaves(0..1));
}

#[test]
fn the_upper_layers_kept_are_bounded() {
    let world = world(64, 1);
    let mut server = Server::new(0);
    let root = world.full.files()[0].root;
    let range = HashRange { pieces_root: root, base_layer: 0, index: 0, length: 2, proof_layers: 5 };
    for _ in 0..3 {
        assert!(matches!(server.hashes_for(&world.full, &range), Serve::Hashes(_)));
    }
    assert_eq!((server.upper.len(), server.hashes), (1, 127));
}

#[test]
fn a_forged_answer_is_the_peers_fault_and_another_is_asked() {
    let mut world = world(64, 4);
    let (mut server, mut fetch) = (Server::new(1 << 20), Fetch::new(config(4)));
    fetch.want_all();
    let range = fetch.next_hash_request(Instant::ZERO, &world.bare, 1).unwrap();
    let good = world.answer(&mut server, &range).unwrap();
    for at in 0..good.len() {
        let mut fetch = fetch.clone();
        let mut forged = good.clone();
        forged[at][31] ^= 1;
        assert_eq!(fetch.on_hashes(&mut world.bare, 1, &range, &forged), Err(HashFault::Proof));
    }
    let count = HashFault::Count { got: 5, wanted: 6 };
    assert_eq!(fetch.on_hashes(&mut world.bare, 1, &range, &good[1..]), Err(count));
    assert_eq!(fetch.on_hashes(&mut world.bare, 1, &range, &good), Err(HashFault::Unasked), "one answer");
    assert_ne!(fetch.next_hash_request(Instant::ZERO, &world.bare, 1), Some(range), "not the liar again");
    assert_eq!(fetch.next_hash_request(Instant::ZERO, &world.bare, 2), Some(range));
    assert_eq!(fetch.on_hashes(&mut world.bare, 1, &range, &good), Err(HashFault::Unasked), "of this peer");
    assert_eq!(fetch.on_hashes(&mut world.bare, 2, &range, &good), Ok(Learned::Pieces(0..4)));
}

#[test]
fn bep_0052_pad_that_is_no_zero_hash_is_refused_even_if_it_leads_to_the_root() {
    let hashes: Vec<Hash> = (1..=4).map(|n| [n; 32]).collect();
    let root = merkle::root(&hashes, [0; 32]);
    let file = TreeFile { first_piece: 0, length: 3 * u64::from(BLOCK), root, layer: None };
    let mut trees = Trees::new(BLOCK, Arc::new([file])).unwrap();
    let mut fetch = Fetch::new(FetchConfig::default());
    fetch.want_all();
    let range = fetch.next_hash_request(Instant::ZERO, &trees, 1).unwrap();
    assert_eq!(fetch.on_hashes(&mut trees, 1, &range, &hashes), Err(HashFault::Proof));
    assert_eq!(trees.layer(0), None);
}

#[test]
fn a_piece_that_is_wanted_comes_before_the_walk() {
    let world = world(64, 1);
    let mut fetch = Fetch::new(config(4));
    fetch.want_all();
    let piece = world.geometry.piece(41).unwrap();
    assert!(fetch.want_piece(&world.bare, piece) && !fetch.want_piece(&world.bare, piece));
    let range = fetch.next_hash_request(Instant::ZERO, &world.bare, 1).unwrap();
    assert_eq!((range.index, range.length), (40, 4));
    assert_eq!(fetch.next_hash_request(Instant::ZERO, &world.bare, 1).unwrap().index, 0);
}

#[test]
fn a_peer_that_rejects_or_is_silent_is_not_asked_again_for_a_while() {
    let world = world(8, 1);
    let mut fetch = Fetch::new(FetchConfig::default());
    let after = |ms: u64| Instant::from_micros(ms * 1_000);
    fetch.want_all();
    let range = fetch.next_hash_request(after(0), &world.bare, 1).unwrap();
    assert!(fetch.on_hash_reject(after(10), 1, &range) && !fetch.on_hash_reject(after(10), 1, &range));
    assert_eq!(fetch.next_hash_request(after(11), &world.bare, 1), None);
    assert_eq!(fetch.next_hash_request(after(20), &world.bare, 2), Some(range));
    assert_eq!(fetch.deadline(), Some(after(15_020)));
    assert_eq!((fetch.on_timeout(after(15_019)), fetch.on_timeout(after(15_020))), (vec![], vec![2]));
    assert_eq!(fetch.next_hash_request(after(15_021), &world.bare, 2), None);
    assert_eq!(fetch.deadline(), Some(after(60_010)));
    assert_eq!(fetch.on_timeout(after(60_010)), Vec::<u32>::new());
    assert_eq!(fetch.next_hash_request(after(60_010), &world.bare, 1), Some(range));
}

#[test]
fn what_a_peer_that_left_owes_is_asked_of_others() {
    let world = world(64, 1);
    let mut fetch = Fetch::new(config(4));
    fetch.want_all();
    let first = fetch.next_hash_request(Instant::ZERO, &world.bare, 1).unwrap();
    let other = fetch.next_hash_request(Instant::ZERO, &world.bare, 2).unwrap();
    fetch.on_source_gone(1);
    assert_eq!(fetch.outstanding(), 1);
    assert_eq!(fetch.next_hash_request(Instant::ZERO, &world.bare, 2), Some(first));
    assert_ne!(first, other);
}

#[test]
fn requests_and_waiting_goals_are_bounded_against_peers_that_only_reject() {
    let world = world(4_096, 1);
    let mut fetch = Fetch::new(FetchConfig { hash_goals_max: 5, hash_requests_max: 4, ..config(2) });
    fetch.want_all();
    for source in 0..40 {
        let mut asked = Vec::new();
        while let Some(range) = fetch.next_hash_request(Instant::ZERO, &world.bare, source) {
            asked.push(range);
        }
        assert!((1..=2).contains(&asked.len()), "half of the requests at most with one peer");
        for range in asked {
            assert!(fetch.on_hash_reject(Instant::ZERO, source, &range));
        }
    }
    assert!(fetch.deadline().is_some());
    assert!(
        (0..64).filter(|&n| fetch.want_piece(&world.bare, world.geometry.piece(n).unwrap())).count() <= 5
    );
}
