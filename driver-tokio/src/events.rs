//! Streams of news: each reader has its own bounded queue, and a slow one delays nobody.

use crate::lock;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use futures_core::Stream;
use millstream_core::base::TorrentId;
use millstream_core::engine::TorrentEvent;
use millstream_core::pool::PoolChange;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};

/// News of a session.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    /// News of a torrent.
    Torrent(TorrentId, TorrentEvent),
    /// Peers can reach us here.
    Listening(SocketAddr),
    /// The network was found to bear more links or fewer, or why there may be so many has changed.
    Pool(PoolChange),
    /// Something is amiss that doesn't stop the session.
    Warning(String),
    /// The engine dropped so many events, because the driver was busy.
    Lagged(u64),
    /// The session has ended.
    Stopped,
}

/// News that can be told apart by weight.
pub(crate) trait Weight {
    /// Whether it must reach a reader, however slow.
    fn is_kept(&self) -> bool;

    /// Whose status is to be looked at, if that is all it says: while one such waits, another would say nothing new.
    fn progress_of(&self) -> Option<TorrentId>;
}

impl Weight for TorrentEvent {
    fn is_kept(&self) -> bool {
        match self {
            Self::Metadata(_)
            | Self::Completed
            | Self::Failed(_)
            | Self::UpdateAvailable { .. }
            | Self::Removed => true,
            Self::Checked
            | Self::Progress
            | Self::Verified(_)
            | Self::Peer { .. }
            | Self::TrackerAnswered { .. }
            | Self::TrackerFailed { .. }
            | Self::Scraped { .. }
            | Self::Banned { .. }
            | Self::Warning(_)
            | Self::Saved => false,
        }
    }

    fn progress_of(&self) -> Option<TorrentId> {
        // It is one torrent's queue.
        matches!(self, Self::Progress).then_some(TorrentId(0))
    }
}

impl Weight for SessionEvent {
    fn is_kept(&self) -> bool {
        match self {
            Self::Torrent(_, event) => event.is_kept(),
            Self::Listening(_) | Self::Pool(_) | Self::Warning(_) | Self::Lagged(_) => false,
            Self::Stopped => true,
        }
    }

    fn progress_of(&self) -> Option<TorrentId> {
        match self {
            Self::Torrent(id, TorrentEvent::Progress) => Some(*id),
            Self::Torrent(..)
            | Self::Listening(_)
            | Self::Pool(_)
            | Self::Warning(_)
            | Self::Lagged(_)
            | Self::Stopped => None,
        }
    }
}

/// A stream of news, from the moment it was asked for until the session ends. At most `SessionConfig::events_max`
/// wait in it; beyond that the oldest that may be dropped are. Metadata, completion, failure and removal never are. Of
/// each torrent's progress one waits: it says that the status is worth a look.
pub struct Events<T> {
    queue: Arc<Mutex<Queue<T>>>,
}

struct Queue<T> {
    /// What must reach the reader, and what may be dropped; numbered in the order they came.
    kept: VecDeque<Waiting<T>>,
    light: VecDeque<Waiting<T>>,
    /// Of whom progress waits.
    moving: BTreeSet<TorrentId>,
    next: u64,
    items_max: usize,
    dropped: u64,
    ended: bool,
    reader: Option<Waker>,
}

struct Waiting<T> {
    number: u64,
    progress_of: Option<TorrentId>,
    item: T,
}

impl<T> Events<T> {
    /// The next event; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<T> {
        lock(&self.queue).pop()
    }

    /// What waits, `items_max` at the most, in one go. If that is all, `waker` hears of the next event and of the end.
    pub fn take(&mut self, waker: &Waker, items_max: usize) -> Vec<T> {
        let mut queue = lock(&self.queue);
        let mut taken = Vec::with_capacity(queue.len().min(items_max));
        while taken.len() < items_max {
            let Some(item) = queue.pop() else { break };
            taken.push(item);
        }
        if queue.len() == 0 && !queue.ended {
            queue.reader = Some(waker.clone());
        }
        taken
    }

    /// How many were dropped since this was last asked.
    pub fn dropped(&mut self) -> u64 {
        core::mem::take(&mut lock(&self.queue).dropped)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut queue = lock(&self.queue);
        match queue.pop() {
            Some(item) => Poll::Ready(Some(item)),
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Stream for Events<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({} waiting)", lock(&self.queue).len())
    }
}

/// Where news is published.
pub(crate) struct Hub<T> {
    readers: Mutex<Vec<Weak<Mutex<Queue<T>>>>>,
    items_max: usize,
}

impl<T: Clone + Weight> Hub<T> {
    pub(crate) fn new(items_max: usize) -> Self {
        Self { readers: Mutex::default(), items_max: items_max.max(1) }
    }

    /// A stream of what is published from now on.
    pub(crate) fn subscribe(&self) -> Events<T> {
        let queue = Queue {
            kept: VecDeque::new(),
            light: VecDeque::new(),
            moving: BTreeSet::new(),
            next: 0,
            items_max: self.items_max,
            dropped: 0,
            ended: false,
            reader: None,
        };
        let queue = Arc::new(Mutex::new(queue));
        lock(&self.readers).push(Arc::downgrade(&queue));
        Events { queue }
    }

    pub(crate) fn publish(&self, item: &T) {
        self.each(|queue| queue.push(item.clone()));
    }

    /// No more will come.
    pub(crate) fn end(&self) {
        self.each(|queue| queue.ended = true);
    }

