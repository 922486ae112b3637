"""One seed to one leech: MB/s, CPU seconds per GiB and peak memory of each side, and the floor, in one interleaved run.

CPU is that of the whole process between 'both idle' and 'the leech has all, written'. A side that can only be given its
peer when it starts (millstream, the floor) has its start counted too.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.aria2 import Aria2
from engines.content import digest, fill, make_torrent
from engines.floor import Floor
from engines.libtorrent_engine import Libtorrent
from engines.millstream import Millstream
from engines.node import Job, Node
from engines.process import NOTHING, EngineError, Usage
from engines.rqbit import Rqbit
from engines.transmission import Transmission

from .table import GIB, MIB, markdown, median, spread

ENGINES: dict[str, type[Node]] = {
    engine.name: engine for engine in (Libtorrent, Millstream, Rqbit, Aria2, Transmission)
}
PAIRS = [
    ("libtorrent", "libtorrent"),
    ("libtorrent", "millstream"),
    ("millstream", "libtorrent"),
    ("millstream", "millstream"),
    ("libtorrent", "rqbit"),
    ("rqbit", "libtorrent"),
    ("libtorrent", "aria2"),
    ("aria2", "libtorrent"),
    ("libtorrent", "transmission"),
    ("transmission", "libtorrent"),
]
FLOORS = [("read", "receive"), ("read", "write"), ("read", "hash"), ("sendfile", "hash")]
SMALL = 256 * MIB  # what Transmission transfers: it is slow on loopback


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=1024, help="size in MiB")
    parser.add_argument("--piece-kib", type=int, default=1024)
    parser.add_argument("--kind", choices=["v1", "v2", "hybrid"], default="v1")
    parser.add_argument("--only", nargs="*", default=[], help="pairs, as libtorrent:millstream; floor")
    parser.add_argument("--without", nargs="*", default=[], help="engines to leave out")
    parser.add_argument("--timeout", type=float, default=300)


@dataclass
class Run:
    """What one transfer took."""

    wall_s: float
    length: int
    seed: Usage
    leech: Usage


@dataclass
class Bench:
    """The data and the torrents of a run."""

    root: Path
    arguments: argparse.Namespace
    torrents: dict[int, tuple[Path, Path]] = field(default_factory=dict)

    def content(self, length: int) -> tuple[Path, Path]:
        """The seed's folder and the torrent of so many bytes."""
        if length not in self.torrents:
            home = self.root / f"whole-{length}"
            fill(home / "data", length, 1)
            torrent = self.root / f"{length}.torrent"
            make_torrent(home / "data", torrent, self.arguments.kind, self.arguments.piece_kib << 10)
            self.torrents[length] = (home, torrent)
        return self.torrents[length]

    def nodes(self, seed: str, leech: str) -> tuple[Node, Node, int]:
        """Fresh nodes of a pair, not yet started, and the bytes between them."""
        length = self.arguments.mib * MIB
        if "transmission" in (seed, leech):
            length = min(length, SMALL)
        home, torrent = self.content(length)
        work = self.root / "run"
        (work / "in").mkdir(parents=True)
        giver = Job(home, work / "seed", torrent, seed=True)
        taker = Job(work / "in", work / "leech", torrent)
        if seed.startswith("floor"):
            sizes = (length, self.arguments.piece_kib << 10)
            return Floor(giver, seed.split()[1], *sizes), Floor(taker, leech.split()[1], *sizes), length
        return ENGINES[seed](giver), ENGINES[leech](taker), length

    def once(self, seed: str, leech: str) -> Run:
        """One transfer, its bytes checked."""
        giver, taker, length = self.nodes(seed, leech)
        try:
            with giver, taker:
                run = transfer(giver, taker, length, self.arguments.timeout)
            whole = leech in ("floor receive",) or digest(self.root / "run" / "in" / "data") == digest(
                giver.job.folder / "data"
            )
            if not whole:
                raise EngineError(f"{seed} -> {leech}: other bytes arrived")
            return run
        finally:
            shutil.rmtree(self.root / "run", ignore_errors=True)


def transfer(seed: Node, leech: Node, length: int, timeout: float) -> Run:
    """Starts the seed, lets the two meet by whatever way they have, and measures until the leech has all."""
    seed.start(timeout)
    before = NOTHING
    if leech.dials_late or seed.dials_late:
        leech.start(timeout)
        time.sleep(0.5)  # both idle
        before = leech.usage()
        seed_before, began = seed.usage(), time.monotonic()
        dials, hears = (leech, seed) if leech.dials_late else (seed, leech)
        dials.dial(hears.address)
    elif leech.takes_peers:
        leech.job.peers = [seed.address]
        time.sleep(0.5)
        seed_before, began = seed.usage(), time.monotonic()
        leech.start(timeout)
    else:
        raise EngineError(f"no way for {seed.name} and {leech.name} to meet")
    ended = leech.wait_complete(timeout)
    leech.settle(timeout)
    return Run(ended - began, length, seed.usage().since(seed_before), leech.usage().since(before))


def chosen(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """The pairs of this run."""
    pairs = [(f"floor {seed}", f"floor {leech}") for seed, leech in FLOORS] + PAIRS
    if arguments.only:
        wanted = set(arguments.only)
        pairs = [pair for pair in pairs if ":".join(pair) in wanted or pair[0].split()[0] in wanted & {"floor"}]
    return [pair for pair in pairs if not set(pair) & set(arguments.without)]


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all pairs, as many times as told, and gives the table."""
    pairs = chosen(arguments)
    names = sorted({name for pair in pairs for name in pair if not name.startswith("floor")})
    versions = {name: ENGINES[name].version() for name in names}
    bench = Bench(root, arguments)
    runs: dict[tuple[str, str], list[Run]] = {pair: [] for pair in pairs}
    for number in range(arguments.runs):
        for pair in pairs:
            run = bench.once(*pair)
            runs[pair].append(run)
            say(f"run {number + 1}: {pair[0]} -> {pair[1]}: {run.wall_s:.2f} s")
    return report(runs, arguments, versions)


def report(runs: dict[Any, list[Run]], arguments: argparse.Namespace, versions: dict[str, str]) -> str:
    rows = []
    for (seed, leech), all_of in runs.items():
        size = "" if all_of[0].length == arguments.mib * MIB else f" ({all_of[0].length // MIB} MiB)"
        rows.append(
            [
                f"{seed} -> {leech}{size}",
                f"{median(run.length / run.wall_s / 1e6 for run in all_of):.0f}",
                spread([run.leech.cpu_s * GIB / run.length for run in all_of]),
                spread([run.seed.cpu_s * GIB / run.length for run in all_of]),
                f"{max(run.leech.peak_rss for run in all_of) / MIB:.0f}",
                f"{max(run.seed.peak_rss for run in all_of) / MIB:.0f}",
            ]
        )
    title = f"One seed to one leech: {arguments.mib} MiB, {arguments.piece_kib} KiB pieces, {arguments.kind}, TCP"
    head = ["", "MB/s", "leech CPU s/GiB", "seed CPU s/GiB", "leech peak MiB", "seed peak MiB"]
    return markdown(title, head, rows, versions, f"Medians of {arguments.runs} (range), peaks the highest; data on tmpfs.")
