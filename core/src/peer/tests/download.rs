//! Our requests and their answers.

use super::*;
use crate::peer::Misbehaved;

#[test]
fn bep_0003_a_block_answers_its_request() {
    let mut story = Story::new(PLAIN);
    let block = story.block(0, 1);
    story.peer_serves(&[block]);
    assert_eq!(story.we_say(), encoded(&[Message::Request(raw(block))]));
    let bytes = data(block);
    assert_eq!(story.peer_says(&[piece(block, &bytes)]), [came(block)]);
    assert_eq!((story.session.requests_outstanding(), story.session.requested_bytes()), (0, 0));
    assert_eq!(story.session.downloaded().total(), u64::from(BLOCK));
}

#[test]
fn only_what_the_peer_has_and_serves_is_asked_for() {
    let mut story = Story::new(FAST);
    let block = story.block(0, 0);
    story.peer_says(&[Message::Bitfield(&[0x80, 0])]);
    assert_eq!((story.session.requests_wanted(), story.session.request(story.now, block)), (0, false));
    story.peer_says(&[Message::Unchoke]);
    assert!(story.session.requests_wanted() > 0);
    assert!(!story.session.request(story.now, story.block(1, 0)), "the peer doesn't have it");
    assert!(story.session.request(story.now, block));
}

#[test]
fn bep_0003_a_choke_without_fast_loses_the_requests() {
    let mut story = Story::new(PLAIN);
    let blocks = [story.block(0, 0), story.block(0, 1)];
    story.peer_serves(&blocks);
    assert_eq!(story.peer_says(&[Message::Choke]), [Fact::Choked { lost: blocks.to_vec() }]);
    assert_eq!(story.session.requests_wanted(), 0);
    let bytes = data(blocks[0]);
    let late = Fact::Unrequested { block: blocks[0], data: Parts::from(Chunk::from(bytes.clone())) };
    assert_eq!(story.peer_says(&[piece(blocks[0], &bytes)]), [late], "it was on its way");
}

#[test]
fn bep_0006_a_choke_keeps_the_requests_until_each_is_answered_or_rejected() {
    let mut story = Story::new(FAST);
    let blocks = [story.block(0, 0), story.block(0, 1)];
    story.peer_serves(&blocks);
    let bytes = data(blocks[0]);
    let facts = story.peer_says(&[Message::Choke, piece(blocks[0], &bytes), Message::Reject(raw(blocks[1]))]);
    assert_eq!(facts, [Fact::Choked { lost: Vec::new() }, came(blocks[0]), Fact::Rejected(blocks[1])]);
    assert_eq!(story.session.requests_outstanding(), 0);
}

#[test]
fn bep_0006_an_allowed_fast_piece_can_be_asked_for_while_choked_until_it_is_rejected() {
    let mut story = Story::new(FAST);
    let block = story.block(4, 0);
    assert_eq!(story.peer_says(&[Message::HaveAll, Message::AllowedFast(4)]).len(), 2);
    assert!(story.session.requests_wanted() > 0 && story.session.may_request(block.piece));
    assert!(!story.session.may_request(story.block(5, 0).piece));
    assert!(story.session.request(story.now, block));
    assert_eq!(story.peer_says(&[Message::Reject(raw(block))]), [Fact::Rejected(block)]);
    assert_eq!((story.session.may_request(block.piece), story.session.requests_wanted()), (false, 0));
}

#[test]
fn pitfall_6_a_cancelled_block_may_come_or_be_rejected_or_neither() {
    let config = SessionConfig { unrequested_bytes_max: 0, ..Default::default() };
    let mut story = Story::with(FAST, config);
    let blocks = [story.block(0, 0), story.block(0, 1), story.block(0, 2)];
    story.peer_serves(&blocks);
    story.we_say();
    for block in blocks {
        assert!(story.session.cancel(story.now, block) && !story.session.cancel(story.now, block));
    }
    assert_eq!(story.we_say(), encoded(&blocks.map(|block| Message::Cancel(raw(block)))));
    assert_eq!(story.session.requests_outstanding(), 0);
    let bytes = data(blocks[0]);
    let facts = story.peer_says(&[piece(blocks[0], &bytes), Message::Reject(raw(blocks[1]))]);
    assert!(matches!(facts[..], [Fact::Unrequested { block, .. }] if block == blocks[0]), "{facts:?}");
    story.later(300_000);
    let facts = story.peer_says(&[Message::Reject(raw(blocks[2]))]);
    assert_eq!(fault(&facts), None, "an answer that comes too late does no harm");
    let again = story.peer_says(&[Message::Reject(raw(blocks[2]))]);
    assert!(fault(&again).is_some(), "but there is only one");
}

