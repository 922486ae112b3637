"""Every component ends as it says, by each of the three signals, idle or with garbage before it, and leaves nothing
behind: no thread but the main one, no open file or socket, no warning."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream.kamaelia._axon import Component, producerFinished, shutdown, shutdownMicroprocess
from millstream.kamaelia.TorrentService import TorrentService

from .components import LOCAL, RECIPES, TORRENT, kinds
from .stage import fresh_scheduler, run, until
from .test_garbage import Around, Told, told
from .world import wait

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

__all__ = ["told"]

SIGNALS = [producerFinished, shutdownMicroprocess, shutdown]
ALONE: dict[str, Any] = {"dht_bootstrap": ["127.0.0.1:9"], "dht_listen": [("127.0.0.1", 0)]}
"""A DHT of nobody else."""

UNSEEN = 0.15
"""Seconds after which one that was told nothing still runs."""


def descriptors() -> set[str]:
    """What this process has open, but the sockets of the pool of threads that it keeps."""
    return {f"{number}: {target(number)}" for number in os.listdir("/proc/self/fd")}


def target(number: str) -> str:
    """What a descriptor stands for."""
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return "gone"


class Ending(Around):
    """Tells a component to end in one way, and if that isn't its way, by shutdown."""

    def __init__(self, component: Component, log: Told, signal: type[Any], *, ends: bool, before: list[object]) -> None:
        super().__init__(component, next(iter(component.Inboxes)), before, log)
        self._signal, self._ends = signal, ends

    def _throw(self) -> Main:
        yield from super()._throw()
        self.send(self._signal(), "to control")
        over = until(lambda: self._count() and (self.ended or self.component._isStopped()), "its end", 10)
        if self._ends:
            while not over():
                yield 1
            return
        still = until(lambda: self.ended or self.component._isStopped(), "", UNSEEN)
        try:
            while not still():
                yield 1
            raise ValueError("it ended, though it says that it doesn't")
        except AssertionError:
            return


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_component_ends_as_it_is_told_and_leaves_nothing_behind(name: str, signal: type[Any], told: Told) -> None:
    gc.collect()
    open_before, threads_before = descriptors(), set(threading.enumerate())
    recipe = RECIPES[name]
    ends = signal is not producerFinished or recipe.ends_when_finished
    play_to_the_end(Ending(recipe.make(kinds()[name]), told, signal, ends=ends, before=[object(), None]))
    assert_nothing_is_left(open_before, threads_before)


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("name", "work", "options"),
    [
        ("TorrentClient", TORRENT, {}),
        ("TorrentPatron", TORRENT, {}),
        ("SeedingController", "file", {}),
        ("StreamPublisher", b"x" * 5000, {"chunk": 5000}),
        ("StreamPublisher", b"x" * 5000, {"chunk": 5000, "key": bytes(32), **ALONE}),
        ("StreamSubscriber", "garbage", {"url": f"magnet:?xs=urn:btpk:{'00' * 32}", **ALONE}),
    ],
    ids=["client", "patron", "seeding", "publisher", "publisher-key", "subscriber-key"],
)
def test_one_with_a_session_of_its_own_leaves_nothing_of_it(
    name: str, work: object, options: dict[str, Any], signal: type[Any], told: Told, folder: Path
) -> None:
    (folder / "file").write_bytes(b"x" * 5000)
    gc.collect()
    open_before, threads_before = descriptors(), set(threading.enumerate())
    # one that seeds goes on until it is told otherwise
    ends = signal is not producerFinished or name == "StreamSubscriber"
    make: Any = kinds()[name]
    play_to_the_end(Ending(make(settings=LOCAL, **options), told, signal, ends=ends, before=[work]))
    assert_nothing_is_left(open_before, threads_before)


def play_to_the_end(ending: Ending) -> None:
    run(ending.component, ending, deadline=30)
    if ending.failure is not None:
        raise ending.failure
    # a service has told its client to end, not its users
    assert ending.ended or isinstance(ending.component, TorrentService)


def assert_nothing_is_left(open_before: set[str], threads_before: set[threading.Thread]) -> None:
    fresh_scheduler()
    gc.collect()
    wait(lambda: set(threading.enumerate()) <= threads_before, "threads end", 10)
    wait(lambda: descriptors() <= open_before, f"left open: {descriptors() - open_before}", 10)
