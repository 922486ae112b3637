"""uTP only, one seed to one leech: over loopback, and over a relay with loss and delay, in one interleaved run.

CPU is that of the whole process, as in `transfer`; over the relay only the rate counts. The relay drops datagrams
larger than an Ethernet frame. Pairs of other engines are told by `--pairs`.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engines.content import digest
from engines.lossy import Lossy
from engines.node import Node, Reach
from engines.process import EngineError

from .table import MIB, GIB, markdown, median, spread
from .transfer import ENGINES, Bench, Run, transfer

SAME = ["millstream:millstream", "libtorrent:libtorrent"]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--mib", type=int, default=256, help="size in MiB over loopback")
    parser.add_argument("--pairs", nargs="*", default=SAME, help="as libtorrent:millstream, the seed first")
    parser.add_argument("--piece-kib", type=int, default=1024)
    parser.add_argument("--kind", choices=["v1", "v2", "hybrid"], default="v1")
    parser.add_argument("--relay-runs", type=int, default=3, help="runs over the relay; 0 for none")
    parser.add_argument("--relay-mib", type=int, default=8, help="size in MiB over the relay")
    parser.add_argument("--round-trip-ms", type=int, default=50)
    parser.add_argument("--loss-per-mille", type=int, default=10)
    parser.add_argument("--timeout", type=float, default=300)


class Utp(Bench):
    """Transfers between nodes that speak nothing but uTP."""

    def pair(self, seed: str, leech: str, mib: int) -> tuple[Node, Node, int]:
        """Fresh nodes, not yet started, and the bytes between them."""
        arguments = argparse.Namespace(**{**vars(self.arguments), "mib": mib})
        giver, taker, length = Bench(self.root, arguments, self.torrents).nodes(seed, leech)
        for node in (giver, taker):
            node.job = replace(node.job, reach=Reach(utp="only"))
        return giver, taker, length

    def calm(self, seed: str, leech: str) -> Run:
        """Over loopback."""
        giver, taker, length = self.pair(seed, leech, self.arguments.mib)
        try:
            with giver, taker:
                run = transfer(giver, taker, length, self.arguments.timeout)
            self.check(giver)
            return run
        finally:
            shutil.rmtree(self.root / "run", ignore_errors=True)

    def rough(self, seed: str, leech: str, number: int) -> float:
        """Over the relay; bytes a second."""
        told, limit = self.arguments, self.arguments.timeout
        giver, taker, length = self.pair(seed, leech, told.relay_mib)
        log = self.root / "run" / "relay.log"
        try:
            with giver, taker:
                giver.start(limit)
                with Lossy(giver.address, log, told.round_trip_ms / 1000, told.loss_per_mille, number) as path:
                    if taker.dials_late:
                        taker.start(limit)
                        began = time.monotonic()
                        taker.dial(path.address)
                    else:
                        taker.job.peers = [path.address]
                        began = time.monotonic()
                        taker.start(limit)
                    took = taker.wait_complete(limit) - began
                    taker.settle(limit)
            self.check(giver)
            return length / took
        finally:
            shutil.rmtree(self.root / "run", ignore_errors=True)

    def check(self, giver: Node) -> None:
        """Compares what arrived."""
        if digest(self.root / "run" / "in" / "data") != digest(giver.job.folder / "data"):
            raise EngineError("other bytes arrived")


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all pairs, as many times as told, and gives the table."""
    pairs: list[tuple[str, str]] = []
    for pair in arguments.pairs:
        seed, _, leech = pair.partition(":")
        pairs.append((seed, leech))
    versions = {name: ENGINES[name].version() for name in sorted({name for pair in pairs for name in pair})}
    bench = Utp(root, arguments)
    calm: dict[tuple[str, str], list[Run]] = {pair: [] for pair in pairs}
    rough: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    for number in range(max(arguments.runs, arguments.relay_runs)):
        for pair in pairs:
            if number < arguments.runs:
                run = bench.calm(*pair)
                calm[pair].append(run)
                say(f"run {number + 1}: {pair[0]} -> {pair[1]}: {run.wall_s:.2f} s")
            if number < arguments.relay_runs:
                rough[pair].append(bench.rough(*pair, number))
                say(f"run {number + 1}: {pair[0]} -> {pair[1]}, relay: {rough[pair][-1] / 1e6:.2f} MB/s")
    return report(arguments, calm, rough, versions)


def report(
    arguments: argparse.Namespace,
    calm: dict[tuple[str, str], list[Run]],
    rough: dict[tuple[str, str], list[float]],
    versions: dict[str, str],
) -> str:
    rows = []
    for pair, runs in calm.items():
        rates = [run.length / run.wall_s / 1e6 for run in runs]
        rows.append(
            [
                " -> ".join(pair),
                spread(rates, 0) if runs else "",
                spread([run.leech.cpu_s * GIB / run.length for run in runs]) if runs else "",
                spread([run.seed.cpu_s * GIB / run.length for run in runs]) if runs else "",
                f"{median(run.leech.peak_rss for run in runs) / MIB:.0f}" if runs else "",
                spread([rate / 1e6 for rate in rough[pair]]) if rough[pair] else "",
            ]
        )
    path = f"{arguments.loss_per_mille / 10:g} % lost each way, {arguments.round_trip_ms} ms"
    notes = (
        f"Medians of {arguments.runs} (range); over the relay {arguments.relay_runs} of {arguments.relay_mib} MiB, "
        f"{path}; data on tmpfs."
    )
    head = ["", "MB/s", "leech CPU s/GiB", "seed CPU s/GiB", "leech peak MiB", "MB/s over the relay"]
    return markdown(f"uTP only: {arguments.mib} MiB, {arguments.piece_kib} KiB pieces", head, rows, versions, notes)
