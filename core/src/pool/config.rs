//! The settings of a pool: plain data, a default for each, its consequence beside it.

use core::time::Duration;

/// Settings of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Connections at once, open and opening, whoever opened them. Never exceeded by what the pool allows.
    pub links_max: usize,
    /// Connections opening at once. Never exceeded. More is hard on weak routers, less makes starting slow.
    pub half_open_max: usize,
    /// Whether the pool adapts. Without it only the two bounds above hold.
    pub adaptive: bool,
    /// The footprint that is allowed at the start. Smaller is kinder to very weak routers, and slows the first seconds.
    pub size_start: usize,
    /// The footprint that is always allowed. Larger gives up on routers with smaller tables.
    pub size_min: usize,
    /// Connections opening at once at the start; the number doubles every `growth_interval`.
    pub half_open_start: usize,
    /// Connections opening at once that are always allowed. Larger is hard on routers that bound them.
    pub half_open_min: usize,
    /// How often size and half-open budget may double at the start. Shorter starts faster and overshoots further.
    pub growth_interval: Duration,
    /// How long a router may keep the entry of a connection that ended. Longer opens fewer connections a second once the
    /// pool is bounded; shorter overruns routers that keep them longer.
    pub linger: Duration,
    /// After so long without an answer an attempt counts as silent, though it may still be waited for. Shorter sees
    /// trouble sooner, and takes slow answers for silence.
    pub patience: Duration,
    /// A connection that lived so long is one that worked: only the loss of such a one is a sign.
    pub proven_after: Duration,
    /// How sure the pool is before it tries a smaller size: false alarms come about once in e to this power attempts.
    /// More is slower to see trouble, less shrinks without need.
    pub doubt_max: u32,
    /// How long a bounded pool takes to grow by an eighth without a new sign. Shorter finds out sooner that a network
    /// has become better, and runs into the bound of a weak router more often.
    pub regrow_interval: Duration,
    /// The pause after a trial that didn't help; it doubles with each further one, up to 32 times. Shorter tries more
    /// often on networks where it can't help.
    pub trial_pause: Duration,
    /// How long the number of connections is held once more of them carry no more; it ends sooner when less is carried.
    /// Longer opens fewer in vain, and finds out later that a line has become faster. Zero never holds it.
    pub hold_interval: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            links_max: 20_000,
            half_open_max: 50,
            adaptive: true,
            size_start: 128,
            size_min: 16,
            half_open_start: 16,
            half_open_min: 4,
            growth_interval: Duration::from_millis(250),
            linger: Duration::from_secs(120),
            patience: Duration::from_secs(4),
            proven_after: Duration::from_secs(10),
            doubt_max: 10,
            regrow_interval: Duration::from_secs(45),
            trial_pause: Duration::from_secs(240),
            hold_interval: Duration::from_secs(300),
        }
    }
}
