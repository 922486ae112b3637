"""StreamSubscriber: the stream of a StreamPublisher, put together again of the torrents that its feed names.

inbox    feeds: bytes or str
control  producerFinished ends it when all chunks of the feeds it saw are out, shutdown and shutdownMicroprocess at once
outbox   the stream: bytes, in order, from the first chunk of the first feed on
status   TIPCTorrentError for garbage and failures
signal   producerFinished when it has ended: also when the stream has, unless it `seeds` on
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from ._crew import Crewed
from ._http import fetch
from .ipc import TIPCCreateTorrentIn, TIPCTorrentComplete, TIPCTorrentError
from .StreamPublisher import CHUNK_BYTES_MAX
from .TorrentIPC import TIPCNewTorrentCreated

__all__ = ["StreamSubscriber"]

SEND_BYTES = 64 << 10
"""At most so many bytes of a stream are in one message."""

CHUNKS_MAX = 10_000
"""A feed that names more chunks is none."""

FEED_BYTES_MAX = 16 << 20
"""A feed that is longer isn't taken. Bytes."""


class StreamSubscriber(Crewed):
    """StreamSubscriber([url]) -> a component that gives a stream that is published.

    `url`: where the feed is, which is looked at every `interval` seconds; without it feeds come by the inbox. `folder`:
    where chunks are kept. `seeds`: whether it goes on after the stream's end, for others. The other keywords are
    TorrentPatron's.
    """

    Outboxes = {**Crewed.Outboxes, "status": "Garbage and failures"}
    COMPLAINTS = "status"

    def __init__(
        self,
        url: str | None = None,
        *,
        interval: float = 10,
        folder: str | os.PathLike[str] = ".",
        seeds: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(options, interval=interval if url is not None else None)
        self._url, self._folder, self._seeds = url, Path(folder), seeds
        # the number of the next chunk to go out; what is known of it and those behind it
        self._next: int | None = None
        self._last = 0
        self._length: dict[int, int] = {}
        self._path: dict[int, str] = {}
        self._numbers: dict[int, list[int]] = {}
        self._whole: set[int] = set()
        self._lost: set[int] = set()
        self._reading = self._looking = self._ended = False

    def on_tick(self) -> None:
        if self._url is not None and not self._looking and not self._ended:
            url = self._url
            self._looking = True
            self.work("feed", lambda: fetch(url, bytes_max=FEED_BYTES_MAX))

    def on_message(self, message: Any) -> None:
        try:
            self._take(_feed_of(message))
        except ValueError as error:
            self.complain(str(error))

    def on_done(self, token: Any, result: Any, error: str | None) -> None:
        if token == "feed":
            self._looking = False
            if error is None:
                self.on_message(result)
            else:
                self.complain(error)
            return
        self._reading = False
        if error is not None:
            self.complain(f"chunk {token} is lost: {error}")
        for at in range(0, len(result or b""), SEND_BYTES):
            self.out.put(result[at : at + SEND_BYTES])
        self._next = token + 1
        self._go_on()

    def on_started(self, token: Any, answer: Any) -> None:
        if isinstance(answer, TIPCNewTorrentCreated):
            self._path[token] = answer.savefolder
            self._numbers.setdefault(answer.torrentid, []).append(token)
        else:
            self._lose(token, "it can't be started")

    def on_told(self, message: Any) -> None:
        numbers = self._numbers.get(getattr(message, "torrentid", None) or 0, [])
        if isinstance(message, TIPCTorrentComplete):
            self._whole.update(numbers)
            self._go_on()
        elif isinstance(message, TIPCTorrentError):
            for number in numbers:
                self._lose(number, message.message)

    def is_done(self) -> bool:
        return self.is_idle and (self._next is None or self._next > self._last) and not self._reading

    def _take(self, feed: dict[str, Any]) -> None:
        for chunk in feed["chunks"]:
            number = chunk["number"]
            if self._next is None:
                self._next = number
            if number <= self._last:
                continue
            # a gap is what the feed no longer had when we looked
            for gone in range(max(self._last + 1, self._next), number):
                self._lose(gone, "it is no longer in the feed")
            self._last = number
            self._length[number] = chunk["length"]
            raw = base64.b64decode(chunk["torrent"], validate=True)
            self.create(number, TIPCCreateTorrentIn(rawmetainfo=raw, savefolder=str(self._folder)))
        self._ended = self._ended or feed["ended"]
        self._go_on()

    def _lose(self, number: int, reason: str) -> None:
        self._lost.add(number)
        self.complain(f"chunk {number} is lost: {reason}")
        self._go_on()

    def _go_on(self) -> None:
        while self._next is not None and self._next in self._lost:
            self._next += 1
        number = self._next
        if number is not None and number in self._whole and not self._reading:
            path, length = self._path[number], self._length[number]
            self._reading = True
            self.work(number, lambda: _chunk_of(path, length))
        elif self._ended and not self._seeds and self.is_done():
            self.finishing = True


def _chunk_of(path: str, length: int) -> bytes:
    if (stored := os.stat(path).st_size) != length:
        raise ValueError(f"it has {stored} bytes, and the feed says {length}")
    return Path(path).read_bytes()


def _feed_of(message: Any) -> dict[str, Any]:
    """A feed, checked. `ValueError` if it is none."""
    if not isinstance(message, bytes | bytearray | str) or len(message) > FEED_BYTES_MAX:
        raise ValueError(f"a {type(message).__name__} is no feed")
    try:
        feed = json.loads(message)
    except (ValueError, RecursionError):
        raise ValueError("a feed is JSON") from None
    if not isinstance(feed, dict) or feed.get("millstream") != 1 or not isinstance(feed.get("ended"), bool):
        raise ValueError("that is no feed of a stream")
    chunks = feed.get("chunks")
    if not isinstance(chunks, list) or len(chunks) > CHUNKS_MAX:
        raise ValueError("a feed has a list of chunks")
    last = 0
    for chunk in chunks:
        if not isinstance(chunk, dict) or not isinstance(chunk.get("torrent"), str):
            raise ValueError("a chunk of a feed has a torrent")
        number = _count(chunk.get("number"), 1 << 53)
        _count(chunk.get("length"), CHUNK_BYTES_MAX)
        if not last < number < last + (CHUNKS_MAX if last else 1 << 53):
            raise ValueError("chunks of a feed are numbered in order")
        try:
            base64.b64decode(chunk["torrent"], validate=True)
        except ValueError:
            raise ValueError("a chunk's torrent is base64") from None
        last = number
    return feed


def _count(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise ValueError("chunks of a feed have numbers and lengths")
    return value


__kamaelia_components__ = (StreamSubscriber,)
