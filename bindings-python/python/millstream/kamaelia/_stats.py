"""The statistics dictionary of a torrent, as programs written for Mainline's know it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from .._values import PeerStatus, Status, TrackerStatus

_ACTIVITIES = {
    "metadata": "Initial startup",
    "checking": "checking existing file",
    "leeching": "downloading",
    "seeding": "seeding",
    "paused": "stopped",
    "stopping": "stopped",
}


class Statistics:
    """What lasts from one dictionary of a torrent to the next."""

    def __init__(self) -> None:
        self._verified: bytes = b""
        self._have: set[int] = set()
        self._changed: float = 0
        self._incoming = False

    def dictionary(
        self, status: Status, *, verified: bytes, peers: Sequence[PeerStatus], trackers: Sequence[TrackerStatus]
    ) -> dict[str, Any]:
        """The dictionary of this moment. Sizes in bytes, rates in bytes a second, times in seconds.

        Mainline's `numPeers` counts seeds too. `fractionDone` is the int 1 when all is there, and then `timeEst` isn't.
        `announceTime`: until the next tracker is asked. `distributed_copies` counts seeds alone and `swarm_speed` what
        we get: more isn't known here.
        """
        self._incoming = self._incoming or any(peer.incoming for peer in peers)
        if status.state in ("metadata", "checking"):
            return {
                "activity": activity(status),
                "fractionDone": _checked(status),
                "pieceStates": (0, 0, {}),
                "priority": "normal",
            }
        complete = is_complete(status)
        told = [tracker for tracker in trackers if tracker.seeds is not None and tracker.leeches is not None]
        best = max(told, key=lambda tracker: (tracker.seeds or 0) + (tracker.leeches or 0), default=None)
        stats: dict[str, Any] = {
            "activity": activity(status),
            "fractionDone": 1 if complete else fraction(status),
            "upRate": status.upload_rate,
            "downRate": 0 if complete else status.download_rate,
            "upTotal": status.uploaded,
            "downTotal": status.downloaded,
            "numPeers": status.peers,
            "numSeeds": status.seeds,
            "trackerSeeds": best.seeds if best else None,
            "trackerPeers": (best.seeds or 0) + (best.leeches or 0) if best else None,
            "announceTime": min((tracker.next_in for tracker in trackers if tracker.next_in is not None), default=None),
            "distributed_copies": float(status.seeds),
            "swarm_speed": status.download_rate,
            "discarded": status.wasted,
            "ever_got_incoming": self._incoming,
            "priority": "normal",
            "pieceStates": self._pieces(status, verified),
        }
        if not complete:
            rate = status.download_rate
            stats["timeEst"] = (status.wanted - status.verified) / rate if rate > 0 else None
        return stats

    def _pieces(self, status: Status, verified: bytes) -> tuple[int, float, dict[Any, set[int]]]:
        if verified != self._verified or not self._changed:
            self._verified, self._changed = verified, time.time()
            self._have = {
                at * 8 + bit
                for at, byte in enumerate(verified)
                if byte
                for bit in range(8)
                if byte & 0x80 >> bit and at * 8 + bit < status.pieces
            }
        missing = set(range(status.pieces)) - self._have if len(self._have) < status.pieces else set()
        states: dict[Any, set[int]] = {"h": self._have, "t": set()}
        if missing:
            states[status.seeds] = missing
        return status.pieces, self._changed, states


def activity(status: Status) -> str:
    """What the torrent is doing, in Mainline's words."""
    if status.state == "failed":
        return f"killed by IO error: {status.failure or 'unknown'}"
    return _ACTIVITIES[status.state]


def is_complete(status: Status) -> bool:
    """Whether all that is wanted is verified and written."""
    if status.state in ("metadata", "checking"):
        return False
    return status.state == "seeding" or (status.pieces > 0 and status.verified >= status.wanted)


def fraction(status: Status) -> float:
    """How much of what is wanted is there: less than 1, since programs take 1 for the end."""
    return min(status.verified / status.wanted, 0.9999) if status.wanted else 0.0


def _checked(status: Status) -> float:
    done, total = status.checked
    return min(done / total, 0.9999) if total else 0.0
