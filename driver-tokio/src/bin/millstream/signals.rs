//! SIGINT and SIGTERM: the first asks for an end in good order, the second ends at once.

use crate::outcome::Trouble;
use core::future::poll_fn;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end us, from now on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen for them. Needs a reactor.
    pub(crate) fn new() -> Result<Self, Trouble> {
        let listen = |kind| {
            signal(kind).map_err(|error| Trouble::failed(format!("signals can't be received: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        poll_fn(|cx| {
            let came = self.interrupt.poll_recv(cx).is_ready() || self.terminate.poll_recv(cx).is_ready();
            if came { core::task::Poll::Ready(()) } else { core::task::Poll::Pending }
        })
        .await;
    }
}

/// Runs blocking work on a thread of its own, given up when a signal comes: it must leave nothing half done.
pub(crate) fn interruptible<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    crate::block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            done = tokio::task::spawn_blocking(work) => match done {
                Ok(done) => done,
                Err(_) => Err(Trouble::failed("a thread of its own ended too soon")),
            },
            () = signals.next() => Err(Trouble::Interrupted),
        }
    })
}
