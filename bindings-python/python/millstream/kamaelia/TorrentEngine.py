"""TorrentEngine: the engine inside an ordinary component. No thread, no socket, no file, no clock of its own: what it
wants done leaves by outboxes, what happened comes by its inbox. Over `millstream.sansio.Engine`, whose law holds here
too.

    inbox    what happened and what is wanted: the classes below, each of which says what it is answered by
    control  shutdown and shutdownMicroprocess end it at once. producerFinished has it say goodbye to trackers and peers
             first: it ends when the engine has told `Stopped`, for which `GOODBYE` seconds are given.
    outbox   the engine's events; `Added`, `Told`, `Taken`; and `Refused` for whatever could not be done
    effects  what is to be done: `Connect`, `ConnectHttp`, `ConnectWebSocket`, `Close`, `Interest`, `DatagramsReady`,
             `Job`, `Cancel`
    payload  `Transmit` and `Packets`, which are answers to `Pull` and `PullPackets`
    timer    `Wake`: a `Tick` is wanted then; the latest counts
    signal   producerFinished when it has ended

Moments are those of `clock`, in seconds.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Unpack

from .._millstream import Engine
from .._values import AddOptions, Address, BytesLike, Datagrams, LinkEnd, Outcome, Settings, Status, Stopped
from ._axon import Component, producerFinished
from ._outgoing import MESSAGES_MAX, Outgoing
from ._signals import is_a, reason_of, told

if TYPE_CHECKING:
    from ._axon import Main

log = logging.getLogger("millstream")

GOODBYE = 5.0
"""Seconds for goodbyes after producerFinished."""


# ---- to the inbox: what happened


class Input:
    """A message for a TorrentEngine."""

    def apply(self, engine: Engine, now: float) -> object:
        """Does it; what is to be answered, if anything."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Bound(Input):
    """A socket is bound: peers can reach us there."""

    local: int
    addr: Address
    kind: Literal["tcp", "udp", "multicast"] = "tcp"

    def apply(self, engine: Engine, now: float) -> object:
        engine.bound(now, self.local, self.addr, self.kind)
        return None


@dataclass(frozen=True, slots=True)
class Unbound(Input):
    """A socket is no more."""

    local: int

    def apply(self, engine: Engine, now: float) -> object:
        engine.unbound(now, self.local)
        return None


@dataclass(frozen=True, slots=True)
class Accepted(Input):
    """Somebody called at a socket. Answered by `Taken`, or by `Refused`: then hang up."""

    token: object
    local: int
    to: Address
    remote: Address

    def apply(self, engine: Engine, now: float) -> object:
        return Taken(self.token, engine.accept(now, self.local, self.to, self.remote))


@dataclass(frozen=True, slots=True)
class Opened(Input):
    """A link of `Connect` is open."""

    conn: int
    local: Address
    remote: Address

    def apply(self, engine: Engine, now: float) -> object:
        engine.opened(now, self.conn, self.local, self.remote)
        return None


@dataclass(frozen=True, slots=True)
class Received(Input):
    """Bytes came over a link, in order."""

    conn: int
    data: BytesLike

    def apply(self, engine: Engine, now: float) -> object:
        engine.handle_received(now, self.conn, self.data)
        return None


@dataclass(frozen=True, slots=True)
class Wrote(Input):
    """So many bytes of what was handed out went over a link."""

    conn: int
    count: int

    def apply(self, engine: Engine, now: float) -> object:
        engine.wrote(now, self.conn, self.count)
        return None


@dataclass(frozen=True, slots=True)
class Closed(Input):
    """A link ended, or could not be opened."""

    conn: int
    why: LinkEnd = "finished"

    def apply(self, engine: Engine, now: float) -> object:
        engine.closed(now, self.conn, self.why)
        return None


@dataclass(frozen=True, slots=True)
class Drained(Input):
    """A link that was to be closed is."""

    conn: int

    def apply(self, engine: Engine, now: float) -> object:
        engine.drained(now, self.conn)
        return None


@dataclass(frozen=True, slots=True)
class Packet(Input):
    """A datagram came."""

    local: int
    addr: Address
    data: BytesLike

    def apply(self, engine: Engine, now: float) -> object:
        engine.handle_datagram(now, self.local, self.addr, self.data)
        return None


@dataclass(frozen=True, slots=True)
class Done(Input):
    """A job is done. Every job gets one."""

    job: int
    outcome: Outcome

    def apply(self, engine: Engine, now: float) -> object:
        engine.done(now, self.job, self.outcome)
        return None


@dataclass(frozen=True, slots=True)
class Tick(Input):
    """Time has passed."""

    def apply(self, engine: Engine, now: float) -> object:
        engine.handle_timeout(now)
        return None


@dataclass(frozen=True, slots=True)
class Pull(Input):
    """There is room for so many bytes on a link. Answered by `Transmit`; ask again after `Wrote`, until it is empty."""

    conn: int
    max: int = 1 << 18

    def apply(self, engine: Engine, now: float) -> object:
        return Transmit(self.conn, tuple(engine.poll_transmit(now, self.conn, self.max)))


@dataclass(frozen=True, slots=True)
class PullPackets(Input):
    """There is room at a datagram socket. Answered by `Packets`; ask again until it is empty."""

    local: int

    def apply(self, engine: Engine, now: float) -> object:
        return Packets(self.local, engine.poll_datagrams(now, self.local))


# ---- to the inbox: what is wanted


