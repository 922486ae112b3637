"""What `repair` mends, each defect by name; and the components that take the place of others."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from millstream.kamaelia._repair import ByteQueue

from .stage import Script, ended, play, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

AXON = """
import millstream.kamaelia
{repair}
from Axon.Component import component
from Axon.Ipc import WaitComplete
from Axon.Scheduler import scheduler

class Other(component):
    steps = 0
    def main(self):
        for _ in range(50):
            Other.steps += 1
            yield 1

class Waits(component):
    done = False
    def part(self):
        yield 1
        yield 1
    def main(self):
        yield WaitComplete(self.part())
        Waits.done = True
        yield 1

class Stops(component):
    def main(self):
        yield 1
        self.other.stop()
        yield 1
        Waits.done = True

class Raises(component):
    def main(self):
        yield 1
        raise RuntimeError("mine")

"""


def axon(program: str, repaired: bool = True) -> None:
    """Runs a program of components in a process of its own."""
    text = (
        AXON.format(repair="millstream.kamaelia.repair(); millstream.kamaelia.repair()" if repaired else "") + program
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=30)


@pytest.mark.parametrize("repaired", [False, True])
def test_waiting_for_a_generator_ends_the_scheduler_unless_repaired(repaired: bool) -> None:
    axon(
        f"Other().activate(); Waits().run(); assert (Waits.done, Other.steps == 50) == ({repaired}, {repaired})",
        repaired,
    )


@pytest.mark.parametrize("repaired", [False, True])
def test_stopping_another_component_ends_the_scheduler_unless_repaired(repaired: bool) -> None:
    program = f"""
stopped = Other(); stopped.activate()
Other().activate()
stops = Stops(); stops.other = stopped
stops.run()
assert (Other.steps > 50) == {repaired}, Other.steps
"""
    axon(program, repaired)


@pytest.mark.parametrize("repaired", [False, True])
def test_a_runtime_error_is_taken_for_an_end_unless_repaired(repaired: bool) -> None:
    program = f"""
try:
    Raises().run()
except millstream.kamaelia.ComponentFailed as error:
    assert {repaired} and "mine" in str(error) and not isinstance(error, RuntimeError)
else:
    assert not {repaired}
"""
    axon(program, repaired)


def test_an_ordinary_system_runs_as_before() -> None:
    axon("Other().activate(); Other().run(); assert Other.steps == 100")


def test_repair_replaces_what_programs_import() -> None:
    program = """
from Kamaelia.Protocol.HTTP.IcecastClient import IcecastClient, IcecastDemux, IcecastStreamRemoveMetadata
from Kamaelia.Protocol.HTTP.HTTPClient import SimpleHTTPClient
from Kamaelia.Util.Chunkifier import Chunkifier
from Kamaelia.Protocol.HTTP import HTTPClient
assert IcecastClient.__module__ == IcecastDemux.__module__ == "millstream.kamaelia._icecast"
assert SimpleHTTPClient.__module__ == "millstream.kamaelia._http"
assert SimpleHTTPClient in HTTPClient.__kamaelia_components__
from Kamaelia.Chassis.Pipeline import Pipeline
from Axon.Ipc import producerFinished

class Source(component):
    def main(self):
        for part in (b"abc", b"", b"defgh", "ij"):
            self.send(part)
            yield 1
        self.send(producerFinished(self), "signal")
        yield 1

class Sink(component):
    got = []
    def main(self):
        while not self.dataReady("control"):
            self.pause()
            yield 1
        while self.dataReady("inbox"):
            Sink.got.append(self.recv("inbox"))

