//! Prints the digest of the self-test's exchange, computed natively: `selftest [SEED]`.
#![allow(clippy::print_stdout)]

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("{}", millstream_wasm::selftest_digest(seed));
}
