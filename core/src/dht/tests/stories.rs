//! What honest nodes do for each other.

use super::*;

#[test]
fn bep_0005_what_one_announces_another_finds() {
    let mut network = Network::of(60);
    let announce = network.with(3, |node, now| node.announce(now, hash(7), Some(4242), false)).unwrap();
    let (outcome, cost, _) = network.finish(3, announce);
    assert!(matches!(outcome, Outcome::Announced { stored: 8, failed: 0, found: 0 }), "{outcome:?}");
    assert!(cost.queries >= 16 && cost.timeouts == 0 && cost.hops >= 1, "{cost:?}");
    let seek = network.with(44, |node, now| node.get_peers(now, hash(7))).unwrap();
    let (outcome, cost, told) = network.finish(44, seek);
    assert_eq!(outcome, Outcome::Peers { found: 1 });
    let expected = SocketAddr::new(host(3).ip(), 4242);
    assert_eq!(told, [Event::Peers { lookup: seek, peers: [expected].into() }]);
    assert!(cost.queries < 40 && cost.hops <= 4, "{cost:?}");
    let other = network.with(44, |node, now| node.get_peers(now, hash(8))).unwrap();
    assert_eq!(network.finish(44, other).0, Outcome::Peers { found: 0 });
}

#[test]
fn bep_0005_a_look_up_ends_at_the_nodes_that_are_really_nearest() {
    let mut network = Network::of(200);
    let target = NodeId([0x5a; 20]);
    let mut all: Vec<_> = network.nodes.iter().map(|(addr, node)| (node.id(Family::V4), *addr)).collect();
    all.sort_by_key(|(id, _)| id.distance(target));
    let lookup = network.with(9, |node, now| node.find_node(now, target)).unwrap();
    let (outcome, _, _) = network.finish(9, lookup);
    let Outcome::Nodes(found) = outcome else { panic!("{outcome:?}") };
    let same = all.iter().take(8).filter(|near| found.contains(near)).count();
    assert!(same >= 7, "{same} of 8");
}

#[test]
fn bep_0005_an_implied_port_is_the_one_that_the_datagram_came_from() {
    let mut network = Network::of(20);
    let announce = network.with(3, |node, now| node.announce(now, hash(7), None, false)).unwrap();
    network.finish(3, announce);
    let seek = network.with(4, |node, now| node.get_peers(now, hash(7))).unwrap();
    let (_, _, told) = network.finish(4, seek);
    assert_eq!(told, [Event::Peers { lookup: seek, peers: [host(3)].into() }]);
}

#[test]
fn bep_0005_stored_peers_are_forgotten_after_half_an_hour() {
    let mut network = Network::of(20);
    let announce = network.with(3, |node, now| node.announce(now, hash(7), Some(1), false)).unwrap();
    network.finish(3, announce);
    network.run(Duration::from_secs(31 * 60));
    let seek = network.with(4, |node, now| node.get_peers(now, hash(7))).unwrap();
    assert_eq!(network.finish(4, seek).0, Outcome::Peers { found: 0 });
    assert_eq!(network.node(5).status(Instant::ZERO).stored_peers, 0);
}

#[test]
fn bep_0005_nodes_that_are_gone_leave_the_tables() {
    let mut network = Network::of(30);
    for n in 20..30 {
        network.nodes.remove(&host(n));
    }
    network.run(Duration::from_secs(3600));
    let gone = |addr: SocketAddr| (20..30).any(|n| host(n) == addr);
    for n in 0..20 {
        let left = network.node(n).contacts(Family::V4).filter(|(_, addr)| gone(*addr)).count();
        assert_eq!(left, 0, "node {n}");
        assert!(network.node(n).contacts(Family::V4).count() >= 8);
    }
}

