//! The side that was called: its six states, each left by one fact. Which torrents we have, and what the stream says, are
//! not here.

use super::exchange::is_weak;
use super::greeting::{common, greeting, pad_bytes};
use super::inbox::{Found, Inbox};
use super::{Cipher, Crypt, MseError, Secured, Step, Then};
use crate::base::Rng;
use crate::wire::InfoHash;
use crate::wire::mse::{
    Exchanged, HASH_BYTES, KeyExchange, Level, Levels, PAD_BYTES_MAX, PrivateKey, PublicKey, SharedSecret,
    Side, TERMS_BYTES, Terms,
};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A handshake from the side that was called. A caller costs us one exchange at most.
#[derive(Debug)]
pub struct Responder {
    state: State,
    inbox: Inbox,
    accepted: Levels,
    rng: Rng,
}

#[derive(Debug)]
enum State {
    /// Their public key is to come.
    Called,
    /// Our public key and the secret are being computed.
    Exchanging,
    /// Our key is sent; the mark of the secret ends their padding, the torrent's veiled name is behind it.
    Seeking { secret: Box<SharedSecret> },
    /// Which torrent has that name?
    Asked { secret: Box<SharedSecret> },
    /// Their terms are to come, and the padding and the length of the stream's first bytes behind them.
    Offered { skey: InfoHash, send: Cipher, receive: Cipher },
    /// It is over.
    Done,
}

/// The length of the stream's first bytes, in bytes.
const LENGTH_BYTES: usize = 2;

/// Answers a handshake on a link that was opened to us; nobody does in a build without this room's machines.
pub fn answer(accepted: Levels, rng: Rng) -> Option<Responder> {
    Some(Responder::new(accepted, rng))
}

impl Responder {
    /// Waits for a caller's key. Of the levels in `accepted` that the caller offers, the plain one is chosen if it may be:
    /// it costs nothing, and what has to be hidden is hidden by then.
    pub fn new(accepted: Levels, rng: Rng) -> Self {
        Self { state: State::Called, inbox: Inbox::default(), accepted, rng }
    }

    /// Bytes came.
    pub fn on_received(&mut self, data: &[u8]) -> Step {
        self.inbox.push(data);
        self.advance()
    }

    /// The exchange that was asked for is done.
    pub fn on_exchanged(&mut self, exchanged: &Exchanged) -> Step {
        let (State::Exchanging, Some(public), Some(secret)) =
            (&self.state, &exchanged.public, &exchanged.secret)
        else {
            return Step::WAIT;
        };
        self.state = State::Seeking { secret: Box::new(*secret) };
        let say = greeting(public, &mut self.rng);
        self.advance().after(say)
    }

    /// The torrent with the name that was asked for, if it is ours.
    pub fn on_named(&mut self, skey: Option<InfoHash>) -> Step {
        match core::mem::replace(&mut self.state, State::Done) {
            State::Asked { secret } => {
                let Some(skey) = skey else { return Step::fault(MseError::UnknownTorrent) };
                self.state = State::Offered {
                    skey,
                    send: Cipher::new(&secret.stream_key(Side::B, skey)),
                    receive: Cipher::new(&secret.stream_key(Side::A, skey)),
                };
                self.advance()
            }
            other @ (State::Called
            | State::Exchanging
            | State::Seeking { .. }
            | State::Offered { .. }
            | State::Done) => {
                self.state = other;
                Step::WAIT
            }
        }
    }

    fn advance(&mut self) -> Step {
        let state = core::mem::replace(&mut self.state, State::Done);
        let (next, step) = self.step(state);
        self.state = next;
        step
    }

    fn step(&mut self, state: State) -> (State, Step) {
        match state {
            State::Called => match self.inbox.take() {
                None => (State::Called, Step::WAIT),
                Some(key) => self.on_key(PublicKey(key)),
            },
            State::Exchanging => {
                let bytes = self.inbox.len();
                // Without our key they can say nothing but padding.
                if bytes > PAD_BYTES_MAX {
                    return (State::Done, Step::fault(MseError::TooMuch { bytes }));
                }
                (State::Exchanging, Step::WAIT)
            }
            State::Seeking { secret } => self.seek(secret),
            State::Asked { secret } => (State::Asked { secret }, Step::WAIT),
            State::Offered { skey, send, receive } => self.consider(skey, send, receive),
            State::Done => (State::Done, Step::WAIT),
        }
    }

    fn on_key(&mut self, key: PublicKey) -> (State, Step) {
        if is_weak(&key) {
            return (State::Done, Step::fault(MseError::WeakKey));
        }
        let private = PrivateKey(self.rng.bytes());
        let job = KeyExchange { private, public: true, theirs: Some(key) };
        (State::Exchanging, Step::then(Then::Exchange(Box::new(job))))
    }

    fn seek(&mut self, secret: Box<SharedSecret>) -> (State, Step) {
        let end = match self.inbox.find(&secret.mark()) {
            Found::At(end) => end,
            Found::NotYet => return (State::Seeking { secret }, Step::WAIT),
            Found::Never => return (State::Done, Step::fault(MseError::NoMark)),
        };
        if self.inbox.len() < end + HASH_BYTES {
            return (State::Seeking { secret }, Step::WAIT);
        }
        self.inbox.skip(end);
        let name = secret.unveil(self.inbox.take().expect("the name's bytes were counted"));
        (State::Asked { secret }, Step::then(Then::Asked(name)))
    }

    fn consider(&mut self, skey: InfoHash, send: Cipher, mut receive: Cipher) -> (State, Step) {
        let head = self.inbox.open(&mut receive, TERMS_BYTES).and_then(<[u8]>::first_chunk);
        let Some(head) = head else { return (State::Offered { skey, send, receive }, Step::WAIT) };
        let terms = match Terms::parse(head) {
            Ok(terms) => terms,
            Err(error) => return (State::Done, Step::fault(error.into())),
        };
        let common = common(self.accepted, terms.levels);
        let Some(level) = [Level::Plain, Level::Rc4].into_iter().find(|level| common.has(*level)) else {
            return (State::Done, Step::fault(MseError::NoLevel { levels: terms.levels.0 }));
        };
        let whole = TERMS_BYTES + usize::from(terms.pad_bytes) + LENGTH_BYTES;
        let length = self.inbox.open(&mut receive, whole).and_then(<[u8]>::last_chunk);
        let Some(length) = length.copied() else {
            return (State::Offered { skey, send, receive }, Step::WAIT);
        };
        self.inbox.skip(whole);
        self.answer(skey, level, send, (receive, usize::from(u16::from_be_bytes(length))))
    }

    /// Says which level it is. The stream's first bytes are left to whoever reads the stream: nothing waits for them.
    fn answer(
        &mut self,
        skey: InfoHash,
        level: Level,
        mut send: Cipher,
        (receive, initial): (Cipher, usize),
    ) -> (State, Step) {
        let pad = pad_bytes(&mut self.rng);
        let mut say: Vec<u8> = Terms { levels: Levels::only(level), pad_bytes: pad as u16 }.encode().to_vec();
        say.resize(say.len() + pad, 0);
        send.apply(&mut say);
        let mut crypt = Crypt::new(level, send, receive, initial);
        let rest = crypt.decrypt(self.inbox.take_rest());
        let secured = Secured { skey, crypt, rest };
        (State::Done, Step { say, then: Then::Done(Box::new(secured)) })
    }
}
