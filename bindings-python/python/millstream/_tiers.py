"""Tiers of trackers (BEP 12) as users give them. Which URLs a tracker may have is the engine's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def listed(tiers: Iterable[Sequence[str] | str]) -> list[list[str]]:
    """Each tier as a list; a URL alone is a tier of its own. `TypeError` for one text."""
    if isinstance(tiers, str):
        raise TypeError(f"trackers: a list of tiers is wanted, each a list of URLs or one URL, not {tiers!r}")
    return [[tier] if isinstance(tier, str) else list(tier) for tier in tiers]
