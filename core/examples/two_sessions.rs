//! The room `peer` alone: two sessions, one with a piece and one without, over a link that is a pair of variables.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use millstream_core::base::{BLOCK, Bits, Chunk, Geometry, Instant, Segment};
use millstream_core::peer::{Fact, PeerTraits, Session, SessionConfig};
use std::sync::Arc;

/// Hands over all that `from` has to say.
fn carry(from: &mut Session, to: &mut Session, now: Instant) {
    while let Some(transmit) = from.poll_transmit(now, 64 << 10, u64::MAX) {
        for segment in transmit.segments {
            let Segment::Bytes(bytes) = segment else { unreachable!("this host stores nothing") };
            from.on_wrote(now, bytes.len() as u64);
            to.on_received(now, Chunk::copy_from(&bytes));
        }
    }
}

fn main() {
    let now = Instant::ZERO;
    let geometry = Arc::new(Geometry::new(u64::from(BLOCK), u64::from(BLOCK), Vec::new()).unwrap());
    let config = Arc::new(SessionConfig::default());
    let session =
        || Session::new(Arc::clone(&config), now, PeerTraits::default(), Some(Arc::clone(&geometry)));
    let (mut seed, mut leech) = (session(), session());
    let (all, nothing) = (Bits::full(1), Bits::new(1));

    seed.pieces(&all);
    seed.unchoke();
    carry(&mut seed, &mut leech, now);
    while let Some(fact) = leech.next_fact(now, &nothing) {
        println!("the leech hears {fact:?}");
    }

    let block = geometry.block(geometry.piece(0).unwrap(), 0).unwrap();
    leech.interested();
    assert!(leech.request(now, block), "the seed has it and serves us");
    carry(&mut leech, &mut seed, now);
    while let Some(fact) = seed.next_fact(now, &all) {
        println!("the seed hears {fact:?}");
    }

    let run = seed.next_upload_run(u64::MAX).unwrap();
    seed.on_loaded(run, &[Segment::Bytes(Chunk::from(vec![42; BLOCK as usize]))]);
    carry(&mut seed, &mut leech, now);
    let fact = leech.next_fact(now, &nothing).unwrap();
    let Fact::Block { data, .. } = fact else { panic!("{fact:?}") };
    println!("{} bytes came", data.len());
    assert!(data.iter().flat_map(|part| part.iter()).all(|&byte| byte == 42));
}
