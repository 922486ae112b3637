//! The settings of a node: plain data, a default for each, its consequence beside it.

use crate::wire::ip_filter::IpFilter;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct DhtConfig {
    /// Where a node without contacts begins: `host:port` or an address. They are asked, and never kept in the table but
    /// where `private_addresses` are.
    pub bootstrap_nodes: Vec<String>,
    /// We answer no queries and ask to be left out of tables (BEP 43): for hosts that can't be reached or pay by the byte.
    pub read_only: bool,
    /// Datagrams go through a proxy, and names are looked up there: who answers for a name does so from an address that
    /// nobody knew, and is believed by its transaction and its port. Nobody can reach us: be `read_only` too.
    pub proxied: bool,
    /// Addresses that are never asked, nor taken into tables.
    pub ip_filter: Option<Arc<IpFilter>>,
    /// Loopback and private addresses are taken into tables: for tests and networks of one's own. Else a stranger could
    /// make us knock at our own doors.
    pub private_addresses: bool,
    /// Only nodes whose id suits their address (BEP 42) store what we store, and end a look-up. Without it, whoever picks
    /// ids near a torrent hides it.
    pub enforce_node_ids: bool,
    /// Nodes of a bucket, and of an answer: BEP 5's K.
    pub bucket_nodes_max: usize,
    /// Nodes in one family's table. 80 bytes each.
    pub nodes_max: usize,
    /// Queries of a look-up under way at once. More is faster and costs more messages.
    pub lookup_parallel_max: usize,
    /// Queries of a look-up in all, in one family: what a liar can make it cost.
    pub lookup_queries_max: u32,
    /// Nodes that a look-up keeps in mind, in one family. 120 bytes each.
    pub lookup_candidates_max: usize,
    /// Peers that a look-up tells of; the rest is passed over.
    pub lookup_peers_max: usize,
    /// Look-ups at once, those of the table's own upkeep left out. One more is refused.
    pub lookups_max: usize,
    /// After this, a query doesn't hold its look-up up.
    pub stall_timeout: Duration,
    /// After this, a query has failed. A slow node's answer behind it is dropped.
    pub query_timeout: Duration,
    /// Queries awaiting their answers. Beyond it look-ups wait. 100 bytes each.
    pub transactions_max: usize,
    /// Queries of one address (IPv4) or /64 (IPv6) served a second; the rest is dropped.
    pub address_queries_per_second_max: u32,
    /// Bytes a second of answers to one /24 (IPv4) or /64 (IPv6), as long as the address hasn't proved that it is its
    /// sender's: else a forged address makes us an amplifier (the factors are in the room's front page).
    pub dht_reply_bytes_per_second: u64,
    /// Bytes a second of answers to the addresses of one /24 or /64 that have proved themselves. More lets one network
    /// take what others could have of `reply_bytes_per_second_max`. A put counts as 2 KiB, for the work that it is.
    pub dht_proved_reply_bytes_per_second: u64,
    /// Bytes a second of answers to everyone. A quarter of it is kept for addresses that have proved themselves.
    pub reply_bytes_per_second_max: u64,
    /// Datagrams that wait to be sent, in one family; more are dropped.
    pub datagrams_max: usize,
    /// Events that wait to be taken; beyond it the news of what was found is dropped, ends of look-ups are not.
    pub events_max: usize,
    /// Torrents that peers are stored for. When full, what is nearer to our id displaces what is farther.
    pub stored_hashes_max: usize,
    /// Peers stored for one torrent, in one family. When full, nobody new gets a token for it (BEP 33).
    pub stored_peers_per_hash_max: usize,
    /// Peers stored in all. 100 bytes each.
    pub stored_peers_max: usize,
    /// Stored peers that one address (IPv4) or /64 (IPv6) may claim to be, over all torrents.
    pub stored_peers_per_address_max: u32,
    /// After this without a new announce a stored peer is forgotten.
    pub peer_lifetime: Duration,
    /// Items stored (BEP 44). When full, what is nearer to our id displaces what is farther.
    pub stored_items_max: usize,
    /// Bytes of stored items.
    pub stored_items_bytes_max: usize,
    /// Stored items that were first put from one /24 (IPv4) or /64 (IPv6). More lets one network crowd the others out.
    pub stored_items_per_network_max: u32,
    /// After this without a new put a stored item is forgotten (BEP 44 says 2 hours).
    pub item_lifetime: Duration,
    /// How long a sample of our torrents stays the same (BEP 51, 0 to 21,600 seconds).
    pub sample_interval: Duration,
}

impl Default for DhtConfig {
    fn default() -> Self {
        let routers =
            ["dht.libtorrent.org:25401", "router.bittorrent.com:6881", "dht.transmissionbt.com:6881"];
        Self {
            bootstrap_nodes: routers.map(String::from).into(),
            read_only: false,
            proxied: false,
            ip_filter: None,
            private_addresses: false,
            enforce_node_ids: true,
            bucket_nodes_max: 8,
            nodes_max: 2_000,
            lookup_parallel_max: 4,
            lookup_queries_max: 256,
            lookup_candidates_max: 128,
            lookup_peers_max: 2_000,
            lookups_max: 64,
            stall_timeout: Duration::from_secs(1),
            query_timeout: Duration::from_secs(5),
            transactions_max: 2_048,
            address_queries_per_second_max: 50,
            dht_reply_bytes_per_second: 64 << 10,
            dht_proved_reply_bytes_per_second: 256 << 10,
            reply_bytes_per_second_max: 1 << 20,
            datagrams_max: 2_048,
            events_max: 4_096,
            stored_hashes_max: 5_000,
            stored_peers_per_hash_max: 2_000,
            stored_peers_max: 50_000,
            stored_peers_per_address_max: 500,
            peer_lifetime: Duration::from_secs(30 * 60),
            stored_items_max: 2_000,
            stored_items_bytes_max: 2 << 20,
            stored_items_per_network_max: 50,
            item_lifetime: Duration::from_secs(2 * 3600),
            sample_interval: Duration::from_secs(3600),
        }
    }
}
