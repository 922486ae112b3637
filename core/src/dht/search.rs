//! One iterative search in one family (BEP 5, BEP 42): whom to ask next, who is nearest, when it is over. No packets.

use super::DhtConfig;
use super::address::network;
use crate::base::is_public;
use crate::wire::krpc::NodeId;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// What may be claimed of one address of the Internet: liars' words must not keep the honest one out, nor make us knock at
/// all doors of a victim.
const CLAIMS_MAX: usize = 8;

/// Claims remembered in all.
const SEEN_MAX: usize = 4_096;

/// A longer token isn't kept; nobody has one.
const TOKEN_BYTES_MAX: usize = 128;

/// How far a candidate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To be asked.
    Waiting,
    /// Asked.
    Asked,
    /// Asked, and slower than others are.
    Stalled,
    /// It answered, perhaps with a token.
    Answered(Option<Box<[u8]>>),
}

/// A node on the way.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// `None` for one to begin with whose id nobody knows.
    pub(super) id: Option<NodeId>,
    pub(super) addr: SocketAddr,
    /// How many were asked, one after the other, to hear of it; itself included.
    pub(super) hops: u32,
    pub(super) progress: Progress,
    /// Its id suits its address (BEP 42), so that it may store and end the search.
    pub(super) suits: bool,
    /// The sequence number of the item that it has (BEP 44).
    pub(super) seq: Option<i64>,
    distance: [u8; 20],
}

impl Candidate {
    fn new(target: NodeId, (id, addr): (Option<NodeId>, SocketAddr), hops: u32, config: &DhtConfig) -> Self {
        let distance = id.map_or([0xff; 20], |id| id.distance(target));
        let suits = id.is_some_and(|id| !config.enforce_node_ids || id.suits(addr.ip()));
        Self { id, addr, hops, progress: Progress::Waiting, suits, seq: None, distance }
    }

    /// Whether it still may be, or is, one of the nearest.
    fn is_live(&self) -> bool {
        matches!(self.progress, Progress::Waiting | Progress::Asked | Progress::Answered(_))
    }
}

/// The networks of those that answered so far, nearest first: who has many addresses in one of the Internet's networks is
/// still one, or a single host could be all of the nearest.
#[derive(Default)]
struct Networks(Vec<u128>);

impl Networks {
    /// Whether a candidate is the first of its network.
    fn admit(&mut self, candidate: &Candidate) -> bool {
        let ip = candidate.addr.ip();
        if !is_public(ip) {
            return true;
        }
        let its = network(ip);
        let first = !self.0.contains(&its);
        if first && matches!(candidate.progress, Progress::Answered(_)) {
            self.0.push(its);
        }
        first
    }
}

/// A search.
#[derive(Debug)]
pub(super) struct Search {
    target: NodeId,
    /// Nearest first. Who is silent is taken out.
    candidates: Vec<Candidate>,
    seen: BTreeMap<IpAddr, Vec<(u16, Option<NodeId>)>>,
    seen_len: usize,
    /// Addresses asked by some id: once is enough.
    asked_at: BTreeSet<SocketAddr>,
    pub(super) asked: u32,
}

impl Search {
    pub(super) fn new(target: NodeId) -> Self {
        let (candidates, asked_at) = (Vec::new(), BTreeSet::new());
        Self { target, candidates, seen: BTreeMap::new(), seen_len: 0, asked_at, asked: 0 }
    }

    pub(super) fn target(&self) -> NodeId {
        self.target
    }

    /// Hears of a node, `hops` away. The address was judged before.
    pub(super) fn on_node(&mut self, id: Option<NodeId>, addr: SocketAddr, hops: u32, config: &DhtConfig) {
        let claims = self.seen.get(&addr.ip()).map_or(&[][..], Vec::as_slice);
        let crowded = is_public(addr.ip()) && claims.len() >= CLAIMS_MAX;
        let asked = id.is_some() && self.asked_at.contains(&addr);
        if asked || crowded || self.seen_len >= SEEN_MAX || claims.contains(&(addr.port(), id)) {
            return;
        }
        let candidate = Candidate::new(self.target, (id, addr), hops, config);
        // Who finds no room isn't remembered: it may be told again when there is some.
        if self.insert(candidate, config) {
            self.seen.entry(addr.ip()).or_default().push((addr.port(), id));
            self.seen_len += 1;
        }
    }

    /// Puts a candidate in its place; whether there is one. The farthest of those who wait gives way.
    fn insert(&mut self, candidate: Candidate, config: &DhtConfig) -> bool {
        let at = self.candidates.partition_point(|known| known.distance <= candidate.distance);
        if at >= config.lookup_candidates_max {
            return false;
        }
        self.candidates.insert(at, candidate);
        if self.candidates.len() > config.lookup_candidates_max {
            let last = self.candidates.iter().rposition(|known| known.progress == Progress::Waiting);
            let gone = self.candidates.remove(last.unwrap_or(self.candidates.len() - 1));
            if gone.progress == Progress::Waiting {
                self.unsee(&gone);
            }
        }
        true
    }

    /// Forgets what was claimed.
    fn unsee(&mut self, gone: &Candidate) {
        if let Some(claims) = self.seen.get_mut(&gone.addr.ip()) {
            let before = claims.len();
            claims.retain(|claim| *claim != (gone.addr.port(), gone.id));
            self.seen_len -= before - claims.len();
        }
    }

