"""The asyncio driver's kill switch: all that its process says to the network is written down by strace, and nothing of
it goes anywhere but to the proxy and its relay. Names are looked up by nobody here."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from proxies import HttpProxy, Proxy, Socks5
from servers import HttpServer, UdpTracker, WebSocketTracker
from test_asyncio import PIECE, Peer, close, things
from test_asyncio_proxy import LOGIN, by_name, far

from millstream.sansio import Address

loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
SCRIPT = Path(__file__).parent / "session_behind.py"


@dataclass
class Watched:
    """A process with its trace."""

    trace: Path
    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, home: Path, loop: str, **told: Any) -> Watched:
        """A session under strace."""
        assert shutil.which("strace"), "strace is needed here: please install it"
        trace = home / "trace"
        strace = ("strace", "-f", "-qq", "-e", "trace=network", "-s", "200", "-o", str(trace))
        process = await asyncio.create_subprocess_exec(
            *strace, sys.executable, str(SCRIPT), loop, json.dumps(told), stdout=PIPE
        )
        return cls(trace, process)

    async def until(self, verified: int) -> None:
        """It has so many bytes."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            if int(line) >= verified:
                return
        raise AssertionError("it ended")

    async def end(self) -> None:
        """It ends well."""
        assert self.process.stdout is not None
        await self.process.stdout.read()
        assert await self.process.wait() == 0

    def leaks(self, allowed: list[Address]) -> list[str]:
        """What went anywhere but there."""
        return [line for line in self.trace.read_text().splitlines() if speaks(line) and not leads_to(line, allowed)]


def speaks(line: str) -> bool:
    """Whether it shows an address that something goes to, or that is bound; or listens."""
    shows = any(word in line for word in ("sin_port", "sin6_port", "sun_path"))
    calls = ("connect(", "sendto(", "sendmsg(", "sendmmsg(", "bind(")
    return "listen(" in line or shows and any(call in line for call in calls)


def leads_to(line: str, allowed: list[Address]) -> bool:
    """Whether it is one of these."""
    return any(f"sin_port=htons({port})" in line and f'inet_addr("{host}")' in line for host, port in allowed)


def settings(proxy: Proxy, home: Path) -> dict[str, Any]:
    """All else as it is by default: neighbours, the DHT by its well-known names, the router, uTP."""
    return {"proxy": proxy.url, "state_folder": str(home / "state")}


@loops
@pytest.mark.parametrize("kind", [Socks5, HttpProxy])
def test_nothing_goes_by_the_proxy_also_when_it_dies_and_comes_back(
    tmp_path: Path, loop: str, kind: type[Proxy]
) -> None:
    async def story() -> None:
        proxy = await kind(*LOGIN).start()
        seed = await Peer(tmp_path / "seed", upload_rate=500_000).start()
        what = things()
        await seed.seed(what)
        http, udp, talk = HttpServer([far(seed.address)]), UdpTracker([far(seed.address)]), WebSocketTracker()
        urls = [
            by_name(await http.start(), "tracker.invalid") + "/announce",
            by_name(await udp.start(), "udp.invalid"),
            by_name(await talk.start(), "talk.invalid"),
        ]
        trackers = "".join(f"&tr={url}" for url in urls)
        magnet = f"{what.magnet}{trackers}&ws=http://web.invalid/things/&x.pe=peer.invalid:9&x.pe=%s:%d" % far(
            seed.address
        )
        there = settings(proxy, tmp_path)
        watched = await Watched.start(
            tmp_path, loop, settings=there, magnet=magnet, name="name.invalid", folder=str(tmp_path / "out")
        )
        await watched.until(3 * PIECE)
        before = list(proxy.asked)
        await proxy.stop()
        await asyncio.sleep(1.5)
        assert watched.process.returncode is None, "it waits"
        proxy.asked.clear()
        await proxy.start()
        await watched.end()
        assert what.are_in(tmp_path / "out")
        allowed = [proxy.address, *(proxy.relays if isinstance(proxy, Socks5) else [])]
        assert not watched.leaks(allowed)
        trace = watched.trace.read_text()
        assert f"sin_port=htons({proxy.address[1]})" in trace, "the trace shows what went to the proxy"
        if kind is HttpProxy:
            assert "SOCK_DGRAM" not in trace, "not even a socket for datagrams"
        assert f"tcp tracker.invalid:{urls[0].split(':')[2].split('/')[0]}" in before
        assert "tcp name.invalid:9" in before, "the proxy is asked for names"
        host, port = far(seed.address)
        assert f"tcp {host}:{port}" in proxy.asked, "it comes back by itself"
        await close(seed)
        for server in (http, udp, talk):
            server.stop()
        await proxy.stop()

    asyncio.run(asyncio.wait_for(story(), 100))


@loops
def test_the_trace_shows_a_leak_where_there_is_no_proxy(tmp_path: Path, loop: str) -> None:
    async def story() -> None:
        seed, what = await Peer(tmp_path / "seed").start(), things()
        await seed.seed(what)
        magnet = f"{what.magnet}&x.pe=%s:%d" % seed.address
        alone = {"listen": ["127.0.0.1:0"], "dht": False, "lsd": False, "keep_resume": False}
        watched = await Watched.start(
            tmp_path, loop, settings=alone, magnet=magnet, name="localhost", folder=str(tmp_path / "out")
        )
        await watched.end()
        leaks = watched.leaks([])
        for call in ("connect(", "bind(", "listen("):
            assert any(call in line for line in leaks), (call, leaks)
        await close(seed)

    asyncio.run(asyncio.wait_for(story(), 60))
