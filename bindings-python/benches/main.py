"""Benchmarks of the Python package beside python-libtorrent and aiotorrent, run by hand; each prints a table ready for
BENCHMARKS.md.

A rival that can't start is an error, not an empty row. Data lies in /dev/shm, which needs room for two or three times
the size.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from bench import table
from engines.process import EngineError

NAMES = ("transfer", "latency", "events", "forever", "stream")


def main() -> int:
    """Runs the benchmark that was asked for, and prints its table."""
    table.PROGRAM = "bindings-python/bench"
    parser = argparse.ArgumentParser(
        prog=table.PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave data and logs where they are")
    parser.add_argument("--out", type=Path, help="append the table to this file as well")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="where data lies; default /dev/shm")
    benches = parser.add_subparsers(dest="bench", required=True)
    modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in NAMES}
    for name, module in modules.items():
        text = (module.__doc__ or "").strip()
        module.options(benches.add_parser(name, help=text.split("\n")[0], description=text))
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    root = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.scratch))
    failed = False
    try:
        text = modules[arguments.bench].main(arguments, root, lambda text: print(text, file=sys.stderr, flush=True))
    except EngineError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        failed = True
    finally:
        if arguments.keep or failed:
            print(f"data and logs: {root}", file=sys.stderr)
        else:
            shutil.rmtree(root, ignore_errors=True)
    if failed:
        return 1
    print(text)
    if arguments.out:
        with arguments.out.open("a") as file:
            file.write("\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
