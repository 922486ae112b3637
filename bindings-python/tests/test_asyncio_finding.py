"""How the asyncio driver finds peers by itself, and whom it speaks to: neighbours, the DHT, the command's binary; and
that nothing of it stays open, whenever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import binary
from proxies import Socks5
from servers import FarNode, HttpServer, UdpTracker, WebSocketTracker
from test_asyncio import Peer, Story, close, loops, on_uvloop, things
from test_asyncio_proxy import FAR, behind, far

from millstream import Metainfo, Session
from millstream._asyncio.datagrams import CAME_BYTES_MAX
from millstream.errors import StartError
from millstream.sansio import Completed

Run = Callable[[Story], None]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_bep_0014_neighbours_find_each_other_over_both_families(tmp_path: Path, loop: str) -> None:
    alone = ["unshare", "--net", "--"]
    assert shutil.which("ip"), "iproute2 is needed here: please install it"
    script = str(Path(__file__).parent / "neighbours_alone.py")
    done = subprocess.run(
        [*alone, sys.executable, script, loop, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["v4", "v6", "everywhere"]), done.stderr


@loops
def test_bep_0005_the_dhts_table_is_kept_over_restarts(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        # nodes remember one peer of each address
        what, dead = things(), "127.0.0.1:1"
        node = await Peer(tmp_path / "node", dht=True, dht_bootstrap=[dead]).start()
        while not node.backend.listening:
            await asyncio.sleep(0.01)
        there = f"127.0.0.1:{node.address[1]}"
        seed = await Peer(tmp_path / "seed", listen=["127.0.0.2:0"], dht=True, dht_bootstrap=[there]).start()
        await seed.seed(what)
        while not (await node.backend.statistics()).counts["dht.stored_peers"]:
            await asyncio.sleep(0.01)
        leech = await Peer(tmp_path / "leech", listen=["127.0.0.3:0"], dht=True, dht_bootstrap=[there]).start()
        await leech.backend.add(what.magnet, str(leech.files))
        await leech.told(Completed)
        await close(leech)
        assert list((leech.home / "state").glob("dht*")), "it is kept when the session has ended"
        # it is entered by nobody now, but for those whom it remembers
        again = await Peer(tmp_path / "leech", listen=["127.0.0.3:0"], dht=True, dht_bootstrap=[dead]).start()
        await again.backend.add(what.magnet, str(tmp_path / "elsewhere"))
        await again.told(Completed)
        assert what.are_in(tmp_path / "elsewhere")
        await close(again, seed, node)

    run(story)


@loops
def test_bep_0005_behind_a_proxy_a_peer_is_found_by_the_dht_alone_through_the_relay(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        what, proxy, entry = things(), await Socks5("me", "pw").start(), await FarNode().start()
        teller = await FarNode(beside=entry).start()
        seed = await Peer(tmp_path / "seed").start()
        await seed.seed(what)
        info_hash = Metainfo.parse(what.torrent).info_hash_v1
        assert info_hash is not None
        while not entry.peers:
            teller.announce(info_hash, seed.address[1])
            await asyncio.sleep(0.05)
        join = f"node.invalid:{entry.address[1]}"
        leech = await behind(tmp_path / "leech", proxy, dht=True, dht_bootstrap=[join])
        ours = await leech.backend.add(what.magnet, str(leech.files))
        await leech.told(Completed)
        assert what.are_in(leech.files)
        assert (await leech.backend.statistics()).counts["found.dht"] >= 1
        assert leech.backend.status(ours).downloaded == what.length
        await close(leech)
        # all that it said to the nodes, and heard of them, is what the relay counted
        (outside,) = proxy.outsides
        for node, other in ((entry, teller), (teller, entry)):
            sent = {host: count for (host, port), count in proxy.relayed.items() if port == node.address[1]}
            assert sent.keys() <= {"node.invalid", node.far[0]}
            assert ("node.invalid" in sent) is (node is entry), "it is asked for the name that it was told of"
            while node.came[outside] < sum(sent.values()):
                await asyncio.sleep(0.01)
            assert node.came[outside] == sum(sent.values())
            assert node.came.keys() <= {outside, other.address}
        assert proxy.brought[entry.address] > 1
        assert {asked for asked in proxy.asked if asked.startswith("tcp")} == {f"tcp {teller.far[0]}:{seed.address[1]}"}
        await close(seed)
        entry.stop()
        teller.stop()
        await proxy.stop()

    run(story)


@loops
def test_the_binary_seeds_and_a_session_on_a_loop_leeches(run: Run, tmp_path: Path) -> None:
    command = str(binary())

    async def story() -> None:
        what = things()
        (tmp_path / "a.torrent").write_bytes(what.torrent)
        options = ["--listen", "127.0.0.1:0", "--json", "--no-dht", "--no-lsd", "--port-mapping", "off"]
        seed = await asyncio.create_subprocess_exec(
            *(command, "seed", "a.torrent", "--data", str(what.store(tmp_path / "data")), *options),
            cwd=tmp_path,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
            stdout=PIPE,
        )
        assert seed.stdout is not None
        where = None
        async for line in seed.stdout:
            told = json.loads(line)
            if told["event"] == "listening":
                where = told["address"]
                break
        assert where is not None
        host, _, port = where.rpartition(":")
        for encryption, utp in (("off", "off"), ("require", "off"), ("prefer", "only")):
            leech = await Peer(tmp_path / f"{encryption}-{utp}", encryption=encryption, utp=utp).start()
            await leech.backend.add(what.magnet, str(leech.files), peers=[(host, int(port))])
            await leech.told(Completed)
            assert what.are_in(leech.files)
            await close(leech)
        seed.terminate()
        await seed.communicate()

    run(story)


# ---- nothing stays open


def open_files() -> set[str]:
    """What this process has open, but for what only looking at it opens."""
    gc.collect()
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except OSError:
            continue
    return found


async def none_but(before: set[str]) -> None:
    """Nothing more is open than before, as soon as the other sides have heard of it."""
    end = time.monotonic() + 30
    while left := open_files() - before:
        assert time.monotonic() < end, left
        await asyncio.sleep(0.02)


async def busy(home: Path, *, stop: bool) -> None:
    """Everything at once: peers, trackers, a web seed, a proxy; ended in good order, or in the middle."""
    proxy, http, udp, talk = await Socks5().start(), HttpServer(), UdpTracker([]), WebSocketTracker()
    urls = [await http.start() + "/announce", await udp.start(), await talk.start()]
    what = things([[url] for url in urls])
    http.files = {f"/things/{name}": data for name, data in what.files.items()}
    seed = await Peer(home / "seed", utp="on", lsd=True).start()
    await seed.seed(things())
    alike: dict[str, dict[str, Any]] = {"near": {"lsd": True, "utp": "on"}, "far": {"proxy": proxy.url}}
    for name, settings in alike.items():
        leech = await Peer(home / name, **settings).start()
        peers = [seed.address, ("127.0.0.1", 1)] if name == "near" else [far(seed.address), (FAR, 1)]
        ours = await leech.backend.add(what.torrent, str(leech.files), peers=peers)
        await leech.backend.add_web_seeds(ours, [urls[0].replace("announce", ""), "http://127.0.0.1:1/"])
        if stop:
            await leech.told(Completed)
        else:
            await asyncio.sleep(0.05)
        await leech.backend.close(2 if stop else 0)
    await seed.backend.close(2)
    for server in (http, udp, talk):
        server.stop()
    await proxy.stop()
    await asyncio.sleep(0.05)


@loops
@pytest.mark.parametrize("stop", [True, False])
def test_after_the_end_nothing_is_open(run: Run, tmp_path: Path, stop: bool) -> None:
    async def story() -> None:
        # the loop and the interpreter open theirs the first time
        await busy(tmp_path / "first", stop=stop)
        before, tasks = open_files(), asyncio.all_tasks()
        await busy(tmp_path / "second", stop=stop)
        await none_but(before)
        assert asyncio.all_tasks() <= tasks

    run(story)


@loops
def test_a_start_that_is_cancelled_anywhere_leaves_nothing_open(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        async def begin(home: Path) -> None:
            alone: dict[str, Any] = {"dht": True, "dht_bootstrap": [], "lsd": True, "listen": ["127.0.0.1:0"]}
            async with Session(driver="asyncio", **alone, port_mapping=False, state_folder=str(home)):
                pass

        await begin(tmp_path)
        before = open_files()
        for steps in range(20):
            task = asyncio.ensure_future(begin(tmp_path))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            # it holds the frames of what it ended
            del task
        await none_but(before)

    run(story)


@loops
def test_a_way_through_a_proxy_that_is_given_up_anywhere_leaves_nothing_open(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        proxy, server = await Socks5("me", "pw").start(), HttpServer(files={"/x": b"x"})
        url = (await server.start()).replace("127.0.0.1", "x.invalid") + "/x"
        peer = await Peer(tmp_path / "one", proxy=proxy.url).start()
        assert await peer.backend.fetch(url) == b"x"
        assert peer.backend._turns is not None
        while not peer.backend._turns.datagrams.ports:
            await asyncio.sleep(0.01)
        before = open_files()
        for steps in range(40):
            task = asyncio.ensure_future(peer.backend.fetch(url))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            done = await asyncio.gather(task, return_exceptions=True)
            assert done[0] == b"x" or isinstance(done[0], asyncio.CancelledError), done
        await none_but(before)
        await close(peer)
        server.stop()
        await proxy.stop()

    run(story)


# ---- datagrams


@loops
def test_only_a_datagram_that_is_too_large_is_told_with_its_size(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        peer = await Peer(tmp_path / "one").start()
        turns = peer.backend._begun
        (port,) = turns.datagrams.ports.values()
        told: list[tuple[object, ...]] = []

        class Ear:
            def datagram_refused(self, _: float, *about: object) -> None:
                told.append(about)

        body, turns.body = turns.body, Ear()  # type: ignore[assignment]
        assert port.transport is not None
        here = ("127.0.0.1", 9)
        for to, size in ((here, 1200), (here, 65_600), (("255.255.255.255", 9), 1200)):
            port._send(port.transport, bytes(size), to, (to, size))
        turns.body = body
        # a socket may not send to everyone unless it asked for that
        assert told == [(port.local, here, 65_600), (port.local, ("255.255.255.255", 9), None)]
        await close(peer)

    run(story)


@loops
def test_datagrams_that_come_too_fast_are_dropped_not_kept(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        peer = await Peer(tmp_path / "one").start()
        (port,) = peer.backend._begun.datagrams.ports.values()
        for size in (60_000, 10):
            for _ in range(10_000):
                port.datagram_received(bytes(size), ("127.0.0.1", 9))
            kept = sum(len(data) for data, _ in port._came)
            assert kept <= CAME_BYTES_MAX + size
            await asyncio.sleep(0)
            assert not port._came
        await close(peer)

    run(story)


@loops
def test_a_host_without_free_files_goes_on_when_it_has_some(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        seed, leech = await Peer(tmp_path / "seed").start(), await Peer(tmp_path / "leech").start()
        await seed.seed(what)
        ways = leech.backend._begun.ways
        connect, tries = ways.connect, 0

        async def full(*args: Any) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise OSError(errno.EMFILE, "Too many open files")
            await connect(*args)

        ways.connect = full  # type: ignore[method-assign, assignment]
        await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        await leech.told(Completed)
        assert tries > 1
        await close(leech, seed)

    run(story)


def test_a_fault_of_ours_in_a_task_is_told_and_ends_the_link(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        peer = await Peer(tmp_path / "one").start()

        async def broken(*_: object) -> None:
            raise LookupError("a fault of ours")

        peer.backend._begun.ways.connect = broken  # type: ignore[method-assign, assignment]
        await peer.backend.add(things().torrent, str(peer.files), peers=[("127.0.0.1", 9)])
        while "a fault of ours" not in caplog.text:
            await asyncio.sleep(0.01)
        while peer.backend._begun.links._opening:
            await asyncio.sleep(0.01)
        await close(peer)

    on_uvloop(story)


def test_sockets_are_closed_that_were_bound_before_one_was_taken(tmp_path: Path) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            before = open_files()
            listen = [("127.0.0.1", 0), taken.getsockname()]
            with pytest.raises(StartError, match="listened"):
                await Peer(tmp_path / "one", listen=listen, listen_tries_max=0).start()
            await none_but(before)

    asyncio.run(asyncio.wait_for(story(), 60))
