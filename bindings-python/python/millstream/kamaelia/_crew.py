"""What components that use torrents and have work to do share: a membership of the TorrentService, a thread for what
blocks, and the turn of a step. Who derives from it says what its messages mean."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from .._millstream import Metainfo
from ._axon import Component, ThreadedComponent, producerFinished, shutdown, shutdownMicroprocess
from ._member import Member
from ._outgoing import MESSAGES_MAX, Outgoing
from .ipc import TIPCTorrentError
from .TorrentIPC import TIPCNewTorrentCreated, TIPCTorrentAlreadyDownloading, TIPCTorrentStartFail

if TYPE_CHECKING:
    from ._axon import Main

log = logging.getLogger("millstream")

ENDS = (shutdown, shutdownMicroprocess)
ANSWERS = (TIPCNewTorrentCreated, TIPCTorrentAlreadyDownloading, TIPCTorrentStartFail)


class JobThread(ThreadedComponent):
    """Does what blocks, one after the other: (token, function) in, (token, result, reason of failure) out. `interval`:
    every so many seconds it sends `TICK`."""

    TICK: ClassVar[tuple[None, None, None]] = (None, None, None)

    def __init__(self, interval: float | None = None) -> None:
        super().__init__()
        self._interval = interval
        self._out = Outgoing(self)

    def main(self) -> None:
        """In a thread of its own."""
        tick = time.monotonic()
        while not self.dataReady("control"):
            if self.dataReady("inbox"):
                token, function = self.recv("inbox")
                self._out.put(self._done(token, function))
            now = time.monotonic()
            if self._interval is not None and now >= tick:
                self._out.put(self.TICK)
                tick = now + self._interval
            if not self._out.flush():
                self.pause(0.05)
            elif not self.dataReady("inbox"):
                self.pause(None if self._interval is None else max(0.0, tick - now))

    def _done(self, token: object, function: Callable[[], object]) -> tuple[object, object, str | None]:
        try:
            return token, function(), None
        except Exception as error:
            log.debug("a component's work failed: %s", error)
            return token, None, str(error) or type(error).__name__


class Crewed(Component):
    """Derive from it, and call `work` and `create`. Boxes that are added in a derived class are added to these."""

    Inboxes: ClassVar[Mapping[str, str]] = {
        "inbox": "What to do",
        "control": "Shut me down",
        Member.INBOX: "What the TorrentService tells",
        "_done": "What was worked",
    }
    Outboxes: ClassVar[Mapping[str, str]] = {
        "outbox": "What was done",
        "signal": "producerFinished when I've shutdown",
        Member.OUTBOX: "To the TorrentService",
        "_work": "What is to be worked",
        "_halt": "The work ends",
    }

    def __init__(self, options: dict[str, Any], *, interval: float | None = None) -> None:
        super().__init__()
        self.out = Outgoing(self)
        self.finishing = False
        self._finish_due = False
        self._member = Member(self, options)
        self._worker = JobThread(interval)
        self._working = 0
        self._asked: deque[tuple[Any, object]] = deque()

    # ---- what derived classes say

    def on_message(self, message: Any) -> None:
        """A message at the inbox."""
        raise NotImplementedError

    def on_done(self, token: Any, result: Any, error: str | None) -> None:
        """Work is done, or failed for this reason."""

    def on_started(self, token: Any, answer: Any) -> None:
        """A create was answered."""

    def on_told(self, message: Any) -> None:
        """The client told something else."""

    def on_tick(self) -> None:
        """Time has passed."""

    def on_finishing(self) -> None:
        """Nothing more will come: finish what there is."""

    def is_done(self) -> bool:
        """Whether all that there was is finished; asked after `on_finishing`."""
        return not self._working and not self._asked

    # ---- what they call

    def work(self, token: object, function: Callable[[], object]) -> None:
        """Has this done in the thread. `on_done` hears of it."""
        self._working += 1
        self.send((token, function), "_work")

    def create(self, token: object, message: object) -> None:
        """Has a torrent started. `on_started` hears of it."""
        self._asked.append((token, message))
        self._member.ask(message)

    def ask(self, message: object) -> None:
        """Tells the client something that isn't answered."""
        self._member.ask(message)

    def complain(self, text: str, torrentid: object = None, box: str = "outbox") -> None:
        """Tells of garbage and failures."""
        self.out.put(TIPCTorrentError(torrentid=torrentid, message=text), box)

    @property
    def is_idle(self) -> bool:
        """Whether neither work nor an answer is awaited."""
        return not self._working and not self._asked

    # ---- the turn

    def main(self) -> Main:
        """A generator, as Axon's components are."""
        self.link((self, "_work"), (self._worker, "inbox"))
        self.link((self, "_halt"), (self._worker, "control"))
        self.link((self._worker, "outbox"), (self, "_done"))
        self.addChildren(self._worker)
        self._worker.activate()
        self._member.join()
        yield 1
        while not self._told_to_stop():
            try:
                self._step()
            except Exception as error:
                log.exception("a component failed at a message")
                self.complain(str(error) or type(error).__name__)
            flushed = self.out.flush()
            if self.finishing and flushed and not self.dataReady("inbox") and self.is_done():
                break
            if not self.anyReady() or not flushed:
                self.pause()
            yield 1
        self.out.flush()
        self._member.leave()
        self.send(shutdown(), "_halt")
        self.send(producerFinished(self), "signal")
        yield 1

    def _told_to_stop(self) -> bool:
        while self.dataReady("control"):
            message = self.recv("control")
            if isinstance(message, ENDS):
                return True
            if isinstance(message, producerFinished):
                self._finish_due = True
            else:
                self.complain(f"a {type(message).__name__} is no signal")
        return False

    def _step(self) -> None:
        while len(self.out) < MESSAGES_MAX and self.dataReady("inbox"):
            self.on_message(self.recv("inbox"))
        # what came before it counts
        if self._finish_due and not self.dataReady("inbox"):
            self._finish_due, self.finishing = False, True
            self.on_finishing()
        while self.dataReady("_done"):
            token, result, error = done = self.recv("_done")
            if done == JobThread.TICK:
                self.on_tick()
            else:
                self._working -= 1
                self.on_done(token, result, error)
        while self.dataReady(Member.INBOX):
            message = self.recv(Member.INBOX)
            if isinstance(message, ANSWERS) and self._asked:
                token, _ = self._asked.popleft()
                self.on_started(token, message)
            else:
                self.on_told(message)


def magnet_of(torrent: bytes) -> str:
    """The magnet link of a .torrent file."""
    metainfo = Metainfo.parse(torrent)
    topics = []
    if metainfo.info_hash_v1 is not None:
        topics.append(f"xt=urn:btih:{metainfo.info_hash_v1.hex()}")
    if metainfo.info_hash_v2 is not None:
        topics.append(f"xt=urn:btmh:1220{metainfo.info_hash_v2.hex()}")
    name = quote(metainfo.name, safe="")
    trackers = ["tr=" + quote(url, safe="") for tier in metainfo.trackers for url in tier]
    return "magnet:?" + "&".join([*topics, f"dn={name}", *trackers])


def folder_of(path: str) -> str:
    """The folder that a file lies in, as torrents are stored in one."""
    return f"{Path(path).absolute().parent}/"
