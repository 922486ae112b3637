"""The asyncio driver over real sockets of the loopback: on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from test_exchange import payload

from millstream import create
from millstream._asyncio import AsyncioBackend
from millstream.sansio import Checked, Completed, Event

uvloop = pytest.importorskip("uvloop")

PIECE = 256 << 10
WITHIN = 60.0
Story = Callable[[], Awaitable[None]]


def on_asyncio(story: Story) -> None:
    """Runs a story on asyncio's own loop."""
    asyncio.run(asyncio.wait_for(story(), WITHIN))


def on_uvloop(story: Story) -> None:
    """Runs a story on uvloop."""
    uvloop.run(asyncio.wait_for(story(), WITHIN))


loops = pytest.mark.parametrize("run", [on_asyncio, on_uvloop])


class Peer:
    """A backend with what it told."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.home = home
        self.events: list[Event] = []
        self._told = asyncio.Event()
        alone: dict[str, object] = {"dht": False, "lsd": False, "pex": False, "utp": "off"}
        own = {"listen": [("127.0.0.1", 0)], "state_folder": str(home / "state")}
        self.backend = AsyncioBackend(**{**alone, **own, **settings})  # type: ignore[arg-type]

    async def start(self) -> Peer:
        """Begins."""
        await self.backend.start(self._on_news)
        return self

    async def told(self, kind: type[Event]) -> Event:
        """The first event of a kind, told already or to come."""
        while True:
            found = next((event for event in self.events if isinstance(event, kind)), None)
            if found is not None:
                return found
            self._told.clear()
            await self._told.wait()

    def _on_news(self, events: Sequence[Event]) -> None:
        self.events += events
        self._told.set()


def store(home: Path, files: dict[str, bytes]) -> Path:
    """Writes files under a folder's torrent."""
    for name, data in files.items():
        path = home / "files" / "things" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return home / "files"


def things() -> tuple[bytes, dict[str, bytes]]:
    """A torrent of several files whose last piece is short."""
    files = {"first.bin": payload(3 * PIECE + 77), "sub/second.bin": payload(5 * PIECE + 12_345, 8), "empty": b""}
    return create("things", files, version="v1", piece_length=PIECE), files


@loops
def test_two_backends_transfer_a_torrent_of_several_files(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        torrent, files = things()
        seed, leech = await Peer(tmp_path / "seed").start(), await Peer(tmp_path / "leech").start()
        await seed.backend.add(torrent, str(store(seed.home, files)))
        await seed.told(Checked)
        ours = await leech.backend.add(torrent, str(leech.home / "files"), peers=seed.backend.listening)
        await leech.told(Completed)
        got = {name: (leech.home / "files" / "things" / name).read_bytes() for name in files}
        assert got == files
        status = leech.backend.status(ours)
        assert (status.state, status.downloaded) == ("seeding", sum(map(len, files.values())))
        await leech.backend.close(5)
        await seed.backend.close(5)
        assert list((leech.home / "state").glob("*.resume")), "what is verified is remembered"

    run(story)
