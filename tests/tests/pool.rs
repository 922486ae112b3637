//! Stories of the pool of links: a weak router, and none.

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::engine::{AddTorrent, Command, Config, Event, Rates, UtpUse};
use millstream_core::pool::{Mood, PoolConfig};
use millstream_tests::world::router::WhenFull;
use millstream_tests::world::stranger::{Stranger, all_features};
use millstream_tests::world::{Content, HostId, Weather, World};

const HOUR: Duration = Duration::from_secs(3600);

/// What became of a leech that knows twelve slow seeds and many dead addresses.
struct Tale {
    took: Duration,
    evicted: u64,
    bounded: bool,
}

/// Where it does so.
struct Scene {
    seed: u64,
    bytes: u64,
    half_open_max: usize,
    dead: usize,
    /// Entries that the router has, if it is a weak one, and what it does when they are taken.
    router: Option<(usize, WhenFull)>,
    utp: UtpUse,
}

/// A small router, so that the story is short: one attempt a second fills its forty entries as five fill two hundred.
const SMALL: Scene = Scene {
    seed: 17,
    bytes: 16_000_000,
    half_open_max: 10,
    dead: 400,
    router: Some((40, WhenFull::EvictsOldest)),
    utp: UtpUse::Off,
};

fn tale(scene: &Scene, adaptive: bool) -> Tale {
    let content = Content::v1(95, scene.bytes);
    let mut world = World::new(scene.seed, Weather::fair(4_000));
    let seeds: Vec<HostId> = (0..12)
        .map(|_| {
            let seed = world.host();
            world.seed(seed, &content);
            seed
        })
        .collect();
    let pool = PoolConfig { adaptive, ..PoolConfig::default() };
    let half_open_max = scene.half_open_max;
    let leech =
        world.host_with(Config { half_open_max, pool, dht: false, utp: scene.utp, ..Config::default() });
    if let Some((entries, when_full)) = scene.router {
        world.put_behind_router(leech, entries, Duration::from_secs(120), when_full);
    }
    let dead: Vec<SocketAddr> = (0..scene.dead).map(|_| world.dead_addr()).collect();
    let peers = seeds.iter().map(|&seed| world.addr(seed)).chain(dead).collect();
    let id = world.add(leech, AddTorrent { peers, ..AddTorrent::new(content.source(), "disk") });
    let start = world.now;
    world.complete(2 * HOUR, &[(leech, id)]);
    let bounded =
        |event: &Event| matches!(event, Event::Pool(change) if matches!(change.mood, Mood::Bounded(_)));
    Tale {
        took: world.now.saturating_since(start),
        evicted: world.evicted(leech),
        bounded: world.at(leech).events.iter().any(bounded),
    }
}

/// The same with fixed bounds and with the adaptive pool.
#[allow(clippy::print_stdout, reason = "the numbers that the benchmarks' page has")]
fn both(scene: &Scene) -> (Tale, Tale) {
    let (fixed, adaptive) = (tale(scene, false), tale(scene, true));
    println!(
        "fixed {:?}, {} broken; adaptive {:?}, {} broken",
        fixed.took, fixed.evicted, adaptive.took, adaptive.evicted
    );
    (fixed, adaptive)
}

#[test]
fn behind_a_router_with_a_small_table_links_live_and_the_download_ends_sooner() {
    let (fixed, adaptive) = both(&SMALL);
    assert!(adaptive.bounded && !fixed.bounded, "it is found out, and told");
    assert!(adaptive.evicted * 2 < fixed.evicted, "{} and {}", adaptive.evicted, fixed.evicted);
    assert!(adaptive.took < fixed.took, "{:?} and {:?}", adaptive.took, fixed.took);
}

/// The bounds that are the default, and as many dead addresses as fill two hundred entries.
const LARGE: Scene = Scene { bytes: 32_000_000, half_open_max: 50, dead: 1_900, ..SMALL };

#[test]
#[ignore = "minutes: the named scenario at its full size; tests/BENCHMARKS.md has its numbers"]
fn behind_a_router_with_200_entries_links_live_and_the_download_ends_sooner() {
    for seed in [17, 18, 19] {
        let (fixed, adaptive) = both(&Scene { seed, router: Some((200, WhenFull::EvictsOldest)), ..LARGE });
        assert!(adaptive.bounded && !fixed.bounded, "it is found out, and told");
        assert!(adaptive.evicted * 2 < fixed.evicted, "{} and {}", adaptive.evicted, fixed.evicted);
        assert!(adaptive.took < fixed.took, "{:?} and {:?}", adaptive.took, fixed.took);
    }
    // There it ends no sooner.
    both(&Scene { router: Some((200, WhenFull::DropsNew)), ..LARGE });
    let (fixed, adaptive) = both(&Scene { router: None, ..LARGE });
    assert!(adaptive.took * 100 <= fixed.took * 102, "{:?} and {:?}", adaptive.took, fixed.took);
}

#[test]
fn datagrams_of_utp_take_entries_in_the_table_too() {
    let tale = tale(&Scene { utp: UtpUse::Only, ..SMALL }, true);
    assert!(tale.evicted > 0, "four hundred addresses don't fit");
}

#[test]
fn without_a_weak_router_nothing_changes_however_many_addresses_are_dead() {
    let (fixed, adaptive) = both(&Scene { router: None, ..SMALL });
    assert!(!adaptive.bounded);
    assert!(adaptive.took * 100 <= fixed.took * 102, "{:?} and {:?}", adaptive.took, fixed.took);
}

#[test]
fn where_the_host_has_no_room_the_links_that_are_of_least_use_are_closed() {
    let content = Content::v1(96, 4_000_000);
    let mut world = World::new(18, Weather::calm());
    let seed = world.host();
    world.seed(seed, &content);
    let rates = Rates { download: Some(200_000), ..Rates::default() };
    let leech = world.host_with(Config { dht: false, utp: UtpUse::Off, rates, ..Config::default() });
    let id = world.leech(leech, &content, &[seed]);
    let strangers: Vec<Stranger> = (0..31)
        .map(|_| {
            let from = world.stranger_addr();
            world.call(from, leech, content.info().info_hash().unwrap(), all_features())
        })
        .collect();
    assert!(world.until(HOUR, |world| world.status(leech, id).downloaded > 500_000));
    let dead = world.dead_addr();
    world.command(leech, Command::Peers(id, vec![dead])).unwrap();
    assert_eq!(world.at(leech).engine.link_counts(), (33, 1));
    world.refuse_room(leech);
    // Of 32 that are open and one that was, an eighth is given up.
    let pool = world.at(leech).engine.pool(world.now);
    assert!(matches!(pool.mood, Mood::Bounded(_)), "{pool:?}");
    assert_eq!(pool.open, pool.size, "{pool:?}");
    let gone = strangers.iter().filter(|stranger| stranger.is_closed(&world)).count();
    assert_eq!(gone, 32 - pool.open);
    assert!(gone >= 3, "{gone}");
    world.complete(HOUR, &[(leech, id)]);
}
