"""Durations that users give: what is none is refused by its name, before anything is begun."""

from __future__ import annotations

from typing import SupportsFloat, SupportsIndex

from .errors import OptionError

SECONDS_MAX = 4e9
"""The longest duration that is taken, in seconds: more than a century."""


def seconds(name: str, value: float) -> float:
    """A duration in seconds. `OptionError` if it is negative or too long, `TypeError` if it is no number at all."""
    _number(name, value)
    if not 0 <= value <= SECONDS_MAX:
        raise OptionError(f"{value} is no duration: seconds from 0 to {SECONDS_MAX:.0f} are", name)
    return value


def patience(name: str, value: float | None) -> float | None:
    """How long somebody waits, in seconds; `None` is as long as it takes. Errors are those of `seconds`."""
    if value is not None:
        _number(name, value)
    if value is not None and not value >= 0:
        raise OptionError(f"{value} is no time to wait: seconds from 0 on are, or None for as long as it takes", name)
    return value


def _number(name: str, value: object) -> None:
    if not isinstance(value, (SupportsFloat, SupportsIndex)):
        raise TypeError(f"{name}: seconds are wanted, not {value!r}")
