"""Limits of rates that users give: what is no number is refused by its name."""

from __future__ import annotations

from typing import SupportsIndex


def check(**rates: object) -> None:
    """`TypeError` for what is neither a whole number of bytes a second nor `None`."""
    for name, rate in rates.items():
        if rate is not None and not isinstance(rate, SupportsIndex):
            raise TypeError(f"{name}: a whole number of bytes a second is wanted, or None for no limit, not {rate!r}")
