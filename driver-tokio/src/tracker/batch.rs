//! Datagrams by the batch: one call receives many, one call sends many. Where the system can't, one at a time. Not what
//! is in them.

use core::net::SocketAddr;
use mio::net::UdpSocket;
use std::io;

/// Datagrams received or sent by one call.
pub(super) const BATCH: usize = 128;
/// Bytes kept of a datagram: more than the longest request. A longer one is dropped.
const DATAGRAM_BYTES_MAX: usize = 2368;

/// Datagrams that came.
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// Length and source; a length of 0 is dropped.
    came: Vec<(usize, SocketAddr)>,
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

    /// The one with this number, and its source.
    pub(super) fn get(&self, n: usize) -> (&[u8], SocketAddr) {
        let (len, source) = self.came[n];
        (&self.bytes[n * DATAGRAM_BYTES_MAX..][..len], source)
    }
}

/// Datagrams that shall go.
#[derive(Default)]
pub(super) struct Outgoing {
    /// What is appended here is the next one.
    pub(super) bytes: Vec<u8>,
    /// Where each ends, and whither it goes.
    ends: Vec<(usize, SocketAddr)>,
    names: sys::Names,
}

impl Outgoing {
    /// What was appended goes to this address.
    pub(super) fn push(&mut self, to: SocketAddr) {
        self.ends.push((self.bytes.len(), to));
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
    use super::{BATCH, DATAGRAM_BYTES_MAX};
    use core::mem::zeroed;
    use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
    use core::ptr::null_mut;
    use mio::net::UdpSocket;
    use std::io;
    use std::os::fd::AsRawFd as _;

    /// Room for addresses. An IPv4 address lies in one of IPv6 as the system writes it: family, port, and 4 bytes where
    /// the flow is.
    pub(super) struct Names(Box<[libc::sockaddr_in6; BATCH]>);

    const EMPTY: libc::sockaddr_in6 = libc::sockaddr_in6 {
        sin6_family: 0,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    };

    impl Default for Names {
        fn default() -> Self {
            Self(Box::new([EMPTY; BATCH]))
        }
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

    fn message(name: &mut libc::sockaddr_in6, len: libc::socklen_t, part: &mut libc::iovec) -> libc::mmsghdr {
        #[allow(unsafe_code)]
        // SAFETY: all bits zero is a valid value of this structure of integers and pointers.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_name = core::ptr::from_mut(name).cast();
        message.msg_hdr.msg_namelen = len;
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        message
    }

    pub(super) fn receive(
        socket: &UdpSocket,
        bytes: &mut [u8],
        names: &mut Names,
        came: &mut Vec<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        let mut parts = [libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
        for (part, room) in parts.iter_mut().zip(bytes.chunks_exact_mut(DATAGRAM_BYTES_MAX)) {
            *part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        }
        let len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        let mut of = names.0.iter_mut().zip(&mut parts).map(|(name, part)| message(name, len, part));
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
            let source = read(name);
            let len = if cut || source.is_none() { 0 } else { message.msg_len as usize };
            came.push((len, source.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())));
        }
        Ok(())
    }

    /// Sends up to [`BATCH`] from the one with number `from` on; how many went.
    pub(super) fn send(
        socket: &UdpSocket,
        bytes: &[u8],
        (ends, from): (&[(usize, SocketAddr)], usize),
        names: &mut Names,
    ) -> io::Result<usize> {
        let mut parts = [libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
        let mut start = if from == 0 { 0 } else { ends[from - 1].0 };
        let ends = &ends[from..ends.len().min(from + BATCH)];
        #[allow(unsafe_code)]
        // SAFETY: all bits zero is a valid value of this structure of integers and pointers.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for (n, ((end, to), part)) in ends.iter().zip(&mut parts).enumerate() {
            let datagram = &bytes[start..*end];
            start = *end;
            // What is sent is read only, whatever the type says.
            *part = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
            let (name, len) = write(to);
            names.0[n] = name;
            messages[n] = message(&mut names.0[n], len, part);
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
    use super::{BATCH, DATAGRAM_BYTES_MAX};
    use core::net::SocketAddr;
    use mio::net::UdpSocket;
    use std::io;

    #[derive(Default)]
    pub(super) struct Names;

    pub(super) fn receive(
        socket: &UdpSocket,
        bytes: &mut [u8],
        _: &mut Names,
        came: &mut Vec<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        for room in bytes.chunks_exact_mut(DATAGRAM_BYTES_MAX).take(BATCH) {
            match socket.recv_from(room) {
                // Whether it was longer can't be told.
                Ok((len, source)) => came.push((if len == room.len() { 0 } else { len }, source)),
                Err(error) if came.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(())
    }

    pub(super) fn send(
        socket: &UdpSocket,
        bytes: &[u8],
        (ends, from): (&[(usize, SocketAddr)], usize),
        _: &mut Names,
    ) -> io::Result<usize> {
        let start = if from == 0 { 0 } else { ends[from - 1].0 };
        let (end, to) = ends[from];
        socket.send_to(&bytes[start..end], to).map(|_| 1)
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
                outgoing.push(to);
            }
            assert_eq!(outgoing.flush(&a), 0);
            let mut incoming = Incoming::new();
            let mut got = 0;
            while let Ok(count) = incoming.receive(&b) {
                for n in 0..count {
                    let (datagram, source) = incoming.get(n);
                    assert_eq!((datagram, source), (&*vec![got as u8; got], a.local_addr().unwrap()));
                    got += 1;
                }
            }
            assert_eq!(got, 200);
        }
    }

    #[test]
    fn a_datagram_that_is_too_long_is_dropped() {
        let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut outgoing = Outgoing::default();
        outgoing.bytes.extend_from_slice(&[1; DATAGRAM_BYTES_MAX + 1]);
        outgoing.push(a.local_addr().unwrap());
        outgoing.flush(&a);
        let mut incoming = Incoming::new();
        assert_eq!(incoming.receive(&a).unwrap(), 1);
        assert_eq!(incoming.get(0).0, b"");
        assert_eq!(incoming.receive(&a).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
