//! Peers behind routers are reached with the help of one that both sides are connected to (BEP 55): as the one who asks,
//! as the one in the middle, and as the one who is sought. What it leads to is a uTP link that both open at once.

use super::{Context, Output, Torrent, UtpUse};
use crate::base::Instant;
use crate::pex::may_be_known_to;
use crate::wire::InfoHash;
use crate::wire::extension::Extension;
use crate::wire::holepunch::{HolepunchMessage, HolepunchRefusal};
use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;

/// Rendezvous and connects heard from one peer in a minute. More are ignored.
const HEARD_PER_MINUTE_MAX: u32 = 10;

/// Addresses that wait to be called so, of which the oldest makes room, and that we asked to be brought together with, of
/// which more are let be.
const WAITING_MAX: usize = 32;

/// How long after a rendezvous that led to nothing the same peer is let be.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long an address waits to be called so. It calls us now, and not for longer.
const CALLED_FOR: Duration = Duration::from_secs(5);

const MINUTE: Duration = Duration::from_secs(60);

/// Who is to be reached so, and how often peers asked for it.
#[derive(Debug, Default)]
pub(super) struct Punching {
    /// Whom we asked to be brought together with, and when.
    asked: BTreeMap<SocketAddr, Instant>,
    /// To be called over uTP now, and since when.
    waiting: VecDeque<(Instant, SocketAddr)>,
    /// What was heard of each peer in the minute that began then.
    heard: BTreeMap<u32, (Instant, u32)>,
}

impl Punching {
    /// Notes whom to call; the oldest makes room.
    fn wait(&mut self, now: Instant, addr: SocketAddr) -> bool {
        self.drop_late(now);
        if self.waiting.iter().any(|&(_, there)| there == addr) {
            return false;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now, addr));
        true
    }

    fn next_waiting(&mut self, now: Instant) -> Option<SocketAddr> {
        self.drop_late(now);
        self.waiting.pop_front().map(|(_, addr)| addr)
    }

    fn drop_late(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|&(since, _)| now >= since + CALLED_FOR) {
            self.waiting.pop_front();
        }
    }

    /// Counts a message of a peer; `false` if it is one too many.
    fn hear(&mut self, now: Instant, n: u32) -> bool {
        let (since, count) = self.heard.entry(n).or_insert((now, 0));
        if now >= *since + MINUTE {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= HEARD_PER_MINUTE_MAX
    }

    /// Notes that we ask for `addr`; `false` if we did lately, or ask for many.
    fn ask(&mut self, now: Instant, addr: SocketAddr) -> bool {
        self.asked.retain(|_, &mut at| now < at + PATIENCE);
        self.asked.len() < WAITING_MAX && self.asked.insert(addr, now).is_none()
    }
}

impl Torrent {
    /// Whether we speak it: it takes uTP, and a torrent whose peers may know of each other.
    pub(super) fn punches(&self, config: &super::Config) -> bool {
        let utp = cfg!(feature = "utp") && config.utp != UtpUse::Off;
        config.holepunch && utp && self.may_be_discovered()
    }

    /// Whom to call next over uTP, by which name: somebody in the middle says that it calls us too.
    pub fn next_punch(&mut self, cx: &mut Context<'_>) -> Option<(SocketAddr, InfoHash)> {
        let name = *self.names.first()?;
        if !self.may_dial() || self.peers.len() + self.calls >= cx.config.torrent_links_max {
            return None;
        }
        while let Some(addr) = self.punching.as_mut()?.next_waiting(cx.now) {
            if !self.shuns(addr, cx.config) && !self.book.is_ourselves(addr) {
                self.book.on_connecting(addr);
                self.calls += 1;
                return Some((addr, name));
            }
        }
        None
    }

    /// There may be room now for those who wait to be called.
    pub(super) fn heed_waiting_punches(&mut self, now: Instant) {
        let Some(punching) = &mut self.punching else { return };
        punching.drop_late(now);
        if !punching.waiting.is_empty() {
            self.output(Output::Punch);
        }
    }

    /// A call failed: somebody in the middle may bring us together.
    pub(super) fn seek_relay(&mut self, cx: &mut Context<'_>, addr: SocketAddr) {
        if !self.punches(cx.config) || self.shuns(addr, cx.config) {
            return;
        }
        let Some(n) = self.pex.as_ref().and_then(|pex| pex.relay_to(addr)) else { return };
        if !self.speaks_holepunch(n) || !self.punching.get_or_insert_default().ask(cx.now, addr) {
            return;
        }
        self.say_holepunch(n, HolepunchMessage::Rendezvous(addr));
    }

