"""SimpleHTTPClient as programs use it after `repair`, against servers that do what servers do: bodies of any bytes, in
chunks, behind redirects, with errors, cut off, without an end, and none at all."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from millstream.kamaelia import _http
from millstream.kamaelia._axon import producerFinished, shutdown

from .stage import Script, ended, play, until
from .test_connections import Host
from .world import Quiet, serving

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

BODY = bytes(range(256)) * 300 + random.Random(1).randbytes(50_000)


def ask(*questions: Any, how: Any = None) -> list[Any]:
    """The answers to these, in order."""

    def script(me: Script) -> Main:
        for question in questions:
            me.send(question)
        yield until(lambda: len(me.got) == len(questions), "an answer to each")
        yield from ended(me, how)

    (me,) = play((_http.SimpleHTTPClient(), script))
    return me.got


class Web(Quiet):
    """Pages of every kind."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, rest = self.path.strip("/").partition("/")
        match kind:
            case "binary":
                self.answer(200, BODY)
            case "chunked":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for at in range(0, len(BODY), 7000):
                    part = BODY[at : at + 7000]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")
            case "endless":
                self.send_response(302)
                self.send_header("Location", "/endless")
                self.end_headers()
            case "redirect":
                self.send_response(int(rest))
                self.send_header("Location", "../binary")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "file":
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
            case "nothing":
                self.send_response(204)
                self.end_headers()
            case _:
                self.answer(int(kind), b"an error's page")


def test_bodies_of_any_bytes_come_whole_and_in_chunks() -> None:
    with serving(Web) as web:
        assert ask(f"{web}binary", f"{web}chunked".encode(), {"url": f"{web}binary"}) == [BODY] * 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int) -> None:
    with serving(Web) as web:
        assert ask(f"{web}redirect/{status}") == [BODY]


def test_redirects_have_an_end_and_lead_to_no_file() -> None:
    with serving(Web) as web:
        assert ask(f"{web}endless", f"{web}file", f"{web}binary") == [b"", b"", BODY]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 500, 503])
def test_errors_are_empty_and_the_next_question_is_answered(status: int) -> None:
    with serving(Web) as web:
        assert ask(f"{web}{status}", f"{web}nothing", f"{web}binary") == [b"", b"", BODY]


def one_that(says: bytes, then: Callable[[socket.socket], object]) -> Host:
    """A server that says this to whatever comes, and then does that."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(says)
        then(connection)

    return Host(serve)


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"\xff" * 1000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\nabc",
    ],
    ids=["nothing", "half", "short", "cut", "no-number", "noise", "headers", "long-header"],
)
def test_a_server_that_breaks_off_or_talks_nonsense_is_an_empty_body(says: bytes) -> None:
    with one_that(says, lambda _: None).run() as (host, port):
        assert ask(f"http://{host}:{port}/") == [b""]


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"], ids=["silent", "stops"])
def test_a_server_that_hangs_is_given_up(says: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "TIMEOUT", 0.3)
    with one_that(says, lambda connection: connection.recv(1)).run() as (host, port):
        began = time.monotonic()
        assert ask(f"http://{host}:{port}/") == [b""]
        assert time.monotonic() - began < 10


def test_a_server_that_drips_is_given_up_and_one_without_an_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "BODY_TIMEOUT", 0.5)
    monkeypatch.setattr(_http, "BODY_BYTES_MAX", 1 << 20)

    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with one_that(b"HTTP/1.1 200 OK\r\n\r\n", drip).run() as (host, port):
        assert ask(f"http://{host}:{port}/") == [b""]

    def pour(connection: socket.socket) -> None:
        while True:
            connection.sendall(bytes(1 << 16))

    with one_that(b"HTTP/1.1 200 OK\r\n\r\n", pour).run() as (host, port):
        with pytest.raises(_http.FetchFailed, match="more than 1000 bytes"):
            _http.fetch(f"http://{host}:{port}/", bytes_max=1000)


def test_one_told_to_end_at_once_ends_behind_the_question_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "TIMEOUT", 1.0)
    with one_that(b"", lambda connection: connection.recv(1)).run() as (host, port):

        def script(me: Script) -> Main:
            for _ in range(50):
                me.send(f"http://{host}:{port}/")
            yield 1
            yield from ended(me, shutdown())

        began = time.monotonic()
        (me,) = play((_http.SimpleHTTPClient(), script))
    assert len(me.got) <= 1 and time.monotonic() - began < 10


def test_a_finished_source_has_all_its_answers() -> None:
    with serving(Web) as web:

        def script(me: Script) -> Main:
            for _ in range(20):
                me.send(f"{web}binary")
            yield from ended(me, producerFinished())

        (me,) = play((_http.SimpleHTTPClient(), script))
    assert me.got == [BODY] * 20
