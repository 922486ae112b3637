//! A table of look-ups in a simulated DHT: `cargo run --release -p millstream-tests --example dht_network -- --nodes 10000`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is to be read")]

use millstream_tests::dht_world::campaign::{Report, SCENARIOS, Scenario, play};
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut nodes, mut seed, mut stored) = (10_000, 1, 200);
    while let Some(name) = args.next() {
        let number = args.next().and_then(|text| text.parse::<u64>().ok());
        match (name.as_str(), number) {
            ("--nodes", Some(n)) => nodes = n as u32,
            ("--seed", Some(n)) => seed = n,
            ("--stored", Some(n)) => stored = n as usize,
            _ => {
                eprintln!("usage: dht_network [--nodes N] [--seed N] [--stored N]");
                std::process::exit(2);
            }
        }
    }
    print!("{}", Report::HEAD);
    for (name, hostile_percent, churn_percent) in SCENARIOS {
        let began = Instant::now();
        let report = play(seed, Scenario { name, nodes, hostile_percent, churn_percent, stored });
        print!("{}", report.rows());
        let (victim, each) = (report.victim_bytes_per_second, report.datagrams_per_node_percent);
        eprintln!(
            "{name}: {:.0} s of work; a node sends {}.{:02} datagrams a second; {victim} bytes a second to the victim",
            began.elapsed().as_secs_f64(),
            each / 100,
            each % 100,
        );
    }
}
