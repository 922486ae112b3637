"""Sessions for who blocks: the names of the package, without `await`. Safe to share between threads.

A session runs on a loop on a thread of its own. Who waits holds no lock, can be interrupted by a key, and is woken when
the session is closed.

A member of an archive, of which only the pieces are fetched that it needs:

>>> import io, tempfile, zipfile
>>> from millstream import create, sync
>>> alone = {"listen": [("127.0.0.1", 0)], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}
>>> packed = io.BytesIO()
>>> with zipfile.ZipFile(packed, "w") as archive:
...     archive.writestr("hello.txt", "hello")
...     archive.writestr("much.bin", bytes(500_000))
>>> torrent_file = create("a.zip", packed.getvalue(), piece_length=16384)
>>> with (
...     tempfile.TemporaryDirectory() as here,
...     tempfile.TemporaryDirectory() as there,
...     sync.Session(folder=there, **alone) as seed,
...     sync.Session(folder=here, **alone) as session,
... ):
...     _ = (seed.folder / "a.zip").write_bytes(packed.getvalue())
...     _ = seed.add(torrent_file).wait_complete()
...     torrent = session.add(torrent_file, files=[], peers=seed.listening)
...     with torrent.open("a.zip") as file, zipfile.ZipFile(file) as archive:
...         archive.read("hello.txt")
...     torrent.stats.pieces > 25 and sum(byte.bit_count() for byte in torrent.verified) < 6
b'hello'
True
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack
from warnings import warn as tell_warning

from . import _download, _events as streams, _settings, _time
from ._create import create_torrent_now as create_torrent, verify_now as verify
from ._drivers import Driver
from ._files import FileName
from ._millstream import KeyLink, Metainfo
from ._raw_file import BUFFER_BYTES, RawFile
from ._session import Session as AsyncSession
from ._sources import Source
from ._thread import LoopThread
from ._torrent import Torrent as AsyncTorrent
from ._values import (
    AddOptions,
    Address,
    FilePriority,
    KeyFollowed,
    PeerStatus,
    SessionSettings,
    SessionStatistics,
    State,
    Status,
    TrackerStatus,
    WebSeedStatus,
)

__all__ = ["Events", "Session", "Torrent", "create_torrent", "download", "verify"]

LEAVE = 10.0
"""A download that is interrupted takes leave within so many seconds."""


class Session:
    """A session, begun at once. Use it as a context manager. The arguments are those of `millstream.Session`, and
    `loop_factory`, which makes the loop of its thread."""

    def __init__(
        self,
        *,
        driver: Driver = "native",
        folder: str | os.PathLike[str] = ".",
        remember: str | os.PathLike[str] | None = None,
        close_timeout: float = 5.0,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
        **settings: Unpack[SessionSettings],
    ) -> None:
        """Binds and begins. Raises `StartError`."""
        self._open = False
        self._close_timeout = _time.seconds("close_timeout", close_timeout)
        self._pid = os.getpid()
        self._session = AsyncSession(
            driver=driver, folder=folder, remember=remember, close_timeout=close_timeout, **settings
        )
        self._thread = LoopThread(loop_factory)
        try:
            self._thread.call(self._session.start())
        except BaseException:
            self._thread.stop()
            self._thread.join(LEAVE)
            raise
        self._open = True

    def close(self, timeout: float | None = None) -> None:
        """Tells trackers, keeps resume data, closes all, within `timeout` seconds. Again, it does nothing."""
        bound = self._close_timeout if timeout is None else _time.seconds("timeout", timeout)
        if not self._open:
            return
        self._open = False
        try:
            self._thread.call(self._session.close(bound))
        finally:
            self._thread.stop()
            self._thread.join(bound + 1)

    def add(
        self, source: Source, *, folder: str | os.PathLike[str] | None = None, **options: Unpack[AddOptions]
    ) -> Torrent:
        """Takes on a torrent, from all that `millstream.Session.add` takes."""
        return Torrent(self, self._thread.call(self._session.add(source, folder=folder, **options)))

    @property
    def torrents(self) -> tuple[Torrent, ...]:
        """All torrents, in the order in which they were added."""
        return tuple(Torrent(self, torrent) for torrent in self._session.torrents)

    def torrent(self, name: int | str | bytes) -> Torrent:
        """A torrent by its id, or by its info-hash: bytes or hexadecimal digits. Raises `TorrentNotFound`."""
        return Torrent(self, self._session.torrent(name))

    def events(self, timeout: float | None = None) -> Events:
        """News of the session and all its torrents, from now on. Iteration ends when there will be no more, and when
        nothing came for `timeout` seconds."""
        return Events(self._thread, self._thread.call(_made(self._session.events)), timeout)

    @property
    def listening(self) -> tuple[Address, ...]:
        """Where peers can reach us."""
        return self._session.listening

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was amiss when it started and didn't stop it."""
        return self._session.warnings

    @property
    def state_folder(self) -> Path | None:
        """Where resume data and the DHT's table are kept; `None` if they aren't."""
        return self._session.state_folder

    def look_up(self, host: str, port: int) -> tuple[Address, ...]:
        """The addresses of a host, for `peers`; behind a proxy a stand-in, good for this session alone."""
        return self._thread.call(self._session.look_up(host, port))

    @property
    def folder(self) -> Path:
        """Where torrents go that name no folder."""
        return self._session.folder

    @property
    def is_open(self) -> bool:
        """Whether it isn't closed."""
        return self._open and self._session.is_open

    def follow(self, link: KeyLink | str) -> Iterator[KeyFollowed]:
        """Follows a key through the DHT (BEP 46): see `millstream.Session.follow`. Ends when the session is closed."""
        news = self._session.follow(link)
        try:
            while (followed := self._thread.call(_next(news))) is not None:
                yield followed
        finally:
            self._thread.tell(news.aclose())

    def statistics(self) -> SessionStatistics:
        """What is counted beside the torrents."""
        return self._thread.call(self._session.statistics())

    def set_rates(self, *, download: int | None = None, upload: int | None = None) -> None:
        """Limits the rates of all torrents together, in bytes a second; `None` is no limit."""
        self._thread.call(self._session.set_rates(download=download, upload=upload))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._session)

    def __del__(self, warn: Callable[..., None] = tell_warning) -> None:
        if getattr(self, "_open", False) and self._pid == os.getpid():
            self._open = False
            # what runs on the loop would hold the session's inside for ever
            self._session._abandon()
            self._thread.stop()
            warn(f"unclosed {type(self).__name__}", ResourceWarning, source=self)


