//! The engine on tokio, for Python: a session whose threads never take the interpreter's lock. Calls give a token; the
//! answers and the news lie ready for `drain`, and a byte on a socket says so. Owns no rule of the engine.

mod answer;
mod bell;
mod calls;
pub(crate) mod log;
pub(crate) mod settings;
mod torrent;

use crate::given::{Int, Seconds, optional};
use crate::status_class::status;
use crate::values::{take_address, take_peers};
use crate::{errors, events, magnet, priorities};
use answer::{Answer, Fault};
use bell::{Bell, lock};
use calls::{Answered, Calls};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use log::Ring as _;
use millstream::{
    CommandFailed, Events, Follow, Followed, Rates, Selection, Session, SessionConfig, SessionEvent, Torrent,
    TorrentId,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

/// News taken in one go; the rest follows with the next call of the bell, so that the loop has its turn.
const NEWS_MAX: usize = 4096;

/// What can be awaited of an engine's thread.
type Given = Result<Answer, Fault>;

/// A session of the tokio driver.
#[pyclass(frozen, module = "millstream._millstream")]
pub(crate) struct NativeSession {
    process: u32,
    bell: Arc<Bell>,
    inner: Mutex<Inner>,
}

struct Inner {
    calls: Calls,
    /// Until it starts.
    config: Option<SessionConfig>,
    session: Option<Arc<Session>>,
    news: Option<Events<SessionEvent>>,
    /// Keys that are followed.
    follows: Vec<Follow>,
    /// Torrents have ids up to this one.
    last: u64,
    /// Sockets that were told of.
    sockets: u64,
}

/// What a drain takes with it.
struct Taken {
    answered: Vec<Answered>,
    news: Vec<SessionEvent>,
    followed: Vec<Followed>,
    dropped: u64,
    /// Sockets that were told of before.
    sockets: u64,
}

/// Answers, each a token with a value or an exception; news; lines for the log, each with its level.
type Drained<'py> = (Vec<Bound<'py, PyTuple>>, Vec<Bound<'py, PyAny>>, Vec<log::Line>);

#[pymethods]
impl NativeSession {
    /// A session with these settings, which `start` starts.
    #[new]
    #[pyo3(signature = (**settings: "Unpack[SessionSettings]"))]
    fn new(settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let config = settings::config(settings)?;
        let bell = Arc::new(Bell::new()?);
        log::listen(&bell);
        let calls = Calls::new(Arc::clone(&bell));
        let inner = Inner {
            calls,
            config: Some(config),
            session: None,
            news: None,
            follows: Vec::new(),
            last: 0,
            sockets: 0,
        };
        Ok(Self { process: process::id(), bell, inner: Mutex::new(inner) })
    }

    /// What becomes readable when `drain` has something to give.
    fn fileno(&self) -> i32 {
        self.bell.fd()
    }

    /// Binds the sockets and starts the threads.
    fn start(&self, py: Python<'_>) -> PyResult<u64> {
        self.own(py)?;
        let begun = py.detach(|| {
            let mut inner = lock(&self.inner);
            let config = inner.config.take()?;
            Some(inner.calls.begin(async move {
                let session = Session::start(config).await?;
                Ok(Answer::Started(Arc::new(session)))
            }))
        });
        begun.ok_or_else(|| errors::session_closed(py))
    }

    /// Ends all in good order within so many seconds.
    fn close(&self, py: Python<'_>, timeout: Seconds) -> PyResult<u64> {
        self.own(py)?;
        let mut inner = lock(&self.inner);
        inner.config = None;
        inner.follows.clear();
        let leaving = inner.session.take();
        if leaving.is_none() {
            // It hasn't started, or nobody waited until it had.
            inner.calls.clear();
        }
        Ok(inner.calls.begin(async move {
            if let Some(session) = leaving {
                // Held until all is told and kept: dropped before, it would end at once.
                session.shutdown(timeout.0).await;
            }
            Ok(Answer::Done)
        }))
    }

    /// Nobody waits for this call's answer any more.
    fn forget(&self, token: Int<u64>) {
        lock(&self.inner).calls.forget(token.0);
    }

    /// What lies ready: answers as tokens with values or exceptions, news, and lines for the log.
    #[pyo3(signature = () -> "tuple[list[tuple[int, Any]], list[Event], list[tuple[int, str]]]")]
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Drained<'py>> {
        self.own(py)?;
        let Taken { answered, news, followed, dropped, sockets } = py.detach(|| self.take());
        let mut answers = Vec::with_capacity(answered.len());
        for (token, answer) in answered {
            let shown = match answer {
                Ok(answer) => answer.show(py)?,
                Err(fault) => fault.raise(py).into_value(py).into_bound(py).into_any(),
            };
            answers.push((token, shown).into_pyobject(py)?);
        }
        let mut batch = Vec::with_capacity(news.len() + 1);
        if dropped > 0 {
            batch.push(events::lagged(py, dropped)?);
        }
        let mut local = sockets;
        for event in news {
            match event {
                SessionEvent::Torrent(id, event) => batch.push(events::torrent_event(py, id.0, event)?),
                SessionEvent::Listening(address) => {
                    batch.push(events::listening(py, local, address)?);
                    local += 1;
                }
                SessionEvent::Pool(change) => batch.push(events::pool_changed(py, change)?),
                SessionEvent::Lagged(count) => batch.push(events::lagged(py, count)?),
                SessionEvent::Stopped => batch.push(events::stopped(py)?),
                // The log has it, too.
                SessionEvent::Warning(message) => batch.push(events::session_warned(py, message)?),
            }
        }
        for followed in followed {
            batch.insert(0, events::followed(py, followed)?);
        }
        Ok((answers, batch, log::take()))
    }

    /// Where peers can reach us.
    #[pyo3(signature = () -> "tuple[Address, ...]")]
    fn listening<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let session = lock(&self.inner).session.clone();
        answer::addresses(py, session.map(|session| session.listening()).unwrap_or_default())
    }

    /// What was amiss when it started and didn't stop it.
    fn warnings(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.session(py)?.warnings())
    }

    /// Where resume data and the DHT's table are kept, if they are.
    #[pyo3(signature = () -> "Path | None")]
    fn state_folder(&self, py: Python<'_>) -> PyResult<Option<PathBuf>> {
        Ok(self.session(py)?.state_folder().map(Path::to_owned))
    }

    /// The addresses of a host. Behind a proxy they are stand-ins, good for this session alone.
    fn look_up(&self, py: Python<'_>, host: String, port: Int<u16>) -> PyResult<u64> {
        self.ask(py, |session| async move { Ok(Answer::Addresses(session.look_up(&host, port.0).await?)) })
    }

    /// Follows a key (BEP 46): `KeyFollowed` tells which torrent it names, and each that takes its place.
    fn follow(&self, py: Python<'_>, link: &str) -> PyResult<u64> {
        let link = magnet::key_link(py, link)?;
        self.ask(py, |session| async move { Ok(Answer::Following(session.follow(link).await?)) })
    }

    /// Follows it no more.
    fn unfollow(&self, py: Python<'_>, link: &str) -> PyResult<()> {
        let link = magnet::key_link(py, link)?;
        self.own(py)?;
        lock(&self.inner).follows.retain(|follow| *follow.link() != link);
        Ok(())
    }

    /// Fetches a torrent file.
    fn fetch(&self, py: Python<'_>, url: String) -> PyResult<u64> {
        self.ask(py, |session| async move { Ok(Answer::Fetched(session.fetch(&url).await?)) })
    }

    /// Takes on a torrent: a torrent file's bytes, or a magnet link.
    #[pyo3(signature = (source: "BytesLike | str", folder, **options: "Unpack[AddOptions]"))]
    fn add(
        &self,
        source: &Bound<'_, PyAny>,
        folder: String,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<u64> {
        let order = torrent::order(source, folder, options)?;
        self.ask(source.py(), |session| async move { Ok(Answer::Added(session.add(order).await?)) })
    }

    /// Begins to remove a torrent.
    fn remove(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.begin_remove().await })
    }

    /// Stops the transfer, keeps the torrent.
    fn pause(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.pause().await })
    }

    /// Goes on after a pause or a failure.
    fn resume(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.resume().await })
    }

    /// Checks all files again.
    fn recheck(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.recheck().await })
    }

    /// Chooses the files that are wanted; None is all.
    fn select(&self, py: Python<'_>, torrent: Int<u64>, files: Option<Vec<Int<u32>>>) -> PyResult<u64> {
        let selection = files
            .map_or(Selection::All, |files| Selection::Files(files.into_iter().map(|file| file.0).collect()));
        self.tell(py, torrent.0, |torrent| async move { torrent.select(selection).await })
    }

    /// How much files are wanted; those that aren't named stay as they are.
    #[pyo3(signature = (torrent, priorities: "dict[int, FilePriority]"))]
    fn set_priorities(&self, torrent: Int<u64>, priorities: &Bound<'_, PyAny>) -> PyResult<u64> {
        let given = priorities::take(priorities)?;
        self.tell(priorities.py(), torrent.0, |torrent| async move { torrent.set_priorities(given).await })
    }

    /// How much each file is wanted.
    fn priorities(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        let torrent = self.torrent(py, torrent.0)?;
        self.ask(py, |_| async move { Ok(Answer::Priorities(torrent.priorities().await)) })
    }

    /// Pieces in order rather than rarest first.
    fn set_sequential(&self, py: Python<'_>, torrent: Int<u64>, on: bool) -> PyResult<u64> {
        self.tell(py, torrent.0, move |torrent| async move { torrent.set_sequential(on).await })
    }

    /// These bytes are wanted within so many seconds.
    fn set_deadline(
        &self,
        py: Python<'_>,
        torrent: Int<u64>,
        span: (Int<u64>, Int<u64>),
        within: Seconds,
    ) -> PyResult<u64> {
        let (Int(start), Int(length)) = span;
        let within = within.0;
        self.tell(
            py,
            torrent.0,
            move |torrent| async move { torrent.set_deadline(start, length, within).await },
        )
    }

    /// Limits the rates of a torrent, or of the session.
    fn set_rates(
        &self,
        py: Python<'_>,
        torrent: Option<Int<u64>>,
        download: Option<Int<u64>>,
        upload: Option<Int<u64>>,
    ) -> PyResult<u64> {
        let rates = Rates { download: optional(download), upload: optional(upload) };
        match torrent {
            Some(id) => self.tell(py, id.0, move |torrent| async move { torrent.set_rates(rates).await }),
            None => self.ask(py, move |session| async move {
                session.set_rates(rates).await?;
                Ok(Answer::Done)
            }),
        }
    }

    /// Gives a torrent the addresses of peers.
    #[pyo3(signature = (torrent, peers: "Iterable[Address | str]"))]
    fn add_peers(&self, torrent: Int<u64>, peers: &Bound<'_, PyAny>) -> PyResult<u64> {
        let addresses = take_peers(peers)?;
        self.tell(peers.py(), torrent.0, |torrent| async move { torrent.add_peers(addresses).await })
    }

    /// A torrent's trackers from now on, in tiers (BEP 12).
    #[pyo3(signature = (torrent, tiers: "Sequence[Sequence[str]]"))]
    fn set_trackers(&self, py: Python<'_>, torrent: Int<u64>, tiers: Vec<Vec<String>>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.set_trackers(tiers).await })
    }

    /// Closes the links with a peer.
    #[pyo3(signature = (torrent, peer: "Address | str", *, ban = false))]
    fn disconnect(&self, torrent: Int<u64>, peer: &Bound<'_, PyAny>, ban: bool) -> PyResult<u64> {
        let address = take_address(peer)?;
        self.tell(peer.py(), torrent.0, move |torrent| async move {
            if ban { torrent.ban(address).await } else { torrent.disconnect(address).await }
        })
    }

    /// Gives a torrent web seeds (BEP 19), by their URLs.
    fn add_web_seeds(&self, py: Python<'_>, torrent: Int<u64>, urls: Vec<String>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.add_web_seeds(urls).await })
    }

    /// Announces now, as far as the trackers' minimum intervals allow.
    fn announce(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.announce().await })
    }

    /// Asks the current tracker how many are in the swarm (BEP 48).
    fn scrape(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.scrape().await })
    }

    /// Asks now whether there is a newer torrent (BEP 39).
    fn check_update(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.check_update().await })
    }

    /// Keeps the torrent's resume data now.
    fn save(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        self.tell(py, torrent.0, |torrent| async move { torrent.save().await })
    }

    /// Shows how a torrent is now: `status` after it is no older.
    fn refresh(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        let torrent = self.torrent(py, torrent.0)?;
        self.ask(py, |_| async move {
            torrent.status_now().await;
            Ok(Answer::Done)
        })
    }

    /// A torrent's connected peers.
    fn peers(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        let torrent = self.torrent(py, torrent.0)?;
        self.ask(py, |_| async move { Ok(Answer::Peers(torrent.peers().await)) })
    }

    /// A torrent's trackers.
    fn trackers(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        let torrent = self.torrent(py, torrent.0)?;
        self.ask(py, |_| async move { Ok(Answer::Trackers(torrent.trackers().await)) })
    }

    /// A torrent's web seeds.
    fn web_seeds(&self, py: Python<'_>, torrent: Int<u64>) -> PyResult<u64> {
        let torrent = self.torrent(py, torrent.0)?;
        self.ask(py, |_| async move { Ok(Answer::WebSeeds(torrent.web_seeds().await)) })
    }

    /// What is counted beside the torrents.
    fn statistics(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask(py, |session| async move { Ok(Answer::Statistics(Box::new(session.statistics().await?))) })
    }

    /// A torrent at a glance, as the engine's thread showed it last. Waits for nobody.
    #[pyo3(signature = (torrent) -> "Status")]
    fn status<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Bound<'py, PyAny>> {
        status(py, self.torrent(py, torrent.0)?.status())
    }

    /// A torrent's info dictionary, once it is known.
    fn info<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let info = self.torrent(py, torrent.0)?.info();
        Ok(info.map(|info| PyBytes::new(py, info.raw())))
    }

    /// Which pieces are verified and written, as a bitfield of the wire (BEP 3).
    fn verified<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.torrent(py, torrent.0)?.verified().to_bytes()))
    }
}

