"""Questions to servers: names, HTTP, WebSockets. Each is a task; each has one answer, also after it was cancelled."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from .._values import Cancelled, ConnectHttp, ConnectWebSocket, Failed, Http, Outcome, Resolve, Resolved, Work

if TYPE_CHECKING:
    from .turns import Turns

RESOLVE_TIMEOUT = 20.0
"""Seconds that a look-up of a name may take."""


class Errands:
    """All tasks that ask servers."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self._jobs: dict[int, asyncio.Task[None]] = {}

    def begin(self, job: int, work: Work) -> None:
        """Begins a job."""
        self._jobs[job] = self.turns.loop.create_task(self._do(job, work))

    def cancel(self, job: int) -> None:
        """A job's answer isn't needed any more: it is answered at once."""
        if (task := self._jobs.pop(job, None)) is not None:
            task.cancel()
            self._answer(job, Cancelled())

    def connect(self, effect: ConnectHttp | ConnectWebSocket) -> None:
        """Begins to open a link to a server."""
        self.turns.engine.closed(self.turns.now(), effect.conn, "host")
        self.turns.touch()

    def heed(self, conn: int, read_until: int, write: bool) -> None:
        """How far a link to a server may be read, and whether there is something to pull."""

    def close(self, conn: int, flush: bool) -> bool:
        """Ends a link to a server; whether it is one."""
        return False

    def abort(self) -> None:
        """Ends all at once."""
        for task in self._jobs.values():
            task.cancel()
        self._jobs.clear()

    async def _do(self, job: int, work: Work) -> None:
        outcome: Outcome
        match work:
            case Resolve(host, port):
                outcome = await self._resolve(host, port)
            case Http():
                outcome = Failed("other", "not yet")
            case _:
                outcome = Failed("other", f"{type(work).__name__} is no work for a loop")
        if self._jobs.pop(job, None) is not None:
            self._answer(job, outcome)

    def _answer(self, job: int, outcome: Outcome) -> None:
        self.turns.engine.done(self.turns.now(), job, outcome)
        self.turns.touch()

    async def _resolve(self, host: str, port: int) -> Outcome:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await self.turns.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            return Failed("timed_out", f"{host}: nobody knew it in time")
        except OSError as error:
            return Failed("not_found", f"{host}: {error}")
        addresses = [(str(it[4][0]).split("%")[0], int(it[4][1])) for it in found]
        return Resolved(addresses) if addresses else Failed("not_found", f"{host} has no address")
