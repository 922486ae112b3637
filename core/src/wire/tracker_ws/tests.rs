//! What the signalling must read and write. The examples are what browsers and bittorrent-tracker send.

use super::*;
use crate::base::Rng;
use std::format;
use std::string::ToString as _;
use std::vec;

/// Every kind of character that JSON or UTF-8 treats in its own way.
const HASH: InfoHash = InfoHash(*b"\x00\x1f\"\\\x7f\x80\xff\n\r\t/abcdefghi");
const PEER: PeerId = PeerId(*b"-WW0300-abcdefghijkl");

fn query(left: Option<u64>, event: TrackerEvent) -> AnnounceQuery {
    AnnounceQuery {
        info_hash: HASH,
        peer_id: PEER,
        port: 0,
        uploaded: 1,
        downloaded: 2,
        left,
        event,
        numwant: Some(1),
        key: 0,
    }
}

fn announce(offers: Vec<Offer>) -> SignalAnnounce {
    SignalAnnounce { query: query(Some(9), TrackerEvent::Started), tracker_id: None, offers }
}

fn offer(n: u8) -> Offer {
    Offer { id: OfferId([n; 20]), sdp: format!("v=0\r\no={n}") }
}

fn reply(text: &str) -> Result<SignalReply, SignalError> {
    read_reply(text, &AnswerLimits::default())
}