    /// A peer asks to be brought together with another, or says that another calls us.
    pub(super) fn on_holepunch_message(&mut self, cx: &mut Context<'_>, n: u32, payload: &[u8]) {
        // Who doesn't say that it speaks it is ignored silently (BEP 55).
        if !self.punches(cx.config) || !self.speaks_holepunch(n) {
            return;
        }
        if !self.punching.get_or_insert_default().hear(cx.now, n) {
            return tracing::debug!(torrent = ?self.id, n, "too many holepunch messages");
        }
        match HolepunchMessage::parse(payload) {
            Ok(HolepunchMessage::Rendezvous(target)) => self.on_rendezvous(cx, n, target),
            Ok(HolepunchMessage::Connect(addr)) => self.on_punch(cx, n, addr),
            Ok(HolepunchMessage::Failed(addr, why)) => {
                tracing::debug!(torrent = ?self.id, n, %addr, %why, "no rendezvous");
            }
            Err(error) => tracing::debug!(torrent = ?self.id, n, %error, "holepunch message"),
        }
    }

    /// A peer is gone.
    pub(super) fn end_punches_of(&mut self, n: u32) {
        if let Some(punching) = &mut self.punching {
            punching.heard.remove(&n);
        }
    }

    /// We are in the middle. Both hear of each other, or the one who asked hears why not: never more than two messages
    /// for one, and only to those who are connected to us.
    fn on_rendezvous(&mut self, cx: &mut Context<'_>, n: u32, target: SocketAddr) {
        let Some(asker) = self.peers.get(&n).map(|peer| peer.home) else { return };
        let there = self.peers.iter().find(|(_, peer)| peer.home == target || peer.addr == target);
        let refusal = match there {
            Some((&m, _)) if m == n => Some(HolepunchRefusal::NoSuchPeer),
            Some((&m, _)) if !self.speaks_holepunch(m) => Some(HolepunchRefusal::NoSupport),
            Some(_) => None,
            None if is_ours(cx, target) => Some(HolepunchRefusal::NoSelf),
            None if target.port() == 0 => Some(HolepunchRefusal::NoSuchPeer),
            None => Some(HolepunchRefusal::NotConnected),
        };
        match (refusal, there.map(|(&m, _)| m)) {
            (None, Some(m)) => {
                self.say_holepunch(m, HolepunchMessage::Connect(asker));
                self.say_holepunch(n, HolepunchMessage::Connect(target));
            }
            (Some(why), _) => self.say_holepunch(n, HolepunchMessage::Failed(target, why)),
            (None, None) => {}
        }
    }

    /// Somebody in the middle says that the peer at `addr` calls us now. It may lie: only so many calls follow.
    fn on_punch(&mut self, cx: &mut Context<'_>, n: u32, addr: SocketAddr) {
        let here = self.peers.values().any(|peer| peer.home == addr || peer.addr == addr);
        let Some(relay) = self.peers.get(&n) else { return };
        let likely = may_be_known_to(relay.addr.ip(), addr)
            && !is_ours(cx, addr)
            && !self.book.is_ourselves(addr)
            && !self.shuns(addr, cx.config);
        let Some(punching) = &mut self.punching else { return };
        if likely && !here && punching.wait(cx.now, addr) {
            self.output(Output::Punch);
        }
    }

    fn speaks_holepunch(&self, n: u32) -> bool {
        self.peers.get(&n).is_some_and(|peer| peer.session.speaks(Extension::UtHolepunch))
    }

    fn say_holepunch(&mut self, n: u32, message: HolepunchMessage) {
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.session.extended(Extension::UtHolepunch, &message.encode());
            self.output(Output::Touched(n));
        }
    }
}

fn is_ours(cx: &Context<'_>, addr: SocketAddr) -> bool {
    let own = cx.host.own();
    own.v4 == Some(addr) || own.v6 == Some(addr) || cx.host.listening.iter().any(|(_, at)| *at == addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_to_be_called_makes_room_for_who_came_later_and_waits_for_seconds_only() {
        let addr = |n: u8| SocketAddr::from(([1, 2, 3, n], 4));
        let (mut punching, now) = (Punching::default(), Instant::ZERO);
        for n in 0..100 {
            assert!(punching.wait(now, addr(n)));
        }
        assert!(!punching.wait(now, addr(99)), "each once");
        assert_eq!(punching.waiting.len(), WAITING_MAX);
        assert_eq!(punching.next_waiting(now), Some(addr(68)));
        let later = now + Duration::from_secs(3);
        assert!(punching.wait(later, addr(200)));
        assert_eq!(punching.next_waiting(later + Duration::from_secs(3)), Some(addr(200)));
        assert_eq!(punching.next_waiting(later), None);
    }
}
