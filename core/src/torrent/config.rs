//! The settings of an engine and of its torrents: plain data, a default for each, its consequence beside it.

use super::work::Route;
use crate::announce::AnnounceConfig;
use crate::base::ProxyId;
use crate::book::BookConfig;
use crate::choke::SeedPolicy;
use crate::offers::OffersConfig;
use crate::peer::SessionConfig;
use crate::pex::PexConfig;
use crate::pool::PoolConfig;
use crate::store::StoreConfig;
use crate::webseed::WebSeedConfig;
use crate::wire::PeerId;
use alloc::string::String;
use core::time::Duration;

/// Rate limits in bytes a second; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Payload from peers.
    pub download: Option<u64>,
    /// Payload to peers.
    pub upload: Option<u64>,
}

/// Whether links go over uTP (BEP 29).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UtpUse {
    /// TCP only.
    Off,
    /// Both.
    #[default]
    On,
    /// uTP only: peers that speak TCP alone aren't reached.
    Only,
}

/// Whether links are encrypted (Message Stream Encryption). It hides the protocol from routers, not from peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Plain only, in and out.
    Off,
    /// Encrypted where the other side can, plain where it can't.
    #[default]
    Prefer,
    /// Encrypted only, with RC4: plain peers are refused.
    Require,
}

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our peer id; `None` draws one that starts with `-MS` and the version (BEP 20).
    pub peer_id: Option<PeerId>,
    /// The client's name in extension handshakes (BEP 10).
    pub client: String,
    /// Torrents at once. One more is refused.
    pub torrents_max: usize,
    /// Links at once, incoming and outgoing. One more is refused, or waits.
    pub links_max: usize,
    /// WebSockets to trackers at once, of all torrents. They count among `links_max`, but aren't held up by it. A tracker
    /// beyond them isn't asked: it fails with a reason, and `Statistics` counts it.
    pub tracker_sockets_max: usize,
    /// Links of one torrent at once.
    pub torrent_links_max: usize,
    /// Outgoing links that aren't open yet, at once. More is hard on weak routers, less makes starting slow.
    pub half_open_max: usize,
    /// How the number of links adapts to what the network bears, within the bounds above, which take the place of its
    /// own. Without adapting, weak routers lose links or refuse new ones.
    pub pool: PoolConfig,
    /// Links whose handshake isn't done, at once. One more incoming is refused.
    pub handshakes_max: usize,
    /// How long a link may take from its opening to the end of its handshake.
    pub handshake_timeout: Duration,
    /// How long opening an outgoing link may take.
    pub connect_timeout: Duration,
    /// Bytes of a torrent in memory: blocks awaiting their piece, digests or the disk. Beyond it nothing is asked for.
    pub store_bytes_max: usize,
    /// Bytes of payload read for one peer ahead of sending. More is faster to one peer, and costs so much for each.
    pub upload_ahead_bytes_max: usize,
    /// Requests outstanding at one peer. Less limits the rate over long paths.
    pub requests_outstanding_max: usize,
    /// Bytes that one link may deliver beyond what was taken in: the credit of its `Interest`. A larger one means
    /// larger reads.
    pub credit_bytes: u64,
    /// Peers unchoked at once, over all torrents; `None` chooses by rate.
    pub upload_slots: Option<usize>,
    /// Who is unchoked while we seed.
    pub seed_policy: SeedPolicy,
    /// What a peer may take before it must have given, in bytes; at least a piece, or a newcomer gets nothing to trade.
    /// Small starves slow starters, large feeds free riders.
    pub newcomer_credit_bytes: u64,
    /// Limits of the engine's rates.
    pub rates: Rates,
    /// Jobs of one torrent that hash stored data, outstanding at once. As many as the driver has cores keeps them busy.
    pub check_jobs_max: usize,
    /// Bounds and back-off of the addresses of peers.
    pub book: BookConfig,
    /// A change is in the resume data after so long at most: torrents take their turns in the second half of it. Shorter
    /// loses less in a crash, and costs more writes and syncs.
    pub save_interval: Duration,
    /// Events that wait for the application. Beyond it new ones that may be dropped are, and `Event::Lagged` counts them.
    pub events_max: usize,
    /// Peers wanted from a tracker (BEP 3).
    pub numwant: u32,
    /// Listening port to announce if it differs from the bound one (a forwarded port), or behind a proxy that lets peers in
    /// there. Without it, who can't be called tells trackers port 1: they refuse 0, and nobody listens there.
    pub announce_port: Option<u16>,
    /// Tracker answers larger than this fail. Bytes.
    pub tracker_bytes_max: usize,
    /// Metadata larger than this isn't fetched (BEP 9). Bytes.
    pub metadata_bytes_max: usize,
    /// Whether newer torrents are looked for, where torrents say where to look (BEP 39): their servers see who asks.
    pub updates: bool,
    /// How often a newer torrent is looked for.
    pub update_interval: Duration,
    /// A newer torrent that is larger than this isn't taken. Bytes.
    pub update_bytes_max: usize,
    /// Whether we take part in the DHT (BEP 5). Off, magnets need a tracker or a known peer.
    pub dht: bool,
    /// The limits of our DHT node.
    #[cfg(feature = "dht")]
    pub dht_node: crate::dht::DhtConfig,
    /// Whether peers tell each other of peers (BEP 11).
    pub pex: bool,
    /// What peers are told of peers, and what is believed of what they tell.
    pub pex_config: PexConfig,
    /// Whether peers in the local network are sought (BEP 14).
    pub lsd: bool,
    /// The pace of announces to neighbours, and bounds of what is heard of them.
    #[cfg(feature = "lsd")]
    pub lsd_config: crate::lsd::LsdConfig,
    /// The budget of WebRTC offers, which trackers over WebSockets carry; none where there is no WebRTC.
    pub offers: OffersConfig,
    /// Whether peers behind routers are reached with the help of others (BEP 55).
    pub holepunch: bool,
    /// Whether web seeds are asked (BEP 19).
    pub web_seeds: bool,
    /// Limits of each of them.
    pub web_seed: WebSeedConfig,
    /// Whether links go over uTP (BEP 29).
    pub utp: UtpUse,
    /// Settings of uTP streams; their numbers and their window follow from the limits of links.
    #[cfg(feature = "utp")]
    pub utp_config: crate::utp::UtpConfig,
    /// Whether links are encrypted.
    pub encryption: Encryption,
    /// Exchanges of keys outstanding at once, for encrypted links. More than the driver has cores only queue there; the
    /// others wait their turn, our own calls first.
    pub key_exchanges_max: usize,
    /// Whether the router is asked to let peers in.
    pub port_mapping: bool,
    /// Everything goes through this proxy; nothing goes where it can't.
    pub proxy: Option<ProxyId>,
    /// Whether the proxy relays datagrams: those to trackers then wait until its relay is there.
    pub proxy_relays: bool,
}

