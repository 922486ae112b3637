//! Stories of one torrent going from a seed to a leech.

use core::time::Duration;
use millstream_core::engine::{AddTorrent, Command, Config, Selection, State, TorrentEvent};
use millstream_core::wire::metainfo::Version;
use millstream_tests::pair::Pair;
use millstream_tests::world::{Content, Weather, World};

#[test]
fn bep_0003_a_leech_gets_every_byte_from_a_seed() {
    let mut pair = Pair::new(1);
    pair.connect();
    pair.complete();
    let status = pair.world.status(pair.leech, pair.leech_torrent);
    assert_eq!((status.state, status.verified, status.downloaded), (State::Seeding, 300_000, 300_000));
    assert_eq!(status.wasted, 0);
    let completed = |event: &TorrentEvent| matches!(event, TorrentEvent::Completed).then_some(());
    assert_eq!(pair.world.news(pair.leech, completed).len(), 1);
    assert_eq!(pair.world.at(pair.leech).bytes_written, 300_000, "each byte is written once");
    assert_eq!(pair.world.status(pair.seed, pair.seed_torrent).uploaded, 300_000);
}
