//! One byte link, from its first moment to its end: the handshakes, what its stream is under, the credit of what it may
//! read, and which peer it carries once that is known. What the peer says after the handshake belongs to the torrent.

mod fault;
mod lobby;

pub use fault::{LinkFault, LinkFaults};
pub use lobby::{Admission, Answer, Lobby, Next, Prelude};

use crate::announce::SocketId;
use crate::base::{Chunk, Instant, PeerRef, Rng, Segment};
use crate::mse::Crypt;
use crate::wire::handshake::Handshake;
use crate::wire::mse::{Exchanged, KeyExchange, Level, Levels, VeiledHash};
use crate::wire::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};

/// Where a link stands.
#[derive(Debug)]
pub enum Stage {
    /// We asked for it; it isn't open yet.
    Connecting(Dialed),
    /// We opened it and sent our handshake.
    Calling(Dialed, Box<Lobby>),
    /// A stranger opened it; its handshake hasn't named a torrent yet.
    Called(Box<Lobby>),
    /// A stranger's handshake named a torrent and was answered; its peer id hasn't come yet.
    Answered(Box<Lobby>),
    /// It carries a peer.
    Joined(PeerRef),
    /// A web server was asked for this web seed, and hasn't answered yet.
    Asking(PeerRef),
    /// It carries the body of a web server's answer.
    Streaming(PeerRef),
    /// We asked for a WebSocket to a tracker; it isn't open yet.
    Summoning(SocketId),
    /// Messages go to and from a tracker.
    Signalling(SocketId),
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
    /// The levels at which it is to be encrypted; `None` for a plain link.
    pub levels: Option<Levels>,
    /// Another carrier was tried before.
    pub is_second: bool,
}

/// What came of bytes in a handshake.
#[derive(Debug)]
pub enum Step {
    /// More must come.
    Wait,
    /// Do this exchange of keys, and answer with `on_exchanged`.
    Exchange(Box<KeyExchange>),
    /// Which of our torrents has this name? Answer with `on_named`.
    Named(VeiledHash),
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
    Fault(LinkFault),
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
    /// Our part of the handshakes, until it is handed out.
    hello: Vec<u8>,
    /// What its stream is under, if anything is left to be done for it.
    crypt: Option<Box<Crypt>>,
    level: Option<Level>,
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
    pub fn accept(remote: SocketAddr, lobby: Lobby, deadline: Instant) -> Self {
        Self::new(Stage::Called(Box::new(lobby)), remote, true, deadline)
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

    /// A WebSocket to a tracker. Its time is the exchange's to watch.
    pub fn signal(socket: SocketId) -> Self {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let link = Self::new(Stage::Summoning(socket), nowhere, false, Instant::ZERO);
        Self { deadline: None, ..link }
    }

    /// The WebSocket is open: whose it is, if we were waiting for that.
    pub fn on_summoned(&mut self) -> Option<SocketId> {
        let Stage::Summoning(socket) = self.stage else { return None };
        self.stage = Stage::Signalling(socket);
        Some(socket)
    }

    /// Which WebSocket it is, open or not.
    pub fn socket(&self) -> Option<SocketId> {
        match self.stage {
            Stage::Summoning(socket) | Stage::Signalling(socket) => Some(socket),
            Stage::Connecting(_)
            | Stage::Calling(..)
            | Stage::Called(_)
            | Stage::Answered(_)
            | Stage::Joined(_)
            | Stage::Asking(_)
            | Stage::Streaming(_)
            | Stage::Closed => None,
        }
    }

    fn new(stage: Stage, remote: SocketAddr, incoming: bool, deadline: Instant) -> Self {
        Self {
            stage,
            remote,
            incoming,
            stream: None,
            deadline: Some(deadline),
            armed: None,
            hello: Vec::new(),
            crypt: None,
            level: None,
            received: 0,
            read_until: 0,
            told_write: false,
        }
    }

    /// Where it stands.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether a peer is at its other end, or may be.
    pub fn is_of_a_peer(&self) -> bool {
        match self.stage {
            Stage::Connecting(_)
            | Stage::Calling(..)
            | Stage::Called(_)
            | Stage::Answered(_)
            | Stage::Joined(_) => true,
            Stage::Asking(_)
            | Stage::Streaming(_)
            | Stage::Summoning(_)
            | Stage::Signalling(_)
            | Stage::Closed => false,
        }
    }

    /// Which peer it carries, or which web seed's bytes.
    pub fn peer(&self) -> Option<PeerRef> {
        match self.stage {
            Stage::Joined(peer) | Stage::Streaming(peer) => Some(peer),
            Stage::Asking(_)
            | Stage::Summoning(_)
            | Stage::Signalling(_)
            | Stage::Connecting(_)
            | Stage::Calling(..)
            | Stage::Called(_)
            | Stage::Answered(_)
            | Stage::Closed => None,
        }
    }

    /// It is open: say `hello`, encrypted if it was dialed so. `None` if we weren't waiting for that, or can't.
    pub fn on_opened(&mut self, hello: &Handshake, rng: Rng, deadline: Instant) -> Option<Step> {
        let Stage::Connecting(dialed) = self.stage else { return None };
        let (lobby, step) = match dialed.levels {
            None => {
                self.hello.extend_from_slice(&hello.encode());
                (Lobby::default(), Step::Wait)
            }
            Some(levels) => {
                let (lobby, answer) = Lobby::calling(hello, levels, rng)?;
                (lobby, self.take(answer))
            }
        };
        self.stage = Stage::Calling(dialed, Box::new(lobby));
        self.deadline = Some(deadline);
        Some(step)
    }

    /// Bytes came while it carries no peer.
    pub fn on_received(&mut self, data: Chunk) -> Step {
        self.with_lobby(|lobby| lobby.on_received(data))
    }

    /// The exchange of keys that was asked for is done.
    pub fn on_exchanged(&mut self, exchanged: &Exchanged) -> Step {
        self.with_lobby(|lobby| lobby.on_exchanged(exchanged))
    }

    /// The torrent with the name that was asked for, if it is ours.
    pub fn on_named(&mut self, skey: Option<InfoHash>) -> Step {
        self.with_lobby(|lobby| lobby.on_named(skey))
    }

    /// The torrent that a stranger named is ours: answer with `hello`. The stranger's handshake may be whole already.
    pub fn on_answer(&mut self, hello: &Handshake) -> Step {
        match core::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Called(mut lobby) => {
                self.hello.extend_from_slice(&lobby.seal(Chunk::copy_from(&hello.encode())));
                self.stage = Stage::Answered(lobby);
                self.whole()
            }
            other @ (Stage::Connecting(_)
            | Stage::Calling(..)
            | Stage::Answered(_)
            | Stage::Joined(_)
            | Stage::Asking(_)
            | Stage::Streaming(_)
            | Stage::Summoning(_)
            | Stage::Signalling(_)
            | Stage::Closed) => {
                self.stage = other;
                Step::Wait
            }
        }
    }