_settings.explain(Session.__init__)


class Torrent:
    """A torrent of a session: see `millstream.Torrent`. Two handles of the same torrent are equal."""

    def __init__(self, session: Session, torrent: AsyncTorrent) -> None:
        self._session = session
        self._torrent = torrent
        self._thread = session._thread

    @property
    def id(self) -> int:
        """Its number in this session, which is never used again."""
        return self._torrent.id

    @property
    def session(self) -> Session:
        """The session that it belongs to."""
        return self._session

    @property
    def folder(self) -> Path:
        """The folder it is downloaded into."""
        return self._torrent.folder

    @property
    def stats(self) -> Status:
        """A snapshot. It never waits for anything."""
        return self._torrent.stats

    @property
    def state(self) -> State:
        """What it is doing."""
        return self._torrent.state

    @property
    def name(self) -> str:
        """Its name, safe to show and as a path's component."""
        return self._torrent.name

    @property
    def info_hash(self) -> str:
        """Its info-hash in hexadecimal digits: of v1 if it has one, else of v2."""
        return self._torrent.info_hash

    @property
    def info_hash_v1(self) -> bytes | None:
        """The v1 info-hash, 20 bytes."""
        return self._torrent.info_hash_v1

    @property
    def info_hash_v2(self) -> bytes | None:
        """The v2 info-hash, 32 bytes (BEP 52)."""
        return self._torrent.info_hash_v2

    @property
    def metainfo(self) -> Metainfo | None:
        """What the torrent file says, once the metadata is known."""
        return self._torrent.metainfo

    @property
    def files(self) -> tuple[streams.TorrentFile, ...]:
        """Its files as they are now; none until the metadata is known."""
        return self._torrent.files

    @property
    def verified(self) -> bytes:
        """The bitfield of pieces that are verified and written; empty until the metadata is known."""
        return self._torrent.verified

    def file(self, name: FileName) -> streams.TorrentFile:
        """A file as it is now."""
        return self._torrent.file(name)

    def metadata(self, *, timeout: float | None = None) -> Metainfo:
        """Waits until the metadata is known."""
        return self._thread.call(self._torrent.metadata(timeout=timeout))

    def wait_complete(self, *, timeout: float | None = None) -> Status:
        """Waits until all that is wanted is verified and written."""
        return self._thread.call(self._torrent.wait_complete(timeout=timeout))

    def events(self, timeout: float | None = None) -> Events:
        """News, after how it stands. Iteration ends when there will be no more, and when nothing came for `timeout`
        seconds."""
        return Events(self._thread, self._thread.call(_made(self._torrent.events)), timeout)

    def pause(self) -> None:
        """Stops the transfer, keeps the torrent."""
        self._thread.call(self._torrent.pause())

    def resume(self) -> None:
        """Goes on after a pause or a failure."""
        self._thread.call(self._torrent.resume())

    def recheck(self) -> None:
        """Checks all files again; `Checked` tells the end."""
        self._thread.call(self._torrent.recheck())

    def select(self, files: Iterable[FileName] | None) -> None:
        """Chooses the files that are wanted; `None` is all."""
        self._thread.call(self._torrent.select(files))

    def set_priorities(self, priorities: Mapping[FileName, FilePriority]) -> None:
        """Has files before others, or after them; those that aren't named keep their priorities."""
        self._thread.call(self._torrent.set_priorities(priorities))

    def priorities(self) -> tuple[FilePriority | None, ...]:
        """How much each of its `files` is wanted, `None` if it isn't selected; empty until the metadata is known."""
        return self._thread.call(self._torrent.priorities())

    def set_sequential(self, on: bool) -> None:
        """Pieces in order, rather than the rarest first."""
        self._thread.call(self._torrent.set_sequential(on))

    def set_deadline(self, start: int, length: int, within: float) -> None:
        """Wants these bytes of the span within so many seconds, before all others."""
        self._thread.call(self._torrent.set_deadline(start, length, within))

    def set_rates(self, *, download: int | None = None, upload: int | None = None) -> None:
        """Limits its rates, in bytes a second; `None` is no limit."""
        self._thread.call(self._torrent.set_rates(download=download, upload=upload))

    def add_peers(self, peers: Iterable[Address | str]) -> None:
        """Gives it the addresses of peers."""
        self._thread.call(self._torrent.add_peers(peers))

    def add_web_seeds(self, urls: Iterable[str]) -> None:
        """Gives it web seeds (BEP 19)."""
        self._thread.call(self._torrent.add_web_seeds(urls))

    def set_trackers(self, tiers: Iterable[Sequence[str] | str]) -> None:
        """Gives it other trackers, in tiers (BEP 12), in place of those that it has. `OptionError`."""
        self._thread.call(self._torrent.set_trackers(tiers))

    def disconnect(self, peer: Address | str) -> None:
        """Closes the links with a peer, which isn't called again for a quarter of an hour. `NoSuchPeer`."""
        self._thread.call(self._torrent.disconnect(peer))

    def ban(self, peer: Address | str) -> None:
        """Has nothing to do with anybody at a peer's IP any more, for as long as this session has the torrent."""
        self._thread.call(self._torrent.ban(peer))

    def announce(self) -> None:
        """Announces now, as far as the trackers' minimum intervals allow."""
        self._thread.call(self._torrent.announce())

    def scrape(self) -> None:
        """Asks its tracker how many are in the swarm (BEP 48)."""
        self._thread.call(self._torrent.scrape())

    def check_update(self) -> None:
        """Asks now whether there is a newer torrent (BEP 39): `UpdateAvailable` tells of one."""
        self._thread.call(self._torrent.check_update())

    def save(self) -> None:
        """Keeps resume data now: `ResumeSaved` tells the end."""
        self._thread.call(self._torrent.save())

    def stats_now(self) -> Status:
        """A snapshot as of now, for sums."""
        return self._thread.call(self._torrent.stats_now())

    def peers(self) -> tuple[PeerStatus, ...]:
        """Its connected peers."""
        return self._thread.call(self._torrent.peers())

    def trackers(self) -> tuple[TrackerStatus, ...]:
        """Its trackers."""
        return self._thread.call(self._torrent.trackers())

    def web_seeds(self) -> tuple[WebSeedStatus, ...]:
        """Its web seeds."""
        return self._thread.call(self._torrent.web_seeds())

    def remove(self, *, delete_files: bool = False) -> None:
        """Leaves the swarm and forgets the torrent."""
        self._thread.call(self._torrent.remove(delete_files=delete_files))

    def open(self, file: FileName = 0, *, read_ahead: int = 4 << 20) -> io.BufferedReader:
        """Opens a file for reading, complete or not: a file as the library of Python knows them, for `zipfile`,
        `tarfile` and all else. What is read is fetched before all else, and only the pieces that are needed, if the
        file isn't selected."""
        reader = self._thread.call(self._torrent._reader(file, read_ahead))
        return io.BufferedReader(RawFile(self._thread, reader), BUFFER_BYTES)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Torrent) and other._torrent is self._torrent

    def __hash__(self) -> int:
        return hash(self._torrent)

    def __repr__(self) -> str:
        return repr(self._torrent)


