"""Sessions for who blocks."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from drivers_stage import PIECE, Drivers, Thing, thing, things

from millstream import Completed, FileCompleted, Metadata, MillstreamError, Removed, SessionClosed, TorrentRemoved, sync
from millstream._thread import LoopThread


@contextmanager
def two(drivers: Drivers) -> Iterator[tuple[sync.Session, sync.Session]]:
    """Two sessions."""
    with drivers.sync_session("seed") as seed, drivers.sync_session("leech") as leech:
        yield seed, leech


def seeding(session: sync.Session, what: Thing) -> sync.Torrent:
    what.store(session.folder)
    torrent = session.add(what.torrent)
    torrent.wait_complete(timeout=30)
    return torrent


def test_a_torrent_goes_from_one_session_to_another(blocking: Drivers) -> None:
    what = things()
    with two(blocking) as (seed, leech):
        seeding(seed, what)
        ours = leech.add(what.torrent)
        events = ours.events(timeout=30)
        ours.add_peers([seed.listening[0]])
        assert ours.metadata(timeout=30).name == "things"
        assert ours.wait_complete(timeout=30).progress == 1.0
        assert what.stored(leech.folder)
        assert leech.torrents == (ours,) and leech.torrent(ours.info_hash) == ours
        seen = []
        for event in events:
            seen.append(event)
            if isinstance(event, Completed):
                break
        assert seen[0] == Metadata(ours.id)
        assert len([event for event in seen if isinstance(event, FileCompleted)]) == 3
        ours.remove()
        assert [type(event).__name__ for event in events][-1] == "Removed"
        with pytest.raises(TorrentRemoved):
            ours.stats
        with pytest.raises(TorrentRemoved):
            ours.pause()


def test_next_events_waits_no_longer_than_it_may_and_wakes_when_closed(blocking: Drivers) -> None:
    session = blocking.sync_session("one")
    torrent = session.add("0" * 40)
    events = torrent.events()
    assert events.next_events(0.05) == []
    woken: list[Any] = []
    waiting = threading.Thread(target=lambda: woken.append(events.next_events(30)))
    waiting.start()
    session.close()
    waiting.join(10)
    assert not waiting.is_alive() and events.ended
    # what came after who waited was woken: its end, if that was told in time
    assert {type(event) for event in [*woken[0], *events]} <= {Removed}
    assert list(events) == []
    with pytest.raises(SessionClosed):
        session.add("1" * 40)
    session.close()


def test_threads_share_a_session(blocking: Drivers) -> None:
    with blocking.sync_session("one") as session:
        names = [f"{n:040x}" for n in range(20)]
        threads = [threading.Thread(target=session.add, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(torrent.info_hash for torrent in session.torrents) == names


def test_a_file_is_a_real_file(blocking: Drivers) -> None:
    what = thing()
    data = what.files["thing.bin"]
    with two(blocking) as (seed, leech):
        seeding(seed, what)
        ours = leech.add(what.torrent, peers=[seed.listening[0]])
        with ours.open("thing.bin") as file:
            assert isinstance(file, io.BufferedReader)
            assert file.seek(-100, io.SEEK_END) == len(data) - 100
            assert file.read() == data[-100:] and file.read() == b""
            file.seek(PIECE - 3)
            assert file.read(7) == data[PIECE - 3 : PIECE + 4]
            file.seek(0)
            assert file.read() == data
        with pytest.raises(ValueError):
            file.read()


def test_a_reader_hears_that_its_torrent_is_gone(blocking: Drivers) -> None:
    with blocking.sync_session("one") as session:
        torrent = session.add(thing().torrent)
        failed: list[BaseException] = []

        def read() -> None:
            try:
                with torrent.open() as file:
                    file.read(1)
            except BaseException as error:
                failed.append(error)

        waiting = threading.Thread(target=read)
        waiting.start()
        torrent.remove()
        waiting.join(10)
        assert [type(error) for error in failed] == [TorrentRemoved]


def test_a_reader_hears_that_the_session_is_closed(blocking: Drivers) -> None:
    session = blocking.sync_session("one")
    torrent = session.add(thing().torrent)
    torrent.metadata(timeout=30)
    file = torrent.open()
    failed: list[BaseException] = []

    def read() -> None:
        try:
            file.read(1)
        except BaseException as error:
            failed.append(error)

    waiting = threading.Thread(target=read)
    waiting.start()
    waiting.join(0.1)
    session.close()
    waiting.join(10)
    assert [type(error) for error in failed] == [SessionClosed]
    assert repr(torrent).endswith(": closed>")
    with suppress(SessionClosed):
        file.close()


def test_torrents_are_made_and_checked_without_await(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    made = sync.create_torrent(tmp_path / "x", trackers=["http://a.example/announce"])
    assert sync.verify(made, tmp_path).is_complete


def test_who_calls_while_another_thread_closes_is_never_left_waiting(blocking: Drivers) -> None:
    session = blocking.sync_session("one")
    torrent = session.add(thing().torrent)
    closed = threading.Event()

    def ask() -> None:
        while not closed.is_set():
            with suppress(MillstreamError):
                torrent.peers()
                session.statistics()

    asking = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in asking:
        thread.start()
    session.close()
    closed.set()
    for thread in asking:
        thread.join(10)
    assert not any(thread.is_alive() for thread in asking)


def test_what_is_called_as_the_loop_stops_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = LoopThread(asyncio.new_event_loop)
    stopping, called, failed = threading.Event(), threading.Event(), list[BaseException]()
    schedule = asyncio.run_coroutine_threadsafe

    def told(*given: Any) -> Any:
        future = schedule(*given)
        called.set()
        return future

    def stop() -> None:
        thread._loop.stop()
        stopping.set()
        called.wait(10)

    def call() -> None:
        try:
            thread.call(asyncio.sleep(60))
        except BaseException as error:
            failed.append(error)

    thread._loop.call_soon_threadsafe(stop)
    assert stopping.wait(10)
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", told)
    calling = threading.Thread(target=call, daemon=True)
    calling.start()
    calling.join(20)
    assert [type(error) for error in failed] == [SessionClosed]
    thread.join(10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the host knows no fork")
# newer interpreters see the session's own threads and warn of what is tested here
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_hears_whose_session_it_is(blocking: Drivers) -> None:
    with blocking.sync_session("one") as session:
        torrent = session.add(thing().torrent, only_peers=True)
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                torrent.peers()
            except SessionClosed as error:
                os._exit(0 if "forked" in str(error) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert torrent.peers() == ()


def test_who_waits_can_be_interrupted_by_a_key(blocking: Drivers) -> None:
    with blocking.sync_session("one") as session:
        torrent = session.add("0" * 40)
        interrupt = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
        # whoever started the tests may have had the key ignored
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            interrupt.start()
            with pytest.raises(KeyboardInterrupt):
                torrent.wait_complete(timeout=30)
            interrupt.join()
        finally:
            signal.signal(signal.SIGINT, before)
        assert torrent.stats.state == "metadata", "and all goes on"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_session_that_nobody_closed_is_warned_of(on_demand: Drivers) -> None:
    session = on_demand.sync_session("one")
    thread = session._thread
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del session
        gc.collect()
        thread.join(10)
    assert [str(w.message) for w in caught if w.category is ResourceWarning][:1] == ["unclosed Session"]
    assert not thread._thread.is_alive()


def test_download_is_one_call(blocking: Drivers) -> None:
    what = things()
    with blocking.sync_session("seed") as seed:
        seeding(seed, what)
        place = sync.download(
            what.torrent,
            blocking.folder / "here",
            peers=[seed.listening[0]],
            driver=blocking.driver,
            **blocking.settings,
        )
        assert place == blocking.folder / "here" / "things" and what.stored(place.parent)
