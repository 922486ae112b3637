"""PeerWire: between bytes of a TCP connection and messages of the peer protocol. It owns no socket: a TCPClient or a
ServerCore of Kamaelia's, a ConnectionManager or anything else that carries bytes stands behind it. What the protocol
allows is `millstream.sansio.PeerConnection`'s to say.

    inbox     bytes from the other side
    messages  messages to it: those of `millstream.sansio`, and SetPieces
    control   producerFinished ends it when all that came is parsed: the other side has ended, as TCPClient and
              ServerCore tell it. shutdown and shutdownMicroprocess end it at once; other messages are logged
    outbox    bytes to the other side; the handshake is the first
    received  messages from it, Handshake first; WireRefused for each message that could not be sent; in the end
              WireEnded
    signal    producerFinished when it has ended; it closes the connection

Payload of a Piece is a memoryview into memory of its own: keep it as long as you like.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._millstream import PeerConnection
from .._values import BytesLike
from ..errors import MillstreamError, RemoteProtocolError
from ._axon import Component, producerFinished
from ._outgoing import MESSAGES_MAX, Outgoing
from ._signals import is_a, told

if TYPE_CHECKING:
    from ._axon import Main

__all__ = ["PeerWire", "SetPieces", "WireEnded", "WireRefused"]

log = logging.getLogger("millstream")


@dataclass(frozen=True, slots=True)
class SetPieces:
    """So many pieces has the torrent: known now, where it wasn't before."""

    pieces: int


@dataclass(frozen=True, slots=True)
class WireRefused:
    """This message was not sent; nothing else changed. `error` is a LocalProtocolError, ValueError or TypeError."""

    message: Any
    error: Exception


@dataclass(frozen=True, slots=True)
class WireEnded:
    """No more will come. `error` is the RemoteProtocolError of a peer that broke the protocol, or else None."""

    error: Exception | None = None


class PeerWire(Component):
    """PeerWire(client, peer_id, [info_hash]) -> a component that speaks the peer protocol (BEP 3).

    `client`: whether we opened the connection; who did sends its handshake first. `peer_id`: 20 bytes of our own.
    `info_hash`: of the torrent, or of all those that a caller may want; the other keywords are PeerConnection's.
    """

    Inboxes = {
        "inbox": "Bytes from the other side",
        "messages": "Messages to send",
        "control": "Shut me down",
    }
    Outboxes = {
        "outbox": "Bytes to the other side",
        "received": "Messages that came, WireRefused, WireEnded",
        "signal": "producerFinished when I've shutdown",
    }

    def __init__(
        self,
        client: bool,
        peer_id: BytesLike,
        info_hash: bytes | Iterable[bytes] | None = None,
        *,
        pieces: int | None = None,
        fast: bool = True,
        dht: bool = False,
        extensions: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self._client = client
        self._wire = PeerConnection(
            client=client,
            peer_id=peer_id,
            info_hash=info_hash,
            pieces=pieces,
            fast=fast,
            dht=dht,
            extensions=extensions,
        )
        self._shaken = False
        self._early: list[Any] = []
        self._out = Outgoing(self)

    def main(self) -> Main:
        """A generator, as Axon's components are."""
        if self._client:
            self._shake()
        ending: str = ""
        error: Exception | None = None
        while error is None:
            said = told(self)
            ending = ending or said
            while error is None and said != "now" and len(self._out) < MESSAGES_MAX and self.dataReady("inbox"):
                error = self._take(self.recv("inbox"))
            while len(self._out) < MESSAGES_MAX and self.dataReady("messages"):
                self._send(self.recv("messages"))
            flushed = self._out.flush()
            if said == "now" or ending and flushed and not self.dataReady("inbox"):
                break
            if not flushed or not self.anyReady():
                self.pause()
            yield 1
        if error is None and ending != "now":
            error = self._eof()
        self._out.put(WireEnded(error), "received")
        while not self._out.flush() and told(self) != "now":
            self.pause()
            yield 1
        self.send(producerFinished(self), "signal")
        yield 1

    def _take(self, data: Any) -> Exception | None:
        """What came; the end of it all if the other side broke the protocol."""
        try:
            messages = self._wire.receive_data(data)
        except RemoteProtocolError as error:
            for message in error.messages:
                self._out.put(message, "received")
            return error
        except Exception as error:
            # no bytes at all: who wired us is to blame
            self._out.put(WireRefused(data, error), "received")
            return None
        if messages and not self._shaken:
            self._shake()
        for message in messages:
            self._out.put(message, "received")
        return None

    def _eof(self) -> Exception | None:
        try:
            self._wire.receive_eof()
        except MillstreamError as error:
            return error
        return None

    def _shake(self) -> None:
        self._shaken = True
        self._out.put(self._wire.handshake())
        early, self._early = self._early, []
        for message in early:
            self._send(message)

    def _send(self, message: Any) -> None:
        try:
            if is_a(message, SetPieces):
                self._wire.set_pieces(message.pieces)
            elif self._shaken:
                self._out.put(self._wire.send(message))
            elif len(self._early) < MESSAGES_MAX:
                self._early.append(message)
            else:
                raise ValueError("too many messages wait for the handshake")
        except Exception as error:
            if not isinstance(error, MillstreamError | ValueError | TypeError | OverflowError):
                log.warning("a PeerWire could not use a message", exc_info=error)
            self._out.put(WireRefused(message, error), "received")


__kamaelia_components__ = (PeerWire,)
