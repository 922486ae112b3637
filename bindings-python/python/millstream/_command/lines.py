"""What is said, and where: results and JSON on stdout, complaints on stderr. A closed stdout is nobody's fault: the
work goes on unheard.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What would steer a terminal, or turn the direction of writing."""


class Trouble(Exception):
    """Why the command doesn't end with 0: its exit code, and what is still to be said of it."""

    def __init__(self, code: int = 1, words: str = "") -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words


class Output:
    """Plain lines, or JSON."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, words: str | None, event: str, **values: Any) -> None:
        """One thing: its words for people if they need any, its values for programs."""
        if self.as_json:
            say_json({"event": event, **values})
        elif words is not None:
            say(words)

    def complain(self, words: str) -> None:
        """It can't go on, and this is why."""
        if self.as_json:
            say_json({"event": "error", "message": words})
        complain(words)


def say(words: str) -> None:
    """One line on stdout."""
    write(STEERING.sub("\ufffd", words))


def say_json(value: Mapping[str, Any]) -> None:
    """One JSON object on a line of stdout."""
    write(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def complain(words: str) -> None:
    """One sentence on stderr."""
    try:
        sys.stderr.write(f"error: {STEERING.sub(chr(0xFFFD), words)}\n")
    except OSError:
        # nobody is there to be told
        return


def write(line: str) -> None:
    """One line on stdout, as long as somebody reads it."""
    if sys.stdout.closed:
        return
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        try:
            sys.stdout.close()
        except BrokenPipeError:
            return
