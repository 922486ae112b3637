"""Progress on the screen: a bar for blocking work, and one for each transfer, at the foot of a terminal. What they say
is said elsewhere.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import lines
from .numbers import show_size, show_time

REDRAWN = 0.1
"""How often bars are drawn at most. Seconds."""

COLUMNS = 80
"""The width of a terminal that doesn't say how wide it is."""

PREFIX_MAX = 24
"""So many letters of a name stand before a bar."""


class Bar:
    """One bar: how much of what is done, and what is said beside it."""

    def __init__(self, prefix: str, width: int) -> None:
        self.prefix = prefix
        self.width = width
        self.done, self.all = 0, 1
        self.words = ""

    def drawn(self, colours: bool) -> str:
        """The bar as a line."""
        share = min(self.done / self.all, 1.0) if self.all else 1.0
        filled = int(share * self.width)
        head = ">" if 0 < filled < self.width or (filled == 0 and self.done) else ""
        full, rest = "=" * filled + head, ""
        full = full[: self.width]
        rest = " " * (self.width - len(full))
        if colours:
            full, rest = f"\x1b[32m{full}\x1b[0m", f"\x1b[2m{rest}\x1b[0m"
        return f"{self.prefix} [{full}{rest}] {self.words}"


class Bars:
    """All bars of a terminal. What is said meanwhile stands above them. Safe to use from several threads."""

    def __init__(self) -> None:
        self._bars: list[Bar] = []
        self._shown = 0
        self._drawn = 0.0
        self._lock = threading.RLock()
        self._colours = lines.has_colours()

    def add(self, bar: Bar) -> Bar:
        """One more, below the others."""
        with self._lock:
            self._bars.append(bar)
        return bar

    def remove(self, bar: Bar) -> None:
        """Takes one away."""
        with self._lock:
            if bar in self._bars:
                self._clear()
                self._bars.remove(bar)
                self._draw()

    def draw(self) -> None:
        """Shows how they are, unless that was done a moment ago."""
        with self._lock:
            if time.monotonic() - self._drawn >= REDRAWN:
                self._clear()
                self._draw()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Something is written where they stand."""
        with self._lock:
            self._clear()
            try:
                yield
            finally:
                self._draw()

    def _clear(self) -> None:
        if self._shown:
            lines.to_stderr(f"\x1b[{self._shown}F\x1b[J")
            self._shown = 0

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if not self._bars:
            return
        columns = _columns()
        lines.to_stderr("".join(cut(bar.drawn(self._colours), columns) + "\n" for bar in self._bars))
        self._shown = len(self._bars)


def blocking(what: str, json: bool) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """How far blocking work is, on stderr if it is a terminal: what tells it, and what takes the bar away."""
    if json or not lines.on_terminal():
        return lambda done, all: None, lambda: None
    bars, begun = Bars(), time.monotonic()
    bar = bars.add(Bar(what, 30))

    def tell(done: int, all: int) -> None:
        bar.done, bar.all = done, all
        rate = int(done / max(time.monotonic() - begun, 0.001))
        eta = show_time((all - done) // rate) if rate else "-"
        percent = done * 100 // all if all else 100
        bar.words = f"{percent}% of {show_size(all)}, {show_size(rate)}/s, ETA {eta}"
        bars.draw()

    return tell, lambda: bars.remove(bar)


def _columns() -> int:
    try:
        # one that doesn't know its size has none
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    except (OSError, ValueError):
        return COLUMNS


def cut(line: str, columns: int) -> str:
    """A line no wider than the terminal; what gives it colour has no width."""
    out, width, at = [], 0, 0
    while at < len(line):
        if line[at] == "\x1b":
            end = line.index("m", at) + 1
            out.append(line[at:end])
            at = end
            continue
        if width < columns:
            out.append(line[at])
            width += 1
        at += 1
    return "".join(out)
