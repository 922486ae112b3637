//! Both sides of an encrypted handshake against a stranger: however its bytes are cut, they come to the same. The first
//! byte says how far the stranger keeps to the protocol, what we take, and how the bytes are cut; what it says beyond is
//! the rest, under its own key stream if it got so far.

use core::cell::RefCell;
use millstream_core::base::{Chunk, Rng};
use millstream_core::mse::{Cipher, Initiator, MseError, Responder, Secured, Step, Then, exchange};
use millstream_core::wire::InfoHash;
use millstream_core::wire::mse::{
    Exchanged, KEY_BYTES, KeyExchange, Level, Levels, PAD_BYTES_MAX, PrivateKey, PublicKey, SharedSecret,
    Side, VeiledHash,
};

const SKEY: InfoHash = InfoHash([7; 20]);
const INITIAL: &[u8] = b"the stream begins";

/// A responder, called by a stranger.
pub fn mse_responder(data: &[u8]) {
    let Some((&setup, said)) = data.split_first() else { return };
    let levels = Levels(u32::from(setup >> 2 & 3));
    let all = match setup & 3 {
        0 => said.to_vec(),
        1 => [&stranger().0[..], said].concat(),
        _ => {
            // It names our torrent, and says the rest under its key stream.
            let ours = Link::responder(levels).after(&stranger().0);
            let secret = secret_of(&ours.said);
            let hidden = Cipher::new(&secret.stream_key(Side::A, SKEY)).copy(said);
            let clear = [secret.mark(), secret.veil(VeiledHash::of(SKEY))].concat();
            [&stranger().0[..], &[0xaa; 33], &clear, &hidden].concat()
        }
    };
    judge(|| Link::responder(levels), &all, 1 + usize::from(setup >> 4) * 7);
}

/// An initiator that calls a stranger.
pub fn mse_initiator(data: &[u8]) {
    let Some((&setup, said)) = data.split_first() else { return };
    let levels = Levels(1 + u32::from(setup >> 2 & 3) % 3);
    let all = match setup & 3 {
        0 => said.to_vec(),
        1 => [&stranger().0[..], said].concat(),
        _ => {
            let secret = secret_of(&Link::initiator(levels).said);
            let mut stream = Cipher::new(&secret.stream_key(Side::B, SKEY));
            let hidden = stream.copy(&[&[0; 8], said].concat());
            [&stranger().0[..], &[0xaa; 33], &hidden].concat()
        }
    };
    judge(|| Link::initiator(levels), &all, 1 + usize::from(setup >> 4) * 7);
}

fn judge(link: impl Fn() -> Link, all: &[u8], cut: usize) {
    let whole = link().after(all);
    let parts = all.chunks(cut).fold(link(), Link::after);
    assert!(whole.fault == parts.fault, "{:?} in one, {:?} in parts of {cut}", whole.fault, parts.fault);
    assert!(whole.said == parts.said, "the same is said however it is cut");
    assert!(whole.heard() == parts.heard(), "the same is heard however it is cut");
    assert!(whole.exchanges <= 2 && whole.said.len() <= 3 * PAD_BYTES_MAX, "all of it is bounded");
}

enum Machine {
    A(Initiator),
    B(Responder),
}

struct Link {
    machine: Machine,
    said: Vec<u8>,
    exchanges: usize,
    done: Option<Box<Secured>>,
    stream: Vec<u8>,
    fault: Option<MseError>,
}

impl Link {
    fn initiator(levels: Levels) -> Self {
        let (machine, step) = Initiator::new(SKEY, levels, INITIAL.to_vec(), Rng::new([1; 32]));
        Self::new(Machine::A(machine)).follow(step)
    }

    fn responder(levels: Levels) -> Self {
        Self::new(Machine::B(Responder::new(levels, Rng::new([2; 32]))))
    }

    fn new(machine: Machine) -> Self {
        Self { machine, said: Vec::new(), exchanges: 0, done: None, stream: Vec::new(), fault: None }
    }

    fn after(mut self, data: &[u8]) -> Self {
        if self.fault.is_some() {
            return self;
        }
        if let Some(done) = &mut self.done {
            self.stream.extend_from_slice(&done.crypt.decrypt(Chunk::copy_from(data)));
            return self;
        }
        let step = match &mut self.machine {
            Machine::A(a) => a.on_received(data),
            Machine::B(b) => b.on_received(data),
        };
        self.follow(step)
    }

    fn follow(mut self, mut step: Step) -> Self {
        loop {
            self.said.append(&mut step.say);
            step = match (step.then, &mut self.machine) {
                (Then::Wait, _) => return self,
                (Then::Exchange(job), machine) => {
                    self.exchanges += 1;
                    let keys = exchange_once(&job);
                    match machine {
                        Machine::A(a) => a.on_exchanged(&keys),
                        Machine::B(b) => b.on_exchanged(&keys),
                    }
                }
                (Then::Asked(name), Machine::B(b)) => {
                    b.on_named((name == VeiledHash::of(SKEY)).then_some(SKEY))
                }
                (Then::Asked(_), Machine::A(_)) => panic!("only who is called is asked"),
                (Then::Done(done), _) => {
                    assert_eq!(done.skey, SKEY, "no other torrent is ours");
                    self.stream.extend_from_slice(&done.rest);
                    self.done = Some(done);
                    return self;
                }
                (Then::Fault(fault), _) => {
                    self.fault = Some(fault);
                    return self;
                }
            };
        }
    }

    fn heard(&self) -> (Option<Level>, &[u8]) {
        (self.done.as_ref().map(|done| done.crypt.level()), &self.stream)
    }
}

const STRANGER: PrivateKey = PrivateKey([9; 20]);

fn stranger() -> PublicKey {
    let job = KeyExchange { private: STRANGER, public: true, theirs: None };
    exchange_once(&job).public.expect("it was wanted")
}

/// What the stranger comes to with whoever greeted it so.
fn secret_of(greeting: &[u8]) -> SharedSecret {
    let theirs = greeting.first_chunk::<KEY_BYTES>().map(|key| PublicKey(*key));
    let job = KeyExchange { private: STRANGER, public: false, theirs };
    exchange_once(&job).secret.expect("a greeting begins with a key")
}

thread_local! {
    static KNOWN: RefCell<Vec<(KeyExchange, Exchanged)>> = const { RefCell::new(Vec::new()) };
}

/// An exchange; those between the fixed keys of here are done once.
fn exchange_once(job: &KeyExchange) -> Exchanged {
    KNOWN.with_borrow_mut(|known| {
        if let Some((_, keys)) = known.iter().find(|(other, _)| other == job) {
            return keys.clone();
        }
        let keys = exchange(job);
        if known.len() < 8 {
            known.push((job.clone(), keys.clone()));
        }
        keys
    })
}
