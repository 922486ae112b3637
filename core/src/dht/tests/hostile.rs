//! What strangers try: floods, forged senders, wrong tokens, lies.

use super::*;
use crate::wire::krpc::signed_bytes;

/// A token for a key at a node, for a host.
fn token(network: &mut Network, from: SocketAddr, to: SocketAddr, method: &str) -> Vec<u8> {
    let key: &[u8] = if method == "get" { b"6:target20:" } else { b"9:info_hash20:" };
    let answers = network.ask(from, to, &query(method, &[key, &[7; 20]].concat()));
    let answer = answers.iter().find(|bytes| !is_query(bytes)).unwrap();
    reads(answer).token.unwrap().to_vec()
}

fn announce(token: &[u8], port: &str) -> Vec<u8> {
    let head = [b"9:info_hash20:", &[7; 20][..], b"4:port", port.as_bytes()].concat();
    let tail = [std::format!("5:token{}:", token.len()).as_bytes(), token].concat();
    query("announce_peer", &[head, tail].concat())
}

fn answer_to(network: &mut Network, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let answers = network.ask(from, to, bytes);
    answers.into_iter().find(|bytes| !is_query(bytes)).unwrap()
}

#[test]
fn pitfall_9_an_announce_without_the_token_given_to_its_address_is_refused() {
    let mut network = Network::of(10);
    let (mine, other, node) = (host(500), host(501), host(3));
    let given = token(&mut network, mine, node, "get_peers");
    assert_eq!(error_code(&answer_to(&mut network, other, node, &announce(&given, "i9e"))), code::PROTOCOL);
    assert_eq!(error_code(&answer_to(&mut network, mine, node, &announce(b"guess", "i9e"))), code::PROTOCOL);
    assert_eq!(error_code(&answer_to(&mut network, mine, node, &announce(&given, "i0e"))), code::PROTOCOL);
    assert_eq!(network.node(3).status(Instant::ZERO).stored_peers, 0);
    reads(&answer_to(&mut network, mine, node, &announce(&given, "i9e")));
    assert_eq!(network.node(3).status(Instant::ZERO).stored_peers, 1);
    network.run(Duration::from_secs(11 * 60));
    let late = answer_to(&mut network, mine, node, &announce(&given, "i9e"));
    assert_eq!(error_code(&late), code::PROTOCOL, "a token lives ten minutes at most");
}

#[test]
fn bep_0044_a_put_is_refused_with_the_code_for_what_is_wrong() {
    let mut network = Network::of(10);
    let (mine, node) = (host(500), host(3));
    let owner = SecretKey::from_seed(&[5; 32]);
    let item = owner.sign(b"s", 1, b"1:x").unwrap();
    let target = Item::Mutable(item.clone()).target();
    let asked = query("get", &[b"6:target20:", &target.0[..]].concat());
    let given = reads(&answer_to(&mut network, mine, node, &asked)).token.unwrap().to_vec();
    let put = |network: &mut Network, salt: &[u8], seq: i64, value: &[u8], signature: [u8; 64]| {
        let bytes =
            |key: &str, value: &[u8]| [std::format!("{key}{}:", value.len()).as_bytes(), value].concat();
        let parts = [
            bytes("1:k", &item.key),
            bytes("4:salt", salt),
            std::format!("3:seqi{seq}e").into_bytes(),
            bytes("3:sig", &signature),
            bytes("5:token", &given),
            [b"1:v", value].concat(),
        ];
        answer_to(network, mine, node, &query("put", &parts.concat()))
    };
    let of = |value: &[u8]| owner_signs(&owner, b"s", 1, value);
    assert_eq!(error_code(&put(&mut network, b"s", 1, b"1:y", item.signature)), code::SIGNATURE);
    let unsorted = b"d1:bi1e1:ai1ee";
    assert_eq!(error_code(&put(&mut network, b"s", 1, unsorted, of(unsorted))), code::PROTOCOL);
    let big = [b"1001:", &[b'x'; 1001][..]].concat();
    assert_eq!(error_code(&put(&mut network, b"s", 1, &big, of(&big))), code::VALUE_TOO_BIG);
    assert_eq!(
        error_code(&put(&mut network, b"t", 1, b"1:x", item.signature)),
        code::PROTOCOL,
        "another key's token"
    );
    reads(&put(&mut network, b"s", 1, b"1:x", item.signature));
    assert_eq!(network.node(3).status(Instant::ZERO).stored_items, 1);
    let seen = answer_to(&mut network, mine, node, &asked);
    assert_eq!((reads(&seen).seq, reads(&seen).value), (Some(1), Some(&b"1:x"[..])));
    let newer = query("get", &[b"3:seqi1e6:target20:", &target.0[..]].concat());
    let known = answer_to(&mut network, mine, node, &newer);
    assert_eq!((reads(&known).seq, reads(&known).value, reads(&known).key), (Some(1), None, None));
}

