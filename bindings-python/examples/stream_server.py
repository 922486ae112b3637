"""Serves the files of a torrent over HTTP while it is downloaded, for players that seek: `python stream_server.py
MAGNET`, then open the address that it prints. Nothing is fetched but what is asked for, and a little ahead.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import mimetypes
import re
import signal
import tempfile
from urllib.parse import quote, unquote

import h11

from millstream import FileReader, MillstreamError, Session, SessionSettings, Torrent, TorrentFile

LOCAL: SessionSettings = {"listen": ["127.0.0.1:0"], "dht": False, "lsd": False, "port_mapping": False}

CHUNK_BYTES = 256 << 10
"""The most that is read at once."""


def span(wanted: str | None, length: int) -> tuple[int, int] | None:
    """What a Range asks for: its first byte, and the one after its last. All, if it asks for nothing that we know; None
    if there is no such part."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if found is None or not (found[1] or found[2]):
        return 0, length
    if not found[1]:
        return max(0, length - int(found[2])), length
    first, last = int(found[1]), int(found[2]) if found[2] else length - 1
    return (first, min(last + 1, length)) if first < length and first <= last else None


class Server:
    """One torrent over HTTP."""

    def __init__(self, torrent: Torrent) -> None:
        self.torrent = torrent

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for as many requests as it brings."""
        wire = h11.Connection(h11.SERVER)
        try:
            while (request := await self._request(wire, reader)) is not None:
                await self._answer(wire, request, writer)
                if wire.our_state is h11.MUST_CLOSE:
                    break
                wire.start_next_cycle()
        except (h11.ProtocolError, ConnectionError, MillstreamError):
            # a player that jumps closes its connection in mid-answer
            pass
        finally:
            writer.close()

    async def _request(self, wire: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
        request = None
        while True:
            event = wire.next_event()
            if event is h11.NEED_DATA:
                wire.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                return request
            elif isinstance(event, h11.ConnectionClosed):
                return None

    async def _answer(self, wire: h11.Connection, request: h11.Request, writer: asyncio.StreamWriter) -> None:
        path = unquote(request.target.decode()).lstrip("/")
        headers = {name.decode(): value.decode() for name, value in request.headers}
        if not path:
            return await self._send(wire, writer, 200, {"content-type": "text/html; charset=utf-8"}, self._index())
        try:
            file = self.torrent.file(path)
        except LookupError:
            return await self._send(wire, writer, 404, {}, b"no such file\n")
        part = span(headers.get("range"), file.length)
        if part is None:
            return await self._send(wire, writer, 416, {"content-range": f"bytes */{file.length}"}, b"")
        await self._send_file(wire, request, writer, file, part)

    async def _send_file(
        self,
        wire: h11.Connection,
        request: h11.Request,
        writer: asyncio.StreamWriter,
        file: TorrentFile,
        part: tuple[int, int],
    ) -> None:
        first, end = part
        kind = mimetypes.guess_type(file.path.name)[0] or "application/octet-stream"
        head = {"content-type": kind, "accept-ranges": "bytes", "content-length": str(end - first)}
        if end - first < file.length:
            head["content-range"] = f"bytes {first}-{end - 1}/{file.length}"
        status = 206 if "content-range" in head else 200
        writer.write(wire.send(h11.Response(status_code=status, headers=[*head.items()])) or b"")
        if request.method != b"HEAD":
            async with self.torrent.open(file) as opened:
                await opened.seek(first)
                await self._copy(wire, writer, opened, end)
        writer.write(wire.send(h11.EndOfMessage()) or b"")
        await writer.drain()

    async def _copy(self, wire: h11.Connection, writer: asyncio.StreamWriter, file: FileReader, end: int) -> None:
        while file.tell() < end:
            data = await file.read_some(min(CHUNK_BYTES, end - file.tell()), need=1)
            writer.write(wire.send(h11.Data(data=data)) or b"")
            await writer.drain()

    async def _send(
        self, wire: h11.Connection, writer: asyncio.StreamWriter, status: int, head: dict[str, str], body: bytes
    ) -> None:
        head = {**head, "content-length": str(len(body))}
        writer.write(wire.send(h11.Response(status_code=status, headers=[*head.items()])) or b"")
        writer.write((wire.send(h11.Data(data=body)) or b"") + (wire.send(h11.EndOfMessage()) or b""))
        await writer.drain()

    def _index(self) -> bytes:
        rows = "".join(
            f'<li><a href="/{quote(str(file.path))}">{html.escape(str(file.path))}</a>, {file.length} bytes,'
            f" {file.progress:.0%} here</li>"
            for file in self.torrent.files
        )
        return f"<!doctype html><title>{html.escape(self.torrent.name)}</title><ul>{rows}</ul>\n".encode()


async def main() -> None:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="a magnet link, a torrent file or its URL")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--local", action="store_true", help="nothing but the loopback is used")
    given = parser.parse_args()
    peers = [(host, int(port)) for host, _, port in (text.rpartition(":") for text in given.peer)]
    # what is fetched is of no use to the next one
    settings = LOCAL.copy() if given.local else SessionSettings()
    settings["keep_resume"] = False
    with tempfile.TemporaryDirectory() as folder:
        async with Session(folder=folder, **settings) as session:
            torrent = await session.add(given.source, files=[], peers=peers)
            await torrent.metadata()
            server = await asyncio.start_server(Server(torrent).serve, "127.0.0.1", given.port)
            host, port = server.sockets[0].getsockname()
            print(f"http://{host}:{port}/", flush=True)
            interrupted = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                # a KeyboardInterrupt that comes just as the loop falls asleep would wait for the next news
                asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
            async with server:
                await interrupted.wait()


if __name__ == "__main__":
    asyncio.run(main())
