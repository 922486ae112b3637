//! A round of choking: how many slots, who gets the regular ones, who the optimistic ones, and when the next round is.

use super::{ChokeConfig, PeerView, Score, SlotCount, in_debt, score};
use crate::base::{Instant, PeerRef, Rng, TorrentId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

/// What choking remembers between two rounds. Two kinds of facts: who was drawn, and when things are due.
#[derive(Clone, Debug, Default)]
pub struct ChokeState {
    optimistic: Vec<PeerRef>,
    redraw_at: Instant,
    last_round: Option<Instant>,
    due: Option<Instant>,
    slots_free: bool,
}

impl ChokeState {
    /// A peer became interested, or an unchoked one went or lost interest: at once if a slot is free or was freed,
    /// else with the next round. `freed` says that a slot was given up.
    pub fn on_interest(&mut self, now: Instant, freed: bool, config: &ChokeConfig) {
        let soon = match self.last_round {
            Some(last) if !(self.slots_free || freed) => last + Duration::from_millis(config.round_ms),
            // Not at every message: a peer that changes its mind all the time would make us count everyone each time.
            Some(last) => last + Duration::from_millis(config.round_min_ms),
            None => now,
        };
        self.bring_forward(soon.max(now));
    }

    /// A peer took its credit, or another one, since the last round: see soon whether it is in debt.
    pub fn on_credit_used(&mut self, now: Instant, config: &ChokeConfig) {
        let soon =
            self.last_round.map_or(now, |last| (last + Duration::from_millis(config.round_min_ms)).max(now));
        self.bring_forward(soon);
    }

    /// When [`choose`] wants to be called; `None` while nobody is interested.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    fn bring_forward(&mut self, to: Instant) {
        self.due = Some(self.due.map_or(to, |at| at.min(to)));
    }
}

/// Who shall be unchoked from now on, best first; everyone else shall be choked. Of `views` only interested peers that
/// download count. Arms the next round, or none if nobody is interested.
pub fn choose(
    now: Instant,
    views: &[PeerView],
    config: &ChokeConfig,
    state: &mut ChokeState,
    rng: &mut Rng,
) -> Vec<PeerRef> {
    let asking: Vec<&PeerView> = views.iter().filter(|v| v.interested && !v.upload_only).collect();
    state.last_round = Some(now);
    state.due = (!asking.is_empty()).then(|| now + Duration::from_millis(config.round_ms));
    let slots = slot_count(views, config.slots);
    let (worthy, debtors) = sort(now, views, &asking, config);
    let crowded = worthy.len() > slots || !debtors.is_empty();
    let optimistic = if crowded { (slots / config.optimistic_one_in.max(1)).max(1).min(slots) } else { 0 };
    let mut chosen = regular(&worthy, slots - optimistic);
    let rest: Vec<&PeerView> = worthy.iter().filter(|v| !chosen.contains(&v.id)).copied().collect();
    let new_period = now >= state.redraw_at;
    if new_period {
        state.optimistic.clear();
        state.redraw_at = now + Duration::from_millis(config.optimistic_ms);
    }
    // Whoever earned a regular slot, lost interest or went makes room; so does a debtor that got another credit, or
    // whose slot someone else could use.
    let stays = |id: &PeerRef| {
        rest.iter().any(|v| v.id == *id)
            || (rest.is_empty()
                && debtors.iter().any(|v| v.id == *id && v.up_since_unchoked <= config.credit_bytes))
    };
    state.optimistic.retain(stays);
    state.optimistic.truncate(optimistic);
    draw(now, rest, optimistic, config, (state, rng));
    if new_period {
        draw(now, debtors, optimistic, config, (state, rng));
    }
    chosen.extend(&state.optimistic);
    state.slots_free = chosen.len() < slots;
    // In a busy swarm interest comes and goes with every piece: whoever wanted something just now keeps a slot that
    // nobody else wants, rather than ask for it anew.
    let lately = |v: &&PeerView| {
        v.unchoked
            && !v.interested
            && !v.upload_only
            && v.interested_at.is_some_and(|at| at + linger(config) > now)
    };
    let spare = slots.saturating_sub(chosen.len());
    chosen.extend(views.iter().filter(lately).take(spare).map(|v| v.id));
    chosen
}

/// How long a peer that lost interest keeps a slot that nobody else wants.
fn linger(config: &ChokeConfig) -> Duration {
    Duration::from_millis(config.round_ms)
}

/// How many slots there are for these peers.
pub fn slot_count(views: &[PeerView], slots: SlotCount) -> usize {
    match slots {
        SlotCount::Fixed(n) => n,
        SlotCount::ByRate { slots_min, step_bytes } => {
            let mut rates: Vec<u64> = views.iter().filter(|v| v.unchoked).map(|v| v.up_rate).collect();
            rates.sort_unstable_by_key(|&rate| Reverse(rate));
            let mut threshold = step_bytes;
            let worth_it = rates.iter().take_while(|&&rate| {
                let carries = rate >= threshold;
                threshold = threshold.saturating_add(step_bytes);
                carries
            });
            (worth_it.count() + 1).max(slots_min)
        }
    }
}