Pipeline(Source(), Chunkifier(4), Sink()).run()
assert Sink.got == [b"abcd", b"efgh", b"ij"], Sink.got
"""
    axon(program)


def test_a_queue_gives_what_it_got_however_it_is_cut() -> None:
    chance = random.Random(4)
    data = chance.randbytes(10_000)
    queue, given, taken = ByteQueue(), 0, b""
    while given < len(data) or len(queue):
        if given < len(data):
            size = chance.randrange(0, 300)
            queue.push(data[given : given + size])
            given += size
        taken += queue.poplength(chance.randrange(0, len(queue) + 1))
    assert taken == data
    with pytest.raises(IndexError):
        queue.poplength(1)


def icy(audio: bytes, interval: int, texts: list[bytes]) -> bytes:
    """A stream with what is said of it every so many bytes."""
    stream = b""
    for at in range(0, len(audio), interval):
        text = texts[(at // interval) % len(texts)]
        text = text.ljust(-(-len(text) // 16) * 16, b"\0")
        stream += audio[at : at + interval] + bytes([len(text) // 16]) + text
    return stream


@pytest.mark.parametrize("cut", [1, 7, 100, 100_000])
def test_a_live_stream_is_parted_however_it_is_cut(cut: int) -> None:
    from Kamaelia.Protocol.HTTP.HTTPParser import (  # type: ignore[import-untyped]
        ParsedHTTPBodyChunk,
        ParsedHTTPEnd,
        ParsedHTTPHeader,
    )
    from Kamaelia.Protocol.HTTP.IcecastClient import (  # type: ignore[import-untyped]
        IceIPCDataChunk,
        IceIPCDisconnected,
        IceIPCHeader,
        IceIPCMetadata,
    )

    from millstream.kamaelia._icecast import IcecastDemux

    audio = random.Random(cut).randbytes(3000)
    stream = icy(audio, 250, [b"StreamTitle='a, b';StreamUrl='u';", b"", b"garbage"])

    def script(me: Script) -> Main:
        me.send("garbage")
        me.send(ParsedHTTPHeader({"headers": {"icy-metaint": "250", "content-type": "audio/mpeg"}}))
        for at in range(0, len(stream), cut):
            me.send(ParsedHTTPBodyChunk(stream[at : at + cut]))
        me.send(ParsedHTTPEnd())
        yield until(lambda: me.of(IceIPCDisconnected), "the end")
        yield from ended(me)

    (me,) = play((IcecastDemux(), script))
    assert me.got[0].contenttype == "audio/mpeg" and len(me.of(IceIPCHeader)) == 1
    assert b"".join(message.data for message in me.of(IceIPCDataChunk)) == audio
    assert [message.metadata for message in me.of(IceIPCMetadata)][:3] == [
        {"StreamTitle": "a, b", "StreamUrl": "u"},
        {},
        {},
    ]


@pytest.fixture
def web() -> Iterator[str]:
    """A server that answers with what was asked of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(
                200 if self.path.startswith("/page") else 404, b"page\xff" + self.headers.get("X-Mine", "").encode()
            )

        def do_POST(self) -> None:
            self.answer(200, b"got " + self.rfile.read(int(self.headers["Content-Length"])))

        def answer(self, status: int, body: bytes) -> None:
            redirect = self.path == "/away"
            self.send_response(302 if redirect else status)
            if redirect:
                self.send_header("Location", "file:///etc/passwd")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_pages_come_in_order_and_what_cannot_be_had_is_empty(web: str) -> None:
    from millstream.kamaelia._http import SimpleHTTPClient

    questions: list[Any] = [
        f"{web}/page",
        {"url": f"{web}/post", "postbody": b"\x00\xff"},
        {"url": f"{web}/post", "postbody": ""},
        {"url": f"{web}/page", "extraheaders": {"X-Mine": "!"}},
        f"{web}/missing",
        f"{web}/away",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "http://[",
        "",
        None,
        42,
        {"postbody": b"x"},
        {"url": f"{web}/post", "postbody": 42},
        {"url": f"{web}/page", "extraheaders": "x"},
        {"url": f"{web}/page", "extraheaders": {"bad\nname": "x"}},
        f"{web}/page".encode(),
    ]

    def script(me: Script) -> Main:
        for question in questions:
            me.send(question)
        yield until(lambda: len(me.got) == len(questions), "an answer to each")
        yield from ended(me)

    (me,) = play((SimpleHTTPClient(), script))
    assert me.got[:4] == [b"page\xff", b"got \x00\xff", b"got ", b"page\xff!"]
    assert me.got[4:-1] == [b""] * (len(questions) - 5)
    assert me.got[-1] == b"page\xff"
