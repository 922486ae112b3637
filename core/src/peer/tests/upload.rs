//! The peer's requests and what the link is given.

use super::*;
use crate::base::{Extent, TorrentId};
use crate::peer::{Misbehaved, UploadRun};

fn serving(traits: PeerTraits) -> Story {
    let mut story = Story::new(traits);
    story.session.unchoke();
    story.we_say();
    story
}

fn requests(story: &mut Story, blocks: &[BlockRef]) -> Vec<Fact> {
    let messages: Vec<_> = blocks.iter().map(|&block| Message::Request(raw(block))).collect();
    story.peer_says(&messages)
}

#[test]
fn bep_0003_requests_are_served_in_order() {
    let mut story = serving(PLAIN);
    let blocks = [story.block(1, 0), story.block(1, 1), story.block(9, 1)];
    assert_eq!(requests(&mut story, &blocks), blocks.map(Fact::Requested));
    assert!(story.session.wants_load() && !story.session.wants_write());
    story.load();
    let sent = [(blocks[0], 0), (blocks[1], 1), (blocks[2], 1)];
    let bytes = sent.map(|(block, n)| vec![n; block.length as usize]);
    let said: Vec<_> = sent.iter().zip(&bytes).map(|((block, _), bytes)| piece(*block, bytes)).collect();
    assert_eq!(story.we_say(), encoded(&said));
    assert_eq!(story.session.uploaded().total(), 2 * u64::from(BLOCK) + 100);
    assert_eq!((story.session.requests_queued(), story.session.timing.unwritten()), (0, 0));
}

#[test]
fn requests_that_follow_each_other_are_loaded_in_one_run() {
    let mut story = serving(FAST);
    let blocks = [story.block(1, 0), story.block(1, 1), story.block(1, 3), story.block(2, 0)];
    requests(&mut story, &blocks);
    let runs: Vec<UploadRun> = core::iter::from_fn(|| story.session.next_upload_run(u64::MAX)).collect();
    let shape: Vec<_> = runs.iter().map(|run| (run.piece.get(), run.begin, run.length, run.count)).collect();
    assert_eq!(shape, [(1, 0, 2 * BLOCK, 2), (1, 3 * BLOCK, BLOCK, 1), (2, 0, BLOCK, 1)]);
    let mut story = serving(FAST);
    requests(&mut story, &blocks);
    assert_eq!(story.session.next_upload_run(1).map(|run| run.count), Some(1), "at least one is loaded");
}

#[test]
fn what_is_stored_is_handed_on_as_extents() {
    let mut story = serving(FAST);
    let blocks = [story.block(0, 0), story.block(0, 1)];
    requests(&mut story, &blocks);
    let run = story.session.next_upload_run(u64::MAX).unwrap();
    let torrent = TorrentId(1);
    let extents = [(0, 100, BLOCK / 2), (1, 0, run.length - BLOCK / 2)];
    let stored =
        extents.map(|(file, offset, length)| Segment::Stored(torrent, Extent { file, offset, length }));
    story.session.on_loaded(run, &stored);
    let transmit = story.session.poll_transmit(story.now, usize::MAX, u64::MAX).unwrap();
    let shape: Vec<_> = transmit
        .segments
        .iter()
        .map(|segment| match segment {
            Segment::Bytes(chunk) => (9, 0, chunk.len() as u32),
            Segment::Stored(_, extent) => (extent.file, extent.offset, extent.length),
        })
        .collect();
    let half = BLOCK / 2;
    assert_eq!(shape, [(9, 0, 13), (0, 100, half), (1, 0, half), (9, 0, 13), (1, u64::from(half), BLOCK)]);
    assert_eq!((transmit.len, transmit.payload), (2 * (13 + BLOCK as usize), 2 * u64::from(BLOCK)));
}

#[test]
fn pitfall_17_a_request_for_more_than_128_kib_is_a_fault_and_for_what_does_not_exist_too() {
    let too_long = Message::Request(RawBlock { index: 0, begin: 0, length: (128 << 10) + 1 });
    let facts = serving(FAST).peer_says(&[too_long]);
    assert_eq!(fault(&facts), Some(Misbehaved::RequestTooLong((128 << 10) + 1).into()));
    let long = Message::Request(RawBlock { index: 0, begin: 0, length: PIECE });
    assert_eq!(
        fault(&serving(FAST).peer_says(&[long])),
        None,
        "longer than a block, but no more than 128 KiB"
    );
    for (index, begin, length) in [(10, 0, BLOCK), (9, BLOCK, 101), (0, 0, 0), (0, u32::MAX, BLOCK)] {
        let facts = serving(FAST).peer_says(&[Message::Request(RawBlock { index, begin, length })]);
        assert_eq!(fault(&facts), Some(Misbehaved::NoSuchRange { index, begin, length }.into()));
    }
}

