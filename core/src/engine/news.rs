//! The events that wait for the application: bounded; progress coalesces per torrent; what must not be lost isn't.

use super::event::Event;
use crate::base::TorrentId;
use crate::torrent::TorrentEvent;
use alloc::collections::{BTreeSet, VecDeque};

#[derive(Debug)]
pub(super) struct News {
    queue: VecDeque<Event>,
    progressed: BTreeSet<TorrentId>,
    max: usize,
    lagged: u64,
}

impl News {
    pub(super) fn new(max: usize) -> Self {
        Self { queue: VecDeque::new(), progressed: BTreeSet::new(), max, lagged: 0 }
    }

    pub(super) fn push(&mut self, event: Event) {
        if let Event::Torrent(id, TorrentEvent::Progress) = event
            && !self.progressed.insert(id)
        {
            return;
        }
        if let (Event::Pool(change), Some(Event::Pool(last))) = (&event, self.pool_waits()) {
            (last.to, last.mood) = (change.to, change.mood);
            return;
        }
        if self.queue.len() >= self.max && !must_arrive(&event) {
            if let Event::Torrent(id, TorrentEvent::Progress) = event {
                self.progressed.remove(&id);
            }
            self.lagged += 1;
            return;
        }
        self.queue.push_back(event);
    }

    /// The change of the pool that waits to be taken.
    fn pool_waits(&mut self) -> Option<&mut Event> {
        self.queue.iter_mut().rev().find(|event| matches!(event, Event::Pool(_)))
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let Some(event) = self.queue.pop_front() else {
            let lagged = core::mem::take(&mut self.lagged);
            return (lagged > 0).then_some(Event::Lagged(lagged));
        };
        if let Event::Torrent(id, TorrentEvent::Progress) = event {
            self.progressed.remove(&id);
        }
        Some(event)
    }
}

/// Each of these comes a bounded number of times for each thing that the application itself did.
fn must_arrive(event: &Event) -> bool {
    match event {
        Event::Stopped | Event::Listening(..) => true,
        Event::Lagged(_) | Event::Pool(_) => false,
        #[cfg(feature = "dht")]
        Event::Dht(news) => news.must_arrive(),
        Event::Torrent(_, news) => match news {
            TorrentEvent::Metadata(_)
            | TorrentEvent::Completed
            | TorrentEvent::Failed(_)
            | TorrentEvent::UpdateAvailable { .. }
            | TorrentEvent::Removed
            | TorrentEvent::Checked => true,
            TorrentEvent::Progress
            | TorrentEvent::Saved
            | TorrentEvent::Verified(_)
            | TorrentEvent::Peer { .. }
            | TorrentEvent::TrackerAnswered { .. }
            | TorrentEvent::TrackerFailed { .. }
            | TorrentEvent::Scraped { .. }
            | TorrentEvent::Banned { .. }
            | TorrentEvent::Warning(_) => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Geometry;
    use std::vec::Vec;

    #[test]
    fn a_slow_application_loses_progress_but_never_completion() {
        let piece = Geometry::new(1, 1, Vec::new()).unwrap().piece(0).unwrap();
        let mut news = News::new(2);
        let id = TorrentId(1);
        for _ in 0..5 {
            news.push(Event::Torrent(id, TorrentEvent::Progress));
            news.push(Event::Torrent(id, TorrentEvent::Verified(piece)));
        }
        news.push(Event::Torrent(id, TorrentEvent::Completed));
        let mut seen = Vec::new();
        while let Some(event) = news.pop() {
            seen.push(event);
        }
        assert!(matches!(
            seen[..],
            [
                Event::Torrent(_, TorrentEvent::Progress),
                Event::Torrent(_, TorrentEvent::Verified(_)),
                Event::Torrent(_, TorrentEvent::Completed),
                Event::Lagged(4)
            ]
        ));
        news.push(Event::Torrent(id, TorrentEvent::Progress));
        assert!(news.pop().is_some(), "progress comes again after it was taken");
    }
}
