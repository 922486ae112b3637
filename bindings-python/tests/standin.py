"""A backend that needs no driver: engines of several sessions in one world in memory, with real files, on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Unpack

from memory import Disk, Host, World

from millstream import FetchError
from millstream._backend import OnNews
from millstream._known import check
from millstream._values import PeerStatus, SessionStatistics, Status, Stopped, TrackerStatus, WebSeedStatus
from millstream.sansio import (
    AddOptions,
    Address,
    Extent,
    FileNow,
    FilePriority,
    Files,
    FilesOpen,
    Outcome,
    Pad,
    Part,
    Settings,
    Work,
    Write,
    Written,
)

STEPS_MAX = 10_000


class FolderDisk(Disk):
    """Real files under the folders of the torrents."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[int, list[Path]] = {}

    def carry_out(self, work: Work) -> Outcome:
        match work:
            case FilesOpen(torrent, folder, files, _):
                self.places[torrent] = [Path(folder, *file.path) for file in files]
                for place, file in zip(self.places[torrent], files, strict=True):
                    if file.wanted and file.length == 0 and not file.pad:
                        place.parent.mkdir(parents=True, exist_ok=True)
                        place.touch()
                return self._now(torrent)
            case Write(torrent, extents, data):
                rest = b"".join(data)
                for extent in extents:
                    place = self.places[torrent][extent.file]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with place.open("r+b" if place.exists() else "w+b") as stored:
                        stored.seek(extent.offset)
                        stored.write(rest[: extent.length])
                    rest = rest[extent.length :]
                return Written()
            case _:
                return super().carry_out(work)

    def _now(self, torrent: int) -> Files:
        places = self.places[torrent]
        return Files([FileNow(place.stat().st_size if place.is_file() else None) for place in places])

    def _read(self, torrent: int, parts: tuple[Part, ...]) -> bytes | None:
        out = bytearray()
        for part in parts:
            match part:
                case Pad(length):
                    out += bytes(length)
                case Extent(file, offset, length):
                    place = self.places[torrent][file]
                    if not place.is_file():
                        return None
                    with place.open("rb") as stored:
                        stored.seek(offset)
                        data = stored.read(length)
                    if len(data) < length:
                        return None
                    out += data
        return bytes(out)


