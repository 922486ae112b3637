"""Runs the interop cases, eight at a time: most of their time is waiting, and prints a line for each; the logs of a failed case are kept and named."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engines.aria2 import Aria2  # noqa: E402
from engines.libtorrent_engine import Libtorrent  # noqa: E402
from engines.millstream import Millstream  # noqa: E402
from engines.node import Node  # noqa: E402
from engines.process import EngineError  # noqa: E402
from engines.transmission import Transmission  # noqa: E402
from interop.cases import Case, Cases, make_album, scratch  # noqa: E402


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="only cases whose names contain one of these")
    options.add_argument("--jobs", type=int, default=8, help="cases side by side")
    options.add_argument("--list", action="store_true", help="only name the cases")
    options.add_argument("--stand-in", action="store_true", help="libtorrent in millstream's place: tests the cases")
    chosen = options.parse_args()

    ours: type[Node] = Libtorrent if chosen.stand_in else Millstream
    try:
        versions = {engine.name: engine.version() for engine in (ours, Libtorrent, Transmission, Aria2)}
    except (EngineError, OSError) as error:
        print(f"FAILED: {error}")
        return 1
    print("versions:", ", ".join(f"{name} {version}" for name, version in versions.items()))

    root = scratch()
    cases = Cases(make_album(root), ours).all()
    wanted = {
        name: case
        for name, case in cases.items()
        if not chosen.names or any(part in name for part in chosen.names)
    }
    if chosen.list:
        print("\n".join(wanted))
        return 0
    failed = run(wanted, root, chosen.jobs)
    if failed:
        print(f"logs: {root}")
    else:
        shutil.rmtree(root)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed or not wanted else 0


def run(cases: dict[str, Case], root: Path, jobs: int) -> int:
    """How many failed."""
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {
            pool.submit(one, case, root / f"case-{number:02}"): (name, number)
            for number, (name, case) in enumerate(cases.items())
        }
        for done in as_completed(waiting):
            name, number = waiting[done]
            seconds, error = done.result()
            if error is None:
                print(f"ok      {seconds:5.1f} s  {name}", flush=True)
            else:
                failed += 1
                print(f"FAILED  {seconds:5.1f} s  {name} (case-{number:02}): {error}", flush=True)
    return failed


def one(case: Case, work: Path) -> tuple[float, str | None]:
    """How long a case took, and what was wrong."""
    work.mkdir()
    began = time.monotonic()
    error = None
    try:
        case(work)
    except EngineError as wrong:
        error = str(wrong)
    except Exception as wrong:  # noqa: BLE001, a case that breaks is a case that fails
        (work / "traceback").write_text(traceback.format_exc())
        error = f"{type(wrong).__name__}: {wrong}"
    seconds = time.monotonic() - began
    if error is None:
        shutil.rmtree(work, ignore_errors=True)
    return seconds, error


if __name__ == "__main__":
    sys.exit(main())
