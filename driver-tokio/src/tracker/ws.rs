//! The tracker over WebSockets: a task a socket, bounded messages both ways, and the table of who is there. What is said
//! goes to the worker that has the torrent; what comes back is handed to whoever it is for.

use super::guests::{Guest, Guests};
use super::http::accept;
use super::queue::{Ask, Shared};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use futures_util::{SinkExt as _, StreamExt as _};
use millstream_core::tracker::{Fault, ProtocolStatistics, signal};
use millstream_core::wire::InfoHash;
use millstream_core::wire::tracker_ws::{
    MESSAGE_BYTES_MAX, SignalReply, SignalRequest, read_request, write_reply,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
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
/// Others' messages that may wait for one socket; more are dropped.
const WAITING_MAX: usize = 64;
/// Torrents that one socket may announce.
const TORRENTS_MAX: usize = 1000;

/// Who is there.
#[derive(Default)]
pub(super) struct Sockets {
    next: AtomicU64,
    open: Mutex<HashMap<u64, mpsc::Sender<String>>>,
}

/// Serves until it is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    guests: Arc<Guests>,
) {
    loop {
        let Some((stream, _, guest)) = accept(&listener, &guests).await else { continue };
        tokio::spawn(upgrade(stream, Arc::clone(&shared), Arc::clone(&sockets), guest));
    }
}

async fn upgrade(stream: TcpStream, shared: Arc<Shared>, sockets: Arc<Sockets>, guest: Guest) {
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
    let (sender, inbox) = mpsc::channel(WAITING_MAX);
    let number = sockets.next.fetch_add(1, Ordering::Relaxed);
    crate::lock(&sockets.open).insert(number, sender);
    let mut socket = Socket { number, stream, shared, sockets, torrents: BTreeSet::new() };
    socket.run(inbox).await;
    drop(guest);
}

fn count(shared: &Shared, change: impl FnOnce(&mut ProtocolStatistics)) {
    change(&mut crate::lock(&shared.front)[1]);
}

struct Socket {
    number: u64,
    stream: WebSocketStream<TcpStream>,
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    /// What it announced and didn't stop.
    torrents: BTreeSet<InfoHash>,
}

impl Socket {
    /// Until it closes.
    async fn run(&mut self, mut inbox: mpsc::Receiver<String>) {
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let on = tokio::select! {
                message = self.stream.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.on_text(&text).await,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => true,
                        // No client sends binary messages.
                        Some(Ok(Message::Binary(_) | Message::Close(_) | Message::Frame(_)) | Err(_)) | None => false,
                    }
                }
                Some(text) = inbox.recv() => self.send(text).await,
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
                if self.torrents.len() >= TORRENTS_MAX && !self.torrents.contains(&hash) {
                    let reason = "too many torrents over one socket".into();
                    return Some(vec![(self.number, SignalReply::Failed { info_hash: Some(hash), reason })]);
                }
                // Before it is asked: what the worker hears is undone at the end.
                self.torrents.insert(hash);
                let (answer, waits) = oneshot::channel();
                self.shared.door(&hash).ask(Ask::Signal { socket: self.number, announce, answer }).ok()?;
                waits.await.ok()
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
        let passed = crate::lock(&self.open).get(&to).is_some_and(|inbox| inbox.try_send(text).is_ok());
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
            // If it is too busy to hear it, the peers expire.
            let _ = self.shared.doors[worker].ask(Ask::SocketClosed { socket: self.number, hashes });
        }
    }
}
