"""The asyncio driver's words with servers, on asyncio's own loop and on uvloop: TLS, and servers that do what they
like. Each costs a failure that is told, within bounds of time and memory."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from proxies import Socks5
from servers import HttpServer, WebSocketTracker
from test_asyncio import SPARE, Peer, Story, close, loops, things
from test_asyncio_proxy import by_name
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Ping as WsPing, Request as WsRequest, TextMessage

from millstream._asyncio.http import _unpack, is_public
from millstream._asyncio.ways import Unanswered
from millstream.errors import FetchError
from millstream.sansio import Completed, TrackerAnswered, TrackerFailed

Run = Callable[[Story], None]


@dataclass(frozen=True)
class Authority:
    """Who says which server is which."""

    ca: trustme.CA

    def certify(self, *names: str) -> ssl.SSLContext:
        """A server's settings for TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that is believed."""
    it = Authority(trustme.CA())
    it.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return it


def at_localhost(url: str) -> str:
    """By the name that certificates have."""
    return by_name(url, "localhost")


# ---- TLS


@loops
def test_a_tracker_and_a_web_seed_are_asked_over_tls(run: Run, tmp_path: Path, authority: Authority) -> None:
    async def story() -> None:
        server = HttpServer()
        url = at_localhost(await server.start(authority.certify("localhost")))
        what = things([[f"{url}/announce"]])
        server.files = {"/a.torrent": what.torrent} | {f"/things/{name}": data for name, data in what.files.items()}
        leech = await Peer(tmp_path / "leech").start()
        assert url.startswith("https:")
        assert await leech.backend.fetch(f"{url}/a.torrent") == what.torrent
        ours = await leech.backend.add(what.torrent, str(leech.files))
        await leech.told(TrackerAnswered)
        await leech.backend.add_web_seeds(ours, [f"{url}/"])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        await close(leech)
        assert any("event=stopped" in it for it in server.asked)
        server.stop()

    run(story)


@loops
def test_a_tracker_is_asked_over_a_websocket_and_tls(run: Run, tmp_path: Path, authority: Authority) -> None:
    async def story() -> None:
        tracker = WebSocketTracker()
        url = at_localhost(await tracker.start(authority.certify("localhost")))
        what = things([[url]])
        peer = await Peer(tmp_path / "one").start()
        await peer.backend.add(what.torrent, str(peer.files))
        assert (await peer.told(TrackerAnswered)).url == url
        await close(peer)
        tracker.stop()

    run(story)


@loops
def test_behind_a_proxy_tls_is_with_the_server_that_was_named(run: Run, tmp_path: Path, authority: Authority) -> None:
    async def story() -> None:
        proxy, server, tracker = await Socks5().start(), HttpServer(files={"/x": b"x"}), WebSocketTracker()
        url = await server.start(authority.certify("files.invalid"))
        talk = await tracker.start(authority.certify("talk.invalid"))
        what = things([[by_name(talk, "talk.invalid")]])
        peer = await Peer(tmp_path / "one", proxy=proxy.url).start()
        assert await peer.backend.fetch(by_name(url, "files.invalid") + "/x") == b"x"
        with pytest.raises(FetchError, match="certificate"):
            await peer.backend.fetch(by_name(url, "other.invalid") + "/x")
        await peer.backend.add(what.torrent, str(peer.files))
        await peer.told(TrackerAnswered)
        await close(peer)
        server.stop()
        tracker.stop()
        await proxy.stop()

    run(story)


@loops
@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_wrong_certificate_is_refused_before_anything_is_said(
    run: Run, tmp_path: Path, authority: Authority, wrong: str
) -> None:
    async def story() -> None:
        unknown = Authority(trustme.CA()).certify("localhost")
        tls = unknown if wrong == "authority" else authority.certify("elsewhere.invalid")
        server, tracker = HttpServer(files={"/x": b"x"}), WebSocketTracker()
        url, talk = at_localhost(await server.start(tls)), at_localhost(await tracker.start(tls))
        what = things([[f"{url}/announce"], [talk]])
        peer = await Peer(tmp_path / "one").start()
        with pytest.raises(FetchError, match="certificate"):
            await peer.backend.fetch(f"{url}/x")
        ours = await peer.backend.add(what.torrent, str(peer.files))
        await peer.backend.add_web_seeds(ours, [f"{url}/"])
        while not all(errors := [it.error for it in await peer.backend.trackers(ours)]):
            await asyncio.sleep(0.01)
        assert all("certificate" in str(error) for error in errors), errors
        while not (error := (await peer.backend.web_seeds(ours))[0].error):
            await asyncio.sleep(0.01)
        assert "certificate" in error
        assert (server.asked, tracker.announces) == ([], [])
        await close(peer)
        server.stop()
        tracker.stop()

    run(story)


