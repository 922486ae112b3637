//! The side that opened the link: its six states, each left by one fact. Who answers it, and what the stream says, are not
//! here.

use super::exchange::is_weak;
use super::greeting::{common, greeting, pad_bytes};
use super::inbox::{Found, Inbox};
use super::{Cipher, Crypt, MseError, Secured, Step, Then};
use crate::base::Rng;
use crate::wire::InfoHash;
use crate::wire::mse::{
    Exchanged, KEY_BYTES, KeyExchange, Levels, PAD_BYTES_MAX, PrivateKey, PublicKey, SharedSecret, Side,
    TERMS_BYTES, Terms, VERIFICATION_BYTES, VeiledHash,
};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A handshake from the side that opened the link.
#[derive(Debug)]
pub struct Initiator {
    state: State,
    inbox: Inbox,
    terms: Proposal,
    rng: Rng,
}

/// What we open the stream with.
#[derive(Debug)]
struct Proposal {
    skey: InfoHash,
    offered: Levels,
    private: PrivateKey,
    /// The first bytes of our stream, sent along: they cost no round trip.
    initial: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Our public key is being computed.
    Pairing,
    /// Our key is sent; theirs is to come.
    Calling,
    /// The secret is being computed.
    Exchanging,
    /// Our terms are sent; their verification constant, encrypted, ends their padding.
    Seeking { send: Cipher, receive: Cipher, mark: [u8; VERIFICATION_BYTES] },
    /// Their choice is to come, and its padding.
    Choosing { send: Cipher, receive: Cipher },
    /// It is over.
    Done,
}

/// The terms behind the verification constant, in bytes.
const CHOICE_BYTES: usize = TERMS_BYTES - VERIFICATION_BYTES;

/// Begins a handshake on a link that we opened; none in a build without this room's machines.
pub fn call(skey: InfoHash, offered: Levels, initial: Vec<u8>, rng: Rng) -> Option<(Initiator, Step)> {
    Some(Initiator::new(skey, offered, initial, rng))
}

impl Initiator {
    /// Begins: `skey` is the torrent, `offered` what the other side may choose from, `initial` the first bytes of our
    /// stream (the handshake of BEP 3), at most 65,535.
    pub fn new(skey: InfoHash, offered: Levels, initial: Vec<u8>, mut rng: Rng) -> (Self, Step) {
        debug_assert!(initial.len() <= usize::from(u16::MAX), "its length goes into 16 bits");
        let private = PrivateKey(rng.bytes());
        let job = KeyExchange { private, public: true, theirs: None };
        let terms = Proposal { skey, offered, private, initial };
        let machine = Self { state: State::Pairing, inbox: Inbox::default(), terms, rng };
        (machine, Step::then(Then::Exchange(Box::new(job))))
    }

    /// Bytes came.
    pub fn on_received(&mut self, data: &[u8]) -> Step {
        self.inbox.push(data);
        self.advance()
    }

    /// The exchange that was asked for is done.
    pub fn on_exchanged(&mut self, exchanged: &Exchanged) -> Step {
        match core::mem::replace(&mut self.state, State::Done) {
            State::Pairing => {
                let Some(public) = &exchanged.public else { return Step::WAIT };
                let say = greeting(public, &mut self.rng);
                self.state = State::Calling;
                self.advance().after(say)
            }
            State::Exchanging => {
                let Some(secret) = &exchanged.secret else { return Step::WAIT };
                let say = self.propose(secret);
                self.advance().after(say)
            }
            other @ (State::Calling | State::Seeking { .. } | State::Choosing { .. } | State::Done) => {
                self.state = other;
                Step::WAIT
            }
        }
    }

