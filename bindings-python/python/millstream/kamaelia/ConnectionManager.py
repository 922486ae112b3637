"""ConnectionManager: TCP connections behind an inbox, as many at once as the network bears. For any protocol: it knows
nothing of what they carry.

It owns which connections there are and when the next is opened. How many may be is
`millstream.sansio.ConnectionPool`'s to decide: it starts with few, doubles while nothing speaks against it, and goes
back when fresh addresses fall silent, what worked breaks, or opening becomes slow. Who waits for a connection waits
in turn with others of the same host; hosts share.

    inbox    Connect, Send, Close, Limit, QueryPool
    control  producerFinished ends it when all connections have ended, shutdown and shutdownMicroprocess at once; other
             messages are logged
    outbox   for each Connect either Opened, any number of Received, and Closed; or Failed; or, if it is closed before
             it is open, Closed alone. For QueryPool a PoolStatus. For what can't be done, and for what is none of
             these, a Failed with the token it has or None; connections stay as they were
    signal   producerFinished when it has ended; all connections are closed then
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from ..sansio import ConnectionPool, PoolSettings, PoolStatus
from ._outgoing import MESSAGES_MAX
from ._signals import token_of
from ._sockets import Bell, addresses_of, blame, host_number, is_ip, start_connecting, take_address
from ._worker import Worker

__all__ = [
    "Close",
    "Closed",
    "Connect",
    "ConnectionManager",
    "Failed",
    "Limit",
    "Opened",
    "PoolStatus",
    "QueryPool",
    "Received",
    "Send",
]

REMEMBERED_MAX = 10_000
"""Addresses of which is remembered whether they answered. Of others silence says less."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection to a host (a name or an IP address) and port. The token names it from now on, until it has
    ended: any value with a hash."""

    token: Any
    address: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes; before it is open, as soon as it is."""

    token: Any
    data: bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection when all that was to be sent has been, or wait for it no longer. Answered by Closed; with a
    LookupError if there is none."""

    token: Any


@dataclass(frozen=True, slots=True)
class Limit:
    """Hard bounds beside the pool's own: connections at once, and those of them that are being opened. `None` for no
    bound. What is open stays open. No answer."""

    max_open: int | None = None
    max_half_open: int | None = None


@dataclass(frozen=True, slots=True)
class QueryPool:
    """Say how the pool is. Answered by a PoolStatus."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection is open, to this IP address and port."""

    token: Any
    address: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Received:
    """These bytes came."""

    token: Any
    data: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be opened, or a message could not be done: `error` is an OSError, LookupError, ValueError or
    TypeError."""

    token: Any
    error: Exception


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection has ended; in order unless there is an `error`."""

    token: Any
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    token: Any
    address: tuple[str, int]
    owner: int
    state: Literal["waiting", "opening", "open"] = "waiting"
    number: int = 0
    """What the pool calls it."""
    deadline: float = 0.0
    places: deque[tuple[str, int]] | None = None
    """Addresses of its host that were not tried yet."""
    sock: socket.socket | None = None
    outgoing: bytearray | None = None
    ending: bool = False


