"""SIGINT and SIGTERM: the first asks for an end in good order, the second ends at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TypeVar

from .lines import INTERRUPTED

R = TypeVar("R")

ENDING = (signal.SIGINT, signal.SIGTERM)

HEEDED_S = 0.1
"""How long Python's own thread waits at a stretch, and so how late a signal may be heeded. Seconds."""


class Signals:
    """The signals that end us, on a loop: `came` is set by the first one."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self._heed)

    def _heed(self) -> None:
        if self.came.is_set():
            end_now()
        self.came.set()


def end_now() -> NoReturn:
    """Ends the process as it is: threads that are at work are waited for by nobody."""
    os._exit(INTERRUPTED)


def interruptible(work: Callable[[], R]) -> R:
    """Runs blocking work on a thread of its own, given up with the process when a signal comes: it must leave nothing
    half done."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    before = {number: signal.signal(number, _end) for number in ENDING}
    done: list[R] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True, name="millstream work")
    try:
        thread.start()
        # a signal that comes just before a wait begins is heeded after it
        while thread.is_alive():
            thread.join(HEEDED_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if failed:
        raise failed[0]
    return done[0]


def _end(number: int, frame: FrameType | None) -> None:
    end_now()
