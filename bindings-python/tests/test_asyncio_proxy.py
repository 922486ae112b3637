"""The asyncio driver behind proxies, on asyncio's own loop and on uvloop: what goes through, and how a proxy that does
what it likes is answered. That nothing goes by a proxy is `test_asyncio_leaks`'s."""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from proxies import ELSEWHERE, Hostile, HttpProxy, Proxy, Socks5
from servers import HttpServer, UdpTracker, WebSocketTracker
from test_asyncio import SPARE, Peer, Story, close, loops, things

from millstream.errors import FetchError, StartError
from millstream.sansio import Address, Completed, SessionWarned, TrackerAnswered, TrackerFailed

FAR = "203.0.113.5"
"""An address that only the proxy leads anywhere."""

LOGIN = ("me", "p@ss")
Run = Callable[[Story], None]
kinds = pytest.mark.parametrize("kind", [Socks5, HttpProxy])


def far(address: Address) -> Address:
    """Where a peer of this host is, as trackers tell it."""
    return (FAR, address[1])


def by_name(url: str, name: str) -> str:
    """A URL of this host, as only the proxy knows it."""
    return url.replace("127.0.0.1", name)


async def behind(home: Path, proxy: Proxy, **settings: object) -> Peer:
    """A peer that has no other way than this."""
    return await Peer(home, proxy=proxy.url, **{"lsd": True, **settings}).start()


@loops
@kinds
@pytest.mark.parametrize("login", [("", ""), LOGIN])
def test_a_peer_is_reached_through_the_proxy_and_nobody_reaches_us(
    run: Run, tmp_path: Path, kind: type[Proxy], login: tuple[str, str]
) -> None:
    async def story() -> None:
        what, proxy = things(), await kind(*login).start()
        seed, leech = await Peer(tmp_path / "seed").start(), await behind(tmp_path / "leech", proxy)
        await seed.seed(what)
        await leech.backend.add(what.magnet, str(leech.files), peers=[far(seed.address)])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        assert proxy.asked == [f"tcp {FAR}:{seed.address[1]}"]
        assert leech.backend.listening == ()
        await close(leech, seed)
        await proxy.stop()

    run(story)


@loops
@kinds
def test_trackers_web_seeds_and_torrent_files_are_reached_by_names_that_the_proxy_looks_up(
    run: Run, tmp_path: Path, kind: type[Proxy]
) -> None:
    async def story() -> None:
        proxy = await kind(*LOGIN).start()
        seed, leech = await Peer(tmp_path / "seed").start(), await behind(tmp_path / "leech", proxy)
        http = HttpServer([far(seed.address)])
        url = await http.start()
        tracker, files, seeds = (by_name(url, f"{it}.invalid") for it in ("tracker", "files", "seed"))
        what = things([[f"{tracker}/announce"]])
        await seed.seed(what)
        http.files = {"/a.torrent": what.torrent} | {f"/things/{name}": data for name, data in what.files.items()}
        assert await leech.backend.fetch(f"{files}/a.torrent") == what.torrent
        ours = await leech.backend.add(what.torrent, str(leech.files))
        await leech.backend.add_web_seeds(ours, [f"{seeds}/"])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        port = tracker.rpartition(":")[2]
        names = {f"tcp {name}:{port}" for name in ("tracker.invalid", "files.invalid", "seed.invalid")}
        assert {*names, f"tcp {FAR}:{seed.address[1]}"} <= set(proxy.asked)
        await close(leech, seed)
        http.stop()
        await proxy.stop()

    run(story)


@loops
@kinds
def test_a_tracker_over_a_websocket_is_reached_by_a_name_that_the_proxy_looks_up(
    run: Run, tmp_path: Path, kind: type[Proxy]
) -> None:
    async def story() -> None:
        proxy, tracker = await kind(*LOGIN).start(), WebSocketTracker()
        url = by_name(await tracker.start(), "talk.invalid")
        what = things([[url]])
        peer = await behind(tmp_path / "one", proxy)
        await peer.backend.add(what.torrent, str(peer.files))
        assert (await peer.told(TrackerAnswered)).url == url
        assert proxy.asked == [f"tcp talk.invalid:{url.split(':')[2].split('/')[0]}"]
        await close(peer)
        assert [it.get("event") for it in tracker.announces][-1] == "stopped"
        tracker.stop()
        await proxy.stop()

    run(story)


@loops
@pytest.mark.parametrize("login", [("", ""), LOGIN])
def test_bep_0015_a_udp_tracker_is_asked_through_a_relay_by_a_name_that_the_proxy_looks_up(
    run: Run, tmp_path: Path, login: tuple[str, str]
) -> None:
    async def story() -> None:
        proxy = await Socks5(*login).start()
        seed, leech = await Peer(tmp_path / "seed").start(), await behind(tmp_path / "leech", proxy)
        tracker = UdpTracker([far(seed.address)])
        url = by_name(await tracker.start(), "udp.invalid")
        what = things([[url]])
        await seed.seed(what)
        await leech.backend.add(what.torrent, str(leech.files))
        await leech.told(Completed)
        assert what.are_in(leech.files)
        assert f"udp udp.invalid:{url.rpartition(':')[2]}" in proxy.asked
        await close(leech, seed)
        tracker.stop()
        await proxy.stop()

    run(story)


