//! What those who answer may try: many faces of one, false names for others, votes, filters, old versions.

use super::super::lookup::{Goal, Lookup};
use super::super::search::Search;
use super::*;
use crate::wire::krpc::{Bloom, Values};

const TARGET: NodeId = NodeId([7; 20]);

/// The n-th address of one /64.
fn neighbour6(n: u16) -> SocketAddr {
    SocketAddr::new([0x2a01, 0x200, 0, 1, 0, 0, 0, n + 1].into(), 6881)
}

/// The n-th id that shares so many bits with the target.
fn near(bits: u32, n: u8) -> NodeId {
    let mut out = TARGET;
    out.0[bits as usize / 8] ^= 0x80 >> (bits % 8);
    out.0[19] = n;
    out
}

/// Asks until nobody is left to be asked; `answers` says as whom an address answers, if it does.
fn exhaust(search: &mut Search, config: &DhtConfig, answers: impl Fn(SocketAddr) -> Option<NodeId>) -> u32 {
    while let Some((asked, addr)) = search.next(config) {
        match answers(addr) {
            Some(id) => {
                search.on_answer((asked, addr), id, (Some(b"token"), None), config);
            }
            None => search.on_failure(asked, addr),
        }
    }
    assert!(search.is_done(config));
    search.asked
}

fn stored_at(search: &Search, config: &DhtConfig) -> Vec<SocketAddr> {
    search.stores(config).into_iter().map(|(candidate, _)| candidate.addr).collect()
}

/// Answers all that came to hosts without a node, as `reply` says.
fn reply(network: &mut Network, reply: impl Fn(SocketAddr) -> Option<Vec<u8>>) {
    for (addr, letters) in core::mem::take(&mut network.mail) {
        for letter in letters.iter().filter(|letter| is_query(letter)) {
            let Some(answer) = reply(addr) else { continue };
            let transaction = Message::parse(letter).unwrap().transaction;
            let answer = [&answer[..], b"1:t4:", transaction, b"1:y1:re"].concat();
            network.post(addr, host(0), &answer);
        }
    }
}

#[test]
fn bep_0042_many_nodes_of_one_network_count_as_one_where_a_search_ends_and_stores() {
    let (config, mut search) = (config(), Search::new(TARGET));
    for n in 0..16 {
        search.on_node(Some(near(100, n as u8)), neighbour6(n), 1, &config);
        search.on_node(Some(near(50, n as u8)), host6(u32::from(n)), 1, &config);
    }
    let face = |addr: SocketAddr| (0..16).find(|&n| neighbour6(n) == addr).map(|n| near(100, n as u8));
    let other = |addr: SocketAddr| (0..16).find(|&n| host6(n) == addr).map(|n| near(50, n as u8));
    exhaust(&mut search, &config, |addr| face(addr).or(other(addr)));
    let stored = stored_at(&search, &config);
    assert_eq!(stored.len(), 8);
    assert_eq!(stored.iter().filter(|addr| face(**addr).is_some()).count(), 1, "{stored:?}");
}

#[test]
fn bep_0042_a_crowd_of_one_network_whose_ids_dont_suit_it_doesnt_end_a_search_either() {
    let (config, mut search) = (DhtConfig { enforce_node_ids: true, ..config() }, Search::new(TARGET));
    for n in 0..30 {
        search.on_node(Some(near(100, n as u8)), neighbour6(n), 1, &config);
    }
    search.on_node(Some(near(50, 0)), host6(0), 1, &config);
    let answered = core::cell::Cell::new(false);
    let asked = exhaust(&mut search, &config, |addr| {
        answered.set(answered.get() || addr == host6(0));
        Some((0..30).find(|&n| neighbour6(n) == addr).map_or(near(50, 0), |n| near(100, n as u8)))
    });
    assert!(answered.get() && asked == 2, "{asked}");
}

#[test]
fn nodes_of_one_private_network_are_as_many_as_they_are() {
    let (config, mut search) = (config(), Search::new(TARGET));
    let addr = |n: u8| SocketAddr::new([127, 0, 0, 1].into(), 1_000 + u16::from(n));
    (0..16).for_each(|n| search.on_node(Some(near(50, n)), addr(n), 1, &config));
    exhaust(&mut search, &config, |addr| Some(near(50, (addr.port() - 1_000) as u8)));
    assert_eq!(stored_at(&search, &config).len(), 8);
}

#[test]
fn who_is_named_by_false_ids_is_found_under_its_own() {
    let (config, mut search) = (config(), Search::new(TARGET));
    for n in 0..4 {
        search.on_node(Some(near(100, n)), host(1), 1, &config);
    }
    search.on_node(Some(near(60, 1)), host(1), 1, &config);
    let asked = exhaust(&mut search, &config, |_| Some(near(60, 1)));
    assert_eq!(stored_at(&search, &config), [host(1)]);
    assert_eq!(search.nearest().next().unwrap().id, Some(near(60, 1)));
    assert!(asked <= 4, "{asked}: it is asked no more once it has answered");
}

