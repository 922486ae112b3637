//! The peer's requests: which wait, which are being loaded, which can be sent, in the order they came. Whether the
//! peer is served at all is decided above.

use super::outbox::range;
use crate::base::{BlockRef, PieceIndex, Segment};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Requests for bytes that follow each other, to be loaded at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadRun {
    /// The piece.
    pub piece: PieceIndex,
    /// Bytes from its start.
    pub begin: u32,
    /// Bytes in all.
    pub length: u32,
    /// How many requests.
    pub count: u32,
}

impl UploadRun {
    /// Where a block is in this run, if it is.
    fn offset_of(&self, block: BlockRef) -> Option<usize> {
        let offset = block.begin.checked_sub(self.begin)?;
        let inside = u64::from(offset) + u64::from(block.length) <= u64::from(self.length);
        (block.piece == self.piece && inside).then_some(offset as usize)
    }
}

#[derive(Debug)]
enum State {
    Waiting,
    Loading,
    Loaded(Vec<Segment>),
}

#[derive(Debug)]
struct Request {
    block: BlockRef,
    state: State,
}

/// The upload side of a session.
#[derive(Debug, Default)]
pub(super) struct Upload {
    queue: VecDeque<Request>,
    /// How many at the front do not wait any more.
    begun: usize,
    /// Bytes of runs that are not answered yet, of requests that were taken back too.
    loading_bytes: u64,
    loaded_bytes: u64,
}

impl Upload {
    pub(super) fn len(&self) -> u32 {
        self.queue.len() as u32
    }

    /// Bytes that are being loaded or loaded.
    pub(super) fn begun_bytes(&self) -> u64 {
        self.loading_bytes + self.loaded_bytes
    }

    /// Gives memory back, where the queue is not used for a while.
    pub(super) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.begun < self.queue.len()
    }

    /// Whether the oldest request can be sent.
    pub(super) fn is_loaded(&self) -> bool {
        self.queue.front().is_some_and(|r| matches!(r.state, State::Loaded(_)))
    }

    pub(super) fn push(&mut self, block: BlockRef) {
        self.queue.push_back(Request { block, state: State::Waiting });
    }

    /// Takes one request out; answers whether it was there.
    pub(super) fn remove(&mut self, block: BlockRef) -> bool {
        let at = self.queue.iter().position(|r| r.block == block);
        at.is_some_and(|at| self.remove_at(at).is_some())
    }

    /// Takes out all requests that `keep` doesn't want.
    pub(super) fn drain(&mut self, keep: impl Fn(BlockRef) -> bool) -> Vec<BlockRef> {
        let mut gone = Vec::new();
        let mut at = 0;
        while let Some(request) = self.queue.get(at) {
            if keep(request.block) {
                at += 1;
            } else {
                gone.extend(self.remove_at(at).map(|r| r.block));
            }
        }
        gone
    }

    /// The next requests to load: as many as follow each other, within `max` bytes, but at least one.
    pub(super) fn next_run(&mut self, max: u64) -> Option<UploadRun> {
        let mut run: Option<UploadRun> = None;
        for request in self.queue.iter_mut().skip(self.begun) {
            let block = request.block;
            let next = match run {
                None => UploadRun { piece: block.piece, begin: block.begin, length: 0, count: 0 },
                Some(run) => run,
            };
            let follows =
                next.piece == block.piece && next.begin.checked_add(next.length) == Some(block.begin);
            let fits = u64::from(next.length) + u64::from(block.length) <= max;
            if run.is_some() && !(follows && fits) {
                break;
            }
            request.state = State::Loading;
            run = Some(UploadRun { length: next.length + block.length, count: next.count + 1, ..next });
        }
        self.begun += run.map_or(0, |run| run.count as usize);
        self.loading_bytes += run.map_or(0, |run| u64::from(run.length));
        run
    }

    /// A run's bytes are there. Requests that were taken back meanwhile are gone.
    pub(super) fn on_loaded(&mut self, run: UploadRun, segments: &[Segment]) {
        self.loading_bytes = self.loading_bytes.saturating_sub(u64::from(run.length));
        for request in self.queue.iter_mut().take(self.begun) {
            if let (State::Loading, Some(at)) = (&request.state, run.offset_of(request.block)) {
                self.loaded_bytes += u64::from(request.block.length);
                request.state = State::Loaded(range(segments, at, request.block.length as usize));
            }
        }
    }

    /// A run can't be loaded: its requests are gone.
    pub(super) fn on_load_failed(&mut self, run: UploadRun) -> Vec<BlockRef> {
        self.loading_bytes = self.loading_bytes.saturating_sub(u64::from(run.length));
        let mut gone = Vec::new();
        let mut at = 0;
        while let Some(request) = self.queue.get(at).filter(|_| at < self.begun) {
            if matches!(request.state, State::Loading) && run.offset_of(request.block).is_some() {
                gone.extend(self.remove_at(at).map(|r| r.block));
            } else {
                at += 1;
            }
        }
        gone
    }

    /// The oldest request and its bytes, if they are there.
    pub(super) fn pop_loaded(&mut self) -> Option<(BlockRef, Vec<Segment>)> {
        if !self.is_loaded() {
            return None;
        }
        let request = self.remove_at(0)?;
        match request.state {
            State::Loaded(segments) => Some((request.block, segments)),
            State::Waiting | State::Loading => None,
        }
    }

    fn remove_at(&mut self, at: usize) -> Option<Request> {
        let gone = if at == 0 { self.queue.pop_front() } else { self.queue.remove(at) }?;
        if at < self.begun {
            self.begun -= 1;
        }
        if let State::Loaded(_) = gone.state {
            self.loaded_bytes -= u64::from(gone.block.length);
        }
        Some(gone)
    }
}
