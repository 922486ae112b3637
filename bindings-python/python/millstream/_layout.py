"""Where files lie in the span that pieces cut, and how much of each is verified. Owns arithmetic, and touches no
disk."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ._events import TorrentFile
from ._millstream import Metainfo
from ._values import MetainfoFile


class Layout:
    """The real files of a torrent in the order of the span, as they are counted when they are chosen by number."""

    def __init__(self, metainfo: Metainfo, folder: Path) -> None:
        self.folder = folder
        self.piece_length = metainfo.piece_length
        self.pieces = metainfo.pieces
        self._root = (metainfo.name,) if metainfo.multi_file else ()
        self._files: list[MetainfoFile] = [file for file in metainfo.files if not file.pad]
        self._ends = [file.offset + file.length for file in self._files]

    def __len__(self) -> int:
        return len(self._files)

    def file(self, index: int, verified: bytes) -> TorrentFile:
        """A file as it is when these pieces are verified."""
        file = self._files[index]
        return TorrentFile(
            index=index,
            path=PurePosixPath(*self._root, *file.path),
            raw_path=file.raw_path,
            length=file.length,
            offset=file.offset,
            verified=self.count(file.offset, file.length, verified),
            folder=self.folder,
        )

    def find(self, path: str) -> int | None:
        """The number of the file of this path, with the torrent's name before it or without, or of this name, if only
        one has it."""
        wanted = tuple(PurePosixPath(path).parts)
        named: list[int] = []
        for index, file in enumerate(self._files):
            if wanted in (file.path, (*self._root, *file.path)):
                return index
            if wanted == file.path[-1:]:
                named.append(index)
        return named[0] if len(named) == 1 else None

    def pieces_of(self, start: int, length: int) -> range:
        """The pieces that hold these bytes of the span."""
        return range(start // self.piece_length, -(-(start + length) // self.piece_length) if length else 0)

    def files_of(self, piece: int) -> Iterator[int]:
        """The files that have bytes in a piece."""
        start = piece * self.piece_length
        for index in range(bisect_right(self._ends, start), len(self._files)):
            file = self._files[index]
            if file.offset >= start + self.piece_length:
                return
            if file.length:
                yield index

    def extent(self, index: int) -> tuple[int, int]:
        """Where a file starts in the span, and its length."""
        return self._files[index].offset, self._files[index].length

    def count(self, start: int, length: int, verified: bytes) -> int:
        """How many of these bytes of the span lie in verified pieces."""
        pieces = self.pieces_of(start, length)
        if not verified or not pieces:
            return 0
        whole = bits(verified, pieces.start, pieces.stop) * self.piece_length
        before, behind = start - pieces[0] * self.piece_length, pieces.stop * self.piece_length - start - length
        whole -= before if is_set(verified, pieces[0]) else 0
        return whole - (behind if is_set(verified, pieces[-1]) else 0)

    def ready(self, start: int, length: int, verified: bytes) -> int:
        """How many bytes from `start` on are verified without a gap, of at most `length`."""
        for piece in self.pieces_of(start, length):
            if not is_set(verified, piece):
                return max(0, piece * self.piece_length - start)
        return length


class Ledger:
    """Which files were whole when it was last asked, so that each is told of once."""

    def __init__(self, layout: Layout, verified: bytes) -> None:
        self._layout = layout
        self._have = bytearray()
        self._left: list[int] = []
        self.settle(verified)

    def whole(self) -> list[int]:
        """The files that are whole."""
        return [index for index, left in enumerate(self._left) if left == 0]

    def settle(self, verified: bytes) -> list[int]:
        """These pieces are verified, and no others. Gives the files that became whole."""
        layout, left = self._layout, []
        for index in range(len(layout)):
            pieces = layout.pieces_of(*layout.extent(index))
            # an empty file is whole once there is a bitfield
            left.append(len(pieces) - bits(verified, pieces.start, pieces.stop) if verified else max(len(pieces), 1))
        before = self._left or [1] * len(left)
        whole = [index for index, now in enumerate(left) if now == 0 and before[index] > 0]
        self._have, self._left = bytearray(verified), left
        return whole

    def on_piece(self, piece: int) -> list[int]:
        """A piece is verified. Gives the files that became whole."""
        if piece >= len(self._have) * 8 or is_set(self._have, piece):
            return []
        self._have[piece // 8] |= 0x80 >> piece % 8
        whole = []
        for index in self._layout.files_of(piece):
            self._left[index] -= 1
            if self._left[index] == 0:
                whole.append(index)
        return whole


def is_set(field: bytes | bytearray, bit: int) -> bool:
    """Whether a bit of a bitfield of the wire is set."""
    return bit // 8 < len(field) and bool(field[bit // 8] & 0x80 >> bit % 8)


def bits(field: bytes | bytearray, start: int, stop: int) -> int:
    """How many bits are set from `start` to before `stop`."""
    if stop <= start:
        return 0
    last = (stop - 1) // 8
    number = int.from_bytes(field[start // 8 : last + 1].ljust(last + 1 - start // 8, b"\0"), "big")
    number >>= (last + 1) * 8 - stop
    return (number & ((1 << (stop - start)) - 1)).bit_count()
