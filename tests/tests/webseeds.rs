//! Stories of web seeds (BEP 19): alone and beside peers, with servers of every kind.

use core::time::Duration;
use millstream_core::base::TorrentId;
use millstream_core::engine::{AddTorrent, Command, Config, Rates, Source, TorrentEvent, WebSeedState};
use millstream_core::wire::magnet::Magnet;
use millstream_core::wire::metainfo::Version;
use millstream_tests::world::web::Manners;
use millstream_tests::world::{Content, HostId, Weather, World};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A leech that knows a web server with the content, and nobody else.
struct Story {
    world: World,
    leech: HostId,
    torrent: TorrentId,
    content: Content,
}

impl Story {
    fn new(seed: u64, content: Content, manners: Manners) -> Self {
        Self::with(World::new(seed, Weather::calm()), content, manners, Config::default())
    }

    fn with(mut world: World, content: Content, manners: Manners, config: Config) -> Self {
        let web = world.web(&content.files);
        world.webs[web].manners = manners;
        let leech = world.host_with(config);
        let torrent = world.leech(leech, &content, &[]);
        let url = world.webs[web].url();
        let command = Command::WebSeeds(torrent, vec![url]);
        world.command(leech, command).unwrap();
        Self { world, leech, torrent, content }
    }

    fn complete(&mut self, within: Duration) {
        self.world.complete(within, &[(self.leech, self.torrent)]);
        self.world.run(SECOND);
        assert!(self.world.is_whole(self.leech, &self.content));
        assert_eq!(self.world.at(self.leech).engine.link_counts(), (0, 0), "no link is kept");
    }

    fn state(&self) -> (WebSeedState, Option<String>) {
        let engine = &self.world.at(self.leech).engine;
        let seed = &engine.web_seeds(self.world.now, self.torrent)[0];
        (seed.state, seed.error.clone())
    }

    fn warnings(&self) -> Vec<String> {
        self.world.news(self.leech, |news| match news {
            TorrentEvent::Warning(text) => Some(text.clone()),
            _ => None,
        })
    }
}

#[test]
fn bep_0019_a_torrent_comes_from_a_web_seed_alone() {
    let mut story = Story::new(1, Content::v1(1, 3_000_000), Manners::default());
    story.complete(MINUTE);
    let status = story.world.status(story.leech, story.torrent);
    assert_eq!((status.downloaded, status.wasted), (3_000_000, 0));
    assert_eq!(story.world.webs[0].requests.len(), 1, "a long run is one request");
    let seeds = story.world.at(story.leech).engine.web_seeds(story.world.now, story.torrent);
    assert_eq!(
        (seeds[0].state, seeds[0].downloaded, &seeds[0].error),
        (WebSeedState::Idle, 3_000_000, &None)
    );
}
