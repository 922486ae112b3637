//! What the engine counts, at a glance. Who counts what is each room's own.

use super::{Engine, FilterCounts, PortProtocol};
use crate::base::Instant;
use crate::book::Found;
#[cfg(feature = "dht")]
use crate::dht::DhtStatus;
use crate::link::LinkFaults;
#[cfg(feature = "lsd")]
use crate::lsd::LsdCounts;
use crate::net::NetCounts;
use crate::offers::OfferCounts;
use crate::pex::PexCounts;
use crate::pool::PoolStatus;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// All that the engine counts beside its torrents; since the start, where it isn't how things are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Handshakes that came to nothing.
    pub link_faults: LinkFaults,
    /// How many addresses of peers each source told, to the torrents that are there.
    pub found: Found,
    /// What the filter of addresses kept away.
    pub filter: FilterCounts,
    /// What became of WebRTC offers.
    pub offers: OfferCounts,
    /// Datagrams that nobody here could take.
    pub datagrams: NetCounts,
    /// What was ignored of what peers tell of peers, by the torrents that are there.
    pub pex: PexCounts,
    /// Datagrams of neighbours that were ignored.
    #[cfg(feature = "lsd")]
    pub lsd: LsdCounts,
    /// How the DHT is, and what it dropped; `None` if it is off.
    #[cfg(feature = "dht")]
    pub dht: Option<DhtStatus>,
    /// The ports that the router lets peers in by: our address and the one outside.
    pub mapped_ports: Vec<(PortProtocol, SocketAddr, SocketAddr)>,
    /// Our addresses on the Internet, IPv4 and IPv6, where trackers and peers agree on them.
    pub external_addresses: (Option<IpAddr>, Option<IpAddr>),
    /// How often a tracker wasn't asked, since as many WebSockets are open as may be.
    pub tracker_sockets_refused: u64,
    /// The pool of links.
    pub pool: PoolStatus,
}

impl Engine {
    /// What is counted, as of now. Costs a look at every torrent.
    pub fn statistics(&self, now: Instant) -> Statistics {
        let mut pex = PexCounts::default();
        let mut found = Found::default();
        for (_, seat) in self.torrents.iter() {
            pex.add(seat.torrent.pex_counts());
            found.add(seat.torrent.addresses_found());
        }
        Statistics {
            found,
            link_faults: self.link_faults(),
            filter: self.filter_counts(),
            offers: self.offer_counts(),
            datagrams: self.net.counts(),
            pex,
            #[cfg(feature = "lsd")]
            lsd: self.neighbours.counts(),
            #[cfg(feature = "dht")]
            dht: self.dht_status(now),
            mapped_ports: self.mapped_ports(),
            external_addresses: self.external_addresses(),
            tracker_sockets_refused: self.web_sockets.refused(),
            pool: self.pool(now),
        }
    }
}
