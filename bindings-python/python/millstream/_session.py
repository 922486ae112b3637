"""A session: an engine with a body, its torrents, and its end. Owns no transfer; the backend does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack
from warnings import warn as tell_warning
from weakref import ref

from . import _drivers, _files, _known, _listen, _rates, _settings, _sources, _time
from ._backend import OnNews
from ._catalogue import NONSENSE, Catalogue, Record
from ._drivers import Driver
from ._events import Events, Hub, News, Pulse
from ._follow import Follows
from ._home import Home
from ._millstream import KeyLink, Magnet, Metainfo
from ._sources import Source
from ._torrent import LOOK_AGAIN, Torrent
from ._values import AddOptions, Address, Event, KeyFollowed, Lagged, Removed, SessionSettings, SessionStatistics
from .errors import CLOSED, CommandError, DuplicateTorrent, MillstreamError, SessionClosed, TorrentNotFound

log = logging.getLogger("millstream")

EVENTS_MAX = 1024
"""So many events wait for one reader of a stream unless `events_max` says otherwise."""

CLOSE_GRACE = 1.0
"""How long after its time-out a backend that doesn't come to an end is left to itself. Seconds."""


class Session:
    """Torrents, and what moves them. Use it as a context manager; all that is awaited is awaited on the loop that
    started it, else `WrongLoop`; what is read at once is read anywhere.

    `driver` is "native" (the default: threads of its own move the bytes) or "asyncio" (the sockets of the running
    loop). `folder` is where torrents go that name none. Leaving takes `close_timeout` seconds at the most. The settings
    are those of `SessionSettings`; a name that isn't there is a TypeError.

    `remember` is a folder in which it keeps which torrents it has, and whether they are paused, what of them is
    selected, their rates. The next session that is given it has them again, in their order, also after a crash, but for
    those that were removed. It is the `state_folder` too unless told. One session at a time: `StartError` for others.
    What is damaged in it is set aside, as `*.damaged`, with a warning in the log "millstream".

    >>> import tempfile
    >>> from millstream import create
    >>> alone = {"listen": [("127.0.0.1", 0)], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}
    >>> async def story(folder):
    ...     async with Session(folder=folder, **alone) as session:
    ...         torrent = await session.add(create("hello.txt", b"hello"), only_peers=True)
    ...         metainfo = await torrent.metadata()
    ...         return torrent.name, metainfo.length, torrent.stats.progress
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(story(folder))
    ('hello.txt', 5, 0.0)
    """

    def __init__(
        self,
        *,
        driver: Driver = "native",
        folder: str | os.PathLike[str] = ".",
        remember: str | os.PathLike[str] | None = None,
        close_timeout: float = 5.0,
        **settings: Unpack[SessionSettings],
    ) -> None:
        """Begins nothing: `async with` or `start` does."""
        self._folder = Path(folder).absolute()
        self._events_max = settings.get("events_max", EVENTS_MAX)
        self._asked = _listen.Asked.of(settings)
        self._close_timeout = _time.seconds("close_timeout", close_timeout)
        self._catalogue = None if remember is None else Catalogue(Path(remember).absolute())
        if remember is not None and not callable(driver):
            settings.setdefault("state_folder", str(Path(remember).absolute()))
        self._backend = _drivers.backend(driver, settings)
        self._torrents: dict[int, Torrent] = {}
        # news of torrents that nobody has yet: who adds them isn't answered before they are kept
        self._early: dict[int, list[Event]] = {}
        self._home = Home()
        self._hub = Hub(self._events_max, self._home)
        self._follows = Follows(self._backend)
        self._closing: asyncio.Task[None] | None = None
        self._cleaning: set[asyncio.Task[None]] = set()
        self._left = Pulse()

    async def start(self) -> Self:
        """Binds the sockets and begins. `async with` does it; again, it does nothing. Raises `StartError`."""
        if self._home.state == "open":
            self._home.check_here()
            return self
        if self._home.state == "closed":
            raise SessionClosed(CLOSED)
        self._home.settle()
        try:
            records = [] if self._catalogue is None else await asyncio.to_thread(self._catalogue.open)
            await self._asked.explained(self._backend.start(_listener(self)))
            for record in records:
                await self._restore(record)
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self, timeout: float | None = None) -> None:
        """Tells trackers, keeps resume data, closes all, within `timeout` seconds (`close_timeout` unless told). Again,
        it does nothing but wait for the first. Torrents raise `SessionClosed` and their events end. In a process that
        was forked it touches nothing, and raises `SessionClosed`."""
        bound = self._close_timeout if timeout is None else _time.seconds("timeout", timeout)
        if self._home.state == "new":
            self._home.state = "closed"
        if self._home.state == "closed" and self._closing is None:
            return
        if self._closing is None or not self._closing.done():
            self._home.check()
        if self._closing is None:
            self._home.closing = True
            self._closing = asyncio.get_running_loop().create_task(self._close(bound), name="millstream close")
        await asyncio.shield(self._closing)

    # ---- torrents

    async def add(
        self, source: Source, *, folder: str | os.PathLike[str] | None = None, **options: Unpack[AddOptions]
    ) -> Torrent:
        """Takes on a torrent: a magnet link, the path or URL of a torrent file, its bytes, what was parsed of it, or an
        info-hash in hexadecimal digits. A link of a key (BEP 46) means the torrent that the key names now: it waits for
        as long as the DHT knows none. If this is cancelled, the torrent is not there.

        Errors: `MetainfoError`, `MagnetError`, `FetchError`, `OSError` for the source; `DuplicateTorrent`,
        `NoSuchFile`, `CommandError`.
        """
        self._home.check_here()
        _known.check("option", options, AddOptions.__required_keys__ | AddOptions.__optional_keys__)
        link = _sources.key_link(source)
        parsed = await (_sources.load(source, self._backend.fetch) if link is None else self._named(link))
        place = self._folder if folder is None else Path(folder).absolute()
        self._home.check_open()
        wire = str(parsed) if isinstance(parsed, Magnet) else parsed.to_bytes()
        if (peers := options.get("peers")) is not None and not isinstance(peers, str):
            options["peers"] = list(peers)
        if (files := options.get("files")) is not None:
            options["files"] = _files.to_begin_with(parsed, place, files)
        if (priorities := options.get("priorities")) is not None:
            options["priorities"] = _files.to_rank(parsed, place, priorities)
        torrent = await self._take_on(wire, place, options)
        record = None
        if self._catalogue is not None:
            record = self._catalogue.record(parsed.info_hash.hex(), wire, place, options)
            try:
                await record.write()
                self._home.check_open()
            except BaseException:
                self._clean(self._take_back(torrent, record))
                raise
        return self._have(torrent, parsed, place, record)

    async def follow(self, link: KeyLink | str) -> AsyncGenerator[KeyFollowed]:
        """Follows a key through the DHT (BEP 46): the torrent that it names, and each that takes its place. It adds
        none: `add(followed.info_hash.hex())` does. Ends when the session is closed. Raises `MagnetError` for what is no
        link of a key, `CommandError` where the DHT is off."""
        self._home.check_here()
        parsed = KeyLink.parse(link) if isinstance(link, str) else link
        async with contextlib.aclosing(self._follows.follow(parsed)) as news:
            async for followed in news:
                yield followed

    @property
    def torrents(self) -> tuple[Torrent, ...]:
        """All torrents, in the order in which they were added."""
        return tuple(self._torrents.values())

    def torrent(self, name: int | str | bytes) -> Torrent:
        """A torrent by its id, or by its info-hash: bytes or hexadecimal digits. Raises `TorrentNotFound`."""
        self._home.check_open()
        if isinstance(name, int):
            found = self._torrents.get(name)
        else:
            digest = bytes.fromhex(name) if isinstance(name, str) and _sources.is_hash(name) else name
            found = next((t for t in self.torrents if digest in (t.info_hash_v1, t.info_hash_v2)), None)
        if found is None:
            shown = name.hex() if isinstance(name, bytes) else name
            raise TorrentNotFound(f"there is no torrent {shown}")
        return found

    # ---- itself

    def events(self) -> Events:
        """News of the session and of all its torrents, from now on until it is closed; `torrent(event.torrent)` is whom
        it is about. `FileCompleted` is told by the streams of torrents alone."""
        return self._hub.subscribe()

    @property
    def listening(self) -> tuple[Address, ...]:
        """Where peers can reach us."""
        self._home.check_open()
        return self._backend.listening

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was amiss when it started and didn't stop it; `SessionWarned` tells what is amiss later."""
        self._home.check_open()
        return self._backend.warnings

    @property
    def state_folder(self) -> Path | None:
        """Where resume data and the DHT's table are kept; `None` if they aren't."""
        self._home.check_open()
        return self._backend.state_folder

    async def look_up(self, host: str, port: int) -> tuple[Address, ...]:
        """The addresses of a host, for `peers`. Behind a proxy a name isn't looked up here: it gets a stand-in, good
        for this session alone, and the proxy hears the name. Raises `OSError`."""
        self._home.check_here()
        return await self._backend.look_up(host, port)

    @property
    def folder(self) -> Path:
        """Where torrents go that name no folder."""
        return self._folder

    @property
    def events_max(self) -> int:
        """How many events wait for one reader of a stream."""
        return self._events_max

    @property
    def is_open(self) -> bool:
        """Whether it has started and isn't closed."""
        return self._home.state == "open" and self._closing is None

    async def statistics(self) -> SessionStatistics:
        """What is counted beside the torrents."""
        self._home.check_here()
        return await self._backend.statistics()

    async def set_rates(self, *, download: int | None = None, upload: int | None = None) -> None:
        """Limits the rates of all torrents together, in bytes a second; `None` is no limit."""
        self._home.check_here()
        _rates.check(download=download, upload=upload)
        await self._backend.set_rates(None, download, upload)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        if self._home.state != "open":
            return f"<Session: {self._home.state}>"
        if self._home.pid != os.getpid():
            return "<Session: of the process that this one was forked from>"
        where = ", ".join(f"{host}:{port}" for host, port in self._backend.listening)
        count = len(self._torrents)
        return f"<Session at {where}: {count} torrent{'' if count == 1 else 's'}>"

    def __del__(self, warn: Callable[..., None] = tell_warning) -> None:
        if (home := getattr(self, "_home", None)) and home.state == "open" and home.pid == os.getpid():
            warn(f"unclosed {type(self).__name__}", ResourceWarning, source=self)

    # ---- its inside

    async def _named(self, link: str) -> Magnet:
        """The magnet link of the torrent that a key names now."""
        async with contextlib.aclosing(self.follow(link)) as news:
            async for followed in news:
                return KeyLink.with_torrent(link, followed.info_hash)
        raise SessionClosed(CLOSED)

    def _on_news(self, batch: Sequence[Event]) -> None:
        of: defaultdict[int, list[Event]] = defaultdict(list)
        for event in batch:
            torrent: int | None = getattr(event, "torrent", None)
            if torrent is not None:
                of[torrent].append(event)
            elif isinstance(event, KeyFollowed):
                self._follows.on_followed(event)
            elif isinstance(event, Lagged):
                for handle in self.torrents:
                    handle._on_lag(event.count)
        early = of.keys() - self._torrents.keys()
        if self._hub:
            known: list[News] = list(batch)
            if early:
                known = [event for event in known if getattr(event, "torrent", None) not in early]
            self._hub.publish(known)
        for torrent, events in of.items():
            removed = isinstance(events[-1], Removed)
            if removed:
                self._left.beat()
            if torrent not in early:
                told = self._torrents.pop(torrent) if removed else self._torrents[torrent]
                told._on_news(events)
            elif removed:
                self._early.pop(torrent, None)
            else:
                self._early.setdefault(torrent, []).extend(events)

    async def _take_on(self, wire: bytes | str, place: Path, options: AddOptions) -> int:
        """The engine has it then, and nobody else."""
        while True:
            adding = asyncio.ensure_future(self._backend.add(wire, str(place), **options))
            try:
                return await asyncio.shield(adding)
            except asyncio.CancelledError:
                self._clean(self._take_back(adding))
                raise
            except DuplicateTorrent as error:
                if error.torrent is None or error.torrent in self._torrents:
                    raise
                # nobody has it: it is taken back from who cancelled, and leaves; or somebody is about to have it
                await self._left.wait(LOOK_AGAIN)
                self._home.check_open()

    def _have(self, torrent: int, parsed: Metainfo | Magnet, place: Path, record: Record | None) -> Torrent:
        handle = Torrent(self, self._home, self._backend, torrent, place)
        if not isinstance(parsed, Magnet):
            handle._set_metainfo(parsed)
        handle._record = record
        self._torrents[torrent] = handle
        self._left.beat()
        if early := self._early.pop(torrent, None):
            self._on_news(early)
        return handle

    async def _restore(self, record: Record) -> None:
        """Has a torrent again that was there before. What can't be had is logged, and may be there the next time; what
        makes no sense is set aside."""
        try:
            source, place = record.source, Path(record.folder)
            parsed = Magnet.parse(source) if isinstance(source, str) else await _sources.parse(source)
            torrent = await self._take_on(source, place, record.options)
            self._have(torrent, parsed, place, record)
        except (CommandError, OSError) as error:
            log.warning("the torrent of %s doesn't come back: %s", record.path, error)
            return
        except NONSENSE as error:
            await asyncio.to_thread(record.set_aside, error)
            return
        try:
            if record.web_seeds:
                await self._backend.add_web_seeds(torrent, record.web_seeds)
        except (MillstreamError, ValueError) as error:
            log.warning("the torrent of %s comes back without its web seeds: %s", record.path, error)

    async def _take_back(self, added: asyncio.Future[int] | int, record: Record | None = None) -> None:
        """Removes what was added for somebody who doesn't want it any more."""
        try:
            if record is not None:
                await asyncio.to_thread(record.delete)
            await self._backend.remove(added if isinstance(added, int) else await added)
        except CommandError as error:
            log.debug("nothing to take back: %s", error)
        except Exception as error:
            log.debug("it wasn't added: %s", error)

    def _abandon(self) -> None:
        """It is as good as closed: what runs it is gone."""
        self._home.closing = True
        self._home.state = "closed"

    def _clean(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def _close(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout + CLOSE_GRACE):
                if self._cleaning:
                    await asyncio.wait(self._cleaning, timeout=timeout / 2)
                await self._backend.close(timeout)
        except TimeoutError:
            log.warning("the session didn't end within %s s", timeout)
        finally:
            self._home.state = "closed"
            for torrent in self.torrents:
                torrent._leave()
            self._torrents.clear()
            if self._catalogue is not None:
                self._catalogue.close()
            self._left.beat()
            self._follows.end()
            self._hub.end()


_settings.explain(Session.__init__)


def _listener(session: Session) -> OnNews:
    """Passes news on for as long as somebody holds the session."""
    held = ref(session)

    def on_news(batch: Sequence[Event]) -> None:
        there = held()
        if there is not None:
            there._on_news(batch)

    return on_news
