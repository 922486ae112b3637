"""Links to servers whose bodies stream: web seeds (BEP 19). Each is a task that reads as far as the engine's credit
goes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import h11

from .._values import ConnectHttp, LinkEnd
from .http import READ_BYTES, Client, Link, length_of, range_of, retry_after_of
from .ways import Unanswered

if TYPE_CHECKING:
    from .turns import Turns

log = logging.getLogger("millstream")


EXPECTED = (Unanswered, OSError, h11.ProtocolError)
"""What servers and the way to them may do to who asks."""


class Credit:
    """How far a link may be read, for a task that waits until it may go on."""

    def __init__(self) -> None:
        self._until = 0
        self._grown = asyncio.Event()

    def grow(self, until: int) -> None:
        """It may be read up to there."""
        if until > self._until:
            self._until = until
            self._grown.set()

    async def beyond(self, read: int) -> int:
        """How many bytes may be read after those, once there are any."""
        while self._until <= read:
            self._grown.clear()
            await self._grown.wait()
        return self._until - read


class WebSeedLink:
    """One question to a web seed and its answer."""

    def __init__(self, turns: Turns, client: Client, asked: ConnectHttp) -> None:
        self._turns = turns
        self._client = client
        self._asked = asked
        self._credit = Credit()
        self._task = turns.spawn(self._live())

    def heed(self, read_until: int, write: bool) -> None:
        """How far its body may be read; nothing is pulled for it."""
        self._credit.grow(read_until)

    def close(self, flush: bool) -> None:
        """Ends it at once."""
        self._task.cancel()
        self._turns.engine.drained(self._turns.now(), self._asked.conn)
        self._turns.touch()

    def abort(self) -> None:
        """Ends it, and nobody is told."""
        self._task.cancel()

    async def _live(self) -> None:
        turns, asked = self._turns, self._asked
        why: LinkEnd
        message: str | None = None
        try:
            link, head = await self._client.open(asked.url, asked.range, asked.redirects_max)
            try:
                turns.engine.answered(
                    turns.now(),
                    asked.conn,
                    head.status_code,
                    length=length_of(head),
                    range=range_of(head),
                    retry_after=retry_after_of(head),
                )
                turns.touch()
                why = await self._read(link)
            except BaseException:
                link.close()
                raise
        except Exception as error:
            log.debug("the web seed %s: %s", asked.url, error)
            if not isinstance(error, EXPECTED):
                log.error("asking the web seed %s failed", asked.url, exc_info=error)
            why, message = "host", str(error)
        turns.engine.closed(turns.now(), asked.conn, why, message=message)
        turns.touch()

    async def _read(self, link: Link) -> LinkEnd:
        turns, read = self._turns, 0
        while True:
            most = await self._credit.beyond(read)
            try:
                event = await link.next(min(most, READ_BYTES))
            except (OSError, h11.ProtocolError) as error:
                log.debug("the body of %s broke off: %s", self._asked.url, error)
                link.close()
                return "reset"
            if isinstance(event, h11.Data):
                read += len(event.data)
                turns.body.received(turns.now(), self._asked.conn, event.data)
                turns.touch()
            elif isinstance(event, h11.EndOfMessage):
                self._client.kept.put(link)
                return "finished"
            elif event is None:
                link.close()
                return "finished"
