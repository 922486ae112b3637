//! Every example and test vector of the texts, and what strangers get wrong.

use super::*;
use crate::base::Rng;
use crate::wire::bencode::BencodeErrorKind;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::string::{String, ToString as _};
use std::{panic, vec};

fn there_and_back(bytes: &[u8]) -> Message<'_> {
    let message = Message::parse(bytes).unwrap_or_else(|e| panic!("{}: {e}", bytes.escape_ascii()));
    let mut out = Vec::new();
    message.write(&mut out);
    assert_eq!(out.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    message
}

fn query(bytes: &[u8]) -> Query<'_> {
    match there_and_back(bytes).body {
        Body::Query(query) => query,
        Body::Response(_) | Body::Error { .. } => panic!("no query"),
    }
}

fn response(bytes: &[u8]) -> Response<'_> {
    match there_and_back(bytes).body {
        Body::Response(response) => response,
        Body::Query(_) | Body::Error { .. } => panic!("no response"),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

const A: NodeId = NodeId(*b"abcdefghij0123456789");
const M: NodeId = NodeId(*b"mnopqrstuvwxyz123456");

#[test]
fn bep_0005_the_examples_of_the_text_go_there_and_back() {
    let error = there_and_back(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee");
    assert_eq!(error.body, Body::Error { code: code::GENERIC, message: b"A Generic Error Ocurred" });
    assert_eq!(error.transaction, b"aa");
    let ping = query(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
    assert_eq!(ping, Query { id: A, method: Method::Ping, want: None });
    assert_eq!(response(b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re").id, M);
    let find = query(
        b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
    );
    assert_eq!(find.method, Method::FindNode { target: M });
    let found = response(b"d1:rd2:id20:0123456789abcdefghij5:nodes9:def456...e1:t2:aa1:y1:re");
    assert_eq!((found.nodes.0, found.nodes.iter().count()), (Some(&b"def456..."[..]), 0));
    let get_peers = query(
        b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
    );
    let info_hash = InfoHash(M.0);
    assert_eq!(get_peers.method, Method::GetPeers { info_hash, no_seed: false, scrape: false });
    let peers = response(
        b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
    );
    let values: Vec<_> = peers.values.iter().map(|peer| peer.to_string()).collect();
    assert_eq!(
        (values, peers.token),
        (
            vec![String::from("97.120.106.101:11893"), String::from("105.100.104.116:28269")],
            Some(&b"aoeusnth"[..])
        )
    );
    response(b"d1:rd2:id20:abcdefghij01234567895:nodes9:def456...5:token8:aoeusnthe1:t2:aa1:y1:re");
    let announce = query(
        b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234565:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
    );
    let method = Method::AnnouncePeer { info_hash, port: None, token: b"aoeusnth", seed: false };
    assert_eq!(announce.method, method);
    // The text's own example also names the port that is to be ignored.
    let whole = b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe";
    let Ok(Message { body: Body::Query(whole), .. }) = Message::parse(whole) else { panic!() };
    assert_eq!(whole.method, method);
}

#[test]
fn bep_0032_nodes6_want_and_values_of_both_families() {
    let asked = query(
        b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q9:find_node1:t2:aa1:y1:qe",
    );
    assert_eq!(asked.want, Some(WantNodes { v4: true, v6: true }));
    let odd = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n82:n6i3eee1:q9:find_node1:t2:aa1:y1:qe";
    let Ok(Message { body: Body::Query(odd), .. }) = Message::parse(odd) else { panic!() };
    assert_eq!(odd.want, Some(WantNodes { v4: false, v6: true }), "others are passed over");
    let peers: Vec<SocketAddr> = ["192.0.2.1:1", "[2001:db8::1]:2"].map(|a| a.parse().unwrap()).into();
    let mut list = Vec::new();
    Values::write(&mut list, peers.iter().copied());
    let mut nodes6 = Vec::new();
    write_node(&mut nodes6, A, peers[1]);
    let body = Body::Response(Response {
        id: M,
        values: Values::written(&list),
        nodes6: Nodes6(Some(&nodes6)),
        ..Response::default()
    });
    let mut out = Vec::new();
    Message { transaction: b"x", version: None, ip: None, read_only: false, body }.write(&mut out);
    let read = response(&out);
    assert_eq!(read.values.iter().collect::<Vec<_>>(), peers);
    assert_eq!(read.nodes6.iter().collect::<Vec<_>>(), [(A, peers[1])]);
}

#[test]
fn bep_0033_the_test_vector_of_the_text() {
    let mut filter = Bloom::default();
    assert_eq!(filter.estimate(), 0);
    for last in 0..=255 {
        filter.insert(Ipv4Addr::new(192, 0, 2, last).into());
    }
    for n in 0..=0x3e7 {
        filter.insert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into());
    }
    let expected = "
        F6C3F5EA A07FFD91 BDE89F77 7F26FB2B FF37BDB8 FB2BBAA2 FD3DDDE7 BACFFF75 EE7CCBAE
        FE5EEDB1 FBFAFF67 F6ABFF5E 43DDBCA3 FD9B9FFD F4FFD3E9 DFF12D1B DF59DB53 DBE9FA5B
        7FF3B8FD FCDE1AFB 8BEDD7BE 2F3EE71E BBBFE93B CDEEFE14 8246C2BC 5DBFF7E7 EFDCF24F
        D8DC7ADF FD8FFFDF DDFFF7A4 BBEEDF5C B95CE81F C7FCFF1F F4FFFFDF E5F7FDCB B7FD79B3
        FA1FC77B FE07FFF9 05B7B7FF C7FEFEFF E0B8370B B0CD3F5B 7F2BD93F EB4386CF DD6F7FD5
        BFAF2E9E BFFFFEEC D67ADBF7 C67F17EF D5D75EBA 6FFEBA7F FF47A91E B1BFBB53 E8ABFB57
        62ABE8FF 237279BF EFBFEEF5 FFC5FEBF DFE5ADFF ADFEE1FB 737FFFFB FD9F6AEF FEEE76B6
        FD8F72EF";
    assert_eq!(filter.0[..], unhex(expected));
    assert_eq!(filter.estimate_ten_thousandths(), 12_249_308, "the text says 1224.9308");
    assert_eq!(filter.estimate(), 1225);
    assert!(filter.may_hold(Ipv4Addr::new(192, 0, 2, 7).into()));
    let mut other = Bloom::default();
    other.insert(Ipv4Addr::new(192, 168, 1, 1).into());
    assert!(!other.may_hold(Ipv4Addr::new(192, 168, 1, 2).into()));
    other.join(&filter.0);
    assert!(other.may_hold(Ipv4Addr::new(192, 168, 1, 1).into()));
    assert!(Bloom([0xff; 256]).estimate() > 6000, "a full one is a guess, and no fault");
}

#[test]
fn bep_0042_the_test_vectors_of_the_text() {
    let vectors = [
        ("124.31.75.21", 1, "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
        ("21.75.31.124", 86, "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
        ("65.23.51.170", 22, "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
        ("84.124.73.14", 65, "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
        ("43.213.53.83", 90, "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
    ];
    let mut rng = Rng::new([3; 32]);
    for (ip, last, id) in vectors {
        let ip: IpAddr = ip.parse().unwrap();
        let id = NodeId(unhex(id).try_into().unwrap());
        assert_eq!(id.0[19], last);
        assert!(id.suits(ip), "{ip}");
        assert!(!id.suits("124.31.75.99".parse().unwrap()) || ip.to_string() == "124.31.75.21");
        assert!(NodeId::for_address(ip, &mut rng).suits(ip));
        let mut wrong = id;
        wrong.0[0] ^= 0x80;
        assert!(!wrong.suits(ip));
        assert!(wrong.suits("192.168.0.7".parse().unwrap()), "local addresses are exempt");
    }
    let six: IpAddr = "2a01:4f8::1".parse().unwrap();
    let id = NodeId::for_address(six, &mut rng);
    assert!(id.suits(six) && id.suits("2a01:4f8::ffff".parse().unwrap()), "the high 64 bits count");
    assert!(!id.suits("2b01:5f8::1".parse().unwrap()));
}

#[test]
fn bep_0042_ip_and_bep_0043_ro_stand_at_the_top() {
    let message = there_and_back(
        b"d1:ad2:id20:abcdefghij0123456789e2:ip6:abcdxx1:q4:ping2:roi1e1:t2:aa1:v4:MS011:y1:qe",
    );
    assert_eq!(message.ip, Some("97.98.99.100:30840".parse().unwrap()));
    assert_eq!((message.read_only, message.version), (true, Some(&b"MS01"[..])));
}

#[test]
fn bep_0044_the_test_vectors_of_the_text() {
    let key = unhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548").try_into().unwrap();
    let value = b"12:Hello World!";
    assert_eq!(signed_bytes(b"", 1, value), b"3:seqi1e1:v12:Hello World!");
    assert_eq!(signed_bytes(b"foobar", 1, value), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
    assert_eq!(signed_bytes(b"", 4, b"12:Hello world!"), b"3:seqi4e1:v12:Hello world!");
    assert_eq!(mutable_target(&key, b"").to_string(), "4a533d47ec9c7d95b1ad75f576cffc641853b750");
    assert_eq!(mutable_target(&key, b"foobar").to_string(), "411eba73b6f087ca51a3795d9c8c938d365e32c1");
    assert_eq!(immutable_target(value).to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
}

#[test]
fn bep_0046_the_test_vectors_of_the_text() {
    let key = unhex("8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e").try_into().unwrap();
    assert_eq!(mutable_target(&key, b"").to_string(), "cc3f9d90b572172053626f9980ce261a850d050b");
    assert_eq!(mutable_target(&key, &unhex("6e")).to_string(), "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f");
}

#[test]
fn bep_0044_get_and_put_go_there_and_back() {
    let signed = Signed { key: &[7; 32], salt: b"foobar", seq: 4, signature: &[9; 64] };
    let method = Method::Put { token: b"tok", value: b"d1:a1:be", signed: Some(signed), cas: Some(3) };
    let mut out = Vec::new();
    let body = Body::Query(Query { id: A, method, want: None });
    Message { transaction: b"ab", version: None, ip: None, read_only: false, body }.write(&mut out);
    assert_eq!(query(&out).method, method);
    let get = query(
        b"d1:ad2:id20:abcdefghij01234567893:seqi-1e6:target20:mnopqrstuvwxyz123456e1:q3:get1:t2:aa1:y1:qe",
    );
    assert_eq!(get.method, Method::Get { target: M, seq: Some(-1) });
    let got =
        response(b"d1:rd2:id20:abcdefghij01234567893:seqi4e5:token2:tt1:v12:Hello World!e1:t2:aa1:y1:re");
    assert_eq!((got.value, got.seq), (Some(&b"12:Hello World!"[..]), Some(4)));
}

#[test]
fn bep_0044_a_value_must_be_canonical() {
    for good in [&b"12:Hello World!"[..], b"i-7e", b"d1:a1:b1:ci1ee", b"lli0eee", b"0:"] {
        assert!(is_canonical(good), "{}", good.escape_ascii());
    }
    for bad in [&b"d1:bi1e1:ai1ee"[..], b"d1:a0:1:a0:e", b"i1ei2e", b"", b"l", b"i01e", b"3:ab"] {
        assert!(!is_canonical(bad), "{}", bad.escape_ascii());
    }
    assert!(!is_canonical(&[[b'l'; 400], [b'e'; 400]].concat()));
}

#[test]
fn bep_0051_the_fields_go_there_and_back() {
    let asked = query(
        b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q17:sample_infohashes1:t2:aa1:y1:qe",
    );
    assert_eq!(asked.method, Method::SampleInfohashes { target: M });
    let got = response(
        b"d1:rd2:id20:abcdefghij01234567898:intervali60e3:numi7e7:samples20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re",
    );
    assert_eq!((got.interval, got.num, got.samples), (Some(60), Some(7), Some(&M.0[..])));
}

#[test]
fn garbage_is_refused_with_its_reason() {
    let refused = |bytes: &[u8]| Message::parse(bytes).expect_err("must be refused");
    let missing = |key| BencodeErrorKind::Missing(key);
    let kind = |error| match error {
        KrpcError::Bencode(error) => error.kind,
        KrpcError::TooLong(_) | KrpcError::Kind | KrpcError::Length { .. } => panic!("{error}"),
    };
    assert_eq!(kind(refused(b"")), BencodeErrorKind::End);
    assert_eq!(kind(refused(b"d1:y1:qe")), missing("t"));
    assert_eq!(kind(refused(b"d1:t1:a1:y1:qe")), missing("q"));
    assert_eq!(kind(refused(b"d1:q4:ping1:t1:a1:y1:qe")), missing("a"));
    assert_eq!(kind(refused(b"d1:ade1:q4:ping1:t1:a1:y1:qe")), missing("id"));
    assert_eq!(refused(b"d1:ad2:id3:abce1:q4:ping1:t1:a1:y1:qe"), KrpcError::Length { key: "id", length: 3 });
    assert_eq!(refused(b"d1:t1:a1:y1:ze"), KrpcError::Kind);
    assert_eq!(refused(&[b'd'; 3000]), KrpcError::TooLong(3000));
    assert!(Message::parse(b"d1:ei3e1:t1:a1:y1:ee").is_ok(), "an error that says nothing is an error");
}

#[test]
fn ids_are_as_far_apart_as_their_first_difference() {
    let mut rng = Rng::new([1; 32]);
    for bits in [0, 1, 7, 8, 9, 100, 159] {
        assert_eq!(A.common_bits(A.random_beside(bits, &mut rng)), bits);
    }
    assert_eq!(A.common_bits(A), 160);
    assert_eq!(A.random_beside(160, &mut rng), A);
}