/// A signature without the checks of our own side.
fn owner_signs(owner: &SecretKey, salt: &[u8], seq: i64, value: &[u8]) -> [u8; 64] {
    owner.sign(salt, seq, value).map_or_else(
        |_| {
            let signed = signed_bytes(salt, seq, value);
            assert!(!signed.is_empty());
            [1; 64]
        },
        |item| item.signature,
    )
}

#[test]
fn pitfall_21_a_flood_with_forged_senders_makes_no_amplifier() {
    let mut network = Network::of(30);
    let item = Item::Immutable { value: [b"996:".to_vec(), [b'x'; 996].to_vec()].concat() };
    let put = network.with(3, |node, now| node.put(now, item.clone(), None)).unwrap();
    network.finish(3, put);
    let holder = (0..30).find(|&n| network.node(n).status(Instant::ZERO).stored_items == 1).unwrap();
    let asked = query("get", &[b"6:target20:", &item.target().0[..]].concat());
    for n in 0..20_000_u32 {
        // 20,000 queries in one second, all with addresses of one victim's network.
        let victim = SocketAddr::new([81, 2, 3, n as u8].into(), 1 + (n >> 8) as u16);
        network.post(victim, host(holder), &asked);
    }
    let before = network.bytes;
    network.run(Duration::from_millis(900));
    assert!(network.bytes - before < 70_000, "{}", network.bytes - before);
    let status = network.node(holder).status(Instant::ZERO);
    assert!(status.dropped.allowance + status.dropped.flood > 19_000, "{:?}", status.dropped);
    assert!(status.traffic.answers_out > 0);
}

#[test]
fn a_scrape_that_cannot_be_answered_makes_no_filters() {
    let mut network = Network::of(1);
    let now = network.now;
    let node = network.node(0);
    for n in 0..100 {
        node.peers.on_announce(now, (hash(7), host(n), false), NodeId([0; 20]), &config());
    }
    let scrape = query("get_peers", &[b"9:info_hash20:", &[7; 20][..], b"6:scrapei1e"].concat());
    let victim = |n: u8| SocketAddr::new([81, 2, 3, n].into(), 6881);
    node.config.dht_reply_bytes_per_second = 1_000;
    node.on_datagram(now, victim(1), &scrape);
    assert!(!node.peers.has_blooms(hash(7), Family::V4));
    assert_eq!((node.status(now).dropped.allowance, node.status(now).traffic.answers_out), (1, 0));
    node.config.dht_reply_bytes_per_second = 2_000;
    node.on_datagram(now, victim(2), &scrape);
    assert!(node.peers.has_blooms(hash(7), Family::V4));
    assert_eq!(node.status(now).traffic.answers_out, 1);
}

#[test]
fn bep_0044_a_flood_of_puts_with_false_signatures_costs_a_bounded_number_of_checks() {
    let mut network = Network::of(1);
    let now = network.now;
    let node = network.node(0);
    let item = SecretKey::from_seed(&[5; 32]).sign(b"", 1, b"1:x").unwrap();
    let target = Item::Mutable(item.clone()).target();
    let put = |token: &[u8]| {
        let head = [b"1:k32:", &item.key[..], b"3:seqi1e3:sig64:", &[1; 64], b"5:token8:", token].concat();
        query("put", &[&head[..], b"1:v1:x"].concat())
    };
    for n in 0..2_000_u32 {
        let from = SocketAddr::new([81, 5, 5, n as u8].into(), 6881);
        let token = node.tokens.give(now, from.ip(), target);
        node.on_datagram(now, from, &put(&token));
    }
    let status = node.status(now);
    let answered = status.traffic.answers_out;
    assert!((16..=256).contains(&answered), "{answered} of one network");
    assert_eq!(answered + status.dropped.allowance, 2_000);
    let other = node.tokens.give(now, host(9).ip(), target);
    node.on_datagram(now, host(9), &put(&other));
    assert_eq!(node.status(now).traffic.answers_out, answered + 1, "others are heard");
}

