//! One behaviour each.

use super::*;
use core::time::Duration;

#[test]
fn a_piece_is_ours_only_after_digest_and_write() {
    let mut w = World::new(2, 2);
    w.picker.on_pieces(PeerPieces::All);
    let asked = w.ask(1, 2);
    let piece = w.piece(asked[0].0);
    assert_eq!(w.picker.state(piece), PieceState::Partial);
    let left = w.picker.bytes_left();
    assert_eq!(w.come(1, w.block(piece.get(), 0)), accepted(false, &[]));
    assert!(!w.picker.on_verified(piece) && !w.picker.on_written(piece));
    assert_eq!(w.come(1, w.block(piece.get(), 1)), accepted(true, &[]));
    assert_eq!(w.picker.state(piece), PieceState::Checking);
    assert!(!w.picker.on_written(piece));
    assert!(w.picker.on_verified(piece));
    assert_eq!(w.picker.state(piece), PieceState::Writing);
    assert!(w.picker.have().is_empty() && w.picker.bytes_left() == left);
    assert!(w.picker.on_written(piece));
    assert_eq!((w.picker.have().count(), w.picker.wanted_left()), (1, 1));
    assert_eq!(w.picker.bytes_left(), left - u64::from(w.geometry.length_of(piece)));
    assert_eq!(w.come(1, w.block(piece.get(), 1)), BlockOutcome::Duplicate);
    w.finish(1 - piece.get());
    assert!(w.picker.is_complete() && w.picker.is_wanted_complete() && w.picker.bytes_left() == 0);
    assert!(!w.picker.is_interesting(PeerPieces::All) && w.ask(1, 9).is_empty());
}

#[test]
fn a_wrong_digest_and_a_failed_write_begin_the_piece_anew() {
    let mut w = World::new(1, 3);
    w.picker.on_pieces(PeerPieces::All);
    let piece = w.piece(0);
    for attempt in 0..2 {
        assert_eq!(w.ask(7, 9), [(0, 0), (0, 1), (0, 2)]);
        for n in 0..3 {
            let _ = w.come(7 + n, w.block(0, n));
        }
        let senders: Vec<_> = w.picker.senders(piece).collect();
        assert_eq!(senders, [(0, SourceId(7)), (1, SourceId(8)), (2, SourceId(9))]);
        if attempt == 0 {
            assert!(w.picker.on_hash_failed(piece));
        } else {
            assert!(w.picker.on_verified(piece) && w.picker.on_write_failed(piece));
        }
        assert_eq!((w.picker.state(piece), w.picker.senders(piece).count()), (PieceState::Missing, 0));
        assert_eq!(w.picker.asked(SourceId(7)), 0);
        w.picker.check();
    }
}

