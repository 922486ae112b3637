"""Whose a session is: its process and its loop; what others hear, and what is said of durations that are none."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from math import inf, nan
from typing import Any

import pytest
from drivers_stage import Drivers, thing

from millstream import MillstreamError, SessionClosed, WrongLoop, sync

Call = Callable[[], Awaitable[Any]]

NO_DURATIONS = [-1, -0.5, nan]


async def refused(calls: list[Call]) -> None:
    """None of these is answered here, nor waited for."""
    for number, call in enumerate(calls):
        with pytest.raises(WrongLoop, match="another"):
            async with asyncio.timeout(20):
                await call()
            pytest.fail(f"call {number} was answered")


def test_a_session_is_awaited_on_its_own_loop_alone(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add(thing().torrent, only_peers=True)
            magnet = await session.add("0" * 40, only_peers=True)
            async with torrent.open() as file:
                calls: list[Call] = [
                    session.start,
                    session.close,
                    session.statistics,
                    lambda: session.set_rates(download=1),
                    lambda: session.add("1" * 40),
                    torrent.metadata,
                    magnet.metadata,
                    torrent.wait_complete,
                    torrent.pause,
                    torrent.resume,
                    torrent.recheck,
                    lambda: torrent.select([0]),
                    lambda: torrent.set_priorities({0: "high"}),
                    torrent.priorities,
                    lambda: torrent.set_sequential(True),
                    lambda: torrent.set_deadline(0, 1, 1.0),
                    lambda: torrent.set_rates(upload=1),
                    lambda: torrent.add_peers([("127.0.0.1", 1)]),
                    lambda: torrent.add_web_seeds(["http://host/"]),
                    lambda: torrent.set_trackers([["http://host/announce"]]),
                    lambda: torrent.disconnect(("127.0.0.1", 1)),
                    lambda: torrent.ban(("127.0.0.1", 1)),
                    torrent.announce,
                    torrent.scrape,
                    torrent.save,
                    torrent.peers,
                    torrent.trackers,
                    torrent.web_seeds,
                    torrent.remove,
                    lambda: file.read(1),
                    file.close,
                ]
                await asyncio.to_thread(lambda: asyncio.run(refused(calls)))
                # without any loop, too
                with pytest.raises(WrongLoop):
                    await asyncio.to_thread(torrent.peers().send, None)
                # snapshots are read anywhere
                assert await asyncio.to_thread(lambda: (torrent.stats.name, session.torrents)) == (
                    "thing.bin",
                    (torrent, magnet),
                )
            assert await torrent.peers() == () and session.is_open

    drivers.run(story)


def test_news_is_awaited_on_the_sessions_loop_alone(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            magnet = await session.add("0" * 40, only_peers=True)
            streams = [session.events(), magnet.events()]
            calls: list[Call] = []
            for events in streams:
                events.waiting()
                calls += [events.take, events.__anext__]
            await asyncio.to_thread(lambda: asyncio.run(refused(calls)))
            waiting = asyncio.ensure_future(streams[1].take())
            await asyncio.sleep(0)
            with pytest.raises(WrongLoop):
                await asyncio.to_thread(streams[1].close)
            streams[1].close()
            assert await waiting == []

    drivers.run(story)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the host knows no fork")
# newer interpreters see the session's own threads and warn of what is tested here
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_close_in_a_forked_process_touches_nothing(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add(thing().torrent, only_peers=True)
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                code, since = 2, time.monotonic()
                try:
                    assert "forked" in repr(session)
                    asyncio.run(session.close())
                except SessionClosed as error:
                    code = 0 if "forked" in str(error) and time.monotonic() - since < 10 else 1
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert await torrent.peers() == () and session.is_open

    drivers.run(story)


def test_a_duration_that_is_none_is_refused_by_its_name(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add("0" * 40, only_peers=True)
            for value in NO_DURATIONS:
                for call in (
                    lambda: session.close(value),
                    lambda: torrent.metadata(timeout=value),
                    lambda: torrent.wait_complete(timeout=value),
                    lambda: session.events().take(value),
                ):
                    with pytest.raises(ValueError, match=f"^timeout: {value} is no "):
                        await call()
            for value in [*NO_DURATIONS, inf]:
                with pytest.raises(ValueError, match=f"^within: {value} is no "):
                    await torrent.set_deadline(0, 1, value)
                with pytest.raises(ValueError, match=f"^close_timeout: {value} is no "):
                    drivers.session("other", close_timeout=value)
            with pytest.raises(ValueError, match="^timeout: inf is no "):
                await session.close(inf)
            assert session.is_open

    drivers.run(story)


def test_who_blocks_hears_of_a_wrong_duration_too(blocking: Drivers) -> None:
    with blocking.sync_session("one") as session:
        torrent = session.add("0" * 40, only_peers=True)
        for value in NO_DURATIONS:
            for call in (
                lambda: session.close(value),
                lambda: session.events(value),
                lambda: torrent.events(value),
                lambda: session.events().next_events(value),
                lambda: torrent.wait_complete(timeout=value),
            ):
                with pytest.raises(ValueError, match=f"^timeout: {value} is no "):
                    call()
            with pytest.raises(ValueError, match="^close_timeout"):
                blocking.sync_session("other", close_timeout=value)
        assert session.is_open


def test_a_closed_session_says_the_same_whatever_it_is_asked(drivers: Drivers) -> None:
    async def story() -> None:
        session = drivers.session("one")
        async with session:
            torrent = await session.add(thing().torrent, only_peers=True)
        for call in (session.start, session.statistics, lambda: session.add("1" * 40)):
            with pytest.raises(SessionClosed, match="^the session is closed$"):
                await call()
        if drivers.name != "memory":
            with pytest.raises(SessionClosed, match="^the session is closed$"):
                await session._backend.statistics()
        with pytest.raises(SessionClosed, match="^the session is closed$"):
            await torrent.peers()

    drivers.run(story)


def test_who_blocks_hears_the_same_of_a_closed_session(blocking: Drivers) -> None:
    session = blocking.sync_session("one")
    session.close()
    for call in (lambda: session.add("0" * 40), session.statistics, lambda: session.torrent(1)):
        with pytest.raises(SessionClosed, match="^the session is closed$"):
            call()


def test_no_thread_outlives_a_download_that_blocks(on_demand: Drivers) -> None:
    before = set(threading.enumerate())
    with pytest.raises(FileNotFoundError):
        sync.download(
            on_demand.folder / "none.torrent", on_demand.folder, driver=on_demand.driver, **on_demand.settings
        )
    assert set(threading.enumerate()) == before
    with on_demand.sync_session("one"):
        pass
    with pytest.raises((MillstreamError, ValueError)):
        on_demand.sync_session("one", listen=[("192.0.2.1", 1)], listen_tries_max=0)
    assert set(threading.enumerate()) == before


def test_a_session_counts_its_torrents_in_words_that_fit(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            for count, words in enumerate((": 0 torrents>", ": 1 torrent>", ": 2 torrents>")):
                assert repr(session).endswith(words)
                await session.add(f"{count:040x}", only_peers=True)

    drivers.run(story)
