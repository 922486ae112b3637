//! How a worker is asked from another thread: bounded queues with a bell, and what may be asked. Not who asks.

use super::batch::Way;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use millstream_core::base;
use millstream_core::tracker::{ProtocolStatistics, Rules, TrackerStatistics, signal};
use millstream_core::wire::InfoHash;
use millstream_core::wire::tracker::{AnnounceQuery, SwarmCounts};
use millstream_core::wire::tracker_http_server::HttpAnnounce;
use millstream_core::wire::tracker_udp::TransactionId;
use millstream_core::wire::tracker_ws::{SignalAnnounce, SignalAnswer};
use mio::Waker;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::oneshot;

/// Questions that may wait for one worker; more are not answered.
pub(super) const QUEUE_MAX: usize = 8192;

/// A question. Who doesn't wait for the answer any more doesn't get it.
pub(super) enum Ask {
    /// A datagram that came to another worker.
    UdpAnnounce {
        socket: usize,
        transaction: TransactionId,
        query: Box<AnnounceQuery>,
        way: Way,
    },
    /// A part of one.
    UdpScrape {
        gather: Arc<Gather>,
        hashes: Vec<(usize, InfoHash)>,
    },
    HttpAnnounce {
        asked: Box<HttpAnnounce>,
        source: SocketAddr,
        answer: oneshot::Sender<Vec<u8>>,
    },
    Scrape {
        hashes: Vec<InfoHash>,
        answer: oneshot::Sender<Vec<(InfoHash, SwarmCounts)>>,
    },
    Signal {
        socket: u64,
        source: IpAddr,
        announce: Box<SignalAnnounce>,
        answer: oneshot::Sender<Vec<signal::Outgoing>>,
    },
    SignalAnswer {
        socket: u64,
        said: Box<SignalAnswer>,
        answer: oneshot::Sender<Option<signal::Outgoing>>,
    },
    SocketClosed {
        socket: u64,
        hashes: Vec<InfoHash>,
    },
    Statistics {
        answer: oneshot::Sender<TrackerStatistics>,
    },
    Save {
        from: u32,
        answer: oneshot::Sender<(Vec<u8>, Option<u32>)>,
    },
    Rules {
        rules: Arc<Rules>,
        answer: oneshot::Sender<()>,
    },
    Stop,
}

/// A scrape over UDP whose torrents are several workers'; who is last answers.
pub(super) struct Gather {
    pub(super) socket: usize,
    pub(super) transaction: TransactionId,
    pub(super) way: Way,
    /// What is known so far, and how many are not.
    pub(super) counts: Mutex<(Vec<SwarmCounts>, usize)>,
}

/// The way to a worker.
pub(super) struct Door {
    asks: SyncSender<Ask>,
    waker: Waker,
    /// Whether it looks at its queue again before it sleeps.
    awake: AtomicBool,
}

/// The worker has more to do than it can.
#[derive(Debug)]
pub(super) struct Busy;

impl Door {
    pub(super) fn new(asks: SyncSender<Ask>, waker: Waker) -> Self {
        Self { asks, waker, awake: AtomicBool::new(false) }
    }

    /// Asks.
    pub(super) fn ask(&self, ask: Ask) -> Result<(), Busy> {
        match self.asks.try_send(ask) {
            Ok(()) => self.ring(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(Busy),
        }
        Ok(())
    }

    /// Asks, and waits for a place in the queue.
    pub(super) fn insist(&self, ask: Ask) {
        if self.asks.send(ask).is_ok() {
            self.ring();
        }
    }

    fn ring(&self) {
        if !self.awake.swap(true, Ordering::SeqCst) {
            // A bell that can't be rung is one that rings already.
            let _ = self.waker.wake();
        }
    }

    /// The worker will sleep: whoever asks from now on rings.
    pub(super) fn sleeps(&self) {
        self.awake.store(false, Ordering::SeqCst);
    }

    /// It looks at its queue in any case.
    pub(super) fn wakes(&self) {
        self.awake.store(true, Ordering::SeqCst);
    }
}

/// What all threads of a tracker share.
pub(super) struct Shared {
    pub(super) doors: Vec<Door>,
    pub(super) epoch: Instant,
    /// What HTTP and WebSockets saw, in this order, before any worker was asked.
    pub(super) front: Mutex<[ProtocolStatistics; 2]>,
}

/// Which of so many workers has a torrent.
pub(super) fn owner(hash: &InfoHash, workers: usize) -> usize {
    usize::from(hash.0[0]) % workers
}

impl Shared {
    /// The tracker's time.
    pub(super) fn now(&self) -> base::Instant {
        base::Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The way to the worker that has a torrent.
    pub(super) fn door(&self, hash: &InfoHash) -> &Door {
        &self.doors[owner(hash, self.doors.len())]
    }

    /// Asks each worker about its own of these torrents; what is known, in no order. `None` if one is busy.
    pub(super) async fn scrape(&self, hashes: &[InfoHash]) -> Option<Vec<(InfoHash, SwarmCounts)>> {
        let mut waiting = Vec::new();
        for (worker, door) in self.doors.iter().enumerate() {
            let of = |hash: &&InfoHash| owner(hash, self.doors.len()) == worker;
            let hashes: Vec<InfoHash> = hashes.iter().filter(of).copied().collect();
            if !hashes.is_empty() {
                let (answer, waits) = oneshot::channel();
                door.ask(Ask::Scrape { hashes, answer }).ok()?;
                waiting.push(waits);
            }
        }
        let mut known = Vec::new();
        for waits in waiting {
            known.extend(waits.await.ok()?);
        }
        Some(known)
    }

    /// What each worker holds and has done; the first has what was seen before any was asked.
    pub(super) async fn statistics(&self) -> Vec<TrackerStatistics> {
        let mut waiting = Vec::new();
        for door in &self.doors {
            let (answer, waits) = oneshot::channel();
            let _ = door.ask(Ask::Statistics { answer });
            waiting.push(waits);
        }
        let mut all = Vec::new();
        for waits in waiting {
            all.push(waits.await.unwrap_or_default());
        }
        let front = *crate::lock(&self.front);
        if let Some(first) = all.first_mut() {
            *first.protocol_mut(millstream_core::tracker::Protocol::Http) += &front[0];
            *first.protocol_mut(millstream_core::tracker::Protocol::WebSocket) += &front[1];
        }
        all
    }
}