#[test]
fn bep_0052_one_bad_block_is_asked_again_alone() {
    let mut w = World::new(1, 3);
    w.picker.on_pieces(PeerPieces::All);
    assert_eq!(w.ask(1, 3).len(), 3);
    for n in 0..3 {
        let _ = w.come(1, w.block(0, n));
    }
    assert!(w.picker.on_block_bad(w.block(0, 1)));
    assert!(!w.picker.on_block_bad(w.block(0, 1)));
    assert_eq!(w.picker.state(w.piece(0)), PieceState::Partial);
    assert_eq!(w.picker.received(w.piece(0)).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(w.ask(2, 3), [(0, 1)]);
    assert_eq!(w.come(2, w.block(0, 1)), accepted(true, &[]));
    assert_eq!(w.picker.senders(w.piece(0)).nth(1), Some((1, SourceId(2))));
}

#[test]
fn the_rarest_piece_comes_first() {
    let mut w = World::new(50, 1);
    let all_but = |rare: &[u32]| (0..50).filter(|i| !rare.contains(i)).collect::<Vec<_>>();
    for rare in [&[31, 8][..], &[31, 8], &[31]] {
        w.picker.on_pieces(PeerPieces::Some(&w.bits(&all_but(rare))));
    }
    w.picker.on_pieces(PeerPieces::All);
    let order = w.ask(1, 50);
    assert_eq!(order[..2], [(31, 0), (8, 0)]);
    assert_eq!(w.picker.availability(w.piece(31)), 1);
    assert_eq!(w.picker.availability(w.piece(0)), 4);
    assert_ne!(order[2..], all_but(&[31, 8]).iter().map(|&i| (i, 0)).collect::<Vec<_>>()[..]);
}

#[test]
fn rarity_follows_have_dont_have_and_departure() {
    let mut w = World::new(3, 1);
    let all = w.bits(&[0, 1, 2]);
    w.picker.on_pieces(PeerPieces::Some(&all));
    w.picker.on_pieces(PeerPieces::Some(&w.bits(&[0, 1])));
    assert_eq!(w.ask(1, 1), [(2, 0)]);
    w.picker.on_released(SourceId(1), w.block(2, 0));
    w.picker.on_have(w.piece(2));
    w.picker.on_dont_have(w.piece(1));
    assert_eq!(w.ask(1, 1), [(1, 0)]);
    w.picker.on_released(SourceId(1), w.block(1, 0));
    w.picker.on_have(w.piece(1));
    w.picker.on_pieces(PeerPieces::Some(&w.bits(&[1, 2])));
    assert_eq!(w.ask(1, 1), [(0, 0)]);
    w.picker.on_pieces_gone(PeerPieces::Some(&all));
    assert_eq!(w.picker.availability(w.piece(0)), 1);
    w.picker.check();
}

#[test]
fn copies_count_seeds_and_ourselves() {
    let mut w = World::new(4, 1);
    assert_eq!(w.picker.copies(), Copies { whole: 0, more_per_mille: 0 });
    w.picker.on_pieces(PeerPieces::All);
    w.picker.on_pieces(PeerPieces::Some(&w.bits(&[0, 1])));
    w.finish(3);
    assert_eq!(w.picker.copies(), Copies { whole: 1, more_per_mille: 750 });
}

#[test]
fn priority_goes_before_rarity_and_unwanted_pieces_are_left_out() {
    let mut w = World::new(6, 1);
    w.picker.on_pieces(PeerPieces::All);
    w.picker.on_pieces(PeerPieces::Some(&w.bits(&[4])));
    w.picker.set_priority(w.piece(4), 7);
    w.picker.set_priority(w.piece(2), 1);
    w.picker.set_priority(w.piece(5), 0);
    w.picker.check();
    assert_eq!((w.picker.wanted_left(), w.picker.state(w.piece(5))), (5, PieceState::Unwanted));
    assert!(!w.picker.is_interesting(PeerPieces::Some(&w.bits(&[5]))) && !w.picker.is_needed(w.piece(5)));
    let order = w.ask(1, 6);
    assert_eq!((order.len(), order[0], order[4]), (5, (4, 0), (2, 0)));
    w.picker.set_priority(w.piece(5), 3);
    assert!(w.picker.is_interesting(PeerPieces::Some(&w.bits(&[5]))));
    assert_eq!(w.ask(1, 6), [(5, 0)]);
}

#[test]
fn a_piece_unselected_midway_is_asked_no_further_and_can_be_abandoned() {
    let mut w = World::new(2, 4);
    w.picker.on_pieces(PeerPieces::All);
    let begun = w.ask(1, 2)[0].0;
    let piece = w.piece(begun);
    w.picker.set_priority(piece, 0);
    let other = w.ask(1, 8);
    assert!(other.len() == 4 && other.iter().all(|&(p, _)| p != piece.get()));
    assert_eq!(w.come(1, w.block(piece.get(), 0)), accepted(false, &[]));
    assert_eq!(w.picker.abandon(piece), [(1, SourceId(1))]);
    assert_eq!(w.picker.state(piece), PieceState::Unwanted);
    assert_eq!(w.picker.asked(SourceId(1)), 4);
    assert_eq!(w.come(1, w.block(piece.get(), 1)), BlockOutcome::Unwanted);
}

#[test]
fn sequential_order_goes_upwards_within_a_priority() {
    let mut w = World::new(6, 1);
    w.picker.on_pieces(PeerPieces::All);
    w.picker.set_sequential(true);
    w.picker.set_priority(w.piece(5), 7);
    assert_eq!(pieces(&w.ask(1, 3)), [5, 0, 1]);
    let some = w.bits(&[1, 3, 4]);
    let wish = Pick { pieces: PeerPieces::Some(&some), ..w.wish(2, 2) };
    assert_eq!(names(&w.pick(&wish)), [(3, 0), (4, 0)]);
}

#[test]
fn deadlines_go_first_in_the_order_of_time() {
    let mut w = World::new(9, 2);
    w.picker.on_pieces(PeerPieces::All);
    let at = |s| Instant::ZERO + Duration::from_secs(s);
    w.picker.set_deadline(w.piece(7), Some(at(60)));
    w.picker.set_deadline(w.piece(3), Some(at(90)));
    w.picker.set_deadline(w.piece(5), Some(at(30)));
    w.picker.set_deadline(w.piece(3), Some(at(20)));
    assert_eq!(w.picker.deadline(w.piece(3)), Some(at(20)));
    assert_eq!(pieces(&w.ask(1, 6)), [3, 5, 7]);
    w.finish(3);
    assert_eq!(w.picker.deadline(w.piece(3)), None);
}

#[test]
fn a_late_piece_is_asked_of_several_sources_but_not_of_all() {
    let mut w = World::new(9, 2);
    w.picker.on_pieces(PeerPieces::All);
    w.picker.set_deadline(w.piece(4), Some(Instant::ZERO + Duration::from_secs(10)));
    assert_eq!(w.ask(1, 2), [(4, 0), (4, 1)]);
    assert_ne!(w.ask(2, 1)[0].0, 4);
    w.now = Instant::ZERO + Duration::from_millis(9_500);
    assert_eq!(w.ask(2, 2), [(4, 0), (4, 1)]);
    assert_eq!(w.ask(3, 2), [(4, 0), (4, 1)]);
    assert_ne!(w.ask(4, 1)[0].0, 4);
    assert_eq!(w.come(2, w.block(4, 0)), accepted(false, &[3, 1]));
}

#[test]
fn a_fast_source_finishes_its_piece_in_a_row_and_others_begin_their_own() {
    let mut w = World::new(20, 4);
    w.picker.on_pieces(PeerPieces::All);
    let first = w.ask(1, 2);
    let second = w.ask(2, 2);
    assert_ne!(first[0].0, second[0].0);
    let rest = w.ask(1, 2);
    assert_eq!(rest, [(first[0].0, 2), (first[0].0, 3)]);
    assert_eq!(w.ask(2, 2), [(second[0].0, 2), (second[0].0, 3)]);
}

#[test]
fn slow_sources_share_a_piece() {
    let mut w = World::new(20, 4);
    w.picker.on_pieces(PeerPieces::All);
    let mut seen = Vec::new();
    for source in 1..=4 {
        let wish = Pick { fast: false, ..w.wish(source, 1) };
        seen.extend(names(&w.pick(&wish)));
    }
    let piece = seen[0].0;
    assert_eq!(seen, [(piece, 0), (piece, 1), (piece, 2), (piece, 3)]);
}

#[test]
fn a_piece_left_half_done_is_finished_before_a_new_one_begins() {
    let mut w = World::new(20, 4);
    w.picker.on_pieces(PeerPieces::All);
    let left = w.ask(1, 2);
    let _ = w.come(1, w.block(left[0].0, 0));
    w.picker.on_source_gone(SourceId(1));
    w.picker.check();
    assert_eq!(w.ask(2, 3), [(left[0].0, 1), (left[0].0, 2), (left[0].0, 3)]);
}

#[test]
fn an_urgent_piece_begins_before_a_less_urgent_one_goes_on() {
    let mut w = World::new(20, 4);
    w.picker.on_pieces(PeerPieces::All);
    let wish = Pick { fast: false, ..w.wish(1, 1) };
    let begun = w.pick(&wish)[0].piece;
    let urgent = w.piece((begun.get() + 1) % 20);
    w.picker.set_priority(urgent, 7);
    assert_eq!(w.ask(2, 5)[4].0, begun.get());
}

#[test]
fn without_leave_to_begin_only_begun_pieces_are_asked() {
    let mut w = World::new(20, 4);
    w.picker.on_pieces(PeerPieces::All);
    let full = Pick { may_start: false, ..w.wish(2, 9) };
    assert!(w.pick(&full).is_empty());
    let piece = w.ask(1, 1)[0].0;
    assert_eq!(names(&w.pick(&full)), [(piece, 1), (piece, 2), (piece, 3)]);
    assert_eq!(w.picker.partial_pieces(), 1);
}

#[test]
fn open_pieces_stay_bounded_by_the_sources() {
    let mut w = World::new(200, 16);
    w.picker.on_pieces(PeerPieces::All);
    for round in 0..8 {
        for source in 0..10 {
            let _ = w.ask(source, 1 + round % 3);
        }
    }
    assert!(w.picker.open.len() <= 20, "{}", w.picker.open.len());
}

#[test]
fn the_end_game_asks_again_within_bounds_and_cancels_the_others() {
    let mut w = World::new(1, 2);
    w.picker.on_pieces(PeerPieces::All);
    assert_eq!(w.ask(1, 1), [(0, 0)]);
    assert!(!w.picker.is_end_game());
    assert_eq!(w.ask(1, 9), [(0, 1)]);
    assert!(w.picker.is_end_game());
    assert!(w.ask(1, 9).is_empty(), "never the same source twice");
    assert_eq!(w.ask(2, 9).len(), 2);
    assert_eq!(w.ask(3, 9).len(), 2);
    assert!(w.ask(4, 9).is_empty(), "three at most");
    assert_eq!(w.come(2, w.block(0, 1)), accepted(false, &[3, 1]));
    assert_eq!(w.come(1, w.block(0, 1)), BlockOutcome::Duplicate);
    assert_eq!([1, 2, 3].map(|s| w.picker.asked(SourceId(s))), [1, 1, 1]);
    assert_eq!(w.come(3, w.block(0, 0)), accepted(true, &[2, 1]));
}

#[test]
fn a_source_with_enough_under_way_takes_no_part_in_the_end_game() {
    let mut w = World::new(2, 16);
    w.picker.on_pieces(PeerPieces::All);
    let half = w.ask(1, 16);
    assert_eq!(w.ask(2, 16).len(), 16);
    assert!(w.ask(1, 9).is_empty());
    for (piece, n) in half.into_iter().take(3) {
        let _ = w.come(1, w.block(piece, n));
    }
    assert_eq!(w.ask(1, 9).len(), 3);
}

#[test]
fn pieces_that_nobody_has_do_not_hold_up_the_end_game() {
    let mut w = World::new(3, 1);
    let some = w.bits(&[0, 1]);
    w.picker.on_pieces(PeerPieces::Some(&some));
    w.picker.on_pieces(PeerPieces::Some(&some));
    let wish = Pick { pieces: PeerPieces::Some(&some), ..w.wish(1, 9) };
    assert_eq!(w.pick(&wish).len(), 2);
    let wish = Pick { source: SourceId(2), ..wish };
    assert_eq!(w.pick(&wish).len(), 2);
}

#[test]
fn what_a_snubbed_source_owes_is_asked_of_others_and_still_accepted() {
    let mut w = World::new(3, 2);
    w.picker.on_pieces(PeerPieces::All);
    let owed = w.ask(1, 2);
    w.picker.on_source_snubbed(SourceId(1));
    w.picker.check();
    assert_eq!(w.ask(2, 2), owed);
    assert_eq!(w.picker.asked(SourceId(1)), 2);
    assert_eq!(w.come(1, w.block(owed[0].0, 0)), accepted(false, &[2]));
    assert_eq!(w.come(2, w.block(owed[1].0, 1)), accepted(true, &[1]));
}

#[test]
fn a_snubbed_source_is_not_asked_twice_for_what_it_owes() {
    let mut w = World::new(2, 2);
    w.picker.on_pieces(PeerPieces::All);
    let owed = w.ask(1, 1);
    w.picker.on_source_snubbed(SourceId(1));
    let more = w.ask(1, 9);
    assert!(more.len() == 3 && !more.contains(&owed[0]));
    w.picker.on_source_recovered(SourceId(1));
    assert_eq!(w.ask(2, 1), owed);
}

#[test]
fn a_released_block_is_askable_again_and_an_empty_piece_is_missing_again() {
    let mut w = World::new(1, 2);
    w.picker.on_pieces(PeerPieces::All);
    assert_eq!(w.ask(1, 2).len(), 2);
    w.picker.on_released(SourceId(1), w.block(0, 0));
    w.picker.on_released(SourceId(1), w.block(0, 0));
    assert_eq!(w.ask(2, 1), [(0, 0)]);
    w.picker.on_all_released(SourceId(1));
    w.picker.on_released(SourceId(2), w.block(0, 0));
    assert_eq!(w.picker.state(w.piece(0)), PieceState::Missing);
    assert_eq!(w.picker.partial_pieces(), 0);
    w.picker.check();
}

#[test]
fn bep_0006_a_choked_source_is_asked_for_its_allowed_fast_pieces_only() {
    let mut w = World::new(20, 2);
    w.picker.on_pieces(PeerPieces::All);
    let only = [w.piece(9), w.piece(4)];
    let wish = Pick { only: Some(&only), ..w.wish(1, 99) };
    let mut asked = pieces(&names(&w.pick(&wish)));
    asked.sort_unstable();
    assert_eq!(asked, [4, 9]);
}

#[test]
fn bep_0006_a_suggested_piece_begins_first_unless_another_is_more_urgent() {
    let mut w = World::new(20, 1);
    w.picker.on_pieces(PeerPieces::All);
    w.picker.set_priority(w.piece(3), 7);
    let suggested = [w.piece(11), w.piece(6)];
    let wish = Pick { suggested: &suggested, ..w.wish(1, 3) };
    assert_eq!(pieces(&names(&w.pick(&wish))), [3, 11, 6]);
}

#[test]
fn blocks_that_nobody_asked_for_or_that_are_no_blocks_are_unwanted() {
    let mut w = World::new(2, 2);
    w.picker.on_pieces(PeerPieces::All);
    assert_eq!(w.come(1, w.block(0, 0)), BlockOutcome::Unwanted);
    assert_eq!(w.picker.partial_pieces(), 0);
    let piece = w.ask(1, 1)[0].0;
    let odd = w.geometry.range(piece, 1, 16_000).unwrap();
    assert_eq!(w.come(1, odd), BlockOutcome::Unwanted);
    let short = w.geometry.range(piece, 0, BLOCK - 1).unwrap();
    assert_eq!(w.come(1, short), BlockOutcome::Unwanted);
}

#[test]
fn the_last_block_is_short() {
    let mut w = World::new(2, 2);
    w.picker.on_pieces(PeerPieces::All);
    let wish = w.wish(1, 9);
    let blocks = w.pick(&wish);
    let bytes: u64 = blocks.iter().map(|block| u64::from(block.length)).sum();
    assert_eq!((blocks.len(), bytes), (4, w.geometry.length()));
}

#[test]
fn a_piece_lost_from_disk_is_fetched_again() {
    let mut w = World::new(2, 1);
    w.finish(0);
    w.finish(1);
    w.picker.on_pieces(PeerPieces::All);
    assert!(w.ask(1, 9).is_empty());
    assert!(w.picker.on_lost(w.piece(1)) && !w.picker.on_lost(w.piece(1)));
    assert_eq!(w.ask(1, 9), [(1, 0)]);
}

#[test]
fn a_resumed_torrent_asks_for_the_rest_only() {
    let w = World::new(4, 1);
    let have = w.bits(&[0, 2]);
    let picker = Picker::new(w.geometry.clone(), &have, Config::default());
    let mut w = World { picker, ..w };
    w.picker.on_pieces(PeerPieces::All);
    let mut asked = pieces(&w.ask(1, 9));
    asked.sort_unstable();
    assert_eq!((asked, w.picker.have()), (vec![1, 3], &have));
}

#[test]
fn a_torrent_that_rests_keeps_no_tables() {
    let mut w = World::new(1_000, 1);
    let some = w.bits(&[1, 2, 3]);
    w.picker.on_pieces(PeerPieces::Some(&some));
    w.picker.on_pieces(PeerPieces::All);
    assert_eq!(w.ask(1, 2).len(), 2);
    w.picker.on_source_gone(SourceId(1));
    w.picker.on_pieces_gone(PeerPieces::All);
    w.picker.on_pieces_gone(PeerPieces::Some(&some));
    w.picker.check();
    assert!(w.picker.order.is_none() && w.picker.partials.is_empty() && w.picker.sources.is_empty());
    assert_eq!(w.picker.availability(w.piece(1)), 0);
    assert!(size_of::<Picker>() <= 400, "{}", size_of::<Picker>());
}

#[test]
fn a_torrent_that_has_all_it_wants_keeps_no_order() {
    let mut w = World::new(3, 1);
    w.picker.set_priority(w.piece(2), 0);
    w.picker.on_pieces(PeerPieces::All);
    assert_eq!(w.ask(1, 9).len(), 2);
    w.finish(0);
    w.finish(1);
    assert!(w.ask(1, 9).is_empty() && w.picker.order.is_none());
    w.picker.set_priority(w.piece(2), 1);
    assert_eq!(w.ask(1, 9), [(2, 0)]);
}

#[test]
fn in_the_end_game_a_released_block_passes_to_its_other_asker() {
    let mut w = World::new(1, 1);
    w.picker.on_pieces(PeerPieces::All);
    assert_eq!((w.ask(1, 1).len(), w.ask(2, 1).len()), (1, 1));
    w.picker.on_source_gone(SourceId(1));
    assert_eq!(w.picker.askers(w.piece(0)).collect::<Vec<_>>(), [(0, SourceId(2))]);
    assert!(w.picker.is_end_game());
    assert_eq!(w.come(2, w.block(0, 0)), accepted(true, &[]));
}

#[test]
fn a_source_with_few_pieces_is_asked_for_its_rarest_by_chance_among_equals() {
    let mut first = BTreeSet::new();
    for seed in 0..20 {
        let mut w = World::new(100, 1);
        w.rng = Rng::new([seed; 32]);
        let few = w.bits(&[10, 40, 70, 90]);
        w.picker.on_pieces(PeerPieces::Some(&few));
        w.picker.on_pieces(PeerPieces::Some(&w.bits(&[10, 90])));
        let wish = Pick { pieces: PeerPieces::Some(&few), ..w.wish(1, 4) };
        let order = pieces(&names(&w.pick(&wish)));
        assert!(order[..2].iter().all(|piece| [40, 70].contains(piece)), "{order:?}");
        first.insert(order[0]);
    }
    assert_eq!(first.len(), 2);
}

#[test]
fn two_torrents_begin_at_different_pieces_of_a_seed() {
    let begin = |seed| {
        let mut w = World::new(1_000, 1);
        w.rng = Rng::new([seed; 32]);
        w.picker.on_pieces(PeerPieces::All);
        w.ask(1, 1)[0].0
    };
    assert!(begin(1) != begin(2) || begin(2) != begin(3));
}

#[test]
fn among_pieces_left_half_done_the_most_done_goes_first() {
    let mut w = World::new(20, 8);
    w.picker.on_pieces(PeerPieces::All);
    let mut left = Vec::new();
    for (source, count) in [(1, 3), (2, 5), (3, 2)] {
        let asked = w.ask(source, count);
        asked.iter().for_each(|&(piece, n)| drop(w.come(source, w.block(piece, n))));
        left.push(asked[0].0);
    }
    (1..=3).for_each(|source| w.picker.on_source_gone(SourceId(source)));
    assert_eq!(pieces(&w.ask(9, 14)), [left[1], left[0], left[2]]);
}

#[test]
fn a_slow_source_stays_with_its_piece() {
    let mut w = World::new(20, 8);
    w.picker.on_pieces(PeerPieces::All);
    let slow = Pick { fast: false, ..w.wish(1, 1) };
    let more_done = w.ask(2, 4)[0].0;
    let own = w.pick(&slow)[0].piece;
    let _ = w.come(2, w.block(more_done, 0));
    w.picker.on_source_gone(SourceId(2));
    assert_ne!(own.get(), more_done);
    assert_eq!(w.pick(&slow)[0].piece, own);
}

#[test]
fn where_too_many_pieces_are_open_even_a_fast_source_shares() {
    let mut w = World::new(20, 8);
    w.picker.on_pieces(PeerPieces::All);
    for (i, s) in [(3, 90), (4, 80), (5, 70)] {
        w.picker.set_deadline(w.piece(i), Some(Instant::ZERO + Duration::from_secs(s)));
        assert_eq!(w.ask(1, 1), [(i, 0)]);
        w.picker.set_deadline(w.piece(i), None);
    }
    assert!([3, 4, 5].contains(&w.ask(2, 1)[0].0));
}

#[test]
fn an_open_piece_that_nobody_has_any_more_does_not_hold_up_the_end_game() {
    let mut w = World::new(2, 2);
    let (one, other) = (w.bits(&[0]), w.bits(&[1]));
    w.picker.on_pieces(PeerPieces::Some(&one));
    (0..2).for_each(|_| w.picker.on_pieces(PeerPieces::Some(&other)));
    let wish = Pick { pieces: PeerPieces::Some(&one), ..w.wish(1, 1) };
    assert_eq!(names(&w.pick(&wish)), [(0, 0)]);
    let _ = w.come(1, w.block(0, 0));
    w.picker.on_source_gone(SourceId(1));
    w.picker.on_pieces_gone(PeerPieces::Some(&one));
    for source in [2, 3] {
        let wish = Pick { pieces: PeerPieces::Some(&other), ..w.wish(source, 9) };
        assert_eq!(names(&w.pick(&wish)), [(1, 0), (1, 1)]);
    }
}

#[test]
fn a_snubbed_source_gets_no_piece_for_itself_until_it_recovers() {
    let mut w = World::new(20, 4);
    w.picker.on_pieces(PeerPieces::All);
    w.picker.on_source_snubbed(SourceId(1));
    let begun = w.ask(1, 1)[0].0;
    assert_eq!(w.ask(2, 3), [(begun, 1), (begun, 2), (begun, 3)]);
    w.picker.on_source_recovered(SourceId(1));
    let own = w.ask(1, 1)[0].0;
    assert_ne!(w.ask(2, 1)[0].0, own);
}

#[test]
fn nobody_counts_on_what_a_snubbed_source_owes() {
    let mut w = World::new(1, 1);
    w.picker.on_pieces(PeerPieces::All);
    let block = w.block(0, 0);
    assert_eq!(w.ask(1, 1).len(), 1);
    w.picker.on_source_snubbed(SourceId(1));
    assert_eq!(w.ask(2, 1).len(), 1);
    w.picker.on_released(SourceId(2), block);
    assert!(!w.picker.is_end_game(), "the block is free");
    assert_eq!((w.ask(3, 1).len(), w.ask(4, 1).len()), (1, 1));
    w.picker.on_source_snubbed(SourceId(4));
    w.picker.on_released(SourceId(3), block);
    assert!(!w.picker.is_end_game(), "the block is free");
    w.picker.check();
}
