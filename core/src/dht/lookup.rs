//! A look-up: what it is for, its searches, what they found. No packets.

use super::DhtConfig;
use super::address::Family;
use super::event::{Cost, Outcome};
use super::item::Item;
use super::search::Search;
use crate::base::{Instant, is_public};
use crate::wire::InfoHash;
use crate::wire::krpc::{Bloom, Method, NodeId, Response, immutable_target, mutable_target};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Peers told of one address of the Internet: many share one behind a VPN or a provider, and answers full of a victim's
/// ports are to send it few connections.
const PORTS_MAX: usize = 16;

/// Addresses that a node's filter may hold (BEP 33): one that says more would spoil the sum of all.
const FILTERED_MAX: u32 = 6_000;

/// What a look-up is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Who is near.
    Nodes,
    /// To be known by who is near us, in one family.
    Join(Family),
    /// To freshen a bucket, in one family.
    Refresh(Family),
    /// Who has the torrent.
    Peers { info_hash: InfoHash, no_seed: bool },
    /// To say that we have it.
    Announce { info_hash: InfoHash, port: Option<u16>, seed: bool },
    /// How many have it.
    Scrape { info_hash: InfoHash },
    /// An item.
    Get { salt: Vec<u8>, newer_than: Option<i64> },
    /// To store an item.
    Put { item: Item, cas: Option<i64> },
    /// Which torrents there are.
    Sample,
}

impl Goal {
    /// The family it is in, if it is in one only.
    pub(super) fn only(&self) -> Option<Family> {
        match self {
            Self::Join(family) | Self::Refresh(family) => Some(*family),
            Self::Nodes
            | Self::Peers { .. }
            | Self::Announce { .. }
            | Self::Scrape { .. }
            | Self::Get { .. }
            | Self::Put { .. }
            | Self::Sample => None,
        }
    }

    /// The query of its search.
    pub(super) fn method(&self, target: NodeId) -> Method<'static> {
        match self {
            Self::Nodes | Self::Join(_) | Self::Refresh(_) => Method::FindNode { target },
            Self::Peers { info_hash, no_seed } => {
                Method::GetPeers { info_hash: *info_hash, no_seed: *no_seed, scrape: false }
            }
            Self::Announce { info_hash, seed, .. } => {
                Method::GetPeers { info_hash: *info_hash, no_seed: *seed, scrape: false }
            }
            Self::Scrape { info_hash } => {
                Method::GetPeers { info_hash: *info_hash, no_seed: false, scrape: true }
            }
            Self::Get { newer_than, .. } => Method::Get { target, seq: *newer_than },
            Self::Put { .. } => Method::Get { target, seq: None },
            Self::Sample => Method::SampleInfohashes { target },
        }
    }
}

/// What a response brought beside nodes.
#[derive(Debug, Default)]
pub(super) struct Gain {
    /// Peers that weren't told of yet.
    pub(super) peers: Vec<SocketAddr>,
    /// A newer item.
    pub(super) item: Option<Item>,
    /// It lied.
    pub(super) lie: bool,
}

/// A look-up under way.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) goal: Goal,
    pub(super) searches: [Option<Search>; 2],
    /// Stores that wait for their answers; `None` while it searches.
    pub(super) storing: Option<u32>,
    pub(super) begun: Instant,
    pub(super) cost: Cost,
    pub(super) stored: u32,
    pub(super) refused: BTreeMap<i64, u32>,
    pub(super) sampled: (u32, usize),
    found: BTreeSet<SocketAddr>,
    best: Option<Item>,
    blooms: Option<(Bloom, Bloom, u32)>,
}

impl Lookup {
    pub(super) fn new(now: Instant, goal: Goal) -> Self {
        Self {
            goal,
            searches: [None, None],
            storing: None,
            begun: now,
            cost: Cost::default(),
            stored: 0,
            refused: BTreeMap::new(),
            sampled: (0, 0),
            found: BTreeSet::new(),
            best: None,
            blooms: None,
        }
    }

    /// Takes in what a node answered; its nodes are taken elsewhere.
    pub(super) fn on_response(
        &mut self,
        target: NodeId,
        response: &Response<'_>,
        config: &DhtConfig,
    ) -> Gain {
        let mut gain = Gain::default();
        match &self.goal {
            Goal::Peers { .. } | Goal::Announce { .. } => {
                gain.peers = self.new_peers(response, config);
            }
            Goal::Scrape { .. } => gain.lie = !self.on_scrape(response),
            // Who doesn't know `seq` tells what it has.
            Goal::Get { newer_than: Some(known), .. } if response.seq.is_some_and(|seq| seq <= *known) => {}
            Goal::Get { salt, .. } => {
                let read = read_item(target, response, salt, self.best.as_ref());
                (gain.item, gain.lie) = read.map_or((None, true), |item| (item, false));
                self.best = gain.item.clone().or(self.best.take());
            }
            Goal::Put { item, .. } => {
                let salt = item.signed().map(|signed| signed.salt).unwrap_or_default();
                let read = read_item(target, response, salt, self.best.as_ref());
                gain.lie = read.is_err();
                self.best = read.unwrap_or_default().or(self.best.take());
            }
            Goal::Nodes | Goal::Join(_) | Goal::Refresh(_) | Goal::Sample => {}
        }
        gain
    }