#[test]
fn bep_0032_the_two_families_are_two_networks_and_a_node_in_both_finds_peers_of_both() {
    let mut network = Network::empty();
    (0..20).for_each(|n| network.join(n, config()));
    (0..20).for_each(|n| network.join_at(host6(n), 100 + n, config()));
    network.run(Duration::from_secs(30));
    for addr in [host(1), host6(1)] {
        let now = network.now;
        let node = network.nodes.get_mut(&addr).unwrap();
        node.announce(now, hash(7), Some(9), false).unwrap();
        network.collect(addr);
    }
    network.run(Duration::from_secs(30));
    let now = network.now;
    let mut both = Node::new(config(), Rng::new([9; 32]), now);
    both.on_node(now, host(0));
    both.on_node(now, host6(0));
    both.on_bound(now, Family::V4);
    both.on_bound(now, Family::V6);
    let lookup = both.get_peers(now, hash(7)).unwrap();
    let mut peers = Vec::new();
    'seeking: for _ in 0..10_000 {
        for (family, own) in [(Family::V4, host(99)), (Family::V6, host6(99))] {
            while let Some((to, bytes)) = both.next_datagram(family) {
                for answer in network.ask(own, to, &bytes) {
                    both.on_datagram(network.now, to, &answer);
                }
            }
        }
        both.on_timeout(network.now);
        while let Some(event) = both.next_event() {
            if let Event::Peers { peers: more, .. } = event {
                peers.extend(more);
            } else if matches!(event, Event::Done { lookup: done, .. } if done == lookup) {
                break 'seeking;
            }
        }
    }
    peers.sort();
    assert_eq!(peers, [SocketAddr::new(host(1).ip(), 9), SocketAddr::new(host6(1).ip(), 9)]);
}

#[test]
fn bep_0032_nodes_of_the_family_that_is_wanted() {
    let mut network = Network::of(20);
    let find = |want: &[u8]| query("find_node", &[b"6:target20:mnopqrstuvwxyz123456", want].concat());
    let from = host(500);
    let plain = network.ask(from, host(3), &find(b""));
    assert_eq!((reads(&plain[0]).nodes.iter().count(), reads(&plain[0]).nodes6.0), (8, None));
    let six = network.ask(from, host(3), &find(b"4:wantl2:n6e"));
    assert_eq!((reads(&six[0]).nodes.0, reads(&six[0]).nodes6.0), (None, Some(&b""[..])));
}

#[test]
fn bep_0033_a_scrape_counts_seeds_and_others_once() {
    let mut network = Network::of(60);
    for n in 1..=30 {
        let seed = n <= 10;
        network.with(n, |node, now| node.announce(now, hash(7), Some(1), seed)).unwrap();
    }
    network.run(Duration::from_secs(20));
    let scrape = network.with(50, |node, now| node.scrape(now, hash(7))).unwrap();
    let (outcome, _, _) = network.finish(50, scrape);
    let Outcome::Scraped { seeds, peers, answers } = outcome else { panic!("{outcome:?}") };
    assert!((9..=11).contains(&seeds) && (19..=21).contains(&peers) && answers >= 8, "{outcome:?}");
}

#[test]
fn bep_0033_a_seed_seeks_no_seeds() {
    let mut network = Network::of(30);
    for (n, seed) in [(1, true), (2, false)] {
        let id = network.with(n, |node, now| node.announce(now, hash(7), Some(1), seed)).unwrap();
        network.finish(n, id);
    }
    let announce = network.with(3, |node, now| node.announce(now, hash(7), Some(1), true)).unwrap();
    let (_, _, told) = network.finish(3, announce);
    let expected = SocketAddr::new(host(2).ip(), 1);
    assert_eq!(told, [Event::Peers { lookup: announce, peers: [expected].into() }]);
}

#[test]
fn bep_0042_an_id_follows_the_address_that_others_agree_on() {
    let mut network = Network::of(20);
    for n in 1..20 {
        let ip = host(n).ip();
        assert!(network.node(n).id(Family::V4).suits(ip), "node {n}");
        let status = network.node(n).status(Instant::ZERO);
        assert_eq!(status.families[0].external, Some(ip));
    }
}

