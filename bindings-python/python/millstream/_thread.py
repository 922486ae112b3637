"""An event loop on a thread of its own, and calls into it from any other."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from .errors import CLOSED, FORKED, SessionClosed, WrongLoop

R = TypeVar("R")


class LoopThread:
    """A loop that runs until it is stopped. Its thread keeps no process alive."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._loop = factory()
        self._pid = os.getpid()
        # what was called and isn't answered; under the lock, which a collector of garbage may take again, nothing is
        # called once the loop has stopped
        self._lock = threading.RLock()
        self._ended = False
        self._calls: set[Future[Any]] = set()
        self._thread = threading.Thread(target=self._run, name="millstream", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Runs a coroutine there, and waits. An exception in who waits, as of a key that interrupts, cancels it."""
        if threading.get_ident() == self._thread.ident:
            work.close()
            raise WrongLoop("a session that blocks can't be used on its own loop")
        future = self._schedule(work)
        if future is None:
            raise SessionClosed(CLOSED if self._pid == os.getpid() else FORKED)
        try:
            return future.result()
        except CancelledError as error:
            raise SessionClosed(CLOSED) from error
        finally:
            future.cancel()

    def tell(self, work: Coroutine[Any, Any, object]) -> None:
        """Runs a coroutine there, and doesn't wait."""
        self._schedule(work)

    def settle(self, timeout: float) -> None:
        """Waits until all that runs there has come to its end."""
        self.call(_settled(timeout))

    def stop(self) -> None:
        """Ends the loop soon; waits for nothing."""
        if self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._loop.stop)
            except RuntimeError:
                # it ended just now
                return

    def join(self, timeout: float) -> None:
        """Waits until the thread has ended."""
        self._thread.join(timeout)

    def _schedule(self, work: Coroutine[Any, Any, R]) -> Future[R] | None:
        """None if there is no loop any more. In a forked process its thread isn't there, and the lock may be shut."""
        if self._thread.is_alive():
            with self._lock:
                if not self._ended:
                    future = asyncio.run_coroutine_threadsafe(work, self._loop)
                    self._calls.add(future)
                    future.add_done_callback(self._calls.discard)
                    return future
        work.close()
        return None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            with self._lock:
                self._ended = True
            for call in list(self._calls):
                call.cancel()
            # what was called too late to begin becomes a task here, to be cancelled with the others
            self._loop.run_until_complete(asyncio.sleep(0))
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()


async def _settled(timeout: float) -> None:
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    if others:
        await asyncio.wait(others, timeout=timeout)
