"""What is said, and where: results and JSON on stdout, bars and complaints on stderr. A closed stdout is nobody's
fault: the work goes on unheard.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What would steer a terminal, or turn the direction of writing."""

_unheard = False


class Trouble(Exception):
    """Why the command doesn't end with 0: its exit code, and what is still to be said of it."""

    def __init__(self, code: int = 1, words: str = "") -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words


INTERRUPTED = 130
"""The exit code after SIGINT or SIGTERM."""


def clean(text: str) -> str:
    """A text that steers no terminal: a torrent's words must not."""
    return STEERING.sub("\ufffd", text)


def say(words: str) -> None:
    """One line on stdout."""
    say_bytes(clean(words).encode("utf-8", "replace") + b"\n")


def say_json(value: Mapping[str, Any]) -> None:
    """One JSON object on a line of stdout."""
    say_bytes(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def say_bytes(data: bytes) -> None:
    """Bytes on stdout, as long as somebody reads it."""
    global _unheard
    if _unheard or sys.stdout is None or sys.stdout.closed:
        return
    try:
        out = sys.stdout.buffer
        out.write(data)
        out.flush()
    except OSError as error:
        _unheard = True
        # what is buffered is written by nobody any more, least of all at the end
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        if not isinstance(error, BrokenPipeError):
            complain(f"stdout can't be written to: {error.strerror} (os error {error.errno})")


def caution(words: str) -> None:
    """One sentence on stderr, of what doesn't stop it."""
    head = "\x1b[1;33mwarning:\x1b[0m" if has_colours() else "warning:"
    to_stderr(f"{head} {clean(words)}\n")


def complain(words: str) -> None:
    """One sentence on stderr."""
    head = "\x1b[1;31merror:\x1b[0m" if has_colours() else "error:"
    to_stderr(f"{head} {clean(words)}\n")


def to_stderr(text: str) -> None:
    """Text on stderr, if somebody is there."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        # nobody is there to be told
        return


def on_terminal() -> bool:
    """Whether stderr is a terminal."""
    try:
        return sys.stderr.isatty()
    except (ValueError, AttributeError):
        return False


def has_colours() -> bool:
    """Whether colours are wanted where stderr goes."""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