/// Those who may have regular slots, best first, and those in debt. Who is in debt where nobody else is interested in
/// the torrent, nor was within a round, may have what nobody else wants.
fn sort<'a>(
    now: Instant,
    views: &[PeerView],
    asking: &[&'a PeerView],
    config: &ChokeConfig,
) -> (Vec<&'a PeerView>, Vec<&'a PeerView>) {
    let mut scored: Vec<(Score, &PeerView)> = asking.iter().map(|v| (score(now, v, config), *v)).collect();
    scored.sort_by_key(|&(score, view)| (Reverse(score), view.joined, view.id));
    let mut best = BTreeMap::new();
    // A newcomer's full trust is no measure for those who have been tried.
    for (score, view) in scored.iter().filter(|(_, v)| v.entrusted > config.credit_bytes) {
        best.entry(view.id.torrent).or_insert(*score);
    }
    let owes = |view: &PeerView| {
        let best = best.get(&view.id.torrent).copied().unwrap_or_default();
        in_debt(view, best, now, config)
    };
    let round = Duration::from_millis(config.round_ms);
    let wants = |v: &PeerView| v.interested || v.interested_at.is_some_and(|at| at + round >= now);
    let rivals = views.iter().filter(|v| !v.upload_only && wants(v) && !owes(v));
    let contested: BTreeSet<TorrentId> = rivals.map(|v| v.id.torrent).collect();
    scored.into_iter().map(|(_, v)| v).partition(|v| !contested.contains(&v.id.torrent) || !owes(v))
}

/// Two slots of three go to leeching torrents, one to seeding ones; what one kind doesn't need goes to the other.
fn regular(worthy: &[&PeerView], slots: usize) -> Vec<PeerRef> {
    let (seeding, leeching): (Vec<&PeerView>, Vec<&PeerView>) = worthy.iter().partition(|v| v.seeding);
    let third = slots / 3;
    let for_leeching = leeching.len().min((slots - third).max(slots.saturating_sub(seeding.len())));
    let for_seeding = slots - for_leeching;
    let leeching = leeching.iter().take(for_leeching);
    leeching.chain(seeding.iter().take(for_seeding)).map(|v| v.id).collect()
}

