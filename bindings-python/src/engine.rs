//! The doors, as Python calls them.

use crate::bytes::{lend, take};
use crate::given::{Int, optional};
use crate::ledger::Inner;
use crate::magnet::key_link;
use crate::outcomes::settle;
use crate::values::{address, moment, seconds, take_address, take_peers, tuple};
use crate::{effects, errors, events, options, priorities, snapshots, statistics, status_class};
use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::{Chunk, ConnId, JobId, LocalId, Segment, TorrentId};
use millstream_core::engine::{
    self as doors, Command, DhtCommand, DhtNews, Effect, Incoming, Input, LinkEnd, LinkInfo, Owed, Rates,
    Reply, Selection, SocketKind,
};
use millstream_core::wire::http::{ContentRange, HttpHead};
use millstream_core::wire::magnet::KeyLink;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use std::sync::Mutex;

/// The first and the last byte, and how many there are in all.
type Range = (Int<u64>, Int<u64>, Option<Int<u64>>);

/// Bytes that a transmit holds at most, unless told.
const TRANSMIT_BYTES: usize = 256 << 10;

/// A BitTorrent engine: a pure state machine. Moments are seconds (int or float) since whenever the driver likes, and
/// never go back; they count to the nearest microsecond.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Engine(pub(crate) Mutex<Inner>);

#[pymethods]
impl Engine {
    /// An engine with nothing to do. `seed` is all its chance, as secret as a key: 32 bytes, or a number below 2^256.
    #[new]
    #[pyo3(signature = (seed: "BytesLike | int", *, now = 0.0, **settings: "Unpack[Settings]"))]
    fn new(seed: &Bound<'_, PyAny>, now: f64, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let py = seed.py();
        let now = moment(py, now)?;
        Ok(Self::holding(doors::Engine::new(options::config(settings)?, options::seed(seed)?, now), now))
    }

    // ---- in: what happened outside

