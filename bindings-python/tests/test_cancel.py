"""Cancellation: at each point where something is awaited, alone or together with the answer, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
from drivers_stage import PIECE, Drivers, Thing, thing

from millstream import Session, Torrent, create, download

AWAITS_MAX = 400
"""No story here awaits more often."""

Story = Callable[[], Awaitable[object]]


class Interrupted:
    """Awaits something, and cancels the task that does when it waits for the n-th time: while it waits, or just as it
    is answered."""

    def __init__(self, work: Awaitable[object], at: int, answered: bool) -> None:
        self.work, self.at, self.answered = work.__await__(), at, answered
        self.waited = 0

    def __await__(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        send: Callable[[], object] = lambda: self.work.send(None)  # noqa: E731
        while True:
            try:
                pending = send()
            except StopIteration as end:
                return end.value
            if self.waited == self.at:
                if self.answered and asyncio.isfuture(pending):
                    pending.add_done_callback(lambda _: task.cancel())
                else:
                    task.get_loop().call_soon(task.cancel)
            self.waited += 1
            try:
                # as a task would: it checks that the future knows it is awaited
                yield pending
                send = lambda: self.work.send(None)  # noqa: E731
            except BaseException as error:
                thrown = error
                send = lambda: self.work.throw(thrown)  # noqa: E731


def descriptors() -> list[str]:
    """What this process has open, but for the listing itself, and for what is garbage."""
    gc.collect()
    there = []
    for number in os.listdir("/proc/self/fd"):
        try:
            there.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return sorted(name for name in there if not name.endswith("/fd"))


async def each(story: Story, answered: bool, after: Story) -> int:
    """Cancels a story at its first await, then at its second, and so on until it comes to its end. What is `after` each
    finds nothing of it. Gives how often it was cancelled."""
    for at in range(AWAITS_MAX):
        interrupted = Interrupted(story(), at, answered)

        async def run(work: Interrupted = interrupted) -> object:
            return await work

        task = asyncio.ensure_future(run())
        await asyncio.wait([task], timeout=20)
        assert task.done(), f"the story hangs, cancelled at await {at}"
        if interrupted.waited <= at:
            task.result()
            return at
        if not task.cancelled() and task.exception() is not None:
            raise AssertionError(f"cancelled at await {at}: {task.exception()!r}") from task.exception()
        await after()
    raise AssertionError("the story never ends")


async def settled(done: Callable[[], bool], what: Callable[[], str]) -> None:
    """Waits until it is so; else it says what is."""
    try:
        async with asyncio.timeout(20):
            while not done():
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise AssertionError(what()) from error


async def quiet(tasks: set[asyncio.Task[Any]]) -> None:
    """No task runs but these."""
    await settled(lambda: asyncio.all_tasks() <= tasks, lambda: f"{asyncio.all_tasks() - tasks} are left")


@pytest.fixture(params=[False, True], ids=["waiting", "answered"])
def answered(request: pytest.FixtureRequest) -> bool:
    """Whether the cancellation comes together with the answer."""
    given: bool = request.param
    return given


def test_an_add_can_be_cancelled_at_every_await(drivers: Drivers, answered: bool) -> None:
    async def story() -> None:
        path = drivers.folder / "a.torrent"
        path.write_bytes(thing().torrent)
        async with drivers.session("one") as session:
            mine = asyncio.all_tasks()

            async def after() -> None:
                # whether it was added or not when it was cancelled, nobody else is kept from adding it
                for torrent in session.torrents:
                    await torrent.remove()
                await (await session.add(path, only_peers=True)).remove()
                assert session.torrents == ()
                await quiet(mine)

            times = await each(lambda: session.add(path, only_peers=True), answered, after)
            assert times > 1
            [torrent] = session.torrents
            assert (await torrent.metadata()).name == "thing.bin"

    drivers.run(story)


def test_what_is_awaited_of_a_torrent_can_be_cancelled_at_every_await(drivers: Drivers, answered: bool) -> None:
    async def story() -> None:
        what = thing()
        async with drivers.session("one") as session:
            what.store(session.folder)
            torrent = await session.add(what.torrent, only_peers=True)
            mine = asyncio.all_tasks()

            async def nothing_left() -> None:
                await quiet(mine)
                assert not getattr(session._backend, "_waiting", None) and not torrent._pulse._waiting

            for call in (
                torrent.wait_complete,
                torrent.metadata,
                torrent.peers,
                torrent.trackers,
                torrent.web_seeds,
                torrent.pause,
                torrent.resume,
                session.statistics,
                lambda: torrent.select([0]),
                lambda: torrent.set_priorities({0: "low"}),
                torrent.priorities,
                lambda: torrent.set_rates(download=None),
                torrent.save,
                lambda: torrent.events().take(5),
                lambda: session.events().take(0.01),
            ):
                await each(call, answered, nothing_left)
            assert torrent.stats.state == "seeding"

    drivers.run(story)


def test_opening_and_reading_can_be_cancelled_at_every_await(on_demand: Drivers, answered: bool) -> None:
    async def story() -> None:
        what = thing(6 * PIECE)
        data = what.files["thing.bin"]
        async with on_demand.session("seed") as seed, on_demand.session("leech") as leech:
            what.store(seed.folder)
            await (await seed.add(what.torrent)).wait_complete(timeout=30)
            torrent = await leech.add(what.torrent, files=[], peers=seed.listening)
            await torrent.metadata()
            mine, stored = asyncio.all_tasks(), os.fspath(leech.folder / "thing.bin")
            position = 0

            async def read() -> None:
                async with torrent.open(read_ahead=PIECE) as file:
                    await file.seek(position)
                    assert await file.read(PIECE + 3) == data[position : position + PIECE + 3]

            async def closed() -> None:
                nonlocal position
                position = (position + PIECE) % (4 * PIECE)
                await quiet(mine)
                assert torrent._pulse._waiting == set()

            assert await each(read, answered, closed) > 1
            await torrent.pause()
            await settled(lambda: descriptors().count(stored) <= 1, lambda: "the file is still open")

    on_demand.run(story)


def test_a_file_that_a_thread_opens_while_it_is_closed_is_closed_by_that_thread(
    on_demand: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        what = thing(PIECE)
        async with on_demand.session("one") as session:
            what.store(session.folder)
            torrent = await session.add(what.torrent, only_peers=True)
            await torrent.wait_complete(timeout=30)
            opening, go_on = threading.Event(), threading.Event()
            opened: list[int] = []
            really = os.open

            def slow(path: str, flags: int, mode: int = 0o777) -> int:
                opening.set()
                assert go_on.wait(10)
                opened.append(really(path, flags, mode))
                return opened[-1]

            monkeypatch.setattr(os, "open", slow)
            file = await torrent.open()
            reading = asyncio.ensure_future(file.read(1))
            await asyncio.to_thread(opening.wait, 10)
            reading.cancel()
            await file.close()
            go_on.set()
            await settled(lambda: bool(opened), lambda: "it is never opened")
            # only its number is asked for, so that a file of somebody else's is no mistake
            where = f"/proc/self/fd/{opened[0]}"
            await settled(
                lambda: not os.path.exists(where) or os.readlink(where) != os.fspath(file.file.location),
                lambda: "the file is still open",
            )

    on_demand.run(story)


def test_a_close_can_be_cancelled_at_every_await_and_goes_on(drivers: Drivers, answered: bool) -> None:
    async def story() -> None:
        mine = asyncio.all_tasks()
        number = 0
        opened: list[Session] = []

        async def closing() -> None:
            nonlocal number
            number += 1
            session = await drivers.session(f"session {number % 4}").start()
            opened.append(session)
            torrent = await session.add(thing().torrent, only_peers=True)
            await torrent.metadata()
            await session.close()
            assert not session.is_open

        async def ended() -> None:
            for session in opened:
                await session.close()
                assert not session.is_open and session.torrents == ()
            opened.clear()
            await quiet(mine)

        assert await each(closing, answered, ended) > 1
        await ended()

    drivers.run(story)


def test_a_download_can_be_cancelled_at_every_await(drivers: Drivers, answered: bool) -> None:
    data = b"a few bytes, all of them"
    what = Thing(create("few.txt", data, version="v1", piece_length=16384), {"few.txt": data})

    async def story() -> None:
        async with drivers.session("seed") as seed:
            what.store(seed.folder)
            theirs: Torrent = await seed.add(what.torrent)
            await theirs.wait_complete(timeout=30)
            mine = asyncio.all_tasks()
            threads, number = set[str](), 0
            place = Path()

            def go() -> Coroutine[Any, Any, Path]:
                nonlocal number, place
                number += 1
                place = drivers.folder / f"here {number}"
                return download(what.torrent, place, peers=seed.listening, driver=drivers.driver, **drivers.settings)

            await go()
            await quiet(mine)
            threads, before = {thread.name for thread in threading.enumerate()}, descriptors()

            async def nothing_left() -> None:
                await quiet(mine)
                assert {thread.name for thread in threading.enumerate()} <= threads | {"asyncio_0", "asyncio_1"}

            assert await each(go, answered, nothing_left) > 3
            assert (place / "few.txt").read_bytes() == data
            await quiet(mine)
            # the seed may still hold a link for a moment whose other end is gone
            await settled(lambda: len(descriptors()) <= len(before), lambda: f"{descriptors()}, not {before}")

    drivers.run(story)