    fn with_lobby(&mut self, call: impl FnOnce(&mut Lobby) -> Answer) -> Step {
        let (Stage::Calling(_, lobby) | Stage::Called(lobby) | Stage::Answered(lobby)) = &mut self.stage
        else {
            return Step::Wait;
        };
        let answer = call(lobby);
        self.take(answer)
    }

    fn take(&mut self, answer: Answer) -> Step {
        self.hello.extend_from_slice(&answer.say);
        match answer.then {
            Next::Wait => Step::Wait,
            Next::Exchange(job) => Step::Exchange(job),
            Next::Named(name) => Step::Named(name),
            Next::Known(prelude) if matches!(self.stage, Stage::Called(_)) => Step::Asked(prelude),
            Next::Known(_) => self.whole(),
            Next::Fault(fault) => Step::Fault(fault),
        }
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
        match core::mem::replace(&mut self.stage, Stage::Joined(peer)) {
            Stage::Calling(_, lobby) | Stage::Answered(lobby) => {
                self.level = lobby.level();
                self.crypt = lobby.into_crypt().filter(|crypt| !crypt.is_done());
            }
            Stage::Connecting(_)
            | Stage::Called(_)
            | Stage::Joined(_)
            | Stage::Asking(_)
            | Stage::Streaming(_)
            | Stage::Summoning(_)
            | Stage::Signalling(_)
            | Stage::Closed => {
                debug_assert!(false, "a handshake precedes a peer");
            }
        }
        self.deadline = None;
    }

    /// The level at which it is encrypted, once that is agreed upon.
    pub fn level(&self) -> Option<Level> {
        match &self.stage {
            Stage::Calling(_, lobby) | Stage::Answered(lobby) => lobby.level(),
            Stage::Connecting(_)
            | Stage::Called(_)
            | Stage::Joined(_)
            | Stage::Asking(_)
            | Stage::Streaming(_)
            | Stage::Summoning(_)
            | Stage::Signalling(_)
            | Stage::Closed => self.level,
        }
    }

    /// Bytes that came for its peer, as they were sent: decrypted in place if nobody else holds them.
    #[must_use]
    pub fn open(&mut self, data: Chunk) -> Chunk {
        match &mut self.crypt {
            Some(crypt) => crypt.decrypt(data),
            None => data,
        }
    }

    /// Segments from its peer's session, as they go over the link: encrypted in place where nobody else holds them.
    pub fn seal(&mut self, segments: &mut [Segment]) {
        let Some(crypt) = self.crypt.as_mut().filter(|crypt| crypt.level() == Level::Rc4) else { return };
        for segment in segments {
            match segment {
                Segment::Bytes(data) => {
                    let clear = core::mem::replace(data, Chunk::copy_from(&[]));
                    *data = crypt.encrypt(clear);
                }
                Segment::Stored(..) => debug_assert!(false, "what is encrypted is read with `plain: false`"),
            }
        }
    }

    /// It is closed; answers what it was.
    pub fn on_closed(&mut self) -> Stage {
        self.deadline = None;
        self.hello = Vec::new();
        self.crypt = None;
        core::mem::replace(&mut self.stage, Stage::Closed)
    }

    /// Whether our part of the handshakes waits to be handed out.
    pub fn has_hello(&self) -> bool {
        !self.hello.is_empty()
    }

    /// Our part of the handshakes, each byte once.
    pub fn take_hello(&mut self) -> Option<Chunk> {
        (!self.hello.is_empty()).then(|| Chunk::from(core::mem::take(&mut self.hello)))
    }

    /// Counts bytes that came.
    pub fn count_received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// What to tell the driver, if anything changed enough: how far it may read, and whether there is something to
    /// pull. The credit is renewed when half of it is used, so that it isn't told with every read.
    pub fn next_interest(&mut self, credit: u64, wants_write: bool) -> Option<(u64, bool)> {
        let write = (wants_write || !self.hello.is_empty()) && !self.told_write;
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