#[test]
fn strangers_that_make_us_ping_dont_keep_us_from_asking_whether_quiet_nodes_live() {
    let mut network = Network::of(1);
    let mut rng = Rng::new([8; 32]);
    let now = network.now;
    let node = network.node(0);
    for n in 1..=4 {
        let known = NodeId::random(&mut rng);
        node.sides[0].table.on_answer(now, known, host(n), &config());
    }
    let later = now + Duration::from_secs(20 * 60);
    for n in 100..400 {
        node.on_datagram(later, host(n), &query("ping", b""));
    }
    let sent = core::iter::from_fn(|| node.next_datagram(Family::V4));
    assert_eq!(
        sent.filter(|(_, bytes)| is_query(bytes)).count(),
        64,
        "strangers are pinged, so many at once"
    );
    node.on_timeout(later);
    let sent: Vec<_> = core::iter::from_fn(|| node.next_datagram(Family::V4)).collect();
    let pinged = |n: u32| {
        let ping = b"1:q4:ping";
        sent.iter().any(|(to, bytes)| *to == host(n) && bytes.windows(ping.len()).any(|part| part == ping))
    };
    assert!((1..=4).all(pinged), "{:?}", sent.iter().map(|(to, _)| to).collect::<Vec<_>>());
}

#[test]
fn who_asks_from_many_ports_is_pinged_at_one_of_them_at_a_time() {
    let mut network = Network::of(1);
    let now = network.now;
    let node = network.node(0);
    node.config.address_queries_per_second_max = 1_000;
    let pings = |node: &mut Node, from: [u8; 4]| {
        (1..100)
            .for_each(|port| node.on_datagram(now, SocketAddr::new(from.into(), port), &query("ping", b"")));
        core::iter::from_fn(|| node.next_datagram(Family::V4)).filter(|(_, bytes)| is_query(bytes)).count()
    };
    assert_eq!(pings(node, [81, 2, 3, 4]), 1);
    assert_eq!(pings(node, [82, 2, 3, 4]), 1, "others have their turn");
}

#[test]
fn a_peer_that_names_all_its_ports_doesnt_make_us_forget_where_other_nodes_may_be() {
    let mut network = Network::of(1);
    let now = network.now;
    let node = network.node(0);
    node.on_node(now, host(1));
    (1..1_000).for_each(|port| node.on_node(now, SocketAddr::new(host(2).ip(), port)));
    assert_eq!(node.seeds(Family::V4), [SocketAddr::new(host(2).ip(), 999), host(1)]);
    let local = |port| SocketAddr::new([127, 0, 0, 1].into(), port);
    node.config.private_addresses = true;
    (1..4).for_each(|port| node.on_node(now, local(port)));
    assert_eq!(
        node.seeds(Family::V4)[..3],
        [local(3), local(2), local(1)],
        "many nodes of a host of one's own"
    );
}

#[test]
fn bep_0032_no_answer_is_longer_than_a_datagram_may_be_whatever_its_transaction_is() {
    let mut network = Network::of(1);
    let mut rng = Rng::new([8; 32]);
    let now = network.now;
    let node = network.node(0);
    node.on_bound(now, Family::V6);
    for n in 1..=20 {
        let (four, six) = (NodeId::random(&mut rng), NodeId::random(&mut rng));
        node.sides[0].table.on_answer(now, four, host(n), &config());
        node.sides[1].table.on_answer(now, six, host6(n), &config());
        let own = NodeId([0; 20]);
        node.peers.on_announce(now, (hash(7), host6(100 + n), false), own, &config());
        (0..2).for_each(|m| {
            let other = InfoHash([20 + m * 20 + n as u8; 20]);
            node.peers.on_announce(now, (other, host6(100 + n), false), own, &config());
        });
    }
    while node.next_datagram(Family::V6).is_some() {}
    let want = b"4:wantl2:n42:n6e";
    let asked = [
        ("get_peers", b"9:info_hash20:", &b""[..]),
        ("get_peers", b"9:info_hash20:", b"6:scrapei1e"),
        ("get_peers", b"9:info_hash20:", want),
    ];
    let key = |key: &[u8]| [key, &[7; 20]].concat();
    let mut queries: Vec<_> =
        asked.map(|(name, of, more)| query(name, &[&key(of)[..], more].concat())).into();
    queries.push(query("sample_infohashes", &key(b"6:target20:")));
    queries.push(query("sample_infohashes", &[&key(b"6:target20:")[..], want].concat()));
    for asked in queries {
        let (head, tail) = asked.split_at(asked.len() - b"1:t2:aa1:y1:qe".len());
        assert_eq!(&tail[..4], b"1:t2");
        let asked = [head, b"1:t64:", &[b't'; 64], b"1:y1:qe"].concat();
        node.on_datagram(now, host6(99), &asked);
        let answers = core::iter::from_fn(|| node.next_datagram(Family::V6)).filter(|(_, b)| !is_query(b));
        let lengths: Vec<_> = answers.map(|(_, bytes)| bytes.len()).collect();
        assert!(lengths.len() == 1 && lengths[0] <= 1024, "{lengths:?} to {}", asked.escape_ascii());
    }
}