/// Fills the optimistic slots by lot, new peers three times as likely (BEP 3).
fn draw(
    now: Instant,
    mut pool: Vec<&PeerView>,
    slots: usize,
    config: &ChokeConfig,
    (state, rng): (&mut ChokeState, &mut Rng),
) {
    pool.retain(|v| !state.optimistic.contains(&v.id));
    let new = Duration::from_millis(config.new_ms);
    let weight = |v: &PeerView| if now.saturating_since(v.joined) < new { 3 } else { 1 };
    while state.optimistic.len() < slots && !pool.is_empty() {
        let mut ticket = rng.below(pool.iter().map(|v| weight(v)).sum());
        let at = pool.iter().position(|v| {
            let hit = ticket < weight(v);
            ticket = ticket.saturating_sub(weight(v));
            hit
        });
        state.optimistic.push(pool.swap_remove(at.unwrap_or(0)).id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::SeedPolicy;
    use super::*;
    use alloc::vec;

    const fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn peer(n: u32) -> PeerView {
        PeerView::newcomer(PeerRef { torrent: TorrentId(1), n }, Instant::ZERO)
    }

    fn peers(n: u32, change: impl Fn(u32, &mut PeerView)) -> Vec<PeerView> {
        (0..n)
            .map(|i| {
                let mut view = peer(i);
                change(i, &mut view);
                view
            })
            .collect()
    }

    fn numbers(chosen: &[PeerRef]) -> Vec<u32> {
        chosen.iter().map(|id| id.n).collect()
    }

    fn fixed(slots: usize, seed_policy: SeedPolicy) -> ChokeConfig {
        ChokeConfig { slots: SlotCount::Fixed(slots), seed_policy, ..ChokeConfig::default() }
    }

    #[test]
    fn bep_0003_whoever_gives_most_is_unchoked_and_a_snubbing_peer_is_not() {
        let mut views = peers(10, |i, v| v.down_rate = u64::from(i) * 1000);
        views[9].snubbed = true;
        let (mut state, mut rng) = (ChokeState::default(), Rng::new([1; 32]));
        let chosen = choose(at(100), &views, &fixed(4, SeedPolicy::default()), &mut state, &mut rng);
        assert_eq!(numbers(&chosen)[..3], [8, 7, 6]);
        assert_eq!(chosen.len(), 4, "and one optimistic unchoke");
    }

    #[test]
    fn a_slightly_better_peer_does_not_make_slots_flap() {
        let config = fixed(2, SeedPolicy::default());
        let mut views = peers(3, |i, v| (v.unchoked, v.down_rate) = (i == 0, [1000, 1100, 0][i as usize]));
        let pick = |views: &[PeerView]| {
            choose(at(100), views, &config, &mut ChokeState::default(), &mut Rng::new([1; 32]))[0].n
        };
        assert_eq!(pick(&views), 0);
        views[1].down_rate = 1300;
        assert_eq!(pick(&views), 1);
    }

    #[test]
    fn bep_0003_the_optimistic_unchoke_rotates_every_30_seconds_and_new_peers_are_three_times_as_likely() {
        let config = fixed(1, SeedPolicy::default());
        let views = peers(4, |i, v| v.joined = if i == 0 { at(10_000_000) } else { Instant::ZERO });
        let (mut state, mut rng) = (ChokeState::default(), Rng::new([2; 32]));
        let mut new = 0;
        for round in 0..3000 {
            let now = at(10_000_000) + Duration::from_millis(round * 10);
            state.redraw_at = Instant::ZERO;
            new += u32::from(choose(now, &views, &config, &mut state, &mut rng)[0].n == 0);
        }
        assert!((1400..1600).contains(&new), "3 tickets of 6: {new} of 3000");
        let first = choose(at(20_000_000), &views, &config, &mut state, &mut rng);
        let mut changed = 0;
        for seconds in [10, 20, 29] {
            assert_eq!(choose(at(20_000_000 + seconds), &views, &config, &mut state, &mut rng), first);
        }
        for turn in 1..20 {
            let chosen = choose(at(20_000_000 + turn * 31), &views, &config, &mut state, &mut rng);
            changed += u32::from(chosen != first);
        }
        assert!(changed > 5, "{changed}");
    }

    #[test]
    fn who_takes_more_than_its_credit_and_gives_nothing_has_the_optimistic_slot_at_best() {
        let config = fixed(8, SeedPolicy::default());
        let views = peers(8, |i, v| {
            v.up_total = 10 << 20;
            v.down_total = if i < 2 { 0 } else { 3 << 20 };
        });
        let chosen = choose(at(5), &views, &config, &mut ChokeState::default(), &mut Rng::new([3; 32]));
        assert_eq!(chosen.iter().filter(|id| id.n < 2).count(), 1, "{chosen:?}");
        assert_eq!(chosen.len(), 7);
        let alone = choose(at(5), &views[..1], &config, &mut ChokeState::default(), &mut Rng::new([3; 32]));
        assert_eq!(numbers(&alone), [0], "but alone it is served");
    }

    #[test]
    fn a_seed_prefers_peers_that_pass_on_what_they_get() {
        let config = fixed(8, SeedPolicy::Spreading);
        let views = peers(8, |i, v| {
            (v.seeding, v.entrusted) = (true, 32 << 20);
            v.spread = if i < 2 { 0 } else { 28 << 20 };
        });
        let chosen = choose(at(5), &views, &config, &mut ChokeState::default(), &mut Rng::new([3; 32]));
        assert_eq!(chosen.iter().filter(|id| id.n < 2).count(), 1);
        let rest = choose(at(5), &views[..2], &config, &mut ChokeState::default(), &mut Rng::new([3; 32]));
        assert_eq!(rest.len(), 2, "when only they are left, they are served");
        let blind = fixed(8, SeedPolicy::RoundRobin);
        assert_eq!(
            choose(at(5), &views, &blind, &mut ChokeState::default(), &mut Rng::new([3; 32])).len(),
            8
        );
    }

    #[test]
    fn newcomers_full_trust_condemns_nobody_and_late_joiners_owe_nothing() {
        let config = fixed(8, SeedPolicy::Spreading);
        let views = peers(6, |i, v| {
            v.seeding = true;
            (v.entrusted, v.spread) = if i < 3 { (32 << 20, 4 << 20) } else { (0, 0) };
            v.up_total = 200 << 20;
        });
        assert_eq!(
            choose(at(5), &views, &config, &mut ChokeState::default(), &mut Rng::new([3; 32])).len(),
            6
        );
    }

    #[test]
    fn a_debtor_is_held_back_for_its_own_torrents_peers_alone_and_while_they_want_something() {
        let config = fixed(8, SeedPolicy::default());
        let chosen = |views: &[PeerView], seconds| {
            let mut state = ChokeState { redraw_at: at(1_000), ..ChokeState::default() };
            numbers(&choose(at(seconds), views, &config, &mut state, &mut Rng::new([3; 32])))
        };
        let mut views = peers(3, |i, v| v.up_total = if i == 0 { 10 << 20 } else { 0 });
        assert_eq!(chosen(&views, 20), [1, 2], "and no optimistic slot between two draws");
        for view in &mut views[1..] {
            (view.interested, view.interested_at) = (false, Some(at(15)));
        }
        assert!(chosen(&views, 20).is_empty(), "they wanted something just now");
        assert_eq!(chosen(&views, 26), [0]);
        for view in &mut views[1..] {
            (view.interested, view.id.torrent) = (true, TorrentId(2));
        }
        assert_eq!(chosen(&views, 20).len(), 3);
    }

    #[test]
    fn round_robin_serves_a_quota_and_then_whoever_waits_longest() {
        let config = fixed(2, SeedPolicy::RoundRobin);
        let mut views = peers(4, |i, v| {
            v.seeding = true;
            v.unchoked_at = Some(at(u64::from(i)));
        });
        (views[2].unchoked, views[2].up_since_unchoked) = (true, 1);
        (views[3].unchoked, views[3].up_since_unchoked) = (true, 16 << 20);
        // One of two slots is optimistic, so the regular one tells.
        let chosen = choose(at(50), &views, &config, &mut ChokeState::default(), &mut Rng::new([3; 32]));
        assert_eq!(chosen[0].n, 2, "its quota isn't served yet");
        views[2].up_since_unchoked = 16 << 20;
        let chosen = choose(at(50), &views, &config, &mut ChokeState::default(), &mut Rng::new([3; 32]));
        assert_eq!(chosen[0].n, 0, "it waited longest");
    }

    #[test]
    fn fastest_upload_and_anti_leech_have_their_own_order() {
        let views = peers(5, |i, v| {
            v.seeding = true;
            v.up_rate = u64::from(i) * 10;
            v.have_permille = [400, 0, 500, 950, 600][i as usize];
        });
        let pick = |policy| {
            let config = fixed(3, policy);
            let chosen = choose(at(5), &views, &config, &mut ChokeState::default(), &mut Rng::new([3; 32]));
            numbers(&chosen)[..2].to_vec()
        };
        assert_eq!((pick(SeedPolicy::FastestUpload), pick(SeedPolicy::AntiLeech)), (vec![4, 3], vec![1, 3]));
    }

    #[test]
    fn slots_are_shared_between_leeching_and_seeding_torrents_and_none_is_left_idle() {
        let config = fixed(6, SeedPolicy::default());
        let mut state = ChokeState::default();
        let views = peers(20, |i, v| v.seeding = i < 10);
        let chosen = choose(at(5), &views, &config, &mut state, &mut Rng::new([3; 32]));
        let seeding = chosen[..5].iter().filter(|id| id.n < 10).count();
        assert_eq!((chosen.len(), seeding), (6, 1));
        let chosen = choose(at(5), &views[..10], &config, &mut state, &mut Rng::new([3; 32]));
        assert_eq!(chosen.len(), 6);
    }

    #[test]
    fn rounds_are_armed_only_while_someone_is_interested() {
        let config = ChokeConfig::default();
        let (mut state, mut rng) = (ChokeState::default(), Rng::new([3; 32]));
        assert_eq!(state.deadline(), None);
        state.on_interest(at(1), false, &config);
        assert_eq!(state.deadline(), Some(at(1)));
        choose(at(1), &peers(1, |_, _| ()), &config, &mut state, &mut rng);
        assert_eq!(state.deadline(), Some(at(11)));
        state.on_interest(at(2), false, &config);
        assert_eq!(state.deadline(), Some(at(2)), "a slot is free");
        choose(at(2), &peers(9, |_, _| ()), &config, &mut state, &mut rng);
        state.on_interest(at(3), false, &config);
        assert_eq!(state.deadline(), Some(at(12)), "no slot is free");
        state.on_credit_used(at(2), &config);
        assert_eq!(state.deadline(), Some(at(2) + Duration::from_millis(100)));
        assert_eq!(choose(at(3), &peers(3, |_, v| v.interested = false), &config, &mut state, &mut rng), []);
        assert_eq!(state.deadline(), None);
    }

    #[test]
    fn slots_by_rate_open_while_each_carries_more() {
        let by_rate = SlotCount::ByRate { slots_min: 2, step_bytes: 1024 };
        let views = |rates: &[u64]| {
            peers(rates.len() as u32, |i, v| (v.unchoked, v.up_rate) = (true, rates[i as usize]))
        };
        assert_eq!(slot_count(&views(&[]), by_rate), 2);
        assert_eq!(slot_count(&views(&[50_000; 5]), by_rate), 6);
        assert_eq!(slot_count(&views(&[3000, 2900, 2800, 2700]), by_rate), 3);
        assert_eq!(slot_count(&views(&[0; 4]), SlotCount::Fixed(4)), 4);
    }
}
