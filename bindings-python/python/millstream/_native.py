"""The backend over the tokio driver: sockets, disk and digests belong to threads that never take the interpreter's
lock.

They call the loop by one byte on a socket for a whole batch; answers and events then lie ready. Owns that meeting and
nothing of the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import warnings
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Unpack

from ._backend import OnNews
from ._millstream import NativeSession
from ._values import (
    AddOptions,
    Address,
    Event,
    FilePriority,
    PeerStatus,
    SessionSettings,
    SessionStatistics,
    Status,
    Stopped,
    TrackerStatus,
    WebSeedStatus,
)
from .errors import CLOSED, SessionClosed

logger = logging.getLogger("millstream")

GRACE = 2.0
"""Seconds beyond its time-out that a close waits for the engine's thread at most."""


class NativeBackend:
    """A session of the tokio driver, on the loop that starts it."""

    def __init__(self, **settings: Unpack[SessionSettings]) -> None:
        self._native = NativeSession(**settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._on_news: OnNews = _ignore
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._ended = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    # ---- its life

    async def start(self, on_news: OnNews) -> None:
        loop = asyncio.get_running_loop()
        token = self._native.start()
        self._loop, self._on_news = loop, on_news
        # The loop holds no more than a weak reference: who forgets a session doesn't keep it alive by that.
        backend: weakref.ref[NativeBackend] = weakref.ref(self)
        loop.add_reader(self._native.fileno(), _drain, backend)
        try:
            await self._answer(token)
        except BaseException:
            # Cancelled, it may have begun to bind.
            self._native.close(0)
            self._hang_up()
            raise

    async def close(self, timeout: float) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(timeout))
        await asyncio.shield(self._closing)

    async def _close(self, timeout: float) -> None:
        ended = self._native.close(timeout)
        if self._loop is None:
            return
        try:
            async with asyncio.timeout(timeout + GRACE):
                await self._answer(ended)
                await self._ended.wait()
        except TimeoutError:
            pass
        finally:
            self._hang_up()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(SessionClosed(CLOSED))
            self._waiting.clear()

    def _hang_up(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._native.fileno())
            self._loop = None

    def __del__(self) -> None:
        loop: asyncio.AbstractEventLoop | None = getattr(self, "_loop", None)
        # in a process that was forked all of it is the other's, and so is the loop
        if loop is None or self._process != os.getpid():
            return
        warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
        # A closed loop reads nothing any more. An open one must not read what is no session's.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_let_go, loop, self._native)

    def __repr__(self) -> str:
        state = "open" if self._loop is not None else "closed"
        return f"<NativeBackend {state}>"

    # ---- what is awaited

    async def fetch(self, url: str) -> bytes:
        data: bytes = await self._answer(self._native.fetch(url))
        return data

    async def look_up(self, host: str, port: int) -> tuple[Address, ...]:
        addresses: tuple[Address, ...] = await self._answer(self._native.look_up(host, port))
        return addresses

    async def follow(self, link: str) -> None:
        await self._answer(self._native.follow(link))

    def unfollow(self, link: str) -> None:
        self._native.unfollow(link)

    async def add(self, source: bytes | str, folder: str, **options: Unpack[AddOptions]) -> int:
        token = self._native.add(source, folder, **options)
        future = self._expect(token)
        try:
            torrent: int = await future
        except asyncio.CancelledError:
            # Cancelled though it had just been answered: nobody hears of the torrent.
            if future.done() and not future.cancelled() and future.exception() is None:
                with contextlib.suppress(SessionClosed, LookupError):
                    self._native.forget(self._native.remove(future.result()))
            raise
        finally:
            self._give_up(token)
        return torrent

    async def remove(self, torrent: int) -> None:
        await self._answer(self._native.remove(torrent))

    async def pause(self, torrent: int) -> None:
        await self._answer(self._native.pause(torrent))

    async def resume(self, torrent: int) -> None:
        await self._answer(self._native.resume(torrent))

    async def recheck(self, torrent: int) -> None:
        await self._answer(self._native.recheck(torrent))

    async def select(self, torrent: int, files: list[int] | None) -> None:
        await self._answer(self._native.select(torrent, files))

    async def set_priorities(self, torrent: int, priorities: dict[int, FilePriority]) -> None:
        await self._answer(self._native.set_priorities(torrent, priorities))

    async def set_sequential(self, torrent: int, on: bool) -> None:
        await self._answer(self._native.set_sequential(torrent, on))

    async def set_deadline(self, torrent: int, start: int, length: int, within: float) -> None:
        await self._answer(self._native.set_deadline(torrent, (start, length), within))

    async def set_rates(self, torrent: int | None, download: int | None, upload: int | None) -> None:
        await self._answer(self._native.set_rates(torrent, download, upload))

    async def add_peers(self, torrent: int, peers: Iterable[Address | str]) -> None:
        await self._answer(self._native.add_peers(torrent, peers))

    async def add_web_seeds(self, torrent: int, urls: list[str]) -> None:
        await self._answer(self._native.add_web_seeds(torrent, urls))

    async def set_trackers(self, torrent: int, tiers: list[list[str]]) -> None:
        await self._answer(self._native.set_trackers(torrent, tiers))

    async def disconnect(self, torrent: int, peer: Address | str, *, ban: bool) -> None:
        await self._answer(self._native.disconnect(torrent, peer, ban=ban))

    async def announce(self, torrent: int) -> None:
        await self._answer(self._native.announce(torrent))

    async def scrape(self, torrent: int) -> None:
        await self._answer(self._native.scrape(torrent))

    async def check_update(self, torrent: int) -> None:
        await self._answer(self._native.check_update(torrent))

    async def save(self, torrent: int) -> None:
        await self._answer(self._native.save(torrent))

    async def refresh(self, torrent: int) -> None:
        await self._answer(self._native.refresh(torrent))

    async def peers(self, torrent: int) -> tuple[PeerStatus, ...]:
        peers: tuple[PeerStatus, ...] = await self._answer(self._native.peers(torrent))
        return peers

    async def priorities(self, torrent: int) -> tuple[FilePriority | None, ...]:
        priorities: tuple[FilePriority | None, ...] = await self._answer(self._native.priorities(torrent))
        return priorities

    async def trackers(self, torrent: int) -> tuple[TrackerStatus, ...]:
        trackers: tuple[TrackerStatus, ...] = await self._answer(self._native.trackers(torrent))
        return trackers

    async def web_seeds(self, torrent: int) -> tuple[WebSeedStatus, ...]:
        seeds: tuple[WebSeedStatus, ...] = await self._answer(self._native.web_seeds(torrent))
        return seeds

    async def statistics(self) -> SessionStatistics:
        statistics: SessionStatistics = await self._answer(self._native.statistics())
        return statistics

    # ---- what is read at once

    @property
    def listening(self) -> tuple[Address, ...]:
        return self._native.listening()

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._native.warnings())

    @property
    def state_folder(self) -> Path | None:
        return self._native.state_folder()

    def status(self, torrent: int) -> Status:
        return self._native.status(torrent)

    def info(self, torrent: int) -> bytes | None:
        return self._native.info(torrent)

    def verified(self, torrent: int) -> bytes:
        return self._native.verified(torrent)

    # ---- the meeting

    async def _answer(self, token: int) -> Any:
        future = self._expect(token)
        try:
            return await future
        finally:
            self._give_up(token)

    def _expect(self, token: int) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        return future

    def _give_up(self, token: int) -> None:
        if self._waiting.pop(token, None) is not None:
            self._native.forget(token)

    def _drain(self) -> None:
        answers, news, log = self._native.drain()
        for level, line in log:
            logger.log(level, "%s", line)
        for token, answer in answers:
            future = self._waiting.pop(token, None)
            if future is None or future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        if news:
            if isinstance(news[-1], Stopped):
                self._ended.set()
            self._on_news(news)


def _drain(backend: weakref.ref[NativeBackend]) -> None:
    if (alive := backend()) is not None:
        alive._drain()


def _let_go(loop: asyncio.AbstractEventLoop, native: NativeSession) -> None:
    """Until here the session holds its socket, so that its number names no other."""
    loop.remove_reader(native.fileno())


def _ignore(_: Iterable[Event]) -> None:
    """Nobody listens yet."""
