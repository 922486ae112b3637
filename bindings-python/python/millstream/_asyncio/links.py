"""Byte links to peers over the loop's transports: credit, back pressure, how they open and end. Payload stays in Rust:
one call takes in what a read brought, one call gives what a write takes."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING, cast

from .._values import Address, LinkEnd
from ..errors import Refused

if TYPE_CHECKING:
    from .turns import Turns

log = logging.getLogger("millstream")

INTAKE_BYTES = 256 << 10
"""The most that is read at once."""

TRANSMIT_BYTES = 256 << 10
"""The most that is asked of the engine at once."""

TRANSMIT_BYTES_FIRST = 32 << 10
"""What is asked of the engine for a link whose speed isn't known, or that is slow: what is handed out can't be taken
back."""

TURN_BYTES = 1 << 20
"""The most that a link may write before others get their turn."""

FLUSH_TIMEOUT = 10.0
"""Seconds that a closing link may take to write what was handed out."""


class PeerLink(asyncio.BufferedProtocol):
    """One link. `conn` is None before it is accepted, and once the engine has no more to hear of it; `through` is where
    a link leads whose transport ends at a proxy."""

    __slots__ = (
        "_blocked",
        "_closing",
        "_cut_off",
        "_links",
        "_local",
        "_paused",
        "_pull",
        "_read_until",
        "_received",
        "_size",
        "_through",
        "_transport",
        "_turns",
        "_unwritten",
        "conn",
    )

    def __init__(self, links: Links, conn: int | None, local: int = 0, *, through: Address | None = None) -> None:
        self.conn = conn
        self._through = through
        self._links = links
        self._turns = links.turns
        self._local = local
        self._transport: asyncio.Transport | None = None
        self._received = 0
        self._read_until = 0
        self._paused = False
        self._blocked = False
        self._pull = False
        self._unwritten = 0
        self._size = TRANSMIT_BYTES_FIRST
        self._closing = False
        self._cut_off: asyncio.TimerHandle | None = None

    # ---- what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open: the engine is told, or asked whether it takes it."""
        self._transport = stream = cast(asyncio.Transport, transport)
        stream.set_write_buffer_limits(high=0)
        ours: Address | None = stream.get_extra_info("sockname")
        theirs: Address | None = stream.get_extra_info("peername")
        if self._through is not None:
            # our end of the link to a proxy is no address of ours that a peer sees
            ours, theirs = ("0.0.0.0", 0), self._through
        if not ours or not theirs or not self._links.welcome(self, self._local, ours, theirs):
            self.conn = None
            stream.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room for one read, no larger than the credit."""
        room = self._read_until - self._received
        intake = self._links.intake
        return intake if room >= INTAKE_BYTES else intake[: max(room, 1)]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        conn = self.conn
        if conn is None or self._closing:
            return
        self._received += nbytes
        turns = self._turns
        turns.body.received(turns.now(), conn, self._links.intake[:nbytes])
        if self._received >= self._read_until and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        turns.touch()

    def eof_received(self) -> bool:
        """The other side has said all: a link of one direction is of no use."""
        return False

    def pause_writing(self) -> None:
        """The socket is full."""
        self._blocked = True

    def resume_writing(self) -> None:
        """All that was handed out is written."""
        self._blocked = False
        if self._unwritten and self.conn is not None and not self._closing:
            wrote, self._unwritten = self._unwritten, 0
            self._turns.engine.wrote(self._turns.now(), self.conn, wrote)
            # it is slow: less at a time, so that more of it can still be taken back
            self._size = max(self._size // 2, TRANSMIT_BYTES_FIRST)
            self._turns.touch()
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended."""
        if self._cut_off is not None:
            self._cut_off.cancel()
        conn, self.conn = self.conn, None
        if conn is None:
            return
        if self._closing:
            self._links.drained(conn)
        else:
            self._links.lost(conn, *end_of(exc))

    # ---- what the engine wants

    def heed(self, read_until: int, write: bool) -> None:
        """How far it may be read, and whether there is something to pull."""
        if read_until > self._read_until:
            self._read_until = read_until
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
        if write:
            self._pull = True
            if not self._blocked:
                self._pump()

    def close(self, flush: bool) -> None:
        """Ends it; `connection_lost` follows in any case."""
        self._closing = True
        transport = self._transport
        if transport is None:
            return
        if flush and transport.get_write_buffer_size() > 0:
            transport.close()
            self._cut_off = self._turns.loop.call_later(FLUSH_TIMEOUT, transport.abort)
        else:
            transport.abort()

    def pump(self) -> None:
        """Its turn to write goes on."""
        if self.conn is not None and not self._closing and not self._blocked:
            self._pump()

    def _pump(self) -> None:
        """Writes what the engine has, until the socket is full or the turn is over."""
        conn, transport, turns = self.conn, self._transport, self._turns
        if conn is None or transport is None or not self._pull or transport.is_closing():
            return
        now, wrote, total = turns.now(), 0, 0
        try:
            while total < TURN_BYTES:
                data = turns.body.transmit(now, conn, wrote, self._size)
                wrote = 0
                if data is None:
                    self._pull = False
                    break
                transport.write(memoryview(data))
                total += len(data)
                if self._blocked:
                    self._unwritten = len(data)
                    break
                wrote = len(data)
                self._size = min(self._size * 2, TRANSMIT_BYTES)
            else:
                self._links.later(self)
        except OSError as error:
            log.warning("a file can't be read: %s", error)
            self._fail(conn)
        if wrote:
            turns.engine.wrote(now, conn, wrote)
        if total:
            turns.touch()

    def _fail(self, conn: int) -> None:
        """Our own host failed: no peer is to blame."""
        self.conn = None
        self._links.lost(conn, "host")
        if self._transport is not None:
            self._transport.abort()


