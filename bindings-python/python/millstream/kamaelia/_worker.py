"""What our components share that are told what to do by messages: how they end, and that none ends or stays silent
for a message that it can't use. It owns no meaning of any message."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from ._axon import Component, ThreadedComponent, producerFinished
from ._outgoing import MESSAGES_MAX, Outgoing
from ._signals import Ending, reason_of, told

if TYPE_CHECKING:
    from ._axon import Main

log = logging.getLogger("millstream")

PATIENCE = 0.05
"""Seconds until a full box is tried again."""

FAREWELL = 1.0
"""Seconds that answers of one who is told to end at once may wait in a full box."""


class Worker(ThreadedComponent):
    """A component with a thread of its own, which answers messages in order. Subclasses say how."""

    Inboxes = {"inbox": "Requests", "control": "Shut me down"}
    Outboxes = {"outbox": "Answers", "signal": "producerFinished when I've shutdown"}

    def __init__(self) -> None:
        super().__init__()
        self.out = Outgoing(self)

    def on_message(self, message: Any) -> None:
        """A message came in. What this raises goes to `on_unusable`."""
        raise NotImplementedError

    def on_unusable(self, message: Any, error: Exception) -> None:
        """Tells that a message could not be done: in the log, unless a subclass has an answer for it."""
        log.warning("a %s can't use a %s: %s", type(self).__name__, type(message).__name__, reason_of(error))

    def on_turn(self) -> None:
        """Called after messages came, and whenever the component wakes."""

    def idle(self, most: float | None) -> None:
        """Waits for something to do, so many seconds at the most."""
        self.pause(most)

    def is_done(self) -> bool:
        """Whether nothing is left to do, for one whose source has finished."""
        return True

    def on_end(self) -> None:
        """The component ends."""

    def main(self) -> None:
        """In a thread of its own."""
        ending: Ending = ""
        try:
            ending = self._serve()
        except Exception:
            log.exception("a %s failed", type(self).__name__)
        finally:
            self.finish(FAREWELL if ending != "soon" else None)

    def _serve(self) -> Ending:
        ending: Ending = ""
        while True:
            said = told(self)
            if said == "now":
                return said
            ending = ending or said
            # who doesn't read answers isn't listened to either; who is told to end does no more
            while len(self.out) < MESSAGES_MAX and self.dataReady("inbox") and not self.dataReady("control"):
                self.attempt(self.recv("inbox"))
                self.out.flush()
            self.on_turn()
            flushed = self.out.flush()
            if ending and flushed and self.is_done() and not self.dataReady("inbox"):
                return ending
            if not self.dataReady("control"):
                self.idle(None if flushed else PATIENCE)

    def attempt(self, message: Any) -> None:
        """Does what a message says, or tells that it can't be done."""
        try:
            self.on_message(message)
        except Exception as error:
            if not isinstance(error, ValueError | TypeError | OSError):
                log.warning("a %s could not use a message", type(self).__name__, exc_info=error)
            self.on_unusable(message, error)

    def finish(self, farewell: float | None) -> None:
        """Ends: hands over what waits, within so many seconds, and says so."""
        try:
            self.on_end()
        except Exception:
            log.exception("a %s could not end in order", type(self).__name__)
        end = None if farewell is None else time.monotonic() + farewell
        while not self.out.flush() and (end is None or time.monotonic() < end) and told(self) != "now":
            self.pause(PATIENCE)
        self.send(producerFinished(self), "signal")


class Transformer(Component):
    """A component that makes something of each message that comes to its inbox, in order. Subclasses say what."""

    Inboxes = {"inbox": "What is to be changed", "control": "Shut me down"}
    Outboxes = {"outbox": "What was made of it, or Unusable", "signal": "producerFinished when I've shutdown"}

    def __init__(self) -> None:
        super().__init__()
        self._out = Outgoing(self)

    def transform(self, message: Any) -> object:
        """What becomes of a message. What this raises is told of by `unusable`."""
        raise NotImplementedError

    def unusable(self, message: Any, error: Exception) -> object:
        """What is sent for a message that nothing can be made of."""
        raise NotImplementedError

    def main(self) -> Main:
        """A generator, as Axon's components are."""
        ending: Ending = ""
        while True:
            said = told(self)
            ending = ending or said
            while said != "now" and len(self._out) < MESSAGES_MAX and self.dataReady("inbox"):
                self._out.put(self._made(self.recv("inbox")))
            if self._out.flush() and ending and not self.dataReady("inbox") or said == "now":
                break
            if not self.anyReady() or self._out:
                self.pause()
            yield 1
        self.send(producerFinished(self), "signal")
        yield 1

    def _made(self, message: Any) -> object:
        try:
            return self.transform(message)
        except Exception as error:
            if not isinstance(error, ValueError | TypeError):
                log.warning("a %s could not use a message", type(self).__name__, exc_info=error)
            return self.unusable(message, error)
