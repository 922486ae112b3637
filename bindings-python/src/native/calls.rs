//! Calls under way: futures that wait for the engine's thread alone. They go on when their bell has rung, on the
//! thread that drains; no runtime and no thread is needed for them.

use super::answer::{Answer, Fault};
use super::bell::{Bell, CallBell};
use super::log::Ring as _;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Call = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;

/// The answer to a call.
pub(crate) type Answered = (u64, Result<Answer, Fault>);

/// All calls of a session.
pub(crate) struct Calls {
    bell: Arc<Bell>,
    next: u64,
    open: BTreeMap<u64, (Call, Waker)>,
    answered: Vec<Answered>,
    /// Whose answer nobody waits for.
    forgotten: BTreeSet<u64>,
}

impl Calls {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, next: 0, open: BTreeMap::new(), answered: Vec::new(), forgotten: BTreeSet::new() }
    }

    /// Begins a call: what it asks of the engine is asked at once, so that calls are carried out in their order. Gives
    /// the token that its answer will bear.
    pub(crate) fn begin(
        &mut self,
        call: impl Future<Output = Result<Answer, Fault>> + Send + 'static,
    ) -> u64 {
        self.next += 1;
        let token = self.next;
        let waker = Waker::from(Arc::new(CallBell { token, bell: Arc::clone(&self.bell) }));
        self.open.insert(token, (Box::pin(call), waker));
        if self.go_on(token) {
            self.bell.ring();
        }
        token
    }

    /// Nobody waits for this call any more. What it began stands, but for an added torrent, which is removed.
    pub(crate) fn forget(&mut self, token: u64) {
        self.answered.retain(|(answered, _)| *answered != token);
        if self.open.contains_key(&token) {
            self.forgotten.insert(token);
        }
    }

    /// Gives up all that is under way, and whatever was answered.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.answered.clear();
        self.forgotten.clear();
    }

    /// The answers that are there.
    pub(crate) fn take(&mut self) -> Vec<Answered> {
        for token in self.bell.take_ready() {
            self.go_on(token);
        }
        let (mut wanted, mut rest) = (Vec::new(), Vec::new());
        for (token, answer) in core::mem::take(&mut self.answered) {
            if self.forgotten.remove(&token) { &mut rest } else { &mut wanted }.push((token, answer));
        }
        for (_, answer) in rest {
            if let Ok(Answer::Added(torrent)) = answer {
                let remove = async move { Ok(torrent.begin_remove().await.map(|()| Answer::Done)?) };
                let token = self.begin(remove);
                self.forget(token);
            }
        }
        wanted
    }

    /// Lets a call go on; whether it is done.
    fn go_on(&mut self, token: u64) -> bool {
        let Some((call, waker)) = self.open.get_mut(&token) else { return false };
        match call.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Pending => false,
            Poll::Ready(answer) => {
                self.open.remove(&token);
                self.answered.push((token, answer));
                true
            }
        }
    }
}
