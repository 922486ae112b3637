//! The sockets that wait for strangers: listeners for links, and one for datagrams beside each.

use super::Body;
use super::datagrams::{Buffers, Datagram};
use super::link::Phase;
use super::multicast::Multicast;
use crate::error::StartError;
use crate::way::Bind;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::{Context, Poll};
use core::time::Duration;
use millstream_core::base::{Instant, LocalId};
use millstream_core::engine::{Incoming, Input, Route, SocketKind, UtpUse};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Links accepted in one pass.
const ACCEPTS_MAX: usize = 32;

/// How long nobody is accepted after the host ran out of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Links that the kernel accepts ahead of us.
const BACKLOG: i32 = 1024;

/// All of them.
#[derive(Default)]
pub(super) struct Sockets {
    listeners: Vec<(LocalId, TcpListener)>,
    pub(super) datagrams: Vec<Datagram>,
    pub(super) buffers: Buffers,
    pub(super) multicast: Vec<Multicast>,
    next: u64,
    paused_until: Option<Instant>,
}

impl Sockets {
    /// When accepting goes on after a pause.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Where links are taken.
    pub(super) fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter_map(|(_, listener)| listener.local_addr().ok())
    }

    pub(super) fn name(&mut self) -> LocalId {
        self.next += 1;
        LocalId(self.next)
    }
}

impl Body {
    /// Binds what the settings name, and tells the engine.
    pub(super) fn bind(&mut self) -> Result<(), StartError> {
        if self.is_proxied() {
            // No socket but those to the proxy.
            self.keep_relay();
            return Ok(());
        }
        let bind = self.ways.bind();
        let wanted = spread(&self.board.config.listen, bind).map_err(StartError::Bind)?;
        let mut warnings = Vec::new();
        let bound = if wanted.is_empty() {
            // Nobody can reach us, but trackers that speak UDP can be asked.
            let any =
                [SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))];
            let any = spread(&any, bind).map_err(StartError::Bind)?;
            any.into_iter().map(|addr| Pair { tcp: None, udp: bind_udp(addr, bind).ok() }).collect()
        } else {
            let wanted = Wanted { addresses: &wanted, bind, listens: self.takes_tcp() };
            bind_all(wanted, self.board.config.listen_tries_max, &mut warnings).map_err(StartError::Listen)?
        };
        for pair in bound {
            self.take_pair(pair).map_err(StartError::Listen)?;
        }
        self.bind_multicast();
        for warning in warnings {
            self.warn(warning);
        }
        self.drain();
        Ok(())
    }

    /// With uTP alone the port is held and every link over TCP refused, so that callers try uTP at once.
    fn takes_tcp(&self) -> bool {
        self.board.config.engine.utp != UtpUse::Only
    }

    fn take_pair(&mut self, pair: Pair) -> io::Result<()> {
        let now = self.now();
        if let Some(socket) = pair.tcp {
            let listener = TcpListener::from_std(socket.into())?;
            let (local, addr) = (self.sockets.name(), listener.local_addr()?);
            tracing::info!(%addr, "listening");
            self.sockets.listeners.push((local, listener));
            self.engine.handle_input(now, Input::Bound { local, addr, kind: SocketKind::TcpListener });
        }
        if let Some(socket) = pair.udp {
            let socket = UdpSocket::from_std(socket.into())?;
            let (local, addr) = (self.sockets.name(), socket.local_addr()?);
            self.sockets.datagrams.push(Datagram::new(local, socket)?);
            self.engine.handle_input(now, Input::Bound { local, addr, kind: SocketKind::Udp });
        }
        Ok(())
    }

    /// The address that a route begins at.
    pub(super) fn address_of(&self, route: Route) -> Option<IpAddr> {
        let local = route.local?;
        let listener = self.sockets.listeners.iter().find(|(known, _)| *known == local);
        listener?.1.local_addr().ok().map(|addr| addr.ip())
    }

    /// Takes links from strangers.
    pub(super) fn accept(&mut self, cx: &mut Context<'_>) {
        let now = self.now();
        if !self.takes_tcp() || self.sockets.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.sockets.paused_until = None;
        for n in 0..self.sockets.listeners.len() {
            for turn in 0..=ACCEPTS_MAX {
                let Some((local, listener)) = self.sockets.listeners.get(n) else { break };
                let local = *local;
                if turn == ACCEPTS_MAX {
                    cx.waker().wake_by_ref();
                    break;
                }
                match listener.poll_accept(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok((stream, from))) => self.take_link(local, stream, from),
                    Poll::Ready(Err(error)) if is_exhaustion(&error) => {
                        tracing::warn!(%error, "no link is accepted for a moment");
                        self.sockets.paused_until = Some(now + ACCEPT_PAUSE);
                        return;
                    }
                    // The stranger was gone before we looked.
                    Poll::Ready(Err(error)) => tracing::debug!(%error, "accepting failed"),
                }
            }
        }
    }

    fn take_link(&mut self, local: LocalId, stream: TcpStream, from: SocketAddr) {
        let prepared = stream.set_nodelay(true).and_then(|()| stream.local_addr());
        let Ok(to) = prepared else { return };
        let now = self.now();
        match self.engine.accept(now, Incoming { local, to, from }) {
            Ok(conn) => self.links.insert(conn, stream, from, Phase::Open),
            Err(refusal) => tracing::debug!(%from, %refusal, "a link isn't taken"),
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    let codes = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| codes.iter().any(|errno| errno.raw_os_error() == code))
}