    /// A socket is bound; what is bound is announced. `kind` is "tcp", "udp" or "multicast" (BEP 14).
    #[pyo3(signature = (now, local, addr: "Address", kind: "Literal['tcp', 'udp', 'multicast']"))]
    fn bound(&self, now: f64, local: Int<u64>, addr: &Bound<'_, PyAny>, kind: &str) -> PyResult<()> {
        let kind = match kind {
            "tcp" => SocketKind::TcpListener,
            "udp" => SocketKind::Udp,
            "multicast" => SocketKind::Multicast,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "{kind:?} is no kind of socket; there are tcp, udp and multicast"
                )));
            }
        };
        self.input(addr.py(), now, Input::Bound { local: LocalId(local.0), addr: take_address(addr)?, kind })
    }

    /// A socket is gone.
    fn unbound(&self, py: Python<'_>, now: f64, local: Int<u64>) -> PyResult<()> {
        self.input(py, now, Input::Unbound { local: LocalId(local.0) })
    }

    /// A stranger opened a link to us. Gives the link's id; raises Refused.
    #[pyo3(signature = (now, local, to: "Address", remote: "Address"))]
    fn accept(
        &self,
        now: f64,
        local: Int<u64>,
        to: &Bound<'_, PyAny>,
        remote: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let py = to.py();
        let incoming =
            Incoming { local: LocalId(local.0), to: take_address(to)?, from: take_address(remote)? };
        let answer = self.with(py, now, |inner, now| inner.engine.accept(now, incoming))?;
        answer.map(|conn| conn.0).map_err(|refusal| errors::refused(py, refusal))
    }

    /// A link that `Connect` asked for is open: our end and the other.
    #[pyo3(signature = (now, conn, local: "Address", remote: "Address"))]
    fn opened(
        &self,
        now: f64,
        conn: Int<u64>,
        local: &Bound<'_, PyAny>,
        remote: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (local, remote_addr) = (take_address(local)?, take_address(remote)?);
        self.input(
            remote.py(),
            now,
            Input::Opened { conn: ConnId(conn.0), info: LinkInfo::between(local, remote_addr) },
        )
    }

    /// A web server's answer to `ConnectHttp` begins; its body follows by `handle_received`, then `closed`.
    #[pyo3(signature = (now, conn, status, *, length = None, range: "tuple[int, int, int | None] | None" = None,
        retry_after = None))]
    #[expect(clippy::too_many_arguments, reason = "keywords, in Python")]
    fn answered(
        &self,
        py: Python<'_>,
        now: f64,
        conn: Int<u64>,
        status: Int<u16>,
        length: Option<Int<u64>>,
        range: Option<Range>,
        retry_after: Option<Int<u64>>,
    ) -> PyResult<()> {
        let range = range.map(|(first, last, total)| ContentRange {
            first: first.0,
            last: last.0,
            total: optional(total),
        });
        let head = HttpHead {
            status: status.0,
            length: optional(length),
            range,
            retry_after: retry_after.map(|after| Duration::from_secs(after.0)),
        };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let info = LinkInfo { head: Some(Box::new(head)), ..LinkInfo::between(nowhere, nowhere) };
        self.input(py, now, Input::Opened { conn: ConnId(conn.0), info })
    }

    /// Bytes came on a link. They are copied once.
    #[pyo3(signature = (now, conn, data: "BytesLike"))]
    fn handle_received(&self, now: f64, conn: Int<u64>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let chunk = Chunk::from(take(data)?);
        self.input(data.py(), now, Input::Received { conn: ConnId(conn.0), data: chunk })
    }

    /// So many bytes of what `poll_transmit` gave went out.
    fn wrote(&self, py: Python<'_>, now: f64, conn: Int<u64>, count: Int<u64>) -> PyResult<()> {
        self.input(py, now, Input::Wrote { conn: ConnId(conn.0), bytes: count.0 })
    }

    /// A link ended, or couldn't be opened. `message` says what the host failed at, for who reads of a tracker's or a web
    /// seed's failure.
    #[pyo3(signature = (now, conn, why: "LinkEnd" = "finished", *, message = None))]
    #[expect(clippy::too_many_arguments, reason = "keywords, in Python")]
    fn closed(
        &self,
        py: Python<'_>,
        now: f64,
        conn: Int<u64>,
        why: &str,
        message: Option<String>,
    ) -> PyResult<()> {
        let why = match why {
            "finished" => LinkEnd::Finished,
            "reset" => LinkEnd::Reset,
            "refused" => LinkEnd::Refused,
            "timed_out" => LinkEnd::TimedOut,
            "unreachable" => LinkEnd::Unreachable,
            "no_room" => LinkEnd::NoRoom,
            "host" => LinkEnd::Host(message.unwrap_or_else(|| "the driver failed".to_owned())),
            _ => return Err(PyValueError::new_err(format!("{why:?} is no way for a link to end"))),
        };
        self.input(py, now, Input::Closed { conn: ConnId(conn.0), why })
    }

    /// Nothing of a link is left, after `Close`.
    fn drained(&self, py: Python<'_>, now: f64, conn: Int<u64>) -> PyResult<()> {
        let conn = ConnId(conn.0);
        let owed = self.with(py, now, |inner, now| {
            let owed = inner.closing.remove(&conn);
            if owed {
                inner.engine.handle_input(now, Input::Drained { conn });
            }
            owed
        })?;
        let none = || errors::driver(py, format!("no Close of link {} waits for drained", conn.0));
        owed.then_some(()).ok_or_else(none)
    }

    /// A datagram came on a socket.
    #[pyo3(signature = (now, local, addr: "Address", data: "BytesLike"))]
    fn handle_datagram(
        &self,
        now: f64,
        local: Int<u64>,
        addr: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (from, data) = (take_address(addr)?, Chunk::from(take(data)?));
        self.input(
            addr.py(),
            now,
            Input::Datagrams { local: LocalId(local.0), from, to: None, data, stride: 0 },
        )
    }

    /// The answer to a job: one, also after Cancel. Raises DriverError for one that doesn't fit; the job stays owed.
    #[pyo3(signature = (now, job, outcome: "Outcome"))]
    fn done(&self, now: f64, job: Int<u64>, outcome: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, job) = (outcome.py(), JobId(job.0));
        let owed = self.lock(py).owed.get(&job).copied();
        let none = || errors::driver(py, format!("no answer is owed for job {}", job.0));
        // no lock is held while Python's values are read: their attributes may be code
        let outcome = settle(owed.ok_or_else(none)?, outcome)?;
        let first = self.with(py, now, |inner, now| {
            let first = inner.owed.remove(&job).is_some();
            if first {
                inner.engine.handle_input(now, Input::Done { job, outcome });
            }
            first
        })?;
        first.then_some(()).ok_or_else(none)
    }

    /// Does what is due. Early and spurious calls do no harm.
    fn handle_timeout(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        self.with(py, now, |inner, now| inner.engine.handle_timeout(now))
    }

    // ---- out

    /// All that the driver is to do now, in order.
    #[pyo3(signature = () -> "list[Effect]")]
    fn poll_effects<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut taken = Vec::new();
        let mut inner = self.lock(py);
        while let Some(effect) = inner.engine.poll_effect() {
            match &effect {
                Effect::Job { job, work } => drop(inner.owed.insert(*job, Owed::of(work))),
                Effect::Close { conn, .. } => drop(inner.closing.insert(*conn)),
                Effect::Connect { .. }
                | Effect::Interest { .. }
                | Effect::DatagramsReady { .. }
                | Effect::Cancel { .. } => {}
            }
            taken.push(effect);
        }
        drop(inner);
        let values =
            taken.into_iter().map(|effect| effects::effect(py, effect)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, values)
    }

    /// All news since the last call.
    #[pyo3(signature = () -> "list[Event]")]
    fn poll_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut taken = Vec::new();
        let mut inner = self.lock(py);
        while let Some(event) = inner.engine.poll_event() {
            // No look-up is begun through these doors, and the table is a driver's that has a place for it.
            if !matches!(event, doors::Event::Dht(DhtNews::Lookup(_) | DhtNews::Table(_))) {
                taken.push(event);
            }
        }
        drop(inner);
        let values = taken.into_iter().map(|event| events::event(py, event)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, values)
    }

    /// Bytes to write to a link, whole and in order: memoryviews of the engine's memory, at most about `max` bytes;
    /// empty if there are none. What is handed out is committed. It may make effects: poll them afterwards.
    #[pyo3(signature = (now, conn, max = Int(TRANSMIT_BYTES)) -> "list[memoryview]")]
    fn poll_transmit<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        conn: Int<u64>,
        max: Int<usize>,
    ) -> PyResult<Bound<'py, PyList>> {
        let transmit =
            self.with(py, now, |inner, now| inner.engine.poll_transmit(now, ConnId(conn.0), max.0))?;
        let list = PyList::empty(py);
        for segment in transmit.into_iter().flat_map(|transmit| transmit.segments) {
            match segment {
                Segment::Bytes(chunk) => list.append(lend(py, chunk)?)?,
                // the engine hands out stored extents only after `Outcome::Stored`, which Python can't answer
                Segment::Stored(..) => return Err(errors::driver(py, "a stored segment".to_owned())),
            }
        }
        Ok(list)
    }

    /// Datagrams to send from a socket, or None.
    #[pyo3(signature = (now, local) -> "Datagrams | None")]
    fn poll_datagrams<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        local: Int<u64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let max = usize::from(u16::MAX);
        let datagrams =
            self.with(py, now, |inner, now| inner.engine.poll_datagrams(now, LocalId(local.0), max))?;
        let Some(it) = datagrams else { return Ok(None) };
        crate::values::make(py, "Datagrams", (address(it.to), lend(py, it.data)?, it.stride)).map(Some)
    }

    /// When `handle_timeout` is due, in seconds; None if nothing is.
    fn poll_timeout(&self, py: Python<'_>) -> Option<f64> {
        self.lock(py).engine.poll_timeout().map(seconds)
    }

    // ---- what the application wants

    /// Takes on a torrent: a torrent file's bytes, a magnet link, a Metainfo or a Magnet. Gives its id.
    #[pyo3(signature = (now, source: "BytesLike | str | Metainfo | Magnet", folder, **options: "Unpack[AddOptions]"))]
    fn add_torrent(
        &self,
        now: f64,
        source: &Bound<'_, PyAny>,
        folder: String,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<u64> {
        let add = options::add(source, folder, options)?;
        match self.command(source.py(), now, Command::Add(Box::new(add)))? {
            Reply::Added(id) => Ok(id.0),
            Reply::Done | Reply::Lookup(_) => {
                Err(errors::driver(source.py(), "the torrent got no id".to_owned()))
            }
        }
    }

    /// Leaves a torrent: announces, closes its links, keeps its files. `Removed` says when all is done.
    fn remove(&self, py: Python<'_>, now: f64, torrent: Int<u64>) -> PyResult<()> {
        self.tell(py, now, Command::Remove(TorrentId(torrent.0)))
    }

    /// Stops the transfer, keeps the torrent.
    fn pause(&self, py: Python<'_>, now: f64, torrent: Int<u64>) -> PyResult<()> {
        self.tell(py, now, Command::Pause(TorrentId(torrent.0)))
    }

    /// Goes on after a pause or a failure.
    fn resume(&self, py: Python<'_>, now: f64, torrent: Int<u64>) -> PyResult<()> {
        self.tell(py, now, Command::Resume(TorrentId(torrent.0)))
    }

    /// Checks all files again.
    fn recheck(&self, py: Python<'_>, now: f64, torrent: Int<u64>) -> PyResult<()> {
        self.tell(py, now, Command::Recheck(TorrentId(torrent.0)))
    }

    /// Which files are wanted, counted among real files; None is all.
    fn select(
        &self,
        py: Python<'_>,
        now: f64,
        torrent: Int<u64>,
        files: Option<Vec<Int<u32>>>,
    ) -> PyResult<()> {
        let selection = files
            .map_or(Selection::All, |files| Selection::Files(files.into_iter().map(|file| file.0).collect()));
        self.tell(py, now, Command::Select(TorrentId(torrent.0), selection))
    }

    /// How much files are wanted, counted likewise; those that aren't named stay as they are.
    #[pyo3(signature = (now, torrent, priorities: "dict[int, FilePriority]"))]
    fn set_priorities(&self, now: f64, torrent: Int<u64>, priorities: &Bound<'_, PyAny>) -> PyResult<()> {
        let given = priorities::take(priorities)?;
        self.tell(priorities.py(), now, Command::Priorities(TorrentId(torrent.0), given))
    }

    /// How much each file is wanted, None if it isn't; empty until the metadata is known.
    #[pyo3(signature = (torrent) -> "tuple[FilePriority | None, ...]")]
    fn priorities<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Bound<'py, PyTuple>> {
        let all = self.know(py, torrent.0, |engine, _| engine.priorities(TorrentId(torrent.0)))?;
        priorities::tell(py, &all)
    }

    /// Gives a torrent the addresses of peers.
    #[pyo3(signature = (now, torrent, peers: "Iterable[Address | str]"))]
    fn add_peers(&self, now: f64, torrent: Int<u64>, peers: &Bound<'_, PyAny>) -> PyResult<()> {
        self.tell(peers.py(), now, Command::Peers(TorrentId(torrent.0), take_peers(peers)?))
    }

    /// A torrent's trackers from now on, in tiers (BEP 12). Those that stay keep their state, those that go are told
    /// `stopped`, those that come are asked at once. Raises OptionError for more than may be, and for no tracker's URL.
    #[pyo3(signature = (now, torrent, tiers: "Sequence[Sequence[str]]"))]
    fn set_trackers(
        &self,
        py: Python<'_>,
        now: f64,
        torrent: Int<u64>,
        tiers: Vec<Vec<String>>,
    ) -> PyResult<()> {
        self.tell(py, now, Command::Trackers(TorrentId(torrent.0), tiers))
    }

    /// Closes the links with a peer, which isn't called again for a while; with `ban` neither called nor taken. Raises
    /// NoSuchPeer.
    #[pyo3(signature = (now, torrent, peer: "Address | str", *, ban = false))]
    fn disconnect(&self, now: f64, torrent: Int<u64>, peer: &Bound<'_, PyAny>, ban: bool) -> PyResult<()> {
        let command = Command::Disconnect { torrent: TorrentId(torrent.0), peer: take_address(peer)?, ban };
        self.tell(peer.py(), now, command)
    }

    /// More web seeds of a torrent (BEP 19), by their URLs.
    fn add_web_seeds(&self, py: Python<'_>, now: f64, torrent: Int<u64>, urls: Vec<String>) -> PyResult<()> {
        self.tell(py, now, Command::WebSeeds(TorrentId(torrent.0), urls))
    }

    /// Saves the torrent's resume data now.
    fn save(&self, py: Python<'_>, now: f64, torrent: Int<u64>) -> PyResult<()> {
        self.tell(py, now, Command::Save(TorrentId(torrent.0)))
    }

    /// Announces now, as far as the trackers' minimum intervals allow.
    fn announce(&self, py: Python<'_>, now: f64, torrent: Int<u64>) -> PyResult<()> {
        self.tell(py, now, Command::Announce(TorrentId(torrent.0)))
    }

    /// Asks the current tracker how many are in the swarm (BEP 48): `Scraped` or `TrackerFailed` tells.
    fn scrape(&self, py: Python<'_>, now: f64, torrent: Int<u64>) -> PyResult<()> {
        self.tell(py, now, Command::Scrape(TorrentId(torrent.0)))
    }

    /// Asks now whether there is a newer torrent (BEP 39): `UpdateAvailable` tells of one.
    fn check_update(&self, py: Python<'_>, now: f64, torrent: Int<u64>) -> PyResult<()> {
        self.tell(py, now, Command::CheckUpdate(TorrentId(torrent.0)))
    }

    /// Follows the key of a link (BEP 46): `KeyFollowed` tells which torrent it names, and each that takes its place.
    fn follow(&self, py: Python<'_>, now: f64, link: &str) -> PyResult<()> {
        let KeyLink { key, salt } = key_link(py, link)?;
        self.tell(py, now, Command::Dht(Box::new(DhtCommand::Follow { key, salt })))
    }

    /// Follows it no more.
    fn unfollow(&self, py: Python<'_>, now: f64, link: &str) -> PyResult<()> {
        let KeyLink { key, salt } = key_link(py, link)?;
        self.tell(py, now, Command::Dht(Box::new(DhtCommand::Unfollow { key, salt })))
    }

    /// Pieces in order rather than rarest first.
    fn set_sequential(&self, py: Python<'_>, now: f64, torrent: Int<u64>, on: bool) -> PyResult<()> {
        self.tell(py, now, Command::Sequential(TorrentId(torrent.0), on))
    }

    /// Has these bytes of the torrent's span at `by`, before all others: `span` is the first and how many.
    #[expect(clippy::too_many_arguments, reason = "as many as it takes, in Python")]
    fn set_deadline(
        &self,
        py: Python<'_>,
        now: f64,
        torrent: Int<u64>,
        span: (Int<u64>, Int<u64>),
        by: f64,
    ) -> PyResult<()> {
        let (Int(start), Int(length)) = span;
        let by = moment(py, by)?;
        self.tell(py, now, Command::Deadline { torrent: TorrentId(torrent.0), start, length, by })
    }

    /// Limits the rates of the engine, or of one torrent, in bytes a second; None is no limit.
    #[pyo3(signature = (now, download, upload, *, torrent = None))]
    #[expect(clippy::too_many_arguments, reason = "as many as it takes, in Python")]
    fn set_rates(
        &self,
        py: Python<'_>,
        now: f64,
        download: Option<Int<u64>>,
        upload: Option<Int<u64>>,
        torrent: Option<Int<u64>>,
    ) -> PyResult<()> {
        let rates = Rates { download: optional(download), upload: optional(upload) };
        let command =
            torrent.map_or(Command::Rates(rates), |id| Command::TorrentRates(TorrentId(id.0), rates));
        self.tell(py, now, command)
    }

    /// Ends all: announces, saves, closes. `Stopped` comes when all is done, or at `by`.
    fn stop(&self, py: Python<'_>, now: f64, by: f64) -> PyResult<()> {
        let by = moment(py, by)?;
        self.tell(py, now, Command::Stop { by })
    }

    // ---- what it knows

    /// A torrent at a glance. Raises TorrentNotFound.
    #[pyo3(signature = (torrent) -> "Status")]
    fn status<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Bound<'py, PyAny>> {
        let status = self.know(py, torrent.0, |engine, now| engine.status(now, TorrentId(torrent.0)))?;
        status_class::status(py, status.ok_or_else(|| errors::no_torrent(py, torrent.0))?)
    }

    /// A torrent's info dictionary, once it is known.
    fn info<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let info = self.know(py, torrent.0, |engine, _| engine.info(TorrentId(torrent.0)))?;
        Ok(info.map(|info| PyBytes::new(py, info.raw())))
    }

    /// Which pieces are verified and written, as a bitfield of the wire (BEP 3), once the metadata is known.
    fn verified<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let bits = self.know(py, torrent.0, |engine, _| engine.verified(TorrentId(torrent.0)))?;
        Ok(bits.map(|bits| PyBytes::new(py, &bits.to_bytes())))
    }

    /// The addresses of a torrent's connected peers, in join order.
    #[pyo3(signature = (torrent) -> "tuple[Address, ...]")]
    fn peers<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Bound<'py, PyAny>> {
        let peers = self.know(py, torrent.0, |engine, now| engine.peers(now, TorrentId(torrent.0)))?;
        let each = |py, peer: doors::PeerStatus| Ok(address(peer.addr).into_pyobject(py)?.into_any());
        tuple(py, peers, each).map(Bound::into_any)
    }

    /// A torrent's connected peers at a glance, in join order.
    #[pyo3(signature = (torrent) -> "tuple[PeerStatus, ...]")]
    fn peer_statuses<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Bound<'py, PyTuple>> {
        let peers = self.know(py, torrent.0, |engine, now| engine.peers(now, TorrentId(torrent.0)))?;
        tuple(py, peers, snapshots::peer)
    }

    /// A torrent's trackers at a glance.
    #[pyo3(signature = (torrent) -> "tuple[TrackerStatus, ...]")]
    fn trackers<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Bound<'py, PyTuple>> {
        let trackers = self.know(py, torrent.0, |engine, now| engine.trackers(now, TorrentId(torrent.0)))?;
        tuple(py, trackers, snapshots::tracker)
    }

    /// A torrent's web seeds at a glance (BEP 19).
    #[pyo3(signature = (torrent) -> "tuple[WebSeedStatus, ...]")]
    fn web_seeds<'py>(&self, py: Python<'py>, torrent: Int<u64>) -> PyResult<Bound<'py, PyTuple>> {
        let seeds = self.know(py, torrent.0, |engine, now| engine.web_seeds(now, TorrentId(torrent.0)))?;
        tuple(py, seeds, snapshots::web_seed)
    }

    /// What is counted beside the torrents, since the start where it isn't how things are now.
    #[pyo3(signature = () -> "SessionStatistics")]
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.lock(py);
        let all = inner.engine.statistics(inner.now);
        drop(inner);
        statistics::statistics(py, &all)
    }

    /// All torrents' ids.
    fn torrents(&self, py: Python<'_>) -> Vec<u64> {
        self.lock(py).engine.torrents().into_iter().map(|id| id.0).collect()
    }

    /// Our peer id (BEP 20), 20 bytes.
    #[getter]
    fn peer_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let peer_id = self.lock(py).engine.peer_id();
        PyBytes::new(py, &peer_id.0)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let inner = self.lock(py);
        let (links, _) = inner.engine.link_counts();
        format!("<Engine: {} torrents, {links} links>", inner.engine.torrents().len())
    }
}
