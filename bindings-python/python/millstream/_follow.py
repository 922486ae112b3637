"""Followed keys (BEP 46): who wants to hear which torrents a key names. The DHT is asked by the engine, once for each
key."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from ._backend import Backend
from ._events import Pulse
from ._millstream import KeyLink
from ._values import KeyFollowed


class Reader:
    """What one who follows hasn't heard yet."""

    def __init__(self) -> None:
        self.news: deque[KeyFollowed] = deque()


@dataclass
class Followers:
    """All who follow one key."""

    begun: asyncio.Future[None]
    readers: set[Reader] = field(default_factory=set)
    last: KeyFollowed | None = None


class Follows:
    """Who follows which key."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._keys: dict[str, Followers] = {}
        self._pulse = Pulse()
        self._ended = False

    async def follow(self, link: KeyLink) -> AsyncGenerator[KeyFollowed]:
        """What the key names, and what takes its place. It ends with the session; dropped, it ends the following once
        nobody else follows the same key."""
        name, reader = str(link), Reader()
        followers = self._keys.get(name)
        if followers is None:
            followers = self._keys[name] = Followers(asyncio.ensure_future(self._backend.follow(name)))
        followers.readers.add(reader)
        if followers.last is not None:
            reader.news.append(followers.last)
        try:
            await asyncio.shield(followers.begun)
            while not self._ended:
                while reader.news:
                    yield reader.news.popleft()
                await self._pulse.wait()
        finally:
            followers.readers.discard(reader)
            if not followers.readers and self._keys.get(name) is followers:
                del self._keys[name]
                followers.begun.add_done_callback(lambda begun: self._leave(name, begun))

    def on_followed(self, news: KeyFollowed) -> None:
        """A key names this now."""
        followers = self._keys.get(str(KeyLink(news.key, news.salt)))
        if followers is None or followers.last == news:
            return
        followers.last = news
        for reader in followers.readers:
            reader.news.append(news)
        self._pulse.beat()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._pulse.beat()

    def _leave(self, name: str, begun: asyncio.Future[None]) -> None:
        # who follows it again meanwhile needs it
        if begun.cancelled() or begun.exception() is not None or self._ended or name in self._keys:
            return
        self._backend.unfollow(name)
