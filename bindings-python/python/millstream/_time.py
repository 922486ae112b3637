"""Durations that users give: what is none is refused by its name, before anything is begun."""

from __future__ import annotations

import math


def seconds(name: str, value: float) -> float:
    """A duration in seconds. `ValueError` if it is negative, endless or no number."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}: it must be seconds, 0 or more")
    return value


def patience(name: str, value: float | None) -> float | None:
    """How long somebody waits, in seconds; `None` is as long as it takes. `ValueError` if negative or no number."""
    if value is not None and not value >= 0:
        raise ValueError(f"{name} is {value}: it must be seconds, 0 or more, or None to wait as long as it takes")
    return value
