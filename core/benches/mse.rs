//! What encrypted links cost: the cipher by GiB, an exchange of keys: `cargo bench -p millstream-core --bench mse`.
//! Prints; judges nothing.

use millstream_core::base::{Chunk, Rng};
use millstream_core::mse::{Cipher, exchange};
use millstream_core::wire::mse::{KeyExchange, PrivateKey};
use std::io::Write as _;
use std::time::Instant as Clock;

const BLOCK: usize = 16 << 10;
const BLOCKS: usize = (1 << 30) / BLOCK;
const EXCHANGES: u32 = 500;

fn main() {
    let mut cipher = Cipher::new(&[7; 20]);
    let mut block = vec![0x5a; BLOCK];
    let begin = Clock::now();
    (0..BLOCKS).for_each(|_| cipher.apply(&mut block));
    say("RC4 in place", begin, "GiB", 1);
    let begin = Clock::now();
    let sum: usize = (0..BLOCKS).map(|_| cipher.copy(&block).len()).sum();
    say("RC4 into a buffer of its own", begin, "GiB", (sum >> 30) as u32);
    let begin = Clock::now();
    let sum: usize = (0..BLOCKS).map(|_| Chunk::copy_from(&block).len()).sum();
    say("a copy, for comparison", begin, "GiB", (sum >> 30) as u32);

    let mut rng = Rng::new([1; 32]);
    let mut job = KeyExchange { private: PrivateKey(rng.bytes()), public: true, theirs: None };
    job.theirs = exchange(&job).public;
    let begin = Clock::now();
    let keys = (0..EXCHANGES).filter(|_| exchange(&job).secret.is_some()).count();
    assert_eq!(keys, EXCHANGES as usize, "each comes to a secret");
    say("a public key and a secret", begin, "exchange", EXCHANGES);
}

fn say(what: &str, begin: Clock, unit: &str, count: u32) {
    let each = begin.elapsed() / count.max(1);
    let _ = writeln!(std::io::stdout(), "{what:30} {:10.3} ms a {unit}", each.as_secs_f64() * 1e3);
}
