"""Keys that name torrents (BEP 46), for components: one is published, or followed, by a node of the DHT of its own, in
a thread of its own. It owns the versions of what a key says; the torrents are its users'."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .. import bencode
from .._dht import DhtGot, DhtItem, DhtStored
from .._millstream import KeyLink
from ..dht import EVERYWHERE, Node
from ..errors import MillstreamError
from ._signals import reason_of

log = logging.getLogger("millstream")

AGAIN = 1800.0
"""Seconds after which what is published is stored again: nodes forget it after two hours (BEP 44)."""

RETRY = 5.0
"""Seconds until one who found no node, or whose item none took, tries again."""

LOOK_UP_TIMEOUT = 60.0
"""Seconds that a look-up may take."""


@dataclass(frozen=True, slots=True)
class Named:
    """The key names this torrent now; by the publisher's own node, or as the DHT says. `seq` is the version."""

    info_hash: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class NotNamed:
    """A look-up failed. It is tried again."""

    reason: str


KeyNews: TypeAlias = Named | NotNamed


class KeyNode:
    """A node for one key. `wake` is called from its thread when `take` has something. `bootstrap` are the nodes by
    which the DHT is entered (`host:port`), well-known ones unless told; `listen` is where its own node is."""

    def __init__(
        self,
        wake: Callable[[], object],
        *,
        bootstrap: Sequence[str] | None = None,
        listen: Sequence[tuple[str, int]] = EVERYWHERE,
    ) -> None:
        self._wake = wake
        self._bootstrap = bootstrap
        self._listen = listen
        self._news: deque[KeyNews] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._changed = asyncio.Event()
        self._latest: bytes | None = None
        self._thread: threading.Thread | None = None

    def publish(self, secret: bytes, salt: bytes, info_hash: bytes) -> None:
        """Has the key name this torrent from now on. Of torrents that follow each other quickly the last counts."""

        def change() -> None:
            self._latest = info_hash
            self._changed.set()

        self._start(self._publish(secret, salt))
        self._tell_loop(change)

    def follow(self, link: KeyLink, interval: float) -> None:
        """Looks which torrent a key names, every so many seconds."""
        self._start(self._follow(link, interval))

    def take(self) -> list[KeyNews]:
        """What has happened since."""
        return [self._news.popleft() for _ in range(len(self._news))]

    def close(self) -> None:
        """Ends it soon; waits for nothing."""
        self._tell_loop(self._stopped.set)

    def _tell_loop(self, do: Callable[[], object]) -> None:
        if self._loop is not None:
            # one that has ended is told nothing
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(do)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._thread is not None:
            work.close()
            return
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(loop, work), name="millstream key", daemon=True)
        self._thread.start()

    def _run(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._until_stopped(work))
        except Exception as error:
            log.warning("a key's node ended", exc_info=error)
            self._tell(NotNamed(reason_of(error)))

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            for each in (task, stopped):
                each.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    def _node(self) -> Node:
        settings: dict[str, Any] = {} if self._bootstrap is None else {"bootstrap_nodes": list(self._bootstrap)}
        return Node(listen=self._listen, **settings)

    async def _publish(self, secret: bytes, salt: bytes) -> None:
        async with self._node() as node:
            await node.joined()
            seq: int | None = None
            while True:
                self._changed.clear()
                info_hash = self._latest
                if info_hash is not None:
                    try:
                        seq = await asyncio.wait_for(self._put(node, secret, salt, info_hash, seq), LOOK_UP_TIMEOUT)
                    except (MillstreamError, OSError, TimeoutError) as error:
                        self._tell(NotNamed(reason_of(error)))
                        await asyncio.sleep(RETRY)
                        continue
                await _any(self._changed.wait(), AGAIN)

    async def _put(self, node: Node, secret: bytes, salt: bytes, info_hash: bytes, seq: int | None) -> int:
        value = bencode.encode({"ih": info_hash})
        if seq is None:
            key = DhtItem.signed(secret, value, seq=1, salt=salt)
            got = (await node.get(key.target, salt=salt)).outcome
            item = got.item if isinstance(got, DhtGot) else None
            seq = item.seq if item is not None and item.seq is not None else 0
        done = (await node.put(DhtItem.signed(secret, value, seq=seq + 1, salt=salt))).outcome
        if not isinstance(done, DhtStored) or not done.stored:
            raise OSError("no node of the DHT stores what the key names")
        self._tell(Named(info_hash, seq + 1))
        return seq + 1

    async def _follow(self, link: KeyLink, interval: float) -> None:
        async with self._node() as node:
            await node.joined()
            last = 0
            while True:
                try:
                    done = await asyncio.wait_for(node.get(link.target, salt=link.salt), LOOK_UP_TIMEOUT)
                except (MillstreamError, OSError, TimeoutError) as error:
                    self._tell(NotNamed(reason_of(error)))
                else:
                    item = done.outcome.item if isinstance(done.outcome, DhtGot) else None
                    if item is not None and (item.seq or 0) > last:
                        last = item.seq or 0
                        self._tell(_named(item))
                await asyncio.sleep(interval)

    def _tell(self, news: KeyNews) -> None:
        self._news.append(news)
        self._wake()


async def _any(work: Coroutine[Any, Any, object], seconds: float) -> None:
    """Waits for this, so long at the most."""
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return


def _named(item: DhtItem) -> KeyNews:
    try:
        value = bencode.decode(item.value)
    except ValueError:
        return NotNamed("what the key says is no bencode")
    info_hash = value.get(b"ih") if isinstance(value, dict) else None
    if not isinstance(info_hash, bytes) or len(info_hash) != 20:
        return NotNamed("what the key says names no torrent")
    return Named(info_hash, item.seq or 0)
