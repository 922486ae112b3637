"""The torrents of a TorrentClient: messages and events in, answers and statuses out. Owns ids; no thread and no box."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .._millstream import Magnet, Metainfo
from .._values import Checked, Completed, Metadata, Removed, Status, TorrentFailed
from ..errors import DuplicateTorrent, MillstreamError
from ._engine import Engine, EngineTorrent, open_engine
from ._signals import is_a, reason_of
from ._stats import Statistics, is_complete
from .ipc import (
    TIPCAddMagnet,
    TIPCCreateTorrentIn,
    TIPCMetadata,
    TIPCOpenTorrent,
    TIPCPause,
    TIPCQueryStatus,
    TIPCResume,
    TIPCSetRate,
    TIPCSetTrackers,
    TIPCTorrentComplete,
    TIPCTorrentError,
    TIPCTorrentOpened,
)
from .TorrentIPC import (
    TIPCCloseTorrent,
    TIPCCreateNewTorrent,
    TIPCNewTorrentCreated,
    TIPCTorrentAlreadyDownloading,
    TIPCTorrentStartFail,
    TIPCTorrentStatusUpdate,
)

log = logging.getLogger("millstream")

COMMANDS = (
    TIPCCloseTorrent,
    TIPCPause,
    TIPCResume,
    TIPCSetRate,
    TIPCSetTrackers,
    TIPCQueryStatus,
    TIPCOpenTorrent,
)
"""Messages about torrents that run. Everything else wants one started, and is answered in turn."""

REMOVAL_TIMEOUT = 30.0
"""Seconds that a torrent which is to start again may wait for its own end."""


class Tell(Protocol):
    """Where answers go; `extended` ones only to who expects them."""

    def __call__(self, message: object, *, extended: bool = False) -> None: ...


@dataclass(slots=True)
class _Running:
    id: int
    torrent: EngineTorrent
    folder: str
    name: str
    from_magnet: bool
    statistics: Statistics = field(default_factory=Statistics)
    complete: bool = False

    @property
    def savefolder(self) -> str:
        """Where it is stored."""
        return f"{self.folder}{self.name}"


class Torrents:
    """Each method is called on one thread and raises nothing."""

    def __init__(
        self,
        tell: Tell,
        *,
        session: Engine | None,
        settings: Mapping[str, Any] | None,
        savefolder: str,
        on_engine: Callable[[Engine], None],
    ) -> None:
        self._tell = tell
        self._given = session
        self._settings = settings
        self._savefolder = savefolder if savefolder.endswith("/") else f"{savefolder}/"
        self._on_engine = on_engine
        self._engine: Engine | None = None
        self._count = 0
        self._running: dict[int, _Running] = {}
        # the engine's ids: of those that run, and who waits for those that end
        self._ids: dict[int, int] = {}
        self._ending: dict[int, threading.Thread] = {}
        # what is still to be started; the first may wait for the end of its own former self
        self._creates: deque[object] = deque()
        self._waiting_since: float | None = None

    def on_message(self, message: object) -> None:
        """A message came in."""
        if is_a(message, *COMMANDS):
            self._start_waiting()
            self._command(message)
        else:
            self._creates.append(message)
            self._start_waiting()

    def on_events(self, events: Iterable[object]) -> None:
        """The engine told of this."""
        for event in events:
            running = self._running.get(self._ids.get(getattr(event, "torrent", -1), -1))
            if running is None:
                continue
            match event:
                case Checked() | Completed():
                    self._report(running)
                case Metadata() if running.from_magnet:
                    self._on_metadata(running)
                case TorrentFailed(_, reason):
                    self._error(running.id, reason)
                    self._report(running)
                case Removed():
                    self._forget(running)
                case _:
                    pass
        self._start_waiting()

    def on_tick(self) -> None:
        """It is time to say how all torrents are."""
        for running in list(self._running.values()):
            self._report(running)
        self._ending = {number: goodbye for number, goodbye in self._ending.items() if goodbye.is_alive()}
        self._start_waiting()

    def wait(self, longest: float) -> float:
        """How long nothing has to be done here, in seconds, of at most `longest`."""
        return min(longest, 1.0) if self._creates else longest

    def fail_all(self, reason: str) -> None:
        """Answers all that is still to be started."""
        while self._creates:
            self._creates.popleft()
            self._fail(reason)

    def close(self, timeout: float) -> None:
        """Ends all torrents, and the engine if it is ours, within so many seconds."""
        self.fail_all("the TorrentClient ended")
        end = time.monotonic() + timeout
        if self._given is not None:
            for running in list(self._running.values()):
                self._remove(running)
        elif self._engine is not None:
            try:
                self._engine.close(timeout)
            except Exception:
                log.exception("a session could not be closed")
        for goodbye in self._ending.values():
            goodbye.join(max(0.0, end - time.monotonic()))

    # ---- starting

    def _start_waiting(self) -> None:
        while self._creates:
            if not self._started(self._creates[0]):
                return
            self._creates.popleft()
            self._waiting_since = None

    def _started(self, message: object) -> bool:
        """Whether the message was answered."""
        try:
            source, name = _source_of(message)
            folder = _folder_of(message, self._savefolder)
            torrent = self._open().add(source, folder=folder)
        except DuplicateTorrent as error:
            return self._is_duplicate(error)
        except Exception as error:
            if not isinstance(error, MillstreamError | OSError | _Unusable):
                log.warning("a torrent could not be started", exc_info=error)
            self._fail(reason_of(error))
            return True
        self._count += 1
        running = _Running(self._count, torrent, folder, name, isinstance(source, str))
        self._running[running.id] = running
        self._ids[torrent.id] = running.id
        self._tell(TIPCNewTorrentCreated(torrentid=running.id, savefolder=running.savefolder))
        return True

    def _is_duplicate(self, error: DuplicateTorrent) -> bool:
        there = -1 if error.torrent is None else error.torrent
        known = self._ids.get(there)
        if known is not None:
            self._tell(TIPCTorrentAlreadyDownloading(torrentid=known))
            return True
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        ending = self._ending.get(there)
        if ending is not None and ending.is_alive() and now - self._waiting_since < REMOVAL_TIMEOUT:
            return False
        self._fail(str(error))
        return True

    def _open(self) -> Engine:
        if self._engine is None:
            self._engine = self._given if self._given is not None else open_engine(self._settings)
            self._on_engine(self._engine)
        return self._engine

    def _fail(self, reason: str) -> None:
        log.info("a torrent was not started: %s", reason)
        self._tell(TIPCTorrentError(torrentid=None, message=reason), extended=True)
        self._tell(TIPCTorrentStartFail())

    # ---- commands

    def _command(self, message: Any) -> None:
        torrentid = getattr(message, "torrentid", None)
        try:
            if is_a(message, TIPCSetRate) and torrentid is None:
                self._open().set_rates(download=_rate(message.down), upload=_rate(message.up))
                return
            running = self._running.get(torrentid) if type(torrentid) is int else None
            if running is None:
                self._error(torrentid, "no such torrent")
                return
            match message:
                case TIPCSetRate():
                    running.torrent.set_rates(download=_rate(message.down), upload=_rate(message.up))
                case TIPCSetTrackers():
                    running.torrent.set_trackers(_tiers(message.trackers))
                case TIPCPause():
                    running.torrent.pause()
                case TIPCResume():
                    running.torrent.resume()
                case TIPCQueryStatus():
                    self._report(running, asked=True)
                case TIPCOpenTorrent():
                    self._tell(TIPCTorrentOpened(torrentid=running.id, torrent=running.torrent), extended=True)
                case _:
                    self._remove(running)
        except Exception as error:
            if not isinstance(error, MillstreamError | OSError | _Unusable):
                log.warning("a command failed", exc_info=error)
            self._error(torrentid, reason_of(error))

    def _remove(self, running: _Running) -> None:
        self._forget(running)
        number = running.torrent.id
        # goodbyes to trackers take their time; nobody else waits for them
        self._ending[number] = threading.Thread(
            target=_end, args=(running.torrent,), name=f"millstream goodbye {number}", daemon=True
        )
        self._ending[number].start()

    def _forget(self, running: _Running) -> None:
        self._running.pop(running.id, None)
        self._ids.pop(running.torrent.id, None)

    # ---- what torrents tell

    def _report(self, running: _Running, *, asked: bool = False) -> None:
        try:
            status = running.torrent.stats
            if status.state in ("metadata", "checking") and not asked:
                return
            self._tell(TIPCTorrentStatusUpdate(running.id, self._dictionary(running, status)))
            if is_complete(status):
                self._tell_complete(running)
        except Exception as error:
            log.warning("torrent %d tells no status: %s", running.id, error)
            if asked:
                self._error(running.id, reason_of(error))

    def _dictionary(self, running: _Running, status: Status) -> dict[str, Any]:
        torrent = running.torrent
        return running.statistics.dictionary(
            status, verified=torrent.verified, peers=torrent.peers(), trackers=torrent.trackers()
        )

    def _tell_complete(self, running: _Running) -> None:
        if not running.complete:
            running.complete = True
            self._tell(TIPCTorrentComplete(torrentid=running.id, savefolder=running.savefolder), extended=True)

    def _on_metadata(self, running: _Running) -> None:
        metainfo = running.torrent.metainfo
        if metainfo is not None:
            raw = metainfo.to_bytes()
            # the link may have had another name for it
            running.name = Metainfo.parse(raw).name
            self._tell(TIPCMetadata(torrentid=running.id, rawmetainfo=raw), extended=True)

    def _error(self, torrentid: object, message: str) -> None:
        # for who isn't told
        log.warning("a TorrentClient: %s", message)
        self._tell(TIPCTorrentError(torrentid=torrentid, message=message), extended=True)


def _end(torrent: EngineTorrent) -> None:
    try:
        torrent.remove()
    except Exception as error:
        log.debug("a torrent was not removed: %s", error)


class _Unusable(Exception):
    """A message that nothing can be started from, for the reason given."""


def _source_of(message: Any) -> tuple[bytes | str, str]:
    """What to give the engine, and the name that it will be stored under."""
    if is_a(message, TIPCCreateTorrentIn):
        raw = message.rawmetainfo
        if is_a(raw, str) and raw.startswith("magnet:"):
            message = TIPCAddMagnet(uri=raw)
        else:
            message = raw
    if is_a(message, TIPCAddMagnet):
        uri = message.uri
        if not is_a(uri, str):
            raise _Unusable("a magnet link is a str")
        magnet = Magnet.parse(uri)
        info_hash = magnet.info_hash_v1 or magnet.info_hash_v2 or b""
        return uri, magnet.name or info_hash.hex()
    raw = message.rawmetainfo if is_a(message, TIPCCreateNewTorrent) else message
    if is_a(raw, str):
        try:
            raw = raw.encode("latin-1")
        except UnicodeEncodeError:
            raise _Unusable("a str that isn't latin-1 holds no .torrent") from None
    if not is_a(raw, bytes, bytearray, memoryview):
        raise _Unusable(f"a {type(raw).__name__} holds no .torrent")
    data = bytes(raw)
    return data, Metainfo.parse(data).name


def _folder_of(message: Any, savefolder: str) -> str:
    folder = message.savefolder if is_a(message, TIPCCreateTorrentIn) else savefolder
    if not is_a(folder, str, os.PathLike):
        raise _Unusable("savefolder is a path")
    folder = os.fspath(folder)
    return folder if folder.endswith("/") else f"{folder}/"


def _tiers(value: Any) -> list[list[str]]:
    if isinstance(value, list | tuple) and all(isinstance(tier, list | tuple) for tier in value):
        tiers = [list(tier) for tier in value]
        if all(isinstance(url, str) for tier in tiers for url in tier):
            return tiers
    raise _Unusable("trackers are lists of URLs, a list for each tier")


def _rate(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is int and 0 <= value < 1 << 63:
        return value
    raise _Unusable("a rate is a number of bytes a second, or None")
