"""The relay for datagrams behind a SOCKS5 proxy: kept up for as long as the session lives, and asked for again when the
proxy, or the link that the relay lives by, is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

from .datagrams import RUN_BYTES, Port

if TYPE_CHECKING:
    from .datagrams import Datagrams

log = logging.getLogger("millstream")

PAUSE_FIRST = 1.0
"""Seconds before the proxy is asked again after the relay was lost; it doubles."""

PAUSE_MAX = 60.0
"""The most of them."""


class RelayPort(Port):
    """The socket that speaks to the relay: it is connected, and what goes over it is packed."""

    def _take_in(self) -> None:
        turns = self._datagrams.turns
        turns.body.relayed(turns.now(), self.local, [data for data, _ in self._taken()])
        turns.touch()

    def _send_some(self, transport: asyncio.DatagramTransport) -> int:
        turns = self._datagrams.turns
        batch = turns.body.relaying(turns.now(), self.local, RUN_BYTES)
        for data, to, size in batch:
            self._send(transport, data, None, (to, size))
        return sum(len(data) for data, _, _ in batch)


class Watch(asyncio.Protocol):
    """The link that the relay lives by. The proxy has nothing to say on it: it lives, or it ends."""

    def __init__(self, ended: asyncio.Future[None]) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended."""
        if not self._ended.done():
            self._ended.set_result(None)


class Relay:
    """Keeps it up."""

    def __init__(self, datagrams: Datagrams) -> None:
        self._datagrams = datagrams
        self._task: asyncio.Task[None] | None = None
        # the user heard that there is none
        self._told = False

    def begin(self) -> None:
        """Asks for it, for ever."""
        self._task = self._datagrams.turns.spawn(self._keep())

    def close(self) -> None:
        """Gives it up."""
        if self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        pause = PAUSE_FIRST
        while True:
            try:
                link, bound = await self._datagrams.turns.ways.associate()
            except OSError as error:
                if not self._told:
                    self._datagrams.turns.warn(f"the proxy relays no datagrams: {error}")
                self._told = True
            else:
                pause = PAUSE_FIRST
                with contextlib.suppress(OSError):
                    await self._serve(link, bound)
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX)

    async def _serve(self, link: socket.socket, bound: socket.socket) -> None:
        """Until the link ends."""
        datagrams, turns = self._datagrams, self._datagrams.turns
        local, address = datagrams.name(), bound.getsockname()
        ended: asyncio.Future[None] = turns.loop.create_future()
        port = RelayPort(datagrams, local)
        transports: list[Any] = []
        try:
            life, _ = await turns.loop.create_connection(lambda: Watch(ended), sock=link)
            transports.append(life)
            voice, _ = await turns.loop.create_datagram_endpoint(lambda: port, sock=bound)
            transports.append(voice)
            log.info("the proxy relays datagrams")
            self._told = False
            datagrams.ports[local] = port
            turns.body.relay_bound(turns.now(), local, address)
            turns.touch()
            await ended
            log.info("the proxy's relay is lost")
        finally:
            for transport in transports:
                transport.abort()
            link.close()
            bound.close()
            if datagrams.ports.pop(local, None) is not None:
                turns.engine.unbound(turns.now(), local)
                turns.touch()
