"""A full check of stored data, and making a torrent: CPU seconds per GiB and GB/s of each engine, interleaved.

The check is `verify` for millstream and a recheck in a fresh session for libtorrent (with its default, and with two
hashing threads); CPU is that of the whole process, its start included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.content import fill, hashes, make_torrent
from engines.libtorrent_engine import Libtorrent
from engines.millstream import Millstream, binary
from engines.node import need
from engines.process import EngineError

from .table import GIB, MIB, markdown, median, spread

CREATE = "import sys; from engines.content import make_torrent; from pathlib import Path; \
make_torrent(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
CHECK = "import sys; from engines.node import Job; from pathlib import Path; \
from engines.libtorrent_node import Session; import json; s = Session(json.loads(sys.argv[1])); s.until('checked')"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=4096)
    parser.add_argument("--piece-kib", type=int, default=1024)
    parser.add_argument("--without", nargs="*", default=[], help="rows whose name contains one of these")
    parser.add_argument("--timeout", type=float, default=600)


@dataclass
class Run:
    """What one process took, from its start to its end."""

    wall_s: float
    cpu_s: float


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all rows, interleaved, and gives the table."""
    data = root / "whole" / "data"
    fill(data, arguments.mib * MIB, 1)
    piece = arguments.piece_kib << 10
    torrents = {kind: make_torrent(data, root / f"{kind}.torrent", kind, piece) for kind in ("v1", "hybrid")}
    rows = {
        name: argv
        for name, argv in {**checks(root, torrents), **creates(data, root, piece)}.items()
        if not any(part in name for part in arguments.without)
    }
    versions = {"libtorrent": Libtorrent.version()}
    if any("millstream" in name for name in rows):
        versions["millstream"] = Millstream.version()
    if any("mktorrent" in name for name in rows):
        versions["mktorrent"] = mktorrent_version()
    runs: dict[str, list[Run]] = {name: [] for name in rows}
    for number in range(arguments.runs):
        for old in root.glob("*.made"):
            old.unlink()
        for name, argv in rows.items():
            run = once(argv, arguments.timeout)
            runs[name].append(run)
            say(f"run {number + 1}: {name}: {run.wall_s:.2f} s")
    made = {path.stem: hashes(path) for path in root.glob("*.made")}
    for name, known in made.items():
        if known == (None, None):
            raise EngineError(f"{name} made no torrent")
    return report(runs, arguments, versions)


def checks(root: Path, torrents: dict[str, Path]) -> dict[str, list[str]]:
    """Full checks."""
    rows = {}
    for kind, torrent in torrents.items():
        rows[f"check {kind}: millstream"] = [str(binary()), "verify", str(torrent), "--data", str(root / "whole"), "--json"]
        for threads in (1, 2):
            config = {
                "host": "127.0.0.1",
                "port": 0,
                "tracker": False,
                "torrent": str(torrent),
                "folder": str(root / "whole"),
                "settings": {"hashing_threads": threads},
            }
            rows[f"check {kind}: libtorrent, {threads} hashing threads"] = [sys.executable, "-c", CHECK, json.dumps(config)]
    return rows


def creates(data: Path, root: Path, piece: int) -> dict[str, list[str]]:
    """Making torrents."""
    rows = {}
    for kind in ("v1", "hybrid"):
        made = root / f"millstream-{kind}.made"
        words = ["create", str(data), "-o", str(made), f"--{kind}", "--piece-length", str(piece)]
        rows[f"create {kind}: millstream"] = [str(binary()), *words]
        made = root / f"libtorrent-{kind}.made"
        rows[f"create {kind}: libtorrent"] = [sys.executable, "-c", CREATE, str(data), str(made), kind, str(piece)]
    made = root / "mktorrent.made"
    power = str(piece.bit_length() - 1)
    rows["create v1: mktorrent, 2 threads"] = [need("mktorrent"), "-t2", "-l", power, "-o", str(made), str(data)]
    return rows


def once(argv: list[str], timeout: float) -> Run:
    """Runs a process to its end; a failure is an error."""
    tests = str(Path(__file__).resolve().parents[1])
    began = time.monotonic()
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": tests},
    )
    assert child.stderr is not None
    told = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    wall_s = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or wall_s > timeout:
        raise EngineError(f"{argv[0]} {argv[1]}: exit {child.returncode} after {wall_s:.0f} s: {told.strip()[-400:]}")
    return Run(wall_s, used.ru_utime + used.ru_stime)


def mktorrent_version() -> str:
    told = subprocess.run([need("mktorrent"), "-h"], capture_output=True, text=True, check=False)
    return (told.stdout + told.stderr).split()[1]


def report(runs: dict[str, list[Run]], arguments: argparse.Namespace, versions: dict[str, str]) -> str:
    length = arguments.mib * MIB
    rows = [
        [
            name,
            f"{median(length / run.wall_s / 1e9 for run in all_of):.2f}",
            spread([run.cpu_s * GIB / length for run in all_of]),
        ]
        for name, all_of in runs.items()
    ]
    head = ["", "GB/s", "CPU s/GiB"]
    title = f"Check and create: {arguments.mib} MiB, {arguments.piece_kib} KiB pieces"
    return markdown(title, head, rows, versions, f"Medians of {arguments.runs} (range); data on tmpfs.")
