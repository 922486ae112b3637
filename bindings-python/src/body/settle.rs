//! What a turn settles before the loop hears of it: answers and what is due go in, and of what comes out, all that needs
//! no loop is begun here. Not how it looks in Python.

use super::{Body, lock};
use crate::ledger::Inner;
use millstream_core::base::{ConnId, Instant, JobId};
use millstream_core::engine::{DhtNews, Effect, Event, Input, Outcome, Owed, Work};
use std::collections::BTreeMap;

/// What a turn left in Rust's own shape.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) effects: Vec<Effect>,
    pub(super) interests: BTreeMap<ConnId, (u64, bool)>,
    pub(super) news: Vec<Event>,
    pub(super) due: Option<Instant>,
}

impl Body {
    /// Takes in answers and what is due, and sorts all that the engine asks for.
    pub(super) fn settle(&self, inner: &mut Inner, now: Instant) -> Taken {
        let mut answers = Vec::new();
        self.jobs.take(&mut answers);
        for (job, outcome) in answers {
            inner.engine.handle_input(now, Input::Done { job, outcome });
        }
        if inner.engine.poll_timeout().is_some_and(|due| due <= now) {
            inner.engine.handle_timeout(now);
        }
        let mut taken = Taken::default();
        while let Some(effect) = inner.engine.poll_effect() {
            self.sort(inner, now, effect, &mut taken);
        }
        while let Some(event) = inner.engine.poll_event() {
            self.note(event, &mut taken.news);
        }
        taken.due = inner.engine.poll_timeout();
        taken
    }

    /// Does what needs no loop, and leaves the rest.
    fn sort(&self, inner: &mut Inner, now: Instant, effect: Effect, taken: &mut Taken) {
        match effect {
            Effect::Job { job, work } => {
                if let Some(effect) = self.begin(inner, now, (job, work)) {
                    taken.effects.push(effect);
                }
            }
            Effect::Cancel { job } if inner.owed.contains_key(&job) => taken.effects.push(effect),
            Effect::Cancel { job } => self.jobs.cancel(job),
            Effect::Interest { conn, read_until, write } => {
                let latest = taken.interests.entry(conn).or_default();
                *latest = (latest.0.max(read_until), latest.1 || write);
            }
            Effect::Close { conn, .. } => {
                inner.closing.insert(conn);
                taken.interests.remove(&conn);
                taken.effects.push(effect);
            }
            Effect::Connect { .. } | Effect::DatagramsReady { .. } => taken.effects.push(effect),
        }
    }

    /// Begins a job, or gives it back if it is the loop's.
    fn begin(&self, inner: &mut Inner, now: Instant, (job, work): (JobId, Work)) -> Option<Effect> {
        match work {
            Work::Read { torrent, ref parts, plain: true } if self.jobs.is_warm(torrent, parts) => {
                inner.engine.handle_input(now, Input::Done { job, outcome: Outcome::Stored });
                None
            }
            Work::Save { torrent, .. } => {
                let place = lock(&self.places).get(&torrent).cloned();
                self.jobs.begin(job, work, place);
                None
            }
            Work::Read { .. }
            | Work::Files { .. }
            | Work::Write { .. }
            | Work::Hash { .. }
            | Work::HashStored { .. }
            | Work::MapPort { .. }
            | Work::Exchange(_) => {
                self.jobs.begin(job, work, None);
                None
            }
            Work::Http { .. } | Work::Resolve { .. } => {
                inner.owed.insert(job, Owed::of(&work));
                Some(Effect::Job { job, work })
            }
        }
    }

    fn note(&self, event: Event, news: &mut Vec<Event>) {
        match event {
            Event::Dht(DhtNews::Table(table)) => {
                if let Some(kept) = &self.kept {
                    self.jobs.keep(kept.dht_table(), table);
                }
            }
            // No look-up is begun through these doors.
            Event::Dht(DhtNews::Lookup(_)) => {}
            Event::Dht(DhtNews::Followed(_))
            | Event::Torrent(..)
            | Event::Listening(..)
            | Event::Pool(_)
            | Event::Lagged(_)
            | Event::Stopped => news.push(event),
        }
    }
}
