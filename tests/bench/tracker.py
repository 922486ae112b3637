"""A UDP tracker's announces per CPU second and its memory, beside opentracker and aquatic_udp, interleaved.

One load for all (`tests/examples/tracker_load.rs`): 64 ports, 16 announces under way each, 30 peers an answer. CPU is user
and system time of the tracker's whole process. `--memory` fills millstream alone, with ten million peers by default.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.floor import example
from engines.millstream import Millstream, binary
from engines.process import Child, EngineError, poll_until

from .table import markdown, median

AQUATIC_VERSION = "0.9.0"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--torrents", type=int, default=10_000)
    parser.add_argument("--peers", type=int, default=50, help="of each torrent")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--without", nargs="*", default=[], help="rows whose name contains one of these")
    parser.add_argument("--memory", action="store_true", help="fill millstream, and measure what it takes")
    parser.add_argument("--timeout", type=float, default=600)


@dataclass(frozen=True)
class Run:
    """What one tracker did under the load."""

    per_cpu_s: float
    per_s: float
    peers: float
    mib: float


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def millstream(root: Path, workers: int, arguments: argparse.Namespace) -> Callable[[int], list[str]]:
    # each worker has an equal share of the limit, and the hashes don't fall quite evenly
    words = ["--workers", str(workers), "--max-torrents", str(2 * arguments.torrents)]
    return lambda port: [str(binary()), "tracker", "--udp", f"127.0.0.1:{port}", *words]


def opentracker(root: Path, arguments: argparse.Namespace) -> Callable[[int], list[str]]:
    """Debian's serves only what it is told."""
    listed = subprocess.run(
        [str(example("tracker_load")), "hashes", str(arguments.torrents)], capture_output=True, text=True, check=True
    )
    (root / "whitelist").write_text(listed.stdout)
    os.chmod(root, 0o755)
    words = ["-d", str(root), "-w", "whitelist", "-i", "127.0.0.1"]
    return lambda port: [need("opentracker"), *words, "-P", str(port), "-p", str(port)]


def aquatic(root: Path) -> Callable[[int], list[str]]:
    def argv(port: int) -> list[str]:
        config = root / "aquatic.toml"
        config.write_text(
            f'socket_workers = 1\nlog_level = "error"\n[network]\naddress = "127.0.0.1:{port}"\n'
            "[protocol]\nmax_response_peers = 30\n"
        )
        return [need("aquatic_udp"), "-c", str(config)]

    return argv


def need(name: str) -> str:
    found = os.environ.get(name.upper()) or shutil.which(name)
    if not found:
        raise EngineError(f"{name} is not installed; ${name.upper()} may name it")
    return found


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs all rows, interleaved, and gives the table."""
    if arguments.memory:
        return memory(arguments, root, say)
    rows = {
        "millstream, 1 worker": millstream(root, 1, arguments),
        "opentracker": opentracker(root, arguments),
        "aquatic_udp, 1 worker": aquatic(root),
        "millstream, 2 workers": millstream(root, 2, arguments),
    }
    rows = {name: argv for name, argv in rows.items() if not any(part in name for part in arguments.without)}
    runs: dict[str, list[Run]] = {name: [] for name in rows}
    for number in range(arguments.runs):
        for name, argv in rows.items():
            run = measured(once(argv, arguments, root / f"{number}-{name.replace(' ', '-')}"))
            runs[name].append(run)
            say(f"run {number + 1}: {name}: {run.per_cpu_s:,.0f} announces per CPU second, {run.per_s:,.0f} a second")
    table = [
        [
            name,
            f"{median(run.per_cpu_s for run in of):,.0f}",
            f"{min(run.per_cpu_s for run in of):,.0f} to {max(run.per_cpu_s for run in of):,.0f}",
            f"{median(run.per_s for run in of):,.0f}",
            f"{median(run.peers for run in of):.1f}",
            f"{max(run.mib for run in of):.0f}",
        ]
        for name, of in runs.items()
    ]
    head = ["", "announces per CPU second", "range", "announces a second", "peers an answer", "resident MiB"]
    versions = {"millstream": Millstream.version(), "opentracker": opentracker_version(), "aquatic_udp": AQUATIC_VERSION}
    notes = f"Medians of {arguments.runs}, {arguments.seconds} s each; the load has the same cores."
    title = f"A UDP tracker: {arguments.torrents:,} torrents of {arguments.peers} peers"
    return markdown(title, head, table, versions, notes)


def memory(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    arguments.seconds = 0
    told = once(millstream(root, 1, arguments), arguments, root / "memory")
    peers = arguments.torrents * arguments.peers
    mib = told["resident_kib"] / 1024
    say(f"{peers:,} peers: {mib:.0f} MiB")
    row = [f"{arguments.torrents:,}", f"{peers:,}", f"{mib:,.0f}", f"{told['resident_kib'] * 1024 / peers:.0f}"]
    head = ["torrents", "peers", "resident MiB", "bytes a peer"]
    return markdown("A tracker's memory", head, [row], {"millstream": Millstream.version()}, "IPv4 peers.")


def once(argv: Callable[[int], list[str]], arguments: argparse.Namespace, log: Path) -> dict[str, Any]:
    """The last line of the load upon a fresh tracker."""
    port = free_port()
    tracker = Child(argv(port), log.with_suffix(".tracker"))
    try:
        poll_until(lambda: answers(port), 20, 0.05, f"{tracker.argv[0]} answers")
        plan = [str(arguments.torrents), str(arguments.peers), str(arguments.seconds)]
        load = Child([str(example("tracker_load")), f"127.0.0.1:{port}", str(tracker.pid), *plan], log.with_suffix(".load"))
        try:
            if load.wait_exit(arguments.timeout):
                raise EngineError(f"the load failed; see {load.log}")
            return load.wait_event("done" if arguments.seconds else "filled", 5)
        finally:
            load.stop()
    finally:
        tracker.stop()


def answers(port: int) -> bool:
    """Whether a connect request is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.connect(("127.0.0.1", port))
        try:
            probe.send((0x41727101980).to_bytes(8, "big") + bytes(8))
            return len(probe.recv(100)) == 16
        except OSError:
            return False


def measured(told: dict[str, Any]) -> Run:
    if not told["announces"] or told["errors"] > told["announces"] / 100:
        raise EngineError(f"the tracker refused the load: {told}")
    return Run(
        told["announces"] * 1000 / max(told["cpu_ms"], 1),
        told["announces"] * 1000 / told["ms"],
        told["peers"],
        told["resident_kib"] / 1024,
    )


def opentracker_version() -> str:
    told = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "opentracker"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
