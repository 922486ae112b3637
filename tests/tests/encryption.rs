//! Encrypted links: each policy against each, swarms that require them, strangers who lie. What the handshake's machines
//! do face to face is told beside them.

use core::time::Duration;
use millstream_core::base::{Rng, TorrentId};
use millstream_core::engine::{Config, Encryption, Work};
use millstream_core::link::LinkFaults;
use millstream_core::mse::{Initiator, Then, exchange};
use millstream_core::wire::extension::{Extension, ExtensionHandshake};
use millstream_core::wire::handshake::Handshake;
use millstream_core::wire::message::Message;
use millstream_core::wire::mse::{KEY_BYTES, KeyExchange, Level, Levels, PrivateKey, VeiledHash};
use millstream_core::wire::pex::{PexFlags, PexMessage};
use millstream_core::wire::{InfoHash, PeerId};
use millstream_tests::world::stranger::{all_features, parse};
use millstream_tests::world::{Content, HostId, Stranger, Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const POLICIES: [Encryption; 3] = [Encryption::Off, Encryption::Prefer, Encryption::Require];

fn with(encryption: Encryption) -> Config {
    Config { encryption, ..Config::default() }
}

fn name(content: &Content) -> InfoHash {
    content.info().info_hash().unwrap()
}

fn hello(info_hash: InfoHash) -> Handshake {
    let mut peer_id = *b"-XX0001-000000000000";
    peer_id[19] = info_hash.0[0];
    Handshake { reserved: all_features(), info_hash, peer_id: PeerId(peer_id) }
}

fn faults(world: &World, host: HostId) -> LinkFaults {
    world.at(host).engine.link_faults()
}

/// A seed that strangers may call.
fn seed(n: u64, content: &Content, config: Config) -> (World, HostId, TorrentId) {
    let mut world = World::new(n, Weather::calm());
    let host = world.host_with(config);
    let id = world.seed(host, content);
    world.run(SECOND);
    (world, host, id)
}

#[test]
fn each_pair_of_policies_connects_or_refuses_as_it_says() {
    let content = Content::v1(200, 300_000);
    for (n, (called, calling)) in
        (0..).zip(POLICIES.into_iter().flat_map(|a| POLICIES.into_iter().map(move |b| (a, b))))
    {
        let mut world = World::new(200 + n, Weather::fair(1_000_000));
        let (b, a) = (world.host_with(with(called)), world.host_with(with(calling)));
        let seeding = world.seed(b, &content);
        let id = world.leech(a, &content, &[b]);
        let expected = match (called, calling) {
            (Encryption::Off, Encryption::Require) | (Encryption::Require, Encryption::Off) => None,
            (Encryption::Off, _) | (_, Encryption::Off) => Some(None),
            (Encryption::Prefer, Encryption::Prefer) => Some(Some(Level::Plain)),
            (Encryption::Require, _) | (_, Encryption::Require) => Some(Some(Level::Rc4)),
        };
        let Some(level) = expected else {
            world.run(60 * SECOND);
            assert_eq!(world.status(a, id).peers, 0, "{calling:?} calls {called:?}");
            let refused = if called == Encryption::Require { faults(&world, b) } else { faults(&world, a) };
            assert!(refused.plain > 0, "{calling:?} calls {called:?}: {refused:?}");
            continue;
        };
        world.until(5 * SECOND, |world| world.status(a, id).peers == 1);
        for (host, id) in [(a, id), (b, seeding)] {
            let peers = world.at(host).engine.peers(world.now, id);
            let levels: Vec<Option<Level>> = peers.iter().map(|peer| peer.encrypted).collect();
            assert_eq!(levels, [level], "{calling:?} calls {called:?}");
        }
        world.complete(60 * SECOND, &[(a, id)]);
        assert!(world.is_whole(a, &content));
    }
}

#[test]
fn a_swarm_that_requires_encryption_completes_in_rough_weather() {
    let content = Content::v1(201, 1_000_000);
    for n in 0..3 {
        let mut world = World::new(n, Weather::rough());
        let hosts: Vec<HostId> = (0..5).map(|_| world.host_with(with(Encryption::Require))).collect();
        world.seed(hosts[0], &content);
        let leeches: Vec<(HostId, TorrentId)> =
            (1..5).map(|at| (hosts[at], world.leech(hosts[at], &content, &hosts[..at]))).collect();
        world.complete(Duration::from_secs(3600), &leeches);
        for (leech, id) in leeches {
            assert!(world.is_whole(leech, &content));
            let peers = world.at(leech).engine.peers(world.now, id);
            assert!(peers.iter().all(|peer| peer.encrypted == Some(Level::Rc4)));
        }
    }
}

#[test]
fn who_does_not_answer_encrypted_is_called_plain_at_once_and_remembered() {
    let content = Content::v1(202, 300_000);
    let mut world = World::new(202, Weather::calm());
    let (b, a) = (world.host_with(with(Encryption::Off)), world.host_with(with(Encryption::Prefer)));
    world.seed(b, &content);
    let id = world.leech(a, &content, &[b]);
    assert!(world.until(2 * SECOND, |world| world.status(a, id).peers == 1), "no back-off lies between");
    assert_eq!((faults(&world, a).encryption, faults(&world, b).handshake), (1, 1));
    world.cut(a, b);
    assert!(world.until(60 * SECOND, |world| world.status(a, id).peers == 1));
    assert_eq!(faults(&world, a).encryption, 1, "the second call is plain from the start");
}

/// What a stranger's handshake has come to.
struct Caller {
    stranger: Stranger,
    machine: Initiator,
}

impl Caller {
    /// Calls with a key and padding, and goes no further.
    fn calls(world: &mut World, host: HostId, skey: InfoHash) -> Self {
        let from = world.stranger_addr();
        let mut stranger = world.call_silently(from, host);
        let (mut machine, step) = Initiator::new(skey, Levels::BOTH, Vec::new(), Rng::new([3; 32]));
        let Then::Exchange(job) = step.then else { panic!("a key first: {step:?}") };
        let step = machine.on_exchanged(&exchange(&job));
        stranger.say_bytes(world, &step.say);
        Self { stranger, machine }
    }

    /// The third block, once the host's key has come.
    fn terms(&mut self, world: &mut World) -> Vec<u8> {
        world.run(SECOND);
        let step = self.machine.on_received(&self.stranger.hear_bytes(world));
        let Then::Exchange(job) = step.then else { panic!("the host's key has come: {step:?}") };
        self.machine.on_exchanged(&exchange(&job)).say
    }
}

#[test]
fn slow_strangers_lose_their_links_in_time_wherever_they_stop() {
    let content = Content::v1(203, 100_000);
    let (mut world, host, _) = seed(203, &content, with(Encryption::Prefer));
    let mut links = Vec::new();
    // Nothing; half a key; a key; the mark; half the terms; the terms without the handshake within.
    let from = world.stranger_addr();
    links.push(world.call_silently(from, host));
    let from = world.stranger_addr();
    let mut half = world.call_silently(from, host);
    half.say_bytes(&mut world, &[2; KEY_BYTES / 2]);
    links.push(half);
    for part in [0, 20, 45, usize::MAX] {
        let mut caller = Caller::calls(&mut world, host, name(&content));
        let terms = caller.terms(&mut world);
        caller.stranger.say_bytes(&mut world, &terms[..part.min(terms.len())]);
        links.push(caller.stranger);
    }
    assert!(links.iter().skip(2).all(|link| !link.is_closed(&world)), "time is given");
    world.run(Config::default().handshake_timeout);
    assert!(links.iter().all(|link| link.is_closed(&world)), "and not more");
    assert_eq!(world.at(host).engine.link_counts(), (0, 0));
}

#[test]
fn strangers_who_lie_are_refused_and_counted_and_nothing_else_happens() {
    let content = Content::v1(204, 100_000);
    let (mut world, host, id) = seed(204, &content, with(Encryption::Prefer));
    let refused = |world: &World, caller: &Caller| caller.stranger.is_closed(world);
    // Padding without end.
    let mut endless = Caller::calls(&mut world, host, name(&content));
    endless.terms(&mut world);
    endless.stranger.say_bytes(&mut world, &[0xaa; 1000]);
    assert!(refused(&world, &endless));
    // A torrent that isn't ours.
    let mut unknown = Caller::calls(&mut world, host, InfoHash([9; 20]));
    let terms = unknown.terms(&mut world);
    unknown.stranger.say_bytes(&mut world, &terms);
    assert!(refused(&world, &unknown));
    // A wrong verification constant, or any other byte of the terms.
    let mut wrong = Caller::calls(&mut world, host, name(&content));
    let mut terms = wrong.terms(&mut world);
    terms[40] ^= 1;
    wrong.stranger.say_bytes(&mut world, &terms);
    assert!(refused(&world, &wrong));
    // Garbage where a key is due: its padding never ends either.
    let mut garbage = vec![0; 2000];
    Rng::new([4; 32]).fill(&mut garbage);
    let from = world.stranger_addr();
    let mut stranger = world.call_silently(from, host);
    stranger.say_bytes(&mut world, &garbage);
    world.run(SECOND);
    assert!(stranger.is_closed(&world));
    // Keys that leave the secret open.
    let from = world.stranger_addr();
    let mut stranger = world.call_silently(from, host);
    stranger.say_bytes(&mut world, &[0; KEY_BYTES]);
    assert!(stranger.is_closed(&world));
    assert_eq!(faults(&world, host), LinkFaults { encryption: 5, ..LinkFaults::default() });
    assert_eq!(world.at(host).engine.link_counts(), (0, 0));
    assert!(world.is_complete(host, id));
}

#[test]
fn a_link_encrypted_for_one_torrent_may_not_name_another() {
    let (one, other) = (Content::v1(205, 100_000), Content::v1(206, 50_000));
    let (mut world, host, _) = seed(205, &one, with(Encryption::Prefer));
    world.seed(host, &other);
    let from = world.stranger_addr();
    let mut stranger = world.call_silently(from, host);
    let within = hello(name(&other)).encode().to_vec();
    let (mut machine, step) = Initiator::new(name(&one), Levels::BOTH, within, Rng::new([3; 32]));
    let Then::Exchange(job) = step.then else { panic!("{step:?}") };
    let step = machine.on_exchanged(&exchange(&job));
    stranger.say_bytes(&mut world, &step.say);
    let mut caller = Caller { stranger, machine };
    let terms = caller.terms(&mut world);
    caller.stranger.say_bytes(&mut world, &terms);
    assert!(caller.stranger.is_closed(&world));
    assert_eq!(faults(&world, host).other_torrent, 1);
}

#[test]
fn a_hybrid_is_found_by_either_of_its_veiled_names() {
    let content =
        Content::new(207, millstream_core::wire::metainfo::Version::Hybrid, &[("a", 100_000)], 32 << 10);
    let (mut world, host, _) = seed(207, &content, with(Encryption::Require));
    for hash in content.info().hashes() {
        let from = world.stranger_addr();
        let stranger = world.call_encrypted(from, host, &hello(hash), Levels::BOTH);
        assert!(stranger.handshake.is_some());
        world.run(SECOND);
    }
    assert_ne!(VeiledHash::of(InfoHash([1; 20])), VeiledHash::of(InfoHash([2; 20])));
}

/// Exchanges of keys that a host's driver owes.
fn exchanges(world: &World, host: HostId) -> usize {
    world.at(host).owed().filter(|work| matches!(work, Work::Exchange(_))).count()
}

#[test]
fn strangers_make_us_compute_a_bounded_number_of_exchanges_at_once_and_one_each() {
    let content = Content::v1(208, 100_000);
    let config = Config { key_exchanges_max: 3, ..with(Encryption::Prefer) };
    let (mut world, host, _) = seed(208, &content, config);
    world.weather.job_us = (200_000, 200_000);
    let job = KeyExchange { private: PrivateKey([5; 20]), public: true, theirs: None };
    let key = exchange(&job).public.unwrap().0;
    let mut links: Vec<Stranger> = Vec::new();
    for _ in 0..20 {
        let from = world.stranger_addr();
        let mut stranger = world.call_silently(from, host);
        stranger.say_bytes(&mut world, &key);
        links.push(stranger);
        assert!(exchanges(&world, host) <= 3);
    }
    assert_eq!(exchanges(&world, host), 3);
    assert!(world.until(5 * SECOND, |world| exchanges(world, host) == 0), "each has its turn");
    world.run(SECOND);
    let answered = links.iter_mut().map(|link| link.hear_bytes(&mut world).len() >= KEY_BYTES);
    assert_eq!(answered.filter(|answered| *answered).count(), 20);
    // A key again, and again: nothing more is computed for it.
    for link in &mut links {
        link.say_bytes(&mut world, &key);
        assert_eq!(exchanges(&world, host), 0);
    }
}

#[test]
fn a_stranger_that_leaves_before_its_turn_costs_no_exchange() {
    let content = Content::v1(209, 100_000);
    let config = Config { key_exchanges_max: 1, ..with(Encryption::Prefer) };
    let (mut world, host, _) = seed(209, &content, config);
    world.weather.job_us = (2_000_000, 2_000_000);
    let mut endless = Vec::new();
    for _ in 0..10 {
        let from = world.stranger_addr();
        let mut stranger = world.call_silently(from, host);
        stranger.say_bytes(&mut world, &[2; KEY_BYTES]);
        // More than padding: it is closed before its turn has come.
        stranger.say_bytes(&mut world, &[2; 600]);
        endless.push(stranger);
    }
    assert!(endless.iter().all(|link| link.is_closed(&world)));
    assert!(
        world.until(3 * SECOND, |world| exchanges(world, host) == 0),
        "one was under way, no other begins"
    );
}

#[test]
fn bytes_for_an_rc4_link_are_never_left_for_the_driver_to_send_from_a_file() {
    let content = Content::v1(210, 500_000);
    for (encryption, stored) in [(Encryption::Prefer, true), (Encryption::Require, false)] {
        let weather = Weather { stored_per_mille: 1000, job_us: (1000, 1000), ..Weather::calm() };
        let mut world = World::new(210, weather);
        let (b, a) = (world.host_with(with(encryption)), world.host_with(with(encryption)));
        world.seed(b, &content);
        let id = world.leech(a, &content, &[b]);
        let mut plain = Vec::new();
        while !world.is_complete(a, id) {
            world.run(Duration::from_micros(100));
            plain.extend(
                world
                    .at(b)
                    .owed()
                    .filter_map(|work| if let Work::Read { plain, .. } = work { Some(*plain) } else { None }),
            );
        }
        assert!(!plain.is_empty() && plain.iter().all(|plain| *plain == stored), "{encryption:?}");
        assert!(world.is_whole(a, &content));
    }
}

/// The extension handshakes that were heard, and the PEX messages under the number 9.
fn heard(frames: &[Vec<u8>]) -> (Vec<ExtensionHandshake>, Vec<PexMessage>) {
    let (mut hellos, mut told) = (Vec::new(), Vec::new());
    for frame in frames {
        if let Message::Extended { id: 0, payload } = parse(frame) {
            hellos.push(ExtensionHandshake::parse(payload).unwrap());
        } else if let Message::Extended { id: 9, payload } = parse(frame) {
            told.push(PexMessage::parse(payload, 1000).unwrap());
        }
    }
    (hellos, told)
}

#[test]
fn that_encrypted_links_are_taken_is_said_to_peers_and_passed_on_by_pex() {
    let content = Content::v1(211, 100_000);
    for encryption in POLICIES {
        let mut world = World::new(211, Weather::calm());
        let host = world.host_with(with(encryption));
        world.leech(host, &content, &[]);
        let mut strangers: Vec<Stranger> = (0..3)
            .map(|n| {
                let from = world.stranger_addr();
                let mut hello = hello(name(&content));
                hello.peer_id.0[18] = n;
                let mut stranger = match encryption {
                    Encryption::Off | Encryption::Prefer => {
                        let mut stranger = world.call_silently(from, host);
                        stranger.say_bytes(&mut world, &hello.encode());
                        stranger
                    }
                    Encryption::Require => world.call_encrypted(from, host, &hello, Levels::BOTH),
                };
                let (m, p) = (vec![(Extension::UtPex, 9)], Some(7000 + u16::from(n)));
                let e = (n == 1).then_some(true);
                stranger.say_extensions(&mut world, &ExtensionHandshake { m, p, e, ..Default::default() });
                stranger
            })
            .collect();
        let (hellos, told) = heard(&strangers[0].listen(&mut world, 10 * SECOND));
        assert_eq!(hellos[0].e, (encryption != Encryption::Off).then_some(true));
        let flags: Vec<(u16, bool)> = told[0]
            .added
            .iter()
            .map(|peer| (peer.addr.port(), peer.flags.has(PexFlags::ENCRYPTION)))
            .collect();
        assert_eq!(flags, [(7001, true), (7002, false)]);
    }
}
