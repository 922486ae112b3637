"""Names that users give: one that isn't known is refused, with those that may be meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MEANT = {
    "port": "listen",
    "ports": "listen",
    "listen_port": "listen",
    "listen_ports": "listen",
    "listen_interfaces": "listen",
    "host": "listen",
    "address": "listen",
}
"""What is called otherwise elsewhere, or where there is no such thing."""


def check(kind: str, given: Iterable[str], known: frozenset[str]) -> None:
    """`TypeError` for a name that isn't known, with those that may be meant."""
    names = sorted(known)
    for name in given:
        if name not in names:
            alike = [MEANT[name]] if MEANT.get(name) in names else _alike(name, names)
            meant = f"; did you mean {' or '.join(repr(other) for other in alike)}?" if alike else ""
            raise TypeError(f"there is no {kind} {name!r}{meant}")


def _alike(name: str, names: list[str]) -> list[str]:
    alike = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return alike + [other for other in names if name in other and other not in alike]
