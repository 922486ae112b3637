//! A body for an engine on somebody's event loop: disk and digests on threads that never take Python's lock, and the
//! engine's doors in batches, so that a turn of the loop crosses the border once. Sockets and clock are the loop's; which
//! of them may lead anywhere is said here (`ways`).

mod settle;

use crate::engine::Engine;
use crate::native::log::{self, Ring};
use crate::outgoing;
use crate::values::{address, moment, seconds, take_address};
use crate::ways::Ways;
use crate::{effects, errors, events, native, options};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::Waker;
use core::time::Duration;
use millstream::jobs::{self, Jobs, Kept, Reach};
use millstream::{SessionConfig, StartError};
use millstream_core::base::{Chunk, ConnId, LocalId, Pool, TorrentId};
use millstream_core::engine::{self as doors, Allocation, Command, Datagrams, DhtCommand, Input, UtpUse};
use millstream_core::wire::socks5::read_udp;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

/// Sizes of the buffers that what links bring is copied into; unused ones are kept.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// Bytes of unused buffers of one size that are kept.
const KEEP_BYTES: usize = 8 << 20;

/// An engine with disk, digests and a bell. The engine's other doors stay as they are.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Body {
    engine: Py<Engine>,
    settings: SessionConfig,
    reach: Arc<Reach>,
    /// Whether neighbours are sought.
    lsd: bool,
    jobs: Jobs,
    bell: Mutex<Option<UnixStream>>,
    kept: Option<Kept>,
    /// Where the resume data of each torrent lies.
    places: Mutex<BTreeMap<TorrentId, PathBuf>>,
    buffers: Vec<Pool>,
}

/// Wakes an event loop by a byte.
struct Bell(UnixStream);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl Ring for Bell {
    fn ring(&self) {
        // A full socket has bytes that nobody read yet: it rings already.
        let _ = (&self.0).write(&[1]);
    }
}

/// What a turn leaves for the loop: effects that are its own, the latest interest of each link, news, and when
/// `turn` is due again, in seconds.
type Turn<'py> = (Bound<'py, PyList>, Vec<(u64, u64, bool)>, Bound<'py, PyList>, Option<f64>);

