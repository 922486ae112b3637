"""What a torrent can be added from, and what each of it is. Reads files; fetches nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import string
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from ._millstream import KeyLink, Magnet, Metainfo
from .errors import MagnetError, MetainfoError

TORRENT_BYTES_MAX = 64 << 20
"""Longer files are no torrents, and are not read to their end. Bytes."""

INLINE_BYTES_MAX = 256 << 10
"""Longer torrent files are parsed on another thread. Bytes."""

Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Metainfo | Magnet | KeyLink"
"""A magnet link, the path or URL of a torrent file, an info-hash in 40 or 64 hexadecimal digits, a torrent file's
bytes, or what was parsed of one of these; a link of a key, for the torrent that it names now (BEP 46)."""


def key_link(source: Source) -> str | None:
    """The link of a key in a torrent's place, if it is one."""
    if isinstance(source, KeyLink):
        return str(source)
    if not isinstance(source, str) or not is_magnet(source):
        return None
    try:
        Magnet.parse(source)
    except MagnetError:
        with contextlib.suppress(MagnetError):
            KeyLink.parse(source)
            return source
    return None


async def load(source: Source, fetch: Callable[[str], Awaitable[bytes]]) -> Metainfo | Magnet:
    """Reads a source that names a torrent, off the loop where it takes time. Errors: `MetainfoError`, `MagnetError`,
    `FetchError`, `OSError`."""
    if isinstance(source, (Metainfo, Magnet)):
        return source
    if isinstance(source, KeyLink):
        raise MagnetError("only the DHT knows which torrent the key names")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return await parse(bytes(source))
    text = os.fspath(source)
    if not isinstance(text, str):
        raise TypeError(f"a path in text is needed, not {text!r}")
    if isinstance(source, str):
        if is_magnet(text):
            return Magnet.parse(text)
        if is_url(text):
            return await parse(await fetch(text))
        if is_hash(text):
            return of_hash(text)
    return await parse(await asyncio.to_thread(read, Path(text)))


async def parse(torrent: bytes) -> Metainfo:
    """Parses a torrent file, off the loop if it is long."""
    if len(torrent) <= INLINE_BYTES_MAX:
        return Metainfo.parse(torrent)
    return await asyncio.to_thread(Metainfo.parse, torrent)


def read(path: Path) -> bytes:
    """Reads a torrent file. Blocks. `OSError`, and `MetainfoError` if it is too long to be one."""
    with path.open("rb") as file:
        torrent = file.read(TORRENT_BYTES_MAX + 1)
    if len(torrent) > TORRENT_BYTES_MAX:
        raise MetainfoError(f"{path} is longer than {TORRENT_BYTES_MAX} bytes")
    return torrent


def of_hash(digits: str) -> Magnet:
    """The magnet link of an info-hash in hexadecimal digits: 40 of v1, 64 of v2."""
    if not is_hash(digits):
        raise MagnetError(f"{digits!r} is no info-hash of 40 or 64 hexadecimal digits")
    return Magnet.parse(f"magnet:?xt=urn:btih:{digits}" if len(digits) == 40 else f"magnet:?xt=urn:btmh:1220{digits}")


def is_magnet(text: str) -> bool:
    """Whether this is a magnet link rather than a file's name."""
    return text[:7].lower() == "magnet:"


def is_url(text: str) -> bool:
    """Whether this is the URL of a torrent file rather than its path."""
    return text[:8].lower().startswith(("http://", "https://"))


def is_fetched(source: object) -> bool:
    """Whether a source is fetched over the network before it can be read."""
    return isinstance(source, str) and is_url(source)


def is_hash(text: str) -> bool:
    """Whether this is an info-hash."""
    return len(text) in (40, 64) and all(digit in string.hexdigits for digit in text)
