"""Questions to servers: names and HTTP as jobs, web seeds and WebSockets as links. Each job has one answer, also after
it was cancelled."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeAlias

from .._values import (
    Cancelled,
    ConnectHttp,
    ConnectWebSocket,
    Failed,
    Http,
    HttpAnswer,
    Outcome,
    Resolve,
    Resolved,
    Work,
)
from ..errors import CLOSED, FetchError, SessionClosed
from .http import Answer, Client
from .servers import WebSeedLink
from .ways import Unanswered
from .websocket import WebSocketLink

if TYPE_CHECKING:
    from .turns import Turns

log = logging.getLogger("millstream")

ServerLink: TypeAlias = WebSeedLink | WebSocketLink

REDIRECTS_MAX = 5
"""Redirects that are followed on the way to a torrent file."""


class Errands:
    """All that is asked of servers."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self._client = Client(turns.ways)
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._links: dict[int, ServerLink] = {}
        self._fetches: set[asyncio.Task[Answer]] = set()

    async def fetch(self, url: str, bytes_max: int, timeout: float) -> bytes:
        """A torrent file. Raises FetchError, SessionClosed."""
        asked = self._client.get(url, bytes_max=bytes_max, redirects_max=REDIRECTS_MAX, timeout=timeout, ours=None)
        fetching = self.turns.loop.create_task(asked)
        self._fetches.add(fetching)
        try:
            answer = await fetching
        except Unanswered as error:
            raise FetchError(str(error)) from error
        except asyncio.CancelledError:
            asker = asyncio.current_task()
            if asker is not None and asker.cancelling():
                raise
            raise SessionClosed(CLOSED) from None
        finally:
            fetching.cancel()
            self._fetches.discard(fetching)
        if answer.status != 200:
            raise FetchError(f"{url}: the server answered {answer.status}")
        return answer.body

    def begin(self, job: int, work: Work) -> None:
        """Begins a job."""
        self._jobs[job] = self.turns.spawn(self._do(job, work))

    def cancel(self, job: int) -> None:
        """A job's answer isn't needed any more: it is answered at once."""
        if (task := self._jobs.pop(job, None)) is not None:
            task.cancel()
            self._answer(job, Cancelled())

    def connect(self, asked: ConnectHttp | ConnectWebSocket) -> None:
        """Begins to open a link to a server."""
        if isinstance(asked, ConnectHttp):
            self._links[asked.conn] = WebSeedLink(self.turns, self._client, asked)
        else:
            self._links[asked.conn] = WebSocketLink(self.turns, self._client, asked)

    def heed(self, conn: int, read_until: int, write: bool) -> None:
        """How far a link to a server may be read, and whether there is something to pull."""
        if (link := self._links.get(conn)) is not None:
            link.heed(read_until, write)

    def close(self, conn: int, flush: bool) -> bool:
        """Ends a link to a server; whether it is one."""
        link = self._links.pop(conn, None)
        if link is not None:
            link.close(flush)
        return link is not None

    def abort(self) -> None:
        """Ends all at once."""
        for task in (*self._jobs.values(), *self._fetches):
            task.cancel()
        for link in self._links.values():
            link.abort()
        self._jobs.clear()
        self._links.clear()
        self._client.kept.close()

    async def _do(self, job: int, work: Work) -> None:
        outcome = await self._outcome(work)
        if self._jobs.pop(job, None) is not None:
            self._answer(job, outcome)

    async def _outcome(self, work: Work) -> Outcome:
        try:
            match work:
                case Resolve(host, port):
                    return Resolved(await self.turns.ways.resolve(host, port))
                case Http(url, bytes_max, redirects_max, timeout):
                    answer = await self._client.get(
                        url,
                        bytes_max=bytes_max,
                        redirects_max=redirects_max,
                        timeout=timeout,
                        ours=self.turns.datagrams.address_of(work.local),
                    )
                    return HttpAnswer(answer.status, answer.body)
                case _:
                    return Failed("other", f"{type(work).__name__} is no work for a loop")
        except Unanswered as error:
            return Failed(error.kind, str(error))
        except Exception as error:
            # whatever it was, an answer is owed
            log.error("a question to a server failed", exc_info=error)
            return Failed("other", str(error))

    def _answer(self, job: int, outcome: Outcome) -> None:
        self.turns.engine.done(self.turns.now(), job, outcome)
        self.turns.touch()
