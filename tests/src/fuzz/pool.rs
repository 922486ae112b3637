//! Facts for a pool of connections, drawn by the fuzzer: its bounds, its fairness, and that it never gets stuck.

use core::time::Duration;
use millstream_core::base::Instant;
use millstream_core::pool::{CloseReason, Connections, OpenError, PoolConfig, Prospect};
use std::collections::{BTreeMap, BTreeSet};

/// What the caller knows of its connections.
#[derive(Default)]
struct Known {
    opening: BTreeMap<u32, u8>,
    open: BTreeMap<u32, Option<u8>>,
    wants: BTreeSet<u8>,
    next: u32,
}

impl Known {
    /// Connections of an owner.
    fn of(&self, owner: u8) -> usize {
        let open = self.open.values().filter(|it| **it == Some(owner)).count();
        open + self.opening.values().filter(|it| **it == owner).count()
    }

    fn opening_of(&self, owner: u8) -> usize {
        self.opening.values().filter(|it| **it == owner).count()
    }
}

/// Random facts: the hard bounds hold, who is named wants it and has no greater share than all others, and while someone
/// wants a connection and there is none, one may be opened within some minutes.
pub fn pool(data: &[u8]) {
    let Some((&[links, half, min], facts)) = data.split_first_chunk::<3>() else { return };
    let config = PoolConfig {
        links_max: 1 + usize::from(links),
        half_open_max: 1 + usize::from(half % 64),
        size_start: usize::from(min),
        size_min: usize::from(min % 16),
        half_open_min: usize::from(min % 8),
        ..PoolConfig::default()
    };
    let mut now = Instant::from_micros(1);
    let mut pool: Connections<u32, u8> = Connections::new(now, config.clone());
    let mut known = Known::default();
    for &[fact, which] in facts.as_chunks::<2>().0 {
        tell(&mut pool, &mut known, &mut now, (fact, which));
        let status = pool.status(now);
        assert_eq!((status.open, status.half_open), (known.open.len(), known.opening.len()));
        assert!(
            status.half_open <= config.half_open_max && status.open + status.half_open <= config.links_max
        );
        let _ = pool.next_change();
        if let Some(at) = pool.deadline() {
            assert!(!known.wants.is_empty(), "nobody wants anything, and it would be woken at {at:?}");
        }
    }
    revive(&mut pool, &mut known, &mut now);
}

fn tell(pool: &mut Connections<u32, u8>, known: &mut Known, now: &mut Instant, (fact, which): (u8, u8)) {
    let owner = which % 8;
    match fact % 12 {
        0 => {
            pool.on_wants(*now, owner, true);
            known.wants.insert(owner);
        }
        1 => {
            pool.on_wants(*now, owner, false);
            known.wants.remove(&owner);
        }
        2..=4 => (0..which % 32).for_each(|_| open(pool, known, *now, which)),
        5 => *now += Duration::from_millis(u64::from(which) * 40),
        6 => *now += Duration::from_secs(u64::from(which)),
        7 => {
            let key = pick(known.opening.keys(), which);
            if let Some(owner) = key.and_then(|key| known.opening.remove(&key)) {
                pool.on_opened(*now, key.unwrap_or(0));
                known.open.insert(key.unwrap_or(0), Some(owner));
            }
        }
        8 | 9 => {
            let whys = [OpenError::TimedOut, OpenError::Refused, OpenError::Unreachable, OpenError::NoRoom];
            if let Some(key) = pick(known.opening.keys(), which) {
                known.opening.remove(&key);
                pool.on_failed(*now, key, whys[usize::from(which) % 4]);
            }
        }
        10 => {
            let whys = [CloseReason::Ours, CloseReason::Finished, CloseReason::Lost, CloseReason::Lost];
            if let Some(key) = pick(known.open.keys(), which) {
                known.open.remove(&key);
                pool.on_closed(*now, key, whys[usize::from(which) % 4]);
            }
        }
        _ => {
            known.next += 1;
            if pool.may_accept() {
                pool.on_accepted(*now, known.next);
                known.open.insert(known.next, None);
                if which % 2 == 0 {
                    pool.on_owner(*now, known.next, owner);
                    known.open.insert(known.next, Some(owner));
                }
            }
            pool.on_received(*now, known.next, u64::from(which) << 10);
            pool.on_sent(*now, known.next, u64::from(fact) << 8);
            pool.on_timeout(*now);
        }
    }
}

fn pick<'a>(keys: impl ExactSizeIterator<Item = &'a u32>, which: u8) -> Option<u32> {
    let place = usize::from(which) % keys.len().max(1);
    keys.copied().nth(place)
}

/// Opens what may be opened, once.
fn open(pool: &mut Connections<u32, u8>, known: &mut Known, now: Instant, which: u8) {
    let Some(owner) = pool.next_open(now) else { return };
    assert!(known.wants.contains(&owner), "who is named wants it");
    let fewer =
        |it: &&u8| known.of(**it) < known.of(owner) && known.opening_of(**it) < known.opening_of(owner);
    let passed_over =
        known.wants.iter().find(|it| fewer(it) && pool.lingering_of(**it) <= pool.lingering_of(owner));
    assert_eq!(passed_over, None, "nobody with less of everything is passed over for {owner}");
    let prospect = [Prospect::Fresh, Prospect::Proven, Prospect::Failed][usize::from(which) % 3];
    known.next += 1;
    pool.on_started(now, known.next, owner, prospect);
    known.opening.insert(known.next, owner);
}

/// All ends; someone wants a connection: it may be opened before long, by waking when the pool says.
fn revive(pool: &mut Connections<u32, u8>, known: &mut Known, now: &mut Instant) {
    for (key, _) in core::mem::take(&mut known.opening) {
        pool.on_failed(*now, key, OpenError::TimedOut);
    }
    for (key, _) in core::mem::take(&mut known.open) {
        pool.on_closed(*now, key, CloseReason::Lost);
    }
    pool.on_wants(*now, 0, true);
    let end = *now + Duration::from_secs(600);
    let mut wakes = 0;
    while pool.next_open(*now).is_none() {
        let at = pool.deadline().expect("who waits is woken");
        assert!(at <= end, "it waits until {at:?}, from {now:?}");
        *now = (*now).max(at);
        pool.on_timeout(*now);
        wakes += 1;
        assert!(wakes < 10_000, "it wakes and wakes");
    }
}
