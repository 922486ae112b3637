"""TorrentEngine: two engines in ordinary components exchange a torrent through boxes, in one thread."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from memory import Disk

from millstream import create
from millstream.kamaelia._axon import Component, producerFinished, shutdown
from millstream.kamaelia.TorrentEngine import (
    Accepted,
    Add,
    Added,
    Ask,
    Bound,
    Closed,
    Done,
    Drained,
    Opened,
    Packet,
    Pause,
    Pull,
    Received,
    Refused,
    Remove,
    Resume,
    SetRates,
    Taken,
    Tick,
    Told,
    TorrentEngine,
    Transmit,
    Wake,
    Wrote,
)
from millstream.sansio import (
    Close,
    Completed,
    Connect,
    ConnectHttp,
    ConnectWebSocket,
    Interest,
    Job,
    Removed,
    Stopped,
)

from .stage import Script, ended, play, run, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

PIECE = 1 << 15


class Time:
    """A clock that jumps when nothing else moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Body(Component):
    """What engines have done: links in memory, disks, and the time. An ordinary component as well: it knows engines by
    their boxes alone."""

    def __init__(self, clock: Time, disks: dict[str, Disk], sources: dict[str, bytes]) -> None:
        said = [f"{name}-{box}" for name in disks for box in ("events", "effects", "payload", "timer")]
        told = [f"{name}-{box}" for name in disks for box in ("in", "control")]
        self.Inboxes = dict.fromkeys(["control", "inbox", *said], "")  # type: ignore[misc]
        self.Outboxes = dict.fromkeys(["signal", "outbox", *told], "")  # type: ignore[misc]
        super().__init__()
        self.clock, self.disks, self.sources = clock, disks, sources
        self.events: dict[str, list[Any]] = defaultdict(list)
        self.links: dict[tuple[str, int], tuple[str, int]] = {}
        self.wakes: dict[str, float | None] = {}
        self.carried = 0

    def main(self) -> Main:
        names = list(self.disks)
        for number, name in enumerate(names):
            self.tell(name, Bound(1, address(number)))
            options: Any = {"peers": [address(0)]} if number else {}
            self.tell(name, Add(name, self.sources[name], "anywhere", options))
        while not all(any(isinstance(event, Completed) for event in self.events[name]) for name in names):
            if not any([self.step(name) for name in names]):
                self.idle()
            yield 1
        for name in names:
            self.send(producerFinished(self), f"{name}-control")
        while not all(any(isinstance(event, Stopped) for event in self.events[name]) for name in names):
            if not any([self.step(name) for name in names]):
                self.idle()
            yield 1

    quiet = 0

    def idle(self) -> None:
        """Nothing moved; when nothing has for some steps, time jumps."""
        self.quiet += 1
        if self.quiet < 10:
            return
        self.quiet = 0
        self.clock.now = max(self.clock.now, min((at for at in self.wakes.values() if at is not None), default=0.0))
        for name in self.disks:
            self.tell(name, Tick())

    def tell(self, name: str, message: object) -> None:
        self.send(message, f"{name}-in")

    def step(self, name: str) -> bool:
        """Whether anything was to be done for this engine."""
        moved = False
        for box, do in (
            ("events", self.on_event),
            ("effects", self.on_effect),
            ("payload", self.on_payload),
            ("timer", self.on_timer),
        ):
            while self.dataReady(f"{name}-{box}"):
                do(name, self.recv(f"{name}-{box}"))
                moved = True
        return moved

    def on_event(self, name: str, event: Any) -> None:
        self.events[name].append(event)
        if isinstance(event, Taken):
            far: Any = event.token
            caller, conn = far
            self.links[name, event.conn], self.links[caller, conn] = (caller, conn), (name, event.conn)
            self.tell(caller, Opened(conn, address(1), address(0)))

    def on_timer(self, name: str, wake: Wake) -> None:
        self.wakes[name] = wake.at

    def on_effect(self, name: str, effect: Any) -> None:
        match effect:
            case Connect(conn, to):
                called = list(self.disks)[int(to[0][-1]) - 1]
                self.tell(called, Accepted((name, conn), 1, to, ("10.0.0.9", 4000 + conn)))
            case ConnectHttp(conn) | ConnectWebSocket(conn):
                self.tell(name, Closed(conn, "unreachable"))
            case Interest(conn, _, True):
                self.tell(name, Pull(conn))
            case Close(conn):
                self.tell(name, Drained(conn))
                if far := self.links.pop((name, conn), None):
                    self.tell(far[0], Closed(far[1]))
            case Job(job, work):
                self.tell(name, Done(job, self.disks[name].carry_out(work)))
            case _:
                pass

    def on_payload(self, name: str, payload: Any) -> None:
        assert isinstance(payload, Transmit)
        data = b"".join(payload.data)
        far = self.links.get((name, payload.conn))
        if data and far:
            self.carried += len(data)
            self.tell(far[0], Received(far[1], data))
            self.tell(name, Wrote(payload.conn, len(data)))
            self.tell(name, Pull(payload.conn))


def address(number: int) -> tuple[str, int]:
    return f"10.0.0.{number + 1}", 6881


