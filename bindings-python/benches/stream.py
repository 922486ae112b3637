"""How long a byte of a live stream takes from a StreamPublisher's inbox to a StreamSubscriber's outbox, by the size of
chunks.

Each side is a process, with a native session of its own; a tracker and the feed are on this host, and the feed is
looked at every `--interval` seconds. The stream is made of moments: what comes out says when it went in. A byte waits
first until its chunk is full, which takes the chunk's size by the stream's rate: the last column is what the chunk's
last bytes take, who don't wait for others.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.table import markdown, spread
from engines.process import EngineError
from engines.tracker import Tracker
from nodes import Native, python


def options(parser: argparse.ArgumentParser) -> None:
    """Its own words of the command line."""
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--chunk-kib", type=int, nargs="*", default=[64, 256, 1024, 4096])
    parser.add_argument("--rate-kib", type=int, default=1024, help="KiB a second of the stream")
    parser.add_argument("--seconds", type=float, default=20, help="how long the stream is")
    parser.add_argument("--interval", type=float, default=0.1, help="seconds between looks at the feed")


@dataclass
class Run:
    """What one stream saw. Seconds, of each record and of the last in each chunk."""

    delays: list[float]
    last: list[float]


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all sizes in turn, as many times as told, and gives the table."""
    runs: dict[int, list[Run]] = {kib: [] for kib in arguments.chunk_kib}
    for number in range(arguments.runs):
        for kib in arguments.chunk_kib:
            run = once(root / f"{number}-{kib}", kib, arguments)
            runs[kib].append(run)
            say(
                f"run {number + 1}: {kib} KiB: "
                f"p50 {share(run.delays, 0.5):.2f} s, p99 {share(run.delays, 0.99):.2f} s; "
                f"of the last bytes p50 {share(run.last, 0.5):.3f} s"
            )
    return report(runs, arguments)


def once(work: Path, kib: int, arguments: argparse.Namespace) -> Run:
    """One stream from its source to its sink."""
    for side in ("source", "sink"):
        (work / side).mkdir(parents=True)
    config: dict[str, Any] = {"chunk": kib << 10, "rate": arguments.rate_kib << 10, "seconds": arguments.seconds}
    with Tracker() as tracker:
        config |= {"side": "source", "folder": str(work / "source"), "tracker": tracker.url}
        source = python("stream_node.py", config, work / "source.log")
        try:
            url = source.wait_event("serving", 60)["url"]
            config |= {"side": "sink", "folder": str(work / "sink"), "url": url, "interval": arguments.interval}
            sink = python("stream_node.py", config, work / "sink.log")
            try:
                sink.wait_event("ready", 60)
                source.say({})
                told = sink.wait_event("ended", arguments.seconds + 120)
            finally:
                sink.stop()
        finally:
            source.stop()
    if told["lost"]:
        raise EngineError(f"the stream came with gaps: {told['lost']}; see {work}")
    return Run(told["delays"], told["last"])


def share(values: list[float], of: float) -> float:
    """What this share of the values doesn't exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * of), len(ordered) - 1)]


def report(runs: dict[int, list[Run]], arguments: argparse.Namespace) -> str:
    """The table."""
    rows = [
        [
            f"{kib} KiB",
            f"{kib / arguments.rate_kib:.2f}",
            spread([share(run.delays, 0.5) for run in all_of]),
            spread([share(run.delays, 0.99) for run in all_of]),
            spread([share(run.last, 0.5) for run in all_of], 3),
            spread([share(run.last, 0.99) for run in all_of], 3),
        ]
        for kib, all_of in runs.items()
    ]
    head = ["chunk", "s to fill it", "delay p50 s", "delay p99 s", "of its last bytes, p50 s", "p99 s"]
    told = {"millstream": Native.version(), "kamaelia-axon": metadata.version("kamaelia-axon")}
    notes = (
        f"Medians of {arguments.runs} (range); {arguments.seconds:g} s of {arguments.rate_kib} KiB/s each, the feed "
        f"looked at every {arguments.interval:g} s; data on tmpfs; "
        f"load of the machine at the end {os.getloadavg()[0]:.1f}."
    )
    return markdown("A live stream by torrents: how late its bytes are", head, rows, told, notes)
