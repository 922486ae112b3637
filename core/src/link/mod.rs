//! One byte link, from its first moment to its end: the handshake, the credit of what it may read, and which peer it
//! carries once that is known. What the peer says after the handshake belongs to the torrent.

mod lobby;

pub use lobby::{Lobby, Prelude};

use crate::base::{Chunk, Instant, PeerRef};
use crate::wire::handshake::{Handshake, HandshakeError};
use crate::wire::{InfoHash, PeerId};
use core::net::{Ipv4Addr, SocketAddr};

/// Where a link stands.
#[derive(Debug)]
pub enum Stage {
    /// We asked for it; it isn't open yet.
    Connecting(Dialed),
    /// We opened it and sent our handshake.
    Calling(Dialed, Lobby),
    /// A stranger opened it; its handshake hasn't named a torrent yet.
    Called(Lobby),
    /// A stranger's handshake named a torrent and was answered; its peer id hasn't come yet.
    Answered(Lobby),
    /// It carries a peer.
    Joined(PeerRef),
    /// A web server was asked for this web seed, and hasn't answered yet.
    Asking(PeerRef),
    /// It carries the body of a web server's answer.
    Streaming(PeerRef),
    /// Closed; the driver hasn't said yet that nothing is left of it.
    Closed,
}

/// What we opened a link for.
#[derive(Clone, Copy, Debug)]
pub struct Dialed {
    /// The torrent, by number.
    pub torrent: crate::base::TorrentId,
    /// The name that we called it by.
    pub info_hash: InfoHash,
    /// Another carrier was tried before.
    pub is_second: bool,
}

/// What came of bytes in a handshake.
#[derive(Debug)]
pub enum Step {
    /// More must come.
    Wait,
    /// A stranger named a torrent: answer, or close.
    Asked(Prelude),
    /// The handshake is whole; `rest` is what came behind it.
    Whole {
        /// What the other side said.
        handshake: Handshake,
        /// The first bytes of the session.
        rest: Chunk,
    },
    /// The other side is to blame.
    Fault(HandshakeError),
}

/// One byte link.
#[derive(Debug)]
pub struct Link {
    /// Where it stands. All its transitions are in this file.
    stage: Stage,
    /// The other end.
    pub remote: SocketAddr,
    /// Whether a stranger opened it.
    pub incoming: bool,
    /// The number of the uTP stream that carries it; without one, the driver does.
    pub stream: Option<u64>,
    /// When opening it or its handshake must be done.
    pub deadline: Option<Instant>,
    /// The engine's timer entry.
    pub armed: Option<Instant>,
    /// Our handshake, until it is handed out.
    hello: Option<Chunk>,
    received: u64,
    read_until: u64,
    told_write: bool,
}

impl Link {
    /// A link that we want opened.
    pub fn dial(remote: SocketAddr, dialed: Dialed, deadline: Instant) -> Self {
        Self::new(Stage::Connecting(dialed), remote, false, deadline)
    }

    /// A link that a stranger opened.
    pub fn accept(remote: SocketAddr, deadline: Instant) -> Self {
        Self::new(Stage::Called(Lobby::default()), remote, true, deadline)
    }

    /// A link to a web server, for the web seed of this number. Where it leads is known when it is open.
    pub fn ask(web_seed: PeerRef) -> Self {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let link = Self::new(Stage::Asking(web_seed), nowhere, false, Instant::ZERO);
        Self { deadline: None, ..link }
    }

    /// A web server's answer begins: answers for which web seed, if we were waiting for that.
    pub fn on_head(&mut self) -> Option<PeerRef> {
        let Stage::Asking(web_seed) = self.stage else { return None };
        self.stage = Stage::Streaming(web_seed);
        Some(web_seed)
    }

    fn new(stage: Stage, remote: SocketAddr, incoming: bool, deadline: Instant) -> Self {
        Self {
            stage,
            remote,
            incoming,
            stream: None,
            deadline: Some(deadline),
            armed: None,
            hello: None,
            received: 0,
            read_until: 0,
            told_write: false,
        }
    }

    /// Where it stands.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Which peer it carries, or which web seed's bytes.
    pub fn peer(&self) -> Option<PeerRef> {
        match self.stage {
            Stage::Joined(peer) | Stage::Streaming(peer) => Some(peer),
            Stage::Asking(_)
            | Stage::Connecting(_)
            | Stage::Calling(..)
            | Stage::Called(_)
            | Stage::Answered(_)
            | Stage::Closed => None,
        }
    }

