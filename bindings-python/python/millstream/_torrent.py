"""A torrent of a session: what it tells, and what can be asked of it. Owns no transfer; the backend does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from . import _delete, _rates, _tiers, _time
from ._backend import Backend
from ._catalogue import Record
from ._events import Events, Hub, Pulse, TorrentFile
from ._file import FileReader, Opening
from ._files import FileName, WholeFiles, index_of, indexes_of
from ._home import Home
from ._layout import Layout
from ._millstream import Metainfo
from ._values import (
    AddOptions,
    Address,
    Checked,
    Completed,
    Event,
    FilePriority,
    Metadata,
    PeerStatus,
    PieceVerified,
    Removed,
    State,
    Status,
    TorrentFailed,
    TrackerStatus,
    WebSeedStatus,
)
from .errors import CLOSED, CommandError, SessionClosed, TimedOut, TorrentNotFound, TorrentRemoved, TransferFailed

if TYPE_CHECKING:
    # what `Torrent.session` gives; all that a torrent needs of it is its `Home`
    from ._session import Session

log = logging.getLogger("millstream")

R = TypeVar("R")

LOOK_AGAIN = 1.0
"""Who waits for a torrent looks at it again after so many seconds, told or not. Seconds."""

WAKING: frozenset[type] = frozenset({Metadata, Checked, PieceVerified, Completed, TorrentFailed, Removed})
"""What those who wait for a torrent wait for."""


class Torrent:
    """A torrent of a session, as `Session.add` gives it. A handle: it can be kept for ever, and raises `TorrentRemoved`
    once the torrent is gone, `SessionClosed` once the session is. Sizes are in bytes, rates in bytes a second,
    durations in seconds.

    >>> import asyncio, tempfile
    >>> from millstream import Session, create
    >>> alone = {"listen": [("127.0.0.1", 0)], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}
    >>> async def story(folder):
    ...     async with Session(folder=folder, **alone) as session:
    ...         torrent = await session.add(create("box", {"a.txt": b"one", "b/c.txt": b"two"}), only_peers=True)
    ...         await torrent.select(["c.txt"])
    ...         await torrent.pause()
    ...         return torrent.state, [(str(file.path), file.length) for file in torrent.files]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(story(folder))
    ('paused', [('box/a.txt', 3), ('box/b/c.txt', 3)])
    """

    def __init__(self, session: Session, home: Home, backend: Backend, torrent: int, folder: Path) -> None:
        self._session = session
        self._home = home
        self._backend = backend
        self._id = torrent
        self._folder = folder
        self._metainfo: Metainfo | None = None
        self._layout: Layout | None = None
        self._whole = WholeFiles(backend, torrent, self._plan)
        self._hub = Hub(session.events_max, home)
        self._pulse = Pulse()
        # whether it went, and whether that was because the session did
        self._gone = self._closed = False
        # a snapshot may know the metadata before the news of it comes here
        self._metadata_told = False
        self._record: Record | None = None
        self._asked_to_leave = False
        self._last = backend.status(torrent)

    # ---- what it is

    @property
    def id(self) -> int:
        """Its number in this session, which is never used again."""
        return self._id

    @property
    def session(self) -> Session:
        """The session that it belongs to."""
        return self._session

    @property
    def folder(self) -> Path:
        """The folder it is downloaded into."""
        return self._folder

    @property
    def stats(self) -> Status:
        """A snapshot. It never waits for anything."""
        # read of all torrents time and again: `_there` would take as long as the rest of it
        if self._gone:
            raise self._lost()
        self._home.check_open()
        try:
            self._last = self._backend.status(self._id)
        except TorrentNotFound as error:
            raise self._lost() from error
        return self._last

    @property
    def state(self) -> State:
        """What it is doing."""
        return self.stats.state

    @property
    def name(self) -> str:
        """Its name, safe to show and as a path's component; what the magnet link says until the metadata is known."""
        if not self._gone:
            self._last = self._backend.status(self._id)
        return self._last.name

    @property
    def info_hash(self) -> str:
        """Its info-hash in hexadecimal digits: of v1 if it has one, else of v2."""
        return (self._last.info_hash_v1 or self._last.info_hash_v2 or b"").hex()

    @property
    def info_hash_v1(self) -> bytes | None:
        """The v1 info-hash, 20 bytes."""
        return self._last.info_hash_v1 or (self._metainfo.info_hash_v1 if self._metainfo else None)

    @property
    def info_hash_v2(self) -> bytes | None:
        """The v2 info-hash, 32 bytes (BEP 52)."""
        return self._last.info_hash_v2 or (self._metainfo.info_hash_v2 if self._metainfo else None)

    @property
    def metainfo(self) -> Metainfo | None:
        """What the torrent file says, once the metadata is known; of a magnet link the info dictionary alone."""
        if self._metainfo is None:
            with self._there() as backend:
                info = backend.info(self._id)
            if info is not None:
                self._metainfo = Metainfo.from_info(info)
        return self._metainfo

    @property
    def files(self) -> tuple[TorrentFile, ...]:
        """Its files as they are now, in the order by which `select` counts them; none until the metadata is known."""
        layout = self._plan()
        if layout is None:
            return ()
        verified = self.verified
        return tuple(layout.file(index, verified) for index in range(len(layout)))

    @property
    def verified(self) -> bytes:
        """The bitfield of pieces that are verified and written, most significant bit first; empty until the metadata is
        known."""
        with self._there() as backend:
            return backend.verified(self._id)

    def file(self, name: FileName) -> TorrentFile:
        """A file as it is now. `LookupError` if there is none of this number or name, `CommandError` if the metadata
        isn't known."""
        layout = self._plan()
        if layout is None:
            raise CommandError("the files aren't known before the metadata is")
        return layout.file(index_of(layout, name), self.verified)

    # ---- waiting

    async def metadata(self, *, timeout: float | None = None) -> Metainfo:
        """Waits until the metadata is known. `TimedOut` after `timeout` seconds, `TransferFailed` if the torrent fails
        before, `TorrentRemoved`."""

        def look() -> Metainfo | None:
            metainfo = self.metainfo
            if metainfo is None:
                self._check_failed()
            return metainfo

        return await self._until(look, timeout, "no metadata")

    async def wait_complete(self, *, timeout: float | None = None) -> Status:
        """Waits until all that is wanted is verified and written. `TimedOut` after `timeout` seconds, `TransferFailed`,
        `TorrentRemoved`."""

        def look() -> Status | None:
            stats = self._check_failed()
            return stats if stats.state == "seeding" else None

        return await self._until(look, timeout, "not complete")

    def events(self) -> Events:
        """News from now on, after how it stands: `Metadata`, `FileCompleted`, `Completed` and `TorrentFailed` come
        first if they are so already, so that nobody waits for what has been. `Metadata` comes once. Ends after
        `Removed`, or when the session is closed."""
        before = self._whole.standing(self.stats)
        return self._hub.subscribe(before, on_its_way=None if self._metadata_told else Metadata(self._id))

    # ---- commands

    async def pause(self) -> None:
        """Stops the transfer, keeps the torrent."""
        with self._here() as backend:
            await backend.pause(self._id)
            await self._remember(paused=True)

    async def resume(self) -> None:
        """Goes on after a pause or a failure."""
        with self._here() as backend:
            await backend.resume(self._id)
            await self._remember(paused=False)

    async def recheck(self) -> None:
        """Checks all files again; `Checked` tells the end."""
        with self._here() as backend:
            await backend.recheck(self._id)

    async def select(self, files: Iterable[FileName] | None) -> None:
        """Chooses the files that are wanted; `None` is all."""
        with self._here() as backend:
            chosen = None if files is None else indexes_of(self._plan(), files)
            await backend.select(self._id, chosen)
            await self._remember(files=chosen)

    async def set_priorities(self, priorities: Mapping[FileName, FilePriority]) -> None:
        """Has files before others, or after them; those that aren't named keep their priorities. What is under way goes
        on. A piece that holds bytes of several files counts for the highest of them."""
        with self._here() as backend:
            plan = self._plan()
            chosen: dict[Any, FilePriority] = {indexes_of(plan, [name])[0]: each for name, each in priorities.items()}
            await backend.set_priorities(self._id, chosen)
            if self._record is not None:
                before = self._record.options.get("priorities") or {}
                await self._remember(priorities={**before, **chosen})

    async def set_sequential(self, on: bool) -> None:
        """Pieces in order, rather than the rarest first."""
        with self._here() as backend:
            await backend.set_sequential(self._id, on)
            await self._remember(sequential=on)

    async def set_deadline(self, start: int, length: int, within: float) -> None:
        """Wants these bytes of the span within so many seconds, before all others. `open` does it by itself."""
        _time.seconds("within", within)
        with self._here() as backend:
            await backend.set_deadline(self._id, start, length, within)

    async def set_rates(self, *, download: int | None = None, upload: int | None = None) -> None:
        """Limits its rates, in bytes a second; `None` is no limit."""
        _rates.check(download=download, upload=upload)
        with self._here() as backend:
            await backend.set_rates(self._id, download, upload)
            await self._remember(download_rate=download, upload_rate=upload)

    async def add_peers(self, peers: Iterable[Address | str]) -> None:
        """Gives it the addresses of peers: pairs, or text with an IP address and a port. `Session.look_up` gives those
        of a name."""
        with self._here() as backend:
            await backend.add_peers(self._id, peers if isinstance(peers, str) else list(peers))

    async def add_web_seeds(self, urls: Iterable[str]) -> None:
        """Gives it web seeds (BEP 19)."""
        with self._here() as backend:
            given = list(urls)
            await backend.add_web_seeds(self._id, given)
            if self._record is not None:
                self._record.web_seeds += [url for url in given if url not in self._record.web_seeds]
            await self._remember()

    async def set_trackers(self, tiers: Iterable[Sequence[str] | str]) -> None:
        """Gives it other trackers, in tiers (BEP 12), each a list or a URL alone, in place of those that it has: what
        `trackers` tells, with some more or fewer. Those that stay keep their state, those that go are told `stopped`,
        those that come are asked at once. Kept for the next session. `OptionError` for more than 64, and for what is no
        tracker's URL.

        >>> import asyncio, tempfile
        >>> from millstream import Session, create
        >>> alone = {"listen": [("127.0.0.1", 0)], "dht": False, "lsd": False, "port_mapping": False}
        >>> async def story(folder):
        ...     async with Session(folder=folder, state_folder=folder, **alone) as session:
        ...         a = create("a.txt", b"one", trackers=[["https://one.example/announce"]])
        ...         torrent = await session.add(a, paused=True)
        ...         before = [[it.url] for it in await torrent.trackers()]
        ...         await torrent.set_trackers([*before, ["udp://two.example:6969"]])
        ...         return [(it.tier, it.url) for it in await torrent.trackers()]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     asyncio.run(story(folder))
        [(0, 'https://one.example/announce'), (1, 'udp://two.example:6969')]
        """
        with self._here() as backend:
            given = _tiers.listed(tiers)
            await backend.set_trackers(self._id, given)
            await self._remember(trackers=given)

    async def disconnect(self, peer: Address | str) -> None:
        """Closes the links with a peer, by the address that `peers` tells. It isn't called again for a quarter of an
        hour, unless `add_peers` gives it; it may call us. `NoSuchPeer`."""
        with self._here() as backend:
            await backend.disconnect(self._id, peer, ban=False)

    async def ban(self, peer: Address | str) -> None:
        """Has nothing to do with a peer any more, nor with anybody at its IP, connected or not, for as long
        as this session has the torrent; on this very host it is the port that counts."""
        with self._here() as backend:
            await backend.disconnect(self._id, peer, ban=True)

    async def announce(self) -> None:
        """Announces now, as far as the trackers' minimum intervals allow."""
        with self._here() as backend:
            await backend.announce(self._id)

    async def scrape(self) -> None:
        """Asks its tracker how many are in the swarm (BEP 48): `Scraped` or `TrackerFailed` tells."""
        with self._here() as backend:
            await backend.scrape(self._id)

    async def check_update(self) -> None:
        """Asks now whether there is a newer torrent (BEP 39), which otherwise is done now and then: `UpdateAvailable`
        tells of one."""
        with self._here() as backend:
            await backend.check_update(self._id)

    async def save(self) -> None:
        """Keeps resume data now: `ResumeSaved` tells the end."""
        with self._here() as backend:
            await backend.save(self._id)

    async def stats_now(self) -> Status:
        """A snapshot as of now, for sums: unlike `stats` it waits for the engine."""
        with self._here() as backend:
            await backend.refresh(self._id)
        return self.stats

    async def peers(self) -> tuple[PeerStatus, ...]:
        """Its connected peers."""
        with self._here() as backend:
            return await backend.peers(self._id)

    async def priorities(self) -> tuple[FilePriority | None, ...]:
        """How much each of its `files` is wanted, `None` if it isn't selected; empty until the metadata is known."""
        with self._here() as backend:
            return await backend.priorities(self._id)

    async def trackers(self) -> tuple[TrackerStatus, ...]:
        """Its trackers."""
        with self._here() as backend:
            return await backend.trackers(self._id)

    async def web_seeds(self) -> tuple[WebSeedStatus, ...]:
        """Its web seeds."""
        with self._here() as backend:
            return await backend.web_seeds(self._id)

    async def remove(self, *, delete_files: bool = False) -> None:
        """Leaves the swarm and forgets the torrent. Returns when its trackers were told and its files are closed; with
        `delete_files` they are deleted then, and the folders that are empty without them."""
        layout = self._plan()
        with self._here() as backend:
            self._asked_to_leave = True
            await backend.remove(self._id)
            if self._record is not None:
                await asyncio.to_thread(self._record.delete)
        while not self._gone:
            await self._pulse.wait(LOOK_AGAIN)
        if delete_files and layout is not None:
            paths = [layout.file(index, b"").path for index in range(len(layout))]
            await asyncio.to_thread(_delete.delete, self._folder, paths)

    def open(self, file: FileName = 0, *, read_ahead: int = 4 << 20) -> Opening:
        """Opens a file for reading, complete or not: what is read is fetched before all else, also if the file isn't
        selected. Who reads on gets up to `read_ahead` bytes fetched ahead. Waits for the metadata. `LookupError` if
        there is no such file. `async with torrent.open(...) as file`, or `file = await torrent.open(...)` and its
        `close` by yourself.

        What is read counts as wanted in `stats`; how much of the file is there, `file(...).progress` says."""
        return Opening(lambda: self._reader(file, read_ahead))

    def __repr__(self) -> str:
        try:
            stats = self.stats
        except CommandError as error:
            why = "removed" if isinstance(error, TorrentRemoved) else "closed"
            return f"<Torrent {self._last.name!r} {self.info_hash}: {why}>"
        return f"<Torrent {stats.name!r} {self.info_hash}: {stats.state} {stats.progress:.1%}>"

    # ---- for the session and readers

    def _on_news(self, events: list[Event]) -> None:
        """News of this torrent, in order."""
        if self._hub:
            self._hub.publish(self._whole.among(events))
        if not self._metadata_told:
            self._metadata_told = any(type(event) is Metadata for event in events)
        if any(type(event) in WAKING for event in events):
            if type(events[-1]) is Removed:
                if self._record is not None and self._asked_to_leave:
                    # also if who asked for that waits no longer; at the end of the session nobody did
                    asyncio.get_running_loop().run_in_executor(None, self._record.delete)
                self._leave()
            self._pulse.beat()

    def _on_lag(self, count: int) -> None:
        """Events were lost before they came here."""
        self._hub.lag(count)
        if self._hub and self._whole.watches and not self._gone:
            self._hub.publish(self._whole.by(Checked(self._id), leaves=False))
        self._pulse.beat()

    def _leave(self) -> None:
        """It is gone."""
        if not self._gone:
            self._closed = self._home.closing and not self._asked_to_leave
        self._gone = True
        self._whole.forget()
        self._hub.end()
        self._pulse.beat()

    async def _reader(self, file: FileName, read_ahead: int) -> FileReader:
        await self.metadata()
        return FileReader(self, self._home, self._pulse, self.file(file), read_ahead)

    def _ready(self, start: int, length: int) -> int:
        layout = self._plan()
        return layout.ready(start, length, self.verified) if layout is not None else 0

    async def _remember(self, **options: Unpack[AddOptions]) -> None:
        if self._record is not None:
            await self._record.change(options)

    def _set_metainfo(self, metainfo: Metainfo) -> None:
        self._metainfo = metainfo

    def _plan(self) -> Layout | None:
        metainfo = self.metainfo
        if self._layout is None and metainfo is not None:
            self._layout = Layout(metainfo, self._folder)
        return self._layout

    def _check_failed(self) -> Status:
        stats = self.stats
        if stats.state == "failed":
            raise TransferFailed(stats.failure or "the torrent failed")
        return stats

    @contextmanager
    def _there(self) -> Iterator[Backend]:
        """The backend, as long as the torrent is there."""
        if self._gone:
            raise self._lost()
        self._home.check_open()
        try:
            yield self._backend
        except TorrentNotFound as error:
            raise self._lost() from error

    @contextmanager
    def _here(self) -> Iterator[Backend]:
        """The same for what is awaited: on the session's loop alone."""
        with self._there() as backend:
            self._home.check_here()
            yield backend

    def _check_here(self) -> None:
        with self._here():
            pass

    def _lost(self) -> TorrentRemoved | SessionClosed:
        if self._closed or (not self._gone and self._home.closing and not self._asked_to_leave):
            return SessionClosed(CLOSED)
        return TorrentRemoved(f"the torrent {self._last.name!r} was removed")

    async def _until(self, look: Callable[[], R | None], timeout: float | None, what: str) -> R:
        """Waits until `look` finds something."""
        bound = asyncio.timeout(_time.patience("timeout", timeout))
        self._check_here()
        try:
            async with bound:
                while (found := look()) is None:
                    await self._pulse.wait(LOOK_AGAIN)
                return found
        except TimeoutError as error:
            if not bound.expired():
                raise
            raise TimedOut(f"{self._last.name or self.info_hash}: {what} within {timeout} s") from error
