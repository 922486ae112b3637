"""The end of a session is bounded in time, whatever hangs: a tracker, a web server, the disk, a reader, a peer."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from drivers_stage import Drivers, payload, thing

from millstream import SessionClosed, Torrent, create

BOUND = 0.5
"""What the sessions here are given."""

SPARE = 5.0
"""More than any of them takes beyond that on a busy machine, and far less than what hangs would."""


@contextmanager
def deaf() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def ends(drivers: Drivers, torrent: Torrent, waiting: list[asyncio.Future[Any]]) -> None:
    """The session is closed in time, and all that waits hears of it."""
    since = time.monotonic()
    await torrent.session.close(BOUND)
    assert time.monotonic() - since < BOUND + SPARE
    done, pending = await asyncio.wait(waiting, timeout=20) if waiting else (set(), set())
    assert not pending
    for future in done:
        assert isinstance(future.exception(), SessionClosed), future
    assert not torrent.session.is_open


def test_trackers_and_web_seeds_that_never_answer_do_not_hold_up_the_end(on_demand: Drivers) -> None:
    async def story() -> None:
        with deaf() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            names = [f"http://127.0.0.1:{tcp}/announce", f"udp://127.0.0.1:{udp.getsockname()[1]}/announce"]
            names.append(f"ws://127.0.0.1:{tcp}/announce")
            data = payload(100_000)
            torrent_file = create("x", data, trackers=[names], web_seeds=[f"http://127.0.0.1:{tcp}/"])
            session = await on_demand.session("one").start()
            torrent = await session.add(torrent_file)
            await torrent.metadata()
            waiting = [asyncio.ensure_future(torrent.wait_complete())]
            fetching = asyncio.ensure_future(session.add(f"http://127.0.0.1:{tcp}/a.torrent"))
            await asyncio.sleep(0.1)
            await ends(on_demand, torrent, [*waiting, fetching])

    on_demand.run(story)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the host has no pipes with names")
def test_a_disk_that_is_stuck_does_not_hold_up_the_end(on_demand: Drivers) -> None:
    async def story() -> None:
        what = thing(name="stuck.bin")
        session = await on_demand.session("one").start()
        place = session.folder / "stuck.bin"
        # whoever opens it to read waits for a writer, for ever
        os.mkfifo(place)
        try:
            torrent = await session.add(what.torrent, only_peers=True)
            await torrent.metadata()
            waiting = asyncio.ensure_future(torrent.wait_complete())
            await asyncio.sleep(0.2)
            await ends(on_demand, torrent, [waiting])
        finally:
            unstuck(place)

    on_demand.run(story)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the host has no pipes with names")
def test_a_read_that_the_disk_never_answers_does_not_hold_up_the_end(on_demand: Drivers) -> None:
    async def story() -> None:
        what = thing(name="stuck.bin")
        session = await on_demand.session("one").start()
        what.store(session.folder)
        torrent = await session.add(what.torrent, only_peers=True)
        await torrent.wait_complete(timeout=30)
        place = session.folder / "stuck.bin"
        place.unlink()
        os.mkfifo(place)
        try:
            file = await torrent.open()
            reading = asyncio.ensure_future(file.read(1))
            await asyncio.sleep(0.2)
            reading.cancel()
            await asyncio.wait([reading], timeout=20)
            since = time.monotonic()
            await file.close()
            assert time.monotonic() - since < SPARE and reading.cancelled()
            await ends(on_demand, torrent, [])
        finally:
            unstuck(place)

    on_demand.run(story)


def unstuck(place: Path) -> None:
    """Lets go who waits for a writer."""
    try:
        os.close(os.open(place, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        # nobody waits
        pass


def test_a_reader_that_takes_nothing_does_not_hold_up_the_end(drivers: Drivers) -> None:
    async def story() -> None:
        session = await drivers.session("one", **({} if drivers.name == "memory" else {"events_max": 4})).start()
        what = thing()
        what.store(session.folder)
        torrent = await session.add(what.torrent, only_peers=True)
        lazy = [session.events(), torrent.events()]
        await torrent.wait_complete(timeout=30)
        waiting = asyncio.ensure_future(torrent.wait_complete(timeout=30))
        assert (await waiting).state == "seeding"
        await ends(drivers, torrent, [])
        assert all(events.ended for events in lazy)

    drivers.run(story)
