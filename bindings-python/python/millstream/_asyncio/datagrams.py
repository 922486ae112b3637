"""Datagrams over the loop's transports: trackers, the DHT, uTP, neighbours. They come and go in batches."""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

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


class Port(asyncio.DatagramProtocol):
    """A socket for datagrams."""

    def __init__(self, datagrams: Datagrams, local: int, neighbourhood: Neighbourhood | None) -> None:
        self.local = local
        self.neighbourhood = neighbourhood
        self._datagrams = datagrams
        self._came: list[tuple[bytes, Any]] = []
        self._blocked = False
        self._pull = False
        self._whole = False
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is ready."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """One came: taken in with others, at the turn."""
        if not self._came:
            self._datagrams.turns.loop.call_soon(self._take_in)
        if len(self._came) < CAME_MAX:
            self._came.append((data, addr))

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
            batch = turns.body.outgoing(turns.now(), self.local, RUN_BYTES)
            self._pull = bool(batch)
            for data, to, whole in batch:
                total += len(data)
                if self.neighbourhood is not None:
                    self.neighbourhood.send(data, to)
                    continue
                if whole != self._whole:
                    self._forbid_fragments(transport, whole)
                try:
                    transport.sendto(data, to)
                except OSError as error:
                    too_large = len(data) if error.errno == errno.EMSGSIZE else None
                    turns.body.datagram_refused(turns.now(), self.local, to, too_large)
        if total:
            turns.touch()
        if self._pull and not self._blocked:
            turns.loop.call_soon(self.pull)

    def _take_in(self) -> None:
        came, self._came = self._came, []
        turns = self._datagrams.turns
        turns.body.datagrams(turns.now(), self.local, came)
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


class Datagrams:
    """All sockets for datagrams, and the listeners beside them."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.ports: dict[int, Port] = {}
        self._servers: list[asyncio.AbstractServer] = []
        self._listeners: dict[int, str] = {}
        self._names = 0

    async def serve(self, pairs: list[Pair]) -> None:
        """Takes what was bound, and tells the engine."""
        waiting = list(pairs)
        try:
            while waiting:
                await self._take(waiting.pop(0))
        finally:
            for pair in waiting:
                pair.close()
        self.turns.touch()

    async def _take(self, pair: Pair) -> None:
        turns = self.turns
        if pair.tcp is not None:
            local, address = self._name(), pair.tcp.getsockname()
            server = await turns.loop.create_server(partial(PeerLink, turns.links, None, local), sock=pair.tcp)
            self._servers.append(server)
            self._listeners[local] = address[0]
            turns.engine.bound(turns.now(), local, address, "tcp")
        if pair.udp is not None:
            await self._attach(pair.udp)

    async def listen_to_neighbours(self) -> None:
        """Binds what it takes to hear neighbours and be heard (BEP 14); none of it is needed to go on."""
        for it in neighbourhoods(list(self._listeners.values())):
            await self._attach(it.ears, it)
        self.turns.touch()

    async def _attach(self, bound: socket.socket, neighbourhood: Neighbourhood | None = None) -> None:
        local, address = self._name(), bound.getsockname()
        port = self.ports[local] = Port(self, local, neighbourhood)
        await self.turns.loop.create_datagram_endpoint(lambda: port, sock=bound)
        kind: Literal["udp", "multicast"] = "udp" if neighbourhood is None else "multicast"
        self.turns.engine.bound(self.turns.now(), local, address, kind)

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
        for port in self.ports.values():
            if port.transport is not None:
                port.transport.abort()
            if port.neighbourhood is not None:
                port.neighbourhood.close()

    def _name(self) -> int:
        self._names += 1
        return self._names
