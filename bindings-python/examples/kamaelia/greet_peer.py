"""Greets a peer and says what it has: `python greet_peer.py FILE.torrent HOST PORT`.

TCPClient -- bytes --> PeerWire -- messages --> Greeter
Greeter -- messages --> PeerWire -- bytes --> TCPClient
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from Axon.Component import component
from Axon.Ipc import producerFinished
from Kamaelia.Chassis.Graphline import Graphline
from Kamaelia.Internet.TCPClient import TCPClient

from millstream import sansio
from millstream.kamaelia.PeerWire import PeerWire, WireEnded, WireRefused


class Greeter(component):
    """Waits until it knows what the peer has, says so, and leaves."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.have: int | None = None

    def main(self):
        while self.have is None:
            while self.dataReady("inbox"):
                match self.recv("inbox"):
                    case sansio.Handshake(_, _, peer_id):
                        print("met", peer_id[:8].decode("ascii", "replace"), flush=True)
                        self.send(sansio.NotInterested(), "outbox")
                    case sansio.Bitfield() as bitfield:
                        self.have = sum(1 for _ in bitfield)
                    case sansio.HaveAll():
                        self.have = self.pieces
                    case sansio.HaveNone():
                        self.have = 0
                    case WireEnded(error) | WireRefused(_, error):
                        print("it ended:", error or "without a word", flush=True)
                        self.have = 0
                    case _:
                        pass
            if self.have is None:
                self.pause()
            yield 1
        print(f"it has {self.have} of {self.pieces} pieces", flush=True)
        self.send(producerFinished(self), "signal")
        yield 1


def main(path: str, host: str, port: str) -> int | None:
    """How many pieces the peer has."""
    torrent = sansio.Metainfo.parse(Path(path).read_bytes())
    greeter = Greeter(torrent.pieces)
    wire = PeerWire(
        client=True, peer_id=b"-MS0100-" + secrets.token_bytes(12), info_hash=torrent.info_hash, pieces=torrent.pieces
    )
    Graphline(
        TCP=TCPClient(host, int(port)),
        WIRE=wire,
        GREETER=greeter,
        linkages={
            ("TCP", "outbox"): ("WIRE", "inbox"),
            ("TCP", "signal"): ("WIRE", "control"),
            ("WIRE", "outbox"): ("TCP", "inbox"),
            ("WIRE", "signal"): ("TCP", "control"),
            ("WIRE", "received"): ("GREETER", "inbox"),
            ("GREETER", "outbox"): ("WIRE", "messages"),
            ("GREETER", "signal"): ("WIRE", "control"),
        },
    ).run()
    return greeter.have


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
