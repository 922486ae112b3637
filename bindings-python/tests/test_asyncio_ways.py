"""The asyncio driver from a chosen interface or address, and before a router, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from proxies import Socks5
from router import PcpRouter, Router, UpnpRouter
from servers import HttpServer, UdpTracker
from test_asyncio import SPARE, Peer, Story, close, loops, things
from test_asyncio_proxy import by_name, far

from millstream.errors import StartError
from millstream.sansio import Completed, TrackerAnswered

Run = Callable[[Story], None]
OURS = "127.0.0.7"


def sockets_of(peer: Peer) -> list[socket.socket]:
    """All that it listens by."""
    assert peer.backend._turns is not None
    datagrams = peer.backend._turns.datagrams
    servers = [it for server in datagrams._servers for it in server.sockets]  # type: ignore[attr-defined]
    return [*servers, *(port.transport.get_extra_info("socket") for port in datagrams.ports.values() if port.transport)]


@loops
def test_with_an_address_all_comes_from_there_and_peers_reach_us_there_alone(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        seed = await Peer(tmp_path / "seed").start()
        leech = await Peer(tmp_path / "leech", bind=OURS, listen=["0.0.0.0:0", "[::]:0"], utp="on").start()
        http, udp = HttpServer(), UdpTracker([])
        what = things([[await http.start() + "/announce"], [await udp.start()]])
        # the seed knows no tracker of it
        theirs = await seed.seed(things())
        await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        await leech.told(Completed)
        assert [host for host, _ in leech.backend.listening] == [OURS]
        assert {it.getsockname()[0] for it in sockets_of(leech)} == {OURS}
        assert http.came_from == {OURS}
        came = {peer.address[0] for peer in await seed.backend.peers(theirs)}
        assert came <= {OURS}
        await close(leech, seed)
        http.stop()
        udp.stop()

    run(story)


@loops
def test_with_an_address_datagrams_come_from_there_also_where_nobody_is_to_reach_us(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        tracker = UdpTracker([])
        what = things([[await tracker.start()]])
        peer = await Peer(tmp_path / "one", bind=OURS, listen=[]).start()
        await peer.backend.add(what.torrent, str(peer.files))
        await peer.told(TrackerAnswered)
        assert tracker.came_from == {OURS}
        await close(peer)
        tracker.stop()

    run(story)


@loops
def test_a_family_that_the_address_has_not_is_not_reached_by_another(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
        server.setblocking(False)
        peer = await Peer(tmp_path / "one", bind=OURS).start()
        assert peer.backend._turns is not None
        with pytest.raises(OSError, match="has no IPv6 address"):
            await peer.backend._turns.ways.connect(asyncio.Protocol, server.getsockname()[:2])
        with pytest.raises(BlockingIOError):
            server.accept()
        server.close()
        await close(peer)

    run(story)


@loops
def test_with_an_interface_every_socket_is_kept_to_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bytes] = []
    set_option = socket.socket.setsockopt

    def spy(made: socket.socket, level: int, option: int, value: int | bytes) -> None:
        if option == socket.SO_BINDTODEVICE and isinstance(value, bytes):
            kept.append(value)
            raise PermissionError(errno.EPERM, "as without the right to")
        set_option(made, level, option, value)

    monkeypatch.setattr(socket.socket, "setsockopt", spy)

    async def story() -> None:
        what = things()
        seed = await Peer(tmp_path / "seed").start()
        leech = await Peer(tmp_path / "leech", bind="lo", listen=["0.0.0.0:0", "[::]:0"]).start()
        assert kept == [b"lo"] * 4, "listeners and sockets for datagrams of both families"
        await seed.seed(what)
        await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        await leech.told(Completed)
        assert len(kept) > 4, "and each link"
        assert {host for host, _ in leech.backend.listening} == {"127.0.0.1", "::1"}
        await close(leech, seed)

    run(story)


@loops
def test_the_way_to_a_proxy_begins_at_the_address_too(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        proxy, tracker = await Socks5().start(), UdpTracker([])
        seed = await Peer(tmp_path / "seed").start()
        what = things([[by_name(await tracker.start(), "udp.invalid")]])
        await seed.seed(what)
        leech = await Peer(tmp_path / "leech", bind=OURS, proxy=proxy.url).start()
        await leech.backend.add(what.torrent, str(leech.files), peers=[far(seed.address)])
        await leech.told(Completed)
        await leech.told(TrackerAnswered)
        assert proxy.came_from == {OURS}, "links and datagrams"
        await close(leech, seed)
        tracker.stop()
        await proxy.stop()

    run(story)


@pytest.mark.parametrize("bind", ["nosuch0", "not an interface", "1.2.3.4:5"])
def test_what_isnt_there_to_come_from_starts_nothing(tmp_path: Path, bind: str) -> None:
    async def story() -> None:
        with pytest.raises(StartError) as raised:
            await Peer(tmp_path / "one", bind=bind).start()
        assert raised.value.setting == "bind"

    asyncio.run(story())


def test_an_address_of_others_starts_nothing_and_leaves_nothing_open(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(StartError) as raised:
            await Peer(tmp_path / "one", bind="192.0.2.77", listen=["0.0.0.0:0"]).start()
        assert raised.value.setting == "listen"

    asyncio.run(story())


@loops
def test_with_utp_alone_the_port_is_held_and_links_are_refused(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        peer = await Peer(tmp_path / "one", utp="only").start()
        while not peer.backend.listening:
            await asyncio.sleep(0.01)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*peer.address)
        with socket.socket() as other, pytest.raises(OSError) as raised:
            other.bind(peer.address)
        assert raised.value.errno == errno.EADDRINUSE
        await close(peer)
        with socket.socket() as other:
            other.bind(peer.address)

    run(story)


@loops
def test_links_that_are_taken_wait_for_nothing_before_they_send(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        seed, leech = await Peer(tmp_path / "seed", upload_rate=1 << 20).start(), await Peer(tmp_path / "leech").start()
        await seed.seed(what)
        await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        for peer in (seed, leech):
            assert peer.backend._turns is not None
            while not (links := peer.backend._turns.links.open):
                await asyncio.sleep(0.01)
            (link,) = links.values()
            assert link._transport is not None
            assert link._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await close(leech, seed)

    run(story)


def announced_at(http: HttpServer) -> int:
    """The port that the tracker was told first."""
    return int(parse_qs(urlsplit(http.asked[0]).query, encoding="latin-1")["port"][0])


@loops
@pytest.mark.parametrize("kind", [Router, PcpRouter])
def test_the_router_is_asked_for_both_ports_which_are_announced_and_given_back(
    run: Run, tmp_path: Path, kind: type[Router]
) -> None:
    async def story() -> None:
        router, http = await kind("127.5.3.51").start(), HttpServer()
        what = things([[await http.start() + "/announce"]])
        peer = await Peer(tmp_path / "one", listen=["0.0.0.0:0"], router=router.host, port_mapping=True).start()
        await router.asked_of(2)
        port = peer.address[1]
        assert {(protocol, inside) for protocol, inside, _ in router.asked} == {("tcp", port), ("udp", port)}
        assert all(lease > 0 for _, _, lease in router.asked)
        await mapped(peer, 2)
        await peer.backend.add(what.torrent, str(peer.files))
        await peer.told(TrackerAnswered)
        assert announced_at(http) == port + 1000
        await close(peer)
        assert {it for it in router.asked if it[2] == 0} == {("tcp", port, 0), ("udp", port, 0)}
        router.stop()
        http.stop()

    run(story)


async def mapped(peer: Peer, count: int) -> None:
    """The router has given so many ports, and the engine knows."""
    while (await peer.backend.statistics()).counts["mapped_ports"] < count:
        await asyncio.sleep(0.01)


@loops
@pytest.mark.parametrize("refuses", [{}, {"taken": True}, {"taken": True, "chooses": True}])
@pytest.mark.parametrize("only_for_ever", [False, True])
def test_a_router_that_knows_upnp_alone_is_asked_by_it_whatever_it_refuses_first(
    run: Run, tmp_path: Path, refuses: dict[str, bool], only_for_ever: bool
) -> None:
    async def story() -> None:
        router = await UpnpRouter("127.5.3.54", only_for_ever=only_for_ever, **refuses).start()
        http = HttpServer()
        what = things([[await http.start() + "/announce"]])
        peer = await Peer(tmp_path / "one", listen=["0.0.0.0:0"], router=router.host, port_mapping=True).start()
        await mapped(peer, 2)
        port = peer.address[1]
        assert {(protocol, inside) for protocol, inside, _ in router.asked} == {("tcp", port), ("udp", port)}
        assert all((lease == -1) is only_for_ever for _, _, lease in router.asked)
        assert len(router.given) == 2 and set(router.given.values()) == {port}
        assert all(host.startswith("127.") for host in router.clients), "our address on the way to the router"
        (outside,) = {number for protocol, number in router.given if protocol == "tcp"}
        assert (outside == port) is not router.taken
        assert (outside == port + 1000) is router.chooses
        await peer.backend.add(what.torrent, str(peer.files))
        await peer.told(TrackerAnswered)
        assert announced_at(http) == outside
        await close(peer)
        assert not router.given, "all is given back"
        router.stop()
        http.stop()

    run(story)


@loops
def test_a_router_that_says_nothing_keeps_neither_the_disk_nor_the_end_waiting(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        what, router = things(), await Router("127.5.3.52", deaf=True).start()
        mapped = {"listen": ["0.0.0.0:0"], "router": router.host, "port_mapping": True, "pool_threads": 1}
        seed, leech = await Peer(tmp_path / "seed").start(), await Peer(tmp_path / "leech", **mapped).start()
        await seed.seed(what)
        await router.came.wait()
        await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        await leech.told(Completed)
        began = time.monotonic()
        await leech.backend.close(0.5)
        assert time.monotonic() - began < 0.5 + SPARE
        await close(seed)
        router.stop()

    run(story)


@pytest.mark.parametrize("closed", [{"bind": OURS}, {"proxy": "socks5://127.0.0.1:1"}, {"port_mapping": False}])
def test_no_router_is_asked_where_the_way_isnt_ours(tmp_path: Path, closed: dict[str, object]) -> None:
    async def story() -> None:
        router = await Router("127.5.3.53").start()
        peer = await Peer(
            tmp_path / "one", **{"listen": ["0.0.0.0:0"], "router": router.host, "port_mapping": True, **closed}
        ).start()
        await asyncio.sleep(0.3)
        assert not router.came.is_set()
        await peer.backend.close(1)
        router.stop()

    asyncio.run(story())
