//! One iterative search in one family (BEP 5, BEP 42): whom to ask next, who is nearest, when it is over. No packets.

use super::DhtConfig;
use crate::base::is_public;
use crate::wire::krpc::NodeId;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// What may be claimed of one address of the Internet: a liar's word must not keep the honest one out.
const CLAIMS_MAX: usize = 3;

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
    /// It didn't answer, or is another than it was said to be.
    Failed,
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
    /// Whether it still may be, or is, one of the nearest.
    fn is_live(&self) -> bool {
        matches!(self.progress, Progress::Waiting | Progress::Asked | Progress::Answered(_))
    }
}

/// A search.
#[derive(Debug)]
pub(super) struct Search {
    target: NodeId,
    candidates: Vec<Candidate>,
    seen: BTreeMap<IpAddr, Vec<(u16, Option<NodeId>)>>,
    seen_len: usize,
    pub(super) asked: u32,
}

impl Search {
    pub(super) fn new(target: NodeId) -> Self {
        Self { target, candidates: Vec::new(), seen: BTreeMap::new(), seen_len: 0, asked: 0 }
    }

    pub(super) fn target(&self) -> NodeId {
        self.target
    }

    /// Hears of a node, `hops` away. The address was judged before.
    pub(super) fn on_node(&mut self, id: Option<NodeId>, addr: SocketAddr, hops: u32, config: &DhtConfig) {
        let claims = self.seen.entry(addr.ip()).or_default();
        let crowded = is_public(addr.ip()) && claims.len() >= CLAIMS_MAX;
        if crowded || self.seen_len >= SEEN_MAX || claims.contains(&(addr.port(), id)) {
            return;
        }
        claims.push((addr.port(), id));
        self.seen_len += 1;
        let distance = id.map_or([0xff; 20], |id| id.distance(self.target));
        let suits = id.is_some_and(|id| !config.enforce_node_ids || id.suits(addr.ip()));
        let at = self.candidates.partition_point(|known| known.distance <= distance);
        if at >= config.lookup_candidates_max {
            return;
        }
        let candidate = Candidate { id, addr, hops, progress: Progress::Waiting, suits, seq: None, distance };
        self.candidates.insert(at, candidate);
        if self.candidates.len() > config.lookup_candidates_max {
            let last = self.candidates.iter().rposition(|known| known.progress == Progress::Waiting);
            self.candidates.remove(last.unwrap_or(self.candidates.len() - 1));
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
        Some((candidate.id, candidate.addr))
    }

    /// The nearest to be asked that could be among the nearest K. Those whose id doesn't suit their address count as
    /// nothing, and so are asked only while no other waits.
    fn waiting(&self, config: &DhtConfig) -> Option<usize> {
        let (mut live, mut other, mut others_answered) = (0, None, 0);
        for (n, candidate) in self.candidates.iter().enumerate() {
            if live >= config.bucket_nodes_max {
                break;
            }
            if candidate.suits {
                if candidate.progress == Progress::Waiting {
                    return Some(n);
                }
                live += usize::from(candidate.is_live());
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
        let nearest = self.candidates.iter().filter(|known| known.suits && known.is_live()).take(k);
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
        if let Some(known) = self.find(id, addr) {
            known.progress = Progress::Failed;
        }
    }

    /// It answered; the hops to it, if it is who it was said to be.
    pub(super) fn on_answer(
        &mut self,
        (asked, addr): (Option<NodeId>, SocketAddr),
        id: NodeId,
        token: Option<&[u8]>,
        seq: Option<i64>,
    ) -> Option<u32> {
        let known = self.find(asked, addr)?;
        if asked.is_some_and(|asked| asked != id) {
            known.progress = Progress::Failed;
            return None;
        }
        let token = token.filter(|token| token.len() <= TOKEN_BYTES_MAX).map(Box::from);
        known.progress = Progress::Answered(token);
        known.seq = seq;
        Some(known.hops)
    }

    /// The nearest nodes that answered.
    pub(super) fn nearest(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates
            .iter()
            .filter(|known| known.id.is_some() && matches!(known.progress, Progress::Answered(_)))
    }

    /// Where to store: the nearest K whose id suits their address and that gave a token.
    pub(super) fn stores(&self, config: &DhtConfig) -> Vec<(Candidate, Box<[u8]>)> {
        let with_token =
            self.nearest().filter(|known| known.suits).filter_map(|known| match &known.progress {
                Progress::Answered(Some(token)) => Some((known.clone(), token.clone())),
                Progress::Answered(None)
                | Progress::Waiting
                | Progress::Asked
                | Progress::Stalled
                | Progress::Failed => None,
            });
        with_token.take(config.bucket_nodes_max).collect()
    }
}
