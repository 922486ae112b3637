//! Sockets for datagrams: taken in and sent by the run, as few calls as the system allows. Which sockets there are is
//! decided in `listen`.

use super::Body;
use core::net::SocketAddr;
use core::task::Context;
use millstream_core::base::{Chunk, ChunkMut, LocalId, Pool};
use millstream_core::engine::{Datagrams, Input};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Calls that take in or send, for one socket in one pass.
const CALLS_MAX: usize = 32;

/// Bytes of the largest run, and so of a buffer to take one in.
const RUN_BYTES: usize = 64 << 10;

/// Runs taken in by one call.
const RUNS_MAX: usize = 4;

/// Unused buffers that are kept.
const BUFFERS_KEPT: usize = 16;

/// What comes in shorter runs is copied: it must not hold a large buffer.
const SHORT_BYTES: usize = 4 << 10;

/// What the kernel may hold of what came, and of what is to go, for each socket. It takes the host's limit if that is
/// lower. Bytes.
const KERNEL_BYTES: usize = 4 << 20;

/// A socket for datagrams.
pub(super) struct Datagram {
    pub(super) local: LocalId,
    socket: UdpSocket,
    state: UdpSocketState,
    /// Whether the socket now forbids that datagrams are cut into fragments.
    whole: bool,
    /// What the engine handed out and the socket didn't take yet.
    waiting: VecDeque<Datagrams>,
    /// The engine may have more.
    pub(super) pull: bool,
}

/// Buffers that runs are taken into.
pub(super) struct Buffers {
    pool: Pool,
    taken: Vec<ChunkMut>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { pool: Pool::new(RUN_BYTES, BUFFERS_KEPT), taken: Vec::new() }
    }
}

/// A run of datagrams from one sender.
struct Run {
    from: SocketAddr,
    to: Option<core::net::IpAddr>,
    data: Chunk,
    stride: u16,
}

impl Datagram {
    pub(super) fn new(local: LocalId, socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        // A host that allows less gives less.
        let _ = state.set_recv_buffer_size((&socket).into(), KERNEL_BYTES);
        let _ = state.set_send_buffer_size((&socket).into(), KERNEL_BYTES);
        let mut datagram = Self { local, socket, state, whole: true, waiting: VecDeque::new(), pull: false };
        datagram.forbid_fragments(false);
        Ok(datagram)
    }

    fn receive(&self, buffers: &mut Buffers, runs: &mut Vec<Run>) -> io::Result<()> {
        let Buffers { pool, taken } = buffers;
        taken.resize_with(RUNS_MAX, || pool.take());
        let mut meta = [RecvMeta::default(); RUNS_MAX];
        let mut slices = taken.iter_mut();
        let mut slices: [IoSliceMut<'_>; RUNS_MAX] =
            core::array::from_fn(|_| IoSliceMut::new(slices.next().map_or(&mut [], ChunkMut::bytes_mut)));
        let count = self
            .socket
            .try_io(Interest::READABLE, || self.state.recv((&self.socket).into(), &mut slices, &mut meta))?;
        for (n, meta) in meta.iter().enumerate().take(count) {
            let Some(buffer) = taken.get_mut(n) else { break };
            let data = if meta.len < SHORT_BYTES {
                Chunk::copy_from(buffer.bytes_mut().get(..meta.len).unwrap_or_default())
            } else {
                core::mem::replace(buffer, pool.take()).freeze(meta.len)
            };
            let stride = u16::try_from(meta.stride).unwrap_or(0);
            runs.push(Run { from: meta.addr, to: meta.dst_ip, data, stride });
        }
        Ok(())
    }

    /// Probes for the size that a path takes must not be cut into fragments; all else may be, where it has to.
    #[cfg(target_os = "linux")]
    fn forbid_fragments(&mut self, whole: bool) {
        use rustix::net::sockopt::{
            Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
        };
        if self.whole == whole {
            return;
        }
        let is_v4 = self.socket.local_addr().is_ok_and(|addr| addr.is_ipv4());
        let done = match (is_v4, whole) {
            (true, true) => set_ip_mtu_discover(&self.socket, Ipv4PathMtuDiscovery::PROBE),
            (true, false) => set_ip_mtu_discover(&self.socket, Ipv4PathMtuDiscovery::DONT),
            (false, true) => set_ipv6_mtu_discover(&self.socket, Ipv6PathMtuDiscovery::PROBE),
            (false, false) => set_ipv6_mtu_discover(&self.socket, Ipv6PathMtuDiscovery::DONT),
        };
        match done {
            Ok(()) => self.whole = whole,
            Err(error) => tracing::debug!(%error, "fragments can't be allowed or forbidden"),
        }
    }

    /// Elsewhere the socket forbids fragments always, where it can.
    #[cfg(not(target_os = "linux"))]
    fn forbid_fragments(&mut self, _: bool) {}

    /// Sends the first of what waits. `Ok(None)`: sent; otherwise what the engine has to know.
    fn send_first(&mut self) -> io::Result<Option<Input>> {
        let Some(whole) = self.waiting.front().map(|first| first.dont_fragment) else { return Ok(None) };
        self.forbid_fragments(whole);
        let Some(first) = self.waiting.front() else { return Ok(None) };
        let (to, bytes) = (first.to, first.data.len());
        let most = self.state.max_gso_segments();
        let stride = first.stride.map(usize::from).filter(|&stride| stride < bytes);
        if stride.is_some_and(|stride| bytes.div_ceil(stride) > most) {
            self.split_first(most);
            return Ok(None);
        }
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: &first.data,
            segment_size: stride,
            src_ip: first.from,
        };
        let sent =
            self.socket.try_io(Interest::WRITABLE, || self.state.try_send((&self.socket).into(), &transmit));
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            // A run that the system doesn't take as one may go one by one.
            Err(_) if stride.is_some() => {
                self.split_first(1);
                return Ok(None);
            }
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(%to, %error, "a datagram wasn't sent");
                self.waiting.pop_front();
                return Ok(Some(refused(self.local, (to, bytes), &error)));
            }
        }
        self.waiting.pop_front();
        Ok(None)
    }

    /// Cuts the first run into runs of at most so many datagrams.
    fn split_first(&mut self, most: usize) {
        let Some(run) = self.waiting.pop_front() else { return };
        let stride = run.stride.map_or(run.data.len(), usize::from).max(1);
        let step = stride * most.max(1);
        for at in (0..run.data.len()).step_by(step).rev() {
            let data = run.data.slice(at, at + step);
            let stride = run.stride.filter(|_| data.len() > stride);
            self.waiting.push_front(Datagrams { data, stride, ..run.clone() });
        }
    }
}