#[test]
fn bep_0042_with_ids_enforced_what_was_announced_is_found_too() {
    let mut network = Network::empty();
    (0..60).for_each(|n| network.join(n, DhtConfig { enforce_node_ids: true, ..config() }));
    network.run(Duration::from_secs(60));
    network.nodes.values_mut().for_each(|node| while node.next_event().is_some() {});
    let announce = network.with(3, |node, now| node.announce(now, hash(7), Some(1), false)).unwrap();
    assert!(matches!(network.finish(3, announce).0, Outcome::Announced { stored: 8, .. }));
    let seek = network.with(44, |node, now| node.get_peers(now, hash(7))).unwrap();
    assert_eq!(network.finish(44, seek).0, Outcome::Peers { found: 1 });
}

#[test]
fn bep_0043_a_read_only_node_finds_but_answers_nobody_and_is_in_no_table() {
    let mut network = Network::of(30);
    let announce = network.with(3, |node, now| node.announce(now, hash(7), Some(1), false)).unwrap();
    network.finish(3, announce);
    network.join(77, DhtConfig { read_only: true, ..config() });
    network.run(Duration::from_secs(30));
    let seek = network.with(77, |node, now| node.get_peers(now, hash(7))).unwrap();
    assert_eq!(network.finish(77, seek).0, Outcome::Peers { found: 1 });
    let known =
        network.nodes.values().any(|node| node.contacts(Family::V4).any(|(_, addr)| addr == host(77)));
    assert!(!known);
    assert!(network.ask(host(500), host(77), &query("ping", b"")).is_empty());
    assert_eq!(network.node(77).status(Instant::ZERO).dropped.read_only, 1);
}

#[test]
fn bep_0043_behind_a_proxy_a_node_begins_at_a_name_and_finds_though_nobody_knew_its_address() {
    let mut network = Network::of(30);
    let announce = network.with(3, |node, now| node.announce(now, hash(7), Some(1), false)).unwrap();
    network.finish(3, announce);
    let named = SocketAddr::new([240, 0, 0, 1].into(), host(0).port());
    network.names.insert(named, host(0));
    let behind = |proxied| {
        let bootstrap_nodes = Vec::from([std::format!("{named}")]);
        DhtConfig { bootstrap_nodes, proxied, read_only: true, ..config() }
    };
    for (n, proxied) in [(77, true), (78, false)] {
        let mut node = Node::new(behind(proxied), Rng::new([n as u8; 32]), network.now);
        node.on_bound(network.now, Family::V4);
        network.nodes.insert(host(n), node);
        network.collect(host(n));
    }
    network.run(Duration::from_secs(30));
    let seek = network.with(77, |node, now| node.get_peers(now, hash(7))).unwrap();
    assert_eq!(network.finish(77, seek).0, Outcome::Peers { found: 1 });
    let router = |addr: SocketAddr| addr == named || addr == host(0);
    assert!(network.node(77).contacts(Family::V4).count() >= 8);
    assert!(network.node(77).contacts(Family::V4).all(|(_, addr)| addr != named));
    let direct = network.node(78);
    assert_eq!(
        direct.contacts(Family::V4).filter(|(_, addr)| !router(*addr)).count(),
        0,
        "only a proxy has names"
    );
    assert!(direct.status(Instant::ZERO).dropped.unasked > 0);
}

#[test]
fn behind_a_proxy_an_answer_from_another_port_or_with_another_transaction_is_no_answer() {
    let mut network = Network::empty();
    let named = SocketAddr::new([240, 0, 0, 1].into(), 6881);
    let config = DhtConfig {
        bootstrap_nodes: Vec::from([std::format!("{named}")]),
        proxied: true,
        read_only: true,
        ..config()
    };
    let mut node = Node::new(config, Rng::new([1; 32]), network.now);
    node.on_bound(network.now, Family::V4);
    let (to, query) = node.next_datagram(Family::V4).unwrap();
    assert_eq!(to, named);
    let transaction = Message::parse(&query).unwrap().transaction.to_vec();
    let answer = |transaction: &[u8]| {
        let mut out = Vec::new();
        let response = Response { id: NodeId([9; 20]), ..Response::default() };
        let body = Body::Response(response);
        Message { transaction, version: None, ip: None, read_only: false, body }.write(&mut out);
        out
    };
    let other_port = SocketAddr::new(host(5).ip(), 6882);
    node.on_datagram(network.now, other_port, &answer(&transaction));
    node.on_datagram(network.now, host(5), &answer(b"nope"));
    assert_eq!(node.status(network.now).dropped.unasked, 2);
    node.on_datagram(network.now, host(5), &answer(&transaction));
    assert_eq!(node.status(network.now).dropped.unasked, 2);
    network.run(DELAY);
}

