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

fn tale(router: Option<usize>, adaptive: bool, utp: UtpUse) -> Tale {
    let content = Content::v1(95, 16_000_000);
    let mut world = World::new(17, Weather::fair(4_000));
    let seeds: Vec<HostId> = (0..12)
        .map(|_| {
            let seed = world.host();
            world.seed(seed, &content);
            seed
        })
        .collect();
    // A small router, so that the story is short: one attempt a second fills its forty entries as five fill two hundred.
    let pool = PoolConfig { adaptive, ..PoolConfig::default() };
    let config = Config { half_open_max: 10, pool, dht: false, utp, ..Config::default() };
    let leech = world.host_with(config);
    if let Some(entries) = router {
        world.put_behind_router(leech, entries, Duration::from_secs(120), WhenFull::EvictsOldest);
    }
    let dead: Vec<SocketAddr> = (0..400).map(|_| world.dead_addr()).collect();
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

#[test]
fn behind_a_router_with_a_small_table_links_live_and_the_download_ends_sooner() {
    let (fixed, adaptive) = (tale(Some(40), false, UtpUse::Off), tale(Some(40), true, UtpUse::Off));
    println!(
        "fixed {:?}, {} broken; adaptive {:?}, {} broken",
        fixed.took, fixed.evicted, adaptive.took, adaptive.evicted
    );
    assert!(adaptive.bounded && !fixed.bounded, "it is found out, and told");
    assert!(adaptive.evicted * 2 < fixed.evicted, "{} and {}", adaptive.evicted, fixed.evicted);
    assert!(adaptive.took < fixed.took, "{:?} and {:?}", adaptive.took, fixed.took);
}

#[test]
fn datagrams_of_utp_take_entries_in_the_table_too() {
    let tale = tale(Some(40), true, UtpUse::Only);
    assert!(tale.evicted > 0, "four hundred addresses don't fit");
}

#[test]
fn without_a_weak_router_nothing_changes_however_many_addresses_are_dead() {
    let (fixed, adaptive) = (tale(None, false, UtpUse::Off), tale(None, true, UtpUse::Off));
    println!("fixed {:?}; adaptive {:?}", fixed.took, adaptive.took);
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