#[test]
fn the_table_of_factors_holds() {
    let mut network = Network::of(60);
    for n in 0..40 {
        let id = network.with(n, |node, now| node.announce(now, hash(7), Some(1), n % 2 == 0)).unwrap();
        network.finish(n, id);
    }
    let item = Item::Immutable { value: [b"996:".to_vec(), [b'x'; 996].to_vec()].concat() };
    let put = network.with(3, |node, now| node.put(now, item.clone(), None)).unwrap();
    network.finish(3, put);
    let hash_of = |key: &str, bytes: [u8; 20]| [key.as_bytes(), b"20:", &bytes[..]].concat();
    let scrape = [hash_of("9:info_hash", [7; 20]), b"6:scrapei1e".to_vec()].concat();
    // A node of both families tells nodes of both to who wants them.
    let mut rng = Rng::new([8; 32]);
    for n in 0..20 {
        let (now, id) = (network.now, NodeId::random(&mut rng));
        network.node(3).sides[1].table.on_answer(now, id, host6(n), &config());
    }
    let want = [hash_of("6:target", [9; 20]), b"4:wantl2:n42:n6e".to_vec()].concat();
    let kinds: [(&str, Vec<u8>, u64); 7] = [
        ("ping", Vec::new(), 16),
        ("find_node", want, 56),
        ("find_node", hash_of("6:target", [9; 20]), 42),
        ("get_peers", hash_of("9:info_hash", [7; 20]), 99),
        ("get_peers", scrape, 90),
        ("get", hash_of("6:target", item.target().0), 152),
        ("sample_infohashes", hash_of("6:target", [9; 20]), 85),
    ];
    for (name, arguments, tenths) in kinds {
        let asked = query(name, &arguments);
        let mut most = 0;
        for n in 0..60 {
            let answers = network.ask(host(600), host(n), &asked);
            let sizes = answers.iter().filter(|bytes| !is_query(bytes)).map(Vec::len);
            most = most.max(sizes.max().unwrap_or(0) as u64);
        }
        let factor = most * 10 / asked.len() as u64;
        assert!((10..=tenths).contains(&factor), "{name}: {factor} tenths, {most} to {}", asked.len());
    }
}