impl NativeSession {
    /// Refuses the calls of a process that was forked: the threads stayed with the other.
    fn own(&self, py: Python<'_>) -> PyResult<()> {
        if process::id() == self.process { Ok(()) } else { Err(errors::session_forked(py)) }
    }

    fn session(&self, py: Python<'_>) -> PyResult<Arc<Session>> {
        self.own(py)?;
        lock(&self.inner).session.clone().ok_or_else(|| errors::session_closed(py))
    }

    fn torrent(&self, py: Python<'_>, id: u64) -> PyResult<Torrent> {
        let session = self.session(py)?;
        session.torrent(TorrentId(id)).ok_or_else(|| {
            if (1..=lock(&self.inner).last).contains(&id) {
                errors::torrent_removed(py, id)
            } else {
                errors::no_torrent(py, id)
            }
        })
    }

    /// Begins what waits for the engine's thread; the call's token.
    fn ask<F: Future<Output = Given> + Send + 'static>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(Arc<Session>) -> F,
    ) -> PyResult<u64> {
        let session = self.session(py)?;
        Ok(lock(&self.inner).calls.begin(call(session)))
    }

    /// Begins a command to a torrent.
    fn tell<F: Future<Output = Result<(), CommandFailed>> + Send + 'static>(
        &self,
        py: Python<'_>,
        torrent: u64,
        command: impl FnOnce(Torrent) -> F,
    ) -> PyResult<u64> {
        let done = command(self.torrent(py, torrent)?);
        self.ask(py, |_| async move {
            done.await?;
            Ok(Answer::Done)
        })
    }

    /// Takes what lies ready. It runs without the interpreter.
    fn take(&self) -> Taken {
        self.bell.hear();
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let mut answered = inner.calls.take();
        for (_, answer) in &mut answered {
            match answer {
                Ok(Answer::Following(_)) => {
                    if let Ok(Answer::Following(follow)) = core::mem::replace(answer, Ok(Answer::Done)) {
                        inner.follows.push(follow);
                    }
                }
                Ok(Answer::Started(session)) => {
                    inner.news = Some(session.events());
                    inner.session = Some(Arc::clone(session));
                }
                Ok(Answer::Added(torrent)) => inner.last = inner.last.max(torrent.id().0),
                Ok(_) | Err(_) => {}
            }
        }
        let (news, dropped) = inner.news.as_mut().map(|news| take_news(news, &self.bell)).unwrap_or_default();
        let followed = take_followed(&mut inner.follows, &self.bell);
        let sockets = inner.sockets;
        inner.sockets +=
            news.iter().filter(|event| matches!(event, SessionEvent::Listening(_))).count() as u64;
        Taken { answered, news, followed, dropped, sockets }
    }
}

