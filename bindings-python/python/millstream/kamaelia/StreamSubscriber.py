"""StreamSubscriber: the stream of a StreamPublisher, put together again of the torrents that its feed names.

inbox    feeds in JSON, RSS or Atom: bytes or str
control  producerFinished ends it when all chunks of the feeds it saw are out, shutdown and shutdownMicroprocess at once
outbox   the stream: bytes, in order, from the first chunk of the first feed on
status   TIPCTorrentError for garbage and failures
signal   producerFinished when it has ended: also when the stream has, unless it `seeds` on
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._millstream import KeyLink
from ._crew import Crewed
from ._feed_of_stream import CHUNK_BYTES_MAX, CHUNKS_MAX, FEED_BYTES_MAX, Chunk, StreamFeed, read
from ._http import Page, fetch, fetch_page
from ._keys import KeyNode, Named
from .ipc import TIPCCreateTorrentIn, TIPCTorrentComplete, TIPCTorrentError
from .TorrentIPC import TIPCCloseTorrent, TIPCNewTorrentCreated

__all__ = ["StreamSubscriber"]

SEND_BYTES = 64 << 10
"""At most so many bytes of a stream are in one message."""

TORRENT_BYTES_MAX = 16 << 20
"""A torrent file that is longer isn't taken. Bytes."""

FEEDS_MAX = 3
"""So many feeds of a key are got and seeded at once."""

TRIES = 5
"""So often a torrent file is asked for; then its chunk is lost."""

LOOK = "the feed"


