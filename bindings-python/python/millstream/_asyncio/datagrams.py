"""Datagrams over the loop's transports: trackers, the DHT, uTP, neighbours. They come and go in batches."""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

from .._values import Address
from .links import PeerLink
from .neighbours import Neighbourhood, neighbourhoods
from .sockets import Pair

if TYPE_CHECKING:
    from .turns import Turns

RUN_BYTES = 64 << 10
"""The most that is asked of the engine at once."""

TURN_BYTES = 1 << 20
"""The most that a socket sends before others get their turn."""

CAME_MAX = 4096
"""Datagrams that wait for their turn. More are dropped, as a full network does."""

CAME_BYTES_MAX = 4 << 20
"""Bytes of them. More are dropped."""


class Port(asyncio.DatagramProtocol):
    """A socket for datagrams."""

    def __init__(self, datagrams: Datagrams, local: int) -> None:
        self.local = local
        self.transport: asyncio.DatagramTransport | None = None
        self._datagrams = datagrams
        self._came: list[tuple[bytes, Any]] = []
        self._came_bytes = 0
        self._blocked = False
        self._pull = False
        self._whole = False
        self._error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is ready."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """One came: taken in with others, at the turn."""
        if not self._came:
            self._datagrams.turns.loop.call_soon(self._take_in)
        if len(self._came) < CAME_MAX and self._came_bytes < CAME_BYTES_MAX:
            self._came.append((data, addr))
            self._came_bytes += len(data)

    def error_received(self, exc: Exception) -> None:
        """What was just sent wasn't; or news of an earlier datagram, that name no address."""
        self._error = exc

    def pause_writing(self) -> None:
        """The socket is full."""
        self._blocked = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._blocked = False
        self.pull()

    def pull(self, more: bool = False) -> None:
        """Sends what the engine has."""
        self._pull |= more
        turns, transport = self._datagrams.turns, self.transport
        if transport is None or transport.is_closing():
            return
        total = 0
        while self._pull and not self._blocked and total < TURN_BYTES:
            sent = self._send_some(transport)
            self._pull = sent > 0
            total += sent
        if total:
            turns.touch()
        if self._pull and not self._blocked:
            turns.loop.call_soon(self.pull)

    def _send_some(self, transport: asyncio.DatagramTransport) -> int:
        """Sends a run; how many bytes, none if the engine has no more."""
        turns, total = self._datagrams.turns, 0
        for data, to, whole in turns.body.outgoing(turns.now(), self.local, RUN_BYTES):
            total += len(data)
            if whole != self._whole:
                self._forbid_fragments(transport, whole)
            self._send(transport, data, to, (to, len(data)))
        return total

    def _send(
        self,
        transport: asyncio.DatagramTransport,
        data: bytes | memoryview,
        address: Address | None,
        meant: tuple[Address, int],
    ) -> None:
        """Sends one to an address. If it can't be, the engine is told where it was meant to go, and its size if that
        was the reason."""
        self._error = None
        try:
            transport.sendto(data, address)
        except OSError as error:
            self._error = error
        if (failed := self._error) is not None:
            turns, (to, size) = self._datagrams.turns, meant
            too_large = size if isinstance(failed, OSError) and failed.errno == errno.EMSGSIZE else None
            turns.body.datagram_refused(turns.now(), self.local, to, too_large)

    def _taken(self) -> list[tuple[bytes, Any]]:
        """What came meanwhile."""
        came, self._came, self._came_bytes = self._came, [], 0
        return came

    def _take_in(self) -> None:
        turns = self._datagrams.turns
        turns.body.datagrams(turns.now(), self.local, self._taken())
        turns.touch()

    def _forbid_fragments(self, transport: asyncio.DatagramTransport, whole: bool) -> None:
        """Probes for the size that a path takes must not be cut into fragments; all else may be, where it has to."""
        self._whole = whole
        it = transport.get_extra_info("socket")
        # Linux: IP_MTU_DISCOVER and its like for IPv6, to PROBE or DONT
        if it is not None and hasattr(socket, "SO_DOMAIN"):
            v6 = it.family == socket.AF_INET6
            level, option = (socket.IPPROTO_IPV6, 23) if v6 else (socket.IPPROTO_IP, 10)
            it.setsockopt(level, option, 3 if whole else 0)


