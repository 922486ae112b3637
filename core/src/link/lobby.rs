//! Takes any link, plain or encrypted, from its first byte to the name of a torrent, also for a driver that shards by
//! torrent. What is said afterwards is not here.

use super::LinkFault;
use crate::base::{Chunk, Rng};
use crate::mse::{self, Crypt, Initiator, Responder, Secured, Then};
use crate::wire::handshake::{HANDSHAKE_BYTES, Handshake, PROTOCOL, PROTOCOL_BYTES, Reserved};
use crate::wire::mse::{Exchanged, KeyExchange, Level, Levels, VeiledHash};
use crate::wire::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What the other side said up to the name of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prelude {
    /// The torrent it means.
    pub info_hash: InfoHash,
    /// What it can do.
    pub reserved: Reserved,
    /// What it calls itself, if that has come.
    pub peer_id: Option<PeerId>,
    /// The torrent that its link is encrypted for, if it is.
    pub skey: Option<InfoHash>,
}

/// Which links of strangers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Plain ones.
    pub plain: bool,
    /// Encrypted ones, of these levels; none if there are none.
    pub levels: Levels,
}

/// What follows a fact.
#[derive(Debug)]
#[must_use]
pub struct Answer {
    /// To be sent now; may be empty.
    pub say: Vec<u8>,
    /// What else.
    pub then: Next,
}

/// What a lobby waits for, or knows.
#[derive(Debug)]
pub enum Next {
    /// More must come.
    Wait,
    /// Do this exchange, and answer with `on_exchanged`.
    Exchange(Box<KeyExchange>),
    /// Which of our torrents has this name? Answer with `on_named`.
    Named(VeiledHash),
    /// The torrent's name is known.
    Known(Prelude),
    /// It is no link of ours.
    Fault(LinkFault),
}

/// Collects a handshake: 68 bytes, whatever the reads they come in, and whatever hides them.
#[derive(Debug)]
pub struct Lobby {
    cover: Cover,
    bytes: Vec<u8>,
    rest: Option<Chunk>,
}

/// What is over the stream.
#[derive(Debug)]
enum Cover {
    /// The first bytes will tell.
    Unknown(Admission, Rng),
    /// Nothing.
    Plain,
    /// The handshake of an encrypted link that we opened.
    Calling(Box<Initiator>),
    /// The handshake of an encrypted link that was opened to us.
    Called(Box<Responder>),
    /// It is encrypted, for this torrent.
    Secured(Box<Crypt>, InfoHash),
}

impl Default for Lobby {
    /// For a link that is plain, whoever opened it.
    fn default() -> Self {
        Self::new(Cover::Plain)
    }
}

impl Lobby {
    fn new(cover: Cover) -> Self {
        Self { cover, bytes: Vec::new(), rest: None }
    }

    /// For a link that a stranger opened. `rng` is for this link alone.
    pub fn called(admission: Admission, rng: Rng) -> Self {
        Self::new(Cover::Unknown(admission, rng))
    }

    /// For a link that we opened, to be encrypted at one of `levels`; `hello` opens the stream within. `None` in a build
    /// that can't.
    pub fn calling(hello: &Handshake, levels: Levels, rng: Rng) -> Option<(Self, Answer)> {
        let (initiator, step) = mse::call(hello.info_hash, levels, hello.encode().to_vec(), rng)?;
        let mut lobby = Self::new(Cover::Calling(Box::new(initiator)));
        let answer = lobby.on_step(step);
        Some((lobby, answer))
    }

    /// Bytes came.
    pub fn on_received(&mut self, data: Chunk) -> Answer {
        match &mut self.cover {
            Cover::Unknown(..) => {
                self.bytes.extend_from_slice(&data);
                self.decide()
            }
            Cover::Plain => self.collect(data),
            Cover::Calling(initiator) => {
                let step = initiator.on_received(&data);
                self.on_step(step)
            }
            Cover::Called(responder) => {
                let step = responder.on_received(&data);
                self.on_step(step)
            }
            Cover::Secured(crypt, _) => {
                let data = crypt.decrypt(data);
                self.collect(data)
            }
        }
    }

    /// The exchange that was asked for is done.
    pub fn on_exchanged(&mut self, exchanged: &Exchanged) -> Answer {
        let step = match &mut self.cover {
            Cover::Calling(initiator) => initiator.on_exchanged(exchanged),
            Cover::Called(responder) => responder.on_exchanged(exchanged),
            Cover::Unknown(..) | Cover::Plain | Cover::Secured(..) => return Answer::then(Next::Wait),
        };
        self.on_step(step)
    }

