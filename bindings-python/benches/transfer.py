"""One millstream seed to one leech of each kind: MB/s, CPU seconds per GiB and peak memory of the leech.

CPU is that of the leech's whole process, between 'both idle' and 'all is there'; the binary is told its peer when it
starts, so its start counts. aiotorrent is measured on less: it waits for five seconds of silence after each group of at
most 64 blocks, and its interpreter's start counts too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.table import GIB, MIB, markdown, median, spread
from engines.content import digest, fill, make_torrent
from engines.millstream import Millstream
from engines.node import Address, Job, Node, free_port
from engines.process import NOTHING, EngineError, Usage
from engines.tracker import Tracker
from nodes import CLIENTS, versions

from millstream import create

SEED_ID = b"-seed-of-the-bench--"


def options(parser: argparse.ArgumentParser) -> None:
    """Its own words of the command line."""
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024, help="size in MiB")
    parser.add_argument("--aiotorrent-mib", type=int, default=8, help="size in MiB of what aiotorrent gets")
    parser.add_argument("--aiotorrent-runs", type=int, default=1, help="it takes minutes")
    parser.add_argument("--piece-kib", type=int, default=1024)
    parser.add_argument("--only", nargs="*", default=list(CLIENTS), choices=list(CLIENTS))
    parser.add_argument("--timeout", type=float, default=600)


@dataclass
class Run:
    """What one transfer took."""

    wall_s: float
    length: int
    leech: Usage

    @property
    def rate(self) -> float:
        """MB/s."""
        return self.length / self.wall_s / 1e6

    @property
    def cpu(self) -> float:
        """Seconds per GiB."""
        return self.leech.cpu_s * GIB / self.length


@dataclass
class Bench:
    """The data, the torrents and the tracker of a run."""

    root: Path
    arguments: argparse.Namespace
    tracker: Tracker
    torrents: dict[str, tuple[Path, Path]] = field(default_factory=dict)

    def content(self, client: str) -> tuple[Path, Path, int]:
        """The seed's folder, the torrent, and how many bytes are to be had."""
        length = (self.arguments.aiotorrent_mib if client == "aiotorrent" else self.arguments.mib) * MIB
        kind = "folder" if client == "aiotorrent" else "file"
        if kind not in self.torrents:
            home = self.root / f"whole-{kind}"
            torrent = self.root / f"{kind}.torrent"
            data = home / "data"
            piece = self.arguments.piece_kib << 10
            if kind == "folder":
                # aiotorrent can't get the last piece of a torrent: a byte that it needn't have lies there
                fill(data / "first", length, 1)
                fill(data / "last", 1, 2)
                files = {name: (data / name).read_bytes() for name in ("first", "last")}
                torrent.write_bytes(
                    create("data", files, version="v1", piece_length=piece, trackers=[[self.tracker.url]])
                )
            else:
                fill(data, length, 1)
                make_torrent(data, torrent, "v1", piece)
            self.torrents[kind] = home, torrent
        return *self.torrents[kind], length

    @contextmanager
    def pair(self, client: str) -> Iterator[tuple[Node, Node, int]]:
        """A seed that runs, and a leech that doesn't yet."""
        home, torrent, length = self.content(client)
        work = self.root / "run"
        (work / "in").mkdir(parents=True)
        with Millstream(Job(home, work / "seed", torrent, seed=True)) as seed:
            while client == "aiotorrent" and reads_as_text(seed.address):
                seed.port = free_port()
            seed.start(self.arguments.timeout)
            self.tracker.seen.clear()
            self.tracker.seen[SEED_ID] = seed.address
            with CLIENTS[client](Job(work / "in", work / "leech", torrent)) as leech:
                yield seed, leech, length
        shutil.rmtree(work)  # what failed is kept

    def once(self, client: str) -> Run:
        """One transfer, its bytes checked."""
        with self.pair(client) as (seed, leech, length):
            before = NOTHING
            if leech.dials_late:
                leech.start(self.arguments.timeout)
            time.sleep(0.5)  # both idle
            if leech.dials_late:
                before, began = leech.usage(), time.monotonic()
                leech.dial(seed.address)
            else:
                leech.job.peers = [seed.address]
                began = time.monotonic()
                leech.start(self.arguments.timeout)
            ended = leech.wait_complete(self.arguments.timeout)
            leech.settle(self.arguments.timeout)
            run = Run(ended - began, length, leech.usage().since(before))
            self._check(client, seed, leech)
            return run

    def _check(self, client: str, seed: Node, leech: Node) -> None:
        if client == "aiotorrent":  # it has no stop of its own; its file is closed by now
            same = digest(leech.job.folder / "data" / "first") == digest(seed.job.folder / "data" / "first")
        else:
            leech.stop()
            same = digest(leech.job.folder / "data") == digest(seed.job.folder / "data")
        if not same:
            raise EngineError(f"{leech.name}: other bytes arrived")


