//! The links of the thread: which there are, whose turn it is, how much each reads at once, and how they end. Moving
//! the bytes is `carry`'s.

use super::Body;
use super::carry::Outgoing;
use super::wake::{LinkWake, Woken};
use core::net::SocketAddr;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use millstream_core::base::{ConnId, Instant, Pool};
use millstream_core::engine::{Endpoint, How, Input, LinkEnd, LinkInfo, Route};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;

/// How long a closing link may take to write what was handed out.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// The sizes that receive buffers come in: a link's next buffer is larger when it filled the last one, and smaller
/// when it left more than half of it empty. A slow link so pins 4 KiB where a fast one saves calls.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// Bytes of unused buffers of one size that are kept: a fast link's next reads then find theirs without a new page.
const KEEP_BYTES: usize = 8 << 20;

/// All links.
pub(super) struct Links {
    table: HashMap<ConnId, Link>,
    /// Whose turn it is, first come first served.
    line: VecDeque<ConnId>,
    woken: Arc<Woken>,
    names: Vec<ConnId>,
    buffers: Vec<Pool>,
    sendfile_locally: bool,
    /// When flushing links are cut off.
    flushes: BTreeSet<(Instant, ConnId)>,
}

/// One link.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    waker: Waker,
    wake: Arc<LinkWake>,
    pub(super) phase: Phase,
    /// It stands in the line.
    in_line: bool,
    pub(super) received: u64,
    pub(super) read_until: u64,
    /// Which of the buffer sizes comes next.
    size: usize,
    /// The engine may have something to pull.
    pub(super) pull: bool,
    pub(super) out: Outgoing,
    /// Stored bytes are read and written, not sent by `sendfile`: the other end is on this host.
    pub(super) copies: bool,
}

/// Where a link is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Open,
    /// Writes what was handed out, until then at the latest.
    Flushing(Instant),
}

impl Links {
    pub(super) fn new(receive_bytes_max: usize, sendfile_locally: bool) -> Self {
        let sizes = SIZES.into_iter().filter(|&size| size == SIZES[0] || size <= receive_bytes_max);
        let buffers = sizes.map(|size| Pool::new(size, (KEEP_BYTES / size).min(64))).collect();
        Self {
            table: HashMap::new(),
            line: VecDeque::new(),
            woken: Arc::default(),
            names: Vec::new(),
            buffers,
            sendfile_locally,
            flushes: BTreeSet::new(),
        }
    }

    pub(super) fn set_bell(&self, waker: &Waker) {
        self.woken.set_bell(waker);
    }

    /// Lets the links that were woken stand in the line.
    pub(super) fn gather(&mut self) {
        let mut names = core::mem::take(&mut self.names);
        self.woken.take(&mut names);
        names.drain(..).for_each(|conn| self.line_up(conn));
        self.names = names;
    }

    /// Lets a link stand in the line.
    pub(super) fn line_up(&mut self, conn: ConnId) {
        if let Some(link) = self.table.get_mut(&conn)
            && !core::mem::replace(&mut link.in_line, true)
        {
            self.line.push_back(conn);
        }
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<ConnId> {
        loop {
            let conn = self.line.pop_front()?;
            if let Some(link) = self.table.get_mut(&conn) {
                link.in_line = false;
                return Some(conn);
            }
        }
    }

    /// Whether somebody stands in the line.
    pub(super) fn has_next(&self) -> bool {
        !self.line.is_empty()
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Link> {
        self.table.get_mut(&conn)
    }

    /// The buffers of one size, or of the largest.
    pub(super) fn buffer(&self, size: usize) -> Option<&Pool> {
        self.buffers.get(size).or(self.buffers.last())
    }

    /// A new link.
    pub(super) fn insert(&mut self, conn: ConnId, stream: TcpStream, remote: SocketAddr, phase: Phase) {
        let wake = LinkWake::new(conn, &self.woken);
        let link = Link {
            stream,
            waker: Waker::from(Arc::clone(&wake)),
            wake,
            phase,
            in_line: false,
            received: 0,
            read_until: 0,
            size: 0,
            pull: false,
            out: Outgoing::default(),
            copies: !self.sendfile_locally && remote.ip().to_canonical().is_loopback(),
        };
        self.table.insert(conn, link);
        self.line_up(conn);
    }

    fn remove(&mut self, conn: ConnId) -> Option<Link> {
        let link = self.table.remove(&conn)?;
        if let Phase::Flushing(by) = link.phase {
            self.flushes.remove(&(by, conn));
        }
        Some(link)
    }

    /// When the next flushing link is cut off.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.flushes.first().map(|(by, _)| *by)
    }
}

impl Link {
    /// A context that puts this link into the line when it is woken.
    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(super) fn rearm(&self) {
        self.wake.rearm();
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Learns from a read how large the next one should be.
    pub(super) fn learn(&mut self, read: usize, room: usize) {
        if read == room {
            self.size = (self.size + 1).min(SIZES.len() - 1);
        } else if read < room / 2 {
            self.size = self.size.saturating_sub(1);
        }
    }
}

impl Body {
    /// Begins to open a link.
    pub(super) fn connect(&mut self, conn: ConnId, to: &Endpoint, route: Route) {
        if let Endpoint::Http(request) = to {
            return self.ask_web(conn, (**request).clone());
        }
        if let Endpoint::WebSocket(url) = to {
            return self.connect_web_socket(conn, url.clone());
        }
        let &Endpoint::Tcp(to) = to else {
            return self.on_closed(conn, LinkEnd::Host("there is no way to open such a link".to_owned()));
        };
        if self.is_proxied() || route.proxy.is_some() {
            return self.connect_through(conn, to);
        }
        match self.ways.begin(to) {
            Ok(stream) => self.links.insert(conn, stream, to, Phase::Connecting),
            Err(error) => self.on_closed(conn, end(&error)),
        }
    }

