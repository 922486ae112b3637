"""Where a session lives: the process and the event loop that started it, and whether it still does. What belongs to
the session asks here before it does anything. Owns nothing but the refusal.
"""

from __future__ import annotations

import asyncio
import os
from typing import Literal

from .errors import CLOSED, FORKED, NOT_STARTED, SessionClosed, WrongLoop


class Home:
    """A process, and its loop once there is one. What would be answered there is awaited there. `closing`: the end has
    begun, and what ends now does so for that."""

    __slots__ = ("pid", "state", "closing", "_loop")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.state: Literal["new", "open", "closed"] = "new"
        self.closing = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def settle(self) -> None:
        """This is the process and the loop: from now on the session is open."""
        self.pid, self._loop = os.getpid(), asyncio.get_running_loop()
        self.state = "open"

    def check_open(self) -> None:
        """`SessionClosed` unless it is open, in this process. What is read at once needs no more."""
        if self.state != "open":
            raise SessionClosed(CLOSED if self.state == "closed" else NOT_STARTED)
        self.check_process()

    def check_here(self) -> None:
        """The same, and `WrongLoop`: what is awaited would be answered on the session's own loop."""
        self.check_open()
        self.check()

    def check_process(self) -> None:
        """`SessionClosed` in a process that was forked."""
        if self.pid != os.getpid():
            raise SessionClosed(FORKED)

    def check(self) -> None:
        """The same, and `WrongLoop` on another loop than the session's, or on none."""
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
