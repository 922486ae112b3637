"""What the examples share: their arguments, a screen, and an input whose end is theirs.

With `--local` among the arguments an example meets only programs of this host.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from Axon.Component import component
from Axon.Ipc import producerFinished, shutdown, shutdownMicroprocess
from Axon.ThreadedComponent import threadedcomponent

import millstream.kamaelia


def arguments(usage: str | None, least: int) -> list[str]:
    """What was given, if that is enough."""
    given = [argument for argument in sys.argv[1:] if argument != "--local"]
    if len(given) < least:
        sys.exit(usage)
    if is_local():
        millstream.kamaelia.configure(
            listen=[("127.0.0.1", 0)], dht=False, lsd=False, port_mapping=False, keep_resume=False
        )
    return given


def is_local() -> bool:
    """Whether only this host counts."""
    return "--local" in sys.argv


class Screen(component):
    """Shows each message that comes, as a line, until it is told that there are no more."""

    def __init__(self, text: Callable[[object], str] = str) -> None:
        super().__init__()
        self.text = text

    def main(self):
        while True:
            while self.dataReady("inbox"):
                print(self.text(self.recv("inbox")), flush=True)
            while self.dataReady("control"):
                if isinstance(self.recv("control"), producerFinished | shutdown | shutdownMicroprocess):
                    return
            self.pause()
            yield 1


class Input(threadedcomponent):
    """Sends what comes by the standard input, as bytes; at its end, `last` as a signal."""

    def __init__(self, last: object) -> None:
        super().__init__()
        self.last = last

    def main(self):
        while data := os.read(0, 1 << 16):
            # a queue holds a thousand messages; who fills it waits
            while len(self.outboxes["outbox"]) > 100:
                self.pause(0.05)
            self.send(data)
        self.send(self.last, "signal")
