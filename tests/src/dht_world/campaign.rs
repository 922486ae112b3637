//! What is measured in a network: torrents and items are stored by some nodes and sought by others. Owns the scenarios and
//! the table.

use super::hostile::{VICTIM, torrent};
use super::{DhtHost, DhtWorld, Ended};
use core::fmt::Write as _;
use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::dht::{Family, Item, LookupId, Outcome, SecretKey};
use millstream_core::wire::InfoHash;
use std::collections::HashMap;

/// How long nodes come in.
const JOINING: Duration = Duration::from_secs(60);

/// How long they may find their places.
const SETTLING: Duration = Duration::from_secs(60);

/// Between storing and seeking.
const WAIT: Duration = Duration::from_secs(180);

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network, and what happens in it.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What the table calls it.
    pub name: &'static str,
    /// All nodes.
    pub nodes: u32,
    /// Hostile ones among them, of a hundred.
    pub hostile_percent: u32,
    /// Honest ones that are replaced in a minute, of a hundred.
    pub churn_percent: u32,
    /// Torrents that are announced, and items that are put.
    pub stored: usize,
}

/// The three that are told of.
pub const SCENARIOS: [(&str, u32, u32); 4] =
    [("calm", 0, 0), ("churn", 0, 10), ("hostile", 20, 0), ("churn and hostile", 20, 10)];

/// What look-ups of one kind came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Those that were begun.
    pub begun: u64,
    /// Those that found what they sought.
    pub found: u64,
    /// Sums over all.
    pub hops: u64,
    /// The most of one.
    pub hops_max: u32,
    /// Sum.
    pub queries: u64,
    /// The most of one.
    pub queries_max: u32,
    /// Sum.
    pub answers: u64,
    /// Sum of milliseconds.
    pub elapsed_ms: u64,
}

impl Tally {
    fn on_ended(&mut self, ended: &Ended, found: bool) {
        self.found += u64::from(found);
        self.hops += u64::from(ended.cost.hops);
        self.hops_max = self.hops_max.max(ended.cost.hops);
        self.queries += u64::from(ended.cost.queries);
        self.queries_max = self.queries_max.max(ended.cost.queries);
        self.answers += u64::from(ended.cost.answers);
        self.elapsed_ms += ended.cost.elapsed.as_millis() as u64;
    }

    /// Found, of a thousand.
    pub fn found_per_mille(&self) -> u64 {
        self.found * 1000 / self.begun.max(1)
    }

    fn row(&self, scenario: &str, kind: &str) -> String {
        let mean = |sum: u64| sum as f64 / self.begun.max(1) as f64;
        format!(
            "| {scenario} | {kind} | {} | {:.1} | {:.1} / {} | {:.1} / {} | {:.1} | {:.1} |",
            self.begun,
            mean(self.found) * 100.0,
            mean(self.hops),
            self.hops_max,
            mean(self.queries),
            self.queries_max,
            mean(self.answers),
            mean(self.elapsed_ms) / 1000.0,
        )
    }
}

/// What a scenario came to.
#[derive(Clone, Debug)]
pub struct Report {
    scenario: Scenario,
    /// Announces: found is that a node took it.
    pub announce: Tally,
    /// Peers sought: found is the very peer that was announced.
    pub get_peers: Tally,
    /// Items put: found is that a node took it.
    pub put: Tally,
    /// Items sought: found is the very item.
    pub get: Tally,
    /// Bytes a second that the whole network sent to the poisoners' victim while it was measured.
    pub victim_bytes_per_second: u64,
    /// Datagrams a second of a node, from the first moment on, of a hundred.
    pub datagrams_per_node_percent: u64,
}

impl Report {
    /// The head of a table.
    pub const HEAD: &str = "| network | look-up | begun | found, % | hops, mean / most | queries, mean / most | \
        answers, mean | seconds, mean |\n|---|---|---:|---:|---:|---:|---:|---:|\n";

    /// Its rows.
    pub fn rows(&self) -> String {
        let kinds = [
            ("announce_peer", &self.announce),
            ("get_peers", &self.get_peers),
            ("put", &self.put),
            ("get", &self.get),
        ];
        let mut out = String::new();
        for (kind, tally) in kinds {
            writeln!(out, "{}", tally.row(self.scenario.name, kind)).expect("strings take all");
        }
        out
    }
}

/// Something that was stored.
enum Stored {
    Peer(InfoHash, SocketAddr),
    Item(Item),
}

/// Plays a scenario.
pub fn play(seed: u64, scenario: Scenario) -> Report {
    let mut world = DhtWorld::new(seed, Family::V4);
    populate(&mut world, scenario);
    world.watch(VICTIM.ip());
    let began = (world.now, world.mail(VICTIM.ip()).bytes);
    let mut report = Report {
        scenario,
        announce: Tally::default(),
        get_peers: Tally::default(),
        put: Tally::default(),
        get: Tally::default(),
        victim_bytes_per_second: 0,
        datagrams_per_node_percent: 0,
    };
    let stored = store(&mut world, scenario, &mut report);
    live(&mut world, scenario, WAIT);
    seek(&mut world, scenario, &stored, &mut report);
    let seconds = world.now.saturating_since(began.0).as_secs().max(1);
    report.victim_bytes_per_second = (world.mail(VICTIM.ip()).bytes - began.1) / seconds;
    let node_seconds = u64::from(scenario.nodes) * world.now.as_micros() / 1_000_000;
    report.datagrams_per_node_percent = world.datagrams * 100 / node_seconds.max(1);
    report
}

