"""PeerWire: the peer protocol between boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from millstream import sansio as s
from millstream.errors import RemoteProtocolError
from millstream.kamaelia._axon import Component, producerFinished, shutdownMicroprocess
from millstream.kamaelia.PeerWire import PeerWire, SetPieces, WireEnded, WireRefused

from .stage import Script, run, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

HASH, OTHER = b"h" * 20, b"o" * 20
OURS, THEIRS = b"-OURS00-000000000000", b"-THEIRS-000000000000"


class User(Script):
    """A script whose outbox is `messages` of a wire, whose inbox is `received`."""

    def wire(self, wire: Component) -> User:
        self.link((self, "outbox"), (wire, "messages"))
        self.link((wire, "received"), (self, "inbox"))
        return self


class Line(Script):
    """A script in the place of a socket: bytes in and out."""

    def wire(self, wire: Component) -> Line:
        self.link((self, "outbox"), (wire, "inbox"))
        self.link((self, "signal"), (wire, "control"))
        self.link((wire, "outbox"), (self, "inbox"))
        self.link((wire, "signal"), (self, "control"))
        return self


def ran(wire: PeerWire, line: Any, user: Any = None) -> tuple[Line, User]:
    """Runs a wire between a line and a user, each with a script."""

    def silent(me: Script) -> Main:
        yield until(lambda: me.of(WireEnded), "the end")

    ends = Line(line).wire(wire), User(user or silent).wire(wire)
    run(wire, *ends)
    for end in ends:
        if end.failure is not None:
            raise end.failure
    return ends


def hand(client: bool, info_hash: bytes = HASH) -> s.PeerConnection:
    """The other side."""
    return s.PeerConnection(client=client, peer_id=THEIRS, info_hash=info_hash, pieces=20)


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_messages_go_both_ways_however_the_bytes_are_cut(cut: int) -> None:
    other = hand(client=True)
    sent: list[s.Outgoing] = [s.Bitfield.of(20, [1, 3]), s.Unchoke(), s.Piece(3, 0, b"x" * 5000), s.Have(7)]

    def line(me: Script) -> Main:
        wire = other.handshake() + other.send(*sent)
        for at in range(0, len(wire), cut):
            me.send(wire[at : at + cut])
        yield until(lambda: len(b"".join(me.got)) == 68 + 8 + 5 + 17, "what is sent")
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    def user(me: Script) -> Main:
        # before the other side's handshake: it waits
        me.send(s.Bitfield.of(20, []))
        me.send(s.Interested())
        yield until(lambda: me.of(s.Have), "what is sent to us")
        me.send(s.Request(3, 0, 16384))
        yield until(lambda: me.of(WireEnded), "the end")

    line_, user_ = ran(PeerWire(False, OURS, HASH, pieces=20, fast=False), line, user)
    assert user_.got[0] == s.Handshake(user_.got[0].reserved, HASH, THEIRS)
    assert user_.got[1:-1] == sent and user_.got[-1] == WireEnded()
    said = other.receive_data(b"".join(line_.got))
    assert [type(message).__name__ for message in said] == ["Handshake", "Bitfield", "Interested", "Request"]


def test_who_calls_greets_first() -> None:
    def line(me: Script) -> Main:
        yield until(lambda: me.got, "the handshake")
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    line_, user = ran(PeerWire(True, OURS, HASH), line)
    (greeting,) = hand(client=False).receive_data(line_.got[0])
    assert isinstance(greeting, s.Handshake) and (greeting.info_hash, greeting.peer_id) == (HASH, OURS)
    (end,) = user.got
    assert isinstance(end.error, RemoteProtocolError) and end.error.reason == "ended"


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n" + bytes(68), "handshake"),
        (hand(True, OTHER).handshake(), "handshake"),
        (hand(True).handshake() + b"\xff" * 100, "malformed"),
        (hand(True).handshake() + b"\0\0\0\5\4\0\0\0\x14", "misbehaved"),
        (hand(True).handshake() + b"\0\0\0\5", "ended"),
    ],
)
def test_a_peer_that_breaks_the_protocol_ends_it_and_what_came_before_is_told(wire: bytes, reason: str) -> None:
    def line(me: Script) -> Main:
        me.send(wire)
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    _, user = ran(PeerWire(False, OURS, HASH, pieces=20), line)
    end = user.got[-1]
    assert isinstance(end, WireEnded) and isinstance(end.error, RemoteProtocolError) and end.error.reason == reason
    assert len(user.of(s.Handshake)) == (0 if reason == "handshake" else 1)


def test_what_cannot_be_sent_comes_back_and_the_rest_goes_on() -> None:
    many: Any = "many"
    wrong: list[Any] = [None, 7, b"bytes", s.Request, "x", s.Have(99), SetPieces(many), SetPieces(-1)]
    other = hand(client=True)

    def line(me: Script) -> Main:
        me.send(other.handshake())
        me.send("no bytes")
        yield until(lambda: len(b"".join(me.got)) == 68 + 5, "the good one")
        me.send(shutdownMicroprocess(), "signal")
        yield until(lambda: me.signals, "its end")

    def user(me: Script) -> Main:
        yield until(lambda: me.of(s.Handshake), "the handshake")
        for message in wrong:
            me.send(message)
        me.send(s.Interested())
        yield until(lambda: me.of(WireEnded), "the end")

    _, user_ = ran(PeerWire(False, OURS, HASH, pieces=20), line, user)
    refused = [it.message for it in user_.of(WireRefused)]
    assert sorted(map(repr, refused)) == sorted(map(repr, [*wrong, "no bytes"]))


def test_pieces_may_be_known_later() -> None:
    other = hand(client=True)

    def line(me: Script) -> Main:
        me.send(other.handshake())
        yield until(lambda: len(me.got) == 2, "handshake and have")
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    def user(me: Script) -> Main:
        me.send(SetPieces(20))
        me.send(s.HaveAll())
        yield until(lambda: me.of(WireEnded), "the end")

    line_, user_ = ran(PeerWire(False, OURS, HASH), line, user)
    assert not user_.of(WireRefused)
    assert s.HaveAll() in other.receive_data(b"".join(line_.got))
