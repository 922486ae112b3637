"""Which backend a session gets."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Literal, TypeAlias

from ._backend import Backend
from ._known import check
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


def _named(driver: str) -> Callable[..., Backend]:
    if driver not in CLASSES:
        raise ValueError(f"there is no driver {driver!r}; there are {' and '.join(CLASSES)}")
    module, name = CLASSES[driver]
    try:
        made: Callable[..., Backend] = getattr(import_module(module, __package__), name)
    except ImportError as error:
        raise StartError(f"this build has no {driver} driver: {error}") from error
    return made
