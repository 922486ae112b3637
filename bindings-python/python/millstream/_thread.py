"""An event loop on a thread of its own, and calls into it from any other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from .errors import SessionClosed

R = TypeVar("R")


class LoopThread:
    """A loop that runs until it is stopped. Its thread keeps no process alive."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._loop = factory()
        self._thread = threading.Thread(target=self._run, name="millstream", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Runs a coroutine there, and waits. An exception in who waits, as of a key that interrupts, cancels it."""
        if threading.get_ident() == self._thread.ident:
            work.close()
            raise SessionClosed("a session that blocks can't be used on its own loop")
        if not self._thread.is_alive():
            work.close()
            raise SessionClosed("the session was closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError as error:
            raise SessionClosed("the session was closed") from error
        finally:
            future.cancel()

    def tell(self, work: Coroutine[Any, Any, object]) -> None:
        """Runs a coroutine there, and doesn't wait."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(work, self._loop)
        else:
            work.close()

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

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


async def _settled(timeout: float) -> None:
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    if others:
        await asyncio.wait(others, timeout=timeout)
