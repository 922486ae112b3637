"""How late an asyncio loop is while a client with many torrents runs beside it and all statistics are read every 50 ms.

Most torrents seed and nobody asks for them; a few download from a seed with a limit. The loop is asked every 5 ms to
come back after 5 ms; what it takes beyond that is its lag. The first row is a loop on which nothing else runs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bench.idle import make
from bench.table import MIB, markdown, median, spread
from engines.content import fill, make_torrent
from engines.millstream import binary
from engines.node import Address, free_port
from engines.process import Child
from nodes import python, versions

KINDS = ("loop", "native", "asyncio", "uvloop", "libtorrent")
WARMING_S = 3
"""What flows before the measuring begins. Seconds."""


def options(parser: argparse.ArgumentParser) -> None:
    """Its own words of the command line."""
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--torrents", type=int, default=1000)
    parser.add_argument("--busy", type=int, default=10, help="so many of them download")
    parser.add_argument("--rate", type=int, default=20, help="MiB a second that they get together; 0 is no limit")
    parser.add_argument("--mib", type=int, default=0, help="their size together; what the rate needs unless told")
    parser.add_argument("--seconds", type=float, default=20, help="how long the loop is watched")
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=KINDS)


@dataclass
class Run:
    """What one run saw. Seconds, and bytes a second."""

    lags: list[float]
    took: list[float]
    rate: float
    busy: float

    def late(self, share: float) -> float:
        """The lag that this share of the samples doesn't exceed, in ms."""
        ordered = sorted(self.lags)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all clients in turn, as many times as told, and gives the table."""
    told = versions(["binary", *(kind for kind in arguments.only if kind != "loop")])
    small = make(root, arguments.torrents - arguments.busy)
    large = contents(root, arguments)
    runs: dict[str, list[Run]] = {kind: [] for kind in arguments.only}
    for number in range(arguments.runs):
        for kind in arguments.only:
            run = once(kind, small, large, root, arguments)
            runs[kind].append(run)
            say(
                f"run {number + 1}: {kind}: p50 {run.late(0.5):.2f}, p99 {run.late(0.99):.2f}, "
                f"max {run.late(1):.2f} ms; "
                f"reading {statistics.median(run.took) * 1000:.2f} ms; {run.rate / MIB:.1f} MiB/s"
            )
    return report(runs, arguments, told)


def contents(root: Path, arguments: argparse.Namespace) -> Path:
    """The folder of what is downloaded: its torrents, and `data` with their files."""
    folder = root / "busy"
    folder.mkdir()
    whole = arguments.mib or int(arguments.rate * (arguments.seconds + WARMING_S + 5))
    for number in range(arguments.busy):
        data = folder / "data" / f"busy-{number}"
        fill(data, max(whole // arguments.busy, 1) * MIB, number)
        make_torrent(data, folder / f"{number}.torrent", "v1", MIB)
    return folder


@contextmanager
def seeding(folder: Path, logs: Path, rate: int) -> Iterator[Address]:
    """The binary, which seeds what is in the folder."""
    files = [str(path) for path in folder.glob("*.torrent")]
    words = ["--data", str(folder / "data"), "--listen", f"127.0.0.1:{(port := free_port())}", "--only-peers", "--json"]
    words += ["--utp", "off", "--encryption", "off"]
    words += ["--max-upload", str(rate * MIB)] if rate else []
    state = {"XDG_STATE_HOME": str(logs / "state"), "HOME": str(logs)}
    seed = Child([str(binary()), "seed", *files, *words], logs / "seed.log", state)
    try:
        for _ in files:
            seed.next_event("complete", 120)
        yield "127.0.0.1", port
    finally:
        seed.stop()


def once(kind: str, small: Path, large: Path, root: Path, arguments: argparse.Namespace) -> Run:
    """One client, readied and watched."""
    work = root / "run"
    work.mkdir()
    config = {
        "driver": kind,
        "port": free_port(),
        "small": str(small),
        "folder": str(root / "data"),
        "busy": str(large),
        "target": str(work / "in"),
        "state": str(work / "state"),
    }
    serving = seeding(large, work, arguments.rate) if kind != "loop" else nullcontext(("127.0.0.1", 1))
    with serving as address:
        child = python("latency_node.py", config, work / f"{kind}.log")
        try:
            child.wait_event("ready", 300)
            child.say({"dial": address, "seconds": arguments.seconds})
            told = child.wait_event("measured", arguments.seconds + 120)
        finally:
            child.end_input(10)
            child.stop()
    shutil.rmtree(work)  # what failed is kept
    return Run(told["lags"], told["took"], told["rate"], told["busy"])


def report(runs: dict[str, list[Run]], arguments: argparse.Namespace, told: dict[str, str]) -> str:
    """The table."""
    names = {"loop": "the loop alone", "uvloop": "millstream asyncio, on uvloop", "libtorrent": "python-libtorrent"}
    rows = [
        [
            names.get(kind, f"millstream {kind}"),
            spread([run.late(0.5) for run in all_of]),
            spread([run.late(0.99) for run in all_of]),
            f"{max(run.late(1) for run in all_of):.1f}",
            spread([statistics.median(run.took) * 1000 for run in all_of]),
            f"{median(run.busy * 100 for run in all_of):.0f} %",
            f"{median(run.rate / 1e6 for run in all_of):.0f}",
        ]
        for kind, all_of in runs.items()
    ]
    title = f"How late the loop is: {arguments.torrents} torrents, {arguments.busy} of them download"
    head = ["", "p50 ms", "p99 ms", "max ms", "reading all statistics, ms", "loop's thread busy", "MB/s meanwhile"]
    notes = (
        f"Medians of {arguments.runs} (range), the greatest of all; {arguments.seconds:g} s each; "
        f"load of the machine at the end {os.getloadavg()[0]:.1f}."
    )
    return markdown(title, head, rows, told, notes)
