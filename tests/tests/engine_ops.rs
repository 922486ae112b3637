//! The engine's doors under operations drawn at random: a small share of what the fuzzer does, at every run of the tests.

use millstream_core::base::Rng;
use millstream_tests::engine_ops::engine_ops;

#[test]
fn drawn_operations_break_no_law() {
    for seed in 0..60u64 {
        let mut script = vec![0; 3_000];
        Rng::new([7; 32]).fork_at("ops", seed).fill(&mut script);
        println!("seed {seed}"); // shown when it panics
        engine_ops(&script);
    }
}