class NeighbourPort(Port):
    """The socket that hears a group of neighbours, and speaks to it by those beside it."""

    def __init__(self, datagrams: Datagrams, local: int, neighbourhood: Neighbourhood) -> None:
        super().__init__(datagrams, local)
        self.neighbourhood = neighbourhood

    def _send_some(self, transport: asyncio.DatagramTransport) -> int:
        turns, total = self._datagrams.turns, 0
        for data, to, _ in turns.body.outgoing(turns.now(), self.local, RUN_BYTES):
            total += len(data)
            self.neighbourhood.send(data, to)
        return total

    def connection_lost(self, exc: Exception | None) -> None:
        """Those beside it go with it."""
        self.neighbourhood.close()


class Datagrams:
    """All sockets for datagrams, and the listeners beside them."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.ports: dict[int, Port] = {}
        self._servers: list[asyncio.AbstractServer] = []
        self._held: list[socket.socket] = []
        self._listeners: dict[int, str] = {}
        self._names = 0

    async def serve(self, pairs: list[Pair], *, takes_links: bool) -> None:
        """Takes what was bound, and tells the engine. Where no links are taken their ports are only held."""
        waiting = [it for pair in pairs for it in (pair.tcp, pair.udp) if it is not None]
        try:
            while waiting:
                await self._take(waiting[0], takes_links)
                waiting.pop(0)
        finally:
            for it in waiting:
                it.close()
        self.turns.touch()

    async def _take(self, bound: socket.socket, takes_links: bool) -> None:
        turns = self.turns
        if bound.type != socket.SOCK_STREAM:
            local = self.name()
            await self._attach(bound, Port(self, local), "udp")
            return
        local, address = self.name(), bound.getsockname()
        if takes_links:
            server = await turns.loop.create_server(partial(PeerLink, turns.links, None, local), sock=bound)
            self._servers.append(server)
        else:
            self._held.append(bound)
        self._listeners[local] = address[0]
        turns.engine.bound(turns.now(), local, address, "tcp")

    async def listen_to_neighbours(self) -> None:
        """Binds what it takes to hear neighbours and be heard (BEP 14); none of it is needed to go on."""
        waiting = neighbourhoods(self.turns.body, list(self._listeners.values()))
        try:
            while waiting:
                it = waiting[0]
                await self._attach(it.ears, NeighbourPort(self, self.name(), it), "multicast")
                waiting.pop(0)
        finally:
            for it in waiting:
                it.ears.close()
                it.close()
        self.turns.touch()

    async def _attach(self, bound: socket.socket, port: Port, kind: Literal["udp", "multicast"]) -> None:
        address = bound.getsockname()
        self.ports[port.local] = port
        await self.turns.loop.create_datagram_endpoint(lambda: port, sock=bound)
        self.turns.engine.bound(self.turns.now(), port.local, address, kind)

    def address_of(self, local: int | None) -> str | None:
        """The address of ours that a way out begins at."""
        return None if local is None else self._listeners.get(local)

    def pull(self, local: int) -> None:
        """The engine has datagrams for a socket."""
        if (port := self.ports.get(local)) is not None:
            port.pull(more=True)

    def close(self) -> None:
        """Gives all back."""
        for server in self._servers:
            server.close()
        for held in self._held:
            held.close()
        for port in self.ports.values():
            if port.transport is not None:
                port.transport.abort()

    def name(self) -> int:
        """What the engine is to call the next socket."""
        self._names += 1
        return self._names
