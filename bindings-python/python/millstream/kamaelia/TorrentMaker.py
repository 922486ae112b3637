"""TorrentMaker: files into .torrent files. In place of Kamaelia's, with its interface. Reads files in its own thread.

    inbox    TIPCMakeTorrent, or a str: the path of a file, to be announced at the default tracker
    control  producerFinished ends it when all requests are answered, shutdown and shutdownMicroprocess at once; other
             messages are logged
    outbox   for each request, in order, the contents of a .torrent file as bytes. If none can be made they are empty,
             which a TorrentPatron answers by TIPCTorrentStartFail; if `extended`, a TIPCTorrentError with torrentid
             None says why
    signal   producerFinished when it has ended

One file makes one torrent; a folder can't be made into one here.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

from .._millstream import Plan
from .._values import Digests, Version
from ..errors import CreateError
from ._signals import is_a, reason_of
from ._worker import Worker
from .ipc import TIPCTorrentError
from .TorrentIPC import TIPCMakeTorrent

__all__ = ["TorrentMaker", "made_of", "make_torrent"]

log = logging.getLogger("millstream")

LEAF = 16 * 1024


class TorrentMaker(Worker):
    """TorrentMaker([defaulttracker]) -> a component that makes .torrent files.

    `defaulttracker`: the tracker of requests that are a path alone. `version`: which protocol versions the torrents
    speak. `extended`: whether failures are told of by TIPCTorrentError.
    """

    Inboxes = {"inbox": "TIPCMakeTorrent messages, or paths", "control": "Shut me down"}
    Outboxes = {"outbox": "Contents of .torrent files", "signal": "producerFinished when I've shutdown"}

    def __init__(self, defaulttracker: str = "", *, version: Version = "v1", extended: bool = False) -> None:
        super().__init__()
        self.defaulttracker = defaulttracker
        self._version: Version = version
        self._extended = extended

    def on_message(self, message: Any) -> None:
        """Answers it."""
        self.out.put(self._made(message))

    def _made(self, message: Any) -> object:
        try:
            return made_of(message, defaulttracker=self.defaulttracker, version=self._version)
        except Exception as error:
            unforeseen = None if isinstance(error, ValueError | OSError) else error
            log.warning("a torrent could not be made: %s", reason_of(error), exc_info=unforeseen)
            if not self._extended:
                return b""
            return TIPCTorrentError(torrentid=None, message=reason_of(error))


def made_of(message: Any, *, defaulttracker: str, version: Version) -> bytes:
    """What is wanted by a TIPCMakeTorrent, or by a path alone. Raises `CreateError`, or `OSError`."""
    if is_a(message, str):
        message = TIPCMakeTorrent(
            trackerurl=defaulttracker,
            log2piecesizebytes=18,
            title=os.path.basename(message),
            comment="Created by Kamaelia",
            srcfile=message,
        )
    if not is_a(message, TIPCMakeTorrent):
        raise CreateError(f"a {type(message).__name__} is no request for a torrent")
    return make_torrent(
        _text(message.srcfile, "srcfile"),
        tracker=_text(message.trackerurl, "trackerurl"),
        title=_text(message.title, "title"),
        comment=_text(message.comment, "comment"),
        piece_length=_piece_length(message.log2piecesizebytes),
        version=version,
    )


def make_torrent(
    path: str,
    *,
    tracker: str = "",
    title: str = "",
    comment: str = "",
    piece_length: int | None = None,
    version: Version = "v1",
) -> bytes:
    """The .torrent file of one file, which is read piece by piece. Its name is the file's, so that the file is found
    when it is to be seeded; `title` is what people read. Raises `CreateError`, or `OSError`."""
    name = os.path.basename(path)
    with Path(path).open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        if length == 0:
            raise CreateError(f"{path} is empty")
        plan = Plan(
            name,
            [((name,), length)],
            multi_file=False,
            version=version,
            piece_length=piece_length,
            trackers=[[tracker]] if tracker else [],
            comment=comment or None,
            creation_date=int(time.time()),
        )
        while (job := plan.next_job()) is not None:
            data = b"".join(_read(file, extent.offset, extent.length) for extent in job.extents)
            plan.on_digests(job.piece, _digests(data, job.pad, sha1=job.sha1, leaves=job.leaves))
        return _titled(plan.finish(), title)


def _titled(torrent: bytes, title: str) -> bytes:
    if not title:
        return torrent
    # no key of what is made here comes after it
    text = title.encode("utf-8", "surrogateescape")
    return b"%b5:title%d:%be" % (torrent[:-1], len(text), text)


def _read(file: Any, offset: int, length: int) -> bytes:
    file.seek(offset)
    data: bytes = file.read(length)
    if len(data) != length:
        raise CreateError("the file became shorter while it was read")
    return data


def _digests(data: bytes, pad: int, *, sha1: bool, leaves: bool) -> Digests:
    view = memoryview(data)
    return Digests(
        sha1=hashlib.sha1(data + bytes(pad) if pad else data).digest() if sha1 else None,
        leaves=tuple(hashlib.sha256(view[at : at + LEAF]).digest() for at in range(0, len(view), LEAF))
        if leaves
        else (),
    )


def _text(value: object, name: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if not isinstance(value, str):
        raise CreateError(f"{name} is a {type(value).__name__}, not a str")
    return value


def _piece_length(log2: object) -> int:
    if not isinstance(log2, int) or isinstance(log2, bool) or not 14 <= log2 <= 26:
        raise CreateError("log2piecesizebytes is a number from 14 to 26")
    return int(1 << log2)


__kamaelia_components__ = (TorrentMaker,)