impl Config {
    /// The way out, whatever it is for.
    pub(crate) fn route(&self) -> Route {
        Route { local: None, proxy: self.proxy }
    }

    /// The limits of sessions.
    pub(crate) fn session(&self) -> SessionConfig {
        SessionConfig {
            requests_outstanding_max: u32::try_from(self.requests_outstanding_max).unwrap_or(u32::MAX),
            upload_loaded_bytes_max: self.upload_ahead_bytes_max as u64,
            ..SessionConfig::default()
        }
    }

    /// How trackers are asked.
    pub(crate) fn announce(&self) -> AnnounceConfig {
        AnnounceConfig {
            numwant_max: self.numwant,
            ws_sockets_max: self.tracker_sockets_max,
            ..AnnounceConfig::default()
        }
    }

    /// The marks of a torrent's memory.
    pub(crate) fn store(&self) -> StoreConfig {
        let max = self.store_bytes_max as u64;
        StoreConfig { store_bytes_max: max, store_high_bytes: max / 4 * 3, store_low_bytes: max / 2 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peer_id: None,
            client: String::from(concat!("millstream ", env!("CARGO_PKG_VERSION"))),
            torrents_max: 1_000_000,
            links_max: 20_000,
            tracker_sockets_max: 32,
            torrent_links_max: 200,
            half_open_max: 50,
            pool: PoolConfig::default(),
            handshakes_max: 200,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            store_bytes_max: 16 << 20,
            upload_ahead_bytes_max: 128 << 10,
            requests_outstanding_max: 512,
            credit_bytes: 512 << 10,
            upload_slots: None,
            seed_policy: SeedPolicy::default(),
            newcomer_credit_bytes: 4 << 20,
            rates: Rates::default(),
            check_jobs_max: 8,
            book: BookConfig::default(),
            save_interval: Duration::from_secs(60),
            events_max: 4096,
            numwant: 80,
            announce_port: None,
            tracker_bytes_max: 2 << 20,
            metadata_bytes_max: 16 << 20,
            updates: true,
            update_interval: Duration::from_secs(24 * 3600),
            update_bytes_max: 16 << 20,
            dht: true,
            #[cfg(feature = "dht")]
            dht_node: crate::dht::DhtConfig::default(),
            pex: true,
            pex_config: PexConfig::default(),
            lsd: true,
            #[cfg(feature = "lsd")]
            lsd_config: crate::lsd::LsdConfig::default(),
            offers: OffersConfig::default(),
            holepunch: true,
            web_seeds: true,
            web_seed: WebSeedConfig::default(),
            utp: UtpUse::default(),
            #[cfg(feature = "utp")]
            utp_config: crate::utp::UtpConfig::default(),
            encryption: Encryption::default(),
            key_exchanges_max: 8,
            port_mapping: true,
            proxy: None,
            proxy_relays: false,
        }
    }
}
