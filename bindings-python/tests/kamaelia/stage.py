"""A stage for components: a scheduler with an end in time, a component that plays a script, an engine that is told what
happens to its torrents. It knows no network."""

from __future__ import annotations

import importlib
import io
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from millstream import Metainfo, create
from millstream.kamaelia._axon import Component, producerFinished, shutdown
from millstream.sansio import Completed, Event, Removed, Status

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

DEADLINE = 60.0
"""Seconds that nothing in these tests takes."""


class DeadlinePassed(AssertionError):
    """What a test waited for did not happen."""


def fresh_scheduler() -> None:
    """Forgets all components and services of before."""
    scheduling = importlib.import_module("Axon.Scheduler")
    tracking = importlib.import_module("Axon.CoordinatingAssistantTracker")
    scheduling.scheduler.run = scheduling.scheduler()
    tracking.coordinatingassistanttracker.getcat().zap()


def run(*components: Component, deadline: float = DEADLINE) -> None:
    """Runs these components, and what they start, until all have ended. Fails when they haven't in time."""
    scheduler = importlib.import_module("Axon.Scheduler").scheduler.run
    late = threading.Event()

    def stop() -> None:
        late.set()
        scheduler.stop()

    timer = threading.Timer(deadline, stop)
    timer.start()
    try:
        for component in components:
            component.activate()
        scheduler.runThreads()
    finally:
        timer.cancel()
        timer.join()
    if late.is_set():
        raise DeadlinePassed("components did not end")


class Script(Component):
    """Plays a script: a generator that sends, and yields until something is so. Keeps all that it gets, in order."""

    Inboxes = {"inbox": "what is kept", "control": "what is kept of signals"}
    Outboxes = {"outbox": "what the script sends", "signal": "what the script signals"}

    def __init__(self, play: Callable[[Script], Main]) -> None:
        super().__init__()
        self.play = play
        self.got: list[Any] = []
        self.signals: list[Any] = []
        self.failure: BaseException | None = None

    def main(self) -> Main:
        play = self.play(self)
        try:
            for step in play:
                yield 1
                while not self._met(step):
                    yield 1
        except Exception as error:
            self.failure = error
        self.take()
        # who doesn't end with its source would hide the failure
        self.send(producerFinished(self) if self.failure is None else shutdown(), "signal")
        yield 1

    def take(self) -> None:
        """Keeps what came."""
        while self.dataReady("inbox"):
            self.got.append(self.recv("inbox"))
        while self.dataReady("control"):
            self.signals.append(self.recv("control"))

    def of(self, *kinds: type) -> list[Any]:
        """What it got of these classes."""
        return [message for message in self.got if isinstance(message, kinds)]

    def _met(self, step: object) -> bool:
        self.take()
        time.sleep(0.001)
        return not callable(step) or bool(step())


def play(*plays: tuple[Component, Callable[[Script], Main]], deadline: float = DEADLINE) -> list[Script]:
    """Runs components, each with a script wired to its inbox, outbox, control and signal."""
    scripts = []
    for component, script in plays:
        by = Script(script)
        by.link((by, "outbox"), (component, "inbox"))
        by.link((by, "signal"), (component, "control"))
        by.link((component, "outbox"), (by, "inbox"))
        by.link((component, "signal"), (by, "control"))
        scripts.append(by)
    run(*(component for component, _ in plays), *scripts, deadline=deadline)
    for by in scripts:
        if by.failure is not None:
            raise by.failure
    return scripts


def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> Callable[[], bool]:
    """A step of a script: waits for this, so long at the most."""
    end = time.monotonic() + seconds

    def met() -> bool:
        if condition():
            return True
        if time.monotonic() > end:
            raise DeadlinePassed(what)
        return False

    return met


def ended(script: Script, how: object = None) -> Main:
    """The end of a script: tells its component to end, and waits for its last word."""
    script.send(how or shutdown(), "signal")
    yield until(lambda: script.signals, "the component's end")


def torrent_of(name: str, data: bytes = b"payload" * 5000) -> bytes:
    """A .torrent file of one file."""
    return create(name, data, version="v1", piece_length=1 << 15)