    /// Whether a link that is being opened is open now.
    pub(super) fn poll_connected(&mut self, conn: ConnId) -> Result<bool, LinkEnd> {
        let Some(link) = self.links.get_mut(conn) else { return Ok(false) };
        let waker = link.waker();
        match link.stream.poll_write_ready(&mut Context::from_waker(&waker)) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => return Err(end(&error)),
            Poll::Ready(Ok(())) => {}
        }
        if let Some(error) = link.stream.take_error().map_err(|error| end(&error))? {
            return Err(end(&error));
        }
        let local = link.stream.local_addr().map_err(|error| end(&error))?;
        let remote = link.stream.peer_addr().map_err(|error| end(&error))?;
        link.phase = Phase::Open;
        let now = self.now();
        self.engine.handle_input(now, Input::Opened { conn, info: LinkInfo::between(local, remote) });
        Ok(true)
    }

    /// A link ended by itself: the engine is told.
    pub(super) fn on_closed(&mut self, conn: ConnId, why: LinkEnd) {
        let now = self.now();
        let was_flushing =
            self.links.remove(conn).is_some_and(|link| matches!(link.phase, Phase::Flushing(_)));
        let input = if was_flushing { Input::Drained { conn } } else { Input::Closed { conn, why } };
        self.engine.handle_input(now, input);
    }

    /// The engine ends a link.
    pub(super) fn close(&mut self, conn: ConnId, how: How) {
        if self.close_web(conn) {
            return;
        }
        let now = self.now();
        let by = now + FLUSH_TIMEOUT;
        if let Some(link) = self.links.get_mut(conn)
            && how == How::Flush
            && link.phase == Phase::Open
            && !link.out.is_empty()
        {
            link.phase = Phase::Flushing(by);
            self.links.flushes.insert((by, conn));
            self.links.line_up(conn);
            return;
        }
        self.give_up_through(conn);
        self.close_web_socket(conn, how);
        self.links.remove(conn);
        self.engine.handle_input(now, Input::Drained { conn });
    }

    /// Cuts off the links that take too long to flush.
    pub(super) fn end_flushes(&mut self, now: Instant) {
        while let Some(&(by, conn)) = self.links.flushes.first()
            && by <= now
        {
            self.links.remove(conn);
            self.engine.handle_input(now, Input::Drained { conn });
        }
    }
}

/// Whether our host can't open another link: of files or of buffers there are too many.
fn lacks_room(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let full = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|number| full.iter().any(|errno| errno.raw_os_error() == number))
}

/// What an error of a socket means for its link.
#[expect(clippy::wildcard_enum_match_arm, reason = "the list of the standard library is open")]
pub(super) fn end(error: &io::Error) -> LinkEnd {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkEnd::Refused,
        io::ErrorKind::TimedOut => LinkEnd::TimedOut,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => LinkEnd::Unreachable,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            LinkEnd::Reset
        }
        _ if lacks_room(error) => LinkEnd::NoRoom,
        _ => LinkEnd::Host(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_idle_link_costs_little_and_a_slow_one_gets_small_buffers() {
        assert!(size_of::<Link>() <= 512, "{}", size_of::<Link>());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stream = TcpStream::connect(addr).await.unwrap();
        let mut links = Links::new(256 << 10, false);
        links.insert(ConnId(1), stream, addr, Phase::Open);
        let size = |link: &Link| SIZES[link.size()];
        let link = links.get_mut(ConnId(1)).unwrap();
        for _ in 0..10 {
            link.learn(1_448, size(link));
        }
        assert_eq!(size(link), 4 << 10);
        for _ in 0..10 {
            link.learn(size(link), size(link));
        }
        assert_eq!(size(link), 256 << 10);
        link.learn(100 << 10, 256 << 10);
        assert_eq!(size(link), 64 << 10);
    }

    #[tokio::test]
    async fn each_link_stands_in_the_line_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut links = Links::new(256 << 10, false);
        for n in [1, 2] {
            let stream = TcpStream::connect(addr).await.unwrap();
            links.insert(ConnId(n), stream, addr, Phase::Open);
        }
        links.line_up(ConnId(1));
        assert_eq!([links.next(), links.next(), links.next()], [Some(ConnId(1)), Some(ConnId(2)), None]);
        links.line_up(ConnId(2));
        links.remove(ConnId(2));
        assert_eq!(links.next(), None, "who has gone has no turn");
    }
}