@loops
def test_bep_0029_links_over_utp_go_through_the_relay(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        what, proxy = things(), await Socks5(*LOGIN).start()
        seed = await Peer(tmp_path / "seed", utp="only").start()
        leech = await behind(tmp_path / "leech", proxy, utp="only")
        await seed.seed(what)
        # its answers come from where the relay says that they do
        await leech.backend.add(what.torrent, str(leech.files), peers=[(ELSEWHERE, seed.address[1])])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        assert set(proxy.asked) == {f"udp {ELSEWHERE}:{seed.address[1]}"}
        await close(leech, seed)
        await proxy.stop()

    run(story)


@loops
def test_a_relay_that_is_lost_comes_back_by_itself(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream._asyncio.relay.PAUSE_FIRST", 0.05)

    async def story() -> None:
        proxy, tracker = await Socks5().start(), UdpTracker([])
        what = things([[by_name(await tracker.start(), "udp.invalid")]])
        peer = await behind(tmp_path / "one", proxy)
        assert peer.backend._turns is not None
        ports = peer.backend._turns.datagrams.ports
        while not ports:
            await asyncio.sleep(0.01)
        await proxy.stop()
        while ports:
            await asyncio.sleep(0.01)
        proxy.asked.clear()
        await proxy.start()
        await peer.backend.add(what.torrent, str(peer.files))
        await peer.told(TrackerAnswered)
        assert len(proxy.relays) == 2
        assert proxy.asked, "the tracker was asked by the second"
        await close(peer)
        tracker.stop()
        await proxy.stop()

    run(story)


@loops
def test_a_proxy_without_a_relay_is_told_once_and_links_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("millstream._asyncio.relay.PAUSE_FIRST", 0.01)
    monkeypatch.setattr("millstream._asyncio.relay.PAUSE_MAX", 0.01)

    async def story() -> None:
        what, proxy = things(), await Socks5(relays_datagrams=False).start()
        seed, leech = await Peer(tmp_path / "seed").start(), await behind(tmp_path / "leech", proxy)
        await seed.seed(what)
        await leech.backend.add(what.torrent, str(leech.files), peers=[far(seed.address)])
        await leech.told(Completed)
        await asyncio.sleep(0.1)
        warned = [it.message for it in leech.events if isinstance(it, SessionWarned)]
        assert warned == ["the proxy relays no datagrams: the proxy refuses: command not supported"]
        await close(leech, seed)
        await proxy.stop()

    with caplog.at_level(logging.WARNING, "millstream"):
        run(story)
    told = [record.message for record in caplog.records]
    assert told == ["the proxy relays no datagrams: the proxy refuses: command not supported"]


@loops
def test_over_an_http_proxy_datagrams_have_no_way(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        proxy, tracker = await HttpProxy().start(), UdpTracker([])
        what = things([[by_name(await tracker.start(), "udp.invalid")]])
        peer = await behind(tmp_path / "one", proxy, dht=True, dht_bootstrap=["node.invalid:1"], utp="on")
        await peer.backend.add(what.torrent, str(peer.files))
        await peer.told(TrackerFailed)
        assert (tracker.announces, proxy.asked) == (0, [])
        assert peer.backend._turns is not None
        assert not peer.backend._turns.datagrams.ports, "not even a socket"
        await close(peer)
        tracker.stop()
        await proxy.stop()

    run(story)


@loops
@kinds
def test_a_proxy_that_refuses_the_password_is_told(run: Run, tmp_path: Path, kind: type[Proxy]) -> None:
    async def story() -> None:
        proxy = await kind(*LOGIN).start()
        proxy.password = "other"
        url = proxy.url
        proxy.password = LOGIN[1]
        peer = await Peer(tmp_path / "one", proxy=url).start()
        what = things([["http://tracker.invalid:1/announce"], ["ws://talk.invalid:1/announce"]])
        ours = await peer.backend.add(what.torrent, str(peer.files))
        while len(failed := [it for it in await peer.backend.trackers(ours) if it.error]) < 2:
            await asyncio.sleep(0.01)
        for status in failed:
            assert status.error is not None and "refuses the name or the password" in status.error
        with pytest.raises(FetchError, match="refuses the name or the password"):
            await peer.backend.fetch("http://tracker.invalid/a.torrent")
        await close(peer)
        await proxy.stop()

    run(story)


def test_what_is_no_proxy_starts_nothing(tmp_path: Path) -> None:
    async def story(url: str) -> None:
        with pytest.raises(StartError, match="proxy|the name is"):
            await Peer(tmp_path / "one", proxy=url).start()

    for url in ("proxy:1080", "https://proxy", "socks5://h:0", "socks5://:x@h", "http://h/path"):
        asyncio.run(story(url))


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\xff" * 100_000)
    await reader.read()


async def _hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def _half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x05\x00\x05\x00\x00\x03\xffabc" if (await reader.read(1)) == b"\x05" else b"HTTP/1.1 200")


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"\x05\x00\x05\x00\x00\x09")
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n" * 1000)
        await writer.drain()


async def _wrong_method(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x05\x02" if (await reader.read(1)) == b"\x05" else b"HTTP/1.1 403 No\r\n\r\n")
    await reader.read()


async def _says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(100):
        pass


@loops
@pytest.mark.parametrize("scheme", ["socks5", "http"])
@pytest.mark.parametrize("say", [_garbage, _hangs_up, _half, _endless, _wrong_method, _says_nothing])
def test_whatever_a_proxy_says_ends_in_a_failure_that_is_counted_within_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, scheme: str, say: Story
) -> None:
    monkeypatch.setattr("millstream._asyncio.ways.TUNNEL_TIMEOUT", 0.5)

    async def story() -> None:
        proxy = await Hostile(scheme, say).start()  # type: ignore[arg-type]
        peer = await behind(tmp_path / "one", proxy, encryption="off", connect_timeout=30)
        trackers = [["http://a.invalid:1/announce"], ["ws://b.invalid:1/announce"]]
        what = things(trackers)
        ours = await peer.backend.add(what.torrent, str(peer.files), peers=[(FAR, 6881)])
        began = time.monotonic()
        while any(it.error is None for it in await peer.backend.trackers(ours)):
            await asyncio.sleep(0.01)
        with pytest.raises(FetchError):
            await peer.backend.fetch("http://c.invalid/a.torrent")
        assert peer.backend._turns is not None
        while peer.backend._turns.links._opening:
            await asyncio.sleep(0.01)
        assert time.monotonic() - began < 4 * 0.5 + SPARE
        assert not peer.backend._turns.links.open
        assert proxy.links >= 4, "each was tried"
        await close(peer)
        await proxy.stop()

    with caplog.at_level(logging.ERROR):
        run(story)
    assert not caplog.records, "no fault of ours"


@loops
def test_what_a_relay_brings_that_is_no_datagram_is_passed_over(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        proxy, tracker = await Socks5().start(), UdpTracker([])
        what = things([[by_name(await tracker.start(), "udp.invalid")]])
        peer = await behind(tmp_path / "one", proxy)
        assert peer.backend._turns is not None
        ports = peer.backend._turns.datagrams.ports
        while not ports:
            await asyncio.sleep(0.01)
        (port,) = ports.values()
        fragment = b"\0\0\x01\x01" + bytes(6) + b"x"
        for noise in (b"", b"\0", fragment, b"\0\0\0\x03\xffshort", b"\0\0\0\x09" + bytes(50), b"\xff" * 2000):
            port.datagram_received(noise, proxy.relays[0])
        await peer.backend.add(what.torrent, str(peer.files))
        await peer.told(TrackerAnswered)
        await close(peer)
        tracker.stop()
        await proxy.stop()

    run(story)


@loops
def test_closing_is_bounded_while_the_proxy_says_nothing(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        proxy = await Hostile("socks5", _says_nothing).start()
        peer = await behind(tmp_path / "one", proxy)
        what = things([["http://a.invalid:1/announce"], ["ws://b.invalid:1/announce"]])
        await peer.backend.add(what.torrent, str(peer.files), peers=[(FAR, 6881)])
        while proxy.links < 3:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        await peer.backend.close(0.5)
        assert time.monotonic() - began < 0.5 + SPARE
        left = [task for task in asyncio.all_tasks() if "millstream" in repr(task.get_coro())]
        assert not left, "nothing of it is left on the loop"
        await proxy.stop()

    run(story)


def test_a_reply_with_a_name_for_the_relay_is_taken_for_the_proxy_itself() -> None:
    from millstream._millstream import Body

    ways = Body(0.0, proxy="socks5://me:pw@127.0.0.1:1", dht=False, keep_resume=False).ways
    opening = ways.associate()
    assert (opening.hello, opening.wants) == (b"\x05\x02\x00\x02", 2)
    assert opening.take(b"\x05\x02") == b"\x01\x02me\x02pw"
    assert opening.take(b"\x01\x00") == b"\x05\x03\x00\x01" + bytes(6)
    assert opening.take(b"\x05\x00\x00\x03\x04") == b""
    with pytest.raises(OSError, match="hasn't said"):
        opening.relay("192.0.2.1")
    assert opening.take(b"host" + struct.pack(">H", 99)) == b""
    assert (opening.wants, opening.relay("192.0.2.1")) == (0, ("192.0.2.1", 99))
    with pytest.raises(OSError, match="agreed already"):
        opening.take(b"")
