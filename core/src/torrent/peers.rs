//! Who takes part: joining, leaving, and what sessions say. What to ask for and what to send are next door.

use super::calls::Parting;
use super::gate::{Direction, Pass};
use super::{Context, Encryption, JoinError, Joining, Leave, Output, Teller, Torrent, TorrentEvent};
use crate::base::{Bits, Chunk, Instant, PeerRef, PieceIndex};
use crate::metadata::Asked;
use crate::peer::{Fact, Fault, PeerTraits, Session};
use crate::picker::{PeerPieces, Picker, SourceId};
use crate::wire::PeerId;
use crate::wire::allowed_fast::allowed_fast_set;
use crate::wire::extension::{Extension, ExtensionHandshake};
use crate::wire::handshake::{Feature, Reserved};
use crate::wire::mse::Level;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Someone in the swarm.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) session: Session,
    pub(super) addr: SocketAddr,
    /// Where it listens, as far as we know: the address to keep.
    pub(super) home: SocketAddr,
    pub(super) peer_id: PeerId,
    pub(super) incoming: bool,
    /// The level at which its link is encrypted, if it is.
    pub(super) level: Option<Level>,
    /// Stored bytes may go to it straight from the file.
    pub(super) plain: bool,
    /// It says that it takes encrypted links.
    pub(super) encrypts: bool,
    pub(super) pass: Pass,
    pub(super) armed: Option<Instant>,
    pub(super) joined: Instant,
    /// The same peer has, or had, another link to us, which crossed this one.
    pub(super) crossed: bool,
    pub(super) unchoked_at: Option<Instant>,
    /// What had been sent to it when it was unchoked.
    pub(super) sent_then: u64,
    /// Payload that it may be sent, already paid for.
    pub(super) granted: u64,
    /// It waits for tokens before it may be sent more.
    pub(super) held_up: bool,
    /// It waits for tokens before it may be asked for more.
    pub(super) held_down: bool,
    /// Requests that it refused while it let us ask, since its last block.
    pub(super) refused: u32,
    /// It stands in `Torrent::hungry`.
    pub(super) hungry: bool,
    /// The picker knows that it lets us wait.
    pub(super) snubbed: bool,
    /// How the picker counts its pieces.
    pub(super) counted: Counted,
    /// What it was told last of whether we want nothing more (BEP 21).
    pub(super) told_upload_only: bool,
    /// It was told that we speak these, which may have to be taken back.
    told_extensions: Vec<Extension>,
    pub(super) suggested: Vec<PieceIndex>,
    pub(super) metadata_asked: Asked,
    /// Hash requests that wait for leaves.
    pub(super) hashes_asked: Vec<crate::wire::message::HashRange>,
    /// Pieces among `Torrent::given` that are its.
    pub(super) given: u32,
    /// Bytes of all pieces that we alone gave it.
    pub(super) entrusted: u64,
    /// Since when it has nothing that we want, while we still say that we are interested.
    pub(super) useless_since: Option<Instant>,
    /// When it last ceased to be interested.
    pub(super) interested_at: Option<Instant>,
    /// Bytes of such pieces that it passed on.
    pub(super) spread: u64,
}

impl Peer {
    pub(super) fn is_seed(&self) -> bool {
        let pieces = self.session.peer_pieces();
        self.session.peer_upload_only() || (!pieces.is_empty() && pieces.is_full())
    }

    pub(super) fn pieces(&self) -> PeerPieces<'_> {
        let bits = self.session.peer_pieces();
        if !bits.is_empty() && bits.is_full() { PeerPieces::All } else { PeerPieces::Some(bits) }
    }
}

/// How the picker counts a peer's pieces: whoever came as a seed must go as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    No,
    Some,
    All,
}

impl Peer {
    /// Lets the picker count what the peer has now; `news` is the one piece that is new since the last time.
    fn count(&mut self, picker: &mut Picker, news: Option<PieceIndex>) {
        let bits = self.session.peer_pieces();
        let all = !bits.is_empty() && bits.is_full();
        match (self.counted, news) {
            (Counted::All, _) => return,
            (Counted::Some, Some(piece)) => picker.on_have(piece),
            (Counted::Some, None) => {}
            (Counted::No, _) if all => picker.on_pieces(PeerPieces::All),
            (Counted::No, _) => picker.on_pieces(PeerPieces::Some(bits)),
        }
        if self.counted == Counted::Some && all {
            picker.on_pieces_gone(PeerPieces::Some(bits));
            picker.on_pieces(PeerPieces::All);
        }
        self.counted = if all { Counted::All } else { Counted::Some };
    }