/// What is bound to one address.
struct Pair {
    tcp: Option<Socket>,
    udp: Option<Socket>,
}

/// What is to be bound.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    addresses: &'a [SocketAddr],
    bind: Option<&'a Bind>,
    /// Whether links are taken; else their ports are only held.
    listens: bool,
}

/// Where to listen when everything has to come from one interface or address: addresses that leave the host open become
/// its own.
pub(crate) fn spread(wanted: &[SocketAddr], bind: Option<&Bind>) -> io::Result<Vec<SocketAddr>> {
    let Some(bind) = bind else { return Ok(wanted.to_vec()) };
    let ours = bind.addresses()?;
    let mut all = Vec::new();
    for &want in wanted {
        if want.ip().is_unspecified() {
            let family = ours.iter().filter(|ip| ip.is_ipv4() == want.is_ipv4());
            all.extend(family.map(|&ip| SocketAddr::new(ip, want.port())));
        } else {
            all.push(want);
        }
    }
    Ok(all)
}

/// Binds all addresses, to the next free port where one is taken. What the host can't do at all is a warning, as
/// long as something is bound.
fn bind_all(wanted: Wanted<'_>, tries_max: u16, warnings: &mut Vec<String>) -> io::Result<Vec<Pair>> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for step in 0..=tries_max {
        let mut notes = Vec::new();
        match bind_once(wanted, step, &mut notes) {
            Ok(pairs) => {
                warnings.append(&mut notes);
                return Ok(pairs);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn bind_once(wanted: Wanted<'_>, step: u16, notes: &mut Vec<String>) -> io::Result<Vec<Pair>> {
    let mut pairs: Vec<Pair> = Vec::new();
    // All that let the system choose get the same port.
    let mut chosen = 0;
    let mut last = None;
    for &want in wanted.addresses {
        let mut addr = want;
        addr.set_port(if want.port() == 0 { chosen } else { want.port().saturating_add(step) });
        let bound = bind_tcp(addr, wanted).and_then(|tcp| Ok((local(&tcp)?, tcp)));
        let (at, tcp) = match bound {
            Ok(bound) => bound,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => {
                notes.push(format!("{addr} can't be listened at: {error}"));
                last = Some(error);
                continue;
            }
        };
        if want.port() == 0 {
            chosen = at.port();
        }
        let udp = match bind_udp(at, wanted.bind) {
            Ok(udp) => Some(udp),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => {
                notes.push(format!("no datagrams at {at}: {error}"));
                None
            }
        };
        pairs.push(Pair { tcp: Some(tcp), udp });
    }
    match last {
        Some(error) if pairs.is_empty() => Err(error),
        _ => Ok(pairs),
    }
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a socket without an address"))
}

fn bind_tcp(addr: SocketAddr, wanted: Wanted<'_>) -> io::Result<Socket> {
    let socket = open(addr, Type::STREAM, Protocol::TCP)?;
    wanted.bind.map_or(Ok(()), |bind| bind.attach(&socket))?;
    // A listener that was here before leaves links behind that linger; they must not block the port.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    if wanted.listens {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

fn bind_udp(addr: SocketAddr, bind: Option<&Bind>) -> io::Result<Socket> {
    let socket = open(addr, Type::DGRAM, Protocol::UDP)?;
    bind.map_or(Ok(()), |bind| bind.attach(&socket))?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn open(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(addresses: &[SocketAddr]) -> Wanted<'_> {
        Wanted { addresses, bind: None, listens: true }
    }

    #[test]
    fn a_taken_port_gives_way_to_the_next_for_links_and_datagrams_alike() {
        let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut notes = Vec::new();
        let first = bind_all(wanted(&[localhost]), 0, &mut notes).unwrap();
        let taken = local(first[0].tcp.as_ref().unwrap()).unwrap();
        assert_eq!(local(first[0].udp.as_ref().unwrap()).unwrap(), taken);
        assert_eq!(bind_all(wanted(&[taken]), 0, &mut notes).err().unwrap().kind(), io::ErrorKind::AddrInUse);
        let second = bind_all(wanted(&[taken]), 20, &mut notes).unwrap();
        let next = local(second[0].tcp.as_ref().unwrap()).unwrap();
        assert!(next.port() > taken.port());
        assert_eq!(local(second[0].udp.as_ref().unwrap()).unwrap(), next);
    }

    #[test]
    fn addresses_that_the_host_lacks_are_warnings_while_one_is_bound() {
        let lacking = SocketAddr::from(([192, 0, 2, 1], 0));
        let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut notes = Vec::new();
        assert_eq!(bind_all(wanted(&[lacking, localhost]), 0, &mut notes).unwrap().len(), 1);
        assert_eq!(notes.len(), 1);
        assert!(bind_all(wanted(&[lacking]), 0, &mut notes).is_err());
    }
}
