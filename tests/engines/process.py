"""One child process: its lines, its log, its bounded waits, what it has used. It knows nothing of BitTorrent."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")


class EngineError(Exception):
    """An engine could not be started, ended early or did not answer in time."""


@dataclass(frozen=True)
class Usage:
    """What a process has used so far."""

    cpu_s: float
    peak_rss: int

    def since(self, before: Usage) -> Usage:
        """The seconds since `before`; the peak stays the whole life's."""
        return Usage(self.cpu_s - before.cpu_s, self.peak_rss)


NOTHING = Usage(0.0, 0)


def usage(pid: int) -> Usage:
    """User and system seconds of the whole process (all its threads), and its peak resident bytes."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return Usage((int(stat[11]) + int(stat[12])) / TICKS, int(peak[1]) * 1024 if peak else 0)


def resident(pid: int) -> int:
    """Bytes resident now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


class Child:
    """A process whose standard output is read line by line and kept in a log."""

    def __init__(self, argv: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.argv = argv
        self.log = log
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.last: dict[str, dict[str, Any]] = {}
        self.at: dict[str, float] = {}
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("a")
        self._log.write(f"$ {' '.join(argv)}\n")
        self._log.flush()
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def say(self, command: dict[str, Any]) -> None:
        """Writes one JSON line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def wait_event(self, name: str, timeout: float) -> dict[str, Any]:
        """The latest JSON line whose `event` is `name`, waiting for the first."""
        deadline = time.monotonic() + timeout
        while name not in self.last:
            self._next(name, deadline)
        return self.last[name]

    def next_event(self, name: str, timeout: float) -> dict[str, Any]:
        """The next JSON line whose `event` is `name`, not one seen before."""
        deadline = time.monotonic() + timeout
        while True:
            event = self._next(name, deadline)
            if event.get("event") == name:
                return event

    def wait_exit(self, timeout: float) -> int:
        """Its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise EngineError(f"{self.argv[0]} did not end within {timeout:.0f} s") from None

    def end_input(self, timeout: float) -> None:
        """Closes its standard input, for those that end with it."""
        if self.process.poll() is not None:
            return
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass

    def stop(self, signal_first: bool = True) -> None:
        """Ends it by its pid: politely if asked, for certain within five seconds."""
        if self.process.poll() is None and signal_first:
            self.process.terminate()
            try:
                self.process.wait(4)
            except subprocess.TimeoutExpired:
                pass
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        self._reader.join(2)
        self._log.close()

    def _next(self, wanted: str, deadline: float) -> dict[str, Any]:
        left = deadline - time.monotonic()
        try:
            event = self.events.get(timeout=max(left, 0.001))
        except queue.Empty:
            raise EngineError(f"no '{wanted}' from {self.argv[0]} in time; see {self.log}") from None
        if event.get("event") == "closed" and wanted not in self.last:
            self.events.put(event)
            raise EngineError(f"{self.argv[0]} ended before '{wanted}'; see {self.log}")
        return event

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                self._log.write(line)
                self._log.flush()
            except ValueError:  # closed by `stop`
                pass
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                self.at[event["event"]] = time.monotonic()
                self.last[event["event"]] = event
                self.events.put(event)
        self.events.put({"event": "closed"})


def poll_until(test: Callable[[], bool], timeout: float, every: float, what: str) -> None:
    """Asks until it is so: for engines that tell nothing by themselves."""
    deadline = time.monotonic() + timeout
    while not test():
        if time.monotonic() > deadline:
            raise EngineError(f"{what}: not within {timeout:.0f} s")
        time.sleep(every)
