"""Messages on their way into boxes that may be full: nothing is lost but statuses that a newer one replaces."""

from __future__ import annotations

from collections import deque
from typing import Any

from ._axon import Component, NoSpaceInBox
from ._signals import is_a
from .TorrentIPC import TIPCTorrentStatusUpdate

MESSAGES_MAX = 1000
"""So many messages may lie in a box before a slow reader; then newer statuses replace older ones, and the rest
waits."""


class Outgoing:
    """A component's messages, in order. `flush` after `put`, and again whenever the component wakes."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._waiting: deque[list[Any]] = deque()
        self._statuses: dict[tuple[str, Any], list[Any]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: object, box: str = "outbox") -> None:
        """Takes a message for a box. A status takes the place of one of the same torrent that still waits."""
        slot: list[Any] = [message, box]
        torrentid = _status_of(message)
        if torrentid is not None:
            waiting = self._statuses.setdefault((box, torrentid), slot)
            if waiting is not slot:
                waiting[0] = message
                return
        self._waiting.append(slot)

    def flush(self) -> bool:
        """Hands over what there is room for. Whether that was all."""
        full: set[str] = set()
        kept: deque[list[Any]] = deque()
        while self._waiting:
            slot = self._waiting.popleft()
            message, box = slot
            if box not in full and self._handed_over(message, box):
                torrentid = _status_of(message)
                if torrentid is not None:
                    self._statuses.pop((box, torrentid), None)
            else:
                full.add(box)
                kept.append(slot)
        self._waiting = kept
        return not kept

    def drop(self, box: str) -> None:
        """Forgets what waits for a box that is no more."""
        self._waiting = deque(slot for slot in self._waiting if slot[1] != box)
        self._statuses = {key: slot for key, slot in self._statuses.items() if key[0] != box}

    def _handed_over(self, message: object, box: str) -> bool:
        if len(self._component.outboxes[box]) >= MESSAGES_MAX:
            return False
        try:
            self._component.send(message, box)
        except NoSpaceInBox:
            return False
        return True


def _status_of(message: Any) -> int | None:
    """Of which torrent it is a status, if it is one."""
    torrentid = getattr(message, "torrentid", None) if is_a(message, TIPCTorrentStatusUpdate) else None
    return torrentid if type(torrentid) is int else None
