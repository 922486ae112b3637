"""How our components look at what comes to them, whoever sent it: of a stranger's object nothing is asked but its type,
since anything else of it may raise. It owns what the messages at a control mean, and no other message."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from ._axon import Component, producerFinished, shutdown, shutdownMicroprocess

log = logging.getLogger("millstream")

Ending: TypeAlias = Literal["", "soon", "now"]
"""What a component is told: nothing, to end when all is done, to end at once."""


def is_a(message: object, *kinds: type) -> bool:
    """Whether it is of one of these classes. Unlike `isinstance`, this runs no code of the object's."""
    return issubclass(type(message), kinds)


def told(component: Component, box: str = "control", refuse: Callable[[object], None] | None = None) -> Ending:
    """What a component is told at its control. What isn't any of it is refused, or logged if nothing says how."""
    ending: Ending = ""
    while component.dataReady(box):
        message = component.recv(box)
        if is_a(message, shutdown, shutdownMicroprocess):
            return "now"
        if is_a(message, producerFinished):
            ending = "soon"
        elif refuse is not None:
            refuse(message)
        else:
            ignore(component, message, box)
    return ending


def ignore(component: Component, message: object, box: str) -> None:
    """Says for people that a component can't use what came to a box."""
    log.warning("a %s ignores a %s on its %s", type(component).__name__, type(message).__name__, box)


def token_of(message: object) -> Any:
    """The token of a message, or None: of any object at all."""
    try:
        return None if is_a(message, type) else getattr(message, "token", None)
    except Exception:
        return None


def reason_of(error: Exception) -> str:
    """What an error says, and if it says nothing, what it is."""
    try:
        return str(error) or type(error).__name__
    except Exception:
        return type(error).__name__