    fn new_peers(&mut self, response: &Response<'_>, config: &DhtConfig) -> Vec<SocketAddr> {
        let mut out = Vec::new();
        for peer in response.values.iter() {
            let fits = self.found.len() < config.lookup_peers_max && self.has_port_left(peer);
            if fits && super::address::is_worth(peer, config) && self.found.insert(peer) {
                out.push(peer);
            }
        }
        out
    }

    /// Whether one more port of an address may be told of.
    fn has_port_left(&self, peer: SocketAddr) -> bool {
        let [first, last] = [0, u16::MAX].map(|port| SocketAddr::new(peer.ip(), port));
        !is_public(peer.ip()) || self.found.range(first..=last).count() < PORTS_MAX
    }

    /// Filters are joined. Who sends none, but peers, is counted as they say (BEP 33). `false` if they can't be true.
    fn on_scrape(&mut self, response: &Response<'_>) -> bool {
        let (seeds, peers, answers) =
            self.blooms.get_or_insert_with(|| (Bloom::default(), Bloom::default(), 0));
        if let (Some(more_seeds), Some(more_peers)) = (response.seeds, response.peers) {
            if [more_seeds, more_peers].into_iter().any(|more| Bloom(*more).estimate() > FILTERED_MAX) {
                return false;
            }
            seeds.join(more_seeds);
            peers.join(more_peers);
            *answers += 1;
        } else if response.values.is_present() {
            for peer in response.values.iter().filter(|peer| !seeds.may_hold(peer.ip())) {
                peers.insert(peer.ip());
            }
            *answers += 1;
        }
        true
    }

    /// Whether nothing more is to be sought.
    pub(super) fn is_found(&self, config: &DhtConfig) -> bool {
        let immutable = matches!((&self.goal, &self.best), (Goal::Get { .. }, Some(Item::Immutable { .. })));
        immutable || self.searches.iter().flatten().all(|search| search.is_done(config))
    }

    /// What came of it.
    pub(super) fn outcome(&mut self, config: &DhtConfig) -> Outcome {
        let k = config.bucket_nodes_max;
        let nearest: Vec<_> =
            self.searches.iter().flatten().flat_map(|search| search.nearest().take(k)).collect();
        self.cost.hops = nearest.iter().map(|known| known.hops).max().unwrap_or(0);
        match &self.goal {
            Goal::Nodes | Goal::Join(_) | Goal::Refresh(_) => {
                Outcome::Nodes(nearest.iter().filter_map(|known| Some((known.id?, known.addr))).collect())
            }
            Goal::Peers { .. } => Outcome::Peers { found: self.found.len() },
            Goal::Announce { .. } => Outcome::Announced {
                stored: self.stored,
                failed: self.refused.values().sum(),
                found: self.found.len(),
            },
            Goal::Scrape { .. } => {
                let (seeds, peers, answers) = self.blooms.unwrap_or_default();
                Outcome::Scraped { seeds: seeds.estimate(), peers: peers.estimate(), answers }
            }
            Goal::Get { .. } => Outcome::Got(self.best.take()),
            Goal::Put { .. } => Outcome::Put {
                stored: self.stored,
                refused: self.refused.iter().map(|(&code, &count)| (code, count)).collect(),
                seq_before: self.best.as_ref().and_then(Item::seq),
            },
            Goal::Sample => Outcome::Sampled { nodes: self.sampled.0, samples: self.sampled.1 },
        }
    }
}

/// The item of a response, if it is newer than the best; an error is a lie.
fn read_item(
    target: NodeId,
    response: &Response<'_>,
    salt: &[u8],
    best: Option<&Item>,
) -> Result<Option<Item>, ()> {
    let Some(value) = response.value else { return Ok(None) };
    let (Some(key), Some(seq), Some(signature)) = (response.key, response.seq, response.signature) else {
        let true_to_target = immutable_target(value) == target;
        let item = Item::Immutable { value: value.to_vec() };
        return if true_to_target { Ok(best.is_none().then_some(item)) } else { Err(()) };
    };
    if mutable_target(key, salt) != target {
        return Err(());
    }
    if best.and_then(Item::seq).is_some_and(|known| known >= seq) {
        return Ok(None);
    }
    let signed = crate::wire::krpc::Signed { key, salt, seq, signature };
    let item = Item::read(value, Some(signed));
    item.check().map(|()| Some(item)).map_err(|_| ())
}