    fn advance(&mut self) -> Step {
        loop {
            let state = core::mem::replace(&mut self.state, State::Done);
            let (next, step) = self.step(state);
            self.state = next;
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// One state consumed; a step if it says something or has to wait.
    fn step(&mut self, state: State) -> (State, Option<Step>) {
        match state {
            State::Pairing => (State::Pairing, Some(self.wait(KEY_BYTES + PAD_BYTES_MAX))),
            State::Calling => match self.inbox.take() {
                None => (State::Calling, Some(Step::WAIT)),
                Some(key) => self.on_key(PublicKey(key)),
            },
            State::Exchanging => (State::Exchanging, Some(self.wait(PAD_BYTES_MAX))),
            State::Seeking { send, receive, mark } => match self.inbox.find(&mark) {
                Found::NotYet => (State::Seeking { send, receive, mark }, Some(Step::WAIT)),
                Found::Never => (State::Done, Some(Step::fault(MseError::NoMark))),
                Found::At(end) => {
                    self.inbox.skip(end);
                    (State::Choosing { send, receive }, None)
                }
            },
            State::Choosing { send, receive } => self.choose(send, receive),
            State::Done => (State::Done, Some(Step::WAIT)),
        }
    }

    /// They can know nothing to say yet but a key and padding.
    fn wait(&self, bytes_max: usize) -> Step {
        let bytes = self.inbox.len();
        if bytes > bytes_max { Step::fault(MseError::TooMuch { bytes }) } else { Step::WAIT }
    }

    fn on_key(&mut self, key: PublicKey) -> (State, Option<Step>) {
        if is_weak(&key) {
            return (State::Done, Some(Step::fault(MseError::WeakKey)));
        }
        let job = KeyExchange { private: self.terms.private, public: false, theirs: Some(key) };
        (State::Exchanging, Some(Step::then(Then::Exchange(Box::new(job)))))
    }

    /// The secret is known: names the torrent in clear but veiled, and says everything else under our key stream.
    fn propose(&mut self, secret: &SharedSecret) -> Vec<u8> {
        let terms = &self.terms;
        let mut send = Cipher::new(&secret.stream_key(Side::A, terms.skey));
        let mut receive = Cipher::new(&secret.stream_key(Side::B, terms.skey));
        let pad = pad_bytes(&mut self.rng);
        let mut say = secret.mark().to_vec();
        say.extend_from_slice(&secret.veil(VeiledHash::of(terms.skey)));
        let clear = say.len();
        say.extend_from_slice(&Terms { levels: terms.offered, pad_bytes: pad as u16 }.encode());
        say.resize(say.len() + pad, 0);
        say.extend_from_slice(&(terms.initial.len() as u16).to_be_bytes());
        say.extend_from_slice(&terms.initial);
        let (_, hidden) = say.split_at_mut(clear);
        send.apply(hidden);
        let mut mark = [0; VERIFICATION_BYTES];
        receive.apply(&mut mark);
        self.state = State::Seeking { send, receive, mark };
        say
    }

    fn choose(&mut self, send: Cipher, mut receive: Cipher) -> (State, Option<Step>) {
        let Some(choice) = self.inbox.open(&mut receive, CHOICE_BYTES) else {
            return (State::Choosing { send, receive }, Some(Step::WAIT));
        };
        let mut head = [0; TERMS_BYTES];
        let (_, tail) = head.split_at_mut(VERIFICATION_BYTES);
        tail.copy_from_slice(choice.get(..CHOICE_BYTES).unwrap_or_default());
        let terms = match Terms::parse(&head) {
            Ok(terms) => terms,
            Err(error) => return (State::Done, Some(Step::fault(error.into()))),
        };
        let chosen = common(self.terms.offered, terms.levels).single();
        let Some(level) = chosen.filter(|_| terms.levels.single().is_some()) else {
            let levels = terms.levels.0;
            return (State::Done, Some(Step::fault(MseError::NoLevel { levels })));
        };
        let whole = CHOICE_BYTES + usize::from(terms.pad_bytes);
        if self.inbox.open(&mut receive, whole).is_none() {
            return (State::Choosing { send, receive }, Some(Step::WAIT));
        }
        self.inbox.skip(whole);
        let mut crypt = Crypt::new(level, send, receive, 0);
        let rest = crypt.decrypt(self.inbox.take_rest());
        let secured = Secured { skey: self.terms.skey, crypt, rest };
        (State::Done, Some(Step::then(Then::Done(Box::new(secured)))))
    }
}