#[test]
fn bep_0006_what_is_not_served_is_rejected_and_without_fast_passed_over() {
    for (traits, told) in [(FAST, true), (PLAIN, false)] {
        let mut story = Story::new(traits);
        let block = story.block(1, 0);
        let reject = if told { encoded(&[Message::Reject(raw(block))]) } else { Vec::new() };
        assert!(requests(&mut story, &[block]).is_empty(), "we choke");
        assert_eq!(story.we_say(), reject);
        let mut story = serving(traits);
        story.have.clear(1);
        assert!(requests(&mut story, &[block]).is_empty(), "we don't have it");
        assert_eq!(story.we_say(), reject);
    }
}

#[test]
fn bep_0006_a_choke_rejects_all_but_what_is_allowed_fast_and_chokes_first() {
    let mut story = Story::new(FAST);
    let blocks = [story.block(1, 0), story.block(2, 0)];
    story.session.allow_fast(&[blocks[1].piece]);
    story.session.unchoke();
    requests(&mut story, &blocks);
    story.load();
    story.session.outbox.take_control();
    story.session.choke();
    let allowed = vec![0; BLOCK as usize];
    let said = [Message::Choke, Message::Reject(raw(blocks[0])), piece(blocks[1], &allowed)];
    assert_eq!(story.we_say(), encoded(&said));
    assert_eq!(requests(&mut story, &blocks), [Fact::Requested(blocks[1])], "it may ask again for that");
}

#[test]
fn bep_0003_a_choke_without_fast_drops_what_waits() {
    let mut story = serving(PLAIN);
    let blocks = &[story.block(1, 0)];
    requests(&mut story, blocks);
    story.load();
    story.session.choke();
    assert_eq!(story.we_say(), encoded(&[Message::Choke]));
    assert_eq!(story.session.requests_queued(), 0);
}

#[test]
fn bep_0006_a_cancel_is_answered_by_a_reject_unless_the_block_was_handed_over() {
    let mut story = serving(FAST);
    let blocks = [story.block(1, 0), story.block(1, 1)];
    requests(&mut story, &blocks);
    story.load();
    let cut = story.session.poll_transmit(story.now, 13 + BLOCK as usize, u64::MAX).unwrap();
    assert_eq!(cut.payload, u64::from(BLOCK));
    let cancels = blocks.map(|block| Message::Cancel(raw(block)));
    assert_eq!(story.peer_says(&cancels), [Fact::Cancelled(blocks[1])]);
    assert_eq!(story.we_say(), encoded(&[Message::Reject(raw(blocks[1]))]));
}

#[test]
fn a_request_cancelled_while_it_loads_is_not_sent_and_its_bytes_are_counted_until_they_come() {
    let mut story = serving(PLAIN);
    let blocks = [story.block(1, 0), story.block(1, 1)];
    requests(&mut story, &blocks);
    let run = story.session.next_upload_run(u64::MAX).unwrap();
    story.peer_says(&[Message::Cancel(raw(blocks[0]))]);
    assert_eq!(story.session.upload.begun_bytes(), 2 * u64::from(BLOCK));
    let bytes = vec![5; run.length as usize];
    story.session.on_loaded(run, &[Segment::Bytes(Chunk::from(bytes.clone()))]);
    assert_eq!(story.session.upload.begun_bytes(), u64::from(BLOCK));
    assert_eq!(story.we_say(), encoded(&[piece(blocks[1], &bytes[..BLOCK as usize])]));
}

#[test]
fn a_run_that_cannot_be_loaded_is_rejected() {
    let mut story = serving(FAST);
    let blocks = [story.block(1, 0), story.block(1, 1)];
    requests(&mut story, &blocks);
    let run = story.session.next_upload_run(u64::MAX).unwrap();
    story.session.on_load_failed(run);
    assert_eq!(story.we_say(), encoded(&blocks.map(|block| Message::Reject(raw(block)))));
    assert_eq!((story.session.requests_queued(), story.session.upload.begun_bytes()), (0, 0));
}