#[test]
fn a_node_of_which_an_address_is_all_that_is_known_is_asked_once_and_may_store() {
    let (config, mut search) = (config(), Search::new(TARGET));
    search.on_node(None, host(1), 1, &config);
    let first = search.next(&config).unwrap();
    search.on_answer(first, near(60, 1), (Some(b"token"), None), &config);
    // Others know it too.
    search.on_node(Some(near(60, 1)), host(1), 2, &config);
    search.on_node(Some(near(70, 1)), host(2), 2, &config);
    assert_eq!(exhaust(&mut search, &config, |_| Some(near(70, 1))), 2);
    assert_eq!(stored_at(&search, &config), [host(2), host(1)], "nearest first");
}

#[test]
fn an_address_that_is_silent_is_asked_once_whatever_ids_it_is_named_by() {
    let (config, mut search) = (config(), Search::new(TARGET));
    (0..4).for_each(|n| search.on_node(Some(near(100, n)), host(1), 1, &config));
    assert_eq!(exhaust(&mut search, &config, |_| None), 1);
}

#[test]
fn false_ports_in_one_answer_dont_keep_an_honest_node_out() {
    let mut network = Network::empty();
    network.join(0, config());
    network.with(0, |node, now| node.on_node(now, host(500)));
    let honest = host(700);
    let lookup = network.with(0, |node, now| node.find_node(now, TARGET)).unwrap();
    let node = |n: u8, addr: SocketAddr, nodes: &[(NodeId, SocketAddr)]| {
        let mut list = Vec::new();
        nodes.iter().for_each(|(id, addr)| crate::wire::krpc::write_node(&mut list, *id, *addr));
        let id = if addr == honest { near(90, 1) } else { near(n.into(), 1) };
        [b"d1:rd2:id20:", &id.0[..], std::format!("5:nodes{}:", list.len()).as_bytes(), &list, b"e"].concat()
    };
    let false_ports: Vec<_> =
        (0..15).map(|n| (near(120, n), SocketAddr::new(honest.ip(), 1 + u16::from(n)))).collect();
    let mut told = [&false_ports[..], &[(near(80, 1), host(501))]].concat();
    told.rotate_right(1);
    let until = network.now + Duration::from_secs(100);
    let mut asked = Vec::new();
    while network.step(until) {
        asked.extend(network.mail.keys().filter(|addr| addr.ip() == honest.ip()).copied());
        reply(&mut network, |addr| {
            if addr == host(500) {
                Some(node(3, addr, &told))
            } else if addr == host(501) {
                Some(node(80, addr, &[(near(90, 1), honest)]))
            } else {
                (addr == honest).then(|| node(90, addr, &[]))
            }
        });
    }
    let (outcome, ..) = network.finish(0, lookup);
    let Outcome::Nodes(found) = outcome else { panic!("{outcome:?}") };
    assert_eq!(found.first(), Some(&(near(90, 1), honest)), "{found:?}");
    asked.sort();
    asked.dedup();
    assert!(asked.len() <= 3, "one answer makes us knock at one door of a host: {asked:?}");
}

#[test]
fn a_crowd_of_dead_nodes_that_fills_a_search_leaves_it_to_the_living() {
    let config = DhtConfig { lookup_candidates_max: 16, ..config() };
    let mut search = Search::new(TARGET);
    search.on_node(Some(near(20, 0)), host(0), 1, &config);
    (0..16).for_each(|n| search.on_node(Some(near(100, n)), host(100 + u32::from(n)), 1, &config));
    search.on_node(Some(near(20, 1)), host(1), 1, &config);
    let mut dead = 0;
    while let Some((asked, addr)) = search.next(&config) {
        search.on_failure(asked, addr);
        dead += 1;
    }
    assert_eq!(dead, 16);
    for n in 0..2 {
        search.on_node(Some(near(20, n)), host(u32::from(n)), 1, &config);
    }
    exhaust(&mut search, &config, |addr| (0..2).find(|&n| host(n) == addr).map(|n| near(20, n as u8)));
    assert_eq!(stored_at(&search, &config).len(), 2, "who was crowded out is heard when told again");
    search.on_node(Some(near(100, 3)), host(103), 1, &config);
    assert!(search.next(&config).is_none(), "and who was silent isn't asked again");
}

#[test]
fn who_answers_as_we_are_is_nobody() {
    let mut network = Network::of(1);
    let own = network.node(0).id(Family::V4);
    network.with(0, |node, now| node.on_node(now, host(500)));
    let lookup = network.with(0, |node, now| node.find_node(now, TARGET)).unwrap();
    let mut list = Vec::new();
    crate::wire::krpc::write_node(&mut list, near(100, 1), host(501));
    let until = network.now + Duration::from_secs(20);
    while network.step(until) {
        reply(&mut network, |addr| {
            let nodes = if addr == host(500) { &list[..] } else { b"" };
            let length = std::format!("5:nodes{}:", nodes.len()).into_bytes();
            Some([b"d1:rd2:id20:", &own.0[..], &length, nodes, b"e"].concat())
        });
    }
    let (outcome, ..) = network.finish(0, lookup);
    assert_eq!(outcome, Outcome::Nodes(Vec::new()));
    assert_eq!(network.node(0).contacts(Family::V4).count(), 0);
}

