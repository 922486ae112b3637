//! The guards of determinism: replay, chunking, batching, restart. Each is a function that says what differs, so that a
//! test can feed it a violation.

use crate::world::stranger::all_features;
use crate::world::tape::Tape;
use crate::world::{Content, Drain, HostId, Weather, World};
use core::fmt::Debug;
use core::time::Duration;
use millstream_core::base::{Bits, TorrentId};
use millstream_core::engine::{AddTorrent, Event, TorrentEvent};
use millstream_core::wire::PeerId;
use millstream_core::wire::handshake::Handshake;
use millstream_core::wire::message::{Message, RawBlock};
use millstream_core::wire::mse::Levels;

/// Runs the same thing in several ways; what it gives must not depend on the way. The error is the first two that
/// differ.
pub fn agree<W: Copy, F: PartialEq + Debug>(ways: &[W], run: impl Fn(W) -> F) -> Result<F, Box<(F, F)>> {
    let (first, rest) = ways.split_first().expect("there is a way");
    let expected = run(*first);
    for way in rest {
        let facts = run(*way);
        if facts != expected {
            return Err(Box::new((expected, facts)));
        }
    }
    Ok(expected)
}

/// What a journal must give when it is played again. The error says which answer differs.
pub fn replay(tape: &Tape) -> Result<(), String> {
    tape.replay().map(|_| ()).map_err(|differs| {
        let (n, was, is) = *differs;
        format!("answer {n} of {}: {was:?} was, {is:?} is", tape.calls.len())
    })
}

/// What one link gives, whatever way its bytes come: all that a scripted peer hears, and what the engine counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// Every frame in order.
    pub heard: Vec<Vec<u8>>,
    /// Payload sent.
    pub uploaded: u64,
    /// News of the torrent, in text.
    pub news: Vec<String>,
}

/// The weather in which bytes come in reads of these sizes, and effects are taken like that.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Bytes of a read, least and most.
    pub read_bytes: (u64, u64),
    /// When effects are taken.
    pub drain: Drain,
}

/// A peer says a whole script at once to a seed, on a plain link or one encrypted at a level: handshake, interest,
/// requests, cancels, nonsense at the end. Also gives the number of calls that it took.
pub fn scripted(way: Way, levels: Option<Levels>) -> (LinkFacts, usize) {
    let content = Content::v1(100, 300_000);
    let weather =
        Weather { read_bytes: way.read_bytes, drain: way.drain, stored_per_mille: 0, ..Weather::calm() };
    let mut world = World::new(100, weather);
    let host = world.host_with_tape();
    let id = world.seed(host, &content);
    world.run(Duration::from_secs(1));
    let from = world.stranger_addr();
    let info_hash = content.info().info_hash().expect("v1 has it");
    let hello = Handshake { reserved: all_features(), info_hash, peer_id: PeerId(*b"-XX0001-000000000000") };
    let mut stranger = match levels {
        None => world.call(from, host, info_hash, all_features()),
        Some(levels) => world.call_encrypted(from, host, &hello, levels),
    };
    let mut script = Vec::new();
    Message::Interested.encode(&mut script);
    Message::Have(3).encode(&mut script);
    stranger.say_bytes(&mut world, &script);
    world.run(Duration::from_secs(1));
    script.clear();
    for index in 0..9 {
        Message::Request(RawBlock { index, begin: 0, length: 16 << 10 }).encode(&mut script);
        Message::KeepAlive.encode(&mut script);
    }
    Message::Unknown(99).encode(&mut script);
    stranger.say_bytes(&mut world, &script);
    world.run(Duration::from_secs(1));
    script.clear();
    Message::NotInterested.encode(&mut script);
    Message::Have(1_000_000).encode(&mut script);
    stranger.say_bytes(&mut world, &script);
    world.run(Duration::from_secs(20));
    let heard = stranger.hear(&mut world);
    // Progress coalesces: how often it is told depends on who takes it how soon.
    let fact = |event: &&Event| !matches!(event, Event::Torrent(_, TorrentEvent::Progress));
    let news = world.at(host).events.iter().filter(fact);
    let news = news.map(|event| format!("{event:?}")).collect();
    let calls = world.at(host).tape.as_ref().map_or(0, |tape| tape.calls.len());
    (LinkFacts { heard, uploaded: world.status(host, id).uploaded, news }, calls)
}

/// A program ends in mid-download and starts again with its resume data; `between` may happen meanwhile. What was
/// claimed must be what is verified again, without any reading of files. The error is what was and what is.
pub fn restart(seed: u64, between: impl Fn(&mut World, HostId)) -> Result<Bits, Box<(Bits, Bits)>> {
    let content = Content::v1(101, 1_000_000);
    let mut world = World::new(seed, Weather::fair(100_000));
    let (seeder, leech) = (world.host(), world.host());
    world.seed(seeder, &content);
    let id = world.leech(leech, &content, &[seeder]);
    world.run(Duration::from_secs(6));
    let by = world.now + Duration::from_secs(60);
    let verified = |world: &World, id: TorrentId| world.at(leech).engine.verified(id);
    world.command(leech, millstream_core::engine::Command::Pause(id)).expect("it is there");
    world.run(Duration::from_secs(5));
    let before = verified(&world, id).expect("the metadata is known");
    assert!(!before.is_full() && before.count() > 0, "in mid-download");
    world.command(leech, millstream_core::engine::Command::Stop { by }).expect("it stops");
    world.run(Duration::from_secs(10));
    world.crash(leech, false);
    between(&mut world, leech);
    let resume = world.at(leech).saved(&content.source());
    let id = world.add(leech, AddTorrent { resume, ..AddTorrent::new(content.source(), "disk") });
    world.run(Duration::from_secs(10));
    let after = verified(&world, id).expect("the metadata is known");
    if before == after { Ok(after) } else { Err(Box::new((before, after))) }
}
