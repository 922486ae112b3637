"""A tracker over WebSockets, for peers in browsers (WebTorrent): `python websocket_tracker.py [PORT [HOST]]`.

It listens at this machine's own address, 127.0.0.1, unless HOST says otherwise: 0.0.0.0 is for everybody.
`Tracker` says what goes to whom, wsproto frames it, asyncio carries it. What a socket doesn't read is bounded: others'
messages for it are dropped then, since an offer that comes late is worth nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Request, TextMessage
from wsproto.utilities import RemoteProtocolError

from millstream import Refused
from millstream.sansio import Tracker

MESSAGE_MAX, WAITING_MAX = 64 * 1024, 256 * 1024
SILENCE_MAX = 300.0


class Server:
    """A tracker, and the writer of each socket that is open."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.writers: dict[int, tuple[WSConnection, asyncio.StreamWriter]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One socket, from its upgrade to its end."""
        ws = WSConnection(ConnectionType.SERVER)
        try:
            socket = self.tracker.websocket_opened(writer.get_extra_info("peername"))
        except Refused:
            writer.close()
            return
        self.writers[socket] = ws, writer
        try:
            with contextlib.suppress(ConnectionError, RemoteProtocolError, TimeoutError):
                await self.read(socket, ws, reader)
        finally:
            del self.writers[socket]
            self.tracker.websocket_closed(socket, time.monotonic())
            writer.close()

    async def read(self, socket: int, ws: WSConnection, reader: asyncio.StreamReader) -> None:
        """Until it closes, says what no client says, or nothing for too long."""
        said = ""
        while data := await asyncio.wait_for(reader.read(4096), SILENCE_MAX):
            ws.receive_data(data)
            for event in ws.events():
                match event:
                    case Request():
                        self.send(socket, AcceptConnection())
                    case TextMessage(data=part):
                        said += part
                        if len(said) > MESSAGE_MAX:
                            return
                        if event.message_finished:
                            self.on_message(socket, said)
                            said = ""
                    case Ping():
                        self.send(socket, event.response())
                    case CloseConnection():
                        self.send(socket, event.response())
                        return
                    case BytesMessage():
                        return

    def on_message(self, socket: int, said: str) -> None:
        now = time.monotonic()
        for to, told in self.tracker.receive_message(socket, said, now):
            self.send(to, TextMessage(told))
        if (due := self.tracker.get_timer()) is not None and due <= now:
            self.tracker.handle_timer(now)

    def send(self, to: int, event: Event) -> None:
        ws, writer = self.writers[to]
        if writer.transport.get_write_buffer_size() <= WAITING_MAX:
            writer.write(ws.send(event))


async def main(port: int = 8000, host: str = "127.0.0.1") -> None:
    """Serves until it is interrupted, and says where."""
    server = Server(Tracker(secrets.token_bytes(32), now=time.monotonic()))
    async with await asyncio.start_server(server.serve, host, port) as listener:
        print("listening at ws://{}:{}".format(*listener.sockets[0].getsockname()), flush=True)
        await listener.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*map(int, sys.argv[1:2]), *sys.argv[2:3]))