# ---- servers that do what they like


class Odd:
    """A server that says what a test wants; how many bytes it could."""

    def __init__(self, say: Callable[[Odd, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.said = 0
        self.links = 0
        self._say = say
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Its URL."""
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """No more."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def flood(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """As long as it is taken."""
        while True:
            writer.write(data)
            await writer.drain()
            self.said += len(data)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(task := asyncio.get_running_loop().create_task(self._serve(reader, writer)))
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links += 1
        try:
            await self._say(self, reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()


def saying(head: bytes, body: bytes = b"", *, endless: bool = False) -> Callable[[], Odd]:
    """A server that answers this to whatever it is asked."""

    async def say(odd: Odd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        if endless:
            await odd.flood(writer, body)
        writer.write(body)
        await writer.drain()
        await reader.read()

    return lambda: Odd(say)


OK = b"HTTP/1.1 200 OK\r\n"
BYTES_MAX = 100_000
PACKED = OK + b"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: "
MEMBERS = gzip.compress(b"") * 50_000


def packed(body: bytes) -> Callable[[], Odd]:
    return saying(PACKED + b"%d\r\n\r\n" % len(body), body)


ODD = {
    "garbage": saying(b"\xff\x00" * 5000),
    "an endless head": saying(OK, b"X: y\r\n" * 1000, endless=True),
    "an endless line": saying(OK + b"X: ", b"y" * 10_000, endless=True),
    "endless news": saying(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, endless=True),
    "an endless body": saying(OK + b"\r\n", b"x" * 65536, endless=True),
    "endless chunks": saying(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 5000, endless=True),
    "an endless chunk's head": saying(OK + b"Transfer-Encoding: chunked\r\n\r\n1", b"0" * 5000, endless=True),
    "a length of a googol": saying(OK + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n", b"x"),
    "a length beyond 64 bits": saying(OK + b"Content-Length: 99999999999999999999\r\n\r\n", b"x"),
    "a length below nothing": saying(OK + b"Content-Length: -1\r\n\r\n", b"x"),
    "two lengths": saying(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"xx"),
    "half a body": saying(OK + b"Content-Length: 9\r\n\r\n", b"x"),
    "a way to nowhere": saying(b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n"),
    "a way to a port beyond all": saying(b"HTTP/1.1 302 Found\r\nLocation: http://x:99999/\r\n\r\n"),
    "a way to a file": saying(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"),
    "a way in circles": saying(b"HTTP/1.1 302 Found\r\nLocation: ?\xff\r\nContent-Length: 0\r\n\r\n"),
    "a way to an odd name": saying(b"HTTP/1.1 302 Found\r\nLocation: https://a..b/\r\n\r\n"),
    "another protocol": saying(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
    "nothing": saying(b""),
    "a bomb": packed(gzip.compress(bytes(50_000_000))),
    "a bomb of many": packed(MEMBERS),
    "half a packet": packed(gzip.compress(b"x" * 500)[:-9]),
    "a broken packet": packed(b"\x1f\x8b" + b"\xff" * 100),
}


@loops
@pytest.mark.parametrize("kind", list(ODD))
def test_whatever_a_server_answers_fails_as_told_and_is_bounded(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    async def story() -> None:
        odd = ODD[kind]()
        url = await odd.start()
        limits = {"fetch_timeout": 1.0, "torrent_file_bytes_max": BYTES_MAX}
        peer = await Peer(tmp_path / "one", **limits).start()
        began = time.monotonic()
        if kind == "a bomb of many":
            # that it is little when it is unpacked, it keeps
            with pytest.raises(FetchError, match="longer"):
                await peer.backend.fetch(f"{url}/a.torrent")
        else:
            with pytest.raises(FetchError):
                await peer.backend.fetch(f"{url}/a.torrent")
        assert time.monotonic() - began < 1.0 + SPARE
        assert odd.said < 20_000_000, "it isn't listened to for ever"
        await close(peer)
        await odd.stop()

    with caplog.at_level(logging.ERROR):
        run(story)
    assert not caplog.records, "no fault of ours"


@loops
@pytest.mark.parametrize("kind", [kind for kind in ODD if "bomb" not in kind and "pack" not in kind])
def test_whatever_a_web_seed_answers_others_give_all(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    async def story() -> None:
        odd, what = ODD[kind](), things()
        url = await odd.start()
        seed = await Peer(tmp_path / "seed", upload_rate=2_000_000).start()
        leech = await Peer(tmp_path / "leech").start()
        await seed.seed(what)
        ours = await leech.backend.add(what.torrent, str(leech.files))
        await leech.backend.add_web_seeds(ours, [f"{url}/"])
        while not odd.links:
            await asyncio.sleep(0.01)
        await leech.backend.add_peers(ours, [seed.address])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        assert odd.said < 40_000_000, "it isn't listened to for ever"
        await close(leech, seed)
        await odd.stop()

    with caplog.at_level(logging.ERROR):
        run(story)
    assert not caplog.records, "no fault of ours"


def test_many_small_packets_are_unpacked_in_time() -> None:
    began = time.monotonic()
    assert _unpack(MEMBERS, 10) == b""
    assert _unpack(MEMBERS[:2000] + gzip.compress(b"x" * 5000), 5000) == b"x" * 5000
    assert time.monotonic() - began < 5
    with pytest.raises(Unanswered, match="more than 4999"):
        _unpack(gzip.compress(b"x" * 5000), 4999)
    with pytest.raises(Unanswered, match="breaks off"):
        _unpack(gzip.compress(b"x" * 50)[:-1], 99)
    assert _unpack(b"", 10) == b""


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("240.0.0.1", False),
        ("2606:2800::1", True),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b::a00:1", False),
    ],
)
def test_addresses_of_the_internet_are_told_from_others(address: str, public: bool) -> None:
    assert is_public(address) is public


def talking(say: Callable[[WSConnection, Odd, asyncio.StreamWriter], Awaitable[None]]) -> Odd:
    """A tracker over a WebSocket that says this once it is greeted, and reads no more."""

    async def serve(odd: Odd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = WSConnection(ConnectionType.SERVER)
        server.receive_data(await reader.readuntil(b"\r\n\r\n"))
        for event in server.events():
            if isinstance(event, WsRequest):
                writer.write(server.send(AcceptConnection()))
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await say(server, odd, writer)
        await asyncio.sleep(60)

    return Odd(serve)


async def _pings(server: WSConnection, odd: Odd, writer: asyncio.StreamWriter) -> None:
    await odd.flood(writer, server.send(WsPing(payload=b"x" * 100)) * 100)


async def _long_message(server: WSConnection, odd: Odd, writer: asyncio.StreamWriter) -> None:
    part = server.send(TextMessage(data="x" * 10_000, message_finished=False))
    await odd.flood(writer, part)


async def _garbage(server: WSConnection, odd: Odd, writer: asyncio.StreamWriter) -> None:
    await odd.flood(writer, b"\xff" * 1000)


@loops
@pytest.mark.parametrize("say", [_pings, _long_message, _garbage])
def test_a_tracker_over_a_websocket_that_floods_us_is_left_in_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, say: Any
) -> None:
    monkeypatch.setattr("millstream._asyncio.websocket.WRITE_TIMEOUT", 0.5)

    async def story() -> None:
        odd = talking(say)
        url = (await odd.start()).replace("http", "ws")
        what = things([[f"{url}/announce"]])
        peer = await Peer(tmp_path / "one").start()
        await peer.backend.add(what.torrent, str(peer.files))
        await peer.told(TrackerFailed)
        assert odd.said < 30_000_000, "answers that nobody takes don't pile up"
        await close(peer)
        await odd.stop()

    with caplog.at_level(logging.ERROR):
        run(story)
    assert not caplog.records, "no fault of ours"


@loops
def test_a_fetch_ends_with_its_session(run: Run, tmp_path: Path) -> None:
    from millstream.errors import SessionClosed

    async def story() -> None:
        odd = saying(b"")()
        url = await odd.start()
        peer = await Peer(tmp_path / "one").start()
        fetching = asyncio.ensure_future(peer.backend.fetch(f"{url}/x"))
        while not odd.links:
            await asyncio.sleep(0.01)
        await close(peer)
        with pytest.raises(SessionClosed):
            await asyncio.wait_for(fetching, SPARE)
        await odd.stop()

    run(story)
