"""What a `ConnectionPool` tells, as a frozen value, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool at a glance."""

    open: int
    """Connections that are open."""
    half_open: int
    """Connections that are being opened."""
    lingering: int
    """Connections that ended not long ago: a router may still hold their entries."""
    size: int
    """How large the sum of these three may be now."""
    half_open_size: int
    """How many may be opening at once now."""
    mood: Literal["free", "trying", "bounded"]
    """Whether nothing speaks against growing, or it was made smaller to see whether that helps, or that did help."""
    sign: Literal["silence", "losses", "latency", "no_room"] | None
    """What speaks against growing."""
    answers_per_mille: int | None
    """Of a thousand fresh addresses, how many answer; `None` until enough were tried."""
    opening: float
    """How long opening takes, in seconds, smoothed; 0 until something was opened."""
    rate: int
    """Bytes a second of all connections together."""
    held: int | None
    """How many may be open while more would carry no more; `None` while that isn't known."""


class PoolSettings(TypedDict, total=False):
    """What a pool starts with and where its bounds are. Durations in seconds."""

    links_max: int
    """Connections at once, open and opening. Never exceeded by what the pool allows."""
    half_open_max: int
    """Connections opening at once. Never exceeded."""
    adaptive: bool
    """Whether the pool adapts. Without it only the two bounds above hold."""
    size_start: int
    """The footprint (open, opening, ended not long ago) that is allowed at the start: 128."""
    size_min: int
    """The footprint that is always allowed: 16."""
    half_open_start: int
    """Connections opening at once at the start: 16; the number doubles every `growth_interval`."""
    half_open_min: int
    """Connections opening at once that are always allowed: 4."""
    growth_interval: float
    """How often size and half-open budget may double at the start: 0.25."""
    linger: float
    """How long a router may keep the entry of a connection that ended: 120."""
    patience: float
    """After so long without an answer an attempt counts as silent: 4."""
    proven_after: float
    """A connection that lived so long is one that worked: 10."""
    doubt_max: int
    """How sure the pool is before it tries a smaller size: 10."""
    regrow_interval: float
    """How long a bounded pool takes to grow by an eighth without a new sign: 45."""
    trial_pause: float
    """The pause after a trial that didn't help: 240."""
    hold_interval: float
    """How long the number of connections is held once more of them carry no more: 300; 0 never holds it."""
