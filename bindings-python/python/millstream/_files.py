"""The files of a torrent: which one is meant, and which of them news makes whole. Owns what was told of, so that each
is told of once; nothing of the bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from ._backend import Backend
from ._events import FileCompleted, News, TorrentFile
from ._layout import Layout, Ledger
from ._millstream import Magnet, Metainfo
from ._values import (
    Checked,
    Completed,
    Event,
    FilePriority,
    Metadata,
    PieceVerified,
    Removed,
    Status,
    TorrentFailed,
)
from .errors import CommandError, NoSuchFile

log = logging.getLogger("millstream")

FileName = TorrentFile | int | str
"""A file of a torrent: as it was given, by its number among the real files, or by its path or unique name."""


F = TypeVar("F", bound=FileName)

NAMED_MAX = 10
"""So many files are named where one isn't there."""


def index_of(layout: Layout, name: FileName) -> int:
    """The number of a file. `NoSuchFile` if there is none of this number or name, `TypeError` for what is neither."""
    _check(name)
    index = name.index if isinstance(name, TorrentFile) else layout.find(name) if isinstance(name, str) else name
    if index is None or not 0 <= index < len(layout):
        raise NoSuchFile(f"there is no file {_shown(name)}; there {_list(layout)}")
    return index


def indexes_of(layout: Layout | None, files: Iterable[FileName]) -> list[int]:
    """The numbers of files, in order. Before the metadata is known, what isn't a number is a `CommandError`."""
    chosen = several(files)
    if layout is None:
        numbers = [file for file in chosen if isinstance(file, int)]
        if len(numbers) < len(chosen):
            raise CommandError("files can be chosen by number only before the metadata is known")
        return numbers
    return sorted({index_of(layout, file) for file in chosen})


def to_begin_with(parsed: Metainfo | Magnet, folder: Path, files: Iterable[FileName]) -> list[int]:
    """The numbers of files of a torrent that is about to be added. The errors of `indexes_of`."""
    chosen = several(files)
    numbers = [file for file in chosen if isinstance(file, int)]
    if len(numbers) == len(chosen):
        # which there are, the engine knows
        return numbers
    if isinstance(parsed, Magnet):
        raise CommandError(
            "the names of a magnet link's files aren't known yet: add it with `files=[]`, "
            "and `select` them after `metadata()`"
        )
    return indexes_of(Layout(parsed, folder), chosen)


def to_rank(
    parsed: Metainfo | Magnet, folder: Path, priorities: Mapping[int | str, FilePriority]
) -> dict[int | str, FilePriority]:
    """The same of priorities."""
    return {to_begin_with(parsed, folder, [name])[0]: each for name, each in priorities.items()}


def several(files: Iterable[F]) -> list[F]:
    """Files in a list. `TypeError` for what means none."""
    if isinstance(files, (str, bytes)) or not isinstance(files, Iterable):
        raise TypeError(f"files: several are wanted, each by its number, path or name, not {files!r}")
    chosen = list(files)
    for file in chosen:
        _check(file)
    return chosen


def _check(name: object) -> None:
    if not isinstance(name, (TorrentFile, int, str)):
        raise TypeError(f"a file is meant by its number, its path or its name, not by {name!r}")


def _shown(name: FileName) -> str:
    return repr(str(name.path)) if isinstance(name, TorrentFile) else repr(name)


def _list(layout: Layout) -> str:
    """Which files there are, as far as they can be named in a sentence."""
    names = [str(layout.file(index, b"").path) for index in range(min(len(layout), NAMED_MAX))]
    more = len(layout) - len(names)
    there = ", ".join(map(repr, names)) + (f" and {more} more" if more else "")
    return f"{'is' if len(layout) == 1 else 'are'} {there}; a name without its path must be the only one"


class WholeFiles:
    """Which files of a torrent are whole. `plan` gives its layout once the metadata is known."""

    def __init__(self, backend: Backend, torrent: int, plan: Callable[[], Layout | None]) -> None:
        self._backend = backend
        self._id = torrent
        self._plan = plan
        self._ledger: Ledger | None = None

    @property
    def watches(self) -> bool:
        """Whether somebody wanted to know, and it could be known."""
        return self._ledger is not None

    def forget(self) -> None:
        """Nobody wants to know any more."""
        self._ledger = None

    def standing(self, stats: Status) -> list[News]:
        """How the torrent stands, as news would have told it. From now on files that become whole are told."""
        news = list[News]()
        if self._backend.info(self._id) is not None:
            self._watch()
            news += [Metadata(self._id), *(() if self._ledger is None else self._told(self._ledger.whole()))]
        if stats.state == "seeding":
            news.append(Completed(self._id))
        elif stats.state == "failed":
            news.append(TorrentFailed(self._id, stats.failure or ""))
        return news

    def among(self, events: list[Event]) -> list[News]:
        """The same news, and which files became whole."""
        news = list[News]()
        leaves = type(events[-1]) is Removed
        for event in events:
            whole = self.by(event, leaves=leaves)
            news += [*whole, event] if type(event) is Completed else [event, *whole]
        return news

    def by(self, event: Event, *, leaves: bool) -> list[FileCompleted]:
        """The files that are whole by this event. None if the backend has come to its end before the news of it."""
        try:
            match event:
                case Metadata():
                    self._watch()
                case PieceVerified(_, piece) if self._ledger is not None:
                    return self._told(self._ledger.on_piece(piece))
                case Checked() | Completed() if not leaves:
                    self._watch()
                    if self._ledger is not None:
                        return self._told(self._ledger.settle(self._backend.verified(self._id)))
                case _:
                    pass
        except CommandError as error:
            log.debug("nothing is known of the torrent's files any more: %s", error)
        return []

    def _watch(self) -> None:
        if self._ledger is None and (layout := self._plan()) is not None:
            self._ledger = Ledger(layout, self._backend.verified(self._id))

    def _told(self, indexes: list[int]) -> list[FileCompleted]:
        layout = self._plan() if indexes else None
        if layout is None:
            return []
        verified = self._backend.verified(self._id)
        return [FileCompleted(self._id, layout.file(index, verified)) for index in indexes]
