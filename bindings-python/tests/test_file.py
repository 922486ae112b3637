"""Files of torrents, read while they are downloaded."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from drivers_stage import PIECE, Drivers, Thing, payload, thing, things

from millstream import PieceVerified, SessionClosed, Torrent, TorrentRemoved, create, sync


async def seeding(drivers: Drivers, what: Thing) -> tuple[Torrent, tuple[str, int]]:
    """A session that has it all, and where it is."""
    seed = await drivers.session("seed").start()
    what.store(seed.folder)
    torrent = await seed.add(what.torrent)
    await torrent.wait_complete(timeout=30)
    return torrent, seed.listening[0]


def verified(torrent: Torrent | sync.Torrent) -> int:
    """How many pieces are verified."""
    return int.from_bytes(torrent.verified, "big").bit_count()


def test_what_is_read_is_fetched_and_nothing_else(on_demand: Drivers) -> None:
    async def story() -> None:
        what = thing(64 * PIECE)
        data = what.files["thing.bin"]
        theirs, where = await seeding(on_demand, what)
        async with theirs.session, on_demand.session("leech") as leech:
            ours = await leech.add(what.torrent, files=[], peers=[where])
            async with ours.open("thing.bin") as file:
                assert await file.seek(-128, os.SEEK_END) == len(data) - 128
                assert await file.read(128) == data[-128:]
                assert await file.read(1) == b"" and file.tell() == len(data)
                assert verified(ours) == 1
                await file.seek(5 * PIECE - 3)
                buffer = bytearray(6)
                assert await file.readinto(buffer) == 6 and buffer == data[5 * PIECE - 3 : 5 * PIECE + 3]
                assert verified(ours) == 3
            with pytest.raises(ValueError):
                await file.read(1)

    on_demand.run(story)


def test_while_files_are_read_on_demand_progress_is_of_what_was_asked_for(on_demand: Drivers) -> None:
    async def story() -> None:
        what = thing(64 * PIECE)
        theirs, where = await seeding(on_demand, what)
        async with theirs.session, on_demand.session("leech") as leech:
            ours = await leech.add(what.torrent, files=[], peers=[where])
            stats = await ours.wait_complete(timeout=30)
            assert (stats.wanted, stats.verified, stats.progress) == (0, 0, 1.0)
            for pieces in (1, 2):
                events = ours.events()
                events.waiting()
                async with ours.open(read_ahead=0) as file:
                    await file.seek((pieces - 1) * PIECE)
                    await file.read(PIECE)
                while ours.stats.verified < pieces * PIECE or ours.stats.state != "seeding":
                    assert await events.take(10), "it is told"
                stats = ours.stats
                assert (stats.wanted, stats.verified, stats.progress) == (pieces * PIECE, pieces * PIECE, 1.0)
                assert ours.file(0).progress == pieces / 64

    on_demand.run(story)


def test_a_seek_changes_which_pieces_come_next(on_demand: Drivers) -> None:
    async def story() -> None:
        what = thing(60 * PIECE)
        theirs, where = await seeding(on_demand, what)
        async with theirs.session, on_demand.session("leech") as leech:
            # slow enough to see an order, which is that of the file but for what is read
            await theirs.set_rates(upload=40 * PIECE)
            ours = await leech.add(what.torrent, sequential=True, peers=[where])
            events = ours.events()
            async with ours.open(read_ahead=0) as file:
                for jump in (50, 40):
                    await file.seek(jump * PIECE + 5)
                    assert await file.read(9) == what.files["thing.bin"][jump * PIECE + 5 : jump * PIECE + 14]
            order = [event.piece for event in events.waiting() if isinstance(event, PieceVerified)]
            assert order.index(50) < order.index(40) < 35, "not after all that lies before them"

    on_demand.run(story)


def test_who_reads_on_gets_more_ahead_within_the_window(on_demand: Drivers) -> None:
    async def story() -> None:
        what = thing(64 * PIECE)
        theirs, where = await seeding(on_demand, what)
        async with theirs.session, on_demand.session("leech") as leech:
            ours = await leech.add(what.torrent, files=[], peers=[where])
            events = ours.events()
            async with ours.open(0, read_ahead=4 * PIECE) as file:
                got = b"".join([await file.read(PIECE) for _ in range(16)])
                assert got == what.files["thing.bin"][: 16 * PIECE]
                ahead = file._asked // PIECE
                assert 18 <= ahead <= 20, "sixteen that were read, and up to four ahead"
                while verified(ours) < ahead:
                    assert await events.take(10)
            assert verified(ours) == ahead

    on_demand.run(story)


def test_reading_begins_before_the_file_is_complete_and_gives_it_all(drivers: Drivers) -> None:
    async def story() -> None:
        what = things()
        theirs, where = await seeding(drivers, what)
        async with theirs.session, drivers.session("leech") as leech:
            ours = await leech.add(f"magnet:?xt=urn:btih:{theirs.info_hash}", peers=[where])
            async with ours.open("second.bin") as file:
                assert await file.read() == what.files["things/sub/second.bin"]
            async with ours.open("third") as file:
                assert await file.read() == b""
            with pytest.raises(LookupError):
                async with ours.open("fourth"):
                    pass

    drivers.run(story)


def test_closing_a_file_ends_a_read_that_waits(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add(thing().torrent)
            async with torrent.open() as file:
                waiting = asyncio.ensure_future(file.read(1))
                done, _ = await asyncio.wait([waiting], timeout=0.05)
                assert not done
            with pytest.raises(ValueError):
                await waiting
            async with torrent.open() as file:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(file.read(1), 0.05)
                waiting = asyncio.ensure_future(file.read(1))
                await asyncio.sleep(0)
                await torrent.remove()
                with pytest.raises(TorrentRemoved):
                    await waiting

    drivers.run(story)


def test_closing_the_session_ends_a_read_that_waits_and_says_what_ended_it(drivers: Drivers) -> None:
    async def story() -> None:
        session = await drivers.session("one").start()
        torrent, left = await session.add(thing().torrent), await session.add(things().torrent)
        file = await torrent.open()
        waiting = asyncio.ensure_future(file.read(1))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        await left.remove()
        await session.close(5)
        with pytest.raises(SessionClosed, match="^the session is closed$"):
            await waiting
        with pytest.raises(SessionClosed):
            await file.read(1)
        with pytest.raises(SessionClosed):
            await torrent.wait_complete()
        assert repr(torrent) == f"<Torrent 'thing.bin' {torrent.info_hash}: closed>"
        with pytest.raises(TorrentRemoved):
            left.stats
        assert repr(left).endswith(": removed>")
        await file.close()

    drivers.run(story)


def test_a_file_that_is_not_open_yet_says_how_it_is_opened(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add(thing().torrent, paused=True)
            opening: Any = torrent.open()
            with pytest.raises(AttributeError, match="async with torrent.open"):
                opening.read()
            with pytest.raises(AttributeError, match="no attribute 'reed'$"):
                opening.reed()

    drivers.run(story)


def test_a_file_can_be_opened_without_a_block_and_is_warned_of_when_nobody_closes_it(drivers: Drivers) -> None:
    async def story() -> None:
        what = thing(PIECE)
        torrent, _ = await seeding(drivers, what)
        async with torrent.session:
            file = await torrent.open("thing.bin")
            assert await file.read(5) == what.files["thing.bin"][:5]
            await file.close()
            assert file.closed and repr(file) == "<FileReader 'thing.bin': closed>"
            file = await torrent.open("thing.bin")
            await file.read(1)
            with pytest.warns(ResourceWarning, match="unclosed <FileReader 'thing.bin' at 1>"):
                del file
                gc.collect()

    drivers.run(story)


@contextmanager
def archive(drivers: Drivers, name: str, data: bytes) -> Iterator[sync.Torrent]:
    """A torrent of an archive, of which nothing is there yet, with a seed at hand."""
    what = Thing(create(name, data, version="v1", piece_length=PIECE), {name: data})
    with drivers.sync_session("seed") as seed, drivers.sync_session("leech") as leech:
        what.store(seed.folder)
        seed.add(what.torrent).wait_complete(timeout=30)
        yield leech.add(what.torrent, files=[], peers=[seed.listening[0]])


def test_zipfile_fetches_only_the_pieces_it_needs(on_demand: Drivers) -> None:
    packed = io.BytesIO()
    members = {f"{n}.bin": payload(8 * PIECE, n) for n in range(10)}
    with zipfile.ZipFile(packed, "w") as made:
        for name, data in members.items():
            made.writestr(name, data)
    with archive(on_demand, "a.zip", packed.getvalue()) as torrent:
        with torrent.open("a.zip") as file, zipfile.ZipFile(file) as opened:
            assert opened.namelist() == list(members)
            assert verified(torrent) <= 3, "the directory is at the end"
            assert opened.read("6.bin") == members["6.bin"]
        assert verified(torrent) <= 3 + 10 + 10, "a member, and no more than that ahead of it"
        assert torrent.stats.pieces > 80


def test_tarfile_fetches_only_the_pieces_it_needs(on_demand: Drivers) -> None:
    packed = io.BytesIO()
    members = {f"{n}.bin": payload(16 * PIECE, n) for n in range(5)}
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    with archive(on_demand, "a.tar", packed.getvalue()) as torrent:
        with torrent.open("a.tar") as file, tarfile.open(fileobj=file) as opened:
            assert opened.getnames() == list(members)
            assert verified(torrent) <= 12, "only headers"
            assert opened.extractfile("3.bin").read() == members["3.bin"]  # type: ignore[union-attr]
        assert verified(torrent) <= 12 + 18 + 18
        assert torrent.stats.pieces > 80
