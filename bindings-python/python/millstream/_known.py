"""Names that users give: one that isn't known is refused, with those that may be meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def check(kind: str, given: Iterable[str], known: frozenset[str]) -> None:
    """`TypeError` for a name that isn't known, with those that may be meant."""
    names = sorted(known)
    for name in given:
        if name not in names:
            alike = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            alike += [other for other in names if name in other and other not in alike]
            meant = f"; did you mean {' or '.join(repr(other) for other in alike)}?" if alike else ""
            raise TypeError(f"there is no {kind} {name!r}{meant}")