    fn each(&self, mut change: impl FnMut(&mut Queue<T>)) {
        lock(&self.readers).retain(|reader| {
            let Some(queue) = reader.upgrade() else { return false };
            let mut queue = lock(&queue);
            change(&mut queue);
            if let Some(reader) = queue.reader.take() {
                reader.wake();
            }
            true
        });
    }
}

impl<T> Queue<T> {
    fn len(&self) -> usize {
        self.kept.len() + self.light.len()
    }

    /// The oldest.
    fn pop(&mut self) -> Option<T> {
        let number = |queue: &VecDeque<Waiting<T>>| queue.front().map_or(u64::MAX, |waiting| waiting.number);
        if number(&self.kept) < number(&self.light) {
            return take_first(&mut self.kept).map(|waiting| waiting.item);
        }
        self.pop_light()
    }

    fn pop_light(&mut self) -> Option<T> {
        let waiting = take_first(&mut self.light)?;
        if let Some(id) = waiting.progress_of {
            self.moving.remove(&id);
        }
        Some(waiting.item)
    }
}

impl<T: Weight> Queue<T> {
    fn push(&mut self, item: T) {
        let (kept, progress_of) = (item.is_kept(), item.progress_of());
        if progress_of.is_some_and(|id| self.moving.contains(&id)) {
            return;
        }
        if self.len() >= self.items_max {
            // The oldest that may go; if all must stay, a light newcomer goes itself.
            let gone = self.pop_light().is_some();
            self.dropped += u64::from(gone || !kept);
            if !gone && !kept {
                return;
            }
        }
        self.moving.extend(progress_of);
        let to = if kept { &mut self.kept } else { &mut self.light };
        to.push_back(Waiting { number: self.next, progress_of, item });
        self.next += 1;
    }
}

fn take_first<T>(from: &mut VecDeque<Waiting<T>>) -> Option<Waiting<T>> {
    let first = from.pop_front()?;
    if from.is_empty() && from.capacity() > ROOM {
        *from = VecDeque::new();
    }
    Some(first)
}

/// Room for so many is kept when all is read; what a burst took beyond is given back.
const ROOM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[test]
    fn a_slow_reader_loses_what_is_light_but_never_completion() {
        let hub = Hub::new(4);
        let mut events = hub.subscribe();
        hub.publish(&TorrentEvent::Completed);
        for _ in 0..10 {
            hub.publish(&TorrentEvent::Checked);
        }
        hub.publish(&TorrentEvent::Removed);
        let seen: Vec<_> = core::iter::from_fn(|| events.try_next()).collect();
        assert!(matches!(seen[..], [TorrentEvent::Completed, .., TorrentEvent::Removed]), "{seen:?}");
        assert_eq!((seen.len(), events.dropped(), events.dropped()), (4, 8, 0));
    }

    #[test]
    fn news_come_in_order_and_a_bursts_room_is_given_back() {
        let hub = Hub::new(1000);
        let mut events = hub.subscribe();
        for _ in 0..200 {
            hub.publish(&TorrentEvent::Checked);
            hub.publish(&TorrentEvent::Completed);
        }
        for _ in 0..200 {
            assert!(matches!(events.try_next(), Some(TorrentEvent::Checked)));
            assert!(matches!(events.try_next(), Some(TorrentEvent::Completed)));
        }
        assert!(events.try_next().is_none());
        let queue = lock(&events.queue);
        assert!(queue.kept.capacity() <= ROOM && queue.light.capacity() <= ROOM);
    }

    #[test]
    fn who_takes_all_is_told_of_the_next_and_who_leaves_some_is_not() {
        let hub = Hub::new(10);
        let mut events = hub.subscribe();
        let called = Arc::new(Calls::default());
        let waker = Waker::from(Arc::clone(&called));
        (0..3).for_each(|_| hub.publish(&TorrentEvent::Checked));
        assert_eq!(events.take(&waker, 2).len(), 2);
        hub.publish(&TorrentEvent::Completed);
        assert_eq!(called.0.load(Ordering::Relaxed), 0, "some were left: the reader comes back by itself");
        assert!(matches!(events.take(&waker, 2)[..], [TorrentEvent::Checked, TorrentEvent::Completed]));
        hub.publish(&TorrentEvent::Removed);
        hub.publish(&TorrentEvent::Removed);
        assert_eq!(called.0.load(Ordering::Relaxed), 1, "once for a batch");
        assert_eq!(events.take(&waker, 2).len(), 2);
        hub.end();
        assert_eq!(called.0.load(Ordering::Relaxed), 2, "also of the end");
        assert!(events.take(&waker, 2).is_empty());
    }

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn progress_waits_once_for_each_torrent() {
        let hub = Hub::new(3);
        let mut events = hub.subscribe();
        let progress = |id| SessionEvent::Torrent(TorrentId(id), TorrentEvent::Progress);
        let mut told = |news: &[u64]| {
            news.iter().for_each(|&id| hub.publish(&progress(id)));
            let take = || {
                let SessionEvent::Torrent(id, TorrentEvent::Progress) = events.try_next()? else {
                    panic!("only progress was told");
                };
                Some(id.0)
            };
            core::iter::from_fn(take).collect::<Vec<_>>()
        };
        assert_eq!(told(&[1, 2, 1, 1, 2]), [1, 2]);
        assert_eq!(told(&[2, 1]), [2, 1], "who was told is told anew");
        assert_eq!(told(&[1, 2, 3, 4, 1]), [3, 4, 1], "also who was dropped");
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_source() {
        let hub = Hub::new(4);
        let mut events = hub.subscribe();
        hub.publish(&TorrentEvent::Checked);
        hub.end();
        assert!(matches!(events.next().await, Some(TorrentEvent::Checked)));
        assert!(events.next().await.is_none());
    }
}
