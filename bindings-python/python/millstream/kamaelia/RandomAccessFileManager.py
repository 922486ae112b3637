"""RandomAccessFileManager: files behind an inbox, for any protocol that keeps pieces of them. It knows nothing of
torrents.

It owns open files and where they may lie; what is in them is its users'. All is done in one thread, in the order in
which it was asked for, so that a Read sees what the Write before it wrote.

    inbox    Read, Write, Allocate, Sync, Rename, Close
    control  producerFinished ends it when all is answered, shutdown and shutdownMicroprocess at once; other messages
             are logged
    outbox   for each message one Done with its token, in order: with the data of a Read, or with the error. A message
             that is none of these has a Done too, with the token it has or None, and a TypeError
    signal   producerFinished when it has ended; all files are closed then
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from ._signals import token_of
from ._worker import Worker

__all__ = ["Allocate", "Close", "Done", "RandomAccessFileManager", "Read", "Rename", "Sync", "Write"]

ZEROS = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class Read:
    """Give `length` bytes from `offset` on; fewer where the file ends."""

    token: Any
    path: str | os.PathLike[str]
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Write:
    """Put these bytes at `offset`. The file, and the folders on its way, are made if they aren't there."""

    token: Any
    path: str | os.PathLike[str]
    offset: int
    data: bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Allocate:
    """Make the file at least `size` bytes long: `sparse`, or with all its room on the disk taken (`full`)."""

    token: Any
    path: str | os.PathLike[str]
    size: int
    how: Literal["sparse", "full"] = "sparse"


@dataclass(frozen=True, slots=True)
class Sync:
    """Have all that was written to the file on the disk."""

    token: Any
    path: str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Rename:
    """Give the file another path, in the place of what is there."""

    token: Any
    path: str | os.PathLike[str]
    to: str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Close:
    """Close the file if it is open. It is opened again when it is needed."""

    token: Any
    path: str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Done:
    """A message was done, or could not be: then `error` is an OSError, ValueError or TypeError."""

    token: Any
    data: bytes | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _Open:
    file: IO[bytes]
    writable: bool


class RandomAccessFileManager(Worker):
    """RandomAccessFileManager([root]) -> a component that reads and writes files at any place.

    `root`: a folder; paths are taken from there, and none leads out of it, nor does a symbolic link. Without it all
    paths are allowed. `open_files_max`: files open at once; the least lately used is closed for another. More need
    more of the process's descriptors. `read_bytes_max`: the longest Read; longer ones are refused. A Read takes so
    much memory.
    """

    Inboxes = {"inbox": "Read, Write, Allocate, Sync, Rename, Close", "control": "Shut me down"}
    Outboxes = {"outbox": "Done, one for each message", "signal": "producerFinished when I've shutdown"}

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        open_files_max: int = 64,
        read_bytes_max: int = 16 << 20,
    ) -> None:
        if open_files_max < 1:
            raise ValueError("open_files_max is 1 at the least")
        super().__init__()
        self._root = None if root is None else Path(root).resolve()
        self._open_files_max = open_files_max
        self._read_bytes_max = read_bytes_max
        self._files: OrderedDict[Path, _Open] = OrderedDict()

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._files)

    def on_message(self, message: Any) -> None:
        """Does it, and says so."""
        self.out.put(Done(token_of(message), self._done(message)))

    def on_unusable(self, message: Any, error: Exception) -> None:
        """Says that it wasn't done."""
        self.out.put(Done(token_of(message), None, error))

    def on_end(self) -> None:
        """Closes all."""
        while self._files:
            self._files.popitem()[1].file.close()

    def _done(self, message: Any) -> bytes | None:
        match message:
            case Read(_, path, offset, length):
                return self._read(path, offset, length)
            case Write(_, path, offset, data):
                self._write(path, offset, data)
            case Allocate(_, path, size, how):
                self._allocate(path, size, how)
            case Sync(_, path):
                os.fsync(self._file(self._place(path), writable=True, make=False).fileno())
            case Rename(_, path, to):
                self._rename(path, to)
            case Close(_, path):
                self._close(self._place(path))
            case _:
                raise TypeError(f"a {type(message).__name__} is no request for a file")
        return None

    # ---- what is done

    def _read(self, path: object, offset: object, length: object) -> bytes:
        at, count = _whole(offset, "offset"), _whole(length, "length")
        if count > self._read_bytes_max:
            raise ValueError(f"{count} bytes are more than may be read at once: {self._read_bytes_max}")
        file = self._file(self._place(path), writable=False, make=False)
        file.seek(at)
        parts = []
        while count and (part := file.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _write(self, path: object, offset: object, data: object) -> None:
        at = _whole(offset, "offset")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data is a {type(data).__name__}, not bytes")
        _write_all(self._file(self._place(path), writable=True, make=True), at, memoryview(data).cast("B"))

    def _allocate(self, path: object, size: object, how: object) -> None:
        wanted = _whole(size, "size")
        if how not in ("sparse", "full"):
            raise ValueError(f"how is sparse or full, not {how!r}")
        file = self._file(self._place(path), writable=True, make=True)
        there = os.fstat(file.fileno()).st_size
        if how == "full" and wanted:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, wanted)
            else:
                for at in range(there, wanted, len(ZEROS)):
                    _write_all(file, at, memoryview(ZEROS)[: wanted - at])
        elif wanted > there:
            file.truncate(wanted)

    def _rename(self, path: object, to: object) -> None:
        source, target = self._place(path), self._place(to)
        self._close(source)
        self._close(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)

    # ---- open files

    def _file(self, path: Path, *, writable: bool, make: bool) -> IO[bytes]:
        known = self._files.get(path)
        if known is not None and (known.writable or not writable):
            self._files.move_to_end(path)
            return known.file
        self._close(path)
        while len(self._files) >= self._open_files_max:
            self._files.popitem(last=False)[1].file.close()
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
        flags = (os.O_RDWR if writable else os.O_RDONLY) | (os.O_CREAT if make else 0)
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags, 0o666), "r+b" if writable else "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise ValueError(f"{path} is no regular file")
        self._files[path] = _Open(file, writable)
        return file

    def _close(self, path: Path) -> None:
        known = self._files.pop(path, None)
        if known is not None:
            known.file.close()

    def _place(self, path: object) -> Path:
        """Where it lies. Links on the way are followed, so that one place has one name."""
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path is a {type(path).__name__}, not a str")
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError("path is bytes, not a str")
        if not text or "\0" in text:
            raise ValueError(f"{text!r} is no path")
        if self._root is None:
            return Path(text).resolve()
        place = (self._root / text).resolve()
        if os.path.isabs(text) or ".." in Path(text).parts or self._root not in place.parents:
            raise ValueError(f"{text!r} leads out of the folder")
        return place


def _write_all(file: IO[bytes], at: int, data: memoryview) -> None:
    file.seek(at)
    while data:
        data = data[file.write(data) :]


def _whole(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is a {type(value).__name__}, not a number")
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{name} is {value}: from 0 to below 2^63 is possible")
    return value


__kamaelia_components__ = (RandomAccessFileManager,)
