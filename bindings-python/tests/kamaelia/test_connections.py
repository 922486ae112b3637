"""ConnectionManager: connections behind boxes, as many as may be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from millstream.kamaelia._axon import producerFinished
from millstream.kamaelia.ConnectionManager import (
    Close,
    Closed,
    Connect,
    ConnectionManager,
    Failed,
    Limit,
    Opened,
    PoolStatus,
    QueryPool,
    Received,
    Send,
)

from .stage import DEADLINE, Script, ended, play, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main


class Host:
    """A server on the loopback; `serve` deals with each connection, on a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self.now = self.most = self.taken = 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.address: tuple[str, int] = self._listener.getsockname()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(DEADLINE)
            with self._lock:
                self.taken += 1
                self.now += 1
                self.most = max(self.most, self.now)
            thread = threading.Thread(target=self._one, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except OSError:
                pass
        with self._lock:
            self.now -= 1

    @contextmanager
    def run(self) -> Iterator[tuple[str, int]]:
        """Gives its address."""
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        try:
            yield self.address
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            for thread in [accepting, *self._threads]:
                thread.join(DEADLINE)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(4096):
        connection.sendall(data)


def hang_up(connection: socket.socket) -> None:
    connection.recv(1)


def dead_address() -> tuple[str, int]:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
        return address


def told(script: Callable[[Script], Main], manager: ConnectionManager | None = None) -> Script:
    """Runs a script, which ends in order."""

    def whole(me: Script) -> Main:
        yield from script(me)
        yield from ended(me)

    (me,) = play((manager or ConnectionManager(), whole))
    return me


def test_bytes_go_there_and_back_and_a_name_is_looked_up() -> None:
    data = bytes(range(256)) * 4000

    def script(me: Script) -> Main:
        me.send(Connect("one", ("localhost", address[1])))
        me.send(Send("one", b"before it is open,"))
        me.send(Send("one", memoryview(data)))
        want = len(b"before it is open," + data)
        yield until(lambda: sum(len(it.data) for it in me.of(Received)) == want, "the echo")
        me.send(Close("one"))
        yield until(lambda: me.of(Closed), "its end")

    with Host(echo).run() as address:
        me = told(script)
    assert me.got[0] == Opened("one", ("127.0.0.1", address[1])) and me.got[-1] == Closed("one")
    assert b"".join(it.data for it in me.of(Received)) == b"before it is open," + data


def test_no_more_are_open_than_may_be_and_all_have_their_turn() -> None:
    host = Host(echo)

    def script(me: Script) -> Main:
        me.send(Limit(max_open=3, max_half_open=2))
        for number in range(30):
            me.send(Connect(number, address))
            me.send(Send(number, b"x"))
        closed: set[int] = set()
        while len(closed) < 30:
            yield 1
            for it in me.of(Received):
                if it.token not in closed:
                    closed.add(it.token)
                    me.send(Close(it.token))
        yield until(lambda: len(me.of(Closed)) == 30, "all have ended")

    with host.run() as address:
        me = told(script)
    assert host.taken == 30
    running = most = 0
    for it in me.got:
        running += isinstance(it, Opened) - isinstance(it, Closed)
        most = max(most, running)
    assert most == 3 and not me.of(Failed)


def test_the_pools_own_bounds_hold_and_it_says_how_it_is() -> None:
    host = Host(echo)

    def script(me: Script) -> Main:
        for number in range(12):
            me.send(Connect(number, address))
        yield until(lambda: len(me.of(Opened)) == 5, "as many as may be")
        me.send(QueryPool())
        yield until(lambda: me.of(PoolStatus), "the status")

    with host.run() as address:
        me = told(script, ConnectionManager(pool={"links_max": 5}))
    (status,) = me.of(PoolStatus)
    assert (status.open, status.half_open, status.mood) == (5, 0, "free")
    assert sorted(it.token for it in me.of(Closed)) == list(range(12)), "who ends tells all"


def test_what_cannot_be_reached_fails_with_its_reason() -> None:
    def script(me: Script) -> Main:
        me.send(Connect("refused", dead_address()))
        me.send(Connect("no name", ("no-such-host.invalid", 80)))
        me.send(Connect("no unicode name", ("x" * 80 + ".example", 80)))
        yield until(lambda: len(me.got) == 3, "all fail")

    got = {it.token: it.error for it in told(script).of(Failed)}
    assert isinstance(got["refused"], ConnectionRefusedError)
    assert isinstance(got["no name"], OSError) and isinstance(got["no unicode name"], OSError)


def test_silence_is_given_up_in_time() -> None:
    # a listener with a full backlog answers nobody
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)

        def script(me: Script) -> Main:
            me.send(Connect("silent", address))
            yield until(lambda: me.got, "it is given up")

        me = told(script, ConnectionManager(connect_timeout=0.3))
        for filler in fillers:
            filler.close()
    assert isinstance(me.got[0], Failed) and isinstance(me.got[0].error, TimeoutError)


