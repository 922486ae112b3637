"""Small proxies for drivers with real sockets: SOCKS5 with links and datagrams, and HTTP's CONNECT. They lead whatever
is asked for to this host, at the same port, and remember what that was. They can die and come back."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

from millstream.sansio import Address

ELSEWHERE = "198.51.100.77"
"""Where answers of those who were asked by name seem to come from: nobody told the client this address."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """What all proxies have: links that are led on, and what was asked."""

    scheme = "socks5"

    def __init__(self, user: str = "", password: str = "") -> None:
        self.user, self.password = user, password
        self.asked: list[str] = []
        self.came_from: set[str] = set()
        self.address: Address = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """For the setting `proxy`."""
        login = f"{self.user}:{self.password.replace('@', '%40')}@" if self.user else ""
        return f"{self.scheme}://{login}{self.address[0]}:{self.address[1]}"

    async def start(self) -> Self:
        """Listens, at the same address if it did before."""
        self._server = await asyncio.start_server(self._begin, *self.address)
        self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def stop(self) -> None:
        """Dies: cuts all links and listens no more."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.came_from.add(writer.get_extra_info("peername")[0])
        try:
            await self._greet(reader, writer)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _open(self, host: str, port: int) -> Stream:
        self.asked.append(f"tcp {host}:{port}")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._writers.add(writer)
        return reader, writer

    async def _lead(self, client: Stream, server: Stream) -> None:
        """Moves bytes both ways until both sides are done."""
        try:
            await asyncio.gather(_move(client[0], server[1]), _move(server[0], client[1]))
        finally:
            self._writers.discard(server[1])
            server[1].transport.abort()


class Socks5(Proxy):
    """RFC 1928 and 1929."""

    def __init__(self, user: str = "", password: str = "", *, relays_datagrams: bool = True) -> None:
        super().__init__(user, password)
        self.relays: list[Address] = []
        self.outsides: list[Address] = []
        """Where datagrams that are relayed come from, for those who get them."""

        self.relayed: Counter[Address] = Counter()
        """Datagrams that went out, by where the client wanted them."""

        self.brought: Counter[Address] = Counter()
        """Datagrams that came back, by where they really came from."""

        self._relays_datagrams = relays_datagrams

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        methods = await reader.readexactly((await reader.readexactly(2))[1])
        if self.user:
            if 2 not in methods:
                return writer.write(b"\x05\xff")
            writer.write(b"\x05\x02")
            user = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            if (user.decode(), password.decode()) != (self.user, self.password):
                return writer.write(b"\x01\x01")
            writer.write(b"\x01\x00")
        else:
            writer.write(b"\x05\x00")
        command = (await reader.readexactly(3))[1]
        host, port = await _read_target(reader.readexactly)
        if command == 3:
            if not self._relays_datagrams:
                return writer.write(b"\x05\x07\x00\x01" + bytes(6))
            return await self._relay(reader, writer)
        try:
            server = await self._open(host, port)
        except OSError:
            return writer.write(b"\x05\x05\x00\x01" + bytes(6))
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await self._lead((reader, writer), server)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        inside, outside = _Inside(self), _Outside(self)
        inside.outside, outside.inside = outside, inside
        transports: list[Any] = []
        try:
            for make in (lambda: inside, lambda: outside):
                transport, _ = await loop.create_datagram_endpoint(make, local_addr=("127.0.0.1", 0))
                transports.append(transport)
            address = transports[0].get_extra_info("sockname")
            self.relays.append(address)
            self.outsides.append(transports[1].get_extra_info("sockname"))
            writer.write(b"\x05\x00\x00\x01" + bytes(4) + struct.pack(">H", address[1]))
            while await reader.read(100):
                pass
        finally:
            for transport in transports:
                transport.close()


class _Side(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)


class _Inside(_Side):
    outside: _Outside

    def __init__(self, proxy: Socks5) -> None:
        self._proxy = proxy
        self.home: Address | None = None

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.home = addr
        self._proxy.came_from.add(addr[0])
        host, port, payload = unpack(data)
        self._proxy.asked.append(f"udp {host}:{port}")
        self._proxy.relayed[host, port] += 1
        self.outside.hosts[port] = host if host[-1].isdigit() else ELSEWHERE
        self.outside.transport.sendto(payload, ("127.0.0.1", port))


class _Outside(_Side):
    inside: _Inside

    def __init__(self, proxy: Socks5) -> None:
        self._proxy = proxy
        self.hosts: dict[int, str] = {}
        """Where answers are from, by the port that was asked."""

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._proxy.brought[addr] += 1
        host = self.hosts.get(addr[1], ELSEWHERE)
        head = b"\0\0\0\x01" + socket.inet_aton(host) + struct.pack(">H", addr[1])
        self.inside.transport.sendto(head + data, self.inside.home)


class HttpProxy(Proxy):
    """CONNECT, with basic authentication."""

    scheme = "http"

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if self.user and f"Proxy-Authorization: Basic {login}\r\n" not in head:
            return writer.write(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\n\r\n")
        host, _, port = head.removeprefix("CONNECT ").split(" ")[0].rpartition(":")
        try:
            server = await self._open(host.strip("[]"), int(port))
        except OSError:
            return writer.write(b"HTTP/1.1 502 Bad gateway\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        await self._lead((reader, writer), server)


class Hostile(Proxy):
    """Says what a test wants, whatever it is asked."""

    def __init__(
        self, scheme: str, say: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        super().__init__()
        self.scheme = scheme
        self.links = 0
        self._say = say

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links += 1
        await self._say(reader, writer)


def unpack(packed: bytes) -> tuple[str, int, bytes]:
    """A datagram as a relay gets it: where to, and its payload."""
    assert packed[:3] == b"\0\0\0", packed[:20]
    match packed[3]:
        case 1:
            host, at = socket.inet_ntoa(packed[4:8]), 8
        case 4:
            host, at = socket.inet_ntop(socket.AF_INET6, packed[4:20]), 20
        case _:
            host, at = packed[5 : 5 + packed[4]].decode(), 5 + packed[4]
    return host, struct.unpack(">H", packed[at : at + 2])[0], packed[at + 2 :]


async def _read_target(read: Callable[[int], Awaitable[bytes]]) -> Address:
    match (await read(1))[0]:
        case 1:
            host = socket.inet_ntoa(await read(4))
        case 4:
            host = socket.inet_ntop(socket.AF_INET6, await read(16))
        case _:
            host = (await read((await read(1))[0])).decode()
    return host, struct.unpack(">H", await read(2))[0]


async def _move(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        # a side that broke off takes the other with it
        writer.transport.abort()
