"""A download in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Unpack

from . import _sources
from ._drivers import Driver
from ._files import several
from ._millstream import Magnet, Metainfo
from ._session import Session
from ._sources import Source
from ._torrent import Torrent
from ._values import Address, Completed, SessionSettings, Status, TorrentFailed
from .errors import TransferFailed


async def download(
    source: Source,
    folder: str | os.PathLike[str] = ".",
    *,
    progress: Callable[[Status], object] | None = None,
    files: Iterable[int | str] | None = None,
    peers: Iterable[Address | str] = (),
    only_peers: bool = False,
    sequential: bool = False,
    driver: Driver = "native",
    **settings: Unpack[SessionSettings],
) -> Path:
    """Downloads a torrent into a folder, and gives where its file or folder is. What is there already isn't fetched
    again.

    `progress` is called with a snapshot when something has changed. `files` are wanted, all unless told, by their
    numbers, as `Metainfo.files` counts those that are no padding, or by path or unique name, those of a magnet link
    too. Errors are those of `Session.start` and `Session.add`, and `TransferFailed`.

    >>> import asyncio, tempfile
    >>> from millstream import Session, create, download
    >>> alone = {"listen": [("127.0.0.1", 0)], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}
    >>> async def story(here, there):
    ...     async with Session(folder=there, **alone) as seed:
    ...         _ = (seed.folder / "hello.txt").write_bytes(b"hello")
    ...         torrent = create("hello.txt", b"hello")
    ...         await (await seed.add(torrent)).wait_complete(timeout=30)
    ...         heard = []
    ...         place = await download(torrent, here, progress=heard.append, peers=seed.listening, **alone)
    ...         return place.name, place.read_bytes(), heard[-1].progress
    >>> with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
    ...     asyncio.run(story(here, there))
    ('hello.txt', b'hello', 1.0)
    """
    session = Session(driver=driver, folder=folder, **settings)
    # first what can be wrong without a session: nothing is bound for it. A URL is fetched by the session, and a key's
    # torrent is sought by its DHT.
    if not _sources.is_fetched(source) and _sources.key_link(source) is None:
        source = await _sources.load(source, _never)
    async with session:
        chosen = None if files is None else several(files)
        late = chosen is not None and not isinstance(source, Metainfo) and any(isinstance(it, str) for it in chosen)
        torrent = await session.add(
            source, files=[] if late else chosen, peers=peers, only_peers=only_peers, sequential=sequential
        )
        if late:
            # nothing but the metadata is wanted before it says which files there are
            await torrent.metadata()
            await torrent.select(chosen)
        elif chosen is None and not (isinstance(source, Magnet) and source.select):
            # not what an earlier download into this folder chose
            await torrent.select(None)
        await follow(torrent, progress or (lambda _: None))
        return torrent.folder / (await torrent.metadata()).name


async def _never(url: str) -> bytes:
    raise AssertionError(f"{url} is fetched by the session")


async def follow(torrent: Torrent, progress: Callable[[Status], object]) -> None:
    """Waits until all that is wanted is there, and tells how far it is."""
    events = torrent.events()
    progress(torrent.stats)
    while news := await events.take():
        if any(isinstance(event, TorrentFailed) for event in news):
            raise TransferFailed(torrent.stats.failure or "the torrent failed")
        if events.ended:
            break
        progress(torrent.stats)
        # a completion may be of less than what is wanted since
        if any(isinstance(event, Completed) for event in news) and torrent.state == "seeding":
            return
    raise torrent._lost()
