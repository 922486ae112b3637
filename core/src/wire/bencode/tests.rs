//! What the scanner takes and refuses, byte by byte.

use super::*;
use BencodeErrorKind as Wrong;
use alloc::string::ToString;
use alloc::vec::Vec;

fn error(input: &[u8]) -> (usize, Wrong) {
    let e = Document::decode(input).expect_err("must be refused");
    (e.offset, e.kind)
}

#[test]
fn bep_0003_the_four_types() {
    let input = b"d3:cow3:moo4:spaml1:a1:be1:zi-3e5:emptylee";
    let d = Document::decode(input).unwrap();
    let dict = d.dict().unwrap();
    assert_eq!(dict.bytes("cow").unwrap(), b"moo");
    let spam: Vec<_> = dict.list("spam").unwrap().map(|v| v.as_bytes().unwrap()).collect();
    assert_eq!(spam, [b"a", b"b"]);
    assert_eq!(dict.int("z").unwrap(), -3);
    assert_eq!(dict.list("empty").unwrap().count(), 0);
    assert_eq!(dict.iter().map(|(k, _)| k).collect::<Vec<_>>(), [&b"cow"[..], b"spam", b"z", b"empty"]);
    assert_eq!(d.root().raw(), input);
    assert_eq!(dict.get(b"spam").unwrap().raw(), b"l1:a1:be");
}

#[test]
fn pitfall_1_unsorted_keys_are_taken_and_duplicates_refused() {
    assert_eq!(Document::decode(b"d1:b0:1:a0:e").unwrap().dict().unwrap().bytes("a").unwrap(), b"");
    assert_eq!(error(b"d1:a0:1:a0:e"), (6, Wrong::DuplicateKey));
    assert_eq!(error(b"d1:b0:1:ade1:b0:e"), (11, Wrong::DuplicateKey));
    assert_eq!(error(b"ld1:bd1:x0:1:a0:e1:c0:1:ade1:b0:ee"), (27, Wrong::DuplicateKey));
}

#[test]
fn pitfall_19_integers_are_strict() {
    for bad in [&b"i03e"[..], b"i-0e", b"ie", b"i-e", b"i1x", b"i+1e", b"i--1e", b"i00e", b"i1.5e"] {
        assert_eq!(error(bad), (0, Wrong::Integer), "{}", bad.escape_ascii());
    }
    let big = Document::decode(
        b"l20:xxxxxxxxxxxxxxxxxxxxi18446744073709551615ei-9223372036854775808ei18446744073709551616ee",
    );
    let big = big.unwrap();
    let items: Vec<_> = big.root().list().unwrap().collect();
    assert_eq!(items[1].as_uint(), Some(u64::MAX));
    assert_eq!(items[1].int().unwrap_err().kind, Wrong::Range("value"));
    assert_eq!((items[2].as_int(), items[2].as_uint()), (Some(i64::MIN), None));
    assert_eq!((items[3].as_int(), items[3].as_uint()), (None, None));
    assert_eq!(items[0].int().unwrap_err().kind, Wrong::Type { key: "value", expected: "an integer" });
}

#[test]
fn strings_are_bounded_by_the_input() {
    assert_eq!(error(b"4:abc"), (0, Wrong::TooLong));
    assert_eq!(error(b"99999999999999999999999999:a"), (0, Wrong::TooLong));
    assert_eq!(error(b"04:spam"), (0, Wrong::Length));
    assert_eq!(error(b"00:"), (0, Wrong::Length));
    assert_eq!(error(b"1abc"), (0, Wrong::Length));
    assert_eq!(error(b"4"), (0, Wrong::TooLong));
    assert_eq!(Document::decode(b"0:").unwrap().root().as_bytes(), Some(&b""[..]));
}

#[test]
fn structure_is_checked() {
    assert_eq!(error(b""), (0, Wrong::End));
    assert_eq!(error(b"e"), (0, Wrong::Start(b'e')));
    assert_eq!(error(b"x"), (0, Wrong::Start(b'x')));
    assert_eq!(error(b"d1:ae"), (4, Wrong::NoValue));
    assert_eq!(error(b"di1e1:ae"), (1, Wrong::Key));
    assert_eq!(error(b"d1:a0:"), (6, Wrong::End));
    assert_eq!(error(b"lele"), (2, Wrong::Trailing(2)));
}

#[test]
fn pitfall_19_nesting_cannot_eat_the_stack() {
    let deep = [alloc::vec![b'l'; 1 << 20], alloc::vec![b'e'; 1 << 20]].concat();
    assert_eq!(error(&deep), (16, Wrong::Depth));
    let limits = BencodeLimits { depth_max: u32::MAX, nodes_max: u32::MAX };
    assert!(Document::decode_within(&deep, &limits).is_ok());
    let many = [&b"l"[..], &b"0:".repeat(20_000), b"e"].concat();
    assert_eq!(error(&many).1, Wrong::Nodes);
}

#[test]
fn bep_0009_a_prefix_tells_where_the_data_starts() {
    let (d, length) = Document::decode_prefix(b"d8:msg_typei1e5:piecei0eexxxxxxxx").unwrap();
    assert_eq!((d.dict().unwrap().int("piece").unwrap(), length), (0, 25));
}

#[test]
fn an_error_names_the_key_and_the_byte() {
    let d = Document::decode(b"d5:peersi1ee").unwrap();
    let dict = d.dict().unwrap();
    let text = |e: BencodeError| e.to_string();
    assert_eq!(text(dict.bytes("peers").unwrap_err()), "`peers` is not a string (at byte 8)");
    assert_eq!(text(dict.int("interval").unwrap_err()), "`interval` is missing (at byte 0)");
    assert!(dict.int_opt("interval").unwrap().is_none() && dict.bytes_opt("peers").is_err());
}

#[test]
fn bytes_outlive_the_document() {
    fn name(input: &[u8]) -> &[u8] {
        Document::decode(input).unwrap().dict().unwrap().bytes("n").unwrap()
    }
    assert_eq!(name(b"d1:n3:abce"), b"abc");
}

#[test]
fn every_truncation_is_refused() {
    let input =
        b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe";
    assert!(Document::decode(input).is_ok());
    for cut in 0..input.len() {
        assert!(Document::decode(&input[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn random_bencode_never_panics_and_views_agree_with_spans() {
    fn walk(value: Value<'_, '_>, within: &[u8]) {
        assert!(within.len() >= value.raw().len());
        match value.kind() {
            Kind::Bytes => assert!(value.raw().ends_with(value.as_bytes().unwrap())),
            Kind::Integer => {
                assert_eq!(value.as_int().map(|n| n >= 0), value.as_uint().map(|_| true).or(Some(false)))
            }
            Kind::List => value.as_list().unwrap().for_each(|item| walk(item, value.raw())),
            Kind::Dict => value.as_dict().unwrap().iter().for_each(|(_, item)| walk(item, value.raw())),
        }
    }
    let mut rng = crate::base::Rng::new([7; 32]);
    let words: [&[u8]; 12] =
        [b"d", b"l", b"e", b"e", b"1:a", b"1:b", b"0:", b"i1e", b"i-7e", b"2:ab", b"d1:z", b"5"];
    let mut whole = 0;
    for _ in 0..50_000 {
        let input: Vec<u8> =
            (0..1 + rng.below(9)).flat_map(|_| words[rng.below(12) as usize].iter().copied()).collect();
        if let Ok((document, length)) = Document::decode_prefix(&input) {
            whole += 1;
            assert_eq!(document.root().raw(), &input[..length]);
            walk(document.root(), &input);
        }
    }
    assert!(whole > 5_000, "{whole}");
}
