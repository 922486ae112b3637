//! What the peer has, who it is, and what it can do.

use super::*;
use crate::peer::{Malformed, Misbehaved};
use crate::wire::extension::{Extension, ExtensionHandshake};

#[test]
fn bep_0003_a_bitfield_and_haves_tell_the_peers_pieces() {
    let mut story = Story::new(PLAIN);
    let facts = story.peer_says(&[Message::Bitfield(&[0x80, 0]), Message::Have(9), Message::Have(0)]);
    let last = story.geometry.piece(9).unwrap();
    assert_eq!(facts, [Fact::Pieces, Fact::Have(last)], "a HAVE without news is no fact");
    assert_eq!(story.session.peer_pieces().iter().collect::<Vec<_>>(), [0, 9]);
    assert_eq!(fault(&story.peer_says(&[Message::Have(10)])), Some(Misbehaved::NoSuchPiece(10).into()));
}

#[test]
fn a_piece_of_a_late_bitfield_is_the_peers_when_its_fact_says_so() {
    let mut story = Story::new(FAST);
    story.peer_says(&[Message::HaveNone]);
    let mut bytes = Vec::new();
    Message::Bitfield(&[0xff, 0xc0]).encode(&mut bytes);
    story.session.on_received(story.now, Chunk::from(bytes));
    for n in 1..=10 {
        assert!(matches!(story.session.next_fact(story.now, &story.have), Some(Fact::Have(_))));
        assert_eq!(story.session.peer_pieces().count(), n, "whoever counts pieces counts each once");
    }
    assert_eq!(story.facts(), []);
}

#[test]
fn pitfall_17_a_bitfield_that_comes_late_tells_what_is_new() {
    let before = [
        Message::Bitfield(&[0, 0]),
        Message::HaveNone,
        Message::Have(1),
        Message::Request(RawBlock { index: 0, begin: 0, length: BLOCK }),
    ];
    for first in before {
        let mut story = Story::new(FAST);
        let facts = story.peer_says(&[first, Message::Bitfield(&[0b0110_0000, 0])]);
        let haves = facts.iter().filter(|fact| matches!(fact, Fact::Have(_))).count();
        assert_eq!((fault(&facts), haves), (None, 2), "late, it says what is new: {first:?}");
        let again = story.peer_says(&[Message::Bitfield(&[0b0110_0000, 0]), Message::HaveNone]);
        assert_eq!((fault(&again), again.len()), (None, 0), "and nothing is taken back");
    }
    let handshake = ExtensionHandshake::default().encode();
    let mut story = Story::new(FAST);
    let facts = story.peer_says(&[Message::Extended { id: 0, payload: &handshake }, Message::HaveAll]);
    assert_eq!((fault(&facts), facts.len()), (None, 2), "extended messages may precede it");
}

#[test]
fn pitfall_17_spare_bits_and_wrong_lengths_are_refused() {
    for bad in [&[0xff, 0xe0][..], &[0xff], &[0xff, 0, 0]] {
        let facts = Story::new(FAST).peer_says(&[Message::Bitfield(bad)]);
        assert!(matches!(fault(&facts), Some(Fault::Malformed(Malformed::Bitfield(_)))), "{bad:?}");
    }
}

#[test]
fn pitfall_17_before_the_metadata_all_is_kept_and_read_when_it_is_there() {
    let mut story = Story::without_metadata(FAST);
    let facts = story.peer_says(&[
        Message::Bitfield(&[0x80, 0]),
        Message::Have(3),
        Message::AllowedFast(5),
        Message::Request(RawBlock { index: 0, begin: 0, length: BLOCK }),
    ]);
    assert!(facts.is_empty() && story.session.peer_pieces().is_empty());
    assert_eq!(story.session.requests_wanted(), 0);
    story.session.on_geometry(Arc::clone(&story.geometry));
    let allowed = story.geometry.piece(5).unwrap();
    assert_eq!(story.facts(), [Fact::Pieces, Fact::AllowedFast(allowed)]);
    assert_eq!(story.session.peer_pieces().iter().collect::<Vec<_>>(), [0, 3]);
    let mut story = Story::without_metadata(FAST);
    story.peer_says(&[Message::HaveAll]);
    story.session.on_geometry(Arc::clone(&story.geometry));
    assert!(story.session.peer_pieces().is_full());
}

#[test]
fn pitfall_17_what_does_not_fit_the_metadata_is_a_fault_once_it_is_known() {
    for early in [Message::Bitfield(&[0xff; 3]), Message::Bitfield(&[0xff, 0xff]), Message::Have(10)] {
        let mut story = Story::without_metadata(FAST);
        assert!(story.peer_says(&[early]).is_empty());
        story.session.on_geometry(Arc::clone(&story.geometry));
        assert!(fault(&story.facts()).is_some(), "{early:?}");
    }
}

#[test]
fn haves_before_the_metadata_are_bounded() {
    let mut story = Story::without_metadata(FAST);
    let haves = encoded(&[Message::Have(1)]).repeat(100_000);
    story.session.on_received(story.now, Chunk::from(haves));
    assert!(story.facts().is_empty());
    story.session.on_geometry(Arc::clone(&story.geometry));
    assert_eq!(story.session.peer_pieces().count(), 1);
}

