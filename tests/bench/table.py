"""Tables ready for BENCHMARKS.md: medians, the machine, the command, the engines' versions. It measures nothing."""

from __future__ import annotations

import os
import re
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

GIB = 1 << 30
MIB = 1 << 20
PROGRAM = "tests/bench/run"  # what is typed to run the benchmarks; another folder's command says its own


def machine() -> str:
    """The processor and how many of it."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    flags = [name for name in ("sha_ni", "avx2", "avx512f") if name in text]
    parts = [model[1] if model else os.uname().machine, f"{os.cpu_count()} cores", *flags]
    return ", ".join([*parts, system[1] if system else os.uname().sysname, f"Linux {os.uname().release.split('-')[0]}"])


def command() -> str:
    """The command that makes this run, as one types it."""
    return " ".join([PROGRAM, *sys.argv[1:]])


def median(values: Iterable[float]) -> float:
    """The median of what was measured."""
    return statistics.median(values)


def spread(values: list[float], digits: int = 2) -> str:
    """The median, and the range in which all runs lie."""
    low, high = min(values), max(values)
    text = f"{median(values):.{digits}f}"
    return text if low == high else f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def markdown(title: str, head: list[str], rows: list[list[str]], versions: dict[str, str], notes: str = "") -> str:
    """A section: title, command, machine, versions, table."""
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"## {title}", "", f"`{command()}`", "", f"{machine()}. {told}. {notes}".strip(), ""]
    lines.append("| " + " | ".join(head) + " |")
    lines.append("|---|" + "---:|" * (len(head) - 1))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