@dataclass(frozen=True, slots=True)
class Add(Input):
    """A torrent: a .torrent file's bytes or a magnet link. Answered by `Added`, or by `Refused`."""

    token: object
    source: BytesLike | str
    folder: str
    options: AddOptions = field(default_factory=lambda: AddOptions())

    def apply(self, engine: Engine, now: float) -> object:
        return Added(self.token, engine.add_torrent(now, self.source, self.folder, **self.options))


@dataclass(frozen=True, slots=True)
class Remove(Input):
    """A torrent is to end: `Removed` tells when it has."""

    torrent: int

    def apply(self, engine: Engine, now: float) -> object:
        engine.remove(now, self.torrent)
        return None


@dataclass(frozen=True, slots=True)
class Pause(Input):
    """A torrent is to rest."""

    torrent: int

    def apply(self, engine: Engine, now: float) -> object:
        engine.pause(now, self.torrent)
        return None


@dataclass(frozen=True, slots=True)
class Resume(Input):
    """A torrent is to go on."""

    torrent: int

    def apply(self, engine: Engine, now: float) -> object:
        engine.resume(now, self.torrent)
        return None


@dataclass(frozen=True, slots=True)
class AddPeers(Input):
    """There are peers at these addresses."""

    torrent: int
    peers: Iterable[Address | str]

    def apply(self, engine: Engine, now: float) -> object:
        engine.add_peers(now, self.torrent, self.peers)
        return None


@dataclass(frozen=True, slots=True)
class SetRates(Input):
    """Bytes a second, `None` for no limit, of one torrent or of all together."""

    download: int | None = None
    upload: int | None = None
    torrent: int | None = None

    def apply(self, engine: Engine, now: float) -> object:
        engine.set_rates(now, self.download, self.upload, torrent=self.torrent)
        return None


@dataclass(frozen=True, slots=True)
class Ask(Input):
    """How is this torrent? Answered by `Told`, or by `Refused`."""

    torrent: int

    def apply(self, engine: Engine, now: float) -> object:
        return Told(self.torrent, engine.status(self.torrent))


# ---- from outboxes


@dataclass(frozen=True, slots=True)
class Taken:
    """The link of an `Accepted` is open, and has this number."""

    token: object
    conn: int


@dataclass(frozen=True, slots=True)
class Added:
    """The torrent of an `Add` has this number."""

    token: object
    torrent: int


@dataclass(frozen=True, slots=True)
class Told:
    """How a torrent is."""

    torrent: int
    status: Status


@dataclass(frozen=True, slots=True)
class Refused:
    """This message could not be used, for this reason."""

    message: object
    reason: str


@dataclass(frozen=True, slots=True)
class Transmit:
    """Bytes for a link, to be written in this order and told of by `Wrote`. Empty if there are none now."""

    conn: int
    data: tuple[memoryview, ...]


@dataclass(frozen=True, slots=True)
class Packets:
    """Datagrams for a socket; `None` if there are none now."""

    local: int
    datagrams: Datagrams | None


@dataclass(frozen=True, slots=True)
class Wake:
    """A `Tick` is wanted at this moment of the clock; `None` if none is."""

    at: float | None


class TorrentEngine(Component):
    """TorrentEngine([seed]) -> an engine without a body.

    `seed`: 32 bytes that decide all chance; secret, and fresh, where strangers take part. `clock`: seconds that never
    go back. The other keywords are the engine's settings.
    """

    Inboxes = {"inbox": "What happened, and what is wanted", "control": "Shut me down"}
    Outboxes = {
        "outbox": "Events and answers",
        "effects": "What is to be done",
        "payload": "Bytes for links and sockets",
        "timer": "When I want to be woken",
        "signal": "producerFinished when I've shutdown",
    }

    def __init__(
        self,
        seed: BytesLike | int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__()
        self._clock = clock
        self._engine = Engine(secrets.token_bytes(32) if seed is None else seed, now=clock(), **settings)
        self._out = Outgoing(self)
        self._wake: float | None = None
        self._stopped = False

    def main(self) -> Main:
        """A generator, as Axon's components are."""
        while not (self._stopped or self._told_to_stop()):
            # who doesn't read what is said isn't listened to either
            while len(self._out) < MESSAGES_MAX and self.dataReady("inbox"):
                self._on_message(self.recv("inbox"))
            self._drain()
            if (not self.anyReady() or len(self._out) >= MESSAGES_MAX) and not self._stopped:
                self.pause()
            yield 1
        self._drain()
        self.send(producerFinished(self), "signal")
        yield 1

    def _told_to_stop(self) -> bool:
        ending = told(self, refuse=lambda message: self._out.put(Refused(message, "it is no signal")))
        if ending == "soon":
            now = self._clock()
            self._engine.stop(now, now + GOODBYE)
        return ending == "now"

    def _on_message(self, message: Any) -> None:
        if not is_a(message, Input):
            self._out.put(Refused(message, f"a {type(message).__name__} is no input"))
            return
        try:
            answer = message.apply(self._engine, self._clock())
        except Exception as error:
            # its own errors, and those of arguments that it can't use
            answer = Refused(message, reason_of(error))
            log.debug("an engine refuses a %s: %s", type(message).__name__, answer.reason)
        if answer is not None:
            self._out.put(answer, "payload" if isinstance(answer, Transmit | Packets) else "outbox")

    def _drain(self) -> None:
        for effect in self._engine.poll_effects():
            self._out.put(effect, "effects")
        for event in self._engine.poll_events():
            self._out.put(event)
            self._stopped = self._stopped or isinstance(event, Stopped)
        wake = self._engine.poll_timeout()
        if wake != self._wake:
            self._wake = wake
            self._out.put(Wake(wake), "timer")
        self._out.flush()


__kamaelia_components__ = (TorrentEngine,)