class StageMetainfo:
    """What a torrent file says, which is not asked here."""

    def __init__(self, torrent: bytes = torrent_of("film")) -> None:
        self._torrent = torrent

    def to_bytes(self) -> bytes:
        return self._torrent


class StageTorrent:
    """A torrent that does what it is told."""

    def __init__(self, engine: StageEngine, number: int, source: bytes | str, folder: str) -> None:
        self._engine = engine
        self.id = number
        self.source = source
        self.folder = folder
        self.calls: list[tuple[Any, ...]] = []
        self.metainfo: StageMetainfo | None = None
        self.asked = 0
        pieces = length = 0
        if isinstance(source, bytes):
            metainfo = Metainfo.parse(source)
            self.metainfo = StageMetainfo(source)
            pieces, length = metainfo.pieces, metainfo.length
        self.stats = Status(
            state="leeching" if pieces else "metadata",
            name="stage",
            info_hash_v1=None,
            info_hash_v2=None,
            length=length,
            wanted=length,
            verified=0,
            pieces=pieces,
            pieces_verified=0,
            checked=(0, 0),
            downloaded=0,
            uploaded=0,
            wasted=0,
            download_rate=0,
            upload_rate=0,
            peers=0,
            seeds=0,
            known=0,
            failure=None,
        )

    def set(self, **changes: Any) -> None:
        """Its status is so from now on."""
        fields = {name: getattr(self.stats, name) for name in Status.__match_args__}
        self.stats = Status(**{**fields, **changes})

    def complete(self) -> None:
        """It is whole."""
        self.set(state="seeding", verified=self.stats.wanted, pieces_verified=self.stats.pieces)
        self._engine.happens(Completed(self.id))

    @property
    def verified(self) -> bytes:
        self.asked += 1
        bits = "1" * self.stats.pieces_verified
        length = -(-self.stats.pieces // 8)
        return int(bits.ljust(length * 8, "0") or "0", 2).to_bytes(length, "big")

    def remove(self) -> None:
        self.calls.append(("remove",))
        self._engine.torrents.pop(self.id, None)
        self._engine.happens(Removed(self.id))

    def pause(self) -> None:
        self.calls.append(("pause",))

    def resume(self) -> None:
        self.calls.append(("resume",))

    def set_rates(self, *, download: int | None = None, upload: int | None = None) -> None:
        self.calls.append(("rates", download, upload))

    def set_trackers(self, tiers: Sequence[Sequence[str]]) -> None:
        self.calls.append(("trackers", *tiers))

    def open(self, file: str | int = 0) -> io.BufferedReader:
        raise LookupError(f"there is no {file}")

    def peers(self) -> Sequence[Any]:
        return ()

    def trackers(self) -> Sequence[Any]:
        return ()


class StageEngine:
    """An engine whose torrents the test moves. Fit for `session=`."""

    def __init__(self) -> None:
        self.torrents: dict[int, StageTorrent] = {}
        self.added: list[StageTorrent] = []
        self.rates: list[tuple[int | None, int | None]] = []
        self.closed = False
        self._events: queue.Queue[Event] = queue.Queue()

    def happens(self, event: Event) -> None:
        """The engine tells of this."""
        self._events.put(event)

    def add(self, source: bytes | str, *, folder: str) -> StageTorrent:
        from millstream import DuplicateTorrent

        for running in self.torrents.values():
            if running.source == source:
                raise DuplicateTorrent("it is there already", running.id)
        torrent = StageTorrent(self, 100 + len(self.added), source, folder)
        self.torrents[torrent.id] = torrent
        self.added.append(torrent)
        return torrent

    def events(self) -> StageEngine:
        return self

    @property
    def ended(self) -> bool:
        return self.closed

    def next_events(self, timeout: float | None = None) -> list[Event]:
        try:
            events = [self._events.get(timeout=0.05)]
        except queue.Empty:
            return []
        while not self._events.empty():
            events.append(self._events.get())
        return events

    def set_rates(self, *, download: int | None = None, upload: int | None = None) -> None:
        self.rates.append((download, upload))

    def close(self, timeout: float | None = None) -> None:
        self.closed = True
