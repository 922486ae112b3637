"""The backend over the tokio driver: two of them meet on the loopback, and what Python sees of it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from millstream import create
from millstream._backend import Backend
from millstream._native import NativeBackend
from millstream._values import Completed, Event, Metadata, PeerJoined, PieceVerified, Removed, SessionSettings, Stopped

HERMETIC = SessionSettings(
    listen=["127.0.0.1:0"], keep_resume=False, dht=False, lsd=False, pex=False, port_mapping=False, utp=False
)


class News:
    """What a backend told, kept for ever."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self._more = asyncio.Event()

    def __call__(self, batch: Sequence[Event]) -> None:
        self.seen += batch
        self._more.set()

    async def until(self, event: Event) -> None:
        async with asyncio.timeout(20):
            while event not in self.seen:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def session() -> AsyncIterator[tuple[NativeBackend, News]]:
    backend, news = NativeBackend(**HERMETIC), News()
    await backend.start(news)
    try:
        yield backend, news
    finally:
        await backend.close(5)


def test_a_torrent_passes_from_one_to_the_other(tmp_path: Path) -> None:
    data = secrets.token_bytes(300_000)
    torrent = create("x.bin", data, piece_length=16384)
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed/x.bin").write_bytes(data)

    async def story() -> None:
        async with session() as (seed, seed_news), session() as (leech, news):
            given = await seed.add(torrent, str(tmp_path / "seed"), only_peers=True)
            await seed_news.until(Completed(given))
            taken = await leech.add(torrent, str(tmp_path / "leech"), peers=seed.listening, only_peers=True)
            await news.until(Completed(taken))
            assert (tmp_path / "leech/x.bin").read_bytes() == data
            assert leech.status(taken).state == "seeding"
            assert leech.status(taken).verified == len(data)
            assert leech.verified(taken) == b"\xff\xff\xe0"
            info = leech.info(taken)
            assert info is not None and info in torrent
            pieces = {event.piece for event in news.seen if isinstance(event, PieceVerified)}
            assert pieces == set(range(19)) and Metadata(taken) in news.seen
            assert PeerJoined(taken, seed.listening[0]) in news.seen
            # two seeds have nothing to say to each other
            assert all(peer.address in seed.listening for peer in await leech.peers(taken))
            assert "pool.open" in (await leech.statistics()).counts
            await leech.remove(taken)
            await news.until(Removed(taken))
        assert news.seen[-1] == Stopped()

    asyncio.run(story())


def test_a_backend_is_one() -> None:
    backend: Backend = NativeBackend(**HERMETIC)
    assert "closed" in repr(backend)
