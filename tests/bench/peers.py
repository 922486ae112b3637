"""What bad peers cost in memory: many that deliver in small segments, readers that stall, links that do nothing."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from engines.bad_peers import let_loose
from engines.content import digest, fill, make_torrent
from engines.floor import example
from engines.millstream import Millstream
from engines.node import Address, Job, free_port
from engines.process import Child, EngineError, poll_until, resident

from .table import MIB, markdown

CASES = ("slow", "stall", "idle")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=CASES)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--slow", type=int, default=200, help="peers that deliver 1,448 bytes a write")
    parser.add_argument("--stalled", type=int, default=4, help="readers that stall: no more than are unchoked at once")
    parser.add_argument("--links", type=int, default=10_000, help="idle links")
    parser.add_argument("--write-timeout", type=float, default=60, help="seconds within which a stalled reader is closed")


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs the cases, and gives the table."""
    version = Millstream.version()
    data = root / "whole" / "data"
    fill(data, arguments.mib * MIB, 1)
    torrent = make_torrent(data, root / "a.torrent", "v1", 4 * MIB)
    rows = []
    for name, case in (("slow", slow), ("stall", stall), ("idle", idle)):
        if name in arguments.only:
            work = root / "run"
            (work / "in").mkdir(parents=True)
            rows += case(torrent, data, work, arguments)
            shutil.rmtree(work)
            say(f"{name}: {rows[-1][2]}")
    head = ["", "bound", "measured"]
    return markdown(f"Bad peers: {arguments.mib} MiB, 4 MiB pieces", head, rows, {"millstream": version})


def slow(torrent: Path, data: Path, work: Path, arguments: argparse.Namespace) -> list[list[str]]:
    """A leech whose seeds deliver 1,448 bytes a read."""
    with Millstream(Job(work / "in", work / "leech", torrent)) as leech:
        leech.start()
        seeds = let_loose(leech.address, torrent, arguments.slow, "trickle", work, data)
        try:
            leech.wait_complete(300)
            peak = leech.usage().peak_rss
        finally:
            seeds.stop()
    if digest(work / "in" / "data") != digest(data):
        raise EngineError("other bytes arrived")
    return [[f"{arguments.slow} peers, 1,448 bytes a read: peak", "64 MiB", f"{peak / MIB:.1f} MiB"]]


def stall(torrent: Path, data: Path, work: Path, arguments: argparse.Namespace) -> list[list[str]]:
    """A seed whose leeches ask for much and read nothing."""
    with Millstream(Job(data.parent, work / "seed", torrent, seed=True)) as seed:
        seed.start()
        before = resident(seed.pid)
        readers = let_loose(seed.address, torrent, arguments.stalled, "stall", work)
        try:
            readers.wait_event("connected", 30)
            began = time.monotonic()
            most = 0

            def closed() -> bool:
                nonlocal most
                most = max(most, resident(seed.pid))
                return established(seed.address) == 0

            poll_until(closed, arguments.write_timeout * 3, 0.1, "stalled readers closed")
            took = time.monotonic() - began
        finally:
            readers.stop()
    each = (most - before) / arguments.stalled / 1024
    return [
        [f"a reader that stalls ({arguments.stalled} of them): memory each", "256 KiB", f"{each:.0f} KiB"],
        ["the last of them is closed after", f"{arguments.write_timeout:.0f} s", f"{took:.1f} s"],
    ]


def idle(torrent: Path, data: Path, work: Path, arguments: argparse.Namespace) -> list[list[str]]:
    """A seed with many links on which nothing happens."""
    at = ("127.0.0.1", free_port())
    seed = Child([str(example("many_links")), str(torrent), str(data.parent), f"{at[0]}:{at[1]}"], work / "seed.log")
    links: Child | None = None
    try:
        seed.wait_event("listening", 60)
        time.sleep(1)
        before = resident(seed.pid)
        links = let_loose(at, torrent, arguments.links, "idle", work)
        greeted = int(links.wait_event("connected", 120)["links"])
        time.sleep(2)
        if greeted < arguments.links or established(at) < arguments.links:
            raise EngineError(f"only {greeted} of {arguments.links} links stand; see {work}")
        after = resident(seed.pid)
    finally:
        for child in (links, seed):
            if child is not None:
                child.stop()
    return [[f"{arguments.links} idle links: each", "4 KiB", f"{(after - before) / arguments.links / 1024:.2f} KiB"]]


def established(address: Address) -> int:
    """Links that the listener at a loopback port still holds open."""
    port = f"{address[1]:04X}"
    lines = Path(f"/proc/{os.getpid()}/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port}") and line.split()[3] == "01" for line in lines)