class StreamSubscriber(Crewed):
    """StreamSubscriber([url]) -> a component that gives a stream that is published.

    `url`: where the feed is, which is looked at every `interval` seconds: an HTTP URL, or the magnet link of a key
    (BEP 46), as `StreamPublisher.magnet` is; without it feeds come by the inbox. `folder`: where chunks are kept.
    `seeds`: whether it goes on after the stream's end, for others. `history`: so many chunks that are out are
    seeded; older ones are closed, their files stay. `dht_bootstrap`, `dht_listen`: as StreamPublisher's. The other
    keywords are TorrentPatron's.
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
        history: int = 100,
        dht_bootstrap: Sequence[str] | None = None,
        dht_listen: Sequence[tuple[str, int]] = (("0.0.0.0", 0), ("::", 0)),
        **options: Any,
    ) -> None:
        key = KeyLink.parse(url) if url is not None and url.startswith("magnet:") else None
        super().__init__(options, interval=interval if url is not None else None)
        self._url, self._folder, self._seeds = url, Path(folder), seeds
        self._page: Page | None = None
        self._key, self._interval = key, interval
        self._node = KeyNode(self.unpause, bootstrap=dht_bootstrap, listen=dht_listen) if key is not None else None
        # feeds of the key: their ids and where they lie; the newest is last
        self._feeds: dict[int, str] = {}
        # the number of the next chunk to go out; what is known of it and those behind it
        self._next: int | None = None
        self._last = 0
        self._chunks: dict[int, Chunk] = {}
        self._tries: dict[int, int] = {}
        self._missed: list[Chunk] = []
        self._path: dict[int, str] = {}
        self._numbers: dict[int, int] = {}
        # ids of those that are out, the oldest first
        self._seeded: deque[int] = deque()
        self._history = history
        self._whole: set[int] = set()
        self._lost: set[int] = set()
        self._reading = self._looking = self._ended = False

    def on_tick(self) -> None:
        missed, self._missed = self._missed, []
        for chunk in missed:
            self._begin(chunk)
        if self._url is not None and self._key is None and not self._looking and not self._ended:
            url, known = self._url, self._page
            self._looking = True
            self.work(LOOK, lambda: fetch_page(url, known=known, bytes_max=FEED_BYTES_MAX))

    def on_turn(self) -> None:
        if self._node is None or self._key is None:
            return
        # the first turn begins it
        self._node.follow(self._key, self._interval)
        for news in self._node.take():
            if isinstance(news, Named):
                link = str(KeyLink.with_torrent(self._url or "", news.info_hash))
                self.create(news, TIPCCreateTorrentIn(rawmetainfo=link, savefolder=str(self._folder)))
            else:
                self.complain(f"the key's feed can't be found: {news.reason}")

    def on_end(self) -> None:
        if self._node is not None:
            self._node.close()

    def on_message(self, message: Any) -> None:
        self._on_feed(message, self._url or "")

    def on_done(self, token: Any, result: Any, error: str | None) -> None:
        if token == LOOK:
            self._looking = False
            self._on_page(result, error)
        elif isinstance(token, str):
            # a feed of the key's own torrent
            self._on_page(Page(self._url or "", result), error)
        elif isinstance(token, Chunk):
            self._on_torrent(token, result, error)
        else:
            self._on_chunk(token, result, error)

    def on_started(self, token: Any, answer: Any) -> None:
        if not isinstance(answer, TIPCNewTorrentCreated):
            if isinstance(token, Named):
                self.complain("the key's feed can't be started, or is running already")
            else:
                self._lose(token, "it can't be started")
        elif isinstance(token, Named):
            self._feeds[answer.torrentid] = answer.savefolder
            self._close_old_feeds()
        else:
            self._path[token] = answer.savefolder
            self._numbers[answer.torrentid] = token

    def on_told(self, message: Any) -> None:
        torrentid = getattr(message, "torrentid", None) or 0
        if torrentid in self._feeds:
            if isinstance(message, TIPCTorrentComplete):
                # what a magnet link gets may have another name than its link says
                path = self._feeds[torrentid] = message.savefolder
                self.work(path, lambda: _feed_of(path))
            elif isinstance(message, TIPCTorrentError):
                self.complain(message.message)
            return
        number = self._numbers.get(torrentid)
        if number is None:
            return
        if isinstance(message, TIPCTorrentComplete):
            self._whole.add(number)
            self._path[number] = message.savefolder
            self._let_go(torrentid)
            self._go_on()
        elif isinstance(message, TIPCTorrentError):
            self._let_go(torrentid)
            self._lose(number, message.message)

    def is_done(self) -> bool:
        is_behind = self._next is not None and self._next <= self._last
        return self.is_idle and not (is_behind or self._reading or self._missed)

    # ---- feeds

    def _on_page(self, page: Page, error: str | None) -> None:
        if error is not None:
            self.complain(error)
            return
        if page.body is not None:
            self._on_feed(page.body, page.url)
        self._page = page

    def _on_feed(self, document: Any, base: str) -> None:
        try:
            self._take(read(document, base))
        except ValueError as error:
            self.complain(str(error))

    def _take(self, feed: StreamFeed) -> None:
        if self._next is not None and feed.chunks and feed.chunks[-1].number > self._last + CHUNKS_MAX:
            raise ValueError(f"a feed that goes on so far behind chunk {self._last} is another stream's")
        for chunk in feed.chunks:
            number = chunk.number
            if self._next is None:
                self._next = number
            if number <= self._last:
                continue
            # a gap is what the feed no longer had when we looked
            gone = range(max(self._last + 1, self._next), number)
            self._lost.update(gone)
            if gone:
                self.complain(f"chunks {gone[0]} to {gone[-1]} are lost: they are no longer in the feed")
            self._last = number
            self._chunks[number] = chunk
            self._begin(chunk)
        self._ended = self._ended or feed.ended
        self._go_on()

    def _close_old_feeds(self) -> None:
        """An older feed is of no use once there are newer ones, but for who gets it just now."""
        while len(self._feeds) > FEEDS_MAX:
            torrentid = next(iter(self._feeds))
            path = self._feeds.pop(torrentid)
            self.ask(TIPCCloseTorrent(torrentid=torrentid))
            with contextlib.suppress(OSError):
                Path(path).unlink()

    # ---- chunks

    def _begin(self, chunk: Chunk) -> None:
        where = chunk.torrent
        if isinstance(where, str) and not where.startswith("magnet:"):
            self.work(chunk, lambda: fetch(where, bytes_max=TORRENT_BYTES_MAX))
        else:
            self.create(chunk.number, TIPCCreateTorrentIn(rawmetainfo=where, savefolder=str(self._folder)))

    def _on_torrent(self, chunk: Chunk, torrent: Any, error: str | None) -> None:
        if error is None:
            self.create(chunk.number, TIPCCreateTorrentIn(rawmetainfo=torrent, savefolder=str(self._folder)))
            return
        tries = self._tries[chunk.number] = self._tries.get(chunk.number, 0) + 1
        if tries < TRIES and self._url is not None:
            # with the next look
            self.complain(error)
            self._missed.append(chunk)
        else:
            self._lose(chunk.number, error)

    def _on_chunk(self, number: int, data: Any, error: str | None) -> None:
        self._reading = False
        if error is not None:
            self.complain(f"chunk {number} is lost: {error}")
        for at in range(0, len(data or b""), SEND_BYTES):
            self.out.put(data[at : at + SEND_BYTES])
        self._forget(number)
        self._next = number + 1
        self._go_on()

    def _lose(self, number: int, reason: str) -> None:
        self._lost.add(number)
        self.complain(f"chunk {number} is lost: {reason}")
        self._go_on()

    def _go_on(self) -> None:
        while self._next is not None and self._next in self._lost:
            self._lost.discard(self._next)
            self._forget(self._next)
            self._next += 1
        number = self._next
        if number is not None and number in self._whole and not self._reading:
            path, length = self._path[number], self._chunks[number].length
            self._reading = True
            self.work(number, lambda: _chunk_of(path, length))
        elif self._ended and not self._seeds and self.is_done():
            self.finishing = True

    def _let_go(self, torrentid: int) -> None:
        """It is seeded for a while."""
        del self._numbers[torrentid]
        self._seeded.append(torrentid)
        while len(self._seeded) > self._history:
            self.ask(TIPCCloseTorrent(torrentid=self._seeded.popleft()))

    def _forget(self, number: int) -> None:
        self._chunks.pop(number, None)
        self._tries.pop(number, None)
        self._path.pop(number, None)
        self._whole.discard(number)


def _chunk_of(path: str, length: int | None) -> bytes:
    stored = os.stat(path).st_size
    if length is not None and stored != length:
        raise ValueError(f"it has {stored} bytes, and the feed says {length}")
    if stored > CHUNK_BYTES_MAX:
        raise ValueError(f"it has {stored} bytes, which are too many")
    return Path(path).read_bytes()


def _feed_of(path: str) -> bytes:
    if os.stat(path).st_size > FEED_BYTES_MAX:
        raise ValueError("the key's feed is too long")
    return Path(path).read_bytes()


__kamaelia_components__ = (StreamSubscriber,)