    /// The peer lost a piece (BEP 54): the session has forgotten it already.
    fn uncount(&mut self, picker: &mut Picker, piece: PieceIndex) {
        if self.counted == Counted::All {
            picker.on_pieces_gone(PeerPieces::All);
            picker.on_pieces(PeerPieces::Some(self.session.peer_pieces()));
            self.counted = Counted::Some;
        } else {
            picker.on_dont_have(piece);
        }
    }
}

/// Suggestions kept of one peer; more replace the oldest.
const SUGGESTED_MAX: usize = 16;

impl Torrent {
    /// Our reserved bits for this torrent (BEP 5, 6, 10, 52).
    pub fn reserved(&self) -> Reserved {
        let reserved = Reserved::NONE.with(Feature::Extensions).with(Feature::Fast);
        let reserved = if self.is_v2() { reserved.with(Feature::V2) } else { reserved };
        if self.may_use_dht() { reserved.with(Feature::Dht) } else { reserved }
    }

    /// Whether a stranger at this address would be taken, before its handshake is answered.
    pub fn welcomes(&self, addr: SocketAddr, config: &super::Config) -> bool {
        self.takes_peers() && self.peers.len() < config.torrent_links_max && !self.is_banned(addr)
    }

    pub(super) fn is_seeding(&self) -> bool {
        self.content
            .as_deref()
            .is_some_and(|content| content.is_checked() && content.picker.is_wanted_complete())
    }

    /// Whether nothing more will be fetched: all that is wanted is here, and nobody may want more of it soon.
    pub(super) fn is_sated(&self) -> bool {
        self.is_seeding() && !self.on_demand
    }

    /// The same peer may be here already. If both called each other at one moment, the call of the one with the greater
    /// peer id stays, on both ends. Answers whether the joining one is such a call.
    fn settle_twin(&mut self, cx: &mut Context<'_>, joining: &Joining) -> Result<bool, JoinError> {
        let Joining { addr, incoming, handshake, .. } = *joining;
        let twin = self.peers.iter_mut().find(|(_, peer)| peer.peer_id == handshake.peer_id);
        let Some((&n, there)) = twin else { return Ok(false) };
        let crossed = there.incoming != incoming && cx.now.saturating_since(there.joined) < CROSSED;
        if crossed && incoming == (handshake.peer_id > cx.host.peer_id) {
            self.dismiss(cx, n, Leave::Twin);
            return Ok(true);
        }
        there.crossed |= crossed;
        if !incoming && there.incoming && there.home == there.addr {
            there.home = addr;
        }
        Err(JoinError::Duplicate)
    }

    /// A handshake showed that we called someone else, or ourselves.
    pub fn on_stranger(&mut self, _cx: &mut Context<'_>, addr: SocketAddr, ourselves: bool) {
        if ourselves {
            self.book.on_ourselves(addr);
        }
    }

