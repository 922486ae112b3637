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
from .http import Client, Link, Target, Unanswered
from .servers import Credit

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
        self._task = turns.loop.create_task(self._live())

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
        link: Link | None = None
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                target = Target.parse(self._asked.url, ("ws", "wss"))
                link = await self._client.connect(target)
                socket = await _greet(link, target)
            turns = self._turns
            ours = ("::" if ":" in link.remote[0] else "0.0.0.0", 0)
            turns.engine.opened(turns.now(), self._asked.conn, ours, link.remote)
            turns.touch()
            why = await self._carry(link, socket)
        except TimeoutError:
            why = "timed_out"
        except ConnectionError:
            why = "reset"
        except (Unanswered, OSError, ProtocolError) as error:
            log.debug("the tracker %s: %s", self._asked.url, error)
            why = "host"
        finally:
            if link is not None:
                link.close()
        if not self._leaving:
            self._turns.engine.closed(self._turns.now(), self._asked.conn, why)
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

    async def _read(self, link: Link, socket: WSConnection) -> LinkEnd:
        turns, read, message = self._turns, 0, ""
        while True:
            await self._credit.beyond(read)
            data = await link.reader.read(MESSAGE_BYTES_MAX)
            socket.receive_data(data or None)
            for event in socket.events():
                match event:
                    case TextMessage(data=text, message_finished=finished):
                        message += text
                        if len(message) > MESSAGE_BYTES_MAX:
                            return "reset"
                        if finished:
                            whole, message = message.encode(), ""
                            read += len(whole)
                            turns.engine.handle_received(turns.now(), self._asked.conn, whole)
                            turns.touch()
                    case Ping():
                        link.writer.write(socket.send(event.response()))
                    case CloseConnection():
                        return "finished"
                    case _:
                        # what is no text means nothing here
                        pass
            if not data:
                return "finished"

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
                async with asyncio.timeout(WRITE_TIMEOUT):
                    link.writer.write(socket.send(TextMessage(data=text.decode())))
                    await link.writer.drain()
            turns.touch()
            if self._leaving:
                async with asyncio.timeout(FLUSH_TIMEOUT):
                    link.writer.write(socket.send(CloseConnection(code=1000)))
                    await link.writer.drain()
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
