"""A small router on an address of the loopback that speaks NAT-PMP (RFC 6886), and remembers what it was asked."""

from __future__ import annotations

import asyncio
import struct
from typing import cast

from millstream.sansio import Address

PORT = 5351
UNSUPPORTED = 1


class Router(asyncio.DatagramProtocol):
    """Gives the port outside that is `shift` beyond the one inside; or nothing at all."""

    def __init__(self, host: str, *, shift: int = 1000, deaf: bool = False) -> None:
        self.host = host
        self.asked: list[tuple[str, int, int]] = []
        """Protocol, port inside, and for how many seconds: 0 gives it back."""

        self.came = asyncio.Event()
        self._shift = shift
        self._deaf = deaf
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> Router:
        """Listens."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, PORT))
        return self

    def stop(self) -> None:
        """Listens no more."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It listens."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A question."""
        self.came.set()
        if self._deaf or self._transport is None:
            return
        version, what = data[0], data[1]
        head = struct.pack(">BBHI", 0, 128 + what, 0, 9)
        if version != 0:
            answer = struct.pack(">BBHI", 0, 128 + what, UNSUPPORTED, 9)
        elif what == 0:
            answer = head + bytes([81, 2, 3, 4])
        else:
            inside, _, lifetime = struct.unpack(">HHI", data[4:12])
            self.asked.append(({1: "udp", 2: "tcp"}[what], inside, lifetime))
            outside = (inside + self._shift) & 0xFFFF if lifetime else 0
            answer = head + struct.pack(">HHI", inside, outside, lifetime)
        self._transport.sendto(answer, addr)

    async def asked_of(self, count: int) -> None:
        """It was asked so often."""
        while len(self.asked) < count:
            self.came.clear()
            await self.came.wait()
