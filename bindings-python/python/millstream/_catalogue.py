"""Which torrents a session has and how each was told to be, kept in a folder so that the next session has them again:
one file each, replaced in one step. Owns files and a lock; nothing of what is downloaded, and no resume data.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import logging
import os
import threading
from pathlib import Path
from typing import cast

from ._values import AddOptions
from .errors import StartError

try:
    import fcntl
except ImportError:
    # a host that has none of it: nobody keeps two sessions from the same folder there
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("millstream")

FORMAT = 1
"""What is written, by number: files of a later one are left alone."""

RECORD_BYTES_MAX = 256 << 20
"""A longer file holds no torrent. Bytes."""

NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""How what a file says may turn out to make no sense."""

SUFFIX = ".kept"
ASIDE = ".damaged"


class LaterFormat(Exception):
    """Another version of this package wrote it."""


class Record:
    """A torrent as it is kept. `number` counts up, so that torrents come back in their order."""

    def __init__(self, path: Path, number: int, source: bytes | str, folder: str, options: AddOptions) -> None:
        self.path = path
        self.number = number
        self.source = source
        self.folder = folder
        self.options = options.copy()
        # it is of one moment
        self.options.pop("resume", None)
        self.web_seeds: list[str] = []
        # threads write in any order: the latest stays
        self._lock = threading.Lock()
        self._asked = 0
        self._written = 0
        self._deleted = False

    async def write(self) -> None:
        """Keeps it as it is now: once this has returned, it survives a crash. `OSError`."""
        self._asked += 1
        await asyncio.to_thread(self._write, self._asked, self._text())

    async def change(self, options: AddOptions) -> None:
        """It was told to be otherwise. A disk that refuses this is logged: the torrent does as it was told."""
        self.options.update(options)
        try:
            await self.write()
        except OSError as error:
            log.warning("the next session won't know of a change to %s: %s", self.path.stem, error)

    def delete(self) -> None:
        """Forgets it for good. Blocks."""
        with self._lock:
            self._deleted = True
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s can't be deleted, and its torrent will come back: %s", self.path, error)

    def set_aside(self, why: Exception) -> None:
        """It makes no sense, and isn't read again. Blocks."""
        _set_aside(self.path, why)

    def _text(self) -> str:
        source = {"magnet": self.source} if isinstance(self.source, str) else {"torrent": _text(self.source)}
        kept = {"format": FORMAT, "number": self.number, "folder": self.folder, **source, "options": self.options}
        return json.dumps({**kept, "web_seeds": self.web_seeds})

    def _write(self, number: int, text: str) -> None:
        with self._lock:
            if self._deleted or number <= self._written:
                return
            aside = self.path.with_suffix(".part")
            if len(text) > RECORD_BYTES_MAX:
                raise OSError(errno.EFBIG, "the torrent is too long to be kept")
            try:
                with aside.open("w", encoding="ascii") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(self.path)
            except OSError:
                aside.unlink(missing_ok=True)
                raise
            self._written = number


class Catalogue:
    """All records of a folder, which one session has at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._mutex = threading.Lock()
        self._held: int | None = None
        self._closed = False

    def open(self) -> list[Record]:
        """Takes the folder, and reads what is kept there, in order. Blocks. `StartError` if another session has it;
        a file that makes no sense is logged and set aside."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._hold()
            found = [_read(path) for path in sorted(self._folder.glob(f"*{SUFFIX}"))]
        except BlockingIOError as error:
            raise StartError(errno.EBUSY, f"another session has its torrents in {self._folder}") from error
        except StartError:
            raise
        except OSError as error:
            raise StartError(error.errno, f"no torrents can be kept in {self._folder}: {error}") from error
        records = sorted((record for record in found if record is not None), key=lambda record: record.number)
        self._number = records[-1].number if records else 0
        return records

    def record(self, name: str, source: bytes | str, folder: Path, options: AddOptions) -> Record:
        """A record of a new torrent; it isn't written yet."""
        self._number += 1
        return Record(self._folder / f"{name}{SUFFIX}", self._number, source, os.fspath(folder), options)

    def close(self) -> None:
        """Gives the folder back."""
        with self._mutex:
            self._closed = True
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def _hold(self) -> None:
        """`BlockingIOError` if another session does."""
        with self._mutex:
            if self._closed or fcntl is None:
                return
            held = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(held)
                raise
            self._held = held


def _read(path: Path) -> Record | None:
    """A record, if it can be used."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
        return _parse(path)
    except LaterFormat as error:
        log.warning("%s is left alone, and its torrent doesn't come back: %s", path, error)
    except OSError as error:
        # it may be read the next time
        log.warning("%s can't be read, and its torrent doesn't come back: %s", path, error)
    except NONSENSE as error:
        _set_aside(path, error)
    return None


def _set_aside(path: Path, why: Exception) -> None:
    try:
        there = f"set aside as {path.replace(path.with_suffix(ASIDE))}"
    except OSError as error:
        there = f"left there: {error}"
    log.warning("%s is of no use (%r), its torrent doesn't come back; it is %s", path, why, there)


def _parse(path: Path) -> Record:
    with path.open("rb") as file:
        raw = file.read(RECORD_BYTES_MAX + 1)
    if len(raw) > RECORD_BYTES_MAX:
        raise ValueError("it is too long")
    kept = json.loads(raw.decode("ascii"))
    if kept["format"] != FORMAT:
        text = f"its format is {kept['format']!r:.20}, and {FORMAT} is known"
        raise LaterFormat(text) if isinstance(kept["format"], int) and kept["format"] > FORMAT else ValueError(text)
    source = kept["magnet"] if "magnet" in kept else base64.b64decode(kept["torrent"], validate=True)
    options = {**kept["options"], "peers": [_peer(peer) for peer in kept["options"].get("peers", ())]}
    if options.get("priorities") is not None:
        # JSON has names alone for keys
        options["priorities"] = {int(file): priority for file, priority in options["priorities"].items()}
    record = Record(path, int(kept["number"]), source, kept["folder"], cast(AddOptions, options))
    record.web_seeds = [str(url) for url in kept["web_seeds"]]
    return record


def _peer(kept: list[object] | str) -> object:
    return kept if isinstance(kept, str) else tuple(kept)


def _text(torrent: bytes) -> str:
    return base64.b64encode(torrent).decode("ascii")