#[test]
fn a_filter_keeps_queries_from_the_addresses_that_it_forbids_also_those_known_before() {
    let mut network = Network::of(40);
    let forbidden = |addr: SocketAddr| (1..20).any(|n| addr == host(n));
    let ranges = (1..20).map(|n| (host(n).ip(), host(n).ip()));
    let filter = alloc::sync::Arc::new(crate::wire::ip_filter::IpFilter::from_ranges(ranges));
    assert!(network.node(30).contacts(Family::V4).any(|(_, addr)| forbidden(addr)));
    network.with(30, |node, now| node.on_filter(now, Some(filter.clone())));
    assert!(!network.node(30).contacts(Family::V4).any(|(_, addr)| forbidden(addr)));
    network.wire.retain(|_, (from, ..)| *from != host(30));
    let seek = network.with(30, |node, now| node.get_peers(now, hash(7))).unwrap();
    let until = network.now + Duration::from_secs(60);
    while network.step(until) {
        let strays = network
            .wire
            .values()
            .filter(|(from, to, bytes)| *from == host(30) && forbidden(*to) && is_query(bytes));
        assert_eq!(strays.count(), 0);
    }
    network.finish(30, seek);
    network.with(30, |node, now| node.on_node(now, host(3)));
    assert!(network.wire.values().all(|(from, to, _)| *from != host(30) || !forbidden(*to)));
}

#[test]
fn bep_0044_an_immutable_item_is_found_by_its_digest() {
    let mut network = Network::of(40);
    let item = Item::Immutable { value: b"12:Hello World!".to_vec() };
    let put = network.with(3, |node, now| node.put(now, item.clone(), None)).unwrap();
    let (outcome, _, _) = network.finish(3, put);
    assert_eq!(outcome, Outcome::Put { stored: 8, refused: Vec::new(), seq_before: None });
    let get = network.with(30, |node, now| node.get(now, item.target(), b"", None)).unwrap();
    let (outcome, _, told) = network.finish(30, get);
    assert_eq!(outcome, Outcome::Got(Some(item.clone())));
    assert_eq!(told, [Event::Item { lookup: get, item }]);
}

#[test]
fn bep_0044_a_mutable_item_is_replaced_by_its_owner_alone() {
    let mut network = Network::of(40);
    let owner = SecretKey::from_seed(&[5; 32]);
    let version = |seq, value: &[u8]| Item::Mutable(owner.sign(b"salt", seq, value).unwrap());
    let mut put = |item: Item, cas| {
        let id = network.with(3, |node, now| node.put(now, item, cas)).unwrap();
        network.finish(3, id).0
    };
    let refused = |outcome| {
        let Outcome::Put { stored, refused, .. } = outcome else { panic!("{outcome:?}") };
        (stored, refused)
    };
    assert_eq!(refused(put(version(1, b"1:a"), None)), (8, Vec::new()));
    assert_eq!(refused(put(version(3, b"1:c"), Some(1))), (8, Vec::new()));
    assert_eq!(refused(put(version(2, b"1:b"), None)), (0, [(code::SEQUENCE, 8)].into()));
    assert_eq!(refused(put(version(4, b"1:d"), Some(2))), (0, [(code::CAS, 8)].into()));
    let target = version(1, b"1:a").target();
    let get = network.with(30, |node, now| node.get(now, target, b"salt", None)).unwrap();
    assert_eq!(network.finish(30, get).0, Outcome::Got(Some(version(3, b"1:c"))));
    let nothing_newer = network.with(30, |node, now| node.get(now, target, b"salt", Some(3))).unwrap();
    assert_eq!(network.finish(30, nothing_newer).0, Outcome::Got(None));
    let without_salt = network.with(30, |node, now| node.get(now, target, b"", None)).unwrap();
    assert_eq!(network.finish(30, without_salt).0, Outcome::Got(None), "the caller must know the salt");
}

