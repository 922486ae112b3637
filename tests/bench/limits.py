"""Rate limits: `--max-download` and `--max-upload` over every 10 s, with one peer and with many.

Payload is counted by the peers, ten times a second. The first seconds, in which buffers fill, don't count.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from engines.bad_peers import let_loose
from engines.content import fill, make_torrent
from engines.millstream import Millstream
from engines.node import Job
from engines.process import Child

from .table import MIB, markdown

WINDOW_S = 10.0
WARM_S = 5.0
PIECE = 256 << 10


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mib-s", type=int, default=8, help="the limit, MiB/s")
    parser.add_argument("--peers", type=int, nargs="*", default=[1, 50])
    parser.add_argument("--seconds", type=float, default=30)


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs both directions with each number of peers, and gives the table."""
    version = Millstream.version()
    length = int((arguments.seconds + WARM_S + 10) * arguments.mib_s * MIB)
    data = root / "whole" / "data"
    fill(data, length, 1)
    torrent = make_torrent(data, root / "a.torrent", "v1", PIECE)
    rows = []
    for direction in ("download", "upload"):
        for peers in arguments.peers:
            work = root / "run"
            rates = one(direction, peers, torrent, data, work, arguments)
            shutil.rmtree(work)
            limit = arguments.mib_s * MIB
            low, high = (100 * (rate / limit - 1) for rate in (min(rates), max(rates)))
            say(f"{direction}, {peers} peers: {low:+.1f} % to {high:+.1f} %")
            rows.append([f"{direction}, {peers} peers", f"{low:+.1f} %", f"{high:+.1f} %", str(len(rates))])
    head = ["", "slowest 10 s", "fastest 10 s", "windows"]
    title = f"Limits: {arguments.mib_s} MiB/s for {arguments.seconds:.0f} s"
    return markdown(title, head, rows, {"millstream": version}, "Deviation from the limit.")


def one(
    direction: str, peers: int, torrent: Path, data: Path, work: Path, arguments: argparse.Namespace
) -> list[float]:
    """The rates of all windows, in bytes a second."""
    limit = arguments.mib_s * MIB
    (work / "in").mkdir(parents=True)
    if direction == "download":
        job = Job(work / "in", work / "node", torrent, download_max=limit)
    else:
        job = Job(data.parent, work / "node", torrent, seed=True, upload_max=limit)
    with Millstream(job) as node:
        node.start()
        mode, field = ("give", "sent") if direction == "download" else ("greedy", "received")
        child = let_loose(node.address, torrent, peers, mode, work, data, 1000)
        try:
            child.wait_event("connected", 30)
            return windows(samples(child, field, arguments.seconds))
        finally:
            child.stop()


def samples(child: Child, field: str, seconds: float) -> list[tuple[float, int]]:
    """When so many bytes had passed, after the warm-up."""
    began = time.monotonic()
    found = []
    while (now := time.monotonic()) < began + WARM_S + seconds:
        told = child.next_event("payload", 5)
        if now > began + WARM_S:
            found.append((time.monotonic(), int(told[field])))
    return found


def windows(found: list[tuple[float, int]]) -> list[float]:
    """The rate of every stretch of ten seconds that ends with a sample."""
    rates = []
    first = 0
    for at, passed in found:
        while found[first + 1][0] <= at - WINDOW_S:
            first += 1
        if at - found[first][0] >= WINDOW_S:
            rates.append((passed - found[first][1]) / (at - found[first][0]))
    return rates
