//! The guards of determinism hold for the engine, and each catches what it guards against.

use core::time::Duration;
use millstream_core::base::Chunk;
use millstream_core::engine::Input;
use millstream_core::wire::mse::{Level, Levels};
use millstream_tests::guards::{Way, agree, replay, restart, scripted};
use millstream_tests::world::tape::{Call, Tape};
use millstream_tests::world::{Content, Drain, HostId, Weather, World};

/// The journal of a leech in rough weather, to its end.
fn journal(seed: u64) -> Tape {
    let content = Content::v1(102, 200_000);
    let mut world = World::new(seed, Weather::rough());
    let leech = world.host_with_tape();
    let hosts: Vec<HostId> = (0..2).map(|_| world.host()).collect();
    for &host in &hosts {
        world.seed(host, &content);
    }
    let id = world.leech(leech, &content, &hosts);
    world.complete(Duration::from_secs(3600), &[(leech, id)]);
    world.at_mut(leech).tape.take().unwrap()
}

#[test]
fn replay_a_journal_played_again_gives_the_same_effects() {
    for seed in 0..3 {
        replay(&journal(seed)).unwrap();
    }
}

#[test]
fn replay_notices_another_seed_a_changed_byte_and_a_call_left_out() {
    let tape = journal(5);
    let other = Tape { seed: [1; 32], ..tape.clone() };
    assert!(replay(&other).is_err());
    let mut changed = tape.clone();
    // The last one of some length: a piece of the handshake's padding would change nothing, and shouldn't.
    let data = changed.calls.iter_mut().rev().find_map(|(_, call, _)| match call {
        Call::Input(Input::Received { data, .. }) if data.len() > 1000 => Some(data),
        Call::Input(_)
        | Call::Timeout
        | Call::Effect
        | Call::Event
        | Call::Transmit(..)
        | Call::Datagrams(..)
        | Call::Command(_)
        | Call::Accept(_) => None,
    });
    let data = data.unwrap();
    let mut bytes = data.to_vec();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    *data = Chunk::from(bytes);
    assert!(replay(&changed).is_err());
    let mut short = tape;
    let done = short.calls.iter().position(|(_, call, _)| matches!(call, Call::Input(Input::Done { .. })));
    short.calls.remove(done.unwrap());
    assert!(replay(&short).is_err());
}

fn ways() -> Vec<Way> {
    let sizes = [(64 << 10, 64 << 10), (1, 1), (1, 7), (1, 64 << 10), (5, 5)];
    let of = |read_bytes| [Drain::EachInput, Drain::AfterAll].map(|drain| Way { read_bytes, drain });
    sizes.into_iter().flat_map(of).collect()
}

#[test]
fn chunking_and_batching_change_nothing_of_what_a_link_gives() {
    let facts = agree(&ways(), |way| scripted(way, None).0).unwrap();
    assert!(facts.uploaded > 0, "the script is served");
    for level in [Level::Plain, Level::Rc4] {
        let encrypted = agree(&ways(), |way| scripted(way, Some(Levels::only(level))).0).unwrap();
        assert_eq!(encrypted, facts, "what is over a link changes nothing of what is said within");
    }
}

#[test]
fn chunking_notices_what_depends_on_how_bytes_are_split() {
    let split: Vec<Way> = ways().into_iter().filter(|way| way.drain == Drain::AfterAll).collect();
    assert!(agree(&split, |way| scripted(way, None).1).is_err());
}

#[test]
fn batching_notices_what_depends_on_when_effects_are_taken() {
    let drained: Vec<Way> = ways().into_iter().filter(|way| way.read_bytes == (1, 1)).collect();
    assert!(agree(&drained, |way| scripted(way, None).1).is_err());
}

#[test]
fn restart_with_resume_data_gives_the_same_bitfield_without_reading() {
    for seed in 0..3 {
        // What would be read now is wrong: what is claimed is not read.
        restart(seed, |world, host| world.at_mut(host).disk.broken = true).unwrap();
    }
}

#[test]
fn restart_notices_a_file_that_was_changed_meanwhile() {
    let changed = restart(4, |world, host| world.at_mut(host).disk.put("disk/data", &[0; 1_000_000]));
    assert!(changed.is_err());
}
