"""StreamPublisher: a live stream over torrents. It cuts the stream into chunks, each a torrent as soon as it is whole.
A StreamSubscriber puts it together again. Between them goes a feed, a small JSON document, by whatever way: a web
server, a pipe, a file.

    {"millstream": 1, "name": "radio", "ended": false,
     "chunks": [{"number": 1, "length": 4194304, "torrent": "<base64>"}, ..]}

    inbox    the stream: bytes, bytearray or memoryview
    control  producerFinished publishes what is left as a last, shorter chunk, tells the feed that it ended, and goes on
             seeding; shutdown and shutdownMicroprocess end it
    outbox   TIPCChunkPublished for each chunk, TIPCTorrentError for garbage and failures
    feed     the feed as bytes, whenever it changes
    signal   producerFinished when it has ended
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from .._values import Version
from ._crew import Crewed, folder_of, magnet_of
from ._repair import ByteQueue
from .ipc import TIPCChunkPublished, TIPCCreateTorrentIn
from .TorrentIPC import TIPCCloseTorrent, TIPCNewTorrentCreated, TIPCTorrentAlreadyDownloading
from .TorrentMaker import make_torrent

__all__ = ["CHUNK_BYTES_MAX", "StreamPublisher"]

PIECE_BYTES = 1 << 18

CHUNK_BYTES_MAX = 256 << 20
"""A chunk that is longer is none: it is held in memory. Bytes."""


class StreamPublisher(Crewed):
    """StreamPublisher([chunk]) -> a component that publishes a stream.

    `chunk`: bytes of each torrent. `folder`: where chunks are kept, as files `name`1, `name`2 .. `history`: so many
    chunks are in the feed and seeded; older ones are closed, their files stay. The other keywords are TorrentPatron's.
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
        **options: Any,
    ) -> None:
        super().__init__(options)
        if not 0 < chunk <= CHUNK_BYTES_MAX or history <= 0 or not name or os.sep in name:
            raise ValueError("chunk and history are positive, chunk is no more than 256 MiB, and name is a file's")
        self._chunk, self._history, self._name = chunk, history, name
        self._folder, self._tracker = Path(folder), tracker
        self._version: Version = version
        self._queue = ByteQueue()
        self._number = 0
        # by number: its length, its torrent, its id once it has one
        self._chunks: dict[int, tuple[int, bytes, int | None]] = {}

    def on_message(self, message: Any) -> None:
        if not isinstance(message, bytes | bytearray | memoryview):
            self.complain(f"a {type(message).__name__} is no part of a stream")
            return
        self._queue.push(message)
        while len(self._queue) >= self._chunk:
            self._cut(self._chunk)

    def on_finishing(self) -> None:
        if len(self._queue):
            self._cut(len(self._queue))
        elif self.is_idle:
            self._tell_feed()

    def is_done(self) -> bool:
        # who has the stream seeds it until it is told to end
        return False

    def on_done(self, token: Any, result: Any, error: str | None) -> None:
        if error is not None:
            self.complain(f"chunk {token[0]} is lost: {error}")
            return
        number, path, length = token
        message = TIPCCreateTorrentIn(rawmetainfo=result, savefolder=folder_of(str(path)))
        self.create((number, path, length, result), message)

    def on_started(self, token: Any, answer: Any) -> None:
        number, path, length, raw = token
        if not isinstance(answer, TIPCNewTorrentCreated | TIPCTorrentAlreadyDownloading):
            self.complain(f"chunk {number} can't be seeded")
            return
        self._chunks[number] = (length, raw, answer.torrentid)
        while len(self._chunks) > self._history:
            _, _, torrentid = self._chunks.pop(min(self._chunks))
            self.ask(TIPCCloseTorrent(torrentid=torrentid))
        self.out.put(
            TIPCChunkPublished(
                number=number, path=str(path), torrentid=answer.torrentid, rawmetainfo=raw, magnet=magnet_of(raw)
            )
        )
        self._tell_feed()

    def _cut(self, length: int) -> None:
        self._number += 1
        data = self._queue.poplength(length)
        path = self._folder / f"{self._name}{self._number}"
        tracker, version = self._tracker, self._version

        def make() -> bytes:
            path.write_bytes(data)
            return make_torrent(str(path), tracker=tracker, piece_length=PIECE_BYTES, version=version)

        self.work((self._number, path, length), make)

    def _tell_feed(self) -> None:
        chunks = [
            {"number": number, "length": length, "torrent": base64.b64encode(raw).decode()}
            for number, (length, raw, _) in sorted(self._chunks.items())
        ]
        ended = self.finishing and self.is_idle
        feed = {"millstream": 1, "name": self._name, "ended": ended, "chunks": chunks}
        self.out.put(json.dumps(feed).encode(), "feed")


__kamaelia_components__ = (StreamPublisher,)
