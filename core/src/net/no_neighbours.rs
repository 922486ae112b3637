//! Stands where the neighbours are (BEP 14) in a build without them: nothing is said, and nothing heard.

use crate::base::{Instant, LocalId, TorrentId};
use crate::wire::InfoHash;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Nobody.
#[derive(Debug)]
pub struct Neighbours;

impl Neighbours {
    /// Passed over.
    pub fn on_bound(&mut self, _local: LocalId, _addr: SocketAddr) {}

    /// Passed over.
    pub fn on_unbound(&mut self, _local: LocalId) {}

    /// Passed over.
    pub fn on_torrent(&mut self, _now: Instant, _id: TorrentId, _names: &[InfoHash]) {}

    /// Never.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Nothing.
    pub fn on_timeout(&mut self, _now: Instant, _port: impl Fn(bool) -> Option<u16>) -> Vec<LocalId> {
        Vec::new()
    }

    /// Passed over.
    pub fn on_datagram(
        &mut self,
        _now: Instant,
        _from: SocketAddr,
        _own: &[IpAddr],
        _bytes: &[u8],
    ) -> Option<(SocketAddr, Vec<InfoHash>)> {
        None
    }

    /// Nothing.
    pub fn next_datagram(&mut self, _local: LocalId) -> Option<(SocketAddr, Vec<u8>)> {
        None
    }
}