def test_two_engines_exchange_a_torrent_through_boxes_and_no_thread_is_made() -> None:
    data = random.Random(5).randbytes(9 * PIECE + 77)
    torrent = create("thing", data, version="hybrid", piece_length=PIECE)
    disks = {"seed": Disk({"thing": data}), "leech": Disk()}
    clock = Time()
    body = Body(clock, disks, {"seed": torrent, "leech": torrent})
    engines = {name: TorrentEngine(number, clock=clock) for number, name in enumerate(disks)}
    for name, engine in engines.items():
        wire(body, engine, name)
    seen: list[int] = []

    def count(me: Script) -> Main:
        for _ in range(20):
            seen.append(threading.active_count())
            yield 1

    counting = Script(count)
    run(*engines.values(), body, counting)
    assert disks["leech"].files["thing"] == data
    assert body.carried > len(data)
    # the main thread, and the one that guards the test's own deadline
    assert max(seen) == 2
    assert all(engine._isStopped() for engine in engines.values())


def wire(body: Body, engine: TorrentEngine, name: str) -> None:
    """Links an engine to its body, which knows it by this name."""
    body.link((body, f"{name}-in"), (engine, "inbox"))
    body.link((body, f"{name}-control"), (engine, "control"))
    for mine, theirs in (("events", "outbox"), ("effects", "effects"), ("payload", "payload"), ("timer", "timer")):
        body.link((engine, theirs), (body, f"{name}-{mine}"))


class Controls(Body):
    """Has one engine start a torrent, rest, go on, change its rates and stop, and asks how it is each time."""

    states: list[str]

    def main(self) -> Main:
        self.states = []
        (name,) = self.disks
        self.tell(name, Add("mine", self.sources[name], "anywhere"))
        yield from self.until(name, lambda: self.of(name, Completed))
        torrent = self.of(name, Added)[0].torrent
        for wanted, controls in (
            ("seeding", [SetRates(download=1000, upload=2000, torrent=torrent), SetRates(upload=None)]),
            ("paused", [Pause(torrent)]),
            ("seeding", [Resume(torrent)]),
        ):
            for control in controls:
                self.tell(name, control)
            yield from self.until(name, lambda wanted=wanted: self.state(name, torrent) == wanted)
            self.states.append(wanted)
        self.tell(name, Remove(torrent))
        yield from self.until(name, lambda: self.of(name, Removed))
        self.tell(name, Ask(torrent))
        yield from self.until(name, lambda: self.of(name, Refused))
        self.send(shutdown(), f"{name}-control")
        yield 1

    def of(self, name: str, kind: type) -> list[Any]:
        return [event for event in self.events[name] if isinstance(event, kind)]

    def state(self, name: str, torrent: int) -> str:
        self.tell(name, Ask(torrent))
        told = self.of(name, Told)
        return told[-1].status.state if told else ""

    def until(self, name: str, so: Any) -> Main:
        while not so():
            if not self.step(name):
                self.idle()
            yield 1


def test_a_torrent_starts_rests_goes_on_and_stops_as_it_is_told() -> None:
    data = random.Random(7).randbytes(3 * PIECE)
    clock = Time()
    disk = Disk({"film": data})
    body = Controls(clock, {"one": disk}, {"one": create("film", data, version="v1", piece_length=PIECE)})
    engine = TorrentEngine(5, clock=clock, dht=False, lsd=False)
    wire(body, engine, "one")
    run(engine, body)
    assert body.states == ["seeding", "paused", "seeding"]
    # nothing was refused but the question after the end
    assert [type(message.message) for message in body.of("one", Refused)] == [Ask]


def test_garbage_is_refused_and_the_engine_lives_on() -> None:
    torrent = create("thing", b"x" * 1000)
    bad: list[Any] = [
        None,
        42,
        b"bytes",
        "text",
        Add(1, b"garbage", "folder"),
        Add(1, torrent, 7),  # type: ignore[arg-type]
        Add(1, torrent, "folder", {"no such option": 1}),  # type: ignore[typeddict-unknown-key]
        Ask(99),
        Ask("x"),  # type: ignore[arg-type]
        Pause(99),
        Remove(99),
        SetRates("fast"),  # type: ignore[arg-type]
        Received(1, "text"),  # type: ignore[arg-type]
        Done(77, None),  # type: ignore[arg-type]
        Packet(1, ("nowhere", 1), b""),
        Bound(1, ("nowhere", 1)),
    ]

    def script(me: Script) -> Main:
        for message in bad:
            me.send(message)
        me.send("garbage", "signal")
        me.send(Add("good", torrent, "folder"))
        yield until(lambda: me.of(Added), "the answer to what is good")
        me.send(Ask(me.of(Added)[0].torrent))
        yield until(lambda: me.of(Told), "how it is")
        yield from ended(me)

    (me,) = play((TorrentEngine(1), script))
    refused = [refusal.message for refusal in me.of(Refused)]
    refused.remove("garbage")
    assert refused == bad
    assert all(refusal.reason for refusal in me.of(Refused))
    assert me.of(Added)[0].token == "good" and me.of(Told)[0].status.name == "thing"


@pytest.mark.parametrize("how", [shutdown, producerFinished])
def test_an_engine_ends_at_once_or_after_its_goodbyes(how: Any) -> None:
    def script(me: Script) -> Main:
        yield from ended(me, how())

    (me,) = play((TorrentEngine(1), script))
    assert len(me.of(Stopped)) == (how is producerFinished)
