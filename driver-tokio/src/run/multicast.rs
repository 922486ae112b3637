//! The sockets by which neighbours are told and heard (BEP 14): one for each address family, on every interface that can
//! do multicast.

use super::Body;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::task::Context;
use millstream_core::base::{Chunk, LocalId};
use millstream_core::engine::{Input, SocketKind};
use millstream_core::wire::lsd::{LSD_BYTES_MAX, LSD_GROUP_V4, LSD_GROUP_V6};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::io;
use tokio::net::UdpSocket;

/// Datagrams taken in one pass from each socket.
const DATAGRAMS_MAX: usize = 16;

/// Routers that an announce may pass: the groups are wider than one link, and their scope ends at the site.
const HOPS_MAX: u32 = 16;

/// The socket that hears a group, and those that speak to it.
pub(super) struct Multicast {
    local: LocalId,
    ears: UdpSocket,
    /// One for each address that we can be called at: whoever hears it calls where it came from.
    mouths: Vec<std::net::UdpSocket>,
}

/// An address of ours, and the number of its interface.
pub(crate) type Place = (IpAddr, u32);

impl Body {
    /// Binds what it takes to hear and be heard in each family that the host has; tells the engine. Nothing of it is
    /// needed to go on.
    pub(super) fn bind_multicast(&mut self) {
        let config = &self.board.config;
        if !config.engine.lsd || config.engine.proxy.is_some() || config.proxy.is_some() {
            return;
        }
        let listening: Vec<IpAddr> = self.sockets.listening().map(|addr| addr.ip()).collect();
        for group in [LSD_GROUP_V4, LSD_GROUP_V6] {
            let places = places(group.is_ipv4(), &listening, config.bind.as_deref());
            if places.is_empty() {
                continue;
            }
            match open(group, &places) {
                Ok((ears, addr)) => {
                    let mouths = places.iter().filter_map(|&place| mouth(place, addr.is_ipv4())).collect();
                    let (now, local) = (self.now(), self.sockets.name());
                    tracing::debug!(%group, ?places, "neighbours are heard");
                    self.sockets.multicast.push(Multicast { local, ears, mouths });
                    let kind = SocketKind::Multicast;
                    self.engine.handle_input(now, Input::Bound { local, addr, kind });
                }
                Err(error) => tracing::debug!(%group, %error, "neighbours can't be heard"),
            }
        }
    }

    /// Takes in what neighbours say.
    pub(super) fn receive_multicast(&mut self, cx: &mut Context<'_>) {
        let mut buffer = [0; LSD_BYTES_MAX + 1];
        for n in 0..self.sockets.multicast.len() {
            for turn in 0..=DATAGRAMS_MAX {
                let Some(it) = self.sockets.multicast.get(n) else { break };
                if it.ears.poll_recv_ready(cx).is_pending() {
                    break;
                }
                if turn == DATAGRAMS_MAX {
                    cx.waker().wake_by_ref();
                    break;
                }
                let local = it.local;
                let Ok((bytes, from)) = it.ears.try_recv_from(&mut buffer) else { continue };
                let data = Chunk::copy_from(buffer.get(..bytes).unwrap_or_default());
                let (now, stride) = (self.now(), bytes as u16);
                self.engine.handle_input(now, Input::Datagrams { local, from, to: None, data, stride });
            }
        }
    }

    /// Sends what the engine has for a multicast socket, once on each interface.
    pub(super) fn send_multicast(&mut self, local: LocalId) {
        let now = self.now();
        let Some(it) = self.sockets.multicast.iter().find(|it| it.local == local) else { return };
        while let Some(announce) = self.engine.poll_datagrams(now, local, LSD_BYTES_MAX) {
            for mouth in &it.mouths {
                // An interface may be down now; the announce comes again.
                if let Err(error) = mouth.send_to(&announce.data, announce.to) {
                    tracing::debug!(?mouth, %error, "an announce wasn't sent");
                }
            }
        }
    }
}