    /// The torrent with the name that was asked for, if it is ours.
    pub fn on_named(&mut self, skey: Option<InfoHash>) -> Answer {
        let Cover::Called(responder) = &mut self.cover else { return Answer::then(Next::Wait) };
        let step = responder.on_named(skey);
        self.on_step(step)
    }

    /// Whether what hides the stream isn't agreed upon yet: the other side may not speak it at all.
    pub fn is_unagreed(&self) -> bool {
        matches!(self.cover, Cover::Calling(_))
    }

    /// Bytes for the other side, as they go over the link.
    #[must_use]
    pub fn seal(&mut self, data: Chunk) -> Chunk {
        match &mut self.cover {
            Cover::Secured(crypt, _) => crypt.encrypt(data),
            Cover::Unknown(..) | Cover::Plain | Cover::Calling(_) | Cover::Called(_) => data,
        }
    }

    /// The whole handshake and what came behind it, once, if it is whole.
    pub fn take_whole(&mut self) -> Option<(Handshake, Chunk)> {
        let handshake = Handshake::parse(&self.bytes).ok()?.whole()?;
        self.bytes = Vec::new();
        Some((handshake, self.rest.take().unwrap_or_else(|| Chunk::copy_from(&[]))))
    }

    /// The level at which the stream is encrypted, if it is.
    pub fn level(&self) -> Option<Level> {
        match &self.cover {
            Cover::Secured(crypt, _) => Some(crypt.level()),
            Cover::Unknown(..) | Cover::Plain | Cover::Calling(_) | Cover::Called(_) => None,
        }
    }

    /// What the stream is under from here on.
    pub fn into_crypt(self) -> Option<Box<Crypt>> {
        match self.cover {
            Cover::Secured(crypt, _) => Some(crypt),
            Cover::Unknown(..) | Cover::Plain | Cover::Calling(_) | Cover::Called(_) => None,
        }
    }

    /// A plain link says so with its first 20 bytes; whatever else begins may be a key.
    fn decide(&mut self) -> Answer {
        let plain = PROTOCOL.iter().zip(&self.bytes).all(|(want, got)| want == got);
        if plain && self.bytes.len() < PROTOCOL_BYTES {
            return Answer::then(Next::Wait);
        }
        let came = Chunk::from(core::mem::take(&mut self.bytes));
        let Cover::Unknown(admission, rng) = core::mem::replace(&mut self.cover, Cover::Plain) else {
            return self.collect(came);
        };
        if plain && !admission.plain {
            return Answer::then(Next::Fault(LinkFault::Plain));
        }
        if !plain
            && admission.levels != Levels::default()
            && let Some(responder) = mse::answer(admission.levels, rng)
        {
            self.cover = Cover::Called(Box::new(responder));
            return self.on_received(came);
        }
        self.collect(came)
    }

    fn collect(&mut self, mut data: Chunk) -> Answer {
        let missing = HANDSHAKE_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&data.split_to(missing));
        if !data.is_empty() {
            self.rest = Some(match self.rest.take() {
                None => data,
                // Only before a stranger's link is answered: bounded by the link's first credit.
                Some(before) => Chunk::from([&*before, &*data].concat()),
            });
        }
        let partial = match Handshake::parse(&self.bytes) {
            Ok(partial) => partial,
            Err(error) => return Answer::then(Next::Fault(error.into())),
        };
        let Some((info_hash, reserved)) = partial.info_hash.zip(partial.reserved) else {
            return Answer::then(Next::Wait);
        };
        let skey = if let Cover::Secured(_, skey) = &self.cover { Some(*skey) } else { None };
        Answer::then(Next::Known(Prelude { info_hash, reserved, peer_id: partial.peer_id, skey }))
    }

    fn on_step(&mut self, step: mse::Step) -> Answer {
        let then = match step.then {
            Then::Wait => Next::Wait,
            Then::Exchange(job) => Next::Exchange(job),
            Then::Asked(name) => Next::Named(name),
            Then::Fault(error) => Next::Fault(error.into()),
            Then::Done(secured) => {
                let Secured { skey, crypt, rest } = *secured;
                self.cover = Cover::Secured(Box::new(crypt), skey);
                self.collect(rest).then
            }
        };
        Answer { say: step.say, then }
    }
}

