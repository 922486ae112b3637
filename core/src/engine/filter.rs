//! The filter of addresses: whom the engine has nothing to do with, and how often it kept to that. What a filter says is
//! `wire::ip_filter`'s; addresses that are told are refused by the books.

use super::{Engine, How};
use crate::base::{ConnId, Instant};
use crate::book::AddressRefusal;
use crate::wire::ip_filter::IpFilter;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What the filter kept away, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterCounts {
    /// Links that weren't taken.
    pub links_refused: u64,
    /// Links that were closed when a filter came.
    pub links_closed: u64,
    /// Addresses of peers that weren't taken in, by the torrents that are there.
    pub addresses: u64,
    /// Datagrams that weren't taken in, or not sent.
    pub datagrams: u64,
}

impl Engine {
    /// What the filter kept away.
    pub fn filter_counts(&self) -> FilterCounts {
        let refused =
            |(_, seat): (u64, &super::Seat)| seat.torrent.addresses_refused(AddressRefusal::Filtered);
        FilterCounts { addresses: self.torrents.iter().map(refused).sum(), ..self.filtered }
    }

    /// Whether the filter forbids an address.
    pub(super) fn forbids(&self, ip: IpAddr) -> bool {
        self.config.book.forbids(ip)
    }

    /// Replaces the filter: who is forbidden now is forgotten, and their links are closed. Costs a look at every known
    /// address and every link, once.
    pub(super) fn set_filter(&mut self, now: Instant, filter: Option<Arc<IpFilter>>) {
        #[cfg(feature = "dht")]
        self.with_finder(now, |finder| finder.on_filter(now, filter.clone()));
        self.config.book.ip_filter = filter;
        for id in self.torrents() {
            self.with(now, id, |torrent, cx| torrent.on_filter(cx));
        }
        let forbidden: Vec<ConnId> = self
            .links
            .iter()
            .filter(|(_, link)| link.is_of_a_peer() && self.forbids(link.remote.ip()))
            .map(|(id, _)| ConnId(id))
            .collect();
        self.filtered.links_closed += forbidden.len() as u64;
        forbidden.into_iter().for_each(|conn| self.close(now, conn, How::Abort));
    }
}
