"""Making torrents of what is on a disk, and checking it: on all cores, without the interpreter's lock."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict, Unpack

from . import _millstream
from ._millstream import Metainfo
from ._values import Version

OnProgress = Callable[[int, int], object]
"""Hears of bytes done and bytes in all, on another thread; what it raises ends the work."""


class CreateOptions(TypedDict, total=False):
    """What a torrent is made like. `piece_length` in bytes, chosen by size unless told; `trackers` in tiers (BEP 12),
    each a list of URLs, or a URL alone, so that those of a flat list are tried one after the other; `similar` are
    info-hashes of torrents that may hold the same files, `collections` names (BEP 38); `update_url` is where a newer
    torrent will be found, `originator` the certificate of who signs it (BEP 39); `sign_key`, an RSA key, and
    `sign_certificate`, which go together, sign the torrent (BEP 35): contents of files in PEM or DER; `creation_date`
    in seconds since 1970, none unless told, so that the same files give the same torrent."""

    version: Version
    piece_length: int | None
    trackers: Sequence[Sequence[str] | str]
    web_seeds: Sequence[str]
    private: bool
    source: str | None
    comment: str | None
    creation_date: int | None
    similar: Sequence[bytes]
    collections: Sequence[str]
    update_url: str | None
    originator: bytes | None
    sign_key: bytes | None
    sign_certificate: bytes | None
    threads: int


Damage: TypeAlias = Literal["missing", "short", "wrong", "unsure"]
"""What is the matter with a stored file: it isn't there, it ends too soon, it is there in its length and its bytes
aren't what they should be, or nothing may be: all its bad pieces are shared with a file that is missing or short."""


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file that isn't known to be whole: its place among the real files, its path beneath the folder, how long it
    should be and is (`None`: it isn't there), and how many bytes of it lie in bad pieces."""

    index: int
    path: str
    length: int
    stored: int | None
    missing: int
    damage: Damage


@dataclass(frozen=True, slots=True)
class Verified:
    """What is stored of a torrent. Bytes; `missing` are offsets and lengths over the real files one after the other,
    where a length of 0 is an empty file that isn't there; `files` are those that it is about."""

    length: int
    verified: int
    pieces: int
    pieces_verified: int
    missing: tuple[tuple[int, int], ...]
    files: tuple[DamagedFile, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all is there."""
        return not self.missing


async def create_torrent(
    path: str | os.PathLike[str], *, progress: OnProgress | None = None, **options: Unpack[CreateOptions]
) -> bytes:
    """Makes a torrent file of a file or a folder, a hybrid of v1 and v2 unless told. Raises `CreateError`.

    Whoever cancels it waits for nothing; the threads end with the pieces that they are at. What `progress` raises ends
    it too, and is raised.

    >>> import tempfile
    >>> async def story(folder):
    ...     place = Path(folder, "hello.txt")
    ...     _ = place.write_bytes(b"hello")
    ...     torrent = await create_torrent(place, trackers=[["https://tracker.example/announce"]])
    ...     return Metainfo.parse(torrent), (await verify(torrent, folder)).is_complete
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(story(folder))
    (<Metainfo "hello.txt": hybrid, 5 bytes>, True)
    """
    with _going_on(progress) as told:
        return await asyncio.to_thread(partial(create_torrent_now, path, progress=told, **options))


async def verify(
    torrent: Metainfo | bytes | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    progress: OnProgress | None = None,
) -> Verified:
    """Checks what a folder holds of a torrent: its file's path, its bytes, or what was parsed of them. Nothing is
    written. Raises `MetainfoError` and `OSError`. Cancelled, it ends as `create_torrent` does."""
    with _going_on(progress) as told:
        return await asyncio.to_thread(verify_now, torrent, folder, progress=told)


def create_torrent_now(
    path: str | os.PathLike[str], *, progress: OnProgress | None = None, **options: Unpack[CreateOptions]
) -> bytes:
    """Makes a torrent file of a file or a folder, a hybrid of v1 and v2 unless told, on this thread, which it blocks:
    see `millstream.create_torrent`. Raises `CreateError`."""
    key, certificate = options.pop("sign_key", None), options.pop("sign_certificate", None)
    if (key is None) != (certificate is None):
        raise TypeError("sign_key and sign_certificate go together")
    # what can't sign is said before anything is read
    signer = None if key is None or certificate is None else _millstream.Signer(key, certificate)
    torrent = _millstream.create_torrent(os.fspath(path), progress, **options)
    return torrent if signer is None else signer.sign(torrent)


def verify_now(
    torrent: Metainfo | bytes | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    progress: OnProgress | None = None,
) -> Verified:
    """Checks what a folder holds of a torrent, on this thread, which it blocks: see `millstream.verify`."""
    if isinstance(torrent, bytes):
        torrent = Metainfo.parse(torrent)
    elif not isinstance(torrent, Metainfo):
        torrent = Metainfo.parse(Path(torrent).read_bytes())
    length, verified, pieces, good, missing, damaged = _millstream.verify(torrent, os.fspath(folder), progress)
    files = tuple(DamagedFile(*file) for file in damaged)
    return Verified(length, verified, pieces, good, tuple(missing), files)


class _Stopped(Exception):
    """Nobody waits for it any more."""


@contextmanager
def _going_on(progress: OnProgress | None) -> Iterator[OnProgress]:
    """What tells of progress, and ends the work that asks it once this is left."""
    left = threading.Event()

    def tell(done: int, length: int) -> None:
        if left.is_set():
            raise _Stopped
        if progress is not None:
            progress(done, length)

    try:
        yield tell
    finally:
        left.set()
