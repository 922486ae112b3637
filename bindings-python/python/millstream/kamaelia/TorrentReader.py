"""TorrentReader: the bytes of a torrent's file, in order, while it is downloaded or after. What is read is fetched
first. It owns the order and the pace; a thread waits for the bytes of each request.

    inbox    TIPCServeData: each is served after the one before. The torrent is one that any TorrentPatron started.
    control  producerFinished ends it when all requests are served, shutdown and shutdownMicroprocess at once
    outbox   bytes
    status   TIPCDataServed after the last byte of each request, with the error if it could not be served whole;
             TIPCTorrentError for garbage
    signal   producerFinished when it has ended: after the first request, unless `once` is False
"""

from __future__ import annotations

import contextlib
import io
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._axon import Component, producerFinished
from ._engine import EngineTorrent
from ._member import Member
from ._outgoing import Outgoing
from ._signals import ignore, is_a, reason_of, told
from .ipc import TIPCDataServed, TIPCOpenTorrent, TIPCServeData, TIPCTorrentError, TIPCTorrentOpened
from .TorrentIPC import IPC

if TYPE_CHECKING:
    from ._axon import Main

__all__ = ["TorrentReader"]

log = logging.getLogger("millstream")

CHUNK_BYTES = 64 << 10
"""At most so many bytes are in one message."""

AHEAD = 32
"""So many messages may lie before the reader; then reading waits."""


class TorrentReader(Component):
    """TorrentReader([once]) -> a component that serves the bytes of files. The other keywords are TorrentPatron's."""

    Inboxes = {
        "inbox": "TIPCServeData",
        "control": "Shut me down",
        Member.INBOX: "What the TorrentService tells",
    }
    Outboxes = {
        "outbox": "Bytes",
        "status": "How requests ended",
        "signal": "producerFinished when I've shutdown",
        Member.OUTBOX: "To the TorrentService",
    }

    def __init__(self, *, once: bool = True, **options: Any) -> None:
        super().__init__()
        self._once = once
        self._member = Member(self, options)
        self._out = Outgoing(self)
        self._requests: deque[TIPCServeData] = deque()
        self._asked = False
        self._reading: _Reading | None = None
        self._served = 0
        self._finishing = False

    def main(self) -> Main:
        """A generator, as Axon's components are."""
        self._member.join()
        yield 1
        while not self._told_to_stop():
            try:
                self._step()
            except Exception as error:
                log.warning("a TorrentReader failed at a message", exc_info=error)
                self._complain(None, reason_of(error))
            flushed = self._out.flush()
            idle = self._reading is None and not self._requests
            if flushed and idle and (self._finishing or (self._once and self._served)) and not self.dataReady("inbox"):
                break
            if not self.anyReady():
                self.pause()
            yield 1
        if self._reading is not None:
            self._reading.stop()
        self._member.leave()
        self.send(producerFinished(self), "signal")
        yield 1

    def _told_to_stop(self) -> bool:
        ending = told(self, refuse=lambda message: self._complain(None, f"a {type(message).__name__} is no signal"))
        self._finishing = self._finishing or ending == "soon"
        return ending == "now"

    def _step(self) -> None:
        while self.dataReady("inbox"):
            self._on_request(self.recv("inbox"))
        while self.dataReady(Member.INBOX):
            self._on_told(self.recv(Member.INBOX))
        if self._requests and not self._asked:
            self._asked = True
            self._member.ask(TIPCOpenTorrent(torrentid=self._requests[0].torrentid))
        reading = self._reading
        while reading is not None and len(self.outboxes["outbox"]) < AHEAD and not len(self._out):
            chunk = reading.next()
            if chunk is None:
                return
            if chunk:
                self._out.put(chunk)
                self._out.flush()
            else:
                self._on_end(reading.count, reading.error)
                reading = None

    def _on_request(self, message: Any) -> None:
        if not is_a(message, TIPCServeData):
            self._complain(None, f"a {type(message).__name__} asks for no data")
            return
        offset, length = message.offset or 0, message.length
        if not (_is_size(offset) and (length is None or _is_size(length)) and isinstance(message.file or 0, str | int)):
            self._complain(message.torrentid, "file, offset or length can't be used")
            return
        self._requests.append(message)

    def _on_told(self, message: Any) -> None:
        if not is_a(message, IPC):
            ignore(self, message, Member.INBOX)
            return
        if not self._requests or not self._asked or self._reading is not None:
            return
        request = self._requests[0]
        match message:
            case TIPCTorrentOpened() if message.torrentid == request.torrentid:
                self._reading = _Reading(message.torrent, request, self.unpause)
            case TIPCTorrentError() if message.torrentid == request.torrentid:
                self._on_end(0, message.message)
            case _:
                # of another torrent, or of no interest
                return

    def _on_end(self, count: int, error: str | None) -> None:
        request = self._requests.popleft()
        self._out.put(TIPCDataServed(torrentid=request.torrentid, request=request, count=count, error=error), "status")
        self._asked, self._reading = False, None
        self._served += 1

    def _complain(self, torrentid: object, text: str) -> None:
        self._out.put(TIPCTorrentError(torrentid=torrentid, message=text), "status")


class _Reading:
    """A thread that reads for one request, so far ahead as there is room."""

    def __init__(self, torrent: EngineTorrent, request: TIPCServeData, wake: Callable[[], object]) -> None:
        self.count = 0
        self.error: str | None = None
        self._wake = wake
        self._chunks: queue.Queue[bytes] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self._file: io.RawIOBase | None = None
        self._thread = threading.Thread(
            target=self._run, args=(torrent, request), name="millstream reader", daemon=True
        )
        self._thread.start()

    def next(self) -> bytes | None:
        """What was read; empty at the end, `None` if it isn't there yet."""
        try:
            return self._chunks.get_nowait()
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Ends it soon."""
        self._stopped.set()
        file = self._file
        if file is not None:
            # ends a read that waits
            with contextlib.suppress(Exception):
                file.close()

    def _run(self, torrent: EngineTorrent, request: TIPCServeData) -> None:
        try:
            left = request.length
            # the raw file: a buffer's lock would be held by who waits
            with torrent.open(request.file or 0).detach() as file:
                self._file = file
                file.seek(request.offset or 0)
                while left is None or left > 0:
                    data = file.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
                    if not data or not self._put(data):
                        break
                    self.count += len(data)
                    left = None if left is None else left - len(data)
                if left and not self._stopped.is_set():
                    self.error = "the file ends before"
        except Exception as error:
            log.debug("a file could not be read: %s", error)
            self.error = str(error) or type(error).__name__
        self._put(b"")

    def _put(self, data: bytes) -> bool:
        while not self._stopped.is_set():
            try:
                self._chunks.put(data, timeout=0.2)
            except queue.Full:
                continue
            self._wake()
            return True
        return False


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


__kamaelia_components__ = (TorrentReader,)
