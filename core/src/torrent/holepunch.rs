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

/// Addresses that wait to be called so, and that we asked to be brought together with. More are let be.
const WAITING_MAX: usize = 32;

/// How long after a rendezvous that led to nothing the same peer is let be.
const PATIENCE: Duration = Duration::from_secs(600);

const MINUTE: Duration = Duration::from_secs(60);

/// Who is to be reached so, and how often peers asked for it.
#[derive(Debug, Default)]
pub(super) struct Punching {
    /// Whom we asked to be brought together with, and when.
    asked: BTreeMap<SocketAddr, Instant>,
    /// To be called over uTP now.
    waiting: VecDeque<SocketAddr>,
    /// What was heard of each peer in the minute that began then.
    heard: BTreeMap<u32, (Instant, u32)>,
}

impl Punching {
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
        let addr = self.punching.as_mut()?.waiting.pop_front()?;
        self.book.on_connecting(addr);
        self.calls += 1;
        Some((addr, name))
    }

    /// A call failed: somebody in the middle may bring us together.
    pub(super) fn seek_relay(&mut self, cx: &mut Context<'_>, addr: SocketAddr) {
        if !self.punches(cx.config) {
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
            && !cx.config.book.forbids(addr.ip())
            && self.book.ban_of(addr.ip()).is_none();
        let Some(punching) = &mut self.punching else { return };
        if likely && !here && punching.waiting.len() < WAITING_MAX && !punching.waiting.contains(&addr) {
            punching.waiting.push_back(addr);
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
