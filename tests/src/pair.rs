//! Two engines in a calm world, so that tests read as stories: what one has the other wants, nothing takes time, and the
//! clock jumps to whatever is next.

use crate::world::{Content, HostId, Weather, World};
use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::engine::{AddTorrent, Command, Config};

/// A seed and a leech of one torrent.
#[derive(Debug)]
pub struct Pair {
    /// Where they live.
    pub world: World,
    /// What it is about.
    pub content: Content,
    /// Who has it.
    pub seed: HostId,
    /// Its torrent there.
    pub seed_torrent: TorrentId,
    /// Who wants it.
    pub leech: HostId,
    /// Its torrent there.
    pub leech_torrent: TorrentId,
}

impl Pair {
    /// A pair over a small v1 torrent.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Content::v1(1, 300_000))
    }

    /// A pair over this torrent.
    pub fn with(seed: u64, content: Content) -> Self {
        let add = AddTorrent::new(content.source(), "disk");
        Self::built(seed, content, add, [Config::default(), Config::default()])
    }

    /// A pair of which the leech adds this. The settings are those of seed and leech.
    pub fn built(seed: u64, content: Content, add: AddTorrent, configs: [Config; 2]) -> Self {
        let mut world = World::new(seed, Weather::calm());
        let [of_seed, of_leech] = configs;
        let (seed, leech) = (world.host_with(of_seed), world.host_with(of_leech));
        let seed_torrent = world.seed(seed, &content);
        let leech_torrent = world.add(leech, add);
        Self { world, content, seed, seed_torrent, leech, leech_torrent }
    }

    /// Tells the leech where the seed is.
    pub fn connect(&mut self) {
        let peers = vec![self.world.addr(self.seed)];
        self.world
            .command(self.leech, Command::Peers(self.leech_torrent, peers))
            .expect("the leech is there");
    }

    /// Goes on until nothing is under way and nothing is due within a second, a minute at the most.
    pub fn drive(&mut self) {
        self.world.quiet(Duration::from_secs(60));
    }

    /// Goes on until the leech has all, and checks that.
    pub fn complete(&mut self) {
        self.world.complete(Duration::from_secs(120), &[(self.leech, self.leech_torrent)]);
        assert!(self.world.is_whole(self.leech, &self.content), "every byte is where it belongs");
    }
}
