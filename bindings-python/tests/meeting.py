"""What stories about backends have in common: hermetic settings, news that is kept, a torrent with its files."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Unpack

from millstream import create
from millstream._native import NativeBackend
from millstream._values import Event, SessionSettings

HERMETIC = SessionSettings(
    listen=["127.0.0.1:0"], keep_resume=False, dht=False, lsd=False, pex=False, port_mapping=False, utp=False
)
"""Nobody is sought, and nothing outlives the test."""


class News:
    """What a backend told, kept for ever."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self.batches = 0
        self._more = asyncio.Event()

    def __call__(self, batch: Sequence[Event]) -> None:
        self.seen += batch
        self.batches += 1
        self._more.set()

    async def until(self, event: Event) -> None:
        await self.until_all(lambda seen: event in seen)

    async def until_all(self, done: Callable[[list[Event]], bool]) -> None:
        async with asyncio.timeout(60):
            while not done(self.seen):
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def session(**changes: Unpack[SessionSettings]) -> AsyncIterator[tuple[NativeBackend, News]]:
    settings = HERMETIC.copy()
    settings.update(changes)
    backend, news = NativeBackend(**settings), News()
    await backend.start(news)
    try:
        yield backend, news
    finally:
        await backend.close(5)


def stored(folder: Path, *, name: str = "x.bin", length: int = 300_000, piece_length: int = 16384) -> bytes:
    """A torrent of one file, which lies in the folder."""
    data = secrets.token_bytes(length)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return create(name, data, piece_length=piece_length)
