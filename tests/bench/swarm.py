"""One seed and eight leeches: when all are done, CPU of all, bytes the seed sent per size; with a capped seed and with
leeches that never upload.

All know all: each leech dials the seed and the leeches before it. Clocks start when the first leech is told to.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.content import digest, fill, make_torrent
from engines.libtorrent_engine import Libtorrent
from engines.millstream import Millstream
from engines.node import Job, Node
from engines.process import EngineError
from engines.rqbit import Rqbit

from .table import MIB, markdown, median, spread

ENGINES: dict[str, type[Node]] = {engine.name: engine for engine in (Libtorrent, Rqbit, Millstream)}
SELFISH = 2
# Of one kind in every swarm, so that engines differ only in how they deal with them. (A limit of a byte a second would
# hold up their requests too.)
NEVER_UPLOADS = {"settings": {"unchoke_slots_limit": 0, "allowed_fast_set_size": 0, "num_optimistic_unchoke_slots": 0}}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--leeches", type=int, default=8)
    parser.add_argument("--piece-kib", type=int, default=256)
    parser.add_argument("--cap-mib", type=int, default=64, help="MiB/s of the seed in the capped runs")
    parser.add_argument("--engines", nargs="*", default=list(ENGINES))
    parser.add_argument("--cases", nargs="*", default=["free", "capped", "selfish"])
    parser.add_argument("--timeout", type=float, default=300)


@dataclass
class Run:
    """What one swarm took."""

    done_s: float
    cpu_s: float
    seed_sent: float  # sizes
    order: list[int]  # the leeches as they finished; the last ones are those that never upload


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all engines in all cases, interleaved, and gives the table."""
    versions = {name: ENGINES[name].version() for name in arguments.engines}
    fill(root / "whole" / "data", arguments.mib * MIB, 1)
    torrent = make_torrent(root / "whole" / "data", root / "a.torrent", "v1", arguments.piece_kib << 10)
    runs: dict[tuple[str, str], list[Run]] = {}
    for number in range(arguments.runs):
        for case in arguments.cases:
            for name in arguments.engines:
                run = once(name, case, torrent, root, arguments)
                runs.setdefault((case, name), []).append(run)
                say(f"run {number + 1}: {case}, {name}: {run.done_s:.1f} s, seed sent {run.seed_sent:.2f}")
    return report(runs, arguments, versions)


def once(name: str, case: str, torrent: Path, root: Path, arguments: argparse.Namespace) -> Run:
    """One swarm of one engine."""
    work = root / "run"
    cap = arguments.cap_mib * MIB if case in ("capped", "selfish") else 0
    seed = ENGINES[name](Job(root / "whole", work / "seed", torrent, seed=True, upload_max=cap))
    leeches: list[Node] = []
    for n in range(arguments.leeches):
        folder = work / f"in{n}"
        folder.mkdir(parents=True)
        job = Job(folder, work / f"leech{n}", torrent)
        selfish = case == "selfish" and n < SELFISH
        leeches.append(Libtorrent(job, **NEVER_UPLOADS) if selfish else ENGINES[name](job))
    try:
        return swarm(seed, leeches, arguments)
    finally:
        for node in [seed, *leeches]:
            node.stop()
        shutil.rmtree(work, ignore_errors=True)


def swarm(seed: Node, leeches: list[Node], arguments: argparse.Namespace) -> Run:
    seed.start(arguments.timeout)
    early = [leech for leech in leeches if leech.dials_late]
    for leech in early:
        leech.start(arguments.timeout)
    time.sleep(1)
    before = sum(node.usage().cpu_s for node in [seed, *early])
    began = time.monotonic()
    for n, leech in enumerate(leeches):
        peers = [seed.address, *(other.address for other in leeches[:n])]
        if leech.dials_late:
            for peer in peers:
                leech.dial(peer)
        else:
            leech.job.peers = peers
            leech.start(arguments.timeout)
    ended = [leech.wait_complete(arguments.timeout) - began for leech in leeches]
    for leech in leeches:
        leech.settle(arguments.timeout)
    cpu = sum(node.usage().cpu_s for node in [seed, *leeches]) - before
    sent = uploaded(seed) / (arguments.mib * MIB)
    for node in [seed, *leeches]:
        node.stop()
    wanted = digest(seed.job.folder / "data")
    for leech in leeches:
        if digest(leech.job.folder / "data") != wanted:
            raise EngineError(f"{leech.name}: other bytes arrived")
    return Run(max(ended), cpu, sent, sorted(range(len(ended)), key=ended.__getitem__))


def uploaded(seed: Node) -> int:
    """Payload bytes that it sent, by its own word."""
    if isinstance(seed, Libtorrent):
        return int(seed.stats()["uploaded"])
    if isinstance(seed, Rqbit):
        return int(seed.stats()["uploaded_bytes"])
    assert isinstance(seed, Millstream)
    return seed.uploaded()


def report(
    runs: dict[tuple[str, str], list[Run]], arguments: argparse.Namespace, versions: dict[str, str]
) -> str:
    rows = []
    titles = {
        "free": "no limit",
        "capped": f"seed at {arguments.cap_mib} MiB/s",
        "selfish": f"seed at {arguments.cap_mib} MiB/s, {SELFISH} leeches (libtorrent) never upload",
    }
    for (case, name), all_of in runs.items():
        last = sum(set(run.order[-SELFISH:]) == set(range(SELFISH)) for run in all_of)
        rows.append(
            [
                f"{name}, {titles[case]}",
                spread([run.done_s for run in all_of], 1),
                f"{median(run.cpu_s for run in all_of):.1f}",
                spread([run.seed_sent for run in all_of]),
                f"{last} of {len(all_of)}" if case == "selfish" else "",
            ]
        )
    title = f"One seed, {arguments.leeches} leeches: {arguments.mib} MiB, {arguments.piece_kib} KiB pieces"
    head = ["", "all done s", "CPU s of all", "bytes the seed sent / size", "they finish last"]
    ideal = f"A capped seed's ideal is {arguments.mib / arguments.cap_mib:.1f} s and 1.0."
    return markdown(title, head, rows, versions, f"Medians of {arguments.runs} (range). {ideal}")
