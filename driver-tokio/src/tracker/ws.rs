//! The tracker over WebSockets: a task a socket, bounded messages both ways, and the table of who is there. What is said
//! goes to the worker that has the torrent; what comes back is handed to whoever it is for.

use super::guests::{Guest, Guests};
use super::http::accept;
use super::queue::{Ask, Shared};
use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use futures_util::{SinkExt as _, StreamExt as _};
use millstream_core::tracker::{Fault, ProtocolStatistics, signal};
use millstream_core::wire::InfoHash;
use millstream_core::wire::tracker::TrackerEvent;
use millstream_core::wire::tracker_ws::{
    MESSAGE_BYTES_MAX, SignalReply, SignalRequest, read_request, write_reply,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// How long the upgrade may take.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent socket is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(40);
/// A socket that was not heard for longer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(100);
/// How long a message may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a worker may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of others' messages that may wait for one socket; more are dropped.
const WAITING_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// What a message that waits takes beside its text.
const WAITING_OVERHEAD_BYTES: usize = 64;
/// A socket's messages are read no faster than one in this time, when it has had a burst.
const MESSAGE_EVERY: Duration = Duration::from_millis(20);
/// Messages that are read at once: who comes with all its torrents says one for each.
const MESSAGES_BURST: u32 = 2000;
/// How long a worker that is too busy to hear of a closed socket is left alone.
const CLOSE_RETRY: Duration = Duration::from_millis(200);
/// How often it is told again; then the peers expire.
const CLOSE_RETRIES_MAX: usize = 100;
/// Torrents that one socket may announce.
const TORRENTS_MAX: usize = 1000;

/// Who is there.
#[derive(Default)]
pub(super) struct Sockets {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Inbox>>,
}

/// The way of others' messages to a socket's task.
struct Inbox {
    sender: mpsc::UnboundedSender<String>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Inbox {
    /// Whether there was room. Only one at a time gives: the table is locked.
    fn give(&self, text: String) -> bool {
        let bytes = text.len() + WAITING_OVERHEAD_BYTES;
        if self.waiting_bytes.load(Ordering::Relaxed) + bytes > WAITING_BYTES_MAX {
            return false;
        }
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sender.send(text).is_ok()
    }
}

/// When the next message of a socket may be read.
struct Pace {
    /// Until when what was read is paid for.
    paid: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { paid: now }
    }

    fn on_message(&mut self, now: Instant) {
        self.paid = self.paid.max(now) + MESSAGE_EVERY;
    }

    /// When the next may be read: not in the future, if it may be now.
    fn next(&self) -> Instant {
        self.paid - MESSAGE_EVERY * MESSAGES_BURST
    }
}

/// Serves until it is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    guests: Arc<Guests>,
) {
    loop {
        let Some((stream, from, guest)) = accept(&listener, &guests).await else { continue };
        tokio::spawn(upgrade((stream, from.ip()), Arc::clone(&shared), Arc::clone(&sockets), guest));
    }
}

async fn upgrade(
    (stream, source): (TcpStream, IpAddr),
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    guest: Guest,
) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MESSAGE_BYTES_MAX);
    let upgraded = tokio_tungstenite::accept_async_with_config(stream, Some(config));
    let Ok(Ok(stream)) = timeout(UPGRADE_TIMEOUT, upgraded).await else {
        count(&shared, |seen| seen.fault(Fault::Malformed));
        return;
    };
    let (sender, inbox) = mpsc::unbounded_channel();
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    let number = sockets.next.fetch_add(1, Ordering::Relaxed);
    let way = Inbox { sender, waiting_bytes: Arc::clone(&waiting_bytes) };
    crate::lock(&sockets.open).insert(number, way);
    let torrents = BTreeSet::new();
    let mut socket = Socket { number, source, stream, shared, sockets, waiting_bytes, torrents };
    socket.run(inbox).await;
    drop(guest);
}

fn count(shared: &Shared, change: impl FnOnce(&mut ProtocolStatistics)) {
    change(&mut crate::lock(&shared.front)[1]);
}

struct Socket {
    number: u64,
    source: IpAddr,
    stream: WebSocketStream<TcpStream>,
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    /// Of others' messages that it has not taken yet.
    waiting_bytes: Arc<AtomicUsize>,
    /// What it announced and didn't stop.
    torrents: BTreeSet<InfoHash>,
}

impl Socket {
    /// Until it closes.
    async fn run(&mut self, mut inbox: mpsc::UnboundedReceiver<String>) {
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut pace = Pace::new(heard);
        loop {
            let may_read = pace.next() <= Instant::now();
            let on = tokio::select! {
                message = self.stream.next(), if may_read => {
                    heard = Instant::now();
                    pace.on_message(heard);
                    match message {
                        Some(Ok(Message::Text(text))) => self.on_text(&text).await,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => true,
                        // No client sends binary messages.
                        Some(Ok(Message::Binary(_) | Message::Close(_) | Message::Frame(_)) | Err(_)) | None => false,
                    }
                }
                // What it says meanwhile waits in its link, and holds it up.
                () = sleep_until(pace.next()), if !may_read => true,
                Some(text) = inbox.recv() => {
                    self.waiting_bytes.fetch_sub(text.len() + WAITING_OVERHEAD_BYTES, Ordering::Relaxed);
                    self.send(text).await
                }
                _ = ping.tick() => {
                    heard.elapsed() < SILENCE_MAX && self.write(Message::Ping(Vec::new().into())).await
                }
            };
            if !on {
                return;
            }
        }
    }

