"""Benchmarks across engines, run by hand; each prints a table ready for tests/BENCHMARKS.md.

A rival that can't start is an error, not an empty row. Data lies in /dev/shm, which needs room for two or three times
the size.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import check, idle, limits, peers, swarm, tracker, transfer, utp  # noqa: E402
from engines.process import EngineError  # noqa: E402

BENCHES = {module.__name__.split(".")[-1]: module for module in (transfer, swarm, check, idle, limits, peers, tracker, utp)}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave data and logs where they are")
    parser.add_argument("--out", type=Path, help="append the table to this file as well")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="where data lies; default /dev/shm")
    benches = parser.add_subparsers(dest="bench", required=True)
    for name, module in BENCHES.items():
        text = (module.__doc__ or "").strip()
        module.options(benches.add_parser(name, help=text.split("\n")[0], description=text))
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    root = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.scratch))
    failed = False
    try:
        table = BENCHES[arguments.bench].main(arguments, root, lambda text: print(text, file=sys.stderr, flush=True))
    except EngineError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        failed = True
    finally:
        if arguments.keep or failed:
            print(f"data and logs: {root}", file=sys.stderr)
        else:
            remove(root)
    if failed:
        return 1
    print(table)
    if arguments.out:
        with arguments.out.open("a") as file:
            file.write("\n" + table)
    return 0


def remove(folder: Path) -> None:
    """Removes a folder of files, however deep."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
