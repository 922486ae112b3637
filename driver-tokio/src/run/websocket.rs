//! Links to trackers over WebSockets: a task each, since there are few. Every text message is a `Received`, every transmit a
//! text message; the task reads no further than its credit.

use super::Body;
use crate::http::{escape, tls_over};
use crate::letters::Letters;
use crate::way::{OpenError, Target, Ways, Wish};
use core::net::{Ipv4Addr, SocketAddr};
use core::task::Context;
use core::time::Duration;
use futures_core::Stream;
use futures_util::SinkExt as _;
use millstream_core::base::{Chunk, ConnId, Segment};
use millstream_core::engine::{How, Input, LinkEnd, LinkInfo};
use millstream_core::wire::tracker_url::{Scheme, TrackerUrl};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Bytes of a message that is taken; a longer one ends the link.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// How long the opening may take, TLS and the proxy included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a message may take to be written: a tracker that reads nothing ends its link.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the last messages may take when a link is closed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes asked of the engine at once: a message is never cut.
const TRANSMIT_BYTES: usize = MESSAGE_BYTES_MAX;

/// What a task tells.
enum Told {
    Open(SocketAddr),
    Message(Chunk),
    Wrote(u64),
    Ended(LinkEnd),
}

/// The engine's thread's end of a task.
struct Line {
    task: AbortHandle,
    out: mpsc::UnboundedSender<String>,
    read_until: watch::Sender<u64>,
    open: bool,
    /// A message is with the task.
    busy: bool,
    /// The engine may have more.
    pull: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct WebSockets {
    lines: BTreeMap<ConnId, Line>,
    letters: Arc<Letters<(ConnId, Told)>>,
}

impl Body {
    /// Begins to open a WebSocket.
    pub(super) fn connect_web_socket(&mut self, conn: ConnId, url: String) {
        let (out, outgoing) = mpsc::unbounded_channel();
        let (read_until, credit) = watch::channel(0);
        let (letters, ways) = (Arc::clone(&self.web_sockets.letters), Arc::clone(&self.ways));
        let task = tokio::spawn(async move {
            let tell = |told| letters.put((conn, told));
            let end = match timeout(OPEN_TIMEOUT, open(&ways, &url)).await {
                Ok(Ok((socket, remote))) => {
                    tell(Told::Open(remote));
                    carry(socket, outgoing, credit, tell).await
                }
                Ok(Err(end)) => end,
                Err(_) => LinkEnd::TimedOut,
            };
            letters.put((conn, Told::Ended(end)));
        });
        let line = Line { task: task.abort_handle(), out, read_until, open: false, busy: false, pull: false };
        self.web_sockets.lines.insert(conn, line);
    }

    /// What the engine allows and has for a link; `false` if it is no WebSocket.
    pub(super) fn heed_web_socket(&mut self, conn: ConnId, read_until: u64, write: bool) -> bool {
        let Some(line) = self.web_sockets.lines.get_mut(&conn) else { return false };
        line.read_until
            .send_if_modified(|known| core::mem::replace(known, read_until.max(*known)) < read_until);
        line.pull |= write;
        self.pull_message(conn);
        true
    }

    /// The engine ends a link; `false` if it is no WebSocket.
    pub(super) fn close_web_socket(&mut self, conn: ConnId, how: How) -> bool {
        let Some(line) = self.web_sockets.lines.remove(&conn) else { return false };
        // With its sender gone, the task says goodbye and ends by itself.
        if how == How::Abort || !line.open {
            line.task.abort();
        } else {
            let task = line.task.clone();
            tokio::spawn(async move {
                // It may be held up by a message that the other side doesn't read.
                sleep(FLUSH_TIMEOUT).await;
                task.abort();
            });
        }
        true
    }

    /// Takes in what the tasks tell.
    pub(super) fn take_web_sockets(&mut self, cx: &mut Context<'_>) {
        self.web_sockets.letters.set_bell(cx.waker());
        for (conn, told) in self.web_sockets.letters.take() {
            let Some(line) = self.web_sockets.lines.get_mut(&conn) else { continue };
            let input = match told {
                Told::Open(remote) => {
                    line.open = true;
                    let local = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                    Input::Opened { conn, info: LinkInfo::between(local, remote) }
                }
                Told::Message(data) => Input::Received { conn, data },
                Told::Wrote(bytes) => {
                    line.busy = false;
                    Input::Wrote { conn, bytes }
                }
                Told::Ended(why) => {
                    self.web_sockets.lines.remove(&conn);
                    Input::Closed { conn, why }
                }
            };
            let now = self.now();
            self.engine.handle_input(now, input);
            self.pull_message(conn);
        }
    }

