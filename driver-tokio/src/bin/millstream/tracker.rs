//! The demo's tracker: the library's, behind the smallest HTTP server that will do, on loopback.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream::core::base;
use millstream::core::tracker::{Tracker, TrackerConfig, http};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A longer request is none. Bytes.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// A request that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tracker on loopback, as long as it is kept.
pub(crate) struct DemoTracker {
    address: SocketAddr,
    tracker: Arc<Mutex<Tracker>>,
    server: tokio::task::JoinHandle<()>,
}

impl DemoTracker {
    /// Starts it on a free port.
    pub(crate) async fn start(seed: [u8; 32]) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // Soon again, so that whoever came too early hears of the others.
        let config = TrackerConfig { interval_s: 5, min_interval_s: 1, ..TrackerConfig::default() };
        let tracker = Arc::new(Mutex::new(Tracker::new(config, seed)));
        let server = tokio::spawn(serve(listener, Arc::clone(&tracker)));
        Ok(Self { address, tracker, server })
    }

    /// Where to announce.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    /// How many seeds have announced.
    pub(crate) fn seeds(&self) -> usize {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner).statistics().seeds
    }
}

impl Drop for DemoTracker {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, tracker: Arc<Mutex<Tracker>>) {
    let epoch = Instant::now();
    while let Ok((stream, from)) = listener.accept().await {
        let tracker = Arc::clone(&tracker);
        tokio::spawn(async move {
            let now = base::Instant::from_micros(epoch.elapsed().as_micros() as u64);
            // Who hangs up gets no answer.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, from, now, &tracker)).await;
        });
    }
}

/// One request, one answer.
async fn answer(
    mut stream: TcpStream,
    from: SocketAddr,
    now: base::Instant,
    tracker: &Mutex<Tracker>,
) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let mut words = request.split(|&b| b == b' ');
    let (Some(b"GET"), Some(target)) = (words.next(), words.next()) else { return Ok(()) };
    let answer = http::answer(now, &mut tracker.lock().unwrap_or_else(PoisonError::into_inner), target, from);
    let status = if answer.status == 200 { "200 OK" } else { "404 Not Found" };
    let (kind, length) = (answer.content_type, answer.body.len());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&answer.body).await?;
    stream.shutdown().await
}
