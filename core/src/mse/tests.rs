//! Both sides face to face, and strangers who lie.

use super::*;
use crate::base::Rng;
use crate::wire::mse::{
    Exchanged, HASH_BYTES, KEY_BYTES, Level, Levels, PrivateKey, PublicKey, SharedSecret, Side, TERMS_BYTES,
    Terms,
};
use std::vec;

const SKEY: InfoHash = InfoHash([7; 20]);
const HELLO: &[u8] = b"the first bytes of the stream";

fn rng(n: u8) -> Rng {
    Rng::new([n; 32])
}

/// One side of a link, its exchanges done at once.
enum Machine {
    A(Initiator),
    B(Responder),
}

/// A side and what came of it.
struct End {
    machine: Machine,
    sent: Vec<u8>,
    exchanges: usize,
    asked: Option<VeiledHash>,
    done: Option<Box<Secured>>,
    fault: Option<MseError>,
}

impl End {
    fn a(offered: Levels, seed: u8) -> Self {
        let (machine, step) = Initiator::new(SKEY, offered, HELLO.to_vec(), rng(seed));
        let mut end = Self::new(Machine::A(machine));
        end.take(step);
        end
    }

    fn b(accepted: Levels, seed: u8) -> Self {
        Self::new(Machine::B(Responder::new(accepted, rng(seed))))
    }

    fn new(machine: Machine) -> Self {
        Self { machine, sent: Vec::new(), exchanges: 0, asked: None, done: None, fault: None }
    }

    fn take(&mut self, step: Step) {
        self.sent.extend_from_slice(&step.say);
        match step.then {
            Then::Wait => {}
            Then::Exchange(job) => {
                self.exchanges += 1;
                let exchanged = exchange(&job);
                let step = match &mut self.machine {
                    Machine::A(a) => a.on_exchanged(&exchanged),
                    Machine::B(b) => b.on_exchanged(&exchanged),
                };
                self.take(step);
            }
            Then::Asked(name) => {
                self.asked = Some(name);
                let Machine::B(b) = &mut self.machine else { unreachable!("only B is asked") };
                let step = b.on_named((name == VeiledHash::of(SKEY)).then_some(SKEY));
                self.take(step);
            }
            Then::Done(secured) => self.done = Some(secured),
            Then::Fault(error) => self.fault = Some(error),
        }
    }

    /// Bytes come; behind the handshake they are the stream's.
    fn receive(&mut self, data: &[u8]) {
        if let Some(done) = &mut self.done {
            let more = done.crypt.decrypt(Chunk::copy_from(data));
            done.rest = Chunk::from([&*done.rest, &*more].concat());
            return;
        }
        let step = match &mut self.machine {
            Machine::A(a) => a.on_received(data),
            Machine::B(b) => b.on_received(data),
        };
        self.take(step);
    }

    fn receive_in(&mut self, data: &[u8], part: usize) {
        data.chunks(part).for_each(|part| self.receive(part));
    }

    fn level(&self) -> Option<Level> {
        self.done.as_ref().map(|done| done.crypt.level())
    }

    fn say(&mut self, stream: &[u8]) {
        let crypt = &mut self.done.as_mut().unwrap().crypt;
        self.sent.extend_from_slice(&crypt.encrypt(Chunk::copy_from(stream)));
    }

    fn heard(&self) -> &[u8] {
        self.done.as_ref().map_or(&[], |done| &done.rest)
    }
}

/// Lets both talk, in parts of so many bytes, until neither has more to say.
fn drive(a: &mut End, b: &mut End, part: usize) {
    while !a.sent.is_empty() || !b.sent.is_empty() {
        b.receive_in(&core::mem::take(&mut a.sent), part);
        a.receive_in(&core::mem::take(&mut b.sent), part);
    }
}

#[test]
fn both_sides_agree_on_each_level_however_the_bytes_come() {
    let (plain, rc4) = (Levels::only(Level::Plain), Levels::only(Level::Rc4));
    let cases = [
        (Levels::BOTH, Levels::BOTH, Level::Plain),
        (Levels::BOTH, rc4, Level::Rc4),
        (rc4, Levels::BOTH, Level::Rc4),
        (plain, Levels::BOTH, Level::Plain),
    ];
    for (seed, (offered, accepted, level)) in (1..).zip(cases) {
        for part in [1, 5, 97, 100_000] {
            let (mut a, mut b) = (End::a(offered, seed), End::b(accepted, seed + 100));
            drive(&mut a, &mut b, part);
            assert_eq!((a.level(), b.level()), (Some(level), Some(level)), "{:?} {:?}", a.fault, b.fault);
            assert_eq!(b.heard(), HELLO, "the stream's first bytes came along");
            a.say(b" and more");
            b.say(b"an answer");
            if level == Level::Rc4 {
                assert_ne!((&a.sent[..], &b.sent[..]), (&b" and more"[..], &b"an answer"[..]));
            } else {
                assert_eq!((&a.sent[..], &b.sent[..]), (&b" and more"[..], &b"an answer"[..]));
            }
            drive(&mut a, &mut b, part);
            assert_eq!((a.heard(), b.heard()), (&b"an answer"[..], &[HELLO, b" and more"].concat()[..]));
            assert_eq!((a.exchanges, b.exchanges), (2, 1), "a stranger gets no second exchange");
        }
    }
}

