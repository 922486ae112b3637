//! Datagrams by the batch: one call receives many, one call sends many, and an answer leaves from the address that was
//! asked. Where the system can't, one at a time and from any. Not what is in them.

use core::net::{IpAddr, SocketAddr};
use mio::net::UdpSocket;
use std::io;

/// Datagrams received or sent by one call.
pub(super) const BATCH: usize = 128;
/// Bytes kept of a datagram: more than the longest request. A longer one is dropped.
const DATAGRAM_BYTES_MAX: usize = 2368;

/// Between whom a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) there: SocketAddr,
    /// Our own address, if a socket that listens at all of them told it.
    pub(super) here: Option<IpAddr>,
}

/// Lets a socket that listens at all of the host's addresses tell which one was asked.
pub(super) use sys::tell_addresses;

/// Datagrams that came.
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// Length and way; a length of 0 is dropped.
    came: Vec<(usize, Way)>,
    names: sys::Names,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; BATCH * DATAGRAM_BYTES_MAX], came: Vec::new(), names: sys::Names::default() }
    }

    /// Receives up to [`BATCH`]; how many. Fewer mean that there are no more.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.came.clear();
        sys::receive(socket, &mut self.bytes, &mut self.names, &mut self.came)?;
        Ok(self.came.len())
    }

    /// The one with this number, and its way.
    pub(super) fn get(&self, n: usize) -> (&[u8], Way) {
        let (len, way) = self.came[n];
        (&self.bytes[n * DATAGRAM_BYTES_MAX..][..len], way)
    }
}

/// Datagrams that shall go.
#[derive(Default)]
pub(super) struct Outgoing {
    /// What is appended here is the next one.
    pub(super) bytes: Vec<u8>,
    /// Where each ends, and its way.
    ends: Vec<(usize, Way)>,
    names: sys::Names,
}

impl Outgoing {
    /// What was appended goes this way.
    pub(super) fn push(&mut self, way: Way) {
        self.ends.push((self.bytes.len(), way));
    }

    /// Sends all; how many the system didn't take. They are gone, as datagrams may be.
    pub(super) fn flush(&mut self, socket: &UdpSocket) -> usize {
        let mut lost = 0;
        let mut from = 0;
        while from < self.ends.len() {
            match sys::send(socket, &self.bytes, (&self.ends, from), &mut self.names) {
                Ok(sent) => from += sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    lost += self.ends.len() - from;
                    break;
                }
                // This one can't go; those behind it may.
                Err(_) => {
                    lost += 1;
                    from += 1;
                }
            }
        }
        self.bytes.clear();
        self.ends.clear();
        lost
    }
}

#[cfg(target_os = "linux")]
mod sys {
    use super::{BATCH, DATAGRAM_BYTES_MAX, Way};
    use core::mem::{offset_of, zeroed};
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
    use core::ptr::null_mut;
    use mio::net::UdpSocket;
    use std::io;
    use std::os::fd::AsRawFd as _;

    /// Room for the addresses of each datagram.
    pub(super) struct Names(Box<[Name; BATCH]>);

    struct Name {
        /// There. An IPv4 address lies in one of IPv6 as the system writes it: family, port, and 4 bytes where the flow is.
        there: libc::sockaddr_in6,
        here: Here,
    }

    /// Our address, as the one message that the system adds to a datagram.
    #[repr(C)]
    struct Here {
        head: libc::cmsghdr,
        /// `in6_pktinfo`: address, interface. `in_pktinfo`: interface, address, the address that the packet names.
        body: [u8; 24],
    }

    /// Where [`Here::body`] begins: nothing lies between it and its head.
    const BODY_AT: usize = offset_of!(Here, body);
    const V4_BYTES: usize = size_of::<libc::in_pktinfo>();
    const V6_BYTES: usize = size_of::<libc::in6_pktinfo>();

    const EMPTY: libc::sockaddr_in6 = libc::sockaddr_in6 {
        sin6_family: 0,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    };

    impl Default for Names {
        fn default() -> Self {
            Self(Box::new(core::array::from_fn(|_| Name { there: EMPTY, here: Here::empty() })))
        }
    }

    impl Here {
        fn empty() -> Self {
            #[allow(unsafe_code)]
            // SAFETY: all bits zero is a valid value of this structure of integers.
            let head = unsafe { zeroed() };
            Self { head, body: [0; 24] }
        }

