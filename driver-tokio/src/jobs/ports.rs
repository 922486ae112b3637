//! Questions to the router, on a thread of their own that begins with the first: an answer may take many seconds, and
//! the disk's threads are few. It owns when they are asked; how is `router`'s.

use crate::lock;
use crate::pool::{Answers, failed};
use crate::router::{PortWish, Router};
use millstream_core::base::JobId;
use millstream_core::engine::{HostErrorKind, Outcome};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The router and who asks it.
pub(super) struct Ports {
    router: Arc<Router>,
    answers: Arc<Answers>,
    /// The thread's ear, once there is a thread. It ends when this is dropped.
    asks: Mutex<Option<mpsc::UnboundedSender<Ask>>>,
}

/// What the thread hears.
enum Ask {
    Map(JobId, PortWish),
    Cancel(JobId),
}

impl Ports {
    pub(super) fn new(router: Router, answers: Arc<Answers>) -> Self {
        Self { router: Arc::new(router), answers, asks: Mutex::default() }
    }

    /// Begins to ask.
    pub(super) fn map(&self, job: JobId, wish: PortWish) {
        let mut asks = lock(&self.asks);
        let told = match &*asks {
            Some(asks) => asks.send(Ask::Map(job, wish)).map_err(io::Error::other),
            None => self.start().and_then(|begun| {
                let told = begun.send(Ask::Map(job, wish)).map_err(io::Error::other);
                *asks = Some(begun);
                told
            }),
        };
        if let Err(error) = told {
            self.answers.put(job, failed(HostErrorKind::Other, &format!("nobody asks the router: {error}")));
        }
    }

    /// Answers a question that is being asked; others are none of its own.
    pub(super) fn cancel(&self, job: JobId) {
        if let Some(asks) = &*lock(&self.asks) {
            // A thread that is gone owes nothing.
            let _ = asks.send(Ask::Cancel(job));
        }
    }

    fn start(&self) -> io::Result<mpsc::UnboundedSender<Ask>> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (asks, heard) = mpsc::unbounded_channel();
        let (router, answers) = (Arc::clone(&self.router), Arc::clone(&self.answers));
        thread::Builder::new()
            .name("millstream-router".to_owned())
            .spawn(move || runtime.block_on(serve(heard, &router, &answers)))?;
        Ok(asks)
    }
}

/// Asks side by side, until nobody can want anything any more.
async fn serve(mut heard: mpsc::UnboundedReceiver<Ask>, router: &Arc<Router>, answers: &Arc<Answers>) {
    let mut asking: BTreeMap<JobId, AbortHandle> = BTreeMap::new();
    while let Some(ask) = heard.recv().await {
        asking.retain(|_, task| !task.is_finished());
        match ask {
            Ask::Map(job, wish) => {
                let (router, answers) = (Arc::clone(router), Arc::clone(answers));
                let task = tokio::spawn(async move { answers.put(job, router.answer(wish).await) });
                asking.insert(job, task.abort_handle());
            }
            // On this one thread, what isn't finished has left no answer.
            Ask::Cancel(job) => {
                if let Some(task) = asking.remove(&job) {
                    task.abort();
                    answers.put(job, Outcome::Cancelled);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use core::task::Waker;
    use core::time::Duration;
    use millstream_core::engine::PortProtocol;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Wake;

    struct Told(Mutex<Sender<()>>);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            // The test may be over.
            let _ = lock(&self.0).send(());
        }
    }

    fn ports() -> (Ports, Arc<Answers>, Receiver<()>) {
        let answers = Arc::new(Answers::default());
        let (ring, rung) = channel();
        answers.set_bell(&Waker::from(Arc::new(Told(Mutex::new(ring)))));
        // Nobody answers there, and so for seconds.
        let router = Router::new(Some(Ipv4Addr::new(127, 9, 9, 9)));
        (Ports::new(router, Arc::clone(&answers)), answers, rung)
    }

    fn wish(lease: u64) -> PortWish {
        let lease = Duration::from_secs(lease);
        PortWish { protocol: PortProtocol::Udp, internal: 6881, external: 6881, lease }
    }

    #[test]
    fn a_question_that_is_cancelled_is_answered_once_and_others_go_on() {
        let (ports, answers, rung) = ports();
        ports.map(JobId(1), wish(60));
        ports.cancel(JobId(1));
        ports.cancel(JobId(1));
        // What was never given is given back at once.
        ports.map(JobId(2), wish(0));
        let mut all = Vec::new();
        while all.len() < 2 {
            rung.recv_timeout(Duration::from_secs(20)).unwrap();
            answers.take(&mut all);
        }
        assert_eq!(all[0], (JobId(1), Outcome::Cancelled));
        assert!(matches!(all[1], (JobId(2), Outcome::Mapped { lease: Duration::ZERO, .. })), "{all:?}");
        ports.cancel(JobId(2));
        drop(ports);
        // The thread ends with its ear, and what it said last lies here.
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while Arc::strong_count(&answers) > 1 {
            assert!(std::time::Instant::now() < until);
            thread::yield_now();
        }
        answers.take(&mut all);
        assert_eq!(all.len(), 2);
    }
}
