"""Which backend a session gets, and what is said of a setting that it doesn't know."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Literal, TypeAlias

from ._backend import Backend
from ._values import SessionSettings
from .errors import StartError

Driver: TypeAlias = Literal["native", "asyncio"] | Callable[..., Backend]
"""What runs the engine: threads of its own, the sockets of the asyncio loop, or what makes another backend."""

CLASSES = {"native": ("._native", "NativeBackend"), "asyncio": ("._asyncio", "AsyncioBackend")}


def backend(driver: Driver, settings: SessionSettings) -> Backend:
    """A backend with these settings. `TypeError` for a name that it doesn't know."""
    if callable(driver):
        return driver(**settings)
    check("setting", settings, SessionSettings.__required_keys__ | SessionSettings.__optional_keys__)
    return _named(driver)(**settings)


def check(kind: str, given: Iterable[str], known: frozenset[str]) -> None:
    """`TypeError` for a name that isn't known, with those that may be meant."""
    names = sorted(known)
    for name in given:
        if name not in names:
            alike = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            alike += [other for other in names if name in other and other not in alike]
            meant = f"; did you mean {' or '.join(repr(other) for other in alike)}?" if alike else ""
            raise TypeError(f"there is no {kind} {name!r}{meant}")


def _named(driver: str) -> Callable[..., Backend]:
    if driver not in CLASSES:
        raise ValueError(f"there is no driver {driver!r}; there are {' and '.join(CLASSES)}")
    module, name = CLASSES[driver]
    try:
        made: Callable[..., Backend] = getattr(import_module(module, __package__), name)
    except ImportError as error:
        raise StartError(f"this build has no {driver} driver: {error}") from error
    return made
