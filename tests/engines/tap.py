"""A relay between two peers that reads their handshakes: who they say they are, and for which hash. That takes plain
links; of others it keeps what they began with."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .node import HOST, Address, free_port
from .process import EngineError

HANDSHAKE = 68
PROTOCOL = b"\x13BitTorrent protocol"


@dataclass
class Side:
    """What one direction began with, and how much it carried."""

    begin: bytearray = field(default_factory=bytearray)
    carried: int = 0
    keep: int = HANDSHAKE

    @property
    def info_hash(self) -> str:
        return bytes(self.begin[28:48]).hex()

    @property
    def peer_id(self) -> bytes:
        return bytes(self.begin[48:68])


class Tap:
    """Listens for the dialler, dials `to` for each link, and passes bytes both ways.

    `watch` is asked for each link for what is to hear every byte of the dialler; `keep` is how many bytes of each side
    are kept.
    """

    def __init__(
        self, to: Address, watch: Callable[[], Callable[[bytes], None]] | None = None, keep: int = HANDSHAKE
    ) -> None:
        self.to = to
        self._keep = keep
        self._watch = watch
        self.links: list[tuple[Side, Side]] = []  # the dialler's, the listener's
        self._listener = socket.create_server((HOST, free_port()))
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> Address:
        return (HOST, self._listener.getsockname()[1])

    def peer_ids(self) -> tuple[bytes, bytes, str]:
        """The dialler's id, the listener's id and the info-hash of the first link with both handshakes."""
        for dialler, listener in self.links:
            if len(dialler.begin) == HANDSHAKE == len(listener.begin):
                if not dialler.begin.startswith(PROTOCOL):
                    raise EngineError("a link through the tap was not plain BitTorrent")
                return dialler.peer_id, listener.peer_id, dialler.info_hash
        raise EngineError(f"no two handshakes on {len(self.links)} links")

    def close(self) -> None:
        """Ends all links."""
        for one in [self._listener, *self._sockets]:
            one.close()

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            try:
                outer = socket.create_connection(self.to, 5)
            except OSError:
                inner.close()
                continue
            outer.settimeout(None)
            self._sockets += [inner, outer]
            sides = (Side(keep=self._keep), Side(keep=self._keep))
            self.links.append(sides)
            hear = self._watch() if self._watch else None
            threading.Thread(target=_pump, args=(inner, outer, sides[0], hear), daemon=True).start()
            threading.Thread(target=_pump, args=(outer, inner, sides[1], None), daemon=True).start()


def _pump(
    source: socket.socket, sink: socket.socket, side: Side, hear: Callable[[bytes], None] | None
) -> None:
    try:
        while data := source.recv(1 << 18):
            side.begin += data[: side.keep - len(side.begin)] if len(side.begin) < side.keep else b""
            side.carried += len(data)
            if hear:
                hear(data)
            sink.sendall(data)
    except OSError:
        pass
    for one in (source, sink):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
