"""TorrentTracker: a tracker over HTTP and UDP (BEP 3, 15, 23, 48) that tells its statistics. It owns the sockets, in
its one thread; swarms and answers are `millstream.sansio.Tracker`'s.

    inbox    TIPCTrackerAllow, TIPCTrackerDeny; anything else, and what names no info-hash, gets TIPCTrackerError
    control  shutdown, shutdownMicroprocess and producerFinished end it; other messages get TIPCTrackerError
    outbox   TIPCTrackerStarted, TIPCTrackerStats every `interval` seconds, TIPCTrackerError: also if it can't start
    signal   producerFinished when it has ended
"""

from __future__ import annotations

import importlib
import logging
import secrets
import selectors
import socket
import time
from collections.abc import Iterable
from typing import Any, Protocol

from ._axon import ThreadedComponent, producerFinished
from ._outgoing import Outgoing
from ._signals import is_a, reason_of, told
from ._sockets import Bell
from .ipc import TIPCTrackerAllow, TIPCTrackerDeny, TIPCTrackerError, TIPCTrackerStarted, TIPCTrackerStats

__all__ = ["TorrentTracker"]

log = logging.getLogger("millstream")

CONNECTIONS_MAX = 1000
"""So many HTTP connections are open at once; who comes then waits in the system's queue."""

REQUEST_BYTES_MAX = 8 << 10
"""A request that is longer is none. Bytes."""

REQUEST_TIMEOUT = 10.0
"""Seconds that a connection may last."""

DATAGRAM_BYTES_MAX = 4096
DATAGRAMS_AT_ONCE = 256
"""So many datagrams are answered before connections are looked at again."""


class Machine(Protocol):
    """A tracker without sockets: `millstream.sansio.Tracker`."""

    @property
    def statistics(self) -> Any: ...
    def receive_datagram(self, data: bytes, addr: tuple[str, int], now: float) -> bytes | None: ...
    def http(self, target: bytes, addr: tuple[str, int], now: float) -> tuple[int, bytes]: ...
    def set_rules(self, *, allow: Iterable[bytes] | None = None, deny: Iterable[bytes] | None = None) -> None: ...
    def get_timer(self) -> float | None: ...
    def handle_timer(self, now: float) -> None: ...