#[test]
fn pitfall_16_binary_strings_are_latin_1_and_every_byte_survives() {
    let sent = announce(vec![offer(0xff)]);
    let text = write_announce(&sent);
    assert!(text.contains(r#"\u0000\u001f\"\\"#), "{text}");
    assert_eq!(read_request(&text), Ok(SignalRequest::Announce(Box::new(sent))));
    for first in 0..=255 {
        let hash = InfoHash([first; 20]);
        assert_eq!(read_request(&write_scrape(&[hash])), Ok(SignalRequest::Scrape(vec![hash])));
    }
}

#[test]
fn pitfall_16_the_announce_of_a_browser_is_read() {
    let text = r#"{"numwant":5,"uploaded":0,"downloaded":0,"left":100000000,"event":"started","action":"announce",
        "info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"-WW0300-abcdefghijkl","trackerid":"x",
        "offers":[{"offer":{"type":"offer","sdp":"v=0\r\n"},"offer_id":"oooooooooooooooooooo"}]}"#;
    let Ok(SignalRequest::Announce(read)) = read_request(text) else { panic!() };
    assert_eq!((read.query.info_hash, read.query.peer_id), (InfoHash([b'a'; 20]), PEER));
    assert_eq!((read.query.left, read.query.event), (Some(100_000_000), TrackerEvent::Started));
    assert_eq!((read.query.numwant, read.tracker_id.as_deref()), (Some(5), Some("x")));
    assert_eq!(read.offers, [Offer { id: OfferId([b'o'; 20]), sdp: "v=0\r\n".into() }]);
}

#[test]
fn a_size_that_is_null_missing_or_no_number_is_unknown_and_sent_as_a_positive_number() {
    for left in
        ["", r#""left":null,"#, r#""left":-1,"#, r#""left":"x","#, r#""left":[1],"#, r#""left":{"a":1},"#]
    {
        let text = format!(
            r#"{{{left}"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb"}}"#
        );
        let Ok(SignalRequest::Announce(read)) = read_request(&text) else { panic!("{text}") };
        assert_eq!(read.query.left, None);
    }
    let unknown = SignalAnnounce { query: query(None, TrackerEvent::None), ..announce(vec![]) };
    assert!(write_announce(&unknown).contains(r#""left":16384"#));
    assert!(!write_announce(&unknown).contains("event"));
}

#[test]
fn a_number_is_read_as_far_as_it_counts() {
    for (left, read) in
        [("7", 7), ("7.9", 7), ("0", 0), ("1e21", u64::MAX), ("5e-7", 0), ("99999999999999999999", u64::MAX)]
    {
        let text = format!(
            r#"{{"left": {left} ,"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb"}}"#
        );
        let Ok(SignalRequest::Announce(announce)) = read_request(&text) else { panic!("{text}") };
        assert_eq!(announce.query.left, Some(read), "{left}");
    }
}

#[test]
fn every_form_of_event_is_read_and_what_nobody_knows_is_a_regular_announce() {
    for (event, read) in [
        ("\"started\"", TrackerEvent::Started),
        ("\"stopped\"", TrackerEvent::Stopped),
        ("\"completed\"", TrackerEvent::Completed),
        ("\"update\"", TrackerEvent::None),
        ("\"paused\"", TrackerEvent::None),
        ("\"empty\"", TrackerEvent::None),
        ("\"\"", TrackerEvent::None),
        ("null", TrackerEvent::None),
    ] {
        let text = format!(
            r#"{{"event":{event},"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb"}}"#
        );
        let Ok(SignalRequest::Announce(announce)) = read_request(&text) else { panic!("{event}") };
        assert_eq!(announce.query.event, read);
    }
}

#[test]
fn pitfall_16_ids_have_exactly_20_characters_below_256() {
    for bad in ["", "aaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaa\u{100}"] {
        let text = format!(r#"{{"action":"announce","info_hash":"{bad}","peer_id":"bbbbbbbbbbbbbbbbbbbb"}}"#);
        assert_eq!(read_request(&text), Err(SignalError::Malformed { key: "info_hash" }));
        let text = format!(
            r#"{{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb",
                "to_peer_id":"cccccccccccccccccccc","offer_id":"{bad}","answer":{{"type":"answer","sdp":""}}}}"#
        );
        assert_eq!(read_request(&text), Err(SignalError::Malformed { key: "offer_id" }));
    }
}

#[test]
fn an_answer_goes_to_the_tracker_and_on_to_who_offered() {
    let sent = SignalAnswer {
        info_hash: HASH,
        peer_id: PEER,
        to: PeerId([0xfe; 20]),
        offer_id: OfferId([7; 20]),
        sdp: "v=0".to_string(),
    };
    assert_eq!(read_request(&write_answer(&sent)), Ok(SignalRequest::Answer(Box::new(sent))));
    let relayed =
        Relayed { info_hash: HASH, peer_id: PEER, offer_id: OfferId([7; 20]), sdp: "v=0".to_string() };
    for passed in [SignalReply::Answer(Box::new(relayed.clone())), SignalReply::Offer(Box::new(relayed))] {
        assert_eq!(reply(&write_reply(&passed)), Ok(passed));
    }
}

#[test]
fn a_trackers_replies_are_read_as_they_were_written() {
    let announced = SignalAnnounced {
        info_hash: HASH,
        complete: Some(1),
        incomplete: Some(2),
        interval_s: 120,
        min_interval_s: Some(60),
        tracker_id: Some("t".into()),
        warning: Some("w".into()),
    };
    let counts = SwarmCounts { complete: 1, downloaded: 2, incomplete: 3 };
    for sent in [
        SignalReply::Announced(Box::new(announced)),
        SignalReply::Scraped(vec![(HASH, counts)]),
        SignalReply::Failed { info_hash: Some(HASH), reason: "no".into() },
        SignalReply::Failed { info_hash: None, reason: "no".into() },
    ] {
        assert_eq!(reply(&write_reply(&sent)), Ok(sent));
    }
    let failed = write_reply(&SignalReply::Failed { info_hash: None, reason: "no".into() });
    assert_eq!(failed, r#"{"failure reason":"no"}"#);
}

#[test]
fn pitfall_20_an_interval_of_a_hostile_tracker_is_bounded() {
    for interval in ["0", "-5", "1e300", "null", "99999999999"] {
        let text =
            format!(r#"{{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","interval":{interval}}}"#);
        let Ok(SignalReply::Announced(read)) = reply(&text) else { panic!("{text}") };
        assert!((60..=6 * 3600).contains(&read.interval_s), "{interval}");
    }
}

#[test]
fn offers_scrapes_and_messages_are_bounded() {
    let many = announce((0..50).map(offer).collect());
    let Ok(SignalRequest::Announce(read)) = read_request(&write_announce(&many)) else { panic!() };
    assert_eq!(read.offers.len(), OFFERS_MAX);
    let big = Offer { id: OfferId([1; 20]), sdp: "x".repeat(20 << 10) };
    let text = write_announce(&announce(vec![big; 10]));
    assert!(text.len() <= MESSAGE_BYTES_MAX);
    let Ok(SignalRequest::Announce(read)) = read_request(&text) else { panic!() };
    assert_eq!(read.offers.len(), 3, "as many as fit");
    assert_eq!(
        read_request(&write_scrape(&[HASH; 500])),
        Ok(SignalRequest::Scrape(vec![HASH; SCRAPE_HASHES_MAX]))
    );
    let long = " ".repeat(MESSAGE_BYTES_MAX + 1);
    assert_eq!(read_request(&long), Err(SignalError::Long { len: long.len() }));
}

#[test]
fn what_is_wrong_is_named() {
    let announce = r#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa""#;
    for (text, error) in [
        ("[]".to_string(), SignalError::Json { line: 1, column: 1 }),
        ("{".to_string(), SignalError::Json { line: 1, column: 1 }),
        ("{}".to_string(), SignalError::Missing { key: "action" }),
        (r#"{"action":"x"}"#.to_string(), SignalError::Action),
        (r#"{"action":"scrape"}"#.to_string(), SignalError::Missing { key: "info_hash" }),
        (r#"{"action":"scrape","info_hash":[]}"#.to_string(), SignalError::Malformed { key: "info_hash" }),
        (format!("{announce}}}"), SignalError::Missing { key: "peer_id" }),
        (
            format!(
                r#"{announce},"peer_id":"bbbbbbbbbbbbbbbbbbbb","offers":[{{"offer_id":"oooooooooooooooooooo"}}]}}"#
            ),
            SignalError::Missing { key: "offer" },
        ),
    ] {
        assert_eq!(read_request(&text), Err(error), "{text}");
    }
    let deep = format!("{{\"x\":{}", "[".repeat(60_000));
    assert!(matches!(read_request(&deep), Err(SignalError::Json { .. })));
}

#[test]
fn mutated_messages_never_panic_and_what_is_read_can_be_written() {
    let mut rng = Rng::new([16; 32]);
    let seeds = [
        write_announce(&announce(vec![offer(1)])),
        write_scrape(&[HASH; 2]),
        r#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","interval":1,"complete":2}"#.to_string(),
        r#"{"action":"scrape","files":{"aaaaaaaaaaaaaaaaaaaa":{"complete":1}},"flags":{}}"#.to_string(),
    ];
    for round in 0..20_000 {
        let mut text = seeds[round % seeds.len()].clone().into_bytes();
        for _ in 0..=rng.below(3) {
            let at = rng.index(text.len()).unwrap();
            text[at] = rng.next_u32() as u8;
        }
        let text = String::from_utf8_lossy(&text);
        let _ = read_request(&text);
        if let Ok(read) = reply(&text) {
            assert_eq!(reply(&write_reply(&read)), Ok(read));
        }
    }
}