    /// Whom to ask now; it counts as asked.
    pub(super) fn next(&mut self, config: &DhtConfig) -> Option<(Option<NodeId>, SocketAddr)> {
        let under_way = self.candidates.iter().filter(|known| known.progress == Progress::Asked).count();
        if under_way >= config.lookup_parallel_max || self.asked >= config.lookup_queries_max {
            return None;
        }
        let n = self.waiting(config)?;
        self.asked += 1;
        let candidate = &mut self.candidates[n];
        candidate.progress = Progress::Asked;
        let (id, addr) = (candidate.id, candidate.addr);
        if id.is_some() {
            // Whatever else is claimed of its address: it says itself who it is.
            self.asked_at.insert(addr);
            self.candidates.retain(|other| other.addr != addr || other.progress != Progress::Waiting);
        }
        Some((id, addr))
    }

    /// The nearest to be asked that could be among the nearest K, each of another network. Those whose id doesn't suit
    /// their address count as nothing, and so are asked only while no other waits.
    fn waiting(&self, config: &DhtConfig) -> Option<usize> {
        let (mut live, mut other, mut others_answered) = (0, None, 0);
        let (mut networks, mut other_networks) = (Networks::default(), Networks::default());
        for (n, candidate) in self.candidates.iter().enumerate() {
            if live >= config.bucket_nodes_max {
                break;
            }
            if candidate.suits {
                if !networks.admit(candidate) {
                    continue;
                }
                if candidate.progress == Progress::Waiting {
                    return Some(n);
                }
                live += usize::from(candidate.is_live());
            } else if candidate.id.is_some() && !other_networks.admit(candidate) {
                continue;
            } else if candidate.progress == Progress::Waiting {
                other = other.or(Some(n));
            } else if candidate.is_live() && candidate.id.is_some() {
                others_answered += 1;
            }
        }
        other.filter(|_| others_answered < 3 * config.bucket_nodes_max)
    }

    /// Whether nothing better can come.
    pub(super) fn is_done(&self, config: &DhtConfig) -> bool {
        let k = config.bucket_nodes_max;
        let mut networks = Networks::default();
        let counts = |known: &&Candidate| known.suits && known.is_live() && networks.admit(known);
        let nearest = self.candidates.iter().filter(counts).take(k);
        let answered = nearest.filter(|known| matches!(known.progress, Progress::Answered(_))).count();
        if answered >= k {
            return true;
        }
        let open = |known: &Candidate| matches!(known.progress, Progress::Asked | Progress::Stalled);
        let may_ask = self.asked < config.lookup_queries_max && self.waiting(config).is_some();
        !may_ask && !self.candidates.iter().any(open)
    }

    /// The candidate that a query went to.
    fn find(&mut self, id: Option<NodeId>, addr: SocketAddr) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|known| known.addr == addr && known.id == id)
    }

    /// It is slow: others are asked meanwhile.
    pub(super) fn on_stall(&mut self, id: Option<NodeId>, addr: SocketAddr) {
        if let Some(known) = self.find(id, addr).filter(|known| known.progress == Progress::Asked) {
            known.progress = Progress::Stalled;
        }
    }

    /// It didn't answer, or with an error.
    pub(super) fn on_failure(&mut self, id: Option<NodeId>, addr: SocketAddr) {
        self.candidates.retain(|known| known.addr != addr || known.id != id);
    }

    /// It answered; the hops to it, if it was sought. One that was named by a false id, or by none, is taken by its own, if
    /// that suits its address: else whoever tells lies of others would keep them out.
    pub(super) fn on_answer(
        &mut self,
        (asked, addr): (Option<NodeId>, SocketAddr),
        id: NodeId,
        (token, seq): (Option<&[u8]>, Option<i64>),
        config: &DhtConfig,
    ) -> Option<u32> {
        let at = self.candidates.iter().position(|known| known.addr == addr && known.id == asked)?;
        let mut known = self.candidates.remove(at);
        let hops = known.hops;
        if asked != Some(id) {
            let by_its_own = Candidate::new(self.target, (Some(id), addr), hops, config);
            let elsewhere = self.candidates.iter().any(|other| other.addr == addr && other.id == Some(id));
            match asked {
                Some(_) if !by_its_own.suits => return Some(hops),
                // It may be told of, and be asked by that name.
                None if !by_its_own.suits || elsewhere => {}
                None => {
                    self.asked_at.insert(addr);
                    known = by_its_own;
                }
                Some(_) => known = by_its_own,
            }
        }
        let token = token.filter(|token| token.len() <= TOKEN_BYTES_MAX).map(Box::from);
        known.progress = Progress::Answered(token);
        known.seq = seq;
        self.insert(known, config);
        Some(hops)
    }

    /// The nearest nodes that answered.
    pub(super) fn nearest(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates
            .iter()
            .filter(|known| known.id.is_some() && matches!(known.progress, Progress::Answered(_)))
    }

    /// Where to store: the nearest K whose id suits their address and that gave a token, each of another network.
    pub(super) fn stores(&self, config: &DhtConfig) -> Vec<(Candidate, Box<[u8]>)> {
        let mut networks = Networks::default();
        let with_token = self.nearest().filter_map(|known| match &known.progress {
            Progress::Answered(Some(token)) if known.suits && networks.admit(known) => {
                Some((known.clone(), token.clone()))
            }
            Progress::Answered(_) | Progress::Waiting | Progress::Asked | Progress::Stalled => None,
        });
        with_token.take(config.bucket_nodes_max).collect()
    }
}