#[test]
fn pitfall_6_unasked_blocks_are_borne_up_to_one_pipeline() {
    let config = SessionConfig { unrequested_bytes_max: 3 * u64::from(BLOCK), ..Default::default() };
    let mut story = Story::with(FAST, config);
    story.peer_serves(&[]);
    let block = story.block(0, 0);
    let bytes = data(block);
    let facts = story.peer_says(&[piece(block, &bytes); 3]);
    assert_eq!((facts.len(), fault(&facts)), (3, None));
    assert_eq!(fault(&story.peer_says(&[piece(block, &bytes)])), Some(Misbehaved::Unrequested.into()));
}

#[test]
fn what_was_lost_to_chokes_is_not_held_against_the_peer() {
    let config = SessionConfig { unrequested_bytes_max: 0, ..Default::default() };
    let mut story = Story::with(PLAIN, config);
    let blocks = [story.block(0, 0), story.block(0, 1)];
    story.peer_serves(&blocks);
    let bytes = data(blocks[0]);
    let facts = story.peer_says(&[Message::Choke, piece(blocks[0], &bytes), piece(blocks[1], &bytes)]);
    assert_eq!(fault(&facts), None);
    assert!(fault(&story.peer_says(&[piece(blocks[1], &bytes)])).is_some());
}

#[test]
fn a_block_that_does_not_exist_is_a_fault() {
    let mut story = Story::new(FAST);
    let wrong = Message::Piece { index: 9, begin: BLOCK, data: &[0; 101] };
    let missing = Misbehaved::NoSuchRange { index: 9, begin: BLOCK, length: 101 };
    assert_eq!(story.peer_says(&[wrong]), [Fact::Fault(missing.into())]);
    let mut story = Story::without_metadata(FAST);
    assert_eq!(fault(&story.peer_says(&[wrong])), Some(Misbehaved::Unrequested.into()));
}

/// A peer that answers each request after `round_trip_ms`, a block a millisecond at most; gives the greatest depth.
fn drive(story: &mut Story, for_ms: u64, round_trip_ms: u64, blocks_a_ms: usize) -> u32 {
    let blocks: Vec<BlockRef> =
        (0..9).flat_map(|p| (0..4).map(move |n| (p, n))).map(|(p, n)| story.block(p, n)).collect();
    let mut flying = alloc::collections::VecDeque::new();
    let (mut next, mut most) = (0, 0);
    for _ in 0..for_ms {
        story.later(1);
        for _ in 0..story.session.requests_wanted() {
            let block = blocks[next % blocks.len()];
            next += 1;
            assert!(story.session.request(story.now, block));
            flying.push_back((story.now + Duration::from_millis(round_trip_ms), block));
        }
        most = most.max(story.session.requests_outstanding());
        for _ in 0..blocks_a_ms {
            if flying.front().is_some_and(|&(at, _)| at <= story.now)
                && let Some((_, block)) = flying.pop_front()
            {
                let bytes = data(block);
                assert_eq!(story.peer_says(&[piece(block, &bytes)]).len(), 1);
            }
        }
        story.we_say();
    }
    most
}

fn untold(reqq: u32) -> Story {
    let config = SessionConfig { requests_untold_max: reqq, ..Default::default() };
    let mut story = Story::with(FAST, config);
    story.peer_serves(&[]);
    story
}

#[test]
fn the_pipeline_grows_to_what_a_fast_path_needs() {
    let mut story = untold(512);
    assert_eq!(story.session.requests_wanted(), 8);
    let most = drive(&mut story, 400, 50, 100);
    assert_eq!(most, 512, "8 MiB are outstanding within a few round trips");
}

