"""Where a session lives: the process and the event loop that started it. Owns nothing but the refusal of others."""

from __future__ import annotations

import asyncio
import os

from .errors import FORKED, SessionClosed, WrongLoop


class Home:
    """A process, and its loop once there is one. What would be answered there is awaited there."""

    __slots__ = ("pid", "_loop")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None

    def settle(self) -> None:
        """This is the process and the loop."""
        self.pid, self._loop = os.getpid(), asyncio.get_running_loop()

    def check_process(self) -> None:
        """`SessionClosed` in a process that was forked."""
        if self.pid != os.getpid():
            raise SessionClosed(FORKED)

    def check(self) -> None:
        """The same, and `WrongLoop` on another loop, or on none."""
        # first, since in a process that was forked no loop is found
        self.check_process()
        if self._loop is None:
            return
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is not self._loop:
            raise WrongLoop("the session belongs to the event loop that started it, and this is another")