    fn pull_message(&mut self, conn: ConnId) {
        let now = self.now();
        let Some(line) = self.web_sockets.lines.get_mut(&conn) else { return };
        if !line.open || line.busy || !line.pull {
            return;
        }
        match self.engine.poll_transmit(now, conn, TRANSMIT_BYTES) {
            Some(transmit) => {
                let mut text = Vec::with_capacity(transmit.len);
                for segment in &transmit.segments {
                    if let Segment::Bytes(bytes) = segment {
                        text.extend_from_slice(bytes);
                    }
                }
                // What the engine writes there is text.
                line.busy = String::from_utf8(text).is_ok_and(|text| line.out.send(text).is_ok());
            }
            None => line.pull = false,
        }
    }
}

/// A stream of either kind.
trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Carrier for S {}

type Socket = WebSocketStream<Box<dyn Carrier>>;

async fn open(ways: &Ways, url: &str) -> Result<(Socket, SocketAddr), LinkEnd> {
    let host = |error: &dyn core::fmt::Display| LinkEnd::Host(error.to_string());
    let parts = TrackerUrl::parse(url).map_err(|error| host(&error))?;
    let target = Target::new(parts.host, parts.port).ok_or(LinkEnd::Unreachable)?;
    let opened = ways.open(&target, Wish::default()).await.map_err(|error| match error {
        OpenError::Connect(error) | OpenError::Resolve(error) => super::link::end(&error),
        OpenError::Private => LinkEnd::Unreachable,
    })?;
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let remote = opened.remote.unwrap_or(nowhere);
    let carrier: Box<dyn Carrier> = match parts.scheme {
        Scheme::Wss => Box::new(tls_over(parts.host, opened.stream).await.map_err(|error| host(&error))?),
        Scheme::Ws | Scheme::Http | Scheme::Https | Scheme::Udp => Box::new(opened.stream),
    };
    let request = escape(url).into_client_request().map_err(|error| host(&error))?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let (socket, _) =
        client_async_with_config(request, carrier, Some(limits)).await.map_err(|error| broken(&error))?;
    Ok((socket, remote))
}

/// Moves messages until either side ends.
async fn carry(
    mut socket: Socket,
    mut outgoing: mpsc::UnboundedReceiver<String>,
    mut credit: watch::Receiver<u64>,
    tell: impl Fn(Told),
) -> LinkEnd {
    let mut received = 0;
    loop {
        let may_read = received < *credit.borrow_and_update();
        tokio::select! {
            text = outgoing.recv() => match text {
                Some(text) => {
                    let bytes = text.len() as u64;
                    match timeout(WRITE_TIMEOUT, socket.send(Message::text(text))).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return broken(&error),
                        Err(_) => return LinkEnd::TimedOut,
                    }
                    tell(Told::Wrote(bytes));
                }
                None => {
                    // Nobody hears what becomes of it.
                    let _ = timeout(FLUSH_TIMEOUT, socket.close(None)).await;
                    return LinkEnd::Finished;
                }
            },
            message = next(&mut socket), if may_read => match message {
                Some(Ok(Message::Text(text))) => {
                    received += text.len() as u64;
                    tell(Told::Message(Chunk::copy_from(text.as_bytes())));
                }
                Some(Ok(Message::Close(_))) | None => return LinkEnd::Finished,
                // Pings are answered below us; what is no text means nothing here.
                Some(Ok(_)) => {}
                Some(Err(error)) => return broken(&error),
            },
            changed = credit.changed(), if !may_read => {
                if changed.is_err() {
                    return LinkEnd::Finished;
                }
            }
        }
    }
}

async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    core::future::poll_fn(|cx| core::pin::Pin::new(&mut *socket).poll_next(cx)).await
}

/// What an error of a WebSocket means for its link.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is long, and open")]
fn broken(error: &Error) -> LinkEnd {
    match error {
        Error::Io(error) => super::link::end(error),
        Error::ConnectionClosed | Error::AlreadyClosed => LinkEnd::Finished,
        Error::Http(answer) => LinkEnd::Host(format!("the server answered {}", answer.status())),
        other => super::link::end(&io::Error::other(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::Role;

    #[tokio::test(start_paused = true)]
    async fn a_tracker_that_reads_nothing_ends_its_link() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let carrier: Box<dyn Carrier> = Box::new(ours);
        let socket = WebSocketStream::from_raw_socket(carrier, Role::Client, None).await;
        let (out, outgoing) = mpsc::unbounded_channel();
        let (_credit, credit) = watch::channel(0);
        out.send("x".repeat(10_000)).unwrap();
        let carried = timeout(WRITE_TIMEOUT * 10, carry(socket, outgoing, credit, |_| ())).await;
        assert!(matches!(carried, Ok(LinkEnd::TimedOut)));
    }
}