def test_the_other_sides_end_is_told_and_the_token_is_free_again() -> None:
    def script(me: Script) -> Main:
        for round in range(1, 4):
            me.send(Connect("same", address))
            me.send(Send("same", b"x"))
            yield until(lambda round=round: len(me.of(Closed)) == round, "it hangs up")  # type: ignore[misc]

    with Host(hang_up).run() as address:
        me = told(script)
    assert me.got == [Opened("same", address), Closed("same")] * 3


def test_who_waits_can_be_closed_and_who_is_not_there_cannot() -> None:
    def script(me: Script) -> Main:
        me.send(Limit(max_open=0))
        me.send(Connect(1, address))
        me.send(Connect(1, address))
        me.send(Close(1))
        me.send(Close(1))
        me.send(Send(1, b"x"))
        yield until(lambda: len(me.got) == 4, "all is answered")

    with Host(echo).run() as address:
        me = told(script)
    twice, closed, unknown, unsent = me.got
    assert isinstance(twice, Failed) and isinstance(twice.error, ValueError)
    assert closed == Closed(1)
    assert isinstance(unknown, Closed) and isinstance(unknown.error, LookupError)
    assert isinstance(unsent, Failed) and isinstance(unsent.error, LookupError)


def test_one_that_takes_nothing_is_let_go_before_memory_is_full() -> None:
    release = threading.Event()

    def script(me: Script) -> Main:
        me.send(Connect(1, address))
        yield until(lambda: me.got, "it is open")
        while not me.of(Closed):
            me.send(Send(1, bytes(1 << 20)))
            yield 1
        release.set()

    def idle(connection: socket.socket) -> None:
        release.wait(DEADLINE)

    with Host(idle).run() as address:
        me = told(script, ConnectionManager(send_bytes_max=4 << 20))
    assert isinstance(me.of(Closed)[0].error, BufferError)


class Hostile:
    """What raises whenever it is looked at."""

    @property
    def token(self) -> int:
        raise RuntimeError("don't look")


def test_garbage_is_answered_and_harms_nobody() -> None:
    wrong: list[Any] = [
        None,
        "connect",
        b"\0",
        {"token": 1},
        Connect,
        Hostile(),
        Connect(1, None),  # type: ignore[arg-type]
        Connect(2, ("127.0.0.1", 0)),
        Connect(3, ("127.0.0.1", "80")),  # type: ignore[arg-type]
        Connect(4, ("", 80)),
        Connect([5], ("127.0.0.1", 80)),
        Send(6, "text"),  # type: ignore[arg-type]
        Send([7], b""),
        Limit(-1),
        Limit("many"),  # type: ignore[arg-type]
    ]

    def script(me: Script) -> Main:
        for message in wrong:
            me.send(message)
        me.send(Connect("good", address))
        me.send(Send("good", b"x"))
        yield until(lambda: me.of(Received), "the good one")

    with Host(echo).run() as address:
        me = told(script)
    failed = me.of(Failed)
    assert len(failed) == len(wrong)
    assert [it.token for it in failed] == [None] * 6 + [1, 2, 3, 4, [5], 6, [7], None, None]


def test_no_more_wait_than_may() -> None:
    def script(me: Script) -> Main:
        me.send(Limit(max_open=0))
        for number in range(4):
            me.send(Connect(number, ("127.0.0.1", 9)))
        yield until(lambda: me.of(Failed), "one is too many")

    me = told(script, ConnectionManager(waiting_max=3))
    assert [it.token for it in me.of(Failed)] == [3]


def test_a_finished_source_has_its_connections_until_they_end() -> None:
    def script(me: Script) -> Main:
        me.send(Connect(1, address))
        me.send(Send(1, b"last words"))
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    def answer(connection: socket.socket) -> None:
        connection.sendall(connection.recv(100).upper())

    with Host(answer).run() as address:
        (me,) = play((ConnectionManager(), script))
    assert me.got == [Opened(1, address), Received(1, b"LAST WORDS"), Closed(1)]
