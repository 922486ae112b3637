//! The journal of one engine: `new` and every call that takes `&mut self`, with its arguments and its answer; and a
//! player that makes the same calls again and tells where the answers differ.

use millstream_core::base::{Chunk, ConnId, Instant, LocalId};
use millstream_core::engine::{
    Command, CommandError, Config, Datagrams, Effect, Engine, Incoming, Input, Refusal, Reply, Transmit,
};

/// A call.
#[derive(Clone, Debug)]
pub enum Call {
    /// `handle_input`.
    Input(Input),
    /// `handle_timeout`.
    Timeout,
    /// `poll_effect`.
    Effect,
    /// `poll_event`.
    Event,
    /// `poll_transmit`.
    Transmit(ConnId, usize),
    /// `poll_datagrams`.
    Datagrams(LocalId, usize),
    /// `command`.
    Command(Command),
    /// `accept`.
    Accept(Incoming),
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of a call that gives nothing.
    Nothing,
    /// Of `poll_effect`.
    Effect(Option<Effect>),
    /// Of `poll_event`, in text.
    Event(Option<String>),
    /// Of `poll_transmit`.
    Transmit(Option<Transmit>),
    /// Of `poll_datagrams`.
    Datagrams(Option<Datagrams>),
    /// Of `command`.
    Command(Result<Reply, CommandError>),
    /// Of `accept`.
    Accept(Result<ConnId, Refusal>),
}

/// A journal.
#[derive(Clone, Debug)]
pub struct Tape {
    /// What `new` was called with.
    pub config: Config,
    /// What `new` was called with.
    pub seed: [u8; 32],
    /// What `new` was called with.
    pub start: Instant,
    /// Every call since, and its answer.
    pub calls: Vec<(Instant, Call, Answer)>,
}

/// Makes a call.
pub fn make(engine: &mut Engine, now: Instant, call: Call) -> Answer {
    match call {
        Call::Input(input) => engine.handle_input(now, input),
        Call::Timeout => engine.handle_timeout(now),
        Call::Effect => return Answer::Effect(engine.poll_effect()),
        Call::Event => return Answer::Event(engine.poll_event().map(|event| format!("{event:?}"))),
        Call::Transmit(conn, max) => return Answer::Transmit(engine.poll_transmit(now, conn, max)),
        Call::Datagrams(local, max) => return Answer::Datagrams(engine.poll_datagrams(now, local, max)),
        Call::Command(command) => return Answer::Command(engine.command(now, command)),
        Call::Accept(incoming) => return Answer::Accept(engine.accept(now, incoming)),
    }
    Answer::Nothing
}

/// A copy whose chunks have buffers of their own, as the engine may demand of what comes in.
pub fn own(call: &Call) -> Call {
    let mut copy = call.clone();
    if let Call::Input(Input::Received { data, .. } | Input::Datagrams { data, .. }) = &mut copy {
        *data = Chunk::copy_from(data);
    }
    copy
}

impl Tape {
    /// Plays all calls to a new engine. The first that is answered otherwise is the error: its number, what the journal
    /// has, what came now.
    pub fn replay(&self) -> Result<Engine, Box<(usize, Answer, Answer)>> {
        let mut engine = Engine::new(self.config.clone(), self.seed, self.start);
        for (n, (now, call, answer)) in self.calls.iter().enumerate() {
            let again = make(&mut engine, *now, own(call));
            if again != *answer {
                return Err(Box::new((n, answer.clone(), again)));
            }
        }
        Ok(engine)
    }
}