class LoopWorld(World):
    """A world whose clock is the loop's, and that moves when something was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.backends: dict[Host, MemoryBackend] = {}
        self.due: asyncio.TimerHandle | None = None
        self.soon: asyncio.Handle | None = None
        self.urls: dict[str, bytes] = {}
        self.hold_adds: asyncio.Event | None = None
        self.added: list[int] = []
        self.removed: list[int] = []

    def backend(self, **settings: Unpack[Settings]) -> MemoryBackend:
        """What `Session(driver=...)` calls."""
        check("setting", settings, Settings.__required_keys__ | Settings.__optional_keys__)
        return MemoryBackend(self)

    def wake(self) -> None:
        """Moves soon."""
        if self.soon is None:
            self.soon = asyncio.get_running_loop().call_soon(self.move)

    def move(self) -> None:
        """Moves until nothing does, or for a while; tells the news; sleeps until the next deadline."""
        self.soon = None
        loop = asyncio.get_running_loop()
        self.now = max(self.now, loop.time())
        hosts = list(self.hosts.values())
        for host in hosts:
            host.engine.handle_timeout(self.now)
        busy = any([host.drain() for host in hosts])
        for host, backend in list(self.backends.items()):
            news, host.events = host.events, []
            if news:
                backend.tell(news)
        if busy:
            self.wake()
            return
        deadlines = [at for host in hosts if (at := host.engine.poll_timeout()) is not None]
        if self.due is not None:
            self.due.cancel()
        if deadlines and self.backends:
            self.due = loop.call_at(min(deadlines), self.move)


class MemoryBackend:
    """One host of the world."""

    def __init__(self, world: LoopWorld) -> None:
        self.world = world
        number = len(world.hosts) + 1
        self.host = Host(world, number, FolderDisk())
        world.hosts[self.host.address] = self.host
        self.engine = self.host.engine
        self.on_news: OnNews | None = None
        self.stopped = asyncio.Event()

    async def start(self, on_news: OnNews) -> None:
        self.on_news = on_news
        self.world.backends[self.host] = self
        self.world.now = max(self.world.now, asyncio.get_running_loop().time())
        self.world.wake()

    async def close(self, timeout: float) -> None:
        if self.on_news is None:
            return
        self.engine.stop(self.world.now, self.world.now + timeout)
        self.world.wake()
        await asyncio.wait_for(self.stopped.wait(), timeout + 1)
        self.on_news = None
        del self.world.backends[self.host], self.world.hosts[self.host.address]

    def tell(self, news: list) -> None:  # type: ignore[type-arg]
        if self.on_news is not None:
            self.on_news(news)
        if any(isinstance(event, Stopped) for event in news):
            self.stopped.set()

    @property
    def listening(self) -> tuple[Address, ...]:
        return (self.host.address,)

    async def fetch(self, url: str) -> bytes:
        if url not in self.world.urls:
            raise FetchError(f"{url}: the server answered 404")
        return self.world.urls[url]

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    @property
    def state_folder(self) -> Path | None:
        return None

    async def look_up(self, host: str, port: int) -> tuple[Address, ...]:
        return ((host, port),)

    async def follow(self, link: str) -> None:
        self.engine.follow(self.world.now, link)
        self.world.wake()

    def unfollow(self, link: str) -> None:
        self.engine.unfollow(self.world.now, link)
        self.world.wake()

    async def add(self, source: bytes | str, folder: str, **options: Unpack[AddOptions]) -> int:
        if self.world.hold_adds is not None:
            await self.world.hold_adds.wait()
        torrent = self.engine.add_torrent(self.world.now, source, folder, **options)
        self.world.added.append(torrent)
        self.world.wake()
        return torrent

    async def _do(self, command: Callable[..., None], *args: object) -> None:
        command(self.world.now, *args)
        self.world.wake()

    async def remove(self, torrent: int) -> None:
        await self._do(self.engine.remove, torrent)
        self.world.removed.append(torrent)

    async def pause(self, torrent: int) -> None:
        await self._do(self.engine.pause, torrent)

    async def resume(self, torrent: int) -> None:
        await self._do(self.engine.resume, torrent)

    async def recheck(self, torrent: int) -> None:
        await self._do(self.engine.recheck, torrent)

    async def select(self, torrent: int, files: list[int] | None) -> None:
        await self._do(self.engine.select, torrent, files)

    async def set_priorities(self, torrent: int, priorities: dict[int, FilePriority]) -> None:
        self.engine.set_priorities(self.world.now, torrent, priorities)

    async def priorities(self, torrent: int) -> tuple[FilePriority | None, ...]:
        return self.engine.priorities(torrent)

    async def set_sequential(self, torrent: int, on: bool) -> None:
        self.engine.status(torrent)

    async def set_deadline(self, torrent: int, start: int, length: int, within: float) -> None:
        self.engine.status(torrent)

    async def set_rates(self, torrent: int | None, download: int | None, upload: int | None) -> None:
        if torrent is None:
            await self._do(self.engine.set_rates, download, upload)

    async def add_peers(self, torrent: int, peers: Iterable[Address | str]) -> None:
        await self._do(self.engine.add_peers, torrent, peers)

    async def add_web_seeds(self, torrent: int, urls: list[str]) -> None:
        await self._do(self.engine.add_web_seeds, torrent, urls)

    async def set_trackers(self, torrent: int, tiers: list[list[str]]) -> None:
        await self._do(self.engine.set_trackers, torrent, tiers)

    async def disconnect(self, torrent: int, peer: Address | str, *, ban: bool) -> None:
        await self._do(partial(self.engine.disconnect, ban=ban), torrent, peer)

    async def announce(self, torrent: int) -> None:
        await self._do(self.engine.announce, torrent)

    async def scrape(self, torrent: int) -> None:
        await self._do(self.engine.scrape, torrent)

    async def check_update(self, torrent: int) -> None:
        await self._do(self.engine.check_update, torrent)

    async def save(self, torrent: int) -> None:
        await self._do(self.engine.save, torrent)

    async def refresh(self, torrent: int) -> None:
        self.engine.status(torrent)

    async def peers(self, torrent: int) -> tuple[PeerStatus, ...]:
        self.engine.status(torrent)
        return ()

    async def trackers(self, torrent: int) -> tuple[TrackerStatus, ...]:
        self.engine.status(torrent)
        return ()

    async def web_seeds(self, torrent: int) -> tuple[WebSeedStatus, ...]:
        self.engine.status(torrent)
        return ()

    async def statistics(self) -> SessionStatistics:
        return SessionStatistics({})

    def status(self, torrent: int) -> Status:
        return self.engine.status(torrent)

    def info(self, torrent: int) -> bytes | None:
        return self.engine.info(torrent)

    def verified(self, torrent: int) -> bytes:
        return self.engine.verified(torrent) or b""
