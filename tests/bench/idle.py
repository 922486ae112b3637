"""Many tiny seeding torrents that nobody asks for: memory of each, CPU while nothing happens, seconds until ready.

Memory is what so many torrents add to a session with one. Each is one file of a piece.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.libtorrent_engine import Libtorrent
from engines.millstream import Millstream, binary
from engines.node import free_port
from engines.process import Child, EngineError, resident, usage

from .table import markdown, median, spread

LENGTH = 1000


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--torrents", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--seconds", type=float, default=20, help="how long idleness is watched")
    parser.add_argument("--engines", nargs="*", default=["libtorrent", "millstream"])


@dataclass
class Run:
    """One session with so many torrents."""

    rss: int
    cpu_ms_s: float
    ready_s: float


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all numbers of torrents in all engines, interleaved, and gives the table."""
    engines = {"libtorrent": Libtorrent, "millstream": Millstream}
    versions = {name: engines[name].version() for name in arguments.engines}
    folders = {count: make(root, count) for count in {1, *arguments.torrents}}
    metainfo = (root / "torrents-1" / "0.torrent").stat().st_size
    runs: dict[tuple[int, str], list[Run]] = {}
    for number in range(arguments.runs):
        for count in sorted(folders):
            for name in arguments.engines:
                run = once(name, folders[count], root, count, arguments.seconds if count > 1 else 0.5)
                runs.setdefault((count, name), []).append(run)
                say(f"run {number + 1}: {count}, {name}: {run.rss >> 10} KiB, {run.cpu_ms_s:.2f} ms/s")
    rows = []
    for (count, name), all_of in runs.items():
        if count == 1:
            continue
        base = median(run.rss for run in runs[1, name])
        each = [(run.rss - base) / (count - 1) / 1024 for run in all_of]
        rows.append(
            [
                f"{count} torrents, {name}",
                spread(each),
                spread([run.cpu_ms_s for run in all_of]),
                f"{median(run.ready_s for run in all_of):.1f}",
            ]
        )
    head = ["", "KiB per torrent", "idle CPU ms/s", "ready s"]
    notes = f"Medians of {arguments.runs} (range); a torrent file has {metainfo} bytes, which are counted."
    return markdown("Idle torrents", head, rows, versions, notes)


def make(root: Path, count: int) -> Path:
    """A folder of torrents, and their files in `root/data`."""
    folder = root / f"torrents-{count}"
    folder.mkdir()
    (root / "data").mkdir(exist_ok=True)
    for n in range(count):
        name, data = f"file-{n:06}".encode(), n.to_bytes(4, "big") * (LENGTH // 4)
        (root / "data" / name.decode()).write_bytes(data)
        info = b"d6:lengthi%de4:name%d:%s12:piece lengthi16384e6:pieces20:%se" % (
            LENGTH,
            len(name),
            name,
            hashlib.sha1(data).digest(),
        )
        (folder / f"{n}.torrent").write_bytes(b"d4:info%se" % info)
    return folder


def once(name: str, torrents: Path, root: Path, count: int, seconds: float) -> Run:
    """One session until all are ready, and a while of idleness."""
    began = time.monotonic()
    log = root / "logs" / f"{name}-{count}.log"
    port = free_port()
    if name == "libtorrent":
        script = Path(__file__).with_name("many_libtorrent.py")
        path = {"PYTHONPATH": str(script.parents[1])}
        child = Child([sys.executable, str(script), str(torrents), str(root / "data"), str(port)], log, path)
    else:
        files = [str(path) for path in torrents.glob("*.torrent")]
        words = ["--data", str(root / "data"), "--listen", f"127.0.0.1:{port}", "--only-peers", "--json"]
        state = root / "state"
        child = Child([str(binary()), "seed", *files, *words], log, {"XDG_STATE_HOME": str(state), "HOME": str(state)})
    try:
        if name == "libtorrent":
            child.wait_event("ready", 300)
        else:
            for _ in range(count):
                child.next_event("complete", 300)
        ready_s = time.monotonic() - began
        time.sleep(2)
        before, since = usage(child.pid).cpu_s, time.monotonic()
        time.sleep(seconds)
        cpu = (usage(child.pid).cpu_s - before) / (time.monotonic() - since)
        if not os.path.exists(f"/proc/{child.pid}"):
            raise EngineError(f"{name} ended; see {log}")
        return Run(resident(child.pid), cpu * 1000, ready_s)
    finally:
        child.stop()