/// Where to listen, how many following ports are tried, and what for.
type Listen = (Vec<(String, u16)>, u16, &'static str);

#[pymethods]
impl Body {
    /// An engine and its body, with the settings of a session.
    #[new]
    #[pyo3(signature = (now, **settings: "Unpack[SessionSettings]"))]
    fn new(py: Python<'_>, now: f64, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let now = moment(py, now)?;
        let settings = native::settings::config(settings)?;
        let failed = |error: StartError| errors::start(py, &error);
        let reach = Reach::new(&settings).map_err(failed)?;
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let bell = Arc::new(Bell(ours));
        log::listen(&bell);
        let bell = Waker::from(bell);
        let jobs = Jobs::start(settings.pool_threads, settings.open_files_max, settings.router, &bell)?;
        let (config, seed) = jobs::engine_settings(&settings, &reach, jobs.threads()).map_err(failed)?;
        let lsd = config.lsd;
        let engine = Engine::holding(doors::Engine::new(config, seed, now), now);
        Ok(Self {
            engine: Py::new(py, engine)?,
            reach: Arc::new(reach),
            lsd,
            jobs,
            bell: Mutex::new(Some(theirs)),
            kept: if settings.keep_resume { Kept::new(settings.state_folder.clone()) } else { None },
            settings,
            places: Mutex::default(),
            buffers: SIZES.map(|size| Pool::new(size, (KEEP_BYTES / size).min(64))).into(),
        })
    }

    /// The engine, for its other doors.
    #[getter]
    fn engine(&self, py: Python<'_>) -> Py<Engine> {
        self.engine.clone_ref(py)
    }

    /// The ways out.
    #[getter]
    fn ways(&self) -> Ways {
        Ways(Arc::clone(&self.reach))
    }

    /// Where to listen, how many following ports are tried where one is taken, and what for: "links" and datagrams,
    /// "held" where the port is taken and no link is (so that callers try uTP at once), "datagrams" alone where nobody is
    /// to reach us, or "nothing" where all goes through a proxy. Raises StartError.
    #[getter]
    // stub: tuple[list[Address], int, Literal["links", "held", "datagrams", "nothing"]]
    fn listen(&self, py: Python<'_>) -> PyResult<Listen> {
        let tries = self.settings.listen_tries_max;
        if self.reach.proxy().is_some() {
            return Ok((Vec::new(), tries, "nothing"));
        }
        let any = [(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
        let spread = |wanted: &[SocketAddr]| {
            let found = self.reach.spread(wanted);
            found.map_err(|error| errors::start(py, &StartError::Bind(error)))
        };
        let wanted = spread(&self.settings.listen)?;
        let (wanted, what) = match self.settings.engine.utp {
            _ if wanted.is_empty() => (spread(&any)?, "datagrams"),
            UtpUse::Only => (wanted, "held"),
            UtpUse::On | UtpUse::Off => (wanted, "links"),
        };
        Ok((wanted.into_iter().map(address).collect(), tries, what))
    }

    /// Whether neighbours are sought, and whether there is a node of the DHT.
    #[getter]
    fn seeks(&self) -> (bool, bool) {
        (self.lsd, self.settings.engine.dht)
    }

    /// Where resume data and the DHT's table are kept, if they are.
    #[getter]
    // stub: Path | None
    fn state_folder(&self) -> Option<PathBuf> {
        self.kept.as_ref().and_then(|kept| kept.dht_table().parent().map(Path::to_owned))
    }

    /// The bounds of a torrent file that is fetched: bytes, and seconds.
    #[getter]
    fn fetches(&self) -> (usize, f64) {
        (self.settings.torrent_file_bytes_max, self.settings.fetch_timeout.as_secs_f64())
    }

    /// How space is set aside for torrents that don't say.
    #[getter]
    // stub: Allocation
    fn allocation(&self) -> &'static str {
        match self.settings.allocation {
            Allocation::Sparse => "sparse",
            Allocation::Full => "full",
            Allocation::None => "none",
        }
    }

    /// Reads the filter list that the settings name, if any, and has the engine heed it. It blocks. Gives what is to be
    /// warned of; raises StartError.
    fn load_filter(&self, py: Python<'_>, now: f64) -> PyResult<Option<String>> {
        let Some(path) = &self.settings.ip_filter else { return Ok(None) };
        let (filter, warning) = py
            .detach(|| jobs::read_filter(path))
            .map_err(|error| errors::start(py, &StartError::Filter { path: path.clone(), error }))?;
        let command = Command::IpFilter(Some(Arc::new(filter)));
        // An engine that was just made takes it.
        let _ = self.engine.get().with(py, now, |inner, now| inner.engine.command(now, command))?;
        Ok(warning)
    }

    /// The socket that becomes readable when `turn` is due for an answer, as a file descriptor of the caller's from now
    /// on. Once: then it is None.
    fn bell(&self) -> Option<i32> {
        lock(&self.bell).take().map(IntoRawFd::into_raw_fd)
    }

    /// Takes in answers and what is due, and all that the engine asks for. Its jobs of disk and digests are begun. Gives
    /// (effects for the loop, (link, read_until, write) of links, events, when it is due again).
    #[pyo3(signature = (now) -> "tuple[list[Effect], list[tuple[int, int, bool]], list[Event], float | None]")]
    fn turn<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Turn<'py>> {
        let taken = self.engine.get().with(py, now, |inner, now| self.settle(inner, now))?;
        let effects: Vec<_> =
            taken.effects.into_iter().map(|it| effects::effect(py, it)).collect::<PyResult<_>>()?;
        let news: Vec<_> = taken.news.into_iter().map(|it| events::event(py, it)).collect::<PyResult<_>>()?;
        let interests =
            taken.interests.into_iter().map(|(conn, (until, write))| (conn.0, until, write)).collect();
        Ok((PyList::new(py, effects)?, interests, PyList::new(py, news)?, taken.due.map(seconds)))
    }

    /// Bytes came on a link. They are copied once, into memory that is used again.
    #[pyo3(signature = (now, conn, data: "BytesLike"))]
    fn received(&self, now: f64, conn: u64, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        let buffer = PyBuffer::<u8>::get(data)?;
        let count = buffer.item_count();
        let chunk = match self.buffers.iter().find(|pool| (count..=count * 2).contains(&pool.size())) {
            Some(pool) => {
                let mut chunk = pool.take();
                buffer.copy_to_slice(py, chunk.bytes_mut().get_mut(..count).unwrap_or_default())?;
                chunk.freeze(count)
            }
            None => Chunk::from(buffer.to_vec(py)?),
        };
        let input = Input::Received { conn: ConnId(conn), data: chunk };
        self.engine.get().with(py, now, |inner, now| inner.engine.handle_input(now, input))
    }

    /// `wrote` bytes of a link went out; at most about `max` more are for it, whole and in order, or None. What is stored
    /// is read here and now.
    #[expect(clippy::too_many_arguments, reason = "as many as it takes, in Python")]
    fn transmit<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        conn: u64,
        wrote: u64,
        max: usize,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let conn = ConnId(conn);
        let transmit = self.engine.get().with(py, now, |inner, now| {
            if wrote > 0 {
                inner.engine.handle_input(now, Input::Wrote { conn, bytes: wrote });
            }
            inner.engine.poll_transmit(now, conn, max)
        })?;
        let Some(transmit) = transmit else { return Ok(None) };
        PyBytes::new_with(py, transmit.len, |into| {
            outgoing::fill(&self.jobs, &transmit.segments, into).map_err(PyErr::from)
        })
        .map(Some)
    }

    /// Datagrams that came on a socket, each its bytes and its source. Those from no IP address are passed over.
    #[pyo3(signature = (now, local, came: "list[tuple[bytes, Address]]"))]
    fn datagrams(&self, now: f64, local: u64, came: &Bound<'_, PyList>) -> PyResult<()> {
        let py = came.py();
        let mut inputs = Vec::with_capacity(came.len());
        for one in came {
            let (data, from): (Bound<'_, PyBytes>, Bound<'_, PyAny>) = one.extract()?;
            let Ok(from) = take_address(&from) else { continue };
            let data = Chunk::copy_from(data.as_bytes());
            let stride = u16::try_from(data.len()).unwrap_or(u16::MAX);
            inputs.push(Input::Datagrams { local: LocalId(local), from, to: None, data, stride });
        }
        self.engine.get().with(py, now, |inner, now| {
            inputs.into_iter().for_each(|input| inner.engine.handle_input(now, input));
        })
    }

    /// Datagrams to send from a socket, one by one: (bytes, address, whether it may not be cut into fragments). About
    /// `max` bytes of them; none if there are none.
    #[pyo3(signature = (now, local, max) -> "list[tuple[memoryview, Address, bool]]")]
    fn outgoing<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        local: u64,
        max: usize,
    ) -> PyResult<Vec<outgoing::Datagram<'py>>> {
        let runs = self.runs(py, now, local, max)?;
        outgoing::split(py, runs)
    }

    /// Through the proxy's relay from now on, whose socket this is.
    #[pyo3(signature = (now, local, addr: "Address"))]
    fn relay_bound(&self, py: Python<'_>, now: f64, local: u64, addr: &Bound<'_, PyAny>) -> PyResult<()> {
        let addr = take_address(addr)?;
        let Some(kind) = self.reach.relay() else { return Ok(()) };
        let input = Input::Bound { local: LocalId(local), addr, kind };
        self.engine.get().input(py, now, input)
    }

    /// Datagrams that came from the relay, as it packs them. What isn't packed so is passed over.
    fn relayed(&self, py: Python<'_>, now: f64, local: u64, came: Vec<Bound<'_, PyBytes>>) -> PyResult<()> {
        let inputs: Vec<_> = came
            .iter()
            .filter_map(|packed| {
                let (from, payload) = read_udp(packed.as_bytes())?;
                let (from, data) = (self.reach.stand_in(&from), Chunk::copy_from(payload));
                let stride = u16::try_from(payload.len()).unwrap_or(u16::MAX);
                Some(Input::Datagrams { local: LocalId(local), from, to: None, data, stride })
            })
            .collect();
        self.engine.get().with(py, now, |inner, now| {
            inputs.into_iter().for_each(|input| inner.engine.handle_input(now, input));
        })
    }

    /// As `outgoing`, packed for the relay: (bytes, address, bytes of what is packed). One whose name was forgotten has
    /// nowhere to go: the engine is told.
    #[pyo3(signature = (now, local, max) -> "list[tuple[bytes, Address, int]]")]
    fn relaying<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        local: u64,
        max: usize,
    ) -> PyResult<Vec<outgoing::Packed<'py>>> {
        let runs = self.runs(py, now, local, max)?;
        let (packed, lost) = outgoing::pack(py, &self.reach, &runs);
        self.engine.get().with(py, now, |inner, now| {
            for to in lost {
                let refused = Input::DatagramRefused { local: LocalId(local), to, bytes: None };
                inner.engine.handle_input(now, refused);
            }
        })?;
        Ok(packed)
    }

    /// A datagram couldn't be sent: how large it was, if that was the reason.
    #[pyo3(signature = (now, local, to: "Address", bytes=None))]
    fn datagram_refused(
        &self,
        now: f64,
        local: u64,
        to: &Bound<'_, PyAny>,
        bytes: Option<usize>,
    ) -> PyResult<()> {
        let input = Input::DatagramRefused { local: LocalId(local), to: take_address(to)?, bytes };
        self.engine.get().with(to.py(), now, |inner, now| inner.engine.handle_input(now, input))
    }

    /// Where the resume data of a torrent in a folder lies, if any is kept. `source` is a Metainfo or a Magnet.
    #[pyo3(signature = (source: "Metainfo | Magnet", folder) -> "Path | None")]
    fn place(&self, source: &Bound<'_, PyAny>, folder: PathBuf) -> PyResult<Option<PathBuf>> {
        let source = options::source(source)?;
        Ok(self.kept.as_ref().and_then(|kept| kept.place(&source, &folder)))
    }

    /// Gives the DHT's node the table that was kept, if there is one. One that is of no use is set aside: then, what is to
    /// be warned of. It blocks.
    fn restore_dht(&self, py: Python<'_>, now: f64) -> PyResult<Option<String>> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let why = match py.detach(|| kept.load_dht_table()) {
            Ok(None) => return Ok(None),
            Ok(Some(table)) => {
                let restore = Command::Dht(Box::new(DhtCommand::Restore(table)));
                let done =
                    self.engine.get().with(py, now, |inner, now| inner.engine.command(now, restore))?;
                let Err(error) = done else { return Ok(None) };
                error.to_string()
            }
            Err(error) => error.to_string(),
        };
        Ok(Some(py.detach(|| kept.set_dht_table_aside(&why))))
    }

    /// Lines for the log that wait, each with its level as Python counts them.
    #[staticmethod]
    #[pyo3(signature = () -> "list[tuple[int, str]]")]
    fn log() -> Vec<log::Line> {
        log::take()
    }

    /// The addresses to announce from to neighbours (BEP 14), each with the number of its interface.
    fn places(&self, v4: bool, listening: Vec<String>) -> Vec<(String, u32)> {
        let listening: Vec<IpAddr> = listening.iter().filter_map(|ip| ip.parse().ok()).collect();
        self.reach.places(v4, &listening).into_iter().map(|(ip, index)| (ip.to_string(), index)).collect()
    }

    /// Waits until all is kept that was to be, or so many milliseconds; other threads go on meanwhile.
    fn flush(&self, py: Python<'_>, timeout_ms: u64) -> bool {
        py.detach(|| self.jobs.wait_kept(Duration::from_millis(timeout_ms)))
    }

    /// The resume data that was kept at a place. It blocks; other threads go on meanwhile.
    #[staticmethod]
    fn load(py: Python<'_>, place: PathBuf) -> Option<Bound<'_, PyBytes>> {
        let data = py.detach(|| Kept::load(Path::new(&place)))?;
        Some(PyBytes::new(py, &data))
    }

    /// A torrent's resume data goes there from now on.
    fn keep(&self, torrent: u64, place: PathBuf) {
        lock(&self.places).insert(TorrentId(torrent), place);
    }
}

impl Body {
    /// What is to be sent from a socket: about `max` bytes.
    fn runs(&self, py: Python<'_>, now: f64, local: u64, max: usize) -> PyResult<Vec<Datagrams>> {
        let mut runs = Vec::new();
        self.engine.get().with(py, now, |inner, now| {
            let mut bytes = 0;
            while bytes < max {
                let Some(run) = inner.engine.poll_datagrams(now, LocalId(local), max - bytes) else { break };
                bytes += run.data.len().max(1);
                runs.push(run);
            }
        })?;
        Ok(runs)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
