"""Mends Axon and Kamaelia 1.14.32 for today's Python, in place and when asked. Owns what is changed where; the
components that take the place of others are in `_http` and `_icecast`."""

from __future__ import annotations

import importlib
import logging
from collections import deque
from typing import Any

from ..errors import MillstreamError

__all__ = ["ComponentFailed", "repair"]

log = logging.getLogger("millstream")

_repaired: set[str] = set()


class ComponentFailed(MillstreamError):
    """A RuntimeError escaped from a component. Axon would take it for the component's end."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "a component failed")


def repair() -> None:
    """Mends what is broken in Axon, and in Kamaelia where it is installed. Again, it does nothing.

    Axon: `yield WaitComplete(..)` and `component.stop()` no longer end the whole scheduler, and a RuntimeError in a
    component is no longer taken for its end in silence: it leaves `run()` as `ComponentFailed`, as other exceptions do
    as they are.

    Kamaelia: `Chunkifier`, `SimpleHTTPClient`, `IcecastClient` and `IcecastDemux` work with bytes. Call it before
    programs import these by name.
    """
    if "Axon" not in _repaired:
        _repair_axon()
        _repaired.add("Axon")
    if "Kamaelia" not in _repaired:
        try:
            importlib.import_module("Kamaelia")
        except ImportError:
            log.debug("Kamaelia isn't installed: Axon alone was mended")
            return
        _repair_kamaelia()
        _repaired.add("Kamaelia")


def _repair_axon() -> None:
    microprocess: Any = importlib.import_module("Axon.Microprocess").microprocess

    def step(self: Any) -> object:
        """A time slice. The scheduler knows the end of a microprocess by a RuntimeError alone."""
        try:
            return next(self._microprocess__thread)
        except StopIteration:
            raise RuntimeError("finished") from None
        except RuntimeError as error:
            # what a generator makes of a StopIteration inside it (PEP 479) is the end; nothing else is
            if isinstance(error.__cause__, StopIteration):
                raise
            raise ComponentFailed(f"{self.name}: {error}") from error

    microprocess.next = step


def _repair_kamaelia() -> None:
    from . import _http, _icecast

    importlib.import_module("Kamaelia.Util.Chunkifier").__dict__["CharacterFIFO"] = ByteQueue
    _replace("Kamaelia.Protocol.HTTP.HTTPClient", SimpleHTTPClient=_http.SimpleHTTPClient)
    _replace(
        "Kamaelia.Protocol.HTTP.IcecastClient",
        IcecastClient=_icecast.IcecastClient,
        IcecastDemux=_icecast.IcecastDemux,
    )


def _replace(name: str, **classes: type) -> None:
    module = importlib.import_module(name)
    for given, replacement in classes.items():
        old = getattr(module, given)
        setattr(module, given, replacement)
        listed = getattr(module, "__kamaelia_components__", ())
        module.__dict__["__kamaelia_components__"] = tuple(replacement if entry is old else entry for entry in listed)


class ByteQueue:
    """What came in, of which so much is taken out as is wanted. Each byte is copied once."""

    def __init__(self) -> None:
        self._parts: deque[Any] = deque()
        self._length = 0
        # so much of the first part was taken
        self._start = 0

    def __len__(self) -> int:
        return self._length

    def push(self, text: bytes | bytearray | memoryview | str) -> None:
        """More, bytes or a str, which stands for its UTF-8."""
        data = text.encode() if isinstance(text, str) else bytes(text)
        if data:
            self._parts.append(data)
            self._length += len(data)

    def poplength(self, length: int) -> bytes:
        """The first so many bytes. `IndexError` if there aren't as many."""
        if length > self._length:
            raise IndexError("there isn't as much")
        taken = []
        left = length
        while left:
            part = memoryview(self._parts[0])[self._start : self._start + left]
            taken.append(part)
            left -= len(part)
            self._start += len(part)
            if self._start == len(self._parts[0]):
                self._parts.popleft()
                self._start = 0
        self._length -= length
        return b"".join(taken)
