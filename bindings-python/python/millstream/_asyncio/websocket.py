"""Links to trackers over WebSockets, parsed by wsproto. Every text message is something received, every transmit is one
message; nothing is read beyond the credit."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, RejectConnection, Request, TextMessage
from wsproto.utilities import ProtocolError

from .._values import ConnectWebSocket, LinkEnd
from .http import Client, Link, Target
from .links import end_of
from .servers import EXPECTED, Credit
from .ways import Unanswered

if TYPE_CHECKING:
    from .turns import Turns

log = logging.getLogger("millstream")

MESSAGE_BYTES_MAX = 64 << 10
"""A longer message ends the link."""

OPEN_TIMEOUT = 30.0
"""Seconds that the opening may take, TLS included."""

WRITE_TIMEOUT = 30.0
"""Seconds that a message may take to be written: a tracker that reads nothing ends its link."""

FLUSH_TIMEOUT = 5.0
"""Seconds that the last messages may take when a link is closed."""


class WebSocketLink:
    """A WebSocket to a tracker."""

    def __init__(self, turns: Turns, client: Client, asked: ConnectWebSocket) -> None:
        self._turns = turns
        self._client = client
        self._asked = asked
        self._credit = Credit()
        self._ready = asyncio.Event()
        self._leaving = False
        self._task = turns.spawn(self._live())

    def heed(self, read_until: int, write: bool) -> None:
        """How far it may be read, and whether there is something to pull."""
        self._credit.grow(read_until)
        if write:
            self._ready.set()

    def close(self, flush: bool) -> None:
        """Ends it, with a goodbye if it is to flush."""
        if flush and not self._task.done():
            self._leaving = True
            self._ready.set()
            self._turns.loop.call_later(FLUSH_TIMEOUT, self._task.cancel)
        else:
            self._task.cancel()
        self._turns.engine.drained(self._turns.now(), self._asked.conn)
        self._turns.touch()

    def abort(self) -> None:
        """Ends it, and nobody is told."""
        self._task.cancel()

    async def _live(self) -> None:
        why: LinkEnd
        message: str | None = None
        link: Link | None = None
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                target = Target.parse(self._asked.url, ("ws", "wss"))
                link = await self._client.connect(target)
                socket = await _greet(link, target)
            turns, remote = self._turns, link.remote or ("0.0.0.0", 0)
            turns.engine.opened(turns.now(), self._asked.conn, ("0.0.0.0", 0), remote)
            turns.touch()
            why = await self._carry(link, socket)
        except Exception as error:
            why, message = end_of(error)
            log.debug("the tracker %s: %s", self._asked.url, error)
            if not isinstance(error, (*EXPECTED, ProtocolError)):
                log.error("speaking to the tracker %s failed", self._asked.url, exc_info=error)
        finally:
            if link is not None:
                link.close()
        if not self._leaving:
            self._turns.engine.closed(self._turns.now(), self._asked.conn, why, message=message)
            self._turns.touch()

    async def _carry(self, link: Link, socket: WSConnection) -> LinkEnd:
        """Moves messages until either side ends."""
        reading = asyncio.ensure_future(self._read(link, socket))
        writing = asyncio.ensure_future(self._write(link, socket))
        try:
            done, _ = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                return task.result()
            return "finished"
        finally:
            reading.cancel()
            writing.cancel()
            # what the other one raised meanwhile says nothing more
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _read(self, link: Link, socket: WSConnection) -> LinkEnd:
        read, message = 0, ""
        while True:
            # what came with the greeting's answer lies there already
            for event in socket.events():
                match event:
                    case TextMessage(data=text, message_finished=finished):
                        message += text
                        if len(message) > MESSAGE_BYTES_MAX:
                            return "reset"
                        if finished:
                            read += self._take(message)
                            message = ""
                    case Ping():
                        # who pings and reads nothing is not to fill our memory with answers
                        await self._send(link, socket.send(event.response()))
                    case CloseConnection():
                        return "finished"
                    case _:
                        # what is no text means nothing here
                        pass
            # others get their turn, also while something lies there to be read
            await asyncio.sleep(0)
            await self._credit.beyond(read)
            data = await link.reader.read(MESSAGE_BYTES_MAX)
            if not data:
                return "finished"
            socket.receive_data(data)

    def _take(self, message: str) -> int:
        turns, whole = self._turns, message.encode()
        turns.engine.handle_received(turns.now(), self._asked.conn, whole)
        turns.touch()
        return len(whole)

    async def _send(self, link: Link, data: bytes, timeout: float | None = None) -> None:
        async with asyncio.timeout(WRITE_TIMEOUT if timeout is None else timeout):
            link.writer.write(data)
            await link.writer.drain()

    async def _write(self, link: Link, socket: WSConnection) -> LinkEnd:
        turns = self._turns
        while True:
            await self._ready.wait()
            self._ready.clear()
            wrote = 0
            while not self._leaving:
                text = turns.body.transmit(turns.now(), self._asked.conn, wrote, MESSAGE_BYTES_MAX)
                if text is None:
                    break
                wrote = len(text)
                await self._send(link, socket.send(TextMessage(data=text.decode())))
            turns.touch()
            if self._leaving:
                await self._send(link, socket.send(CloseConnection(code=1000)), FLUSH_TIMEOUT)
                return "finished"


async def _greet(link: Link, target: Target) -> WSConnection:
    """The opening handshake."""
    socket = WSConnection(ConnectionType.CLIENT)
    link.writer.write(socket.send(Request(host=target.host_header, target=target.path)))
    while True:
        data = await link.reader.read(MESSAGE_BYTES_MAX)
        if not data:
            raise ConnectionResetError("the tracker hung up")
        socket.receive_data(data)
        for event in socket.events():
            match event:
                case AcceptConnection():
                    return socket
                case RejectConnection(status_code=status):
                    raise Unanswered(f"the server answered {status}")
                case _:
                    raise Unanswered("the server speaks no WebSocket")
