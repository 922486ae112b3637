"""The engine's turns on a loop: what came in since the last one is settled at once, then the effects are carried
out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from .._millstream import Body
from .._values import (
    Cancel,
    Close,
    Connect,
    ConnectHttp,
    ConnectWebSocket,
    DatagramsReady,
    Effect,
    Event,
    Interest,
    Job,
    SessionWarned,
)
from .datagrams import Datagrams
from .errands import Errands
from .links import Links
from .ways import Ways

log = logging.getLogger("millstream")

BELL_BYTES = 4096
"""Bytes of the bell read at once: each is a batch of answers that lies there already."""


class Turns:
    """One engine on one loop. Inputs call `touch`; the turn follows within the same round of the loop or the next."""

    def __init__(self, body: Body, ways: Ways, on_events: Callable[[Sequence[Event]], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.body = body
        self.engine = body.engine
        self.ways = ways
        self.links = Links(self)
        self.datagrams = Datagrams(self)
        self.errands = Errands(self)
        self._on_events = on_events
        self._tasks: set[asyncio.Task[None]] = set()
        self._due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._ended = False

    def now(self) -> float:
        """The engine's clock is the loop's."""
        return self.loop.time()

    def touch(self) -> None:
        """Something came in: a turn is due."""
        if not self._due:
            self._due = True
            self.loop.call_soon(self._turn)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Lets something run beside the turns, until the end at the latest. What it raises is a fault of this driver's,
        and is told as one."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def settle(self, timeout: float) -> None:
        """Ends what still runs beside the turns, and waits until it has given back what it held."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        # transports that were given up are gone after a round of the loop
        await asyncio.sleep(0)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the asyncio driver failed", exc_info=error)

    def warn(self, text: str) -> None:
        """Something is amiss that stops nothing."""
        log.warning("%s", text)
        self._on_events([SessionWarned(text)])

    def end(self) -> None:
        """No more turns."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        self._due = False
        # a loop that is being closed waits until nobody wants anything of it any more
        if self._ended or not self.loop.is_running():
            return
        effects, interests, events, due = self.body.turn(self.now())
        for effect in effects:
            self._carry_out(effect)
        links = self.links.open
        for conn, read_until, write in interests:
            if (link := links.get(conn)) is not None:
                link.heed(read_until, write)
            else:
                self.errands.heed(conn, read_until, write)
        self._arm(due)
        if events:
            self._on_events(events)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Connect(conn, to):
                self.links.connect(conn, to)
            case Close(conn, flush):
                if not self.errands.close(conn, flush):
                    self.links.close(conn, flush)
            case DatagramsReady(local):
                self.datagrams.pull(local)
            case Job(job, work):
                self.errands.begin(job, work)
            case Cancel(job):
                self.errands.cancel(job)
            case ConnectHttp() | ConnectWebSocket():
                self.errands.connect(effect)
            case Interest():
                raise AssertionError("a turn gives interests apart")

    def _arm(self, due: float | None) -> None:
        """Lets a timer fire no later than when the engine wants it. One that fires early does no harm."""
        if due is None or self._ended:
            return
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self.loop.call_at(due, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.touch()
