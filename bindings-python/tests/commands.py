"""The command as a process of its own, and the binary beside it, built if it isn't there."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent

MODULE = [sys.executable, "-m", "millstream"]

DATA = ROOT / "driver-tokio" / "tests" / "data"
"""Keys and certificates that the binary's tests have."""

HERMETIC = ["--listen", "127.0.0.1:0", "--only-peers", "--port-mapping", "off"]


@functools.cache
def binary() -> Path:
    """The binary of this very source, or the one that `$MILLSTREAM` names."""
    named = os.environ.get("MILLSTREAM")
    if named:
        return Path(named)
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--package", "millstream"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug" / "millstream"


def programs() -> dict[str, list[str]]:
    """Both, by what they are called in tests."""
    return {"module": MODULE, "binary": [str(binary())]}


@contextmanager
def command(
    *args: str | Path, cwd: Path, program: Sequence[str] = MODULE, **env: str
) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(cwd / "state"), **env}
    words = [*program, *map(str, args)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, cwd=cwd, env=environment, text=True, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(*args: str | Path, cwd: Path, program: Sequence[str] = MODULE) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    environment = {**os.environ, "XDG_STATE_HOME": str(cwd / "state")}
    words = [*program, *map(str, args)]
    return subprocess.run(words, cwd=cwd, env=environment, text=True, capture_output=True, timeout=60)


def lines(text: str) -> list[dict[str, Any]]:
    """The lines of `--json`."""
    return [json.loads(line) for line in text.splitlines()]


def until(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """The next line of JSON about this."""
    assert process.stdout is not None
    # one that hangs ends
    bound = threading.Timer(60, process.kill)
    bound.start()
    try:
        for line in process.stdout:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
    finally:
        bound.cancel()
    raise AssertionError(f"it ended before {event}: {process.stderr.read() if process.stderr else ''}")
