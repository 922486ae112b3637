//! The routing table's rules (BEP 5), one node at a time.

use super::super::DhtConfig;
use super::super::table::{Placed, Table};
use super::*;
use std::string::ToString as _;

const OWN: NodeId = NodeId([0; 20]);

/// An id that shares `bits` bits with our own, the n-th such.
fn id(bits: u32, n: u8) -> NodeId {
    let mut out = OWN;
    out.0[bits as usize / 8] |= 0x80 >> (bits % 8);
    out.0[19] = n;
    out
}

fn at(minutes: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(60 * minutes)
}

fn full(now: Instant) -> Table {
    let mut table = Table::new(OWN);
    for n in 0..8 {
        assert_eq!(table.on_answer(now, id(0, n), host(u32::from(n)), &config()), Placed::Added);
    }
    table
}

#[test]
fn bep_0005_only_the_bucket_of_our_own_id_splits() {
    let mut table = full(at(0));
    assert_eq!(table.on_answer(at(0), id(0, 9), host(9), &config()), Placed::Refused);
    for (n, bits) in (1..40).enumerate() {
        assert_eq!(table.on_answer(at(0), id(bits, 1), host(100 + n as u32), &config()), Placed::Added);
    }
    assert!(table.buckets() > 30 && table.len() == 8 + 39);
    assert_eq!(table.on_answer(at(0), id(0, 9), host(9), &config()), Placed::Refused);
}

#[test]
fn bep_0005_a_full_bucket_keeps_who_is_good_and_asks_who_is_quiet() {
    let mut table = full(at(0));
    assert_eq!(table.on_answer(at(14), id(0, 9), host(9), &config()), Placed::Refused);
    for n in 1..8 {
        table.on_answer(at(14), id(0, n), host(u32::from(n)), &config());
    }
    let asked = table.on_answer(at(16), id(0, 9), host(9), &config());
    assert_eq!(asked, Placed::Ask(id(0, 0), host(0)), "the one unseen for longest");
    table.on_failure(at(16), id(0, 0), host(0));
    let known = |table: &Table, n| table.contacts().any(|known| known.id == id(0, n));
    assert!(known(&table, 0), "it is tried once more");
    table.on_failure(at(16), id(0, 0), host(0));
    assert!(!known(&table, 0) && known(&table, 9), "and gives way to who waits");
    assert_eq!(table.len(), 8);
}

#[test]
fn bep_0005_a_query_keeps_a_node_good_that_answered_once() {
    let mut table = full(at(0));
    assert!(table.on_query(at(14), id(0, 3), host(3)));
    assert!(!table.on_query(at(14), id(0, 3), host(4)), "from its own address");
    assert_eq!((table.good(at(14)), table.good(at(20))), (8, 1));
    assert_eq!(table.questionable(at(20), 99).len(), 7);
}

#[test]
fn bep_0005_a_stale_bucket_is_refreshed_by_a_point_within_it() {
    let mut table = full(at(0));
    table.on_answer(at(0), id(5, 0), host(50), &config());
    let mut rng = Rng::new([1; 32]);
    assert_eq!(table.next_refresh(at(14), &mut rng), None);
    let target = table.next_refresh(at(15), &mut rng).unwrap();
    assert_eq!(OWN.common_bits(target), 0);
    assert!(table.next_refresh(at(15), &mut rng).is_some(), "the other one");
    assert_eq!(table.next_refresh(at(15), &mut rng), None);
}

#[test]
fn a_host_is_one_node_and_a_network_one_of_each_bucket() {
    let mut table = Table::new(OWN);
    let place =
        |table: &mut Table, n, addr: &str| table.on_answer(at(0), id(0, n), addr.parse().unwrap(), &config());
    assert_eq!(place(&mut table, 0, "81.1.1.1:1"), Placed::Added);
    assert_eq!(place(&mut table, 1, "81.1.1.1:2"), Placed::Refused);
    assert_eq!(place(&mut table, 1, "81.1.1.2:1"), Placed::Refused, "the same /24");
    assert_eq!(place(&mut table, 1, "81.1.2.1:1"), Placed::Added);
    assert_eq!(place(&mut table, 2, "10.0.0.1:1"), Placed::Added);
    assert_eq!(place(&mut table, 3, "10.0.0.1:2"), Placed::Added, "private networks are small");
}

