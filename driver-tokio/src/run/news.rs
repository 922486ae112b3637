//! What the engine tells, passed on to those who listen; and the status that each torrent shows.

use super::{Body, Seat};
use crate::SessionEvent;
use crate::lock;
use crate::torrent::Shared;
use core::time::Duration;
use millstream_core::base::{Instant, TorrentId};
use millstream_core::engine::{Command, Event, State, Status, TorrentEvent};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// How often a shown status changes at most while a torrent progresses.
const SHOW_EVERY: Duration = Duration::from_millis(100);

impl Body {
    /// A new torrent gets its place.
    pub(super) fn seat(&mut self, now: Instant, id: TorrentId, keep: Option<PathBuf>) -> Arc<Shared> {
        let status = self.engine.status(now, id).unwrap_or_else(blank);
        let shared = Arc::new(Shared::new(id, status, self.board.config.events_max));
        if let Some(info) = self.engine.info(id) {
            shared.learn(info);
        }
        lock(&self.board.torrents).insert(id, Arc::clone(&shared));
        self.seats.insert(id, Seat { shared: Arc::clone(&shared), keep });
        shared
    }

    /// Takes what the engine tells. What is shown is shown before anything is told, so that who is told finds it.
    pub(super) fn take_news(&mut self) {
        let mut news = Vec::new();
        let mut changed = BTreeSet::new();
        while let Some(event) = self.engine.poll_event() {
            if let Event::Torrent(id, event) = &event
                && self.note(*id, event)
            {
                changed.insert(*id);
            }
            news.push(event);
        }
        for id in changed {
            self.show(id);
        }
        for event in news {
            match event {
                Event::Torrent(id, event) => self.tell(id, &event),
                Event::Listening(_, addr) => {
                    lock(&self.board.listening).push(addr);
                    self.board.hub.publish(&SessionEvent::Listening(addr));
                }
                Event::Pool(change) => {
                    tracing::info!(from = change.from, to = change.to, why = ?change.mood, "the pool of links changes");
                    self.board.hub.publish(&SessionEvent::Pool(change));
                }
                Event::Lagged(count) => self.board.hub.publish(&SessionEvent::Lagged(count)),
                Event::Dht(news) => self.on_dht_news(news),
                Event::Stopped => self.ended = true,
            }
        }
    }

    /// Notes what an event changes; whether the torrent's status is to be shown anew before it is told.
    fn note(&mut self, id: TorrentId, event: &TorrentEvent) -> bool {
        match event {
            // Told when it is shown: who is told then finds it.
            TorrentEvent::Progress => {
                self.behind.insert(id);
                false
            }
            TorrentEvent::Verified(piece) => {
                if let Some(seat) = self.seats.get(&id) {
                    seat.shared.mark(*piece);
                }
                self.behind.insert(id);
                true
            }
            TorrentEvent::Peer { .. } => {
                self.behind.insert(id);
                true
            }
            TorrentEvent::Warning(warning) => {
                tracing::warn!(torrent = id.0, warning);
                self.behind.insert(id);
                true
            }
            TorrentEvent::Metadata(info) => {
                if let Some(seat) = self.seats.get(&id) {
                    seat.shared.learn(Arc::clone(info));
                }
                self.show_content(id);
                true
            }
            TorrentEvent::Checked => {
                self.show_content(id);
                true
            }
            TorrentEvent::TrackerAnswered { .. }
            | TorrentEvent::Banned { .. }
            | TorrentEvent::Completed
            | TorrentEvent::Failed(_)
            | TorrentEvent::Removed => true,
            TorrentEvent::TrackerFailed { .. }
            | TorrentEvent::Scraped { .. }
            | TorrentEvent::UpdateAvailable { .. }
            | TorrentEvent::Saved => false,
        }
    }

    /// Passes on what is shown already.
    fn tell(&mut self, id: TorrentId, event: &TorrentEvent) {
        if matches!(event, TorrentEvent::Progress) {
            return;
        }
        let removed = matches!(event, TorrentEvent::Removed);
        if removed {
            // Who is told of it doesn't find it any more.
            self.behind.remove(&id);
            lock(&self.board.torrents).remove(&id);
        }
        self.publish(id, event);
        if removed && let Some(seat) = self.seats.remove(&id) {
            seat.shared.leave();
        }
    }

    fn publish(&self, id: TorrentId, event: &TorrentEvent) {
        if let Some(seat) = self.seats.get(&id) {
            seat.shared.hub.publish(event);
        }
        self.board.hub.publish(&SessionEvent::Torrent(id, event.clone()));
    }

    /// Shows a torrent's status as it is now.
    pub(super) fn show(&mut self, id: TorrentId) {
        let now = self.now();
        if let (Some(seat), Some(status)) = (self.seats.get(&id), self.engine.status(now, id)) {
            // A check begins at nothing, and the engine may have dropped news of pieces.
            let behind = seat.shared.marked() != status.pieces_verified;
            seat.shared.show(status);
            if behind {
                self.show_content(id);
            }
        }
    }

    /// Shows which pieces are verified.
    fn show_content(&self, id: TorrentId) {
        if let (Some(seat), Some(verified)) = (self.seats.get(&id), self.engine.verified(id)) {
            seat.shared.mark_all(verified);
        }
    }

    /// Shows what has changed, now and then.
    pub(super) fn tell_news(&mut self) {
        if self.behind.is_empty() {
            return;
        }
        let now = self.now();
        match self.show_at {
            Some(at) if now < at => {}
            Some(_) => {
                self.show_at = None;
                for id in core::mem::take(&mut self.behind) {
                    self.show(id);
                    self.publish(id, &TorrentEvent::Progress);
                }
            }
            None => self.show_at = Some(now + SHOW_EVERY),
        }
    }
}

/// The torrent whose status is another after this command.
pub(super) fn changes(command: &Command) -> Option<TorrentId> {
    match command {
        Command::Pause(id) | Command::Resume(id) | Command::Recheck(id) | Command::Select(id, _) => Some(*id),
        Command::Add(_)
        | Command::Remove(_)
        | Command::Priorities(..)
        | Command::Sequential(..)
        | Command::Deadline { .. }
        | Command::Peers(..)
        | Command::WebSeeds(..)
        | Command::Trackers(..)
        | Command::Disconnect { .. }
        | Command::Announce(_)
        | Command::CheckUpdate(_)
        | Command::Scrape(_)
        | Command::TorrentRates(..)
        | Command::Rates(_)
        | Command::IpFilter(_)
        | Command::Save(_)
        | Command::Dht(_)
        | Command::Stop { .. } => None,
    }
}

/// What is shown of a torrent of which nothing is known.
fn blank() -> Status {
    Status {
        state: State::Checking,
        name: Arc::from(""),
        info_hash_v1: None,
        info_hash_v2: None,
        length: 0,
        wanted: 0,
        verified: 0,
        pieces: 0,
        pieces_verified: 0,
        checked: (0, 0),
        downloaded: 0,
        uploaded: 0,
        wasted: 0,
        download_rate: 0,
        upload_rate: 0,
        peers: 0,
        seeds: 0,
        known: 0,
        failure: None,
    }
}