    /// A peer joins, its handshake done.
    pub fn join(&mut self, cx: &mut Context<'_>, joining: Joining) -> Result<u32, JoinError> {
        let Joining { addr, incoming, handshake, level, plain } = joining;
        let pass = self.pass.filter(|_| self.takes_peers()).ok_or(JoinError::Closed)?;
        if self.peers.len() >= cx.config.torrent_links_max {
            return Err(JoinError::Full);
        }
        if self.is_banned(addr) {
            return Err(JoinError::Banned);
        }
        // A call may have been under way when the metadata said so.
        if !incoming && self.is_private() && self.is_hearsay(addr) {
            return Err(JoinError::Hearsay);
        }
        let crossed = self.settle_twin(cx, &joining)?;
        let n = self.next_peer;
        self.next_peer += 1;
        let geometry =
            self.content.as_deref().filter(|c| c.is_checked()).map(|content| Arc::clone(&content.geometry));
        let mut traits = PeerTraits::agreed(self.reserved(), handshake.reserved);
        traits.v2 |= self.hash_v2.is_some_and(|hash| hash.truncated() == handshake.info_hash);
        let peer = Peer {
            session: Session::new(Arc::clone(&cx.host.session), cx.now, traits, geometry),
            addr,
            home: addr,
            peer_id: handshake.peer_id,
            incoming,
            level,
            plain,
            encrypts: false,
            pass: cx.gate.add_peer(pass, PeerRef { torrent: self.id, n }),
            armed: None,
            joined: cx.now,
            crossed,
            unchoked_at: None,
            sent_then: 0,
            granted: 0,
            held_up: false,
            held_down: false,
            hungry: false,
            snubbed: false,
            refused: 0,
            counted: Counted::No,
            told_upload_only: false,
            told_extensions: Vec::new(),
            suggested: Vec::new(),
            metadata_asked: Asked::default(),
            hashes_asked: Vec::new(),
            given: 0,
            entrusted: 0,
            useless_since: None,
            interested_at: None,
            spread: 0,
        };
        self.peers.insert(n, Box::new(peer));
        if !incoming {
            self.calls -= 1;
            self.book.on_connected(addr);
        }
        self.note_crossed(n);
        tracing::debug!(torrent = ?self.id, %addr, n, "peer joined");
        self.event(TorrentEvent::Peer { addr, joined: true });
        self.greet(cx, n);
        self.tell_pex(cx, n);
        self.after(cx, n);
        Ok(n)
    }

    /// The first messages: who we are, and which pieces we have, if that is known.
    fn greet(&mut self, cx: &mut Context<'_>, n: u32) {
        self.introduce(cx, n);
        if self.content.as_deref().is_some_and(|content| content.is_checked()) {
            self.tell_pieces(n);
        }
        self.tell_dht_port(cx, n);
    }

    /// Who we are and what we speak (BEP 10). Said again when the metadata has come, since it can be had of us then.
    fn introduce(&mut self, cx: &mut Context<'_>, n: u32) {
        let sated = self.is_sated();
        let super_seed = self.super_seed_on();
        let optional = self.optional_extensions(cx.config);
        let Some(peer) = self.peers.get_mut(&n) else { return };
        let content = self.content.as_deref();
        let mut hello = ExtensionHandshake {
            m: alloc::vec![],
            v: Some(cx.config.client.clone()),
            p: Some(cx.host.port(cx.config)).filter(|&port| port != 0),
            reqq: Some(cx.host.session.requests_queued_max),
            yourip: Some(peer.addr.ip()),
            metadata_size: content.map(|content| content.info.raw().len() as u64),
            upload_only: (sated && !super_seed).then_some(true),
            e: (cx.config.encryption != Encryption::Off).then_some(true),
            ..ExtensionHandshake::default()
        };
        peer.told_upload_only = hello.upload_only.is_some();
        hello.m = super::pex::our_extensions(
            &optional,
            &core::mem::replace(&mut peer.told_extensions, optional.clone()),
        );
        peer.session.extension_handshake(&hello);
    }

    /// Which pieces we have. Until that is known nothing is said, not even have-none: BEP 6 wants one of bitfield,
    /// have-all and have-none before all else but extended messages, and none of them again. A have-none that is said
    /// too early would have to be followed by a HAVE for each stored piece, without bound.
    fn tell_pieces(&mut self, n: u32) {
        let super_seed = self.super_seed_on();
        let (Some(content), Some(peer)) = (self.content.as_deref(), self.peers.get_mut(&n)) else { return };
        if super_seed {
            peer.session.pieces(&Bits::new(content.geometry.pieces()));
            return self.super_seed_join(n);
        }
        peer.session.pieces(content.picker.have());
        if peer.session.traits().fast
            && let (IpAddr::V4(ip), Some(name)) = (peer.addr.ip(), self.names.first())
            && content.picker.have().count() > 0
        {
            let set = allowed_fast_set(ip, *name, content.geometry.pieces(), ALLOWED_FAST);
            let set: Vec<PieceIndex> =
                set.iter().filter_map(|&piece| content.geometry.piece(piece)).collect();
            peer.session.allow_fast(&set);
        }
    }

    /// Bytes came from a peer.
    pub fn on_received(&mut self, cx: &mut Context<'_>, n: u32, data: Chunk) {
        let Some(peer) = self.peers.get_mut(&n) else { return self.on_web_received(cx, n, data) };
        peer.session.on_received(cx.now, data);
        self.hear(cx, n);
    }