#[test]
fn a_host_of_ipv6_is_one_node_though_it_has_a_whole_network() {
    let mut table = Table::new(OWN);
    for (n, bits) in (0..42).map(|n| (n, n / 7)) {
        table.on_answer(at(0), id(bits, 10 + n as u8), host6(n), &config());
    }
    let before = table.len();
    let face = |n: u16| SocketAddr::new([0x2a01, 0x200, 0, n / 100, 0, 0, 0, n].into(), 1);
    let placed = |table: &mut Table, bits, n| table.on_answer(at(0), id(bits, 1), face(n), &config());
    assert_eq!(placed(&mut table, 0, 1), Placed::Added);
    for bits in 1..6 {
        assert_eq!(placed(&mut table, bits, bits as u16 + 1), Placed::Refused, "bucket {bits}");
    }
    assert_eq!(placed(&mut table, 1, 101), Placed::Added, "another network");
    assert_eq!(table.len(), before + 2);
}

#[test]
fn nobody_takes_a_living_nodes_id_or_address() {
    let mut table = full(at(0));
    assert_eq!(table.on_answer(at(1), id(0, 3), host(77), &config()), Placed::Refused);
    assert_eq!(table.on_answer(at(1), id(0, 3), host(3), &config()), Placed::Known);
    let asked = table.on_answer(at(20), id(0, 3), host(77), &config());
    assert_eq!(asked, Placed::Ask(id(0, 3), host(3)), "it is quiet, and asked first");
    table.on_other_id(host(4), id(0, 40));
    assert_eq!(table.len(), 7, "another answered from there: the first is gone");
    assert_eq!(table.on_answer(at(1), OWN, host(99), &config()), Placed::Refused, "nobody is us");
}

#[test]
fn the_nearest_are_the_nearest() {
    let mut rng = Rng::new([4; 32]);
    let own = NodeId::random(&mut rng);
    let mut table = Table::new(own);
    for n in 0..3_000 {
        table.on_answer(at(0), NodeId::random(&mut rng), host(n), &config());
    }
    for _ in 0..200 {
        let target = own.random_beside(rng.below(12) as u32, &mut rng);
        let mut all: Vec<_> = table.contacts().map(|known| (known.id, known.addr)).collect();
        all.sort_by_key(|(id, _)| id.distance(target));
        assert_eq!(table.closest(target, 8), all[..8]);
    }
}

#[test]
fn a_new_own_id_keeps_the_nodes_that_find_a_place() {
    let mut table = full(at(0));
    table.on_own_id(at(0), NodeId([0xff; 20]), &config());
    assert_eq!((table.own(), table.len()), (NodeId([0xff; 20]), 8));
    let limited = DhtConfig { nodes_max: 3, ..config() };
    table.on_own_id(at(0), OWN, &limited);
    assert_eq!(table.len(), 3);
}

#[test]
fn who_answers_with_a_quiet_nodes_id_doesnt_take_its_place_until_that_one_is_gone() {
    let mut table = full(at(0));
    let known = |table: &Table, addr| table.contacts().any(|known| known.addr == addr);
    table.on_answer(at(30), id(0, 3), host(77), &config());
    assert!(known(&table, host(3)) && !known(&table, host(77)));
    table.on_failure(at(30), id(0, 3), host(3));
    table.on_answer(at(30), id(0, 3), host(77), &config());
    assert!(known(&table, host(3)), "one silence is no death");
    table.on_failure(at(30), id(0, 3), host(3));
    assert_eq!(table.on_answer(at(30), id(0, 3), host(77), &config()), Placed::Added);
}

#[test]
fn who_knows_the_ids_of_quiet_nodes_doesnt_crowd_the_table_from_one_network() {
    let mut table = full(at(0));
    for n in 0..8 {
        let one = SocketAddr::new([81, 1, 1, n].into(), 6881);
        table.on_answer(at(30), id(0, n), one, &config());
    }
    assert_eq!(
        table.contacts().filter(|known| known.addr.ip().to_string().starts_with("81.1.1.")).count(),
        0
    );
}

#[test]
fn who_waits_for_a_place_is_judged_again_when_there_is_one() {
    let mut table = full(at(0));
    for n in 0..3 {
        let one = SocketAddr::new([81, 1, 1, n + 1].into(), 6881);
        assert_eq!(table.on_answer(at(1), id(0, 20 + n), one, &config()), Placed::Refused);
    }
    for n in [0, 0, 1, 1] {
        table.on_failure(at(1), id(0, n), host(u32::from(n)));
    }
    assert_eq!(
        table.contacts().filter(|known| known.addr.ip().to_string().starts_with("81.1.1.")).count(),
        1
    );
    assert_eq!((table.len(), table.contacts().count()), (7, 7));
}
