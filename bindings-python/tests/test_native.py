"""The backend over the tokio driver: two of them meet on the loopback, and what may go wrong around them."""

import asyncio
import gc
import logging
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop
from meeting import HERMETIC, News, session, stored

from millstream import errors
from millstream._backend import Backend
from millstream._native import NativeBackend
from millstream._values import (
    Checked,
    Completed,
    Event,
    Lagged,
    Metadata,
    PeerJoined,
    PeerLeft,
    PieceVerified,
    PoolChanged,
    Progress,
    Removed,
    ResumeSaved,
    Stopped,
)

Story = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Story:
    """Runs a story on a loop of each kind."""
    factory = None if request.param == "asyncio" else uvloop.new_event_loop

    def tell(story: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(story)

    return tell


def test_a_torrent_passes_from_one_to_the_other(run: Story, tmp_path: Path) -> None:
    torrent = stored(tmp_path / "seed")
    data = (tmp_path / "seed/x.bin").read_bytes()

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
            with pytest.raises(errors.TorrentRemoved):
                leech.status(taken)
        assert news.seen[-1] == Stopped()

    run(story())


def test_what_is_verified_is_shown_when_it_is_told(tmp_path: Path) -> None:
    torrent = stored(tmp_path / "seed")

    async def story() -> None:
        async with session() as (seed, _), session() as (leech, news):
            await seed.add(torrent, str(tmp_path / "seed"), only_peers=True)
            taken = await leech.add(torrent, str(tmp_path / "leech"), paused=True, only_peers=True)
            assert leech.info(taken) is not None, "a torrent file brings it along"
            late: list[Event] = []

            def look(event: Event) -> bool:
                match event:
                    case PieceVerified(torrent, piece):
                        return bool(leech.verified(torrent)[piece // 8] & 0x80 >> piece % 8)
                    case _:
                        return True

            leech._on_news = lambda batch: late.extend(e for e in batch if not look(e)) or news(batch)  # type: ignore[func-returns-value]
            await leech.add_peers(taken, seed.listening)
            await leech.resume(taken)
            await news.until(Completed(taken))
            assert not late
            await seed.close(1)
            (tmp_path / "leech/x.bin").write_bytes(bytes(300_000))
            news.seen.clear()
            await leech.recheck(taken)
            await news.until(Checked(taken))
            assert leech.verified(taken) == bytes(3)

    asyncio.run(story())


def test_a_status_is_never_older_than_the_events_that_were_told(tmp_path: Path) -> None:
    torrent = stored(tmp_path / "seed", length=4_000_000)

    async def story() -> None:
        async with session() as (seed, _), session() as (leech, news):
            await seed.add(torrent, str(tmp_path / "seed"), only_peers=True)
            late: list[tuple[Event, object]] = []
            told = {PieceVerified: 0, PeerJoined: 0}

            def look(batch: Sequence[Event]) -> None:
                for event in batch:
                    status = leech.status(taken)
                    match event:
                        case PieceVerified():
                            told[PieceVerified] += 1
                            fine = status.pieces_verified >= told[PieceVerified] and status.verified > 0
                        case PeerJoined():
                            fine = status.peers > 0 or any(isinstance(e, PeerLeft) for e in batch)
                        case _:
                            fine = True
                    if not fine:
                        late.append((event, status))
                news(batch)

            leech._on_news = look
            taken = await leech.add(torrent, str(tmp_path / "leech"), only_peers=True)
            await leech.add_peers(taken, seed.listening)
            await news.until(Completed(taken))
            assert told[PieceVerified] > 200
            assert not late, late[0]

    asyncio.run(story())


def test_a_smaller_network_is_told(tmp_path: Path) -> None:
    """Where addresses answered until now, and then many are silent, the pool tries whether fewer links are better."""

    async def story() -> None:
        doors = await asyncio.start_server(lambda _, writer: writer.close(), "0.0.0.0", 0)
        port: int = doors.sockets[0].getsockname()[1]
        with ExitStack() as stack:
            mute = stack.enter_context(socket.socket())
            mute.bind(("0.0.0.0", 0))
            mute.listen(0)
            # its queue is full: who calls now hears nothing
            for _ in range(4):
                caller = stack.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(mute.getsockname())
            async with session(connect_timeout=2.0) as (backend, news):
                peers = [(f"127.0.1.{n}", port) for n in range(1, 250)]
                magnet = "magnet:?xt=urn:btih:" + "11" * 20
                taken = await backend.add(magnet, str(tmp_path), peers=peers, only_peers=True)
                async with asyncio.timeout(60):
                    while (await backend.statistics()).counts["pool.lingering"] < 250:
                        await asyncio.sleep(0.05)
                await backend.add_peers(taken, [(f"127.0.2.{n}", mute.getsockname()[1]) for n in range(1, 250)])
                await news.until_all(lambda seen: any(isinstance(event, PoolChanged) for event in seen))
                change = next(event for event in news.seen if isinstance(event, PoolChanged))
                assert change.after != change.before
        doors.close()

    asyncio.run(story())


def test_a_magnet_learns_its_metadata(tmp_path: Path) -> None:
    torrent = stored(tmp_path / "seed")

    async def story() -> None:
        async with session() as (seed, _), session() as (leech, news):
            given = await seed.add(torrent, str(tmp_path / "seed"), only_peers=True)
            hash_v1 = seed.status(given).info_hash_v1
            assert hash_v1 is not None
            magnet = f"magnet:?xt=urn:btih:{hash_v1.hex()}"
            taken = await leech.add(magnet, str(tmp_path / "leech"), only_peers=True)
            assert (leech.info(taken), leech.verified(taken)) == (None, b"")
            assert leech.status(taken).state == "metadata"
            await leech.add_peers(taken, seed.listening)
            await news.until(Completed(taken))
            assert leech.info(taken) == seed.info(given)

    asyncio.run(story())


def test_a_status_waits_for_nobody(tmp_path: Path) -> None:
    torrent = stored(tmp_path, length=2_000_000)

    async def story() -> None:
        async with session() as (backend, news):
            given = await backend.add(torrent, str(tmp_path), only_peers=True)
            begin = time.monotonic()
            for _ in range(20_000):
                backend.status(given)
            # the loop had no turn, so that nothing can have been answered by it
            assert time.monotonic() - begin < 5
            await news.until(Completed(given))

    asyncio.run(story())


def test_a_cancelled_add_leaves_no_torrent(tmp_path: Path) -> None:
    torrent = stored(tmp_path)

    async def story() -> None:
        async with session() as (backend, news):
            for answered in False, True:
                task = asyncio.create_task(backend.add(torrent, str(tmp_path), only_peers=True))
                await asyncio.sleep(0)
                [future] = backend._waiting.values()
                while answered and not future.done():
                    # what the loop would do, but the task doesn't get its turn
                    backend._drain()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await news.until_all(lambda seen: any(isinstance(event, Removed) for event in seen))
                news.seen.clear()
            assert not backend._waiting
            again = await backend.add(torrent, str(tmp_path), only_peers=True)
            await news.until(Completed(again))

    asyncio.run(story())


def test_any_await_can_be_cancelled(tmp_path: Path) -> None:
    torrent = stored(tmp_path)

    async def story() -> None:
        async with session() as (backend, _):
            given = await backend.add(torrent, str(tmp_path), only_peers=True)
            for _ in range(50):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await backend.peers(given)
            assert not backend._waiting
            assert await backend.peers(given) == ()

    asyncio.run(story())


def test_a_close_is_bounded_and_may_come_again(tmp_path: Path) -> None:
    torrent = stored(tmp_path)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            async with session() as (backend, news):
                # a tracker that never answers has to be told of the end
                port = deaf.getsockname()[1]
                given = await backend.add(torrent, str(tmp_path), only_peers=False)
                magnet = f"magnet:?xt=urn:btih:{'a' * 40}&tr=http://127.0.0.1:{port}/announce"
                await backend.add(magnet, str(tmp_path))
                await news.until(Completed(given))
                begin = time.monotonic()
                await asyncio.gather(backend.close(0.2), backend.close(0.2))
                assert time.monotonic() - begin < 8
                await backend.close(0.2)
                for refused in backend.pause(given), backend.fetch("http://127.0.0.1/"):
                    with pytest.raises(errors.SessionClosed):
                        await refused
                with pytest.raises(errors.SessionClosed):
                    backend.status(given)

    asyncio.run(story())


def test_one_that_never_started_closes_too() -> None:
    backend: Backend = NativeBackend(**HERMETIC)
    assert "closed" in repr(backend)
    asyncio.run(backend.close(1))

    async def story() -> None:
        with pytest.raises(errors.SessionClosed):
            await backend.start(News())

    asyncio.run(story())


def test_a_cancelled_start_leaves_nothing_bound() -> None:
    async def story() -> None:
        # a port that others are not given meanwhile: nobody else is at this address
        with socket.create_server(("127.0.83.1", 0)) as free:
            address = free.getsockname()
        settings = HERMETIC.copy()
        settings.update({"listen": [address], "listen_tries_max": 0})
        backend = NativeBackend(**settings)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await backend.start(News())
        again = NativeBackend(**settings)
        async with asyncio.timeout(20):
            while True:
                try:
                    await again.start(News())
                    break
                except errors.StartError:
                    again = NativeBackend(**settings)
        await again.close(1)
        with pytest.raises(errors.SessionClosed):
            await backend.start(News())

    asyncio.run(story())


def test_what_waits_at_the_close_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            async with session() as (backend, _):
                fetch = asyncio.create_task(backend.fetch(f"http://127.0.0.1:{deaf.getsockname()[1]}/x.torrent"))
                await asyncio.sleep(0)
                await backend.close(0.2)
                with pytest.raises(errors.SessionClosed):
                    await fetch

    asyncio.run(story())


def test_one_that_is_forgotten_warns_and_waits_for_nobody() -> None:
    async def story() -> None:
        backend = NativeBackend(**HERMETIC)
        await backend.start(News())
        fd = backend._native.fileno()
        with pytest.warns(ResourceWarning, match="not closed"):
            del backend
            gc.collect()
        await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().remove_reader(fd) is False, "the loop reads of nobody's socket"

    asyncio.run(story())


def test_a_slow_loop_loses_no_completion(tmp_path: Path) -> None:
    torrent = stored(tmp_path / "seed", length=1_000_000)

    async def story() -> None:
        async with session() as (seed, _), session(events_max=8) as (leech, news):
            await seed.add(torrent, str(tmp_path / "seed"), only_peers=True)
            taken = await leech.add(torrent, str(tmp_path / "leech"), peers=seed.listening, only_peers=True)
            by = time.monotonic() + 30
            while leech.status(taken).state != "seeding" and time.monotonic() < by:
                time.sleep(0.01)  # the loop is held up on purpose
            await news.until(Completed(taken))
            lagged = [event.count for event in news.seen if isinstance(event, Lagged)]
            assert lagged and Metadata(taken) in news.seen
            assert sum(isinstance(event, PieceVerified) for event in news.seen) < 62

    asyncio.run(story())


def test_progress_is_told_once_a_batch(tmp_path: Path) -> None:
    torrent = stored(tmp_path / "seed", length=4_000_000)

    async def story() -> None:
        async with session() as (seed, _), session() as (leech, news):
            await seed.add(torrent, str(tmp_path / "seed"), only_peers=True)
            await leech.set_rates(None, 2_000_000, None)
            taken = await leech.add(torrent, str(tmp_path / "leech"), peers=seed.listening, only_peers=True)
            while leech.status(taken).state != "seeding":
                time.sleep(0.3)
                before = len(news.seen)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert sum(event == Progress(taken) for event in news.seen[before:]) <= 2
            await news.until(Completed(taken))

    asyncio.run(story())


def test_events_are_kept_for_ever(tmp_path: Path) -> None:
    torrent = stored(tmp_path, length=16)

    async def story() -> None:
        given = 0
        async with session() as (backend, news):
            for _ in range(400):
                given = await backend.add(torrent, str(tmp_path), only_peers=True)
                await news.until(Completed(given))
                await backend.remove(given)
                await news.until(Removed(given))
        kept = news.seen
        assert news.batches >= 800 and given == 400
        gc.collect()
        assert kept == pickle.loads(pickle.dumps(kept))
        assert all(repr(event) for event in kept)
        assert not any(map(gc.is_tracked, kept)), "however many are kept, the collector looks at none"
        assert Checked(given) in kept and kept[-1] == Stopped()

    asyncio.run(story())


def test_resume_data_is_kept_and_found(tmp_path: Path) -> None:
    torrent = stored(tmp_path)

    async def story() -> None:
        state = str(tmp_path / "state")
        async with session(keep_resume=True, state_folder=state) as (backend, news):
            given = await backend.add(torrent, str(tmp_path), only_peers=True)
            await news.until(Completed(given))
            await backend.save(given)
            await news.until(ResumeSaved(given))
        [kept] = (tmp_path / "state").glob("*.resume")
        async with session() as (backend, news):
            given = await backend.add(torrent, str(tmp_path), only_peers=True, resume=kept.read_bytes())
            await news.until(Completed(given))
            assert backend.status(given).checked[0] == 0, "nothing was looked at again"

    asyncio.run(story())


def test_warnings_of_the_driver_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "list").write_text("192.0.2.0/24\nnonsense\n")

    async def story() -> None:
        with caplog.at_level(logging.WARNING, logger="millstream"):
            async with session(ip_filter=str(tmp_path / "list")):
                pass

    asyncio.run(story())
    assert [(line.name, line.levelname) for line in caplog.records] == [("millstream", "WARNING")]


ALONE = f"""
import asyncio, gc, os, sys
from millstream._native import NativeBackend
from millstream import errors
def writes():
    with open("/proc/self/io") as counts:
        return [line for line in counts if line.startswith("syscw")]
async def main():
    global backend
    backend = NativeBackend(**{dict(HERMETIC)!r})
    await backend.start(lambda news: None)
    torrent = await backend.add("magnet:?xt=urn:btih:{"a" * 40}", ".")
"""


def alone(script: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-c", ALONE + script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("ending", ["pass", "sys.exit(0)", "asyncio.get_running_loop().stop()"])
def test_a_process_ends_though_nobody_closed(ending: str) -> None:
    script = f"    {ending}\ntry:\n    asyncio.run(main())\nexcept RuntimeError:\n    pass"
    done = alone(script, "-W", "always")
    assert done.returncode == 0, done.stderr
    assert "was not closed" in done.stderr


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="writes are counted there")
def test_a_forked_process_is_refused_and_ends() -> None:
    script = """
    backend._native.fetch("http://127.0.0.1:1/under.way")
    child = os.fork()
    if child == 0:
        for call in (lambda: backend.status(torrent), lambda: backend._native.close(1)):
            try:
                call()
                os._exit(1)
            except errors.SessionClosed:
                pass
        loop = backend._loop
        loop.call_soon_threadsafe = lambda *_: os._exit(2)
        before = writes()
        # what it gives up here is nothing to the other: no wake-up on what both processes have open
        del backend
        gc.collect()
        os._exit(0 if writes() == before and len(os.listdir("/proc/self/task")) == 1 else 3)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert backend.status(torrent).state == "metadata"
    await backend.close(1)
    sys.exit(code)
asyncio.run(main())"""
    done = alone(script, "-W", "ignore")
    assert done.returncode == 0, done.stderr
