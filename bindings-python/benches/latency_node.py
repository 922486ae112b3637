"""One client with many torrents on an asyncio loop, as a process: it reads all their statistics again and again, and
measures how late the loop is. It says `ready`; one line with a peer's address and `seconds` makes it measure.

The client `loop` is a loop on which nothing else runs: what the machine itself does to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from leech import commands, loop_factory, say, session

SAMPLE_EVERY = 0.005
READ_EVERY = 0.05

Read = Callable[[], int]
"""Reads the statistics of all torrents; gives the bytes that were downloaded."""

Dial = Callable[[tuple[str, int]], Any]
"""Tells the torrents that aren't complete of their peer."""


async def late(lags: list[float]) -> None:
    """How much later than asked for the loop comes back, in seconds."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(SAMPLE_EVERY)
        lags.append(max(time.perf_counter() - began - SAMPLE_EVERY, 0.0))


async def watch(read: Read, took: list[float]) -> None:
    """Reads all, time and again; seconds that each reading took."""
    while True:
        await asyncio.sleep(READ_EVERY)
        began = time.perf_counter()
        read()
        took.append(time.perf_counter() - began)


@asynccontextmanager
async def nobody(config: dict[str, Any]) -> AsyncIterator[tuple[Read, Dial]]:
    """No client at all."""
    yield (lambda: 0), (lambda peer: asyncio.sleep(0))


@asynccontextmanager
async def package(config: dict[str, Any]) -> AsyncIterator[tuple[Read, Dial]]:
    """A session of the package, whose news somebody reads."""
    async with session(config) as opened:
        for path in Path(config["small"]).glob("*.torrent"):
            await opened.add(path, only_peers=True)
        busy = [
            await opened.add(path, folder=config["target"], only_peers=True)
            for path in Path(config["busy"]).glob("*.torrent")
        ]
        torrents = opened.torrents
        while any(torrent.state == "checking" for torrent in torrents):
            await asyncio.sleep(0.05)

        def read() -> int:
            return sum(torrent.stats.downloaded for torrent in torrents)

        async def dial(peer: tuple[str, int]) -> None:
            for torrent in busy:
                await torrent.add_peers([peer])

        async def listen() -> None:
            async for _ in opened.events():
                pass

        listening = asyncio.create_task(listen())
        yield read, dial
        listening.cancel()


@asynccontextmanager
async def libtorrent(config: dict[str, Any]) -> AsyncIterator[tuple[Read, Dial]]:
    """A session of libtorrent, woken by its alerts, each torrent asked for its status."""
    import libtorrent as lt
    from engines.libtorrent_node import settings

    reach = {"dht": None, "lsd": False, "utp": "off", "encryption": "off"}
    given: Any = settings({"host": "127.0.0.1", "port": config["port"], "tracker": False, "reach": reach})
    opened = lt.session(given)
    opened.apply_settings({"alert_queue_size": 1_000_000})
    wake, writer = socket.socketpair()
    wake.setblocking(False)
    writer.setblocking(False)
    opened.set_alert_fd(writer.fileno())

    def heard() -> None:
        wake.recv(4096)
        opened.pop_alerts()

    asyncio.get_running_loop().add_reader(wake, heard)
    busy = []
    for folder, place in ((config["small"], config["folder"]), (config["busy"], config["target"])):
        for path in Path(folder).glob("*.torrent"):
            params = lt.load_torrent_file(str(path))
            params.save_path = place
            params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
            handle = opened.add_torrent(params)
            if folder == config["busy"]:
                busy.append(handle)
    handles = opened.get_torrents()
    checking = (lt.torrent_status.states.checking_files, lt.torrent_status.states.checking_resume_data)
    while any(handle.status().state in checking for handle in handles):
        await asyncio.sleep(0.5)

    def read() -> int:
        return sum(handle.status().total_payload_download for handle in handles)

    async def dial(peer: tuple[str, int]) -> None:
        for handle in busy:
            handle.connect_peer(peer)

    yield read, dial
    asyncio.get_running_loop().remove_reader(wake)


async def main(config: dict[str, Any]) -> None:
    """Readies the client, measures when told to, and ends with its standard input."""
    kinds = {"loop": nobody, "libtorrent": libtorrent}
    async with kinds.get(config["driver"], package)(config) as (read, dial):
        reader = await commands()
        say("ready")
        if not (line := await reader.readline()):
            return
        command = json.loads(line)
        host, port = command["dial"]
        await dial((host, port))
        await asyncio.sleep(1)
        lags: list[float] = []
        took: list[float] = []
        before, began, cpu = read(), time.perf_counter(), time.thread_time()
        tasks = [asyncio.create_task(late(lags)), asyncio.create_task(watch(read, took))]
        await asyncio.sleep(command["seconds"])
        for task in tasks:
            task.cancel()
        span = time.perf_counter() - began
        busy = (time.thread_time() - cpu) / span
        say("measured", lags=lags, took=took, rate=(read() - before) / span, busy=busy)
        await reader.readline()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    given = json.loads(sys.argv[1])
    os.makedirs(given["target"], exist_ok=True)
    with asyncio.Runner(loop_factory=loop_factory(given["driver"])) as runner:
        runner.run(main(given))