class ConnectionManager(Worker):
    """ConnectionManager() -> a component that opens TCP connections, sends, receives and closes.

    `connect_timeout`: seconds until an attempt is given up, with the look-up of the name. `waiting_max`: Connects
    that may wait; one more fails. `send_bytes_max`: what one connection may hold unsent; more ends it with a
    BufferError. `receive_bytes`: the longest Received; up to 1000 lie before a slow reader. `pool`: settings of the
    ConnectionPool.
    """

    Inboxes = {"inbox": "Connect, Send, Close, Limit, QueryPool", "control": "Shut me down"}
    Outboxes = {"outbox": "Opened, Received, Failed, Closed", "signal": "producerFinished when I've shutdown"}

    def __init__(
        self,
        *,
        connect_timeout: float = 10.0,
        waiting_max: int = 10_000,
        send_bytes_max: int = 16 << 20,
        receive_bytes: int = 16 << 10,
        pool: PoolSettings | None = None,
    ) -> None:
        super().__init__()
        self._connect_timeout = connect_timeout
        self._waiting_max = waiting_max
        self._send_bytes_max = send_bytes_max
        self._receive_bytes = receive_bytes
        self._pool = ConnectionPool(now=time.monotonic(), **(pool or {}))
        self._limit = Limit()
        self._connections: dict[Any, _Connection] = {}
        self._waiting: dict[int, deque[_Connection]] = {}
        self._waiting_count = 0
        self._opening: dict[_Connection, None] = {}  # the earliest deadline first
        self._answered: OrderedDict[tuple[str, int], bool] = OrderedDict()
        self._names = ThreadPoolExecutor(4, "millstream names")
        self._found: deque[tuple[_Connection, Future[list[tuple[str, int]]]]] = deque()
        self._selector = selectors.DefaultSelector()
        self._hearing = True
        self._bell = self.threadWakeUp = Bell()
        self._selector.register(self._bell.ear, selectors.EVENT_READ)

    # ---- what is told

    def on_message(self, message: Any) -> None:
        """Does what it says."""
        match message:
            case Connect(token, address):
                self._connect(token, address)
            case Send(token, data):
                self._send(token, data)
            case Close(token):
                self._close(token)
            case Limit(max_open, max_half_open):
                for bound in (max_open, max_half_open):
                    if bound is not None and (not isinstance(bound, int) or bound < 0):
                        raise ValueError(f"{bound!r} is no number of connections")
                self._limit = message
            case QueryPool():
                self.out.put(self._pool.status(time.monotonic()))
            case _:
                raise TypeError(f"a {type(message).__name__} is no request for a connection")

    def on_unusable(self, message: Any, error: Exception) -> None:
        """Tells that it can't be done."""
        self.out.put(Failed(token_of(message), error))

    def _connect(self, token: Any, address: object) -> None:
        place = take_address(address)
        if token in self._connections:
            raise ValueError("there is a connection of this token")
        if self._waiting_count >= self._waiting_max:
            raise BlockingIOError(f"{self._waiting_count} connections are waited for, which are as many as may be")
        it = _Connection(token, place, host_number(place[0]))
        self._connections[token] = it
        self._waiting.setdefault(it.owner, deque()).append(it)
        self._waiting_count += 1
        self._pool.set_wants(it.owner, True, time.monotonic())

    def _send(self, token: Any, data: object) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data is a {type(data).__name__}, not bytes")
        it = self._known(token)
        if it.ending:
            raise LookupError("the connection is being closed")
        it.outgoing = bytearray() if it.outgoing is None else it.outgoing
        it.outgoing += data
        if len(it.outgoing) > self._send_bytes_max:
            self._ended(it, BufferError(f"more than {self._send_bytes_max} bytes are unsent"), "ours")
        elif it.state == "open":
            self._write(it)

    def _close(self, token: Any) -> None:
        try:
            it = self._known(token)
        except LookupError as error:
            self.out.put(Closed(token, error))
            return
        it.ending = True
        if it.state != "open" or not it.outgoing:
            self._ended(it, None, "ours")

    def _known(self, token: Any) -> _Connection:
        try:
            return self._connections[token]
        except KeyError:
            raise LookupError("there is no connection of this token") from None

    # ---- opening

    def on_turn(self) -> None:
        """Opens what may be opened."""
        self._pool.handle_timer(time.monotonic())
        while self._waiting_count and self._has_room():
            now = time.monotonic()
            owner = self._pool.next_open(now)
            if owner is None:
                return
            queue = self._waiting[owner]
            it = queue.popleft()
            self._waiting_count -= 1
            answered = self._answered.get(it.address)
            prospect: Any = "fresh" if answered is None else "proven" if answered else "failed"
            it.number = self._pool.started(owner, now, prospect=prospect)
            it.state, it.deadline = "opening", now + self._connect_timeout
            self._opening[it] = None
            if not queue:
                self._wants_no_more(owner)
            self._look_up(it)

    def _has_room(self) -> bool:
        open_max, half_open_max = self._limit.max_open, self._limit.max_half_open
        there = len(self._connections) - self._waiting_count
        return (open_max is None or there < open_max) and (half_open_max is None or len(self._opening) < half_open_max)

    def _look_up(self, it: _Connection) -> None:
        if is_ip(it.address[0]):
            it.places = deque([it.address])
            self._try_next(it, OSError())
            return

        def found(names: Future[list[tuple[str, int]]]) -> None:
            self._found.append((it, names))
            self._bell.set()

        self._names.submit(addresses_of, it.address).add_done_callback(found)

    def _take_found(self) -> None:
        while self._found:
            it, found = self._found.popleft()
            if self._connections.get(it.token) is not it or found.cancelled():
                continue
            error = found.exception()
            if error is None:
                it.places = deque(found.result())
                self._try_next(it, OSError(f"{it.address[0]} has no address"))
            else:
                self._not_opened(it, error if isinstance(error, OSError) else OSError(str(error)), "cancelled")

    def _try_next(self, it: _Connection, error: OSError) -> None:
        """Tries the next address of a host, or fails as the last one did."""
        self._let_go(it)
        while it.places:
            try:
                it.sock = start_connecting(it.places.popleft())
                self._selector.register(it.sock, selectors.EVENT_WRITE, it)
                return
            except OSError as refused:
                error = refused
                self._let_go(it)
        self._not_opened(it, error, blame(error))

    def _not_opened(self, it: _Connection, error: OSError, why: Any) -> None:
        if why != "cancelled":
            self._remember(it.address, why == "refused")
        self._forget(it)
        self._pool.failed(it.number, why, time.monotonic())
        self.out.put(Failed(it.token, error))

    def _on_writable(self, it: _Connection, sock: socket.socket) -> None:
        if it.state == "open":
            self._write(it)
            return
        try:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, f"{it.address[0]} can't be reached")
            other = sock.getpeername()[:2]
        except OSError as error:
            self._try_next(it, error)
            return
        it.state = "open"
        del self._opening[it]
        self._pool.opened(it.number, time.monotonic())
        self._remember(it.address, True)
        self.out.put(Opened(it.token, other))
        self._write(it)

    # ---- what is open

    def idle(self, most: float | None) -> None:
        """Waits for sockets, messages, names and moments, and does what they want."""
        self._hear(len(self.out) < MESSAGES_MAX)
        for key, what in self._selector.select(self._patience(most)):
            if key.data is None:
                self._bell.clear()
                continue
            it: _Connection = key.data
            # what came before may have ended it
            sock = it.sock
            if sock is not None and sock is key.fileobj and what & selectors.EVENT_WRITE:
                self._on_writable(it, sock)
            sock = it.sock
            if sock is not None and sock is key.fileobj and it.state == "open" and what & selectors.EVENT_READ:
                self._read(it, sock)
        self._take_found()
        while self._opening and (it := next(iter(self._opening))).deadline <= time.monotonic():
            self._not_opened(it, TimeoutError(f"{it.address[0]} did not answer"), "timed_out")

    def is_done(self) -> bool:
        """Whether all connections have ended."""
        return not self._connections

    def _patience(self, most: float | None) -> float | None:
        now = time.monotonic()
        due = [it.deadline for it in islice(self._opening, 1)]
        if self._waiting_count and self._has_room() and (timer := self._pool.get_timer()) is not None:
            due.append(timer)
        soonest = max(0.0, min(due) - now + 0.001) if due else None
        return min((it for it in (most, soonest) if it is not None), default=None)

    def _hear(self, on: bool) -> None:
        """Reads from all connections, or from none while nobody takes what came."""
        if on != self._hearing:
            self._hearing = on
            for it in self._connections.values():
                if it.state == "open":
                    self._await(it)

    def _await(self, it: _Connection) -> None:
        what = (selectors.EVENT_READ if self._hearing else 0) | (selectors.EVENT_WRITE if it.outgoing else 0)
        assert it.sock is not None
        if it.sock in self._selector.get_map():
            self._selector.unregister(it.sock)
        if what:
            self._selector.register(it.sock, what, it)

    def _read(self, it: _Connection, sock: socket.socket) -> None:
        try:
            data = sock.recv(self._receive_bytes)
        except BlockingIOError:
            return
        except OSError as error:
            self._ended(it, error, "lost")
            return
        if not data:
            self._ended(it, None, "finished")
            return
        self._pool.received(it.number, len(data), time.monotonic())
        self.out.put(Received(it.token, data))

    def _write(self, it: _Connection) -> None:
        assert it.sock is not None
        if it.outgoing:
            try:
                count = it.sock.send(it.outgoing)
            except BlockingIOError:
                count = 0
            except OSError as error:
                self._ended(it, error, "lost")
                return
            del it.outgoing[:count]
            self._pool.sent(it.number, count, time.monotonic())
        if it.ending and not it.outgoing:
            self._ended(it, None, "ours")
        else:
            self._await(it)

    # ---- ending

    def on_end(self) -> None:
        """Closes all."""
        for it in list(self._connections.values()):
            self._ended(it, None, "ours")
        self._names.shutdown(wait=False, cancel_futures=True)
        self._selector.close()
        self._bell.close()

    def _ended(self, it: _Connection, error: Exception | None, why: Any) -> None:
        state = it.state
        self._forget(it)
        if state == "open":
            self._pool.closed(it.number, why, time.monotonic())
        elif state == "opening":
            self._pool.failed(it.number, "cancelled", time.monotonic())
        self.out.put(Closed(it.token, error))

    def _forget(self, it: _Connection) -> None:
        self._let_go(it)
        del self._connections[it.token]
        if it.state == "opening":
            del self._opening[it]
        elif it.state == "waiting":
            self._waiting[it.owner].remove(it)
            self._waiting_count -= 1
            if not self._waiting[it.owner]:
                self._wants_no_more(it.owner)

    def _wants_no_more(self, owner: int) -> None:
        del self._waiting[owner]
        self._pool.set_wants(owner, False, time.monotonic())

    def _let_go(self, it: _Connection) -> None:
        if it.sock is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(it.sock)
            it.sock.close()
            it.sock = None

    def _remember(self, address: tuple[str, int], answered: bool) -> None:
        self._answered[address] = answered
        self._answered.move_to_end(address)
        if len(self._answered) > REMEMBERED_MAX:
            self._answered.popitem(last=False)


__kamaelia_components__ = (ConnectionManager,)