impl Answer {
    const fn then(then: Next) -> Self {
        Self { say: Vec::new(), then }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::handshake::HandshakeError;

    const PLAIN: Admission = Admission { plain: true, levels: Levels(0) };

    fn hello() -> Handshake {
        Handshake { reserved: Reserved::NONE, info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]) }
    }

    fn lobby(admission: Admission) -> Lobby {
        Lobby::called(admission, Rng::new([1; 32]))
    }

    #[test]
    fn a_torrent_is_named_before_the_peer_id_has_come_and_nothing_behind_is_lost() {
        let mut bytes = hello().encode().to_vec();
        bytes.extend_from_slice(b"session");
        for admission in [PLAIN, Admission { plain: true, levels: Levels::BOTH }] {
            for cut in 48..bytes.len() {
                let mut lobby = lobby(admission);
                let answer = lobby.on_received(Chunk::copy_from(&bytes[..cut]));
                let Next::Known(prelude) = answer.then else { panic!("{answer:?}") };
                assert_eq!((prelude.info_hash, prelude.skey), (InfoHash([1; 20]), None));
                let _ = lobby.on_received(Chunk::copy_from(&bytes[cut..]));
                let (whole, rest) = lobby.take_whole().unwrap();
                assert_eq!((whole, &*rest), (hello(), &b"session"[..]));
            }
        }
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte_where_only_plain_links_are_taken() {
        let answer = lobby(PLAIN).on_received(Chunk::copy_from(b"GET / HTTP/1.1"));
        let error = LinkFault::Handshake(HandshakeError::Protocol { at: 0 });
        assert!(matches!(answer.then, Next::Fault(fault) if fault == error));
    }

    #[test]
    fn a_plain_link_is_refused_by_its_name_where_encryption_is_required() {
        let mut lobby = lobby(Admission { plain: false, levels: Levels::BOTH });
        let bytes = hello().encode();
        let mut answers = bytes.iter().map(|byte| lobby.on_received(Chunk::copy_from(&[*byte])).then);
        let at = answers.position(|then| matches!(then, Next::Fault(LinkFault::Plain)));
        assert_eq!(at, Some(PROTOCOL_BYTES - 1));
    }
}

#[cfg(feature = "mse")]
#[cfg(test)]
mod encrypted {
    //! Two lobbies face to face, as two drivers that shard would have them.
    use super::*;

    fn hello(n: u8) -> Handshake {
        Handshake { reserved: Reserved::NONE, info_hash: InfoHash([1; 20]), peer_id: PeerId([n; 20]) }
    }

    /// Carries an answer on; says what is known at the end of it.
    fn follow(lobby: &mut Lobby, mut answer: Answer, out: &mut Vec<u8>) -> Option<Prelude> {
        loop {
            out.append(&mut answer.say);
            answer = match answer.then {
                Next::Wait => return None,
                Next::Exchange(job) => lobby.on_exchanged(&mse::exchange(&job)),
                Next::Named(name) => {
                    let ours = InfoHash([1; 20]);
                    lobby.on_named((name == VeiledHash::of(ours)).then_some(ours))
                }
                Next::Known(prelude) => return Some(prelude),
                Next::Fault(fault) => panic!("{fault}"),
            };
        }
    }

    #[test]
    fn an_encrypted_link_is_known_by_its_torrent_and_carries_both_handshakes_however_they_come() {
        for (levels, level) in [(Levels::BOTH, Level::Plain), (Levels::only(Level::Rc4), Level::Rc4)] {
            for part in [1, 90, 4096] {
                let admission = Admission { plain: true, levels };
                let mut b = Lobby::called(admission, Rng::new([1; 32]));
                let (mut a, first) = Lobby::calling(&hello(3), levels, Rng::new([2; 32])).unwrap();
                let (mut to_a, mut to_b) = (Vec::new(), Vec::new());
                follow(&mut a, first, &mut to_b);
                let (mut named, mut answered) = (None, false);
                while !to_a.is_empty() || !to_b.is_empty() {
                    for bytes in core::mem::take(&mut to_b).chunks(part) {
                        let answer = b.on_received(Chunk::copy_from(bytes));
                        named = named.or(follow(&mut b, answer, &mut to_a));
                    }
                    if named.is_some() && !answered {
                        answered = true;
                        to_a.extend_from_slice(&b.seal(Chunk::copy_from(&hello(4).encode())));
                    }
                    for bytes in core::mem::take(&mut to_a).chunks(part) {
                        let answer = a.on_received(Chunk::copy_from(bytes));
                        follow(&mut a, answer, &mut to_b);
                    }
                }
                assert_eq!(named.and_then(|prelude| prelude.skey), Some(InfoHash([1; 20])));
                assert_eq!(b.take_whole().unwrap().0, hello(3));
                assert_eq!(a.take_whole().unwrap().0, hello(4));
                assert!(!a.is_unagreed());
                assert_eq!(
                    (a.into_crypt().unwrap().level(), b.into_crypt().unwrap().level()),
                    (level, level)
                );
            }
        }
    }
}
