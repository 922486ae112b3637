"""Making torrents and checking files: what ends the work before its time."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from millstream import Metainfo, create, create_torrent, verify
from millstream._create import create_torrent_now

LONG = 1 << 40
"""Bytes of a file that is a hole: nobody reads to its end."""


class Raised(Exception):
    """What a caller raises."""


def hole(folder: Path) -> Path:
    place = folder / "hole"
    with place.open("wb") as file:
        file.truncate(LONG)
    return place


def whole(folder: Path) -> Metainfo:
    """A torrent of so many bytes, without looking at them."""
    piece = 1 << 24
    info = b"d6:lengthi%de4:name4:hole12:piece lengthi%de6:pieces%d:" % (LONG, piece, 20 * (LONG // piece))
    hole(folder)
    return Metainfo.parse(b"d4:info" + info + bytes(20 * (LONG // piece)) + b"ee")


@pytest.mark.parametrize("work", ["create", "verify"])
def test_who_cancels_ends_the_threads_work(tmp_path: Path, work: str) -> None:
    async def story() -> None:
        with ThreadPoolExecutor(1) as one:
            asyncio.get_running_loop().set_default_executor(one)
            begun = threading.Event()
            told: list[int] = []

            def progress(done: int, _: int) -> None:
                told.append(done)
                begun.set()

            long: Coroutine[Any, Any, object] = (
                create_torrent(hole(tmp_path), version="v1", progress=progress)
                if work == "create"
                else verify(whole(tmp_path), tmp_path, progress=progress)
            )
            task = asyncio.create_task(long)
            async with asyncio.timeout(30):
                while not begun.is_set():
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                count = len(told)
                # the only thread there is has its hands free again
                await asyncio.to_thread(lambda: None)
            assert len(told) <= count + 1
            assert not any(thread.name.startswith("millstream-") for thread in threading.enumerate())

    asyncio.run(story())


def test_what_progress_raises_ends_the_work_and_is_raised(tmp_path: Path) -> None:
    def progress(done: int, length: int) -> None:
        raise Raised(length)

    async def story() -> None:
        async with asyncio.timeout(30):
            with pytest.raises(Raised, match=str(LONG)):
                await create_torrent(hole(tmp_path), version="v1", progress=progress)
            with pytest.raises(Raised):
                await verify(whole(tmp_path), tmp_path, progress=progress)

    asyncio.run(story())


def test_a_signal_ends_the_work_of_who_blocks(tmp_path: Path) -> None:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise Raised

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Raised):
            create_torrent_now(hole(tmp_path), version="v1")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_other_threads_go_on_while_files_are_read(tmp_path: Path) -> None:
    data = bytes(64 << 20)
    (tmp_path / "a").write_bytes(data)
    turns = 0
    ended = threading.Event()

    def turn() -> None:
        nonlocal turns
        while not ended.wait(0.001):
            turns += 1

    other = threading.Thread(target=turn)
    other.start()
    try:
        torrent = create_torrent_now(tmp_path / "a", threads=1)
        assert turns > 5
        turns = 0
        assert asyncio.run(verify(torrent, tmp_path)).is_complete
        assert turns > 5
    finally:
        ended.set()
        other.join()
    assert Metainfo.parse(torrent).info_hash == Metainfo.parse(create("a", data)).info_hash