#[test]
fn every_length_of_padding_works() {
    for seed in 0..100 {
        let (mut a, mut b) = (End::a(Levels::BOTH, seed), End::b(Levels::BOTH, seed + 100));
        drive(&mut a, &mut b, 1448);
        assert_eq!((a.level(), b.level()), (Some(Level::Plain), Some(Level::Plain)), "seed {seed}");
    }
}

#[test]
fn pitfall_7_nobody_waits_for_a_full_pad() {
    // Each side answers the other's key before a byte of padding came, and both end without any.
    let (mut a, mut b) = (End::a(Levels::BOTH, 1), End::b(Levels::BOTH, 2));
    b.receive(&a.sent[..KEY_BYTES]);
    assert!(b.sent.len() >= KEY_BYTES, "B answers a key at once");
    a.sent.clear();
    a.receive(&b.sent[..KEY_BYTES]);
    assert!(a.sent.len() >= 2 * HASH_BYTES + TERMS_BYTES, "A answers a key at once");
    b.sent.clear();
    drive(&mut a, &mut b, 100_000);
    assert_eq!((a.level(), b.level()), (Some(Level::Plain), Some(Level::Plain)));
}

/// A stranger that speaks as B does, by hand: its key, the secret, its key stream.
struct Stranger {
    key: PublicKey,
    secret: SharedSecret,
}

impl Stranger {
    fn meets(theirs: &[u8]) -> Self {
        let theirs = theirs.first_chunk().map(|key| PublicKey(*key));
        let job = KeyExchange { private: PrivateKey([9; 20]), public: true, theirs };
        let Exchanged { public, secret } = exchange(&job);
        Self { key: public.unwrap(), secret: secret.unwrap() }
    }

    fn cipher(&self, side: Side) -> Cipher {
        Cipher::new(&self.secret.stream_key(side, SKEY))
    }

    fn hidden(&self, side: Side, bytes: &[u8]) -> Vec<u8> {
        self.cipher(side).copy(bytes)
    }
}

/// An initiator that sent its terms to a stranger, and that stranger.
fn called() -> (End, Stranger) {
    let mut a = End::a(Levels::BOTH, 1);
    let stranger = Stranger::meets(&a.sent);
    a.sent.clear();
    a.receive(&stranger.key.0);
    (a, stranger)
}

/// A responder that a stranger called, and that stranger.
fn calling() -> (End, Stranger) {
    let mut b = End::b(Levels::BOTH, 2);
    let (key, _) = (Stranger::meets(&[2; KEY_BYTES]).key, ());
    b.receive(&key.0);
    let stranger = Stranger::meets(&b.sent);
    (b, stranger)
}

#[test]
fn pitfall_7_the_third_step_is_clear_in_its_two_hashes_and_rc4_from_there_on() {
    let (a, stranger) = called();
    let secret = &stranger.secret;
    assert_eq!(a.sent[..20], secret.mark());
    assert_eq!(a.sent[20..40], secret.veil(VeiledHash::of(SKEY)));
    let clear = stranger.hidden(Side::A, &a.sent[40..]);
    let terms = Terms::parse(clear.first_chunk().unwrap()).unwrap();
    assert_eq!(terms.levels, Levels::BOTH);
    let behind = &clear[TERMS_BYTES + usize::from(terms.pad_bytes)..];
    assert_eq!(behind, [&[0, HELLO.len() as u8], HELLO].concat());
}

#[test]
fn pitfall_7_the_initiator_finds_the_encrypted_constant_behind_any_padding_but_no_longer_one() {
    for (pad, found) in [(0, true), (1, true), (512, true), (513, false)] {
        let (mut a, stranger) = called();
        let choice = Terms { levels: Levels::only(Level::Rc4), pad_bytes: 0 };
        let answer = [vec![0xaa; pad], stranger.hidden(Side::B, &choice.encode())].concat();
        a.receive_in(&answer, 3);
        assert_eq!(a.level().is_some(), found, "{pad}");
        assert_eq!(a.fault, (!found).then_some(MseError::NoMark));
    }
}

