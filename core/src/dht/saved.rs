//! The saved table: a magic line, a version, the ids, the nodes, and the SHA-256 of all of it. What is damaged anywhere is
//! refused as a whole.

use super::address::Family;
use crate::wire::krpc::NodeId;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

const MAGIC: &[u8] = b"millstream dht\n";
const VERSION: u8 = 1;
const SUM: usize = 32;
/// An id, an address in its IPv6 form, a port.
const NODE: usize = 20 + 16 + 2;
/// Magic, version, two ids.
const HEAD: usize = MAGIC.len() + 1 + 2 * 20;
/// More than any table of ours.
const NODES_MAX: usize = 1 << 16;

/// Why bytes are no saved table that we can use. Nobody's fault but the disk's, or a newer program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SavedError {
    /// It doesn't start as a saved table does.
    #[error("no saved DHT table: the first bytes are others than ours")]
    Magic,
    /// Another version wrote it, probably a newer one.
    #[error("a saved DHT table of version {0}; this program reads version 1")]
    Version(u8),
    /// It is cut off, or something follows.
    #[error("a saved DHT table of {0} bytes, which is no whole number of nodes")]
    Length(usize),
    /// Its bytes are others than those that were saved.
    #[error("a saved DHT table that is damaged: its checksum is wrong")]
    Checksum,
}

/// What is worth saving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    /// Our id in each family.
    pub(super) ids: [NodeId; 2],
    /// Nodes of both families.
    pub(super) nodes: Vec<(NodeId, SocketAddr)>,
}

impl Saved {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.nodes.len() * NODE + SUM);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        self.ids.iter().for_each(|id| out.extend_from_slice(&id.0));
        for (id, addr) in self.nodes.iter().take(NODES_MAX) {
            let ip = match addr.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            out.extend_from_slice(&id.0);
            out.extend_from_slice(&ip.octets());
            out.extend_from_slice(&addr.port().to_be_bytes());
        }
        let sum = Sha256::digest(&out);
        out.extend_from_slice(&sum);
        out
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, SavedError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(SavedError::Magic)?;
        let (&version, _) = rest.split_first().ok_or(SavedError::Length(bytes.len()))?;
        if version != VERSION {
            return Err(SavedError::Version(version));
        }
        let length = SavedError::Length(bytes.len());
        let (summed, sum) = bytes.split_at_checked(bytes.len().saturating_sub(SUM)).ok_or(length)?;
        let body = summed.get(HEAD - 2 * 20..).ok_or(length)?;
        let (ids, nodes) = body.split_first_chunk::<40>().ok_or(length)?;
        let (nodes, rest) = nodes.as_chunks::<NODE>();
        if !rest.is_empty() || nodes.len() > NODES_MAX {
            return Err(length);
        }
        if Sha256::digest(summed)[..] != *sum {
            return Err(SavedError::Checksum);
        }
        let mut out = Self::default();
        for (id, raw) in out.ids.iter_mut().zip(ids.as_chunks::<20>().0) {
            id.0 = *raw;
        }
        out.nodes.extend(nodes.iter().filter_map(node));
        Ok(out)
    }

    /// Our id in a family.
    pub(super) fn id(&self, family: Family) -> NodeId {
        self.ids[family.index()]
    }
}

fn node(raw: &[u8; NODE]) -> Option<(NodeId, SocketAddr)> {
    let (id, rest) = raw.split_first_chunk::<20>()?;
    let (ip, port) = rest.split_first_chunk::<16>()?;
    let port = u16::from_be_bytes(*port.first_chunk()?);
    Some((NodeId(*id), SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let nodes = ["192.0.2.1:1", "[2001:db8::1]:2"].map(|addr| (NodeId([9; 20]), addr.parse().unwrap()));
        Saved { ids: [NodeId([1; 20]), NodeId([2; 20])], nodes: nodes.into() }
    }

    #[test]
    fn a_saved_table_is_read_as_it_was_written() {
        assert_eq!(Saved::read(&saved().write()), Ok(saved()));
        assert_eq!(Saved::read(&Saved::default().write()), Ok(Saved::default()));
    }

    #[test]
    fn a_damaged_table_is_refused_wherever_the_damage_is() {
        let good = saved().write();
        for cut in 0..good.len() {
            assert!(Saved::read(&good[..cut]).is_err(), "{cut}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Saved::read(&bad).is_err(), "{bit}");
        }
        assert_eq!(Saved::read(&[&good[..], b"x"].concat()), Err(SavedError::Length(good.len() + 1)));
        let mut newer = good;
        newer[MAGIC.len()] = 2;
        assert_eq!(Saved::read(&newer), Err(SavedError::Version(2)));
        assert_eq!(Saved::read(b"something else"), Err(SavedError::Magic));
    }
}
