//! Stories of peers that the application sends away: for a while, or for good.

use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::engine::{Command, CommandError, Config, Rates, TorrentEvent, UtpUse};
use millstream_tests::world::{Content, HostId, Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A leech in the middle of what a seed gives it. The seed calls nobody.
fn swarm(seed: u8, utp: UtpUse) -> (World, HostId, HostId, TorrentId) {
    let content = Content::v1(seed, 4_000_000);
    let mut world = World::new(u64::from(seed), Weather::calm());
    let rates = Rates { download: Some(100_000), ..Rates::default() };
    let config = Config { utp, rates, dht: false, lsd: false, ..Config::default() };
    let (seed, leech) = (world.host_with(config.clone()), world.host_with(config));
    world.seed(seed, &content);
    let id = world.leech(leech, &content, &[seed]);
    assert!(world.until(MINUTE, |world| world.status(leech, id).downloaded > 100_000));
    (world, seed, leech, id)
}

fn send_away(world: &mut World, at: HostId, torrent: TorrentId, whom: HostId, ban: bool) {
    let peer = world.addr(whom);
    world.command(at, Command::Disconnect { torrent, peer, ban }).unwrap();
    assert_eq!(world.status(at, torrent).peers, 0);
}

#[test]
fn who_is_sent_away_is_not_called_for_a_quarter_of_an_hour_though_all_is_begun_anew() {
    for utp in [UtpUse::Off, UtpUse::Only] {
        let (mut world, seed, leech, id) = swarm(92, utp);
        send_away(&mut world, leech, id, seed, false);
        let called = world.at(leech).dialed.len();
        world.run(5 * MINUTE);
        world.command(leech, Command::Pause(id)).unwrap();
        world.run(10 * SECOND);
        world.command(leech, Command::Resume(id)).unwrap();
        world.run(9 * MINUTE);
        assert_eq!(world.at(leech).engine.link_counts(), (0, 0), "{utp:?}");
        assert_eq!(world.at(leech).dialed.len(), called, "{utp:?}");
        world.complete(10 * MINUTE, &[(leech, id)]);
    }
}

#[test]
fn who_is_sent_away_is_called_when_it_is_given_again_and_may_call() {
    let (mut world, seed, leech, id) = swarm(93, UtpUse::Off);
    send_away(&mut world, leech, id, seed, false);
    let peers = vec![world.addr(seed)];
    world.command(leech, Command::Peers(id, peers)).unwrap();
    world.run(SECOND);
    assert_eq!(world.status(leech, id).peers, 1);
    send_away(&mut world, leech, id, seed, false);
    let (theirs, peers) = (world.at(seed).engine.torrents()[0], vec![world.addr(leech)]);
    world.command(seed, Command::Peers(theirs, peers)).unwrap();
    world.run(30 * SECOND);
    assert_eq!(world.status(leech, id).peers, 1);
    world.complete(10 * MINUTE, &[(leech, id)]);
}

#[test]
fn who_is_banned_by_the_application_is_neither_called_nor_taken_nor_taken_in_again() {
    let (mut world, seed, leech, id) = swarm(94, UtpUse::Off);
    send_away(&mut world, leech, id, seed, true);
    let banned = world
        .news(leech, |news| if let TorrentEvent::Banned { addr, .. } = news { Some(*addr) } else { None });
    assert_eq!(banned, [world.addr(seed)]);
    let (theirs, called) = (world.at(seed).engine.torrents()[0], world.at(leech).dialed.len());
    let (to_seed, to_leech) = (vec![world.addr(seed)], vec![world.addr(leech)]);
    world.command(leech, Command::Peers(id, to_seed)).unwrap();
    world.command(seed, Command::Peers(theirs, to_leech)).unwrap();
    world.run(30 * MINUTE);
    assert_eq!(world.at(leech).dialed.len(), called);
    assert_eq!(world.status(leech, id).peers, 0);
}

#[test]
fn somebody_who_is_not_here_can_be_banned_and_not_sent_away() {
    let content = Content::v1(95, 100_000);
    let mut world = World::new(95, Weather::calm());
    let (seed, leech) = (world.host(), world.host());
    world.seed(seed, &content);
    let torrent = world.leech(leech, &content, &[]);
    let peer = world.addr(seed);
    let away = |ban| Command::Disconnect { torrent, peer, ban };
    assert_eq!(world.command(leech, away(false)), Err(CommandError::NoPeer(peer)));
    world.command(leech, away(true)).unwrap();
    world.command(leech, Command::Peers(torrent, vec![peer])).unwrap();
    world.run(MINUTE);
    assert_eq!(world.at(leech).dialed, []);
}