        /// What the system said, in so many bytes.
        fn read(&self, bytes: usize) -> Option<IpAddr> {
            let ip: IpAddr = match (self.head.cmsg_level, self.head.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if bytes >= BODY_AT + V4_BYTES => {
                    <[u8; 4]>::try_from(self.body.get(4..8)?).ok()?.into()
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if bytes >= BODY_AT + V6_BYTES => {
                    <[u8; 16]>::try_from(self.body.get(..16)?).ok()?.into()
                }
                _ => return None,
            };
            // Nobody answers from a group's address.
            (!ip.is_multicast()).then_some(ip)
        }

        /// Asks the system to send from there; in how many bytes. The interface is left to the routes.
        fn write(&mut self, ip: IpAddr) -> usize {
            self.body = [0; 24];
            let (level, kind, bytes) = match ip {
                IpAddr::V4(ip) => {
                    self.body[4..8].copy_from_slice(&ip.octets());
                    (libc::IPPROTO_IP, libc::IP_PKTINFO, V4_BYTES)
                }
                IpAddr::V6(ip) => {
                    self.body[..16].copy_from_slice(&ip.octets());
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, V6_BYTES)
                }
            };
            self.head.cmsg_level = level;
            self.head.cmsg_type = kind;
            self.head.cmsg_len = (BODY_AT + bytes) as _;
            // Whole words.
            (BODY_AT + bytes).next_multiple_of(align_of::<libc::cmsghdr>())
        }
    }

