//! Stories of a source that streams: rows of pieces, and blocks one after the other.

use super::*;

fn gap(world: &mut World, taken: &[core::ops::Range<u32>], max: u32) -> Option<core::ops::Range<u32>> {
    world.picker.gap(PeerPieces::All, taken, max)
}

#[test]
fn bep_0019_a_web_seed_gets_the_longest_gap() {
    let mut world = World::new(10, 2);
    assert_eq!(gap(&mut world, &[], 100), Some(0..10));
    [2, 7].into_iter().for_each(|piece| world.finish(piece));
    assert_eq!(gap(&mut world, &[], 100), Some(3..7));
    assert_eq!(gap(&mut world, &[], 3), Some(3..6), "no longer than allowed");
    assert_eq!(gap(&mut world, core::slice::from_ref(&(3..9)), 100), Some(0..2), "another is at the rest");
    let has = world.bits(&[0, 4, 8, 9]);
    assert_eq!(world.picker.gap(PeerPieces::Some(&has), &[], 100), Some(8..10));
    for piece in [0, 1, 3, 4, 5, 6, 8, 9] {
        world.finish(piece);
    }
    assert_eq!(gap(&mut world, &[], 100), None);
}

#[test]
fn what_is_begun_or_unwanted_ends_a_gap_and_a_deadline_begins_one() {
    let mut world = World::new(10, 2);
    let other = world.block(4, 0);
    let mut out = Vec::new();
    world.picker.pick_in(SourceId(1), other.piece, 1, &mut out);
    world.picker.set_priority(world.piece(8), 0);
    assert_eq!(gap(&mut world, &[], 100), Some(0..4));
    let urgent = world.piece(6);
    world.picker.set_deadline(urgent, Some(world.now));
    assert_eq!(gap(&mut world, &[], 100), Some(6..8));
    world.picker.set_deadline(urgent, None);
    world.finish(1);
    world.picker.set_sequential(true);
    assert_eq!(gap(&mut world, &[], 100), Some(0..1));
}

#[test]
fn blocks_of_a_piece_are_asked_in_a_row_and_a_fast_sources_own_piece_is_left_alone() {
    let mut world = World::new(3, 4);
    let mut out = Vec::new();
    let piece = world.piece(1);
    world.picker.pick_in(SourceId(9), piece, 3, &mut out);
    world.picker.pick_in(SourceId(9), piece, 3, &mut out);
    world.picker.check();
    assert_eq!(names(&out), [(1, 0), (1, 1), (1, 2), (1, 3)]);
    out.clear();
    world.picker.pick_in(SourceId(9), piece, 3, &mut out);
    assert!(out.is_empty(), "all of it is asked");
    let began = world.ask(2, 1);
    let theirs = world.piece(began[0].0);
    world.picker.pick_in(SourceId(9), theirs, 3, &mut out);
    assert!(out.is_empty(), "a fast source began it for itself");
    world.picker.on_source_gone(SourceId(2));
    world.picker.pick_in(SourceId(9), theirs, 9, &mut out);
    assert_eq!(out.len(), 4);
    world.picker.check();
}
