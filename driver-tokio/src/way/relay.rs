//! The relay for datagrams behind a SOCKS5 proxy: a task that keeps the link to the proxy that the relay lives by, and
//! comes back by itself when the proxy does. It owns no datagram: whoever is told of the socket sends and receives.

use super::{Ways, tunnel};
use crate::letters::Letters;
use core::net::SocketAddr;
use core::task::Waker;
use core::time::Duration;
use millstream_core::wire::socks5::{UDP_HEAD_BYTES_MAX, read_udp, write_udp_head};
use socket2::{Protocol, Type};
use std::io;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

/// The first pause after the relay was lost; it doubles.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long the proxy may take to give one.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of the relay.
pub(crate) enum News {
    /// It is there.
    Up(RelaySocket),
    /// It is lost.
    Down,
    /// The proxy gives none: links go on without datagrams. It is asked again.
    Refused(io::Error),
}

/// A socket that speaks to the relay and to nobody else.
pub(crate) struct RelaySocket {
    socket: UdpSocket,
    ways: Arc<Ways>,
}

impl RelaySocket {
    /// The socket, to wait for.
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends a datagram to an address, or to the name that it stands in for.
    pub(crate) fn try_send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        let target = self.ways.target(to).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut datagram = Vec::with_capacity(data.len() + UDP_HEAD_BYTES_MAX);
        write_udp_head(&mut datagram, &target);
        datagram.extend_from_slice(data);
        self.socket.try_send(&datagram).map(|_| data.len())
    }

    /// A datagram and where it came from: its payload lies at the front of the buffer.
    pub(crate) fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut packed = vec![0; buffer.len() + UDP_HEAD_BYTES_MAX];
        let bytes = self.socket.try_recv(&mut packed)?;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let (from, payload) = packed.get(..bytes).and_then(read_udp).ok_or_else(malformed)?;
        let from = self.ways.stands_for(&from);
        buffer.get_mut(..payload.len()).ok_or_else(malformed)?.copy_from_slice(payload);
        Ok((payload.len(), from))
    }
}

/// The relay of a session.
#[derive(Default)]
pub(crate) struct Relay {
    news: Letters<News>,
}

impl Relay {
    /// Keeps a relay up for ever.
    pub(crate) async fn keep(self: Arc<Self>, ways: Arc<Ways>) {
        let mut pause = PAUSE_FIRST;
        loop {
            match timeout(OPEN_TIMEOUT, self.open(&ways)).await {
                Ok(Ok((mut link, socket))) => {
                    pause = PAUSE_FIRST;
                    self.news.put(News::Up(socket));
                    // The proxy has nothing to say on it: it lives, or it ends.
                    let mut buffer = [0; 256];
                    while link.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
                    self.news.put(News::Down);
                }
                Ok(Err(error)) => self.news.put(News::Refused(error)),
                Err(_) => self.news.put(News::Refused(io::ErrorKind::TimedOut.into())),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn open(&self, ways: &Arc<Ways>) -> io::Result<(tokio::net::TcpStream, RelaySocket)> {
        let proxy = ways.proxy().ok_or(io::ErrorKind::NotFound)?;
        let mut link = ways.to_proxy(proxy).await?;
        let relay = tunnel::associate(&mut link, proxy).await?;
        let socket = ways.socket(relay, Type::DGRAM, Protocol::UDP)?;
        // Connected: the kernel drops what comes from anybody else.
        socket.connect(&relay.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok((link, RelaySocket { socket, ways: Arc::clone(ways) }))
    }

    /// Whom to wake for news from now on.
    pub(crate) fn set_bell(&self, waker: &Waker) {
        self.news.set_bell(waker);
    }

    /// Takes the news.
    pub(crate) fn take(&self) -> Vec<News> {
        self.news.take()
    }
}
