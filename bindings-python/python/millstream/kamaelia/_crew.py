"""What components that use torrents and have work to do share: a membership of the TorrentService, a thread for what
blocks, and the turn of a step. Who derives from it says what its messages mean."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from .._millstream import Metainfo
from ._axon import Component, producerFinished, shutdown
from ._member import Member
from ._outgoing import MESSAGES_MAX, Outgoing
from ._signals import ignore, is_a, reason_of, told
from ._worker import Worker
from .ipc import TIPCMetadata, TIPCTorrentComplete, TIPCTorrentError, TIPCTorrentOpened
from .TorrentIPC import (
    TIPCNewTorrentCreated,
    TIPCTorrentAlreadyDownloading,
    TIPCTorrentStartFail,
    TIPCTorrentStatusUpdate,
)

if TYPE_CHECKING:
    from ._axon import Main

log = logging.getLogger("millstream")

ANSWERS = (TIPCNewTorrentCreated, TIPCTorrentAlreadyDownloading, TIPCTorrentStartFail)
NEWS = (TIPCTorrentStatusUpdate, TIPCTorrentComplete, TIPCMetadata, TIPCTorrentError, TIPCTorrentOpened)


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do, for a JobThread."""

    token: object
    do: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Worked:
    """A task is done, or failed for this reason."""

    token: Any
    result: Any
    error: str | None


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


class JobThread(Worker):
    """Does what blocks, one after the other: `Task` in, `Worked` out. `interval`: every so many seconds it sends
    `Ticked`."""

    Inboxes = {"inbox": "Tasks", "control": "Shut me down"}
    Outboxes = {"outbox": "Worked, Ticked", "signal": "producerFinished when I've shutdown"}

    def __init__(self, interval: float | None = None) -> None:
        super().__init__()
        self._interval = interval
        self._tick = time.monotonic()

    def on_message(self, message: Any) -> None:
        """Does it. Time passes meanwhile."""
        if not is_a(message, Task):
            raise TypeError("it is no task")
        try:
            done = Worked(message.token, message.do(), None)
        except Exception as error:
            log.debug("a component's work failed: %s", reason_of(error))
            done = Worked(message.token, None, reason_of(error))
        self.out.put(done)
        self.on_turn()

    def on_turn(self) -> None:
        """Says that time has passed, if it has."""
        now = time.monotonic()
        if self._interval is not None and now >= self._tick:
            self.out.put(Ticked())
            self._tick = now + self._interval

    def idle(self, most: float | None) -> None:
        """Waits for tasks, or until time has passed."""
        if self._interval is not None:
            tick = max(0.0, self._tick - time.monotonic())
            most = tick if most is None else min(most, tick)
        self.pause(most)


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

    COMPLAINTS: ClassVar[str] = "outbox"
    """The box for garbage and failures."""

    def __init__(self, options: dict[str, Any], *, interval: float | None = None) -> None:
        super().__init__()
        self.out = Outgoing(self)
        self.finishing = False
        self._finish_due = False
        self._member = Member(self, options)
        self._worker = JobThread(interval)
        self._tasks: deque[Any] = deque()
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
        return self.is_idle

    def on_turn(self) -> None:
        """Called whenever the component wakes."""

    def on_end(self) -> None:
        """The component ends."""

    # ---- what they call

    def work(self, token: object, function: Callable[[], object]) -> None:
        """Has this done in the thread. `on_done` hears of it."""
        self._tasks.append(token)
        self.out.put(Task(token, function), "_work")

    def create(self, token: object, message: object) -> None:
        """Has a torrent started. `on_started` hears of it."""
        self._asked.append((token, message))
        self._member.ask(message)

    def ask(self, message: object) -> None:
        """Tells the client something that isn't answered."""
        self._member.ask(message)

    def complain(self, text: str, torrentid: object = None) -> None:
        """Tells of garbage and failures."""
        self.out.put(TIPCTorrentError(torrentid=torrentid, message=text), self.COMPLAINTS)

    @property
    def is_idle(self) -> bool:
        """Whether neither work nor an answer is awaited."""
        return not self._tasks and not self._asked

    @property
    def pending(self) -> list[Any]:
        """The tokens of all that is worked on or asked for."""
        return [*self._tasks, *(token for token, _ in self._asked)]

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
                log.warning("a %s failed at a message", type(self).__name__, exc_info=error)
                self.complain(reason_of(error))
            flushed = self.out.flush()
            if self.finishing and flushed and not self.dataReady("inbox") and self.is_done():
                break
            if not self.anyReady() or not flushed:
                self.pause()
            yield 1
        self.out.flush()
        try:
            self.on_end()
        except Exception as error:
            log.warning("a %s could not end in order", type(self).__name__, exc_info=error)
        self._member.leave()
        self.send(shutdown(), "_halt")
        self.send(producerFinished(self), "signal")
        yield 1

    def _told_to_stop(self) -> bool:
        ending = told(self, refuse=lambda message: self.complain(f"a {type(message).__name__} is no signal"))
        self._finish_due = self._finish_due or ending == "soon"
        return ending == "now"

    def _step(self) -> None:
        while len(self.out) < MESSAGES_MAX and self.dataReady("inbox"):
            self.on_message(self.recv("inbox"))
        # what came before it counts
        if self._finish_due and not self.dataReady("inbox"):
            self._finish_due, self.finishing = False, True
            self.on_finishing()
        while self.dataReady("_done"):
            self._on_done(self.recv("_done"))
        while self.dataReady(Member.INBOX):
            message = self.recv(Member.INBOX)
            if is_a(message, *ANSWERS) and self._asked:
                token, _ = self._asked.popleft()
                self.on_started(token, message)
            elif is_a(message, *NEWS):
                self.on_told(message)
            else:
                ignore(self, message, Member.INBOX)
        self.on_turn()

    def _on_done(self, done: Any) -> None:
        if is_a(done, Ticked):
            self.on_tick()
        elif is_a(done, Worked) and self._tasks:
            self._tasks.popleft()
            self.on_done(done.token, done.result, done.error)
        else:
            ignore(self, done, "_done")


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