#[test]
fn answers_that_nobody_asked_for_and_garbage_are_dropped_and_counted() {
    let mut network = Network::of(5);
    let now = network.now;
    let node = network.node(3);
    let before = node.status(now).dropped;
    node.on_datagram(now, host(500), b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t4:aaaa1:y1:re");
    node.on_datagram(now, host(500), b"garbage");
    node.on_datagram(now, "0.0.0.0:5".parse().unwrap(), &query("ping", b""));
    node.on_datagram(now, SocketAddr::new(host(500).ip(), 0), &query("ping", b""));
    let dropped = node.status(now).dropped;
    assert_eq!(dropped.unasked - before.unasked, 1);
    assert_eq!(dropped.malformed - before.malformed, 1);
    assert_eq!(dropped.source - before.source, 2);
    assert!(node.next_datagram(Family::V4).is_none());
}

#[test]
fn an_answer_from_another_address_than_was_asked_is_none() {
    let mut network = Network::of(1);
    network.with(0, |node, now| node.on_node(now, host(500)));
    network.run(DELAY);
    let ping = network.mail.remove(&host(500)).unwrap().remove(0);
    let transaction = Message::parse(&ping).unwrap().transaction.to_vec();
    let answer = [b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t4:", &transaction[..], b"1:y1:re"].concat();
    network.post(host(501), host(0), &answer);
    network.run(DELAY);
    assert_eq!(network.node(0).contacts(Family::V4).count(), 0);
    network.post(host(500), host(0), &answer);
    network.run(DELAY);
    assert_eq!(network.node(0).contacts(Family::V4).count(), 1);
}

#[test]
fn an_unknown_method_is_an_error_and_with_a_target_an_answer_with_nodes() {
    let mut network = Network::of(20);
    let answer = answer_to(&mut network, host(500), host(3), &query("vote", b""));
    assert_eq!(error_code(&answer), code::METHOD);
    let near =
        answer_to(&mut network, host(500), host(3), &query("vote", b"6:target20:mnopqrstuvwxyz123456"));
    assert_eq!(reads(&near).nodes.iter().count(), 8);
}

#[test]
fn private_looped_and_portless_addresses_come_into_no_table_unless_allowed() {
    for (allowed, expected) in [(false, 1), (true, 3)] {
        let mut network = Network::empty();
        network.join(0, DhtConfig { private_addresses: allowed, ..config() });
        let told = ["127.0.0.1:5", "10.0.0.1:5", "0.0.0.0:5", "81.2.3.4:0", "224.0.0.1:5", "81.2.3.4:5"];
        for addr in told {
            network.with(0, |node, now| node.on_node(now, addr.parse().unwrap()));
        }
        network.run(DELAY);
        assert_eq!(network.mail.len(), expected, "{:?}", network.mail.keys());
    }
}

#[test]
fn a_liar_that_names_a_crowd_of_dead_nodes_costs_a_look_up_a_bounded_number_of_queries() {
    let mut network = Network::empty();
    network.join(0, config());
    network.with(0, |node, now| node.on_node(now, host(500)));
    let liar = NodeId(*b"mnopqrstuvwxyz123456");
    let mut rng = Rng::new([6; 32]);
    let lookup = network.with(0, |node, now| node.get_peers(now, hash(7))).unwrap();
    let until = network.now + Duration::from_secs(600);
    let mut ended = None;
    while ended.is_none() && network.step(until) {
        // Everyone who is asked answers as the liar's own, with eight more that are nearer.
        for (addr, letters) in core::mem::take(&mut network.mail) {
            for letter in letters {
                let Ok(message) = Message::parse(&letter) else { continue };
                let mut nodes = Vec::new();
                for n in 0..8 {
                    let id = NodeId(hash(7).0).random_beside(100 + n, &mut rng);
                    crate::wire::krpc::write_node(&mut nodes, id, host(1_000 + rng.below(200_000) as u32));
                }
                let id = if addr == host(500) { liar } else { NodeId::random(&mut rng) };
                let nodes = crate::wire::krpc::Nodes4(Some(&nodes));
                let body = Body::Response(Response { id, nodes, ..Response::default() });
                let mut out = Vec::new();
                let transaction = message.transaction;
                Message { transaction, version: None, ip: None, read_only: false, body }.write(&mut out);
                network.post(addr, host(0), &out);
            }
        }
        while let Some(event) = network.node(0).next_event() {
            if let Event::Done { lookup: done, cost, .. } = event
                && done == lookup
            {
                ended = Some(cost);
            }
        }
    }
    let cost = ended.expect("it ends");
    assert!(cost.queries <= 256, "{cost:?}");
}

#[test]
fn look_ups_at_once_are_bounded_and_a_cancelled_one_makes_room() {
    let mut network = Network::of(10);
    let limits = network.node(1).config.lookups_max as u8;
    let begun: Vec<_> =
        (0..limits).map(|n| network.with(1, |node, now| node.get_peers(now, hash(n))).unwrap()).collect();
    let busy = network.with(1, |node, now| node.get_peers(now, hash(99)));
    assert_eq!(busy, Err(Busy(usize::from(limits))));
    network.with(1, |node, _| node.cancel(begun[0]));
    assert!(network.with(1, |node, now| node.get_peers(now, hash(99))).is_ok());
    network.run(Duration::from_secs(30));
    let ended = core::iter::from_fn(|| network.node(1).next_event());
    assert_eq!(ended.filter(|event| matches!(event, Event::Done { .. })).count(), usize::from(limits));
}
