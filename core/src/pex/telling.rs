//! What is told to whom: the difference between who is here and what a peer was told, in messages that keep to the BEP.

use super::{Pex, PexConfig, Speaker};
use crate::base::Instant;
use crate::pex::members::Members;
use crate::wire::pex::{PexMessage, PexPeer};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

impl Pex {
    /// The next message to send, and to whom. Its bounds and its pace are those of the BEP; it is never empty.
    pub fn next_message(&mut self, now: Instant) -> Option<(u32, PexMessage)> {
        while let Some(n) = self.timers.pop_due(now) {
            let Some(speaker) = self.speakers.get_mut(&n) else { continue };
            speaker.armed = None;
            if now < speaker.next_at {
                self.timers.arm(n, &mut speaker.armed, Some(speaker.next_at));
                continue;
            }
            let most = if speaker.begun { self.config.peers_max } else { self.config.first_peers_max };
            let message = compose(n, speaker, &mut self.members, (most, &self.config));
            if message.is_empty() {
                continue;
            }
            speaker.begun = true;
            speaker.next_at = now + Duration::from_millis(self.config.interval_ms);
            // What is left, and who was shown though gone: the next message tells.
            let more = speaker.told.iter().any(|&m| self.members.get(m).is_none_or(|it| it.left > 0));
            if more || message.added.len() >= most {
                self.timers.arm(n, &mut speaker.armed, Some(speaker.next_at));
            }
            return Some((n, message));
        }
        None
    }
}

/// A message that names at most so many as added.
fn compose(
    n: u32,
    speaker: &mut Speaker,
    members: &mut Members,
    (most, config): (usize, &PexConfig),
) -> PexMessage {
    let mut message =
        PexMessage { dropped: drop_gone(speaker, members, config.peers_max), ..PexMessage::default() };
    let room = most.min(config.told_max.saturating_sub(speaker.told.len()));
    let home = members.get(n).map(|member| member.addr);
    let new = |m: u32, addr: SocketAddr| {
        m != n
            && Some(addr) != home
            && speaker.told.binary_search(&m).is_err()
            && !message.dropped.contains(&addr)
    };
    let here = members.here().filter(|&(m, it)| new(m, it.addr));
    let recent = members
        .recent()
        .filter(|&(m, it)| it.left > speaker.shown && new(m, it.addr) && members.at(it.addr).is_none());
    let mut chosen: Vec<(u32, PexPeer)> = Vec::new();
    for (m, it) in here.chain(recent) {
        if chosen.len() == room {
            break;
        }
        if !chosen.iter().any(|(_, peer)| peer.addr == it.addr) {
            chosen.push((m, PexPeer { addr: it.addr, flags: it.flags }));
        }
    }
    speaker.shown = members.leavings();
    for (m, peer) in chosen {
        remember(speaker, members, m);
        message.added.push(peer);
    }
    message
}

/// Takes those who left out of what it was told. Who left and came back by another link is still there for it.
fn drop_gone(speaker: &mut Speaker, members: &mut Members, max: usize) -> Vec<SocketAddr> {
    let mut dropped = Vec::new();
    let gone: Vec<(u32, SocketAddr)> = speaker
        .told
        .iter()
        .filter_map(|&m| members.get(m).filter(|it| it.left > 0).map(|it| (m, it.addr)))
        .collect();
    for (m, addr) in gone {
        let back = members.at(addr);
        if back.is_none() && dropped.len() == max {
            continue;
        }
        if let Ok(at) = speaker.told.binary_search(&m) {
            speaker.told.remove(at);
        }
        members.release(m);
        match back {
            Some(back) => remember(speaker, members, back),
            // It may have been told of it by each of its links.
            None if dropped.contains(&addr) => {}
            None => dropped.push(addr),
        }
    }
    dropped
}

fn remember(speaker: &mut Speaker, members: &mut Members, m: u32) {
    if let Err(at) = speaker.told.binary_search(&m) {
        speaker.told.insert(at, m);
        members.hold(m);
    }
}
