//! Stories of the filter of addresses: whom it forbids is neither called nor heard, over TCP and uTP, from the moment on
//! that it comes.

use core::time::Duration;
use millstream_core::engine::{AddTorrent, Command, Config, Rates, UtpUse};
use millstream_core::wire::ip_filter::IpFilter;
use millstream_tests::world::{Content, HostId, Weather, World};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn config(utp: UtpUse) -> Config {
    let rates = Rates { download: Some(200_000), ..Rates::default() };
    Config { utp, rates, dht: false, ..Config::default() }
}

fn forbid(world: &mut World, at: HostId, whom: HostId) {
    let ip = world.addr(whom).ip();
    let filter = IpFilter::from_ranges([(ip, ip)]);
    world.command(at, Command::IpFilter(Some(Arc::new(filter)))).unwrap();
}

#[test]
fn a_filter_that_comes_closes_links_and_nobody_that_it_forbids_is_called_or_taken_any_more() {
    for utp in [UtpUse::Off, UtpUse::Only] {
        let content = Content::v1(91, 4_000_000);
        let mut world = World::new(91, Weather::calm());
        let (seed, leech) = (world.host_with(config(utp)), world.host_with(config(utp)));
        let of_seed = world.seed(seed, &content);
        let id = world.leech(leech, &content, &[seed]);
        assert!(world.until(MINUTE, |world| world.status(leech, id).downloaded > 100_000));
        forbid(&mut world, leech, seed);
        assert_eq!(world.at(leech).engine.filter_counts().links_closed, 1, "{utp:?}");
        world.run(2 * SECOND);
        assert_eq!(world.at(leech).engine.link_counts(), (0, 0), "{utp:?}");
        let (called, there) = (world.at(leech).dialed.len(), world.status(leech, id).downloaded);
        let peers = vec![world.addr(seed)];
        world.command(leech, Command::Peers(id, peers)).unwrap();
        let back = vec![world.addr(leech)];
        world.command(seed, Command::Peers(of_seed, back)).unwrap();
        world.run(20 * MINUTE);
        let counts = world.at(leech).engine.filter_counts();
        assert_eq!(world.at(leech).dialed.len(), called, "{utp:?}");
        assert_eq!(world.at(leech).engine.link_counts(), (0, 0), "{utp:?}");
        assert_eq!(world.status(leech, id).downloaded, there, "{utp:?}");
        assert!(counts.addresses > 0, "{counts:?}");
        match utp {
            UtpUse::Only => assert!(counts.datagrams > 0, "{counts:?}"),
            UtpUse::Off | UtpUse::On => assert!(counts.links_refused > 0, "{counts:?}"),
        }
        world.command(leech, Command::IpFilter(None)).unwrap();
        let peers = vec![world.addr(seed)];
        world.command(leech, Command::Peers(id, peers)).unwrap();
        world.complete(60 * MINUTE, &[(leech, id)]);
    }
}

#[test]
fn a_call_under_way_when_the_filter_comes_is_not_tried_over_the_other_carrier() {
    let content = Content::v1(92, 100_000);
    let mut world = World::new(92, Weather::calm());
    let leech = world.host_with(config(UtpUse::On));
    let dead = world.dead_addr();
    world.add(leech, AddTorrent { peers: vec![dead], ..AddTorrent::new(content.source(), "disk") });
    assert!(world.until(SECOND, |world| world.at(leech).engine.link_counts() == (1, 1)));
    let filter = IpFilter::from_ranges([(dead.ip(), dead.ip())]);
    world.command(leech, Command::IpFilter(Some(Arc::new(filter)))).unwrap();
    assert_eq!(world.at(leech).engine.link_counts().1, 0, "the other carrier isn't tried");
    world.run(30 * MINUTE);
    assert_eq!(world.at(leech).dialed, [dead]);
}