def reads_as_text(address: Address) -> bool:
    """Whether aiotorrent takes a tracker's answer that names this address for a text, in which it finds no peer: it
    decodes every string that is UTF-8, compact peers too."""
    host, port = address
    try:
        (bytes(map(int, host.split("."))) + port.to_bytes(2, "big")).decode()
    except UnicodeDecodeError:
        return False
    return True


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all clients in turn, as many times as told, and gives the table."""
    told = versions(["binary", *arguments.only])
    runs: dict[str, list[Run]] = {client: [] for client in arguments.only}
    with Tracker() as tracker:
        bench = Bench(root, arguments, tracker)
        for number in range(arguments.runs):
            for client in arguments.only:
                if client == "aiotorrent" and number >= arguments.aiotorrent_runs:
                    continue
                run = bench.once(client)
                runs[client].append(run)
                say(f"run {number + 1}: {client}: {run.wall_s:.2f} s, {run.rate:.1f} MB/s, {run.cpu:.2f} CPU s/GiB")
    return report(runs, arguments, told)


def report(runs: dict[str, list[Run]], arguments: argparse.Namespace, told: dict[str, str]) -> str:
    """The table."""
    rows = []
    for client, all_of in runs.items():
        size = "" if client != "aiotorrent" else f" ({arguments.aiotorrent_mib} MiB, {len(all_of)} of the runs)"
        digits = 0 if client != "aiotorrent" else 3
        rows.append(
            [
                f"{shown(client)}{size}",
                spread([run.rate for run in all_of], digits),
                spread([run.cpu for run in all_of]),
                "" if client == "aiotorrent" else compared(all_of, runs.get("binary", [])),
                f"{max(run.leech.peak_rss for run in all_of) / MIB:.0f}",
            ]
        )
    title = f"One millstream seed to one leech: {arguments.mib} MiB, {arguments.piece_kib} KiB pieces, v1, TCP"
    head = ["leech", "MB/s", "CPU s/GiB", "CPU beside the binary's", "peak MiB"]
    notes = (
        f"Medians of {arguments.runs} (range), in turn; the fourth column is of paired runs; peaks the highest; "
        f"data on tmpfs; load of the machine at the end {os.getloadavg()[0]:.1f}."
    )
    return markdown(title, head, rows, told, notes)


def compared(ours: list[Run], base: list[Run]) -> str:
    """The median of each run's ratio to the binary's run beside it."""
    ratios = [mine.cpu / other.cpu for mine, other in zip(ours, base, strict=False)]
    return f"{(median(ratios) - 1) * 100:+.1f} %" if ratios else ""


def shown(client: str) -> str:
    """What a client is called in tables."""
    match client:
        case "binary":
            return "millstream, the binary"
        case "libtorrent":
            return "python-libtorrent"
        case "uvloop":
            return "millstream asyncio, on uvloop"
        case "aiotorrent":
            return client
        case _:
            return f"millstream {client}"
