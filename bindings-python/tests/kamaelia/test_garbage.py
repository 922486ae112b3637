"""Garbage in any inbox of any component: each piece is answered or told of in the log, none ends anything, and nothing
is raised in the scheduler. Afterwards the component ends when it is told to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from millstream.kamaelia._axon import AdaptiveComponent, Component, producerFinished, shutdown, shutdownMicroprocess

from .components import RECIPES, Hostile, boxes, garbage, kinds
from .stage import run, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

PATIENCE = 10
"""Seconds within which all is answered."""

SIGNALS = (producerFinished, shutdown, shutdownMicroprocess)


class Told(logging.Handler):
    """Counts what the components log for people."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def told() -> Iterator[Told]:
    handler = Told()
    log = logging.getLogger("millstream")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


class Around(AdaptiveComponent):
    """Linked to all boxes of a component. Throws garbage into one of them, a piece at a time, and counts what comes of
    it."""

    def __init__(self, component: Component, box: str, pieces: list[object], log: Told) -> None:
        super().__init__()
        own = RECIPES[type(component).__name__].linked
        self.from_it = [name for name in component.Outboxes if name not in own and name[0] != "_"]
        for name in component.Inboxes:
            self.link((self, self.addOutbox(f"to {name}")), (component, name))
        for name in self.from_it:
            self.link((component, name), (self, self.addInbox(f"from {name}")))
        self.component, self.box, self.pieces, self.log = component, box, pieces, log
        self.answers: list[Any] = []
        self.ended = False
        self.silent: list[str] = []
        self.failure: BaseException | None = None

    def main(self) -> Main:
        try:
            yield from self._throw()
        except Exception as failure:
            self.failure = failure
        self.send(shutdown(), "to control")
        yield 1
        while not self.ended and not self.component._isStopped():
            self._take()
            yield 1

    def _throw(self) -> Main:
        yield 1
        for piece in self.pieces:
            before = len(self.answers) + len(self.log.texts)
            self.send(piece, f"to {self.box}")
            met = until(lambda: self._count() > before or self.ended, "an answer", seconds=PATIENCE)
            try:
                while not met():
                    yield 1
            except AssertionError:
                self.silent.append(describe(piece))
            assert not self.ended and not self.component._isStopped(), f"{describe(piece)} ends it"
            if len(self.silent) > 5:
                return

    def _count(self) -> int:
        self._take()
        return len(self.answers) + len(self.log.texts)

    def _take(self) -> None:
        for name in self.from_it:
            while self.dataReady(f"from {name}"):
                message = self.recv(f"from {name}")
                if name == "signal" and type(message) is producerFinished:
                    self.ended = True
                self.answers.append((name, message))


def describe(piece: object) -> str:
    """What it is, as far as that can be said."""
    kind = piece.__name__ if type(piece) is type else type(piece).__name__
    fields = getattr(piece, "__dict__", None) if kind.startswith("TIPC") else None
    return f"{kind}({', '.join(fields)})" if fields else kind


@pytest.fixture(autouse=True)
def hostile_are_asked_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with an object that says nothing of itself can't be shown either."""
    hook = sys.unraisablehook

    def show(unraisable: Any) -> None:
        if type(unraisable.object) is not Hostile:
            hook(unraisable)

    monkeypatch.setattr(sys, "unraisablehook", show)


@pytest.mark.parametrize(("name", "box"), list(boxes()))
def test_garbage_is_answered_and_harms_nobody(name: str, box: str, told: Told) -> None:
    recipe = RECIPES[name]
    meant = recipe.meant.get(box, ())
    pieces = [piece for piece in garbage() if not issubclass(type(piece), (*meant, *SIGNALS))]
    component = recipe.make(kinds()[name])
    around = Around(component, box, pieces, told)
    run(component, around, deadline=30)
    if around.failure is not None:
        raise around.failure
    assert around.silent == []


def test_every_component_is_among_them() -> None:
    assert set(kinds()) == set(RECIPES)