#[test]
fn the_pipeline_of_a_slow_peer_stays_near_its_queue_time() {
    let mut story = untold(512);
    // One block in 25 ms is 40 blocks a second.
    for _ in 0..40 {
        drive(&mut story, 24, 100, 0);
        drive(&mut story, 1, 100, 1);
    }
    for _ in 0..600 {
        story.later(24);
        for _ in 0..story.session.requests_wanted() {
            let block = story.block(0, 0);
            story.session.request(story.now, block);
        }
        story.later(1);
        let block = story.session.requests().next().unwrap();
        let bytes = data(block);
        story.peer_says(&[piece(block, &bytes)]);
    }
    let depth = story.session.pipeline_depth();
    assert!((8..=24).contains(&depth), "{depth}");
}

#[test]
fn the_pipeline_keeps_to_what_the_peer_keeps() {
    let mut story = untold(250);
    assert_eq!(drive(&mut story, 400, 50, 100), 250);
    let mut story = untold(250);
    story.peer_says(&[Message::Extended { id: 0, payload: b"d4:reqqi20ee" }]);
    assert_eq!(drive(&mut story, 400, 50, 100), 20);
}

#[test]
fn a_request_that_waits_too_long_is_cancelled_and_named() {
    let mut story = Story::new(FAST);
    let blocks = [story.block(0, 0), story.block(0, 1), story.block(0, 2)];
    story.peer_serves(&blocks);
    story.we_say();
    // The peer answers the others, so it isn't snubbed, but never the first.
    for block in &blocks[1..] {
        let bytes = data(*block);
        story.later(20_000);
        assert_eq!(story.peer_says(&[piece(*block, &bytes)]), [came(*block)]);
    }
    story.later(20_000);
    assert!(story.session.deadline().unwrap() <= story.now);
    assert_eq!(story.timeout(), [Fact::TimedOut(vec![blocks[0]])]);
    assert_eq!(story.we_say(), encoded(&[Message::Cancel(raw(blocks[0]))]));
    let bytes = data(blocks[0]);
    assert!(matches!(story.peer_says(&[piece(blocks[0], &bytes)])[..], [Fact::Unrequested { .. }]));
}

#[test]
fn a_peer_that_sends_nothing_is_snubbed_and_gets_one_request_until_it_does() {
    let mut story = Story::new(FAST);
    let blocks = [story.block(0, 0), story.block(0, 1)];
    story.peer_serves(&blocks);
    story.later(29_999);
    assert!(story.timeout().is_empty());
    story.later(1);
    assert_eq!(story.session.deadline(), Some(story.now));
    assert_eq!(story.timeout(), [Fact::Snubbed, Fact::TimedOut(blocks.to_vec())]);
    assert!(story.session.is_snubbed() && story.session.deadline().unwrap() > story.now);
    assert_eq!(story.session.requests_wanted(), 1);
    let other = story.block(1, 0);
    assert!(story.session.request(story.now, other));
    assert_eq!(story.session.requests_wanted(), 0);
    let bytes = data(other);
    story.peer_says(&[piece(other, &bytes)]);
    assert!(!story.session.is_snubbed() && story.session.requests_wanted() > 1);
}

#[test]
fn a_peer_that_chokes_is_not_snubbed_for_it() {
    let mut story = Story::new(FAST);
    story.peer_serves(&[story.block(0, 0)]);
    story.peer_says(&[Message::Choke]);
    story.later(31_000);
    assert!(story.timeout().is_empty() && !story.session.is_snubbed());
    story.later(30_000);
    assert_eq!(story.timeout(), [Fact::TimedOut(vec![story.block(0, 0)])], "but nothing waits for ever");
}

#[test]
fn a_keep_alive_goes_out_after_two_silent_minutes_and_four_end_the_session() {
    let mut story = Story::new(FAST);
    assert_eq!(story.session.deadline(), Some(story.now + Duration::from_secs(120)));
    story.later(120_000);
    assert!(story.timeout().is_empty());
    assert_eq!(story.we_say(), [0; 4]);
    assert_eq!(story.session.deadline(), Some(story.now + Duration::from_secs(120)));
    story.later(120_000);
    assert_eq!(story.timeout(), [Fact::Fault(Fault::Idle)]);
    let mut story = Story::new(FAST);
    story.later(239_000);
    assert_eq!(story.peer_says(&[Message::KeepAlive]), [Fact::KeepAlive]);
    story.later(1_000);
    assert!(story.timeout().is_empty(), "a keep-alive is a sign of life");
}