/// Everybody comes, in one minute, and finds a place.
fn populate(world: &mut DhtWorld, scenario: Scenario) {
    let each = JOINING / scenario.nodes;
    for n in 0..scenario.nodes {
        // Spread evenly among the others, none before there is somebody to deceive.
        let hostile = (n * scenario.hostile_percent) % 100 + scenario.hostile_percent >= 100;
        if hostile {
            world.join_hostile();
        } else {
            world.join();
        }
        world.run(each);
    }
    world.run(SETTLING);
}

/// Lets time pass in which nodes come and go.
fn live(world: &mut DhtWorld, scenario: Scenario, time: Duration) {
    let replaced = world.honest().len() as u64 * u64::from(scenario.churn_percent) / 100;
    if replaced == 0 {
        return world.run(time);
    }
    let each = Duration::from_secs(60) / replaced as u32;
    let until = world.now + time;
    while world.now < until {
        let gone = world.any_honest();
        world.leave(gone);
        world.join();
        world.run(each);
    }
}

fn store(world: &mut DhtWorld, scenario: Scenario, report: &mut Report) -> Vec<Stored> {
    let mut stored = Vec::new();
    let mut running: HashMap<(DhtHost, LookupId), bool> = HashMap::new();
    for n in 0..scenario.stored {
        let host = world.any_honest();
        let hash = torrent(world.rng());
        let port = 7000 + n as u16;
        let lookup = world.with(host, |node, now| node.announce(now, hash, Some(port), true));
        running.insert((host, lookup.expect("there is room")), true);
        stored.push(Stored::Peer(hash, SocketAddr::new(world.addr(host).ip(), port)));
        let host = world.any_honest();
        let item = item(world, n);
        let lookup = world.with(host, |node, now| node.put(now, item.clone(), None));
        running.insert((host, lookup.expect("there is room")), false);
        stored.push(Stored::Item(item));
        live(world, scenario, Duration::from_millis(500));
    }
    live(world, scenario, PATIENCE);
    (report.announce.begun, report.put.begun) = (scenario.stored as u64, scenario.stored as u64);
    for ended in core::mem::take(&mut world.ended) {
        match ended.outcome {
            Outcome::Announced { stored, .. } => report.announce.on_ended(&ended, stored > 0),
            Outcome::Put { stored, .. } => report.put.on_ended(&ended, stored > 0),
            Outcome::Nodes(_)
            | Outcome::Peers { .. }
            | Outcome::Scraped { .. }
            | Outcome::Got(_)
            | Outcome::Sampled { .. } => {}
        }
    }
    stored
}

fn seek(world: &mut DhtWorld, scenario: Scenario, stored: &[Stored], report: &mut Report) {
    let mut sought: HashMap<(DhtHost, LookupId), &Stored> = HashMap::new();
    let mut tell = |world: &mut DhtWorld, sought: &mut HashMap<(DhtHost, LookupId), &Stored>| {
        for ended in core::mem::take(&mut world.ended) {
            match sought.remove(&(ended.host, ended.lookup)) {
                Some(Stored::Peer(_, at)) => report.get_peers.on_ended(&ended, ended.peers.contains(at)),
                Some(Stored::Item(item)) => {
                    let found = matches!(&ended.outcome, Outcome::Got(Some(got)) if got == item);
                    report.get.on_ended(&ended, found);
                }
                None => {}
            }
        }
    };
    for what in stored {
        let host = world.any_honest();
        let lookup = world.with(host, |node, now| match what {
            Stored::Peer(hash, _) => node.get_peers(now, *hash),
            Stored::Item(item) => {
                let salt = if let Item::Mutable(item) = item { &item.salt[..] } else { &[] };
                node.get(now, item.target(), salt, None)
            }
        });
        sought.insert((host, lookup.expect("there is room")), what);
        live(world, scenario, Duration::from_millis(250));
        tell(world, &mut sought);
    }
    live(world, scenario, PATIENCE);
    tell(world, &mut sought);
    // Who left meanwhile had no time to find anything: that is no failure of the network.
    let alive = |report: &mut Tally, unfinished: u64| report.begun = scenario.stored as u64 - unfinished;
    let left =
        |peer: bool| sought.values().filter(|it| matches!(it, Stored::Peer(..)) == peer).count() as u64;
    alive(&mut report.get_peers, left(true));
    alive(&mut report.get, left(false));
    assert!(scenario.churn_percent > 0 || sought.is_empty(), "{} look-ups never end", sought.len());
}

/// Every other one is mutable, with a salt.
fn item(world: &mut DhtWorld, n: usize) -> Item {
    let value = [b"32:".as_slice(), &world.rng().bytes::<32>()].concat();
    if n.is_multiple_of(2) {
        return Item::Immutable { value };
    }
    let owner = SecretKey::from_seed(&world.rng().bytes());
    Item::Mutable(owner.sign(b"salt", n as i64, &value).expect("it is short"))
}
