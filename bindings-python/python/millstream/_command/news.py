"""News of transfers: their shape with `--json`, their words without, and how they come beside bars."""

from __future__ import annotations

import sys
import time
from typing import Any

from .._values import SessionStatistics, Status
from . import lines
from .bars import PREFIX_MAX, Bar, Bars
from .numbers import show_count, show_size, show_time

PLAIN, JSON, BAR = 3.0, 0.2, 0.1
"""How often progress is shown: as a plain line, as a line of JSON, as a bar. Seconds."""


class Output:
    """How transfers are shown: one JSON object a line, plain lines, or bars on a terminal."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.bars = Bars() if not as_json and lines.on_terminal() else None
        self.pause = JSON if as_json else PLAIN if self.bars is None else BAR

    def say(self, words: str | None, event: str, /, **values: Any) -> None:
        """One thing: its words for people if they need any, its values for programs."""
        if self.as_json:
            lines.say_json({"event": event, **values})
        elif words is None:
            return
        elif self.bars is not None and sys.stdout.isatty():
            # on the same terminal as the bars, so that they make room
            with self.bars.aside():
                lines.say(words)
        else:
            lines.say(words)

    def warn(self, message: str) -> None:
        """Something is amiss that doesn't stop it."""
        self.say(f"warning: {message}", "warning", message=message)

    def complain(self, words: str) -> None:
        """One sentence on stderr, past the bars."""
        if self.bars is None:
            lines.complain(words)
            return
        with self.bars.aside():
            lines.complain(words)

    def tell(self, words: str) -> None:
        """It can't go on, and this is why: also as an event."""
        if self.as_json:
            self.say(None, "error", message=words)
        self.complain(words)


class Track:
    """The progress of one transfer; `node` is for the demo."""

    def __init__(self, output: Output, name: str, node: str | None = None) -> None:
        self.output, self.name, self.node = output, name, node
        self._bar: Bar | None = None
        if output.bars is not None:
            self._bar = output.bars.add(Bar(_prefix(node or name), 24))
        # what is over soon needs no line on its way
        plain = not output.as_json and output.bars is None
        self._shown: float | None = time.monotonic() if plain else None

    def rename(self, name: str) -> None:
        """Its name, which a magnet link may not know at first."""
        self.name = name
        if self._bar is not None and self.node is None:
            self._bar.prefix = _prefix(name)

    def say(self, words: str | None, event: str, /, **values: Any) -> None:
        """Tells news of this transfer."""
        who = {"name": self.name} if self.node is None else {"name": self.name, "node": self.node}
        shown = None if words is None else f"{self.node or self.name}: {words}"
        self.output.say(shown, event, **values, **who)

    def warn(self, message: str) -> None:
        """Something is amiss with it."""
        self.say(f"warning: {message}", "warning", message=message)

    def progress(self, stats: Status) -> bool:
        """Shows how far it is, if that wasn't done a moment ago. Whether it was shown."""
        due = self._shown is None or time.monotonic() - self._shown >= self.output.pause
        if due:
            self._progress_now(stats)
        return due

    def progress_last(self, stats: Status) -> None:
        """Shows how far it is when something ends; a plain line says it anyway."""
        if self.output.as_json or self._bar is not None:
            self._progress_now(stats)

    def complete(self, stats: Status, seconds: float) -> None:
        """All that is wanted is there."""
        self.progress_last(stats)
        self.say(
            f"complete: {show_size(stats.verified)} verified in {seconds:.1f} s",
            "complete",
            verified=stats.verified,
            downloaded=stats.downloaded,
            uploaded=stats.uploaded,
            seconds=seconds,
        )

    def end(self) -> None:
        """Takes the bar away."""
        if self._bar is not None and self.output.bars is not None:
            self.output.bars.remove(self._bar)
            self._bar = None

    def _progress_now(self, stats: Status) -> None:
        self._shown = time.monotonic()
        if self._bar is None or self.output.bars is None:
            self.say(words(stats), "progress", **values(stats))
            return
        self._bar.done, self._bar.all = of_what(stats)
        self._bar.all = max(self._bar.all, 1)
        self._bar.words = words(stats)
        self.output.bars.draw()


def counts(statistics: SessionStatistics) -> dict[str, Any]:
    """Whence peers came, and whom the filter kept away."""
    all = statistics.counts
    found = ("user", "trackers", "incoming", "pex", "dht", "lsd", "resume")
    filtered = ("addresses", "links_refused", "links_closed", "datagrams")
    return {
        "found": {name: all[f"found.{name}"] for name in found},
        "filtered": {name: all[f"filter.{name}"] for name in filtered},
    }


def eta(stats: Status) -> int | None:
    """Seconds that are left; `None` if nobody can tell."""
    left = max(0, stats.wanted - stats.verified)
    if stats.state == "seeding":
        return 0
    return left // stats.download_rate if stats.state == "leeching" and left and stats.download_rate else None


def values(stats: Status) -> dict[str, Any]:
    """How far a transfer is, for programs."""
    names = ("verified", "wanted", "length", "pieces", "pieces_verified", "download_rate", "upload_rate")
    more = ("downloaded", "uploaded", "wasted", "peers", "seeds")
    told = {"state": stats.state, **{name: getattr(stats, name) for name in names + more}}
    return {**told, "checked": stats.checked[0], "to_check": stats.checked[1], "eta": eta(stats)}


def of_what(stats: Status) -> tuple[int, int]:
    """Done and all, of what goes on now."""
    checking = stats.state == "checking" and stats.checked[1] > 0
    return stats.checked if checking else (stats.verified, stats.wanted)


def words(stats: Status) -> str:
    """How far a transfer is, for people."""
    done, whole = of_what(stats)
    percent = done * 100 // whole if whole else 0
    down, up = f"{show_size(stats.download_rate)}/s", f"{show_size(stats.upload_rate)}/s"
    peers = show_count(stats.peers, "peer")
    match stats.state:
        case "metadata":
            return f"asks for the metadata, {peers}"
        case "checking":
            return f"checks {percent}% of {show_size(whole)}"
        case "seeding":
            return f"seeds, up {up}, {show_size(stats.uploaded)} sent, {peers}"
        case _:
            pieces = f"{stats.pieces_verified}/{stats.pieces} pieces"
            left = show_time(eta(stats))
            return f"{percent}% of {show_size(whole)}, down {down}, up {up}, ETA {left}, {pieces}, {peers}"


def _prefix(name: str) -> str:
    return lines.clean(name)[:PREFIX_MAX]
