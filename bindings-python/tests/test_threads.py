"""Other threads while the native half works: what takes long lets them run."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from millstream import BencodeError, Metainfo, sansio
from millstream._create import create_torrent_now, verify_now


class Turns:
    """How often another thread had its turn."""

    def __init__(self) -> None:
        self.count = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            time.sleep(0.0005)
            self.count += 1


@contextmanager
def other_thread() -> Iterator[Turns]:
    """A thread that has a turn only when this one lets the interpreter go: it isn't taken away."""
    turns = Turns()
    before = sys.getswitchinterval()
    sys.setswitchinterval(100)
    thread = threading.Thread(target=turns.run)
    thread.start()
    try:
        yield turns
    finally:
        turns.ended.set()
        sys.setswitchinterval(before)
        thread.join()


def many_peers() -> sansio.Tracker:
    tracker = sansio.Tracker(1, peers_per_source_max=10**9, peers_per_torrent_max=10**9)
    for n in range(60_000):
        torrent, peer = n % 200, n // 200
        target = b"/announce?info_hash=%020d&peer_id=%020d&port=6881&left=0&numwant=0" % (torrent, peer)
        tracker.http(target, (f"10.{peer >> 16}.{peer >> 8 & 255}.{peer & 255}", 6881), 0)
    return tracker


def many_files() -> bytes:
    files = b"".join(b"d6:lengthi1e4:pathl8:%08dee" % n for n in range(60_000))
    return b"d4:infod5:filesl" + files + b"e4:name1:x12:piece lengthi16384e6:pieces80:" + bytes(80) + b"ee"


def files(folder: Path) -> tuple[Path, bytes]:
    (folder / "a").write_bytes(bytes(48 << 20))
    return folder, create_torrent_now(folder / "a")


Work = Callable[[], object]


def saving(_: Path) -> Work:
    tracker = many_peers()
    return lambda: [tracker.save(1, 1) for _ in range(5)]


def restoring(_: Path) -> Work:
    saved = many_peers().save(1, 1)
    tracker = sansio.Tracker(1, peers_per_source_max=10**9, peers_per_torrent_max=10**9)
    return lambda: tracker.restore(saved, 1, 2)


def forgetting(_: Path) -> Work:
    tracker = many_peers()
    return lambda: tracker.handle_timer(10**6)


def parsing(_: Path) -> Work:
    torrent = many_files()
    return lambda: Metainfo.parse(torrent)


def adding(_: Path) -> Work:
    torrent, engine = many_files(), sansio.Engine(1)
    return lambda: engine.add_torrent(0, torrent, "x")


def decoding(_: Path) -> Work:
    # the bytes are understood, and refused before a value of Python's is made
    data = b"l" + b"i1e" * 900_000 + b"x"

    def refused() -> None:
        with pytest.raises(BencodeError):
            sansio.bencode.decode(data)

    return refused


def making(folder: Path) -> Work:
    place, _ = files(folder)
    return lambda: create_torrent_now(place / "a")


def checking(folder: Path) -> Work:
    place, torrent = files(folder)
    return lambda: verify_now(torrent, place)


@pytest.mark.parametrize("prepare", [saving, restoring, forgetting, parsing, adding, decoding, making, checking])
def test_what_takes_long_lets_others_run(prepare: Callable[[Path], Work], tmp_path: Path) -> None:
    work = prepare(tmp_path)
    with other_thread() as turns:
        before, since = turns.count, time.perf_counter()
        work()
        had, took = turns.count - before, time.perf_counter() - since
    # so long that a turn was due, many times over
    assert took > 0.004, "too quick to tell"
    assert had >= 2
