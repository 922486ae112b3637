//! What a peer is worth under each policy: one pure function a policy. Owns no slots and no order of turns.

use super::{ChokeConfig, PeerView, SeedPolicy};
use crate::base::Instant;

/// A peer's worth: more is better, compared field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub u64, pub u64);

/// A peer's worth under the policy of its torrent: tit-for-tat where we leech, `config.seed_policy` where we seed.
pub fn score(now: Instant, view: &PeerView, config: &ChokeConfig) -> Score {
    if !view.seeding {
        return tit_for_tat(view, config);
    }
    match config.seed_policy {
        SeedPolicy::RoundRobin => round_robin(now, view, config),
        SeedPolicy::FastestUpload => fastest_upload(view, config),
        SeedPolicy::AntiLeech => anti_leech(view),
        SeedPolicy::Spreading => spreading(now, view, config),
    }
}

/// Who took more than its credit and gave too little for it: nothing in the regular slots. `best` is the best [`score`]
/// among the interested peers of its torrent that were entrusted with more than a credit.
///
/// Where we leech, one byte given pays for four taken. Where we seed by `Spreading`, a peer is in debt that passes on
/// less than half of what the best one of its torrent does: all may be slow, but nobody much worse than the others.
/// What others have anyway is entrusted to nobody, so peers that join late, or beside other seeds, owe nothing.
pub fn in_debt(view: &PeerView, best: Score, now: Instant, config: &ChokeConfig) -> bool {
    if !view.seeding {
        return view.up_total > config.credit_bytes.saturating_add(view.down_total.saturating_mul(4));
    }
    match config.seed_policy {
        SeedPolicy::Spreading => {
            let Score(mine, _) = score(now, view, config);
            view.entrusted > config.credit_bytes && mine < best.0 / 2
        }
        SeedPolicy::RoundRobin | SeedPolicy::FastestUpload | SeedPolicy::AntiLeech => false,
    }
}

/// BEP 3: whoever gives us most, a second. A snubbing peer counts as one that gives nothing (anti-snubbing).
fn tit_for_tat(view: &PeerView, config: &ChokeConfig) -> Score {
    let rate = if view.snubbed { 0 } else { view.down_rate };
    Score(steady(view, rate, config), u64::from(view.unchoked && !view.snubbed))
}

/// Whose turn has begun keeps it until its quota is served; then whoever waits longest.
fn round_robin(now: Instant, view: &PeerView, config: &ChokeConfig) -> Score {
    let waited = waited(now, view);
    match (view.unchoked, view.up_since_unchoked < config.quota_bytes) {
        (true, true) => Score(2, waited),
        (false, _) => Score(1, waited),
        (true, false) => Score(0, waited),
    }
}

fn fastest_upload(view: &PeerView, config: &ChokeConfig) -> Score {
    Score(steady(view, view.up_rate, config), 0)
}

/// The distance from the middle of the download.
fn anti_leech(view: &PeerView) -> Score {
    Score(u64::from(view.have_permille.min(1000).abs_diff(500)), u64::from(view.unchoked))
}

/// The share of what was entrusted that was spread, in tenths; the credit counts as spread, so that a newcomer starts
/// with full trust and loses it by keeping things to itself. Whoever waits longest is first among equals.
fn spreading(now: Instant, view: &PeerView, config: &ChokeConfig) -> Score {
    let credit = config.credit_bytes.max(1);
    let spread = u128::from(view.spread.min(view.entrusted)) + u128::from(credit);
    let entrusted = u128::from(view.entrusted) + u128::from(credit);
    // In tenths: finer differences are noise, and turns go by waiting.
    Score(
        u64::try_from(spread * 10 / entrusted).unwrap_or(10),
        if view.unchoked { u64::MAX } else { waited(now, view) },
    )
}

fn steady(view: &PeerView, rate: u64, config: &ChokeConfig) -> u64 {
    let bonus = if view.unchoked { rate.saturating_mul(config.hysteresis_percent) / 100 } else { 0 };
    rate.saturating_add(bonus)
}

fn waited(now: Instant, view: &PeerView) -> u64 {
    let since = view.unchoked_at.unwrap_or(view.joined);
    now.saturating_since(since).as_micros() as u64
}