class Events(Iterator[streams.News]):
    """News, as `millstream.Events` has it, for who blocks."""

    def __init__(self, thread: LoopThread, events: streams.Events, timeout: float | None) -> None:
        self._thread = thread
        self._events = events
        self._timeout = _time.patience("timeout", timeout)
        self._taken: list[streams.News] = []

    def __next__(self) -> streams.News:
        if not self._taken:
            self._taken = self.next_events(self._timeout)[::-1]
            if not self._taken:
                raise StopIteration
        return self._taken.pop()

    def next_events(self, timeout: float | None = None) -> list[streams.News]:
        """All that waits; if nothing does, what comes first within `timeout` seconds. Empty when that has passed, and
        when there will be no more."""
        _time.patience("timeout", timeout)
        taken, self._taken = self._taken[::-1], []
        if taken:
            return taken
        if self._events.ended:
            return self._events.waiting()
        return self._thread.call(self._events.take(timeout))

    @property
    def ended(self) -> bool:
        """Whether nothing more will come than what waits."""
        return self._events.ended

    def __repr__(self) -> str:
        return repr(self._events)


def download(
    source: Source,
    folder: str | os.PathLike[str] = ".",
    *,
    progress: Callable[[Status], object] | None = None,
    files: Iterable[int | str] | None = None,
    peers: Iterable[Address | str] = (),
    only_peers: bool = False,
    sequential: bool = False,
    driver: Driver = "native",
    **settings: Unpack[SessionSettings],
) -> Path:
    """Downloads a torrent into a folder, and gives where its file or folder is: see `millstream.download`. `progress`
    is called on another thread."""
    thread = LoopThread(asyncio.new_event_loop)
    try:
        return thread.call(
            _download.download(
                source,
                folder,
                progress=progress,
                files=files,
                peers=peers,
                only_peers=only_peers,
                sequential=sequential,
                driver=driver,
                **settings,
            )
        )
    finally:
        try:
            # who was interrupted leaves in good order too
            thread.settle(LEAVE)
        finally:
            thread.stop()
            thread.join(LEAVE)


async def _next(news: AsyncGenerator[KeyFollowed]) -> KeyFollowed | None:
    return await anext(news, None)


async def _made(make: Callable[[], streams.Events]) -> streams.Events:
    return make()