    /// Whether the socket is worth keeping.
    async fn on_text(&mut self, text: &str) -> bool {
        count(&self.shared, |seen| seen.bytes_in += text.len() as u64);
        let said = match read_request(text) {
            Ok(said) => said,
            Err(error) => {
                count(&self.shared, |seen| seen.fault(Fault::Malformed));
                return self.refuse(None, &error.to_string()).await;
            }
        };
        let answered = timeout(ANSWER_TIMEOUT, self.ask(said)).await.ok().flatten();
        let Some(out) = answered else {
            count(&self.shared, |seen| seen.fault(Fault::Busy));
            return self.refuse(None, "this tracker is busy").await;
        };
        for (to, reply) in out {
            let text = write_reply(&reply);
            if to != self.number {
                self.sockets.pass(to, text, &self.shared);
            } else if !self.send(text).await {
                return false;
            }
        }
        true
    }

    /// What a request leads to; `None` if no worker says.
    async fn ask(&mut self, said: SignalRequest) -> Option<Vec<signal::Outgoing>> {
        match said {
            SignalRequest::Announce(announce) => {
                let hash = announce.query.info_hash;
                let stopped = announce.query.event == TrackerEvent::Stopped;
                let known = self.torrents.contains(&hash);
                if self.torrents.len() >= TORRENTS_MAX && !known && !stopped {
                    let reason = "too many torrents over one socket".into();
                    return Some(vec![(self.number, SignalReply::Failed { info_hash: Some(hash), reason })]);
                }
                // Before it is asked: what the worker hears is undone at the end.
                if !stopped {
                    self.torrents.insert(hash);
                }
                let (answer, waits) = oneshot::channel();
                let (socket, source) = (self.number, self.source);
                self.shared.door(&hash).ask(Ask::Signal { socket, source, announce, answer }).ok()?;
                let out = waits.await.ok()?;
                let refused = matches!(out[..], [(_, SignalReply::Failed { .. })]);
                if stopped && !refused || refused && !known {
                    self.torrents.remove(&hash);
                }
                Some(out)
            }
            SignalRequest::Answer(said) => {
                let (answer, waits) = oneshot::channel();
                let door = self.shared.door(&said.info_hash);
                door.ask(Ask::SignalAnswer { socket: self.number, said, answer }).ok()?;
                Some(waits.await.ok()?.into_iter().collect())
            }
            SignalRequest::Scrape(hashes) => {
                let known = self.shared.scrape(&hashes).await?;
                count(&self.shared, |seen| {
                    seen.scrapes += 1;
                    seen.scraped += hashes.len() as u64;
                });
                Some(vec![(self.number, SignalReply::Scraped(known))])
            }
        }
    }

    async fn refuse(&mut self, info_hash: Option<InfoHash>, reason: &str) -> bool {
        self.send(write_reply(&SignalReply::Failed { info_hash, reason: reason.into() })).await
    }

    async fn send(&mut self, text: String) -> bool {
        count(&self.shared, |seen| seen.bytes_out += text.len() as u64);
        self.write(Message::Text(text.into())).await
    }

    async fn write(&mut self, message: Message) -> bool {
        matches!(timeout(WRITE_TIMEOUT, self.stream.send(message)).await, Ok(Ok(())))
    }
}

impl Sockets {
    /// Hands a message to another socket's task, if it keeps up.
    fn pass(&self, to: u64, text: String, shared: &Shared) {
        let passed = crate::lock(&self.open).get(&to).is_some_and(|inbox| inbox.give(text));
        if !passed {
            count(shared, |seen| seen.fault(Fault::NobodyThere));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        crate::lock(&self.sockets.open).remove(&self.number);
        let mut of: HashMap<usize, Vec<InfoHash>> = HashMap::new();
        for &hash in &self.torrents {
            of.entry(super::queue::owner(&hash, self.shared.doors.len())).or_default().push(hash);
        }
        for (worker, hashes) in of {
            let ask = |hashes| Ask::SocketClosed { socket: self.number, hashes };
            if self.shared.doors[worker].ask(ask(hashes.clone())).is_err()
                && let Ok(runtime) = Handle::try_current()
            {
                runtime.spawn(closed(Arc::clone(&self.shared), worker, self.number, hashes));
            }
        }
    }
}

/// Tells a worker, who may be busy: until it hears it, whoever comes again is refused its peer id.
async fn closed(shared: Arc<Shared>, worker: usize, socket: u64, hashes: Vec<InfoHash>) {
    for _ in 0..CLOSE_RETRIES_MAX {
        sleep(CLOSE_RETRY).await;
        if shared.doors[worker].ask(Ask::SocketClosed { socket, hashes: hashes.clone() }).is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sockets_messages_are_read_in_a_burst_and_then_at_a_pace() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let mut read = 0;
        while pace.next() <= now {
            pace.on_message(now);
            read += 1;
        }
        assert_eq!(read, MESSAGES_BURST + 1);
        assert_eq!(pace.next(), now + MESSAGE_EVERY, "then one in this time");
        let later = now + Duration::from_secs(3600);
        pace.on_message(later);
        assert!(pace.next() <= later, "a pause gives the burst back, and no more");
        assert_eq!(pace.paid, later + MESSAGE_EVERY);
    }

    #[test]
    fn what_waits_for_a_socket_is_bounded_in_bytes() {
        let (sender, mut inbox) = mpsc::unbounded_channel();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let way = Inbox { sender, waiting_bytes };
        let long = "x".repeat(MESSAGE_BYTES_MAX - WAITING_OVERHEAD_BYTES);
        let taken = (0..10).filter(|_| way.give(long.clone())).count();
        assert_eq!(taken, 4);
        let mut short = 0;
        way.waiting_bytes.store(0, Ordering::Relaxed);
        while way.give("x".into()) {
            short += 1;
        }
        assert!(short > 64, "many short ones may wait: {short}");
        assert!(inbox.try_recv().is_ok());
    }
}
