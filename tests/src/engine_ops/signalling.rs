//! A fuzz body over an engine's WebSockets to trackers: two magnets that share a tracker, whose messages are what the
//! input says. It owns no link but those.

use super::script::Script;
use super::{Link, Run};
use core::time::Duration;
use millstream_core::base::{Chunk, ConnId, Segment};
use millstream_core::engine::{AddTorrent, Command, Input, LinkEnd, LinkInfo, Reply, Source};
use millstream_core::wire::magnet::Magnet;
use millstream_core::wire::tracker_ws::read_request;
use std::sync::Arc;

/// Their info-hashes are `h` and `k`, twenty times.
const MAGNETS: [&str; 2] = [
    "magnet:?xt=urn:btih:6868686868686868686868686868686868686868&tr=ws://one.example/a&tr=ws://two.example/",
    "magnet:?xt=urn:btih:6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b&tr=ws://one.example/a&tr=wss://three.example/",
];

/// Links to trackers over WebSockets, opened, fed and closed as the input says.
pub fn tracker_ws_link(data: &[u8]) {
    let mut run = Run::new();
    for magnet in MAGNETS {
        add(&mut run, magnet);
    }
    run.drain();
    let mut script = Script(data);
    while !script.0.is_empty() {
        operate(&mut run, &mut script);
        run.drain();
        let living = run.links.values().filter(|link| **link != Link::Closing).count();
        assert!(living <= 3, "{living} sockets to three trackers");
    }
    run.end();
}

fn add(run: &mut Run, magnet: &str) {
    let magnet = Source::Magnet(Arc::new(Magnet::parse(magnet).expect("a sound magnet")));
    let add = Command::Add(Box::new(AddTorrent::new(magnet, "disk")));
    if let Ok(Reply::Added(id)) = run.host.command(run.now, add) {
        run.torrents.push(id);
    }
}

fn operate(run: &mut Run, script: &mut Script<'_>) {
    let op = script.byte();
    match op % 16 {
        0 => add(run, MAGNETS[usize::from(script.byte()) % 2]),
        1 => run.wait(Duration::from_millis(1 << (script.byte() % 24))),
        2..=4 => {
            if let Some(conn) = pick(run, script, |link| matches!(link, Link::Dialing(_))) {
                run.links.insert(conn, Link::Open { read: 0, read_until: 0, write: false });
                let info = LinkInfo::between(run.host.addr, run.host.addr);
                run.input(Input::Opened { conn, info });
            }
        }
        5 => {
            if let Some(conn) = pick(run, script, |link| *link != Link::Closing) {
                let why = if op < 128 { LinkEnd::Finished } else { LinkEnd::Refused };
                run.input(Input::Closed { conn, why });
            }
        }
        6 | 7 => {
            if let Some(conn) = pick(run, script, |link| *link == Link::Closing) {
                run.links.remove(&conn);
                run.input(Input::Drained { conn });
            }
        }
        8 => {
            let id = script.pick(&run.torrents).copied();
            let Some(id) = id else { return };
            let command = match op >> 4 & 3 {
                0 => Command::Announce(id),
                1 => Command::Pause(id),
                2 => Command::Resume(id),
                _ => Command::Remove(id),
            };
            let _ = run.host.command(run.now, command);
        }
        9 | 10 => pull(run, script),
        _ => hear(run, script),
    }
}

fn pick(run: &Run, script: &mut Script<'_>, fits: impl Fn(&Link) -> bool) -> Option<ConnId> {
    let all: Vec<ConnId> = run.links.iter().filter(|(_, link)| fits(link)).map(|(conn, _)| *conn).collect();
    script.pick(&all).copied()
}

/// A message from a tracker, whole as a WebSocket's are.
fn hear(run: &mut Run, script: &mut Script<'_>) {
    let Some(conn) = pick(run, script, |link| matches!(link, Link::Open { .. })) else { return };
    let message = script.bytes();
    let Some(Link::Open { read, read_until, .. }) = run.links.get_mut(&conn) else { return };
    if *read < *read_until && !message.is_empty() {
        *read += message.len() as u64;
        run.input(Input::Received { conn, data: Chunk::from(message) });
    }
}

/// All that there is for a tracker: each transmit is a message that it can read.
fn pull(run: &mut Run, script: &mut Script<'_>) {
    let Some(conn) = pick(run, script, |link| matches!(link, Link::Open { .. })) else { return };
    while let Some(transmit) = run.host.transmit(run.now, conn, 1) {
        let parts = transmit.segments.iter().map(|segment| match segment {
            Segment::Bytes(bytes) => bytes.to_vec(),
            Segment::Stored(..) => panic!("no tracker gets what is stored"),
        });
        let text = String::from_utf8(parts.collect::<Vec<_>>().concat()).expect("a message is text");
        read_request(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        run.drain();
        if matches!(run.links.get(&conn), Some(Link::Open { .. })) {
            run.input(Input::Wrote { conn, bytes: transmit.len as u64 });
        }
        run.drain();
    }
}
