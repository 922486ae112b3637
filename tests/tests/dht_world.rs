//! Networks of 500 DHT nodes: look-ups find what was stored, in calm and in trouble; mirrors are no amplifiers (BEP 5, 42,
//! 44).
#![allow(clippy::print_stdout, reason = "tables are to be read")]

use millstream_core::dht::Family;
use millstream_tests::dht_world::campaign::{Report, SCENARIOS, Scenario, play};
use millstream_tests::dht_world::reflect::Mirrors;

fn report(name: &str) -> Report {
    let (name, hostile_percent, churn_percent) =
        SCENARIOS.into_iter().find(|scenario| scenario.0 == name).unwrap();
    let report = play(500, Scenario { name, nodes: 500, hostile_percent, churn_percent, stored: 40 });
    print!("{}", report.rows());
    report
}

#[test]
fn bep_0005_bep_0044_500_nodes_find_what_was_stored() {
    let report = report("calm");
    for tally in [report.announce, report.get_peers, report.put, report.get] {
        assert!(tally.found_per_mille() >= 990, "{report:?}");
        assert!(tally.hops_max <= 10 && tally.queries_max <= 100, "{report:?}");
    }
}

#[test]
fn bep_0005_bep_0044_they_find_it_though_a_tenth_of_them_is_replaced_every_minute() {
    let report = report("churn");
    assert!(report.get_peers.found_per_mille() >= 950, "{report:?}");
    assert!(report.get.found_per_mille() >= 950, "{report:?}");
}

#[test]
fn pitfall_9_they_find_it_though_a_fifth_of_them_is_hostile() {
    let report = report("hostile");
    for tally in [report.announce, report.get_peers, report.put, report.get] {
        assert!(tally.found_per_mille() >= 950, "{report:?}");
        assert!(tally.queries_max <= 300, "{report:?}");
    }
    assert!(report.victim_bytes_per_second < 10_000, "{report:?}");
}

#[test]
fn they_find_it_in_both_kinds_of_trouble_at_once() {
    let report = report("churn and hostile");
    // Forty look-ups scatter by five per cent around the nine in ten that the network of 10,000 shows.
    assert!(report.get_peers.found_per_mille() >= 850, "{report:?}");
    assert!(report.get.found_per_mille() >= 800, "{report:?}");
}

#[test]
fn the_same_seed_is_the_same_network() {
    let scenario = Scenario { name: "", nodes: 60, hostile_percent: 20, churn_percent: 10, stored: 5 };
    assert_eq!(play(7, scenario).rows(), play(7, scenario).rows());
    assert_ne!(play(7, scenario).rows(), play(8, scenario).rows());
}

#[test]
fn pitfall_21_each_query_has_its_factor_and_none_is_greater() {
    let mut mirrors = Mirrors::new(501, Family::V4, 40);
    let bounds = [13, 32, 40, 99, 90, 50, 152, 180, 85, 9, 15, 2];
    let factors = mirrors.factors();
    assert_eq!(factors.len(), bounds.len());
    for (factor, bound) in factors.into_iter().zip(bounds) {
        let tenths = factor.tenths();
        println!(
            "| {} | {} | {} | {}.{} |",
            factor.kind,
            factor.query,
            factor.answer,
            tenths / 10,
            tenths % 10
        );
        assert!(factor.answer > 0 && tenths <= bound, "{factor:?}");
    }
}

#[test]
fn pitfall_21_a_flood_with_forged_senders_gives_their_network_64_kib_a_second_at_most() {
    for family in Family::ALL {
        let mut mirrors = Mirrors::new(502, family, 30);
        let got = mirrors.flood(4_000, 5);
        println!("{family:?}: {got:?}");
        // The edges of a second are 20 ms off; a ping to who asks counts too.
        assert!(got.iter().all(|&bytes| bytes <= (64 << 10) * 11 / 10), "{family:?}: {got:?}");
        assert!(got.iter().sum::<u64>() > 5 * (32 << 10), "{family:?}: {got:?}");
    }
}