#[test]
fn infinite_padding_is_no_handshake_for_either_side_and_keeps_nothing() {
    let (mut a, _) = called();
    let (mut b, _) = calling();
    for end in [&mut a, &mut b] {
        end.receive(&[0xaa; 511]);
        assert_eq!(end.fault, None);
        end.receive(&[0xaa; 21]);
        assert_eq!(end.fault, Some(MseError::NoMark));
    }
    // While an exchange is out, nobody can have more to say than padding.
    let mut b = Responder::new(Levels::BOTH, rng(1));
    assert!(matches!(b.on_received(&[2; KEY_BYTES]).then, Then::Exchange(_)));
    assert!(matches!(b.on_received(&[0; 512]).then, Then::Wait));
    assert!(matches!(b.on_received(&[0; 1]).then, Then::Fault(MseError::TooMuch { bytes: 513 })));
    let (mut a, _) = Initiator::new(SKEY, Levels::BOTH, Vec::new(), rng(1));
    assert!(matches!(a.on_received(&[0; 609]).then, Then::Fault(MseError::TooMuch { bytes: 609 })));
}

#[test]
fn pitfall_7_weak_keys_are_refused_before_anything_is_computed() {
    let mut one = [0; KEY_BYTES];
    one[KEY_BYTES - 1] = 1;
    for weak in [[0; KEY_BYTES], one, [0xff; KEY_BYTES]] {
        let mut b = End::b(Levels::BOTH, 1);
        b.receive(&weak);
        assert_eq!((b.fault, b.exchanges, b.sent.len()), (Some(MseError::WeakKey), 0, 0));
        let mut a = End::a(Levels::BOTH, 1);
        a.receive(&weak);
        assert_eq!((a.fault, a.exchanges), (Some(MseError::WeakKey), 1));
    }
}

#[test]
fn a_caller_who_names_no_torrent_of_ours_is_refused() {
    let (mut b, stranger) = calling();
    let other = VeiledHash::of(InfoHash([8; 20]));
    b.receive(&[stranger.secret.mark(), stranger.secret.veil(other)].concat());
    assert_eq!((b.asked, b.fault), (Some(other), Some(MseError::UnknownTorrent)));
}

#[test]
fn a_caller_with_a_wrong_constant_or_no_level_or_too_much_padding_is_refused() {
    let good = Terms { levels: Levels::BOTH, pad_bytes: 0 };
    let mut wrong = good.encode();
    wrong[0] = 1;
    let long = Terms { pad_bytes: 513, ..good }.encode();
    let none = Terms { levels: Levels(0xf0), ..good }.encode();
    let cases = [
        (wrong, MseError::Terms(TermsError::Verification)),
        (long, MseError::Terms(TermsError::Pad { bytes: 513 })),
        (none, MseError::NoLevel { levels: 0xf0 }),
    ];
    for (terms, error) in cases {
        let (mut b, stranger) = calling();
        b.receive(&[stranger.secret.mark(), stranger.secret.veil(VeiledHash::of(SKEY))].concat());
        b.receive_in(&stranger.hidden(Side::A, &terms), 4);
        assert_eq!(b.fault, Some(error));
    }
}

#[test]
fn a_choice_of_both_or_none_or_what_was_not_offered_is_refused() {
    for levels in [0, 3, 4] {
        let (mut a, stranger) = called();
        let choice = Terms { levels: Levels(levels), pad_bytes: 0 };
        a.receive(&stranger.hidden(Side::B, &choice.encode()));
        assert_eq!(a.fault, Some(MseError::NoLevel { levels }));
    }
    let mut a = End::a(Levels::only(Level::Rc4), 1);
    let stranger = Stranger::meets(&a.sent);
    let choice = Terms { levels: Levels::only(Level::Plain), pad_bytes: 0 };
    a.receive(&[stranger.key.0.to_vec(), stranger.hidden(Side::B, &choice.encode())].concat());
    assert_eq!(a.fault, Some(MseError::NoLevel { levels: 1 }));
}

#[test]
fn a_plain_stream_begins_behind_initial_bytes_that_are_encrypted() {
    // The initial bytes come in pieces, the plain ones right behind them in the same read.
    for part in [1, 10, 1000] {
        let (mut b, stranger) = calling();
        let terms = Terms { levels: Levels::only(Level::Plain), pad_bytes: 3 };
        let hidden = [&terms.encode()[..], &[0; 3], &[0, 4], b"init"].concat();
        let mut bytes = [stranger.secret.mark(), stranger.secret.veil(VeiledHash::of(SKEY))].concat();
        bytes.extend_from_slice(&stranger.hidden(Side::A, &hidden));
        bytes.extend_from_slice(b"plain");
        b.receive_in(&bytes, part);
        assert_eq!(b.heard(), b"initplain");
        assert!(b.done.is_some_and(|done| done.crypt.is_done()), "nothing is left to do");
    }
}

#[test]
fn garbage_ends_and_never_in_a_handshake() {
    let mut rng = rng(3);
    for _ in 0..200 {
        let (mut a, _) = called();
        let (mut b, _) = calling();
        for end in [&mut a, &mut b] {
            let mut garbage = vec![0; 700];
            rng.fill(&mut garbage);
            end.receive_in(&garbage, 1 + rng.below(300) as usize);
            assert!(end.done.is_none() && end.fault == Some(MseError::NoMark));
        }
    }
}