#[test]
fn bep_0042_a_network_has_one_voice_on_what_our_address_is() {
    let mut network = Network::of(1);
    let id = network.node(0).id(Family::V4);
    let voices = |network: &mut Network, addrs: &[SocketAddr], lie: &[u8; 6]| {
        for &addr in addrs {
            network.with(0, |node, now| node.on_node(now, addr));
        }
        network.run(DELAY);
        let of = |addr: SocketAddr| NodeId::random(&mut Rng::new([(addr.port() % 251) as u8; 32])).0;
        reply(network, |addr| Some([b"d2:ip6:", &lie[..], b"1:rd2:id20:", &of(addr), b"e"].concat()));
        network.run(DELAY);
        network.node(0).status(Instant::ZERO).families[0].external
    };
    let crowd: Vec<_> = (1..=20).map(|n| SocketAddr::new([81, 5, 5, n].into(), 6881)).collect();
    assert_eq!(voices(&mut network, &crowd, b"\x48\x06\x06\x06xx"), None, "however many addresses it has");
    assert_eq!(network.node(0).id(Family::V4), id);
    let others: Vec<_> = (600..603).map(host).collect();
    let ours = voices(&mut network, &others, b"\x51\x02\x03\x04xx");
    assert_eq!(ours, Some([81, 2, 3, 4].into()), "others outvote it");
}

#[test]
fn a_list_full_of_one_victims_ports_yields_few_of_them() {
    let goal = || Goal::Peers { info_hash: hash(7), no_seed: false };
    let said = |ip: [u8; 4]| {
        let mut list = Vec::new();
        Values::write(&mut list, (1..=100).map(|port| SocketAddr::new(ip.into(), port)));
        list
    };
    let mut lookup = Lookup::new(Instant::ZERO, goal());
    let config = DhtConfig { private_addresses: true, ..config() };
    let mut gain = |list: &[u8]| {
        let response = Response { values: Values::written(list), ..Response::default() };
        lookup.on_response(TARGET, &response, &config).peers.len()
    };
    let victim = said([81, 2, 3, 4]);
    assert_eq!((gain(&victim), gain(&victim), gain(&said([81, 2, 3, 5]))), (16, 0, 16));
    assert_eq!(gain(&said([127, 0, 0, 1])), 100, "a network of one's own may be one host");
}

#[test]
fn bep_0033_a_filter_that_holds_more_than_a_node_may_have_is_a_lie() {
    let (config, mut lookup) = (config(), Lookup::new(Instant::ZERO, Goal::Scrape { info_hash: hash(7) }));
    let mut honest = Bloom::default();
    (0..10).for_each(|n| honest.insert(host(n).ip()));
    let empty = Bloom::default();
    let said = |seeds, peers| Response { seeds: Some(seeds), peers: Some(peers), ..Response::default() };
    assert!(!lookup.on_response(TARGET, &said(&honest.0, &empty.0), &config).lie);
    assert!(lookup.on_response(TARGET, &said(&[0xff; 256], &empty.0), &config).lie);
    assert!(lookup.on_response(TARGET, &said(&empty.0, &[0xff; 256]), &config).lie);
    assert_eq!(lookup.outcome(&config), Outcome::Scraped { seeds: 10, peers: 0, answers: 1 });
}

#[test]
fn bep_0044_a_version_that_is_no_newer_than_was_asked_for_is_not_told() {
    let owner = SecretKey::from_seed(&[5; 32]);
    let version = |seq| owner.sign(b"", seq, b"1:x").unwrap();
    let target = Item::Mutable(version(1)).target();
    let newer_than = |seq| Lookup::new(Instant::ZERO, Goal::Get { salt: Vec::new(), newer_than: Some(seq) });
    let item = version(3);
    let old = Response {
        value: Some(&item.value),
        key: Some(&item.key),
        seq: Some(3),
        signature: Some(&item.signature),
        ..Response::default()
    };
    let mut lookup = newer_than(3);
    let gain = lookup.on_response(target, &old, &config());
    assert_eq!((gain.item, gain.lie), (None, false), "who knows no `seq` tells what it has");
    assert_eq!(lookup.outcome(&config()), Outcome::Got(None));
    let mut lookup = newer_than(2);
    assert!(lookup.on_response(target, &old, &config()).item.is_some());
    assert_eq!(lookup.outcome(&config()), Outcome::Got(Some(Item::Mutable(item))));
}