/// A datagram of so many bytes to `to` wasn't sent. What tells of a full queue, a filter or a closed port must not pass
/// for a path that is too narrow.
pub(super) fn refused(local: LocalId, (to, bytes): (SocketAddr, usize), error: &io::Error) -> Input {
    let too_large = error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error());
    Input::DatagramRefused { local, to, bytes: too_large.then_some(bytes) }
}

impl Body {
    /// Takes in datagrams, and sends those that had to wait.
    pub(super) fn receive_datagrams(&mut self, cx: &mut Context<'_>) {
        let mut runs = Vec::new();
        for n in 0..self.sockets.datagrams.len() {
            for turn in 0..=CALLS_MAX {
                let Some(datagram) = self.sockets.datagrams.get(n) else { break };
                if datagram.socket.poll_recv_ready(cx).is_pending() {
                    break;
                }
                if turn == CALLS_MAX {
                    cx.waker().wake_by_ref();
                    break;
                }
                let local = datagram.local;
                // Errors here are news of earlier datagrams that nobody received; they name no address.
                if datagram.receive(&mut self.sockets.buffers, &mut runs).is_err() {
                    continue;
                }
                let now = self.now();
                for Run { from, to, data, stride } in runs.drain(..) {
                    self.engine.handle_input(now, Input::Datagrams { local, from, to, data, stride });
                }
            }
            self.push_datagrams(n, Some(cx));
        }
        // Buffers are held while there is something to take in, and not longer.
        self.sockets.buffers.taken.clear();
    }

    /// The engine has datagrams for a socket.
    pub(super) fn send_datagrams(&mut self, local: LocalId) {
        let found = self.sockets.datagrams.iter().position(|datagram| datagram.local == local);
        if let Some(n) = found {
            if let Some(datagram) = self.sockets.datagrams.get_mut(n) {
                datagram.pull = true;
            }
            self.push_datagrams(n, None);
        } else if !self.send_relayed(local) {
            self.send_multicast(local);
        }
    }

    fn push_datagrams(&mut self, n: usize, cx: Option<&mut Context<'_>>) {
        for _ in 0..CALLS_MAX {
            let now = self.now();
            let Some(datagram) = self.sockets.datagrams.get_mut(n) else { return };
            if datagram.waiting.is_empty() && datagram.pull {
                match self.engine.poll_datagrams(now, datagram.local, RUN_BYTES) {
                    Some(more) => datagram.waiting.push_back(more),
                    None => datagram.pull = false,
                }
            }
            if datagram.waiting.is_empty() {
                return;
            }
            match datagram.send_first() {
                Ok(None) => {}
                Ok(Some(refused)) => self.engine.handle_input(now, refused),
                Err(_) => break,
            }
        }
        // The rest goes when the socket takes it. Without a context, the next pass asks.
        let Some(cx) = cx else { return self.answers.ring() };
        if self
            .sockets
            .datagrams
            .get(n)
            .is_some_and(|datagram| datagram.socket.poll_send_ready(cx).is_ready())
        {
            cx.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    async fn sent(to: impl Into<core::net::IpAddr>, length: usize) -> Option<Option<usize>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = SocketAddr::from((to.into(), socket.local_addr().unwrap().port()));
        let mut datagram = Datagram::new(LocalId(1), socket).unwrap();
        datagram.waiting.push_back(Datagrams {
            to,
            from: None,
            data: Chunk::from(vec![0; length]),
            stride: None,
            dont_fragment: true,
        });
        datagram.socket.writable().await.unwrap();
        let refused = datagram.send_first().unwrap()?;
        let Input::DatagramRefused { local: LocalId(1), to: named, bytes } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(named, to);
        Some(bytes)
    }

    #[tokio::test]
    async fn only_a_datagram_that_is_too_large_is_told_with_its_size() {
        assert_eq!(sent(Ipv4Addr::LOCALHOST, 1200).await, None);
        assert_eq!(sent(Ipv4Addr::LOCALHOST, 65_600).await, Some(Some(65_600)));
        // A socket may not send to everyone unless it asked for that.
        assert_eq!(sent(Ipv4Addr::BROADCAST, 1200).await, Some(None));
    }

    #[test]
    fn a_full_queue_a_filter_or_a_closed_port_say_nothing_of_sizes() {
        use rustix::io::Errno;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        for errno in [Errno::NOBUFS, Errno::CONNREFUSED, Errno::PERM, Errno::NETUNREACH, Errno::HOSTUNREACH] {
            let told = refused(LocalId(1), (to, 1452), &errno.into());
            assert!(matches!(told, Input::DatagramRefused { bytes: None, .. }), "{errno}");
        }
    }
}