    /// Takes in all that a session has to say, then does what follows.
    fn hear(&mut self, cx: &mut Context<'_>, n: u32) {
        let nothing = Bits::default();
        loop {
            let Some(peer) = self.peers.get_mut(&n) else { return };
            let have = self.content.as_deref().map_or(&nothing, |content| content.picker.have());
            let Some(fact) = peer.session.next_fact(cx.now, have) else { break };
            self.on_fact(cx, n, fact);
        }
        self.after(cx, n);
    }

    /// What follows whatever happened with a peer: asking, loading, its timer, its link.
    pub(super) fn after(&mut self, cx: &mut Context<'_>, n: u32) {
        self.plan(cx, n);
        self.load(n);
        self.arm(cx.now, n);
        if self.peers.contains_key(&n) {
            self.output(Output::Touched(n));
        }
    }

    /// Sees to it that a session's deadline is kept. A fault that what we told it brought about is heard at once: no
    /// deadline would come any more, and its link would stay for ever.
    pub(super) fn arm(&mut self, now: Instant, n: u32) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        let useless = peer.useless_since.filter(|_| peer.session.am_interested()).map(|since| since + LINGER);
        let deadline = match peer.session.fault() {
            Some(_) => Some(now),
            None => peer.session.deadline().into_iter().chain(useless).min(),
        };
        self.timers.arm(n, &mut peer.armed, deadline);
    }

    fn on_fact(&mut self, cx: &mut Context<'_>, n: u32, fact: Fact) {
        match fact {
            Fact::Requested(block) => self.on_requested(n, block.piece),
            Fact::KeepAlive | Fact::Cancelled(_) => {}
            Fact::Port(port) => self.on_dht_port(n, port),
            Fact::Block { block, data } => self.on_block(cx, n, block, data),
            Fact::Unrequested { block, data } => self.on_unrequested(cx, n, block, data),
            Fact::Have(piece) => self.on_have(cx, n, piece),
            Fact::Pieces => self.on_pieces(cx, n),
            Fact::Choked { lost } => self.on_lost(cx, n, &lost),
            Fact::Unchoked => self.forgive(n),
            Fact::AllowedFast(_) => {}
            Fact::Rejected(block) => self.on_rejected(cx, n, block),
            Fact::TimedOut(blocks) => self.on_lost(cx, n, &blocks),
            Fact::Snubbed => self.on_snubbed(cx, n),
            Fact::Interested => self.output(Output::Slots { freed: false }),
            Fact::NotInterested => self.on_not_interested(cx, n),
            Fact::DontHave { piece, lost } => {
                self.on_lost(cx, n, &lost);
                if let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&n)) {
                    peer.uncount(&mut content.picker, piece);
                }
                self.heed_interest(cx.now, n);
            }
            Fact::Suggested(piece) => {
                if let Some(peer) = self.peers.get_mut(&n) {
                    peer.suggested.truncate(SUGGESTED_MAX - 1);
                    peer.suggested.insert(0, piece);
                }
            }
            Fact::ExtensionHandshake(hello) => self.on_extension_handshake(cx, n, &hello),
            Fact::Extended { extension: Extension::UtMetadata, payload } => {
                self.on_metadata_message(cx, n, &payload)
            }
            Fact::Extended { extension: Extension::UtPex, payload } => self.on_pex_message(cx, n, &payload),
            Fact::Extended { extension: Extension::UtHolepunch, payload } => {
                self.on_holepunch_message(cx, n, &payload)
            }
            Fact::Extended { .. } => {}
            Fact::UploadOnly(upload_only) => self.on_upload_only(cx, n, upload_only),
            Fact::HashRequested(range) => self.on_hash_requested(n, range),
            Fact::Hashes { range, hashes } => self.on_hashes(cx, n, &range, &hashes),
            Fact::HashRejected(range) => self.on_hash_rejected(cx, n, &range),
            Fact::Fault(fault) => self.on_fault(cx, n, fault),
        }
    }

    fn on_fault(&mut self, cx: &mut Context<'_>, n: u32, fault: Fault) {
        let Some(peer) = self.peers.get(&n) else { return };
        tracing::debug!(torrent = ?self.id, addr = %peer.addr, %fault, "peer at fault");
        let home = peer.home;
        self.dismiss(cx, n, Leave::Fault(fault));
        if matches!(fault, Fault::Malformed(_) | Fault::Misbehaved(_)) {
            self.book.on_failed(cx.now, home, &cx.config.book, &mut self.rng);
        }
    }

    fn on_pieces(&mut self, cx: &mut Context<'_>, n: u32) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        let (seed, home) = (peer.is_seed(), peer.home);
        if let Some(content) = &mut self.content {
            peer.count(&mut content.picker, None);
        }
        self.book.on_upload_only(home, seed);
        self.tell_pex(cx, n);
        self.heed_interest(cx.now, n);
        self.ask_hashes_of(cx, n);
        if self.super_seed_on() {
            self.super_seed_join(n);
        }
        self.part_from_seeds(cx, Some(n));
    }

    fn on_have(&mut self, cx: &mut Context<'_>, n: u32, piece: PieceIndex) {
        let Some(content) = &mut self.content else { return };
        let Some(peer) = self.peers.get_mut(&n) else { return };
        peer.count(&mut content.picker, Some(piece));
        let (full, first) = (peer.is_seed(), peer.session.peer_pieces().count() == 1);
        if !peer.session.am_interested() && content.picker.is_needed(piece) {
            peer.session.interested();
        }
        let length = u64::from(content.geometry.length_of(piece));
        self.credit_spread(n, piece, length);
        self.super_seed_have(n, piece);
        if first {
            self.ask_hashes_of(cx, n);
        }
        if full {
            self.part_from_seeds(cx, Some(n));
        }
    }

    fn on_not_interested(&mut self, cx: &mut Context<'_>, n: u32) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        peer.interested_at = Some(cx.now);
        if !peer.session.am_choking() {
            self.output(Output::Slots { freed: true });
        }
    }

    fn on_upload_only(&mut self, cx: &mut Context<'_>, n: u32, upload_only: bool) {
        let Some(peer) = self.peers.get(&n) else { return };
        let home = peer.home;
        self.book.on_upload_only(home, upload_only);
        self.tell_pex(cx, n);
        self.part_from_seeds(cx, Some(n));
    }

    fn on_extension_handshake(&mut self, cx: &mut Context<'_>, n: u32, hello: &ExtensionHandshake) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        if let Some(ip) = hello.yourip {
            self.outputs.push_back(Output::Seen(ip, Teller::peer(peer.addr.ip())));
        }
        if let (true, Some(port)) = (peer.incoming, hello.p.filter(|&port| port != 0)) {
            // with the link of a link-local address
            let mut home = peer.addr;
            home.set_port(port);
            // It has one home: a peer that names another with every handshake would fill the book.
            if peer.home != home && peer.home == peer.addr {
                peer.home = home;
                self.note_crossed(n);
                let own = cx.host.own();
                if self.book.on_address(home, crate::book::Source::Incoming, &own, &cx.config.book).is_ok() {
                    self.book.on_connected(home);
                }
            }
        }
        if self.is_sated() && !self.super_seed_on() {
            self.tell_one_upload_only(n, true);
        }
        if hello.e == Some(true)
            && let Some(peer) = self.peers.get_mut(&n)
        {
            peer.encrypts = true;
            self.book.on_encrypts(peer.home);
        }
        self.tell_pex(cx, n);
        self.on_metadata_offer(cx, n, hello.metadata_size);
        if let Some(upload_only) = hello.upload_only {
            self.on_upload_only(cx, n, upload_only);
        }
    }

    /// Whether we want what a peer has may have changed: tell it.
    ///
    /// In a busy swarm a peer that has nothing for us now has something in a moment: interest is only taken back when it
    /// was without object for a while, or when we have all.
    pub(super) fn heed_interest(&mut self, now: Instant, n: u32) {
        let (Some(content), Some(peer)) = (&self.content, self.peers.get_mut(&n)) else { return };
        let wanted = content.is_checked() && content.picker.is_interesting(peer.pieces());
        if wanted || content.picker.is_wanted_complete() {
            peer.useless_since = None;
        } else if peer.session.am_interested() && now < *peer.useless_since.get_or_insert(now) + LINGER {
            return self.arm(now, n);
        }
        if wanted != peer.session.am_interested() {
            if wanted {
                peer.session.interested()
            } else {
                peer.session.not_interested()
            }
            self.output(Output::Touched(n));
        }
    }

    /// Two who both have all keep no link: it would be of no use to either.
    pub(super) fn part_from_seeds(&mut self, cx: &mut Context<'_>, only: Option<u32>) {
        if !self.is_sated() {
            return;
        }
        let of_no_use = |peer: &Peer| peer.is_seed() && !peer.session.peer_interested();
        let seeds: Vec<u32> = match only {
            Some(n) => self.peers.get(&n).filter(|peer| of_no_use(peer)).map(|_| n).into_iter().collect(),
            None => self.peers.iter().filter(|(_, peer)| of_no_use(peer)).map(|(&n, _)| n).collect(),
        };
        for n in seeds {
            self.dismiss(cx, n, Leave::BothSeeds);
        }
    }

    /// The metadata is known and what is stored was looked at: everyone here learns of it.
    pub(super) fn welcome_content(&mut self, cx: &mut Context<'_>) {
        let Some(content) = self.content.as_deref() else { return };
        let geometry = Arc::clone(&content.geometry);
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            if let Some(peer) = self.peers.get_mut(&n) {
                peer.session.on_geometry(Arc::clone(&geometry));
            }
            self.introduce(cx, n);
            self.tell_pieces(n);
            self.hear(cx, n);
        }
    }

    pub(super) fn on_peer_timeout(&mut self, cx: &mut Context<'_>, n: u32) {
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.armed = None;
            peer.session.on_timeout(cx.now);
            self.heed_interest(cx.now, n);
            self.hear(cx, n);
        } else {
            self.on_web_timeout(cx, n);
        }
    }

    /// A peer's link is gone.
    pub fn on_gone(&mut self, cx: &mut Context<'_>, n: u32) {
        self.forget(cx, n, Parting::Theirs);
    }

    /// Lets a peer go.
    pub(super) fn dismiss(&mut self, cx: &mut Context<'_>, n: u32, why: Leave) {
        self.untell_pex(cx.now, n, Some(&why));
        let parting = if why == Leave::Dismissed { Parting::Dismissed } else { Parting::Ours };
        if self.forget(cx, n, parting) {
            self.output(Output::Leave(n, why));
        }
    }

    pub(super) fn dismiss_all(&mut self, cx: &mut Context<'_>, why: &Leave) {
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            self.dismiss(cx, n, why.clone());
        }
    }

    fn forget(&mut self, cx: &mut Context<'_>, n: u32, parting: Parting) -> bool {
        let Some(mut peer) = self.peers.remove(&n) else { return false };
        self.untell_pex(cx.now, n, None);
        self.timers.disarm(n, &mut peer.armed);
        if peer.hungry {
            self.hungry.retain(|&other| other != n);
        }
        if peer.given > 0 {
            self.given.retain(|_, &mut to| to != n);
        }
        let requested = u64::from(peer.session.requested_bytes());
        cx.gate.refund(cx.now, peer.pass, Direction::Down, requested);
        cx.gate.refund(cx.now, peer.pass, Direction::Up, peer.granted);
        cx.gate.remove(cx.now, peer.pass);
        if let Some(content) = &mut self.content {
            content.marks.on_settled(requested);
            content.picker.on_source_gone(SourceId(n));
            match peer.counted {
                Counted::No => {}
                Counted::Some => content.picker.on_pieces_gone(PeerPieces::Some(peer.session.peer_pieces())),
                Counted::All => content.picker.on_pieces_gone(PeerPieces::All),
            }
            if let Some(fetch) = &mut content.hash_fetch {
                fetch.on_source_gone(n);
            }
            if let Some(super_seed) = &mut content.super_seed {
                super_seed.on_source_gone(SourceId(n));
            }
        }
        if let Some(fetch) = &mut self.fetch {
            fetch.on_peer_gone(PeerRef { torrent: self.id, n });
        }
        self.part(cx, &peer, parting);
        if !peer.session.am_choking() {
            self.output(Output::Slots { freed: true });
        }
        self.event(TorrentEvent::Peer { addr: peer.addr, joined: false });
        self.feed(cx);
        self.ask_metadata_of_all(cx);
        true
    }
}

/// How long a peer may have nothing for us before we say that we want nothing.
const LINGER: Duration = Duration::from_secs(5);

/// Two links of one pair, one from each end, that come within this time crossed each other.
pub(super) const CROSSED: Duration = Duration::from_secs(5);

/// How many pieces a new peer may have while choked (BEP 6).
const ALLOWED_FAST: u32 = 10;