#[test]
fn the_queue_of_requests_is_bounded() {
    let config = SessionConfig { requests_queued_max: 2, ..Default::default() };
    let mut story = Story::with(FAST, config);
    story.session.unchoke();
    story.we_say();
    let blocks = [story.block(1, 0), story.block(1, 1), story.block(1, 2)];
    assert_eq!(requests(&mut story, &blocks), [Fact::Requested(blocks[0]), Fact::Requested(blocks[1])]);
    assert_eq!(story.we_say(), encoded(&[Message::Reject(raw(blocks[2]))]));
}

#[test]
fn messages_go_before_blocks_and_blocks_keep_to_the_allowance() {
    let mut story = serving(FAST);
    let blocks = [story.block(1, 0), story.block(1, 1)];
    requests(&mut story, &blocks);
    story.load();
    assert!(story.session.wants_payload_only());
    assert!(story.session.poll_transmit(story.now, usize::MAX, 0).is_none());
    story.session.interested();
    let first = story.session.poll_transmit(story.now, usize::MAX, 0).unwrap();
    assert_eq!((bytes_of(&first.segments), first.payload), (encoded(&[Message::Interested]), 0));
    let second = story.session.poll_transmit(story.now, usize::MAX, 1).unwrap();
    assert_eq!(second.payload, u64::from(BLOCK), "one block may go into debt");
    assert!(story.session.wants_write());
}

#[test]
fn a_transmit_keeps_to_its_bytes_and_messages_stay_whole_over_several() {
    let whole = {
        let mut story = serving(FAST);
        let blocks = &[story.block(1, 0), story.block(1, 1)];
        requests(&mut story, blocks);
        story.load();
        story.session.interested();
        story.we_say()
    };
    let mut story = serving(FAST);
    let blocks = &[story.block(1, 0), story.block(1, 1)];
    requests(&mut story, blocks);
    story.load();
    story.session.interested();
    let mut said = Vec::new();
    let mut told = false;
    while let Some(transmit) = story.session.poll_transmit(story.now, 1000, u64::MAX) {
        assert!(transmit.len <= 1000 && transmit.len == bytes_of(&transmit.segments).len());
        said.extend(bytes_of(&transmit.segments));
        story.session.on_wrote(story.now, transmit.len as u64);
        if !core::mem::replace(&mut told, true) {
            story.session.not_interested();
        }
    }
    let late = encoded(&[Message::NotInterested]);
    let first_piece = 5 + 13 + BLOCK as usize;
    assert_eq!(said.len(), whole.len() + late.len());
    assert_eq!(said[first_piece..first_piece + 5], late, "it waits for the end of the block");
    said.drain(first_piece..first_piece + 5);
    assert!(said == whole);
}

#[test]
fn a_stalled_reader_costs_a_bound_and_then_its_link() {
    let mut story = serving(FAST);
    let bound = story.session.config.upload_loaded_bytes_max;
    let blocks: Vec<_> = (0..9).flat_map(|p| (0..4).map(move |n| (p, n))).collect();
    let blocks: Vec<_> = blocks.into_iter().map(|(p, n)| story.block(p, n)).collect();
    requests(&mut story, &blocks);
    let mut handed = 0;
    loop {
        story.load();
        let Some(transmit) = story.session.poll_transmit(story.now, 64 << 10, u64::MAX) else { break };
        handed += transmit.len as u64;
    }
    assert!((bound..bound + (64 << 10)).contains(&handed), "{handed}");
    assert!(!story.session.wants_write() && !story.session.wants_load());
    story.later(30_000);
    story.session.on_wrote(story.now, 1);
    story.later(59_999);
    assert!(story.timeout().is_empty(), "a byte is progress");
    story.later(1);
    assert_eq!(story.timeout(), [Fact::Fault(Fault::Stalled)]);
}

#[test]
fn a_peer_that_asks_and_never_reads_the_answers_is_given_up() {
    let mut story = Story::new(FAST);
    let block = story.block(0, 0);
    let flood = encoded(&[Message::Request(raw(block))]).repeat(20_000);
    story.session.on_received(story.now, Chunk::from(flood));
    assert_eq!(fault(&story.facts()), Some(Fault::Stalled));
}

#[test]
fn a_long_bitfield_alone_may_exceed_the_outbox() {
    let geometry = Arc::new(Geometry::new(3_000_000, 1, Vec::new()).unwrap());
    let mut session = Session::new(Arc::default(), at(0), FAST, Some(geometry));
    let mut have = Bits::full(3_000_000);
    have.clear(0);
    session.pieces(&have);
    session.unchoke();
    assert_eq!(session.fault(), None);
}
