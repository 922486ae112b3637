//! Stories of links over uTP (BEP 29): the same torrents, the same manners, out of datagrams.

use core::time::Duration;
use millstream_core::engine::{AddTorrent, Config, Encryption, Rates, UtpUse};
use millstream_tests::pair::Pair;
use millstream_tests::world::{Content, Weather, World};

const MINUTE: Duration = Duration::from_secs(60);

fn only() -> Config {
    Config { utp: UtpUse::Only, ..Config::default() }
}

fn pair(seed: u64, content: Content, configs: [Config; 2]) -> Pair {
    let add = AddTorrent::new(content.source(), "disk");
    Pair::built(seed, content, add, configs)
}

fn pair_in(seed: u64, weather: Weather, content: Content, configs: [Config; 2]) -> Pair {
    let mut pair = pair(seed, content.clone(), configs.clone());
    let [of_seed, of_leech] = configs;
    pair.world = World::new(seed, weather);
    (pair.seed, pair.leech) = (pair.world.host_with(of_seed), pair.world.host_with(of_leech));
    pair.seed_torrent = pair.world.seed(pair.seed, &content);
    pair.leech_torrent = pair.world.add(pair.leech, AddTorrent::new(content.source(), "disk"));
    pair
}

#[test]
fn bep_0029_a_torrent_goes_over_utp_alone() {
    let mut pair = pair(1, Content::v1(1, 3_000_000), [only(), only()]);
    pair.connect();
    pair.complete();
    let status = pair.world.status(pair.leech, pair.leech_torrent);
    assert_eq!((status.downloaded, status.wasted), (3_000_000, 0));
    assert_eq!(pair.world.status(pair.seed, pair.seed_torrent).uploaded, 3_000_000);
    pair.drive();
    assert_eq!(pair.world.at(pair.seed).engine.link_counts(), (0, 0), "nothing is left behind");
}

#[test]
fn bep_0029_a_torrent_survives_loss_and_delay_over_utp() {
    let weather = Weather { latency_us: (10_000, 30_000), datagram_losses_per_mille: 20, ..Weather::calm() };
    let mut pair = pair_in(3, weather, Content::v1(1, 2_000_000), [only(), only()]);
    pair.connect();
    pair.complete();
}

#[test]
fn with_one_percent_loss_and_fifty_milliseconds_a_torrent_holds_the_rate_that_libtorrent_holds() {
    // What libtorrent reached in the median over the relay with the same loss and delay: `tests/BENCHMARKS.md`.
    const LIBTORRENT: u64 = 490_000;
    let weather = Weather { latency_us: (25_000, 25_000), datagram_losses_per_mille: 10, ..Weather::calm() };
    let mut rates: Vec<u64> = (20..27)
        .map(|seed| {
            let mut pair = pair_in(seed, weather, Content::v1(1, 8 << 20), [only(), only()]);
            pair.connect();
            let began = pair.world.now;
            pair.complete();
            (8 << 20) * 1_000_000 / pair.world.now.saturating_since(began).as_micros() as u64
        })
        .collect();
    rates.sort_unstable();
    println!("1 % lost each way, 50 ms, 8 MiB: {rates:?} bytes a second");
    assert!(rates[rates.len() / 2] >= LIBTORRENT, "{rates:?} bytes a second");
}

#[test]
fn who_cant_be_reached_over_tcp_is_called_over_utp_at_once() {
    let mut pair = pair(4, Content::v1(1, 300_000), [only(), Config::default()]);
    pair.connect();
    pair.complete();
    assert!(pair.world.now < millstream_core::base::Instant::ZERO + Duration::from_secs(5));
}

#[test]
fn without_utp_no_stream_is_taken() {
    let off = Config { utp: UtpUse::Off, ..Config::default() };
    let mut pair = pair(5, Content::v1(1, 300_000), [off, only()]);
    pair.connect();
    pair.world.run(MINUTE);
    assert_eq!(pair.world.status(pair.leech, pair.leech_torrent).downloaded, 0);
}

#[test]
fn rate_limits_hold_over_utp() {
    let rates = Rates { upload: Some(200_000), ..Rates::default() };
    let mut pair = pair(6, Content::v1(1, 4_000_000), [Config { rates, ..only() }, only()]);
    pair.connect();
    pair.world.run(Duration::from_secs(10));
    let had = pair.world.status(pair.leech, pair.leech_torrent).downloaded;
    assert!((1_500_000..2_600_000).contains(&had), "{had}");
}

#[test]
fn encryption_that_is_required_goes_over_utp_alone() {
    let config = Config { encryption: Encryption::Require, ..only() };
    let weather = Weather { latency_us: (10_000, 30_000), datagram_losses_per_mille: 20, ..Weather::calm() };
    for (seed, weather) in [(7, Weather::calm()), (8, weather)] {
        let mut pair = pair_in(seed, weather, Content::v1(1, 2_000_000), [config.clone(), config.clone()]);
        pair.connect();
        pair.complete();
        let status = pair.world.status(pair.leech, pair.leech_torrent);
        assert_eq!((status.downloaded, status.wasted), (2_000_000, 0));
    }
    let off = Config { encryption: Encryption::Off, ..only() };
    let mut pair = pair(9, Content::v1(1, 300_000), [config, off]);
    pair.connect();
    pair.world.run(MINUTE);
    assert_eq!(pair.world.status(pair.leech, pair.leech_torrent).downloaded, 0, "nothing goes in the clear");
}
