//! Compact nodes and peers of both families (BEP 5, BEP 32), read in place.

use super::NodeId;
use crate::wire::bencode::Value;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Nodes of IPv4, 26 bytes each. A rest that is no whole node is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes4<'a>(pub Option<&'a [u8]>);

/// Nodes of IPv6, 38 bytes each (BEP 32). A rest that is no whole node is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes6<'a>(pub Option<&'a [u8]>);

impl<'a> Nodes4<'a> {
    /// Each node.
    pub fn iter(self) -> impl Iterator<Item = (NodeId, SocketAddr)> + use<'a> {
        self.0.unwrap_or_default().as_chunks::<26>().0.iter().filter_map(|node| {
            let (id, rest) = node.split_first_chunk::<20>()?;
            Some((NodeId(*id), address(rest)?))
        })
    }
}

impl<'a> Nodes6<'a> {
    /// Each node.
    pub fn iter(self) -> impl Iterator<Item = (NodeId, SocketAddr)> + use<'a> {
        self.0.unwrap_or_default().as_chunks::<38>().0.iter().filter_map(|node| {
            let (id, rest) = node.split_first_chunk::<20>()?;
            Some((NodeId(*id), address(rest)?))
        })
    }
}

/// An address in compact form: 6 bytes of IPv4 or 18 of IPv6; other lengths are none.
pub(super) fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port): (IpAddr, _) = match bytes.len() {
        6 => {
            let (ip, port) = bytes.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*ip).into(), port)
        }
        18 => {
            let (ip, port) = bytes.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*ip).into(), port)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port.first_chunk()?)))
}

/// Appends a node in compact form.
pub fn write_node(out: &mut Vec<u8>, id: NodeId, addr: SocketAddr) {
    out.extend_from_slice(&id.0);
    crate::wire::tracker::write_compact(out, addr);
}

/// Peers: the span of a bencoded list of compact addresses, which may be of both families (BEP 32).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Values<'a>(pub(super) &'a [u8]);

impl<'a> Values<'a> {
    /// A span that was seen to be a list.
    pub(super) fn of(list: Value<'_, 'a>) -> Self {
        Self(list.raw())
    }

    /// A list that was written by [`write_values`](Self::write).
    pub fn written(list: &'a [u8]) -> Self {
        Self(list)
    }

    /// Appends the list of these peers.
    pub fn write(out: &mut Vec<u8>, peers: impl IntoIterator<Item = SocketAddr>) {
        out.push(b'l');
        for peer in peers {
            out.extend_from_slice(if peer.is_ipv4() { b"6:" } else { b"18:" });
            crate::wire::tracker::write_compact(out, peer);
        }
        out.push(b'e');
    }

    /// Whether there was such a list.
    pub fn is_present(self) -> bool {
        !self.0.is_empty()
    }

    /// The list as it stands in the packet.
    pub(super) fn raw(self) -> &'a [u8] {
        self.0
    }

    /// Each peer. What is no address is passed over.
    pub fn iter(self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        let mut rest = self.0.get(1..).unwrap_or_default();
        core::iter::from_fn(move || {
            loop {
                let colon = rest.iter().take(6).position(|&byte| byte == b':')?;
                let (digits, after) = rest.split_at_checked(colon)?;
                let length: usize = core::str::from_utf8(digits).ok()?.parse().ok()?;
                let (value, next) = after.get(1..)?.split_at_checked(length)?;
                rest = next;
                if let Some(addr) = address(value) {
                    return Some(addr);
                }
            }
        })
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
