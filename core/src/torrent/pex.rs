//! Peer exchange (BEP 11): who is told of whom, and what becomes of what peers tell. A private torrent (BEP 27) has none
//! of it, and nothing of any discovery but its trackers.

use super::peers::Peer;
use super::{Context, Leave, Output, Torrent};
use crate::base::Instant;
use crate::book::{Source, Sources};
use crate::pex::{Pex, PexCounts};
use crate::wire::extension::Extension;
use crate::wire::pex::PexFlags;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

impl Torrent {
    /// Whether peers may be sought beside trackers and web seeds: not of a private torrent (BEP 27), nor of one that is to
    /// contact nobody but given peers. A magnet may turn out to be private when its metadata is here.
    pub fn may_be_discovered(&self) -> bool {
        !self.only_peers && !self.is_private()
    }

    /// Whether its info dictionary is known, and private (BEP 27).
    pub fn is_private(&self) -> bool {
        self.content.as_deref().is_some_and(|content| content.info.is_private())
    }

    /// Whether whoever looks for it may find it now: neighbours, the DHT.
    pub fn is_open_to_all(&self) -> bool {
        self.takes_part() && self.may_be_discovered()
    }

    /// A neighbour takes part too (BEP 14).
    pub fn on_neighbour(&mut self, cx: &mut Context<'_>, addr: SocketAddr) {
        if self.is_open_to_all() {
            let added = self.book.on_address(addr, Source::Lsd, &cx.host.own(), &cx.config.book);
            tracing::debug!(torrent = ?self.id, %addr, ?added, "neighbour");
        }
    }

    /// How much of what peers tell of peers was ignored.
    pub fn pex_counts(&self) -> PexCounts {
        self.pex.as_ref().map(|pex| pex.counts()).unwrap_or_default()
    }

    /// Whether nobody told of an address who may tell of peers of a private torrent.
    pub(super) fn is_hearsay(&self, addr: SocketAddr) -> bool {
        is_hearsay(self.book.sources(addr))
    }

    pub(super) fn exchanges_peers(&self, config: &super::Config) -> bool {
        config.pex && self.may_be_discovered()
    }

    /// What we speak beside what every torrent does.
    pub(super) fn optional_extensions(&self, config: &super::Config) -> Vec<Extension> {
        let pex = self.exchanges_peers(config).then_some(Extension::UtPex);
        pex.into_iter().chain(self.punches(config).then_some(Extension::UtHolepunch)).collect()
    }

    /// A peer is here, and it may have become known where it listens or what it is.
    pub(super) fn tell_pex(&mut self, cx: &Context<'_>, n: u32) {
        if !self.exchanges_peers(cx.config) {
            return;
        }
        let Some(peer) = self.peers.get(&n) else { return };
        let pex = self.pex.get_or_insert_with(|| Box::new(Pex::new(cx.config.pex_config.clone())));
        if !peer.incoming || peer.home != peer.addr {
            let flags = flags(peer).with(PexFlags::UTP, self.book.speaks_utp(peer.home));
            pex.on_joined(cx.now, n, peer.home, flags);
            pex.on_flags(n, flags);
        }
        pex.on_speaks(cx.now, n, peer.session.speaks(Extension::UtPex));
    }

    /// A peer's link is gone, or is let go for this reason.
    pub(super) fn untell_pex(&mut self, now: Instant, n: u32, why: Option<&Leave>) {
        let worthy = match why {
            Some(Leave::BothSeeds | Leave::Twin) => true,
            Some(
                Leave::Fault(_)
                | Leave::Banned
                | Leave::Dismissed
                | Leave::Stopping
                | Leave::Fetched
                | Leave::Unneeded,
            )
            | None => false,
        };
        self.end_punches_of(n);
        if let Some(pex) = &mut self.pex {
            pex.on_left(now, n, worthy);
        }
    }

    pub(super) fn pex_deadline(&self) -> Option<Instant> {
        self.pex.as_ref()?.deadline()
    }

    pub(super) fn on_pex_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some((n, message)) = self.pex.as_mut().and_then(|pex| pex.next_message(cx.now)) {
            let Some(peer) = self.peers.get_mut(&n) else { continue };
            peer.session.extended(Extension::UtPex, &message.encode());
            self.output(Output::Touched(n));
        }
    }

    /// A peer tells of others.
    pub(super) fn on_pex_message(&mut self, cx: &mut Context<'_>, n: u32, payload: &[u8]) {
        let (Some(pex), Some(peer)) = (&mut self.pex, self.peers.get(&n)) else { return };
        // It may fill the book to three quarters: the rest is for those that others tell of.
        let room = (cx.config.book.addresses_max / 4 * 3).saturating_sub(self.book.len());
        let told = match pex.on_message(cx.now, (n, peer.addr.ip()), payload, room) {
            Ok(told) => told,
            Err(ignored) => return tracing::debug!(torrent = ?self.id, n, %ignored, "PEX message"),
        };
        let own = cx.host.own();
        for peer in told {
            tracing::trace!(torrent = ?self.id, from = n, addr = %peer.addr, flags = peer.flags.0, "told of a peer");
            let added = self.book.on_address(peer.addr, Source::Pex, &own, &cx.config.book);
            if added.is_ok_and(|it| it.is_new()) {
                self.book.on_upload_only(peer.addr, peer.flags.has(PexFlags::SEED));
                if peer.flags.has(PexFlags::ENCRYPTION) {
                    self.book.on_encrypts(peer.addr);
                }
                if peer.flags.has(PexFlags::UTP) {
                    self.book.on_utp(peer.addr, true);
                }
            }
        }
    }

    /// The metadata says that the torrent is private: what was learned of others than trackers is forgotten, and so are
    /// the links that came of it.
    pub(super) fn heed_privacy(&mut self, cx: &mut Context<'_>) {
        if !self.is_private() {
            return;
        }
        (self.pex, self.punching) = (None, None);
        let hearsay: Vec<_> =
            self.book.iter().filter(|(_, sources)| is_hearsay(*sources)).map(|(a, _)| a).collect();
        let peers: Vec<u32> =
            self.peers.iter().filter(|(_, it)| hearsay.contains(&it.home)).map(|(&n, _)| n).collect();
        for n in peers {
            self.dismiss(cx, n, Leave::Stopping);
        }
        for addr in hearsay {
            self.book.forget(addr);
        }
    }
}

/// Whether nobody but peers, neighbours and the DHT told of an address.
fn is_hearsay(sources: Sources) -> bool {
    let vouched = [Source::User, Source::Tracker, Source::Incoming, Source::Resume];
    !vouched.into_iter().any(|source| sources.has(source))
}

fn flags(peer: &Peer) -> PexFlags {
    PexFlags::default()
        .with(PexFlags::ENCRYPTION, peer.encrypts)
        .with(PexFlags::SEED, peer.is_seed())
        .with(PexFlags::HOLEPUNCH, peer.session.speaks(Extension::UtHolepunch))
        .with(PexFlags::REACHABLE, !peer.incoming)
}

/// What we speak: `optional` too; what was told before and isn't spoken any more is taken back.
pub(super) fn our_extensions(optional: &[Extension], told: &[Extension]) -> Vec<(Extension, u8)> {
    let always = [Extension::UtMetadata, Extension::LtDontHave, Extension::UploadOnly];
    let gone = told.iter().filter(|it| !optional.contains(it)).map(|&it| (it, 0));
    always.iter().chain(optional).map(|&it| (it, it.our_id())).chain(gone).collect()
}
