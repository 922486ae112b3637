"""Streams of news: each reader has its own bounded queue, and a slow one delays nobody. What news means is said
where it comes from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from weakref import WeakSet

from . import _time
from ._home import Home
from ._values import Completed, Event, KeyFollowed, Lagged, Metadata, Removed, Stopped, TorrentFailed, UpdateAvailable


@dataclass(frozen=True, slots=True)
class TorrentFile:
    """A file of a torrent as it was when it was asked for. Sizes in bytes.

    `path` is safe: it stays in the folder that the torrent is downloaded into, and begins with the torrent's name if it
    has a folder of its own. `raw_path` is what the torrent says, which may lead anywhere. `offset` is where it starts
    in the span that pieces cut; of `length` bytes, `verified` lie in pieces that are verified and written.
    """

    index: int
    path: PurePosixPath
    raw_path: tuple[bytes, ...]
    length: int
    offset: int
    verified: int
    folder: Path

    @property
    def location(self) -> Path:
        """Where it is stored."""
        return self.folder.joinpath(*self.path.parts)

    @property
    def progress(self) -> float:
        """How much of it is verified and written, from 0.0 to 1.0."""
        return self.verified / self.length if self.length else 1.0

    @property
    def is_complete(self) -> bool:
        """Whether all of it is verified and written."""
        return self.verified >= self.length


@dataclass(frozen=True, slots=True)
class FileCompleted:
    """All of a file is verified and written."""

    torrent: int
    file: TorrentFile


News: TypeAlias = Event | FileCompleted
"""What a session and its torrents tell."""

KEPT: frozenset[type] = frozenset(
    {Metadata, Completed, FileCompleted, TorrentFailed, UpdateAvailable, KeyFollowed, Removed, Stopped}
)
"""What reaches every reader, however slow. There can't be much of it."""


class Events(AsyncIterator[News]):
    """News from the moment it was asked for, until its source ends. At most `events_max` wait in it; beyond that the
    oldest that may be dropped are, and `Lagged` says how many. Metadata, completion, failure and removal never are.

    For one reader; several readers take a stream each. Dropping it is enough to end it.

    >>> import tempfile
    >>> from millstream import Checked, Metadata, Session, create
    >>> alone = {"listen": [("127.0.0.1", 0)], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}
    >>> async def story(folder):
    ...     async with Session(folder=folder, **alone) as session:
    ...         torrent = await session.add(create("hello.txt", b"hello"), only_peers=True, paused=True)
    ...         async for event in torrent.events():
    ...             match event:
    ...                 case Metadata(number):
    ...                     return session.torrent(number).name
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(story(folder))
    'hello.txt'
    """

    def __init__(self, events_max: int, home: Home | None = None) -> None:
        self._home = home
        self._queue: deque[News] = deque()
        self._events_max = max(events_max, 1)
        self._dropped = 0
        self._ended = False
        self._waiting: list[asyncio.Future[None]] = []
        self._on_its_way: News | None = None

    async def __anext__(self) -> News:
        while (event := self._pop()) is None:
            if self._ended:
                raise StopAsyncIteration
            await self._news(None)
        return event

    async def take(self, timeout: float | None = None) -> list[News]:
        """All that waits; if nothing does, what comes first within `timeout` seconds. Empty when that has passed, and
        when there will be no more."""
        _time.patience("timeout", timeout)
        if not (self._queue or self._dropped or self._ended) and timeout != 0:
            await self._news(timeout)
        return self.waiting()

    def waiting(self) -> list[News]:
        """All that waits."""
        lag: list[News] = [Lagged(self._dropped)] if self._dropped else []
        taken = [*lag, *self._queue]
        self._dropped = 0
        self._queue.clear()
        return taken

    @property
    def ended(self) -> bool:
        """Whether nothing more will come than what waits."""
        return self._ended

    def close(self) -> None:
        """Ends it: who waits for news hears that there will be none."""
        if self._waiting and self._home is not None:
            self._home.check()
        self._queue.clear()
        self._dropped = 0
        self.end()

    def __repr__(self) -> str:
        return f"<Events: {len(self._queue)} waiting{', ended' if self._ended else ''}>"

    # ---- for who publishes

    def push(self, events: Iterable[News]) -> None:
        """More news."""
        if self._ended:
            return
        if self._on_its_way is not None:
            events = self._without(self._on_its_way, list(events))
            if not events:
                # who waits hears of news, and of nothing else
                return
        self._queue.extend(events)
        excess = len(self._queue) - self._events_max
        if excess > 0:
            self._drop(excess)
        self._wake()

    def expect(self, news: News) -> None:
        """This may still come, and was told already: it isn't told again."""
        self._on_its_way = news

    def lag(self, count: int) -> None:
        """So many were dropped before they came here."""
        if not self._ended:
            self._dropped += count
            self._wake()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    def _without(self, known: News, events: list[News]) -> list[News]:
        if known in events:
            events.remove(known)
            self._on_its_way = None
        return events

    def _pop(self) -> News | None:
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return Lagged(count)
        return self._queue.popleft() if self._queue else None

    def _drop(self, excess: int) -> None:
        """Drops so many of the oldest, but for those that must stay; then more wait than should."""
        stay: list[News] = []
        while excess and self._queue:
            event = self._queue.popleft()
            if type(event) in KEPT:
                stay.append(event)
            else:
                excess -= 1
                self._dropped += 1
        self._queue.extendleft(reversed(stay))

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _news(self, timeout: float | None) -> None:
        if self._home is not None:
            self._home.check()
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            # not wait_for, which before Python 3.12 loses a cancellation that comes together with the news
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            pass
        finally:
            if future in self._waiting:
                self._waiting.remove(future)


class Hub:
    """Where news is published. Readers that nobody holds any more are forgotten."""

    __slots__ = ("_events_max", "_home", "_readers", "_ended")

    def __init__(self, events_max: int, home: Home | None = None) -> None:
        self._events_max = events_max
        self._home = home
        self._readers: WeakSet[Events] = WeakSet()
        self._ended = False

    def __bool__(self) -> bool:
        return bool(self._readers)

    def subscribe(self, before: Sequence[News] = (), *, on_its_way: News | None = None) -> Events:
        """A stream that begins with what was `before`. What is `on_its_way` still isn't told twice for that."""
        events = Events(self._events_max, self._home)
        events.push(before)
        if on_its_way is not None and on_its_way in before:
            events.expect(on_its_way)
        if self._ended:
            events.end()
        else:
            self._readers.add(events)
        return events

    def publish(self, news: Sequence[News]) -> None:
        """Tells all readers."""
        self._each(lambda reader: reader.push(news))

    def lag(self, count: int) -> None:
        """Tells all readers that so much was lost on the way here."""
        self._each(lambda reader: reader.lag(count))

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._each(Events.end)

    def _each(self, tell: Callable[[Events], None]) -> None:
        if self._readers:
            for reader in list(self._readers):
                tell(reader)


class Pulse:
    """Wakes all who wait for a change, whatever it is."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        """Something has changed."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, timeout: float | None = None) -> bool:
        """Returns after the next change, or when `timeout` seconds have passed: whether there was one."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            # not wait_for, which before Python 3.12 loses a cancellation that comes together with the news
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return True
