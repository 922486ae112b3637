"""What an event costs in batches: nanoseconds for each, of sessions and parsers, and for each of libtorrent's alerts.

The events are of pieces of 16 KiB that a seed in another process sends; the loop sleeps until about a thousand wait.
Best of all batches, and the median.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.table import MIB, markdown, median
from engines.content import fill, make_torrent
from engines.libtorrent_node import settings as libtorrent_settings
from engines.millstream import Millstream
from engines.node import Address, Job
from engines.process import EngineError
from leech import settings
from nodes import versions
from sansio import pair

from millstream import PieceVerified, Session, sansio
from millstream.sansio import Engine

BATCH = 1000
"""Smaller batches don't count."""

PAUSE_S = 0.06
"""Long enough for a batch, as fast as the disk and the seed are. Seconds."""

WITHIN_S = 60.0

Costs = dict[str, list[float]]
"""What was measured, each with the nanoseconds for one of each batch."""


def options(parser: argparse.ArgumentParser) -> None:
    """Its own words of the command line."""
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=256, help="what is transferred, in pieces of 16 KiB")


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Measures all as many times as told, and gives the table."""
    told = versions(["native", "libtorrent"])
    home, torrent = root / "whole", root / "a.torrent"
    fill(home / "data", arguments.mib * MIB, 1)
    make_torrent(home / "data", torrent, "v1", 16 << 10)
    costs: Costs = defaultdict(list)
    for number in range(arguments.runs):
        for name, measure in (("native", native), ("libtorrent", libtorrent)):
            work = root / "run"
            with Millstream(Job(home, work / "seed", torrent, seed=True)) as seed:
                seed.start()
                measure(torrent, work, seed.address, costs)
            shutil.rmtree(work)
            say(f"run {number + 1}: {name}")
        engine(costs)
        connection(costs)
    rows = [[name, f"{min(all_of):.0f}", f"{median(all_of):.0f}", str(len(all_of))] for name, all_of in costs.items()]
    head = ["nanoseconds for each", "best", "median", "batches"]
    return markdown("Events in batches of a thousand or more", head, rows, told)


def native(torrent: Path, work: Path, seed: Address, costs: Costs) -> None:
    """A session of the native driver, drained as its loop drains it."""
    asyncio.run(_native(torrent, work, seed, costs))


async def _native(torrent: Path, work: Path, seed: Address, costs: Costs) -> None:
    given = settings({"port": 0, "state": str(work / "state")})
    given["events_max"] = 1_000_000
    async with Session(folder=work / "in", **given) as session:
        handle = await session.add(torrent, only_peers=True)
        while handle.state == "checking":
            await asyncio.sleep(0.01)
        reader = session.events()
        await handle.add_peers([seed])
        drain = session._backend._native.drain  # type: ignore[attr-defined]
        deadline = time.monotonic() + WITHIN_S
        while handle.state != "seeding":
            if time.monotonic() > deadline:
                raise EngineError("the native session didn't complete")
            time.sleep(PAUSE_S)  # the loop too: what happens meanwhile waits in the session
            news, taken = [], []  # the last batch is gone before the next is timed
            at = [time.perf_counter_ns()]
            _, news, _ = drain()
            at.append(time.perf_counter_ns())
            session._on_news(news)
            at.append(time.perf_counter_ns())
            taken = reader.waiting()
            at.append(time.perf_counter_ns())
            pieces = sum(event.piece for event in taken if isinstance(event, PieceVerified))
            at.append(time.perf_counter_ns())
            count = len(news)
            del news, taken
            at.append(time.perf_counter_ns())
            if count >= BATCH and pieces:
                each = [(after - before) / count for before, after in zip(at, at[1:], strict=False)]
                costs["native session: drain gives events"].append(each[0])
                costs["native session: the events are told to a reader"].append(each[1])
                costs["native session: the reader takes them"].append(each[2])
                costs["native session: each is tried for its class, its piece read"].append(each[3])
                costs["native session: they are let go"].append(each[4])


def libtorrent(torrent: Path, work: Path, seed: Address, costs: Costs) -> None:
    """A session of libtorrent, its alerts popped."""
    import libtorrent as lt

    reach = {"dht": None, "lsd": False, "utp": "off", "encryption": "off"}
    given: Any = libtorrent_settings({"host": "127.0.0.1", "port": 0, "tracker": False, "reach": reach})
    session = lt.session(given)
    categories = lt.alert.category_t
    mask = categories.piece_progress_notification | categories.status_notification
    session.apply_settings({"alert_queue_size": 1_000_000, "alert_mask": int(mask)})
    params = lt.load_torrent_file(str(torrent))
    params.save_path = str(work / "in")
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
    handle.connect_peer(seed)
    deadline = time.monotonic() + WITHIN_S
    complete = False
    while not complete:
        if time.monotonic() > deadline:
            raise EngineError("libtorrent didn't complete")
        time.sleep(PAUSE_S)
        alerts: list[lt.alert] = []
        began = time.perf_counter_ns()
        alerts = session.pop_alerts()
        popped = time.perf_counter_ns()
        pieces = sum(alert.piece_index for alert in alerts if isinstance(alert, lt.piece_finished_alert))
        read = time.perf_counter_ns()
        if len(alerts) >= BATCH and pieces:
            costs["libtorrent: pop_alerts gives alerts"].append((popped - began) / len(alerts))
            costs["libtorrent: each is tried for its class, its piece read"].append((read - popped) / len(alerts))
        complete = any(isinstance(alert, lt.torrent_finished_alert) for alert in alerts)


def engine(costs: Costs) -> None:
    """The engine without a body: a thousand torrents come and go."""
    draw = random.Random(1)
    for _ in range(30):
        bare = Engine(1, torrents_max=10 * BATCH, events_max=10 * BATCH)
        links = [f"magnet:?xt=urn:btih:{draw.randbytes(20).hex()}" for _ in range(BATCH)]
        added = [bare.add_torrent(0, link, "anywhere") for link in links]
        for torrent in added:
            bare.remove(0, torrent)
        bare.poll_effects()
        events: list[object] = []
        began = time.perf_counter_ns()
        events += bare.poll_events()
        took = time.perf_counter_ns() - began
        if len(events) < BATCH:
            raise EngineError(f"the engine gave {len(events)} events")
        costs["sans-IO engine: poll_events gives events"].append(took / len(events))


def connection(costs: Costs) -> None:
    """A connection without a socket: messages out of bytes."""
    client, server = pair()
    haves = client.send(*(sansio.Have(number) for number in range(BATCH)))
    requests = client.send(*(sansio.Request(number, 0, 16384) for number in range(BATCH)))
    for name, data in (("HAVEs", haves), ("REQUESTs", requests)):
        for _ in range(30):
            began = time.perf_counter_ns()
            given = server.receive_data(data)
            costs[f"sans-IO connection: receive_data gives {name}"].append((time.perf_counter_ns() - began) / BATCH)
            del given