class TorrentTracker(ThreadedComponent):
    """TorrentTracker([host][, port]) -> a tracker. Port 0 lets the system choose. `udp_port`: that of HTTP unless told.
    `interval`: seconds between statistics. The other keywords are `millstream.sansio.TrackerSettings`."""

    Inboxes = {"inbox": "What to serve and what not", "control": "Shut me down"}
    Outboxes = {"outbox": "Where I am, statistics, errors", "signal": "producerFinished when I've shutdown"}

    def __init__(
        self,
        host: str = "0.0.0.0",
        port: int = 6969,
        *,
        udp_port: int | None = None,
        interval: float = 10,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._place = (host, port)
        self._udp_port = udp_port
        self._interval = interval
        self._bell = Bell()
        self.threadWakeUp = self._bell
        self._out = Outgoing(self)
        make = importlib.import_module("millstream.sansio").Tracker
        self._tracker: Machine = make(secrets.token_bytes(32), now=time.monotonic(), **settings)
        self._allowed: set[bytes] = set()
        self._denied: set[bytes] = set()
        self._selector = selectors.DefaultSelector()
        self._connections: dict[socket.socket, _Connection] = {}
        self._told = (time.monotonic(), 0)

    def main(self) -> None:
        """In a thread of its own."""
        try:
            self._serve()
        except Exception as error:
            log.warning("a TorrentTracker ends: %s", error)
            self._out.put(TIPCTrackerError(message=reason_of(error)))
        finally:
            for connection in list(self._connections.values()):
                self._hang_up(connection)
            for key in list(self._selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
            self._selector.close()
            self._bell.close()
            self._out.flush()
            self.send(producerFinished(self), "signal")

    # ---- its life

    def _serve(self) -> None:
        listener, packets = self._bind()
        self._selector.register(self._bell.ear, selectors.EVENT_READ)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(packets, selectors.EVENT_READ)
        host, port = listener.getsockname()[:2]
        self._out.put(
            TIPCTrackerStarted(
                announce=f"http://{host}:{port}/announce", udp=f"udp://{host}:{packets.getsockname()[1]}/announce"
            )
        )
        while not told(self, refuse=self._refuse):
            while self.dataReady("inbox"):
                self._attempt(self.recv("inbox"))
            self._on_time()
            self._out.flush()
            for key, _ in self._selector.select(self._wait()):
                if key.fileobj is listener:
                    self._accept(listener)
                elif key.fileobj is packets:
                    self._answer_packets(packets)
                elif key.fileobj is self._bell.ear:
                    self._bell.clear()
                else:
                    self._on_ready(self._connections[key.fileobj])  # type: ignore[index]

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        family = socket.AF_INET6 if ":" in self._place[0] else socket.AF_INET
        listener = socket.create_server(self._place, family=family, backlog=1024)
        listener.setblocking(False)
        packets = socket.socket(family, socket.SOCK_DGRAM)
        try:
            packets.bind((self._place[0], listener.getsockname()[1] if self._udp_port is None else self._udp_port))
        except OSError:
            listener.close()
            packets.close()
            raise
        packets.setblocking(False)
        return listener, packets

    def _refuse(self, message: object) -> None:
        self._complain(f"a {type(message).__name__} is no signal")

    def _wait(self) -> float:
        now = time.monotonic()
        times = [self._told[0] + self._interval, *(each.until for each in self._connections.values())]
        timer = self._tracker.get_timer()
        if timer is not None:
            times.append(timer)
        wait = max(0.0, min(times) - now)
        return min(wait, 0.05) if len(self._out) else wait

    def _on_time(self) -> None:
        now = time.monotonic()
        timer = self._tracker.get_timer()
        if timer is not None and now >= timer:
            self._tracker.handle_timer(now)
        for connection in [each for each in self._connections.values() if now >= each.until]:
            self._hang_up(connection)
        since, announces = self._told
        if now - since >= self._interval and not len(self._out):
            now_there = self._tracker.statistics
            self._out.put(
                TIPCTrackerStats(
                    torrents=now_there.torrents,
                    peers=now_there.leeches + now_there.seeds,
                    seeds=now_there.seeds,
                    completed=now_there.completed,
                    announces=now_there.announces,
                    announcespersecond=(now_there.announces - announces) / (now - since),
                )
            )
            self._told = (now, now_there.announces)

    def _attempt(self, message: Any) -> None:
        try:
            self._on_message(message)
        except Exception as error:
            log.warning("a TorrentTracker could not use a message", exc_info=error)
            self._complain(reason_of(error))

    def _on_message(self, message: Any) -> None:
        if not is_a(message, TIPCTrackerAllow, TIPCTrackerDeny):
            self._complain(f"a {type(message).__name__} says nothing to a tracker")
            return
        info_hash = _info_hash(message.infohash)
        if info_hash is None:
            self._complain("that is no info-hash")
            return
        mine, other = self._allowed, self._denied
        if isinstance(message, TIPCTrackerDeny):
            mine, other = other, mine
        mine.add(info_hash)
        other.discard(info_hash)
        self._tracker.set_rules(allow=self._allowed or None, deny=self._denied or None)

    def _complain(self, text: str) -> None:
        self._out.put(TIPCTrackerError(message=text))

    # ---- datagrams and connections

    def _answer_packets(self, packets: socket.socket) -> None:
        now = time.monotonic()
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                data, place = packets.recvfrom(DATAGRAM_BYTES_MAX)
                answer = self._tracker.receive_datagram(data, (place[0], place[1]), now)
                if answer:
                    packets.sendto(answer, place)
            except BlockingIOError:
                return
            except OSError as error:
                log.debug("a datagram was lost: %s", error)

    def _accept(self, listener: socket.socket) -> None:
        while len(self._connections) < CONNECTIONS_MAX:
            try:
                taken, place = listener.accept()
            except OSError:
                # nobody else waits, or who waited has left
                return
            taken.setblocking(False)
            connection = _Connection(taken, (place[0], place[1]), time.monotonic() + REQUEST_TIMEOUT)
            self._connections[taken] = connection
            self._selector.register(taken, selectors.EVENT_READ)

    def _on_ready(self, connection: _Connection) -> None:
        try:
            if connection.answer:
                connection.answer = connection.answer[connection.socket.send(connection.answer) :]
                done = not connection.answer
            else:
                done = self._read(connection)
        except BlockingIOError:
            return
        except OSError:
            done = True
        if done:
            self._hang_up(connection)

    def _read(self, connection: _Connection) -> bool:
        """Whether the connection is to be closed."""
        data = connection.socket.recv(REQUEST_BYTES_MAX)
        connection.request += data
        if not data or len(connection.request) > REQUEST_BYTES_MAX:
            return True
        if b"\r\n\r\n" not in connection.request:
            return False
        words = connection.request.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or words[0] != b"GET":
            status, body = 400, b"a tracker is asked by GET"
        else:
            status, body = self._tracker.http(words[1], connection.place, time.monotonic())
        kind, length = "Content-Type: text/plain", f"Content-Length: {len(body)}"
        head = "\r\n".join((f"HTTP/1.1 {status} .", kind, length, "Connection: close", "", ""))
        connection.answer = head.encode() + body
        self._selector.modify(connection.socket, selectors.EVENT_WRITE)
        return False

    def _hang_up(self, connection: _Connection) -> None:
        if self._connections.pop(connection.socket, None) is not None:
            self._selector.unregister(connection.socket)
            connection.socket.close()


class _Connection:
    """An HTTP connection: one question, one answer."""

    __slots__ = ("answer", "place", "request", "socket", "until")

    def __init__(self, taken: socket.socket, place: tuple[str, int], until: float) -> None:
        self.socket, self.place, self.until = taken, place, until
        self.request = b""
        self.answer = b""


def _info_hash(given: object) -> bytes | None:
    """A v1 info-hash, or what trackers know of a v2 one."""
    if isinstance(given, str):
        try:
            given = bytes.fromhex(given)
        except ValueError:
            return None
    if not isinstance(given, bytes | bytearray | memoryview):
        return None
    data = bytes(given)
    return data[:20] if len(data) in (20, 32) else None


__kamaelia_components__ = (TorrentTracker,)