/// The addresses of one family to announce from: those that we listen at, or one of each interface if that is all of
/// them; only of the interface that `bind` names, or the address. Without a network there is the loopback: two programs
/// on one host are neighbours.
pub(crate) fn places(v4: bool, listening: &[IpAddr], bind: Option<&str>) -> Vec<Place> {
    let all = match if_addrs::get_if_addrs() {
        Ok(all) => all,
        Err(error) => {
            tracing::debug!(%error, "no list of interfaces");
            return Vec::new();
        }
    };
    let bound_addr: Option<IpAddr> = bind.and_then(|bind| bind.parse().ok());
    let everywhere = listening.iter().any(|ip| ip.is_unspecified() && ip.is_ipv4() == v4);
    let fits = |it: &&if_addrs::Interface| {
        let named = match (bind, bound_addr) {
            (None, _) => true,
            (Some(_), Some(addr)) => it.ip() == addr,
            (Some(name), None) => it.name == name,
        };
        it.ip().is_ipv4() == v4 && named && (everywhere || listening.contains(&it.ip()))
    };
    let place = |it: &if_addrs::Interface| Some((it.ip(), it.index.filter(|&n| n != 0)?));
    let mut found: Vec<Place> = all.iter().filter(fits).filter_map(place).collect();
    // Who hears a link-local address knows by which link, but not all heed it: it is for where there is no other.
    found.sort_by_key(|&(ip, _)| is_link_local(ip));
    if !everywhere {
        return found;
    }
    let mut one_each: Vec<Place> = Vec::new();
    for &place in found.iter().filter(|(ip, _)| !ip.is_loopback()) {
        if !one_each.iter().any(|&(_, index)| index == place.1) {
            one_each.push(place);
        }
    }
    if one_each.is_empty() { found.into_iter().take(1).collect() } else { one_each }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// A socket that speaks to the group from this address.
fn mouth((ip, index): Place, v4: bool) -> Option<std::net::UdpSocket> {
    let addr = match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, 0, 0, index).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(ip, 0),
    };
    let open = || {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&addr.into())?;
        if v4 {
            socket.set_multicast_if_v4(&ipv4(ip))?;
            socket.set_multicast_loop_v4(true)?;
            socket.set_multicast_ttl_v4(HOPS_MAX)?;
        } else {
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_loop_v6(true)?;
            socket.set_multicast_hops_v6(HOPS_MAX)?;
        }
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(socket.into())
    };
    open().inspect_err(|error| tracing::debug!(%addr, %error, "no announces from here")).ok()
}

fn ipv4(ip: IpAddr) -> Ipv4Addr {
    match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

fn open(group: SocketAddr, places: &[Place]) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    // Several programs of one host hear the group.
    socket.set_reuse_address(true)?;
    let any: SocketAddr = match group {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, group.port()).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, group.port()).into(),
    };
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&any.into())?;
    let mut joined = Err(io::Error::other("no interface"));
    let interfaces: BTreeSet<u32> = places.iter().map(|&(_, index)| index).collect();
    for interface in interfaces {
        let done = match group.ip() {
            IpAddr::V4(ip) => socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(interface)),
            IpAddr::V6(ip) => socket.join_multicast_v6(&ip, interface),
        };
        joined = joined.or(done);
    }
    joined?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket.into())?;
    let addr = socket.local_addr()?;
    Ok((socket, addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announces_leave_from_where_we_can_be_called() {
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(places(true, &[here], None).first().map(|&(ip, _)| ip), Some(here));
        assert_eq!(places(true, &[here], Some("no-such-interface")), []);
        assert_eq!(places(true, &[here], Some("192.0.2.77")), []);
        assert_eq!(places(true, &[], None), []);
        assert!(!places(true, &[Ipv4Addr::UNSPECIFIED.into()], None).is_empty());
    }
}
