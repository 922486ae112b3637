"""StreamPublisher: a live stream over torrents. It cuts the stream into chunks, each a torrent as soon as it is whole.
A StreamSubscriber puts it together again. Between them goes a feed, a small document in JSON, RSS or Atom, by whatever
way: a web server, a pipe, a file; or a key's own torrent (BEP 46), which needs no server at all. `_feed_of_stream` says
what is in it.

    inbox    the stream: bytes, bytearray or memoryview
    control  producerFinished publishes what is left as a last, shorter chunk, tells the feed that it ended, and goes on
             seeding; shutdown and shutdownMicroprocess end it
    outbox   TIPCChunkPublished for each chunk, TIPCFeedNamed when the key names a new feed, TIPCTorrentError for
             garbage and failures
    feed     the feed as bytes, whenever it changes
    signal   producerFinished when it has ended
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._millstream import KeyLink, Metainfo, sign
from .._values import Version
from ._crew import Crewed, folder_of, magnet_of
from ._feed_of_stream import CHUNK_BYTES_MAX, FORMS, Chunk, FeedForm, StreamFeed, write
from ._keys import KeyNode, Named
from ._repair import ByteQueue
from ._signals import is_a
from .ipc import TIPCChunkPublished, TIPCCreateTorrentIn, TIPCFeedNamed
from .TorrentIPC import TIPCCloseTorrent, TIPCNewTorrentCreated, TIPCTorrentAlreadyDownloading
from .TorrentMaker import make_torrent

__all__ = ["CHUNK_BYTES_MAX", "StreamPublisher"]

PIECE_BYTES = 1 << 18

FEEDS_MAX = 3
"""So many feeds of a key are seeded: who has begun to get one gets it to its end."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A file that became a torrent, or is to: a chunk by its number, or else a feed."""

    path: Path
    length: int
    number: int | None = None
    raw: bytes = b""


