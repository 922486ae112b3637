"""SeedingController: files into torrents that are seeded until they were shared enough. It owns when that is.

inbox    paths (str), or TIPCMakeTorrent
control  shutdown and shutdownMicroprocess end it, and its torrents; producerFinished ends it once nothing is seeded any
         more, which without limits is never
outbox   for each request TIPCSeeding, or TIPCTorrentError; TIPCSeedingEnded for each that reached a limit
signal   producerFinished when it has ended
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from .._values import Version
from ._crew import Crewed, folder_of, magnet_of
from .ipc import TIPCCreateTorrentIn, TIPCSeeding, TIPCSeedingEnded, TIPCTorrentError
from .TorrentIPC import TIPCCloseTorrent, TIPCMakeTorrent, TIPCNewTorrentCreated, TIPCTorrentStatusUpdate
from .TorrentMaker import made_of

__all__ = ["SeedingController"]


@dataclass(slots=True)
class _Seed:
    path: str
    length: int
    since: float


class SeedingController(Crewed):
    """SeedingController([tracker]) -> a component that seeds files.

    `ratio_max`: it ends a torrent once so many bytes were uploaded for each of the file's; `seconds_max`: after so
    long. Without them it seeds for as long as it lives. `version`: what protocol versions torrents speak. The others
    are TorrentPatron's.
    """

    def __init__(
        self,
        tracker: str = "",
        *,
        ratio_max: float | None = None,
        seconds_max: float | None = None,
        version: Version = "hybrid",
        **options: Any,
    ) -> None:
        super().__init__(options)
        self._tracker = tracker
        self._version: Version = version
        self._ratio_max, self._seconds_max = ratio_max, seconds_max
        self._seeds: dict[int, _Seed] = {}

    def on_message(self, message: Any) -> None:
        if not isinstance(message, str | TIPCMakeTorrent):
            self.complain(f"a {type(message).__name__} is no file to seed")
            return
        path = message if isinstance(message, str) else message.srcfile
        tracker, version = self._tracker, self._version

        def make() -> tuple[bytes, int]:
            raw = made_of(message, defaulttracker=tracker, version=version)
            return raw, os.stat(path).st_size

        self.work(path, make)

    def on_done(self, token: Any, result: Any, error: str | None) -> None:
        if error is not None:
            self.complain(error)
            return
        raw, length = result
        message = TIPCCreateTorrentIn(rawmetainfo=raw, savefolder=folder_of(token))
        self.create((token, raw, length), message)

    def on_started(self, token: Any, answer: Any) -> None:
        path, raw, length = token
        if not isinstance(answer, TIPCNewTorrentCreated):
            self.complain(f"{path} can't be seeded, or is already")
            return
        self._seeds[answer.torrentid] = _Seed(path, length, time.monotonic())
        self.out.put(TIPCSeeding(path=path, torrentid=answer.torrentid, rawmetainfo=raw, magnet=magnet_of(raw)))

    def on_told(self, message: Any) -> None:
        if isinstance(message, TIPCTorrentError) and message.torrentid in self._seeds:
            self.out.put(message)
        if not isinstance(message, TIPCTorrentStatusUpdate):
            return
        seed = self._seeds.get(message.torrentid)
        if seed is None:
            return
        ratio = message.statsdictionary.get("upTotal", 0) / seed.length
        if self._ratio_max is not None and ratio >= self._ratio_max:
            self._end(message.torrentid, "ratio", ratio)
        elif self._seconds_max is not None and time.monotonic() - seed.since >= self._seconds_max:
            self._end(message.torrentid, "time", ratio)

    def is_done(self) -> bool:
        return self.is_idle and not self._seeds

    def _end(self, torrentid: int, reason: str, ratio: float) -> None:
        seed = self._seeds.pop(torrentid)
        self.ask(TIPCCloseTorrent(torrentid=torrentid))
        self.out.put(TIPCSeedingEnded(path=seed.path, torrentid=torrentid, reason=reason, ratio=ratio))


__kamaelia_components__ = (SeedingController,)
