"""TorrentClient: torrents behind inboxes and outboxes, over the native driver. In place of Kamaelia's, with its
interface.

It owns ids, answers and status updates. What goes over wires and disks is the engine's; whom an answer is for is
TorrentService's. Programs use a TorrentPatron, which shares one client with all others.

    inbox    .torrent contents (bytes, or str as latin-1), TIPCCreateNewTorrent, TIPCAddMagnet: each is answered in turn
             by TIPCNewTorrentCreated, TIPCTorrentAlreadyDownloading or TIPCTorrentStartFail. So is anything unknown: it
             can't be started. TIPCCloseTorrent has no answer. Also TIPCPause, TIPCResume, TIPCSetRate,
             TIPCSetTrackers, TIPCQueryStatus.
    control  shutdown or shutdownMicroprocess end it; producerFinished doesn't, so that a finished source does not stop
             the seeding. Other messages are logged.
    outbox   the answers, and a TIPCTorrentStatusUpdate for every torrent that is past its check, each `tickInterval`
             seconds, after the check, and when it completes
    signal   producerFinished when it has ended, and all torrents with it
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ._axon import Component, ThreadedComponent, producerFinished
from ._engine import Engine, EngineEvents
from ._outgoing import MESSAGES_MAX, Outgoing
from ._signals import Ending, told
from ._torrents import Torrents

__all__ = ["BasicTorrentExplainer", "TorrentClient"]

log = logging.getLogger("millstream")

PATIENCE = 0.05
"""Seconds until a full box is tried again."""

CLOSE_TIMEOUT = 5.0
"""Seconds that goodbyes to trackers and peers may take."""


class TorrentClient(ThreadedComponent):
    """TorrentClient([tickInterval]) -> a component that downloads and uploads torrents.

    `tickInterval`: seconds between status updates. `session`: an engine to use, which stays its giver's; else one is
    opened with `settings` when the first torrent comes. `savefolder`: where torrents are stored, under their names.
    `extended`: whether the messages of `millstream.kamaelia.ipc` are sent too.
    """

    Inboxes = {
        "inbox": "Torrent IPC - add a torrent, stop a torrent etc.",
        "control": "Shut me down",
    }
    Outboxes = {
        "outbox": "Torrent IPC - status updates, completion, new torrent added etc.",
        "signal": "Say when I've shutdown",
    }

    def __init__(
        self,
        tickInterval: float = 5,
        *,
        session: Engine | None = None,
        settings: Mapping[str, Any] | None = None,
        savefolder: str | Path = "./",
        extended: bool = False,
    ) -> None:
        super().__init__()
        self.tickInterval = tickInterval
        self._out = Outgoing(self)
        self._news = _News(self.threadWakeUp.set)
        self._torrents = Torrents(
            self._tell,
            session=session,
            settings=settings,
            savefolder=str(savefolder),
            on_engine=self._news.listen,
        )
        self._extended = extended

    def main(self) -> None:
        """In a thread of its own."""
        try:
            self._serve()
        except Exception:
            log.exception("a TorrentClient failed")
            self._torrents.fail_all("the TorrentClient failed")
        finally:
            self._news.stop()
            self._torrents.close(CLOSE_TIMEOUT)
            self._news.join(CLOSE_TIMEOUT)
            self._out.flush()
            self.send(producerFinished(self), "signal")

    def _serve(self) -> None:
        tick = time.monotonic() + self.tickInterval
        while told(self) != "now":
            # who doesn't read answers isn't listened to either
            while len(self._out) < MESSAGES_MAX and self.dataReady("inbox"):
                self._torrents.on_message(self.recv("inbox"))
            self._torrents.on_events(self._news.take())
            now = time.monotonic()
            if now >= tick:
                self._torrents.on_tick()
                tick = max(tick + self.tickInterval, now)
            wait = self._torrents.wait(max(0.0, tick - time.monotonic()))
            self.pause(wait if self._out.flush() else min(wait, PATIENCE))

    def _tell(self, message: object, *, extended: bool = False) -> None:
        if self._extended or not extended:
            self._out.put(message)


class BasicTorrentExplainer(Component):
    """BasicTorrentExplainer() -> a component that turns messages into lines of text for people.

    Anything at inbox goes to outbox as `str` gives it, with a line's end. producerFinished, shutdown and
    shutdownMicroprocess at control end it, with producerFinished at signal.
    """

    Inboxes = {"inbox": "Torrent IPC messages", "control": "Shut me down"}
    Outboxes = {"outbox": "Lines of text", "signal": "producerFinished when I've shutdown"}

    def main(self) -> Any:
        """A generator, as Axon's components are."""
        out = Outgoing(self)
        ending: Ending = ""
        while True:
            while len(out) < MESSAGES_MAX and self.dataReady("inbox"):
                out.put(f"{_text(self.recv('inbox'))}\n")
            ending = told(self) or ending
            if out.flush() and ending and not self.dataReady("inbox") or ending == "now":
                self.send(producerFinished(self), "signal")
                return
            self.pause()
            yield 1


class _News:
    """A thread that waits for an engine's events and wakes the component: it can't wait for both by itself."""

    INTERVAL = 0.5
    """Seconds that it waits at a time; so long it may take to notice that it should end."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._events: deque[object] = deque()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def listen(self, engine: Engine) -> None:
        """From now on."""
        self._thread = threading.Thread(
            target=self._run, args=(engine.events(),), name="millstream events", daemon=True
        )
        self._thread.start()

    def take(self) -> list[object]:
        """What has happened since."""
        return [self._events.popleft() for _ in range(len(self._events))]

    def stop(self) -> None:
        """Ends it soon."""
        self._stopped.set()

    def join(self, timeout: float) -> None:
        """Waits until it has ended."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, news: EngineEvents) -> None:
        while not self._stopped.is_set() and not news.ended:
            try:
                events = news.next_events(self.INTERVAL)
            except Exception:
                if not self._stopped.is_set():
                    log.exception("a TorrentClient hears no more of its engine")
                return
            if events:
                self._events.extend(events)
                self._wake()


def _text(message: object) -> str:
    try:
        return str(message)
    except Exception:
        return object.__repr__(message)


__kamaelia_components__ = (TorrentClient,)
__kamaelia_prefabs__ = (BasicTorrentExplainer,)