class StreamPublisher(Crewed):
    """StreamPublisher([chunk]) -> a component that publishes a stream.

    `chunk`: bytes of each torrent. `folder`: where chunks are kept, as files `name`1, `name`2 .. `history`: so many
    chunks are in the feed and seeded; older ones are closed, their files stay. `form`: the feed's. In RSS and Atom
    chunks are magnet links, unless `torrent_url` says where you serve torrent files: a URL with `{number}` in it.

    `key`: 32 secret bytes, by which a key of the DHT always names the newest feed; `salt`: of streams of one key.
    `magnet` is then what a StreamSubscriber follows. `dht_bootstrap`: nodes by which the DHT is entered, as
    `host:port`; `dht_listen`: where its node is. The other keywords are TorrentPatron's.
    """

    Outboxes = {**Crewed.Outboxes, "feed": "What a StreamSubscriber needs to know"}

    def __init__(
        self,
        chunk: int = 4 << 20,
        *,
        folder: str | os.PathLike[str] = ".",
        name: str = "chunk",
        tracker: str = "",
        history: int = 100,
        version: Version = "v1",
        form: FeedForm = "json",
        torrent_url: str | None = None,
        key: bytes | None = None,
        salt: bytes = b"",
        dht_bootstrap: Sequence[str] | None = None,
        dht_listen: Sequence[tuple[str, int]] = (("0.0.0.0", 0), ("::", 0)),
        **options: Any,
    ) -> None:
        if not 0 < chunk <= CHUNK_BYTES_MAX or history <= 0 or not name.isprintable() or not name or os.sep in name:
            raise ValueError("chunk and history are positive, chunk is no more than 256 MiB, and name is a file's")
        if form not in FORMS or (torrent_url is not None and "{number}" not in torrent_url):
            raise ValueError("form is json, rss or atom, and torrent_url has a {number}")
        super().__init__(options)
        self._chunk, self._history, self._name = chunk, history, name
        self._folder, self._tracker = Path(folder), tracker
        self._version: Version = version
        self._form: FeedForm = form
        self._torrent_url = torrent_url
        self._queue = ByteQueue()
        self._number = self._feed_number = 0
        # by number: what it is, its id, when it was published
        self._chunks: dict[int, tuple[_Made, int, float]] = {}
        self._feeds: list[tuple[_Made, int]] = []
        # of feeds that follow each other quickly the last is made into a torrent
        self._feed_due: bytes | None = None
        self._key, self._salt = key, salt
        # ours is told from the secret; a wrong one is refused here
        self._magnet = None if key is None else _link_of(key, salt, tracker)
        self._node: KeyNode | None = None
        if key is not None:
            self._node = KeyNode(self.unpause, bootstrap=dht_bootstrap, listen=dht_listen)

    @property
    def magnet(self) -> str | None:
        """The magnet link of the key, if there is one."""
        return self._magnet

    def on_message(self, message: Any) -> None:
        if not is_a(message, bytes, bytearray, memoryview):
            self.complain(f"a {type(message).__name__} is no part of a stream")
            return
        self._queue.push(message)
        while len(self._queue) >= self._chunk:
            self._cut(self._chunk)

    def on_turn(self) -> None:
        due = self._feed_due
        if due is not None and all(made.number is not None for made in self.pending):
            self._feed_due = None
            self._feed_number += 1
            self._make(_Made(self._folder / f"{self._name}.feed{self._feed_number}", len(due)), due)
        for news in self._node.take() if self._node is not None else ():
            if isinstance(news, Named):
                self.out.put(TIPCFeedNamed(link=self._magnet, infohash=news.info_hash, seq=news.seq))
            else:
                self.complain(f"the key names no new feed: {news.reason}")

    def on_finishing(self) -> None:
        if len(self._queue):
            self._cut(len(self._queue))
        elif self.is_idle:
            self._tell_feed()

    def is_done(self) -> bool:
        # who has the stream seeds it until it is told to end
        return False

    def on_end(self) -> None:
        if self._node is not None:
            self._node.close()

    def on_done(self, token: Any, result: Any, error: str | None) -> None:
        made: _Made = token
        if error is not None:
            self.complain(f"{_named(made)} is lost: {error}")
            self._look_for_the_end(made)
            return
        message = TIPCCreateTorrentIn(rawmetainfo=result, savefolder=folder_of(str(made.path)))
        self.create(_Made(made.path, made.length, made.number, result), message)

    def on_started(self, token: Any, answer: Any) -> None:
        made: _Made = token
        if not is_a(answer, TIPCNewTorrentCreated, TIPCTorrentAlreadyDownloading):
            self.complain(f"{_named(made)} can't be seeded")
            self._look_for_the_end(made)
        elif made.number is None:
            self._on_feed_seeded(made, answer.torrentid)
        else:
            self._on_chunk_seeded(made, made.number, answer.torrentid)

    def _look_for_the_end(self, lost: _Made) -> None:
        """What was lost may have been the last."""
        if lost.number is not None and self.finishing and self.is_idle:
            self._tell_feed()

    def _on_chunk_seeded(self, made: _Made, number: int, torrentid: int) -> None:
        self._chunks[number] = (made, torrentid, time.time())
        while len(self._chunks) > self._history:
            _, old, _ = self._chunks.pop(min(self._chunks))
            self.ask(TIPCCloseTorrent(torrentid=old))
        self.out.put(
            TIPCChunkPublished(
                number=number,
                path=str(made.path),
                torrentid=torrentid,
                rawmetainfo=made.raw,
                magnet=magnet_of(made.raw),
            )
        )
        self._tell_feed()

    def _on_feed_seeded(self, made: _Made, torrentid: int) -> None:
        self._feeds.append((made, torrentid))
        if len(self._feeds) > FEEDS_MAX:
            old, number = self._feeds.pop(0)
            self.ask(TIPCCloseTorrent(torrentid=number))
            old.path.unlink(missing_ok=True)
        if self._node is not None and self._key is not None:
            self._node.publish(self._key, self._salt, Metainfo.parse(made.raw).info_hash)

    def _cut(self, length: int) -> None:
        self._number += 1
        path = self._folder / f"{self._name}{self._number}"
        self._make(_Made(path, length, self._number), self._queue.poplength(length))

    def _make(self, made: _Made, data: bytes) -> None:
        tracker, version, path = self._tracker, self._version, made.path

        def make() -> bytes:
            path.write_bytes(data)
            return make_torrent(str(path), tracker=tracker, piece_length=PIECE_BYTES, version=version)

        self.work(made, make)

    def _tell_feed(self) -> None:
        chunks = [
            Chunk(number, self._shown(number, made), made.length, when)
            for number, (made, _, when) in sorted(self._chunks.items())
        ]
        ended = self.finishing and all(made.number is None for made in self.pending)
        feed = write(StreamFeed(self._name, ended, tuple(chunks)), self._form)
        self.out.put(feed, "feed")
        if self._node is not None:
            self._feed_due = feed

    def _shown(self, number: int, made: _Made) -> bytes | str:
        """A chunk's torrent, as the feed has it."""
        if self._form == "json":
            return made.raw
        return magnet_of(made.raw) if self._torrent_url is None else self._torrent_url.format(number=number)


def _named(made: _Made) -> str:
    return "a feed" if made.number is None else f"chunk {made.number}"


def _link_of(key: bytes, salt: bytes, tracker: str) -> str:
    public, _ = sign(key, b"0:", 1, salt)
    return str(KeyLink(public, salt)) + (f"&tr={quote(tracker, safe='')}" if tracker else "")


__kamaelia_components__ = (StreamPublisher,)