#[test]
fn bep_0006_its_messages_are_a_fault_without_agreement() {
    let block = RawBlock { index: 0, begin: 0, length: BLOCK };
    let messages = [
        (Message::Suggest(0), 13),
        (Message::HaveAll, 14),
        (Message::HaveNone, 15),
        (Message::Reject(block), 16),
        (Message::AllowedFast(0), 17),
    ];
    for (message, id) in messages {
        let facts = Story::new(PLAIN).peer_says(&[message]);
        assert_eq!(facts, [Fact::Fault(Misbehaved::NotAgreed(id).into())]);
    }
}

#[test]
fn our_pieces_are_told_once_in_the_shortest_form() {
    let cases = [
        (FAST, Bits::full(10), encoded(&[Message::HaveAll])),
        (FAST, Bits::new(10), encoded(&[Message::HaveNone])),
        (FAST, Bits::default(), encoded(&[Message::HaveNone])),
        (PLAIN, Bits::new(10), Vec::new()),
        (PLAIN, Bits::full(10), encoded(&[Message::Bitfield(&[0xff, 0xc0])])),
    ];
    for (traits, bits, told) in cases {
        let mut story = Story::new(traits);
        story.session.have(story.geometry.piece(0).unwrap());
        story.session.pieces(&bits);
        story.session.pieces(&bits);
        assert_eq!(story.we_say(), told);
    }
}

#[test]
fn a_have_may_be_left_out_for_a_piece_that_the_peer_has() {
    let config = SessionConfig { redundant_haves_left_out: true, ..Default::default() };
    let mut story = Story::with(FAST, config);
    story.session.pieces(&Bits::new(10));
    story.peer_says(&[Message::Have(1)]);
    for n in [1, 2] {
        story.session.have(story.geometry.piece(n).unwrap());
    }
    assert_eq!(story.we_say(), encoded(&[Message::HaveNone, Message::Have(2)]));
}

fn says_m(story: &mut Story, m: Vec<(Extension, u8)>) {
    let payload = ExtensionHandshake { m, ..Default::default() }.encode();
    assert_eq!(story.peer_says(&[Message::Extended { id: 0, payload: &payload }]).len(), 1);
}

#[test]
fn pitfall_2_we_send_with_the_number_that_the_peer_gave() {
    let mut story = Story::new(FAST);
    assert!(!story.session.extended(Extension::UtPex, b"de"), "the peer has not told its numbers");
    says_m(&mut story, vec![(Extension::UtPex, 77), (Extension::UtMetadata, 3)]);
    assert!(story.session.extended(Extension::UtPex, b"de"));
    assert_eq!(story.we_say(), encoded(&[Message::Extended { id: 77, payload: b"de" }]));
}

#[test]
fn pitfall_2_the_handshake_may_come_again_and_amends_and_0_turns_off() {
    let mut story = Story::new(FAST);
    says_m(&mut story, vec![(Extension::UtPex, 77), (Extension::UtMetadata, 3)]);
    says_m(&mut story, vec![(Extension::UtPex, 0)]);
    assert!(!story.session.speaks(Extension::UtPex) && story.session.speaks(Extension::UtMetadata));
    let again = b"d4:reqqi99e1:v3:X 111:upload_onlyi1ee";
    story.peer_says(&[Message::Extended { id: 0, payload: again }]);
    assert!(story.session.peer_upload_only() && story.session.speaks(Extension::UtMetadata));
    assert_eq!((story.session.client(), story.session.reqq()), (Some("X 1"), 99));
}

#[test]
fn bep_0021_upload_only_may_change_by_message() {
    let mut story = Story::new(FAST);
    let id = Extension::UploadOnly.our_id();
    let facts = story.peer_says(&[Message::Extended { id, payload: &[1] }]);
    assert_eq!(facts, [Fact::UploadOnly(true)]);
    assert!(story.session.peer_upload_only());
    assert!(!story.session.upload_only(true), "the peer doesn't speak it");
    says_m(&mut story, vec![(Extension::UploadOnly, 4)]);
    assert!(story.session.upload_only(true));
    assert_eq!(story.we_say(), encoded(&[Message::Extended { id: 4, payload: &[1] }]));
}

#[test]
fn bep_0054_a_lost_piece_is_taken_from_the_peer_and_its_requests_with_it() {
    let gone = Message::Extended { id: Extension::LtDontHave.our_id(), payload: &[0, 0, 0, 2] };
    for (traits, is_lost) in [(FAST, false), (PeerTraits { fast: false, ..FAST }, true)] {
        let mut story = Story::new(traits);
        let (block, other) = (story.block(2, 0), story.block(3, 0));
        story.peer_serves(&[block, other]);
        let lost = if is_lost { vec![block] } else { Vec::new() };
        assert_eq!(story.peer_says(&[gone]), [Fact::DontHave { piece: block.piece, lost }]);
        assert!(!story.session.may_request(block.piece) && story.session.may_request(other.piece));
        assert_eq!(story.session.requests_outstanding(), if is_lost { 1 } else { 2 });
    }
}

#[test]
fn bep_0054_we_tell_a_lost_piece_and_refuse_what_was_asked_of_it() {
    let mut story = Story::new(FAST);
    says_m(&mut story, vec![(Extension::LtDontHave, 9)]);
    story.session.unchoke();
    let block = story.block(2, 0);
    story.peer_says(&[Message::Request(raw(block)), Message::Request(raw(story.block(3, 0)))]);
    story.session.dont_have(block.piece);
    let told = Message::Extended { id: 9, payload: &[0, 0, 0, 2] };
    assert_eq!(story.we_say(), encoded(&[Message::Unchoke, told, Message::Reject(raw(block))]));
    assert_eq!(story.session.requests_queued(), 1);
}