    /// It is open: say `hello`. Answers whether we were waiting for that.
    pub fn on_opened(&mut self, hello: &Handshake, deadline: Instant) -> bool {
        let Stage::Connecting(dialed) = self.stage else { return false };
        self.stage = Stage::Calling(dialed, Lobby::default());
        self.hello = Some(Chunk::copy_from(&hello.encode()));
        self.deadline = Some(deadline);
        true
    }

    /// Bytes came while it carries no peer.
    pub fn on_received(&mut self, data: Chunk) -> Step {
        match &mut self.stage {
            Stage::Called(lobby) => match lobby.on_received(data) {
                Ok(Some(prelude)) => Step::Asked(prelude),
                Ok(None) => Step::Wait,
                Err(error) => Step::Fault(error),
            },
            Stage::Calling(_, lobby) | Stage::Answered(lobby) => match lobby.on_received(data) {
                Ok(_) => self.whole(),
                Err(error) => Step::Fault(error),
            },
            Stage::Connecting(_)
            | Stage::Joined(_)
            | Stage::Asking(_)
            | Stage::Streaming(_)
            | Stage::Closed => Step::Wait,
        }
    }

    /// The torrent that a stranger named is ours: answer with `hello`. The stranger's handshake may be whole already.
    pub fn on_answer(&mut self, hello: &Handshake) -> Step {
        let Stage::Called(lobby) = &mut self.stage else { return Step::Wait };
        self.stage = Stage::Answered(core::mem::take(lobby));
        self.hello = Some(Chunk::copy_from(&hello.encode()));
        self.whole()
    }

    fn whole(&mut self) -> Step {
        let (Stage::Calling(_, lobby) | Stage::Answered(lobby)) = &mut self.stage else { return Step::Wait };
        match lobby.take_whole() {
            Some((handshake, rest)) => Step::Whole { handshake, rest },
            None => Step::Wait,
        }
    }

    /// It carries this peer from now on.
    pub fn on_joined(&mut self, peer: PeerRef) {
        debug_assert!(
            matches!(self.stage, Stage::Calling(..) | Stage::Answered(_)),
            "a handshake precedes a peer"
        );
        self.stage = Stage::Joined(peer);
        self.deadline = None;
    }

    /// It is closed; answers what it was.
    pub fn on_closed(&mut self) -> Stage {
        self.deadline = None;
        self.hello = None;
        core::mem::replace(&mut self.stage, Stage::Closed)
    }

    /// Whether our handshake waits to be handed out.
    pub fn has_hello(&self) -> bool {
        self.hello.is_some()
    }

    /// Our handshake, once.
    pub fn take_hello(&mut self) -> Option<Chunk> {
        self.hello.take()
    }

    /// Counts bytes that came.
    pub fn count_received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// What to tell the driver, if anything changed enough: how far it may read, and whether there is something to
    /// pull. The credit is renewed when half of it is used, so that it isn't told with every read.
    pub fn next_interest(&mut self, credit: u64, wants_write: bool) -> Option<(u64, bool)> {
        let write = (wants_write || self.hello.is_some()) && !self.told_write;
        let left = self.read_until.saturating_sub(self.received);
        let renew = credit > 0 && left <= credit / 2;
        if !write && !renew {
            return None;
        }
        if renew {
            self.read_until = self.read_until.max(self.received + credit);
        }
        self.told_write |= write;
        Some((self.read_until, self.told_write))
    }

    /// The driver pulled and there was nothing more: it must be told again.
    pub fn on_dry(&mut self) {
        self.told_write = false;
    }
}

/// Checks that an answer to our call is from the torrent that we called: by its name, or by its v2 name where we said
/// that we speak v2 (BEP 52: an upgrade, not a mismatch).
pub fn answers(called: InfoHash, names: &[InfoHash], answer: &Handshake) -> bool {
    answer.info_hash == called || names.contains(&answer.info_hash)
}

/// Whether a handshake came from ourselves.
pub fn is_self(ours: PeerId, handshake: &Handshake) -> bool {
    handshake.peer_id == ours
}