#[test]
fn bep_0051_samples_are_told_and_no_node_is_asked_again_within_its_interval() {
    let mut network = Network::of(30);
    for n in 0..40 {
        let id = network.with(3, |node, now| node.announce(now, hash(n), Some(1), false)).unwrap();
        network.finish(3, id);
    }
    let mut sample = || {
        let id = network.with(9, |node, now| node.sample(now, NodeId([3; 20]))).unwrap();
        network.finish(9, id)
    };
    let (outcome, _, told) = sample();
    let Outcome::Sampled { nodes, samples } = outcome else { panic!("{outcome:?}") };
    assert!(nodes >= 8 && samples >= 40, "{outcome:?}");
    let known = told.iter().all(|event| {
        let Event::Samples { samples, num, .. } = event else { return false };
        samples.len() as u64 <= *num && samples.iter().all(|hash| hash.0[0] < 40)
    });
    assert!(known);
    let resting =
        told.iter().filter(|event| matches!(event, Event::Samples { interval, .. } if !interval.is_zero()));
    let resting = resting.count() as u32;
    let (Outcome::Sampled { nodes: again, .. }, ..) = sample() else { panic!() };
    assert!(again <= nodes - resting + 4, "{again} of {nodes}, {resting} rest");
}

#[test]
fn a_saved_table_leads_back_in_without_a_bootstrap_node() {
    let mut network = Network::of(30);
    let saved = network.node(9).save();
    let id = network.node(9).id(Family::V4);
    network.nodes.remove(&host(9));
    network.nodes.remove(&host(0));
    let mut again = Node::new(config(), Rng::new([1; 32]), network.now);
    assert!(again.restore(network.now, &saved).unwrap() >= 8);
    assert_eq!(again.id(Family::V4), id);
    assert_eq!(again.contacts(Family::V4).count(), 0, "none is believed unasked");
    again.on_bound(network.now, Family::V4);
    network.nodes.insert(host(9), again);
    network.collect(host(9));
    network.run(Duration::from_secs(20));
    assert!(network.node(9).contacts(Family::V4).count() >= 8);
    let mut damaged = saved;
    damaged[40] ^= 1;
    let now = network.now;
    assert_eq!(network.node(9).restore(now, &damaged), Err(SavedError::Checksum));
    assert!(network.node(9).contacts(Family::V4).count() >= 8, "and nothing is lost by trying");
}

#[test]
fn names_of_bootstrap_nodes_are_asked_for_and_the_nodes_kept_out_of_the_table() {
    let mut network = Network::of(20);
    let bootstrap_nodes = ["router.example:6881", "not a node"].map(String::from).into();
    let mut node = Node::new(DhtConfig { bootstrap_nodes, ..config() }, Rng::new([1; 32]), network.now);
    node.on_bound(network.now, Family::V4);
    assert_eq!(node.next_event(), Some(Event::Resolve { host: "router.example".into(), port: 6881 }));
    assert_eq!(node.next_event(), None);
    node.on_resolved(network.now, &[host(0)]);
    network.nodes.insert(host(50), node);
    network.collect(host(50));
    network.run(Duration::from_secs(20));
    let told: Vec<_> = core::iter::from_fn(|| network.node(50).next_event()).collect();
    assert!(told.contains(&Event::Joined(Family::V4)), "{told:?}");
    let contacts: Vec<_> = network.node(50).contacts(Family::V4).collect();
    assert!(contacts.len() >= 8 && contacts.iter().all(|(_, addr)| *addr != host(0)));
}