    pub(in super::super) fn tell_addresses(socket: &socket2::Socket, is_v6: bool) -> io::Result<()> {
        let (level, option) = if is_v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
        } else {
            (libc::IPPROTO_IP, libc::IP_PKTINFO)
        };
        let on: libc::c_int = 1;
        #[allow(unsafe_code)]
        // SAFETY: the option's value is an integer of this length that outlives the call.
        let done = unsafe {
            let len = size_of_val(&on) as libc::socklen_t;
            libc::setsockopt(socket.as_raw_fd(), level, option, core::ptr::from_ref(&on).cast(), len)
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn read(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
        let port = u16::from_be(name.sin6_port);
        match i32::from(name.sin6_family) {
            libc::AF_INET => Some((Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes()), port).into()),
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
                Some(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    /// The name and its length.
    fn write(addr: &SocketAddr) -> (libc::sockaddr_in6, libc::socklen_t) {
        match addr {
            SocketAddr::V4(addr) => {
                let flow = u32::from_ne_bytes(addr.ip().octets());
                let family = libc::AF_INET as libc::sa_family_t;
                let name = libc::sockaddr_in6 {
                    sin6_family: family,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: flow,
                    ..EMPTY
                };
                (name, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(addr) => {
                let name = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: addr.port().to_be(),
                    sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                    sin6_scope_id: addr.scope_id(),
                    ..EMPTY
                };
                (name, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    /// A message with so many bytes of its name's two halves.
    fn message(
        name: &mut Name,
        (there, here): (libc::socklen_t, usize),
        part: &mut libc::iovec,
    ) -> libc::mmsghdr {
        #[allow(unsafe_code)]
        // SAFETY: all bits zero is a valid value of this structure of integers and pointers.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_name = core::ptr::from_mut(&mut name.there).cast();
        message.msg_hdr.msg_namelen = there;
        if here > 0 {
            message.msg_hdr.msg_control = core::ptr::from_mut(&mut name.here).cast();
            message.msg_hdr.msg_controllen = here as _;
        }
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        message
    }

    pub(super) fn receive(
        socket: &UdpSocket,
        bytes: &mut [u8],
        names: &mut Names,
        came: &mut Vec<(usize, Way)>,
    ) -> io::Result<()> {
        let mut parts = [libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
        for (part, room) in parts.iter_mut().zip(bytes.chunks_exact_mut(DATAGRAM_BYTES_MAX)) {
            *part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        }
        let len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        let room = (len, size_of::<Here>());
        let mut of = names.0.iter_mut().zip(&mut parts).map(|(name, part)| message(name, room, part));
        let mut messages: [libc::mmsghdr; BATCH] =
            core::array::from_fn(|_| of.next().expect("BATCH of each"));
        #[allow(unsafe_code)]
        // SAFETY: each message points to a name, a part and room that outlive the call and belong to it alone.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (message, name) in messages.iter().zip(names.0.iter()).take(count) {
            let cut = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            let there = read(&name.there);
            let len = if cut || there.is_none() { 0 } else { message.msg_len as usize };
            let there = there.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
            let here = name.here.read(message.msg_hdr.msg_controllen as _);
            came.push((len, Way { there, here }));
        }
        Ok(())
    }

    /// Sends up to [`BATCH`] from the one with number `from` on; how many went.
    pub(super) fn send(
        socket: &UdpSocket,
        bytes: &[u8],
        (ends, from): (&[(usize, Way)], usize),
        names: &mut Names,
    ) -> io::Result<usize> {
        let mut parts = [libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
        let mut start = if from == 0 { 0 } else { ends[from - 1].0 };
        let ends = &ends[from..ends.len().min(from + BATCH)];
        #[allow(unsafe_code)]
        // SAFETY: all bits zero is a valid value of this structure of integers and pointers.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for (n, ((end, way), part)) in ends.iter().zip(&mut parts).enumerate() {
            let datagram = &bytes[start..*end];
            start = *end;
            // What is sent is read only, whatever the type says.
            *part = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
            let name = &mut names.0[n];
            let (there, len) = write(&way.there);
            name.there = there;
            let here = way.here.map_or(0, |ip| name.here.write(ip));
            messages[n] = message(name, (len, here), part);
        }
        #[allow(unsafe_code)]
        // SAFETY: each of the first `ends.len()` messages points to a name, a part and bytes that outlive the call.
        let count = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                ends.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use super::{BATCH, DATAGRAM_BYTES_MAX, Way};
    use mio::net::UdpSocket;
    use std::io;

    #[derive(Default)]
    pub(super) struct Names;

    pub(in super::super) fn tell_addresses(_: &socket2::Socket, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn receive(
        socket: &UdpSocket,
        bytes: &mut [u8],
        _: &mut Names,
        came: &mut Vec<(usize, Way)>,
    ) -> io::Result<()> {
        for room in bytes.chunks_exact_mut(DATAGRAM_BYTES_MAX).take(BATCH) {
            match socket.recv_from(room) {
                // Whether it was longer can't be told.
                Ok((len, there)) => {
                    came.push((if len == room.len() { 0 } else { len }, Way { there, here: None }));
                }
                Err(error) if came.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(())
    }

    pub(super) fn send(
        socket: &UdpSocket,
        bytes: &[u8],
        (ends, from): (&[(usize, Way)], usize),
        _: &mut Names,
    ) -> io::Result<usize> {
        let start = if from == 0 { 0 } else { ends[from - 1].0 };
        let (end, way) = ends[from];
        socket.send_to(&bytes[start..end], way.there).map(|_| 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_arrives_as_it_was_sent_over_both_families() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let bind = || UdpSocket::bind(host.parse().unwrap()).unwrap();
            let (a, b) = (bind(), bind());
            let to = b.local_addr().unwrap();
            let mut outgoing = Outgoing::default();
            for n in 0..200u16 {
                let datagram = vec![n as u8; usize::from(n)];
                outgoing.bytes.extend_from_slice(&datagram);
                outgoing.push(Way { there: to, here: None });
            }
            assert_eq!(outgoing.flush(&a), 0);
            let mut incoming = Incoming::new();
            let mut got = 0;
            while let Ok(count) = incoming.receive(&b) {
                for n in 0..count {
                    let (datagram, way) = incoming.get(n);
                    assert_eq!((datagram, way.there), (&*vec![got as u8; got], a.local_addr().unwrap()));
                    got += 1;
                }
            }
            assert_eq!(got, 200);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_datagram_tells_which_address_was_asked_and_its_answer_leaves_from_there_over_both_families() {
        for (any, asked, foreign) in
            [("0.0.0.0:0", "127.0.0.2", "192.0.2.99"), ("[::]:0", "::1", "2001:db8::99")]
        {
            let any: SocketAddr = any.parse().unwrap();
            let asked: IpAddr = asked.parse().unwrap();
            let server = socket2::Socket::new(socket2::Domain::for_address(any), socket2::Type::DGRAM, None);
            let server = server.unwrap();
            server.set_nonblocking(true).unwrap();
            tell_addresses(&server, any.is_ipv6()).unwrap();
            server.bind(&any.into()).unwrap();
            let server = UdpSocket::from_std(server.into());
            let to = SocketAddr::new(asked, server.local_addr().unwrap().port());
            let client =
                UdpSocket::bind((if any.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" }).parse().unwrap());
            let client = client.unwrap();
            client.send_to(b"who?", to).unwrap();
            let mut incoming = Incoming::new();
            assert_eq!(incoming.receive(&server).unwrap(), 1);
            let (datagram, way) = incoming.get(0);
            let there = client.local_addr().unwrap();
            assert_eq!((datagram, way), (&b"who?"[..], Way { there, here: Some(asked) }));
            let mut outgoing = Outgoing::default();
            // An address that isn't ours is refused, and what waits behind it goes all the same.
            for here in [foreign.parse().unwrap(), asked] {
                outgoing.bytes.extend_from_slice(b"me");
                outgoing.push(Way { there, here: Some(here) });
            }
            assert_eq!(outgoing.flush(&server), 1);
            let mut room = [0; 9];
            assert_eq!(client.recv_from(&mut room).unwrap(), (2, to));
            assert!(client.recv_from(&mut room).is_err());
        }
    }

    #[test]
    fn a_datagram_that_is_too_long_is_dropped() {
        let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut outgoing = Outgoing::default();
        outgoing.bytes.extend_from_slice(&[1; DATAGRAM_BYTES_MAX + 1]);
        outgoing.push(Way { there: a.local_addr().unwrap(), here: None });
        outgoing.flush(&a);
        let mut incoming = Incoming::new();
        assert_eq!(incoming.receive(&a).unwrap(), 1);
        assert_eq!(incoming.get(0).0, b"");
        assert_eq!(incoming.receive(&a).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
