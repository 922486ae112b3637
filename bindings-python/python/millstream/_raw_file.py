"""A file of a torrent as Python's library knows files, for who blocks. What it reads comes from a `FileReader`."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from ._file import FileReader
from ._thread import LoopThread

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_BYTES = 16 << 10
"""Bytes that a buffered file reads at once where less is asked for. More may fetch a piece that nobody needs. Bytes."""


class RawFile(io.RawIOBase):
    """A file of a torrent, unbuffered."""

    def __init__(self, thread: LoopThread, reader: FileReader) -> None:
        self._thread = thread
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._reader.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._thread.call(self._reader.seek(offset, whence))

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        # of what only fills a buffer nobody may need more than the first byte
        need = 1 if len(view) <= BUFFER_BYTES else len(view)
        data = self._thread.call(self._reader.read_some(len(view), need=need))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            try:
                self._thread.tell(self._reader.close())
            finally:
                super().close()

    @property
    def name(self) -> str:
        """Where it is stored."""
        return os.fspath(self._reader.file.location)
