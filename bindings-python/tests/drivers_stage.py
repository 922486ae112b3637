"""Sessions over every driver: the same stories are told with each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from standin import LoopWorld

from millstream import Session, create, sync
from millstream._drivers import Driver
from millstream._thread import LoopThread
from millstream.sansio import Version

R = TypeVar("R")

PIECE = 32 * 1024
WITHIN = 60.0

NAMES = ["memory", "native", "asyncio", "uvloop"]

LOOPBACK: dict[str, Any] = {
    "listen": [("127.0.0.1", 0)],
    "keep_resume": False,
    "dht": False,
    "lsd": False,
    "pex": False,
    "port_mapping": False,
}


@dataclass
class Drivers:
    """What sessions run on, and the loop that they run in."""

    name: str
    folder: Path
    world: LoopWorld = field(default_factory=LoopWorld)

    def run(self, story: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Runs a story on a loop of its own, within bounds."""

        async def bounded() -> R:
            async with asyncio.timeout(WITHIN):
                return await story()

        factory = None
        if self.name == "uvloop":
            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(bounded())

    @property
    def driver(self) -> Driver:
        """What `Session` is told."""
        match self.name:
            case "memory":
                return self.world.backend
            case "native":
                return "native"
            case _:
                return "asyncio"

    @property
    def settings(self) -> dict[str, Any]:
        """Loopback and nothing else."""
        return {} if self.name == "memory" else LOOPBACK

    def _with(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**self.settings, **settings}

    def session(self, name: str, **settings: Any) -> Session:
        """A session with a folder of this name."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Session(driver=self.driver, folder=folder, **self._with(settings))

    def sync_session(self, name: str, **settings: Any) -> sync.Session:
        """The same for who blocks."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        factory = uvloop.new_event_loop if self.name == "uvloop" else asyncio.new_event_loop
        return sync.Session(driver=self.driver, folder=folder, loop_factory=factory, **self._with(settings))


@dataclass(frozen=True)
class Thing:
    """A torrent and the files that it is made of."""

    torrent: bytes
    files: dict[str, bytes]

    def store(self, folder: Path) -> None:
        """Puts the files where a seed would have them."""
        for name, data in self.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def stored(self, folder: Path) -> bool:
        """Whether all of it is there."""
        return all((folder / name).read_bytes() == data for name, data in self.files.items())


def payload(size: int, seed: int = 7) -> bytes:
    """Bytes that compress to nothing and repeat nowhere."""
    return random.Random(seed).randbytes(size)


def things(version: Version = "v1") -> Thing:
    """Three files, one of them empty, none as long as whole pieces."""
    files = {"first.bin": payload(10 * PIECE + 12_345), "sub/second.bin": payload(3 * PIECE + 1, 8), "third": b""}
    torrent = create("things", files, version=version, piece_length=PIECE)
    return Thing(torrent, {f"things/{name}": data for name, data in files.items()})


def thing(size: int = 20 * PIECE + 99, name: str = "thing.bin") -> Thing:
    """One file."""
    data = payload(size)
    return Thing(create(name, data, version="v1", piece_length=PIECE), {name: data})


@pytest.fixture(params=NAMES)
def drivers(request: pytest.FixtureRequest, tmp_path: Path) -> Drivers:
    """The drivers, one after the other."""
    return Drivers(request.param, tmp_path)


@pytest.fixture(params=[name for name in NAMES if name != "memory"])
def on_demand(request: pytest.FixtureRequest, tmp_path: Path) -> Drivers:
    """The drivers that know deadlines, and have a thread of their own for who blocks."""
    return Drivers(request.param, tmp_path)


class Lodger(LoopThread):
    """A thread that many sessions share, since a world in memory has one loop."""

    def __init__(self, host: LoopThread) -> None:
        self.__dict__ = host.__dict__

    def stop(self) -> None:
        """Others still need it."""


@pytest.fixture(params=NAMES)
def blocking(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drivers]:
    """The drivers for who blocks."""
    if request.param != "memory":
        yield Drivers(request.param, tmp_path)
        return
    host = LoopThread(asyncio.new_event_loop)
    monkeypatch.setattr(sync, "LoopThread", lambda factory: Lodger(host))
    monkeypatch.setattr(Lodger, "join", lambda self, timeout: None)
    yield Drivers(request.param, tmp_path)
    host.stop()
    host.join(10)