/// The news that are there, and how many were dropped. When all are taken, the next rings the bell.
fn take_news(news: &mut Events<SessionEvent>, bell: &Arc<Bell>) -> (Vec<SessionEvent>, u64) {
    let dropped = news.dropped();
    let batch = news.take(&Waker::from(Arc::clone(bell)), NEWS_MAX);
    if batch.len() == NEWS_MAX {
        bell.ring();
    }
    (batch, dropped)
}

/// Which torrents the followed keys name that weren't told. The next rings the bell.
fn take_followed(follows: &mut [Follow], bell: &Arc<Bell>) -> Vec<Followed> {
    let waker = Waker::from(Arc::clone(bell));
    let mut cx = Context::from_waker(&waker);
    let mut all = Vec::new();
    for follow in follows {
        while let Poll::Ready(Some(followed)) = pin!(follow.next()).poll(&mut cx) {
            all.push(followed);
        }
    }
    all
}

impl Drop for NativeSession {
    fn drop(&mut self) {
        if process::id() != self.process {
            // What was forked away from its threads may hold locks that nobody opens, and what calls and readers say
            // as they go would be heard by the other process, whose wakers have the same sockets.
            let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
            let calls = core::mem::replace(&mut inner.calls, Calls::new(Arc::clone(&self.bell)));
            core::mem::forget((calls, inner.session.take(), inner.news.take()));
        }
    }
}
