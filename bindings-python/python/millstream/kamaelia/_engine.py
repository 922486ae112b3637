"""What the components ask of the engine under them, and how it is started. The engine itself is `millstream.sync`'s."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .._values import PeerStatus, Status, TrackerStatus

__all__ = ["Engine", "EngineEvents", "EngineTorrent", "configure", "open_engine"]

_defaults: dict[str, Any] = {}


class Metadata(Protocol):
    """What a torrent file says: `millstream.Metainfo`."""

    def to_bytes(self) -> bytes:
        """A torrent file."""
        ...


class EngineTorrent(Protocol):
    """A torrent that an engine runs: `millstream.sync.Torrent`, or what is like it. All but `id` may raise
    `MillstreamError`."""

    @property
    def id(self) -> int:
        """As in `Event.torrent`."""
        ...

    @property
    def stats(self) -> Status:
        """As it is now, at once."""
        ...

    @property
    def verified(self) -> bytes:
        """The bitfield of verified pieces, most significant bit first."""
        ...

    @property
    def metainfo(self) -> Metadata | None:
        """What the torrent file says, once the metadata is known."""
        ...

    def remove(self) -> None:
        """Leaves the swarm; returns when that is done."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...

    def set_rates(self, *, download: int | None = None, upload: int | None = None) -> None:
        """Bytes a second; `None` for no limit."""

    def set_trackers(self, tiers: Sequence[Sequence[str]]) -> None:
        """In place of those that it has."""

    def open(self, file: str | int = 0) -> io.BufferedReader:
        """A file of it for reading, complete or not. Waits for the metadata."""
        ...

    def peers(self) -> Sequence[PeerStatus]: ...
    def trackers(self) -> Sequence[TrackerStatus]: ...


class EngineEvents(Protocol):
    """What happens, from when it was asked for: `millstream.sync.Events`."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        ...

    def next_events(self, timeout: float | None = None) -> Sequence[object]:
        """What happened, in order; waits for it up to `timeout` seconds."""
        ...


class Engine(Protocol):
    """An engine with a body, whose methods may block for a moment and are called from any thread:
    `millstream.sync.Session`. It may be given to a `TorrentClient` as `session=`; then whoever gives it closes it."""

    def add(self, source: bytes | str, *, folder: str) -> EngineTorrent:
        """Takes on a torrent file's bytes, or a magnet link. What is stored is checked first. `DuplicateTorrent` if its
        info-hash runs already."""
        ...

    def events(self) -> EngineEvents:
        """News from now on."""
        ...

    def set_rates(self, *, download: int | None = None, upload: int | None = None) -> None:
        """Bytes a second of all torrents together; `None` for no limit."""

    def close(self, timeout: float | None = None) -> None:
        """Announces that it stops, writes what is open, ends: within so many seconds. Idempotent."""


def configure(**settings: Any) -> None:
    """Settings of `millstream.sync.Session` that every TorrentClient starts with unless it is told otherwise: for
    programs that make their components without arguments."""
    _defaults.update(settings)


def open_engine(settings: Mapping[str, Any] | None) -> Engine:
    """An engine of our own: the native driver. Raises `MillstreamError`, or `OSError`."""
    engine: Engine = importlib.import_module("millstream.sync").Session(**{**_defaults, **(settings or {})})
    return engine
