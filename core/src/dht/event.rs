//! What a node tells: what look-ups found and cost, and names it wants looked up.

use super::address::Family;
use super::item::Item;
use crate::wire::InfoHash;
use crate::wire::krpc::NodeId;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Names a look-up of this node; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// News.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Look a name up, and come with `on_resolved`.
    Resolve {
        /// The name.
        host: String,
        /// The port to put into the addresses.
        port: u16,
    },
    /// A look-up found peers that it hadn't told of.
    Peers {
        /// Which.
        lookup: LookupId,
        /// Where they are.
        peers: Vec<SocketAddr>,
    },
    /// A look-up found an item, newer than any before.
    Item {
        /// Which.
        lookup: LookupId,
        /// Verified.
        item: Item,
    },
    /// A node told some of the torrents that it knows peers of (BEP 51).
    Samples {
        /// Of which look-up.
        lookup: LookupId,
        /// Who told them.
        from: SocketAddr,
        /// The torrents.
        samples: Vec<InfoHash>,
        /// Of how many in all.
        num: u64,
        /// Until when it gives no others.
        interval: Duration,
    },
    /// A look-up is over; each that was begun ends so, unless it was cancelled.
    Done {
        /// Which.
        lookup: LookupId,
        /// What came of it.
        outcome: Outcome,
        /// What it took.
        cost: Cost,
    },
    /// The table has its first nodes, or has some again after it had none.
    Joined(Family),
    /// Others agree on our address; our id follows it (BEP 42).
    External(IpAddr),
}

/// What came of a look-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The nodes nearest to the target, nearest first.
    Nodes(Vec<(NodeId, SocketAddr)>),
    /// So many peers were told of.
    Peers {
        /// How many.
        found: usize,
    },
    /// The torrent was announced.
    Announced {
        /// Nodes that took it.
        stored: u32,
        /// Nodes that refused or didn't answer.
        failed: u32,
        /// Peers that were told of on the way.
        found: usize,
    },
    /// About how many are in the swarm (BEP 33).
    Scraped {
        /// Who has everything.
        seeds: u32,
        /// Who doesn't.
        peers: u32,
        /// Nodes that said so.
        answers: u32,
    },
    /// The newest version of the item that was found.
    Got(Option<Item>),
    /// The item was stored.
    Put {
        /// Nodes that took it.
        stored: u32,
        /// Codes of those that refused (BEP 44's among them), 0 for those that didn't answer; each with how many.
        refused: Vec<(i64, u32)>,
        /// The highest sequence number that was found before.
        seq_before: Option<i64>,
    },
    /// Torrents were sampled.
    Sampled {
        /// Nodes that told some.
        nodes: u32,
        /// Samples in all, with those told twice.
        samples: usize,
    },
}

/// What a look-up took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The longest way to one of the nearest nodes that answered: how many had to be asked one after the other.
    pub hops: u32,
    /// Queries sent, with those that store.
    pub queries: u32,
    /// Answers that came.
    pub answers: u32,
    /// Queries that nobody answered in time.
    pub timeouts: u32,
    /// From its begin to its end.
    pub elapsed: Duration,
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhtStatus {
    /// Of each family that has a socket.
    pub families: Vec<FamilyStatus>,
    /// Look-ups under way, with those of upkeep.
    pub lookups: usize,
    /// Queries that wait for an answer.
    pub transactions: usize,
    /// Torrents that peers are stored for.
    pub stored_hashes: usize,
    /// Peers stored.
    pub stored_peers: usize,
    /// Items stored.
    pub stored_items: usize,
    /// Bytes of stored items.
    pub stored_items_bytes: usize,
    /// What came and went.
    pub traffic: Traffic,
    /// What was dropped, by reason.
    pub dropped: Dropped,
}

/// How one family is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyStatus {
    /// Which.
    pub family: Family,
    /// Our id in it.
    pub id: NodeId,
    /// Our address, as far as others agree on it.
    pub external: Option<IpAddr>,
    /// Nodes in the table.
    pub nodes: usize,
    /// Those that answered lately.
    pub good: usize,
    /// Buckets of the table: about the depth that it knows the space to.
    pub buckets: usize,
}

/// Datagrams and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Queries served.
    pub queries_in: u64,
    /// Queries sent.
    pub queries_out: u64,
    /// Answers received that belong to a query.
    pub answers_in: u64,
    /// Answers sent, errors among them.
    pub answers_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// Datagrams that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// No KRPC.
    pub malformed: u64,
    /// From an address that no host has.
    pub source: u64,
    /// Answers that belong to no query, or come from another address than the query went to.
    pub unasked: u64,
    /// Queries beyond an address's rate.
    pub flood: u64,
    /// Answers beyond the allowance of a network, or of all.
    pub allowance: u64,
    /// Datagrams that found the queue full.
    pub queue: u64,
    /// Of ours, to addresses that the filter forbids.
    pub filtered: u64,
    /// Queries while we are read-only (BEP 43).
    pub read_only: u64,
    /// Items that lied: another digest, a wrong signature.
    pub lies: u64,
}
