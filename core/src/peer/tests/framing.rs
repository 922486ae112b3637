//! Bytes in, however they were cut.

use super::*;
use crate::base::{Pool, Rng};
use crate::peer::{Malformed, Misbehaved};
use crate::wire::extension::{Extension, ExtensionHandshake};
use crate::wire::message::{HashRange, MessageError};

const RANGE: HashRange =
    HashRange { pieces_root: [9; 32], base_layer: 0, index: 0, length: 2, proof_layers: 1 };

/// Some of every message.
fn conversation(story: &Story) -> Vec<u8> {
    let blocks = [story.block(0, 0), story.block(0, 1), story.block(9, 1)];
    let (first, second, last) = (data(blocks[0]), data(blocks[1]), data(blocks[2]));
    let handshake = ExtensionHandshake { m: vec![(Extension::UtPex, 5)], ..Default::default() }.encode();
    let request = raw(story.block(1, 2));
    encoded(&[
        Message::Extended { id: 0, payload: &handshake },
        Message::Bitfield(&[0xff, 0xc0]),
        Message::KeepAlive,
        Message::Unchoke,
        Message::AllowedFast(3),
        Message::Suggest(4),
        piece(blocks[0], &first),
        Message::Interested,
        Message::Request(request),
        piece(blocks[1], &second),
        Message::Cancel(request),
        Message::Extended { id: Extension::LtDontHave.our_id(), payload: &[0, 0, 0, 7] },
        Message::Have(7),
        Message::Port(6881),
        Message::HashRequest(RANGE),
        Message::Hashes { range: RANGE, hashes: &[1; 64] },
        Message::HashReject(RANGE),
        Message::Unknown(99),
        Message::Extended { id: Extension::UtPex.our_id(), payload: b"de" },
        Message::Extended { id: 200, payload: b"who knows" },
        piece(blocks[2], &last),
        Message::NotInterested,
        Message::Choke,
        Message::KeepAlive,
    ])
}

fn listener() -> Story {
    let mut story = Story::new(FAST);
    story.session.unchoke();
    for (piece, n) in [(0, 0), (0, 1), (9, 1)] {
        let block = story.block(piece, n);
        story.session.pipeline.on_request(story.now, block);
    }
    story
}

fn hear(parts: impl IntoIterator<Item = Chunk>) -> Vec<Fact> {
    let mut story = listener();
    let mut facts = Vec::new();
    for part in parts {
        story.session.on_received(story.now, part);
        facts.extend(story.facts());
    }
    facts
}

#[test]
fn any_split_of_the_stream_gives_the_same_facts() {
    let bytes = conversation(&listener());
    let whole = hear([Chunk::copy_from(&bytes)]);
    assert_eq!((whole.len(), fault(&whole)), (22, None), "{whole:?}");
    let blocks = whole.iter().filter(|fact| matches!(fact, Fact::Block { .. })).count();
    assert_eq!(blocks, 3);
    assert_eq!(hear(bytes.iter().map(|&byte| Chunk::copy_from(&[byte]))), whole, "byte by byte");
    let mut rng = Rng::new([3; 32]);
    for round in 0..200 {
        let longest = [2, 20, 300, 5_000, 40_000][round % 5];
        let (mut rest, mut parts) = (&bytes[..], Vec::new());
        // Some reads fill their buffers, some don't.
        let pool = Pool::new(longest as usize * (1 + round % 2 * 3), 4);
        while !rest.is_empty() {
            let n = (1 + rng.below(longest) as usize).min(rest.len());
            let mut buffer = pool.take();
            buffer.bytes_mut()[..n].copy_from_slice(&rest[..n]);
            parts.push(buffer.freeze(n));
            rest = &rest[n..];
        }
        assert!(hear(parts) == whole, "round {round}");
    }
}

#[test]
fn all_reads_before_all_facts_give_the_same_facts() {
    let bytes = conversation(&listener());
    let mut story = listener();
    bytes.chunks(1000).for_each(|part| story.session.on_received(story.now, Chunk::copy_from(part)));
    assert_eq!(story.facts(), hear([Chunk::copy_from(&bytes)]));
}

#[test]
fn a_well_filled_read_is_not_copied() {
    let mut story = listener();
    let block = story.block(0, 0);
    let chunk = Chunk::from(encoded(&[piece(block, &data(block))]));
    let inside = chunk[13..].as_ptr();
    story.session.on_received(story.now, chunk);
    let Some(Fact::Block { data, .. }) = story.session.next_fact(story.now, &story.have) else { panic!() };
    assert_eq!(data.iter().next().unwrap().as_ptr(), inside);
}

#[test]
fn small_reads_in_large_buffers_pin_no_more_than_the_block() {
    let mut story = listener();
    let block = story.block(0, 0);
    let pool = Pool::new(64 << 10, 4);
    for part in encoded(&[piece(block, &data(block))]).chunks(1448) {
        let mut buffer = pool.take();
        buffer.bytes_mut()[..part.len()].copy_from_slice(part);
        story.session.on_received(story.now, buffer.freeze(part.len()));
        if let Some(Fact::Block { data, .. }) = story.session.next_fact(story.now, &story.have) {
            let pinned: usize = data.iter().map(Chunk::pinned).sum();
            assert_eq!((data.len(), pinned), (BLOCK as usize, BLOCK as usize));
            return;
        }
    }
    panic!("the block never came");
}

#[test]
fn a_message_that_is_too_long_is_refused_at_its_header() {
    let mut story = Story::new(FAST);
    story.session.on_received(story.now, Chunk::copy_from(&[0, 0x20, 0, 1, 20]));
    let too_long = Malformed::TooLong { id: 20, length: 0x20_0000 };
    assert_eq!(story.facts(), [Fact::Fault(too_long.into())]);
    let mut story = Story::new(FAST);
    story.session.on_received(story.now, Chunk::copy_from(&[0, 0, 0x40, 10, 7, 0, 0, 0, 0, 0, 0, 0, 0]));
    let too_long = Malformed::TooLong { id: 7, length: BLOCK + 1 };
    assert_eq!(story.facts(), [Fact::Fault(too_long.into())]);
}

#[test]
fn after_a_fault_nothing_more_is_said_or_sent() {
    let mut story = Story::new(FAST);
    story.session.unchoke();
    story.session.on_received(story.now, Chunk::copy_from(&[0, 0, 0, 2, 0, 0]));
    let wrong = Malformed::Message(MessageError::Length { id: 0, length: 1 });
    assert_eq!(story.facts(), [Fact::Fault(wrong.into())]);
    assert!(story.peer_says(&[Message::Unchoke]).is_empty());
    assert!(story.we_say().is_empty());
    assert_eq!((story.session.deadline(), story.session.fault()), (None, Some(wrong.into())));
}

#[test]
fn whatever_comes_in_nothing_panics() {
    let mut rng = Rng::new([8; 32]);
    let bytes = conversation(&listener());
    for _ in 0..500 {
        let mut bad = bytes.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.index(bad.len().min(600)).unwrap();
            bad[at] = rng.next_u32() as u8;
        }
        let _ = hear(bad.chunks(997).map(Chunk::copy_from));
    }
}

#[test]
fn bep_0010_without_agreement_an_extended_message_is_a_fault() {
    let mut story = Story::new(PLAIN);
    let facts = story.peer_says(&[Message::Extended { id: 0, payload: b"de" }]);
    assert_eq!(facts, [Fact::Fault(Misbehaved::NotAgreed(20).into())]);
}
