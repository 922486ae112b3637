"""Bad peers that come for as long as a test lasts, to whoever announces at its tracker."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from millstream import Metainfo
from millstream.kamaelia.BadPeer import KINDS, BadPeer

from .world import DEADLINE, Tracker

OVER_TCP = [kind for kind in KINDS if not kind.startswith("dht_")]
ABREAST = 3
SECONDS = 1.0
"""How long each of them goes on."""


class Attackers:
    """What they did: how many of each kind found somebody to harm."""

    def __init__(self, tracker: Tracker, torrents: Callable[[], list[bytes]], spared: Callable[[], set[int]]) -> None:
        self.met: Counter[str] = Counter()
        self._tracker, self._torrents, self._spared = tracker, torrents, spared
        self._over = threading.Event()
        self._kinds = itertools.cycle(OVER_TCP)
        self._lock = threading.Lock()

    def victims(self) -> list[tuple[int, bytes]]:
        """Whom they can reach: a port, and a torrent that is there."""
        known = {Metainfo.parse(torrent).info_hash: torrent for torrent in self._torrents()}
        spared = self._spared()
        return [
            (port, known[info_hash])
            for info_hash, ports in list(self._tracker.swarms.items())
            for port in list(ports)
            if info_hash in known and port not in spared
        ]

    def run(self) -> None:
        """One of those abreast."""
        while not self._over.wait(0.02):
            for port, torrent in self.victims():
                with self._lock:
                    kind = next(self._kinds)
                bad = BadPeer(kind, ("127.0.0.1", port), torrent, source=("127.0.0.2", 0), seconds=SECONDS)
                # by itself, without a scheduler
                bad.main()
                if bad.sent:
                    self.met[kind] += 1
                if self._over.is_set():
                    return

    def end(self) -> None:
        """No more come."""
        self._over.set()


@contextmanager
def attacking(
    tracker: Tracker, torrents: Callable[[], list[bytes]], spared: Callable[[], set[int]] = set
) -> Iterator[Attackers]:
    """They come until the block ends."""
    attackers = Attackers(tracker, torrents, spared)
    threads = [threading.Thread(target=attackers.run) for _ in range(ABREAST)]
    for thread in threads:
        thread.start()
    try:
        yield attackers
    finally:
        attackers.end()
        for thread in threads:
            thread.join(DEADLINE)