class Links:
    """All links to peers, and those that are being opened."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.open: dict[int, PeerLink] = {}
        self.intake = memoryview(bytearray(INTAKE_BYTES))
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._later: list[PeerLink] = []

    def connect(self, conn: int, to: Address) -> None:
        """Begins to open a link."""
        self._opening[conn] = self.turns.spawn(self._connect(conn, to))

    def welcome(self, link: PeerLink, local: int, ours: Address, theirs: Address) -> bool:
        """Takes a link that is open; whether it is wanted."""
        turns = self.turns
        if link.conn is None:
            try:
                link.conn = turns.engine.accept(turns.now(), local, ours, theirs)
            except Refused as refusal:
                log.debug("a link from %s isn't taken: %s", theirs, refusal)
                return False
        else:
            if self._opening.pop(link.conn, None) is None:
                return False
            turns.engine.opened(turns.now(), link.conn, ours, theirs)
        self.open[link.conn] = link
        turns.touch()
        return True

    def close(self, conn: int, flush: bool) -> None:
        """The engine ends a link: it hears `drained` when nothing of it is left."""
        if (link := self.open.pop(conn, None)) is not None:
            link.close(flush)
            return
        if (task := self._opening.pop(conn, None)) is not None:
            task.cancel()
        self.drained(conn)

    def lost(self, conn: int, why: LinkEnd, message: str | None = None) -> None:
        """A link ended by itself, or never opened."""
        self.open.pop(conn, None)
        self.turns.engine.closed(self.turns.now(), conn, why, message=message)
        self.turns.touch()

    def drained(self, conn: int) -> None:
        """Nothing of a link is left."""
        self.turns.engine.drained(self.turns.now(), conn)
        self.turns.touch()

    def later(self, link: PeerLink) -> None:
        """A link writes on when others had their turn."""
        if not self._later:
            self.turns.loop.call_soon(self._go_on)
        self._later.append(link)

    def abort(self) -> None:
        """Ends all at once."""
        for task in self._opening.values():
            task.cancel()
        for link in list(self.open.values()):
            link.conn = None
            link.close(flush=False)
        self._opening.clear()
        self.open.clear()

    def _go_on(self) -> None:
        waiting, self._later = self._later, []
        for link in waiting:
            link.pump()

    async def _connect(self, conn: int, to: Address) -> None:
        ways = self.turns.ways
        through = to if ways.is_proxied else None
        try:
            await ways.connect(lambda: PeerLink(self, conn, through=through), to)
        except Exception as error:
            if isinstance(error, OSError):
                log.debug("no link to %s: %s", to, error)
            else:
                log.error("the way to %s failed", to, exc_info=error)
            if self._opening.pop(conn, None) is not None:
                self.lost(conn, *end_of(error))


UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def end_of(error: BaseException | None) -> tuple[LinkEnd, str | None]:
    """What the end of a transport means, and in words if the host is to blame."""
    match error:
        case None:
            return "finished", None
        case ConnectionRefusedError():
            return "refused", None
        case TimeoutError():
            return "timed_out", None
        case ConnectionError():
            return "reset", None
        case OSError(errno=number) if number in UNREACHABLE:
            return "unreachable", None
        case OSError(errno=number) if number in NO_ROOM:
            return "no_room", None
        case _:
            return "host", str(error)
