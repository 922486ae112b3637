//! Upload slots: they belong to the engine. Rounds are armed only while someone is interested.

use super::Engine;
use crate::base::{Instant, PeerRef, TorrentId};
use crate::choke::{ChokeConfig, SlotCount, choose};
use crate::torrent::Direction;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

impl Engine {
    /// Someone became interested, or (`freed`) gave up a slot.
    pub(super) fn on_slots(&mut self, now: Instant, freed: bool) {
        let config = self.choke_config();
        self.choke.on_interest(now, freed, &config);
    }

    /// Someone took as much as one credit.
    pub(super) fn on_credit_used(&mut self, now: Instant) {
        let config = self.choke_config();
        self.choke.on_credit_used(now, &config);
    }

    pub(super) fn on_choke_alarm(&mut self, now: Instant) {
        self.armed.choke = None;
        if self.choke.deadline().is_none_or(|at| at > now) {
            return;
        }
        let config = self.choke_config();
        let mut views = Vec::new();
        // Of torrents without peers there may be very many.
        let mut swarms: Vec<TorrentId> = self.conns.keys().map(|peer| peer.torrent).collect();
        swarms.dedup();
        for seat in swarms.into_iter().filter_map(|id| self.torrents.get(id.0)) {
            seat.torrent.choke_views(now, &mut views);
        }
        let chosen = choose(now, &views, &config, &mut self.choke, &mut self.choke_rng);
        let chosen: BTreeSet<PeerRef> = chosen.into_iter().collect();
        for view in &views {
            let unchoke = chosen.contains(&view.id);
            if unchoke != view.unchoked {
                self.with(now, view.id.torrent, |torrent, cx| torrent.set_choked(cx, view.id.n, !unchoke));
            }
        }
    }

    /// Tokens are there for someone who waited for them.
    pub(super) fn on_gate_alarm(&mut self, now: Instant) {
        self.armed.gate = None;
        while let Some((peer, direction)) = self.gate.next_ready(now) {
            self.with(now, peer.torrent, |torrent, cx| match direction {
                Direction::Up => torrent.on_upload_allowed(cx, peer.n),
                Direction::Down => torrent.on_download_allowed(cx, peer.n),
            });
        }
    }

    fn choke_config(&self) -> ChokeConfig {
        ChokeConfig {
            slots: self.config.upload_slots.map_or(ChokeConfig::default().slots, SlotCount::Fixed),
            seed_policy: self.config.seed_policy,
            credit_bytes: self.config.newcomer_credit_bytes,
            ..ChokeConfig::default()
        }
    }
}
