"""PeerWire behind Kamaelia's own server: a seed made of components."""

from __future__ import annotations

import importlib
import random
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream import sansio as s, sync
from millstream.kamaelia._axon import Component, shutdownMicroprocess
from millstream.kamaelia.PeerWire import PeerWire, WireEnded

from .stage import Script, run, until
from .test_bad_peers import WORST

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

PIECE = 32 * 1024
DATA = random.Random(6).randbytes(9 * PIECE + 5)
TORRENT = s.create("thing.bin", DATA, version="v1", piece_length=PIECE)


class Server(Component):
    """Has all, and gives it to who asks: messages in, messages out."""

    def __init__(self, ended: list[WireEnded]) -> None:
        super().__init__()
        self._ended = ended

    def main(self) -> Main:
        while True:
            while self.dataReady("inbox"):
                match self.recv("inbox"):
                    case s.Handshake():
                        self.send(s.HaveAll())
                    case s.Interested():
                        self.send(s.Unchoke())
                    case s.Request(index, begin, length):
                        at = index * PIECE + begin
                        self.send(s.Piece(index, begin, DATA[at : at + length]))
                    case WireEnded() as end:
                        self._ended.append(end)
                        return
            self.pause()
            yield 1


def test_a_seed_of_components_behind_a_server_core_gives_a_session_all(folder: Path) -> None:
    graphline = importlib.import_module("Kamaelia.Chassis.Graphline").Graphline
    core = importlib.import_module("Kamaelia.Chassis.ConnectedServer").ServerCore
    torrent = s.Metainfo.parse(TORRENT)
    ended: list[WireEnded] = []

    def protocol(**where: Any) -> Any:
        wire = PeerWire(False, b"-SEED00-000000000000", torrent.info_hash, pieces=torrent.pieces)
        return graphline(
            WIRE=wire,
            SERVER=Server(ended),
            linkages={
                ("", "inbox"): ("WIRE", "inbox"),
                ("", "control"): ("WIRE", "control"),
                ("WIRE", "outbox"): ("", "outbox"),
                ("WIRE", "signal"): ("", "signal"),
                ("WIRE", "received"): ("SERVER", "inbox"),
                ("SERVER", "outbox"): ("WIRE", "messages"),
            },
        )

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = core(protocol=protocol, port=port, socketOptions=(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1))
    with sync.Session(folder=folder / "leech", encryption="off", **WORST) as leech:
        ours = leech.add(TORRENT)
        done = threading.Event()

        def script(me: Script) -> Main:
            for _ in range(100):
                yield 1
            ours.add_peers([("127.0.0.1", port)])
            yield until(lambda: ours.stats.progress == 1.0, "the session has all")
            ours.remove()
            yield until(lambda: ended, "the link's end")
            me.send(shutdownMicroprocess(), "signal")
            done.set()

        me = Script(script)
        me.link((me, "signal"), (server, "control"))
        run(server, me, deadline=40)
        assert me.failure is None and done.is_set()
    assert (folder / "leech" / "thing.bin").read_bytes() == DATA
    assert ended == [WireEnded(None)]
