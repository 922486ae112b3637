"""A file of a torrent, read while it is downloaded. Owns what is asked for ahead; the bytes come from the disk."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import warnings
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

from ._events import Pulse, TorrentFile
from ._home import Home

READ_BYTES_MAX = 1 << 20
"""Bytes of one read of the disk. Fewer cost calls, more hold the pool's thread for longer. Bytes."""

ASK_AGAIN = 2.0
"""Bytes that are waited for are asked for again after so many seconds: a check or a selection may have come between."""

WITHIN = 0.2
"""The deadline of what is waited for. Seconds."""

AHEAD_WITHIN = 5.0
"""The deadline of what is fetched ahead. Seconds."""


class Readable(Protocol):
    """What a reader needs of its torrent. All of it raises `TorrentRemoved` once that is gone,
    `SessionClosed` once its session is."""

    async def set_deadline(self, start: int, length: int, within: float) -> None:
        """Wants these bytes of the span within so many seconds, before all others."""

    def _ready(self, start: int, length: int) -> int:
        """How many bytes of the span from `start` on are verified without a gap, of at most `length`."""
        ...

    def _check_failed(self) -> object:
        """`TransferFailed` if it failed."""

    def _check_here(self) -> None:
        """`WrongLoop` on another loop than the session's."""


class FileReader:
    """A file of a torrent, open for reading. What is read is fetched before all else, and waited for.

    >>> import asyncio, tempfile
    >>> from millstream import Session, create
    >>> alone = {"listen": [("127.0.0.1", 0)], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}
    >>> async def story(folder):
    ...     async with Session(folder=folder, **alone) as session:
    ...         _ = (session.folder / "hello.txt").write_bytes(b"hello, world")
    ...         torrent = await session.add(create("hello.txt", b"hello, world"), only_peers=True)
    ...         async with torrent.open("hello.txt") as file:
    ...             _ = await file.seek(-5, 2)
    ...             return file.tell(), await file.read(), await file.read(1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(story(folder))
    (7, b'world', b'')

    It raises `TransferFailed` if the torrent fails, `TorrentRemoved` if it is removed, `SessionClosed` if the session
    is closed, and `ValueError` once it is closed itself; closing it ends reads that wait. For one reader.
    """

    def __init__(self, torrent: Readable, home: Home, pulse: Pulse, file: TorrentFile, read_ahead: int) -> None:
        self._torrent = torrent
        self._home = home
        self._pulse = pulse
        self._file = file
        self._read_ahead = max(read_ahead, 0)
        self._position = 0
        # where the last jump led, where the last read ended, how far it looks ahead, and up to where that was asked for
        self._run_start = 0
        self._last_end = 0
        self._ahead = 0
        self._asked = 0
        # held by the thread that reads, of which there is one more than was asked for when a read was cancelled
        self._reading = threading.Lock()
        self._stored: int | None = None
        self._closed = False

    @property
    def file(self) -> TorrentFile:
        """The file as it was when it was opened."""
        return self._file

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def tell(self) -> int:
        """Where the next read begins. Bytes."""
        self._check()
        return self._position

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves where the next read begins, also beyond the end. Gives where that is."""
        self._check()
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise ValueError(f"{whence} is no whence")
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.length}[whence]
        if start + offset < 0:
            raise ValueError(f"{start + offset} is before the file")
        self._position = start + offset
        return self._position

    async def read(self, size: int = -1) -> bytes:
        """Reads `size` bytes, all that is left if it is negative; fewer only at the end of the file."""
        self._check()
        left = max(0, self._file.length - self._position)
        size = left if size < 0 else min(size, left)
        taken: list[bytes] = []
        while size > 0:
            data = await self.read_some(size)
            if not data:
                raise io.UnsupportedOperation(f"{self._file.location} is shorter than it was")
            taken.append(data)
            size -= len(data)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Reads into a buffer as much as it holds; less only at the end of the file. Gives how much."""
        view = memoryview(buffer).cast("B")
        data = await self.read(len(view))
        view[: len(data)] = data
        return len(data)

    async def read_some(self, size: int, *, need: int | None = None) -> bytes:
        """Reads at least a byte, and up to `size` as far as they are there; none at the end of the file. `need` bytes
        are fetched at once (all, unless told), the rest isn't asked for."""
        self._check()
        start = self._position
        size = min(size, READ_BYTES_MAX, self._file.length - start)
        if size <= 0:
            return b""
        self._torrent._check_here()
        ready = await self._wait(start, size, min(size, need or size))
        data = await asyncio.to_thread(self._pread, ready, start)
        self._check()
        self._position = start + len(data)
        self._last_end = self._position
        return data

    async def close(self) -> None:
        """Closes it; who waits for bytes of it hears so."""
        if not self._closed:
            self._home.check()
            self._closed = True
            self._pulse.beat()
            self._let_go()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if not getattr(self, "_closed", True) and self._stored is not None:
            self._let_go()
            warn(f"unclosed {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<FileReader {str(self._file.path)!r}{': closed' if self._closed else f' at {self._position}'}>"

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")

    async def _wait(self, start: int, size: int, need: int) -> int:
        """Waits until there are bytes at `start`; gives how many, of at most `size`."""
        torrent, offset = self._torrent, self._file.offset
        self._look_ahead(start, need)
        asked = False
        while True:
            ready = torrent._ready(offset + start, size)
            if ready < min(need, size) and not asked:
                asked = True
                await torrent.set_deadline(offset + start + ready, need - ready, WITHIN)
            elif self._ahead and start + need + self._ahead // 2 > self._asked:
                await self._ask_ahead(start + need)
            elif ready > 0:
                return ready
            else:
                # nothing is awaited between looking and waiting, so that no news is missed
                asked = await self._pulse.wait(ASK_AGAIN)
            self._check()
            torrent._check_failed()

    def _look_ahead(self, start: int, need: int) -> None:
        """Who reads on gets as much ahead as was read since the last jump, who jumps gets nothing."""
        if start != self._last_end:
            self._run_start, self._asked = start, start + need
        self._ahead = min(start - self._run_start, self._read_ahead)

    async def _ask_ahead(self, start: int) -> None:
        end = min(start + self._ahead, self._file.length)
        begin = min(max(start, self._asked), end)
        self._asked = start + self._ahead
        if end > begin:
            await self._torrent.set_deadline(self._file.offset + begin, end - begin, AHEAD_WITHIN)

    def _pread(self, size: int, start: int) -> bytes:
        """Blocks. Who closes the file in the meantime leaves it to this thread to give it back."""
        try:
            with self._reading:
                self._check()
                if self._stored is None:
                    self._stored = os.open(self._file.location, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                if hasattr(os, "pread"):
                    return os.pread(self._stored, size, start)
                os.lseek(self._stored, start, os.SEEK_SET)
                return os.read(self._stored, size)
        finally:
            if self._closed:
                self._let_go()

    def _let_go(self) -> None:
        """Gives the file back, unless a thread reads it, which does so then. Waits for nothing."""
        if self._reading.acquire(blocking=False):
            try:
                if self._stored is not None:
                    os.close(self._stored)
                    self._stored = None
            finally:
                self._reading.release()


class Opening(AbstractAsyncContextManager[FileReader], Awaitable[FileReader]):
    """What `Torrent.open` gives: `async with` opens the file and closes it in the end; `await` only opens it, and
    `FileReader.close` is yours to call."""

    def __init__(self, open_file: Callable[[], Awaitable[FileReader]]) -> None:
        self._open_file = open_file
        self._reader: FileReader | None = None

    def __await__(self) -> Generator[Any, Any, FileReader]:
        return self._open_file().__await__()

    def __getattr__(self, name: str) -> NoReturn:
        unopened = f"{type(self).__name__!r} object has no attribute {name!r}"
        if hasattr(FileReader, name):
            unopened += ": the file isn't open yet, use `async with torrent.open(...)`, or `await torrent.open(...)`"
        raise AttributeError(unopened, name=name, obj=self)

    async def __aenter__(self) -> FileReader:
        self._reader = await self._open_file()
        return self._reader

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            await self._reader.close()
