//! How fast the crates that could digest pieces are, on this machine: the numbers in `hash`.
#![allow(clippy::print_stdout)]

use core::hint::black_box;
use sha1::Digest;
use std::time::Instant;

/// Bytes digested in one round.
const ROUND: usize = 256 << 20;

fn main() {
    for run in [16 << 10, 1 << 20] {
        measure("sha1", run, |data| {
            black_box(sha1::Sha1::digest(data));
        });
        measure("ring SHA-1", run, |data| {
            black_box(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, data));
        });
        measure("sha2", run, |data| {
            black_box(sha2::Sha256::digest(data));
        });
        measure("ring SHA-256", run, |data| {
            black_box(ring::digest::digest(&ring::digest::SHA256, data));
        });
    }
}

fn measure(name: &str, run: usize, digest: impl Fn(&[u8])) {
    let data = vec![7; run];
    let round = || {
        let began = Instant::now();
        (0..ROUND / run).for_each(|_| digest(black_box(&data)));
        began.elapsed()
    };
    let best = (0..5).map(|_| round()).min().unwrap_or_default();
    let mib = (ROUND >> 20) as u128 * 1_000_000 / best.as_micros().max(1);
    println!("{name:14} {run:8} bytes {mib:6} MiB/s");
}
